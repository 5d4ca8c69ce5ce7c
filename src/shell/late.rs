//! Lines that wait for their turn to be sent, for what goes to many at once leaves bit by bit.
//!
//! A message to thousands is thousands of calls to send, and whoever speaks to one other would wait for all of them. So lines that get
//! something from few are sent first and all of them. For the others there is time in each turn; what it does not suffice for waits here, and
//! what comes for such a line meanwhile leaves with it, by the same call.

use std::collections::VecDeque;

use super::lines::Line;
use crate::engine::connection::ConnectionKey;

/// Bytes that may wait so on a shard. Above, messages to many wait in the engine, and their publishers are not read; below half of it they go on.
const BYTES_MAX: usize = 8 << 20;
/// Lines that are sent between two looks at the clock.
const LINES_PER_LOOK: usize = 8;
/// The part of its time that a turn sends for where the shard has put something off: more may come of that for the same lines, and the longer they
/// wait the more leaves by one call.
const BEHIND_PART: u64 = 4;

/// The lines of one shard that wait so.
#[derive(Debug, Default)]
pub struct Late {
    /// In the order in which they came. Some are gone, or were sent as something else came between.
    keys: VecDeque<ConnectionKey>,
    /// What was counted of them.
    bytes: usize,
    /// The engine knows that no more may wait.
    is_full: bool,
}

/// How long a turn may send lines that can wait: one time, however often it sends. Those that waited when it began have all of it. A line of waiting
/// ones that forms in a turn has used it up, and is sent from the next one on.
#[derive(Debug, Default)]
pub struct Allowance {
    time_ns: u64,
    /// Some waited when the turn began.
    has_line: bool,
    /// None before the first is sent.
    until_ns: Option<u64>,
    lines: usize,
    is_over: bool,
}

impl Allowance {
    /// A turn begins that has so much time for them, or a part of it where the shard is behind with its work.
    pub fn new(time_ns: u64, is_behind: bool, has_line: bool) -> Self {
        let time_ns = if is_behind { time_ns / BEHIND_PART } else { time_ns };
        Self { time_ns, has_line, ..Self::default() }
    }

    /// Whether one more line is sent that has not waited: none is while others wait.
    pub fn takes_new(&mut self, now_ns: impl FnOnce() -> u64) -> bool {
        !self.has_line && self.take(now_ns)
    }

    /// Whether one more is sent that has.
    pub fn takes_waiting(&mut self, now_ns: impl FnOnce() -> u64) -> bool {
        self.has_line && self.take(now_ns)
    }

    /// Some are, whatever the time.
    fn take(&mut self, now_ns: impl FnOnce() -> u64) -> bool {
        if self.is_over {
            return false;
        }
        self.lines += 1;
        if self.until_ns.is_none() || self.lines.is_multiple_of(LINES_PER_LOOK) {
            let now_ns = now_ns();
            let until_ns = *self.until_ns.get_or_insert(now_ns + self.time_ns);
            self.is_over = self.lines.is_multiple_of(LINES_PER_LOOK) && now_ns >= until_ns;
        }
        !self.is_over
    }
}

impl Late {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many wait at most, and how many bytes.
    pub fn len(&self) -> (u64, u64) {
        (self.keys.len() as u64, self.bytes as u64)
    }

    /// A line waits, with all that its outbox has; or it does already, and there is more.
    pub fn put(&mut self, line: &mut Line) {
        let (is_new, bytes) = line.make_late();
        if is_new {
            self.keys.push_back(line.key);
        }
        self.bytes += bytes;
    }

    /// The line that is to be sent next, or was.
    pub fn pop(&mut self) -> Option<ConnectionKey> {
        self.keys.pop_front()
    }

    /// A line does not wait any more.
    pub fn forget(&mut self, line: &mut Line) {
        self.bytes -= line.forget_late();
    }

    /// Whether more may wait, where that has changed since the last question.
    pub fn room(&mut self) -> Option<bool> {
        let has_changed = if self.is_full { self.bytes < BYTES_MAX / 2 } else { self.bytes > BYTES_MAX };
        has_changed.then(|| {
            self.is_full = !self.is_full;
            !self.is_full
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn line(index: u64) -> Line {
        let (ours, _) = UnixStream::pair().unwrap();
        Line::new(ConnectionKey::from_bits(1 << 32 | index).unwrap(), OwnedFd::from(ours))
    }

    fn wait(late: &mut Late, line: &mut Line, bytes: usize) {
        line.outbox.get_or_insert_default().push(&vec![0; bytes]);
        late.put(line);
    }

    #[test]
    fn a_line_waits_once_and_its_bytes_count_until_it_leaves() {
        let mut late = Late::default();
        let (mut a, mut b) = (line(0), line(1));
        wait(&mut late, &mut a, 10);
        wait(&mut late, &mut b, 1);
        wait(&mut late, &mut a, 5);
        assert_eq!(late.len(), (2, 16));
        assert_eq!(late.pop(), Some(a.key), "who came first is sent first");
        late.forget(&mut a);
        late.forget(&mut a);
        assert_eq!(late.len(), (1, 1));
        wait(&mut late, &mut a, 4);
        assert_eq!(late.len(), (2, 20), "what the kernel did not take counts if it has to wait again");
        assert_eq!([late.pop(), late.pop(), late.pop()], [Some(b.key), Some(a.key), None]);
    }

    #[test]
    fn threat_1_above_the_bound_there_is_no_room_until_half_of_it_is_free() {
        let mut late = Late::default();
        let mut lines: Vec<Line> = (0..4).map(line).collect();
        for line in &mut lines {
            wait(&mut late, line, BYTES_MAX / 4);
        }
        assert_eq!(late.room(), None, "as much as may wait");
        wait(&mut late, &mut lines[0], 1);
        assert_eq!([late.room(), late.room()], [Some(false), None], "it is said once");
        late.forget(&mut lines[0]);
        late.forget(&mut lines[1]);
        assert_eq!(late.room(), None);
        late.forget(&mut lines[2]);
        assert_eq!([late.room(), late.room()], [Some(true), None]);
    }

    #[test]
    fn some_lines_are_sent_whatever_the_time_and_none_once_it_is_over() {
        let mut allowance = Allowance::new(100, false, false);
        let before: usize = (0..100).filter(|_| allowance.takes_new(|| 50)).count();
        assert_eq!(before, 100, "time begins with the first");
        let behind: usize = (0..100).filter(|_| allowance.takes_new(|| 150)).count();
        assert!(behind < LINES_PER_LOOK, "{behind}");
        assert!(!allowance.takes_new(|| 0), "in this turn none is");
        let mut allowance = Allowance::new(0, false, false);
        assert_eq!((0..100).filter(|_| allowance.takes_new(|| 100)).count(), LINES_PER_LOOK - 1);
        let taken = |is_behind| {
            let (mut allowance, mut now_ns) = (Allowance::new(1_000, is_behind, false), 0);
            let mut look = || {
                now_ns += 50;
                allowance.takes_new(|| now_ns)
            };
            (0..1_000).filter(|_| look()).count()
        };
        let (all, part) = (taken(false), taken(true));
        assert!(part * 3 < all, "{part} of {all} where the shard is behind");
    }

    #[test]
    fn who_waited_when_a_turn_began_has_all_of_its_time_and_who_begins_to_wait_in_it_none() {
        let taken = |has_line| {
            let mut allowance = Allowance::new(0, false, has_line);
            let new = (0..100).filter(|_| allowance.takes_new(|| 0)).count();
            (new, (0..100).filter(|_| allowance.takes_waiting(|| 0)).count())
        };
        assert_eq!(taken(false), (LINES_PER_LOOK - 1, 0));
        assert_eq!(taken(true), (0, LINES_PER_LOOK - 1));
    }
}
