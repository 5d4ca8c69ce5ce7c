//! Many at once: announcements, connections, passwords, descriptors, one name for all, lines of the log.
#![expect(clippy::disallowed_methods, reason = "a crowd comes from several sides at once")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread::scope;
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::field::{Attack, Field, KIBIBYTE, MEBIBYTE, SHARDS, Stage, metric, metric_now, wait};
use crate::folder::Folder;
use crate::malformed::{boast, hello};
use crate::packets::text;
use crate::patience::{Stopwatch, wait_until};
use crate::process::{Broker, Options, raise_own_limit};
use crate::stream::{read_to_end, tcp};
use crate::support::story::{Heard, Hello, Post};

pub const IDLE: Attack = Attack { name: "10,000 silent connections", run: idle };
pub const ANNOUNCEMENTS: Attack = Attack { name: "10,000 announcements of 256 MB", run: announcements };
pub const CONNECTS: Attack = Attack { name: "connect flood", run: connects };
pub const PASSWORDS: Attack = Attack { name: "wrong passwords", run: passwords };
pub const DESCRIPTORS: Attack = Attack { name: "no descriptors left", run: descriptors };
pub const ONE_NAME: Attack = Attack { name: "reconnect war", run: one_name };
pub const LOG: Attack = Attack { name: "log flood", run: log };

/// 20,000 descriptors of the test and as many of the broker allow it, with what else they open.
pub const CROWD: usize = 10_000;
pub const DESCRIPTORS_MAX: u32 = 20_000;
/// What a connection may cost that has said nothing.
pub const SILENT_BYTES_MAX: u64 = 8 * KIBIBYTE;
/// What one may cost that does its worst.
pub const HOSTILE_BYTES_MAX: u64 = 64 * KIBIBYTE;
/// What the tables of a crowd that has left may still take.
const LEFT_BYTES_MAX: u64 = 16 * MEBIBYTE;
/// Sides from which a flood comes.
const SIDES: usize = 4;

fn crowded() -> Options {
    raise_own_limit(CROWD + 500);
    Options::shards(SHARDS).descriptors_max(DESCRIPTORS_MAX).set("limits.connect_timeout=1h")
}

/// Waits until the broker has read what this crowd has said: its newest member is closed when it has.
fn settle(field: &Field<'_>, connections: usize) {
    wait_until("the crowd to be accepted", || metric(&field.broker, "pregon_connections", "") >= connections as u64);
}

fn idle(stage: &Stage) {
    stage.open(crowded()).attack(|field, _| {
        let crowd: Vec<TcpStream> = (0..CROWD).map(|_| tcp(field.broker.address)).collect();
        settle(field, CROWD);
        field.expect_growth(CROWD as u64 * SILENT_BYTES_MAX);
        field.expect_witnesses_to_go_on();
        drop(crowd);
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// A quarter announces a CONNECT and a quarter a SUBSCRIBE, which nobody may make so long. By default a PUBLISH may be: so the others.
fn announcements(stage: &Stage) {
    stage.open(crowded()).attack(|field, round| {
        let mut crowd = Vec::with_capacity(CROWD);
        for number in 0..CROWD {
            let version = Version::ALL[number / 4 % 2 + 1];
            let mut stream = tcp(field.broker.address);
            let id = format!("boaster-{round}-{number}");
            let bytes = match number % 4 {
                0 => boast(0x10, b"\0\x04MQTT"),
                1 => [hello(version, &id), boast(0x82, &vec![0; 1_000])].concat(),
                _ => [hello(version, &id), boast(0x30, &text("attacked"))].concat(),
            };
            stream.write_all(&bytes).expect("the broker takes bytes");
            match number % 4 {
                0 => assert_eq!(read_to_end(&mut stream), b"", "refused without a word"),
                1 => {
                    let said = read_to_end(&mut stream);
                    let has_reason = said.windows(3).any(|bytes| bytes[0] == 0xe0 && bytes[2] == 0x95);
                    assert!(said.starts_with(&[0x20]) && has_reason == (version == Version::V5), "{said:02x?}");
                }
                _ => crowd.push(stream),
            }
        }
        settle(field, crowd.len());
        field.expect_growth(CROWD as u64 * HOSTILE_BYTES_MAX);
        // What is announced is not there: far less than a packet of them.
        field.expect_growth(256 * MEBIBYTE - 1);
        field.expect_witnesses_to_go_on();
        drop(crowd);
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

fn connects(stage: &Stage) {
    stage.open(Options::shards(SHARDS)).attack(|field, round| {
        scope(|scope| {
            for side in 0..SIDES {
                let broker = &field.broker;
                scope.spawn(move || (0..400).for_each(|number| come_and_go(broker, round, side, number)));
            }
        });
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// One of four ways to be a burden.
fn come_and_go(broker: &Broker, round: usize, side: usize, number: usize) {
    let hello = Hello::v5(&format!("flood-{round}-{side}-{number}")).will("attacked", "gone", 1, false);
    match number % 4 {
        0 => Client::connect(broker, &hello).leave(),
        1 => Client::connect(broker, &hello).cut(),
        2 => drop(Client::hello(broker, &hello)),
        _ => drop(tcp(broker.address)),
    }
}

/// One that costs as much as what `pregon passwd` makes, and whose password nobody of these knows.
const USERS: &str = "\
alice:$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\n";
/// Far more than may wait for a hash at once.
const GUESSERS_MAX: usize = 5_000;
/// Two clerks with their hash under way, of 19 MiB each, and what waits for them.
const GUESSING_BYTES_MAX: u64 = 128 * MEBIBYTE;

fn passwords(stage: &Stage) {
    let folder = Folder::new("attack-passwords");
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("users"), USERS).expect("there is room");
    let users = format!("auth.password_file={}", folder.path().join("users").display());
    stage.open(Options::shards(SHARDS).set(&users).set("auth.anonymous=yes")).attack(|field, round| {
        let guess = |number| {
            let user = if number % 2 == 0 { "alice" } else { "nobody" };
            Hello::v5(&format!("guess-{round}-{number}")).login(user, &format!("guess {number}"))
        };
        let refused = || metric(&field.broker, "pregon_questions_refused_total", "");
        let (before, mut crowd) = (refused(), Vec::new());
        while refused() == before {
            assert!(crowd.len() < GUESSERS_MAX, "{} guesses wait", crowd.len());
            let next = crowd.len()..crowd.len() + 50;
            crowd.extend(next.map(|number| Client::hello(&field.broker, &guess(number))));
        }
        // Whoever finds all places taken is told at once, and the others wait their turn.
        let mut newest = Client::hello(&field.broker, &guess(GUESSERS_MAX));
        newest.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86 | 0x89, _)));
        for client in crowd.iter_mut().take(10) {
            client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
            client.expect_closed();
            field.expect_growth(GUESSING_BYTES_MAX);
        }
        field.expect_witnesses_to_go_on();
        drop(crowd);
        field.expect_nobody_else();
    });
}

/// How long the broker is watched while it has no descriptor.
const WATCHED: Duration = Duration::from_secs(2);

/// Descriptors that the broker may still open: an eighth of all, some 40, are kept for its files.
const SPARE: usize = 240;

/// With a journal whose segments are short: it needs descriptors of its own meanwhile, and has them.
fn descriptors(stage: &Stage) {
    let folder = Folder::new("attack-descriptors");
    let data = format!("storage.data_dir={}", folder.path().display());
    let options =
        Options::shards(SHARDS).set("storage.durability=interval").set(&data).set("storage.segment_bytes=64KiB");
    stage.open(options.set("auth.anonymous=yes")).attack(|field, round| {
        let mut keeper = Client::connect(&field.broker, &Hello::v5("keeper").resume().expiry(600));
        keeper.subscribe("kept", 1);
        keeper.cut();
        let mut writer = Client::join(&field.broker, Version::V5, &format!("writer-{round}"));
        let begun = metric_now(&field.broker, "pregon_journal_segments_begun_total", "");
        let pauses = metric_now(&field.broker, "pregon_accept_pauses_total", "");
        field.broker.limit_descriptors(field.broker.descriptor_count() + SPARE);
        let mut crowd: Vec<TcpStream> = (0..2 * SPARE).map(|_| tcp(field.broker.address)).collect();
        for stream in &mut crowd {
            // Those whom nobody accepts are the kernel's; who came one moment too late is closed already.
            let _is_taken_or_lost = stream.write_all(&hello(Version::V311, "one-of-many"));
        }
        wait_until("accepting to rest", || metric(&field.broker, "pregon_accept_pauses_total", "") > pauses);
        let (watch, before) = (Stopwatch::start(), field.broker.processor_time());
        let mut id = 0;
        while watch.elapsed() < WATCHED {
            id += 1;
            writer.post(&Post::to("kept").qos(1).id(id).payload(vec![b'x'; 2_000]));
            wait(Duration::from_millis(5));
        }
        let (spent, watched) = (field.broker.processor_time().saturating_sub(before), watch.elapsed());
        assert!(spent < watched * 3 / 2, "{spent:?} of processor time in {watched:?}");
        field.expect_witnesses_to_go_on();
        field.broker.limit_descriptors(4_000);
        drop(crowd);
        let now_begun = metric_now(&field.broker, "pregon_journal_segments_begun_total", "");
        assert!(now_begun > begun, "the journal has begun no segment meanwhile");
        Client::join(&field.broker, Version::V5, "late").expect_silence();
        let mut keeper = Client::connect(&field.broker, &Hello::v5("keeper").resume().expiry(600));
        keeper.expect("the first that was kept", |heard| matches!(heard, Heard::Publish(_)));
        keeper.cut();
        writer.leave();
        Client::join(&field.broker, Version::V5, "keeper").leave();
    });
}

fn one_name(stage: &Stage) {
    stage.open(Options::shards(SHARDS)).attack(|field, _| {
        let sessions = metric_now(&field.broker, "pregon_sessions", "");
        scope(|scope| {
            for side in 0..SIDES {
                let broker = &field.broker;
                scope.spawn(move || {
                    for number in 0..200 {
                        let version = Version::ALL[(side + number) % 3];
                        let mut client =
                            Client::hello(broker, &Hello::new(version, "only-one").will("attacked", "x", 0, false));
                        // Another one may be quicker.
                        match client.hear() {
                            Heard::ConnAck(_, 0, _) if number % 3 == 0 => client.cut(),
                            Heard::ConnAck(_, 0, _) | Heard::Closed | Heard::Disconnect(0x8e, _) => {}
                            other => panic!("neither in nor replaced: {other:?}"),
                        }
                    }
                });
            }
        });
        field.expect_nobody_else();
        let ended = || metric(&field.broker, "pregon_sessions", "") == sessions;
        wait_until("the one session to end", ended);
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// A line each kind of event may write at most so often in a second.
const LINES_PER_SECOND_MAX: usize = 20;

/// Whatever is logged of strangers: at the loudest level that an operator uses in earnest.
fn log(stage: &Stage) {
    stage.open(Options::shards(SHARDS).set("log.level=debug")).attack(|field, _| {
        let (watch, before) = (Stopwatch::start(), field.broker.log().len());
        let mut lines = 0;
        scope(|scope| {
            for side in 0..SIDES {
                let broker = &field.broker;
                scope.spawn(move || (0..500).for_each(|number| shout(broker, side * 500 + number)));
            }
        });
        field.expect_nobody_else();
        let log = field.broker.log();
        let new = &log[before..];
        for line in new.lines() {
            assert!(line.len() < 2_000, "a line of {} bytes", line.len());
            assert!(!line.starts_with("forged"), "a stranger has written a line: {line}");
            lines += 1;
        }
        // A kind of event each for whatever strangers can do wrong, and the seconds that it took.
        let seconds = usize::try_from(watch.elapsed().as_secs()).expect("not for ever") + 2;
        let lines_max = 8 * LINES_PER_SECOND_MAX * seconds;
        assert!(lines <= lines_max, "{lines} lines in {seconds} seconds");
    });
}

/// Something that a log might tell, with names that would like to be lines of it.
fn shout(broker: &Broker, number: usize) {
    let id = format!("a\x1b[31m\u{7f}\u{2028}{number}{}", "x".repeat(900));
    match number % 3 {
        0 => {
            let mut client = Client::hello(broker, &Hello::v5(&id));
            client.send(b"\xff\nforged line\n");
            client.expect_end();
        }
        1 => {
            let mut stream = tcp(broker.address);
            stream.write_all(b"\nforged line\n").expect("the broker takes bytes");
            read_to_end(&mut stream);
        }
        _ => {
            let mut client = Client::hello(broker, &Hello::v311(&id).login("nobody\n", "x"));
            client.send(b"\0\0");
            client.expect_end();
        }
    }
}
