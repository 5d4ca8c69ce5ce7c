//! Topic aliases of one connection, those of its client and ours: so many, and so many bytes of topics.
//!
//! To its client an alias stands once the PUBLISH has left that says it, also one that is refused, of which a client of QoS 0 hears nothing.
//! A later message may use it, and is judged by the topic as it would be if it named it: rules may say another thing then, or of another
//! quality of service. So an alias is learned whether its message was allowed or not, and what all of them hold is bounded for everybody.

use std::num::NonZeroU16;
use std::rc::Rc;

use crate::base::hash::{Map, Seed, map};
use crate::engine::limits::{ALIAS_BYTES_EACH, ALIAS_BYTES_MIN};

/// The bytes of topics that so many aliases of a connection may stand for: no single topic is too long.
pub const fn alias_bytes_max(count: u16) -> usize {
    let each = count as usize * ALIAS_BYTES_EACH;
    if each > ALIAS_BYTES_MIN { each } else { ALIAS_BYTES_MIN }
}

/// A topic for which there is no room beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// The aliases that a client has defined.
#[derive(Debug, Default)]
pub struct ClientAliases {
    /// Each alias at the place of its number.
    topics: Vec<Option<Rc<str>>>,
    /// `text_bytes` = sum of the lengths of all topics
    text_bytes: usize,
}

impl ClientAliases {
    /// From now on the alias stands for this topic, whatever it stood for before. A client may define `count_max` of them.
    pub fn learn(&mut self, alias: NonZeroU16, topic: &str, count_max: u16) -> Result<(), NoRoom> {
        debug_assert!(alias.get() <= count_max, "who says more is refused");
        let place = usize::from(alias.get()) - 1;
        let before = self.topics.get(place).and_then(Option::as_deref).map_or(0, str::len);
        let text_bytes = self.text_bytes - before + topic.len();
        if text_bytes > alias_bytes_max(count_max) {
            return Err(NoRoom);
        }
        if self.topics.len() <= place {
            self.topics.resize(place + 1, None);
        }
        self.topics[place] = Some(Rc::from(topic));
        self.text_bytes = text_bytes;
        Ok(())
    }

    /// What the alias stands for.
    pub fn topic(&self, alias: NonZeroU16) -> Option<&Rc<str>> {
        self.topics.get(usize::from(alias.get()) - 1)?.as_ref()
    }

    /// Bytes on the heap, without what the allocator adds.
    pub fn heap_bytes(&self) -> usize {
        self.text_bytes + self.topics.capacity() * size_of::<Option<Rc<str>>>()
    }
}

/// The aliases that we have defined towards a client that takes them: the first topics get those there are, as long as there is room.
#[derive(Debug)]
pub struct OurAliases {
    numbers: Map<Box<str>, NonZeroU16>,
    count_max: u16,
    /// `text_bytes` = sum of the lengths of all topics
    text_bytes: usize,
}

impl OurAliases {
    /// None yet, and so many at most.
    pub fn new(count_max: u16, seed: Seed) -> Self {
        Self { numbers: map(seed), count_max, text_bytes: 0 }
    }

    /// The alias for a topic, and whether the client knows it already. None where the topic is said in full.
    pub fn find(&self, topic: &str) -> Option<(NonZeroU16, bool)> {
        if let Some(alias) = self.numbers.get(topic) {
            return Some((*alias, true));
        }
        let has_room = self.text_bytes + topic.len() <= alias_bytes_max(self.count_max);
        // [MQTT-3.1.2-26] not above what the client accepts.
        let next = u16::try_from(self.numbers.len() + 1).ok().filter(|next| has_room && *next <= self.count_max)?;
        NonZeroU16::new(next).map(|alias| (alias, false))
    }

    /// The client has been told what this alias stands for, which [`Self::find`] has just named.
    pub fn learn(&mut self, alias: NonZeroU16, topic: &str) {
        debug_assert_eq!(self.find(topic), Some((alias, false)), "an alias is told once");
        self.numbers.insert(topic.into(), alias);
        self.text_bytes += topic.len();
    }

    /// Bytes on the heap, without what the allocator adds.
    pub fn heap_bytes(&self) -> usize {
        self.text_bytes + self.numbers.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn an_alias_stands_for_what_it_was_last_said_with() {
        let mut aliases = ClientAliases::default();
        assert!(aliases.topic(alias(1)).is_none() && aliases.topic(alias(u16::MAX)).is_none());
        aliases.learn(alias(3), "a", 3).unwrap();
        assert!(aliases.topic(alias(2)).is_none());
        aliases.learn(alias(3), "b/c", 3).unwrap();
        assert_eq!(aliases.topic(alias(3)).map(|topic| &**topic), Some("b/c"));
        assert_eq!(aliases.text_bytes, 3);
    }

    #[test]
    fn the_longest_topic_has_room_and_a_second_one_has_none_beside_it() {
        let longest = "t".repeat(usize::from(u16::MAX));
        let mut aliases = ClientAliases::default();
        aliases.learn(alias(1), &longest, 32).unwrap();
        assert_eq!(aliases.learn(alias(2), "second", 32), Err(NoRoom));
        assert!(aliases.topic(alias(2)).is_none(), "what has no room is not learned");
        aliases.learn(alias(1), "short", 32).unwrap();
        aliases.learn(alias(2), "second", 32).unwrap();
        assert!(aliases.heap_bytes() < 1_024);
    }

    #[test]
    fn whoever_may_define_many_has_room_for_ordinary_topics() {
        assert_eq!(alias_bytes_max(32), usize::from(u16::MAX));
        let mut aliases = ClientAliases::default();
        for number in 1..=u16::MAX {
            let topic = format!("{number:0>200}");
            aliases.learn(alias(number), &topic, u16::MAX).unwrap();
        }
    }

    #[test]
    fn our_own_end_where_there_is_no_room_or_no_number() {
        let mut aliases = OurAliases::new(2, Seed::new(1));
        let longest = "t".repeat(usize::from(u16::MAX) - 1);
        assert_eq!(aliases.find("a"), Some((alias(1), false)));
        aliases.learn(alias(1), "a");
        assert_eq!((aliases.find("a"), aliases.find("b")), (Some((alias(1), true)), Some((alias(2), false))));
        aliases.learn(alias(2), &longest);
        assert_eq!((aliases.find(&longest), aliases.find("b")), (Some((alias(2), true)), None));
        let mut aliases = OurAliases::new(3, Seed::new(1));
        aliases.learn(alias(1), &longest);
        assert_eq!((aliases.find("bc"), aliases.find("b")), (None, Some((alias(2), false))));
    }
}
