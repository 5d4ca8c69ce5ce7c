//! Packets of 3.1 and 3.1.1 by hand.

use super::{packet, text};

/// A CONNECT with a Keep Alive of 0: protocol name, level, connect flags, the parts of the payload.
pub fn connect(name: &str, level: u8, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[&text(name), &[level, flags, 0, 0], &payload.concat()])
}
