//! Shared bytes, and the arena that makes many small ones cost almost no allocation.
//!
//! A [`Payload`] is written once and then shared by any number of recipients on any core: a clone
//! is a reference count. [`Chunks`] cut payloads out of large chunks, and take a chunk up again
//! once its last payload is gone, so that a steady stream of messages allocates nothing.
//!
//! The price: the smallest payload keeps its whole chunk. What will stay for long (a retained
//! message, the queue of a client that is away) is therefore stored as [`Payload::compact`].

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, RangeBounds};

use bytes::{Bytes, BytesMut};

/// Immutable bytes that are shared, not copied. Any core.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload(Bytes);

impl Payload {
    /// No bytes, no memory.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Bytes that are part of the program.
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Bytes::from_static(bytes))
    }

    /// A copy of `bytes` in an allocation of its own, which is exactly as large.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// All `parts` one after another, in an allocation that is exactly as large.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Self(bytes.into())
    }

    /// The same bytes in an allocation of their own, for those who keep them long.
    #[must_use]
    pub fn compact(&self) -> Self {
        Self::copy_of(self)
    }

    /// Whether somebody else has a share in the bytes.
    pub fn is_shared(&self) -> bool {
        !self.0.is_unique()
    }

    /// The part at `range`, sharing the memory of the whole. The range lies within the bytes.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// The same bytes for those who speak [`Bytes`].
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// The size only: what clients send does not belong in logs.
impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Payload({} bytes)", self.len())
    }
}

/// An arena that payloads are copied into. One per shard; the payloads may go anywhere.
///
/// Idle it holds at most `chunks_max` chunks; payloads that are in use hold what they hold.
#[derive(Debug)]
pub struct Chunks {
    /// Each is what is left of a chunk, and our share in all of it. Payloads are cut from the last
    /// one; those before it have no room and wait until nobody else holds a share.
    chunks: VecDeque<BytesMut>,
    chunk_bytes: usize,
    chunks_max: usize,
}

impl Chunks {
    /// An arena of chunks of `chunk_bytes` that remembers up to `chunks_max` of them; it allocates
    /// with its first payload.
    pub const fn new(chunk_bytes: usize, chunks_max: usize) -> Self {
        assert!(chunk_bytes >= 4, "a quarter of a chunk holds something");
        assert!(chunks_max > 0, "payloads are cut from one chunk at least");
        Self { chunks: VecDeque::new(), chunk_bytes, chunks_max }
    }

    /// A payload of all `parts` one after another.
    ///
    /// One larger than a quarter of a chunk gets its own allocation: it would leave too much of the
    /// chunk unused, and its cost lies in the copying anyway.
    pub fn copy(&mut self, parts: &[&[u8]]) -> Payload {
        let size = parts.iter().map(|part| part.len()).sum();
        if size == 0 {
            return Payload::EMPTY;
        }
        if size > self.chunk_bytes / 4 {
            return Payload::of_parts(parts);
        }
        let chunk = self.chunk_with_room(size);
        for part in parts {
            chunk.extend_from_slice(part);
        }
        Payload(chunk.split().freeze())
    }

    /// Gives back the chunks that no payload uses. For an idle moment: the next payload allocates.
    pub fn shrink_if_idle(&mut self) {
        let chunk_bytes = self.chunk_bytes;
        self.chunks.retain_mut(|chunk| !chunk.try_reclaim(chunk_bytes));
    }

    /// Bytes of the chunks in sight, used or not. Large payloads, and chunks that were still in use
    /// when there were too many, belong to their payloads alone.
    pub fn heap_bytes(&self) -> usize {
        self.chunks.len() * self.chunk_bytes
    }

    /// Asserts the invariant.
    pub fn check(&self) {
        assert!(self.chunks.len() <= self.chunks_max, "no more chunks are kept than agreed");
        assert!(self.chunks.iter().all(BytesMut::is_empty), "what is written is handed out");
    }

    /// The chunk to cut from: the last one, or one whose payloads are all gone, or a new one.
    fn chunk_with_room(&mut self, size: usize) -> &mut BytesMut {
        if self.chunks.back().is_none_or(|chunk| chunk.capacity() < size) {
            let chunk = self.take_free_chunk();
            let chunk = chunk.unwrap_or_else(|| BytesMut::with_capacity(self.chunk_bytes));
            if self.chunks.len() == self.chunks_max {
                // The oldest is in use for long: its payloads free it, we need not wait for them.
                self.chunks.pop_front();
            }
            self.chunks.push_back(chunk);
        }
        let chunk = self.chunks.back_mut().expect("a chunk has just been found or put there");
        debug_assert!(chunk.is_empty() && chunk.capacity() >= size);
        chunk
    }

    /// Takes out the oldest chunk that is whole again.
    fn take_free_chunk(&mut self) -> Option<BytesMut> {
        let chunk_bytes = self.chunk_bytes;
        let free = self.chunks.iter_mut().position(|chunk| chunk.try_reclaim(chunk_bytes))?;
        self.chunks.remove(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn parts_become_one_payload() {
        let mut chunks = Chunks::new(64, 2);
        let payload = chunks.copy(&[b"head", b"", b"body"]);
        assert_eq!(&*payload, b"headbody");
        assert_eq!(&*payload.slice(4..), b"body");
        assert_eq!(chunks.copy(&[]), Payload::EMPTY);
        assert_eq!(payload.clone(), Payload::from_static(b"headbody"));
        assert_eq!(format!("{payload:?}"), "Payload(8 bytes)");
    }

    #[test]
    fn neighbours_share_a_chunk_and_a_compact_copy_does_not() {
        let mut chunks = Chunks::new(64, 2);
        let (first, second) = (chunks.copy(&[b"abc"]), chunks.copy(&[b"def"]));
        assert_eq!(first.as_ptr_range().end, second.as_ptr());
        assert_eq!(first.compact(), first);
        assert_ne!(first.compact().as_ptr(), first.as_ptr());
        assert!(first.compact().into_bytes().try_into_mut().is_ok_and(|own| own.capacity() == 3));
    }

    #[test]
    fn a_chunk_is_used_again_when_its_last_payload_is_gone() {
        let mut chunks = Chunks::new(16, 2);
        let first = chunks.copy(&[b"aaaa"]);
        let start = first.as_ptr();
        let rest: Vec<Payload> = (0..3).map(|_| chunks.copy(&[b"bbbb"])).collect();
        let elsewhere = chunks.copy(&[b"cccc"]);
        assert_eq!((&*first, chunks.heap_bytes()), (&b"aaaa"[..], 32));
        drop((first, rest));
        let others: Vec<Payload> = (0..3).map(|_| chunks.copy(&[b"dddd"])).collect();
        let again = chunks.copy(&[b"eeee"]);
        assert_eq!(again.as_ptr(), start);
        assert_eq!((&*elsewhere, &*others[2], &*again), (&b"cccc"[..], &b"dddd"[..], &b"eeee"[..]));
    }

    #[test]
    fn a_payload_above_a_quarter_of_a_chunk_has_its_own_allocation() {
        let mut chunks = Chunks::new(64, 2);
        let large = chunks.copy(&[&[7; 10], &[8; 7]]);
        assert_eq!((large.len(), chunks.heap_bytes()), (17, 0));
        assert_eq!((chunks.copy(&[&[7; 16]]).len(), chunks.heap_bytes()), (16, 64));
    }

    #[test]
    fn an_idle_arena_gives_back_what_no_payload_uses() {
        let mut chunks = Chunks::new(64, 4);
        let mut kept: Vec<Payload> = (0..16).map(|_| chunks.copy(&[&[1; 16]])).collect();
        assert_eq!(chunks.heap_bytes(), 4 * 64);
        kept.truncate(1);
        chunks.shrink_if_idle();
        assert_eq!(chunks.heap_bytes(), 64);
        kept.clear();
        chunks.shrink_if_idle();
        assert_eq!(chunks.heap_bytes(), 0);
    }

    #[test]
    fn no_payload_ever_changes_while_chunks_are_used_again() {
        for seed in 0..4 {
            let mut random = Random::from_seed(seed);
            let mut chunks = Chunks::new(256, random.index(6) + 1);
            let mut live: Vec<(Payload, Vec<u8>)> = Vec::new();
            for step in 0..20_000 {
                let mut bytes = vec![0; random.index(80)];
                random.fill(&mut bytes);
                let (head, tail) = bytes.split_at(random.index(bytes.len() + 1));
                let payload = chunks.copy(&[head, tail]);
                live.push((payload, bytes));
                while live.len() > 1 + step % 40 {
                    let (payload, bytes) = live.swap_remove(random.index(live.len()));
                    assert_eq!(*payload, bytes, "seed {seed}, step {step}");
                }
                if random.chance(1, 500) {
                    chunks.shrink_if_idle();
                }
                chunks.check();
            }
            assert!(live.iter().all(|(payload, bytes)| **payload == **bytes));
        }
    }
}
