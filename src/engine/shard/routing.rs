//! The way of a publication to everybody who wants it, here and on other shards, and who waits for what they say.

use super::Shard;
use crate::base::bitset::Bits64;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::mesh::{Mesh, RoutingKey};
use crate::engine::message::{Publication, SessionId};
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::engine::session::pipeline::{Outcome, Ticket};
use crate::mqtt::{PacketId, QoS, Topic};

/// A publication that waits for the word "stored" of shards. One entry on the shard it came in.
#[derive(Debug)]
pub struct Routing {
    waiter: Waiter,
    /// waits = shards that were asked and have not answered
    waits: u32,
    /// The home of a retained message may have told it to shards that nobody here has asked: they answer, too.
    /// `late` = such shards that it has named - those that have answered
    late: i32,
    outcome: Outcome,
    /// Shards that have noted the passage of the message.
    passed: Bits64,
}

/// Who hears that it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    /// A client, with an acknowledgement.
    Client {
        /// Its session.
        session: SessionKey,
        /// Where the acknowledgement goes.
        connection: ConnectionKey,
        /// Its place among the answers there.
        ticket: Ticket,
        /// The packet's identifier.
        id: PacketId,
        /// The packet's quality of service.
        qos: QoS,
    },
    /// This shard, which has to see to it that a will comes to other shards.
    Bequest(SessionId),
}

impl Routing {
    /// The publication's own shard is the first to speak.
    pub(super) fn new(waiter: Waiter) -> Self {
        Self { waiter, waits: 1, late: 0, outcome: Outcome::default(), passed: Bits64::EMPTY }
    }
}

impl Shard {
    /// Sends a publication to everybody who wants it, here and on other shards.
    ///
    /// Each other shard that is asked raises the routing's `waits`; what comes back is this shard's own outcome.
    pub(super) fn route(
        &mut self,
        publication: &mut Publication<'_>,
        publisher: Option<ConnectionKey>,
        routing: Option<RoutingKey>,
        now: Time,
        out: &mut Outputs,
    ) -> Outcome {
        let wanted = self.wanting_shards(publication.topic);
        let stamp = self.stamp(publication);
        let outcome = if publication.is_again {
            Outcome::stored() // its own part is as old as the identifier
        } else {
            self.deliver(publication, publisher.map(|key| (self.id, key)), now, out)
        };
        for to in wanted.difference(Bits64::of(self.id.bit())).iter().map(ShardId::of_bit) {
            let message = publication.keep(&mut self.chunks).clone();
            self.stats.forwards_sent += 1;
            self.wait_for_one_more(routing);
            let once = publication.once;
            self.tell(to, Mesh::Forward { message, reply: routing, publisher, stamp, once }, out);
            self.slow_down_for_shard(to, publisher, out);
        }
        let is_kept_here = publication.is_again && stamp.is_none();
        let outcome = if publication.retain && self.limits.retain_available && !is_kept_here {
            let mut told = wanted;
            told.insert(self.id.bit());
            self.retain(publication, told, stamp, publisher, routing, now, out).merge(outcome)
        } else {
            outcome
        };
        if wanted.difference(Bits64::of(self.id.bit())).is_empty() && !outcome.matched {
            self.stats.publishes_unmatched += 1;
        }
        outcome
    }

    /// The shards that may have a subscription for this topic, looked up anew only when a shard has declared something.
    pub(super) fn wanting_shards(&mut self, topic: &str) -> Bits64 {
        if self.is_alone() {
            return Bits64::default();
        }
        let generation = self.interest.generation(); // read before the look-up, or a change in between went unnoticed
        if let Some(shards) = self.routes.find_shards(topic, generation) {
            return shards;
        }
        let shards = self.interested(topic);
        self.routes.keep_shards(topic, shards, generation);
        shards
    }

    /// The shards that may have a subscription for this topic.
    pub(super) fn interested(&self, topic: &str) -> Bits64 {
        let topic = Topic::parse(topic).expect("a publication's topic was parsed");
        self.interest.shards_for(topic)
    }

    pub(super) fn wait_for_one_more(&mut self, routing: Option<RoutingKey>) {
        if let Some(routing) = routing.and_then(|key| self.routings.get_mut(key)) {
            routing.waits += 1;
        }
    }

    /// A shard that was asked has the publication in the hands of everybody there, and says how many shards it has told late. After the
    /// last one it is stored.
    pub(super) fn stored(&mut self, key: RoutingKey, outcome: Outcome, late: u32, now: Time, out: &mut Outputs) {
        let Some(routing) = self.routings.get_mut(key) else { return };
        routing.outcome = routing.outcome.merge(outcome);
        routing.waits -= 1;
        routing.late += i32::try_from(late).expect("there are 64 shards at most");
        self.look_at_routing(key, now, out);
    }

    /// A shard that was told late has it, too.
    pub(super) fn stored_late(&mut self, key: RoutingKey, now: Time, out: &mut Outputs) {
        if let Some(routing) = self.routings.get_mut(key) {
            routing.late -= 1;
            self.look_at_routing(key, now, out);
        }
    }

    /// A shard says whether it has noted the passage of a message.
    pub(super) fn note_shard_of_passage(&mut self, key: RoutingKey, from: ShardId, has_passed: bool) {
        if let Some(routing) = self.routings.get_mut(key).filter(|_| has_passed) {
            routing.passed.insert(from.bit());
        }
    }

    fn look_at_routing(&mut self, key: RoutingKey, now: Time, out: &mut Outputs) {
        if self.routings.get(key).is_none_or(|routing| routing.waits > 0 || routing.late != 0) {
            return;
        }
        let Routing { waiter, outcome, passed, .. } = self.routings.remove(key).expect("it was found above");
        match waiter {
            Waiter::Bequest(number) => self.bequest_stored(number, passed, out),
            Waiter::Client { session, connection, ticket, id, qos } => {
                if qos == QoS::ExactlyOnce {
                    self.has_passed(session, id, passed);
                }
                self.note_received(session, qos, id, outcome, out);
                self.resolve(connection, ticket, outcome, now, out);
                for (connection, ticket) in self.take_repeats(session, id) {
                    self.resolve(connection, ticket, outcome, now, out);
                }
            }
        }
    }
}
