//! What a client says in the same breath as its goodbye takes effect, whatever carries it, and also where an answer has to be awaited first.

use std::io::{Read, Write};
use std::net::Shutdown;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::wait_until;
use crate::process::Broker;
use crate::stream::{self, Stream};
use crate::support::story::{Hello, Post};
use crate::tls::{Tls, Trust, over, shake};
use crate::web::{BINARY, CLOSE, WebSocket, frame};
use crate::webserver::{Reply, WebServer};

/// DISCONNECT.
const GOODBYE: [u8; 2] = [0xe0, 0];
/// A frame that closes a WebSocket.
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// A broker with each kind of listener, that asks this server what clients may do.
fn broker(trust: &Trust, rules: &WebServer, shards: usize) -> Broker {
    let mut options = trust.options(shards).set("listeners.web.address=127.0.0.1:0");
    options = options.set("listeners.secure-web.address=127.0.0.1:0");
    for name in ["web", "secure-web"] {
        options = options.set(&format!("listeners.{name}.protocol=websocket"));
    }
    let certificates = format!("listeners.secure-web.certificates={}", trust.server.path.display());
    options.set(&certificates).set(&format!("auth.hook_rules_url={}", rules.url("/may"))).start()
}

/// A client of 3.1.1 that has come in, with a will.
fn come_in(stream: &mut (impl Read + Write), id: &str) {
    stream.write_all(&Hello::v311(id).will("will", "gone", 0, false).encode()).expect("the broker takes bytes");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("the broker answers");
    assert_eq!(connack, [0x20, 2, 0, 0]);
}

/// Says this within TLS and that nothing follows, in one segment.
fn say_last_within_tls(tls: &mut Tls, said: &[u8]) {
    tls.conn.writer().write_all(said).expect("there is room");
    tls.conn.send_close_notify();
    let mut wire = Vec::new();
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut wire).expect("there is memory");
    }
    tls.sock.write_all(&wire).expect("the broker takes bytes");
}

/// Says something and a goodbye in one breath, and gives back what it was said through.
type SayLast = Box<dyn FnOnce(&[u8]) -> Box<dyn Stream>>;

/// A way to come in, and its name.
type Way = (&'static str, fn(&Broker, &Trust, &str) -> SayLast);

const WAYS: [Way; 4] = [
    ("plain", |broker, _, id| {
        let mut plain = stream::tcp(broker.address);
        come_in(&mut plain, id);
        Box::new(move |said| {
            plain.write_all(said).expect("the broker takes bytes");
            plain.shutdown(Shutdown::Write).expect("it is open");
            Box::new(plain)
        })
    }),
    ("tls", |broker, trust, id| {
        let mut tls = shake(broker, &trust.anybody());
        come_in(&mut tls, id);
        Box::new(move |said| {
            say_last_within_tls(&mut tls, said);
            Box::new(tls)
        })
    }),
    ("web", |broker, _, id| {
        let mut web = WebSocket::open(stream::tcp(broker.named("web")));
        come_in(&mut web, id);
        Box::new(move |said| {
            let all = [frame(BINARY, true, said), frame(CLOSE, true, &NORMAL)].concat();
            web.stream.write_all(&all).expect("the broker takes bytes");
            Box::new(web)
        })
    }),
    ("secure-web", |broker, trust, id| {
        let mut web = WebSocket::open(over(&trust.anybody(), stream::tcp(broker.named("secure-web"))));
        come_in(&mut web, id);
        Box::new(move |said| {
            let all = [frame(BINARY, true, said), frame(CLOSE, true, &NORMAL)].concat();
            say_last_within_tls(&mut web.stream, &all);
            Box::new(web)
        })
    }),
];

#[test]
fn what_waits_for_an_answer_is_not_lost_with_a_goodbye_behind_it() {
    let trust = Trust::new("last-words");
    for shards in [1, 3] {
        let rules = WebServer::start(|_| Reply::Text(r#"{"result":"allow"}"#.into()));
        let broker = broker(&trust, &rules, shards);
        let mut witness = Client::join(&broker, Version::V5, "witness");
        witness.subscribe("#", 0);
        for (name, come) in WAYS {
            for number in 0..3 {
                let id = format!("{name}-{number}");
                let say_last = come(&broker, &trust, &id);
                let asked = rules.count();
                rules.open(false);
                let last = Post::to(&format!("last/{id}")).payload("word").encode(Version::V311);
                let _stays_open = say_last(&[&last[..], &GOODBYE].concat());
                wait_until("the question", || rules.count() > asked);
                rules.open(true);
                assert_eq!(witness.take().topic, format!("last/{id}"));
                // DISCONNECT was said: there is no will.
                witness.expect_silence();
            }
        }
    }
}

/// A client of 3.1.1 that subscribes to `noise`.
fn listen_to_noise(stream: &mut (impl Read + Write)) {
    stream.write_all(b"\x82\x0a\0\x01\0\x05noise\0").expect("the broker takes bytes");
    let mut suback = [0; 5];
    stream.read_exact(&mut suback).expect("the broker answers");
    assert_eq!(suback, [0x90, 3, 0, 1, 0]);
}

/// Says more than may be published in a second and a goodbye, and is gone, so that what it is sent meanwhile breaks its connection.
fn leave_in_a_hurry(mut stream: impl Read + Write, witness: &mut Client, maker: &mut Client, id: &str) {
    let said = ["one", "two", "three"].map(|word| Post::to(&format!("last/{id}")).payload(word));
    let mut last: Vec<u8> = said.iter().flat_map(|post| post.encode(Version::V311)).collect();
    last.extend_from_slice(&GOODBYE);
    stream.write_all(&last).expect("the broker takes bytes");
    assert_eq!(witness.take().payload, b"one");
    drop(stream);
    for number in 1..=5 {
        maker.post(&Post::to("noise").qos(1).id(number));
    }
    let heard: Vec<_> = (0..7).map(|_| witness.take()).filter(|delivery| delivery.topic != "noise").collect();
    let words: Vec<&[u8]> = heard.iter().map(|delivery| &delivery.payload[..]).collect();
    assert_eq!(words, [b"two".as_slice(), b"three"]);
    // DISCONNECT was said: there is no will.
    witness.expect_silence();
}

#[test]
fn what_is_read_slowly_is_not_lost_when_its_client_can_be_sent_nothing_any_more() {
    let trust = Trust::new("hurry");
    for shards in [1, 3] {
        let slow = ["address=127.0.0.1:0", "message_rate=1"].map(|bound| format!("listeners.slow.{bound}"));
        let options = slow.iter().fold(trust.options(shards), |options, bound| options.set(bound));
        let broker = options.set("listeners.tls.message_rate=1").start();
        let mut witness = Client::join(&broker, Version::V5, "witness");
        witness.subscribe("#", 0);
        let mut maker = Client::join(&broker, Version::V311, "maker");
        // Each has a name of its own: the goodbye of one waits for its rate when the next one comes.
        for number in 0..2 {
            let mut plain = stream::tcp(broker.named("slow"));
            let id = format!("plain-{number}");
            come_in(&mut plain, &id);
            listen_to_noise(&mut plain);
            leave_in_a_hurry(plain, &mut witness, &mut maker, &id);
            let mut tls = shake(&broker, &trust.anybody());
            let id = format!("tls-{number}");
            come_in(&mut tls, &id);
            listen_to_noise(&mut tls);
            leave_in_a_hurry(tls, &mut witness, &mut maker, &id);
        }
    }
}

#[test]
fn what_is_said_in_one_breath_with_connect_and_the_end_takes_effect_wherever_its_client_is_at_home() {
    let trust = Trust::new("one-breath");
    let web = ["address=127.0.0.1:0", "protocol=websocket"].map(|key| format!("listeners.web.{key}"));
    let broker = web.iter().fold(trust.options(3), |options, key| options.set(key)).start();
    let mut witness = Client::join(&broker, Version::V5, "witness");
    witness.subscribe("#", 0);
    // Most of so many come to another shard than their own.
    for number in 0..16 {
        let id = format!("hasty-{number}");
        let connect = Hello::v311(&id).will(&format!("will/{id}"), "gone", 0, false).encode();
        let last = Post::to(&format!("last/{id}")).payload("word").encode(Version::V311);
        let _stays_open: Box<dyn Stream> = if number % 2 == 0 {
            let mut web = WebSocket::open(stream::tcp(broker.named("web")));
            let frames = [(BINARY, &connect[..]), (BINARY, &last), (CLOSE, &NORMAL)];
            let all = frames.map(|(kind, said)| frame(kind, true, said)).concat();
            web.stream.write_all(&all).expect("the broker takes bytes");
            Box::new(web)
        } else {
            let mut tls = shake(&broker, &trust.anybody());
            tls.conn.writer().write_all(&connect).expect("there is room");
            say_last_within_tls(&mut tls, &last);
            Box::new(tls)
        };
        assert_eq!([(); 2].map(|()| witness.take().topic), ["last", "will"].map(|kind| format!("{kind}/{id}")));
    }
}
