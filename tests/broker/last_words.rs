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
