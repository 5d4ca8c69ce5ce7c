//! A turn's pieces, gathered by connection, so that each one gets its bytes by one vectored send.

use std::io::{self, IoSlice};

use socket2::SockRef;

use super::lines::{Line, Lines, NONE, Outbox, PIECES_PER_SEND_MAX, SEALED_BYTES_MAX, send_all};
use super::report::ShellStats;
use crate::base::payload::Payload;
use crate::engine::change::Serial;
use crate::engine::connection::ConnectionKey;
use crate::engine::output::{Outputs, Recipient};

/// Heads up to this size are copied behind each other, so that they make one slice together.
const COPIED_HEAD_BYTES_MAX: usize = 1024;
/// Heads above this size become shared bytes when more than one receiver cannot take them at once.
const SHARED_HEAD_BYTES_MIN: usize = 512;

/// One piece for one connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    piece: u32,
    recipient: Recipient,
    next: u32,
}

/// Where the bytes of a slice lie.
#[derive(Clone, Copy, Debug)]
enum Slice {
    Scratch { start: usize, end: usize },
    Head(u32),
    Body(u32),
}

/// One per shard, emptied each turn; its memory is kept.
#[derive(Debug, Default)]
pub struct Gather {
    entries: Vec<Entry>,
    /// Connections that get something this turn. One may stand here twice, if what it got first was for many.
    dirty: Vec<ConnectionKey>,
    /// Those of which that is only what many get.
    wide: Vec<ConnectionKey>,
    scratch: Vec<u8>,
    /// What the layers of a line have made of the scratch.
    wire: Vec<u8>,
    slices: Vec<Slice>,
    /// Heads that became shared bytes this turn, by piece.
    shared: Vec<Option<Payload>>,
}

/// What became of a line's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has them all.
    All,
    /// Some wait in the outbox.
    Partly,
    /// All wait in the outbox, for a later turn.
    Late,
    /// Some wait in the outbox until a change is safe, and only what many get.
    Promised,
    /// The connection is broken.
    Broken,
}

impl Gather {
    /// Sorts the pieces by connection.
    pub fn collect(&mut self, out: &Outputs, lines: &mut Lines, stats: &mut ShellStats) {
        debug_assert!(self.entries.is_empty() && self.dirty.is_empty(), "the last turn was flushed");
        for (number, piece) in out.pieces().enumerate() {
            let mut heard = 0;
            let number = u32::try_from(number).expect("a turn has fewer than 2^32 pieces");
            for recipient in piece.recipients {
                let line = lines.get_mut(recipient.connection).filter(|line| !line.state.is_shut);
                let Some(line) = line else { continue }; // nobody hears it
                heard += 1;
                let place = u32::try_from(self.entries.len()).expect("a turn has fewer than 2^32 copies");
                self.entries.push(Entry { piece: number, recipient: *recipient, next: NONE });
                if line.first == NONE {
                    line.first = place;
                    if piece.is_wide { &mut self.wide } else { &mut self.dirty }.push(line.key);
                } else {
                    let last = &mut self.entries[line.last as usize];
                    last.next = place;
                    if !piece.is_wide && out.piece(last.piece as usize).is_wide {
                        self.dirty.push(line.key);
                    }
                }
                line.last = place;
            }
            let kind = usize::from(piece.first_byte().unwrap_or(0) >> 4);
            stats.packets_sent[kind] += heard * u64::from(piece.packets);
            stats.packet_bytes_sent[kind] += heard * piece.len_for_one() as u64;
        }
        self.shared.resize(out.piece_count(), None);
    }

    /// Sends to everybody who gets something, and says for each what became of it. Who gets only what many get comes last, and while there is time.
    pub fn flush(
        &mut self,
        out: &Outputs,
        lines: &mut Lines,
        stats: &mut ShellStats,
        mut has_time: impl FnMut() -> bool,
        mut told: impl FnMut(&mut Line, Sent),
    ) {
        let (dirty, wide) = (std::mem::take(&mut self.dirty), std::mem::take(&mut self.wide));
        for (number, key) in dirty.iter().chain(&wide).enumerate() {
            let Some(line) = lines.get_mut(*key).filter(|line| line.first != NONE) else { continue };
            let is_wide = number >= dirty.len();
            let sent = if line.is_late() {
                self.put_behind(out, line);
                Sent::Late
            } else if line.backlog() > 0 {
                self.put_behind(out, line);
                Sent::Partly
            } else if out.has_promises() && self.promises(out, line.first) {
                self.put_behind(out, line);
                if is_wide && line.sendable() > 0 && !has_time() {
                    Sent::Late
                } else {
                    let sent = send_safe(line, stats);
                    if is_wide && sent == Sent::Partly { Sent::Promised } else { sent }
                }
            } else if is_wide && !has_time() {
                self.put_behind(out, line);
                Sent::Late
            } else if line.layers().is_some() {
                self.seal_line(out, line, stats)
            } else {
                self.send_line(out, line, stats)
            };
            (line.first, line.last) = (NONE, NONE);
            told(line, sent);
        }
        (self.dirty, self.wide) = (dirty, wide);
        self.clear();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.dirty.clear();
        self.wide.clear();
        self.shared.clear();
    }

    /// Whether some piece of a line waits for a change to be safe.
    fn promises(&self, out: &Outputs, mut at: u32) -> bool {
        while at != NONE {
            let entry = self.entries[at as usize];
            if out.piece(entry.piece as usize).promises > Serial::NONE {
                return true;
            }
            at = entry.next;
        }
        false
    }

    /// Everything goes behind what waits already.
    fn put_behind(&mut self, out: &Outputs, line: &mut Line) {
        let mut at = line.first;
        let outbox = line.outbox.get_or_insert_default();
        while at != NONE {
            let entry = self.entries[at as usize];
            self.keep(out, entry, outbox);
            at = entry.next;
        }
    }

    fn keep(&mut self, out: &Outputs, entry: Entry, outbox: &mut Outbox) {
        let piece = out.piece(entry.piece as usize);
        outbox.promise(piece.promises);
        if piece.recipients.len() > 1 && piece.packet_id_at.is_none() && piece.head.len() >= SHARED_HEAD_BYTES_MIN {
            let shared = &mut self.shared[entry.piece as usize];
            outbox.push_shared(shared.get_or_insert_with(|| Payload::copy_of(piece.head)), 0);
        } else if piece.packet_id_at.is_none() {
            outbox.push(piece.head);
        } else {
            self.scratch.clear();
            piece.write_head_for(entry.recipient, &mut self.scratch);
            outbox.push(&self.scratch);
        }
        if let Some(body) = piece.body {
            outbox.push_shared(body, 0);
        }
    }

    fn send_line(&mut self, out: &Outputs, line: &mut Line, stats: &mut ShellStats) -> Sent {
        let first = self.entries[line.first as usize];
        let piece = out.piece(first.piece as usize);
        let sent = if first.next == NONE && piece.body.is_none() && piece.packet_id_at.is_none() {
            stats.sends += 1;
            send_all(&line.socket(), &[IoSlice::new(piece.head)]).map(|sent| (sent, piece.head.len()))
        } else {
            self.lay_out(out, line.first);
            self.send_slices(out, &line.socket(), stats)
        };
        let taken = match sent {
            Ok((sent, offered)) if sent == offered => {
                stats.sent_bytes += sent as u64;
                return Sent::All;
            }
            Ok((sent, _)) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Sent::Broken, // the engine learns of it as of any lost connection
        };
        stats.sent_bytes += taken as u64;
        stats.short_sends += 1;
        self.keep_rest(out, line, taken);
        Sent::Partly
    }

    /// The same for a line with layers: all its pieces are sealed together. Many bytes are sealed bit by bit, as the kernel takes them.
    fn seal_line(&mut self, out: &Outputs, line: &mut Line, stats: &mut ShellStats) -> Sent {
        self.scratch.clear();
        let mut at = line.first;
        while at != NONE {
            let entry = self.entries[at as usize];
            let piece = out.piece(entry.piece as usize);
            let body = piece.body.map_or(&[][..], |body| body);
            if self.scratch.len() + piece.head.len() + body.len() > SEALED_BYTES_MAX {
                self.put_behind(out, line);
                return send_safe(line, stats);
            }
            piece.write_head_for(entry.recipient, &mut self.scratch);
            self.scratch.extend_from_slice(body);
            at = entry.next;
        }
        self.wire.clear();
        let layers = line.layers().expect("the caller has seen them");
        if layers.seal(&self.scratch, &mut self.wire).is_err() {
            return Sent::Broken;
        }
        stats.sends += 1;
        match line.send_wire(&self.wire) {
            Ok(sent) => {
                stats.sent_bytes += sent as u64;
                if sent == self.wire.len() {
                    return Sent::All;
                }
                stats.short_sends += 1;
                Sent::Partly
            }
            Err(_) => Sent::Broken,
        }
    }

    /// The slices of one line: small heads behind each other in the scratch, large ones and bodies where they lie.
    fn lay_out(&mut self, out: &Outputs, mut at: u32) {
        self.scratch.clear();
        self.slices.clear();
        while at != NONE {
            let entry = self.entries[at as usize];
            let piece = out.piece(entry.piece as usize);
            if piece.packet_id_at.is_none() && piece.head.len() > COPIED_HEAD_BYTES_MAX {
                self.slices.push(Slice::Head(entry.piece));
            } else {
                let start = self.scratch.len();
                piece.write_head_for(entry.recipient, &mut self.scratch);
                let end = self.scratch.len();
                match self.slices.last_mut() {
                    Some(Slice::Scratch { end: last, .. }) if *last == start => *last = end,
                    _ => self.slices.push(Slice::Scratch { start, end }),
                }
            }
            if piece.body.is_some() {
                self.slices.push(Slice::Body(entry.piece));
            }
            at = entry.next;
        }
    }

    /// Sends the slices; how many bytes the kernel took, and how many there were.
    fn send_slices(&self, out: &Outputs, socket: &SockRef<'_>, stats: &mut ShellStats) -> io::Result<(usize, usize)> {
        let total: usize = self.slices.iter().map(|slice| self.bytes_of(out, *slice).len()).sum();
        let mut sent = 0;
        for part in self.slices.chunks(PIECES_PER_SEND_MAX) {
            let mut slices = [IoSlice::new(&[]); PIECES_PER_SEND_MAX];
            for (place, slice) in slices.iter_mut().zip(part) {
                *place = IoSlice::new(self.bytes_of(out, *slice));
            }
            let offered: usize = slices[..part.len()].iter().map(|slice| slice.len()).sum();
            stats.sends += 1;
            match send_all(socket, &slices[..part.len()]) {
                Ok(count) => {
                    sent += count;
                    if count < offered {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok((sent, total))
    }

    fn bytes_of<'a>(&'a self, out: &'a Outputs, slice: Slice) -> &'a [u8] {
        match slice {
            Slice::Scratch { start, end } => &self.scratch[start..end],
            Slice::Head(piece) => out.piece(piece as usize).head,
            Slice::Body(piece) => out.piece(piece as usize).body.map_or(&[], |body| body),
        }
    }

    /// What the kernel did not take goes to the outbox.
    fn keep_rest(&mut self, out: &Outputs, line: &mut Line, taken: usize) {
        let mut whole = Outbox::default();
        let mut at = line.first;
        let mut skipped = 0;
        while at != NONE {
            let entry = self.entries[at as usize];
            let piece = out.piece(entry.piece as usize);
            let length = piece.head.len() + piece.body.map_or(0, |body| body.len());
            // Once a piece is kept, all behind it are: a small one may still fit into what was taken of a large one.
            if !whole.is_empty() || skipped + length > taken {
                let before = whole.len();
                self.keep(out, entry, &mut whole);
                debug_assert_eq!(whole.len(), before + length, "a piece is kept whole");
            } else {
                skipped += length;
            }
            at = entry.next;
        }
        whole.skip(taken - skipped);
        line.outbox = Some(Box::new(whole));
    }
}

/// Sends what stands before the first promise.
fn send_safe(line: &mut Line, stats: &mut ShellStats) -> Sent {
    let before = line.backlog();
    if line.sendable() > 0 {
        stats.sends += 1;
        if line.send_outbox().is_err() {
            return Sent::Broken;
        }
    }
    stats.sent_bytes += (before - line.backlog()) as u64;
    Sent::Partly
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::base::random::Random;
    use crate::mqtt::PacketId;
    use crate::mqtt::outgoing::Head;

    struct Peer {
        key: ConnectionKey,
        stream: UnixStream,
        expected: Vec<u8>,
        heard: Vec<u8>,
    }

    fn peer(index: u64, lines: &mut Lines) -> Peer {
        let key = ConnectionKey::from_bits((1 << 32) + index).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        SockRef::from(&ours).set_send_buffer_size(4_096).unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        lines.insert(Line::new(key, OwnedFd::from(ours)));
        Peer { key, stream: theirs, expected: Vec::new(), heard: Vec::new() }
    }

    /// Some pieces for some peers; each peer notes what it must hear.
    fn wish(random: &mut Random, peers: &mut [Peer], out: &mut Outputs) {
        for _ in 0..random.below(12) {
            let length = [3, 40, 700, 1_500, 9_000][random.index(5)];
            let bytes: Vec<u8> = (0..length).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
            let body = random.chance(1, 3).then(|| Payload::from(bytes.iter().rev().copied().collect::<Vec<u8>>()));
            let has_id = random.chance(1, 2);
            let draft = out.draft(body, |head| {
                head.extend_from_slice(&bytes);
                let len = u32::try_from(head.len()).unwrap();
                Some(Head { packet_id_at: has_id.then_some(1), len })
            });
            let mut chosen = Vec::new();
            for peer in &*peers {
                if random.chance(2, 3) {
                    let packet_id = PacketId::new(u16::try_from(1 + random.below(60_000)).unwrap());
                    chosen.push(Recipient { connection: peer.key, packet_id });
                }
            }
            out.send(draft, &chosen);
        }
        for piece in out.pieces() {
            for recipient in piece.recipients {
                let peer = peers.iter_mut().find(|peer| peer.key == recipient.connection).unwrap();
                piece.write_for(*recipient, &mut peer.expected);
            }
        }
    }

    #[test]
    fn everybody_hears_everything_in_order_however_little_the_kernel_takes() {
        for seed in 0..200 {
            let mut random = Random::from_seed(seed);
            let (mut lines, mut gather, mut stats) = (Lines::default(), Gather::default(), ShellStats::default());
            let mut peers: Vec<Peer> = (0..3).map(|index| peer(index, &mut lines)).collect();
            let mut out = Outputs::new(1);
            for _ in 0..30 {
                out.clear();
                wish(&mut random, &mut peers, &mut out);
                gather.collect(&out, &mut lines, &mut stats);
                gather.flush(&out, &mut lines, &mut stats, || true, |_, sent| assert_ne!(sent, Sent::Broken));
                for peer in &mut peers {
                    if random.chance(1, 2) {
                        let mut buffer = vec![0; random.index(20_000) + 1];
                        if let Ok(count) = peer.stream.read(&mut buffer) {
                            peer.heard.extend_from_slice(&buffer[..count]);
                        }
                        lines.get_mut(peer.key).unwrap().send_outbox().unwrap();
                    }
                }
            }
            for peer in &mut peers {
                while peer.heard.len() < peer.expected.len() {
                    let mut buffer = vec![0; 64 * 1024];
                    if let Ok(count) = peer.stream.read(&mut buffer) {
                        peer.heard.extend_from_slice(&buffer[..count]);
                    }
                    lines.get_mut(peer.key).unwrap().send_outbox().unwrap();
                }
                assert!(peer.heard == peer.expected, "seed {seed}: all bytes arrive in order");
            }
        }
    }

    #[test]
    fn who_gets_something_from_few_is_sent_first_and_the_others_while_there_is_time() {
        let (mut lines, mut gather, mut stats) = (Lines::default(), Gather::default(), ShellStats::default());
        let peers: Vec<Peer> = (0..5).map(|index| peer(index, &mut lines)).collect();
        let to = |index: usize| Recipient { connection: peers[index].key, packet_id: None };
        let mut out = Outputs::new(1);
        let say = |out: &mut Outputs, byte: u8, recipients: &[Recipient]| {
            let draft = out.draft(None, |head| {
                head.extend_from_slice(&[byte; 3]);
                None
            });
            out.send(draft, recipients);
        };
        out.widely(true, |out| say(out, b'w', &[to(0), to(1), to(2), to(3)]));
        say(&mut out, b'n', &[to(4), to(2)]); // who gets both, gets both first
        let mut flush = |out: &Outputs, time: usize| {
            let (mut left, mut seen) = (time, Vec::new());
            let has_time = || {
                left = left.saturating_sub(1);
                left > 0
            };
            gather.collect(out, &mut lines, &mut stats);
            gather.flush(out, &mut lines, &mut stats, has_time, |line, sent| {
                if sent == Sent::Late {
                    line.make_late();
                }
                seen.push((line.key.index(), sent));
            });
            seen
        };
        let seen = flush(&out, 2);
        assert_eq!(seen, [(4, Sent::All), (2, Sent::All), (0, Sent::All), (1, Sent::Late), (3, Sent::Late)]);
        out.clear();
        say(&mut out, b'x', &[to(3), to(0)]);
        assert_eq!(
            flush(&out, 0),
            [(3, Sent::Late), (0, Sent::All)],
            "what comes for a late one waits behind the rest"
        );
        assert_eq!([0, 1, 3].map(|index| lines.get_mut(peers[index].key).unwrap().backlog()), [0, 3, 6]);
        let mut heard = [0; 16];
        let count = (&peers[2].stream).read(&mut heard).unwrap();
        assert_eq!(&heard[..count], b"wwwnnn", "in their order");
    }

    #[test]
    fn what_nobody_hears_is_not_counted_as_sent() {
        let (mut lines, mut gather, mut stats) = (Lines::default(), Gather::default(), ShellStats::default());
        let peers: Vec<Peer> = (0..3).map(|index| peer(index, &mut lines)).collect();
        lines.get_mut(peers[1].key).unwrap().state.is_shut = true;
        lines.remove(peers[2].key);
        let mut out = Outputs::new(1);
        let draft = out.draft(None, |head| {
            head.extend_from_slice(b"\x30\x04\0\x01ab");
            Some(Head { packet_id_at: None, len: 6 })
        });
        let recipients: Vec<Recipient> =
            peers.iter().map(|peer| Recipient { connection: peer.key, packet_id: None }).collect();
        out.send(draft, &recipients);
        gather.collect(&out, &mut lines, &mut stats);
        let mut told = Vec::new();
        gather.flush(&out, &mut lines, &mut stats, || true, |line, sent| told.push((line.key, sent)));
        assert_eq!(told, [(peers[0].key, Sent::All)]);
        assert_eq!((stats.packets_sent[3], stats.packet_bytes_sent[3], stats.sent_bytes), (1, 6, 6));
    }
}
