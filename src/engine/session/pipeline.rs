//! Answers of one connection, which leave in the order of the requests, each when all that it waits for has spoken.
//!
//! A PUBACK waits for every shard that was asked to store the message, a SUBACK for every shard that holds a part of the
//! subscription. An answer that is ready stays behind one that is not. The standard asks clients for that order of
//! acknowledgements, [MQTT-4.6.0-2] and [MQTT-4.6.0-3]; we keep it as well, and for SUBACK and UNSUBACK too, so that a
//! client sees answers as it made requests.

use std::collections::VecDeque;

use crate::base::rare::Empty;
use crate::mqtt::{PacketId, Reason};

/// An answer that is owed to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// To a QoS 1 PUBLISH.
    PubAck {
        /// The identifier of the PUBLISH.
        id: PacketId,
        /// Why it was refused before anybody was asked.
        refusal: Option<Reason>,
    },
    /// To a QoS 2 PUBLISH.
    PubRec {
        /// The identifier of the PUBLISH.
        id: PacketId,
        /// Why it was refused before anybody was asked.
        refusal: Option<Reason>,
    },
    /// To a SUBSCRIBE.
    SubAck {
        /// The identifier of the SUBSCRIBE.
        id: PacketId,
        /// One code a filter, in the order of the filters.
        codes: Vec<Reason>,
    },
    /// To an UNSUBSCRIBE.
    UnsubAck {
        /// The identifier of the UNSUBSCRIBE.
        id: PacketId,
        /// One code a filter, in the order of the filters.
        codes: Vec<Reason>,
    },
}

/// What became of a message, on one shard or on several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts that shards add up")]
pub struct Outcome {
    /// Some subscription matched.
    pub matched: bool,
    /// Some receiver took it.
    pub stored: bool,
    /// Some receiver had no room for it.
    pub refused: bool,
    /// The store of retained messages keeps it.
    pub kept: bool,
    /// Something was noted of it that has to be safe before it is acknowledged.
    pub noted: bool,
}

/// Stands for one answer that is owed. It leads nowhere once the answer has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u32);

impl Ticket {
    /// The ticket that was given so many answers later.
    #[must_use]
    pub fn after(self, answers: u32) -> Self {
        Self(self.0.wrapping_add(answers))
    }
}

/// What became of the messages of a run, in their order. Where they all fared alike it holds no heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// That of the first ones.
    first: Outcome,
    /// How many they are.
    count: u32,
    /// That of each one behind them.
    others: Vec<Outcome>,
}

impl Outcomes {
    /// So many more messages fared like this.
    pub fn push(&mut self, outcome: Outcome, count: u32) {
        if self.others.is_empty() && (self.count == 0 || self.first == outcome) {
            self.first = outcome;
            self.count += count;
        } else {
            self.others.extend((0..count).map(|_| outcome));
        }
    }

    /// Whether something was noted of any of them.
    pub fn are_noted(&self) -> bool {
        self.iter().any(|outcome| outcome.noted)
    }

    /// The same, once what was noted is safe.
    #[must_use]
    pub fn safe(self) -> Self {
        let mut safe = Self::default();
        self.iter().for_each(|outcome| safe.push(outcome.safe(), 1));
        safe
    }

    /// Each one.
    pub fn iter(&self) -> impl Iterator<Item = Outcome> {
        (0..self.count).map(|_| self.first).chain(self.others.iter().copied())
    }
}

/// The answers that one connection is owed. One per connection; unused it holds no heap.
///
/// Its length is bounded by the caller, who reads no further requests when too many are open: the acknowledgements among
/// them are at most our Receive Maximum.
#[derive(Debug, Default)]
pub struct Pipeline {
    open: VecDeque<Open>,
    /// The ticket of the first open answer; the others follow. Tickets return after 2^32 answers of one connection,
    /// by which time nobody holds the old ones.
    first: u32,
    pubacks: u32,
    pubrecs: u32,
}

#[derive(Debug)]
struct Open {
    due: Due,
    outcome: Outcome,
    /// How many have not yet spoken.
    waits: u16,
}

impl Outcome {
    /// Somebody has it.
    pub const fn stored() -> Self {
        Self { matched: true, stored: true, refused: false, kept: false, noted: false }
    }

    /// What two shards say together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            matched: self.matched | other.matched,
            stored: self.stored | other.stored,
            refused: self.refused | other.refused,
            kept: self.kept | other.kept,
            noted: self.noted | other.noted,
        }
    }

    /// The same, once what was noted is safe.
    #[must_use]
    pub fn safe(self) -> Self {
        Self { noted: false, ..self }
    }

    /// The reason code of PUBACK or PUBREC. The publisher hears of a refusal only when nobody took the message: sent
    /// again, it would reach those who have it twice. A retained message that is kept reaches who subscribes next.
    pub fn reason(self) -> Reason {
        if self.refused && !self.stored && !self.kept {
            Reason::QuotaExceeded
        } else if self.stored || self.matched {
            Reason::Success
        } else {
            Reason::NoMatchingSubscribers
        }
    }
}

impl Empty for Pipeline {
    const EMPTY: &'static Self = &Self { open: VecDeque::new(), first: 0, pubacks: 0, pubrecs: 0 };
}

impl Pipeline {
    /// Owes an answer that waits for `waits` others to speak, `outcome` being what is known already.
    ///
    /// # Panics
    /// When 2^32 answers are owed: the bound on them is the caller's.
    pub fn push(&mut self, due: Due, waits: u16, outcome: Outcome) -> Ticket {
        let sequence = u32::try_from(self.open.len()).expect("a connection is owed fewer than 2^32 answers");
        if let Some(count) = self.count_of(&due) {
            *count += 1;
        }
        self.open.push_back(Open { due, outcome, waits });
        Ticket(self.first.wrapping_add(sequence))
    }

    /// One of those that the answer waits for speaks. What comes late or once too often is ignored.
    pub fn resolve(&mut self, ticket: Ticket, outcome: Outcome) {
        let Some(open) = self.waiting(ticket) else { return };
        open.waits -= 1;
        open.outcome = open.outcome.merge(outcome);
    }

    /// One of those that a SUBACK or UNSUBACK waits for speaks, with the code of the filter at `index`.
    ///
    /// # Panics
    /// When the answer has no such filter, which an answer of ours never says.
    pub fn resolve_code(&mut self, ticket: Ticket, index: usize, reason: Reason) {
        let Some(open) = self.waiting(ticket) else { return };
        open.waits -= 1;
        match &mut open.due {
            Due::SubAck { codes, .. } | Due::UnsubAck { codes, .. } => codes[index] = reason,
            Due::PubAck { .. } | Due::PubRec { .. } => unreachable!("a message has an outcome, not a code a filter"),
        }
    }

    /// Takes the first answer if all have spoken that it waits for.
    pub fn pop_ready(&mut self) -> Option<(Due, Outcome)> {
        let open = self.open.pop_front_if(|open| open.waits == 0)?;
        self.first = self.first.wrapping_add(1);
        if let Some(count) = self.count_of(&open.due) {
            *count -= 1;
        }
        Some((open.due, open.outcome))
    }

    /// How many answers are owed.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is owed.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The acknowledgements of messages that are owed.
    pub fn publishes_open(&self) -> u32 {
        self.pubacks + self.pubrecs
    }

    /// The PUBACKs that are owed. QoS 2 messages count against our Receive Maximum until PUBREL: those are counted by
    /// [`Received::open_here`](super::received::Received::open_here), and the sum of the two is what the client has open.
    pub fn pubacks_open(&self) -> u32 {
        self.pubacks
    }

    /// Gives the memory back if nothing is owed.
    pub fn shrink_if_empty(&mut self) {
        if self.open.is_empty() {
            self.open = VecDeque::new();
        }
    }

    /// Asserts the invariant.
    ///
    /// # Panics
    /// When the counts are not those of what is open.
    pub fn check(&self) {
        let pubacks = self.open.iter().filter(|open| matches!(open.due, Due::PubAck { .. })).count();
        let pubrecs = self.open.iter().filter(|open| matches!(open.due, Due::PubRec { .. })).count();
        assert_eq!((pubacks, pubrecs), (self.pubacks as usize, self.pubrecs as usize), "acknowledgements are counted");
    }

    /// The answer that the ticket stands for, if it still waits for anybody.
    fn waiting(&mut self, ticket: Ticket) -> Option<&mut Open> {
        let index = usize::try_from(ticket.0.wrapping_sub(self.first)).expect("a usize has 32 bits or more");
        self.open.get_mut(index).filter(|open| open.waits > 0)
    }

    fn count_of(&mut self, due: &Due) -> Option<&mut u32> {
        match due {
            Due::PubAck { .. } => Some(&mut self.pubacks),
            Due::PubRec { .. } => Some(&mut self.pubrecs),
            Due::SubAck { .. } | Due::UnsubAck { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    const STORED: Outcome = Outcome::stored();
    const REFUSED: Outcome = Outcome { matched: true, stored: false, refused: true, kept: false, noted: false };
    const NOTHING: Outcome = Outcome { matched: false, stored: false, refused: false, kept: false, noted: false };

    fn puback(number: u16) -> Due {
        Due::PubAck { id: PacketId::new(number).unwrap(), refusal: None }
    }

    fn pubrec(number: u16) -> Due {
        Due::PubRec { id: PacketId::new(number).unwrap(), refusal: None }
    }

    fn popped(pipeline: &mut Pipeline) -> Vec<Due> {
        std::iter::from_fn(|| pipeline.pop_ready()).map(|(due, _)| due).collect()
    }

    #[test]
    fn unused_it_holds_no_heap() {
        let mut pipeline = Pipeline::default();
        assert_eq!(pipeline.open.capacity(), 0);
        pipeline.push(puback(1), 0, NOTHING);
        pipeline.pop_ready();
        pipeline.shrink_if_empty();
        assert_eq!(pipeline.open.capacity(), 0);
    }

    #[test]
    fn outcomes_of_a_run_keep_their_order() {
        let mut outcomes = Outcomes::default();
        outcomes.push(STORED, 3);
        outcomes.push(STORED, 2);
        assert_eq!(outcomes.others.capacity(), 0, "alike they need no heap");
        outcomes.push(REFUSED, 1);
        outcomes.push(STORED, 1);
        let all: Vec<_> = outcomes.iter().collect();
        assert_eq!(all, [STORED, STORED, STORED, STORED, STORED, REFUSED, STORED]);
        assert_eq!(Outcomes::default().iter().count(), 0);
    }

    #[test]
    fn tickets_of_a_run_follow_each_other() {
        let mut pipeline = Pipeline { first: u32::MAX - 1, ..Pipeline::default() };
        let first = pipeline.push(puback(1), 1, NOTHING);
        for number in 2..=4 {
            assert_eq!(pipeline.push(puback(number), 1, NOTHING), first.after(u32::from(number) - 1));
        }
    }

    #[test]
    fn an_answer_that_is_ready_stays_behind_one_that_is_not() {
        let mut pipeline = Pipeline::default();
        let first = pipeline.push(puback(1), 2, NOTHING);
        let second = pipeline.push(pubrec(2), 1, NOTHING);
        pipeline.push(puback(3), 0, STORED);
        pipeline.resolve(second, STORED);
        pipeline.resolve(first, STORED);
        assert_eq!(popped(&mut pipeline), []);
        pipeline.resolve(first, NOTHING);
        assert_eq!(popped(&mut pipeline), [puback(1), pubrec(2), puback(3)]);
    }

    #[test]
    fn what_comes_late_or_once_too_often_is_ignored() {
        let mut pipeline = Pipeline::default();
        let gone = pipeline.push(puback(1), 0, STORED);
        assert_eq!(popped(&mut pipeline), [puback(1)]);
        let blocked = pipeline.push(puback(2), 1, NOTHING);
        let ready = pipeline.push(puback(3), 1, NOTHING);
        pipeline.resolve(ready, REFUSED);
        pipeline.resolve(ready, STORED);
        pipeline.resolve(gone, STORED);
        pipeline.resolve_code(gone, 5, Reason::Success);
        pipeline.resolve(blocked, NOTHING);
        assert_eq!(pipeline.pop_ready(), Some((puback(2), NOTHING)));
        assert_eq!(pipeline.pop_ready(), Some((puback(3), REFUSED)));
        assert_eq!(pipeline.pop_ready(), None);
    }

    #[test]
    fn each_filter_gets_the_code_of_the_shard_that_holds_it() {
        let id = PacketId::new(7).unwrap();
        let mut pipeline = Pipeline::default();
        let codes = vec![Reason::GrantedQoS1, Reason::Success, Reason::NotAuthorized];
        let ticket = pipeline.push(Due::SubAck { id, codes }, 1, NOTHING);
        assert_eq!(pipeline.pop_ready(), None);
        pipeline.resolve_code(ticket, 1, Reason::QuotaExceeded);
        let codes = vec![Reason::GrantedQoS1, Reason::QuotaExceeded, Reason::NotAuthorized];
        assert_eq!(pipeline.pop_ready(), Some((Due::SubAck { id, codes }, NOTHING)));
    }

    #[test]
    fn what_several_shards_say_counts_once() {
        let all = Outcome { matched: true, stored: true, refused: true, kept: true, noted: true };
        assert_eq!((all.merge(all), all.merge(NOTHING), NOTHING.merge(all)), (all, all, all));
        assert_eq!(NOTHING.merge(NOTHING), NOTHING);
    }

    #[test]
    fn the_reason_is_a_failure_only_when_nobody_took_the_message() {
        let also_refused = STORED.merge(REFUSED);
        assert_eq!(also_refused, Outcome { matched: true, stored: true, refused: true, kept: false, noted: false });
        let matched = Outcome { matched: true, ..NOTHING };
        let kept = Outcome { kept: true, ..REFUSED };
        let kept_only = Outcome { kept: true, ..NOTHING };
        assert_eq!([kept, kept_only].map(Outcome::reason), [Reason::Success, Reason::NoMatchingSubscribers]);
        assert_eq!(
            [STORED, also_refused, REFUSED, matched, NOTHING].map(Outcome::reason),
            [Reason::Success, Reason::Success, Reason::QuotaExceeded, Reason::Success, Reason::NoMatchingSubscribers]
        );
    }

    #[test]
    fn only_acknowledgements_of_messages_count_as_open() {
        let id = PacketId::new(7).unwrap();
        let mut pipeline = Pipeline::default();
        pipeline.push(puback(1), 0, NOTHING);
        pipeline.push(Due::UnsubAck { id, codes: vec![Reason::Success] }, 0, NOTHING);
        pipeline.push(pubrec(2), 0, NOTHING);
        assert_eq!((pipeline.publishes_open(), pipeline.pubacks_open(), pipeline.len()), (2, 1, 3));
        popped(&mut pipeline);
        assert_eq!((pipeline.publishes_open(), pipeline.pubacks_open()), (0, 0));
    }

    #[test]
    fn tickets_go_on_over_the_end_of_their_numbers() {
        let mut pipeline = Pipeline { first: u32::MAX, ..Pipeline::default() };
        let last = pipeline.push(puback(1), 1, NOTHING);
        let zero = pipeline.push(puback(2), 1, NOTHING);
        assert_eq!((last, zero), (Ticket(u32::MAX), Ticket(0)));
        pipeline.resolve(zero, STORED);
        pipeline.resolve(last, STORED);
        assert_eq!(popped(&mut pipeline), [puback(1), puback(2)]);
        pipeline.resolve(last, STORED);
        assert!(pipeline.is_empty());
    }

    /// An answer of the model, and whether the shadow still expects words for it.
    struct Shadow {
        ticket: Ticket,
        due: Due,
        outcome: Outcome,
        waits: u16,
    }

    fn any_outcome(random: &mut Random) -> Outcome {
        Outcome {
            matched: random.chance(1, 2),
            stored: random.chance(1, 3),
            refused: random.chance(1, 4),
            kept: random.chance(1, 5),
            noted: random.chance(1, 6),
        }
    }

    fn any_due(random: &mut Random, step: usize) -> Due {
        let id = PacketId::new(u16::try_from(step % 65_535).unwrap() + 1).unwrap();
        match random.below(4) {
            0 => Due::SubAck { id, codes: vec![Reason::GrantedQoS1; 8] },
            1 => Due::PubRec { id, refusal: None },
            _ => Due::PubAck { id, refusal: None },
        }
    }

    #[test]
    fn it_behaves_like_a_list_under_random_operations() {
        for seed in 0..5 {
            let mut random = Random::from_seed(seed);
            let mut pipeline = Pipeline { first: u32::MAX - 1_000, ..Pipeline::default() };
            let (mut shadows, mut gone) = (VecDeque::<Shadow>::new(), Vec::<Ticket>::new());
            for step in 0..50_000 {
                match random.below(10) {
                    0..2 => {
                        let (due, outcome) = (any_due(&mut random, step), any_outcome(&mut random));
                        let waits = u16::try_from(random.below(4)).unwrap();
                        let ticket = pipeline.push(due.clone(), waits, outcome);
                        shadows.push_back(Shadow { ticket, due, outcome, waits });
                    }
                    2..6 if !shadows.is_empty() => {
                        let index = random.index(shadows.len().min(20)).min(random.index(4));
                        speak(&mut random, &mut pipeline, &mut shadows[index]);
                    }
                    6 if !gone.is_empty() => {
                        let ticket = gone[gone.len() - 1 - random.index(gone.len().min(500))];
                        pipeline.resolve(ticket, STORED);
                    }
                    _ => {
                        let is_ready = shadows.front().is_some_and(|shadow| shadow.waits == 0);
                        let expected = if is_ready { shadows.pop_front() } else { None };
                        gone.extend(expected.as_ref().map(|shadow| shadow.ticket));
                        let expected = expected.map(|shadow| (shadow.due, shadow.outcome));
                        assert_eq!(pipeline.pop_ready(), expected, "seed {seed}, step {step}");
                    }
                }
                assert_eq!(pipeline.len(), shadows.len());
                if step % 256 == 0 {
                    pipeline.check();
                }
            }
            assert!(gone.len() > 5_000, "answers left");
        }
    }

    /// The pipeline and its shadow hear the same; the shadow counts only what it waits for.
    fn speak(random: &mut Random, pipeline: &mut Pipeline, shadow: &mut Shadow) {
        let is_awaited = shadow.waits > 0;
        shadow.waits = shadow.waits.saturating_sub(1);
        if let Due::SubAck { codes, .. } = &mut shadow.due {
            let index = random.index(codes.len());
            pipeline.resolve_code(shadow.ticket, index, Reason::QuotaExceeded);
            if is_awaited {
                codes[index] = Reason::QuotaExceeded;
            }
        } else {
            let outcome = any_outcome(random);
            pipeline.resolve(shadow.ticket, outcome);
            if is_awaited {
                shadow.outcome = shadow.outcome.merge(outcome);
            }
        }
    }
}
