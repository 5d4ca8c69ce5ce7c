//! Random operations on shared groups against a plain list of what each message went through.

use super::shared::{Accepted, Bounds, Departure, Dispatch, GroupKey, Groups, MemberId, Terms};
use crate::base::hash::Seed;
use crate::base::payload::Chunks;
use crate::base::random::Random;
use crate::base::time::Time;
use crate::engine::homes::ShardId;
use crate::engine::limits::{QueuePolicy, Strategy};
use crate::engine::message::{Message, Publication, SessionId};
use crate::engine::stats::DropReason;
use crate::mqtt::version::QoS;

const MEMBERS: u64 = 8;
const MEMBERS_MAX: usize = 6;

const STRATEGIES: [Strategy; 6] = [
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::Sticky,
    Strategy::LeastInflight,
    Strategy::HashTopic,
    Strategy::HashPublisher,
];

/// Where a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Fresh,
    Returned,
    /// At this member, under this number, with this quality of service.
    At(u64, u64, QoS),
    Gone,
}

#[derive(Debug)]
struct Copy {
    place: Place,
    message: Message,
    was_returned: bool,
    /// Who had it last.
    receiver: u64,
}

#[derive(Clone, Copy, Debug)]
struct ModelMember {
    terms: Terms,
    window: Option<u16>,
    has_left: bool,
}

struct Model {
    groups: Groups,
    group: Option<GroupKey>,
    members: Vec<Option<ModelMember>>,
    copies: Vec<Copy>,
    /// Copies before this one are gone.
    first_alive: usize,
    bounds: Bounds,
    strategy: Strategy,
    random: Random,
    chunks: Chunks,
    now: Time,
    steps: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let strategy = STRATEGIES[random.index(STRATEGIES.len())];
        let policy = if random.chance(1, 2) { QueuePolicy::RefuseNew } else { QueuePolicy::DropOldest };
        let bounds = Bounds {
            messages_max: u32::try_from(random.range(1, 40)).unwrap(),
            bytes_max: if random.chance(1, 2) { 1_000 } else { 1 << 20 },
            policy,
            queue_qos0: random.chance(1, 2),
        };
        Self {
            groups: Groups::new(Seed::new(seed)),
            group: None,
            members: vec![None; usize::try_from(MEMBERS).unwrap()],
            copies: Vec::new(),
            first_alive: 0,
            bounds,
            strategy,
            random,
            chunks: Chunks::new(1 << 16, 4),
            now: Time::from_millis(1),
            steps: 0,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        match self.random.below(16) {
            0 => self.join(),
            1 => self.leave(),
            2 => self.presence(),
            3..=7 => self.accept(),
            8..=10 => self.dispatch(),
            11..=14 => self.answer(),
            _ => self.now = self.now.after_ms(1),
        }
        while self.copies.get(self.first_alive).is_some_and(|copy| copy.place == Place::Gone) {
            self.first_alive += 1;
        }
        if self.steps.is_multiple_of(64) {
            self.compare();
        }
    }

    fn alive(&mut self) -> impl Iterator<Item = (usize, &mut Copy)> {
        let first = self.first_alive;
        self.copies.iter_mut().enumerate().skip(first).filter(|(_, copy)| copy.place != Place::Gone)
    }

    fn count(&mut self, is: impl Fn(Place) -> bool) -> usize {
        self.alive().filter(|(_, copy)| is(copy.place)).count()
    }

    fn holds(&mut self, member: u64) -> usize {
        self.count(|place| matches!(place, Place::At(holder, ..) if holder == member))
    }

    fn present(&self) -> usize {
        self.members.iter().flatten().filter(|member| !member.has_left).count()
    }

    fn join(&mut self) {
        let member = self.random.below(MEMBERS);
        let terms = Terms {
            qos: [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.index(3)],
            subscription_id: u32::try_from(self.random.below(5)).unwrap(),
            retain_as_published: false,
        };
        let window = self.some_window();
        let slot = usize::try_from(member).unwrap();
        let was_member = self.members[slot].is_some_and(|member| !member.has_left);
        let joined = self.groups.join("g", "t/#", id(member), terms, window, MEMBERS_MAX);
        if !was_member && self.present() == MEMBERS_MAX {
            return assert!(joined.is_err(), "a full group takes nobody");
        }
        let joined = joined.unwrap();
        assert_eq!(joined.is_new_member, !was_member);
        assert_eq!(joined.is_new_group, self.group.is_none());
        assert!(self.group.is_none_or(|group| group == joined.group));
        self.group = Some(joined.group);
        self.members[slot] = Some(ModelMember { terms, window, has_left: false });
    }

    fn leave(&mut self) {
        let (Some(group), member) = (self.group, self.random.below(MEMBERS)) else {
            return;
        };
        let departure = if self.random.chance(1, 2) { Departure::Unsubscribed } else { Departure::SessionEnded };
        let slot = usize::try_from(member).unwrap();
        let left = self.groups.leave(group, id(member), departure);
        assert_eq!(left.is_known, self.members[slot].is_some_and(|member| !member.has_left));
        if self.members[slot].is_none() {
            return;
        }
        let (mut back, mut discarded) = (0, 0);
        if departure == Departure::SessionEnded {
            for (_, copy) in self.alive() {
                match copy.place {
                    Place::At(holder, _, QoS::ExactlyOnce) if holder == member => {
                        discarded += 1;
                        copy.place = Place::Gone;
                    }
                    Place::At(holder, ..) if holder == member => {
                        back += 1;
                        (copy.place, copy.was_returned) = (Place::Returned, true);
                    }
                    Place::At(..) | Place::Fresh | Place::Returned | Place::Gone => {}
                }
            }
        }
        let still_holds = self.holds(member) > 0;
        self.members[slot] =
            self.members[slot].filter(|_| still_holds).map(|known| ModelMember { has_left: true, ..known });
        assert_eq!(left.discarded, discarded);
        assert_eq!(left.group_gone, self.present() == 0);
        if left.group_gone {
            assert_eq!(left.ended, self.count(|place| matches!(place, Place::Fresh | Place::Returned)));
            assert_eq!(left.let_go, self.count(|place| matches!(place, Place::At(..))));
            self.alive().for_each(|(_, copy)| copy.place = Place::Gone);
            self.members.fill(None);
            self.group = None;
            assert!(self.groups.find("g", "t/#").is_none() && self.groups.get(group).is_none());
        } else {
            assert_eq!(left.messages_back, back);
        }
    }

    fn presence(&mut self) {
        let (Some(group), member) = (self.group, self.random.below(MEMBERS)) else {
            return;
        };
        let window = self.some_window();
        let known = self.groups.presence(group, id(member), window);
        let slot = &mut self.members[usize::try_from(member).unwrap()];
        assert_eq!(known, slot.is_some());
        if let Some(member) = slot {
            member.window = window;
        }
    }

    fn accept(&mut self) {
        let Some(group) = self.group else { return };
        let number = self.copies.len();
        let origin = SessionId::new(ShardId::new(1), self.random.range(1, 3));
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.index(3)];
        let topic = format!("t/{}", self.random.below(4));
        let payload = vec![0; usize::try_from(self.random.below(200)).unwrap()];
        let number_bytes = (number as u64).to_le_bytes();
        let mut publication = Publication::new(&topic, &number_bytes, &payload, qos, origin);
        if self.random.chance(1, 4) {
            publication.expires = self.now.after_ms(self.random.below(20));
        }
        let message = publication.keep(&mut self.chunks).clone();
        let is_anyone_online = self.members.iter().flatten().any(|member| member.window.is_some() && !member.has_left);
        let bounds = self.bounds;
        let accepted = self.groups.get_mut(group).unwrap().accept(message.clone(), &bounds);

        let offline = qos == QoS::AtMostOnce && !is_anyone_online && !bounds.queue_qos0;
        assert_eq!(accepted == Accepted::Refused(DropReason::Offline), offline);
        if offline {
            return;
        }
        let bytes = message.charged_bytes() as u64;
        let expected = self.make_room_for(bytes);
        assert_eq!(accepted, expected);
        match expected {
            Accepted::Queued | Accepted::Displaced(_) => {
                self.copies.push(Copy { place: Place::Fresh, message, was_returned: false, receiver: 0 });
            }
            Accepted::Refused(_) => {}
        }
    }

    /// What a message of so many bytes meets: the fewest of the oldest fresh ones go, if that helps at all.
    fn make_room_for(&mut self, bytes: u64) -> Accepted {
        let bounds = self.bounds;
        let queued: Vec<_> = self.alive().filter(|(_, copy)| is_queued(copy)).map(|(n, _)| n).collect();
        let fresh: Vec<_> = queued.iter().copied().filter(|n| self.copies[*n].place == Place::Fresh).collect();
        let droppable = if bounds.policy == QueuePolicy::DropOldest { fresh.len() } else { 0 };
        let fits = |dropped: usize| {
            let kept = queued.iter().filter(|n| !fresh[..dropped].contains(n));
            let held: u64 = kept.map(|n| self.copies[*n].message.charged_bytes() as u64).sum();
            queued.len() - dropped < bounds.messages_max as usize && held + bytes <= bounds.bytes_max
        };
        let Some(dropped) = (0..=droppable).find(|dropped| fits(*dropped)) else {
            return Accepted::Refused(DropReason::QueueRefused);
        };
        fresh[..dropped].iter().for_each(|n| self.copies[*n].place = Place::Gone);
        if dropped == 0 { Accepted::Queued } else { Accepted::Displaced(dropped) }
    }

    fn dispatch(&mut self) {
        let Some(group) = self.group else { return };
        let (mut out, mut expired) = (Vec::new(), 0);
        let (now, strategy) = (self.now, self.strategy);
        self.groups.get_mut(group).unwrap().dispatch(now, strategy, &mut self.random, &mut out, &mut expired);
        let expected_order = self.expected_order();
        let mut at = 0;
        for dispatch in out {
            let number = number_of(&dispatch.message);
            if self.is_in_order() {
                while self.copies[expected_order[at]].message.has_expired(now) {
                    self.copies[expected_order[at]].place = Place::Gone;
                    expired -= 1;
                    at += 1;
                }
                assert_eq!(number, expected_order[at], "the oldest first, what came back before all");
                at += 1;
            }
            self.deliver(number, &dispatch);
        }
        self.drop_expired(&expected_order, expired);
        self.nobody_waits_in_vain();
    }

    /// Takes note of one dispatch and proves that it was right.
    fn deliver(&mut self, number: usize, dispatch: &Dispatch) {
        let member = dispatch.member.session;
        let known = self.members[usize::try_from(member).unwrap()].expect("dispatched to a member");
        let held = self.holds(member);
        let now = self.now;
        let window = known.window.expect("dispatched to somebody online");
        assert!(!known.has_left && known.terms == dispatch.terms);
        assert!(known.terms.qos == QoS::AtMostOnce || held < usize::from(window), "a window is never passed");
        let copy = &mut self.copies[number];
        assert!(is_queued(copy) && !copy.message.has_expired(now));
        assert_eq!(dispatch.is_redelivery, copy.place == Place::Returned);
        assert_eq!(dispatch.qos, copy.message.qos.min(known.terms.qos));
        assert_eq!(dispatch.delivery == 0, dispatch.qos == QoS::AtMostOnce);
        copy.receiver = member;
        copy.place =
            if dispatch.delivery == 0 { Place::Gone } else { Place::At(member, dispatch.delivery, dispatch.qos) };
        let (origin, was_returned) = (copy.message.origin, copy.was_returned);
        let topic = copy.message.topic().to_owned();
        let strategy = self.strategy;
        let overtaken = self.alive().any(|(n, other)| {
            let is_same_key = match strategy {
                Strategy::HashTopic => other.message.topic() == topic,
                Strategy::HashPublisher => other.message.origin == origin,
                Strategy::RoundRobin | Strategy::Random | Strategy::Sticky | Strategy::LeastInflight => true,
            };
            n < number && other.place == Place::Fresh && !other.message.has_expired(now) && is_same_key
        });
        assert!(was_returned || !overtaken, "without redelivery nothing overtakes within a key");
    }

    /// Lets go of the copies that the dispatch said had expired.
    fn drop_expired(&mut self, order: &[usize], mut expired: usize) {
        for number in order {
            let now = self.now;
            let copy = &mut self.copies[*number];
            if expired > 0 && is_queued(copy) && copy.message.has_expired(now) {
                copy.place = Place::Gone;
                expired -= 1;
            }
        }
        assert_eq!(expired, 0, "only what has expired is dropped");
    }

    /// After a dispatch either nothing waits or nobody it could go to has room.
    fn nobody_waits_in_vain(&mut self) {
        let ready = (0..MEMBERS)
            .filter(|member| {
                let Some(known) = self.members[usize::try_from(*member).unwrap()] else {
                    return false;
                };
                let held = self.holds(*member);
                let has_room = |window| known.terms.qos == QoS::AtMostOnce || held < usize::from(window);
                !known.has_left && known.window.is_some_and(has_room)
            })
            .count();
        if ready > 0 && self.is_in_order() {
            assert_eq!(self.count(|place| matches!(place, Place::Fresh | Place::Returned)), 0);
        }
    }

    fn answer(&mut self) {
        let held: Vec<_> =
            self.alive().filter(|(_, copy)| matches!(copy.place, Place::At(..))).map(|(number, _)| number).collect();
        let (Some(group), Some(&number)) = (self.group, self.random.pick(&held)) else {
            return;
        };
        let Place::At(member, delivery, _) = self.copies[number].place else { unreachable!() };
        let group = self.groups.get_mut(group).unwrap();
        let (is_known, place) = match self.random.below(4) {
            0 => (group.give_back(delivery), Place::Returned),
            1 => (group.discard(delivery), Place::Gone),
            _ => (group.done(delivery), Place::Gone),
        };
        assert!(is_known);
        assert!(!group.done(delivery) && !group.give_back(delivery), "a delivery is settled once");
        self.copies[number].place = place;
        self.copies[number].was_returned |= place == Place::Returned;
        let slot = usize::try_from(member).unwrap();
        if self.members[slot].is_some_and(|member| member.has_left) && self.holds(member) == 0 {
            self.members[slot] = None;
        }
    }

    fn compare(&mut self) {
        self.groups.check();
        let queued = self.count(|place| matches!(place, Place::Fresh | Place::Returned));
        let outstanding = self.count(|place| matches!(place, Place::At(..)));
        assert_eq!(self.groups.copies(), (queued + outstanding) as u64);
        let Some(group) = self.group.and_then(|key| self.groups.get(key)) else {
            return;
        };
        assert_eq!((group.queued_count(), group.outstanding_count()), (queued, outstanding));
        assert_eq!(group.member_count(), self.present());
    }

    fn is_in_order(&self) -> bool {
        !matches!(self.strategy, Strategy::HashTopic | Strategy::HashPublisher)
    }

    /// The queue in its order: what came back, then what is fresh.
    fn expected_order(&mut self) -> Vec<usize> {
        let mut order: Vec<_> = self
            .alive()
            .filter(|(_, copy)| is_queued(copy))
            .map(|(number, copy)| (copy.place == Place::Fresh, number))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, number)| number).collect()
    }

    fn some_window(&mut self) -> Option<u16> {
        let window = u16::try_from(self.random.below(6)).unwrap();
        self.random.chance(3, 4).then_some(window)
    }
}

fn is_queued(copy: &Copy) -> bool {
    matches!(copy.place, Place::Fresh | Place::Returned)
}

/// The number that the model wrote into a message.
fn number_of(message: &Message) -> usize {
    let number = u64::from_le_bytes(message.forwarded().try_into().unwrap());
    usize::try_from(number).unwrap()
}

fn id(member: u64) -> MemberId {
    let shard = ShardId::new(usize::try_from(member % 3).unwrap());
    MemberId { shard, session: member, id: SessionId::new(shard, member + 1) }
}

#[test]
fn every_copy_is_in_one_place_and_no_window_is_passed() {
    let (mut accepted, mut returned) = (0, 0);
    for seed in 0..60 {
        let mut model = Model::new(seed);
        for _ in 0..4_000 {
            model.step();
        }
        model.compare();
        accepted += model.copies.len();
        returned += model.copies.iter().filter(|copy| copy.was_returned).count();
    }
    assert!(accepted > 30_000 && returned > 3_000, "{accepted} messages, {returned} came back");
}
