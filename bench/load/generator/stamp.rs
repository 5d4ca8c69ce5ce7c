//! What each payload begins with: who sent it, as which of its messages, and when it was meant to leave.

/// The size of a stamp, and so of the smallest payload.
pub const STAMP_BYTES: usize = 20;

/// The beginning of a payload, in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the publisher.
    pub publisher: u32,
    /// How many messages this publisher sent before.
    pub sequence: u64,
    /// The intended time of sending on the generator's clock. At a fixed rate that is the time of the plan: if the message
    /// leaves late because the broker takes nothing, the delay is part of its latency.
    pub sent_ns: u64,
}

impl Stamp {
    /// The bytes as they stand in a payload.
    #[inline]
    pub fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sent_ns.to_le_bytes());
        bytes
    }

    /// The stamp of a payload; `None` if it is too short to hold one.
    #[inline]
    pub fn read(payload: &[u8]) -> Option<Stamp> {
        let (publisher, rest) = payload.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_ns, _) = rest.split_first_chunk()?;
        Some(Stamp {
            publisher: u32::from_le_bytes(*publisher),
            sequence: u64::from_le_bytes(*sequence),
            sent_ns: u64::from_le_bytes(*sent_ns),
        })
    }
}
