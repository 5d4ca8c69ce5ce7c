//! Streams of WebSocket frames, made at random, broken at random and cut anywhere, mean what a naive reader says they mean.

#[path = "fuzz/websocket.rs"]
mod websocket;

use pregon::base::random::Random;
use pregon::carrier::websocket::frame::Mask;
use websocket::{Said, by_reader, naive};

const MAXIMUM: u32 = 70_000;
/// What a turned bit in a small length exceeds.
const SMALL: u32 = 40;

/// Sizes of payloads around the borders of the header's length.
const SIZES: [usize; 11] = [0, 1, 2, 7, 124, 125, 126, 127, 300, 65_535, 65_536];

fn frame(first: u8, payload: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(short @ 0..126) = u8::try_from(payload.len()) {
        bytes.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        bytes.push(0xfe);
        bytes.extend(medium.to_be_bytes());
    } else {
        bytes.push(0xff);
        bytes.extend((payload.len() as u64).to_be_bytes());
    }
    let mut key = [0; 4];
    random.fill(&mut key);
    bytes.extend(key);
    let at = bytes.len();
    bytes.extend_from_slice(payload);
    Mask(key).apply(&mut bytes[at..]);
    bytes
}

fn payload(len: usize, random: &mut Random) -> Vec<u8> {
    let mut payload = vec![0; len];
    random.fill(&mut payload);
    payload
}

/// A legal stream, and what it says.
fn legal(random: &mut Random, frames: usize, sizes: &[usize]) -> (Vec<u8>, Said) {
    let (mut bytes, mut said, mut message_is_open) = (Vec::new(), Said::default(), false);
    for _ in 0..frames {
        if random.chance(1, 4) {
            let opcode = *random.pick(&[0x9, 0xa]).expect("there is a choice");
            let payload = payload(*random.pick(sizes).expect("there is a choice") % 126, random);
            bytes.extend(frame(0x80 | opcode, &payload, random));
            said.controls.push((opcode, payload));
            continue;
        }
        let payload = payload(*random.pick(sizes).expect("there is a choice"), random);
        let goes_on = random.chance(1, 2);
        let first = if message_is_open { 0 } else { 2 } | if goes_on { 0 } else { 0x80 };
        bytes.extend(frame(first, &payload, random));
        said.application.extend(payload);
        message_is_open = goes_on;
    }
    if random.chance(1, 3) {
        let closing =
            *random.pick(&[&b""[..], b"\x03\xe8", "\u{3}\u{4}".as_bytes(), b"\x0f\xa0bye"]).expect("there is a choice");
        bytes.extend(frame(0x88, closing, random));
        let code = match closing {
            [] => Some(1005),
            [3, 4, ..] => Some(1002), // 772 is no code
            [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            [_] => unreachable!("no such case"),
        };
        said.code = code;
        if code != Some(1002) {
            said.controls.push((8, closing.to_vec()));
        }
    }
    (bytes, said)
}

#[test]
fn a_legal_stream_cut_anywhere_gives_its_bytes() {
    let mut random = Random::from_seed(1);
    let (bytes, expected) = legal(&mut random, 40, &SIZES[..9]);
    for cut in 0..=bytes.len() {
        let mut sizes = [cut.max(1), bytes.len()].into_iter();
        assert_eq!(by_reader(&bytes, MAXIMUM, |left| sizes.next().unwrap_or(left)), expected, "cut at {cut}");
    }
}

#[test]
fn legal_streams_in_random_pieces_give_their_bytes() {
    for seed in 0..400 {
        let mut random = Random::from_seed(seed);
        let (bytes, expected) = legal(&mut random, 12, &SIZES);
        let longest = *random.pick(&[1, 3, 15, 200, 40_000]).expect("there is a choice");
        let seen = by_reader(&bytes, MAXIMUM, |_| 1 + random.index(longest));
        assert!(seen == expected, "seed {seed}");
        assert!(naive(&bytes, MAXIMUM) == expected, "seed {seed}, naively");
    }
}

/// A bit that is turned makes an illegal stream more often than not; what was legal before it still comes out.
#[test]
fn broken_streams_get_the_verdict_of_the_naive_reader_for_any_cut() {
    let mut codes = std::collections::BTreeMap::new();
    for seed in 0..6_000 {
        let mut random = Random::from_seed(seed);
        let (mut bytes, _) = legal(&mut random, 8, &SIZES[..3]);
        for _ in 0..random.range(1, 3) {
            if let Some(at) = (!bytes.is_empty()).then(|| random.index(bytes.len())) {
                bytes[at] ^= 1 << random.index(8);
            }
        }
        let expected = naive(&bytes, SMALL);
        for longest in [1, 3, 17, bytes.len().max(1)] {
            let seen = by_reader(&bytes, SMALL, |_| 1 + random.index(longest));
            assert!(seen == expected, "seed {seed}: {seen:?}, naively {expected:?}");
        }
        *codes.entry(expected.code).or_insert(0) += 1;
    }
    for code in [None, Some(1002), Some(1003), Some(1005), Some(1009)] {
        assert!(codes.get(&code).is_some_and(|count| *count >= 10), "{codes:?}");
    }
}
