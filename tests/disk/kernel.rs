//! The disk as programs see it, through the kernel.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::fickle::luck::Luck;
use crate::fickle::order::{Order, Room};
use crate::mounted::mounted;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn files_are_written_read_renamed_and_listed() {
    let Some(mount) = mounted() else { return };
    let folder = mount.path().join("data");
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let (one, two) = (folder.join("one"), folder.join("two"));
    let mut file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&one).unwrap();
    file.write_all(&vec![7; 3 << 20]).unwrap();
    file.write_all_at(b"x", 5).unwrap();
    file.set_len((3 << 20) - 1).unwrap();
    fs::rename(&one, &two).unwrap();
    let bytes = fs::read(&two).unwrap();
    assert_eq!((bytes.len(), &bytes[4..7]), ((3 << 20) - 1, &[7, b'x', 7][..]));
    let metadata = fs::metadata(&two).unwrap();
    let (folder_mode, root) = (fs::metadata(&folder).unwrap().mode(), fs::metadata(mount.path()).unwrap());
    assert_eq!((metadata.mode() & 0o7777, folder_mode & 0o7777), (0o600, 0o700));
    assert_eq!((metadata.uid(), root.mode() & 0o7777), (root.uid(), 0o700));
    let many: Vec<String> = (0..300).map(|number| format!("many-{number:03}")).collect();
    for name in &many {
        File::create(folder.join(name)).unwrap();
    }
    assert_eq!(names(&folder), [many, vec!["two".to_owned()]].concat());
    assert_eq!(fs::remove_dir(&folder).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    let other = mount.path().join("other");
    fs::create_dir(&other).unwrap();
    assert_eq!(fs::rename(&other, &folder).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    fs::rename(&folder, other.join("inner")).unwrap();
    assert_eq!((names(mount.path()), names(&other)), (vec!["other".to_owned()], vec!["inner".to_owned()]));
    assert_eq!(fs::read(other.join("inner/two")).unwrap().len(), (3 << 20) - 1);
}

#[test]
fn a_lock_is_held_by_one() {
    let Some(mount) = mounted() else { return };
    let path = mount.path().join("lock");
    let first = File::create(&path).unwrap();
    first.try_lock().unwrap();
    assert!(File::open(&path).unwrap().try_lock().is_err());
    drop(first);
    // A child that another test begins holds the first descriptor for a moment, until it has become its program.
    let (second, mut attempts) = (File::open(&path).unwrap(), 0..1_000_000);
    while second.try_lock().is_err() {
        assert!(attempts.next().is_some(), "whoever closes a file gives up its lock");
        std::thread::yield_now();
    }
}

#[test]
fn bytes_past_the_page_cache_are_the_same_bytes() {
    let Some(mount) = mounted() else { return };
    let path = mount.path().join("direct");
    let direct = OpenOptions::new().create(true).write(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    direct.write_all_at(&[3; 8_192], 4_096).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == 12_288 && bytes[..4_096].iter().all(|byte| *byte == 0));
    assert!(bytes[4_096..].iter().all(|byte| *byte == 3));
}

#[test]
fn after_a_power_cut_the_kernel_remembers_nothing_that_the_disk_has_lost() {
    let Some(mount) = mounted() else { return };
    let (kept, lost) = (mount.path().join("kept"), mount.path().join("lost"));
    let mut file = File::create(&kept).unwrap();
    file.write_all(b"kept").unwrap();
    file.sync_data().unwrap();
    File::open(mount.path()).unwrap().sync_all().unwrap();
    file.write_all(b", and lost").unwrap();
    fs::write(&lost, "lost").unwrap();
    assert_eq!(fs::read(&kept).unwrap(), b"kept, and lost");
    mount.obey(Order::Cut(Luck::None));
    assert_eq!(fs::read(&kept).unwrap_err().raw_os_error(), Some(libc::EIO));
    mount.obey(Order::Power);
    assert_eq!((fs::read(&kept).unwrap(), names(mount.path())), (b"kept".to_vec(), vec!["kept".to_owned()]));
    assert_eq!(file.write_all(b"x").unwrap_err().raw_os_error(), Some(libc::EIO));
}

#[test]
fn faults_reach_the_program() {
    let Some(mount) = mounted() else { return };
    let mut file = File::create(mount.path().join("file")).unwrap();
    mount.obey(Order::Room(Room::None));
    assert_eq!(file.write_all(b"x").unwrap_err().kind(), ErrorKind::StorageFull);
    mount.obey(Order::Room(Room::Plenty));
    file.write_all(b"x").unwrap();
    mount.obey(Order::FailSync);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(libc::EIO));
    file.sync_data().unwrap();
}
