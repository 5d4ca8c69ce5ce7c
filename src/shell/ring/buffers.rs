//! Buffers that are lent to the kernel, which fills them on its own and hands them back piece by piece.
#![expect(unsafe_code, reason = "memory that the kernel writes to; tidy lists this file")]

use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue};

/// The group by which operations name these buffers: a ring has one.
pub const GROUP: u16 = 0;

/// How many buffers there are, how large they are, and how the kernel uses them.
#[derive(Clone, Copy, Debug)]
struct Shape {
    size: u32,
    /// A power of two.
    count: u16,
    flags: u16,
}

/// No piece is longer.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;
/// A receive takes as much as it needs of a buffer, and the next one goes on behind it: Linux 6.12 and newer.
const SHARED: Shape = Shape { size: 64 * 1024, count: 8, flags: 2 };
const _: () = assert!(SHARED.size as usize <= PIECE_BYTES_MAX && SINGLE.size as usize <= PIECE_BYTES_MAX);
/// A receive takes a buffer of its own, however little comes.
const SINGLE: Shape = Shape { size: 2 * 1024, count: 256, flags: 0 };

/// Bytes that came. Nobody can copy it, so it is given back once: [`Buffers::give_back`].
#[derive(Debug)]
#[must_use = "what is not given back is lost to the kernel"]
pub struct Piece {
    buffer: u16,
    start: u32,
    len: u32,
}

/// What is known of one buffer.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Where the kernel goes on.
    filled: u32,
    /// Pieces that were not given back.
    held: u32,
    /// The kernel puts nothing into it any more.
    is_full: bool,
}

/// The buffers of one ring. The ring is closed, or has been told to forget them, before they are dropped.
#[derive(Debug)]
pub struct Buffers {
    /// Their addresses, as the kernel reads them, then the buffers themselves.
    base: NonNull<BufRingEntry>,
    states: Vec<State>,
    shape: Shape,
    tail: u16,
}

impl Buffers {
    /// Lends buffers to a ring, in the best way that the kernel knows.
    pub fn lend_to(ring: &IoUring) -> io::Result<Self> {
        Self::shaped(ring, SHARED).or_else(|_older_kernel| Self::shaped(ring, SINGLE))
    }

    fn shaped(ring: &IoUring, shape: Shape) -> io::Result<Self> {
        let base = map(shape.mapped_bytes())?;
        let states = vec![State::default(); usize::from(shape.count)];
        let mut buffers = Self { base, states, shape, tail: 0 };
        let address = base.as_ptr() as u64;
        // SAFETY: the entries lie at the beginning of a page and live until `Drop`, before which the owner ends their use.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, shape.count, GROUP, shape.flags) }?;
        for buffer in 0..shape.count {
            buffers.lend(buffer);
        }
        Ok(buffers)
    }

    /// The piece that a completion with these flags and this length has brought.
    pub fn take(&mut self, flags: u32, len: u32) -> Option<Piece> {
        let buffer = cqueue::buffer_select(flags)?;
        let state = &mut self.states[usize::from(buffer)];
        let start = state.filled;
        state.filled += len;
        state.held += 1;
        state.is_full = !cqueue::buffer_more(flags);
        // 0 ≤ start ≤ filled ≤ size
        assert!(state.filled <= self.shape.size, "the kernel stays within a buffer");
        Some(Piece { buffer, start, len })
    }

    /// The bytes of a piece.
    pub fn bytes(&self, piece: &Piece) -> &[u8] {
        let start = self.shape.offset(piece.buffer) + piece.start as usize;
        // SAFETY: `take` has checked that the piece lies within its buffer.
        let start = unsafe { self.base.as_ptr().cast::<u8>().add(start) };
        // SAFETY: the kernel has written these bytes and writes only behind them until the buffer is lent again, which needs
        // the piece by value, while whoever reads them borrows it.
        unsafe { std::slice::from_raw_parts(start, piece.len as usize) }
    }

    /// A piece was handled. With its last one a full buffer goes back to the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "whoever gives a piece back has it no more")]
    pub fn give_back(&mut self, piece: Piece) {
        let Piece { buffer, .. } = piece;
        let state = &mut self.states[usize::from(buffer)];
        state.held -= 1;
        if state.held == 0 && state.is_full {
            *state = State::default();
            self.lend(buffer);
        }
    }

    fn lend(&mut self, buffer: u16) {
        let place = usize::from(self.tail & (self.shape.count - 1));
        // SAFETY: the place is one of `count`, for which memory was allocated.
        let entry = unsafe { self.base.as_ptr().add(place) };
        // SAFETY: zeroed memory is a valid entry, and the kernel reads none between its tail and ours.
        let entry = unsafe { &mut *entry };
        // SAFETY: each buffer lies within the memory of all.
        let start = unsafe { self.base.as_ptr().cast::<u8>().add(self.shape.offset(buffer)) };
        entry.set_addr(start as u64);
        entry.set_len(self.shape.size);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the pointer is to the first entry, of which the kernel and we use two bytes as the tail.
        let tail = unsafe { BufRingEntry::tail(self.base.as_ptr()) };
        // SAFETY: they are aligned, and both sides access them as an atomic.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Memory that the buffers take.
    pub fn heap_bytes(&self) -> usize {
        self.shape.mapped_bytes()
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: it was mapped in this size, and the kernel does not know it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.shape.mapped_bytes()) };
    }
}

impl Shape {
    /// Where a buffer begins, behind the entries.
    fn offset(self, buffer: u16) -> usize {
        usize::from(self.count) * size_of::<BufRingEntry>() + usize::from(buffer) * self.size as usize
    }

    /// The end of the last one.
    fn mapped_bytes(self) -> usize {
        self.offset(self.count)
    }
}

/// Memory of its own from the kernel: zero, at a page, and resident only where it was touched.
fn map(size: usize) -> io::Result<NonNull<BufRingEntry>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the kernel chooses a place where nothing is.
    let start = unsafe { libc::mmap(null_mut(), size, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel maps nothing at zero"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use io_uring::{opcode, types::Fd};

    use super::*;

    /// A ring whose buffers have this shape, and a receive on a stream that goes on until it is out of buffers.
    struct Scene {
        ring: IoUring,
        buffers: Buffers,
        peer: UnixStream,
        ours: UnixStream,
    }

    impl Scene {
        fn new(shape: Shape) -> Self {
            let ring = IoUring::new(8).unwrap();
            let buffers = Buffers::shaped(&ring, shape).unwrap();
            let (ours, peer) = UnixStream::pair().unwrap();
            Self { ring, buffers, peer, ours }
        }

        fn arm(&mut self) {
            let entry = opcode::RecvMulti::new(Fd(self.ours.as_raw_fd()), GROUP).build();
            // SAFETY: the entry points to no memory, and the descriptor is open.
            unsafe { self.ring.submission().push(&entry) }.unwrap();
            self.ring.submit().unwrap();
        }

        /// The results of the completions that are there, with their pieces.
        fn heard(&mut self) -> Vec<(i32, Option<Piece>)> {
            self.ring.submit().unwrap();
            let mut heard = Vec::new();
            for entry in self.ring.completion() {
                let len = u32::try_from(entry.result()).unwrap_or(0);
                heard.push((entry.result(), self.buffers.take(entry.flags(), len)));
            }
            heard
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.ring.submitter().unregister_buf_ring(GROUP).unwrap();
        }
    }

    const TINY: [Shape; 2] = [Shape { size: 64, count: 2, flags: 2 }, Shape { size: 64, count: 2, flags: 0 }];

    #[test]
    fn every_byte_arrives_in_order_through_buffers_that_are_used_again_and_again() {
        for shape in TINY {
            let mut scene = Scene::new(shape);
            scene.arm();
            let (mut sent, mut heard) = (Vec::new(), Vec::new());
            for round in 0..2_000_u32 {
                let bytes = round.to_le_bytes().repeat(1 + round as usize % 9);
                scene.peer.write_all(&bytes).unwrap();
                sent.extend_from_slice(&bytes);
                for (result, piece) in scene.heard() {
                    let piece = piece.unwrap_or_else(|| panic!("round {round}: {result}"));
                    heard.extend_from_slice(scene.buffers.bytes(&piece));
                    scene.buffers.give_back(piece);
                }
            }
            assert!(heard == sent, "{shape:?}");
        }
    }

    #[test]
    fn kernel_gets_a_buffer_again_only_when_the_last_of_its_pieces_came_back() {
        for shape in TINY {
            let mut scene = Scene::new(shape);
            scene.arm();
            let mut held = Vec::new();
            for round in 0..4_u8 {
                scene.peer.write_all(&[round; 32]).unwrap();
                held.extend(scene.heard());
            }
            scene.peer.write_all(&[9; 32]).unwrap();
            held.extend(scene.heard());
            let room = if shape.flags == 0 { 2 } else { 4 };
            let (last, pieces) = (held[room].0, held.into_iter().filter_map(|(_, piece)| piece).collect::<Vec<_>>());
            assert_eq!((last, pieces.len()), (-libc::ENOBUFS, room), "{shape:?}");

            // What lies in pieces that were not given back is as it was.
            for (round, piece) in (0..).zip(&pieces) {
                assert_eq!(scene.buffers.bytes(piece), [round; 32]);
            }
            pieces.into_iter().rev().for_each(|piece| scene.buffers.give_back(piece));
            scene.arm();
            let (result, piece) = scene.heard().remove(0);
            assert!(result > 0, "{shape:?}: {result}");
            scene.buffers.give_back(piece.unwrap());
        }
    }
}
