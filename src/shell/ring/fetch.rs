//! Reads from files on their way, and the memory that the kernel fills meanwhile.
//!
//! What the kernel fills belongs to [`Fetches`] until the operation that does was told. A ring that ends before that never gives the
//! memory back, for the reason that [`disk`](super::disk) names.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};

use super::disk::{RETRIES_MAX, is_again};
use crate::base::slab::{Key, Slab};

/// What a read is for: whoever asks gives it a number and is told it again.
pub type Ticket = u64;

/// A piece of a file that somebody wants.
#[derive(Debug)]
pub struct Read {
    /// What it is for.
    pub ticket: Ticket,
    /// The file; the read keeps it open.
    pub file: Rc<File>,
    /// Where the piece begins.
    pub offset: u64,
    /// How long it is, at least one byte.
    pub len: usize,
}

/// A read is over.
#[derive(Debug)]
pub struct Brought {
    /// What it was for.
    pub ticket: Ticket,
    /// The piece, or why there is none.
    pub result: io::Result<Vec<u8>>,
}

/// A read on its way, whoever drives it.
pub(super) struct Flight {
    pub(super) read: Read,
    bytes: Vec<u8>,
    /// Bytes that are there.
    filled: usize,
    retries: u32,
}

/// The reads of one ring. A place in the slab is taken until its operation was told.
#[derive(Default)]
pub struct Fetches {
    flights: Slab<Flight>,
    /// What the ring has to ask for next.
    entries: Vec<(u32, squeue::Entry)>,
}

impl Fetches {
    /// A read begins.
    pub fn begin(&mut self, read: Read) {
        let key = self.flights.insert(Flight::new(read));
        self.ask(key);
    }

    /// The kernel has answered the operation of the read at this place: what that ends.
    pub fn told(&mut self, place: u32, result: i32) -> Option<Brought> {
        let key = self.flights.key_at(place).expect("an operation belongs to a read");
        let flight = self.flights.get_mut(key).expect("it is there");
        let result = usize::try_from(result).map_err(|_negative| io::Error::from_raw_os_error(-result));
        let Some(result) = flight.told(result) else {
            self.ask(key);
            return None;
        };
        let Flight { read, bytes, .. } = self.flights.remove(key).expect("it is there");
        Some(Brought { ticket: read.ticket, result: result.map(|()| bytes) })
    }

    fn ask(&mut self, key: Key<Flight>) {
        let flight = self.flights.get_mut(key).expect("it was just put in");
        self.entries.push((key.index(), flight.entry()));
    }

    /// Whether something is to be asked of the kernel.
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What is to be asked of the kernel, and for which place. The memory that it names stays where it is until the answer was told to
    /// [`Self::told`].
    pub fn take_entry(&mut self) -> Option<(u32, squeue::Entry)> {
        self.entries.pop()
    }
}

impl Drop for Fetches {
    fn drop(&mut self) {
        for (_, flight) in self.flights.iter_mut() {
            let _the_kernel_may_still_fill_it = std::mem::take(&mut flight.bytes).leak();
        }
    }
}

impl Flight {
    pub(super) fn new(read: Read) -> Self {
        let bytes = vec![0; read.len];
        Self { read, bytes, filled: 0, retries: 0 }
    }

    /// Where in the file the rest begins, and how long it is.
    pub(super) fn rest(&self) -> (u64, usize) {
        (self.read.offset + self.filled as u64, self.bytes.len() - self.filled)
    }

    fn entry(&mut self) -> squeue::Entry {
        let (fd, (offset, _)) = (Fd(self.read.file.as_raw_fd()), self.rest());
        let rest = &mut self.bytes[self.filled..];
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX >> 1); // the kernel gives 2 GiB at a time
        opcode::Read::new(fd, rest.as_mut_ptr(), len).offset(offset).build()
    }

    /// Somebody else has read these bytes.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.bytes[self.filled..][..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    }

    /// The piece.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// So many bytes more are there; what has become of the read, if it is over.
    pub(super) fn told(&mut self, result: io::Result<usize>) -> Option<io::Result<()>> {
        match result {
            Ok(0) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.retries = 0;
                self.filled += count;
                // filled ≤ bytes
                assert!(self.filled <= self.bytes.len(), "the kernel brings no more than was wanted");
                (self.filled == self.bytes.len()).then_some(Ok(()))
            }
            Err(error) if is_again(&error) && self.retries < RETRIES_MAX => {
                self.retries += 1;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight() -> Flight {
        let file = Rc::new(File::open("/dev/null").unwrap());
        Flight::new(Read { ticket: 9, file, offset: 100, len: 10 })
    }

    #[test]
    fn a_short_read_goes_on_with_the_rest() {
        let mut flight = flight();
        assert_eq!(flight.rest(), (100, 10));
        assert!(flight.told(Ok(3)).is_none());
        assert_eq!(flight.rest(), (103, 7));
        assert!(flight.told(Err(io::ErrorKind::Interrupted.into())).is_none());
        assert!(flight.told(Ok(7)).unwrap().is_ok());
    }

    #[test]
    fn a_piece_that_is_not_there_is_an_error_and_not_zeros() {
        let mut flight_one = flight();
        assert!(flight_one.told(Ok(9)).is_none());
        assert_eq!(flight_one.told(Ok(0)).unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut flight_two = flight();
        let fault = flight_two.told(Err(io::Error::from_raw_os_error(libc::EIO))).unwrap().unwrap_err();
        assert_eq!(fault.raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn a_read_that_is_disturbed_for_ever_ends() {
        let mut flight = flight();
        let again = || Err(io::ErrorKind::WouldBlock.into());
        for _ in 0..RETRIES_MAX {
            assert!(flight.told(again()).is_none());
        }
        assert!(flight.told(again()).unwrap().is_err());
    }
}
