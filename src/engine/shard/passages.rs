//! Messages of quality of service 2 that cross shards on their way from a durable session: each shard takes one once.
//!
//! A power cut may leave one shard with a message and the other without. The publisher's home notes the identifier together
//! with what its own subscribers are owed, another shard notes the passage together with what its subscribers are owed, and
//! PUBREC leaves when both are safe. So after a restart, when the publisher sends the message again:
//!
//! - a home that does not know the identifier routes the message to everybody, and a shard that has it already says so;
//! - a home that does know it asks the other shards once more, and serves nobody of its own.
//!
//! In either case nobody knows which shards have it: one that has may not be asked again, for who wanted the message there may have
//! unsubscribed meanwhile. So all shards are asked to forget.
//!
//! A passage is forgotten before the identifier is free: PUBCOMP waits until every shard that was passed has safely forgotten.
//! A session that ends has its passages forgotten, too. That word may be lost when the process ends, so after a restart each shard names to
//! the others what it remembers, and forgets what none of them claims.
//!
//! A client that leaves while its message is between shards leaves a *doubt*, which is noted: to another number of shards the message has
//! to be sent again.

use std::collections::BTreeSet;

use super::Shard;
use super::acknowledge::AckKind;
use crate::base::bitset::Bits64;
use crate::base::hash::{Map, Seed, map};
use crate::engine::change::Change;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::mesh::Mesh;
use crate::engine::message::{Once, Passage};
use crate::engine::output::Outputs;
use crate::engine::session::SessionKey;
use crate::mqtt::{PacketId, Reason};

/// One per shard.
#[derive(Debug)]
pub(super) struct Passages {
    /// Of sessions that live here: where a message went.
    gone: Map<(SessionKey, PacketId), Gone>,
    /// Of sessions that live here: messages of which the journal knows that they may not have reached all shards.
    doubtful: BTreeSet<(SessionKey, PacketId)>,
    /// Of sessions that live elsewhere: what has come, and left something that is kept.
    come: Map<Passage, ()>,
    /// After a restart: what of it no shard has claimed, and shards that have not said.
    unclaimed: BTreeSet<Passage>,
    silent: Bits64,
    /// PUBREL packets whose PUBCOMP waits.
    releases: Map<(SessionKey, PacketId), Release>,
}

#[derive(Clone, Copy, Debug)]
struct Gone {
    shards: Bits64,
    /// It is of before a restart: nobody knows where it went, and whether PUBREC has left.
    is_unsure: bool,
}

#[derive(Clone, Copy, Debug)]
struct Release {
    /// waits = shards that have not forgotten
    waits: u32,
    /// Who asked last. On another connection PUBREL comes again, and is answered there.
    connection: ConnectionKey,
}

impl Passages {
    /// None.
    pub fn new(seed: Seed) -> Self {
        Self {
            gone: map(seed),
            doubtful: BTreeSet::new(),
            come: map(seed),
            unclaimed: BTreeSet::new(),
            silent: Bits64::EMPTY,
            releases: map(seed),
        }
    }

    /// Whether it has come before.
    pub fn has_come(&self, once: Once) -> bool {
        once.may_have_come && self.come.contains_key(&once.passage)
    }

    /// Whether something is remembered under this name.
    pub fn is_known(&self, passage: Passage) -> bool {
        self.come.contains_key(&passage)
    }

    /// All that has come.
    pub fn come(&self) -> impl Iterator<Item = Passage> {
        self.come.keys().copied()
    }

    /// It has come; a change of before a restart says so.
    pub fn restore(&mut self, passage: Passage) {
        self.come.insert(passage, ());
    }

    /// It is forgotten; a change of before a restart says so.
    pub fn restore_forgotten(&mut self, passage: Passage) {
        self.come.remove(&passage);
    }

    /// A message of a session here may not have reached all shards, or it has, or is refused or released; the journal knows it.
    pub fn set_doubt(&mut self, session: SessionKey, id: PacketId, is_doubtful: bool) {
        if is_doubtful {
            self.doubtful.insert((session, id));
        } else {
            self.doubtful.remove(&(session, id));
        }
    }

    /// A session is over.
    pub fn end_doubts(&mut self, session: SessionKey) {
        let of_session: Vec<_> =
            self.doubtful.range((session, PacketId::MIN)..=(session, PacketId::MAX)).copied().collect();
        for doubt in of_session {
            self.doubtful.remove(&doubt);
        }
    }

    /// Whether the journal knows that it may not have reached all shards.
    pub fn is_doubtful(&self, session: SessionKey, id: PacketId) -> bool {
        self.doubtful.contains(&(session, id))
    }
}

impl Shard {
    /// A message from elsewhere has left something here that is kept.
    pub(super) fn note_passage(&mut self, passage: Passage, out: &mut Outputs) {
        if self.passages.come.insert(passage, ()).is_none() {
            let Passage { session, id } = passage;
            self.note(Change::Passed { session, id }, out);
        }
    }

    /// A message of a session here has gone to these shards, which keep something of it. After a restart a shard may keep something that
    /// nobody has asked, since nobody there wants the message any more.
    pub(super) fn has_passed(&mut self, session: SessionKey, id: PacketId, shards: Bits64) {
        let unsure = self.passages.gone.get(&(session, id)).filter(|gone| gone.is_unsure);
        let shards = unsure.map_or(shards, |gone| gone.shards);
        if shards.is_empty() {
            self.passages.gone.remove(&(session, id));
        } else {
            self.passages.gone.insert((session, id), Gone { shards, is_unsure: false });
        }
    }

    /// An identifier is open since before a restart, or may have been: where its message went then is not known.
    pub(super) fn restore_passage(&mut self, session: SessionKey, id: PacketId) {
        if !self.is_alone() {
            let shards = self.homes.all_bits().difference(Bits64::of(self.id.bit()));
            self.passages.gone.insert((session, id), Gone { shards, is_unsure: true });
        }
    }

    /// Whether other shards have to be asked once more when this message comes again.
    pub(super) fn is_passage_unsure(&self, session: SessionKey, id: PacketId) -> bool {
        self.passages.gone.get(&(session, id)).is_some_and(|gone| gone.is_unsure)
    }

    /// A client is gone while a message of it is between shards: if the process ended now, the journal would have to know.
    pub(super) fn note_doubt(&mut self, session: SessionKey, id: PacketId, out: &mut Outputs) {
        if !self.is_alone() && self.is_durable(session) && self.passages.doubtful.insert((session, id)) {
            self.note_of(session, |session| Change::Doubtful { session, id }, out);
        }
    }

    /// A message that was in doubt has reached all shards.
    pub(super) fn note_certainty(&mut self, session: SessionKey, id: PacketId, out: &mut Outputs) {
        if self.passages.doubtful.remove(&(session, id)) {
            self.note_of(session, |session| Change::Incoming { session, id }, out);
        }
    }

    /// The client releases an identifier: what PUBCOMP has to say, or nothing while other shards forget.
    pub(super) fn release_identifier(
        &mut self,
        connection: ConnectionKey,
        session_key: SessionKey,
        id: PacketId,
        out: &mut Outputs,
    ) -> Option<Reason> {
        let Some(gone) = self.passages.gone.get(&(session_key, id)) else {
            return Some(self.settle_pubrel(session_key, id, out));
        };
        let shards = gone.shards;
        let session = self.sessions.get(session_key)?.id;
        let waits = u32::try_from(shards.iter().count()).expect("there are 64 shards at most");
        if let Some(release) = self.passages.releases.get_mut(&(session_key, id)) {
            release.connection = connection;
            return None;
        }
        self.passages.releases.insert((session_key, id), Release { waits, connection });
        let passage = Passage { session, id };
        for to in shards.iter().map(ShardId::of_bit) {
            self.tell(to, Mesh::Forget { passage, reply: Some(session_key) }, out);
        }
        None
    }

    /// What a message goes by is about to be free.
    pub(super) fn forget_passage(
        &mut self,
        from: ShardId,
        passage: Passage,
        reply: Option<SessionKey>,
        out: &mut Outputs,
    ) {
        let was_known = self.passages.come.remove(&passage).is_some();
        let Passage { session, id } = passage;
        if was_known {
            self.note(Change::Forgotten { session, id }, out);
        }
        if let Some(session) = reply {
            self.tell_once(was_known, from, Mesh::Forgotten { session, id }, out);
        }
    }

    /// A shard has forgotten; after the last one the client hears PUBCOMP.
    pub(super) fn passage_forgotten(&mut self, session: SessionKey, id: PacketId, out: &mut Outputs) {
        let Some(release) = self.passages.releases.get_mut(&(session, id)) else { return };
        release.waits -= 1;
        if release.waits > 0 {
            return;
        }
        let connection = release.connection;
        self.passages.releases.remove(&(session, id));
        self.passages.gone.remove(&(session, id));
        let reason = self.settle_pubrel(session, id, out);
        let promises = self.promise_to(session);
        out.promising(promises, |out| self.write_ack(connection, id, reason, AckKind::Complete, out));
    }

    /// A session ends: nobody will release what it has open.
    pub(super) fn forget_passages_of(&mut self, key: SessionKey, out: &mut Outputs) {
        let Some(session) = self.sessions.get(key) else { return };
        let id_of_session = session.id;
        let ids: Vec<PacketId> = session.extras.received.ids().collect();
        self.passages.end_doubts(key);
        for id in ids {
            self.passages.releases.remove(&(key, id));
            let Some(gone) = self.passages.gone.remove(&(key, id)) else { continue };
            let passage = Passage { session: id_of_session, id };
            for to in gone.shards.iter().map(ShardId::of_bit) {
                self.tell(to, Mesh::Forget { passage, reply: None }, out);
            }
        }
    }
}

/// After a restart.
impl Shard {
    /// Asks the others which of what is remembered here somebody may still ask for: a word to forget may have been lost.
    pub(super) fn ask_for_claims(&mut self, out: &mut Outputs) {
        if self.passages.come.is_empty() {
            return;
        }
        self.passages.unclaimed = self.passages.come().collect();
        let passages: Vec<Passage> = self.passages.unclaimed.iter().copied().collect();
        self.passages.silent = self.homes.all_bits().difference(Bits64::of(self.id.bit()));
        for to in self.passages.silent.iter().map(ShardId::of_bit) {
            self.tell(to, Mesh::Remembers { passages: passages.clone() }, out);
        }
    }

    /// Another shard asks which of this is of sessions that live here, or of wills that have been left here.
    pub(super) fn claim_passages(&mut self, from: ShardId, passages: Vec<Passage>, out: &mut Outputs) {
        let asked: BTreeSet<_> = passages.iter().map(|passage| passage.session).collect();
        let mut known = BTreeSet::new();
        for (_, session) in self.sessions.iter() {
            let will = session.extras.will.as_ref().map(|will| will.number);
            known.extend([Some(session.id), will].into_iter().flatten().filter(|number| asked.contains(number)));
        }
        let is_claimed = |passage: &Passage| known.contains(&passage.session) || self.is_bequest(passage.session);
        let passages = passages.into_iter().filter(is_claimed).collect();
        self.tell(from, Mesh::Claims { passages }, out);
    }

    /// A shard has named what it may ask for. After the last one the rest is nobody's.
    pub(super) fn passages_claimed(&mut self, from: ShardId, passages: &[Passage], out: &mut Outputs) {
        for passage in passages {
            self.passages.unclaimed.remove(passage);
        }
        self.passages.silent.remove(from.bit());
        if self.passages.silent.is_empty() {
            for passage in std::mem::take(&mut self.passages.unclaimed) {
                self.forget_passage(from, passage, None, out);
            }
        }
    }
}
