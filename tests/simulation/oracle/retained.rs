//! The last retained message of a topic: what a newcomer finds, and what those have seen who were there.

use crate::clients::Client;
use crate::packets::Wanted;
use crate::plan::Role;
use crate::simulation::Simulation;

impl Simulation {
    /// A newcomer subscribes to everything and is shown the last retained message of each topic.
    pub fn judge_retained(&mut self) {
        let found = self.newcomer_finds();
        if !self.plan.is_generous {
            return; // a full store refuses, and a full queue forgets
        }
        let mut topics: Vec<String> =
            self.messages.iter().filter(|message| message.topic.starts_with("r/")).map(|m| m.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let seen = found.iter().filter(|number| self.messages[**number as usize].topic == topic);
            let seen: Vec<u32> = seen.copied().collect();
            assert!(seen.len() <= 1, "one retained message a topic: {topic} has {seen:?}");
            let candidates = self.candidates(&topic);
            if seen.is_empty() && candidates == [None] {
                self.coverage.hit("retained erased");
            }
            assert!(
                candidates.contains(&seen.first().copied()),
                "{topic} may have {candidates:?}, and a newcomer finds {seen:?}"
            );
        }
        for number in found {
            self.judge_who_was_there(number);
        }
    }

    fn newcomer_finds(&mut self) -> Vec<u32> {
        let role = Role { wills: 0, groups: Vec::new(), maximum_packet: None, ..self.clients[0].role.clone() };
        self.clients.push(Client::new("newcomer".into(), role));
        let newcomer = self.clients.len() - 1;
        self.connects_with(newcomer, true, 0, false);
        self.settle();
        self.subscribe_to(newcomer, &[Wanted::plain("#", 2)], None);
        self.settle();
        let found = self.clients[newcomer].received.iter().filter(|received| received.retain);
        found.filter_map(|received| received.message).collect()
    }

    /// What may be the retained message of a topic with one publisher: the last one that was promised, or a later one.
    fn candidates(&self, topic: &str) -> Vec<Option<u32>> {
        let of_topic = self.messages.iter().enumerate().filter(|(_, message)| message.topic == topic && message.retain);
        let mut candidates = Vec::new();
        let mut has_promise = false;
        for (number, message) in of_topic.collect::<Vec<_>>().into_iter().rev() {
            let number = u32::try_from(number).expect("few messages");
            if message.expiry_s.is_some() || message.is_empty {
                candidates.push(None);
            }
            if !message.is_empty {
                candidates.push(Some(number));
            }
            if message.is_acknowledged() {
                has_promise = true;
                break;
            }
        }
        // What was published again was perhaps taken for the newest.
        let again = self.messages.iter().enumerate().filter(|(_, message)| message.topic == topic && message.sends > 1);
        let again = again.filter(|(_, message)| message.retain && message.qos == 1);
        candidates.extend(
            again.map(|(number, message)| (!message.is_empty).then(|| u32::try_from(number).expect("few messages"))),
        );
        if !has_promise {
            candidates.push(None);
        }
        candidates
    }

    /// Those who asked for retained messages have seen this one, live or as retained.
    fn judge_who_was_there(&self, number: u32) {
        let message = &self.messages[number as usize];
        if message.qos == 0 || message.is_will || message.expiry_s.is_some() {
            return;
        }
        for (place, client) in self.clients.iter().enumerate() {
            let has_asked = client.is_connected()
                && client.role.maximum_packet.is_none()
                && client.stable_terms().any(|term| {
                    term.share.is_none()
                        && term.handling == 0
                        && term.qos > 0
                        && (!term.no_local || message.client != place)
                        && message.is_matched_by(&term.filter)
                });
            assert!(
                !has_asked || client.has_seen(number as usize),
                "{} has not seen {number}, the last retained message of {}",
                client.name,
                message.topic
            );
        }
    }
}
