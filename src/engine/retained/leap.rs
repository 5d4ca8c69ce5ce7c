//! How far a scan may leap at a topic that its filter does not match.

use std::cmp::Ordering;

use crate::mqtt::topic::Filter;

/// What a scan does at a topic.
pub(super) enum Verdict {
    Match,
    /// No topic before this text matches.
    Leap(String),
    /// No topic behind this one matches.
    End,
}

/// Compares level by level and finds the first text at or behind the topic that may match.
pub(super) fn examine(filter: Filter<'_>, topic: &str) -> Verdict {
    // [MQTT-4.7.2-1] A leading wildcard never reaches a name that begins with `$`: on to the byte
    // behind `$`.
    if topic.starts_with('$') && filter.as_str().starts_with(['+', '#']) {
        return Verdict::Leap("%".to_string());
    }
    // The end of the part of the topic up to the last level that stands under a `+`: where another
    // value may be tried.
    let mut last_plus = None;
    let mut levels = topic.split('/');
    let mut end = 0;
    for (index, pattern) in filter.levels().enumerate() {
        if pattern == "#" {
            return Verdict::Match;
        }
        let start = if index == 0 { 0 } else { end + 1 };
        let Some(level) = levels.next() else {
            return descend(filter, index, pattern, topic);
        };
        end = start + level.len();
        if pattern == "+" {
            last_plus = Some(end);
            continue;
        }
        match level.cmp(pattern) {
            Ordering::Equal => {}
            Ordering::Less => return Verdict::Leap(topic[..start].to_string() + pattern),
            Ordering::Greater => return leap_behind(topic, last_plus),
        }
    }
    if levels.next().is_none() { Verdict::Match } else { leap_behind(topic, last_plus) }
}

/// The topic has ended before the filter: what matches lies below it.
fn descend(filter: Filter<'_>, index: usize, pattern: &str, topic: &str) -> Verdict {
    debug_assert!(index > 0 && filter.levels().nth(index) == Some(pattern));
    let below = if pattern == "+" { "" } else { pattern };
    Verdict::Leap([topic, "/", below].concat())
}

/// Nothing more can match under the level at hand: behind all topics that begin with the part up to
/// the last `+`.
fn leap_behind(topic: &str, last_plus: Option<usize>) -> Verdict {
    match last_plus {
        // U+0001 is the least of all that may follow a level within a level: `/` comes before it,
        // U+0000 does not exist.
        Some(end) => Verdict::Leap([&topic[..end], "\u{1}"].concat()),
        None => Verdict::End,
    }
}
