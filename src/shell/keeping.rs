//! What the journal brings into a turn: writes that are over, promises that may be kept, the next write.

use super::core::Core;
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::input::Input;

impl Core {
    /// Writes are over: what waited for them goes on.
    pub(super) fn journal_told(&mut self, start_ns: u64, now: Time) {
        for written in std::mem::take(&mut self.written) {
            let Some(journal) = &mut self.journal else { continue };
            if let Some(upto) = journal.told(written, start_ns) {
                self.shard.handle(Input::Stored { upto }, now, &mut self.out);
                self.keep_promises(upto);
            }
        }
    }

    /// Bytes that waited for these changes leave.
    fn keep_promises(&mut self, upto: Serial) {
        while let Some((_, key)) = self.promised.pop_front_if(|(change, _)| *change <= upto) {
            if let Some(line) = self.lines.get_mut(key) {
                line.keep_promises(upto);
                self.send_outbox(key);
            }
        }
        let closed = &mut self.closed;
        self.leavers.keep_promises(upto, &mut self.net, |line| closed.push(line.into_parts().0));
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
