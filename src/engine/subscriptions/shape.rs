//! The shape of a wildcard filter: which of its levels are `+`, and whether `#` follows them.

use super::fingerprint::{Fingerprint, for_each_level};
use crate::mqtt::topic::{Filter, Topic};

/// Filters of more levels than this have no shape (`#` not counted).
pub const SHAPE_LEVELS_MAX: usize = 32;

/// How a filter takes part in [`Interest`](super::interest::Interest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No wildcard: the hash of the topic is enough.
    Exact,
    /// Found by masking the topic.
    Shaped(Shape),
    /// A wildcard filter of too many levels.
    Deep,
}

/// Which levels are `+` (32 bits), how many levels there are before `#` or the end (6 bits),
/// whether `#` follows (1 bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape(u64);

impl Shape {
    const COUNT_SHIFT: u32 = 32;
    const ENDS_IN_HASH: u64 = 1 << 38;
    /// All bits that a shape may use.
    pub const BITS: u64 = (1 << 39) - 1;

    /// The form of a filter.
    pub fn of(filter: Filter<'_>) -> Form {
        if !filter.has_wildcards() {
            return Form::Exact;
        }
        let (mut plus, mut count) = (0, 0);
        for level in filter.levels() {
            if level == "#" {
                return Form::Shaped(Self(plus | count << Self::COUNT_SHIFT | Self::ENDS_IN_HASH));
            }
            if count == SHAPE_LEVELS_MAX as u64 {
                return Form::Deep;
            }
            plus |= u64::from(level == "+") << count;
            count += 1;
        }
        Form::Shaped(Self(plus | count << Self::COUNT_SHIFT))
    }

    /// The shape that [`Shape::to_bits`] made these bits of.
    pub fn from_bits(bits: u64) -> Self {
        debug_assert_eq!(bits & !Self::BITS, 0);
        Self(bits)
    }

    pub fn to_bits(self) -> u64 {
        self.0
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is the mask")]
    fn plus(self) -> u32 {
        self.0 as u32
    }

    fn level_count(self) -> usize {
        (self.0 >> Self::COUNT_SHIFT & 0x3F) as usize
    }

    fn ends_in_hash(self) -> bool {
        self.0 & Self::ENDS_IN_HASH != 0
    }

    fn begins_with_wildcard(self) -> bool {
        self.plus() & 1 != 0 || self.level_count() == 0
    }
}

/// A topic taken apart so that the hash of each of its masks costs only the levels from the first
/// wildcard on.
#[derive(Debug)]
pub struct Maskable {
    levels: [u64; SHAPE_LEVELS_MAX],
    /// The hash of the first n levels, at n.
    paths: [u64; SHAPE_LEVELS_MAX + 1],
    level_count: usize,
    whole: u64,
    is_dollar: bool,
}

impl Maskable {
    pub fn new(topic: Topic<'_>, prints: &Fingerprint) -> Self {
        let mut path = prints.start();
        let mut maskable = Self {
            levels: [0; SHAPE_LEVELS_MAX],
            paths: [path; SHAPE_LEVELS_MAX + 1],
            level_count: 0,
            whole: 0,
            is_dollar: topic.is_dollar(),
        };
        for_each_level(topic.as_str().as_bytes(), |level| {
            let level = prints.level(level);
            path = prints.extend(path, level);
            // Levels beyond the deepest shape count for the whole text only.
            if let Some(place) = maskable.levels.get_mut(maskable.level_count) {
                *place = level;
                maskable.paths[maskable.level_count + 1] = path;
            }
            maskable.level_count += 1;
        });
        maskable.whole = path;
        maskable
    }

    /// The hash of the topic itself.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// The hash of the only filter of this shape that can match the topic; `None` if none can.
    pub fn masked(&self, shape: Shape, prints: &Fingerprint) -> Option<u64> {
        let count = shape.level_count();
        // `#` takes the parent level too: `sport/#` matches `sport`.
        let fits = if shape.ends_in_hash() { self.level_count >= count } else { self.level_count == count };
        // [MQTT-4.7.2-1] A leading wildcard never reaches a name that begins with `$`.
        if !fits || self.is_dollar && shape.begins_with_wildcard() {
            return None;
        }
        let named = count.min(shape.plus().trailing_zeros() as usize);
        let mut path = self.paths[named];
        for index in named..count {
            let is_plus = shape.plus() >> index & 1 != 0;
            path = prints.extend(path, if is_plus { prints.plus() } else { self.levels[index] });
        }
        Some(if shape.ends_in_hash() { prints.extend(path, prints.hash()) } else { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Seed;

    fn shape(text: &str) -> Shape {
        match Shape::of(Filter::parse(text).unwrap()) {
            Form::Shaped(shape) => shape,
            form @ (Form::Exact | Form::Deep) => panic!("{text} is {form:?}"),
        }
    }

    #[test]
    fn names_do_not_matter_to_a_shape_and_wildcards_do() {
        assert_eq!(shape("a/+/b"), shape("x//+".replace("//+", "/+/y").as_str()));
        let different = ["a/+", "+/a", "+", "+/+", "a/+/b", "#", "+/#", "a/#", "/#", "a/b/#"];
        for (index, text) in different.iter().enumerate() {
            for other in &different[..index] {
                assert_eq!(shape(text) == shape(other), (*text, *other) == ("/#", "a/#"), "{text} and {other}");
            }
        }
    }

    #[test]
    fn only_deep_wildcard_filters_have_no_shape() {
        let names = |count: usize| vec!["a"; count].join("/");
        let form = |text: String| Shape::of(Filter::parse(&text).unwrap());
        assert_eq!(form(names(100)), Form::Exact);
        assert!(matches!(form(names(31) + "/+"), Form::Shaped(_)));
        assert!(matches!(form(names(32) + "/#"), Form::Shaped(_)));
        assert_eq!(form(names(32) + "/+"), Form::Deep);
        assert_eq!(form(names(33) + "/#"), Form::Deep);
        assert_eq!(form("+/".to_string() + &names(32)), Form::Deep);
    }

    #[test]
    fn a_mask_exists_exactly_where_a_filter_of_the_shape_can_match() {
        let prints = Fingerprint::new(Seed::new(1));
        let long = vec!["a"; 40].join("/");
        let filters = ["+", "#", "a/#", "a/+", "+/b", "a/b/#", "a/b/+", "$x/+", "$x/#", "+/#", "/+", "a/b/c/d/#"];
        for topic in ["a", "a/b", "a/b/c", "$x/b", "$x", "/b", long.as_str()] {
            let topic = Topic::parse(topic).unwrap();
            let maskable = Maskable::new(topic, &prints);
            assert_eq!(maskable.whole(), prints.whole(topic.as_str().as_bytes()));
            for text in filters {
                let filter = Filter::parse(text).unwrap();
                let is_hit = maskable.masked(shape(text), &prints) == Some(prints.whole(filter.as_str().as_bytes()));
                assert_eq!(is_hit, filter.matches(topic), "{text} and {topic:?}");
            }
        }
    }
}
