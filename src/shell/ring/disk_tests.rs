//! Writes to real files through both drivers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::disk::{Step, Stream, Write, Written};
use super::net::Net;
use super::uring::Ring;
use super::{Ready, sys::EventFd};
use crate::config::Driver;
use crate::shell::files::scratch::Scratch;

const DRIVERS: [Driver; 2] = [Driver::Ring, Driver::Plain];
/// Longer than any write of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOKS_MAX: usize = 10_000;

/// Runs a scene on the thread of an executor, as a shard does.
fn on(driver: Driver, scene: impl AsyncFnOnce(Net)) {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 * 1024).make().unwrap();
    executor.run(scene(Net::new(driver, 8).unwrap()));
}

/// The next so many writes that are over, in the order in which they were told.
async fn told(net: &mut Net, count: usize) -> Vec<Written> {
    let mut told = Vec::new();
    for _ in 0..LOOKS_MAX {
        net.poke();
        net.drain(|ready| told.extend(written(ready)));
        if told.len() >= count {
            break;
        }
        net.wait(Some(PATIENCE), |_| ()).await;
    }
    assert_eq!(told.len(), count);
    told
}

fn written(ready: Ready) -> Option<Written> {
    match ready {
        Ready::Written(written) => Some(written),
        Ready::Brought(_)
        | Ready::Accepted(..)
        | Ready::AcceptEnded(..)
        | Ready::Readable { .. }
        | Ready::Received { .. }
        | Ready::ReceiveEnded { .. }
        | Ready::Writable(_)
        | Ready::Leaving(_)
        | Ready::Woken { .. } => None,
    }
}

fn open(path: &Path) -> Rc<File> {
    Rc::new(OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap())
}

fn write(stream: u8, file: &Rc<File>, offset: u64, bytes: Vec<u8>) -> Write {
    Write { stream: Stream::new(stream), file: Rc::clone(file), offset, bytes, is_synced: true }
}

#[test]
fn a_write_is_told_when_its_bytes_lie_in_the_file() {
    for driver in DRIVERS {
        on(driver, async |mut net| {
            let scratch = Scratch::new();
            let path = scratch.path().join("file");
            let file = open(&path);
            let mut expected = Vec::new();
            for (round, len) in (0_u8..).zip([1, 4_096, 70_000, 3_000_000, 0, 5]) {
                net.write(write(0, &file, expected.len() as u64, vec![round; len]));
                expected.resize(expected.len() + len, round);
                let written = told(&mut net, 1).await.remove(0);
                assert!(written.result.is_ok() && written.stream == Stream::new(0));
                assert!(fs::read(&path).unwrap() == expected, "{driver:?}, round {round}");
            }
        });
    }
}

#[test]
fn streams_are_written_side_by_side_however_small_the_ring_is() {
    const STREAMS: u8 = 40;
    for driver in DRIVERS {
        on(driver, async |mut net| {
            let scratch = Scratch::new();
            let path = |stream: u8| -> PathBuf { scratch.path().join(stream.to_string()) };
            for stream in 0..STREAMS {
                let file = open(&path(stream));
                net.write(write(stream, &file, 0, vec![stream; 10_000]));
                drop(file); // the write holds it
            }
            let mut streams: Vec<Stream> =
                told(&mut net, usize::from(STREAMS)).await.into_iter().map(|written| written.stream).collect();
            streams.sort();
            assert!(streams.into_iter().eq((0..STREAMS).map(Stream::new)));
            for stream in 0..STREAMS {
                assert!(fs::read(path(stream)).unwrap() == [stream; 10_000]);
            }
        });
    }
}

#[test]
fn a_fault_says_which_step_has_failed_and_gives_the_bytes_back() {
    for driver in DRIVERS {
        on(driver, async |mut net| {
            // Nothing fits into the one, and the other has nothing that could be synced.
            net.write(write(0, &open(Path::new("/dev/full")), 0, vec![7; 100]));
            let full = told(&mut net, 1).await.remove(0);
            let fault = full.result.unwrap_err();
            assert_eq!((fault.step, fault.error.kind()), (Step::Write, io::ErrorKind::StorageFull), "{driver:?}");
            assert_eq!(full.bytes, [7; 100]);
            net.write(write(0, &open(Path::new("/dev/null")), 0, vec![7; 100]));
            let unsynced = told(&mut net, 1).await.remove(0);
            let fault = unsynced.result.unwrap_err();
            assert_eq!((fault.step, fault.error.kind()), (Step::Sync, io::ErrorKind::InvalidInput), "{driver:?}");
        });
    }
}

#[test]
fn a_sleeping_ring_is_woken_by_the_end_of_a_write() {
    let scratch = Scratch::new();
    let file = open(&scratch.path().join("file"));
    let mut ring = Ring::new(8).unwrap();
    let waker = EventFd::new().unwrap();
    ring.watch_waker(&waker);
    ring.write(write(0, &file, 0, vec![1; 4_096]));
    let mut told = Vec::new();
    let mut sleeps = 0;
    while told.is_empty() {
        ring.wait(Some(PATIENCE));
        ring.drain(|ready| told.extend(written(ready)));
        sleeps += 1;
    }
    // Once for the bytes, once for the sync.
    assert!(sleeps <= 2 && told[0].result.is_ok(), "{sleeps}");
    assert_eq!(ring.stats.begun - ring.stats.ended, 1, "only the waker is still watched");
}

/// The thread ends when the kernel's workers have done what they were at, so afterwards the file shows what they have read.
#[test]
fn bytes_of_a_ring_that_ended_are_never_used_for_anything_else() {
    const BYTES: usize = 48 << 20;
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    for round in 0..3_u8 {
        let file = open(&path);
        // A file of its own handle: the thread takes it along.
        let file = Rc::into_inner(file).unwrap();
        let thread = std::thread::Builder::new().spawn(move || {
            let file = Rc::new(file);
            let mut ring = Ring::new(8).unwrap();
            ring.write(write(0, &file, 0, vec![0xA0 + round; BYTES]));
            ring.submit();
            drop(ring);
            let others: Vec<Vec<u8>> = (0..4).map(|_| vec![0x11; BYTES]).collect();
            others.iter().map(|other| usize::from(other[BYTES - 1])).sum::<usize>()
        });
        assert_eq!(thread.unwrap().join().unwrap(), 4 * 0x11);
        let seen = fs::read(&path).unwrap();
        let is_ours = |byte: &u8| (0xA0..=0xA0 + round).contains(byte) || *byte == 0;
        assert!(seen.iter().all(is_ours), "round {round}");
    }
}
