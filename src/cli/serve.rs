//! The broker from its start to its stop, and who is told of both: the log, the operator's door, the service manager.

use std::io;
use std::sync::Arc;

use super::complain;
use super::exit::Exit;
use super::signals::Interrupts;
use crate::config::plaintext::Overheard;
use crate::config::{Config, Durability};
use crate::ops::control::Control;
use crate::ops::http::{Admin, Readiness};
use crate::ops::log::{Log, LogError};
use crate::ops::notify::Notifier;
use crate::shell::broker::{Broker, Reporter, StartError, Stopped};
use crate::shell::progress::Standing;
use crate::shell::report::Promise;

/// Why nothing runs.
#[derive(thiserror::Error, Debug)]
enum ServeError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("signals: {0}")]
    Signals(io::Error),
    #[error("the service manager: {0}")]
    Notifier(io::Error),
    #[error("{0}")]
    Broker(#[from] StartError),
    #[error("{0}")]
    Door(io::Error),
}

/// Everything that runs beside the shards. What is dropped last stands last.
struct Running {
    broker: Broker,
    door: Option<Admin>,
    control: Option<Control>,
    readiness: Arc<Readiness>,
    interrupts: Interrupts,
    notifier: Option<Notifier>,
    _log: Log,
}

/// Runs the broker until a signal stops it.
pub fn run(config: &Config) -> Exit {
    match Running::start(config) {
        Ok(running) => {
            running.announce(config);
            running.stop_at_signal(config.runtime.drain_timeout_ms)
        }
        Err(error) => {
            complain(format_args!("{error}"));
            Exit::NotStarted
        }
    }
}

impl Running {
    /// From the log, which hears of all else, to the door, which needs somebody to ask.
    fn start(config: &Config) -> Result<Self, ServeError> {
        let log = Log::start(&config.log)?;
        // From here on a signal waits until the broker can be stopped.
        let interrupts = Interrupts::register_with_hangup().map_err(ServeError::Signals)?;
        let notifier = Notifier::of_environment().map_err(ServeError::Notifier)?;
        let starting = Broker::begin(config)?;
        let readiness = Readiness::starting(starting.progress());
        let door = match open_door(config, starting.reporter(), &readiness) {
            Ok(door) => door,
            Err(error) => {
                // Nobody was told that it runs, so nobody is told that it does not.
                if let Ok(broker) = starting.finish(|_standing| {}) {
                    let (Stopped::Clean | Stopped::Broken) = broker.stop();
                }
                return Err(ServeError::Door(error));
            }
        };
        let progress = starting.progress();
        let broker = starting.finish(|standing| tell(standing, notifier.as_ref()))?;
        if broker.storage().0.durability != Durability::Memory {
            let (took_ms, bytes, records) = (progress.elapsed_ms(), progress.read_bytes(), progress.records());
            tracing::info!(took_ms, bytes, records, "the journal was read");
        }
        let control = open_control(config, &broker);
        Ok(Self { broker, door, control, readiness, interrupts, notifier, _log: log })
    }

    /// Says what runs and where it can be reached.
    fn announce(&self, config: &Config) {
        let (version, shards, driver) = (env!("CARGO_PKG_VERSION"), self.broker.shards(), self.broker.driver());
        let (Promise { durability, loss_window_s }, data_dir) = self.broker.storage();
        let durability = durability.word();
        let storage_bytes_max = config.storage.bytes_max; // 0 for no bound
        tracing::info!(version, shards, driver, durability, loss_window_s, data_dir, storage_bytes_max, "pregon runs");
        for open in self.broker.listeners() {
            let (address, name) = (&open.address, Some(&*open.name).filter(|name| !name.is_empty()));
            tracing::info!(%address, name, "listening");
        }
        for overheard in config.listeners.overheard(&config.auth).filter(Overheard::wants_a_word) {
            tracing::warn!("{overheard}");
        }
        if let Some(door) = &self.door {
            tracing::info!(address = %door.address(), "metrics and health");
        }
        if let Some(control) = &self.control {
            tracing::info!(path = %control.path().display(), "questions of this machine's commands");
        }
        self.notify(|notifier| notifier.ready(&format!("{shards} shards")));
    }

    /// Waits for a signal, then stops in order: the door says that it stops, the shards drain, the door closes.
    fn stop_at_signal(mut self, drain_timeout_ms: u64) -> Exit {
        let files = self.broker.reload_order();
        self.interrupts.wait(|| files.reload());
        tracing::info!(drain_timeout_ms, "stopping; a second signal ends it at once");
        self.readiness.begin_stop();
        self.control = None; // it asks shards
        self.notify(|notifier| notifier.stopping(drain_timeout_ms));
        match self.broker.stop() {
            Stopped::Clean => {
                tracing::info!("stopped");
                Exit::Done
            }
            Stopped::Broken => {
                tracing::error!("stopped, and a shard did not end in an orderly way");
                Exit::Failed
            }
        }
    }

    /// A service manager that cannot be reached is no reason not to serve.
    fn notify(&self, say: impl FnOnce(&Notifier) -> io::Result<()>) {
        if let Some(error) = self.notifier.as_ref().and_then(|notifier| say(notifier).err()) {
            tracing::warn!(%error, "the service manager does not hear");
        }
    }
}

/// Says how far the start has come. The service manager is to wait on, but not for ever.
fn tell(standing: &Standing, notifier: Option<&Notifier>) {
    const WITHIN_MS: u64 = 60_000;
    let Standing { ready, shards, bytes_per_s, left_s, .. } = *standing;
    tracing::info!(percent = standing.percent(), bytes_per_s, left_s, ready, shards, "reading the journal");
    if let Some(error) = notifier.and_then(|notifier| notifier.starting(&standing.to_string(), WITHIN_MS).err()) {
        tracing::warn!(%error, "the service manager does not hear");
    }
}

/// Opens the inner door, if there is to be one. Without it the broker does all its work, and `pregon acl diff` does none.
fn open_control(config: &Config, broker: &Broker) -> Option<Control> {
    let opened = Control::open(&config.control()?, broker.enquiry());
    opened.inspect_err(|error| tracing::warn!(%error, "the control socket cannot be opened")).ok()
}

/// Opens the operator's door, if there is to be one.
fn open_door(config: &Config, reporter: Reporter, readiness: &Arc<Readiness>) -> io::Result<Option<Admin>> {
    let open = |address| Admin::start(address, move || reporter.reports(), Arc::clone(readiness));
    config.admin.listen.map(open).transpose()
}
