//! Who may do what, when the policy answers at once and when it answers later; re-authentication.

use std::sync::Arc;

use bytes::BytesMut;

use super::Shard;
use super::receive::Flow;
use crate::base::time::Time;
use crate::engine::auth::exchange::{Dialogue, Step};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Action, ClientId, Decision};
use crate::engine::connection::{Connection, ConnectionKey, Hold};
use crate::engine::event::Cause;
use crate::engine::homes::ShardId;
use crate::engine::input::Answer;
use crate::engine::output::{About, Outputs, OwnedAction};
use crate::mqtt::auth::Auth;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::PropertyBuffer;
use crate::mqtt::property::Property;
use crate::mqtt::{PacketType, Reason, Version};

impl Shard {
    /// Asks the policy. `Later` means that the question has left and that the packet is to be handled again
    /// when the answer is here; the answer is then found before the policy is asked.
    pub(super) fn authorise(
        &mut self,
        key: ConnectionKey,
        who: &Arc<Identity>,
        client_id: &str,
        action: Action<'_>,
        out: &mut Outputs,
    ) -> Decision {
        let decision = self.decision(key, who, client_id, action, out);
        if decision == Decision::Deny {
            out.tell_denied(who, client_id, action);
        }
        decision
    }

    /// The same for a packet with several things to decide: it tells nobody of a refusal, for it is asked again after each late answer.
    pub(super) fn decision(
        &mut self,
        key: ConnectionKey,
        who: &Arc<Identity>,
        client_id: &str,
        action: Action<'_>,
        out: &mut Outputs,
    ) -> Decision {
        match self.policy.decide(who, ClientId::Text(client_id), action) {
            decided @ (Decision::Allow | Decision::Deny) => return decided,
            Decision::Later => {}
        }
        let Some(connection) = self.connections.get_mut(key) else { return Decision::Deny };
        let extras = connection.extras();
        if std::mem::replace(&mut extras.answers_policy, self.policy.number()) != self.policy.number() {
            extras.answers.clear();
        }
        if let Some((_, decision)) = extras.answers.iter().find(|(asked, _)| asked.as_action() == action) {
            return *decision;
        }
        let action = OwnedAction::of(action);
        extras.asked = Some(action.clone());
        self.ask(key, About::Action { identity: Arc::clone(who), client_id: client_id.into(), action }, out);
        Decision::Later
    }

    /// A packet was handled whole: answers that it waited for are of no use for the next one.
    pub(super) fn forget_answers(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connections.get_mut(key)
            && let Some(extras) = &mut connection.extras
        {
            extras.answers.clear();
        }
    }

    /// Somebody slow has answered. An answer to an older question, or of a connection that is gone, finds nobody.
    pub(super) fn answer(&mut self, key: ConnectionKey, number: u32, answer: Answer, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let is_open = connection.holds & Hold::Question as u8 != 0;
        if !is_open || connection.extras().question != number {
            return;
        }
        self.release(key, Hold::Question, now);
        match answer {
            Answer::Credentials(verdict) => {
                self.admit_and_move_rest(key, |shard, out| shard.credentials_answered(key, verdict, now, out), out);
            }
            Answer::Exchange(exchange, step) => self.exchange_answered(key, exchange, step, now, out),
            Answer::Action(decision) => self.action_answered(key, decision, now, out),
        }
    }

    fn exchange_answered(
        &mut self,
        key: ConnectionKey,
        exchange: Box<Dialogue>,
        step: Step,
        now: Time,
        out: &mut Outputs,
    ) {
        let is_connected = self.connections.get(key).is_some_and(Connection::is_connected);
        if is_connected {
            self.reauthentication_step(key, exchange, step, now, out);
        } else {
            let go_on = |shard: &mut Self, out: &mut Outputs| shard.handshake_step(key, exchange, step, now, out);
            self.admit_and_move_rest(key, go_on, out);
        }
    }

    fn action_answered(&mut self, key: ConnectionKey, decision: Decision, now: Time, out: &mut Outputs) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let is_connected = connection.is_connected();
        let extras = connection.extras();
        // What was asked for under another policy is asked for anew: whoever answers may have changed his mind with it.
        if let Some(asked) = extras.asked.take()
            && extras.answers_policy == self.policy.number()
        {
            // A second "later" is no answer: who cannot say yes has said no.
            let decision = if decision == Decision::Later { Decision::Deny } else { decision };
            extras.answers.push((asked, decision));
        }
        if !is_connected {
            self.admit_and_move_rest(key, |shard, out| shard.admit_again(key, now, out), out);
        }
    }

    /// Goes on with a handshake outside of `receive`: when the connection moves, its held bytes move with it.
    fn admit_and_move_rest(
        &mut self,
        key: ConnectionKey,
        go_on: impl FnOnce(&mut Self, &mut Outputs) -> Flow,
        out: &mut Outputs,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        self.holdings.take_out(connection);
        let held = connection.held.take();
        self.holdings.put_in(connection);
        if go_on(self, out) == Flow::Moved {
            let hand_over = out.hand_overs.last_mut().expect("a connection that moved was handed over");
            hand_over.arrival.unread = held.map_or_else(BytesMut::new, |begun| begun.bytes);
        } else if let Some(connection) = self.connections.get_mut(key) {
            self.holdings.take_out(connection);
            connection.held = held;
            self.holdings.put_in(connection);
        }
    }

    /// An AUTH packet of ours; [MQTT-4.12.0-5] it names the method of CONNECT.
    pub(super) fn send_auth(&mut self, key: ConnectionKey, reason: Reason, data: Option<&[u8]>, out: &mut Outputs) {
        let Some(connection) = self.connections.get(key) else { return };
        let method = connection.extras.as_ref().and_then(|extras| extras.auth_method.as_deref());
        let mut properties = PropertyBuffer::default();
        if let Some(method) = method {
            properties.push(Property::AuthMethod(method));
        }
        if let Some(data) = data {
            properties.push(Property::AuthData(data));
        }
        let auth = Packet::Auth(Auth { reason, properties: properties.as_properties() });
        out.answer(key, Version::V5, connection.receiver_limits(), &auth);
    }

    /// AUTH of a connected client: a renewal, or the next step of one.
    pub(super) fn reauthenticate(&mut self, key: ConnectionKey, auth: &Auth<'_>, now: Time, out: &mut Outputs) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let listener = connection.peer.listener;
        let extras = connection.extras();
        let method = extras.auth_method.clone();
        // [MQTT-4.12.0-7] without a method in CONNECT there is no AUTH, [MQTT-4.12.1-1] and the method stays.
        if method.is_none() || auth.properties.auth_method() != method.as_deref() {
            return self.violation(key, Reason::ProtocolError, now, out);
        }
        let exchange = match (auth.reason, &mut extras.reauthentication) {
            (Reason::ReAuthenticate, None) => {
                self.policy.exchange(method.as_deref().unwrap_or_default(), listener).map(Box::new)
            }
            (Reason::ContinueAuthentication, Some(open)) => open.take(),
            _ => None,
        };
        let Some(mut exchange) = exchange else { return self.violation(key, Reason::ProtocolError, now, out) };
        let step = exchange.step(auth.properties.auth_method(), auth.properties.auth_data());
        self.reauthentication_step(key, exchange, step, now, out)
    }

    fn reauthentication_step(
        &mut self,
        key: ConnectionKey,
        exchange: Box<Dialogue>,
        step: Step,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let extras = connection.extras();
        match step {
            Step::Continue(challenge) => {
                extras.reauthentication = Some(Some(exchange));
                self.send_auth(key, Reason::ContinueAuthentication, Some(&challenge), out);
                Flow::Next
            }
            Step::Later => {
                extras.reauthentication = Some(None);
                self.ask(key, About::Exchange { exchange }, out);
                Flow::Next
            }
            Step::Accept { identity, data } => {
                extras.reauthentication = None;
                self.identity_renewed(key, identity, data.as_deref(), now, out)
            }
            Step::Deny(reason) => {
                self.proof_failed(key, reason, now, out);
                // [MQTT-4.12.1-2] [MQTT-3.14.2-1] some of what CONNACK may say DISCONNECT may not.
                let may_say_it = reason.allowed_in(PacketType::Disconnect);
                self.violation(key, if may_say_it { reason } else { Reason::NotAuthorized }, now, out)
            }
        }
    }

    /// A renewal must not change whose session it is.
    fn identity_renewed(
        &mut self,
        key: ConnectionKey,
        identity: Arc<Identity>,
        data: Option<&[u8]>,
        now: Time,
        out: &mut Outputs,
    ) -> Flow {
        let identity = self.placed(key, identity);
        let Some(connection) = self.connections.get_mut(key) else { return Flow::Gone };
        let Some(session) = connection.session.and_then(|session| self.sessions.get_mut(session)) else {
            return Flow::Gone;
        };
        if !session.owner.same_owner(&identity) {
            self.say_goodbye(key, Reason::NotAuthorized, None, out);
            self.end(key, Cause::Refused(Reason::NotAuthorized), now, out);
            return Flow::Gone;
        }
        session.owner = Arc::clone(&identity);
        self.owners_changed += 1;
        connection.take_identity(identity, self.wall, now);
        self.look_at_connection(key);
        self.send_auth(key, Reason::Success, data, out);
        Flow::Next
    }

    /// When the handshake of a connection has to be over; nothing where it is, or where the connection is gone.
    pub fn handshake_ends_by(&self, key: ConnectionKey) -> Option<Time> {
        self.connections.get(key)?.phase.handshake_by()
    }

    /// The shard where the session of this client is, if it has one.
    pub fn home_of(&self, client_id: &str) -> ShardId {
        self.homes.client(client_id)
    }

    /// Whether a session of this client is here, made by a user of this name. Nothing is proven by that: it may decide who is served
    /// first, and nothing else.
    pub fn has_session(&self, client_id: &str, user: Option<&str>) -> bool {
        let session = self.find_session(client_id).and_then(|key| self.sessions.get(key));
        session.is_some_and(|session| session.owner.user.as_deref() == user)
    }

    /// Whether the handshake of a connection is still under way.
    pub(super) fn is_in_handshake(&self, key: ConnectionKey) -> bool {
        self.handshake_ends_by(key).is_some()
    }
}
