//! A running broker, scraped over HTTP while it serves clients: the figures are those of what was done.
#![cfg(feature = "shell")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pregon::config::{Config, Durability, Storage};
use pregon::ops::http::{Admin, Readiness};
use pregon::shell::broker::{Broker, Stopped};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// More than any answer of these tests takes.
const LONG: Duration = Duration::from_mins(1);
const SHARDS: usize = 2;
/// Less than all of them, and more than all but one.
const OPEN_MIN: f64 = 1.5;

/// Two shards and their door.
fn start() -> (Broker, Admin, Arc<Readiness>) {
    start_with(Storage { durability: Durability::Memory, ..Storage::default() })
}

/// The same, with what outlives the process.
fn start_with(storage: Storage) -> (Broker, Admin, Arc<Readiness>) {
    let mut config = Config::default();
    config.listeners.tcp = vec![LOOPBACK];
    config.runtime.shards = Some(SHARDS);
    config.storage = storage;
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
    assert!(sum(&text, "pregon_shard_busy_seconds_total", "") > 0.0, "one of them was busy");
    assert!(sum(&text, "pregon_turn_seconds_count", "") > 0.0);
    assert!(text.contains("\npregon_shards_answering 2\n"), "{text}");
    admin.stop();
    assert_eq!(broker.stop(), Stopped::Clean);
}

/// What a scrape says when the log of each shard is open; until its first segment is made, a log is tight.
#[expect(clippy::disallowed_methods, reason = "a broker under test lives in real time")]
fn once_open(admin: &Admin) -> String {
    let begun = Instant::now();
    loop {
        let text = get(admin, "/metrics");
        if sum(&text, "pregon_journal_state", "state=\"open\"") > OPEN_MIN {
            return text;
        }
        assert!(begun.elapsed() < LONG, "a log does not open: {text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A data directory that goes with the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_scrape_tells_what_the_journal_did_and_what_was_found_at_the_start() {
    let scratch = Scratch(std::env::temp_dir().join(format!("pregon-scrape-{}", std::process::id())));
    let data_dir = scratch.0.clone();
    let storage = Storage { data_dir, durability: Durability::Fsync, segment_bytes: 1 << 20, ..Storage::default() };
    let (broker, admin, _readiness) = start_with(storage.clone());
    let mut keeper = connect(b'k');
    keeper[9] = 0; // its session is kept
    let _keeper = client(&broker, &[&keeper[..], &SUBSCRIBE].concat(), 4 + 5);
    let text = once_open(&admin);
    assert!(text.contains("\npregon_storage_info{durability=\"fsync\"} 1\n"), "{text}");
    assert!(text.contains("\npregon_storage_loss_window_seconds 0\n"), "{text}");
    let commits = sum(&text, "pregon_journal_commit_seconds_count", "");
    assert!(commits >= 1.0 && sum(&text, "pregon_journal_writes_total", "") >= commits, "{text}");
    assert!(sum(&text, "pregon_journal_commit_seconds_sum", "") > 0.0);
    assert!(sum(&text, "pregon_journal_group_bytes_sum", "") >= 4096.0 * commits, "{text}");
    assert!(sum(&text, "pregon_journal_segments", "") >= 1.0);
    let (log, groups) = (sum(&text, "pregon_journal_log_bytes", ""), sum(&text, "pregon_journal_group_bytes_sum", ""));
    assert!((log - groups).abs() < 0.5, "what was written is the log: {text}");
    for (name, label, figure) in [
        ("pregon_journal_faults_total", "", 0.0),
        ("pregon_journal_promises_waiting", "", 0.0),
        ("pregon_journal_stalled_seconds", "", 0.0),
        ("pregon_replay_records", "", 0.0),
    ] {
        assert!((sum(&text, name, label) - figure).abs() < 0.5, "{name} {label}: {}", sum(&text, name, label));
    }
    admin.stop();
    assert_eq!(broker.stop(), Stopped::Clean);

    let (broker, admin, _readiness) = start_with(storage);
    let text = get(&admin, "/metrics");
    assert!(sum(&text, "pregon_replay_records", "") >= 2.0, "the session and its subscription: {text}");
    assert!(sum(&text, "pregon_replay_bytes", "") > 0.0 && sum(&text, "pregon_replay_seconds", "") > 0.0, "{text}");
    assert!(sum(&text, "pregon_replay_damages", "") < 0.5, "{text}");
    assert!((sum(&text, "pregon_sessions", "") - 1.0).abs() < 0.5, "{text}");
    admin.stop();
    assert_eq!(broker.stop(), Stopped::Clean);
}

#[test]
fn the_door_is_open_before_the_journal_is_read_and_says_so() {
    let scratch = Scratch(std::env::temp_dir().join(format!("pregon-starting-{}", std::process::id())));
    let mut config = Config::default();
    config.listeners.tcp = vec![LOOPBACK];
    config.runtime.shards = Some(SHARDS);
    (config.storage.data_dir, config.storage.durability) = (scratch.0.clone(), Durability::Fsync);
    config.storage.segment_bytes = 1 << 20;
    let starting = Broker::begin(&config).expect("loopback has a free port");
    let (reporter, readiness) = (starting.reporter(), Readiness::starting(starting.progress()));
    let admin = Admin::start(LOOPBACK, move || reporter.reports(), readiness).expect("it opens");
    let answer = get(&admin, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\n\r\nstarting: "), "{answer}");
    assert!(get(&admin, "/livez").starts_with("HTTP/1.1 200 "));
    let broker = starting.finish(|_standing| {}).expect("there is nothing to read");
    assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 200 "));
    let _client = client(&broker, &connect(b'c'), 4);
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
