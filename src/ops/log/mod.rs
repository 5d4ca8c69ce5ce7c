//! The log: events that an operator cares about, as lines on standard error.
//!
//! | file | what lives there |
//! |---|---|
//! | here | the switch that turns it on, and what stands between an event and its line |
//! | [`kinds`] | how often each kind of event may speak |
//! | `fields` | what a line for people looks like |
//! | `lines` | the thread that writes, so that no shard does |
//!
//! # Invariants
//! - A shard never waits for whoever reads the log: a line that finds no place is counted and dropped.
//! - No kind of event writes more lines a second than the configuration allows; what is left out is counted and said.
//! - Text that came from a client cannot end a line, begin another one, or speak to a terminal.
//!
//! # What is not here
//! Rates, which are metrics. Payloads and secrets, which are nowhere.

mod fields;
pub mod kinds;
mod lines;

use std::sync::Arc;

use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use self::kinds::Kinds;
use self::lines::Writer;
use crate::config::{self, Level, Levels, LogFormat};

/// The prefix of the targets of our own events.
const OURS: &str = concat!(env!("CARGO_CRATE_NAME"), "::");

/// Why there is no log.
#[derive(thiserror::Error, Debug)]
pub enum LogError {
    /// The thread that writes does not start.
    #[error("the thread that writes the log does not start: {0}")]
    Thread(#[from] std::io::Error),
    /// Somebody else has set one up in this process.
    #[error("this process has a log already: {0}")]
    Taken(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// The running log. One for the whole process; when it is dropped, what was said before has been written.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct Log {
    _writer: Writer,
}

impl Log {
    /// Sends the events of the whole process to standard error from here on.
    pub fn start(config: &config::Log) -> Result<Self, LogError> {
        let gate = Gate::new(config.level.clone(), config.lines_per_second_max);
        let (writer, lines) = Writer::start(Arc::clone(&gate.kinds))?;
        tracing::subscriber::set_global_default(Registry::default().with(layer(config.format, gate, lines)))?;
        Ok(Self { _writer: writer })
    }
}

/// The way from events to lines: `gate` decides which, `format` how they look, `writer` where they go.
pub fn layer<S, W>(format: LogFormat, gate: Gate, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    match format {
        LogFormat::Text => lines.fmt_fields(fields::Plain).and_then(gate).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).and_then(gate).boxed(),
    }
}

/// Which events become lines. One for the whole process, shared by all threads without a lock.
#[derive(Clone, Debug)]
pub struct Gate {
    levels: Levels,
    kinds: Arc<Kinds>,
}

impl Gate {
    /// Lets through what is loud enough, of each kind at most so many lines a second.
    pub fn new(levels: Levels, lines_per_second_max: u32) -> Self {
        Self { levels, kinds: Arc::new(Kinds::new(lines_per_second_max)) }
    }

    /// The counts of each kind of event, for whoever sums them up once a second.
    pub fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    fn is_loud_enough(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= level_of(&self.levels, metadata.target())
    }
}

/// How loud the events of this target may be. What comes from another crate lies in no area.
fn level_of(levels: &Levels, target: &str) -> LevelFilter {
    filter(target.strip_prefix(OURS).map_or(levels.everything(), |module| levels.of(module)))
}

const fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// The only layer beside the one that writes, so what it refuses is refused altogether.
impl<S: Subscriber> Layer<S> for Gate {
    /// Asked once for each place in the code: one that is too quiet costs a single load from then on.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_loud_enough(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.is_loud_enough(metadata)
    }

    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        self.kinds.admit(event.metadata())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter(self.levels.loudest()))
    }
}

#[cfg(test)]
mod tests;
