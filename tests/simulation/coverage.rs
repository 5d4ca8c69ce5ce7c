//! What has really happened in the runs: a simulation that does nothing proves nothing.

use std::collections::BTreeMap;

use pregon::engine::stats::DropReason;

/// Everything that some seed must have seen.
pub const REQUIRED: [&str; 39] = [
    "aliases received",
    "aliases sent",
    "connect lost",
    "cut in a packet",
    "delivery as retained",
    "dup received",
    "dup sent",
    "half-open link",
    "keep-alive timeout",
    "kick",
    "letters left for a later turn",
    "letters past what is left of another sender's",
    "no room for what goes to many",
    "mesh full",
    "message of a former session",
    "overlapping subscriptions",
    "packet cut in pieces",
    "policy answered late",
    "publisher refused",
    "pubrel repeated by client",
    "pubrel repeated by broker",
    "queued for an absent client",
    "retained erased",
    "retained found by a new subscriber",
    "session expired",
    "session resumed",
    "session resumed with open messages",
    "session resumed with open qos 2",
    "shared delivery",
    "shared delivery to a second member",
    "take-over",
    "take-over across shards",
    "way in past what is left of letters",
    "will after delay",
    "will at session end",
    "will of a lost connection",
    "will withheld after disconnect",
    "will withheld after return",
    "work put off to a later turn",
];

/// Counters by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    /// It happened once more.
    pub fn hit(&mut self, name: &str) {
        self.add(name, 1);
    }

    /// It happened so many times more.
    pub fn add(&mut self, name: &str, count: u64) {
        if count > 0 {
            *self.counts.entry(name.to_owned()).or_insert(0) += count;
        }
    }

    /// Copies were dropped for this reason.
    pub fn dropped(&mut self, why: DropReason, count: u64) {
        self.add(&format!("dropped: {}", why.name()), count);
    }

    /// All that another run saw.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            self.add(name, *count);
        }
    }

    /// What has not happened at all.
    pub fn missing(&self) -> Vec<String> {
        // Nobody loses a right in these runs or is sent only so much in a second, no group's member refuses, and there is no journal that
        // could be full or damaged.
        let never = [DropReason::NotAuthorized, DropReason::AboveRate, DropReason::JournalFull, DropReason::Unreadable];
        let reasons = DropReason::ALL.iter().filter(|why| !never.contains(why));
        let reasons = reasons.map(|why| format!("dropped: {}", why.name()));
        let required = REQUIRED.iter().map(|name| (*name).to_owned()).chain(reasons);
        required.filter(|name| !self.counts.contains_key(name)).collect()
    }

    /// A line a counter.
    pub fn report(&self) -> String {
        let lines: Vec<String> = self.counts.iter().map(|(name, count)| format!("{count:>10}  {name}")).collect();
        lines.join("\n")
    }
}
