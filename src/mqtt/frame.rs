//! Where one packet ends and the next begins: fixed headers, and packets that arrive in pieces.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::error::DecodeError;
use super::text::saturate;
use super::varint::{self, VARINT_MAX};

/// The largest packet that the protocol can express, fixed header included.
pub const PACKET_BYTES_MAX: u32 = VARINT_MAX + 5;

/// From this size on a part of an assembled packet is worth sharing instead of copying.
pub const SHARED_BYTES_MIN: usize = 64 * 1024;

/// The memory of a partial packet is made no smaller than this.
const PARTIAL_BYTES_MIN: usize = 64;

/// Above this size memory costs only what is written to it, and the steps may be wider than a half: each step leaves its
/// memory behind, and the allocator may keep that for a while.
const UNTOUCHED_BYTES_MIN: usize = 4 * 1024 * 1024;
const WIDE_STEP: usize = 8;

/// One whole packet, its fixed header taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags.
    pub first: u8,
    /// Everything behind the fixed header.
    pub body: &'a [u8],
    /// The size of the whole packet, fixed header included.
    pub len: usize,
    memory: Option<&'a Bytes>,
}

impl<'a> Frame<'a> {
    /// The same packet, of which it is known that it lies in memory that may be shared.
    #[must_use]
    pub fn within(self, memory: &'a Bytes) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Whether the Remaining Length was written in its shortest form. [MQTT-1.5.5-1]
    ///
    /// A longer form is accepted: the header is read before the version is known, and 3.x allows it.
    pub fn has_shortest_length(&self) -> bool {
        self.len - self.body.len() == 1 + varint::encoded_len(saturate(self.body.len()))
    }

    /// A part of the body as shared memory without a copy, where that is possible and worth it; else copy the part.
    ///
    /// It is possible when the packet came in pieces and was assembled. It is worth it when the part is large and
    /// at least half of the packet, so that who keeps it holds at most twice the memory that the part needs.
    pub fn share(&self, part: &[u8]) -> Option<Bytes> {
        let memory = self.memory?;
        let worth = part.len() >= SHARED_BYTES_MIN && part.len() >= memory.len() / 2;
        worth.then(|| memory.slice_ref(part))
    }
}

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// A whole packet.
    Frame(Frame<'a>),
    /// The beginning of a packet: at least so many more bytes are needed, and no fewer.
    Need(usize),
}

/// Finds the packet at the front of `bytes`. `maximum` bounds the whole packet and is checked before its body arrives.
#[inline]
pub fn next_frame(bytes: &[u8], maximum: u32) -> Result<Next<'_>, DecodeError> {
    let Some((&first, behind)) = bytes.split_first() else {
        return Ok(Next::Need(2));
    };
    let Some(remaining) = varint::decode(behind)? else {
        return Ok(Next::Need(1));
    };
    let len = 1 + remaining.len + remaining.value as usize;
    if len > maximum as usize {
        return Err(DecodeError::PacketTooLarge { size: saturate(len), maximum });
    }
    match bytes.get(1 + remaining.len..len) {
        Some(body) => Ok(Next::Frame(Frame { first, body, len, memory: None })),
        None => Ok(Next::Need(len - bytes.len())),
    }
}

/// How much memory the first `needed` bytes of a packet get when they find no room: the size of the packet, `whole`,
/// halved as long as they fit, or divided by eight while it is very large.
///
/// So memory follows what has arrived, whatever was announced, and ends at exactly the size of the packet. And while a
/// part is copied into the next step, both together hold no more bytes than the packet has.
pub fn partial_capacity(needed: usize, whole: usize) -> usize {
    debug_assert!(needed <= whole, "a part is no larger than the packet");
    let mut capacity = whole;
    while capacity > PARTIAL_BYTES_MIN && smaller(capacity) >= needed {
        capacity = smaller(capacity);
    }
    capacity
}

/// The step below this one.
fn smaller(capacity: usize) -> usize {
    capacity.div_ceil(if capacity > UNTOUCHED_BYTES_MIN { WIDE_STEP } else { 2 })
}

/// The beginning of a packet whose end has not arrived. One per connection; it owns no memory while it is empty.
///
/// Invariants: what is held is never a whole packet; capacity ≤ the announced size of the packet, and
/// capacity ≤ 2 × (bytes held) + 64, or, above 4 MiB, 8 × (bytes held), of which only what is held is touched.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Vec<u8>,
}

impl Assembler {
    /// An assembler that holds nothing.
    pub const fn new() -> Self {
        Assembler { partial: Vec::new() }
    }

    /// Whether the next byte received begins a packet.
    pub const fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// The bytes held, for a connection that moves elsewhere: feed them to another assembler first.
    pub fn held(&self) -> &[u8] {
        &self.partial
    }

    /// How much memory is held: what a connection is charged for.
    pub const fn memory_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Hands every whole packet to `sink` and keeps what is left over. Returns how many bytes of `received` are done
    /// with: all of them, unless `sink` broke off; then the bytes behind its last packet are still the caller's.
    ///
    /// Packets that lie within `received` are borrowed from it; only one that is cut by its border is copied.
    /// After an error nothing that follows can be understood and the connection must end.
    pub fn feed(
        &mut self,
        received: &[u8],
        maximum: u32,
        mut sink: impl FnMut(Frame<'_>) -> ControlFlow<()>,
    ) -> Result<usize, DecodeError> {
        let mut left = received;
        if !self.is_empty() {
            let Some((whole, body_at)) = self.complete(&mut left, maximum)? else {
                return Ok(received.len());
            };
            let (first, body) = (whole[0], &whole[body_at..]);
            if sink(Frame { first, body, len: whole.len(), memory: Some(&whole) }).is_break() {
                return Ok(received.len() - left.len());
            }
        }
        while !left.is_empty() {
            match next_frame(left, maximum)? {
                Next::Frame(frame) => {
                    left = &left[frame.len..];
                    if sink(frame).is_break() {
                        break;
                    }
                }
                Next::Need(missing) => {
                    self.append(left, missing);
                    left = &[];
                }
            }
        }
        self.check();
        Ok(received.len() - left.len())
    }

    /// Moves the bytes that the partial packet lacks out of `left`; the packet and where its body begins, once it is
    /// whole.
    fn complete(&mut self, left: &mut &[u8], maximum: u32) -> Result<Option<(Bytes, usize)>, DecodeError> {
        loop {
            match next_frame(&self.partial, maximum)? {
                Next::Frame(frame) => {
                    let body_at = frame.len - frame.body.len();
                    // Capacity equals length here, so this neither copies nor allocates.
                    return Ok(Some((Bytes::from(std::mem::take(&mut self.partial)), body_at)));
                }
                Next::Need(_) if left.is_empty() => return Ok(None),
                Next::Need(missing) => {
                    let (piece, rest) = left.split_at(missing.min(left.len()));
                    self.append(piece, missing - piece.len());
                    *left = rest;
                }
            }
        }
    }

    /// Appends a piece, behind which the packet lacks `missing` more bytes.
    fn append(&mut self, piece: &[u8], missing: usize) {
        let len = self.partial.len() + piece.len();
        if len > self.partial.capacity() {
            self.partial.reserve_exact(partial_capacity(len, len + missing) - self.partial.len());
        }
        self.partial.extend_from_slice(piece);
    }

    fn check(&self) {
        debug_assert!(is_earned(self.partial.capacity(), self.partial.len()));
        debug_assert!(!matches!(next_frame(&self.partial, u32::MAX), Ok(Next::Frame(_))));
    }
}

/// Whether so much memory may stand behind so many bytes.
fn is_earned(capacity: usize, held: usize) -> bool {
    capacity <= PARTIAL_BYTES_MIN || smaller(capacity) <= held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    const MAXIMUM: u32 = 1 << 20;

    /// A frame as owned values: first byte and body.
    type Seen = (u8, Vec<u8>);

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        varint::encode(saturate(body.len()), &mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    fn feed(assembler: &mut Assembler, bytes: &[u8], seen: &mut Vec<Seen>) {
        let done = assembler.feed(bytes, MAXIMUM, |frame| {
            seen.push((frame.first, frame.body.to_vec()));
            ControlFlow::Continue(())
        });
        assert_eq!(done, Ok(bytes.len()));
    }

    /// Sizes of bodies around the borders of the header's length; the first nine are small.
    const SIZES: [usize; 11] = [0, 1, 2, 40, 126, 127, 128, 129, 300, 16_383, 16_384];

    fn conversation(random: &mut Random, packets: usize, sizes: &[usize]) -> (Vec<u8>, Vec<Seen>) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..packets {
            let mut body = vec![0; *random.pick(sizes).unwrap()];
            random.fill(&mut body);
            let first = random.next_u64().to_le_bytes()[0];
            bytes.extend(packet(first, &body));
            expected.push((first, body));
        }
        (bytes, expected)
    }

    #[test]
    fn headers_are_taken_apart_at_every_length_border() {
        for size in [0_usize, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let bytes = packet(0x30, &vec![7; size]);
            let header = 1 + varint::encoded_len(saturate(size));
            let Ok(Next::Frame(frame)) = next_frame(&bytes, PACKET_BYTES_MAX) else { panic!("{size}") };
            assert_eq!((frame.first, frame.body.len(), frame.len), (0x30, size, header + size));
            assert!(frame.has_shortest_length());
            let short = next_frame(&bytes[..bytes.len() - 1], PACKET_BYTES_MAX);
            assert!(matches!(short, Ok(Next::Need(1))), "{size}: {short:?}");
        }
        let largest = next_frame(&[0x30, 0xff, 0xff, 0xff, 0x7f], PACKET_BYTES_MAX);
        assert!(matches!(largest, Ok(Next::Need(268_435_455))));
    }

    #[test]
    fn an_incomplete_header_asks_for_the_least_that_can_help() {
        assert!(matches!(next_frame(&[], MAXIMUM), Ok(Next::Need(2))));
        assert!(matches!(next_frame(&[0x30], MAXIMUM), Ok(Next::Need(1))));
        assert!(matches!(next_frame(&[0x30, 0x80], MAXIMUM), Ok(Next::Need(1))));
        assert!(matches!(next_frame(&[0x30, 0x80, 0x01], MAXIMUM), Ok(Next::Need(128))));
    }

    #[test]
    fn threat_2_a_length_of_five_bytes_is_refused_before_the_fifth() {
        assert_eq!(next_frame(&[0x10, 0xff, 0xff, 0xff, 0xff], MAXIMUM).unwrap_err(), DecodeError::VarintTooLong);
    }

    #[test]
    fn a_packet_above_the_maximum_is_refused_on_its_header() {
        let error = next_frame(&[0x30, 0xff, 0x7f], 16_385).unwrap_err();
        assert_eq!(error, DecodeError::PacketTooLarge { size: 16_386, maximum: 16_385 });
        assert!(matches!(next_frame(&[0x30, 0xff, 0x7f], 16_386), Ok(Next::Need(16_383))));
        let mut assembler = Assembler::new();
        let fed = assembler.feed(&[0x30, 0xff], 100, |_| panic!("no packet is whole"));
        assert_eq!(fed, Ok(2));
        let fed = assembler.feed(&[0x7f], 100, |_| panic!("no packet is whole"));
        assert_eq!(fed, Err(DecodeError::PacketTooLarge { size: 16_386, maximum: 100 }));
    }

    #[test]
    fn a_padded_length_is_accepted_and_told_apart() {
        let Ok(Next::Frame(frame)) = next_frame(&[0xc0, 0x80, 0x00], MAXIMUM) else { panic!() };
        assert_eq!((frame.body.len(), frame.len), (0, 3));
        assert!(!frame.has_shortest_length());
    }

    #[test]
    fn a_conversation_cut_anywhere_gives_the_same_packets() {
        let mut random = Random::from_seed(1);
        let (bytes, expected) = conversation(&mut random, 40, &SIZES[..9]);
        for cut in 0..=bytes.len() {
            let (mut assembler, mut seen) = (Assembler::new(), Vec::new());
            feed(&mut assembler, &bytes[..cut], &mut seen);
            feed(&mut assembler, &bytes[cut..], &mut seen);
            assert!(seen == expected && assembler.is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn a_conversation_fed_byte_by_byte_gives_the_same_packets() {
        let (bytes, expected) = conversation(&mut Random::from_seed(2), 20, &SIZES);
        let (mut assembler, mut seen) = (Assembler::new(), Vec::new());
        for byte in bytes {
            feed(&mut assembler, &[byte], &mut seen);
        }
        assert!(seen == expected);
        assert_eq!(assembler.memory_bytes(), 0);
    }

    #[test]
    fn a_conversation_in_random_pieces_gives_the_same_packets() {
        for seed in 0..200 {
            let mut random = Random::from_seed(seed);
            let (bytes, expected) = conversation(&mut random, 12, &SIZES);
            let (mut assembler, mut seen) = (Assembler::new(), Vec::new());
            let longest = *random.pick(&[3, 50, 1_000, 40_000]).unwrap();
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                let (piece, rest) = left.split_at(random.index(longest).min(left.len()));
                feed(&mut assembler, piece, &mut seen);
                left = rest;
            }
            assert!(seen == expected, "seed {seed}");
            assert_eq!(assembler.memory_bytes(), 0);
        }
    }

    #[test]
    fn a_sink_that_breaks_off_leaves_the_rest_to_the_caller() {
        let bytes = [packet(0x10, b"one"), packet(0x20, b"two"), packet(0x30, b"three")].concat();
        let mut assembler = Assembler::new();
        let mut fed = |bytes: &[u8]| assembler.feed(bytes, MAXIMUM, |_| ControlFlow::Break(()));
        assert_eq!(fed(&bytes), Ok(5));
        assert_eq!(fed(&bytes[5..7]), Ok(2));
        // The packet that was cut is handed on, the one behind it stays with the caller.
        assert_eq!(fed(&bytes[7..]), Ok(3));
        assert!(assembler.is_empty());
    }

    #[test]
    fn threat_1_an_announced_length_reserves_nothing_of_a_packet() {
        let mut assembler = Assembler::new();
        let header_and_ten = [&[0x30, 0xff, 0xff, 0xff, 0x7f][..], &[1; 10]].concat();
        let fed = assembler.feed(&header_and_ten, PACKET_BYTES_MAX, |_| panic!("no packet is whole"));
        assert_eq!(fed, Ok(15));
        assert_eq!(assembler.held(), header_and_ten);
        assert!(assembler.memory_bytes() <= 64, "{} bytes", assembler.memory_bytes());
    }

    #[test]
    fn memory_follows_what_has_arrived_and_ends_at_the_size_of_the_packet() {
        let bytes = packet(0x30, &vec![5; 300_000]);
        let (mut assembler, mut random) = (Assembler::new(), Random::from_seed(3));
        let (mut left, mut growths) = (&bytes[..bytes.len() - 1], 0);
        while !left.is_empty() {
            let before = assembler.memory_bytes();
            // The pieces differ, so that none fills the memory to its last byte.
            let (piece, rest) = left.split_at((1 + random.index(1_400)).min(left.len()));
            feed(&mut assembler, piece, &mut Vec::new());
            assert!(assembler.memory_bytes() <= 2 * assembler.held().len() + 64);
            assert!(assembler.memory_bytes() <= bytes.len());
            growths += u32::from(assembler.memory_bytes() != before);
            left = rest;
        }
        assert_eq!(assembler.memory_bytes(), bytes.len());
        assert!(growths <= 14, "memory doubles: {growths} steps");
    }

    #[test]
    fn copying_a_part_into_its_next_memory_never_takes_more_than_the_packet() {
        for whole in [1, 63, 64, 65, 1_000, 65_537, PACKET_BYTES_MAX as usize] {
            let mut capacity = partial_capacity(1, whole);
            while capacity < whole {
                let next = partial_capacity(capacity + 1, whole);
                let step = if next > UNTOUCHED_BYTES_MIN { WIDE_STEP } else { 2 };
                assert!(next > capacity && next <= step * capacity, "{capacity} to {next} of {whole}");
                assert!(2 * capacity <= whole + 1, "{capacity} twice in {whole}");
                capacity = next;
            }
            assert_eq!(capacity, whole);
        }
    }

    #[test]
    fn a_large_assembled_packet_shares_its_memory() {
        let bytes = packet(0x30, &vec![5; 2 * SHARED_BYTES_MIN]);
        let mut assembler = Assembler::new();
        feed(&mut assembler, &bytes[..1000], &mut Vec::new());
        let mut kept = None;
        let fed = assembler.feed(&bytes[1000..], MAXIMUM, |frame| {
            let shared = frame.share(&frame.body[10..]).expect("large and assembled");
            assert_eq!(shared.as_ptr(), frame.body[10..].as_ptr());
            assert!(frame.share(&frame.body[..100]).is_none(), "a small part is better copied");
            kept = Some(shared);
            ControlFlow::Continue(())
        });
        assert_eq!(fed, Ok(bytes.len() - 1000));
        assert_eq!(kept.map(|kept| kept.len()), Some(2 * SHARED_BYTES_MIN - 10));
    }

    #[test]
    fn a_part_that_is_small_or_less_than_half_is_copied() {
        let shares = |body_len: usize, part_len: usize| {
            let bytes = packet(0x30, &vec![5; body_len]);
            let (mut assembler, mut is_shared) = (Assembler::new(), false);
            feed(&mut assembler, &bytes[..1], &mut Vec::new());
            let fed = assembler.feed(&bytes[1..], MAXIMUM, |frame| {
                is_shared = frame.share(&frame.body[..part_len]).is_some();
                ControlFlow::Continue(())
            });
            assert_eq!(fed, Ok(bytes.len() - 1));
            is_shared
        };
        assert!(!shares(SHARED_BYTES_MIN - 1, SHARED_BYTES_MIN - 1), "all of it, but small");
        assert!(shares(SHARED_BYTES_MIN, SHARED_BYTES_MIN));
        assert!(!shares(3 * SHARED_BYTES_MIN, SHARED_BYTES_MIN), "large, but a third");
    }

    #[test]
    fn a_packet_that_arrives_whole_is_borrowed_and_not_shared() {
        let bytes = packet(0x30, &vec![5; SHARED_BYTES_MIN]);
        let fed = Assembler::new().feed(&bytes, MAXIMUM, |frame| {
            assert_eq!(frame.body.as_ptr(), bytes[4..].as_ptr());
            assert!(frame.share(frame.body).is_none());
            ControlFlow::Continue(())
        });
        assert_eq!(fed, Ok(bytes.len()));
    }

    #[test]
    fn an_idle_connection_pays_three_words() {
        assert_eq!(size_of::<Assembler>(), 24);
        assert_eq!(Assembler::new().memory_bytes(), 0);
    }
}
