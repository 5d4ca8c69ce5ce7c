//! One shared group: its queue, its members, and what they have not acknowledged yet.

use crate::base::bitset::Bits64;
use crate::base::hash::Seed;
use crate::base::random::Random;
use crate::base::slab::Key;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;
use crate::engine::limits::Strategy;
use crate::engine::message::Message;
use crate::engine::stats::DropReason;
use crate::engine::subscriptions::deliveries::{Deliveries, Delivery};
pub use crate::engine::subscriptions::group_queue::{Accepted, Bounds};
use crate::engine::subscriptions::group_queue::{GroupQueue, Waiting};
use crate::engine::subscriptions::members::{Member, MemberId, Members, Terms};
use crate::mqtt::version::QoS;

/// Messages that one dispatch looks past because the owner of their key has no room. A member that takes nothing holds up
/// the keys of others only when so many messages of its own stand in front of them, and until it goes or is sent away.
pub const LOOKAHEAD_MAX: usize = 1_024;

/// A message on its way to a member.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Who gets it.
    pub member: MemberId,
    /// What the member subscribed to.
    pub terms: Terms,
    /// The message.
    pub message: Message,
    /// The lower one of the message's and the member's quality of service.
    pub qos: QoS,
    /// What to name when it is settled; 0 for QoS 0, which nobody answers.
    pub delivery: u64,
    /// The change by which the copy is known; [`Serial::NONE`] where nobody keeps it.
    pub copy: Serial,
    /// Whether another delivery of it was begun before.
    pub is_redelivery: bool,
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It unsubscribed: what it was sent, it completes. [MQTT-3.10.4-3]
    Unsubscribed,
    /// Its session is no more: what it was sent is settled by the group.
    SessionEnded,
}

/// What became of the unanswered deliveries of a member that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Settled {
    /// So many went back to the queue.
    pub back: usize,
    /// So many were discarded. [MQTT-4.8.2-5]
    pub discarded: usize,
}

/// What can be done with a message now.
enum Fate {
    Expired,
    Wait,
    Send(Key<Member>),
}

/// A shared group. On the home shard of its name.
///
/// ```text
/// accepted = queued + outstanding + done + discarded + expired + displaced
/// ```
#[derive(Debug)]
pub struct Group {
    share: Box<str>,
    filter: Box<str>,
    seed: Seed,
    members: Members,
    deliveries: Deliveries,
    queue: GroupQueue,
    /// The change by which it is known; [`Serial::NONE`] while no member has outlived its connection.
    noted: Serial,
    /// Noted copies that were displaced, expired or handed out for good since the shard has asked last.
    settled: Vec<Serial>,
}

impl Group {
    /// A group without members.
    pub(super) fn new(seed: Seed, share: &str, filter: &str) -> Self {
        Self {
            share: share.into(),
            filter: filter.into(),
            seed,
            members: Members::new(seed),
            deliveries: Deliveries::new(seed),
            queue: GroupQueue::default(),
            noted: Serial::NONE,
            settled: Vec::new(),
        }
    }

    /// The name of the group.
    pub fn share(&self) -> &str {
        &self.share
    }

    /// The filter that its members share.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Everybody who has not left.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// How many members have not left.
    pub fn member_count(&self) -> usize {
        self.members.count()
    }

    /// Messages that wait.
    pub fn queued_count(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that wait.
    pub fn queued_bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Deliveries that nobody has answered.
    pub fn outstanding_count(&self) -> usize {
        self.deliveries.len()
    }

    /// The change by which the group is known.
    pub fn noted(&self) -> Serial {
        self.noted
    }

    /// It is known by this change from now on.
    pub fn note_as(&mut self, group: Serial) {
        self.noted = group;
    }

    /// Whether the session of any member outlives its connection.
    pub fn has_lasting(&self) -> bool {
        self.members.has_lasting()
    }

    /// The newest message that waits is known by this change; its place in the order.
    pub fn note_newest(&mut self, copy: Serial) -> Option<u64> {
        let newest = self.queue.newest()?;
        newest.copy = copy;
        Some(newest.sequence)
    }

    /// After a restart: a message that waits for a member; its place in the order.
    pub fn restore(&mut self, copy: Serial, message: Message) -> u64 {
        self.queue.append(message, copy)
    }

    /// What waits at this place in the order is settled without a delivery; whether it was there.
    pub fn withdraw(&mut self, sequence: u64) -> bool {
        self.queue.take(sequence).is_some()
    }

    /// Noted copies that are settled, and that the shard has not asked for before.
    pub fn take_settled(&mut self) -> Vec<Serial> {
        std::mem::take(&mut self.settled)
    }

    /// The changes by which its copies are known, in no particular order.
    pub fn noted_copies(&self) -> impl Iterator<Item = Serial> {
        let waiting = self.queue.iter().filter_map(Waiting::known_as);
        let delivered = self.deliveries.iter().map(|delivery| delivery.copy);
        waiting.chain(delivered.filter(|copy| *copy != Serial::NONE))
    }

    /// Copies that the ledger expects here.
    pub fn copies(&self) -> u64 {
        (self.queued_count() + self.outstanding_count()) as u64
    }

    /// Whether a dispatch could do something.
    pub fn has_work(&self) -> bool {
        self.queued_count() > 0 && self.members.has_ready()
    }

    /// Takes a message on; the next dispatch hands it out.
    pub fn accept(&mut self, message: Message, bounds: &Bounds) -> Accepted {
        if message.qos == QoS::AtMostOnce && !self.members.has_present() && !bounds.queue_qos0 {
            return Accepted::Refused(DropReason::Offline);
        }
        self.queue.push(message, bounds, &mut self.settled)
    }

    /// The ways to these shards are full, and those to all others have room: from the next dispatch on members behind them are passed over.
    pub fn note_full_ways(&mut self, full: Bits64) {
        self.members.note_full_ways(full);
    }

    /// A shard with members for whom something may wait because the way to it is full.
    pub fn awaited_way(&self) -> Option<ShardId> {
        self.members.awaited_way().filter(|_| self.queued_count() > 0)
    }

    /// Hands out what waits, as long as members have room. Adds to `expired` what it had to drop instead.
    pub fn dispatch(
        &mut self,
        now: Time,
        strategy: Strategy,
        random: &mut Random,
        out: &mut Vec<Dispatch>,
        expired: &mut usize,
    ) {
        self.members.use_strategy(strategy);
        match strategy {
            Strategy::RoundRobin | Strategy::Random | Strategy::Sticky | Strategy::LeastInflight => {
                self.dispatch_in_order(now, random, out, expired);
            }
            Strategy::HashTopic | Strategy::HashPublisher => {
                self.dispatch_by_key(now, strategy, out, expired);
            }
        }
    }

    /// The member acknowledged the delivery, or refused it: then too it goes to nobody else. [MQTT-4.8.2-6]
    pub fn done(&mut self, delivery: u64) -> bool {
        self.settle(delivery).is_some()
    }

    /// The delivery is given up: the session of a QoS 2 delivery ended [MQTT-4.8.2-5], or no member can take it.
    pub fn discard(&mut self, delivery: u64) -> bool {
        self.settle(delivery).is_some()
    }

    /// The member did not deliver it: it goes back before everything that nobody was sent yet, in the original order.
    ///
    /// The next dispatch may choose the same member again. One that can never take this message discards it instead.
    pub fn give_back(&mut self, delivery: u64) -> bool {
        let Some(delivery) = self.settle(delivery) else {
            return false;
        };
        self.queue.take_back(delivery.sequence, delivery.message, delivery.copy);
        true
    }

    /// Whether some member may be given something now.
    pub fn has_ready(&self) -> bool {
        self.members.has_ready()
    }

    /// Proves the group's invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        self.members.check();
        self.deliveries.check();
        self.queue.check();
        let held: usize = self.members.all().map(|member| member.outstanding as usize).sum();
        assert_eq!(held, self.deliveries.len(), "members hold what is outstanding");
    }
}

/// What [`super::shared::Groups`] asks of a group.
impl Group {
    pub(super) fn find(&self, id: MemberId) -> Option<Key<Member>> {
        self.members.find(id)
    }

    pub(super) fn is_member(&self, id: MemberId) -> bool {
        self.find(id).and_then(|key| self.members.get(key)).is_some_and(|member| !member.has_left)
    }

    pub(super) fn admit(&mut self, id: MemberId, terms: Terms, window: Option<u16>) {
        let key = self.find(id).unwrap_or_else(|| self.members.insert(id, terms));
        self.members.change(key, |member| {
            member.terms = terms;
            member.window = window;
            (member.has_left, member.is_above_rate) = (false, false);
        });
    }

    pub(super) fn set_lasting(&mut self, key: Key<Member>, is_lasting: bool) {
        self.members.change(key, |member| member.is_lasting = is_lasting);
    }

    pub(super) fn set_presence(&mut self, key: Key<Member>, window: Option<u16>) {
        self.members.change(key, |member| (member.window, member.is_above_rate) = (window, false));
    }

    pub(super) fn pass_over(&mut self, key: Key<Member>) {
        self.members.change(key, |member| member.is_above_rate = true);
    }

    pub(super) fn release(&mut self, key: Key<Member>, departure: Departure) -> Settled {
        let mut settled = Settled::default();
        self.members.change(key, |member| member.has_left = true);
        match departure {
            Departure::Unsubscribed => {}
            Departure::SessionEnded => {
                while let Some(delivery) = self.deliveries.pop_of(key) {
                    self.members.change(key, |member| member.outstanding -= 1);
                    match delivery.qos {
                        QoS::AtMostOnce => unreachable!("nobody answers QoS 0"),
                        QoS::AtLeastOnce => {
                            settled.back += 1;
                            self.queue.take_back(delivery.sequence, delivery.message, delivery.copy);
                        }
                        // Its shard has answered for all that it sent: this one never left.
                        QoS::ExactlyOnce if delivery.copy != Serial::NONE => {
                            settled.back += 1;
                            self.queue.take_back(delivery.sequence, delivery.message, delivery.copy);
                        }
                        // [MQTT-4.8.2-5] Another member might process it a second time.
                        QoS::ExactlyOnce => settled.discarded += 1,
                    }
                }
            }
        }
        self.forget_if_settled(key);
        settled
    }
}

impl Group {
    fn dispatch_in_order(&mut self, now: Time, random: &mut Random, out: &mut Vec<Dispatch>, expired: &mut usize) {
        while let Some(front) = self.queue.front() {
            if front.message.has_expired(now) {
                let (waiting, _) = self.queue.pop_front().expect("there is a front");
                self.settled.extend(waiting.known_as());
                *expired += 1;
                continue;
            }
            let Some(member) = self.members.pick(random) else {
                return;
            };
            if self.members.shut_out(member) {
                continue;
            }
            let (waiting, is_redelivery) = self.queue.pop_front().expect("there is a front");
            out.push(self.send(member, waiting, is_redelivery));
        }
    }

    /// What has an owner without room is passed over, at most [`LOOKAHEAD_MAX`] times.
    fn dispatch_by_key(&mut self, now: Time, strategy: Strategy, out: &mut Vec<Dispatch>, expired: &mut usize) {
        let mut passed = 0;
        let mut from = 0;
        while passed < LOOKAHEAD_MAX
            && let Some(waiting) = self.queue.returned_from(from)
        {
            let sequence = waiting.sequence;
            from = sequence + 1;
            match fate(&self.members, self.seed, strategy, waiting, now) {
                Fate::Wait => passed += 1,
                Fate::Send(member) if self.members.shut_out(member) => passed += 1,
                Fate::Expired => {
                    self.settled.extend(self.queue.take_returned(sequence).known_as());
                    *expired += 1;
                }
                Fate::Send(member) => {
                    let waiting = self.queue.take_returned(sequence);
                    out.push(self.send(member, waiting, true));
                }
            }
        }
        let mut at = 0;
        while passed < LOOKAHEAD_MAX
            && let Some(waiting) = self.queue.fresh_at(at)
        {
            match fate(&self.members, self.seed, strategy, waiting, now) {
                Fate::Wait => (passed, at) = (passed + 1, at + 1),
                Fate::Send(member) if self.members.shut_out(member) => (passed, at) = (passed + 1, at + 1),
                Fate::Expired => {
                    self.settled.extend(self.queue.take_fresh(at).known_as());
                    *expired += 1;
                }
                Fate::Send(member) => {
                    let waiting = self.queue.take_fresh(at);
                    out.push(self.send(member, waiting, false));
                }
            }
        }
    }

    /// Turns a message that was taken from the queue into a delivery.
    fn send(&mut self, key: Key<Member>, waiting: Waiting, is_redelivery: bool) -> Dispatch {
        let copy = waiting.copy;
        let member = self.members.get(key).expect("members are picked from the group");
        debug_assert!(member.has_room(), "outstanding < window, or nobody answers");
        let (id, terms) = (member.id, member.terms);
        // [MQTT-4.8.2-3] Each member gets no more than it was granted.
        let qos = waiting.message.qos.min(terms.qos);
        let is_answered = qos > QoS::AtMostOnce;
        self.members.serve(key, is_answered);
        let (message, delivery) = if is_answered {
            (waiting.message.clone(), self.deliveries.insert(key, waiting, qos))
        } else {
            self.settled.extend(waiting.known_as());
            (waiting.message, 0)
        };
        Dispatch { member: id, terms, message, qos, delivery, copy, is_redelivery }
    }

    /// Takes a delivery from its member.
    fn settle(&mut self, number: u64) -> Option<Delivery> {
        let delivery = self.deliveries.remove(number)?;
        self.members.change(delivery.member, |member| member.outstanding -= 1);
        self.forget_if_settled(delivery.member);
        Some(delivery)
    }

    /// Lets go of a member that left, once it has completed all it was sent.
    fn forget_if_settled(&mut self, key: Key<Member>) {
        if self.members.get(key).is_some_and(|member| member.has_left && member.outstanding == 0) {
            self.members.remove(key);
        }
    }
}

/// What a strategy that hashes does with a message; who owns its key is looked up once as long as the ring is the same.
fn fate(members: &Members, seed: Seed, strategy: Strategy, waiting: &mut Waiting, now: Time) -> Fate {
    if waiting.message.has_expired(now) {
        return Fate::Expired;
    }
    if !members.has_ready() {
        return Fate::Wait;
    }
    let generation = members.ring().generation();
    let owner = match waiting.owner {
        Some((known, owner)) if known == generation => owner,
        Some(_) | None => {
            let hash = if strategy == Strategy::HashTopic {
                seed.hash_bytes(waiting.message.topic().as_bytes())
            } else {
                seed.hash_bytes(&waiting.message.origin.get().to_le_bytes())
            };
            let owner = members.ring().owner(hash).expect("a group with a ready member has a ring");
            waiting.owner = Some((generation, owner));
            owner
        }
    };
    let has_room = members.get(owner).is_some_and(Member::has_room);
    if has_room { Fate::Send(owner) } else { Fate::Wait }
}
