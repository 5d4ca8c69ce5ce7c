//! The client's QoS 2 messages between PUBLISH and PUBREL, so that none is routed twice.

use super::state::{ReceiveAction, ReceiveEvent, Receiving};
use crate::base::rare::Empty;
use crate::mqtt::PacketId;

/// The packet identifiers under which a client has QoS 2 messages open. One per session; empty it holds no heap.
///
/// Four bytes an identifier, sorted. A client counts its identifiers upwards and releases the oldest first, so an arrival
/// appends, and a release moves what is behind it: 400 bytes at a Receive Maximum of 100. The bound on one connection is
/// the caller's, by [`Received::open_here`]; identifiers that a client leaves open over many connections are 65,535 at most.
#[derive(Clone, Debug, Default)]
pub struct Received {
    open: Vec<Open>,
    /// How many of them count against our Receive Maximum on the present connection.
    here: u16,
}

/// The state is never [`Receiving::Unknown`]: such an identifier has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    id: PacketId,
    state: Receiving,
    is_here: bool,
}

/// What a QoS 2 PUBLISH of the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A new message: route it.
    New,
    /// A repeat of one that is stored: answer PUBREC.
    Duplicate,
    /// A repeat of one that is still on its way: answer PUBREC when that is stored.
    StillRouting,
}

impl Empty for Received {
    const EMPTY: &'static Self = &Self::new();
}

impl Received {
    /// None open.
    pub const fn new() -> Self {
        Self { open: Vec::new(), here: 0 }
    }

    /// A PUBLISH arrives, DUP or not.
    pub fn publish(&mut self, id: PacketId) -> Arrival {
        let action = self.apply(id, ReceiveEvent::Publish);
        self.count_here(id);
        match action {
            ReceiveAction::Route => Arrival::New,
            ReceiveAction::AnswerPubRec => Arrival::Duplicate,
            ReceiveAction::AnswerWhenStored => Arrival::StillRouting,
            ReceiveAction::Ignore
            | ReceiveAction::AnswerPubRecRefused
            | ReceiveAction::AnswerPubComp
            | ReceiveAction::AnswerPubCompNotFound => unreachable!("a PUBLISH is routed or answered, not {action:?}"),
        }
    }

    /// Every shard that was asked has stored the message; whether a connection waits for PUBREC.
    pub fn stored(&mut self, id: PacketId) -> bool {
        self.apply(id, ReceiveEvent::Stored) == ReceiveAction::AnswerPubRec
    }

    /// The message was refused, and the identifier is free; whether a connection waits for PUBREC.
    pub fn refused(&mut self, id: PacketId) -> bool {
        self.apply(id, ReceiveEvent::Refused) == ReceiveAction::AnswerPubRecRefused
    }

    /// Whether a message is open under `id`.
    pub fn contains(&self, id: PacketId) -> bool {
        self.open.binary_search_by_key(&id, |open| open.id).is_ok()
    }

    /// PUBREL; whether it belongs to a stored message. If not, PUBCOMP says 0x92.
    pub fn release(&mut self, id: PacketId) -> bool {
        self.apply(id, ReceiveEvent::PubRel) == ReceiveAction::AnswerPubComp
    }

    /// The connection is gone: nobody waits for a PUBREC, and the next one counts afresh.
    pub fn connection_lost(&mut self) {
        for open in &mut self.open {
            open.state = open.state.step(ReceiveEvent::ConnectionLost).0;
            open.is_here = false;
        }
        self.here = 0;
        self.open.shrink_to_fit();
    }

    /// The identifiers that count against our Receive Maximum: those published on the present connection.
    pub fn open_here(&self) -> u16 {
        self.here
    }

    /// Those whose messages are not stored everywhere.
    pub fn routing(&self) -> impl Iterator<Item = PacketId> {
        self.open.iter().filter(|open| open.state != Receiving::Received).map(|open| open.id)
    }

    /// How many identifiers are open, whatever connection they are from.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// All of them.
    pub fn ids(&self) -> impl Iterator<Item = PacketId> {
        self.open.iter().map(|open| open.id)
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Asserts the invariants.
    ///
    /// # Panics
    /// When the identifiers are not sorted and distinct, one has no state, or the count is wrong.
    pub fn check(&self) {
        assert!(self.open.is_sorted_by(|a, b| a.id < b.id), "identifiers are sorted and distinct");
        assert!(self.open.iter().all(|open| open.state != Receiving::Unknown), "an unknown identifier has no entry");
        let here = self.open.iter().filter(|open| open.is_here).count();
        assert_eq!(here, usize::from(self.here), "those of the present connection are counted");
    }

    fn apply(&mut self, id: PacketId, event: ReceiveEvent) -> ReceiveAction {
        let place = self.find(id);
        let was = place.map_or(Receiving::Unknown, |index| self.open[index].state);
        let (state, action) = was.step(event);
        match place {
            Ok(index) if state == Receiving::Unknown => self.forget(index),
            Ok(index) => self.open[index].state = state,
            Err(index) if state != Receiving::Unknown => self.open.insert(index, Open { id, state, is_here: false }),
            Err(_) => {}
        }
        action
    }

    fn forget(&mut self, index: usize) {
        let open = self.open.remove(index);
        self.here -= u16::from(open.is_here);
    }

    fn count_here(&mut self, id: PacketId) {
        let index = self.find(id).expect("what was published is open");
        let open = &mut self.open[index];
        self.here += u16::from(!open.is_here);
        open.is_here = true;
    }

    /// Where `id` is, or where it belongs.
    fn find(&self, id: PacketId) -> Result<usize, usize> {
        match self.open.last() {
            None => Err(0),
            Some(last) if last.id < id => Err(self.open.len()),
            Some(_) => self.open.binary_search_by_key(&id, |open| open.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Random;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn empty_it_holds_no_heap() {
        let received = Received::default();
        assert_eq!(received.open.capacity(), 0);
        assert!(size_of::<Open>() <= 4 && size_of::<Received>() <= 32);
    }

    #[test]
    fn a_message_is_routed_once_until_it_is_released() {
        let mut received = Received::default();
        assert_eq!(received.publish(id(9)), Arrival::New);
        assert_eq!(received.publish(id(9)), Arrival::StillRouting);
        assert!(received.stored(id(9)));
        assert_eq!(received.publish(id(9)), Arrival::Duplicate);
        assert!(received.release(id(9)));
        assert_eq!(received.publish(id(9)), Arrival::New);
    }

    #[test]
    fn a_release_of_nothing_or_before_pubrec_is_not_found() {
        let mut received = Received::default();
        assert!(!received.release(id(1)));
        received.publish(id(1));
        assert!(!received.release(id(1)));
        assert_eq!(received.publish(id(1)), Arrival::StillRouting, "the message is still on its way");
    }

    #[test]
    fn after_a_refusal_the_identifier_is_new() {
        let mut received = Received::default();
        received.publish(id(3));
        assert!(received.refused(id(3)));
        assert!(received.is_empty());
        assert_eq!(received.publish(id(3)), Arrival::New);
    }

    #[test]
    fn a_message_that_was_on_its_way_when_the_connection_went_is_not_routed_again() {
        let mut received = Received::default();
        received.publish(id(3));
        received.publish(id(4));
        received.connection_lost();
        assert!(!received.stored(id(3)), "nobody waits");
        assert_eq!(received.publish(id(3)), Arrival::Duplicate);
        assert_eq!(received.publish(id(4)), Arrival::StillRouting);
        assert!(received.stored(id(4)), "the new connection waits");
    }

    #[test]
    fn identifiers_of_an_earlier_connection_do_not_count_until_they_are_repeated() {
        let mut received = Received::default();
        for number in 1..=5 {
            received.publish(id(number));
            received.stored(id(number));
        }
        assert_eq!(received.open_here(), 5);
        received.connection_lost();
        assert_eq!((received.open_here(), received.len()), (0, 5));
        received.publish(id(2));
        received.publish(id(2));
        assert_eq!(received.open_here(), 1);
        received.release(id(1));
        assert_eq!(received.open_here(), 1);
        received.release(id(2));
        assert_eq!(received.open_here(), 0);
        received.check();
    }

    /// The model knows the statements of the standard only: what is routed, what is held, what was seen here.
    #[derive(Default)]
    struct Model {
        open: BTreeMap<u16, Expected>,
    }

    struct Expected {
        is_stored: bool,
        waits: bool,
        is_here: bool,
    }

    impl Model {
        fn publish(&mut self, number: u16) -> Arrival {
            let Some(open) = self.open.get_mut(&number) else {
                self.open.insert(number, Expected { is_stored: false, waits: true, is_here: true });
                return Arrival::New;
            };
            (open.waits, open.is_here) = (true, true);
            if open.is_stored { Arrival::Duplicate } else { Arrival::StillRouting }
        }

        fn stored(&mut self, number: u16) -> bool {
            let Some(open) = self.open.get_mut(&number) else { return false };
            !std::mem::replace(&mut open.is_stored, true) && open.waits
        }

        fn refused(&mut self, number: u16) -> bool {
            match self.open.get(&number) {
                Some(open) if !open.is_stored => self.open.remove(&number).is_some_and(|open| open.waits),
                Some(_) | None => false,
            }
        }

        fn release(&mut self, number: u16) -> bool {
            self.open.get(&number).is_some_and(|open| open.is_stored) && self.open.remove(&number).is_some()
        }

        fn connection_lost(&mut self) {
            for open in self.open.values_mut() {
                (open.waits, open.is_here) = (false, false);
            }
        }
    }

    #[test]
    fn it_behaves_like_a_map_under_random_operations() {
        for seed in 0..5 {
            let mut random = Random::from_seed(seed);
            let highest = [3, 20, 100, 1_000, 65_535][usize::try_from(seed).unwrap()];
            let (mut received, mut model) = (Received::default(), Model::default());
            for step in 0..50_000 {
                let number = u16::try_from(random.range(1, highest)).unwrap();
                let id = id(number);
                match random.below(100) {
                    0..40 => assert_eq!(received.publish(id), model.publish(number), "seed {seed}, step {step}"),
                    40..65 => assert_eq!(received.stored(id), model.stored(number), "seed {seed}, step {step}"),
                    65..72 => assert_eq!(received.refused(id), model.refused(number), "seed {seed}, step {step}"),
                    72..99 => assert_eq!(received.release(id), model.release(number), "seed {seed}, step {step}"),
                    _ => {
                        received.connection_lost();
                        model.connection_lost();
                    }
                }
                assert_eq!(received.contains(id), model.open.contains_key(&number));
                assert_eq!(received.len(), model.open.len());
                if step % 64 == 0 {
                    received.check();
                    let here = model.open.values().filter(|open| open.is_here).count();
                    assert_eq!(usize::from(received.open_here()), here);
                }
            }
        }
    }
}
