//! The journals that lie in `tests/fixtures`, the one of the first format before all: they are opened for ever.
//!
//! When something new comes into the format, these stay as they are and still have to be read; what is new gets a folder of its own, which
//! `PREGON_FIXTURES=journal-9 cargo test --lib journal::fixture_tests` fills.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::arbitrary::{EPOCH, content_of};
use super::group::Group;
use super::kind::Kind;
use super::place::SegmentNumber;
use super::testing::{ID, Journal, replay};
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::ShardId;
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::{PacketId, QoS, Topic};

const SEGMENT_BYTES: u64 = 16 << 10;

fn session(number: u64) -> SessionId {
    SessionId::restored(number << 8 | 1)
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn stands(session: SessionId, client_id: &str, user: Option<&str>, ends_at: Time) -> Change {
    let owner = match user {
        Some(name) => Identity {
            groups: vec!["staff".into(), "night".into()],
            is_superuser: true,
            ..Identity::user(name, "password")
        },
        None => Identity::anonymous(),
    };
    let is_connected = ends_at.is_never();
    let owner = Arc::new(owner);
    let standing = Standing { client_id: client_id.into(), owner, expiry_s: 3_600, ends_at, is_connected };
    Change::Session { session, standing: Box::new(standing) }
}

fn message(topic: &str, payload: &[u8], expires: Time) -> Message {
    let mut publication = Publication::new(topic, b"\x26\0\x01k\0\x01v", payload, QoS::ExactlyOnce, session(7));
    (publication.retain, publication.expires) = (true, expires);
    Message::restored(&publication)
}

fn leaves(session: SessionId, delay_s: u32, message_expiry_s: Option<u32>) -> Change {
    let mut will = Will::restored(Topic::parse("last/words").unwrap(), b"\x01\x01", "adieu, ärgerlich".as_bytes());
    (will.qos, will.retain, will.delay_s) = (QoS::AtLeastOnce, true, delay_s);
    (will.due_at, will.message_expiry_s) = (Time::from_millis(90_000), message_expiry_s);
    Change::Will { session, will: Box::new(will) }
}

/// A journal that lies in the repository.
struct Fixture {
    folder: &'static str,
    changes: fn() -> Vec<(Serial, Change)>,
}

/// In the order in which they were kept. What is there is never written anew; what comes later gets a folder of its own.
const FIXTURES: [Fixture; 3] = [
    Fixture { folder: "journal-1", changes: first },
    Fixture { folder: "journal-2", changes: second },
    Fixture { folder: "journal-3", changes: third },
];

/// The kinds of the first days, with and without what may be left out, and references over one byte, two and three.
fn first() -> Vec<(Serial, Change)> {
    let options = Options::new(QoS::AtLeastOnce).with_id(268_435_455).with_retain_as_published(true);
    let terms = Terms { qos: QoS::ExactlyOnce, subscription_id: 5, retain_as_published: true };
    let (one, two) = (session(1), session(70_000));
    let filter: Box<str> = "hall/+/temperature".into();
    let queued = |session, body, ids: &[u32]| {
        let ids = SubscriptionIds::of(ids);
        Change::Queued { session, body: Serial::new(body), qos: QoS::ExactlyOnce, retain: true, ids }
    };
    let queued_again = |copy| {
        let (copy, session, body) = (Serial::new(copy), one, Serial::new(15));
        Change::QueuedAgain {
            copy,
            session,
            body,
            qos: QoS::AtLeastOnce,
            retain: false,
            ids: SubscriptionIds::of(&[300]),
        }
    };
    let copy = Serial::new(8);
    vec![
        (1, stands(one, "sensor-1", None, Time::NEVER)),
        (2, stands(two, "größe-2", Some("ann"), Time::from_millis(60_000))),
        (3, Change::Subscribed { session: one, filter: filter.clone(), options }),
        (4, Change::Joined { session: two, share: "crew".into(), filter: filter.clone(), terms }),
        (5, leaves(one, 0, None)),
        (6, leaves(two, 30, Some(600))),
        (7, Change::Body { message: message("hall/1/temperature", b"21.5", Time::from_millis(100_000)) }),
        (8, queued(one, 7, &[268_435_455])),
        (9, queued(two, 7, &[])),
        (10, Change::Sent { session: one, copy, id: id(1) }),
        (11, Change::Taken { session: one, copy, id: id(1) }),
        (12, Change::Completed { session: one, id: id(1) }),
        (13, Change::Incoming { session: one, id: id(65_535) }),
        (14, Change::Retained { body: Serial::new(7), user: None }),
        (15, Change::Body { message: message("large", &[0xa5; 9_000], Time::NEVER) }),
        (16, queued(one, 15, &[1, 200, 268_435_455])),
        (17, Change::Body { message: message("larger than a segment", &[0x5a; 20_000], Time::NEVER) }),
        (18, Change::Fanout { body: Serial::new(17) }),
        (19, Change::FannedOut { body: Serial::new(17) }),
        (20, Change::Passed { session: two, id: id(300) }),
        (21, Change::Forgotten { session: two, id: id(300) }),
        (200, Change::Released { session: one, id: id(65_535) }),
        (201, Change::WillGone { session: one }),
        (202, Change::Left { session: two, share: "crew".into(), filter: filter.clone() }),
        (203, Change::Unsubscribed { session: one, filter }),
        (300, Change::BodyAgain { body: Serial::new(15), message: message("large", &[0xa5; 300], Time::NEVER) }),
        (301, queued_again(16)),
        (302, Change::Swept { sessions: 70_000 }),
        (20_000, Change::Settled { session: two, copy: Serial::new(9) }),
        (20_001, Change::RetainedGone { topic: "hall/1/temperature".into() }),
        (5_000_000_000, Change::SessionEnded { session: two }),
    ]
    .into_iter()
    .map(|(serial, change)| (Serial::new(serial), change))
    .collect()
}

/// What shared groups are owed, wills that have numbers, and messages in doubt.
fn second() -> Vec<(Serial, Change)> {
    let (share, filter): (Box<str>, Box<str>) = ("crew".into(), "hall/+/temperature".into());
    let (group, body) = (Serial::new(1), Serial::new(2));
    let mut will = Will::restored(Topic::parse("last/words").unwrap(), &[], b"adieu");
    will.number = session(70_000);
    let (home, copy) = (ShardId::new(63), Serial::new(5_000_000_000));
    vec![
        (1, Change::Group { share: share.clone(), filter: filter.clone() }),
        (2, Change::Body { message: message("hall/1/temperature", b"21.5", Time::NEVER) }),
        (3, Change::GroupQueued { group, body }),
        (4, Change::GroupAgain { group, share: share.clone(), filter: filter.clone() }),
        (300, Change::GroupQueuedAgain { copy: Serial::new(3), group, body }),
        (301, Change::Assigned { home, copy }),
        (302, Change::Unassigned { home, copy }),
        (303, Change::GroupSettled { copy: Serial::new(3) }),
        (304, Change::GroupEnded { share, filter }),
        (305, Change::Will { session: session(1), will: Box::new(will) }),
        (306, Change::Bequest { number: session(70_000), body }),
        (307, Change::BequestOver { number: session(70_000) }),
        (20_000, Change::Doubtful { session: session(1), id: id(300) }),
    ]
    .into_iter()
    .map(|(serial, change)| (Serial::new(serial), change))
    .collect()
}

/// Retained messages of which it is known whose they are.
fn third() -> Vec<(Serial, Change)> {
    let by = |body, user: &str| Change::Retained { body: Serial::new(body), user: Some(user.into()) };
    vec![
        (1, Change::Body { message: message("hall/1/temperature", b"21.5", Time::NEVER) }),
        (2, by(1, "größe")),
        (300, Change::Body { message: message("hall/2/temperature", b"22.5", Time::NEVER) }),
        (600, by(300, "")),
    ]
    .into_iter()
    .map(|(serial, change)| (Serial::new(serial), change))
    .collect()
}

/// The changes in groups, closed with an empty one.
fn written(fixture: &Fixture) -> Journal {
    let mut journal = Journal::new(SEGMENT_BYTES);
    let changes = (fixture.changes)();
    for group in changes.chunks(7) {
        journal.commit(group);
    }
    journal.append(&mut Group::new(ID, EPOCH));
    journal
}

fn folder(fixture: &Fixture) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture.folder)
}

fn kept(fixture: &Fixture) -> BTreeMap<SegmentNumber, Vec<u8>> {
    let entries = fs::read_dir(folder(fixture)).expect("the fixture is a folder of the repository");
    let read = |path: PathBuf| {
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        (SegmentNumber::new(number.expect("a segment is named by its number")), fs::read(path).unwrap())
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn journals_of_earlier_days_are_read_for_ever() {
    for fixture in &FIXTURES {
        let kept = kept(fixture);
        let files: Vec<_> = kept.iter().map(|(number, file)| (*number, &file[..])).collect();
        let (found, report) = replay(&files);
        let expected = (fixture.changes)();
        assert_eq!(found.len(), expected.len());
        for (one, (serial, change)) in found.iter().zip(&expected) {
            assert_eq!(one.serial, *serial);
            assert_eq!(content_of(*serial, &one.change), content_of(*serial, change), "{serial:?} {change:?}");
        }
        assert!(report.is_clean() && report.tail.is_some(), "{report:?}");
    }
}

#[test]
fn every_kind_is_in_a_journal_that_was_kept() {
    let known: BTreeSet<Kind> =
        FIXTURES.iter().flat_map(|fixture| (fixture.changes)()).map(|(_, change)| Kind::of(&change)).collect();
    assert_eq!(known, Kind::ALL.into_iter().collect());
}

#[test]
fn a_journal_is_written_as_the_one_that_was_kept() {
    for fixture in &FIXTURES {
        let written = written(fixture).files;
        if std::env::var("PREGON_FIXTURES").is_ok_and(|word| word == fixture.folder) {
            for (number, file) in &written {
                fs::write(folder(fixture).join(format!("{}.segment", number.get())), file).unwrap();
            }
        }
        let kept = kept(fixture);
        assert!(written.keys().eq(kept.keys()));
        for (number, file) in &written {
            let differs = file.iter().zip(&kept[number]).position(|(now, then)| now != then);
            assert_eq!((differs, file.len()), (None, kept[number].len()), "{number:?} would be written otherwise");
        }
    }
}
