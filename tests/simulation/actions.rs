//! What clients do of their own accord: connect, publish, subscribe, acknowledge, fall silent, leave.

use pregon::mqtt::property::Property;
use pregon::mqtt::{Reason, Version};

use crate::clients::{Asked, Client, Farewell, Life, Open, Owed, Phase, Publishing, Receiving};
use crate::packets;
use crate::plan::any_qos;
use crate::record::{Message, Verdict, Will};
use crate::simulation::Simulation;
use crate::support::story::{Hello, Post};

impl Simulation {
    /// One client does something.
    pub fn client_acts(&mut self, client: usize) {
        match self.clients[client].phase {
            Phase::Away => self.connects(client),
            Phase::Waiting | Phase::Leaving => {}
            Phase::Connected if client == 0 => {
                self.acknowledges(client);
            }
            Phase::Connected => match self.dice.client.below(100) {
                0..46 => self.publishes(client),
                46..80 => self.maybe_acknowledges(client),
                80..91 => self.subscribes(client),
                91..94 => self.unsubscribes(client),
                94..96 => self.pings(client),
                96..98 => self.says_goodbye(client),
                98 => self.comes_again(client),
                _ => self.talks_nonsense(client),
            },
        }
    }

    /// Puts bytes on the client's connection.
    pub fn client_sends(&mut self, client: usize, bytes: &[u8]) {
        let link = self.clients[client].link.expect("a client that speaks has a connection");
        self.wires[link].has_unread = true;
        if !self.world.links[link].is_closed {
            self.world.send(link, bytes);
        }
    }

    /// The watcher connects and subscribes to every will before anything else happens.
    pub fn watch(&mut self) {
        self.connects(0);
        self.settle();
        assert!(self.clients[0].is_connected(), "the watcher is let in");
        self.subscribe_to(0, &[packets::Wanted::plain("w/#", 2)], None);
        self.settle();
        assert!(self.clients[0].terms[0].granted.is_some(), "the watcher is granted its filter");
    }

    /// Opens a connection and sends CONNECT.
    pub fn connects(&mut self, client: usize) {
        let random = &mut self.dice.client;
        let is_clean = self.clients[client].is_unsure || random.chance(1, 5);
        let expiry = *random.pick(&self.clients[client].role.expiries).expect("there are some");
        let has_will = random.chance(self.clients[client].role.wills, 8);
        self.connects_with(client, is_clean, expiry, has_will);
    }

    /// Opens a connection and sends this CONNECT.
    pub fn connects_with(&mut self, client: usize, is_clean: bool, mut expiry: u32, has_will: bool) {
        self.disturb(client);
        let link = self.open_link(client);
        let state = &mut self.clients[client];
        let role = state.role.clone();
        let is_v5 = role.version == Version::V5;
        // In 3.x one flag says both: a session that is not clean lives on.
        let is_clean = if is_v5 { is_clean } else { is_clean || expiry == 0 };
        if !is_v5 {
            expiry = if is_clean { 0 } else { u32::MAX };
        }
        let mut hello = Hello::new(role.version, &state.name).keep_alive(role.keep_alive);
        if !is_clean {
            hello = hello.resume();
        }
        if is_v5 && expiry > 0 {
            hello = hello.expiry(expiry);
        }
        if let Some(count) = role.receive_maximum {
            hello = hello.receive_maximum(count);
        }
        if role.alias_maximum > 0 {
            hello = hello.with(Property::TopicAliasMaximum(role.alias_maximum));
        }
        if let Some(bytes) = role.maximum_packet {
            hello = hello.with(Property::MaximumPacketSize(bytes));
        }
        let will = has_will.then(|| self.leaves_will(client, link, &mut hello));
        let state = &mut self.clients[client];
        state.link = Some(link);
        state.phase = Phase::Waiting;
        state.keep_alive = role.keep_alive;
        state.asked = Some(Asked { is_clean, expiry: expiry.min(self.plan.limits.session_expiry_max_s), will });
        let name = state.name.clone();
        self.trace(|| format!("{name} connects on link {link}, clean {is_clean}, expiry {expiry}, will {will:?}"));
        self.client_sends(client, &hello.encode());
    }

    fn leaves_will(&mut self, client: usize, link: usize, hello: &mut Hello) -> usize {
        let qos = any_qos(&mut self.dice.client);
        let retain = self.dice.client.chance(1, 4);
        let delay_s = match self.clients[client].role.version {
            Version::V5 => *self.dice.client.pick(&[0, 0, 3, 100]).expect("there are some"),
            Version::V31 | Version::V311 => 0,
        };
        let topic = format!("w/{}", self.clients[client].name);
        let message = self.new_message(client, topic.clone(), qos, retain, None);
        self.messages[message as usize].is_will = true;
        self.messages[message as usize].link = link;
        *hello = hello.clone().will(&topic, &format!("{message};"), qos, retain);
        if delay_s > 0 {
            *hello = hello.clone().will_with(Property::WillDelay(delay_s));
        }
        self.wills.push(Will { message, delay_s, verdict: Verdict::Open });
        self.wills.len() - 1
    }

    fn new_message(&mut self, client: usize, topic: String, qos: u8, retain: bool, expiry_s: Option<u32>) -> u32 {
        let number = u32::try_from(self.messages.len()).expect("few messages");
        self.messages.push(Message {
            client,
            life: self.clients[client].lives,
            link: self.clients[client].link.unwrap_or(usize::MAX),
            topic,
            qos,
            retain,
            is_empty: false,
            padding: 0,
            expiry_s,
            sent: self.step_now,
            sends: 1,
            answer: None,
            is_will: false,
        });
        number
    }

    fn publishes(&mut self, client: usize) {
        if !self.clients[client].may_publish() {
            return;
        }
        let random = &mut self.dice.client;
        let qos = if self.clients[client].open.len() >= 20 { 0 } else { any_qos(random) };
        let mut retain = random.chance(self.plan.retains, 10);
        let number = random.below(self.plan.topics);
        let topic = match random.below(8) {
            0..4 => format!("t/{number}"),
            4 => format!("t/{number}/deep"),
            5 => {
                retain = self.plan.retains > 0;
                format!("r/{}/{number}", self.clients[client].name)
            }
            _ => {
                retain = false;
                format!("s/{number}")
            }
        };
        let is_v5 = self.clients[client].role.version == Version::V5;
        let expiry_s = (is_v5 && random.chance(1, 10)).then(|| *random.pick(&[1, 10, 100_000]).expect("some"));
        let is_empty = retain && random.chance(1, 6);
        let padding = *random.pick(&[0, 0, 0, 20, 385, 600]).expect("there are some");
        self.publishes_this(client, &topic, qos, retain, expiry_s, is_empty, padding);
    }

    /// Publishes one message.
    #[expect(clippy::too_many_arguments, reason = "the parts of a PUBLISH")]
    pub fn publishes_this(
        &mut self,
        client: usize,
        topic: &str,
        qos: u8,
        retain: bool,
        expiry_s: Option<u32>,
        is_empty: bool,
        padding: usize,
    ) {
        let message = self.new_message(client, topic.to_owned(), qos, retain, expiry_s);
        (self.messages[message as usize].is_empty, self.messages[message as usize].padding) = (is_empty, padding);
        let id = if qos > 0 { self.clients[client].new_id() } else { 1 };
        if qos > 0 {
            self.clients[client].open.push_back(Open { id, message, state: Publishing::Sent });
        }
        let mut post = Post::to(&self.alias_for(client, topic)).qos(qos).id(id);
        if let Some(alias) = self.clients[client].aliases_out.get(topic) {
            post = post.alias(*alias);
            self.coverage.hit("aliases sent");
        }
        if retain {
            post = post.retain();
        }
        if !is_empty {
            post = post.payload(format!("{message};{}", "x".repeat(padding)));
        }
        if let Some(seconds) = expiry_s {
            post = post.expiry(seconds);
        }
        let name = self.clients[client].name.clone();
        self.trace(|| format!("{name} publishes {message} to {topic}, qos {qos}, id {id}, retain {retain}, empty {is_empty}, expiry {expiry_s:?}"));
        let bytes = post.encode(self.clients[client].role.version);
        self.client_sends(client, &bytes);
    }

    /// The topic as it is sent: nothing where the broker knows an alias for it.
    fn alias_for(&mut self, client: usize, topic: &str) -> String {
        let state = &mut self.clients[client];
        if state.aliases_out.contains_key(topic) {
            return String::new();
        }
        let next = state.aliases_out.len() + 1;
        if next <= usize::from(state.broker_alias_maximum) && self.dice.client.chance(1, 4) {
            state.aliases_out.insert(topic.to_owned(), crate::plan::narrow(next as u64));
        }
        topic.to_owned()
    }

    /// Sends again what an earlier connection left open, in its order.
    pub fn publishes_again(&mut self, client: usize) {
        let version = self.clients[client].role.version;
        for open in self.clients[client].open.clone() {
            let Open { id, message, state } = open;
            match state {
                Publishing::Released => {
                    self.coverage.hit("pubrel repeated by client");
                    self.client_sends(client, &packets::ack(packets::PUBREL, id));
                }
                Publishing::Sent => {
                    self.coverage.hit("dup sent");
                    let stored = &mut self.messages[message as usize];
                    stored.sends += 1;
                    stored.link = self.clients[client].link.expect("it is connected");
                    let mut post = Post::to(&stored.topic).qos(stored.qos).id(id).dup();
                    if stored.retain {
                        post = post.retain();
                    }
                    if !stored.is_empty {
                        post = post.payload(format!("{message};{}", "x".repeat(stored.padding)));
                    }
                    if let Some(seconds) = stored.expiry_s {
                        post = post.expiry(seconds);
                    }
                    let bytes = post.encode(version);
                    self.client_sends(client, &bytes);
                }
            }
        }
    }

    fn maybe_acknowledges(&mut self, client: usize) {
        if self.dice.client.chance(self.clients[client].role.diligence, 8) {
            self.acknowledges(client);
        }
    }

    /// Sends an acknowledgement that the client owes, seldom out of its turn. Whether there was one.
    pub fn acknowledges(&mut self, client: usize) -> bool {
        let count = self.clients[client].owed.len();
        if count == 0 {
            return false;
        }
        let place = if self.dice.client.chance(1, 6) { self.dice.client.index(count) } else { 0 };
        let owed = self.clients[client].owed.remove(place).expect("a place in the list");
        let name = self.clients[client].name.clone();
        self.trace(|| format!("{name} sends {owed:?}"));
        let state = &mut self.clients[client];
        let bytes = match owed {
            Owed::PubAck(id) => {
                state.incoming.remove(&id);
                let is_refusal = state.role.version == Version::V5 && self.dice.client.chance(1, 40);
                if is_refusal {
                    packets::refusal(id, Reason::UnspecifiedError)
                } else {
                    packets::ack(packets::PUBACK, id)
                }
            }
            Owed::PubRec(id) => {
                if let Some(open) = state.incoming.get_mut(&id) {
                    open.state = Receiving::Recorded;
                }
                packets::ack(packets::PUBREC, id)
            }
            Owed::PubRel(id) => packets::ack(packets::PUBREL, id),
            Owed::PubComp(id) => {
                state.incoming.remove(&id);
                packets::ack(packets::PUBCOMP, id)
            }
        };
        self.client_sends(client, &bytes);
        true
    }

    fn pings(&mut self, client: usize) {
        self.client_sends(client, &[0xC0, 0]);
    }

    /// Sends DISCONNECT and waits for the end.
    pub fn says_goodbye(&mut self, client: usize) {
        let is_v5 = self.clients[client].role.version == Version::V5;
        if is_v5 && matches!(self.clients[client].life, Life::Connected(1..)) && self.dice.client.chance(1, 4) {
            let expiry = *self.dice.client.pick(&[0, 2, 50, u32::MAX]).expect("there are some");
            let bytes = packets::disconnect_with_expiry(expiry);
            return self.leaves(client, false, Some(expiry.min(self.plan.limits.session_expiry_max_s)), &bytes);
        }
        let with_will = is_v5 && self.dice.client.chance(1, 4);
        let reason = if with_will { Reason::DisconnectWithWill } else { Reason::Success };
        self.leaves(client, with_will, None, &packets::disconnect(self.clients[client].role.version, reason));
    }

    /// Sends this DISCONNECT and waits for the end.
    pub fn leaves(&mut self, client: usize, with_will: bool, expiry: Option<u32>, bytes: &[u8]) {
        let name = self.clients[client].name.clone();
        self.trace(|| format!("{name} says goodbye, with will {with_will}"));
        self.client_sends(client, bytes);
        let link = self.clients[client].link.expect("a client that leaves has a connection");
        let is_unclear = self.may_be_timed_out(client) || self.wires[link].is_spoilt;
        self.wires[link].farewell = Some(Farewell { with_will, is_unclear, expiry });
        self.clients[client].phase = Phase::Leaving;
    }

    /// Whether the broker may have good reason to end the client's connection by itself.
    fn may_be_timed_out(&self, client: usize) -> bool {
        let Client { role, .. } = &self.clients[client];
        // A client with little room may stall, one with a keep-alive may be late, and a publisher of 3.x that nobody has
        // room for cannot be told otherwise.
        !self.plan.is_generous || role.room < usize::MAX || role.keep_alive > 0 || self.plan.limits.keep_alive_max_s > 0
    }

    /// Somebody else may end this client's connection before its last word is read.
    pub fn disturb(&mut self, client: usize) {
        let links = [self.clients[client].link, self.clients[client].session_link];
        for link in links.into_iter().flatten() {
            if let Some(farewell) = &mut self.wires[link].farewell {
                farewell.is_unclear = true;
            }
        }
    }

    /// The client's network falls silent: it forgets the connection, and the broker does not know.
    pub fn somebody_is_silent(&mut self) {
        let client = self.dice.network.index(self.clients.len() - 1) + 1;
        let is_up = matches!(self.clients[client].phase, Phase::Connected | Phase::Leaving);
        if let Some(link) = self.clients[client].link.filter(|_| is_up) {
            self.coverage.hit("half-open link");
            let name = self.clients[client].name.clone();
            self.trace(|| format!("{name} falls silent on link {link}"));
            self.forgets_link(client);
        }
    }

    fn forgets_link(&mut self, client: usize) {
        let link = self.clients[client].link.expect("there is a connection to forget");
        if !self.world.links[link].is_closed {
            self.clients[client].stale.push(link);
        }
        self.connection_over(client);
    }

    /// The same client comes by another connection while the first one is still open.
    fn comes_again(&mut self, client: usize) {
        self.coverage.hit("take-over");
        self.forgets_link(client);
        self.connects(client);
    }

    fn talks_nonsense(&mut self, client: usize) {
        if self.dice.client.chance(1, 3) {
            self.trace(|| format!("client {client} breaks the protocol"));
            self.client_sends(client, &[0x00, 0x00]);
            let link = self.clients[client].link.expect("it has just spoken");
            self.wires[link].is_spoilt = true;
        }
    }
}
