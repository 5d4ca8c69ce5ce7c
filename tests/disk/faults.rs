//! Power, speed, room and faults of a disk, without a kernel in between.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use fuser::Errno;

use crate::fickle::disk::{Disk, Life};
use crate::fickle::luck::Luck;
use crate::fickle::names::Number;
use crate::fickle::order::{Order, Room};
use crate::fickle::tree::{Owner, ROOT};

const OWNER: Owner = Owner { user: 1, group: 2 };
/// Longer than anything of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn name() -> &'static OsStr {
    OsStr::new("file")
}

/// A disk with one file of four bytes; its name is safe, and so are they.
fn disk() -> (Arc<Disk>, Number, Life) {
    let disk = Disk::new(OWNER, 0o700);
    let (facts, life) = disk.create(ROOT, name(), OWNER, 0o600).unwrap();
    disk.write(facts.number, life, 0, b"safe").unwrap();
    disk.sync(facts.number, life, true).unwrap();
    disk.sync(ROOT, life, false).unwrap();
    (Arc::new(disk), facts.number, life)
}

/// What the disk says while somebody else waits for it.
#[expect(clippy::disallowed_methods, reason = "somebody waits for the disk while the test goes on")]
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(work()));
    move || receiver.recv_timeout(PATIENCE).unwrap()
}

fn code<T>(result: Result<T, Errno>) -> i32 {
    result.err().map_or(0, Errno::code)
}

#[test]
fn without_power_nothing_works_and_what_was_open_stays_dead() {
    let (disk, file, life) = disk();
    disk.write(file, life, 0, b"gone").unwrap();
    disk.obey(Order::Cut(Luck::None));
    assert_eq!(code(disk.write(file, life, 0, b"dead")), Errno::EIO.code());
    assert_eq!(code(disk.look_up(ROOT, name())), Errno::EIO.code());
    disk.obey(Order::Power);
    for result in [disk.write(file, life, 0, b"dead"), disk.sync(file, life, true)] {
        assert_eq!(code(result), Errno::EIO.code());
    }
    let life = disk.open(file).unwrap();
    assert_eq!(disk.read(file, life, 0, 100).unwrap(), b"safe");
}

#[test]
fn a_file_whose_name_was_not_synced_is_gone_although_its_bytes_were() {
    let (disk, _, life) = disk();
    let (other, _) = disk.create(ROOT, OsStr::new("other"), OWNER, 0o600).unwrap();
    disk.write(other.number, life, 0, b"x").unwrap();
    disk.sync(other.number, life, false).unwrap();
    disk.obey(Order::Cut(Luck::None));
    disk.obey(Order::Power);
    assert_eq!(code(disk.look_up(ROOT, OsStr::new("other"))), Errno::ENOENT.code());
    assert_eq!(disk.look_up(ROOT, name()).unwrap().len, 4);
    // The kernel still knows it until it forgets it.
    assert_eq!(disk.facts(other.number).unwrap().len, 1);
    disk.forget(other.number, 1);
    assert_eq!(code(disk.facts(other.number)), Errno::ESTALE.code());
}

#[test]
fn a_sync_that_the_power_cut_meets_has_failed() {
    let (disk, file, life) = disk();
    disk.write(file, life, 0, b"gone").unwrap();
    disk.obey(Order::Slow(PATIENCE * 3));
    let other = Arc::clone(&disk);
    let answer = beside(move || other.sync(file, life, true));
    disk.obey(Order::Cut(Luck::None));
    assert_eq!(code(answer()), Errno::EIO.code());
}

#[test]
fn a_slow_sync_holds_up_nobody_else() {
    let (disk, file, life) = disk();
    disk.obey(Order::Slow(PATIENCE * 3));
    let other = Arc::clone(&disk);
    let answer = beside(move || other.sync(file, life, true));
    disk.write(file, life, 4, b"more").unwrap();
    assert_eq!(disk.read(file, life, 0, 100).unwrap(), b"safemore");
    disk.obey(Order::Slow(Duration::ZERO));
    answer().unwrap();
}

#[test]
fn one_fdatasync_fails_and_its_bytes_are_never_safe() {
    let (disk, file, life) = disk();
    disk.write(file, life, 0, b"gone").unwrap();
    disk.obey(Order::FailSync);
    disk.sync(ROOT, life, false).unwrap();
    assert_eq!(code(disk.sync(file, life, true)), Errno::EIO.code());
    disk.sync(file, life, true).unwrap();
    disk.obey(Order::Cut(Luck::None));
    disk.obey(Order::Power);
    assert_eq!(disk.read(file, disk.open(file).unwrap(), 0, 100).unwrap(), b"safe");
}

#[test]
fn a_full_disk_takes_nothing_new_and_may_take_what_has_its_place() {
    let (disk, file, life) = disk();
    for (room, in_place) in [(Room::None, Errno::ENOSPC.code()), (Room::Old, 0), (Room::Plenty, 0)] {
        disk.obey(Order::Room(room));
        let new = if room == Room::Plenty { 0 } else { Errno::ENOSPC.code() };
        assert_eq!(code(disk.write(file, life, 0, b"SAFE")), in_place, "{room:?}");
        assert_eq!(code(disk.write(file, life, 3, b"longer")), new, "{room:?}");
        assert_eq!(code(disk.allocate(file, life, 5_000, true)), new, "{room:?}");
        assert_eq!(code(disk.make_folder(ROOT, OsStr::new("folder"), OWNER, 0o700)), new, "{room:?}");
        assert_eq!(disk.has_room(), room == Room::Plenty);
    }
}

#[test]
fn orders_are_words() {
    for line in ["off", "off 7", "on", " slow  1000 ", "full", "full old", "free", "fail"] {
        let said = format!("{:?}", Order::parse(line).unwrap());
        let expected = match line.trim() {
            "off" => "Cut(None)",
            "off 7" => "Cut(Drawn(",
            "on" => "Power",
            "full" => "Room(None)",
            "full old" => "Room(Old)",
            "free" => "Room(Plenty)",
            "fail" => "FailSync",
            _ => "Slow(1s)",
        };
        assert!(said.starts_with(expected), "{line}: {said}");
    }
    for line in ["", "offf", "slow", "slow x", "full new", "on now"] {
        assert!(Order::parse(line).is_err(), "{line:?}");
    }
}
