//! One change on disk: its content between a checksum and the number it goes by.
//!
//! ```text
//! checksum  4 bytes, CRC-32C over the journal's uuid, the serial (8 bytes) and the content
//! length    varint: bytes of the content
//! offset    varint: the serial, counted from the first one of the frame
//! content   the kind, then its fields
//! ```
//! The checksum covers the serial itself and not the offset, so a record keeps it wherever it is moved, and one that is read alone
//! is checked against the number that it was looked for under. A wrong length or offset shows in the checksum.

use super::content;
use super::epoch::Epoch;
use super::place::JournalId;
use super::varint;
use crate::base::checksum::Crc32c;
use crate::engine::change::{Change, Serial};

/// Why bytes are no record, or no record that this version understands.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum RecordError {
    #[error("a field reaches past the end")]
    Truncated,
    #[error("bytes are left behind the last field")]
    Trailing,
    #[error("a number that is not in its shortest form, or has more than 64 bits")]
    Varint,
    #[error("no valid {name}")]
    Field { name: &'static str },
    #[error("its checksum is wrong")]
    Checksum,
    #[error("the number {serial} does not come after {previous}")]
    Order { serial: u64, previous: u64 },
    #[error("kind {kind} is of a newer version and must not be passed over")]
    UnknownKind { kind: u8 },
}

/// A record that was found whole, still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The number of its change.
    pub serial: Serial,
    /// Its kind and its fields.
    content: &'a [u8],
    checksum: u32,
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`, which lie in a frame whose first number is `first`; also says how many bytes it took.
    pub fn parse(bytes: &'a [u8], first: Serial, id: JournalId) -> Result<(Self, usize), RecordError> {
        let (checksum, rest) = bytes.split_first_chunk().ok_or(RecordError::Truncated)?;
        let (content_len, len_len) = varint::decode(rest)?;
        let (offset, offset_len) = varint::decode(&rest[len_len..])?;
        let start = len_len + offset_len;
        let content_len = usize::try_from(content_len).map_err(|_too_long| RecordError::Truncated)?;
        let content = rest[start..].get(..content_len).ok_or(RecordError::Truncated)?;
        let serial = first.get().checked_add(offset).ok_or(RecordError::Field { name: "serial" })?;
        let record = Self { serial: Serial::new(serial), content, checksum: u32::from_le_bytes(*checksum) };
        record.verify(id)?;
        Ok((record, checksum.len() + start + content_len))
    }

    /// Reads a record of which the number is known, without its frame: what is read back later.
    pub fn parse_alone(bytes: &'a [u8], serial: Serial, id: JournalId) -> Result<Self, RecordError> {
        let (checksum, rest) = bytes.split_first_chunk().ok_or(RecordError::Truncated)?;
        let (content_len, len_len) = varint::decode(rest)?;
        let (_, offset_len) = varint::decode(&rest[len_len..])?;
        let content = &rest[len_len + offset_len..];
        if content.len() as u64 != content_len {
            return Err(RecordError::Truncated);
        }
        let record = Self { serial, content, checksum: u32::from_le_bytes(*checksum) };
        record.verify(id)?;
        Ok(record)
    }

    /// The change that it tells; `None` if it is of a newer version and may be passed over.
    pub fn change(&self, epoch: Epoch) -> Result<Option<Change>, RecordError> {
        content::decode(self.serial, self.content, epoch)
    }

    /// Its checksum, a part of its frame's sum.
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }

    fn verify(&self, id: JournalId) -> Result<(), RecordError> {
        if checksum(id, self.serial, self.content) == self.checksum { Ok(()) } else { Err(RecordError::Checksum) }
    }
}

/// Appends the record of a change to a frame whose first number is `first`, and says what its checksum is.
///
/// The content is written once, behind room for a length of the width that is to be expected. Only where the estimate was
/// on the other side of a width's bound the content moves by a byte.
pub fn encode(
    (first, serial): (Serial, Serial),
    change: &Change,
    epoch: Epoch,
    id: JournalId,
    out: &mut Vec<u8>,
) -> u32 {
    let estimate = content::estimated_len(change);
    out.reserve(HEAD_BYTES_MAX + estimate);
    let start = out.len();
    let width = varint::encoded_len(estimate as u64);
    out.extend_from_slice(&[0; HEAD_BYTES_MAX][..CHECKSUM_BYTES + width]);
    varint::encode(offset(first, serial), out);
    let content_start = out.len();
    content::encode(serial, change, epoch, out);

    let checksum = checksum(id, serial, &out[content_start..]);
    let (checksum_bytes, rest) = out[start..].split_at_mut(CHECKSUM_BYTES);
    checksum_bytes.copy_from_slice(&checksum.to_le_bytes());
    let content_len = rest.len() - (content_start - start - CHECKSUM_BYTES);
    let (length, true_width) = varint::form(content_len as u64);
    if true_width == width {
        rest[..width].copy_from_slice(&length[..width]);
    } else {
        let place = start + CHECKSUM_BYTES..start + CHECKSUM_BYTES + width;
        drop(out.splice(place, length[..true_width].iter().copied()));
    }
    checksum
}

const CHECKSUM_BYTES: usize = 4;
/// The longest that stands in front of a content.
const HEAD_BYTES_MAX: usize = CHECKSUM_BYTES + 2 * varint::VARINT_BYTES_MAX;

fn offset(first: Serial, serial: Serial) -> u64 {
    debug_assert!(serial >= first, "the first record of a frame has the lowest number");
    serial.get() - first.get()
}

fn checksum(id: JournalId, serial: Serial, content: &[u8]) -> u32 {
    let mut checksum: Crc32c = id.checksum();
    checksum.update(&serial.get().to_le_bytes());
    checksum.update(content);
    checksum.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::engine::message::{Message, SessionId};
    use crate::journal::arbitrary::{EPOCH, any_change, content_of};
    use crate::mqtt::QoS;

    const ID: JournalId = JournalId::new([7; 16]);
    const FIRST: Serial = Serial::new(1_000);

    fn encoded(serial: Serial, change: &Change) -> Vec<u8> {
        let mut bytes = Vec::new();
        let checksum = encode((FIRST, serial), change, EPOCH, ID, &mut bytes);
        assert_eq!(bytes[..4], checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn a_record_has_its_bytes() {
        let change = Change::Settled { session: SessionId::restored(0x0705), copy: Serial::new(1_299) };
        let bytes = encoded(Serial::new(1_300), &change);
        let content = b"\x0c\x85\x0e\x01";
        let mut checksum = Crc32c::new();
        checksum.update(&[7; 16]);
        checksum.update(&1_300_u64.to_le_bytes());
        checksum.update(content);
        assert_eq!(bytes, [&checksum.value().to_le_bytes()[..], b"\x04\xac\x02", content].concat());
    }

    #[test]
    fn random_records_come_back_and_leave_alone_what_follows() {
        let mut random = Random::from_seed(1);
        for _ in 0..5_000 {
            let serial = Serial::new(random.range(1_000, 1_000_000));
            let change = any_change(serial, &mut random);
            let mut bytes = encoded(serial, &change);
            let len = bytes.len();
            bytes.extend_from_slice(b"more");
            let (record, taken) = Record::parse(&bytes, FIRST, ID).unwrap();
            let again = record.change(EPOCH).unwrap().unwrap();
            assert_eq!((record.serial, taken), (serial, len));
            assert_eq!(content_of(serial, &again), content_of(serial, &change));
            assert_eq!(Record::parse_alone(&bytes[..len], serial, ID), Ok(record));
            assert_eq!(Record::parse_alone(&bytes[..len], serial.next(), ID), Err(RecordError::Checksum));
            assert_eq!(Record::parse_alone(&bytes, serial, ID), Err(RecordError::Truncated));
        }
    }

    #[test]
    fn a_length_has_its_shortest_form_whatever_was_expected() {
        for len in (0..400).chain(16_200..16_500) {
            let message = Message::copied("t", &vec![1; len], QoS::AtLeastOnce, SessionId::BROKER);
            let bytes = encoded(Serial::new(1_001), &Change::Body { message });
            assert_eq!(Record::parse(&bytes, FIRST, ID).map(|(_, taken)| taken), Ok(bytes.len()), "{len} bytes");
        }
    }

    #[test]
    fn no_flipped_bit_and_no_prefix_is_taken_for_the_record() {
        let mut random = Random::from_seed(2);
        for _ in 0..200 {
            let serial = Serial::new(random.range(1_000, 10_000));
            let mut bytes = encoded(serial, &any_change(serial, &mut random));
            for bit in 0..8 * bytes.len().min(200) {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(Record::parse(&bytes, FIRST, ID).is_err(), "bit {bit} of {serial:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for end in 0..bytes.len().min(200) {
                assert!(Record::parse(&bytes[..end], FIRST, ID).is_err());
            }
        }
    }

    #[test]
    fn a_record_of_another_journal_or_another_number_is_none_of_ours() {
        let bytes = encoded(FIRST, &Change::RetainedGone { topic: "t".into() });
        assert!(Record::parse(&bytes, FIRST, ID).is_ok());
        assert_eq!(Record::parse(&bytes, FIRST, JournalId::new([8; 16])), Err(RecordError::Checksum));
        assert_eq!(Record::parse(&bytes, FIRST.next(), ID), Err(RecordError::Checksum));
    }
}
