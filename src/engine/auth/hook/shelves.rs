//! What a hook has said, sorted so that a flood of one kind of answers drives no other kind out.

use super::Said;
use super::digest::{Digest, Topic};
use super::shelf::Shelf;
use crate::base::time::Time;
use crate::engine::limits::{HOOK_ANSWERS_BYTES_MAX, HOOK_ANSWERS_MAX};

/// All that is remembered. An answer lies on one shelf at most.
#[derive(Debug)]
pub struct Shelves {
    clients: Pair,
    actions: Pair,
}

/// The answers to one kind of questions. No flood of strangers drives out whom everybody knows.
#[derive(Debug)]
struct Pair {
    good: Shelf<Said>,
    bad: Shelf<Said>,
}

impl Shelves {
    /// Nothing is remembered yet.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { clients: Pair::new(count_max, bytes_max), actions: Pair::new(count_max, bytes_max) }
    }

    /// The answer, if it is remembered and its time is not over.
    pub fn get(&self, topic: Topic, question: &Digest, now: Time) -> Option<&Said> {
        let pair = match topic {
            Topic::Client => &self.clients,
            Topic::Action => &self.actions,
        };
        pair.good.get(question, now).or_else(|| pair.bad.get(question, now))
    }

    /// Remembers an answer in the place of the one before, whatever that has said.
    pub fn keep(&mut self, topic: Topic, question: Digest, said: &Said, until: Time, now: Time) {
        let pair = match topic {
            Topic::Client => &mut self.clients,
            Topic::Action => &mut self.actions,
        };
        let (place, other) =
            if said.is_good() { (&mut pair.good, &mut pair.bad) } else { (&mut pair.bad, &mut pair.good) };
        other.forget(&question);
        place.keep(question, said.clone(), said.bytes(), until, now);
    }
}

impl Default for Shelves {
    fn default() -> Self {
        Self::new(HOOK_ANSWERS_MAX, HOOK_ANSWERS_BYTES_MAX)
    }
}

impl Pair {
    fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { good: Shelf::new(count_max, bytes_max), bad: Shelf::new(count_max, bytes_max) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Admission, ClientAnswer};
    use super::super::digest::{Digester, SECRET_BYTES};
    use super::*;

    fn digest(topic: Topic, text: &str) -> Digest {
        Digester::new(&[1; SECRET_BYTES]).digest(topic, text.as_bytes())
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn threat_5_the_newer_answer_counts_whatever_the_older_one_was() {
        let mut shelves = Shelves::new(10, 1_000);
        let question = digest(Topic::Action, "a");
        for (said, until) in [(Said::Granted, 1_000), (Said::Refused, 100), (Said::Granted, 50), (Said::Refused, 0)] {
            shelves.keep(Topic::Action, question, &said, at(until), at(0));
            let expected = (until > 0).then_some(&said);
            assert_eq!(shelves.get(Topic::Action, &question, at(0)), expected, "{said:?}");
            assert_eq!(shelves.get(Topic::Action, &question, at(until)), None, "{said:?}");
        }
    }

    #[test]
    fn threat_10_what_clients_may_do_and_strangers_drive_out_nobody_who_is_known() {
        let mut shelves = Shelves::new(3, 1_000);
        let known = digest(Topic::Client, "known");
        let said = Said::of_client(ClientAnswer::Allow(Admission::default()), Some("alice"));
        shelves.keep(Topic::Client, known, &said, at(100), at(0));
        for number in 0..10 {
            let text = number.to_string();
            shelves.keep(Topic::Client, digest(Topic::Client, &text), &Said::Refused, at(100), at(0));
            for said in [Said::Granted, Said::Refused] {
                shelves.keep(Topic::Action, digest(Topic::Action, &text), &said, at(100), at(0));
            }
        }
        assert_eq!(shelves.get(Topic::Client, &known, at(1)), Some(&said));
    }
}
