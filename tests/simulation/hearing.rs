//! What clients hear, packet by packet, and what they make of it; whatever the standard forbids the broker fails here.

use pregon::mqtt::Version;
use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::properties::Properties;

use crate::clients::{Incoming, Owed, Phase, Publishing, Receiving};
use crate::record::{Moment, Received};
use crate::simulation::{Simulation, number_in};
use crate::support::story::{Delivery, Heard, understand};

impl Simulation {
    /// The client hears up to so many bytes; at the end of a closed connection it notices.
    pub fn hear(&mut self, link: usize, most: usize) {
        let client = self.wires[link].client;
        let state = &mut self.world.links[link];
        let count = state.incoming.len().min(most);
        let bytes: Vec<u8> = state.incoming.drain(..count).collect();
        if state.is_closed {
            self.world.drain_backlog(link, usize::MAX);
        }
        let wire = &mut self.wires[link];
        wire.partial.extend(&bytes);
        let whole = std::mem::take(&mut wire.partial);
        let start = wire.heard + bytes.len() as u64 - whole.len() as u64;
        wire.heard += bytes.len() as u64;
        let mut at = 0;
        while let Ok(Next::Frame(frame)) = next_frame(&whole[at..], u32::MAX) {
            let heard = understand(self.clients[client].role.version, frame.first, frame.body, frame.len);
            at += frame.len;
            if self.clients[client].link != Some(link) {
                return; // it has turned to another connection in between
            }
            let written = self.wires[link].written_at(start + at as u64);
            self.client_hears(client, link, heard, written, frame.len);
        }
        self.wires[link].partial = whole[at..].to_vec();
        let state = &self.world.links[link];
        if state.is_closed && state.incoming.is_empty() && self.clients[client].link == Some(link) {
            assert!(self.wires[link].partial.is_empty(), "the broker closes between packets");
            let name = self.clients[client].name.clone();
            self.trace(|| format!("{name} sees the end of link {link}"));
            self.connection_over(client);
        }
    }

    fn client_hears(&mut self, client: usize, link: usize, heard: Heard, written: Moment, bytes: usize) {
        let name = self.clients[client].name.clone();
        self.trace(|| format!("{name} hears {}", brief(&heard)));
        let wire = &mut self.wires[link];
        assert!(!wire.said_goodbye, "no packet follows DISCONNECT");
        let is_connack = matches!(heard, Heard::ConnAck(..));
        assert_eq!(is_connack, !wire.said_hello, "CONNACK comes first and once");
        wire.said_hello = true;
        if let Some(most) = self.clients[client].role.maximum_packet {
            assert!(bytes <= most as usize || is_connack, "{name} accepts {most} bytes, not {bytes}");
        }
        match heard {
            Heard::ConnAck(is_present, reason, properties) => {
                assert_eq!(reason, 0, "{name} is let in");
                self.connected(client, link, is_present, &properties, written);
            }
            Heard::Publish(delivery) => self.delivered(client, link, delivery, written),
            Heard::PubAck(id, reason, _) => self.publish_acknowledged(client, id, reason, 1),
            Heard::PubRec(id, reason, _) => self.publish_acknowledged(client, id, reason, 2),
            Heard::PubRel(id, reason, _) => self.released(client, id, reason),
            Heard::PubComp(id, _, _) => self.publish_completed(client, id),
            Heard::SubAck(id, codes, _) => self.subscribed(client, id, &codes),
            Heard::UnsubAck(id, _, _) => self.unsubscribed(client, id),
            Heard::PingResp => {}
            Heard::Disconnect(reason, _) => self.told_to_go(client, link, reason, written),
            Heard::Auth(..) | Heard::Closed => panic!("{name} did not ask for {heard:?}"),
        }
    }

    fn told_to_go(&mut self, client: usize, link: usize, reason: u8, written: Moment) {
        self.wires[link].said_goodbye = true;
        if reason == 0x8D {
            self.coverage.hit("keep-alive timeout");
            let state = &self.clients[client];
            assert!(state.keep_alive > 0, "{} promised no keep-alive", state.name);
            let silence_ms = written.time.since_ms(self.wires[link].drained);
            assert!(silence_ms >= u64::from(state.keep_alive) * 1_500, "{} was not silent for long", state.name);
        }
    }

    /// CONNACK: the session goes on or begins.
    fn connected(&mut self, client: usize, link: usize, is_present: bool, properties: &[u8], written: Moment) {
        self.session_answered(client, link, is_present, written);
        let state = &mut self.clients[client];
        state.phase = Phase::Connected;
        state.is_resumed = is_present;
        (state.broker_receive_maximum, state.broker_alias_maximum) = (u16::MAX, 0);
        if state.role.version == Version::V5 {
            let place = pregon::mqtt::properties::Place::ConnAck;
            let properties = Properties::parse(properties, place).expect("the broker's properties are in order");
            state.broker_receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
            state.broker_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
            state.keep_alive = properties.server_keep_alive().unwrap_or(state.keep_alive);
        } else if self.plan.limits.keep_alive_max_s > 0 {
            // 3.x cannot be told; the broker's maximum holds all the same.
            let most = self.plan.limits.keep_alive_max_s;
            state.keep_alive = if state.keep_alive == 0 { most } else { state.keep_alive.min(most) };
        }
        if !is_present {
            return;
        }
        self.coverage.hit("session resumed");
        if !state.incoming.is_empty() {
            self.coverage.hit("session resumed with open messages");
        }
        if state.incoming.values().any(|open| open.state != Receiving::OwesPubAck) {
            self.coverage.hit("session resumed with open qos 2");
        }
        self.publishes_again(client);
    }

    /// PUBACK or PUBREC for one of the client's messages.
    fn publish_acknowledged(&mut self, client: usize, id: u16, reason: u8, qos: u8) {
        let now = self.step_now;
        let (state, messages) = (&mut self.clients[client], &mut self.messages);
        let place = state.open.iter().position(|open| open.id == id && open.state == Publishing::Sent);
        let Some(place) = place else { panic!("{} has no message {id} to be acknowledged", state.name) };
        let message = &mut messages[state.open[place].message as usize];
        assert_eq!(message.qos, qos, "PUBACK is for QoS 1, PUBREC for QoS 2");
        message.answer = Some((now, reason));
        if reason >= 0x80 {
            assert!(!self.plan.is_generous, "nothing is refused: {reason:#x}");
            self.coverage.hit("publisher refused");
        }
        if qos == 2 && reason < 0x80 {
            state.open[place].state = Publishing::Released;
            state.owed.push_back(Owed::PubRel(id));
        } else {
            state.open.remove(place);
        }
    }

    fn publish_completed(&mut self, client: usize, id: u16) {
        let state = &mut self.clients[client];
        let place = state.open.iter().position(|open| open.id == id && open.state == Publishing::Released);
        let Some(place) = place else { panic!("{} has no message {id} to be completed", state.name) };
        state.open.remove(place);
    }

    /// PUBREL for a message that the client received.
    fn released(&mut self, client: usize, id: u16, reason: u8) {
        let state = &mut self.clients[client];
        assert!(reason < 0x80, "{} knows what it has received: {id}", state.name);
        match state.incoming.get_mut(&id) {
            // It comes again when PUBCOMP was lost.
            None => assert!(state.is_resumed, "{} has nothing to release: {id}", state.name),
            Some(open) => {
                if open.state == Receiving::OwesPubComp {
                    self.coverage.hit("pubrel repeated by broker");
                }
                let is_due = matches!(open.state, Receiving::Recorded | Receiving::OwesPubComp);
                assert!(is_due, "{} has not recorded {id}", state.name);
                open.state = Receiving::OwesPubComp;
            }
        }
        if !state.owed.contains(&Owed::PubComp(id)) {
            state.owed.push_back(Owed::PubComp(id));
        }
    }

    /// PUBLISH.
    fn delivered(&mut self, client: usize, link: usize, mut delivery: Delivery, written: Moment) {
        self.resolve_alias(client, &mut delivery);
        let message = number_in(&delivery.payload);
        assert!(message.is_some() || delivery.payload.is_empty(), "a payload is one of ours");
        let state = &mut self.clients[client];
        let is_shared = state.is_member() && delivery.topic.starts_with("s/");
        let mut is_repeat = false;
        if let Some(id) = delivery.id {
            is_repeat = Self::takes_in(state, id, &delivery, message, is_shared);
            let inflight = state.inflight_here();
            let most = state.role.receive_maximum.unwrap_or(u16::MAX).min(self.plan.limits.inflight_max);
            assert!(inflight <= usize::from(most), "{} holds {inflight} of {most} messages", state.name);
        }
        if delivery.dup {
            self.coverage.hit("dup received");
        }
        let received = Received {
            message,
            topic: delivery.topic.clone(),
            life: state.lives,
            link,
            written,
            qos: delivery.qos,
            retain: delivery.retain,
            dup: delivery.dup,
            identifiers: delivery.subscription_ids.clone(),
            is_repeat,
        };
        self.judge_delivery(client, &delivery, &received);
        self.clients[client].received.push(received);
    }

    fn resolve_alias(&mut self, client: usize, delivery: &mut Delivery) {
        let state = &mut self.clients[client];
        let Some(alias) = delivery.alias else { return };
        assert!(alias <= state.role.alias_maximum, "[MQTT-3.1.2-26] {} knows no alias {alias}", state.name);
        if delivery.topic.is_empty() {
            self.coverage.hit("aliases received");
            delivery.topic.clone_from(state.aliases_in.get(&alias).expect("an alias is defined before it is used"));
        } else {
            state.aliases_in.insert(alias, delivery.topic.clone());
        }
    }

    /// The client's half of the flow. Whether it had the packet before.
    fn takes_in(
        state: &mut crate::clients::Client,
        id: u16,
        delivery: &Delivery,
        message: Option<u32>,
        is_shared: bool,
    ) -> bool {
        let name = &state.name;
        assert!(!delivery.dup || state.is_resumed, "{name} is told of a repeat on a fresh session");
        let (receiving, owed) = match delivery.qos {
            1 => (Receiving::OwesPubAck, Owed::PubAck(id)),
            _ => (Receiving::OwesPubRec, Owed::PubRec(id)),
        };
        let known = state.incoming.get(&id);
        if let Some(open) = known {
            assert!(delivery.dup, "{name} has {id} open and gets it anew: {open:?}");
            assert!(!open.is_here, "{name} gets {id} twice on one connection");
            assert_eq!(open.message, message, "{name} has another message under {id}");
            let is_released = open.state == Receiving::OwesPubComp;
            assert!(!is_released, "{name} is sent {id} again after PUBREL");
        }
        let is_repeat = known.is_some();
        state.incoming.insert(id, Incoming { message, state: receiving, is_here: true, is_shared });
        assert!(!state.owed.contains(&owed), "{name} owes {owed:?} already");
        state.owed.push_back(owed);
        is_repeat
    }
}

/// A packet in a few words.
fn brief(heard: &Heard) -> String {
    let Heard::Publish(delivery) = heard else { return format!("{heard:?}") };
    let Delivery { topic, payload, qos, retain, dup, id, subscription_ids, alias, .. } = delivery;
    let message = number_in(payload);
    format!(
        "PUBLISH {message:?} {topic:?}, qos {qos}, id {id:?}, retain {retain}, dup {dup}, for {subscription_ids:?}, alias {alias:?}"
    )
}
