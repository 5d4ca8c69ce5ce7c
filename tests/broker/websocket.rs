//! MQTT within a WebSocket, with and without TLS beneath: frames cut anywhere, questions and goodbyes, and who is refused.

use std::io::Write as _;

use pregon::mqtt::Version;
use pregon::mqtt::frame::{Next, next_frame};

use crate::client::Client;
use crate::process::{Broker, Options};
use crate::stream::{self, Crumbs, Stream, read_to_end};
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};
use crate::tls::{Trust, open};
use crate::web::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, frame, request};

/// The name that this page may have.
const ORIGIN: &str = "https://casa.example";

/// A broker with a WebSocket under `web`, and one over TLS under `tls`.
fn broker(trust: &Trust, shards: usize) -> Broker {
    let mut options: Options = trust.options(shards).set("listeners.web.address=127.0.0.1:0");
    for name in ["web", "tls"] {
        let origins = format!("listeners.{name}.origins={ORIGIN}");
        options = options.set(&format!("listeners.{name}.protocol=websocket")).set(&origins);
    }
    options.start()
}

/// A stream to either listener.
fn streams(broker: &Broker, trust: &Trust) -> [Box<dyn Stream>; 2] {
    [Box::new(stream::tcp(broker.named("web"))), Box::new(open(broker, &trust.anybody()))]
}

fn each_socket(trust: &Trust, shards: usize, mut test: impl FnMut(&Broker, WebSocket<Box<dyn Stream>>)) {
    let broker = broker(trust, shards);
    for stream in streams(&broker, trust) {
        test(&broker, WebSocket::open(stream));
    }
}

/// A WebSocket whose client has connected.
fn connected(mut socket: WebSocket<Box<dyn Stream>>, id: &str) -> WebSocket<Box<dyn Stream>> {
    socket.say(BINARY, true, &Hello::v5(id).encode());
    let (kind, answer) = socket.hear().expect("the connection holds").expect("the broker answers");
    assert_eq!((kind, answer[0]), (BINARY, 0x20));
    socket
}

#[test]
fn every_quality_of_service_and_a_megabyte() {
    let trust = Trust::new("websocket-qualities");
    let payload: Vec<u8> = (0..1_000_000_u32).map(|number| ((number * 7) >> 3).to_le_bytes()[0]).collect();
    for shards in [1, 3] {
        each_socket(&trust, shards, |broker, socket| {
            let mut client = Client::connect_over(socket, &Hello::v5("web"));
            let mut plain = Client::join(broker, Version::V311, "plain");
            for qos in 0..=2 {
                client.subscribe("to/web", qos);
                plain.subscribe("to/plain", qos);
                client.post(&Post::to("to/plain").payload(payload.clone()).qos(qos).id(1));
                assert!(plain.take().payload == payload);
                plain.post(&Post::to("to/web").payload(payload.clone()).qos(qos).id(1));
                assert!(client.take().payload == payload);
            }
            client.leave();
        });
    }
}

/// The types of the packets that are whole.
fn kinds(bytes: &[u8]) -> Vec<u8> {
    let (mut kinds, mut at) = (Vec::new(), 0);
    while let Next::Frame(frame) = next_frame(&bytes[at..], u32::MAX).expect("the broker sends packets") {
        kinds.push(frame.first >> 4);
        at += frame.len;
    }
    kinds
}

#[test]
fn packets_and_frames_may_begin_and_end_anywhere() {
    let trust = Trust::new("websocket-cuts");
    for shards in [1, 3] {
        let broker = broker(&trust, shards);
        for cut in [1, 2, 3, 7, 30, 1_000] {
            for (number, stream) in (0..).zip(streams(&broker, &trust)) {
                let id = format!("client-{cut}-{number}");
                let packets = [
                    Hello::v5(&id).encode(),
                    subscribe(Version::V5, 1, &[Wish::to(&id, 1)], None),
                    Post::to(&id).payload("x").encode(Version::V5),
                ];
                let mut socket = WebSocket::open(stream);
                // Messages of several frames, with a question between them, all at once.
                let mut said = Vec::new();
                for part in packets.concat().chunks(cut) {
                    let (one, other) = part.split_at(part.len() / 2);
                    said.extend(frame(BINARY, false, one));
                    said.extend(frame(PING, true, b""));
                    said.extend(frame(CONTINUATION, true, other));
                }
                socket.stream.write_all(&said).expect("the broker takes bytes");
                let mut heard = Vec::new();
                while !kinds(&heard).contains(&3) {
                    let (kind, payload) = socket.hear().expect("the connection holds").expect("the broker goes on");
                    match kind {
                        BINARY => heard.extend(payload),
                        _ => assert_eq!((kind, &*payload), (PONG, &b""[..])),
                    }
                }
                assert!(kinds(&heard).starts_with(&[2]) && kinds(&heard).contains(&9), "{heard:?}");
            }
        }
    }
}

#[test]
fn connect_may_come_right_behind_the_request_and_byte_by_byte() {
    let trust = Trust::new("websocket-hasty");
    for shards in [1, 3] {
        let broker = broker(&trust, shards);
        for number in 0..8 {
            let mut crumbs = Crumbs(stream::tcp(broker.named("web")));
            let mut said = request("/mqtt", Some(ORIGIN)).into_bytes();
            said.extend(frame(BINARY, true, &Hello::v5(&format!("hasty-{number}")).encode()));
            said.extend(frame(BINARY, true, &[0xc0, 0]));
            if number % 2 == 0 { crumbs.write_all(&said) } else { crumbs.0.write_all(&said) }.expect("it is taken");
            let mut socket = WebSocket::opened(crumbs);
            let mut heard = Vec::new();
            while !heard.ends_with(&[0xd0, 0]) {
                let (kind, payload) = socket.hear().expect("the connection holds").expect("the broker goes on");
                assert_eq!(kind, BINARY);
                heard.extend(payload);
            }
            assert_eq!(kinds(&heard), [2, 13]);
            socket.say(CLOSE, true, &1000_u16.to_be_bytes());
            assert_eq!(socket.hear().expect("the connection holds"), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
        }
    }
}

#[test]
fn a_ping_is_answered_with_what_it_asks() {
    let trust = Trust::new("websocket-ping");
    each_socket(&trust, 3, |_, socket| {
        let mut socket = connected(socket, "pinging");
        for payload in [&b""[..], b"x", &[7; 125]] {
            socket.say(PING, true, payload);
            assert_eq!(socket.hear().expect("the connection holds"), Some((PONG, payload.to_vec())));
        }
        socket.say(PONG, true, b"unasked");
        socket.say(BINARY, true, &[0xc0, 0]);
        assert_eq!(socket.hear().expect("the connection holds"), Some((BINARY, vec![0xd0, 0])));
    });
}

#[test]
fn a_goodbye_is_answered_and_a_will_goes_out() {
    let trust = Trust::new("websocket-close");
    each_socket(&trust, 3, |broker, mut socket| {
        let mut witness = Client::join(broker, Version::V5, "witness");
        witness.subscribe("will", 0);
        socket.say(BINARY, true, &Hello::v5("mortal").will("will", "gone", 0, false).encode());
        socket.hear().expect("the connection holds");
        socket.say(CLOSE, true, &1000_u16.to_be_bytes());
        assert_eq!(socket.hear().expect("the connection holds"), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
        assert_eq!(socket.hear().expect("the broker closes in order"), None);
        assert_eq!(witness.take().payload, b"gone");
    });
}

#[test]
fn what_comes_right_before_a_goodbye_is_answered_before_it_is() {
    let trust = Trust::new("websocket-last-words");
    for shards in [1, 3] {
        each_socket(&trust, shards, |broker, socket| {
            let mut witness = Client::join(broker, Version::V5, "witness");
            witness.subscribe("last", 0);
            let mut socket = connected(socket, "hasty");
            let mut said = frame(BINARY, true, &Post::to("last").payload("word").encode(Version::V5));
            said.extend(frame(BINARY, true, &subscribe(Version::V5, 1, &[Wish::to("a", 1)], None)));
            said.extend(frame(BINARY, true, &[0xc0, 0]));
            said.extend(frame(CLOSE, true, &[&3_001_u16.to_be_bytes()[..], b"bye"].concat()));
            socket.stream.write_all(&said).expect("the broker takes bytes");
            let (mut answers, mut last) = (Vec::new(), None);
            while let Some((kind, payload)) = socket.hear().expect("the broker closes in order") {
                assert_eq!(last, None, "nothing follows a goodbye");
                match kind {
                    BINARY => answers.extend(payload),
                    _ => last = Some((kind, payload)),
                }
            }
            assert_eq!((kinds(&answers), last), (vec![9, 13], Some((CLOSE, 3_001_u16.to_be_bytes().to_vec()))));
            assert_eq!(witness.take().payload, b"word");
        });
    }
}

#[test]
fn a_goodbye_right_behind_connect_is_answered_wherever_the_session_lives() {
    let trust = Trust::new("websocket-in-and-out");
    let broker = broker(&trust, 3);
    for number in 0..12 {
        for stream in streams(&broker, &trust) {
            let mut socket = WebSocket::open(stream);
            let mut said = frame(BINARY, true, &Hello::v5(&format!("brief-{number}")).encode());
            said.extend(frame(BINARY, true, &[0xc0, 0]));
            said.extend(frame(CLOSE, true, &1000_u16.to_be_bytes()));
            socket.stream.write_all(&said).expect("the broker takes bytes");
            let mut heard = Vec::new();
            while let Some((kind, payload)) = socket.hear().expect("the broker closes in order") {
                heard.push((kind, payload[0]));
            }
            assert_eq!(heard.last(), Some(&(CLOSE, 3)), "{heard:?}");
            assert!(heard.starts_with(&[(BINARY, 0x20)]), "{heard:?}");
        }
    }
}

#[test]
fn a_client_that_leaves_hears_both_goodbyes() {
    let trust = Trust::new("websocket-leaves");
    for shards in [1, 3] {
        each_socket(&trust, shards, |_, socket| {
            let mut socket = connected(socket, "leaving");
            socket.say(BINARY, true, &[0xe0, 0]);
            assert_eq!(socket.hear().expect("the connection holds"), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
            // Within TLS an end without its goodbye would be an error.
            assert_eq!(socket.hear().expect("the broker closes in order"), None);
        });
    }
}

#[test]
fn the_broker_says_goodbye_behind_its_last_packet() {
    let trust = Trust::new("websocket-goodbye");
    each_socket(&trust, 3, |broker, socket| {
        let mut first = connected(socket, "same");
        Client::join(broker, Version::V5, "same").expect_silence();
        let mut kinds = Vec::new();
        while let Some((kind, payload)) = first.hear().expect("the broker closes in order") {
            kinds.push((kind, payload[0]));
        }
        assert_eq!(kinds, [(BINARY, 0xe0), (CLOSE, 3)]);
    });
}

#[test]
fn what_is_no_frame_of_a_client_is_refused() {
    let trust = Trust::new("websocket-refused");
    let bare = vec![0x82, 2, 0xc0, 0];
    let cases = [
        (frame(TEXT, true, b"x"), 1003),
        (bare, 1002),
        (frame(BINARY | 0x40, true, &[0xc0, 0]), 1002),
        (frame(PING, false, b"x"), 1002),
        (frame(CONTINUATION, true, b"x"), 1002),
    ];
    for (said, code) in cases {
        each_socket(&trust, 3, |broker, socket| {
            let mut witness = Client::join(broker, Version::V5, "witness");
            let mut socket = connected(socket, "client");
            socket.stream.write_all(&said).expect("the broker takes bytes");
            let mut last = None;
            while let Ok(Some((kind, payload))) = socket.hear() {
                last = Some((kind, payload[..2].to_vec()));
            }
            assert_eq!(last, Some((CLOSE, u16::to_be_bytes(code).to_vec())), "{said:?}");
            witness.expect_silence();
        });
    }
}

#[test]
fn who_asks_for_something_else_is_refused() {
    let trust = Trust::new("websocket-path");
    let broker = broker(&trust, 3);
    let cases = [
        (request("/", None), "404"),
        (request("/mqtt/", None), "404"),
        (request("/mqtt", Some("https://evil.example")), "403"),
        (request("/mqtt", Some("https://casa.example.evil.example")), "403"),
        (request("/mqtt", Some("null")), "403"),
        (request("/mqtt", None).replace("mqtt\r\n", "chat\r\n"), "400"),
        ("GET /mqtt HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "4"),
    ];
    for (asked, status) in cases {
        for mut stream in streams(&broker, &trust) {
            stream.write_all(asked.as_bytes()).expect("the broker takes bytes");
            let mut answer = Vec::new();
            // TLS may end without a goodbye after a refusal.
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{asked}{answer}");
        }
    }
    for mut stream in streams(&broker, &trust) {
        stream.write_all(request("/mqtt", Some(ORIGIN)).as_bytes()).expect("the broker takes bytes");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("the broker answers");
        assert_eq!(&answer, b"HTTP/1.1 101");
    }
    let mut plain = Client::open(broker.named("web"), Version::V311);
    plain.send(&Hello::v311("plain").encode());
    let heard = read_to_end(plain.stream());
    assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.1 400"), "{heard:?}");
    Client::connect_over(WebSocket::open(stream::tcp(broker.named("web"))), &Hello::v311("good")).expect_silence();
}

#[test]
fn silence_ends_a_connection_with_both_goodbyes() {
    let trust = Trust::new("websocket-silence");
    each_socket(&trust, 3, |_, socket| {
        let mut client = Client::connect_over(socket, &Hello::v5("silent").keep_alive(1));
        client.expect("DISCONNECT", |heard| matches!(heard, Heard::Disconnect(0x8d, _)));
        client.expect_closed();
    });
}
