//! What can be set: every key of the table, and every key of each listener that there is.

use core::ops::{Index, IndexMut};

use super::Config;
use super::keys::KEYS;
use super::kind::{Kind, Value};
use super::listener_keys::LISTENER_KEYS;
use super::schema::LISTENERS;

/// One thing that is set in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The key of this number in the table.
    Key(usize),
    /// A key of a listener.
    Listener {
        /// The number of the listener.
        listener: usize,
        /// The number of the key among those of listeners.
        key: usize,
    },
}

impl Setting {
    /// All of them, as they are read: the listeners stand behind the section that they are named after.
    pub fn all(config: &Config) -> impl Iterator<Item = Self> {
        let split = KEYS.iter().rposition(|key| key.section == LISTENERS).map_or(0, |last| last + 1);
        let listeners = 0..config.listeners.named.len();
        let named =
            listeners.flat_map(|listener| (0..LISTENER_KEYS.len()).map(move |key| Self::Listener { listener, key }));
        (0..split).map(Self::Key).chain(named).chain((split..KEYS.len()).map(Self::Key))
    }

    /// How it is named in a complaint and behind `--set`.
    pub fn path(self, config: &Config) -> String {
        match self {
            Self::Key(key) => KEYS[key].path(),
            Self::Listener { listener, key } => LISTENER_KEYS[key].path_in(&config.listeners.named[listener].name),
        }
    }

    /// What it takes.
    pub fn kind(self) -> &'static Kind {
        match self {
            Self::Key(key) => &KEYS[key].kind,
            Self::Listener { key, .. } => &LISTENER_KEYS[key].kind,
        }
    }

    /// The value that it has, as a file would have it.
    pub fn written(self, config: &Config) -> String {
        match self {
            Self::Key(key) => KEYS[key].written(config),
            Self::Listener { listener, key } => LISTENER_KEYS[key].written(&config.listeners.named[listener]),
        }
    }

    /// Gives it a value, which its kind has read.
    pub fn set(self, config: &mut Config, value: Value) {
        match self {
            Self::Key(key) => (KEYS[key].set)(config, value),
            Self::Listener { listener, key } => {
                (LISTENER_KEYS[key].set)(&mut config.listeners.named[listener], value);
            }
        }
    }
}

/// One of something for each setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerSetting<T> {
    keys: Vec<T>,
    listeners: Vec<Vec<T>>,
}

impl<T: Clone> PerSetting<T> {
    /// The same for each key, and no listeners yet.
    pub fn all(thing: &T) -> Self {
        Self { keys: vec![thing.clone(); KEYS.len()], listeners: Vec::new() }
    }

    /// Makes room for a listener of this number, and has the same for each of its keys.
    pub fn open(&mut self, listener: usize, thing: &T) {
        self.listeners.insert(listener, vec![thing.clone(); LISTENER_KEYS.len()]);
    }

    /// Has the same for each key of a listener.
    pub fn fill(&mut self, listener: usize, thing: &T) {
        self.listeners[listener].fill(thing.clone());
    }
}

impl<T> Index<Setting> for PerSetting<T> {
    type Output = T;

    fn index(&self, setting: Setting) -> &T {
        match setting {
            Setting::Key(key) => &self.keys[key],
            Setting::Listener { listener, key } => &self.listeners[listener][key],
        }
    }
}

impl<T> IndexMut<Setting> for PerSetting<T> {
    fn index_mut(&mut self, setting: Setting) -> &mut T {
        match setting {
            Setting::Key(key) => &mut self.keys[key],
            Setting::Listener { listener, key } => &mut self.listeners[listener][key],
        }
    }
}
