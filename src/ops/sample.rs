//! A report that no shard made: what tests of this floor and of the dashboards render.

use crate::engine::shard::Sizes;
use crate::engine::stats::Stats;
use crate::shell::report::{Report, ShellStats};

/// A shard that has just started, with this number.
pub fn report(shard: usize) -> Report {
    let (stats, sizes, shell) = (Stats::default(), Sizes::default(), ShellStats::default());
    Report { shard, core: None, stats, sizes, shell, uptime_s: 0.0 }
}
