//! Folder, keeper, writer and ring together, on real file systems.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::folder::Folder;
use super::keeper::{Answer, Desk, Keeper, Order};
use super::scratch::{Scratch, reopened};
use super::segments::{Found, Segment, Shelf};
use super::stamp::{PAGE, Stamp, append, place, records};
use super::writer::{Cadence, Committed, State, Terms, Writer};
use crate::config::Driver;
use crate::engine::homes::ShardId;
use crate::shell::clock::Clock;
use crate::shell::mesh::{Inbox, Parcel, connect};
use crate::shell::ring::Ready;
use crate::shell::ring::disk::Stream;
use crate::shell::ring::net::Net;

const DRIVERS: [Driver; 2] = [Driver::Ring, Driver::Plain];
const SHARD: ShardId = ShardId::new(0);
const STREAM: Stream = Stream::new(0);
const SEGMENT_BYTES: u64 = 16 * PAGE as u64;
/// Longer than anything of these tests takes.
const PATIENCE_NS: u64 = 30_000_000_000;

/// A shard that has nothing but a journal.
struct Scene {
    clock: Clock,
    net: Net,
    inbox: Inbox,
    desk: Desk,
    writer: Writer<Stamp>,
    committed: Vec<Committed>,
    number: u64,
    /// Dropped last: the folder may be used by others then.
    _keeper: Keeper,
}

impl Scene {
    fn open(path: &Path, driver: Driver) -> Self {
        let (clock, folder) = (Clock::start(), Folder::open(path).unwrap());
        let shelf = Shelf::open(&folder, SHARD, SEGMENT_BYTES).unwrap();
        let (ways, mut inboxes) = connect(1, 2, u64::MAX).unwrap();
        let keeper = Keeper::start(folder, vec![shelf], ways, clock).unwrap();
        let inbox = inboxes.remove(0);
        let mut net = Net::new(driver, 8).unwrap();
        net.watch_waker(inbox.waker());
        let terms =
            Terms { cadence: Cadence::Each, segment_bytes: SEGMENT_BYTES, first_segment: 1, current: None, upto: 0 };
        let writer = Writer::new(STREAM, Stamp, terms);
        let (desk, committed) = (keeper.desk(SHARD), Vec::new());
        Self { clock, net, inbox, desk, writer, committed, number: 0, _keeper: keeper }
    }

    /// Adds so many records; each says its number, over and over.
    fn append(&mut self, count: usize) {
        for _ in 0..count {
            self.number += 1;
            append(&mut self.writer, self.number, &self.number.to_le_bytes().repeat(40));
        }
    }

    /// What a shard does in a turn.
    fn turn(&mut self) {
        self.net.poke();
        let mut told = Vec::new();
        self.net.drain(|ready| {
            if let Ready::Written(written) = ready {
                told.push(written);
            }
        });
        for written in told {
            self.committed.extend(self.writer.told(written, self.clock.now_ns()));
        }
        while let Some(parcel) = self.inbox.take_order() {
            match parcel {
                Parcel::Kept(Answer::Ready(segment)) => self.writer.offer(segment),
                Parcel::Kept(Answer::Short { .. }) => self.writer.fall_short(),
                Parcel::Kept(Answer::NotRetired { error, .. }) => panic!("{error}"),
                Parcel::Batch(_)
                | Parcel::Moved { .. }
                | Parcel::Asked(_)
                | Parcel::Found { .. }
                | Parcel::Answered(_)
                | Parcel::Policy(_)
                | Parcel::Plan { .. }
                | Parcel::Serve
                | Parcel::Report(_)
                | Parcel::List(..)
                | Parcel::Stop { .. } => {
                    panic!("only the keeper speaks with this shard")
                }
            }
        }
        if let Some(write) = self.writer.next_write(self.clock.now_ns()) {
            self.net.write(write);
        }
        if self.writer.wanted().is_some_and(|want| self.desk.ask(Order::Prepare(want)).is_ok()) {
            self.writer.has_asked();
        }
    }

    /// Turns until it is so, sleeping as a shard does.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until_ns = self.clock.now_ns() + PATIENCE_NS;
        loop {
            self.turn();
            if is_so(self) {
                return;
            }
            let now_ns = self.clock.now_ns();
            assert!(now_ns < until_ns, "{what} never came: {:?}", self.writer.tally());
            let due_ns = self.writer.next_due_ns().unwrap_or(until_ns).min(until_ns);
            self.inbox.park();
            if self.inbox.is_empty() {
                let inbox = &self.inbox;
                let timeout = Duration::from_nanos(due_ns.saturating_sub(now_ns));
                self.net.wait(Some(timeout), |waker| inbox.leave_waker(waker)).await;
            }
            self.inbox.unpark();
        }
    }

    async fn until_durable(&mut self) {
        self.until("the last record", |scene| scene.writer.is_done()).await;
        assert_eq!(self.writer.durable_upto(), self.number);
    }
}

/// Runs a scene on the thread of an executor, as a shard does.
fn on(path: &Path, driver: Driver, act: impl AsyncFnOnce(Scene)) {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 * 1024).make().unwrap();
    executor.run(async { act(Scene::open(path, driver)).await });
}

/// The numbers of all records that lie in the segments of a folder, in order, by what the seals say.
fn read_back(path: &Path) -> (Vec<Found>, Vec<u64>) {
    let folder = reopened(path);
    let found = Shelf::open(&folder, SHARD, SEGMENT_BYTES).unwrap().list().unwrap();
    let mut numbers = Vec::new();
    for segment in &found {
        let bytes = fs::read(&segment.path).unwrap();
        let mut rest = &bytes[..];
        while let Some(place) = place(rest).filter(|place| place.segment == segment.number) {
            assert_eq!(place.position, (bytes.len() - rest.len()) as u64);
            let (count, upto) = records(rest);
            let group = &rest[32..][..usize::try_from(count).unwrap() * 320];
            numbers.extend(group.chunks(320).map(|record| u64::from_le_bytes(record[..8].try_into().unwrap())));
            assert_eq!(numbers.last(), Some(&upto));
            rest = &rest[(32 + group.len()).next_multiple_of(PAGE)..];
        }
    }
    (found, numbers)
}

/// A small file system in memory, gone with its test.
struct Small(PathBuf);

impl Small {
    /// None where this process may not mount.
    fn mount(scratch: &Scratch, bytes: u64) -> Option<Self> {
        let path = scratch.path().join("small");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "pregon-test"]).arg(&path);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("SKIPPED: this process may not mount a file system, so none can be full");
        }
        is_mounted.then_some(Self(path))
    }

    /// From now on nothing can be written.
    fn close(&self) {
        let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(remount.is_ok_and(|end| end.success()));
    }

    /// Takes all but so much of its room; the room comes back with the file.
    fn leave(&self, bytes: u64) -> PathBuf {
        let filler = self.0.join("filler");
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let free: u64 = text.lines().nth(1).unwrap().trim().parse().unwrap();
        fs::write(&filler, vec![1; usize::try_from(free - bytes).unwrap()]).unwrap();
        filler
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let is_unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status().is_ok_and(|end| end.success());
        assert!(is_unmounted || std::thread::panicking());
    }
}

#[test]
fn everything_lies_in_order_in_its_segments_after_any_number_of_them() {
    for driver in DRIVERS {
        let scratch = Scratch::new();
        let path = scratch.path().join("data");
        on(&path, driver, async |mut scene| {
            for round in 0..60 {
                scene.append(1 + round % 7 * 10);
                scene.turn();
                if round % 5 == 0 {
                    scene.until_durable().await;
                }
            }
            scene.append(500); // larger than a segment
            scene.until_durable().await;
            let tally = scene.writer.tally();
            assert!(tally.segments > 5 && tally.commits < scene.number, "{tally:?}");
        });
        let (found, numbers) = read_back(&path);
        assert!(numbers.iter().copied().eq(1..=*numbers.last().unwrap()), "{driver:?}");
        assert!(found.iter().map(|segment| segment.number).eq(1..=found.len() as u64));
        assert!(numbers.len() > 1_800 && found.iter().any(|segment| segment.bytes > SEGMENT_BYTES));
    }
}

#[test]
fn a_recycled_segment_shows_nothing_of_its_past() {
    let scratch = Scratch::new();
    let path = scratch.path().join("data");
    on(&path, Driver::Ring, async |mut scene| {
        let mut retired = 0;
        for _ in 0..200 {
            scene.append(30);
            scene.until_durable().await;
            let segment = scene.committed.last().unwrap().place.segment;
            while retired + 2 < segment {
                retired += 1;
                scene.desk.ask(Order::Retire { stream: STREAM, number: retired }).unwrap();
            }
        }
        assert!(retired > 10);
    });
    let (found, numbers) = read_back(&path);
    assert!(found.len() <= 5, "{found:?}");
    assert!(numbers.iter().copied().eq(numbers[0]..=30 * 200), "what is left has no gap and no stranger");
    assert!(numbers[0] > 1_000);
}

#[test]
fn a_full_disk_leaves_one_segment_and_is_left_when_there_is_room() {
    for driver in DRIVERS {
        let scratch = Scratch::new();
        let Some(small) = Small::mount(&scratch, 8 << 20) else { return };
        let path = small.0.join("data");
        on(&path, driver, async |mut scene| {
            scene.append(1);
            scene.until_durable().await;
            // It has its name once it is whole, so nobody takes room any more.
            let spare = path.join("shard-0").join("00-0000000000000002.segment");
            scene.until("a spare segment", |_| spare.exists()).await;
            let filler = small.leave(PAGE as u64);
            // Into the second segment: there is no room for a third one.
            while scene.committed.last().unwrap().place.segment < 2 {
                scene.append(12);
                scene.until_durable().await;
            }
            scene.until("the word that there is no room", |scene| scene.writer.state() == State::Full).await;
            let begun = scene.number;
            for _ in 0..14 {
                scene.append(12);
                scene.until_durable().await;
            }
            assert!(scene.number > begun && scene.writer.state() == State::Full, "what is left is used");
            let waits = scene.writer.tally().segment_waits;
            scene.append(24); // more than what is left
            scene.until("a wait for a segment", |scene| scene.writer.tally().segment_waits > waits).await;
            assert!(scene.writer.durable_upto() < scene.number);
            fs::remove_file(filler).unwrap();
            scene.until_durable().await;
            assert_eq!((scene.writer.state(), scene.committed.last().unwrap().place.segment), (State::Open, 3));
        });
        let (_, numbers) = read_back(&path);
        assert!(numbers.iter().copied().eq(1..=*numbers.last().unwrap()));
    }
}

#[test]
fn a_read_only_file_system_is_refused_with_its_remedy() {
    let scratch = Scratch::new();
    let Some(small) = Small::mount(&scratch, 1 << 20) else { return };
    let path = small.0.join("data");
    drop(Folder::open(&path).unwrap());
    small.close();
    for (path, what) in [(&path, "open"), (&small.0.join("new"), "make")] {
        let said = Folder::open(path).unwrap_err().to_string();
        let begin = format!("cannot {what} {}", path.display());
        assert!(said.starts_with(&begin) && said.contains("mount it writable"), "{said}");
    }
}

#[test]
fn a_group_that_the_file_system_takes_only_in_part_is_whole_when_there_is_room() {
    for driver in DRIVERS {
        let scratch = Scratch::new();
        let Some(small) = Small::mount(&scratch, 8 << 20) else { return };
        let path = small.0.join("data");
        on(&path, driver, async |mut scene| {
            // A segment without its blocks: the file system finds out late that it has none.
            let hollow = path.join("shard-0/00-0000000000000001.segment");
            let file = OpenOptions::new().write(true).create_new(true).open(&hollow).unwrap();
            file.set_len(SEGMENT_BYTES).unwrap();
            let want = scene.writer.wanted().unwrap();
            scene.writer.has_asked();
            scene.writer.offer(Segment { stream: STREAM, number: want.number, file, bytes: SEGMENT_BYTES });
            let filler = small.leave(2 * PAGE as u64);
            scene.append(60);
            scene.until("a refusal", |scene| scene.writer.tally().refusals > 0).await;
            assert_eq!((scene.writer.state(), scene.writer.durable_upto()), (State::Full, 0));
            fs::remove_file(filler).unwrap();
            scene.until_durable().await;
        });
        assert!(read_back(&path).1.into_iter().eq(1..=60));
    }
}
