//! Strangers who bring much and prove nothing: CONNECTs, hellos and requests that never come to their end.

use std::io::Write as _;
use std::net::TcpStream;

use pregon::engine::limits::{UNPROVEN_BYTES_MAX, UNPROVEN_POOL_BYTES_MAX};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::client::Client;
use crate::crowds::{CROWD, DESCRIPTORS_MAX, HOSTILE_BYTES_MAX};
use crate::field::{Attack, Field, MEBIBYTE, SHARDS, Stage, metric, metric_now};
use crate::packets::{announce, text};
use crate::patience::wait_until;
use crate::process::raise_own_limit;
use crate::stream::{Stream, tcp};
use crate::support::story::{Heard, Hello};
use crate::tls::{Trust, shake};
use crate::web::{BINARY, WebSocket, frame, request};

pub const NEARLY_WHOLE: Attack = Attack { name: "10,000 that are nearly whole", run: nearly_whole };

/// Those who come and go while the others stay.
const PASSERS: usize = 1_000;
/// What a CONNECT announces, and how much of it those say who want the most.
const ANNOUNCED: usize = 500 * 1024;
const GREED: usize = ANNOUNCED - 1;
/// How much those say who do not want to be noticed: what each may have us hold, and the allocator rounds.
const MODESTY: usize = 30_000;
/// One of so many shakes hands first, which takes time on both sides.
const SECURE_ONE_IN: usize = 30;
/// What tables and the allocator keep beside it.
const LEFT_BYTES_MAX: u64 = 24 * MEBIBYTE;
/// By how much two crowds of the same size may differ.
const SPREAD_BYTES_MAX: u64 = 64 * MEBIBYTE;
const QUOTA_EXCEEDED: u8 = 0x97;

/// Each holds as much as he is let, on each layer that strangers reach; and when all have gone, as many come again.
fn nearly_whole(stage: &Stage) {
    raise_own_limit(CROWD + 500);
    let trust = Trust::new("attack-strangers");
    let options =
        trust.options(SHARDS).set("listeners.web.address=127.0.0.1:0").set("listeners.web.protocol=websocket");
    let options = options.descriptors_max(DESCRIPTORS_MAX).set("limits.connect_timeout=1h");
    stage.open(options).attack(|field, _| {
        let [first, second] = [0; 2].map(|_| wave(field, &trust));
        // The allocator may keep it, but what the first have held is there for the next.
        assert!(second <= first + SPREAD_BYTES_MAX, "{first} bytes, and {second} the second time");
    });
}

/// The whole crowd; how much the broker has grown by.
fn wave(field: &Field<'_>, trust: &Trust) -> u64 {
    let connects = [Version::V311, Version::V5].map(nearly_connect);
    let refused = || metric(&field.broker, "pregon_limits_reached_total", "unproven_bytes");
    let held = || metric_now(&field.broker, "pregon_memory_bytes", "partial_packets");
    let (before, mut modest) = (refused(), 0);
    let crowd: Vec<Box<dyn Stream>> = (0..CROWD)
        .map(|number| {
            let (is_modest, stream) = stranger(field, trust, number, &connects[number / 6 % 2]);
            modest += usize::from(is_modest);
            stream
        })
        .collect();
    for _ in 0..PASSERS {
        say_as_far_as_it_is_taken(&mut tcp(field.broker.address), &connects[1][..4 * UNPROVEN_BYTES_MAX]);
    }
    wait_until("what the crowd says to be read", || held() >= (modest * MODESTY) as u64);
    let pools = (SHARDS * UNPROVEN_POOL_BYTES_MAX) as u64;
    field.expect_growth(CROWD as u64 * HOSTILE_BYTES_MAX + pools + LEFT_BYTES_MAX);
    let growth = field.memory().saturating_sub(field.base_bytes);
    assert!(refused() - before > (CROWD / 12) as u64, "{} were refused", refused() - before);
    // Others come in, but for those who would need what the strangers have.
    Client::join(&field.broker, Version::V5, "ordinary").leave();
    let mut large = Client::open(field.broker.address, Version::V5);
    large.send(&connects[1]);
    large.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, QUOTA_EXCEEDED, _)));
    field.expect_witnesses_to_go_on();
    drop((crowd, large));
    field.expect_nobody_else();
    assert_eq!(held(), 0, "who has gone holds nothing");
    let value = "v".repeat(60_000);
    let whole = (0..8).fold(Hello::v5("large"), |hello, _| hello.with(Property::User("n", &value)));
    Client::connect(&field.broker, &whole).leave();
    growth
}

/// One more of the crowd; whether he has said as much of this CONNECT as everybody may.
fn stranger(field: &Field<'_>, trust: &Trust, number: usize, connect: &[u8]) -> (bool, Box<dyn Stream>) {
    let broker = &field.broker;
    let say = |mut stream: TcpStream, bytes: &[u8]| -> Box<dyn Stream> {
        say_as_far_as_it_is_taken(&mut stream, bytes);
        Box::new(stream)
    };
    match number % 6 {
        0 => (false, say(tcp(broker.address), connect)),
        1 => (false, say(tcp(broker.named("tls")), &nearly_hello())),
        2 => (false, say(tcp(broker.named("web")), &nearly_request())),
        3 => {
            let mut socket = WebSocket::open(tcp(broker.named("web")));
            socket.say(BINARY, true, &connect[..MODESTY]);
            (true, say(socket.stream, &frame(BINARY, true, connect)[..10]))
        }
        4 if number % SECURE_ONE_IN == 4 => {
            let mut tls = shake(broker, &trust.anybody());
            tls.write_all(&connect[..MODESTY]).expect("the broker takes bytes");
            tls.flush().expect("the broker takes bytes");
            tls.conn.writer().write_all(&connect[..16 * 1024]).expect("there is room for a record");
            let mut record = Vec::new();
            tls.conn.write_tls(&mut record).expect("a vector takes bytes");
            (true, {
                tls.sock.write_all(&record[..record.len() - 1]).expect("the broker takes bytes");
                Box::new(tls)
            })
        }
        _ => (true, say(tcp(broker.address), &connect[..MODESTY])),
    }
}

/// The broker may close before it has taken all.
fn say_as_far_as_it_is_taken(stream: &mut TcpStream, bytes: &[u8]) {
    let _is_taken_or_closed = stream.write_all(bytes);
}

/// A CONNECT that is nearly as long as one may be, up to the last bytes: nobody looks at what is in it before those are there.
fn nearly_connect(version: Version) -> Vec<u8> {
    let start = [text("MQTT"), vec![version.level(), 2, 0, 60]].concat();
    let mut bytes = announce(0x10, ANNOUNCED, &start);
    bytes.resize(GREED, b'x');
    bytes
}

/// The first records of a hello of TLS that would be longer than any.
fn nearly_hello() -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 0, 4, 1, 0, 0xf0, 0];
    while bytes.len() < 20_000 {
        bytes.extend([0x16, 3, 1, 0x10, 0]);
        bytes.extend([0; 0x1000]);
    }
    bytes
}

/// A request for a WebSocket that is as long as one may be, without its end.
pub fn nearly_request() -> Vec<u8> {
    let whole = request("/mqtt", None);
    let mut bytes = whole.trim_end().as_bytes().to_vec();
    bytes.extend(b"\r\nX-More: ");
    bytes.resize(8 * 1024 - 1, b'x');
    bytes
}
