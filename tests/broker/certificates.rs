//! Certificates: who may come in by one and what the rules give him, and what becomes of them while the broker runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use pregon::mqtt::Version;
use rustls::{AlertDescription, ClientConfig, Error};
use sha2::{Digest as _, Sha256};

use crate::authority::{Authority, Certified, Saying};
use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post, Wish};
use crate::tls::{BOTH, HOST, Trust, expect_refused, is_resumed, open, replace, shake, shown};

/// Each user has a branch of his own; `ann` hears that of `bob` as well.
const RULES: &str = "\
[[rule]]
effect = 'allow'
actions = 'connect'

[[rule]]
effect = 'allow'
who = { user = 'ann' }
actions = 'all'
topics = ['ann/#']

[[rule]]
effect = 'allow'
who = { user = 'ann' }
actions = ['subscribe', 'receive']
topics = ['bob/#']

[[rule]]
effect = 'allow'
who = { user = 'bob' }
actions = 'all'
topics = ['bob/#']
";

/// A broker where certificates name users.
fn users(trust: &Trust, shards: usize) -> Options {
    fs::write(trust.path("rules"), RULES).expect("there is room");
    let rules = format!("auth.rules_file={}", trust.path("rules").display());
    let options = trust.mutual(shards).set("listeners.tls.user_from=common-name");
    options.set("listeners.tls.chain=certificate").set(&rules)
}

/// The client of a user of this name.
fn of_user(trust: &Trust, name: &str, serial: u64) -> Arc<ClientConfig> {
    trust.client(Some(&trust.authority.certify(&Saying { name, serial, ..Saying::default() })), &BOTH)
}

fn await_times(broker: &Broker, what: &str, count: usize) {
    wait_until(what, || broker.log().matches(what).count() >= count);
}

#[test]
fn without_a_certificate_nothing_of_mqtt_is_answered() {
    let trust = Trust::new("certificates-none");
    let broker = trust.mutual(3).start();
    let stranger = Authority::new(&trust.path(""), "stranger");
    let others = [
        None,
        Some(stranger.certify(&Saying::default())),
        Some(trust.authority.certify(&Saying { years: (2020, 2021), ..Saying::default() })),
        Some(trust.authority.server("client")),
    ];
    let good = trust.client(Some(&trust.authority.certify(&Saying { serial: 8, ..Saying::default() })), &BOTH);
    let mut witness = Client::connect_over(open(&broker, &good), &Hello::v5("witness"));
    for tls in BOTH {
        for other in &others {
            let config = trust.client(other.as_ref(), &[tls]);
            let told = expect_refused(open(&broker, &config), &Hello::v5("stranger").encode());
            assert!(matches!(told, Some(Error::AlertReceived(_))), "{told:?}");
            if other.is_none() && tls == BOTH[0] {
                assert_eq!(told, Some(Error::AlertReceived(AlertDescription::CertificateRequired)));
            }
        }
    }
    witness.expect_silence();
}

#[test]
fn threat_4_who_shows_another_certificate_cannot_take_a_session_over() {
    let trust = Trust::new("certificates-takeover");
    for shards in [1, 3] {
        let broker = users(&trust, shards).start();
        let (ann, bob) = (of_user(&trust, "ann", 1), of_user(&trust, "bob", 2));
        let hello = Hello::v5("same").resume().expiry(600);
        let mut owner = Client::connect_over(open(&broker, &ann), &hello);
        owner.subscribe("ann/#", 1);
        for _ in 0..3 {
            let mut thief = Client::over(open(&broker, &bob), Version::V5);
            thief.send(&hello.encode());
            thief.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x80.., _)));
            thief.expect_closed();
        }
        owner.expect_silence();
        // A new certificate of the same name is the same user.
        let again = of_user(&trust, "ann", 3);
        let mut again = Client::over(open(&broker, &again), Version::V5);
        again.send(&hello.encode());
        again.expect("the session", |heard| matches!(heard, Heard::ConnAck(true, 0, _)));
    }
}

#[test]
fn the_name_of_a_certificate_is_what_rules_ask_for() {
    let trust = Trust::new("certificates-rules");
    for shards in [1, 3] {
        let broker = users(&trust, shards).start();
        let mut ann = Client::connect_over(open(&broker, &of_user(&trust, "ann", 1)), &Hello::v5("a"));
        let bob_config = of_user(&trust, "bob", 2);
        let bob = shake(&broker, &bob_config);
        assert!(!is_resumed(&bob));
        Client::connect_over(bob, &Hello::v5("b")).leave();
        // Who comes back to a session of TLS is who he was.
        let bob = shake(&broker, &bob_config);
        assert!(is_resumed(&bob));
        let mut bob = Client::connect_over(bob, &Hello::v5("b"));
        assert_eq!(ann.subscribe_to(&[Wish::to("bob/#", 1), Wish::to("eve/#", 1)]), [1, 0x87]);
        assert_eq!(bob.subscribe_to(&[Wish::to("ann/#", 1)]), [0x87]);
        for (topic, code) in [("ann/a", 0x87), ("bob/a", 0)] {
            bob.publish(&Post::to(topic).payload("x").qos(1).id(1));
            bob.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(1, found, _) if *found == code));
        }
        assert_eq!(ann.take().topic, "bob/a");
        // A name that looks like a pattern or a path is nobody else's.
        for (name, serial) in [("#", 3), ("ann/#", 4), ("+", 5), ("*", 6), ("%u", 7)] {
            let mut other = Client::connect_over(open(&broker, &of_user(&trust, name, serial)), &Hello::v5("c"));
            assert_eq!(other.subscribe_to(&[Wish::to("ann/#", 1), Wish::to("bob/#", 1)]), [0x87, 0x87], "{name}");
            other.leave();
        }
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let trust = Trust::new("certificates-renewed");
    let broker = trust.options(3).start();
    let old = shake(&broker, &trust.anybody());
    assert_eq!(shown(&old), *trust.server.certificate.der());
    let mut old = Client::connect_over(old, &Hello::v5("old"));
    old.subscribe("a", 1);
    let before = fs::read_to_string(&trust.server.path).expect("it is there");
    for count in 1..=3 {
        let renewed = trust.authority.certify(&Saying {
            name: "renewed",
            serial: 100 + count,
            hosts: &[HOST],
            ..server_saying()
        });
        replace(&trust.server.path, &fs::read_to_string(&renewed.path).expect("it is there"));
        await_times(&broker, "were read anew", usize::try_from(count).expect("it is small"));
        // The shards are told on their own ways.
        wait_until("the new certificate", || {
            let session = shake(&broker, &trust.anybody());
            let is_new = shown(&session) == *renewed.certificate.der();
            Client::connect_over(session, &Hello::v5("new")).leave();
            is_new
        });
        Client::join(&broker, Version::V5, "speaker").post(&Post::to("a").payload("x").qos(1).id(1));
        assert_eq!(old.take().payload, b"x");
    }
    replace(&trust.server.path, &before);
    broker.signal("HUP");
    await_times(&broker, "were read anew", 4);
    old.expect_silence();
}

#[test]
fn a_certificate_behind_a_link_to_a_folder_that_is_exchanged_is_renewed() {
    let trust = Trust::new("certificates-linked");
    // As orchestrators lay out secrets: each file is a link into `..data`, which is a link to the folder of today.
    let lay_out = |folder: &str, certified: &Certified| {
        fs::create_dir(trust.path(folder)).expect("it is new");
        fs::write(trust.path(folder).join("tls.crt"), certified.certificate.pem()).expect("there is room");
        fs::write(trust.path(folder).join("tls.key"), certified.key.serialize_pem()).expect("there is room");
        symlink(folder, trust.path("..new")).expect("it is not there");
        fs::rename(trust.path("..new"), trust.path("..data")).expect("it is the same folder");
    };
    lay_out("..1", &trust.server);
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), trust.path(name)).expect("it is not there");
    }
    let [certificates, keys] = [("certificates", "tls.crt"), ("keys", "tls.key")]
        .map(|(key, name)| format!("listeners.tls.{key}={}", trust.path(name).display()));
    let options = Options::shards(2).set("listeners.tls.address=127.0.0.1:0").set(&certificates).set(&keys);
    let broker = options.start();
    let old = shake(&broker, &trust.anybody());
    assert_eq!(shown(&old), *trust.server.certificate.der());
    let mut old = Client::connect_over(old, &Hello::v5("old"));
    for count in 1..=2 {
        let renewed = trust.authority.certify(&Saying { serial: 200 + count, hosts: &[HOST], ..server_saying() });
        let folder = format!("..{}", count + 1);
        lay_out(&folder, &renewed);
        // As soon as they are not needed any more, the old ones go.
        fs::remove_dir_all(trust.path(&format!("..{count}"))).expect("it is there");
        await_times(&broker, "were read anew and are in force", usize::try_from(count).expect("it is small"));
        wait_until("the new certificate", || shown(&shake(&broker, &trust.anybody())) == *renewed.certificate.der());
    }
    old.expect_silence();
    assert!(!broker.log().contains("is not in force"), "{}", broker.log());
}

#[test]
fn a_handshake_that_began_before_a_renewal_ends_with_the_certificate_of_then() {
    let trust = Trust::new("certificates-begun");
    let before = fs::read_to_string(&trust.server.path).expect("it is there");
    let renewed = trust.authority.certify(&Saying { name: "renewed", serial: 100, hosts: &[HOST], ..server_saying() });
    let after = fs::read_to_string(&renewed.path).expect("it is there");
    let (old, new) = (trust.server.certificate.der(), renewed.certificate.der());
    for tls in BOTH {
        replace(&trust.server.path, &before);
        let broker = trust.options(1).start();
        let config = trust.client(None, &[tls]);
        // The broker has answered, and the client has not looked at the answer.
        let mut begun = open(&broker, &config);
        begun.conn.write_tls(&mut begun.sock).expect("the broker takes bytes");
        begun.conn.read_tls(&mut begun.sock).expect("the broker answers");
        // This one has not said anything.
        let silent = open(&broker, &config);
        replace(&trust.server.path, &after);
        wait_until("the new certificate", || shown(&shake(&broker, &trust.client(None, &[tls]))) == *new);

        begun.conn.process_new_packets().expect("it is the answer to what was said");
        while begun.conn.is_handshaking() {
            begun.conn.complete_io(&mut begun.sock).expect("the handshake succeeds");
        }
        assert_eq!(shown(&begun), *old, "what was begun with one key is not ended with another");
        for (number, session) in [begun, silent].into_iter().enumerate() {
            let mut client = Client::connect_over(session, &Hello::v5(&format!("client-{number}")));
            client.post(&Post::to("a").payload("x").qos(1).id(1));
        }
        // Who was here before comes back with a session of TLS, and goes on under the new keys.
        let again = shake(&broker, &config);
        assert!(is_resumed(&again) || shown(&again) == *new);
        Client::connect_over(again, &Hello::v5("again")).leave();
    }
}

fn server_saying() -> Saying<'static> {
    Saying { usage: rcgen::ExtendedKeyUsagePurpose::ServerAuth, ..Saying::default() }
}

#[test]
fn threat_7_a_certificate_that_cannot_be_used_changes_nothing_and_is_told() {
    let trust = Trust::new("certificates-broken");
    let broker = trust.options(3).start();
    let mut old = Client::connect_over(open(&broker, &trust.anybody()), &Hello::v5("old"));
    let good = fs::read_to_string(&trust.server.path).expect("it is there");
    let other = fs::read_to_string(trust.authority.server("other").path).expect("it is there");
    let end = "-----END CERTIFICATE-----\n";
    let certificate_of = |text: &str| text.split_inclusive(end).next().expect("it begins with one").to_owned();
    let secret_of = |text: &str| text.split_once(end).expect("it begins with one").1.to_owned();
    let wrong = [
        String::new(),
        "no certificate\n".to_owned(),
        good[..good.len() / 3].to_owned(),
        certificate_of(&good),
        secret_of(&good),
        certificate_of(&good) + &secret_of(&other),
        good.replacen("MI", "AA", 1),
    ];
    for (number, text) in (1..).zip(&wrong) {
        replace(&trust.server.path, text);
        await_times(&broker, "is not in force", number);
        let session = shake(&broker, &trust.anybody());
        assert_eq!(shown(&session), *trust.server.certificate.der());
        Client::connect_over(session, &Hello::v5("new")).leave();
        old.expect_silence();
    }
    fs::remove_file(&trust.server.path).expect("it is there");
    await_times(&broker, "is not in force", wrong.len() + 1);
    let log = broker.log();
    assert!(log.contains(&trust.server.path.display().to_string()) && log.contains("listeners.tls"), "{log}");
    assert!(!log.contains("were read anew"));
    shake(&broker, &trust.anybody());
}

#[test]
fn threat_5_who_is_revoked_while_the_broker_runs_is_refused_also_with_a_ticket() {
    let trust = Trust::new("certificates-revoked");
    for tls in BOTH {
        for shards in [1, 3] {
            let list = trust.authority.revoke(&[99], 4000);
            let lists = format!("listeners.tls.client_crls={}", list.display());
            let broker = trust.mutual(shards).set(&lists).start();
            let [good, bad] = [1, 2].map(|serial| {
                let shown = trust.authority.certify(&Saying { serial, ..Saying::default() });
                trust.client(Some(&shown), &[tls])
            });
            for config in [&good, &bad] {
                Client::connect_over(open(&broker, config), &Hello::v5("client")).leave();
                let again = shake(&broker, config);
                assert!(is_resumed(&again), "there is a ticket");
                Client::connect_over(again, &Hello::v5("client")).leave();
            }
            trust.authority.revoke(&[99, 2], 4000);
            await_times(&broker, "were read anew", 1);
            wait_until("every shard to know it", || {
                let hello = Hello::v5("client").encode();
                (0..shards * 4).all(|_| is_refused(&broker, &bad, &hello))
            });
            Client::connect_over(open(&broker, &good), &Hello::v5("client")).leave();
        }
    }
}

/// Two kinds of clients that show this, the old one connected before the new one.
fn both_kinds(broker: &Broker, trust: &Trust, name: &str, shown: &Certified) -> [Client; 2] {
    let config = trust.client(Some(shown), &BOTH);
    let hello = |version| Hello::new(version, &format!("{name}-{version:?}"));
    [Version::V311, Version::V5].map(|version| Client::connect_over(open(broker, &config), &hello(version)))
}

/// A change of files ends the connections of one certificate, and of no other.
fn expect_ends(broker: &Broker, trust: &Trust, good: &Certified, bad: &Certified, change: impl FnOnce()) {
    let mut witnesses = both_kinds(broker, trust, "good", good);
    let mut gone = both_kinds(broker, trust, "bad", bad);
    change();
    for client in &mut gone {
        client.expect_closed_for(0x87);
    }
    await_times(broker, "its certificate is good no more", gone.len());
    for witness in &mut witnesses {
        witness.expect_silence();
    }
    assert_eq!(broker.log().matches("its certificate is good no more").count(), gone.len());
}

#[test]
fn threat_5_a_revoked_certificate_ends_the_connections_that_have_shown_it() {
    let trust = Trust::new("certificates-live-revoked");
    let [good, bad] = [1, 2].map(|serial| trust.authority.certify(&Saying { serial, ..Saying::default() }));
    for shards in [1, 3] {
        let list = trust.authority.revoke(&[99], 4000);
        let lists = format!("listeners.tls.client_crls={}", list.display());
        let broker = trust.mutual(shards).set(&lists).start();
        expect_ends(&broker, &trust, &good, &bad, || drop(trust.authority.revoke(&[99, 2], 4000)));
    }
}

#[test]
fn threat_5_a_certificate_that_is_pinned_no_more_ends_its_connections() {
    let trust = Trust::new("certificates-live-unpinned");
    let [good, bad] = [1, 2].map(|serial| trust.authority.certify(&Saying { serial, ..Saying::default() }));
    let line = |certified: &Certified| {
        let digest = Sha256::digest(certified.certificate.der());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat() + "\n"
    };
    fs::write(trust.path("pins"), line(&good) + &line(&bad)).expect("there is room");
    let pins = format!("listeners.tls.client_pins={}", trust.path("pins").display());
    let broker = trust.mutual(3).set(&pins).start();
    expect_ends(&broker, &trust, &good, &bad, || replace(&trust.path("pins"), &line(&good)));
}

#[test]
fn threat_5_an_authority_that_is_gone_takes_the_connections_of_its_clients_with_it() {
    let trust = Trust::new("certificates-live-authority");
    let other = Authority::new(&trust.path(""), "other");
    let text = |authority: &Authority| fs::read_to_string(authority.path()).expect("it is there");
    fs::write(trust.path("both.pem"), text(&trust.authority) + &text(&other)).expect("there is room");
    let authorities = format!("listeners.tls.client_ca={}", trust.path("both.pem").display());
    let broker = trust.mutual(3).set(&authorities).start();
    let (bad, good) = (trust.authority.certify(&Saying::default()), other.certify(&Saying::default()));
    expect_ends(&broker, &trust, &good, &bad, || replace(&trust.path("both.pem"), &text(&other)));
}

/// Whether a client gets no answer of MQTT.
fn is_refused(broker: &Broker, config: &Arc<ClientConfig>, hello: &[u8]) -> bool {
    let mut tls = open(broker, config);
    let said = std::io::Write::write_all(&mut tls, hello);
    said.is_err() || !matches!(std::io::Read::read(&mut tls, &mut [0; 64]), Ok(1..))
}
