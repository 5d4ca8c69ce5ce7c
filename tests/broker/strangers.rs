//! Who does not speak what a listener speaks, or not to the end: his connection is closed, and nobody else notices.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::process::{Broker, Options};
use crate::stream::{self, read_to_end};
use crate::support::story::{Hello, Post};
use crate::tls::{BOTH, Trust, open, over, shake};
use crate::web::{WebSocket, request};

/// A fatal alert in a record of its own, but for what it says.
const ALERT: [u8; 2] = [21, 3];

/// A client of each kind, who must not notice anything.
fn witnesses(broker: &Broker, trust: &Trust) -> [Client; 2] {
    let mut both = [
        Client::connect(broker, &Hello::v5("plain")),
        Client::connect_over(open(broker, &trust.anybody()), &Hello::v5("secure")),
    ];
    for client in &mut both {
        client.subscribe("news", 1);
    }
    both
}

fn expect_undisturbed(broker: &Broker, witnesses: &mut [Client; 2]) {
    Client::join(broker, Version::V311, "speaker").post(&Post::to("news").payload("x").qos(1).id(1));
    for witness in witnesses {
        assert_eq!(witness.take().payload, b"x");
        witness.expect_silence();
    }
}

/// The first flight of a client.
fn client_hello(trust: &Trust) -> Vec<u8> {
    let mut hello = Vec::new();
    let (silent, _) = std::os::unix::net::UnixStream::pair().expect("there are descriptors");
    over(&trust.anybody(), silent).conn.write_tls(&mut hello).expect("a vector takes all");
    hello
}

/// Nothing but the error itself closes a connection here within the patience of a test.
fn patient(trust: &Trust, shards: usize) -> Options {
    trust.options(shards).set("limits.connect_timeout=1h")
}

#[test]
fn plain_mqtt_where_tls_is_spoken_is_closed_with_an_alert() {
    let trust = Trust::new("strangers-plain");
    for shards in [1, 3] {
        let broker = patient(&trust, shards).start();
        let mut witnesses = witnesses(&broker, &trust);
        for version in Version::ALL {
            let mut stranger = stream::tcp(broker.named("tls"));
            stranger.write_all(&Hello::new(version, "stranger").encode()).expect("the broker takes bytes");
            let answer = read_to_end(&mut stranger);
            assert!(answer.len() == 7 && answer.starts_with(&ALERT) && answer[5] == 2, "{answer:?}");
        }
        for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], &[22, 3, 1, 0xff, 0xff]] {
            let mut stranger = stream::tcp(broker.named("tls"));
            stranger.write_all(nonsense).expect("the broker takes bytes");
            let answer = read_to_end(&mut stranger);
            assert!(answer.is_empty() || answer.starts_with(&ALERT), "{answer:?}");
        }
        expect_undisturbed(&broker, &mut witnesses);
    }
}

#[test]
fn tls_where_plain_mqtt_is_spoken_is_closed() {
    let trust = Trust::new("strangers-tls");
    for shards in [1, 3] {
        let broker = patient(&trust, shards).start();
        let mut witnesses = witnesses(&broker, &trust);
        for tls in BOTH {
            let mut stranger = over(&trust.client(None, &[tls]), stream::tcp(broker.address));
            stranger.write_all(&Hello::v5("stranger").encode()).expect_err("there is no TLS");
        }
        expect_undisturbed(&broker, &mut witnesses);
    }
}

#[test]
fn records_that_were_changed_on_the_way_end_the_session() {
    let trust = Trust::new("strangers-records");
    let broker = patient(&trust, 3).start();
    let mut witnesses = witnesses(&broker, &trust);
    for tls in BOTH {
        let mut session = shake(&broker, &trust.client(None, &[tls]));
        session.conn.writer().write_all(&Hello::v5("stranger").encode()).expect("there is room");
        let mut record = Vec::new();
        session.conn.write_tls(&mut record).expect("a vector takes all");
        *record.last_mut().expect("there is a record") ^= 1;
        session.sock.write_all(&record).expect("the broker takes bytes");
        session.read(&mut [0; 1]).expect_err("there is an alert and nothing else");
    }
    expect_undisturbed(&broker, &mut witnesses);
}

#[test]
fn threat_10_one_deadline_holds_from_accept_to_connect_over_all_layers() {
    let trust = Trust::new("strangers-slow");
    for shards in [1, 3] {
        let options = trust.options(shards).set("limits.connect_timeout=1s");
        let broker = options.set("listeners.web.address=127.0.0.1:0").set("listeners.web.protocol=websocket").start();
        let mut witnesses = witnesses(&broker, &trust);
        let hello = client_hello(&trust);
        let mut slow = Vec::new();
        for part in [&hello[..0], &hello[..1], &hello[..hello.len() / 2], &hello[..]] {
            let mut stranger = stream::tcp(broker.named("tls"));
            stranger.write_all(part).expect("the broker takes bytes");
            slow.push(stranger);
        }
        let mut shaken = [shake(&broker, &trust.anybody()), shake(&broker, &trust.anybody())];
        shaken[0].write_all(&Hello::v5("slow").encode()[..5]).expect("the broker takes bytes");
        // Of the other one there is not even a whole record.
        shaken[1].conn.writer().write_all(&Hello::v5("slow").encode()).expect("there is room");
        let mut record = Vec::new();
        shaken[1].conn.write_tls(&mut record).expect("a vector takes all");
        shaken[1].sock.write_all(&record[..record.len() / 2]).expect("the broker takes bytes");
        let asked = request("/mqtt", None);
        let mut asking = stream::tcp(broker.named("web"));
        asking.write_all(&asked.as_bytes()[..asked.len() - 2]).expect("the broker takes bytes");
        let mut upgraded = WebSocket::open(stream::tcp(broker.named("web")));
        slow.push(asking);
        for stranger in &mut slow {
            read_to_end(stranger);
        }
        for stranger in &mut shaken {
            assert!(!matches!(stranger.read(&mut [0; 1]), Ok(1..)), "nothing is answered");
        }
        while upgraded.hear().expect("the broker closes in order").is_some() {}
        expect_undisturbed(&broker, &mut witnesses);
    }
}

/// Half-open handshakes that wait at once.
const HALF_OPEN: usize = 500;

#[test]
fn threat_10_many_half_open_handshakes_keep_nobody_from_coming_in() {
    let trust = Trust::new("strangers-many");
    let broker = patient(&trust, 3).start();
    let hello = client_hello(&trust);
    let half: Vec<TcpStream> = (0..HALF_OPEN)
        .map(|number| {
            let mut stranger = stream::tcp(broker.named("tls"));
            // Some have only begun; of the others the broker waits for the second flight.
            let part = if number % 4 == 0 { &hello[..] } else { &hello[..hello.len() / 2] };
            stranger.write_all(part).expect("the broker takes bytes");
            stranger
        })
        .collect();
    for number in 0..20 {
        let hello = Hello::v5(&format!("good-{number}"));
        let mut good = Client::connect_over(open(&broker, &trust.anybody()), &hello);
        good.expect_silence();
        good.leave();
    }
    drop(half);
    let mut late = Client::connect_over(open(&broker, &trust.anybody()), &Hello::v5("late"));
    late.expect_silence();
}
