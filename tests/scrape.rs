//! A running broker, scraped over HTTP while it serves clients: the figures are those of what was done.
#![cfg(feature = "shell")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use pregon::config::{Config, Durability};
use pregon::ops::http::{Admin, Readiness};
use pregon::shell::broker::{Broker, Stopped};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// More than any answer of these tests takes.
const LONG: Duration = Duration::from_mins(1);
const SHARDS: usize = 2;

/// Two shards and their door.
fn start() -> (Broker, Admin, Arc<Readiness>) {
    let mut config = Config::default();
    config.listeners.tcp = vec![LOOPBACK];
    config.runtime.shards = Some(SHARDS);
    config.storage.durability = Durability::Memory;
    let broker = Broker::start(&config).expect("loopback has a free port");
    let readiness = Readiness::new(SHARDS);
    let reporter = broker.reporter();
    let admin = Admin::start(LOOPBACK, move || reporter.reports(), Arc::clone(&readiness)).expect("it opens");
    (broker, admin, readiness)
}

fn get(admin: &Admin, path: &str) -> String {
    let mut guest = TcpStream::connect(admin.address()).expect("the door listens");
    guest.set_read_timeout(Some(LONG)).expect("a bound for a test that hangs");
    write!(guest, "GET {path} HTTP/1.1\r\n\r\n").expect("the door hears");
    let mut answer = String::new();
    guest.read_to_string(&mut answer).expect("the answer ends");
    answer
}

/// The sum over all shards of the series whose labels hold this.
fn sum(text: &str, name: &str, label: &str) -> f64 {
    let mut seen = 0;
    let sum = text
        .lines()
        .filter(|line| line.starts_with(name) && line[name.len()..].starts_with('{') && line.contains(label))
        .map(|line| line.rsplit_once(' ').expect("a sample has a value").1.parse::<f64>().expect("a number"))
        .inspect(|_| seen += 1)
        .sum();
    assert!(seen > 0, "there is no {name} with {label}");
    sum
}

/// A client that sends these bytes and then has its PINGREQ answered, after so many bytes of other answers.
fn client(broker: &Broker, bytes: &[u8], answer_bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(broker.addresses()[0]).expect("the broker listens");
    stream.set_read_timeout(Some(LONG)).expect("a bound for a test that hangs");
    stream.write_all(&[bytes, &[0xc0, 0]].concat()).expect("the broker reads");
    let mut answers = vec![0; answer_bytes + 2];
    stream.read_exact(&mut answers).expect("the broker answers");
    assert_eq!(answers[answer_bytes..], [0xd0, 0], "{answers:?}");
    stream
}

fn connect(id: u8) -> [u8; 15] {
    [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 1, id]
}

const SUBSCRIBE: [u8; 8] = [0x82, 6, 0, 1, 0, 1, b't', 0];
const PUBLISH: [u8; 7] = [0x30, 5, 0, 1, b't', b'h', b'i'];

#[test]
fn a_scrape_tells_what_clients_did() {
    let (broker, admin, _readiness) = start();
    let mut subscriber = client(&broker, &[&connect(b's')[..], &SUBSCRIBE].concat(), 4 + 5);
    let _publisher = client(&broker, &[&connect(b'p')[..], &PUBLISH.repeat(10)].concat(), 4);
    let mut delivered = [0; 70];
    subscriber.read_exact(&mut delivered).expect("all ten come");
    assert_eq!(delivered[..7], PUBLISH);

    let text = get(&admin, "/metrics");
    for (name, label, figure) in [
        ("pregon_connections", "", 2.0),
        ("pregon_connections_accepted_total", "", 2.0),
        ("pregon_sessions", "", 2.0),
        ("pregon_subscriptions", "", 1.0),
        ("pregon_publishes_received_total", "", 10.0),
        ("pregon_messages_delivered_total", "", 10.0),
        ("pregon_messages_dropped_total", "reason=\"slow\"", 0.0),
        ("pregon_packets_received_total", "type=\"publish\"", 10.0),
        ("pregon_packets_received_total", "type=\"pingreq\"", 2.0),
        ("pregon_packets_received_bytes_total", "type=\"connect\"", 30.0),
        ("pregon_packets_sent_total", "type=\"publish\"", 10.0),
        ("pregon_packets_sent_total", "type=\"suback\"", 1.0),
        ("pregon_packets_sent_bytes_total", "type=\"publish\"", 70.0),
        ("pregon_sent_bytes_total", "", 70.0 + 2.0 * (4.0 + 2.0) + 5.0),
    ] {
        assert!((sum(&text, name, label) - figure).abs() < 0.5, "{name} {label}: {}", sum(&text, name, label));
    }
    assert!(sum(&text, "pregon_shard_busy_seconds_total", "shard=\"0\"") > 0.0);
    assert!(sum(&text, "pregon_turn_seconds_count", "") > 0.0);
    assert!(text.contains("\npregon_shards_answering 2\n"), "{text}");
    admin.stop();
    assert_eq!(broker.stop(), Stopped::Clean);
}

#[test]
fn a_broker_is_ready_until_it_begins_to_stop() {
    let (broker, admin, readiness) = start();
    assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 200 "));
    readiness.begin_stop();
    assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 503 "));
    let reporter = broker.reporter();
    assert_eq!(broker.stop(), Stopped::Clean);
    assert!(get(&admin, "/livez").starts_with("HTTP/1.1 200 "));

    let late = Admin::start(LOOPBACK, move || reporter.reports(), Readiness::new(SHARDS)).expect("it opens");
    assert!(get(&late, "/readyz").ends_with("\r\n\r\n0 of 2 shards answer\n"));
    assert!(get(&late, "/metrics").contains("\npregon_shards_answering 0\n"));
}
