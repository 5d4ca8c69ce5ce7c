//! Shared groups: each message to one member, to another one only when the first is gone, and none forgotten.

use pregon::engine::stats::DropReason;

use crate::clients::{Client, Life};
use crate::record::{Message, Received};
use crate::simulation::Simulation;
use crate::subscribing::{GROUP_IDENTIFIERS, GROUPS};

impl Simulation {
    /// Judges every message of every group.
    pub fn judge_groups(&mut self) {
        let mut missing = Vec::new();
        for (group, text) in GROUPS.iter().enumerate() {
            let filter = text.splitn(3, '/').nth(2).expect("a shared filter has three parts");
            for number in 0..self.messages.len() {
                if !self.messages[number].is_matched_by(filter) {
                    continue;
                }
                let count = self.judge_members(group, number);
                if count == 0 && self.is_owed_to_group(group, &self.messages[number]) {
                    missing.push((*text, number));
                }
            }
        }
        if self.plan.is_generous {
            assert!(missing.is_empty(), "no member got {missing:?}");
        } else {
            let dropped = self.dropped(DropReason::QueueOldest) + self.dropped(DropReason::QueueRefused);
            assert!(missing.len() as u64 <= dropped, "{dropped} copies were dropped, and groups miss {missing:?}");
        }
    }

    /// How many members got a message. Two may have only if the first was gone.
    fn judge_members(&mut self, group: usize, number: usize) -> usize {
        let mut deliveries: Vec<(usize, &Received)> = Vec::new();
        for (place, client) in self.clients.iter().enumerate() {
            let got = client.received.iter().filter(|received| {
                received.message == u32::try_from(number).ok()
                    && !received.is_repeat
                    && is_of_group(client, received, group)
            });
            deliveries.extend(got.map(|received| (place, received)));
        }
        deliveries.sort_by_key(|(_, received)| received.written);
        let message = &self.messages[number];
        let mut seconds = 0;
        for pair in deliveries.windows(2) {
            let ((first_member, first), (member, second)) = (pair[0], pair[1]);
            if message.sends > 1 && message.qos == 1 {
                continue; // it was published twice
            }
            let (whose, others) = (&self.clients[first_member].name, &self.clients[member].name);
            let is_same_flow = first_member == member && first.life == second.life && second.dup;
            assert!(
                first.qos < 2 || second.qos < 2 || is_same_flow,
                "{number} went to {whose} and to {others} at QoS 2: {first:?}, {second:?}"
            );
            let gone = self.wires[first.link].closed.map(|(time, _)| time);
            let has_left = self.clients[first_member].terms.iter().any(|term| {
                term.text == GROUPS[group] && term.given_up.is_some_and(|given_up| given_up <= second.written.step)
            });
            assert!(
                gone.is_some_and(|gone| gone <= second.written.time) || has_left,
                "{number} went to {whose} and, while that was there, to {others}: {first:?}, {second:?}"
            );
            seconds += 1;
        }
        let count = deliveries.len();
        self.coverage.add("shared delivery to a second member", seconds);
        count
    }

    /// Whether some member was there before the message and is still.
    fn is_owed_to_group(&self, group: usize, message: &Message) -> bool {
        if message.qos == 0 || message.is_empty || message.expiry_s.is_some() || !message.is_acknowledged() {
            return false;
        }
        let mut has_member = false;
        for client in &self.clients {
            let is_of_it = |text: &str| text == GROUPS[group];
            let was_member = client.terms.iter().any(|term| is_of_it(&term.text));
            if !was_member {
                continue;
            }
            // Who takes only small packets may have refused it, and a QoS 2 delivery dies with its session.
            let has_died = client.terms.iter().any(|term| is_of_it(&term.text) && term.life != client.lives);
            let is_living = matches!(client.life, Life::Connected(_)) && client.is_connected();
            if client.role.maximum_packet.is_some() || (message.qos == 2 && (has_died || !is_living)) {
                return false;
            }
            has_member |= is_living
                && client.stable_terms().any(|term| {
                    is_of_it(&term.text) && term.granted.is_some_and(|granted| granted < message.sent.step)
                });
        }
        has_member
    }
}

/// Whether a delivery came by this group. Members of several groups speak 5.0, and their deliveries name the group.
fn is_of_group(client: &Client, received: &Received, group: usize) -> bool {
    if !client.is_member() || !received.topic.starts_with("s/") {
        return false;
    }
    match client.role.groups.as_slice() {
        [only] => *only == group,
        _ => received.identifiers.iter().any(|id| *id == GROUP_IDENTIFIERS + u32::try_from(group).expect("few groups")),
    }
}
