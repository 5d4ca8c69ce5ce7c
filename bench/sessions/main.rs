//! A data directory as a broker leaves it behind that has many durable sessions and messages waiting for them.
//!
//! ```text
//! cargo bench --no-default-features --bench sessions -- DIR --sessions 1000000 --queued 5000000
//! ```
//!
//! Each session has one subscription, to a topic of its own, at quality of service 1, and its client is away. Messages are queued in
//! rounds, one for each session in turn, each with a body of its own. `bench/compare/starting` measures what a broker makes of it.

mod shard;

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use pregon::base::hash::Seed;
use pregon::engine::homes::{Homes, SHARDS_MAX};
use pregon::journal::place::JournalId;

use shard::{Shard, Terms};

/// What others may do with the directory: nothing, or the broker refuses it.
const FOLDER_MODE: u32 = 0o700;

/// The journal that is made; homes of sessions follow from it.
const UUID: [u8; 16] = *b"bench of a start";

/// Makes a data directory with many sessions.
#[derive(Debug, Parser)]
#[command(name = "sessions")]
struct Arguments {
    /// The directory; it must not be there yet.
    directory: PathBuf,
    /// Durable sessions with a subscription each.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// Messages that wait for them, as many for one as for the other.
    #[arg(long, default_value_t = 5_000_000, value_name = "N")]
    queued: u32,
    /// Size of a payload in bytes.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    payload: usize,
    /// Shards of the broker that will be started on it.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=SHARDS_MAX as i64))]
    shards: u8,
    /// Length of a segment in bytes.
    #[arg(long, default_value_t = 64 << 20, value_name = "BYTES")]
    segment_bytes: u64,
    /// Length of a client identifier in bytes; by default as long as in the tests of memory.
    #[arg(long, default_value_t = 14, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(14..=100))]
    id_bytes: u16,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let directory = arguments.directory.display();
    let told = fill(&arguments).and_then(|bytes| writeln!(io::stdout(), "{bytes} bytes of frames in {directory}"));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "sessions: {directory}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes all shards; the bytes that they take without what is left of their last segments.
fn fill(arguments: &Arguments) -> io::Result<u64> {
    make_folder(&arguments.directory)?;
    let id = JournalId::new(UUID);
    let homes = Homes::new(seed(id), usize::from(arguments.shards));
    let mut shards = Vec::new();
    for shard in homes.all() {
        let folder = arguments.directory.join(format!("shard-{}", shard.index()));
        make_folder(&folder)?;
        let Arguments { shards: count, segment_bytes, id_bytes, .. } = *arguments;
        let terms = Terms { id, shard, shards: count, segment_bytes, id_bytes };
        shards.push(Shard::new(terms, folder));
    }
    let home_of = |session| homes.client(&shard::client_id(session, arguments.id_bytes));
    for session in 0..arguments.sessions {
        shards[home_of(session).index()].add_session(session)?;
    }
    let payload = vec![b'm'; arguments.payload];
    for session in (0..arguments.sessions).cycle().take(arguments.queued as usize) {
        shards[home_of(session).index()].add_message(session, &payload)?;
    }
    shards.into_iter().try_fold(0, |sum, shard| Ok(sum + shard.finish()?))
}

/// What a broker derives from the journal it finds.
fn seed(id: JournalId) -> Seed {
    let uuid = id.uuid();
    Seed::new(u64::from_le_bytes(*uuid.first_chunk().expect("a uuid has sixteen bytes")))
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(FOLDER_MODE).create(path)
}
