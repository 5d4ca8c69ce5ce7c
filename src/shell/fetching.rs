//! Messages of one shard that lie in its journal alone: where they were written, and how they are read back.
//!
//! Every segment of the log is held open, so a read never looks for a name. A dead segment is given back when nobody reads from it any
//! more: its bytes may be written over from then on.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::rc::Rc;

use super::ring::fetch::{Brought, Read};
use crate::base::slab::{Key, Slab};
use crate::engine::change::Serial;
use crate::engine::input::Fetched;
use crate::engine::message::Message;
use crate::engine::output::{Fetch, Reader, Wanted};
use crate::engine::stowage::{Spot, StowKey};
use crate::journal::epoch::Epoch;
use crate::journal::place::{JournalId, Place};
use crate::journal::spots::{Marked, message_in};

/// Records that lie so near to each other are read together, with what stands between them.
const GAP_BYTES: u64 = 4 << 10;
/// The most that is read at once, unless a single record is longer.
const SPAN_BYTES_MAX: u64 = 256 << 10;

/// Messages that were asked for together.
#[derive(Debug)]
struct Batch {
    reader: Reader,
    bytes: u64,
    messages: Vec<(Serial, Option<Message>)>,
    /// Reads that are on their way.
    reads: usize,
}

/// One read: a part of a segment, and what of it is wanted by whom.
#[derive(Debug)]
struct Span {
    batch: Key<Batch>,
    segment: u64,
    position: u64,
    end: u64,
    /// Which message of the batch each is.
    wanted: Vec<(usize, Wanted)>,
}

/// The messages of one shard that lie in its journal. One per journal.
#[derive(Debug)]
pub struct Fetching {
    id: JournalId,
    epoch: Epoch,
    /// The log, by the numbers of its segments.
    files: BTreeMap<u64, Rc<File>>,
    /// Records of groups that are not written yet, by the number of their group.
    marked: VecDeque<(u64, Vec<Marked>)>,
    batches: Slab<Batch>,
    /// One of them is the sweep's.
    is_sweeping: bool,
    spans: Slab<Span>,
    /// Dead segments that somebody may still read from.
    retiring: VecDeque<u64>,
}

impl Fetching {
    /// Nothing was asked for; these files are the log.
    pub fn new(id: JournalId, epoch: Epoch, files: BTreeMap<u64, Rc<File>>) -> Self {
        let (batches, spans) = (Slab::new(), Slab::new());
        let (marked, retiring) = (VecDeque::new(), VecDeque::new());
        Self { id, epoch, files, marked, batches, is_sweeping: false, spans, retiring }
    }

    /// Groups are written to this file from now on. One of this name may have lain there at the start, made ahead of use: another one has
    /// taken its place.
    pub fn goes_on_in(&mut self, segment: u64, file: &Rc<File>) {
        let known = self.files.entry(segment).or_insert_with(|| Rc::clone(file));
        if !Rc::ptr_eq(known, file) {
            *known = Rc::clone(file);
        }
    }

    /// These records went into a group; none goes into an older one.
    pub fn mark(&mut self, group: u64, marked: &mut Vec<Marked>) {
        if marked.is_empty() {
            return;
        }
        match self.marked.back_mut().filter(|(last, _)| *last == group) {
            Some((_, records)) => records.append(marked),
            None => self.marked.push_back((group, std::mem::take(marked))),
        }
    }

    /// A group was written, its frame at this place: where its marked records are. What lies too far out has no spot, and memory goes on
    /// holding it.
    pub fn written(&mut self, group: u64, frame: Place) -> Vec<(StowKey, Spot)> {
        let Some((_, marked)) = self.marked.pop_front_if(|(number, _)| *number <= group) else { return Vec::new() };
        marked.iter().filter_map(|marked| marked.spot(frame)).collect()
    }

    /// A segment is dead.
    pub fn retire(&mut self, segment: u64) {
        self.files.remove(&segment);
        self.retiring.push_back(segment);
    }

    /// The next dead segment that nobody reads from, oldest first.
    pub fn next_retired(&mut self) -> Option<u64> {
        let spans = &self.spans;
        self.retiring.pop_front_if(|dead| !spans.iter().any(|(_, span)| span.segment == *dead))
    }

    /// Whether the sweep waits for messages.
    pub fn is_sweeping(&self) -> bool {
        self.is_sweeping
    }

    /// Messages are asked for: what is to be read, or what can be said at once.
    pub fn ask(&mut self, fetch: &Fetch) -> Result<Vec<Read>, Fetched> {
        let wanted = &fetch.wanted;
        let bytes = wanted.iter().map(|wanted| u64::from(wanted.spot.bytes)).sum();
        let messages = wanted.iter().map(|wanted| (wanted.body, None)).collect();
        self.is_sweeping |= fetch.reader == Reader::Sweep;
        let batch = self.batches.insert(Batch { reader: fetch.reader, bytes, messages, reads: 0 });
        let mut reads = Vec::new();
        for span in spans(batch, wanted) {
            let Some(file) = self.files.get(&span.segment) else {
                tracing::error!(segment = span.segment, "messages lie in a segment that is gone: they are lost");
                continue;
            };
            let (file, offset) = (Rc::clone(file), span.position);
            let len = usize::try_from(span.end - span.position).expect("a span fits into memory");
            let ticket = self.spans.insert(span).to_bits();
            reads.push(Read { ticket, file, offset, len });
        }
        self.batches.get_mut(batch).expect("it was just made").reads = reads.len();
        if reads.is_empty() { Err(self.end(batch)) } else { Ok(reads) }
    }

    /// A read is over: what somebody has asked for, if that was the last of it.
    pub fn told(&mut self, brought: Brought) -> Option<Fetched> {
        let span = Key::from_bits(brought.ticket).and_then(|key| self.spans.remove(key));
        let span = span.expect("what was read was asked for");
        let batch = self.batches.get_mut(span.batch).expect("a read belongs to a batch");
        match brought.result {
            Ok(bytes) => {
                for (number, wanted) in &span.wanted {
                    let message = record_of(&bytes, span.position, wanted.spot)
                        .and_then(|record| message_in(record, *wanted, self.id, self.epoch));
                    if message.is_none() {
                        let position = wanted.spot.position;
                        tracing::error!(
                            segment = span.segment,
                            position,
                            "a message of the journal is damaged: it is lost"
                        );
                    }
                    batch.messages[*number].1 = message;
                }
            }
            Err(error) => {
                let (segment, position, messages) = (span.segment, span.position, span.wanted.len());
                tracing::error!(%error, segment, position, messages, "messages of the journal cannot be read: they are lost");
            }
        }
        batch.reads -= 1;
        (batch.reads == 0).then(|| self.end(span.batch))
    }

    fn end(&mut self, batch: Key<Batch>) -> Fetched {
        let Batch { reader, bytes, messages, .. } = self.batches.remove(batch).expect("it is there");
        self.is_sweeping &= reader != Reader::Sweep;
        Fetched { reader, bytes, messages }
    }
}

/// The bytes of a record in a piece of its segment.
fn record_of(piece: &[u8], position: u64, spot: Spot) -> Option<&[u8]> {
    let start = usize::try_from(u64::from(spot.position).checked_sub(position)?).ok()?;
    piece.get(start..)?.get(..usize::try_from(spot.bytes).ok()?)
}

/// What is read together.
fn spans(batch: Key<Batch>, wanted: &[Wanted]) -> Vec<Span> {
    let mut ordered: Vec<(usize, Wanted)> = wanted.iter().copied().enumerate().collect();
    ordered.sort_unstable_by_key(|(_, wanted)| (wanted.spot.segment, wanted.spot.position));
    let mut spans: Vec<Span> = Vec::new();
    for (number, wanted) in ordered {
        let (segment, position) = (u64::from(wanted.spot.segment), u64::from(wanted.spot.position));
        let end = position + u64::from(wanted.spot.bytes);
        let is_near = |last: &&mut Span| {
            last.segment == segment && position <= last.end + GAP_BYTES && end - last.position <= SPAN_BYTES_MAX
        };
        match spans.last_mut().filter(is_near) {
            Some(last) => {
                last.end = last.end.max(end);
                last.wanted.push((number, wanted));
            }
            None => spans.push(Span { batch, segment, position, end, wanted: vec![(number, wanted)] }),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::change::Change;
    use crate::engine::message::SessionId;
    use crate::engine::stowage::Stowage;
    use crate::journal::group::Group;
    use crate::journal::place::SegmentNumber;
    use crate::mqtt::QoS;
    use crate::shell::files::scratch::Scratch;
    use std::fs;
    use std::os::unix::fs::FileExt as _;

    const ID: JournalId = JournalId::new([7; 16]);
    const EPOCH: Epoch = Epoch::new(1_790_000_000_000);
    const PLACE: Place = Place { segment: SegmentNumber::new(3), position: 4096 };

    /// A segment with so many messages in it, and where they lie.
    fn segment(scratch: &Scratch, messages: u64) -> (Fetching, Vec<Wanted>) {
        let key = Stowage::new(0, Seed::new(1)).stow(Serial::new(1), message(1));
        let mut group = Group::new(ID, EPOCH);
        let mut marked: Vec<Marked> = (1..=messages)
            .map(|number| {
                let at = group.next_at();
                let bytes = group.push(Serial::new(number), &Change::Body { message: message(number) });
                Marked { key, record: Serial::new(number), at, bytes }
            })
            .collect();
        let path = scratch.path().join("segment");
        fs::write(&path, [&[0; 4096][..], group.seal(PLACE)].concat()).unwrap();
        let mut fetching = Fetching::new(ID, EPOCH, BTreeMap::new());
        fetching.goes_on_in(3, &Rc::new(File::open(&path).unwrap()));
        fetching.mark(0, &mut marked);
        let spots = fetching.written(0, PLACE).into_iter().map(|(_, spot)| spot);
        (fetching, spots.map(|spot| Wanted { body: spot.record, spot }).collect())
    }

    fn message(number: u64) -> Message {
        let payload = vec![number.to_le_bytes()[0]; 3_000];
        Message::copied("t", &payload, QoS::AtLeastOnce, SessionId::BROKER)
    }

    fn perform(read: &Read) -> Brought {
        let mut bytes = vec![0; read.len];
        read.file.read_exact_at(&mut bytes, read.offset).unwrap();
        Brought { ticket: read.ticket, result: Ok(bytes) }
    }

    fn payloads(fetched: &Fetched) -> Vec<(u64, Option<u8>)> {
        let first = |message: &Option<Message>| message.as_ref().map(|message| message.payload()[0]);
        fetched.messages.iter().map(|(body, message)| (body.get(), first(message))).collect()
    }

    #[test]
    fn neighbours_are_read_together_and_come_in_the_order_that_was_asked_for() {
        let scratch = Scratch::new();
        let (mut fetching, wanted) = segment(&scratch, 40);
        let asked = Fetch { reader: Reader::Sweep, wanted: vec![wanted[30], wanted[2], wanted[0], wanted[1]] };
        let reads = fetching.ask(&asked).unwrap();
        assert_eq!(reads.len(), 2);
        assert!(fetching.is_sweeping());
        assert!(fetching.told(perform(&reads[1])).is_none());
        let fetched = fetching.told(perform(&reads[0])).expect("that was all");
        assert_eq!(payloads(&fetched), [(31, Some(31)), (3, Some(3)), (1, Some(1)), (2, Some(2))]);
        assert!(!fetching.is_sweeping() && fetched.bytes > 12_000);
    }

    #[test]
    fn a_long_row_is_read_in_pieces() {
        let scratch = Scratch::new();
        let (mut fetching, wanted) = segment(&scratch, 200);
        let reads = fetching.ask(&Fetch { reader: Reader::Sweep, wanted }).unwrap();
        assert!(reads.len() >= 3 && reads.iter().all(|read| read.len as u64 <= SPAN_BYTES_MAX));
        let mut fetched: Vec<Fetched> = reads.iter().filter_map(|read| fetching.told(perform(read))).collect();
        assert!(payloads(&fetched.remove(0)).into_iter().all(|(body, byte)| byte == Some(body.to_le_bytes()[0])));
    }

    #[test]
    fn what_is_damaged_or_cannot_be_read_is_lost_alone() {
        let scratch = Scratch::new();
        let (mut fetching, wanted) = segment(&scratch, 40);
        let asked = Fetch { reader: Reader::Sweep, wanted: vec![wanted[0], wanted[1], wanted[20]] };
        let reads = fetching.ask(&asked).unwrap();
        let mut brought = perform(&reads[0]);
        brought.result.as_mut().unwrap()[50] ^= 1;
        assert!(fetching.told(brought).is_none());
        let error = std::io::Error::from_raw_os_error(libc::EIO);
        let fetched = fetching.told(Brought { ticket: reads[1].ticket, result: Err(error) }).unwrap();
        assert_eq!(payloads(&fetched), [(1, None), (2, Some(2)), (21, None)]);
    }

    #[test]
    fn what_is_written_is_read_from_the_file_that_it_was_written_to() {
        let scratch = Scratch::new();
        let (mut fetching, wanted) = segment(&scratch, 3);
        let file = Rc::clone(&fetching.files[&3]);
        let older = scratch.path().join("older");
        fs::write(&older, vec![0; 64 << 10]).unwrap();
        fetching.files.insert(3, Rc::new(File::open(older).unwrap()));
        fetching.goes_on_in(3, &file);
        let reads = fetching.ask(&Fetch { reader: Reader::Sweep, wanted }).unwrap();
        let fetched = fetching.told(perform(&reads[0])).unwrap();
        assert_eq!(payloads(&fetched), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
    }

    #[test]
    fn a_dead_segment_is_given_back_when_nobody_reads_from_it() {
        let scratch = Scratch::new();
        let (mut fetching, wanted) = segment(&scratch, 3);
        let reads = fetching.ask(&Fetch { reader: Reader::Sweep, wanted: wanted.clone() }).unwrap();
        fetching.retire(3);
        assert_eq!(fetching.next_retired(), None);
        assert!(fetching.told(perform(&reads[0])).is_some());
        assert_eq!((fetching.next_retired(), fetching.next_retired()), (Some(3), None));
        let lost = fetching.ask(&Fetch { reader: Reader::Sweep, wanted }).unwrap_err();
        assert_eq!(payloads(&lost), [(1, None), (2, None), (3, None)]);
    }
}
