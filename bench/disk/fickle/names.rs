//! The names in one folder: as they are seen, as the device has them, and what lies between.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, OnceLock};

use super::luck::Luck;
use super::pending::{Mark, Pending};

/// The number of a file or a folder. None is given twice.
pub type Number = u64;

/// The names in one folder.
#[derive(Debug, Default)]
pub struct Names {
    seen: BTreeMap<OsString, Number>,
    safe: BTreeMap<OsString, Number>,
    /// What leads from the one to the other.
    changes: Pending<Change>,
}

/// Whether the device has a change, once that is known. The two halves of a rename from one folder to another share it.
#[derive(Clone, Debug, Default)]
pub struct Pact(Arc<OnceLock<bool>>);

/// A name that goes and one that comes; a rename is both, at once.
#[derive(Debug)]
struct Change {
    gone: Option<(OsString, Number)>,
    come: Option<(OsString, Number)>,
    pact: Pact,
}

impl Names {
    /// What has a name.
    pub fn find(&self, name: &OsStr) -> Option<Number> {
        self.seen.get(name).copied()
    }

    /// All names, in order.
    pub fn list(&self) -> impl Iterator<Item = (&OsStr, Number)> {
        self.seen.iter().map(|(name, number)| (name.as_os_str(), *number))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// What has a name here, or may have one again when the power comes back.
    pub fn mentioned(&self) -> impl Iterator<Item = Number> {
        let changed = self.changes.iter().filter_map(|change| change.come.as_ref()).map(|(_, number)| number);
        self.seen.values().chain(self.safe.values()).chain(changed).copied()
    }

    /// Something gets a name; what had it before is without one.
    pub fn add(&mut self, name: &OsStr, number: Number) {
        self.arrive(name, number, Pact::default());
    }

    /// A name goes.
    pub fn remove(&mut self, name: &OsStr, number: Number) {
        self.leave(name, number, Pact::default());
    }

    /// The one half of a rename: something comes from another folder.
    pub fn arrive(&mut self, name: &OsStr, number: Number, pact: Pact) {
        self.change(Change { gone: None, come: Some((name.to_owned(), number)), pact });
    }

    /// The other half: something goes to another folder.
    pub fn leave(&mut self, name: &OsStr, number: Number, pact: Pact) {
        self.change(Change { gone: Some((name.to_owned(), number)), come: None, pact });
    }

    /// Something changes its name within the folder; what had the new one before is without one.
    pub fn rename(&mut self, from: &OsStr, to: &OsStr, number: Number) {
        let (gone, come) = (Some((from.to_owned(), number)), Some((to.to_owned(), number)));
        self.change(Change { gone, come, pact: Pact::default() });
    }

    fn change(&mut self, change: Change) {
        change.reach(&mut self.seen);
        self.changes.push(change);
    }

    /// A sync begins: it is about what was changed by now.
    pub fn mark(&self) -> Mark {
        self.changes.mark()
    }

    /// A sync has ended well.
    pub fn keep(&mut self, mark: Mark) {
        for change in self.changes.take(mark) {
            change.pact.0.get_or_init(|| true);
            change.reach(&mut self.safe);
        }
    }

    /// The power goes. Any change that nobody has synced may have reached the device, also without those before it.
    pub fn cut(&mut self, luck: &mut Luck) {
        for change in self.changes.take_all() {
            if *change.pact.0.get_or_init(|| luck.keeps()) {
                change.reach(&mut self.safe);
            }
        }
        self.seen.clone_from(&self.safe);
    }
}

impl Change {
    fn reach(&self, names: &mut BTreeMap<OsString, Number>) {
        if let Some((name, number)) = &self.gone
            && names.get(name) == Some(number)
        {
            names.remove(name);
        }
        names.extend(self.come.clone());
    }
}
