//! What the journal brings into a turn: writes that are over, promises that may be kept, the next write.

use super::core::Core;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::input::Input;

/// What a sweep notes in one turn, in bytes.
const SWEEP_BYTES: usize = 64 << 10;

impl Core {
    /// Writes are over: what waited for them goes on.
    pub(super) fn journal_told(&mut self, start_ns: u64, now: Time) {
        for written in std::mem::take(&mut self.written) {
            let Some(journal) = &mut self.journal else { continue };
            let (spots, upto) = journal.told(written, start_ns);
            if !spots.is_empty() {
                self.shard.handle(Input::Written { spots: &spots }, now, &mut self.out);
            }
            if let Some(upto) = upto {
                self.shard.handle(Input::Stored { upto }, now, &mut self.out);
                self.promised_since_ns = start_ns;
                self.keep_promises(upto);
            }
        }
    }

    /// Messages have come from the journal that the shard has asked for.
    pub(super) fn messages_brought(&mut self, now: Time) {
        for brought in std::mem::take(&mut self.brought) {
            let fetched = self.journal.as_mut().and_then(|journal| journal.brought(brought));
            if let Some(fetched) = fetched {
                self.shard.handle(Input::Fetched(fetched), now, &mut self.out);
            }
        }
    }

    /// What the shard has asked for is read. It may ask for more when it hears that something is lost.
    pub(super) fn fetch_messages(&mut self, now: Time) {
        while let Some(fetch) = self.out.fetches.pop() {
            let Some(journal) = &mut self.journal else { continue };
            match journal.fetch(&fetch) {
                Ok(reads) => {
                    self.stats.journal_reads += reads.len() as u64;
                    for read in reads {
                        self.net.read_file(read);
                    }
                }
                Err(lost) => self.shard.handle(Input::Fetched(lost), now, &mut self.out),
            }
        }
    }

    /// Whether bytes wait for a change to be safe.
    pub(super) fn has_promised(&self) -> bool {
        !self.promised.is_empty() || !self.promised_wide.is_empty()
    }

    /// Bytes that waited for these changes leave: what goes to few at once, what goes to many as any of its kind.
    pub(super) fn keep_promises(&mut self, upto: Serial) {
        while let Some((_, key)) = self.promised.pop_front_if(|(change, _)| *change <= upto) {
            if let Some(line) = self.lines.get_mut(key) {
                line.keep_promises(upto);
                if !line.is_late() {
                    self.send_outbox(key);
                }
            }
        }
        let clock = self.clock;
        while let Some((_, key)) = self.promised_wide.pop_front_if(|(change, _)| *change <= upto) {
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.keep_promises(upto);
            if line.is_late() || line.sendable() == 0 {
                continue;
            }
            if self.allowance.takes_new(|| clock.now_ns()) {
                self.send_outbox(key);
            } else {
                self.late.put(line);
            }
        }
        let closed = &mut self.closed;
        self.leavers.keep_promises(upto, &mut self.net, |line| closed.push(line.into_parts().fd));
    }

    /// The shard hears when its journal has room for more than before, or for less.
    pub(super) fn tell_room(&mut self, now: Time) {
        let Some(journal) = &mut self.journal else { return };
        if let Some(room) = journal.look(self.shard.held()) {
            self.shard.handle(Input::Journal { room }, now, &mut self.out);
        }
    }

    /// The shard notes again a part of what it holds, if its log is too large and the disk has time.
    pub(super) fn go_on_sweeping(&mut self, now: Time) {
        let Some(journal) = self.journal.as_mut().filter(|_| self.stop_at_ns.is_none()) else { return };
        let held = self.shard.held();
        let now_ns = self.clock.now_ns();
        if !journal.wants_sweep(held, now_ns) {
            return;
        }
        self.shard.handle(Input::Sweep { bytes: SWEEP_BYTES }, now, &mut self.out);
        let began = self.out.swept.take();
        journal.take_swept(&mut self.out.changes, &mut self.out.stowed, began, held, now_ns);
        self.fetch_messages(now);
        self.stats.sweep_pieces += 1;
    }

    /// The next group goes on its way, if none is.
    pub(super) fn go_on_writing(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        if let Some(write) = journal.next_write(self.clock.now_ns()) {
            self.stats.journal_writes += 1;
            self.net.write(write);
        }
    }
}
