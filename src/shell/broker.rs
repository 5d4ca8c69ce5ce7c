//! The running broker as the floor above sees it: started, asked, stopped.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use glommio::ExecutorJoinHandle;
use socket2::SockRef;

use super::admission::{PolicyError, Reader};
use super::clerks::{Clerks, Desk};
use super::clock::Clock;
use super::core::Parts;
use super::enquiry::Enquiry;
use super::executor;
use super::listening::{ListenError, Listening, by_shard, listen};
use super::mesh::{Parcel, Ways, connect};
use super::progress::Progress;
use super::reloading::{Force, Looked, Order, ReloadError, Reloading, Tally, Unit};
use super::report::{Promise, Report};
use super::returning::Returning;
use super::ring::sys::raise_open_files;
use super::starting::Starting;
use super::storage::{Kept, Storage, StorageError, seed_of};
use super::web::{self, Askers};
use crate::base::hash::Seed;
use crate::config::{Config, Cores, Listener};
use crate::engine::accounts::Accounts;
use crate::engine::accounts::terms::{ListenerTerms, Terms};
use crate::engine::auth::policy::Policy;
use crate::engine::homes::{Homes, SHARDS_MAX, ShardId};
use crate::engine::limits::Limits;
use crate::engine::shard::Shared;
use crate::engine::subscriptions::interest::Interest;
use crate::journal::place::JournalId;

/// How long a report may take.
const REPORT_PATIENCE: Duration = Duration::from_millis(500);
/// Positions of the interest filter a shard where there are several.
const INTEREST_POSITIONS: usize = 1 << 20;

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A core that was asked for is not there.
    #[error("core {core} is not available; this process may use {available:?}")]
    NoSuchCore {
        /// The core.
        core: usize,
        /// Those that there are.
        available: Vec<usize>,
    },
    /// There would be none or too many shards.
    #[error("{shards} shards are asked for; 1 to {max} are possible")]
    ShardCount {
        /// How many.
        shards: usize,
        /// How many at the most.
        max: usize,
    },
    /// A listener does not listen.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// An executor did not start.
    #[error("shard {shard} does not start: {reason}")]
    Shard {
        /// Which one.
        shard: usize,
        /// Why, and what can be done about it.
        reason: String,
    },
    /// A file that says who may come in, or what they may do, cannot be used.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The data directory cannot be used.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The system refuses something that every shard needs.
    #[error("{what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// What the kernel says.
        error: io::Error,
    },
}

/// How the broker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was on its way was sent.
    Clean,
    /// A shard did not end in an orderly way.
    Broken,
}

/// The running shards.
#[derive(Debug)]
#[must_use = "a broker that is dropped goes on without anybody who could stop it"]
pub struct Broker {
    listening: Vec<Listening>,
    /// Second handles of all listening sockets, so that all of them end before the first client hears of the stop.
    listeners: Vec<OwnedFd>,
    pub(super) reporter: Reporter,
    pub(super) threads: Vec<ExecutorJoinHandle<()>>,
    pub(super) driver: &'static str,
    drain_timeout_ms: u64,
    helpers: Helpers,
    files: Files,
    /// Who looks whether files have changed, once clients may come in.
    reloading: Option<Reloading>,
    /// The data directory, as long as shards write to it.
    storage: Option<Storage>,
    promise: Promise,
    data_dir: String,
}

/// Threads beside the shards, in the order in which they end.
#[derive(Debug)]
struct Helpers {
    /// Who answer what takes time.
    clerks: Clerks,
    /// Who ask web servers.
    askers: Askers,
    /// Who gives back memory that was freed.
    _returning: Returning,
}

/// What the operator's files have made.
#[derive(Debug)]
struct Files {
    /// Reads them, and how they looked before; with whoever looks at them, once somebody does.
    reader: Option<(Reader, Looked)>,
    force: Arc<Force>,
    tally: Arc<Tally>,
}

/// Asks the shards how they are doing. Cheap to copy, usable from every thread.
#[derive(Clone, Debug)]
pub struct Reporter {
    pub(super) ways: Ways,
    clock: Clock,
    tally: Arc<Tally>,
    accounts: Arc<Accounts>,
    web: Arc<web::tally::Tally>,
}

impl Broker {
    /// Starts all shards; it listens when this returns.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::begin(config)?.finish(|_standing| {})
    }

    /// Begins to start all shards: when this returns its addresses are taken, and clients wait there.
    pub fn begin(config: &Config) -> Result<Starting, StartError> {
        let places = places(config)?;
        let mut reader = Reader::new(&config.auth, &config.listeners);
        let looked = Looked::at(reader.files());
        let policy = Arc::new(reader.read()?);
        let open_files =
            raise_open_files().map_err(|error| StartError::System { what: "the limit of open files", error })?;
        tracing::debug!(open_files, "limits");
        let mut listeners = listen(&config.listeners, places.len())?;
        let handles: io::Result<Vec<Vec<OwnedFd>>> = listeners.iter().map(Listening::handles).collect();
        let handles = handles.map_err(|error| StartError::System { what: "a listener's second handle", error })?;
        let (ways, inboxes) =
            connect(places.len(), config.runtime.mesh_batches_max, config.runtime.mesh_bytes_max as u64)
                .map_err(|error| StartError::System { what: "eventfd", error })?;
        let clock = Clock::start();
        let seed = random_seed().map_err(|error| StartError::System { what: "/dev/urandom", error })?;
        let accounts = Arc::new(Accounts::new(terms(config), Seed::new(seed)));
        let storage = open_storage(config, places.len(), &ways, clock, &policy, seed)?;
        let (storage, kept) = storage.map_or_else(Default::default, |(storage, kept)| (Some(storage), kept));
        let mut kept: VecDeque<Kept> = kept.into();
        let progress = Progress::new(clock, (0..places.len()).map(|number| kept.get(number).map_or(0, Kept::bytes)));
        let shared = shared(config, &policy, &accounts, places.len(), seed, storage.as_ref().map(Storage::id));
        let promise = Promise::of(&config.storage);
        let force = Arc::new(Force::new(Arc::clone(&policy)));
        let helpers = Helpers::start(config, &reader, &force, &ways)?;
        let mut sockets = by_shard(&mut listeners, places.len());
        let (sender, handshakes) = bounded(places.len());
        let mut threads = Vec::new();
        for ((number, core), inbox) in places.iter().enumerate().zip(inboxes) {
            let id = ShardId::new(number);
            let parts = Parts {
                id,
                core: *core,
                clock,
                shared: shared.clone(),
                seed: seed.wrapping_add(number as u64 + 1),
                inbox,
                ways: ways.clone(),
                desk: helpers.desk(id, config.auth.waiting_max.div_ceil(places.len())),
                listeners: std::mem::take(&mut sockets[number]),
                turn: config.turn.clone(),
                spin_before_park_us: config.runtime.spin_before_park_us,
                driver: config.runtime.driver,
                ring_entries: config.runtime.ring_entries,
                promise,
                share: progress.share(id),
                kept: kept.pop_front(),
            };
            let thread = executor::start(parts, &config.runtime, sender.clone())
                .map_err(|error| StartError::Shard { shard: number, reason: error.to_string() })?;
            threads.push(thread);
        }
        let tally = Arc::<Tally>::default();
        let data_dir =
            storage.as_ref().map_or_else(Default::default, |_| config.storage.data_dir.display().to_string());
        let broker = Self {
            listening: listeners,
            listeners: handles.into_iter().flatten().collect(),
            reporter: Reporter { ways, clock, tally: Arc::clone(&tally), accounts, web: Arc::clone(reader.tally()) },
            threads,
            driver: "",
            drain_timeout_ms: config.runtime.drain_timeout_ms,
            helpers,
            files: Files { reader: Some((reader, looked)), force, tally },
            reloading: None,
            storage,
            promise,
            data_dir,
        };
        Ok(Starting { has_journal: broker.storage.is_some(), broker, handshakes, progress })
    }

    /// Its listeners.
    pub fn listeners(&self) -> &[Listening] {
        &self.listening
    }

    /// Where it listens, as far as those are addresses of the network.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listening.iter().filter_map(|open| open.address.tcp()).collect()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.threads.len()
    }

    /// What drives the network: what was asked for, or what the kernel could do.
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// What an acknowledgement promises, and where what is kept lies.
    pub fn storage(&self) -> (Promise, &str) {
        (self.promise, &self.data_dir)
    }

    /// Somebody to ask how it is doing.
    pub fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Somebody to ask who is here.
    pub fn enquiry(&self) -> Enquiry {
        Enquiry::new(self.reporter.ways.clone(), Arc::clone(&self.files.force))
    }

    /// Looks at the operator's files from now on.
    pub(super) fn watch_files(&mut self) -> io::Result<()> {
        let (ways, force) = (self.reporter.ways.clone(), Arc::clone(&self.files.force));
        let mut units: Vec<Unit> =
            (0..).zip(&self.listening).filter_map(|(number, open)| open.unit(number, &ways)).collect();
        if let Some((mut reader, files)) = self.files.reader.take() {
            let keys = self.helpers.askers.order();
            units.push(Unit {
                name: "auth".to_owned(),
                files,
                reload: Box::new(move |occasion| {
                    let (policy, taken) = reader.read_anew(occasion).map_err(|error| ReloadError::new(&error))?;
                    force.change(policy, &ways);
                    if let Some(keys) = &keys {
                        keys.hurry();
                    }
                    Ok(taken)
                }),
            });
        }
        self.reloading = Some(Reloading::start(units, Arc::clone(&self.files.tally))?);
        Ok(())
    }

    /// Somebody who may have the files read anew.
    pub fn reload_order(&self) -> Order {
        self.reloading.as_ref().expect("clients may come in").order()
    }

    /// Stops: nobody comes in any more, clients are told, what is on its way is sent.
    pub fn stop(self) -> Stopped {
        drop(self.reloading); // it posts to shards, which are there until then
        for listener in self.listeners {
            // One that cannot be shut is closed by its shard all the same.
            let _ended_either_way = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        for path in self.listening.iter().filter_map(Listening::path) {
            // One that is not there any more has been taken away by somebody else.
            let _gone_either_way = std::fs::remove_file(path);
        }
        let Reporter { ways, clock, .. } = self.reporter;
        let until_ns = clock.now_ns() + self.drain_timeout_ms * 1_000_000;
        for number in 0..ways.shards() {
            post(&ways, ShardId::new(number), Parcel::Stop { until_ns });
        }
        let results: Vec<_> = self.threads.into_iter().map(ExecutorJoinHandle::join).collect();
        drop(self.helpers);
        drop(self.storage);
        if results.iter().all(Result::is_ok) { Stopped::Clean } else { Stopped::Broken }
    }
}

impl Helpers {
    fn start(config: &Config, reader: &Reader, force: &Arc<Force>, ways: &Ways) -> Result<Self, StartError> {
        let clerks = Clerks::start(clerks_for(config, &force.policy()), force, ways)
            .map_err(|error| StartError::System { what: "a clerk's thread", error })?;
        let askers = Askers::start(reader.hook(), config.auth.hook_connections, reader.fetched(), force, ways)
            .map_err(|error| StartError::System { what: "the thread of somebody who asks web servers", error })?;
        let returning = Returning::start()
            .map_err(|error| StartError::System { what: "the thread that gives memory back", error })?;
        Ok(Self { clerks, askers, _returning: returning })
    }

    /// Where a shard asks on which so many questions may wait.
    fn desk(&self, shard: ShardId, waiting_max: usize) -> Desk {
        self.clerks.desk(shard, waiting_max).with_web(self.askers.desk())
    }
}

impl Reporter {
    /// What every shard says about itself, in the order of their numbers; those that do not answer in time are missing.
    pub fn reports(&self) -> Vec<Report> {
        let (sender, receiver) = bounded(self.ways.shards());
        for number in 0..self.ways.shards() {
            let to = ShardId::new(number);
            // A shard whose channel is full is busy: it is asked at the next scrape.
            if self.ways.put(to, Parcel::Report(sender.clone())).is_ok() {
                self.ways.wake(to);
            }
        }
        drop(sender);
        let until_ns = self.clock.now_ns() + u64::try_from(REPORT_PATIENCE.as_nanos()).expect("half a second");
        let mut reports: Vec<(ShardId, Box<Report>)> = Vec::new();
        loop {
            let left = Duration::from_nanos(until_ns.saturating_sub(self.clock.now_ns()));
            match receiver.recv_timeout(left) {
                Ok(report) => reports.push(report),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        reports.sort_by_key(|(shard, _)| *shard);
        let (reloads, web) = (self.tally.read(), self.web.read());
        let census = self.accounts.census(self.clock.now());
        reports.into_iter().map(|(_, report)| Report { reloads, census, web: web.clone(), ..*report }).collect()
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.ways.shards()
    }
}

/// Puts a parcel into a channel that may be full for a moment.
pub(super) fn post(ways: &Ways, to: ShardId, parcel: Parcel) {
    let mut parcel = parcel;
    while let Err(back) = ways.put(to, parcel) {
        parcel = back;
        ways.wake(to);
        std::thread::yield_now();
    }
    ways.wake(to);
}

/// The core of each shard; none where there are more shards than cores.
fn places(config: &Config) -> Result<Vec<Option<usize>>, StartError> {
    let available: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
    let wanted = match &config.runtime.cores {
        Cores::Auto => available.clone(),
        Cores::Count(count) => {
            let missing = || StartError::NoSuchCore { core: available.len(), available: available.clone() };
            available.get(..*count).ok_or_else(missing)?.to_vec()
        }
        Cores::List(list) => {
            if let Some(core) = list.iter().copied().find(|core| !available.contains(core)) {
                return Err(StartError::NoSuchCore { core, available });
            }
            list.clone()
        }
    };
    let shards = config.runtime.shards.unwrap_or(wanted.len());
    if shards == 0 || shards > SHARDS_MAX {
        return Err(StartError::ShardCount { shards, max: SHARDS_MAX });
    }
    let is_one_a_core = shards <= wanted.len();
    Ok((0..shards).map(|number| wanted.get(number).copied().filter(|_| is_one_a_core)).collect())
}

fn shared(
    config: &Config,
    policy: &Arc<Policy>,
    accounts: &Arc<Accounts>,
    shards: usize,
    seed: u64,
    journal: Option<JournalId>,
) -> Shared {
    let count = u32::try_from(shards).expect("at most 64");
    // Nobody asks the filter where there is one shard.
    let positions = if shards == 1 { 0 } else { INTEREST_POSITIONS };
    let limits = Arc::new(config.limits.share(shards));
    Shared {
        own_limits: config.listeners.own_limits(&limits).into(),
        limits,
        // What is kept is found at the same home after a restart.
        homes: Arc::new(Homes::new(Seed::new(journal.map_or(seed, seed_of)), shards)),
        interest: Arc::new(Interest::new(Seed::new(seed), count, positions)),
        policy: Arc::clone(policy),
        accounts: Arc::clone(accounts),
        has_journal: journal.is_some(),
        ram_budget: config.storage.ram_budget.div_ceil(shards as u64),
    }
}

/// The data directory, and what each shard takes up from it; nothing where nothing is kept.
fn open_storage(
    config: &Config,
    shards: usize,
    ways: &Ways,
    clock: Clock,
    policy: &Arc<Policy>,
    seed: u64,
) -> Result<Option<(Storage, Vec<Kept>)>, StorageError> {
    Storage::open(&config.storage, shards, ways, clock, |id, shards| {
        // Those who move what is kept to other shards serve nobody.
        let nobodys = Arc::new(Accounts::new(Terms::of(&Limits::default()).with_owners(), Seed::new(seed)));
        shared(config, policy, &nobodys, shards, seed, Some(id))
    })
}

/// What the configuration bounds that shards count together.
fn terms(config: &Config) -> Terms {
    let plain = config.listeners.tcp.iter().map(|_| ListenerTerms::default());
    let named = config.listeners.named.iter().map(Listener::terms);
    Terms::of(&config.limits).with_listeners(plain.chain(named).collect()).with_bans(config.auth.bans())
}

/// Nobody is needed where every answer comes at once.
fn clerks_for(config: &Config, policy: &Policy) -> usize {
    if policy.takes_time() { config.auth.clerks } else { 0 }
}

/// Nobody outside can know it, so nobody can choose keys that fall into one place of a hash table.
fn random_seed() -> io::Result<u64> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
