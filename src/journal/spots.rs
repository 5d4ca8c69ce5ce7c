//! Where single records lie, for those who read one of them again.
//!
//! What memory does not hold is looked up in the journal by its [`Spot`]. The record is checked against the number that it was written
//! under, so bytes that have become something else are never taken for it.

use super::epoch::Epoch;
use super::place::{JournalId, Place};
use super::record::Record;
use crate::engine::change::{Change, Serial};
use crate::engine::message::Message;
use crate::engine::output::Wanted;
use crate::engine::stowage::{Spot, StowKey};

/// The spot of a record of so many bytes; none in a segment or at a position that is too high for one.
pub fn spot(record: Serial, place: Place, bytes: u32) -> Option<Spot> {
    let segment = u32::try_from(place.segment.get()).ok()?;
    let position = u32::try_from(place.position).ok()?;
    Some(Spot { record, segment, position, bytes })
}

/// The message that a record tells, if that is the one that is wanted and these are its bytes.
pub fn message_in(bytes: &[u8], wanted: Wanted, id: JournalId, epoch: Epoch) -> Option<Message> {
    let record = Record::parse_alone(bytes, wanted.spot.record, id).ok()?;
    let change = record.change(epoch).ok()??;
    if let Change::Body { message } = change {
        return (wanted.spot.record == wanted.body).then_some(message);
    }
    let Change::BodyAgain { body, message } = change else { return None };
    (body == wanted.body).then_some(message)
}

/// A record of a group that somebody wants to find again.
#[derive(Clone, Copy, Debug)]
pub struct Marked {
    /// For whom.
    pub key: StowKey,
    /// The number of its change.
    pub record: Serial,
    /// Where in the frame it begins.
    pub at: usize,
    /// How long it is.
    pub bytes: usize,
}

impl Marked {
    /// Where it lies, once its frame lies at this place.
    pub fn spot(&self, frame: Place) -> Option<(StowKey, Spot)> {
        let place = Place { position: frame.position + self.at as u64, ..frame };
        let bytes = u32::try_from(self.bytes).ok()?;
        Some((self.key, spot(self.record, place, bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::message::SessionId;
    use crate::engine::stowage::Stowage;
    use crate::journal::arbitrary::EPOCH;
    use crate::journal::group::Group;
    use crate::journal::place::SegmentNumber;
    use crate::mqtt::QoS;

    const ID: JournalId = JournalId::new([7; 16]);
    const FRAME: Place = Place { segment: SegmentNumber::new(3), position: 8192 };

    fn message(text: &str) -> Message {
        Message::copied("t", text.as_bytes(), QoS::AtLeastOnce, SessionId::BROKER)
    }

    /// A frame of two messages, and where they are: the first one is told again under the number 5.
    fn frame() -> (Vec<u8>, [Wanted; 2]) {
        let key = Stowage::new(0, Seed::new(1)).stow(Serial::new(5), message("one"));
        let mut group = Group::new(ID, EPOCH);
        let changes = [
            (Serial::new(40), Change::BodyAgain { body: Serial::new(5), message: message("one") }),
            (Serial::new(41), Change::Body { message: message("two") }),
        ];
        let marked = changes.map(|(record, change)| {
            let at = group.next_at();
            let bytes = group.push(record, &change);
            Marked { key, record, at, bytes }
        });
        let bodies = [Serial::new(5), Serial::new(41)];
        let mut wanted = bodies.into_iter().zip(marked).map(|(body, marked)| {
            let (_, spot) = marked.spot(FRAME).unwrap();
            Wanted { body, spot }
        });
        let wanted = [wanted.next().unwrap(), wanted.next().unwrap()];
        (group.seal(FRAME).to_vec(), wanted)
    }

    fn bytes_of(frame: &[u8], spot: Spot) -> &[u8] {
        let start = spot.position as usize - usize::try_from(FRAME.position).unwrap();
        &frame[start..start + spot.bytes as usize]
    }

    #[test]
    fn a_message_is_found_again_where_its_record_lies() {
        let (frame, wanted) = frame();
        for (wanted, text) in wanted.into_iter().zip(["one", "two"]) {
            let found = message_in(bytes_of(&frame, wanted.spot), wanted, ID, EPOCH).unwrap();
            assert_eq!((found.topic(), found.payload()), ("t", text.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_the_message_is_not_taken_for_it() {
        let (mut frame, [one, two]) = frame();
        assert!(message_in(bytes_of(&frame, two.spot), one, ID, EPOCH).is_none(), "another record");
        assert!(message_in(bytes_of(&frame, one.spot), Wanted { body: Serial::new(6), ..one }, ID, EPOCH).is_none());
        assert!(message_in(bytes_of(&frame, two.spot), Wanted { body: Serial::new(6), ..two }, ID, EPOCH).is_none());
        assert!(message_in(bytes_of(&frame, one.spot), one, JournalId::new([8; 16]), EPOCH).is_none());
        let start = one.spot.position as usize - usize::try_from(FRAME.position).unwrap();
        frame[start + 9] ^= 1;
        assert!(message_in(bytes_of(&frame, one.spot), one, ID, EPOCH).is_none(), "a flipped bit");
    }

    #[test]
    fn what_lies_too_far_out_has_no_spot() {
        let far = Place { segment: SegmentNumber::new(3), position: 1 << 32 };
        assert!(spot(Serial::new(1), far, 9).is_none());
        assert!(spot(Serial::new(1), Place { segment: SegmentNumber::new(1 << 32), position: 0 }, 9).is_none());
    }
}
