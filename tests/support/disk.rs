//! A shard's disk in memory: it keeps the changes of a turn together or not at all, and a crash takes what was not kept.

use std::collections::VecDeque;

use pregon::engine::change::{Change, Serial};

/// What a shard has noted, and how much of it is safe.
#[derive(Debug, Default)]
pub struct Disk {
    safe: Vec<(Serial, Change)>,
    on_their_way: VecDeque<Vec<(Serial, Change)>>,
}

impl Disk {
    /// Takes the changes of one turn.
    pub fn take(&mut self, changes: &mut Vec<(Serial, Change)>) {
        if !changes.is_empty() {
            self.on_their_way.push_back(std::mem::take(changes));
        }
    }

    /// Up to which change everything is safe.
    pub fn stored(&self) -> Serial {
        self.safe.last().map_or(Serial::NONE, |(serial, _)| *serial)
    }

    /// How many turns are not safe.
    pub fn waiting(&self) -> usize {
        self.on_their_way.len()
    }

    /// Makes the oldest turns safe.
    pub fn store(&mut self, turns: usize) {
        let turns = turns.min(self.on_their_way.len());
        self.safe.extend(self.on_their_way.drain(..turns).flatten());
    }

    /// The power goes: what is safe comes back after the restart.
    pub fn lose_the_rest(&mut self) -> &[(Serial, Change)] {
        self.on_their_way.clear();
        &self.safe
    }
}
