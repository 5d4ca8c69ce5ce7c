//! One shard's journal, written the way the broker writes it: changes in groups, groups in segments.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use pregon::base::time::Time;
use pregon::engine::auth::identity::Identity;
use pregon::engine::change::{Change, Serial, Standing};
use pregon::engine::homes::ShardId;
use pregon::engine::message::{Message, SessionId};
use pregon::engine::session::delivery::SubscriptionIds;
use pregon::engine::subscriptions::entry::Options;
use pregon::journal::epoch::Epoch;
use pregon::journal::group::Group;
use pregon::journal::place::{BLOCK_BYTES, JournalId, Place, SegmentNumber};
use pregon::journal::segment::{Header, Previous};
use pregon::mqtt::QoS;

/// A group of so many bytes is written; about what a busy broker commits at once.
const GROUP_BYTES: usize = 256 * 1024;
/// No session here ends at a time, so any epoch is right.
const EPOCH: Epoch = Epoch::new(0);
/// What others may do with a segment: nothing.
const FILE_MODE: u32 = 0o600;

/// The identifier of a client, of so many bytes.
pub fn client_id(session: u32, bytes: u16) -> String {
    const PREFIX: &str = "client-";
    format!("{PREFIX}{session:0digits$}", digits = usize::from(bytes) - PREFIX.len())
}

/// As long as in the tests of memory: 23 bytes.
fn topic(session: u32) -> String {
    format!("fleet/vehicle/{session:09}")
}

/// What all segments of a shard have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The journal.
    pub id: JournalId,
    /// Whose it is.
    pub shard: ShardId,
    /// Of how many.
    pub shards: u8,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// How long a client identifier is.
    pub id_bytes: u16,
}

/// A shard's journal while it is written.
pub struct Shard {
    terms: Terms,
    folder: PathBuf,
    owner: Arc<Identity>,
    made: Serial,
    group: Group,
    segment: Option<Segment>,
    frame_bytes: u64,
}

/// The segment that is written to.
struct Segment {
    file: File,
    number: SegmentNumber,
    position: u64,
}

impl Shard {
    /// An empty journal in this folder.
    pub fn new(terms: Terms, folder: PathBuf) -> Self {
        Self {
            terms,
            folder,
            owner: Arc::new(Identity::anonymous()),
            made: Serial::NONE,
            group: Group::new(terms.id, EPOCH),
            segment: None,
            frame_bytes: 0,
        }
    }

    /// A client has come, subscribed and left.
    pub fn add_session(&mut self, number: u32) -> io::Result<()> {
        let session = self.session(number);
        let standing = |is_connected| {
            let (client_id, owner) = (client_id(number, self.terms.id_bytes).into(), Arc::clone(&self.owner));
            Box::new(Standing { client_id, owner, expiry_s: u32::MAX, ends_at: Time::NEVER, is_connected })
        };
        let (there, away) = (standing(true), standing(false));
        let options = Options::new(QoS::AtLeastOnce);
        self.note(&Change::Session { session, standing: there })?;
        self.note(&Change::Subscribed { session, filter: topic(number).into(), options })?;
        self.note(&Change::Session { session, standing: away })?;
        Ok(())
    }

    /// A message has come for a session that is away.
    pub fn add_message(&mut self, number: u32, payload: &[u8]) -> io::Result<()> {
        let session = self.session(number);
        let message = Message::copied(&topic(number), payload, QoS::AtLeastOnce, SessionId::BROKER);
        let body = self.note(&Change::Body { message })?;
        let (qos, retain, ids) = (QoS::AtLeastOnce, false, SubscriptionIds::None);
        self.note(&Change::Queued { session, body, qos, retain, ids })?;
        Ok(())
    }

    /// Writes what is left; how many bytes all frames have.
    pub fn finish(mut self) -> io::Result<u64> {
        self.commit()?;
        if let Some(segment) = &self.segment {
            segment.file.sync_all()?;
        }
        Ok(self.frame_bytes)
    }

    /// Numbers are unique over all shards, so they are unique on each.
    fn session(&self, number: u32) -> SessionId {
        SessionId::new(self.terms.shard, u64::from(number) + 1)
    }

    fn note(&mut self, change: &Change) -> io::Result<Serial> {
        self.made = self.made.next();
        self.group.push(self.made, change);
        if self.group.next_at() >= GROUP_BYTES {
            self.commit()?;
        }
        Ok(self.made)
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let has_room = |segment: &Segment| self.group.fits(segment.position, self.terms.segment_bytes);
        let mut segment = match self.segment.take() {
            Some(segment) if has_room(&segment) => segment,
            before => self.begin_segment(before)?,
        };
        let place = Place { segment: segment.number, position: segment.position };
        let frame = self.group.seal(place);
        segment.file.write_all_at(frame, segment.position)?;
        segment.position += frame.len() as u64;
        self.frame_bytes += frame.len() as u64;
        self.group.clear();
        self.segment = Some(segment);
        Ok(())
    }

    /// The segment behind this one, with its header.
    fn begin_segment(&self, before: Option<Segment>) -> io::Result<Segment> {
        let number = before.as_ref().map_or(SegmentNumber::FIRST, |before| before.number.next());
        let previous = match before {
            Some(Segment { file, number, position }) => {
                file.sync_all()?;
                Some(Previous { number, end: position })
            }
            None => None,
        };
        let Terms { id, shard, shards, segment_bytes: length, id_bytes: _ } = self.terms;
        let first = self.group.first().unwrap_or(Serial::NONE);
        let mut block = Vec::new();
        Header { id, shard, shards, number, length, first, previous }.encode(&mut block);
        let path = self.folder.join(format!("00-{:016x}.segment", number.get()));
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        file.set_len(length)?;
        file.write_all_at(&block, 0)?;
        Ok(Segment { file, number, position: BLOCK_BYTES as u64 })
    }
}
