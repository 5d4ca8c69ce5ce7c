//! What the standard and the operator expect of a shared group, one behaviour a test.

use super::group::LOOKAHEAD_MAX;
use super::shared::{Accepted, Bounds, Departure, Dispatch, Group, GroupKey, Groups, MemberId, Terms};
use crate::base::hash::Seed;
use crate::base::payload::Chunks;
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::homes::ShardId;
use crate::engine::limits::{Limits, Strategy};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::stats::DropReason;
use crate::mqtt::version::QoS;

const ALICE: u64 = 1;
const BOB: u64 = 2;

struct Scene {
    groups: Groups,
    key: GroupKey,
    strategy: Strategy,
    expired: usize,
    now: Time,
}

impl Scene {
    /// A group with these members, all of them online with this window.
    fn new(members: &[(u64, QoS)], window: u16) -> Self {
        let mut groups = Groups::new(Seed::new(3));
        let keys: Vec<_> = members.iter().map(|(n, qos)| join(&mut groups, *n, *qos, Some(window))).collect();
        Self { groups, key: keys[0], strategy: Strategy::RoundRobin, expired: 0, now: Time::ZERO }
    }

    fn group(&mut self) -> &mut Group {
        self.groups.get_mut(self.key).expect("the group lives")
    }

    fn publish(&mut self, topic: &str, qos: QoS) -> Accepted {
        self.publish_until(topic, qos, Time::NEVER)
    }

    fn publish_until(&mut self, topic: &str, qos: QoS, expires: Time) -> Accepted {
        let bounds = Bounds::of(&Limits::default());
        self.group().accept(message(topic, qos, expires), &bounds)
    }

    fn dispatch(&mut self) -> Vec<Dispatch> {
        let (mut out, mut random) = (Vec::new(), Random::from_seed(5));
        let (now, strategy, mut expired) = (self.now, self.strategy, 0);
        self.group().dispatch(now, strategy, &mut random, &mut out, &mut expired);
        self.expired += expired;
        self.groups.check();
        out
    }

    /// Who gets what, as text.
    fn dispatched(&mut self) -> Vec<String> {
        self.dispatch().iter().map(|one| format!("{} {}", one.member.session, one.message.topic())).collect()
    }
}

fn id(session: u64) -> MemberId {
    MemberId { shard: ShardId::new(0), session, id: SessionId::new(ShardId::new(0), session) }
}

fn terms(qos: QoS) -> Terms {
    Terms { qos, subscription_id: 0, retain_as_published: false }
}

fn join(groups: &mut Groups, session: u64, qos: QoS, window: Option<u16>) -> GroupKey {
    groups.join("g", "t/#", id(session), terms(qos), window, 100_000).expect("there is room").group
}

fn message(topic: &str, qos: QoS, expires: Time) -> Message {
    let mut publication = Publication::new(topic, &[], b"payload", qos, SessionId::BROKER);
    publication.expires = expires;
    publication.keep(&mut Chunks::new(1 << 10, 1)).clone()
}

#[test]
fn each_message_goes_to_one_member_and_no_member_goes_without() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 10);
    for topic in ["a", "b", "c"] {
        assert_eq!(scene.publish(topic, QoS::AtLeastOnce), Accepted::Queued);
    }
    assert_eq!(scene.dispatched(), ["1 a", "2 b", "1 c"]);
    assert_eq!(scene.group().copies(), 3);
}

#[test]
fn each_member_gets_its_own_quality_of_service() {
    // [MQTT-4.8.2-3]
    let mut scene = Scene::new(&[(ALICE, QoS::AtMostOnce), (BOB, QoS::ExactlyOnce)], 1);
    for _ in 0..2 {
        assert_eq!(scene.publish("a", QoS::AtLeastOnce), Accepted::Queued);
    }
    let sent: Vec<_> = scene.dispatch().iter().map(|one| (one.member.session, one.qos, one.delivery == 0)).collect();
    assert_eq!(sent, [(ALICE, QoS::AtMostOnce, true), (BOB, QoS::AtLeastOnce, false)]);
    assert_eq!(scene.group().outstanding_count(), 1);
}

#[test]
fn a_refused_message_goes_to_nobody_else() {
    // [MQTT-4.8.2-6]
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 1);
    assert_eq!(scene.publish("a", QoS::AtLeastOnce), Accepted::Queued);
    let sent = scene.dispatch();
    assert!(scene.group().done(sent[0].delivery));
    assert!(!scene.group().give_back(sent[0].delivery), "it is settled");
    assert!(scene.dispatch().is_empty());
    assert_eq!(scene.group().copies(), 0);
}

#[test]
fn an_ended_session_passes_on_qos_1_and_never_qos_2() {
    // [MQTT-4.8.2-5]
    let mut scene = Scene::new(&[(ALICE, QoS::ExactlyOnce)], 10);
    for (topic, qos) in [("one", QoS::AtLeastOnce), ("two", QoS::ExactlyOnce), ("three", QoS::AtLeastOnce)] {
        assert_eq!(scene.publish(topic, qos), Accepted::Queued);
    }
    assert_eq!(scene.dispatch().len(), 3);
    join(&mut scene.groups, BOB, QoS::ExactlyOnce, Some(10));
    let left = scene.groups.leave(scene.key, id(ALICE), Departure::SessionEnded);
    assert_eq!((left.is_known, left.messages_back, left.discarded, left.group_gone), (true, 2, 1, false));
    let again = scene.dispatch();
    assert!(again.iter().all(|one| one.is_redelivery && one.member == id(BOB)));
    assert_eq!(again.iter().map(|one| one.message.topic()).collect::<Vec<_>>(), ["one", "three"]);
}

#[test]
fn what_a_member_was_sent_it_completes_after_it_unsubscribed() {
    // [MQTT-3.10.4-3]
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 10);
    assert_eq!(scene.publish("a", QoS::AtLeastOnce), Accepted::Queued);
    let sent = scene.dispatch();
    let left = scene.groups.leave(scene.key, id(ALICE), Departure::Unsubscribed);
    assert_eq!((left.is_known, left.messages_back), (true, 0));
    assert_eq!((scene.group().member_count(), scene.group().outstanding_count()), (1, 1));
    assert!(!scene.groups.leave(scene.key, id(ALICE), Departure::Unsubscribed).is_known, "it has left already");
    assert!(scene.group().done(sent[0].delivery));
    scene.groups.check();
    assert_eq!(scene.group().copies(), 0);
}

#[test]
fn a_member_that_comes_back_still_holds_what_it_was_sent() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 1);
    for topic in ["a", "b", "c"] {
        assert_eq!(scene.publish(topic, QoS::AtLeastOnce), Accepted::Queued);
    }
    assert_eq!(scene.dispatch().len(), 2);
    let _known = scene.groups.leave(scene.key, id(ALICE), Departure::Unsubscribed);
    join(&mut scene.groups, ALICE, QoS::AtLeastOnce, Some(1));
    assert!(scene.dispatch().is_empty(), "its window is still full");
}

#[test]
fn the_last_member_takes_all_that_waits_with_it() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce)], 1);
    for topic in ["a", "b", "c"] {
        assert_eq!(scene.publish(topic, QoS::AtLeastOnce), Accepted::Queued);
    }
    let sent = scene.dispatch();
    let left = scene.groups.leave(scene.key, id(ALICE), Departure::Unsubscribed);
    assert_eq!((left.ended, left.let_go, left.group_gone), (2, 1, true));
    assert!(scene.groups.is_empty() && scene.groups.find("g", "t/#").is_none());
    let old = scene.key;
    scene.key = join(&mut scene.groups, ALICE, QoS::AtLeastOnce, Some(10));
    assert!(scene.groups.get(old).is_none(), "an old key does not lead to the new group");
    assert!(!scene.group().done(sent[0].delivery));
    assert!(scene.dispatch().is_empty(), "nothing old is delivered");
}

#[test]
fn members_that_are_away_are_not_chosen_and_what_waits_stays() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 10);
    assert!(scene.groups.presence(scene.key, id(ALICE), None));
    for topic in ["a", "b"] {
        assert_eq!(scene.publish(topic, QoS::AtLeastOnce), Accepted::Queued);
    }
    assert_eq!(scene.dispatched(), ["2 a", "2 b"]);
    assert!(scene.groups.presence(scene.key, id(BOB), None));
    assert_eq!(scene.publish("c", QoS::AtLeastOnce), Accepted::Queued);
    assert_eq!(scene.publish("d", QoS::AtMostOnce), Accepted::Refused(DropReason::Offline));
    assert!(scene.dispatch().is_empty());
    assert!(scene.groups.presence(scene.key, id(ALICE), Some(10)));
    assert_eq!(scene.dispatched(), ["1 c"]);
}

#[test]
fn what_comes_back_goes_out_first_and_in_its_old_order() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce)], 3);
    for topic in ["a", "b", "c", "d", "e"] {
        assert_eq!(scene.publish(topic, QoS::AtLeastOnce), Accepted::Queued);
    }
    let sent = scene.dispatch();
    for one in [&sent[2], &sent[0], &sent[1]] {
        assert!(scene.group().give_back(one.delivery));
    }
    assert_eq!(scene.dispatched(), ["1 a", "1 b", "1 c"]);
}

#[test]
fn a_message_whose_time_is_over_is_not_sent() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce)], 10);
    assert_eq!(scene.publish_until("a", QoS::AtLeastOnce, Time::from_millis(5)), Accepted::Queued);
    assert_eq!(scene.publish("b", QoS::AtLeastOnce), Accepted::Queued);
    scene.now = Time::from_millis(5);
    assert_eq!(scene.dispatched(), ["1 b"]);
    assert_eq!(scene.expired, 1);
}

#[test]
fn a_key_whose_owner_is_full_waits_and_others_go_on() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], 1);
    scene.strategy = Strategy::HashTopic;
    for n in 0..40 {
        assert_eq!(scene.publish(&format!("t/{n}"), QoS::AtLeastOnce), Accepted::Queued);
    }
    let first = scene.dispatch();
    assert_eq!(first.len(), 2, "each has room for one");
    let alices = first.iter().find(|one| one.member == id(ALICE)).expect("she owns some of forty topics");
    for _ in 0..3 {
        assert!(scene.dispatch().is_empty(), "what is hers or his waits");
    }
    assert!(scene.group().done(alices.delivery));
    let next = scene.dispatch();
    assert_eq!((next.len(), next[0].member), (1, id(ALICE)), "a full member holds up only what it owns");
}

#[test]
fn looking_past_a_full_member_has_an_end() {
    let mut scene = Scene::new(&[(ALICE, QoS::AtLeastOnce), (BOB, QoS::AtLeastOnce)], u16::MAX);
    scene.strategy = Strategy::HashTopic;
    assert_eq!(scene.publish("t/x", QoS::AtLeastOnce), Accepted::Queued);
    let owner = scene.dispatch()[0].member;
    assert!(scene.groups.presence(scene.key, owner, Some(1)));
    for _ in 0..LOOKAHEAD_MAX {
        assert_eq!(scene.publish("t/x", QoS::AtLeastOnce), Accepted::Queued);
    }
    for n in 0..40 {
        assert_eq!(scene.publish(&format!("t/{n}"), QoS::AtLeastOnce), Accepted::Queued);
    }
    assert!(scene.dispatch().is_empty());
    assert!(scene.groups.presence(scene.key, owner, None));
    assert_eq!(scene.dispatch().len(), LOOKAHEAD_MAX + 40, "when it goes, its keys move");
}

#[test]
fn groups_of_another_name_or_filter_are_others_and_a_full_one_refuses() {
    let mut groups = Groups::new(Seed::new(3));
    let window = Some(1);
    let one = groups.join("g", "t", id(ALICE), terms(QoS::AtLeastOnce), window, 1).unwrap();
    let other = groups.join("g", "t/#", id(ALICE), terms(QoS::AtLeastOnce), window, 1).unwrap();
    let third = groups.join("h", "t", id(ALICE), terms(QoS::AtLeastOnce), window, 1).unwrap();
    assert!(one.group != other.group && one.group != third.group && other.group != third.group);
    assert_eq!(groups.find("g", "t"), Some(one.group));
    let again = groups.join("g", "t", id(ALICE), terms(QoS::AtMostOnce), window, 1).unwrap();
    assert!(!again.is_new_member && !again.is_new_group && again.group == one.group);
    assert!(groups.join("g", "t", id(BOB), terms(QoS::AtLeastOnce), window, 1).is_err());
    assert!(groups.join("i", "t", id(BOB), terms(QoS::AtLeastOnce), window, 0).is_err());
    assert_eq!(groups.len(), 3);
    groups.check();
}
