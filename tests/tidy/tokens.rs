//! Cuts Rust text into tokens, so that no rule is fooled by a comment or a string.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or a keyword; `r#name` is `name`.
    Word,
    /// One character of punctuation, except `::`, which is one token.
    Symbol,
    /// A string, character or number of any form.
    Literal,
    Lifetime,
    /// With its slashes; a block comment is one token.
    Comment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Counted from 1: where the token begins.
    pub line: usize,
}

/// All tokens of `text` in order, comments among them, white space left out.
pub fn tokenize(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, len) = measure(rest, first);
        let (piece, after) = rest.split_at(len);
        if let Some(kind) = kind {
            let text = if kind == Kind::Word { piece.trim_start_matches("r#") } else { piece };
            tokens.push(Token { kind, text, line });
        }
        line += piece.matches('\n').count();
        rest = after;
    }
    tokens
}

/// What `rest` begins with and how many bytes belong to it; white space has no kind.
fn measure(rest: &str, first: char) -> (Option<Kind>, usize) {
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if rest.starts_with("//") {
        return (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Some(Kind::Comment), block_comment_len(rest));
    }
    if let Some(len) = string_len(rest) {
        return (Some(Kind::Literal), len);
    }
    if first == '\'' {
        return quote(rest);
    }
    if first.is_ascii_digit() {
        return (Some(Kind::Literal), number_len(rest));
    }
    if is_word(first) {
        let prefix = if rest.starts_with("r#") { 2 } else { 0 };
        return (Some(Kind::Word), prefix + word_len(&rest[prefix..]));
    }
    let len = if rest.starts_with("::") { 2 } else { first.len_utf8() };
    (Some(Kind::Symbol), len)
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

fn word_len(rest: &str) -> usize {
    rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
}

/// `1_000u32`, `0xFF`, `1.5e3`; the dots of `0..9` and of `pair.0.len()` stay outside.
fn number_len(rest: &str) -> usize {
    let whole = word_len(rest);
    let fraction = &rest[whole..];
    let has_fraction = fraction.starts_with('.') && fraction[1..].starts_with(|digit: char| digit.is_ascii_digit());
    if has_fraction { whole + 1 + word_len(&fraction[1..]) } else { whole }
}

/// Block comments nest.
fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string literal of any form, if `rest` begins with one.
fn string_len(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| {
        let Some(after) = rest.strip_prefix(prefix) else {
            return false;
        };
        let after = if prefix.ends_with('r') { after.trim_start_matches('#') } else { after };
        after.starts_with('"')
    })?;
    let body = &rest[prefix.len()..];
    let len = if prefix.ends_with('r') { raw_len(body) } else { escaped_len(body, '"') };
    Some(prefix.len() + len)
}

/// From the hashes in front of the opening quote to those behind the closing one.
fn raw_len(body: &str) -> usize {
    let hashes = body.len() - body.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 1;
    body[start..].find(&close).map_or(body.len(), |end| start + end + close.len())
}

/// From an opening quote to the first one that no backslash guards.
fn escaped_len(body: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in body.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if letter == '\\' {
            is_escaped = true;
        } else if letter == quote {
            return at + 1;
        }
    }
    body.len()
}

/// A quote opens a character (`'a'`, `'\n'`) or a lifetime (`'a`).
fn quote(rest: &str) -> (Option<Kind>, usize) {
    let mut letters = rest.char_indices().skip(1);
    let first = letters.next().map(|(_, letter)| letter);
    let closes = letters.next().is_some_and(|(_, letter)| letter == '\'');
    if first == Some('\\') || closes {
        return (Some(Kind::Literal), escaped_len(rest, '\''));
    }
    (Some(Kind::Lifetime), 1 + word_len(&rest[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, kind: Kind) -> Vec<&str> {
        tokenize(text).into_iter().filter(|token| token.kind == kind).map(|token| token.text).collect()
    }

    #[test]
    fn strings_of_every_form_hide_their_words() {
        let text = r###"a "b \" c" d r"e" f r#"g " h"# i b"j" k br##"l"# m"## n c"o" p"###;
        assert_eq!(pieces(text, Kind::Word), ["a", "d", "f", "i", "k", "n", "p"]);
    }

    #[test]
    fn comments_nest_and_end_where_they_should() {
        let text = "a // b\nc /* d /* e */ f */ g /// h";
        assert_eq!(pieces(text, Kind::Word), ["a", "c", "g"]);
        assert_eq!(pieces(text, Kind::Comment), ["// b", "/* d /* e */ f */", "/// h"]);
    }

    #[test]
    fn characters_are_told_from_lifetimes() {
        let text = "fn f<'a>(x: &'a str) { ('\"', '\\'', 'b', '_', '\\u{1F600}', 'static) }";
        assert_eq!(pieces(text, Kind::Lifetime), ["'a", "'a", "'static"]);
        assert_eq!(pieces(text, Kind::Literal), ["'\"'", "'\\''", "'b'", "'_'", "'\\u{1F600}'"]);
    }

    #[test]
    fn numbers_leave_ranges_and_fields_alone() {
        assert_eq!(pieces("0..9 1.5e3 pair.0.len() 0xFF_u8", Kind::Literal), ["0", "9", "1.5e3", "0", "0xFF_u8"]);
    }

    #[test]
    fn raw_identifiers_are_words_and_lines_are_counted() {
        let tokens = tokenize("r#type\n\"two\nlines\"\n::x");
        let seen: Vec<_> = tokens.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(seen, [("type", 1), ("\"two\nlines\"", 2), ("::", 4), ("x", 4)]);
    }
}
