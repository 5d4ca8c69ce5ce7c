//! Nothing acknowledged is lost: for each message, every subscriber that was there and stayed.

use pregon::engine::stats::DropReason;

use crate::clients::{Client, Life};
use crate::record::{Message, Term};
use crate::simulation::Simulation;

impl Simulation {
    /// Every promise is held, or the broker's own account says that a bound was in the way.
    pub fn judge_losses(&mut self) {
        let mut missing = Vec::new();
        for (place, client) in self.clients.iter().enumerate() {
            if !client.is_connected() || !matches!(client.life, Life::Connected(_)) {
                continue;
            }
            for (number, message) in self.messages.iter().enumerate() {
                if self.is_promised(place, message) && !client.has_seen(number) {
                    missing.push((client.name.clone(), number));
                }
            }
        }
        if self.plan.is_generous {
            assert!(missing.is_empty(), "lost: {missing:?}");
        } else {
            let dropped = self.dropped(DropReason::QueueOldest) + self.dropped(DropReason::QueueRefused);
            assert!(missing.len() as u64 <= dropped, "{dropped} copies were dropped, and lost are {missing:?}");
        }
    }

    /// Whether a client must have got a message: it was subscribed before and stayed so, and the message was promised.
    fn is_promised(&self, place: usize, message: &Message) -> bool {
        let client = &self.clients[place];
        if message.qos == 0 || message.is_empty || message.is_will || message.expiry_s.is_some() {
            return false;
        }
        if client.role.maximum_packet.is_some() || !message.is_acknowledged() {
            return false;
        }
        client.stable_terms().any(|term| {
            term.share.is_none()
                && term.qos > 0
                && term.granted.is_some_and(|granted| granted < message.sent.step)
                && (!term.no_local || message.client != place)
                && message.is_matched_by(&term.filter)
        })
    }

    /// Copies that all shards dropped for this reason.
    pub fn dropped(&self, why: DropReason) -> u64 {
        self.world.shards.iter().map(|shard| shard.stats().ledger.dropped(why)).sum()
    }
}

impl Client {
    /// The subscriptions of the present session that hold for sure, not touched by any newer request.
    pub fn stable_terms(&self) -> impl Iterator<Item = &Term> {
        self.terms.iter().enumerate().filter_map(|(place, term)| {
            let is_newer = |newer: &Term| newer.life == term.life && newer.text == term.text && !newer.is_refused;
            let is_touched = self.terms[place + 1..].iter().any(is_newer);
            (term.life == self.lives && term.holds() && !is_touched).then_some(term)
        })
    }

    /// Whether a message came in the present session, however.
    pub fn has_seen(&self, number: usize) -> bool {
        let number = u32::try_from(number).expect("few messages");
        self.received.iter().any(|received| received.message == Some(number) && received.life == self.lives)
    }
}
