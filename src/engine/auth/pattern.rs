//! What a rule speaks of: a topic filter that may have the client's own names in it.

use super::ClientId;
use crate::mqtt::topic::{Filter, Topic, TopicError};

/// What is wrong with a pattern.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum PatternError {
    #[error("it is no topic filter: {0}")]
    Filter(#[from] TopicError),
    #[error("%u or %c does not fill level {level}")]
    NameInLevel { level: usize },
}

/// The names that stand for `%u` and `%c`.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The proven user name, if there is one.
    pub user: Option<&'a str>,
    /// The client id.
    pub client_id: ClientId<'a>,
}

/// A filter with placeholders: `%u` is the user's name, `%c` the client id, each a whole level.
///
/// Names are compared with levels, never put into text. A name that could mean more than itself (one with a wildcard, a
/// slash or U+0000, an empty one, one that would begin a topic with `$`) stands for nothing: no topic matches then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    has_names: bool,
}

/// One level of a pattern, names put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level<'a> {
    Exactly(&'a str),
    Any,
    AnyRest,
    /// A name that stands for nothing.
    Nothing,
}

/// Where a pattern and what was asked for part ways; before this level they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The level, counted from zero.
    pub level: usize,
    /// What parts them there.
    pub cause: Cause<'a>,
}

/// What parts a pattern from a topic or a filter.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// [MQTT-4.7.2-1] A leading wildcard never reaches a name that begins with `$`.
    #[error("a leading wildcard never reaches `{found}`, which begins with `$`")]
    Dollar {
        /// The first level of what was asked for.
        found: &'a str,
    },
    /// Both have this level, and they differ.
    #[error("`{found}` is not `{wanted}`")]
    Differs {
        /// What the pattern has there, names put in.
        wanted: &'a str,
        /// What was asked for.
        found: &'a str,
    },
    /// A filter has a wildcard where the pattern allows less.
    #[error("`{found}` reaches further than `{wanted}`")]
    Wider {
        /// What the pattern has there, names put in.
        wanted: &'a str,
        /// The wildcard.
        found: &'a str,
    },
    /// A name is missing, or could mean more than itself.
    #[error("this client has no name that may stand for `{placeholder}`")]
    NoName {
        /// `%u` or `%c`.
        placeholder: &'a str,
    },
    /// What was asked for ends before the pattern does.
    #[error("`{wanted}` is missing at the end")]
    Shorter {
        /// The next level of the pattern.
        wanted: &'a str,
    },
    /// The pattern ends before what was asked for does.
    #[error("`{found}` is behind the end of the pattern")]
    Longer {
        /// The first level too many.
        found: &'a str,
    },
}

impl Pattern {
    /// Checks that `text` is a filter, and that placeholders fill their levels.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        for (level, name) in Filter::parse(text)?.levels().enumerate() {
            let is_placeholder = matches!(name, "%u" | "%c");
            if !is_placeholder && (name.contains("%u") || name.contains("%c")) {
                return Err(PatternError::NameInLevel { level });
            }
        }
        Ok(Self { text: text.into(), has_names: true })
    }

    /// Checks that `text` is a filter. It has no placeholders: `%u` is a level like any other.
    pub fn literal(text: &str) -> Result<Self, PatternError> {
        Filter::parse(text)?;
        Ok(Self { text: text.into(), has_names: false })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern matches this topic for a client of these names.
    pub fn matches(&self, names: Names<'_>, topic: Topic<'_>) -> bool {
        self.gap(names, topic.as_str()).is_none()
    }

    /// Whether the pattern matches every topic that `filter` can match, for a client of these names.
    pub fn covers(&self, names: Names<'_>, filter: Filter<'_>) -> bool {
        self.gap(names, longest_form(filter.as_str())).is_none()
    }

    /// Why the pattern does not match this topic; nothing where it does.
    pub fn gap_to_topic<'a>(&'a self, names: Names<'a>, topic: Topic<'a>) -> Option<Gap<'a>> {
        self.gap(names, topic.as_str())
    }

    /// Why the pattern does not cover this filter; nothing where it does.
    pub fn gap_to_filter<'a>(&'a self, names: Names<'a>, filter: Filter<'a>) -> Option<Gap<'a>> {
        self.gap(names, longest_form(filter.as_str()))
    }

    /// A topic is a filter that matches itself alone: to match it is to cover it.
    fn gap<'a>(&'a self, names: Names<'a>, asked: &'a str) -> Option<Gap<'a>> {
        let is_dollar = asked.starts_with('$');
        let mut levels = asked.split('/');
        for (at, text) in self.text.split('/').enumerate() {
            let level = self.level(text, at, names);
            let found = levels.next();
            let cause = match (level, found) {
                (Level::Any | Level::AnyRest, Some(found)) if at == 0 && is_dollar => Cause::Dollar { found },
                (Level::AnyRest, _) => return None,
                // `a/#` matches `a` too, which has one level less than the pattern asks for.
                (Level::Any, Some(found)) if found != "#" => continue,
                // A name holds no wildcard: it is never equal to one in the filter.
                (Level::Exactly(wanted), Some(found)) if wanted == found => continue,
                (Level::Nothing, _) => Cause::NoName { placeholder: text },
                (Level::Any, Some(found)) => Cause::Wider { wanted: text, found },
                (Level::Exactly(wanted), Some(found @ ("+" | "#"))) => Cause::Wider { wanted, found },
                (Level::Exactly(wanted), Some(found)) => Cause::Differs { wanted, found },
                (Level::Any | Level::Exactly(_), None) => Cause::Shorter { wanted: text },
            };
            return Some(Gap { level: at, cause });
        }
        let level = self.text.split('/').count();
        levels.next().map(|found| Gap { level, cause: Cause::Longer { found } })
    }

    /// What the pattern, for a client of these names, and `filter` both match, as a filter; nothing where that is no topic.
    pub fn overlap(&self, names: Names<'_>, filter: Filter<'_>) -> Option<String> {
        let mut shared: Vec<&str> = Vec::new();
        let (mut wanted, mut levels) = (self.text.split('/').enumerate(), filter.levels());
        let first = |text: &str, shared: &[&str]| shared.is_empty() && text.starts_with('$');
        loop {
            let level = wanted.next().map(|(at, text)| self.level(text, at, names));
            match (level, levels.next()) {
                (None | Some(Level::AnyRest), None) | (None, Some("#")) => break,
                // [MQTT-4.7.2-1] What only a leading wildcard would reach is not shared.
                (Some(Level::Any | Level::AnyRest), Some(found)) if first(found, &shared) => return None,
                (Some(Level::Exactly(name)), Some("+" | "#")) if first(name, &shared) => return None,
                (Some(Level::AnyRest), Some(found)) => {
                    shared.push(found);
                    shared.extend(levels);
                    break;
                }
                (Some(level), Some("#")) => {
                    let rest = wanted.map(|(at, text)| self.level(text, at, names));
                    for level in core::iter::once(level).chain(rest) {
                        shared.push(written(level)?);
                    }
                    break;
                }
                (Some(Level::Any), Some(found)) => shared.push(found),
                (Some(Level::Exactly(name)), Some(found)) if found == "+" || found == name => shared.push(name),
                (Some(Level::Any | Level::Exactly(_) | Level::Nothing), _) | (None, Some(_)) => return None,
            }
        }
        Some(shared.join("/")).filter(|text| !text.is_empty())
    }

    /// What one of its levels means to a client of these names.
    fn level<'a>(&self, text: &'a str, at: usize, names: Names<'a>) -> Level<'a> {
        let name = match text {
            "+" => return Level::Any,
            "#" => return Level::AnyRest,
            "%u" if self.has_names => names.user,
            "%c" if self.has_names => Some(names.client_id.as_str()),
            plain => return Level::Exactly(plain),
        };
        match name {
            Some(name) if stands_for_itself(name) && !(at == 0 && name.starts_with('$')) => Level::Exactly(name),
            Some(_) | None => Level::Nothing,
        }
    }
}

/// Whether a filter without placeholders matches every topic that another one can match.
pub fn covers(filter: &str, other: Filter<'_>) -> bool {
    let nobody = Names { user: None, client_id: ClientId::Text("") };
    Pattern::literal(filter).is_ok_and(|pattern| pattern.covers(nobody, other))
}

/// A level as a filter has it; nothing for a name that stands for nothing.
fn written(level: Level<'_>) -> Option<&str> {
    match level {
        Level::Exactly(name) => Some(name),
        Level::Any => Some("+"),
        Level::AnyRest => Some("#"),
        Level::Nothing => None,
    }
}

/// The same set of topics, said with one level more where `#` cannot stand for none: the empty text is no topic.
fn longest_form(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

/// Whether a name means nothing but itself where names and topics are compared.
pub(super) fn stands_for_itself(name: &str) -> bool {
    !name.is_empty() && !name.contains(['+', '#', '/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { user: Some("b"), client_id: ClientId::Text("$x") };

    fn matches(pattern: &str, topic: &str, names: Names<'_>) -> bool {
        Pattern::parse(pattern).unwrap().matches(names, Topic::parse(topic).unwrap())
    }

    fn covers(pattern: &str, filter: &str, names: Names<'_>) -> bool {
        Pattern::parse(pattern).unwrap().covers(names, Filter::parse(filter).unwrap())
    }

    /// Every text of up to `levels_max` of these levels.
    fn texts(levels: &[&str], levels_max: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut longest: Vec<String> = levels.iter().map(ToString::to_string).collect();
        for _ in 0..levels_max {
            all.append(&mut longest.clone());
            longest =
                longest.iter().flat_map(|text| levels.iter().map(move |level| format!("{text}/{level}"))).collect();
        }
        all
    }

    #[test]
    fn covering_is_matching_all_that_the_filter_matches() {
        // `c` and `$y` stand for all the names that no filter has.
        let topics = texts(&["", "a", "b", "c", "$x", "$y"], 4);
        let topics: Vec<_> = topics.iter().filter_map(|text| Topic::parse(text).ok()).collect();
        let filters = texts(&["", "a", "b", "$x", "+", "#"], 3);
        let filters: Vec<_> = filters.iter().filter_map(|text| Filter::parse(text).ok()).collect();
        let patterns = texts(&["", "a", "%u", "%c", "$x", "+", "#"], 3);
        let patterns: Vec<_> = patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
        let reached: Vec<Vec<bool>> =
            filters.iter().map(|filter| topics.iter().map(|topic| filter.matches(*topic)).collect()).collect();

        let (mut pairs, mut covered) = (0, 0);
        for pattern in &patterns {
            let allowed: Vec<bool> = topics.iter().map(|topic| pattern.matches(NAMES, *topic)).collect();
            for (filter, reached) in filters.iter().zip(&reached) {
                let is_covered = reached.iter().zip(&allowed).all(|(reached, allowed)| !reached || *allowed);
                assert_eq!(pattern.covers(NAMES, *filter), is_covered, "{} {}", pattern.as_str(), filter.as_str());
                pairs += 1;
                covered += usize::from(is_covered);
            }
        }
        assert!(pairs > 20_000 && covered > 500, "{covered} of {pairs}");
    }

    #[test]
    fn an_overlap_is_matched_where_both_match() {
        let topics = texts(&["", "a", "b", "c", "$x"], 4);
        let topics: Vec<_> = topics.iter().filter_map(|text| Topic::parse(text).ok()).collect();
        let filters = texts(&["", "a", "b", "$x", "+", "#"], 3);
        let filters: Vec<_> = filters.iter().filter_map(|text| Filter::parse(text).ok()).collect();
        let patterns = texts(&["", "a", "%u", "%c", "+", "#"], 3);
        let mut shared = 0;
        for pattern in patterns.iter().filter_map(|text| Pattern::parse(text).ok()) {
            let allowed: Vec<bool> = topics.iter().map(|topic| pattern.matches(NAMES, *topic)).collect();
            for filter in &filters {
                let overlap = pattern.overlap(NAMES, *filter);
                let overlap = overlap.as_deref().map(|text| Filter::parse(text).expect("it is a filter"));
                for (topic, allowed) in topics.iter().zip(&allowed) {
                    let is_shared = overlap.is_some_and(|overlap| overlap.matches(*topic));
                    let what = (pattern.as_str(), filter.as_str(), topic.as_str());
                    assert_eq!(is_shared, *allowed && filter.matches(*topic), "{what:?}: {overlap:?}");
                    shared += usize::from(is_shared);
                }
            }
        }
        assert!(shared > 20_000, "{shared}");
    }

    #[test]
    fn where_a_pattern_and_a_topic_part_ways_is_said() {
        let names = Names { user: Some("alice"), client_id: ClientId::Text("+") };
        for (pattern, filter, level, cause) in [
            ("home/%u/x", "home/bob/x", 1, "`bob` is not `alice`"),
            ("home/%u/x", "home/+/x", 1, "`+` reaches further than `alice`"),
            ("home/+", "home/#", 1, "`#` reaches further than `+`"),
            ("home/+", "home", 1, "`+` is missing at the end"),
            ("home", "home/x", 1, "`x` is behind the end of the pattern"),
            ("home/%c", "home/+", 1, "this client has no name that may stand for `%c`"),
            ("#", "$SYS/#", 0, "a leading wildcard never reaches `$SYS`, which begins with `$`"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let gap = pattern.gap_to_filter(names, Filter::parse(filter).unwrap()).expect(cause);
            assert_eq!((gap.level, &*gap.cause.to_string()), (level, cause));
        }
    }

    #[test]
    fn without_names_a_pattern_matches_as_the_filter_does() {
        let topics = texts(&["", "a", "b", "$x"], 4);
        for text in texts(&["", "a", "$x", "+", "#"], 3) {
            let Ok(filter) = Filter::parse(&text) else {
                continue;
            };
            let pattern = Pattern::parse(&text).unwrap();
            for topic in topics.iter().filter_map(|text| Topic::parse(text).ok()) {
                assert_eq!(pattern.matches(NAMES, topic), filter.matches(topic), "{text} {}", topic.as_str());
            }
        }
    }

    #[test]
    fn names_stand_for_whole_levels() {
        let names = Names { user: Some("alice"), client_id: ClientId::Text("c1") };
        assert!(matches("home/%u/%c/#", "home/alice/c1/lamp", names));
        assert!(!matches("home/%u/%c/#", "home/bob/c1/lamp", names));
        assert!(!matches("home/%u/%c/#", "home/%u/%c/lamp", names), "a placeholder is no name");
        assert!(covers("home/%u/#", "home/alice/+", names) && !covers("home/%u/#", "home/+/x", names));
        assert_eq!(Pattern::parse("home/x%u"), Err(PatternError::NameInLevel { level: 1 }));
        assert_eq!(Pattern::parse("a/#/b"), Err(PatternError::Filter(TopicError::HashNotLast { at: 2 })));
        assert!(Pattern::parse("humidity/50%").is_ok());
    }

    #[test]
    fn threat_6_a_name_with_meaning_stands_for_nothing() {
        for name in ["+", "#", "a/b", "a+", "a\0", "/", ""] {
            let both = Names { user: Some(name), client_id: ClientId::Text(name) };
            for pattern in ["home/%u", "home/%c", "home/%u/#"] {
                for topic in ["home/a", "home/", "home/a/b", "home"] {
                    assert!(!matches(pattern, topic, both), "{pattern} {name:?} {topic}");
                }
                for filter in ["home/+", "home/#", "home/a", "#"] {
                    assert!(!covers(pattern, filter, both), "{pattern} {name:?} {filter}");
                }
            }
        }
    }

    #[test]
    fn threat_6_a_name_with_a_percent_is_a_name_and_no_placeholder() {
        let names = Names { user: Some("%c"), client_id: ClientId::Text("victim") };
        assert!(matches("home/%u", "home/%c", names) && !matches("home/%u", "home/victim", names));
    }

    #[test]
    fn threat_6_no_name_reaches_the_topics_of_the_broker() {
        let names = Names { user: Some("$SYS"), client_id: ClientId::Text("$SYS") };
        assert!(!matches("%u/#", "$SYS/broker", names) && !covers("%c/#", "$SYS/#", names));
        assert!(matches("home/%u", "home/$SYS", names));
        let nobody = Names { user: None, client_id: ClientId::Text("c1") };
        assert!(!matches("home/%u", "home/", nobody) && !matches("home/%u/#", "home/x", nobody));
    }

    #[test]
    fn threat_5_wildcards_never_reach_dollar_topics() {
        for pattern in ["#", "+/#", "+/broker"] {
            assert!(!matches(pattern, "$SYS/broker", NAMES) && !covers(pattern, "$SYS/broker", NAMES), "{pattern}");
            assert!(!covers(pattern, "$SYS/#", NAMES));
        }
        assert!(covers("$SYS/#", "$SYS/+", NAMES) && covers("#", "+/#", NAMES) && covers("+/#", "#", NAMES));
        assert!(covers("/+/#", "/#", NAMES) && !covers("a/+/#", "a/#", NAMES));
    }
}
