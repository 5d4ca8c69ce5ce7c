//! Writes to files on their way: the bytes that the kernel still reads, and what is asked of it next.
//!
//! A write is over when its last byte was taken and, if that is wanted, `fdatasync` has come back. The two are asked for one after the
//! other: the sync begins when the write was told, so nothing depends on the kernel keeping them in order.
//!
//! What the kernel reads belongs to [`Disk`] until the operation that reads it was told. A ring that ends before that never gives the
//! bytes back: a worker of the kernel may be in the midst of them for as long as the device is slow.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};

/// The most that one operation writes; the kernel takes no more than 2 GiB at a time.
const OPERATION_BYTES_MAX: usize = 1 << 30;
/// How often in a row the kernel may say "again" without having done anything.
pub(super) const RETRIES_MAX: u32 = 16;

/// What a write belongs to: one of the few streams of bytes that a shard keeps. At most one write of each is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream(u8);

impl Stream {
    /// The stream of this number.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Bytes for a file.
#[derive(Debug)]
pub struct Write {
    /// What it belongs to.
    pub stream: Stream,
    /// The file; the write keeps it open.
    pub file: Rc<File>,
    /// Where in the file the bytes go.
    pub offset: u64,
    /// The bytes; none where only a sync is wanted.
    pub bytes: Vec<u8>,
    /// Whether the file's data must be on the device when the write is told.
    pub is_synced: bool,
}

/// A write is over.
#[derive(Debug)]
pub struct Written {
    /// What it belonged to.
    pub stream: Stream,
    /// Its bytes, as they were.
    pub bytes: Vec<u8>,
    /// What became of it.
    pub result: Result<(), Fault>,
}

/// Why a write is not done.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {error}")]
pub struct Fault {
    /// What has failed.
    pub step: Step,
    /// What the kernel says.
    pub error: io::Error,
}

/// What a write consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The kernel takes the bytes. What it has refused may be written again.
    Write,
    /// The device keeps them. After a failure nobody knows what it keeps, and another sync would not tell.
    Sync,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Sync => "fdatasync",
        })
    }
}

/// What the kernel is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// To take some bytes of the write.
    Write {
        /// From which on.
        from: usize,
        /// Up to which one.
        to: usize,
        /// Where in the file they go.
        offset: u64,
    },
    /// To have the device keep what it took.
    Sync,
}

/// A write on its way, whoever drives it.
pub(super) struct Flight {
    pub(super) write: Write,
    /// Bytes that the kernel took.
    taken: usize,
    step: Step,
    /// How often in a row nothing was done.
    retries: u32,
}

/// The writes of one ring.
#[derive(Default)]
pub struct Disk {
    /// By stream.
    flights: Vec<Option<Flight>>,
    /// What the ring has to ask for next.
    entries: Vec<(Stream, squeue::Entry)>,
}

impl Disk {
    /// A write begins.
    pub fn begin(&mut self, write: Write) {
        let stream = write.stream;
        let place = usize::from(stream.0);
        self.flights.resize_with(self.flights.len().max(place + 1), || None);
        assert!(self.flights[place].is_none(), "one write of a stream is on its way");
        self.go_on(Flight::new(write));
    }

    /// The kernel has answered the operation of a stream: what that ends.
    pub fn told(&mut self, stream: Stream, result: i32) -> Option<Written> {
        let mut flight = self.flights[usize::from(stream.0)].take().expect("an operation belongs to a write");
        let result = usize::try_from(result).map_err(|_negative| io::Error::from_raw_os_error(-result));
        let Some(result) = flight.told(result) else {
            self.go_on(flight);
            return None;
        };
        Some(Written { stream, bytes: flight.write.bytes, result })
    }

    fn go_on(&mut self, flight: Flight) {
        let stream = flight.write.stream;
        self.entries.push((stream, flight.entry()));
        self.flights[usize::from(stream.0)] = Some(flight);
    }

    /// Whether something is to be asked of the kernel.
    pub fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What is to be asked of the kernel. The memory that it names stays where it is until the answer was told to [`Self::told`].
    pub fn take_entry(&mut self) -> Option<(Stream, squeue::Entry)> {
        self.entries.pop()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for flight in self.flights.drain(..).flatten() {
            let _the_kernel_may_still_read_it = flight.write.bytes.leak();
        }
    }
}

impl Flight {
    pub(super) fn new(write: Write) -> Self {
        let step = if write.bytes.is_empty() { Step::Sync } else { Step::Write };
        Self { write, taken: 0, step, retries: 0 }
    }

    /// What is to be asked for next.
    pub(super) fn operation(&self) -> Operation {
        let (from, len) = (self.taken, self.write.bytes.len());
        match self.step {
            Step::Write => Operation::Write {
                from,
                to: len.min(from + OPERATION_BYTES_MAX),
                offset: self.write.offset + from as u64,
            },
            Step::Sync => Operation::Sync,
        }
    }

    fn entry(&self) -> squeue::Entry {
        let fd = Fd(self.write.file.as_raw_fd());
        match self.operation() {
            Operation::Write { from, to, offset } => {
                let bytes = &self.write.bytes[from..to];
                let len = u32::try_from(bytes.len()).expect("an operation has a maximum");
                opcode::Write::new(fd, bytes.as_ptr(), len).offset(offset).build()
            }
            Operation::Sync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
        }
    }

    /// The kernel has answered; what has become of the write, if it is over.
    pub(super) fn told(&mut self, result: io::Result<usize>) -> Option<Result<(), Fault>> {
        let fault = |step, error| Some(Err(Fault { step, error }));
        match result {
            Ok(0) if self.step == Step::Write => fault(Step::Write, io::ErrorKind::WriteZero.into()),
            Ok(count) => self.done(count).then_some(Ok(())),
            Err(error) if is_again(&error) && self.retries < RETRIES_MAX => {
                self.retries += 1;
                None
            }
            Err(error) => fault(self.step, error),
        }
    }

    /// An operation has done something; whether it was the last one.
    fn done(&mut self, count: usize) -> bool {
        self.retries = 0;
        match self.step {
            Step::Write => {
                self.taken += count;
                // taken ≤ bytes
                assert!(self.taken <= self.write.bytes.len(), "the kernel takes no more than there is");
                let is_taken = self.taken == self.write.bytes.len();
                if is_taken && self.write.is_synced {
                    self.step = Step::Sync;
                    return false;
                }
                is_taken
            }
            Step::Sync => true,
        }
    }
}

/// Whether the kernel was disturbed before it did anything.
pub(super) fn is_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(bytes: usize, is_synced: bool) -> Flight {
        let file = Rc::new(File::open("/dev/null").unwrap());
        Flight::new(Write { stream: Stream::new(0), file, offset: 4_096, bytes: vec![7; bytes], is_synced })
    }

    fn write(from: usize, to: usize) -> Operation {
        Operation::Write { from, to, offset: 4_096 + from as u64 }
    }

    fn code(code: i32) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(code))
    }

    fn fault_of(told: Option<Result<(), Fault>>) -> (Step, Option<i32>) {
        let fault = told.unwrap().unwrap_err();
        (fault.step, fault.error.raw_os_error())
    }

    #[test]
    fn a_short_write_goes_on_with_the_rest_and_is_synced_after_its_last_byte() {
        let mut flight = flight(10, true);
        assert_eq!(flight.operation(), write(0, 10));
        assert!(flight.told(Ok(3)).is_none());
        assert_eq!(flight.operation(), write(3, 10));
        assert!(flight.told(Ok(6)).is_none());
        assert_eq!(flight.operation(), write(9, 10));
        assert!(flight.told(Ok(1)).is_none());
        assert_eq!(flight.operation(), Operation::Sync);
        assert!(flight.told(Ok(0)).unwrap().is_ok());
    }

    #[test]
    fn a_write_that_needs_no_sync_ends_with_its_last_byte() {
        let mut flight = flight(10, false);
        assert!(flight.told(Ok(9)).is_none());
        assert!(flight.told(Ok(1)).unwrap().is_ok());
    }

    #[test]
    fn no_bytes_ask_for_a_sync_alone() {
        let mut flight = flight(0, true);
        assert_eq!(flight.operation(), Operation::Sync);
        assert!(flight.told(Ok(0)).unwrap().is_ok());
    }

    #[test]
    fn a_disturbed_operation_is_asked_for_again_but_not_for_ever() {
        let mut flight = flight(10, true);
        assert!(flight.told(code(libc::EINTR)).is_none());
        assert!(flight.told(Ok(4)).is_none());
        for _ in 0..RETRIES_MAX {
            assert!(flight.told(code(libc::EAGAIN)).is_none());
            assert_eq!(flight.operation(), write(4, 10));
        }
        assert_eq!(fault_of(flight.told(code(libc::EAGAIN))), (Step::Write, Some(libc::EAGAIN)));
    }

    #[test]
    fn a_failure_says_what_has_failed() {
        let mut flight_one = flight(10, true);
        assert!(flight_one.told(Ok(4)).is_none());
        assert_eq!(fault_of(flight_one.told(code(libc::ENOSPC))), (Step::Write, Some(libc::ENOSPC)));
        let mut flight_two = flight(10, true);
        assert!(flight_two.told(Ok(10)).is_none());
        assert_eq!(fault_of(flight_two.told(code(libc::ENOSPC))), (Step::Sync, Some(libc::ENOSPC)));
        let fault = flight(10, true).told(Ok(0)).unwrap().unwrap_err();
        assert_eq!((fault.step, fault.error.kind()), (Step::Write, io::ErrorKind::WriteZero));
    }

    #[test]
    #[should_panic(expected = "one write of a stream is on its way")]
    fn a_second_write_of_a_stream_is_a_mistake_of_ours() {
        let mut disk = Disk::default();
        disk.begin(flight(10, true).write);
        disk.begin(flight(10, true).write);
    }
}
