//! Each delivery by itself, when it is heard.

use pregon::engine::limits::Overlap;
use pregon::mqtt::Version;

use crate::clients::Client;
use crate::record::{Message, Received, Term};
use crate::simulation::Simulation;
use crate::subscribing::GROUP_IDENTIFIERS;
use crate::support::story::Delivery;

impl Simulation {
    /// Fails if the standard or our promises forbid this delivery.
    pub fn judge_delivery(&mut self, client: usize, delivery: &Delivery, received: &Received) {
        let state = &self.clients[client];
        let Some(number) = received.message else {
            // An empty payload names nobody: it was asked for, and that is all there is to know.
            let is_wanted = state.terms_for(&received.topic, 0).next().is_some();
            assert!(is_wanted, "{} did not ask for {}", state.name, received.topic);
            return;
        };
        let message = &self.messages[number as usize];
        assert_eq!(message.topic, received.topic, "{number} is delivered under its own topic");
        self.judge_terms(state, message, received, number);
        self.judge_age(state, message, received, number);
        Self::judge_time(message, delivery, received, number);
        if received.is_repeat {
            return;
        }
        if is_by_group(state, received) {
            self.coverage.hit("shared delivery");
        } else if received.retain {
            self.coverage.hit("delivery as retained");
        } else {
            self.judge_repetition(state, message, received, number);
            self.judge_order(state, message, received, number);
        }
        self.note_rarities(client, received, number);
    }

    /// Some subscription asked for it, on terms that allow it.
    fn judge_terms(&self, state: &Client, message: &Message, received: &Received, number: u32) {
        let name = &state.name;
        let (sent, is_group) = (message.sent.step, is_by_group(state, received));
        // A will is published later than it was sent.
        let sent = if message.is_will { 0 } else { sent };
        let all: Vec<&Term> = if received.retain {
            state.terms_to_look_up(&received.topic, sent).collect()
        } else {
            state.terms_for(&received.topic, sent).collect()
        };
        let terms: Vec<&Term> = all.into_iter().filter(|term| term.share.is_some() == is_group).collect();
        assert!(!terms.is_empty(), "{name} has no subscription for {number} on {}", received.topic);
        assert!(received.qos <= message.qos, "{name} gets {number} at no more than it was published with");
        let most = terms.iter().map(|term| term.qos).max().unwrap_or(0);
        assert!(received.qos <= most, "{name} gets {number} at QoS {}, and asked for {most}", received.qos);
        let is_own = self.clients[message.client].name == *name && message.life == state.lives;
        if is_own && !received.retain {
            assert!(terms.iter().any(|term| !term.no_local), "{name} gets its own {number} back");
        }
        if received.retain {
            assert!(message.retain, "{number} was not retained");
            let is_found = terms.iter().any(|term| term.as_published || (term.handling < 2 && !is_group));
            assert!(is_found, "{name} wants no retained messages, and gets {number}");
        } else if message.retain {
            let is_plain = terms.iter().any(|term| !term.as_published);
            assert!(is_plain, "{name} wants RETAIN as it was published, and {number} has none");
        }
        for identifier in &received.identifiers {
            let is_known = terms.iter().any(|term| term.identifier == Some(*identifier));
            assert!(is_known, "{name} gets {number} for {identifier}, which is none of its identifiers");
        }
        let is_merged = self.plan.limits.overlap == Overlap::Merged && !received.retain && !is_group;
        if is_merged && state.role.version == Version::V5 && terms.iter().all(|term| term.holds()) {
            Self::judge_identifiers(state, &terms, message, received, number);
        }
    }

    /// Who subscribes after the broker has acknowledged a retained message never finds an older one.
    fn judge_age(&self, state: &Client, message: &Message, received: &Received, number: u32) {
        if !received.retain || received.dup || received.is_repeat || !message.topic.starts_with("r/") {
            return;
        }
        let terms = state.terms_to_look_up(&received.topic, 0);
        let Some(asked) = terms.map(|term| term.asked).min() else { return };
        let newer = self.messages.iter().enumerate().skip(number as usize + 1).find(|(_, newer)| {
            let is_before = newer.answer.is_some_and(|(answered, reason)| reason < 0x80 && answered.step < asked);
            newer.topic == message.topic && newer.retain && is_before
        });
        let is_stale = self.plan.is_generous && message.sends == 1 && newer.is_some();
        assert!(!is_stale, "{} finds {number}, and {newer:?} was there before it asked", state.name);
    }

    /// One delivery names every subscription that matched, when all of them have stood still.
    fn judge_identifiers(state: &Client, terms: &[&Term], message: &Message, received: &Received, number: u32) {
        let has_stood = terms.iter().all(|term| term.granted.is_some_and(|granted| granted < message.sent.step));
        if !has_stood || message.is_will || terms.iter().any(|term| term.no_local) {
            return;
        }
        let mut expected: Vec<u32> = terms.iter().filter_map(|term| term.identifier).collect();
        let mut named = received.identifiers.clone();
        expected.sort_unstable();
        expected.dedup();
        named.sort_unstable();
        named.dedup();
        assert_eq!(named, expected, "{} gets {number} for all that matched", state.name);
    }

    /// [MQTT-3.3.2-5] what has expired is not delivered any more, and says how long it lives.
    fn judge_time(message: &Message, delivery: &Delivery, received: &Received, number: u32) {
        let Some(expiry_s) = message.expiry_s else {
            assert_eq!(delivery.expiry, None, "{number} does not expire");
            return;
        };
        if let Some(left) = delivery.expiry {
            assert!(left <= expiry_s, "{number} lives for {expiry_s} s, not for {left}");
        }
        // The broker had it when it answered at the latest.
        let Some((answered, _)) = message.answer.filter(|_| !delivery.dup && !received.is_repeat) else { return };
        if message.sends == 1 {
            let ends = answered.time.after_seconds(expiry_s);
            assert!(received.written.time < ends, "{number} had expired when it was written");
        }
    }

    /// `QoS` 2 comes once, and so does whatever was published once.
    fn judge_repetition(&self, state: &Client, message: &Message, received: &Received, number: u32) {
        let is_once = received.qos == 2 || message.sends == 1;
        if !is_once || received.dup && received.qos < 2 || self.plan.limits.overlap == Overlap::Separate {
            return;
        }
        let earlier = state.received.iter().rev().find(|earlier| {
            earlier.message == Some(number)
                && earlier.life == state.lives
                && !earlier.retain
                && !is_by_group(state, earlier)
        });
        if let Some(earlier) = earlier {
            // A repeat of what was not acknowledged is no second delivery: only QoS 1 may come so.
            assert!(received.qos == 1 && received.dup, "{} gets {number} twice: {earlier:?}", state.name);
        }
    }

    /// [MQTT-4.6.0-6] first deliveries keep the publisher's order, for each topic and `QoS`.
    fn judge_order(&self, state: &Client, message: &Message, received: &Received, number: u32) {
        let is_same_flow = |earlier: &&Received| {
            let Some(other) = earlier.message else { return false };
            let other = &self.messages[other as usize];
            earlier.life == state.lives
                && !earlier.retain
                && earlier.qos == received.qos
                && other.qos == message.qos
                && other.client == message.client
                && other.topic == message.topic
        };
        // A QoS 1 message that is published again is a new one to whoever did not get the first one. Who subscribes while
        // messages are on their way may get a retained one by way of its home, before or behind those that come straight.
        let was_there = |term: &Term| term.holds() && term.granted.is_some_and(|granted| granted < message.sent.step);
        let has_stood = state.terms_for(&message.topic, message.sent.step).any(was_there);
        if message.is_will || message.sends > 1 || !has_stood {
            return; // and wills of several connections may wait for different times
        }
        let earlier = state.received.iter().filter(is_same_flow);
        let latest = earlier.filter_map(|earlier| earlier.message).max();
        let is_known =
            state.received.iter().any(|earlier| earlier.message == Some(number) && earlier.life == state.lives);
        if let Some(latest) = latest.filter(|_| !is_known) {
            assert!(latest < number, "{} gets {number} behind {latest}", state.name);
        }
    }

    fn note_rarities(&mut self, client: usize, received: &Received, number: u32) {
        let (state, message) = (&self.clients[client], &self.messages[number as usize]);
        if message.life != self.clients[message.client].lives {
            self.coverage.hit("message of a former session");
        }
        if received.identifiers.len() > 1 {
            self.coverage.hit("overlapping subscriptions");
        }
        let newest = state.terms.iter().filter(|term| term.life == state.lives).filter_map(|term| term.granted).max();
        if received.retain && newest.is_some_and(|granted| message.sent.step < granted) {
            self.coverage.hit("retained found by a new subscriber");
        }
        if state.is_resumed && message.sent.step < self.wires[received.link].opened {
            self.coverage.hit("queued for an absent client");
        }
    }
}

/// Whether a delivery came by a shared group: its members have no other subscription to these topics.
pub fn is_by_group(state: &Client, received: &Received) -> bool {
    let is_group = state.is_member() && received.topic.starts_with("s/");
    debug_assert!(is_group || received.identifiers.iter().all(|id| *id < GROUP_IDENTIFIERS), "identifiers tell groups");
    is_group
}
