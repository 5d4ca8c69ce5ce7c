//! A report that no shard made: what tests of this floor and of the dashboards render.

use crate::engine::shard::Sizes;
use crate::engine::stats::Stats;
use crate::shell::report::{Report, ShellStats};

/// A shard that has just started, with this number.
pub fn report(shard: usize) -> Report {
    let sizes = Sizes { connections: 0, sessions: 0, subscriptions: 0, retained: 0 };
    Report { shard, core: None, stats: Stats::default(), sizes, shell: ShellStats::default(), uptime_s: 0.0 }
}
