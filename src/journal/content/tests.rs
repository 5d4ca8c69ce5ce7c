//! Records as bytes: what they always were, and what no bytes may do.

use std::sync::Arc;

use super::parts::OTHER_METHOD;
use super::*;
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::change::Standing;
use crate::engine::homes::ShardId;
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::journal::arbitrary::{EPOCH, any_change, change, content_of};
use crate::mqtt::{PacketId, QoS, Topic};

fn session() -> SessionId {
    SessionId::restored(0x0705)
}

fn golden(serial: u64, change: &Change, expected: &[&[u8]]) {
    let expected = expected.concat();
    let mut bytes = Vec::new();
    encode(Serial::new(serial), change, Epoch::new(1_000), &mut bytes);
    assert_eq!(bytes, expected, "{:?} is written otherwise than it always was", Kind::of(change));
    let again = decode(Serial::new(serial), &bytes, Epoch::new(1_000)).unwrap().unwrap();
    bytes.clear();
    encode(Serial::new(serial), &again, Epoch::new(1_000), &mut bytes);
    assert_eq!(bytes, expected);
}

#[test]
fn what_is_noted_of_groups_has_its_bytes() {
    let (share, filter) = (|| Box::from("g"), || Box::from("a/+"));
    let name = &b"\x01ga/+"[..];
    golden(9, &Change::Group { share: share(), filter: filter() }, &[&[26], name]);
    let group = Serial::new(9);
    golden(300, &Change::GroupAgain { group, share: share(), filter: filter() }, &[&[27, 0xa3, 2], name]);
    golden(301, &Change::GroupEnded { share: share(), filter: filter() }, &[&[28], name]);
    golden(11, &Change::GroupQueued { group, body: Serial::new(10) }, &[&[29, 2, 1]]);
    let (copy, body) = (Serial::new(11), Serial::new(10));
    golden(20, &Change::GroupQueuedAgain { copy, group, body }, &[&[30, 9, 11, 10]]);
    golden(12, &Change::GroupSettled { copy }, &[&[31, 1]]);
    let (home, copy) = (ShardId::new(63), Serial::new(1 << 33));
    golden(13, &Change::Assigned { home, copy }, &[&[32, 63, 0x80, 0x80, 0x80, 0x80, 0x20]]);
    golden(14, &Change::Unassigned { home, copy }, &[&[33, 63, 0x80, 0x80, 0x80, 0x80, 0x20]]);
}

#[test]
fn a_shard_that_cannot_be_is_refused() {
    let refused = decode(Serial::new(5), &[32, 64, 1], EPOCH);
    assert!(matches!(refused, Err(RecordError::Field { name: "shard" })), "{refused:?}");
}

#[test]
fn sessions_have_their_bytes() {
    let owner = Identity {
        user: Some("ann".into()),
        method: "password",
        groups: vec!["x".into(), "yz".into()],
        is_superuser: true,
        expires_at: Some(1),
        ..Identity::anonymous()
    };
    let mut standing = Standing {
        client_id: "c1".into(),
        owner: Arc::new(owner),
        expiry_s: 300,
        ends_at: Time::from_millis(24),
        is_connected: false,
    };
    let known = Change::Session { session: session(), standing: Box::new(standing.clone()) };
    golden(9, &known, &[b"\x01\x85\x0e\x06\xac\x02\x80\x08\x02c1\x03ann\x08password\x01x\x02yz"]);
    (standing.owner, standing.expiry_s) = (Arc::new(Identity::anonymous()), u32::MAX);
    (standing.ends_at, standing.is_connected) = (Time::NEVER, true);
    let nobody = Change::Session { session: session(), standing: Box::new(standing) };
    golden(9, &nobody, &[b"\x01\x85\x0e\x01\xff\xff\xff\xff\x0f\0\x02c1\x09anonymous"]);
    golden(9, &Change::SessionEnded { session: session() }, &[b"\x02\x85\x0e"]);
}

#[test]
fn subscriptions_have_their_bytes() {
    let (session, filter): (_, Box<str>) = (session(), "a/+".into());
    let options = Options::new(QoS::ExactlyOnce).with_id(200).with_no_local(true);
    golden(9, &Change::Subscribed { session, filter: filter.clone(), options }, &[b"\x03\x85\x0e\x06\xc8\x01a/+"]);
    golden(9, &Change::Unsubscribed { session, filter: filter.clone() }, &[b"\x04\x85\x0ea/+"]);
    let terms = Terms { qos: QoS::AtLeastOnce, subscription_id: 0, retain_as_published: true };
    let joined = Change::Joined { session, share: "s1".into(), filter: filter.clone(), terms };
    golden(9, &joined, &[b"\x05\x85\x0e\x05\0\x02s1a/+"]);
    golden(9, &Change::Left { session, share: "s1".into(), filter }, &[b"\x06\x85\x0e\x02s1a/+"]);
}

#[test]
fn wills_have_their_bytes() {
    let mut will = Will::restored(Topic::parse("a/b").unwrap(), b"\x01\x01", b"gone");
    let plain = Change::Will { session: session(), will: Box::new(will.clone()) };
    golden(9, &plain, &[b"\x07\x85\x0e\0\0\0\x03a/b\x02\x01\x01gone"]);
    (will.qos, will.retain, will.delay_s) = (QoS::AtLeastOnce, true, 60);
    (will.due_at, will.message_expiry_s) = (Time::from_millis(24), Some(7));
    let full = Change::Will { session: session(), will: Box::new(will) };
    golden(9, &full, &[b"\x07\x85\x0e\x0d\x3c\x80\x08\x07\x03a/b\x02\x01\x01gone"]);
    golden(9, &Change::WillGone { session: session() }, &[b"\x08\x85\x0e"]);
}

#[test]
fn messages_have_their_bytes() {
    let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::AtLeastOnce, session());
    let message = Message::restored(&publication);
    golden(9, &Change::Body { message }, &[b"\x09\x01\x85\x0e\x03a/b\x02\x01\x01hello"]);
    (publication.retain, publication.expires) = (true, Time::from_millis(24));
    let message = Message::restored(&publication);
    golden(9, &Change::Body { message }, &[b"\x09\x0d\x80\x08\x85\x0e\x03a/b\x02\x01\x01hello"]);
    let body = Serial::new(100);
    golden(300, &Change::Retained { body, user: None }, &[b"\x11\xc8\x01"]);
    golden(300, &Change::Retained { body, user: Some("ann".into()) }, &[b"\x25\xc8\x01ann"]);
    golden(300, &Change::Retained { body, user: Some("".into()) }, &[b"\x25\xc8\x01"]);
    golden(9, &Change::RetainedGone { topic: "a/b".into() }, &[b"\x12a/b"]);
}

#[test]
fn copies_have_their_bytes() {
    let (session, copy, id) = (session(), Serial::new(8), PacketId::new(200).unwrap());
    let ids = SubscriptionIds::of(&[1, 200]);
    let queued = Change::Queued { session, body: Serial::new(7), qos: QoS::ExactlyOnce, retain: true, ids };
    golden(9, &queued, &[b"\x0a\x85\x0e\x02\x06\x01\xc8\x01"]);
    golden(9, &Change::Sent { session, copy, id }, &[b"\x0b\x85\x0e\x01\xc8\x01"]);
    golden(9, &Change::Settled { session, copy }, &[b"\x0c\x85\x0e\x01"]);
    golden(9, &Change::Taken { session, copy, id }, &[b"\x0d\x85\x0e\x01\xc8\x01"]);
    golden(9, &Change::Completed { session, id }, &[b"\x0e\x85\x0e\xc8\x01"]);
    golden(9, &Change::Incoming { session, id }, &[b"\x0f\x85\x0e\xc8\x01"]);
    golden(9, &Change::Released { session, id }, &[b"\x10\x85\x0e\xc8\x01"]);
    golden(9, &Change::Passed { session, id }, &[b"\x15\x85\x0e\xc8\x01"]);
    golden(9, &Change::Forgotten { session, id }, &[b"\x16\x85\x0e\xc8\x01"]);
    golden(300, &Change::Fanout { body: Serial::new(100) }, &[b"\x13\xc8\x01"]);
    golden(300, &Change::FannedOut { body: Serial::new(100) }, &[b"\x14\xc8\x01"]);
}

#[test]
fn random_changes_of_every_kind_come_back_unchanged() {
    let mut random = Random::from_seed(1);
    for (kind, round) in Kind::ALL.into_iter().flat_map(|kind| (0..400).map(move |round| (kind, round))) {
        let serial = Serial::new(2 + (random.next_u64() >> (round % 62) & (u64::MAX >> 1)));
        let bytes = content_of(serial, &change(kind, serial, &mut random));
        let again = decode(serial, &bytes, EPOCH).unwrap().unwrap();
        assert_eq!(Kind::of(&again), kind);
        assert_eq!(content_of(serial, &again), bytes);
    }
}

#[test]
fn a_change_says_after_a_restart_what_it_said_before() {
    let mut publication = Publication::new("a/b", b"\x01\x01", b"hello", QoS::ExactlyOnce, session());
    (publication.retain, publication.expires) = (true, Time::from_millis(5_000));
    let before = Change::Body { message: Message::restored(&publication) };
    let bytes = content_of(Serial::new(9), &before);
    let later = Epoch::new(EPOCH.to_wall(Time::from_millis(2_000)));
    let Ok(Some(Change::Body { message })) = decode(Serial::new(9), &bytes, later) else { panic!("no body") };
    assert_eq!((message.topic(), message.forwarded(), message.payload()), ("a/b", &b"\x01\x01"[..], &b"hello"[..]));
    assert_eq!((message.qos, message.retain, message.origin), (QoS::ExactlyOnce, true, session()));
    assert_eq!(message.expires, Time::from_millis(3_000));
    let latest = Epoch::new(EPOCH.to_wall(Time::from_millis(5_001)));
    let Ok(Some(Change::Body { message })) = decode(Serial::new(9), &bytes, latest) else { panic!("no body") };
    assert!(message.has_expired(Time::ZERO));
}

#[test]
fn a_way_of_proving_that_nobody_knows_is_called_restored() {
    let mut bytes = b"\x01\x85\x0e\0\0\0\x02c1\x0ecarrier pigeon".to_vec();
    let Ok(Some(Change::Session { standing, .. })) = decode(Serial::new(9), &bytes, EPOCH) else { panic!() };
    assert_eq!(standing.owner.method, OTHER_METHOD);
    bytes.truncate(9);
    bytes.extend_from_slice(b"\x0bcertificate");
    let Ok(Some(Change::Session { standing, .. })) = decode(Serial::new(9), &bytes, EPOCH) else { panic!() };
    assert_eq!((standing.owner.method, &*standing.client_id), ("certificate", "c1"));
}

#[test]
fn an_unknown_kind_is_passed_over_only_if_it_says_so() {
    assert!(matches!(decode(Serial::new(9), b"\xffwhatever", EPOCH), Ok(None)));
    let outcome = decode(Serial::new(9), b"\x7fwhatever", EPOCH).map(|_| ());
    assert_eq!(outcome, Err(RecordError::UnknownKind { kind: 0x7f }));
    assert_eq!(decode(Serial::new(9), b"", EPOCH).map(|_| ()), Err(RecordError::Truncated));
}

#[test]
fn fields_that_make_no_sense_are_refused() {
    for (bytes, name) in [
        (&b"\x0c\x05\x00"[..], "earlier change"),
        (b"\x0c\x05\x0a", "earlier change"),
        (b"\x0a\x05\x01\x00", "quality of service"),
        (b"\x0a\x05\x01\x03", "quality of service"),
        (b"\x0a\x05\x01\x09", "flags"),
        (b"\x0a\x05\x01\x01\x80\x80\x80\x80\x01", "subscription identifier"),
        (b"\x0e\x05\x00", "packet identifier"),
        (b"\x03\x05\x00\x00a/#/b", "filter"),
        (b"\x03\x05\x00\x00", "filter"),
        (b"\x12a/+", "topic"),
        (b"\x25\x01\xff", "user"),
        (b"\x09\x00\x05\x01#\x00", "topic"),
        (b"\x01\x05\x08\x00\x00\x00\x00", "flags"),
    ] {
        let outcome = decode(Serial::new(9), bytes, EPOCH).map(|_| ());
        assert_eq!(outcome, Err(RecordError::Field { name }), "{bytes:x?}");
    }
    assert_eq!(decode(Serial::new(9), b"\x02\x05\x00", EPOCH).map(|_| ()), Err(RecordError::Trailing));
}

#[test]
fn no_bytes_at_all_make_it_panic() {
    let mut random = Random::from_seed(2);
    let mut decoded = 0;
    for _ in 0..100_000 {
        let serial = Serial::new(random.range(2, 1_000));
        let mut bytes = content_of(serial, &any_change(serial, &mut random));
        bytes.truncate(1 + random.index(bytes.len().min(200)));
        for _ in 0..random.index(4) {
            let at = random.index(bytes.len());
            bytes[at] = random.next_u64().to_le_bytes()[0];
        }
        decoded += usize::from(decode(serial, &bytes, EPOCH).is_ok());
    }
    assert!(decoded > 1_000, "most of them get past the first field: {decoded}");
}

#[test]
fn the_estimate_is_never_far_off() {
    let mut random = Random::from_seed(3);
    for _ in 0..10_000 {
        let serial = Serial::new(random.range(2, 1 << 40));
        let change = any_change(serial, &mut random);
        let (estimate, len) = (estimated_len(&change), content_of(serial, &change).len());
        assert!(len <= estimate + 160 && estimate <= len + 24, "{:?}: {estimate} for {len}", Kind::of(&change));
    }
}
