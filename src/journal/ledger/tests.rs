//! What changes come to, told as stories of two sessions.

use std::sync::Arc;

use super::*;
use crate::engine::auth::identity::Identity;
use crate::engine::homes::ShardId;
use crate::engine::message::Message;
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::subscriptions::entry::Options;
use crate::mqtt::QoS;

const ONE: SessionId = SessionId::restored(0x101);
const TWO: SessionId = SessionId::restored(0x201);

/// A ledger of two sessions. Each record has ten bytes, so that live bytes are ten times the records that are needed.
struct Scene {
    ledger: Ledger,
    last: u64,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { ledger: Ledger::default(), last: 0 };
        for (session, client_id) in [(ONE, "one"), (TWO, "two")] {
            let owner = Arc::new(Identity::anonymous());
            let standing =
                Standing { client_id: client_id.into(), owner, expiry_s: 60, ends_at: Time::NEVER, is_connected: true };
            scene.take(Change::Session { session, standing: Box::new(standing) });
        }
        scene
    }

    fn take(&mut self, change: Change) -> Serial {
        self.last += 1;
        self.ledger.take(Serial::new(self.last), change, 10);
        Serial::new(self.last)
    }

    fn body(&mut self, topic: &str) -> Serial {
        let message = Message::copied(topic, b"x", QoS::ExactlyOnce, ONE);
        self.take(Change::Body { message })
    }

    fn queue(&mut self, session: SessionId, body: Serial) -> Serial {
        let ids = SubscriptionIds::of(&[]);
        self.take(Change::Queued { session, body, qos: QoS::ExactlyOnce, retain: false, ids })
    }

    fn account(&self, session: SessionId) -> &Account {
        &self.ledger.sessions[&session]
    }

    fn needed(&self) -> u64 {
        self.ledger.live_bytes() / 10
    }
}

#[test]
fn a_message_is_needed_until_its_last_copy_is_settled() {
    let mut scene = Scene::new();
    let body = scene.body("a");
    let (first, second) = (scene.queue(ONE, body), scene.queue(TWO, body));
    scene.body("nobody wants it");
    assert_eq!(scene.needed(), 2 + 3, "sessions, the message and its copies");
    scene.take(Change::Settled { session: ONE, copy: first });
    assert_eq!((scene.account(ONE).queued_count(), scene.needed()), (0, 4));
    scene.take(Change::Settled { session: TWO, copy: second });
    scene.take(Change::Settled { session: TWO, copy: second });
    assert_eq!(scene.needed(), 2);
}

#[test]
fn a_copy_of_quality_2_is_in_flight_until_it_is_completed() {
    let id = PacketId::new(7).unwrap();
    let mut scene = Scene::new();
    let body = scene.body("a");
    let copy = scene.queue(ONE, body);
    let counts = |scene: &Scene| (scene.account(ONE).queued_count(), scene.account(ONE).inflight_count());
    assert_eq!(counts(&scene), (1, 0));
    scene.take(Change::Sent { session: ONE, copy, id });
    assert_eq!(counts(&scene), (0, 1));
    scene.take(Change::Taken { session: ONE, copy, id });
    assert_eq!(counts(&scene), (0, 1));
    scene.take(Change::Completed { session: ONE, id });
    assert_eq!((counts(&scene), scene.needed()), ((0, 0), 2));
}

#[test]
fn what_is_told_again_is_the_same_and_needs_the_newer_record() {
    let mut scene = Scene::new();
    let body = scene.body("a");
    let copy = scene.queue(ONE, body);
    scene.body("newer");
    let message = || Message::copied("a", b"x", QoS::ExactlyOnce, ONE);
    let again = |copy| {
        let ids = SubscriptionIds::of(&[]);
        Change::QueuedAgain { copy, session: ONE, body, qos: QoS::ExactlyOnce, retain: false, ids }
    };
    scene.ledger.take(Serial::new(100), Change::BodyAgain { body, message: message() }, 50);
    scene.ledger.take(Serial::new(101), again(copy), 30);
    assert_eq!((scene.account(ONE).queued_count(), scene.ledger.live_bytes()), (1, 20 + 50 + 30));
    scene.take(Change::Settled { session: ONE, copy });
    scene.take(again(copy));
    assert_eq!(scene.account(ONE).queued_count(), 1, "it may be named until the sweep is over");
    scene.take(Change::Settled { session: ONE, copy });
    scene.take(Change::Swept { sessions: 2 });
    scene.take(again(copy));
    assert_eq!((scene.account(ONE).queued_count(), scene.needed()), (0, 2));
}

#[test]
fn a_copy_is_known_that_only_a_sweep_tells_of() {
    let mut scene = Scene::new();
    let (body, copy) = (Serial::new(7), Serial::new(8));
    let message = Message::copied("a", b"x", QoS::ExactlyOnce, ONE);
    let ids = SubscriptionIds::of(&[]);
    scene.take(Change::BodyAgain { body, message });
    scene.take(Change::QueuedAgain { copy, session: ONE, body, qos: QoS::ExactlyOnce, retain: false, ids });
    scene.take(Change::Swept { sessions: 2 });
    assert_eq!((scene.account(ONE).queued_count(), scene.needed()), (1, 2 + 2));
}

#[test]
fn a_newer_retained_message_takes_the_place_of_the_one_before() {
    let mut scene = Scene::new();
    for (topic, user) in [("a", None), ("b", None), ("a", Some("ann".into()))] {
        let body = scene.body(topic);
        scene.take(Change::Retained { body, user });
    }
    assert_eq!((scene.ledger.retained_count(), scene.needed()), (2, 2 + 4));
    scene.take(Change::RetainedGone { topic: "a".into() });
    scene.take(Change::RetainedGone { topic: "never seen".into() });
    assert_eq!((scene.ledger.retained_count(), scene.needed()), (1, 2 + 2));
}

#[test]
fn a_session_takes_what_it_owns_with_it() {
    let id = PacketId::new(7).unwrap();
    let filter = || Box::from("a/+");
    let mut scene = Scene::new();
    let options = Options::new(QoS::AtLeastOnce);
    scene.take(Change::Subscribed { session: ONE, filter: filter(), options });
    scene.take(Change::Subscribed { session: ONE, filter: filter(), options });
    scene.take(Change::Incoming { session: ONE, id });
    let body = scene.body("a");
    scene.queue(ONE, body);
    scene.take(Change::Fanout { body });
    scene.take(Change::Passed { session: TWO, id });
    assert_eq!((scene.account(ONE).subscriptions().count(), scene.account(ONE).incoming_count()), (1, 1));
    assert_eq!(scene.needed(), 2 + 1 + 1 + 2 + 1 + 1);
    scene.take(Change::SessionEnded { session: ONE });
    assert_eq!(scene.needed(), 1 + 1 + 1 + 1, "the other session, its passage, and the message that is owed to all");
    scene.take(Change::FannedOut { body });
    scene.take(Change::Forgotten { session: TWO, id });
    scene.queue(ONE, body);
    assert_eq!(scene.needed(), 1);
    assert_eq!(scene.ledger.sessions().map(|(_, account)| account.client_id()).collect::<Vec<_>>(), ["two"]);
}

#[test]
fn what_a_group_is_owed_is_needed_until_it_is_settled_or_the_group_ends() {
    let mut scene = Scene::new();
    let group = scene.take(Change::Group { share: "g".into(), filter: "t".into() });
    let first = scene.body("first");
    let copy = scene.take(Change::GroupQueued { group, body: first });
    let second = scene.body("second");
    let other = scene.take(Change::GroupQueued { group, body: second });
    assert_eq!(scene.needed(), 2 + 1 + 4, "two sessions, a group, two messages and their copies");
    assert_eq!(scene.ledger.groups().collect::<Vec<_>>(), [("g", "t", 2)]);
    scene.take(Change::GroupQueuedAgain { copy, group, body: first });
    scene.take(Change::GroupSettled { copy });
    assert_eq!(scene.needed(), 2 + 1 + 2);
    scene.take(Change::Assigned { home: ShardId::new(1), copy: other });
    assert_eq!(scene.needed(), 2 + 1 + 2 + 1);
    scene.take(Change::Unassigned { home: ShardId::new(1), copy: other });
    scene.take(Change::GroupEnded { share: "g".into(), filter: "t".into() });
    assert_eq!(scene.needed(), 2);
    scene.take(Change::GroupQueued { group, body: second });
    assert_eq!(scene.needed(), 2, "nobody is owed anything by a number that has ended");
}
