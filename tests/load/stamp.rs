//! The stamp at the front of each payload.

use crate::generator::stamp::{STAMP_BYTES, Stamp};

#[test]
fn a_stamp_is_read_as_it_was_written() {
    let stamp = Stamp { publisher: 7, sequence: 1 << 40, sent_ns: u64::MAX - 3 };
    let mut payload = stamp.to_bytes().to_vec();
    payload.extend_from_slice(&[0xff; 44]);
    assert_eq!(Stamp::read(&payload), Some(stamp));
    assert_eq!(Stamp::read(&payload[..STAMP_BYTES]), Some(stamp));
}

#[test]
fn a_payload_that_is_too_short_holds_no_stamp() {
    assert_eq!(Stamp::read(&[0; STAMP_BYTES - 1]), None);
    assert_eq!(Stamp::read(&[]), None);
}
