//! Files and folders by their numbers, and what is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use fuser::Errno;

use super::content::Content;
use super::luck::Luck;
use super::names::{Names, Number, Pact};
use super::pending::Mark;

/// The number of the folder that holds everything.
pub const ROOT: Number = 1;

/// All files and folders.
#[derive(Debug)]
pub struct Tree {
    nodes: BTreeMap<Number, Node>,
    next: Number,
}

/// A file or a folder. Whose it is and who may touch it is safe at once: it is not what these tests are about.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub owner: Owner,
    /// Who may touch it.
    pub mode: u16,
    /// How often the kernel has looked it up and not forgotten it.
    lookups: u64,
}

/// User and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A file.
    File(Content),
    /// A folder.
    Folder(Names),
}

impl Tree {
    /// An empty folder.
    pub fn new(owner: Owner, mode: u16) -> Self {
        let root = Node { kind: Kind::Folder(Names::default()), owner, mode, lookups: 1 };
        Self { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    /// A file or a folder. One that the kernel knows and the device has lost is stale.
    pub fn node(&self, number: Number) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ESTALE)
    }

    /// The same, to be changed.
    pub fn node_mut(&mut self, number: Number) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::ESTALE)
    }

    /// The bytes of a file.
    pub fn content(&mut self, number: Number) -> Result<&mut Content, Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder(_) => Err(Errno::EISDIR),
        }
    }

    /// The names in a folder.
    pub fn names(&self, number: Number) -> Result<&Names, Errno> {
        match &self.node(number)?.kind {
            Kind::Folder(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, number: Number) -> Result<&mut Names, Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::Folder(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What has a name in a folder.
    pub fn find(&self, folder: Number, name: &OsStr) -> Result<Number, Errno> {
        self.names(folder)?.find(name).ok_or(Errno::ENOENT)
    }

    /// Makes something new; its number.
    pub fn make(&mut self, folder: Number, name: &OsStr, kind: Kind, owner: Owner, mode: u16) -> Result<Number, Errno> {
        if self.names(folder)?.find(name).is_some() {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node { kind, owner, mode, lookups: 0 });
        self.names_mut(folder)?.add(name, number);
        Ok(number)
    }

    /// Takes a name away. Who has the file open still has it.
    pub fn remove(&mut self, folder: Number, name: &OsStr) -> Result<(), Errno> {
        let number = self.find(folder, name)?;
        self.check_empty(number)?;
        self.names_mut(folder)?.remove(name, number);
        self.sweep();
        Ok(())
    }

    /// Gives something another name, in this folder or another one. What had the new one is without one.
    pub fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), Errno> {
        let number = self.find(from.0, from.1)?;
        if let Some(before) = self.names(to.0)?.find(to.1) {
            self.check_empty(before)?;
        }
        if from.0 == to.0 {
            self.names_mut(from.0)?.rename(from.1, to.1, number);
        } else {
            let pact = Pact::default();
            self.names_mut(to.0)?.arrive(to.1, number, pact.clone());
            self.names_mut(from.0)?.leave(from.1, number, pact);
        }
        self.sweep();
        Ok(())
    }

    /// A folder loses its name only when nothing has a name in it.
    fn check_empty(&self, number: Number) -> Result<(), Errno> {
        match &self.node(number)?.kind {
            Kind::Folder(names) if !names.is_empty() => Err(Errno::ENOTEMPTY),
            Kind::Folder(_) | Kind::File(_) => Ok(()),
        }
    }

    /// The kernel has looked something up.
    pub fn remember(&mut self, number: Number) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.lookups += 1;
        }
    }

    /// The kernel forgets so many look-ups.
    pub fn forget(&mut self, number: Number, lookups: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.lookups = node.lookups.saturating_sub(lookups);
            self.sweep();
        }
    }

    /// A sync begins.
    pub fn mark(&self, number: Number) -> Result<Mark, Errno> {
        Ok(match &self.node(number)?.kind {
            Kind::File(content) => content.mark(),
            Kind::Folder(names) => names.mark(),
        })
    }

    /// A sync has ended well.
    pub fn keep(&mut self, number: Number, mark: Mark) -> Result<(), Errno> {
        match &mut self.node_mut(number)?.kind {
            Kind::File(content) => content.keep(mark),
            Kind::Folder(names) => names.keep(mark),
        }
        self.sweep();
        Ok(())
    }

    /// The power goes.
    pub fn cut(&mut self, luck: &mut Luck) {
        for node in self.nodes.values_mut() {
            match &mut node.kind {
                Kind::File(content) => content.cut(luck),
                Kind::Folder(names) => names.cut(luck),
            }
        }
        self.sweep();
    }

    /// What nobody knows and nothing mentions is gone for good.
    fn sweep(&mut self) {
        let mut mentioned = BTreeSet::new();
        for node in self.nodes.values() {
            if let Kind::Folder(names) = &node.kind {
                mentioned.extend(names.mentioned());
            }
        }
        self.nodes.retain(|number, node| node.lookups > 0 || mentioned.contains(number));
    }
}
