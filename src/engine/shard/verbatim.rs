//! The verbatim way: a run of QoS 0 packets of one topic is matched once and handed on as the bytes it came in.

use std::mem;
use std::ops::Range;

use super::Shard;
use super::fanout::{Cargo, Publisher, is_plain};
use super::routes::{Route, Target};
use crate::base::bitset::Bits64;
use crate::base::payload::Payload;
use crate::base::time::Time;
use crate::engine::auth::{Action, Decision};
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::limits::{IDS_PER_COPY, Overlap, RUN_BYTES_MAX};
use crate::engine::mesh::{Mesh, RunPiece};
use crate::engine::message::{Publication, SessionId};
use crate::engine::output::{Outputs, Recipient};
use crate::engine::stats::DropReason;
use crate::mqtt::frame::{Next, next_frame};
use crate::mqtt::outgoing::{Outgoing, encode_head};
use crate::mqtt::publish::Publish;
use crate::mqtt::run::find_run;
use crate::mqtt::{PacketType, QoS, Topic, Version};

/// A run as it lies in the receive buffer or in a letter.
#[derive(Clone, Copy)]
struct RunView<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    count: u32,
    is_v5: bool,
    origin: SessionId,
}

impl RunPiece {
    /// The topic that all its packets name.
    pub(super) fn topic(&self) -> &str {
        let version = if self.is_v5 { Version::V5 } else { Version::V311 };
        let Ok(Next::Frame(frame)) = next_frame(&self.bytes, u32::MAX) else { return "" };
        let first = Publish::decode(version, frame.first, frame.body).expect("a run holds whole packets");
        first.topic.expect("a packet of a run names its topic").as_str()
    }

    /// The packets behind so many that have so many bytes, if there are any.
    pub(super) fn behind(&self, count: u32, bytes: usize) -> Option<Self> {
        let left = self.count - count;
        (left > 0).then(|| Self { bytes: self.bytes.slice(bytes..), count: left, ..*self })
    }
}

impl<'a> RunView<'a> {
    fn of(run: &'a RunPiece) -> Self {
        Self { bytes: &run.bytes, topic: run.topic(), count: run.count, is_v5: run.is_v5, origin: run.origin }
    }

    /// The first packets of it, so many.
    fn first(self, count: u32) -> Self {
        let mut len = 0;
        for _ in 0..count.min(self.count) {
            let Ok(Next::Frame(frame)) = next_frame(&self.bytes[len..], u32::MAX) else { break };
            len += frame.len;
        }
        Self { bytes: &self.bytes[..len], count: count.min(self.count), ..self }
    }

    fn version(&self) -> Version {
        if self.is_v5 { Version::V5 } else { Version::V311 }
    }

    /// Each publication of the run, for receivers that need packets of their own.
    fn publications(self) -> impl Iterator<Item = Publication<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let Ok(Next::Frame(frame)) = next_frame(rest, u32::MAX) else { return None };
            rest = &rest[frame.len..];
            let publish = Publish::decode(self.version(), frame.first, frame.body).expect("a run holds whole packets");
            Some(Publication::new(self.topic, publish.properties.raw(), publish.payload, QoS::AtMostOnce, self.origin))
        })
    }
}

/// Empty between runs: who takes a run as it is, who takes it in the other wire form, and who needs each packet made for him.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    same: Vec<Recipient>,
    other: Vec<Recipient>,
    alone: Vec<usize>,
}

/// What became of a run at the start of a buffer.
pub(super) enum RunTaken {
    /// There is none, or it needs the ordinary way.
    None,
    /// So many bytes are done.
    Bytes(usize),
}

impl Shard {
    /// Takes a run at the start of `bytes`, if there is one and nothing about it needs a closer look.
    pub(super) fn try_run(&mut self, key: ConnectionKey, bytes: &[u8], now: Time, out: &mut Outputs) -> RunTaken {
        let Some(connection) = self.connections.get(key) else { return RunTaken::None };
        let version = connection.version;
        let Some(origin) = connection.session.and_then(|session| self.sessions.get(session)).map(|s| s.id) else {
            return RunTaken::None;
        };
        let limits = self.limits_of(connection.peer.listener);
        let Some(run) = find_run(version, bytes, limits.packet_bytes_max, RUN_BYTES_MAX) else {
            return RunTaken::None;
        };
        let is_plain =
            !run.topic.is_deeper_than(limits.topic_levels_max) && self.may_publish_run(key, run.topic, QoS::AtMostOnce);
        if !is_plain {
            return RunTaken::None;
        }
        let Some(connection) = self.connections.get_mut(key) else { return RunTaken::None };
        connection.last_received = now;
        let is_v5 = version == Version::V5;
        let mut run = RunView { bytes: run.bytes, topic: run.topic.as_str(), count: run.count, is_v5, origin };
        self.route_run(&mut run, key, now, out);
        self.stats.packets_received += u64::from(run.count);
        self.stats.packets_received_by_type[usize::from(PacketType::Publish.bits())] += u64::from(run.count);
        self.stats.packet_bytes_received_by_type[usize::from(PacketType::Publish.bits())] += run.bytes.len() as u64;
        self.stats.publishes_received += u64::from(run.count);
        self.stats.publishes_verbatim += u64::from(run.count);
        self.forget_answers(key);
        self.charge_quota(key, run.count, run.bytes.len(), now, out);
        RunTaken::Bytes(run.bytes.len())
    }

    /// A slow answer and a refusal are matters of the ordinary way.
    pub(super) fn may_publish_run(&self, key: ConnectionKey, topic: Topic<'_>, qos: QoS) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        let Some(identity) = &connection.identity else { return false };
        let Some(session) = connection.session.and_then(|session| self.sessions.get(session)) else { return false };
        let action = Action::Publish { topic: topic.as_str(), qos, retain: false };
        self.policy.decide(identity, self.client_id(session), action) == Decision::Allow
    }

    /// Shortens the run to what this input may deliver, and brings that to everybody who wants it.
    fn route_run(&mut self, run: &mut RunView<'_>, publisher: ConnectionKey, now: Time, out: &mut Outputs) {
        let mut kept: Option<Payload> = None;
        let wanted = self.wanting_shards(run.topic);
        let has_matched = self.deliver_run(run, &mut kept, Some((self.id, publisher)), now, out);
        let mut has_forwarded = false;
        for to in wanted.difference(Bits64::of(self.id.bit())).iter().map(ShardId::of_bit) {
            let bytes = kept.get_or_insert_with(|| self.chunks.copy(&[run.bytes])).clone();
            let piece = RunPiece { bytes, count: run.count, is_v5: run.is_v5, origin: run.origin };
            self.stats.forwards_sent += 1;
            self.tell(to, Mesh::Run { run: piece, publisher: Some(publisher) }, out);
            self.slow_down_for_shard(to, Some(publisher), out);
            has_forwarded = true;
        }
        if !has_matched && !has_forwarded {
            self.stats.publishes_unmatched += u64::from(run.count);
        }
    }

    /// A run that another shard took in; the packets that are too much for this input come back.
    pub(super) fn forwarded_run(
        &mut self,
        run: &RunPiece,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> Option<RunPiece> {
        let mut view = RunView::of(run);
        let has_matched = self.deliver_run(&mut view, &mut Some(run.bytes.clone()), publisher, now, out);
        let rest = run.behind(view.count, view.bytes.len());
        if rest.is_none() {
            self.note_forward(has_matched);
        }
        rest
    }

    /// A run of another shard is done.
    pub(super) fn note_forward(&mut self, has_matched: bool) {
        self.stats.forwards_received += 1;
        self.stats.forwards_useless += u64::from(!has_matched);
    }

    /// Shortens a run of which many receivers need each packet made for them, or groups hand each on by a letter, to what this input may deliver, and to
    /// one packet at least.
    fn shorten(&self, run: &mut RunView<'_>, kept: &mut Option<Payload>, route: &Route) {
        let others = route.groups.len() + route.ids.len() / IDS_PER_COPY;
        let copies_max = (route.targets.len() + others).saturating_mul(run.count as usize);
        let letters_max = self.room_for_letters().checked_div(route.groups.len());
        if copies_max <= self.copies_per_input_max && letters_max.is_none() {
            return; // as nearly always
        }
        let is_alone = |target: &&Target| self.needs_own_packets(target, run.origin);
        let alone = if self.limits.overlap == Overlap::Separate && route.filters.len() > 1 {
            route.targets.len()
        } else {
            route.targets.iter().filter(is_alone).count()
        };
        let copies_max = self.copies_left.checked_div(alone + others);
        let Some(count) = copies_max.into_iter().chain(letters_max).min() else { return };
        if count < run.count as usize {
            *run = run.first(u32::try_from(count).expect("it is below another one").max(1));
            *kept = kept.take().map(|bytes| bytes.slice(..run.bytes.len()));
        }
    }

    /// Whether a receiver gets a run packet by packet.
    fn needs_own_packets(&self, target: &Target, origin: SessionId) -> bool {
        let Some(session) = self.sessions.get(target.session) else { return true };
        let waits = session.outbound.as_ref().is_some_and(|outbound| outbound.has_plain());
        let is_own = target.has_no_local && session.id == origin;
        let is_particular = session.link().map_or(self.limits.queue_qos0, |link| !is_plain(&link, target.has_ids()));
        waits || is_own || is_particular
    }

    /// Delivers a run, or the first part of it, to all who want it here; whether there is anybody.
    fn deliver_run(
        &mut self,
        run: &mut RunView<'_>,
        kept: &mut Option<Payload>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) -> bool {
        let route = self.route_of(run.topic);
        if route.is_empty() {
            return false;
        }
        self.shorten(run, kept, &route);
        let run = *run;
        if self.limits.overlap == Overlap::Separate && route.filters.len() > 1 {
            // A session may stand there more than once, and gets all copies of a message before the next one.
            for mut publication in run.publications() {
                self.deliver(&mut publication, publisher, now, out);
            }
            return true;
        }
        if self.is_put_off(&route) || self.is_behind_fanout(run.origin, run.topic) {
            let bytes = kept.get_or_insert_with(|| self.chunks.copy(&[run.bytes])).clone();
            let piece = RunPiece { bytes, count: run.count, is_v5: run.is_v5, origin: run.origin };
            let _nobody_keeps_a_run = self.put_off(&route, Cargo::Run(piece), publisher, now, out);
        } else {
            self.deliver_run_to(&route, 0..route.targets.len(), run, kept, publisher, now, out);
        }
        if !route.groups.is_empty() {
            for mut publication in run.publications() {
                for group in &route.groups {
                    self.deliver_to_group(*group, &mut publication, publisher, now, out);
                }
            }
        }
        true
    }

    /// A piece of a put-off fan-out of a run.
    pub(super) fn serve_run(
        &mut self,
        route: &Route,
        targets: Range<usize>,
        run: &RunPiece,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) {
        let mut kept = Some(run.bytes.clone());
        self.deliver_run_to(route, targets, RunView::of(run), &mut kept, publisher, now, out);
    }

    #[expect(clippy::too_many_arguments, reason = "some targets and what a fan-out carries along")]
    fn deliver_run_to(
        &mut self,
        route: &Route,
        targets: Range<usize>,
        run: RunView<'_>,
        kept: &mut Option<Payload>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) {
        self.charge(targets.len()); // whatever the length of the run, each is looked for and told
        let mut receivers = mem::take(&mut self.run_receivers);
        for (index, target) in targets.clone().zip(&route.targets[targets]) {
            self.place_receiver(index, target, run, publisher, &mut receivers, out);
        }
        out.widely(self.is_wide(route), |out| {
            self.write_run(run, kept, &receivers, out);
            if !receivers.alone.is_empty() {
                for mut publication in run.publications() {
                    for index in &receivers.alone {
                        self.deliver_to_one(route, *index, &mut publication, publisher, now, out);
                    }
                }
            }
        });
        receivers.clear();
        self.run_receivers = receivers;
    }

    fn place_receiver(
        &mut self,
        index: usize,
        target: &Target,
        run: RunView<'_>,
        publisher: Publisher,
        receivers: &mut Receivers,
        out: &mut Outputs,
    ) {
        let Some(session) = self.sessions.get(target.session) else { return receivers.alone.push(index) };
        let is_own = target.has_no_local && session.id == run.origin;
        let link = session.link();
        let copies = u64::from(run.count);
        let may_wait = session.outbound.as_ref().is_some_and(|outbound| outbound.has_plain());
        if is_own || may_wait || (link.is_none() && self.limits.queue_qos0) {
            return receivers.alone.push(index);
        }
        if self.is_denied(target, run.topic) {
            self.stats.ledger.routed += copies;
            return self.stats.ledger.drop_copies(DropReason::NotAuthorized, copies);
        }
        let Some(link) = link else {
            self.stats.ledger.routed += copies;
            return self.stats.ledger.drop_copies(DropReason::Offline, copies);
        };
        if link.is_metered() {
            return receivers.alone.push(index); // its rate may end in the middle of a run
        }
        if !self.has_room_for_plain(&link, publisher, out) {
            self.stats.ledger.routed += copies;
            return self.stats.ledger.drop_copies(DropReason::Slow, copies);
        }
        if !is_plain(&link, target.has_ids()) {
            return receivers.alone.push(index);
        }
        self.stats.ledger.routed += copies;
        self.stats.ledger.delivered += copies;
        let is_same = (link.version == Version::V5) == run.is_v5;
        let list = if is_same { &mut receivers.same } else { &mut receivers.other };
        list.push(Recipient { connection: link.connection, packet_id: None });
    }

    fn write_run(&mut self, run: RunView<'_>, kept: &mut Option<Payload>, receivers: &Receivers, out: &mut Outputs) {
        if !receivers.same.is_empty() {
            let draft = if kept.is_none() && receivers.same.len() == 1 {
                // A single receiver shares it with nobody: it is copied into the memory of the turn, whatever its size.
                out.draft(None, |bytes| {
                    bytes.extend_from_slice(run.bytes);
                    None
                })
            } else {
                let body = kept.get_or_insert_with(|| self.chunks.copy(&[run.bytes])).clone();
                out.draft(Some(body), |_| None)
            };
            out.send(draft.of_packets(run.count), &receivers.same);
        }
        if !receivers.other.is_empty() {
            let version = if run.is_v5 { Version::V311 } else { Version::V5 };
            let draft = out.draft(None, |bytes| {
                for publication in run.publications() {
                    encode_plain(version, &publication, bytes);
                }
                None
            });
            out.send(draft.of_packets(run.count), &receivers.other);
        }
    }

    fn deliver_to_one(
        &mut self,
        route: &Route,
        index: usize,
        publication: &mut Publication<'_>,
        publisher: Publisher,
        now: Time,
        out: &mut Outputs,
    ) {
        let targets = &route.targets[index..=index];
        self.deliver_to_all(route, targets, publication, publisher, now, out);
    }
}

impl Receivers {
    fn clear(&mut self) {
        self.same.clear();
        self.other.clear();
        self.alone.clear();
    }
}

fn encode_plain(version: Version, publication: &Publication<'_>, bytes: &mut Vec<u8>) {
    let outgoing = Outgoing {
        topic: publication.topic,
        topic_alias: None,
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        packet_id: None,
        message_expiry: None,
        subscription_ids: &[],
        forwarded: publication.forwarded,
        payload_len: publication.payload.len(),
    };
    encode_head(version, &outgoing, bytes);
    bytes.extend_from_slice(publication.payload);
}
