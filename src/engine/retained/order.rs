//! The order of topics: each is followed by all topics below it.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// A topic as it is stored, ordered as [`Hierarchical`].
#[derive(Clone, Debug)]
pub(super) struct Stored(pub(super) Box<str>);

/// Text ordered with `/` before every other byte. As a trait object it is what both a stored topic
/// and a borrowed text look like to the map, so that a look-up allocates nothing.
pub(super) trait Hierarchical {
    fn text(&self) -> &str;
}

impl Hierarchical for Stored {
    fn text(&self) -> &str {
        &self.0
    }
}

impl Hierarchical for &str {
    fn text(&self) -> &str {
        self
    }
}

impl<'a> Borrow<dyn Hierarchical + 'a> for Stored {
    fn borrow(&self) -> &(dyn Hierarchical + 'a) {
        self
    }
}

impl Ord for dyn Hierarchical + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.text().as_bytes(), other.text().as_bytes())
    }
}

impl PartialOrd for dyn Hierarchical + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Hierarchical + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for dyn Hierarchical + '_ {}

impl Ord for Stored {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl PartialOrd for Stored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Stored {}

/// A text as the map compares it.
pub(super) fn key<'a>(text: &'a &'a str) -> &'a (dyn Hierarchical + 'a) {
    text
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    // Equal beginnings in words of eight bytes; topics of one deployment begin alike.
    let words = a.chunks_exact(8).zip(b.chunks_exact(8)).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[words * 8..], &b[words * 8..]);
    let differing = a.iter().zip(b).find(|(a, b)| a != b);
    // `/` takes the place of U+0000, which no topic contains.
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    differing.map_or_else(|| a.len().cmp(&b.len()), |(a, b)| rank(*a).cmp(&rank(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slash_comes_before_every_other_byte_at_any_length() {
        let ascending = [
            "0123456",
            "0123456/",
            "0123456//",
            "0123456/!",
            "0123456/a/b",
            "0123456\u{1}",
            "0123456!",
            "01234567",
            "01234567/0123456/1",
            "01234567/0123456!",
        ];
        for (index, text) in ascending.iter().enumerate() {
            assert_eq!(compare(text.as_bytes(), text.as_bytes()), Ordering::Equal);
            for before in &ascending[..index] {
                assert_eq!(compare(before.as_bytes(), text.as_bytes()), Ordering::Less, "{before} {text}");
                assert_eq!(compare(text.as_bytes(), before.as_bytes()), Ordering::Greater);
            }
        }
    }
}
