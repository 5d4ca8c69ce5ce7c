//! A report that no shard made: what tests of this floor and of the dashboards render.

use crate::config::Storage;
use crate::engine::accounts::Census;
use crate::engine::shard::Sizes;
use crate::engine::stats::Stats;
use crate::shell::report::{JournalStats, Promise, Reloads, Replayed, Report, ShellStats, WebStats};

/// A shard that has just started, with this number.
pub fn report(shard: usize) -> Report {
    let (stats, sizes, shell) = (Stats::default(), Sizes::default(), ShellStats::default());
    let promise = Promise::of(&Storage::default());
    let (journal, replayed) = (JournalStats::default(), Replayed::default());
    Report {
        shard,
        core: None,
        stats,
        sizes,
        shell,
        promise,
        journal,
        replayed,
        reloads: Reloads::default(),
        census: Census::default(),
        web: WebStats::default(),
        uptime_s: 0.0,
    }
}
