//! A seal for tests: it notes what it was told, so that a test can read it back.

use super::writer::{Place, Seal, Site, Writer};

/// What a [`Stamp`] pads to.
pub const PAGE: usize = 4_096;

/// A seal that notes what it was told, and pads.
#[derive(Debug)]
pub struct Stamp;

/// The bytes of some records, their number, and that of the last one.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    count: u64,
    upto: u64,
}

const HEAD: usize = 32;

/// Adds a record of this number.
pub fn append(writer: &mut Writer<Stamp>, number: u64, record: &[u8]) {
    writer.append(number, |records| {
        records.bytes.extend_from_slice(record);
        (records.count, records.upto) = (records.count + 1, number);
    });
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at * 8..][..8].try_into().unwrap())
}

/// How many records a sealed group has, and the number of the last one.
pub fn records(bytes: &[u8]) -> (u64, u64) {
    (word(bytes, 3), word(bytes, 2))
}

/// What a sealed group was made for; nothing for no bytes.
pub fn place(bytes: &[u8]) -> Option<Place> {
    (!bytes.is_empty()).then(|| Place { segment: word(bytes, 0), position: word(bytes, 1) })
}

impl Seal for Stamp {
    type Group = Records;

    fn begin(&mut self) -> Records {
        Records::default()
    }

    fn len(&self, group: &Records) -> usize {
        HEAD + group.bytes.len()
    }

    fn sealed_len(&self, group: &Records, _is_first: bool) -> u64 {
        self.len(group).next_multiple_of(PAGE) as u64
    }

    fn seal(&mut self, group: Records, site: Site, bytes: &mut Vec<u8>) {
        assert!(bytes.is_empty(), "a group goes out alone");
        for word in [site.place.segment, site.place.position, group.upto, group.count] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&group.bytes);
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
    }
}
