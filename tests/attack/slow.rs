//! Clients that take their time: to come in, to read, to acknowledge, to say anything at all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::field::{Attack, MEBIBYTE, SHARDS, Stage, metric, metric_now, wait};
use crate::malformed::hello;
use crate::patience::{Deadline, PATIENCE, wait_until};
use crate::process::Options;
use crate::stream::tcp;
use crate::support::story::{Heard, Hello, Post};

pub const BYTE_BY_BYTE: Attack = Attack { name: "CONNECT byte by byte", run: byte_by_byte };
pub const READERS: Attack = Attack { name: "readers that do not read", run: readers };
pub const HALF_DONE: Attack = Attack { name: "half-done QoS 2", run: half_done };
pub const SILENT: Attack = Attack { name: "keep-alive 0", run: silent };

const LEFT_BYTES_MAX: u64 = 16 * MEBIBYTE;
/// Attackers of each kind.
const CROWD: usize = 300;

/// Each adds a byte before anybody could lose patience over a pause; the one deadline of all of it ends them.
fn byte_by_byte(stage: &Stage) {
    stage.open(Options::shards(SHARDS).set("limits.connect_timeout=1500ms")).attack(|field, round| {
        let mut crowd: Vec<(TcpStream, Vec<u8>)> = (0..CROWD)
            .map(|number| {
                let bytes = hello(Version::ALL[number % 3], &format!("slow-{round}-{number}-{}", "x".repeat(200)));
                (tcp(field.broker.address), bytes)
            })
            .collect();
        let (mut said, deadline) = (0, Deadline::after(PATIENCE));
        while !crowd.is_empty() {
            assert!(deadline.left().is_some(), "{} of {CROWD} are in after {said} bytes", crowd.len());
            crowd.retain_mut(|(stream, bytes)| stream.write_all(&bytes[said..=said]).is_ok() && !is_closed(stream));
            said = (said + 1).min(150);
            wait(Duration::from_millis(20));
        }
        assert!(said > 10, "they were not let try: {said} bytes");
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Whether the broker has closed; it says nothing to who has not said CONNECT.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket can be asked");
    let read = stream.read(&mut [0; 16]);
    stream.set_nonblocking(false).expect("a socket can be asked");
    match read {
        Ok(0) => true,
        Ok(count) => panic!("{count} bytes for who has not come in"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Subscribers that never read: what waits for them is bounded, and they are closed.
fn readers(stage: &Stage) {
    const READERS: usize = 40;
    const BACKLOG_BYTES_MAX: u64 = 256 * 1024;
    let options = Options::shards(SHARDS).set("limits.write_stall=2s").set("limits.backlog_bytes_max=256KiB");
    stage.open(options.set("limits.queue_bytes_max=256KiB")).attack(|field, round| {
        let mut crowd: Vec<Client> = (0..READERS)
            .map(|number| {
                let mut client = Client::join(&field.broker, Version::V5, &format!("deaf-{round}-{number}"));
                client.subscribe("attacked", u8::from(number % 2 == 0));
                client
            })
            .collect();
        let mut speaker = Client::join(&field.broker, Version::V311, "speaker");
        let closed = metric_now(&field.broker, "pregon_connections_closed_total", "");
        let is_over = || metric(&field.broker, "pregon_connections_closed_total", "") >= closed + READERS as u64;
        let deadline = Deadline::after(PATIENCE);
        while !is_over() {
            assert!(deadline.left().is_some(), "who does not read stays");
            for id in 1..=50 {
                speaker.post(&Post::to("attacked").qos(1).id(id).payload(vec![b'x'; 16 * 1024]));
            }
            // Half of them have both: unsent bytes and a queue; and the allocator rounds.
            field.expect_growth(READERS as u64 * 3 * BACKLOG_BYTES_MAX + LEFT_BYTES_MAX);
        }
        crowd.clear();
        speaker.leave();
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Exchanges of QoS 2 that stop after each of their steps, in both directions.
fn half_done(stage: &Stage) {
    const CLIENTS: usize = 60;
    const EXCHANGES: u16 = 500;
    stage.open(Options::shards(SHARDS).set("limits.inflight_max=100")).attack(|field, round| {
        let hello = |kind: &str, number: usize| {
            let version = [Version::V311, Version::V5][number % 2];
            Hello::new(version, &format!("{kind}-{round}-{number}"))
        };
        let mut hearers: Vec<Client> = (0..CLIENTS)
            .map(|number| {
                let mut client = Client::connect(&field.broker, &hello("hears", number));
                client.subscribe("attacked", 2);
                client
            })
            .collect();
        let mut speakers: Vec<Client> =
            (0..CLIENTS).map(|number| Client::connect(&field.broker, &hello("says", number))).collect();
        for id in 1..=EXCHANGES {
            for speaker in &mut speakers {
                speaker.publish(&Post::to("nobody").qos(2).id(id));
                speaker.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(found, 0 | 0x10, _) if *found == id));
            }
        }
        let mut releasing = Client::join(&field.broker, Version::V311, "releases");
        for id in 1..=EXCHANGES {
            releasing.post(&Post::to("attacked").qos(2).id(id).payload(vec![b'x'; 1_000]));
        }
        // Every other one says PUBREC, and nobody PUBCOMP.
        for (number, hearer) in hearers.iter_mut().enumerate() {
            let delivery = hearer.delivery();
            if number % 2 == 0 {
                hearer.answer(0x50, delivery.id.expect("it has one"));
            }
        }
        field.expect_witnesses_to_go_on();
        field.expect_growth(64 * MEBIBYTE);
        drop((hearers, speakers));
        releasing.leave();
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Who asks for no keep-alive has the longest one that the operator grants, whatever the version.
fn silent(stage: &Stage) {
    let options = Options::shards(SHARDS).set("limits.keep_alive_max=2s").set("limits.connect_timeout=1h");
    stage.open(options).attack(|field, round| {
        let before = metric_now(&field.broker, "pregon_keep_alive_timeouts_total", "");
        let mut crowd: Vec<Client> = (0..CROWD)
            .map(|number| {
                let version = Version::ALL[number % 3];
                let mut client =
                    Client::hello(&field.broker, &Hello::new(version, &format!("silent-{round}-{number}")));
                let told = |properties: &[u8]| {
                    version != Version::V5 || properties.windows(3).any(|part| part == [0x13, 0, 2])
                };
                client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(_, 0, properties) if told(properties)));
                client
            })
            .collect();
        for client in &mut crowd {
            client.expect_closed_for(0x8d);
        }
        let count = || metric(&field.broker, "pregon_keep_alive_timeouts_total", "") >= before + CROWD as u64;
        wait_until("each to be counted", count);
        field.expect_nobody_else();
    });
}
