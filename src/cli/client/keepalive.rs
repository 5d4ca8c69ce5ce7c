//! When silence must end: a ping after so many seconds of it, and the end of the connection where none is answered.

use crate::base::time::Time;

/// The silence of both sides. Pure: the time comes in.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    interval_ms: u64,
    sent: Time,
    heard: Time,
    pinged: Option<Time>,
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urge {
    /// Patience.
    Nothing,
    /// A ping.
    Ping,
    /// The end: a ping was not answered.
    GiveUp,
}

impl KeepAlive {
    /// Both sides have just been heard. An interval of 0 seconds knows no silence.
    pub const fn new(seconds: u16, now: Time) -> Self {
        Self { interval_ms: seconds as u64 * 1_000, sent: now, heard: now, pinged: None }
    }

    /// We have sent something.
    pub const fn note_sent(&mut self, now: Time) {
        self.sent = now;
    }

    /// The broker has: it is alive.
    pub const fn note_heard(&mut self, now: Time) {
        self.heard = now;
        self.pinged = None;
    }

    /// When the next urge comes, if nothing happens.
    pub fn deadline(&self) -> Time {
        if self.interval_ms == 0 {
            return Time::NEVER;
        }
        self.pinged.unwrap_or(self.sent.min(self.heard)).after_ms(self.interval_ms)
    }

    /// What to do now; a ping is taken for sent.
    pub fn urge(&mut self, now: Time) -> Urge {
        if !now.has_passed(self.deadline()) {
            return Urge::Nothing;
        }
        if self.pinged.is_some() {
            return Urge::GiveUp;
        }
        self.pinged = Some(now);
        Urge::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn silence_of_either_side_asks_for_a_ping() {
        let mut keep_alive = KeepAlive::new(10, at(0));
        keep_alive.note_heard(at(8));
        assert_eq!((keep_alive.urge(at(9)), keep_alive.urge(at(10))), (Urge::Nothing, Urge::Ping));

        let mut keep_alive = KeepAlive::new(10, at(0));
        keep_alive.note_sent(at(8));
        assert_eq!((keep_alive.urge(at(9)), keep_alive.urge(at(10))), (Urge::Nothing, Urge::Ping));
    }

    #[test]
    fn a_ping_that_nobody_answers_is_the_end() {
        let mut keep_alive = KeepAlive::new(10, at(0));
        assert_eq!(keep_alive.urge(at(10)), Urge::Ping);
        keep_alive.note_sent(at(10));
        assert_eq!((keep_alive.urge(at(19)), keep_alive.urge(at(20))), (Urge::Nothing, Urge::GiveUp));
    }

    #[test]
    fn an_answer_buys_another_interval() {
        let mut keep_alive = KeepAlive::new(10, at(0));
        assert_eq!(keep_alive.urge(at(10)), Urge::Ping);
        keep_alive.note_sent(at(10));
        keep_alive.note_heard(at(11));
        assert_eq!(keep_alive.deadline(), at(20));
    }

    #[test]
    fn an_interval_of_zero_knows_no_silence() {
        let mut keep_alive = KeepAlive::new(0, at(0));
        assert_eq!((keep_alive.deadline(), keep_alive.urge(at(1_000_000))), (Time::NEVER, Urge::Nothing));
    }
}
