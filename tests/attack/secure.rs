//! Attacks on TLS: handshakes that go wrong in every way, floods of good ones, certificates that change under load.
#![expect(clippy::disallowed_methods, reason = "a flood comes from several sides at once")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread::scope;
use std::time::Duration;

use pregon::mqtt::Version;
use rustls::ClientConfig;

use crate::authority::{Authority, Saying};
use crate::client::Client;
use crate::field::{Attack, MEBIBYTE, SHARDS, Stage, metric};
use crate::patience::{Stopwatch, wait_until};
use crate::process::{Broker, Options};
use crate::stream::{read_to_end, tcp};
use crate::support::story::{Hello, Post};
use crate::tls::{BOTH, HOST, Trust, expect_refused, open, over, replace, shake, shown};

pub const BAD_CERTIFICATES: Attack = Attack { name: "bad certificates", run: bad_certificates };
pub const WRONG_LAYER: Attack = Attack { name: "wrong layers", run: wrong_layer };
pub const HANDSHAKES: Attack = Attack { name: "handshake flood", run: handshakes };
pub const RELOADS: Attack = Attack { name: "reload under load", run: reloads };

const LEFT_BYTES_MAX: u64 = 24 * MEBIBYTE;
const SIDES: usize = 4;

fn patient(options: Options) -> Options {
    options.set("limits.connect_timeout=1h").with_metrics()
}

/// Expired, not yet good, of another authority, for servers, revoked, none: nobody is heard.
fn bad_certificates(stage: &Stage) {
    let trust = Trust::new("attack-certificates");
    let list = trust.authority.revoke(&[13], 4000);
    let broker = patient(trust.mutual(SHARDS).set(&format!("listeners.tls.client_crls={}", list.display()))).start();
    let good = trust.client(Some(&trust.authority.certify(&Saying { serial: 8, ..Saying::default() })), &BOTH);
    let stranger = Authority::new(&trust.path(""), "stranger");
    let bad = [
        None,
        Some(stranger.certify(&Saying::default())),
        Some(trust.authority.certify(&Saying { serial: 10, years: (2020, 2021), ..Saying::default() })),
        Some(trust.authority.certify(&Saying { serial: 11, years: (3999, 4000), ..Saying::default() })),
        Some(trust.authority.server("client")),
        Some(trust.authority.certify(&Saying { serial: 13, ..Saying::default() })),
    ];
    let configs: Vec<Arc<ClientConfig>> =
        BOTH.iter().flat_map(|tls| bad.iter().map(|shown| trust.client(shown.as_ref(), &[*tls]))).collect();
    let connect = |hello: &Hello, broker: &Broker| Client::connect_over(open(broker, &good), hello);
    stage.around(broker, connect).attack(|field, _| {
        scope(|scope| {
            for _ in 0..SIDES {
                let (broker, configs) = (&field.broker, &configs);
                scope.spawn(move || {
                    for config in configs.iter().cycle().take(5 * configs.len()) {
                        // The alert says why; a client that has gone on speaking may see a reset in its place.
                        expect_refused(open(broker, config), &Hello::v5("stranger").encode());
                    }
                });
            }
        });
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// MQTT where TLS is spoken, TLS where MQTT is, a WebSocket where neither is. What was said is wrong already, so nobody is waited for: neither
/// for more nor for the end of the stranger.
fn wrong_layer(stage: &Stage) {
    let trust = Trust::new("attack-layers");
    let web = "listeners.web.address=127.0.0.1:0";
    let broker = patient(trust.options(SHARDS).set(web).set("listeners.web.protocol=websocket")).start();
    let secure = trust.anybody();
    stage.around(broker, |hello, broker| Client::connect_over(open(broker, &secure), hello)).attack(|field, _| {
        let broker = &field.broker;
        let mut took = Vec::new();
        for round in 0..60 {
            let hello = Hello::new(Version::ALL[round % 3], "stranger").encode();
            for listener in ["tls", "web"] {
                for words in
                    [&hello[..], b"\0\0", b"GET /mqtt HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff", b"\x80\x2e\x01\x03"]
                {
                    // A request is what a WebSocket begins with; that this one is wrong is answered before the close.
                    let mut stranger = tcp(broker.named(listener));
                    let watch = Stopwatch::start();
                    stranger.write_all(words).expect("the broker takes bytes");
                    let answer = read_to_end(&mut stranger);
                    took.push(watch.elapsed());
                    assert!(answer.first() != Some(&0x20), "{listener}: {answer:02x?}");
                }
            }
            let mut stranger = over(&secure, tcp(broker.address));
            let watch = Stopwatch::start();
            stranger.write_all(&hello).expect_err("there is no TLS");
            assert!(!matches!(stranger.sock.read(&mut [0; 1]), Ok(1..)), "there is an answer");
            took.push(watch.elapsed());
        }
        // A busy machine may hold up one of them; a broker that waits for anything holds up each.
        took.sort();
        assert!(
            took[took.len() / 2] < Duration::from_secs(1),
            "half of them took longer than {:?}",
            took[took.len() / 2]
        );
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Full handshakes from all sides, each followed by its end; some of them before their end.
fn handshakes(stage: &Stage) {
    let trust = Trust::new("attack-handshakes");
    let broker = patient(trust.options(SHARDS).set("listeners.tls.tickets=false")).start();
    let secure = trust.anybody();
    stage.around(broker, |hello, broker| Client::connect_over(open(broker, &secure), hello)).attack(|field, round| {
        scope(|scope| {
            for side in 0..SIDES {
                let (broker, secure) = (&field.broker, &secure);
                scope.spawn(move || {
                    for number in 0..60 {
                        let hello = Hello::v5(&format!("storm-{round}-{side}-{number}"));
                        match number % 4 {
                            0 => Client::connect_over(shake(broker, secure), &hello).leave(),
                            1 => Client::connect_over(shake(broker, secure), &hello).cut(),
                            2 => drop(shake(broker, secure)),
                            _ => {
                                let mut half = over(secure, tcp(broker.named("tls")));
                                half.conn.write_tls(&mut half.sock).expect("the broker takes bytes");
                            }
                        }
                    }
                });
            }
        });
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// New certificates and broken ones in turn while many speak: nobody is dropped, and what is wrong is never shown.
fn reloads(stage: &Stage) {
    const CLIENTS: usize = 40;
    let trust = Trust::new("attack-reloads");
    let broker = patient(trust.options(SHARDS)).start();
    let secure = trust.anybody();
    stage.around(broker, |hello, broker| Client::connect_over(open(broker, &secure), hello)).attack(|field, round| {
        let mut crowd: Vec<Client> = (0..CLIENTS)
            .map(|number| {
                let hello = Hello::v5(&format!("loyal-{round}-{number}"));
                let mut client = Client::connect_over(open(&field.broker, &secure), &hello);
                client.subscribe("attacked", 1);
                client
            })
            .collect();
        let mut speaker = Client::join(&field.broker, Version::V5, "speaker");
        for turn in 0..6_u64 {
            let in_force = shown(&shake(&field.broker, &trust.anybody()));
            let is_good = turn % 2 == 0;
            let serial = 100 + 10 * round as u64 + turn;
            let next = trust.authority.certify(&Saying {
                serial,
                hosts: &[HOST],
                name: "next",
                usage: server_usage(),
                ..Saying::default()
            });
            let text = fs::read_to_string(&next.path).expect("it is there");
            let name = if is_good { "pregon_reloads_total" } else { "pregon_reloads_failed_total" };
            let count = metric(&field.broker, name, "");
            replace(&trust.server.path, if is_good { &text } else { &text[..text.len() / 2] });
            field.broker.signal("HUP");
            wait_until("the files to be read", || metric(&field.broker, name, "") > count);
            let expected = if is_good { next.certificate.der().clone().into_owned() } else { in_force };
            // Each shard is told on its own way.
            wait_until("the right certificate", || shown(&shake(&field.broker, &trust.anybody())) == expected);
            speaker.post(&Post::to("attacked").qos(1).payload(turn.to_be_bytes()));
            for client in &mut crowd {
                assert_eq!(client.take().payload, turn.to_be_bytes());
            }
        }
        crowd.into_iter().for_each(Client::leave);
        speaker.leave();
        field.expect_nobody_else();
    });
}

fn server_usage() -> rcgen::ExtendedKeyUsagePurpose {
    rcgen::ExtendedKeyUsagePurpose::ServerAuth
}
