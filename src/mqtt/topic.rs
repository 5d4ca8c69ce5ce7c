//! Topic names, topic filters and subscriptions: borrowed text that was parsed once and is trusted afterwards.

use super::error::DecodeError;
use super::text::{Reader, saturate, utf8};

/// The longest topic name or filter in bytes. [MQTT-4.7.3-3]
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// What is wrong with a topic name or a topic filter.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum TopicError {
    #[error("it is empty")]
    Empty,
    #[error("it has {len} bytes")]
    TooLong { len: u32 },
    #[error("U+0000 at byte {at}")]
    Nul { at: u32 },
    #[error("a wildcard in a topic name at byte {at}")]
    Wildcard { at: u32 },
    #[error("a wildcard that does not fill its level at byte {at}")]
    WildcardInLevel { at: u32 },
    #[error("`#` before the last level at byte {at}")]
    HashNotLast { at: u32 },
    #[error("a share name that is empty or holds a wildcard")]
    ShareName,
    #[error("a share name without a filter")]
    ShareFilterMissing,
}

/// The name that a message is published under: not empty, no wildcard, no U+0000, at most 65,535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Checks that `text` is a topic name.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        // One pass without a branch a byte; which byte it was matters only to the error.
        let refused = |byte| matches!(byte, b'+' | b'#' | 0);
        if text.bytes().fold(false, |any, byte| any | refused(byte)) {
            let at = text.bytes().position(refused).expect("the pass above has seen one");
            let (nul, at) = (text.as_bytes()[at] == 0, saturate(at));
            return Err(if nul { TopicError::Nul { at } } else { TopicError::Wildcard { at } });
        }
        Ok(Topic(text))
    }

    /// Reads the topic field of a packet; `None` when it is empty, which only a topic alias allows.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let text = utf8(reader.binary()?)?; // [MQTT-3.3.2-1]
        if text.is_empty() {
            return Ok(None);
        }
        match Topic::parse(text) {
            Ok(topic) => Ok(Some(topic)),
            Err(TopicError::Nul { at }) => Err(DecodeError::TextWithNul { at }),
            Err(error) => Err(DecodeError::TopicInvalid(error)), // [MQTT-3.3.2-2]
        }
    }

    /// The name itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The parts between the slashes, empty ones included.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// How many levels there are, at least one.
    pub fn level_count(self) -> usize {
        level_count(self.0)
    }

    /// Whether there are more levels than that. Short texts need no count.
    pub fn is_deeper_than(self, levels_max: usize) -> bool {
        is_deeper_than(self.0, levels_max)
    }

    /// Whether the name begins with `$`, which keeps it from filters that begin with a wildcard. [MQTT-4.7.2-1]
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }
}

/// A pattern over topic names, well-formed: `+` fills a level, `#` fills the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter<'a>(&'a str);

impl<'a> Filter<'a> {
    /// Checks that `text` is a topic filter. A `$share/` in front means nothing here: see [`Subscription`].
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        let bytes = text.as_bytes();
        for (at, &byte) in bytes.iter().enumerate() {
            let error = match byte {
                0 => Some(TopicError::Nul { at: saturate(at) }), // [MQTT-4.7.3-2]
                b'+' | b'#' => check_wildcard(bytes, at).err(),
                _ => None,
            };
            if let Some(error) = error {
                return Err(error);
            }
        }
        Ok(Filter(text))
    }

    /// The filter itself.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The parts between the slashes, empty ones included.
    pub fn levels(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split('/')
    }

    /// How many levels there are, at least one.
    pub fn level_count(self) -> usize {
        level_count(self.0)
    }

    /// Whether there are more levels than that. Short texts need no count.
    pub fn is_deeper_than(self, levels_max: usize) -> bool {
        is_deeper_than(self.0, levels_max)
    }

    /// Whether the filter can match more than one topic.
    pub fn has_wildcards(self) -> bool {
        self.0.bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Whether the filter matches this name: level by level, no normalisation. [MQTT-4.7.3-4]
    ///
    /// This is the plain definition, the measure for every faster matcher.
    pub fn matches(self, topic: Topic<'_>) -> bool {
        // [MQTT-4.7.2-1] A leading wildcard never reaches a name that begins with `$`.
        if topic.is_dollar() && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.levels();
        for pattern in self.levels() {
            match (pattern, names.next()) {
                // `#` takes all that is left, and nothing at all: `sport/#` matches `sport`.
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (pattern, Some(name)) if pattern == name => {}
                (_, Some(_) | None) => return false,
            }
        }
        names.next().is_none()
    }
}

/// What a client subscribes to: a filter, alone or shared by the members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription<'a> {
    /// The whole text as the client wrote it: the identity of the subscription within its session.
    pub text: &'a str,
    /// The name of the group, where the text begins with `$share/`.
    pub share: Option<&'a str>,
    /// What is matched.
    pub filter: Filter<'a>,
}

impl<'a> Subscription<'a> {
    /// Reads `$share/group/filter` or a plain filter. `$share` without a slash is a plain filter.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        check_length(text)?;
        let Some(shared) = text.strip_prefix("$share/") else {
            return Ok(Subscription { text, share: None, filter: Filter::parse(text)? });
        };
        // [MQTT-4.8.2-2] A slash and a filter follow the name.
        let Some((name, filter)) = shared.split_once('/').filter(|(_, filter)| !filter.is_empty()) else {
            return Err(TopicError::ShareFilterMissing);
        };
        // [MQTT-4.8.2-1] [MQTT-4.8.2-2] The name has at least one character and no wildcard.
        if name.is_empty() || name.contains(['+', '#', '\0']) {
            return Err(TopicError::ShareName);
        }
        Ok(Subscription { text, share: Some(name), filter: Filter::parse(filter)? })
    }
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty), // [MQTT-4.7.3-1]
        1..=TOPIC_BYTES_MAX => Ok(()),
        len => Err(TopicError::TooLong { len: saturate(len) }),
    }
}

fn check_wildcard(bytes: &[u8], index: usize) -> Result<(), TopicError> {
    let at = saturate(index);
    let starts_level = index == 0 || bytes[index - 1] == b'/';
    match (bytes[index], bytes.get(index + 1)) {
        _ if !starts_level => Err(TopicError::WildcardInLevel { at }),
        (_, None) | (b'+', Some(b'/')) => Ok(()),
        (b'#', Some(b'/')) => Err(TopicError::HashNotLast { at }), // [MQTT-4.7.1-1]
        (_, Some(_)) => Err(TopicError::WildcardInLevel { at }),   // [MQTT-4.7.1-2]
    }
}

fn is_deeper_than(text: &str, levels_max: usize) -> bool {
    text.len() >= levels_max && level_count(text) > levels_max
}

fn level_count(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'/').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_byte_is_found_wherever_it_stands() {
        for len in 1..=70 {
            for at in 0..len {
                for refused in ['+', '#', '\0'] {
                    let mut text = "x".repeat(len);
                    assert!(Topic::parse(&text).is_ok());
                    text.replace_range(at..=at, &refused.to_string());
                    assert!(Topic::parse(&text).is_err(), "{refused:?} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn depth_is_the_number_of_levels() {
        for (text, levels) in [("a", 1), ("a/b", 2), ("////", 5), ("/", 2), ("abcdefgh/i", 2)] {
            let (topic, filter) = (Topic::parse(text).unwrap(), Filter::parse(text).unwrap());
            for levels_max in 0..8 {
                assert_eq!(topic.is_deeper_than(levels_max), levels > levels_max, "{text} {levels_max}");
                assert_eq!(filter.is_deeper_than(levels_max), levels > levels_max, "{text} {levels_max}");
            }
        }
    }

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::parse(filter).unwrap().matches(Topic::parse(topic).unwrap())
    }

    #[test]
    fn a_topic_is_any_text_without_wildcard_and_nul() {
        for good in ["a", "/", "//", "$SYS/x", "Accounts payable", "\u{feff}t", "a\u{1}", "ü/é/漢"] {
            assert_eq!(Topic::parse(good).map(Topic::as_str), Ok(good));
        }
        assert_eq!(Topic::parse(""), Err(TopicError::Empty));
        assert_eq!(Topic::parse("a/+"), Err(TopicError::Wildcard { at: 2 }));
        assert_eq!(Topic::parse("a#b\0"), Err(TopicError::Wildcard { at: 1 }));
        assert_eq!(Topic::parse("ab\0+"), Err(TopicError::Nul { at: 2 }));
    }

    #[test]
    fn length_is_bounded_in_bytes() {
        let longest = "/".repeat(TOPIC_BYTES_MAX);
        let topic = Topic::parse(&longest).unwrap();
        assert_eq!(topic.level_count(), TOPIC_BYTES_MAX + 1);
        assert_eq!(topic.levels().count(), topic.level_count());
        assert!(Filter::parse(&longest).unwrap().matches(topic));
        let longer = "x".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(Topic::parse(&longer), Err(TopicError::TooLong { len: 65_536 }));
        assert_eq!(Filter::parse(&longer), Err(TopicError::TooLong { len: 65_536 }));
        assert_eq!(Subscription::parse(&longer), Err(TopicError::TooLong { len: 65_536 }));
    }

    #[test]
    fn wildcards_fill_a_level_and_hash_is_last() {
        for good in ["#", "+", "/", "a/#", "+/+", "a/+/b", "/+", "+/#", "$SYS/#", "//#"] {
            assert!(Filter::parse(good).is_ok(), "{good}");
        }
        let refused = [
            ("", TopicError::Empty),
            ("sport#", TopicError::WildcardInLevel { at: 5 }),
            ("a/#/b", TopicError::HashNotLast { at: 2 }),
            ("#/", TopicError::HashNotLast { at: 0 }),
            ("#a", TopicError::WildcardInLevel { at: 0 }),
            ("##", TopicError::WildcardInLevel { at: 0 }),
            ("sport+", TopicError::WildcardInLevel { at: 5 }),
            ("a/b+/c", TopicError::WildcardInLevel { at: 3 }),
            ("+a", TopicError::WildcardInLevel { at: 0 }),
            ("++", TopicError::WildcardInLevel { at: 0 }),
            ("a\0", TopicError::Nul { at: 1 }),
        ];
        for (bad, error) in refused {
            assert_eq!(Filter::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn matching_follows_the_examples_of_the_standard() {
        let yes = [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b/c"),
            ("#", "/"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("+", "finance"),
            ("a/+/b", "a//b"),
            ("$SYS/#", "$SYS/x"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("a/$b/+", "a/$b/$c"),
            ("+/tennis/#", "sport/tennis"),
        ];
        let no = [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("A", "a"),
            ("a/", "a"),
            ("a", "a/"),
            ("a/b", "a/b/c"),
            ("e\u{301}", "\u{e9}"),
            ("a/#", "ab"),
        ];
        for (filter, topic) in yes {
            assert!(matches(filter, topic), "{filter} matches {topic}");
        }
        for (filter, topic) in no {
            assert!(!matches(filter, topic), "{filter} does not match {topic}");
        }
    }

    #[test]
    fn a_shared_subscription_is_taken_apart() {
        let shared = Subscription::parse("$share/g/a/+").unwrap();
        assert_eq!((shared.share, shared.filter.as_str(), shared.text), (Some("g"), "a/+", "$share/g/a/+"));
        assert_eq!(Subscription::parse("$share/g//").unwrap().filter.as_str(), "/");
        assert_eq!(Subscription::parse("$share/g/$SYS/#").unwrap().filter.as_str(), "$SYS/#");
        let plain = Subscription::parse("$shared/g/t").unwrap();
        assert_eq!((plain.share, plain.filter.as_str()), (None, "$shared/g/t"));
        assert_eq!(Subscription::parse("$share").unwrap().share, None);
    }

    #[test]
    fn a_malformed_shared_subscription_is_refused() {
        let refused = [
            ("$share//t", TopicError::ShareName),
            ("$share/g+/t", TopicError::ShareName),
            ("$share/#/t", TopicError::ShareName),
            ("$share/g#", TopicError::ShareFilterMissing),
            ("$share/g", TopicError::ShareFilterMissing),
            ("$share/g/", TopicError::ShareFilterMissing),
            ("$share/", TopicError::ShareFilterMissing),
            ("$share/g/a#", TopicError::WildcardInLevel { at: 1 }),
        ];
        for (bad, error) in refused {
            assert_eq!(Subscription::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn the_topic_field_tells_empty_text_nul_and_wildcard_apart() {
        let decode = |bytes: &'static [u8]| Topic::decode(&mut Reader::new(bytes));
        assert_eq!(decode(b"\0\x03a/b"), Ok(Some(Topic("a/b"))));
        assert_eq!(decode(b"\0\0"), Ok(None));
        assert_eq!(decode(b"\0\x02a\0"), Err(DecodeError::TextWithNul { at: 1 }));
        assert_eq!(decode(b"\0\x01#"), Err(DecodeError::TopicInvalid(TopicError::Wildcard { at: 0 })));
        assert_eq!(decode(b"\0\x03\xed\xa0\x80"), Err(DecodeError::TextNotUtf8 { at: 0 }));
        assert_eq!(decode(b"\0\x05a/b"), Err(DecodeError::Truncated { wanted: 5, left: 3 }));
    }

    /// Every text of up to four characters out of `alphabet`.
    fn texts(alphabet: &str) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut longest = all.clone();
        for _ in 0..4 {
            let longer = |text: &String| alphabet.chars().map(|end| format!("{text}{end}")).collect::<Vec<_>>();
            longest = longest.iter().flat_map(longer).collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    /// The definition of section 4.7 once more, by recursion over lists of levels.
    fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
            ([level, filter @ ..], [name, topic @ ..]) => level == name && levels_match(filter, topic),
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }

    #[test]
    fn matching_agrees_with_the_definition_on_all_short_texts() {
        let (filters, topics) = (texts("a/+#$"), texts("ab/$"));
        let filters: Vec<_> = filters.iter().filter_map(|text| Filter::parse(text).ok()).collect();
        let topics: Vec<_> = topics.iter().filter_map(|text| Topic::parse(text).ok()).collect();
        for filter in filters {
            let pattern: Vec<_> = filter.levels().collect();
            let hidden = matches!(pattern[0], "+" | "#");
            for topic in &topics {
                let names: Vec<_> = topic.levels().collect();
                let expected = levels_match(&pattern, &names) && !(hidden && topic.is_dollar());
                assert_eq!(filter.matches(*topic), expected, "{filter:?} and {topic:?}");
            }
        }
    }
}
