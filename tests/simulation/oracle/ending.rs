//! How a run ends: everybody comes back, all is delivered and judged, everybody leaves, and nothing is left.

use pregon::engine::stats::DropReason;
use pregon::mqtt::Reason;

use crate::clients::{Life, Phase};
use crate::packets;
use crate::record::Verdict;
use crate::simulation::Simulation;

/// Longer than every expiry that ends, and than every delay.
const LONG_MS: u64 = 200_000_000;

impl Simulation {
    /// The last steps of a run.
    pub fn finish(&mut self) {
        self.trace(|| "everybody comes back".to_owned());
        self.break_forgotten_links();
        self.settle();
        self.let_quotas_fill();
        self.all_come_back();
        self.judge_losses();
        self.judge_groups();
        self.judge_retained();
        self.judge_open_flows();
        self.trace(|| "everybody leaves".to_owned());
        self.erase_retained();
        self.all_leave();
        self.settle_wills();
        self.judge_wills();
        self.judge_emptiness();
        self.count_drops();
    }

    /// A client that has published faster than it may is heard to its end.
    fn let_quotas_fill(&mut self) {
        if self.plan.limits.message_rate == 0 {
            return;
        }
        for _ in 0..20 {
            self.turn_clock(200);
            self.tick_all();
            self.settle();
        }
    }

    fn break_forgotten_links(&mut self) {
        for client in 0..self.clients.len() {
            for link in self.clients[client].stale.clone() {
                self.break_link(link);
            }
        }
        for link in self.live.clone() {
            self.world.links[link].room = usize::MAX;
            self.world.drain_backlog(link, usize::MAX);
            self.look();
        }
        for client in &mut self.clients {
            client.role.room = usize::MAX;
        }
    }

    /// Who has a session resumes it; the clock stands still meanwhile.
    fn all_come_back(&mut self) {
        for _ in 0..3 {
            for client in 0..self.clients.len() {
                let state = &self.clients[client];
                if state.phase == Phase::Away && !state.is_unsure && state.life != Life::None {
                    self.connects_with(client, false, u32::MAX, false);
                }
            }
            self.settle();
        }
    }

    /// Hears what there is to hear and sends what is owed. Whether there was anything.
    pub fn client_catches_up(&mut self, client: usize) -> bool {
        let mut has_moved = false;
        if let Some(link) = self.clients[client].link {
            let state = &self.world.links[link];
            has_moved = !state.incoming.is_empty() || !state.backlog.is_empty() || state.is_closed;
            self.hear(link, usize::MAX);
        }
        while self.clients[client].is_connected() && self.acknowledges(client) {
            has_moved = true;
        }
        has_moved
    }

    /// Nobody waits for anything: each flow has come to its end.
    fn judge_open_flows(&self) {
        for client in self.clients.iter().filter(|client| client.is_connected()) {
            let name = &client.name;
            assert!(client.open.is_empty(), "{name} waits for the end of {:?}", client.open);
            // What fitted behind a topic alias may be larger than a client accepts when it is sent again in full.
            let may_outgrow = client.role.maximum_packet.is_some() && client.role.alias_maximum > 0;
            assert!(may_outgrow || client.incoming.is_empty(), "{name} was never sent again {:?}", client.incoming);
            assert!(client.requests.is_empty(), "{name} waits for the answers to {:?}", client.requests);
        }
    }

    /// The newcomer erases what is retained.
    fn erase_retained(&mut self) {
        let newcomer = self.clients.len() - 1;
        let mut topics: Vec<String> =
            self.messages.iter().filter(|message| message.retain).map(|message| message.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            self.publishes_this(newcomer, &topic, 1, true, None, true, 0);
            self.settle();
            self.let_quotas_fill();
        }
    }

    /// Every session but the watcher's is ended, or ends by its time.
    fn all_leave(&mut self) {
        self.who_is_here_leaves();
        for _ in 0..3 {
            self.turn_clock(LONG_MS / 2);
            self.tick_all();
            self.settle();
        }
        for client in 1..self.clients.len() {
            if self.clients[client].phase == Phase::Away {
                self.connects_with(client, true, 0, false);
            }
        }
        self.settle();
        self.who_is_here_leaves();
        self.erase_wills();
    }

    fn who_is_here_leaves(&mut self) {
        for client in 1..self.clients.len() {
            if self.clients[client].is_connected() {
                let bytes = packets::disconnect(self.clients[client].role.version, Reason::Success);
                self.leaves(client, false, None, &bytes);
            }
        }
        self.settle();
    }

    /// Wills that were published late may have been retained.
    fn erase_wills(&mut self) {
        for client in 1..self.clients.len() {
            let topic = format!("w/{}", self.clients[client].name);
            self.publishes_this(0, &topic, 1, true, None, true, 0);
            self.settle();
        }
    }

    /// Ticks until every due timer has fired.
    fn tick_all(&mut self) {
        for _ in 0..3 {
            for shard in 0..self.plan.shards {
                self.tick(shard);
            }
        }
    }

    /// A will that nobody came back for has been published by now.
    fn settle_wills(&mut self) {
        for will in &mut self.wills {
            if let Verdict::Due(due) = will.verdict {
                will.verdict = Verdict::Must(due);
            }
        }
    }

    /// The watcher leaves as the last one, and the broker is as it was at first.
    fn judge_emptiness(&mut self) {
        self.leaves(0, false, Some(0), &packets::disconnect_with_expiry(0));
        self.settle();
        let (mut moved, mut received) = (0, 0);
        for (number, shard) in self.world.shards.iter().enumerate() {
            shard.check();
            let sizes = shard.sizes();
            let left = [sizes.connections, sizes.sessions, sizes.subscriptions, sizes.retained];
            assert_eq!(left, [0; 4], "shard {number} is empty: {sizes:?}");
            let ledger = &shard.stats().ledger;
            assert_eq!(ledger.queued(), 0, "nothing waits on shard {number} for nobody: {ledger:?}");
            (moved, received) = (moved + ledger.moved, received + ledger.received);
        }
        assert_eq!(moved, received, "what one shard hands over another one takes on");
    }

    fn count_drops(&mut self) {
        for why in DropReason::ALL {
            let count = self.dropped(why);
            self.coverage.dropped(why, count);
        }
        self.count_events();
    }
}
