//! Whose retained messages are, where somebody has to know: each topic's user, and what each user is charged here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::hash::{Map, Seed, map};
use crate::engine::accounts::holding::RetainedSeat;
use crate::engine::accounts::limit::SharedLimit;

/// Those of one shard. A message that nobody with a name has set is nobody's, and takes no room here.
#[derive(Debug)]
pub struct Owners {
    topics: Map<Box<str>, Arc<str>>,
    users: Map<Arc<str>, Owner>,
    /// Bytes of the texts of both.
    text_bytes: usize,
}

const _: () = assert!(size_of::<(Box<str>, Arc<str>)>() == 32, "what a message of a user takes beside the store");

/// A user with retained messages here.
#[derive(Debug)]
struct Owner {
    messages: u64,
    /// None where nothing bounds them, or where no place was left to count them.
    seat: Option<RetainedSeat>,
}

/// What becomes of the bytes of a topic: those of the message of before, 0 without one, and those of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// They go.
    pub before: u64,
    /// They come.
    pub after: u64,
}

impl Owners {
    /// No message is anybody's.
    pub fn new(seed: Seed) -> Self {
        Self { topics: map(seed), users: map(seed), text_bytes: 0 }
    }

    /// Whether no message is anybody's.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whose the message of this topic is.
    pub fn of(&self, topic: &str) -> Option<&Arc<str>> {
        self.topics.get(topic)
    }

    /// The next message of a topic is of this user, if of anybody; the one of before is given back to whoever had it. At a bound of the user
    /// nothing has changed. What was there before a restart `is_due` whatever the bounds say. A user who is new here gets a seat.
    pub fn replace(
        &mut self,
        topic: &str,
        user: Option<&str>,
        bytes: Exchange,
        is_due: bool,
        seat: impl FnOnce(&str) -> Option<RetainedSeat>,
    ) -> Result<(), SharedLimit> {
        let Some(user) = user else {
            self.release(topic, bytes.before);
            return Ok(());
        };
        if self.topics.get(topic).is_some_and(|owner| **owner == *user) {
            let owner = self.users.get_mut(user).expect("who has a message is known");
            return owner.resize(bytes, is_due);
        }
        let name = match self.users.get_key_value(user) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(user),
        };
        let owner = self.users.entry(Arc::clone(&name)).or_insert_with(|| {
            self.text_bytes += user.len();
            Owner { messages: 0, seat: seat(user) }
        });
        let grown = owner.seat.as_mut().map_or(Ok(()), |seat| seat.grow(1, bytes.after, is_due));
        owner.messages += u64::from(grown.is_ok());
        if grown.is_ok() {
            self.release(topic, bytes.before);
            self.text_bytes += topic.len();
            self.topics.insert(topic.into(), name);
        } else {
            self.forget_if_idle(user);
        }
        grown
    }

    /// The message of a topic is gone, which had so many bytes.
    pub fn release(&mut self, topic: &str, bytes: u64) {
        let Some(name) = self.topics.remove(topic) else { return };
        let owner = self.users.get_mut(&name).expect("who has a message is known");
        owner.messages -= 1;
        if let Some(seat) = &mut owner.seat {
            seat.shrink(1, bytes);
        }
        self.text_bytes -= topic.len();
        self.forget_if_idle(&name);
    }

    fn forget_if_idle(&mut self, user: &str) {
        if self.users.get(user).is_some_and(|owner| owner.messages == 0) {
            self.users.remove(user);
            self.text_bytes -= user.len();
        }
    }

    /// How many messages are charged to users here, and their bytes.
    pub fn charged(&self) -> (u64, u64) {
        let seats = self.users.values().filter_map(|owner| owner.seat.as_ref()).map(RetainedSeat::counts);
        seats.fold((0, 0), |(messages, bytes), seat| (messages + seat.0, bytes + seat.1))
    }

    /// An estimate of the bytes on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.topics.allocation_size() + self.users.allocation_size() + self.text_bytes
    }

    /// Panics unless all that is charged is what these messages have, of which the bytes can be asked by topic.
    pub fn check(&self, bytes_of: impl Fn(&str) -> Option<u64>) {
        let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (topic, name) in &self.topics {
            let bytes = bytes_of(topic).expect("only what is retained is somebody's");
            let of_user = found.entry(name).or_default();
            *of_user = (of_user.0 + 1, of_user.1 + bytes);
        }
        assert_eq!(found.len(), self.users.len(), "who is known has a message");
        for (name, owner) in &self.users {
            let expected = found[&**name];
            assert_eq!(owner.messages, expected.0, "each message of a user is counted");
            assert!(owner.seat.as_ref().is_none_or(|seat| seat.counts() == expected), "and charged");
        }
        let topics: usize = self.topics.keys().map(|topic| topic.len()).sum();
        let names: usize = self.users.keys().map(|name| name.len()).sum();
        assert_eq!(self.text_bytes, topics + names, "texts are accounted for");
    }
}

impl Owner {
    /// A message of this user takes the place of one of its own.
    fn resize(&mut self, bytes: Exchange, is_due: bool) -> Result<(), SharedLimit> {
        let Some(seat) = &mut self.seat else { return Ok(()) };
        if bytes.after > bytes.before {
            return seat.grow(0, bytes.after - bytes.before, is_due);
        }
        seat.shrink(0, bytes.before - bytes.after);
        Ok(())
    }
}
