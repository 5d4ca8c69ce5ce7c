//! The network's own ring: readiness of many descriptors for one thread, and the way to wake that thread.
//!
//! | file | what lives there |
//! |---|---|
//! | here | what can become ready, and the tags by which it is told apart |
//! | [`net`] | one face for both drivers |
//! | [`uring`] | the ring itself: one per shard, driven by its thread alone |
//! | [`plain`] | the same by the runtime's own streams, for systems that lack what the ring needs |
//! | [`buffers`] | what the kernel fills on its own, for connections that are read all the time |
//! | [`disk`] | writes to files, and the bytes that the kernel reads meanwhile |
//! | [`fetch`] | reads from files, and the memory that the kernel fills meanwhile |
//! | [`sys`] | the few system calls that the standard library does not offer |
//!
//! All unsafe code of the shell lies in this room. No operation of the ring owns or borrows memory of a connection: it tells
//! when a descriptor is ready, and bytes are read and written by plain calls, or the kernel puts them into buffers that belong to
//! the ring and live as long as it does. Bytes for a file belong to the ring from the moment they are handed over until the kernel has
//! told of them, and so does the memory for bytes that are read. So nothing here can be freed too early.

pub mod buffers;
pub mod disk;
#[cfg(test)]
mod disk_tests;
pub mod fetch;
pub mod net;
pub mod plain;
pub mod sys;
pub mod uring;

use std::io;
use std::os::fd::OwnedFd;

use buffers::Piece;
use disk::Written;
use fetch::Brought;

use crate::base::slab::Key;
use crate::engine::connection::ConnectionKey;

/// Something became ready.
#[derive(Debug)]
pub enum Ready {
    /// A client has connected to the listener with this number.
    Accepted(u16, OwnedFd),
    /// The listener with this number accepts no more until it is armed again.
    AcceptEnded(u16, Option<io::Error>),
    /// There are bytes to read, or the end of them.
    Readable {
        /// On which connection.
        key: ConnectionKey,
        /// Whether the peer has closed its side: whoever reads must read to the end.
        is_ending: bool,
        /// Whether nothing reaches the peer any more either, as after a reset.
        is_gone: bool,
        /// Whether the descriptor has to be watched again.
        is_over: bool,
    },
    /// Bytes that the kernel has received on its own.
    Received {
        /// On which connection.
        key: ConnectionKey,
        /// Where they are; it is given back, whoever the connection belongs to by now.
        piece: Piece,
    },
    /// The kernel receives no more on its own: nothing comes before somebody asks for it.
    ReceiveEnded {
        /// On which connection.
        key: ConnectionKey,
        /// Why.
        why: Ended,
    },
    /// The connection takes bytes again.
    Writable(ConnectionKey),
    /// Something happened to a line that is being closed.
    Leaving(Key<Leaving>),
    /// A write to a file is over.
    Written(Written),
    /// A read from a file is over.
    Brought(Brought),
    /// Another thread wants attention.
    Woken {
        /// Whether the waker has to be watched again.
        is_over: bool,
    },
}

/// Why the kernel has stopped to receive on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to.
    Asked,
    /// For reasons of its own: it may be asked to go on.
    Paused,
    /// No buffer was left for what has come.
    NoBuffer,
    /// The peer has closed, or the connection is broken: a plain read tells which.
    Over,
}

/// A line that is being closed, whatever its owner keeps of it. Nobody has one of these: it names the target of keys.
#[derive(Debug)]
pub enum Leaving {}

/// The kinds of operations in flight, as they stand in the upper bits of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Nobody waits for the answer.
    Nothing = 0,
    Read = 1,
    Write = 2,
    Accept = 3,
    Wake = 4,
    Leaving = 5,
    Receive = 6,
    Disk = 7,
    Fetch = 8,
}

/// Bits of a tag behind its kind: the generation's lower 28 and the index' 32.
const KIND_SHIFT: u32 = 60;
const KEY_MASK: u64 = (1 << KIND_SHIFT) - 1;

/// The tag of an operation: its kind, and what it is for.
fn tag(kind: Kind, subject: u64) -> u64 {
    (kind as u64) << KIND_SHIFT | subject & KEY_MASK
}

fn kind_of(tag: u64) -> Kind {
    match tag >> KIND_SHIFT {
        1 => Kind::Read,
        2 => Kind::Write,
        3 => Kind::Accept,
        4 => Kind::Wake,
        5 => Kind::Leaving,
        6 => Kind::Receive,
        7 => Kind::Disk,
        8 => Kind::Fetch,
        _ => Kind::Nothing,
    }
}

/// The key in a tag. A generation above 2^28 is cut: an operation does not live that long.
fn key_of<T>(tag: u64) -> Option<Key<T>> {
    Key::from_bits(tag & KEY_MASK)
}

/// Whether a key that came out of a tag means this one.
pub fn is_same<T>(tagged: Key<T>, key: Key<T>) -> bool {
    tagged.to_bits() == key.to_bits() & KEY_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_kind_and_key() {
        let key: ConnectionKey = Key::from_bits((7 << 32) + 12).unwrap();
        let tag = tag(Kind::Write, key.to_bits());
        assert_eq!((kind_of(tag), key_of(tag)), (Kind::Write, Some(key)));
    }

    #[test]
    fn a_late_generation_is_cut_and_still_compared() {
        let key: ConnectionKey = Key::from_bits((0xF000_0001 << 32) + 3).unwrap();
        let tagged = key_of(tag(Kind::Read, key.to_bits())).unwrap();
        assert!(is_same(tagged, key));
        let next = Key::from_bits((0xF000_0002 << 32) + 3).unwrap();
        assert!(!is_same(tagged, next));
    }
}
