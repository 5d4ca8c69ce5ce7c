//! CONNECT on the landing shard, where nothing of a session is touched: limits, identity, permission, then the way home.

use std::sync::Arc;

use super::Shard;
use super::receive::Flow;
use crate::base::time::Time;
use crate::engine::auth::exchange::{Dialogue, Step};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Action, Credentials, Decision, Verdict, policy};
use crate::engine::connection::{Connection, ConnectionKey, Handshake, Hold, Phase};
use crate::engine::event::{Cause, Event};
use crate::engine::limits::Limits;
use crate::engine::output::{About, Arrival, HandOver, Outputs};
use crate::engine::stats::Limit;
use crate::mqtt::auth::Auth;
use crate::mqtt::connack::ConnAck;
use crate::mqtt::connect::{Connect, Will};
use crate::mqtt::frame::Frame;
use crate::mqtt::packet::{Packet, Sender};
use crate::mqtt::properties::PropertyBuffer;
use crate::mqtt::property::Property;
use crate::mqtt::{PacketType, Reason, Version};

impl Shard {
    /// The first packet, which is a CONNECT by its first byte.
    pub(super) fn first_packet(&mut self, key: ConnectionKey, frame: Frame<'_>, now: Time, out: &mut Outputs) -> Flow {
        let connect = match Connect::decode(frame.first, frame.body) {
            Ok(connect) => connect,
            Err(refusal) => {
                self.stats.protocol_errors += 1;
                return self.refuse(key, refusal.version, refusal.error.reason(), now, out);
            }
        };
        if let Some(connection) = self.connections.get_mut(key) {
            connection.take_terms(&connect);
        }
        if let Err(limit) = self.may_ask(key, now) {
            return self.refuse_for(key, connect.version, limit, now, out);
        }
        if let Err(reason) = self.within_limits(key, &connect) {
            return self.refuse(key, Some(connect.version), reason, now, out);
        }
        if self.is_overheard(key, &connect, out) {
            return self.refuse(key, Some(connect.version), Reason::NotAuthorized, now, out);
        }
        self.start_handshake(key, frame, &connect);
        match connect.properties.auth_method() {
            Some(method) => self.begin_exchange(key, method, connect.properties.auth_data(), now, out),
            None => self.check_credentials(key, &connect, now, out),
        }
    }

    /// Whether it shows a password where nobody may, for others can read it on its way. Then nobody looks whether it is right.
    fn is_overheard(&mut self, key: ConnectionKey, connect: &Connect<'_>, out: &mut Outputs) -> bool {
        let Some(peer) = self.connections.get(key).map(|connection| connection.peer) else { return false };
        let is_refused = self.policy.refuses_what_is_shown(peer.listener, connect.user_name, connect.password);
        if is_refused {
            self.stats.plaintext_passwords_refused += 1;
            out.events.push(Event::PasswordInTheClear { peer });
        }
        is_refused
    }

    /// The checks that need nobody's word but the configuration's.
    fn within_limits(&mut self, key: ConnectionKey, connect: &Connect<'_>) -> Result<(), Reason> {
        let id = connect.client_id;
        if id.len() > self.limits.client_id_bytes_max {
            self.reached(Limit::ClientIdBytes);
            return Err(Reason::ClientIdentifierNotValid);
        }
        let is_too_long =
            connect.version == Version::V31 && self.limits.strict_v31_client_id && id.chars().count() > 23;
        // [MQTT-3.1.3-8] of 3.1.1: without an identifier there is nothing to come back to; 3.1 knows no empty one.
        let needs_id = match connect.version {
            Version::V31 => true,
            Version::V311 => !connect.clean_start,
            Version::V5 => false,
        };
        if is_too_long || (id.is_empty() && needs_id) {
            return Err(Reason::ClientIdentifierNotValid);
        }
        let Some(will) = &connect.will else { return Ok(()) };
        if will.retain && !self.limits.retain_available {
            return Err(Reason::RetainNotSupported); // [MQTT-3.2.2-13]
        }
        let Some((limit, reason)) = bound_of_will(self.limits_for(key), will) else { return Ok(()) };
        self.reached(limit);
        Err(reason)
    }

    fn start_handshake(&mut self, key: ConnectionKey, frame: Frame<'_>, connect: &Connect<'_>) {
        let is_assigned = connect.client_id.is_empty();
        let client_id = if is_assigned { self.assign_client_id() } else { connect.client_id.into() };
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(by) = connection.phase.handshake_by() else { return };
        self.holdings.take_out(connection);
        connection.phase = Phase::Authenticating(Box::new(Handshake {
            by,
            first: frame.first,
            connect: frame.body.into(),
            client_id,
            is_assigned,
            exchange: None,
            link: None,
            identified: None,
        }));
        self.holdings.put_in(connection);
    }

    /// [MQTT-3.1.3-6] An identifier that nobody has and nobody guesses; its home is this shard, so it need not move.
    fn assign_client_id(&mut self) -> Box<str> {
        loop {
            let id = format!("pregon-{:016x}{:08x}", self.random.next_u64(), self.random.next_u64() >> 32);
            if self.homes.client(&id) == self.id && self.find_session(&id).is_none() {
                return id.into();
            }
        }
    }

    fn check_credentials(&mut self, key: ConnectionKey, connect: &Connect<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some((handshake, connection)) = self.handshake(key) else { return Flow::Gone };
        let outcome = self.policy.authenticate(&credentials(handshake, connection, connect, self.wall.unix_s(now)));
        self.identified(key, connect, outcome, now, out)
    }

    /// The chain of authenticators has come to a verdict, or has to wait for one of its links.
    fn identified(
        &mut self,
        key: ConnectionKey,
        connect: &Connect<'_>,
        outcome: policy::Outcome,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let link = match outcome {
            policy::Outcome::Allow(identity) => return self.admit(key, identity, None, now, out),
            policy::Outcome::Deny(reason) => {
                if connect.user_name.is_some() || connect.password.is_some() || self.has_certificate(key) {
                    self.proof_failed(key, reason, now, out);
                }
                return self.refuse(key, Some(connect.version), reason, now, out);
            }
            policy::Outcome::Later(link) => link,
        };
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let (peer, certificate) = (connection.peer, connection.certificate.clone());
        let Phase::Authenticating(handshake) = &mut connection.phase else { return Flow::Gone };
        handshake.link = Some(link);
        let about = About::Credentials {
            link,
            client_id: handshake.client_id.clone(),
            user_name: connect.user_name.map(Into::into),
            password: connect.password.map(Into::into),
            peer,
            certificate,
            version: connect.version,
            now_unix_s: self.wall.unix_s(now),
        };
        self.ask(key, about, out);
        Flow::Next
    }

    /// One link of the chain has answered at last.
    pub(super) fn credentials_answered(
        &mut self,
        key: ConnectionKey,
        verdict: Verdict,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let Phase::Authenticating(handshake) = &mut connection.phase else { return Flow::Next };
        let Some(link) = handshake.link.take() else { return Flow::Next };
        let Some((handshake, connection)) = self.handshake(key) else { return Flow::Gone };
        let bytes = handshake.connect.clone();
        let connect = Connect::decode(handshake.first, &bytes).expect("it was decoded when it came");
        let now_unix_s = self.wall.unix_s(now);
        let outcome = self.policy.resume(link, verdict, &credentials(handshake, connection, &connect, now_unix_s));
        self.identified(key, &connect, outcome, now, out)
    }

    fn handshake(&self, key: ConnectionKey) -> Option<(&Handshake, &Connection)> {
        let connection = self.connections.get(key)?;
        match &connection.phase {
            Phase::Authenticating(handshake) => Some((handshake, connection)),
            Phase::AwaitConnect { .. } | Phase::Connected => None,
        }
    }

    fn begin_exchange(
        &mut self,
        key: ConnectionKey,
        method: &str,
        data: Option<&[u8]>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        let Some(exchange) = self.policy.exchange(method, connection.peer.listener) else {
            return self.refuse(key, Some(Version::V5), Reason::BadAuthenticationMethod, now, out); // [MQTT-4.12.0-1]
        };
        let mut exchange = Box::new(exchange);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.extras().auth_method = Some(method.into());
        }
        let step = exchange.step(Some(method), data);
        self.handshake_step(key, exchange, step, now, out)
    }

    /// One step of the authentication of a connection that has no CONNACK yet.
    pub(super) fn handshake_step(
        &mut self,
        key: ConnectionKey,
        exchange: Box<Dialogue>,
        step: Step,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        match step {
            Step::Accept { identity, data } => self.admit(key, identity, data, now, out),
            Step::Deny(reason) => {
                self.proof_failed(key, reason, now, out);
                self.refuse(key, Some(Version::V5), reason, now, out) // [MQTT-4.12.0-4]
            }
            Step::Later => {
                self.ask(key, About::Exchange { exchange }, out);
                Flow::Next
            }
            Step::Continue(challenge) => {
                self.send_auth(key, Reason::ContinueAuthentication, Some(&challenge), out); // [MQTT-4.12.0-2]
                let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
                let Phase::Authenticating(handshake) = &mut connection.phase else { return Flow::Gone };
                handshake.exchange = Some(exchange);
                Flow::Next
            }
        }
    }

    /// [MQTT-3.1.2-30] between CONNECT with a method and CONNACK only AUTH and DISCONNECT may come.
    pub(super) fn packet_while_authenticating(
        &mut self,
        key: ConnectionKey,
        frame: Frame<'_>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let packet = Packet::decode(Version::V5, Sender::Client, frame.first, frame.body);
        match packet {
            Ok(Packet::Auth(auth)) => self.exchange_goes_on(key, &auth, now, out),
            Ok(Packet::Disconnect(disconnect)) => {
                self.end(key, Cause::Client(disconnect.reason), now, out);
                Flow::Gone
            }
            Ok(_) => self.refuse(key, Some(Version::V5), Reason::ProtocolError, now, out),
            Err(error) => self.refuse(key, Some(Version::V5), error.reason(), now, out),
        }
    }

    fn exchange_goes_on(&mut self, key: ConnectionKey, auth: &Auth<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        // [MQTT-4.12.0-3] the client goes on, and does not begin anew.
        let is_welcome = auth.reason == Reason::ContinueAuthentication;
        let exchange = match &mut connection.phase {
            Phase::Authenticating(handshake) if is_welcome => handshake.exchange.take(),
            Phase::Authenticating(_) | Phase::AwaitConnect { .. } | Phase::Connected => None,
        };
        let Some(mut exchange) = exchange else {
            return self.refuse(key, Some(Version::V5), Reason::ProtocolError, now, out);
        };
        let step = exchange.step(auth.properties.auth_method(), auth.properties.auth_data());
        self.handshake_step(key, exchange, step, now, out)
    }

    /// The client is who it says: may it do what CONNECT asks for? Then it goes to its home.
    pub(super) fn admit(
        &mut self,
        key: ConnectionKey,
        identity: Arc<Identity>,
        auth_data: Option<Vec<u8>>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        // It may have been found out under rules that did not ask where he comes from.
        let identity = self.placed(key, identity);
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let certificate = connection.certificate.clone();
        self.holdings.take_out(connection);
        let body = connection.phase.take_connect();
        self.holdings.put_in(connection);
        let Phase::Authenticating(handshake) = &mut connection.phase else { return Flow::Gone };
        let mut arrival = Arrival {
            peer: connection.peer,
            seat: None,
            certificate,
            first: handshake.first,
            connect: body,
            is_assigned: handshake.is_assigned,
            client_id: handshake.client_id.clone(),
            identity,
            policy: self.policy.number(),
            auth_data,
            unread: bytes::BytesMut::new(),
        };
        let connect = Connect::decode(arrival.first, &arrival.connect).expect("it was decoded when it came");
        // A conversation that began under other rules ends under these.
        if !self.policy.knows(&arrival.identity, arrival.peer.listener) {
            return self.refuse(key, Some(connect.version), Reason::NotAuthorized, now, out);
        }
        if let Err(limit) = self.proof_holds(key, &arrival.identity, now) {
            return self.refuse_for(key, connect.version, limit, now, out);
        }
        match self.may_connect(key, &connect, &arrival, out) {
            Decision::Allow => {}
            Decision::Deny => return self.refuse(key, Some(connect.version), Reason::NotAuthorized, now, out),
            Decision::Later => {
                self.remember_arrival(key, arrival);
                return Flow::Next;
            }
        }
        let home = self.homes.client(&arrival.client_id);
        if home == self.id {
            return self.open(key, &arrival, now, out);
        }
        if let Some(moved) = self.connections.remove(key) {
            self.holdings.take_out(&moved);
            self.backlog_bytes -= u64::from(moved.backlog);
            arrival.seat = moved.seat;
        }
        self.stats.connections_closed += 1;
        out.hand_overs.push(HandOver { connection: key, to: home, arrival: Box::new(arrival) });
        Flow::Moved
    }

    /// The identity of who is at the other end of a connection, with where he comes from if the rules ask for it.
    pub(super) fn placed(&self, key: ConnectionKey, identity: Arc<Identity>) -> Arc<Identity> {
        let Some(connection) = self.connections.get(key) else { return identity };
        let shown = connection.certificate.as_deref();
        self.policy.placed(identity, connection.peer.address.ip(), shown)
    }

    /// Whether the identity may connect at all, and may leave this will.
    fn may_connect(
        &mut self,
        key: ConnectionKey,
        connect: &Connect<'_>,
        arrival: &Arrival,
        out: &mut Outputs,
    ) -> Decision {
        let (who, id) = (&arrival.identity, &arrival.client_id);
        match self.authorise(key, who, id, Action::Connect, out) {
            Decision::Allow => {}
            refused @ (Decision::Deny | Decision::Later) => return refused,
        }
        let Some(will) = &connect.will else { return Decision::Allow };
        let action = Action::Will { topic: will.topic.as_str(), qos: will.qos, retain: will.retain };
        self.authorise(key, who, id, action, out)
    }

    /// An answer is awaited: the handshake goes on from here when it comes.
    fn remember_arrival(&mut self, key: ConnectionKey, arrival: Arrival) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.holdings.take_out(connection);
        if let Phase::Authenticating(handshake) = &mut connection.phase {
            handshake.connect = arrival.connect;
            handshake.identified = Some((arrival.identity, arrival.auth_data));
        }
        self.holdings.put_in(connection);
    }

    /// The answer to whether it may connect has come.
    pub(super) fn admit_again(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let Phase::Authenticating(handshake) = &mut connection.phase else { return Flow::Gone };
        let Some((identity, auth_data)) = handshake.identified.take() else { return Flow::Next };
        self.admit(key, identity, auth_data, now, out)
    }

    /// Refuses a connection: CONNACK where the version has a word for it, then the end.
    pub(super) fn refuse(
        &mut self,
        key: ConnectionKey,
        version: Option<Version>,
        reason: Reason,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get(key) else { return Flow::Gone };
        // [MQTT-3.2.2-8] a reason that only other packets have is a protocol error here.
        let reason = if reason.allowed_in(PacketType::ConnAck) { reason } else { Reason::ProtocolError };
        self.stats.connects_refused += 1;
        let peer = connection.peer;
        if let Some(version) = version {
            let mut properties = PropertyBuffer::default();
            properties.push(Property::ReasonString(reason.name()));
            let connack = ConnAck { session_present: false, reason, properties: properties.as_properties() };
            out.answer(key, version, connection.receiver_limits(), &Packet::ConnAck(connack));
        }
        self.last_reason(reason);
        out.events.push(Event::Refused { connection: key, peer, reason });
        self.end(key, Cause::Refused(reason), now, out);
        Flow::Gone
    }

    /// Puts a question to somebody slow; the connection is not read until the answer comes.
    pub(super) fn ask(&mut self, key: ConnectionKey, about: About, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let extras = connection.extras();
        extras.question = extras.question.wrapping_add(1);
        let number = extras.question;
        out.questions.push(crate::engine::output::Question { connection: Some(key), number, about });
        self.hold(key, Hold::Question, out);
    }
}

/// The first bound that a will exceeds, and what its client hears.
fn bound_of_will(limits: &Limits, will: &Will<'_>) -> Option<(Limit, Reason)> {
    if will.qos > limits.maximum_qos {
        Some((Limit::MaximumQos, Reason::QoSNotSupported)) // [MQTT-3.2.2-12]
    } else if will.topic.is_deeper_than(limits.topic_levels_max) {
        Some((Limit::TopicLevels, Reason::TopicNameInvalid))
    } else if will.payload.len() > limits.will_bytes_max as usize {
        // "An implementation or administrative imposed limit": the packet itself is not too large.
        Some((Limit::WillBytes, Reason::QuotaExceeded))
    } else if will.properties.has_more_user_properties_than(limits.user_properties_max) {
        Some((Limit::UserProperties, Reason::QuotaExceeded))
    } else {
        None
    }
}

fn credentials<'a>(
    handshake: &'a Handshake,
    connection: &'a Connection,
    connect: &Connect<'a>,
    now_unix_s: u64,
) -> Credentials<'a> {
    Credentials {
        client_id: &handshake.client_id,
        user_name: connect.user_name,
        password: connect.password,
        peer: connection.peer.address,
        listener: connection.peer.listener,
        version: connect.version,
        now_unix_s,
        certificate: connection.certificate.as_deref(),
    }
}
