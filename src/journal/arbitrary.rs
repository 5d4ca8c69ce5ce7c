//! Seeded random changes of every kind, for round trips and for journals full of them.

use std::sync::Arc;

use super::content;
use super::epoch::Epoch;
use super::kind::Kind;
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::auth::identity::Identity;
use crate::engine::change::{Change, Serial, Standing};
use crate::engine::homes::{SHARDS_MAX, ShardId};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::session::delivery::SubscriptionIds;
use crate::engine::session::will::Will;
use crate::engine::subscriptions::entry::Options;
use crate::engine::subscriptions::members::Terms;
use crate::mqtt::{PacketId, QoS, Topic};

/// When the engine's clock of these tests stood at zero.
pub const EPOCH: Epoch = Epoch::new(1_790_000_000_000);

/// A random change of this kind under this number, which is at least 2.
pub fn change(kind: Kind, serial: Serial, random: &mut Random) -> Change {
    let session = SessionId::restored(number(random));
    let earlier = Serial::new(random.range(1.max(serial.get().saturating_sub(1_000)), serial.get() - 1));
    let id = PacketId::new(u16::try_from(random.range(1, 65_535)).unwrap()).unwrap();
    match kind {
        Kind::Session => Change::Session { session, standing: Box::new(standing(random)) },
        Kind::SessionEnded => Change::SessionEnded { session },
        Kind::Subscribed => {
            let options = Options::new(qos(random)).with_id(subscription_id(random) * u32::from(random.chance(1, 2)));
            let options = options.with_no_local(random.chance(1, 2)).with_retain_as_published(random.chance(1, 2));
            Change::Subscribed { session, filter: filter(random), options }
        }
        Kind::Unsubscribed => Change::Unsubscribed { session, filter: filter(random) },
        Kind::Joined => {
            let (qos, subscription_id) = (qos(random), subscription_id(random));
            let terms = Terms { qos, subscription_id, retain_as_published: random.chance(1, 2) };
            Change::Joined { session, share: text(random, 30), filter: filter(random), terms }
        }
        Kind::Left => Change::Left { session, share: text(random, 30), filter: filter(random) },
        Kind::Will => Change::Will { session, will: Box::new(will(random)) },
        Kind::WillGone => Change::WillGone { session },
        Kind::Bequest => Change::Bequest { number: session, body: earlier },
        Kind::BequestOver => Change::BequestOver { number: session },
        Kind::Body => Change::Body { message: message(random) },
        Kind::BodyAgain => Change::BodyAgain { body: earlier, message: message(random) },
        Kind::Queued => {
            let ids: Vec<u32> = (0..random.index(4)).map(|_| subscription_id(random)).collect();
            let qos = *random.pick(&[QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap();
            let retain = random.chance(1, 2);
            Change::Queued { session, body: earlier, qos, retain, ids: SubscriptionIds::of(&ids) }
        }
        Kind::QueuedAgain => {
            let ids = SubscriptionIds::of(&[subscription_id(random)]);
            let (copy, body) = (earlier, Serial::new(random.range(1, earlier.get())));
            Change::QueuedAgain { copy, session, body, qos: QoS::ExactlyOnce, retain: random.chance(1, 2), ids }
        }
        Kind::Sent => Change::Sent { session, copy: earlier, id },
        Kind::Settled => Change::Settled { session, copy: earlier },
        Kind::Taken => Change::Taken { session, copy: earlier, id },
        Kind::Completed => Change::Completed { session, id },
        Kind::Incoming => Change::Incoming { session, id },
        Kind::Doubtful => Change::Doubtful { session, id },
        Kind::Released => Change::Released { session, id },
        Kind::Retained => Change::Retained { body: earlier, user: None },
        Kind::RetainedBy => Change::Retained { body: earlier, user: Some(Arc::from(text(random, 30))) },
        Kind::RetainedGone => Change::RetainedGone { topic: topic(random).into() },
        Kind::Fanout => Change::Fanout { body: earlier },
        Kind::FannedOut => Change::FannedOut { body: earlier },
        Kind::Passed => Change::Passed { session, id },
        Kind::Forgotten => Change::Forgotten { session, id },
        Kind::Swept => Change::Swept { sessions: number(random) },
        Kind::Group => Change::Group { share: text(random, 30), filter: filter(random) },
        Kind::GroupAgain => Change::GroupAgain { group: earlier, share: text(random, 30), filter: filter(random) },
        Kind::GroupEnded => Change::GroupEnded { share: text(random, 30), filter: filter(random) },
        Kind::GroupQueued => Change::GroupQueued { group: Serial::new(random.range(1, earlier.get())), body: earlier },
        Kind::GroupQueuedAgain => {
            let (group, body) = (random.range(1, earlier.get()), random.range(1, earlier.get()));
            Change::GroupQueuedAgain { copy: earlier, group: Serial::new(group), body: Serial::new(body) }
        }
        Kind::GroupSettled => Change::GroupSettled { copy: earlier },
        Kind::Assigned => Change::Assigned { home: shard(random), copy: Serial::new(number(random)) },
        Kind::Unassigned => Change::Unassigned { home: shard(random), copy: Serial::new(number(random)) },
    }
}

/// A random change of any kind.
pub fn any_change(serial: Serial, random: &mut Random) -> Change {
    change(*random.pick(&Kind::ALL).unwrap(), serial, random)
}

/// The bytes that tell two changes apart: they have no equality of their own.
pub fn content_of(serial: Serial, change: &Change) -> Vec<u8> {
    let mut bytes = Vec::new();
    content::encode(serial, change, EPOCH, &mut bytes);
    bytes
}

fn number(random: &mut Random) -> u64 {
    let bits = random.below(64);
    random.next_u64() >> bits
}

fn shard(random: &mut Random) -> ShardId {
    ShardId::new(random.index(SHARDS_MAX))
}

fn qos(random: &mut Random) -> QoS {
    *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).unwrap()
}

fn subscription_id(random: &mut Random) -> u32 {
    let bits = random.below(28);
    u32::try_from(random.range(1, (1 << (bits + 1)) - 1)).unwrap()
}

fn text(random: &mut Random, len_max: usize) -> Box<str> {
    (0..random.index(len_max + 1)).map(|_| *random.pick(&['a', 'Z', '7', '-', 'é', '\u{10ffff}']).unwrap()).collect()
}

fn topic(random: &mut Random) -> String {
    format!("t/{}/{}", text(random, 20), text(random, 20))
}

fn filter(random: &mut Random) -> Box<str> {
    format!("{}/+/{}#", topic(random), if random.chance(1, 2) { "/" } else { "" }).into()
}

fn time(random: &mut Random) -> Time {
    match random.index(3) {
        0 => Time::NEVER,
        1 => Time::ZERO,
        _ => Time::from_millis(random.below(1 << 40)),
    }
}

/// Mostly short, sometimes as long as a length of one or two bytes can say, and one more.
fn bytes(random: &mut Random) -> Vec<u8> {
    let len = match random.index(8) {
        0 => 0,
        1 => random.index(260),
        2 => 16_300 + random.index(200),
        _ => random.index(64),
    };
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

fn standing(random: &mut Random) -> Standing {
    let method = *random.pick(&["anonymous", "password", "certificate"]).unwrap();
    let user = random.chance(1, 2).then(|| text(random, 20));
    let groups = (0..random.index(4)).map(|_| text(random, 10)).collect();
    Standing {
        client_id: text(random, 60),
        owner: Arc::new(Identity { user, method, groups, is_superuser: random.chance(1, 2), ..Identity::anonymous() }),
        expiry_s: *random.pick(&[0, 1, 300, u32::MAX]).unwrap(),
        ends_at: time(random),
        is_connected: random.chance(1, 2),
    }
}

fn will(random: &mut Random) -> Will {
    let topic = topic(random);
    let mut will = Will::restored(Topic::parse(&topic).unwrap(), &bytes(random), &bytes(random));
    will.number = if random.chance(1, 2) { SessionId::BROKER } else { SessionId::restored(number(random).max(1)) };
    (will.qos, will.retain, will.due_at) = (qos(random), random.chance(1, 2), time(random));
    will.delay_s = *random.pick(&[0, 60, u32::MAX]).unwrap();
    will.message_expiry_s = random.chance(1, 2).then_some(u32::MAX);
    will
}

fn message(random: &mut Random) -> Message {
    let (topic, forwarded, payload) = (topic(random), bytes(random), bytes(random));
    let origin = SessionId::restored(number(random));
    let mut publication = Publication::new(&topic, &forwarded, &payload, qos(random), origin);
    (publication.retain, publication.expires) = (random.chance(1, 2), time(random));
    Message::restored(&publication)
}
