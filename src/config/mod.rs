//! The configuration: everything an operator may choose, as checked values with their defaults.
//!
//! | file | what lives there |
//! |---|---|
//! | here | the values, one struct a section of `pregon.toml` |
//! | [`mod@load`] | sources to values, or to everything that is wrong with them |
//! | [`source`] | texts with their origin, and the order of precedence |
//! | [`keys`] | the table of keys: name, bounds, meaning |
//! | [`listener`] | a listener of its own, `[listeners.NAME]` |
//! | [`listener_keys`] | the table of its keys |
//! | [`schema`] | what a key is, and which one a name stands for |
//! | [`nearest`] | which one a misspelled name was meant to be |
//! | [`setting`] | what can be set: the keys, and those of each listener |
//! | [`kind`], [`list`] | the kinds of values |
//! | [`text`], [`address`] | how values are written |
//! | [`levels`] | how loud each area of the log is |
//! | [`field`] | the bridge from a kind to the type of a field |
//! | [`plaintext`] | where passwords can be read on their way |
//! | [`rules`], [`listener_rules`] | contradictions between values, and within a listener |
//! | [`complaint`] | what may be wrong, and how it is told |
//! | [`mod@print`] | values with their origin; the example file |
//!
//! Invariants:
//!
//! ```text
//! fields of Config = keys of the table; each takes what its kind allows; so have the fields of Listener theirs
//! src/manual/pregon.toml = the table at Config::default()
//! Checked = no source has a wrong value, and no rule is broken
//! ```
//!
//! Pure: text comes in, a [`Config`] or a list of complaints goes out. Files, environment and command line are read above.
//! What only the machine can say (which cores there are, whether a port is free) is not asked here but at the start.

pub mod address;
pub mod complaint;
pub mod field;
pub mod keys;
pub mod kind;
pub mod levels;
pub mod list;
pub mod listener;
pub mod listener_keys;
pub mod listener_rules;
#[cfg(test)]
mod listener_tests;
pub mod load;
pub mod nearest;
pub mod plaintext;
pub mod print;
pub mod rules;
pub mod schema;
pub mod setting;
pub mod source;
#[cfg(test)]
mod tests;
pub mod text;
#[cfg(test)]
mod web_tests;

pub use complaint::Complaints;
pub use levels::{Level, Levels};
pub use listener::Listener;
pub use load::{Checked, load};
use plaintext::PlaintextPasswords;
pub use source::{Origin, Source};

use core::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::base::network::Network;
use crate::engine::accounts::bans::BanTerms;
use crate::engine::auth::token::terms::{Carrier, LEEWAY_S, UserName};
use crate::engine::limits::Limits;

/// Everything an operator may choose. One for the whole process, never changed while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Cores, rings, timers: `[runtime]`.
    pub runtime: Runtime,
    /// What a turn of a shard may do: `[turn]`.
    pub turn: Turn,
    /// Where clients come in: `[listeners]`.
    pub listeners: Listeners,
    /// Bounds and features of the engine: `[limits]`.
    pub limits: Limits,
    /// Who may come in, and what they may do: `[auth]`.
    pub auth: Auth,
    /// What outlives the process, and where: `[storage]`.
    pub storage: Storage,
    /// The operator's door: `[admin]`.
    pub admin: Admin,
    /// What is written to standard error: `[log]`.
    pub log: Log,
}

impl Config {
    /// Where commands of this machine ask the broker; none where it has no data directory and nothing else was said.
    pub fn control(&self) -> Option<PathBuf> {
        let control = &self.admin.control;
        let has_place = control.is_absolute() || self.storage.durability != Durability::Memory;
        (!control.as_os_str().is_empty() && has_place).then(|| self.storage.data_dir.join(control))
    }
}

/// Which cores get a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All that the process may use.
    Auto,
    /// The first so many.
    Count(usize),
    /// These.
    List(Vec<usize>),
}

/// How the network is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The own ring where the kernel has what it needs, else the plain one.
    Auto,
    /// The own ring, or no start.
    Ring,
    /// The runtime's own streams.
    Plain,
}

/// The executors and their rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Which cores get a shard.
    pub cores: Cores,
    /// How many shards there are; none for one a core. More than cores is for tests.
    pub shards: Option<usize>,
    /// How the network is driven.
    pub driver: Driver,
    /// Entries of the network ring's submission queue; the completion queue has four times as many.
    pub ring_entries: u32,
    /// Entries of the executor's own rings.
    pub executor_ring_depth: usize,
    /// Memory that the executor registers for file input and output.
    pub io_memory_bytes: usize,
    /// How long a task of the executor may run before another one gets its turn.
    pub preempt_timer_ms: u64,
    /// How long a shard without work looks for some before it sleeps.
    pub spin_before_park_us: u64,
    /// Batches that may wait for one shard.
    pub mesh_batches_max: usize,
    /// Bytes of messages in them.
    pub mesh_bytes_max: usize,
    /// How long clients have to take what is still on its way when the broker stops.
    pub drain_timeout_ms: u64,
}

/// The budget of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Connections that are read in one turn.
    pub inputs_max: usize,
    /// Bytes that are read in one turn, that are taken in from other shards, and that either of them has us send.
    pub bytes_max: usize,
    /// Microseconds after which a turn reads nothing further.
    pub time_us_max: u64,
    /// Bytes that one connection may bring in one turn.
    pub read_bytes_max: usize,
}

/// The listeners and what their sockets have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Where plain MQTT is spoken, in short; port 0 lets the kernel choose.
    pub tcp: Vec<SocketAddr>,
    /// Listeners of their own, by name, each name once.
    pub named: Vec<Listener>,
    /// Connections that the kernel holds until they are accepted.
    pub backlog: u32,
    /// Whether small packets leave at once.
    pub tcp_nodelay: bool,
    /// Seconds of silence after which the kernel asks the peer; 0 for never.
    pub tcp_keep_alive_s: u32,
    /// The kernel's send buffer of each connection; 0 leaves it to the kernel.
    pub send_buffer_bytes: usize,
    /// The kernel's receive buffer of each connection; 0 leaves it to the kernel.
    pub receive_buffer_bytes: usize,
}

/// Whether clients come in that give neither name nor password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Where nobody else can be told apart either: without a password file, keys of tokens and a hook.
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// Who may come in, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whether clients come in that give neither name nor password.
    pub anonymous: Anonymous,
    /// What becomes of passwords that can be read on their way.
    pub plaintext_passwords: PlaintextPasswords,
    /// Users and the hashes of their passwords; empty for none.
    pub password_file: PathBuf,
    /// What they may do, as mosquitto writes it; empty where everybody may do everything.
    pub acl_file: PathBuf,
    /// Whether that file must say itself where it ends.
    pub acl_end: bool,
    /// What they may do, in our own format; empty for none.
    pub rules_file: PathBuf,
    /// Whose signatures on tokens count; empty where no token is taken.
    pub token_keys: PathBuf,
    /// Where such keys are fetched; none where they are not.
    pub token_keys_url: Option<Box<str>>,
    /// How often.
    pub token_keys_refresh_s: u64,
    /// How long they hold when they cannot be fetched any more.
    pub token_keys_keep_s: u64,
    /// How long the server may take.
    pub token_keys_timeout_ms: u64,
    /// Who must have issued a token; none for anybody who is trusted.
    pub token_issuer: Option<Box<str>>,
    /// For whom a token must be: one of these; none for anybody.
    pub token_audience: Vec<Box<str>>,
    /// The claim that names the user.
    pub token_user_claim: Box<str>,
    /// The claim that must be the client identifier.
    pub token_client_id_claim: Option<Box<str>>,
    /// The claim with the user's groups.
    pub token_groups_claim: Option<Box<str>>,
    /// The claim with what the user may do at the most.
    pub token_acl_claim: Option<Box<str>>,
    /// How far apart our clock and the issuer's may go.
    pub token_leeway_s: u64,
    /// Where a client puts its token.
    pub token_carrier: Carrier,
    /// What the user name beside a token says.
    pub token_user: UserName,
    /// Whether a token without an end is refused.
    pub token_needs_expiry: bool,
    /// Who is asked who a client is; none where nobody is.
    pub hook_url: Option<Box<str>>,
    /// Who is asked what it may do; none where nobody is.
    pub hook_rules_url: Option<Box<str>>,
    /// What is shown to them; empty for nothing.
    pub hook_secret_file: PathBuf,
    /// How long an answer may take.
    pub hook_timeout_ms: u64,
    /// How long a good answer holds; 0 for not at all.
    pub hook_cache_ms: u64,
    /// How long a refusal holds; 0 for not at all.
    pub hook_cache_denials_ms: u64,
    /// Questions that are asked at the same time.
    pub hook_connections: usize,
    /// Who vouches for these servers; empty for whom the system trusts.
    pub web_ca: PathBuf,
    /// Whether servers on other machines may be asked without encryption.
    pub web_plaintext: bool,
    /// Threads that hash passwords.
    pub clerks: usize,
    /// Failed proofs from one address before it is banned; 0 for any number.
    pub failures_max: u32,
    /// How long they count.
    pub failure_window_ms: u64,
    /// How long the first ban lasts.
    pub ban_ms: u64,
    /// How long any ban lasts at most.
    pub ban_max_ms: u64,
    /// Networks that are never banned.
    pub ban_exempt: Vec<Network>,
    /// Clients that may wait for them.
    pub waiting_max: usize,
}

impl Auth {
    /// Whether clients come in that give neither name nor password.
    pub fn lets_anybody_in(&self) -> bool {
        match self.anonymous {
            Anonymous::Auto => !self.has_users() && !self.takes_tokens() && !self.asks_who_comes(),
            Anonymous::Yes => true,
            Anonymous::No => false,
        }
    }

    /// Whether users are known by their passwords.
    pub fn has_users(&self) -> bool {
        !self.password_file.as_os_str().is_empty()
    }

    /// When an address is banned.
    pub fn bans(&self) -> BanTerms {
        BanTerms {
            failures_max: self.failures_max,
            failure_window_ms: self.failure_window_ms,
            ban_ms: self.ban_ms,
            ban_max_ms: self.ban_max_ms.max(self.ban_ms),
            exempt: self.ban_exempt.clone(),
        }
    }

    /// Whether tokens are taken.
    pub fn takes_tokens(&self) -> bool {
        self.has_token_keys() || self.token_keys_url.is_some()
    }

    /// Whether keys of tokens lie in a file.
    pub fn has_token_keys(&self) -> bool {
        !self.token_keys.as_os_str().is_empty()
    }

    /// Whether a web server is asked who a client is.
    pub fn asks_who_comes(&self) -> bool {
        self.hook_url.is_some()
    }

    /// The web servers that are asked something, each with its key.
    pub fn web_servers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = [
            ("auth.token_keys_url", &self.token_keys_url),
            ("auth.hook_url", &self.hook_url),
            ("auth.hook_rules_url", &self.hook_rules_url),
        ];
        named.into_iter().filter_map(|(path, url)| Some((path, url.as_deref()?)))
    }
}

/// When something counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the device.
    Fsync,
    /// When the kernel has it; the device follows after an interval.
    Interval,
    /// At once: it ends with the process.
    Memory,
}

impl Durability {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval => "interval",
            Self::Memory => "memory",
        }
    }
}

/// What outlives the process, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The directory of the files.
    pub data_dir: PathBuf,
    /// When something counts as kept.
    pub durability: Durability,
    /// How long the device is given at `Interval`.
    pub interval_ms: u64,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// Bytes that the logs of all shards may take; 0 for no bound.
    pub bytes_max: u64,
    /// Bytes of messages that wait in memory for sessions that outlive the process, on all shards.
    pub ram_budget: u64,
}

/// The operator's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where metrics and health are served; none where the door is closed.
    pub listen: Option<SocketAddr>,
    /// The socket by which commands of this machine ask the broker; a relative one lies in the data directory. Empty for none.
    pub control: PathBuf,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// How important an event has to be, everywhere and in some areas.
    pub level: Levels,
    /// Lines a second that one kind of event may write; the others are counted and summed up.
    pub lines_per_second_max: u32,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            cores: Cores::Auto,
            shards: None,
            driver: Driver::Auto,
            ring_entries: 4096,
            executor_ring_depth: 128,
            io_memory_bytes: 64 * 1024,
            preempt_timer_ms: 100,
            spin_before_park_us: 0,
            mesh_batches_max: 1024,
            mesh_bytes_max: 8 << 20,
            drain_timeout_ms: 10_000,
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self { inputs_max: 1024, bytes_max: 1 << 20, time_us_max: 1_000, read_bytes_max: 256 * 1024 }
    }
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            tcp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))],
            named: Vec::new(),
            backlog: 4096,
            tcp_nodelay: true,
            tcp_keep_alive_s: 0,
            send_buffer_bytes: 0,
            receive_buffer_bytes: 0,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            anonymous: Anonymous::Auto,
            plaintext_passwords: PlaintextPasswords::Warn,
            password_file: PathBuf::new(),
            acl_file: PathBuf::new(),
            acl_end: false,
            rules_file: PathBuf::new(),
            token_keys: PathBuf::new(),
            token_keys_url: None,
            token_keys_refresh_s: 5 * 60,
            token_keys_keep_s: 24 * 3_600,
            token_keys_timeout_ms: 5_000,
            token_issuer: None,
            token_audience: Vec::new(),
            token_user_claim: "sub".into(),
            token_client_id_claim: None,
            token_groups_claim: None,
            token_acl_claim: None,
            token_leeway_s: LEEWAY_S,
            token_carrier: Carrier::Password,
            token_user: UserName::Ignored,
            token_needs_expiry: true,
            hook_url: None,
            hook_rules_url: None,
            hook_secret_file: PathBuf::new(),
            hook_timeout_ms: 3_000,
            hook_cache_ms: 60_000,
            hook_cache_denials_ms: 10_000,
            hook_connections: 16,
            web_ca: PathBuf::new(),
            web_plaintext: false,
            clerks: 2,
            failures_max: 10,
            failure_window_ms: 60_000,
            ban_ms: 30_000,
            ban_max_ms: 600_000,
            ban_exempt: ["127.0.0.0/8", "::1"].map(|text| Network::parse(text).expect("it is one")).to_vec(),
            waiting_max: 16_384,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            data_dir: "./pregon-data".into(),
            durability: Durability::Fsync,
            interval_ms: 100,
            segment_bytes: 64 << 20,
            bytes_max: 0,
            ram_budget: 1 << 30,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9883))), control: "control".into() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: Levels::all(Level::Info), lines_per_second_max: 20 }
    }
}
