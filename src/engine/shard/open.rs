//! A connection finds its session, on the home of its client id: take-over, clean start, CONNACK, resumption.

use std::mem;
use std::sync::Arc;

use super::Shard;
use super::receive::Flow;
use crate::base::time::Time;
use crate::engine::accounts::holding::SessionSeat;
use crate::engine::accounts::terms::Way;
use crate::engine::aliases::OurAliases;
use crate::engine::auth::ClientId;
use crate::engine::auth::identity::Identity;
use crate::engine::connection::{Connection, ConnectionKey, Hold, Phase};
use crate::engine::event::{Cause, Event};
use crate::engine::limits::Limits;
use crate::engine::message::SessionId;
use crate::engine::output::{Arrival, Outputs};
use crate::engine::quota::Meter;
use crate::engine::session::will::Will;
use crate::engine::session::{Link, Rate, Session, SessionKey};
use crate::engine::stats::Limit;
use crate::mqtt::connack::ConnAck;
use crate::mqtt::connect::Connect;
use crate::mqtt::packet::Packet;
use crate::mqtt::properties::PropertyBuffer;
use crate::mqtt::property::Property;
use crate::mqtt::{QoS, Reason, Version};

impl Shard {
    /// A connection that another shard accepted and authenticated, and whose client id lives here.
    pub fn adopt(&mut self, mut arrival: Box<Arrival>, now: Time, out: &mut Outputs) -> ConnectionKey {
        let unread = mem::take(&mut arrival.unread);
        let (key, version) = self.arrive(&mut arrival, now);
        // The rules may be others than when it set out, and whoever was here then has been asked already.
        arrival.identity = self.placed(key, arrival.identity);
        if self.is_stopping {
            // [MQTT-3.2.2-8] "shutting down" is a word of DISCONNECT only.
            self.refuse(key, Some(version), Reason::ServerUnavailable, now, out);
        } else if self.open(key, &arrival, now, out) == Flow::Next {
            self.receive(key, &unread, now, out);
        }
        self.settle(false, now, out);
        key
    }

    /// The same of a client that would not be let in any more since it has set out: it is told so, and nothing that it has said takes effect.
    pub fn turn_back(&mut self, mut arrival: Box<Arrival>, now: Time, out: &mut Outputs) -> ConnectionKey {
        let (key, version) = self.arrive(&mut arrival, now);
        self.stats.connections_revoked += 1;
        self.refuse(key, Some(version), Reason::NotAuthorized, now, out);
        self.settle(false, now, out);
        key
    }

    /// A place for a connection that has moved, and what it speaks.
    fn arrive(&mut self, arrival: &mut Arrival, now: Time) -> (ConnectionKey, Version) {
        debug_assert_eq!(self.homes.client(&arrival.client_id), self.id, "a connection moves to its home only");
        let connect = Connect::decode(arrival.first, &arrival.connect).expect("it was decoded when it came");
        let handshake_by = now.after_ms(self.limits_of(arrival.peer.listener).connect_timeout_ms);
        let mut connection = Connection::new(arrival.peer, now, handshake_by);
        connection.seat = arrival.seat.take();
        connection.certificate = arrival.certificate.take();
        connection.take_terms(&connect); // [MQTT-3.2.2-19] a refusal has to fit here too
        let key = self.connections.insert(connection);
        self.stats.connections_opened += 1;
        (key, connect.version)
    }

    /// The client may come in: everything that CONNECT does to sessions happens here.
    pub(super) fn open(&mut self, key: ConnectionKey, arrival: &Arrival, now: Time, out: &mut Outputs) -> Flow {
        let connect = Connect::decode(arrival.first, &arrival.connect).expect("it was decoded when it came");
        if arrival.policy != self.policy.number()
            && !self.policy.welcomes(&arrival.identity, arrival.peer.listener, ClientId::Text(&arrival.client_id))
        {
            return self.refuse(key, Some(connect.version), Reason::NotAuthorized, now, out);
        }
        let known = self.living_session(&arrival.client_id, now, out);
        // A session belongs to the identity that made it; nobody else may see, end or take it.
        let is_foreign = known
            .and_then(|session| self.sessions.get(session))
            .is_some_and(|session| !session.owner.same_owner(&arrival.identity));
        if is_foreign {
            return self.refuse(key, Some(connect.version), Reason::NotAuthorized, now, out);
        }
        if known.is_none() && self.sessions.len() >= self.limits.sessions_max {
            self.reached(Limit::Sessions);
            return self.refuse(key, Some(connect.version), Reason::QuotaExceeded, now, out);
        }
        if self.is_session_refused(known, connect.clean_start, self.session_expiry_s(&connect)) {
            return self.refuse(key, Some(connect.version), Reason::QuotaExceeded, now, out);
        }
        let terms = self.terms(&connect, arrival);
        // [MQTT-3.1.2-24] who cannot be told the terms cannot come in; his session is not touched.
        if !self.takes_connack(key, &terms) {
            return self.refuse(key, Some(connect.version), Reason::ImplementationSpecificError, now, out);
        }
        let seat = match self.seat_session(key, known, &arrival.identity, now) {
            Ok(seat) => seat,
            Err(limit) => return self.refuse_for(key, connect.version, limit, now, out),
        };
        let known = known.and_then(|session| self.take_over(session, connect.clean_start, now, out));
        let is_resumed = known.is_some();
        let session = known.unwrap_or_else(|| self.new_session(arrival, seat, now));
        self.outlive(session, self.session_expiry_s(&connect), out);
        let had_will = self.sessions.get(session).is_some_and(|session| session.extras.will.is_some());
        self.connect_session(key, session, &connect, arrival, now);
        self.note_standing(session, out);
        self.note_will(session, had_will, out);
        out.promising(self.promise_to(session), |out| self.write_connack(key, &terms, is_resumed, out));
        self.announce(key, session, &connect, arrival, is_resumed, out);
        if self.asked_wills.has(&arrival.client_id) {
            self.hold(key, Hold::Will, out); // what it says comes behind its will
        }
        if is_resumed {
            self.presence(session, out);
            self.pump(session, now, out);
            self.go_on_scanning(session, now, out);
        }
        Flow::Next
    }

    /// The session of a client id, unless its time is over.
    fn living_session(&mut self, client_id: &str, now: Time, out: &mut Outputs) -> Option<SessionKey> {
        let key = self.find_session(client_id)?;
        if self.sessions.get(key)?.ends_at() <= now {
            self.stats.sessions_expired += 1;
            self.end_session(key, now, out); // [MQTT-4.1.0-2]
            return None;
        }
        // [MQTT-3.1.3-9] who comes back too late finds that the will was sent, even if no tick came in between.
        self.publish_due_will(key, now, out);
        Some(key)
    }

    /// Ends the connection that the session has now, and the session itself at a clean start.
    fn take_over(&mut self, key: SessionKey, clean_start: bool, now: Time, out: &mut Outputs) -> Option<SessionKey> {
        if let Some(link) = self.sessions.get(key)?.link() {
            self.stats.takeovers += 1;
            self.say_goodbye(link.connection, Reason::SessionTakenOver, None, out); // [MQTT-3.1.4-3]
            self.end(link.connection, Cause::TakenOver, now, out);
        }
        self.sessions.get(key)?;
        if clean_start {
            self.end_session(key, now, out); // [MQTT-3.1.2-4]
            return None;
        }
        Some(key)
    }

    fn new_session(&mut self, arrival: &Arrival, seat: Option<SessionSeat>, now: Time) -> SessionKey {
        let id = self.next_session_id();
        let key = self.keep_session(id, &arrival.client_id, self.own_identity(arrival));
        match seat {
            Some(seat) => drop(self.session_seats.insert(key, seat)),
            None => self.count_session(key, &arrival.identity, now), // it takes the place of one that has just ended
        }
        key
    }

    /// Makes a session where its client finds it.
    pub(super) fn keep_session(&mut self, id: SessionId, client_id: &str, owner: Arc<Identity>) -> SessionKey {
        let hash = self.seed.hash_bytes(client_id.as_bytes());
        let key = self.sessions.insert(Session::new(id, self.client_ids.add(client_id), owner));
        let Self { seed, sessions, client_ids, directory, .. } = self;
        directory.insert_unique(hash, key.index(), |index| {
            let (_, session) = sessions.at(*index).expect("the directory leads to living sessions");
            seed.hash_bytes(client_ids.get(session.client_id).as_bytes())
        });
        key
    }

    /// The identity, shared with everybody else here where it says nothing.
    fn own_identity(&self, arrival: &Arrival) -> Arc<Identity> {
        let is_the_same = *arrival.identity == *self.anonymous;
        Arc::clone(if is_the_same { &self.anonymous } else { &arrival.identity })
    }

    /// Binds connection and session to each other, on the terms of CONNECT and of our limits.
    fn connect_session(
        &mut self,
        key: ConnectionKey,
        session_key: SessionKey,
        connect: &Connect<'_>,
        arrival: &Arrival,
        now: Time,
    ) {
        let limits = self.limits_of(arrival.peer.listener);
        let (inflight_max, aliases_out_max) = (limits.inflight_max, limits.topic_alias_out_max);
        let (taken, mut given) = (Meter::taken(limits), Meter::given(limits));
        let keep_alive_s = keep_alive_s(limits, connect);
        let identity = self.own_identity(arrival);
        let inflight_max = connect.properties.receive_maximum().unwrap_or(u16::MAX).min(inflight_max);
        let wall = self.wall;
        let connection = self.connections.get_mut(key).expect("the connection is being opened");
        self.holdings.take_out(connection);
        connection.phase = Phase::Connected;
        self.holdings.put_in(connection);
        connection.is_bridge = connect.bridge;
        connection.session = Some(session_key);
        connection.take_identity(Arc::clone(&identity), wall, now);
        connection.silence_max_ms = u32::from(keep_alive_s) * 1500; // [MQTT-3.1.2-22]
        connection.last_received = now;
        let aliases = connect.properties.topic_alias_maximum().unwrap_or(0).min(aliases_out_max);
        if aliases > 0 {
            connection.extras().aliases_out = Some(OurAliases::new(aliases, self.seed));
        }
        if let Some(method) = connect.properties.auth_method() {
            connection.extras().auth_method = Some(method.into());
        }
        if connection.seat.as_ref().is_some_and(|seat| seat.is_metered(Way::Out)) {
            given = given.or_else(|| Some(Meter::unbounded()));
        }
        let rate = if given.is_some() { Rate::Within } else { Rate::Free };
        if taken.is_some() || given.is_some() {
            let extras = connection.extras();
            (extras.taken, extras.given) = (taken.map(Box::new), given.map(Box::new));
        }
        let link = Link {
            connection: key,
            version: connect.version,
            is_particular: aliases > 0 || connection.maximum_packet < u32::MAX || rate != Rate::Free,
            is_full: false,
            rate,
            inflight_max,
        };
        let checks_receive = self.checks_receive();
        let session = self.sessions.get_mut(session_key).expect("the session was found or made");
        // Routes hold verdicts about whoever it was before.
        self.owners_changed += u64::from(checks_receive && *session.owner != *identity);
        session.connect(link);
        session.owner = identity;
        // [MQTT-3.1.3-9] who comes back in time takes the old will with him; [MQTT-3.1.2-7] the new one is kept.
        session.set_will(connect.will.as_ref().map(|will| Box::new(Will::of(will))));
        if let Some(outbound) = &mut session.outbound {
            outbound.connect(inflight_max);
        }
        self.look_at_connection(key);
    }

    fn session_expiry_s(&self, connect: &Connect<'_>) -> u32 {
        let wanted = match connect.version {
            Version::V5 => connect.properties.session_expiry().unwrap_or(0),
            Version::V31 | Version::V311 if connect.clean_start => 0,
            Version::V31 | Version::V311 => self.limits.session_expiry_v3_s,
        };
        wanted.min(self.limits.session_expiry_max_s)
    }

    /// What CONNACK tells a client of 5.0.
    fn terms(&self, connect: &Connect<'_>, arrival: &Arrival) -> PropertyBuffer {
        let mut properties = PropertyBuffer::default();
        if connect.version == Version::V5 {
            announce_limits(self.limits_of(arrival.peer.listener), connect, &mut properties);
            self.announce_terms(connect, arrival, &mut properties);
        }
        properties
    }

    /// Whether a CONNACK with these properties is within the client's Maximum Packet Size.
    fn takes_connack(&self, key: ConnectionKey, terms: &PropertyBuffer) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        if connection.maximum_packet == u32::MAX {
            return true; // it named no size, as most do
        }
        let mut bytes = Vec::new();
        success(false, terms).encode(connection.version, &mut bytes);
        bytes.len() <= connection.maximum_packet as usize
    }

    /// [MQTT-3.1.4-5] [MQTT-3.2.0-1] CONNACK comes before anything else.
    fn write_connack(&self, key: ConnectionKey, terms: &PropertyBuffer, session_present: bool, out: &mut Outputs) {
        let connection = self.connections.get(key).expect("the connection is being opened");
        let connack = Packet::ConnAck(success(session_present, terms));
        out.answer(key, connection.version, connection.receiver_limits(), &connack);
    }

    fn announce_terms(&self, connect: &Connect<'_>, arrival: &Arrival, properties: &mut PropertyBuffer) {
        let expiry_s = self.session_expiry_s(connect);
        if expiry_s != connect.properties.session_expiry().unwrap_or(0) {
            properties.push(Property::SessionExpiry(expiry_s));
        }
        if arrival.is_assigned {
            properties.push(Property::AssignedClientId(&arrival.client_id)); // [MQTT-3.2.2-16]
        }
        if let Some(prefix) = &self.limits.response_prefix
            && connect.properties.request_response_info()
        {
            let info = format!("{prefix}{}", arrival.client_id);
            properties.push(Property::ResponseInfo(&info));
        }
        if let Some(method) = connect.properties.auth_method() {
            properties.push(Property::AuthMethod(method)); // [MQTT-4.12.0-5]
            if let Some(data) = &arrival.auth_data {
                properties.push(Property::AuthData(data));
            }
        }
    }

    fn announce(
        &mut self,
        key: ConnectionKey,
        session: SessionKey,
        connect: &Connect<'_>,
        arrival: &Arrival,
        is_resumed: bool,
        out: &mut Outputs,
    ) {
        let Some(session) = self.sessions.get(session) else { return };
        out.events.push(Event::Connected {
            connection: key,
            session: session.id,
            client_id: arrival.client_id.clone(),
            identity: Arc::clone(&arrival.identity),
            peer: arrival.peer,
            version: connect.version,
            is_resumed,
        });
    }
}

/// Every limit that we enforce is said; a default of the standard needs no word.
fn announce_limits(limits: &Limits, connect: &Connect<'_>, properties: &mut PropertyBuffer) {
    properties.push(Property::ReceiveMaximum(limits.receive_maximum));
    if limits.maximum_qos < QoS::ExactlyOnce {
        properties.push(Property::MaximumQoS(limits.maximum_qos.bits())); // [MQTT-3.2.2-9]
    }
    if !limits.retain_available {
        properties.push(Property::RetainAvailable(false));
    }
    if limits.packet_bytes_max < PACKET_BYTES_LARGEST {
        properties.push(Property::MaximumPacketSize(limits.packet_bytes_max));
    }
    if limits.topic_alias_maximum > 0 {
        properties.push(Property::TopicAliasMaximum(limits.topic_alias_maximum));
    }
    if !limits.wildcard_available {
        properties.push(Property::WildcardAvailable(false));
    }
    if !limits.subscription_ids_available {
        properties.push(Property::SubscriptionIdsAvailable(false));
    }
    if !limits.shared_available {
        properties.push(Property::SharedAvailable(false));
    }
    let keep_alive_s = keep_alive_s(limits, connect);
    if keep_alive_s != connect.keep_alive {
        properties.push(Property::ServerKeepAlive(keep_alive_s)); // [MQTT-3.1.2-21]
    }
}

/// The keep-alive that holds: ours where the client wants a longer one or none.
fn keep_alive_s(limits: &Limits, connect: &Connect<'_>) -> u16 {
    let maximum = limits.keep_alive_max_s;
    let is_too_long = connect.keep_alive == 0 || connect.keep_alive > maximum;
    if maximum > 0 && is_too_long { maximum } else { connect.keep_alive }
}

fn success(session_present: bool, terms: &PropertyBuffer) -> ConnAck<'_> {
    ConnAck { session_present, reason: Reason::Success, properties: terms.as_properties() }
}

/// The largest packet that the protocol can express.
const PACKET_BYTES_LARGEST: u32 = 268_435_460;
