//! The disk: a tree behind power, speed, room and faults.
//!
//! It is shared by whoever serves the kernel and whoever makes the trouble.

use std::ffi::OsStr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::Errno;

use super::content::Content;
use super::luck::Luck;
use super::names::{Names, Number};
use super::order::{Order, Room};
use super::tree::{Kind, Owner, Tree};

/// The time from one power cut to the next. What was opened in an earlier one is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub u64);

/// What is known of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub number: Number,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// How long it is.
    pub len: u64,
    /// Whose it is.
    pub owner: Owner,
    /// Who may touch it.
    pub mode: u16,
}

/// What is to be changed about a file or a folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// How long it is.
    pub len: Option<u64>,
    /// The user whose it is.
    pub user: Option<u32>,
    /// The group whose it is.
    pub group: Option<u32>,
    /// Who may touch it.
    pub mode: Option<u16>,
}

/// The disk.
#[derive(Debug)]
pub struct Disk {
    state: Mutex<State>,
    /// Whoever waits in a sync looks again: the power has gone, or syncs take another time.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    is_on: bool,
    life: Life,
    sync_time: Duration,
    room: Room,
    fails_sync: bool,
}

impl Disk {
    /// An empty disk, with power and room.
    pub fn new(owner: Owner, mode: u16) -> Self {
        let state = State {
            tree: Tree::new(owner, mode),
            is_on: true,
            life: Life(1),
            sync_time: Duration::ZERO,
            room: Room::Plenty,
            fails_sync: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Does what somebody outside wants.
    pub fn obey(&self, order: Order) {
        let mut state = self.lock();
        match order {
            Order::Cut(luck) => {
                state.cut(luck);
                self.changed.notify_all();
            }
            Order::Power => state.is_on = true,
            Order::Slow(time) => {
                state.sync_time = time;
                self.changed.notify_all();
            }
            Order::Room(room) => state.room = room,
            Order::FailSync => state.fails_sync = true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Who has panicked holding it has failed a test by that; those who wait for an answer get one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn powered(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let state = self.lock();
        if state.is_on { Ok(state) } else { Err(Errno::EIO) }
    }

    fn opened(&self, life: Life) -> Result<MutexGuard<'_, State>, Errno> {
        let state = self.powered()?;
        if state.life == life { Ok(state) } else { Err(Errno::EIO) }
    }

    /// Opens a file or a folder.
    pub fn open(&self, number: Number) -> Result<Life, Errno> {
        let state = self.powered()?;
        state.tree.node(number).map(|_| state.life)
    }

    /// The kernel asks what has a name, and remembers it.
    pub fn look_up(&self, folder: Number, name: &OsStr) -> Result<Facts, Errno> {
        let mut state = self.powered()?;
        let number = state.tree.find(folder, name)?;
        state.tree.remember(number);
        state.facts(number)
    }

    /// The kernel forgets so many of its look-ups; it does that without power, too.
    pub fn forget(&self, number: Number, lookups: u64) {
        self.lock().tree.forget(number, lookups);
    }

    /// What is known of a file or a folder.
    pub fn facts(&self, number: Number) -> Result<Facts, Errno> {
        self.powered()?.facts(number)
    }

    /// Changes what is known.
    pub fn change(&self, number: Number, wishes: Wishes) -> Result<Facts, Errno> {
        let mut state = self.powered()?;
        if let Some(len) = wishes.len {
            state.resize(number, index(len)?)?;
        }
        let node = state.tree.node_mut(number)?;
        node.owner.user = wishes.user.unwrap_or(node.owner.user);
        node.owner.group = wishes.group.unwrap_or(node.owner.group);
        node.mode = wishes.mode.unwrap_or(node.mode);
        state.facts(number)
    }

    /// Makes a file and opens it.
    pub fn create(&self, folder: Number, name: &OsStr, owner: Owner, mode: u16) -> Result<(Facts, Life), Errno> {
        let mut state = self.powered()?;
        let facts = state.make(folder, name, Kind::File(Content::default()), owner, mode)?;
        Ok((facts, state.life))
    }

    /// Makes a folder.
    pub fn make_folder(&self, folder: Number, name: &OsStr, owner: Owner, mode: u16) -> Result<Facts, Errno> {
        self.powered()?.make(folder, name, Kind::Folder(Names::default()), owner, mode)
    }

    /// Takes a name away.
    pub fn remove(&self, folder: Number, name: &OsStr) -> Result<(), Errno> {
        self.powered()?.tree.remove(folder, name)
    }

    /// Gives another name, in the same folder or another one.
    pub fn rename(&self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), Errno> {
        self.powered()?.tree.rename(from, to)
    }

    /// What lies in a folder.
    pub fn list(&self, folder: Number, life: Life) -> Result<Vec<(Facts, Box<OsStr>)>, Errno> {
        let state = self.opened(life)?;
        let names = state.tree.names(folder)?.list();
        names.map(|(name, number)| Ok((state.facts(number)?, name.into()))).collect()
    }

    /// At most so many bytes of a file.
    pub fn read(&self, number: Number, life: Life, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut state = self.opened(life)?;
        Ok(state.tree.content(number)?.read(index(offset)?, len).to_vec())
    }

    /// Writes bytes to a file.
    pub fn write(&self, number: Number, life: Life, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut state = self.opened(life)?;
        let (room, content) = (state.room, state.tree.content(number)?);
        let offset = index(offset)?;
        let is_old = offset + bytes.len() <= content.len();
        match room {
            Room::Plenty => {}
            Room::Old if is_old => {}
            Room::Old | Room::None => return Err(Errno::ENOSPC),
        }
        content.write(offset, bytes);
        Ok(())
    }

    /// Makes room for a file up to a place, and lets it grow up to there if that is wanted.
    pub fn allocate(&self, number: Number, life: Life, end: u64, grows: bool) -> Result<(), Errno> {
        let mut state = self.opened(life)?;
        let end = index(end)?.max(state.tree.content(number)?.len());
        match state.room {
            Room::Plenty if grows => state.resize(number, end),
            Room::Plenty => Ok(()),
            Room::Old | Room::None => Err(Errno::ENOSPC),
        }
    }

    /// Makes safe what was changed of a file or a folder before this began. It takes its time, at most as long as syncs take now,
    /// and the power may go meanwhile.
    pub fn sync(&self, number: Number, life: Life, is_data_only: bool) -> Result<(), Errno> {
        let state = self.opened(life)?;
        let mark = state.tree.mark(number)?;
        let time = state.sync_time;
        let is_under_way = |state: &mut State| state.life == life && state.sync_time >= time;
        let waited = self.changed.wait_timeout_while(state, time, is_under_way);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.life != life {
            return Err(Errno::EIO);
        }
        if is_data_only && std::mem::take(&mut state.fails_sync) {
            state.tree.content(number)?.give_up(mark);
            return Err(Errno::EIO);
        }
        state.tree.keep(number, mark)
    }

    /// Whether anything new can be written.
    pub fn has_room(&self) -> bool {
        self.lock().room == Room::Plenty
    }
}

impl State {
    fn cut(&mut self, mut luck: Luck) {
        self.tree.cut(&mut luck);
        self.is_on = false;
        self.life.0 += 1;
    }

    fn facts(&self, number: Number) -> Result<Facts, Errno> {
        let node = self.tree.node(number)?;
        let (is_folder, len) = match &node.kind {
            Kind::File(content) => (false, content.len() as u64),
            Kind::Folder(_) => (true, 0),
        };
        Ok(Facts { number, is_folder, len, owner: node.owner, mode: node.mode })
    }

    fn make(&mut self, folder: Number, name: &OsStr, kind: Kind, owner: Owner, mode: u16) -> Result<Facts, Errno> {
        if self.room != Room::Plenty {
            return Err(Errno::ENOSPC);
        }
        let number = self.tree.make(folder, name, kind, owner, mode)?;
        self.tree.remember(number);
        self.facts(number)
    }

    fn resize(&mut self, number: Number, len: usize) -> Result<(), Errno> {
        let room = self.room;
        let content = self.tree.content(number)?;
        if len > content.len() && room != Room::Plenty {
            return Err(Errno::ENOSPC);
        }
        content.resize(len);
        Ok(())
    }
}

/// A place in memory for a place in a file.
fn index(offset: u64) -> Result<usize, Errno> {
    usize::try_from(offset).map_err(|_too_far| Errno::EFBIG)
}
