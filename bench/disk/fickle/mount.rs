//! The kernel's side of the disk: requests in, answers out.
//!
//! Nothing is cached on the way, so what is seen is what the disk says.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, TimeOrNow, WriteFlags,
};

use super::disk::{Disk, Facts, Life, Wishes};
use super::luck::Luck;
use super::order::Order;
use super::tree::Owner;

/// The kernel asks again each time.
const REMEMBERED: Duration = Duration::ZERO;
/// No number is given twice, so one generation is enough.
const GENERATION: Generation = Generation(0);
/// So many requests are served at the same time; a slow sync holds up one of them.
const THREADS: usize = 8;
/// Who may touch the folder that holds everything.
const ROOT_MODE: u16 = 0o700;
/// What the kernel is told of the size of the disk, in blocks.
const BLOCKS: u64 = 1 << 20;
/// The size of a block.
const BLOCK_BYTES: u32 = 4_096;
/// `FALLOC_FL_KEEP_SIZE`: room is made, and the file does not grow.
const KEEP_SIZE: i32 = 1;

/// A disk that is mounted, until this is dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    disk: Arc<Disk>,
    session: Option<BackgroundSession>,
}

impl Mount {
    /// Mounts a new disk on a folder, which is made if it is not there.
    pub fn at(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(ROOT_MODE.into()).create(path)?;
        let metadata = fs::metadata(path)?;
        let owner = Owner { user: metadata.uid(), group: metadata.gid() };
        let disk = Arc::new(Disk::new(owner, ROOT_MODE));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("fickle".to_owned()), MountOption::DefaultPermissions];
        config.n_threads = Some(THREADS);
        let session = Session::new(Face(Arc::clone(&disk)), path, &config)?.spawn()?;
        Ok(Self { path: path.to_owned(), disk, session: Some(session) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does what somebody outside wants.
    pub fn obey(&self, order: Order) {
        self.disk.obey(order);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Nobody waits for a sync any more, and whoever still has something open does not keep it mounted.
        self.disk.obey(Order::Cut(Luck::None));
        let detached = Command::new("umount").arg("--lazy").arg(&self.path).status();
        if detached.is_ok_and(|status| status.success()) {
            // What is left of the session finds out by itself.
            self.session = None;
            // A folder that somebody looks at stays.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// What the kernel speaks with.
struct Face(Arc<Disk>);

fn attributes(facts: &Facts) -> FileAttr {
    const NEVER: SystemTime = UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(facts.number),
        size: facts.len,
        blocks: facts.len.div_ceil(512),
        atime: NEVER,
        mtime: NEVER,
        ctime: NEVER,
        crtime: NEVER,
        kind: kind(facts.is_folder),
        perm: facts.mode,
        nlink: if facts.is_folder { 2 } else { 1 },
        uid: facts.owner.user,
        gid: facts.owner.group,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn kind(is_folder: bool) -> FileType {
    if is_folder { FileType::Directory } else { FileType::RegularFile }
}

fn owner(request: &Request) -> Owner {
    Owner { user: request.uid(), group: request.gid() }
}

/// The bits of a mode that say who may do what.
fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).expect("twelve bits")
}

fn entry(found: Result<Facts, Errno>, reply: ReplyEntry) {
    match found {
        Ok(facts) => reply.entry(&REMEMBERED, &attributes(&facts), GENERATION),
        Err(error) => reply.error(error),
    }
}

fn attribute(found: Result<Facts, Errno>, reply: ReplyAttr) {
    match found {
        Ok(facts) => reply.attr(&REMEMBERED, &attributes(&facts)),
        Err(error) => reply.error(error),
    }
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn opened(life: Result<Life, Errno>, reply: ReplyOpen) {
    match life {
        Ok(Life(life)) => reply.opened(FileHandle(life), FopenFlags::FOPEN_DIRECT_IO),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Face {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.0.look_up(parent.0, name), reply);
    }

    fn forget(&self, _request: &Request, number: INodeNo, lookups: u64) {
        self.0.forget(number.0, lookups);
    }

    fn getattr(&self, _request: &Request, number: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        attribute(self.0.facts(number.0), reply);
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        user: Option<u32>,
        group: Option<u32>,
        len: Option<u64>,
        _accessed: Option<TimeOrNow>,
        _modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flags_changed: Option<SystemTime>,
        _backed_up: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wishes = Wishes { len, user, group, mode: mode.map(permissions) };
        attribute(self.0.change(number.0, wishes), reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(self.0.make_folder(parent.0, name, owner(request), permissions(mode)), reply);
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.remove(parent.0, name), reply);
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.0.remove(parent.0, name), reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        done(self.0.rename((parent.0, name), (new_parent.0, new_name)), reply);
    }

    fn open(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        opened(self.0.open(number.0), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.0.create(parent.0, name, owner(request), permissions(mode)) {
            Ok((facts, Life(life))) => {
                let (attributes, handle) = (attributes(&facts), FileHandle(life));
                reply.created(&REMEMBERED, &attributes, GENERATION, handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(number.0, Life(handle.0), offset, len as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(number.0, Life(handle.0), offset, bytes) {
            Ok(()) => reply.written(u32::try_from(bytes.len()).expect("a request has a maximum")),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode & !KEEP_SIZE != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let grows = mode & KEEP_SIZE == 0;
        done(self.0.allocate(number.0, Life(handle.0), offset.saturating_add(len), grows), reply);
    }

    fn fsync(&self, _request: &Request, number: INodeNo, handle: FileHandle, is_data_only: bool, reply: ReplyEmpty) {
        done(self.0.sync(number.0, Life(handle.0), is_data_only), reply);
    }

    fn opendir(&self, _request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        opened(self.0.open(number.0), reply);
    }

    fn readdir(&self, _request: &Request, number: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.0.list(number.0, Life(handle.0)) {
            Ok(entries) => {
                for (next, (facts, name)) in (1..).zip(entries).skip_while(|(next, _)| *next <= offset) {
                    if reply.add(INodeNo(facts.number), next, kind(facts.is_folder), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn fsyncdir(&self, _request: &Request, number: INodeNo, handle: FileHandle, _data_only: bool, reply: ReplyEmpty) {
        done(self.0.sync(number.0, Life(handle.0), false), reply);
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let free = if self.0.has_room() { BLOCKS } else { 0 };
        reply.statfs(BLOCKS, free, free, BLOCKS, free, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
