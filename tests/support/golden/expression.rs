//! Bytes as a person writes them: hex, text, counted groups, wildcards and captures.

use std::collections::BTreeMap;

/// What an expression is expanded with: the conversation's tag and the bytes captured so far.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Eight characters that stand for `@` inside text.
    pub tag: String,
    /// Captured bytes by name.
    pub captures: BTreeMap<String, Vec<u8>>,
}

/// One position of an expanded pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// This byte and no other.
    Byte(u8),
    /// Any byte.
    Any,
    /// A byte of a capture that is not bound yet.
    Capture(String),
}

/// One part of a bytes expression.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    Any,
    Capture(String),
    Text(String),
    /// Two length bytes in front, as strings and binary data have them.
    Binary(Expression),
    /// A Variable Byte Integer in front, as packets and property sets have it.
    Counted(Expression),
    Repeat(usize, Expression),
}

/// A parsed bytes expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expression(Vec<Part>);

impl Expression {
    /// Parses the whole of `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor { rest: text };
        let parsed = cursor.parts()?;
        if cursor.rest.is_empty() { Ok(parsed) } else { Err(format!("unexpected `{}`", cursor.rest)) }
    }

    /// The positions to match against, one a byte; a free capture takes two, as a packet identifier does.
    pub fn positions(&self, environment: &Environment) -> Vec<Position> {
        let mut out = Vec::new();
        self.0.iter().for_each(|part| part.expand(environment, &mut out));
        out
    }

    /// The bytes to send; wildcards and free captures have none.
    pub fn bytes(&self, environment: &Environment) -> Result<Vec<u8>, String> {
        let concrete = |position| match position {
            Position::Byte(byte) => Ok(byte),
            Position::Any => Err("a wildcard cannot be sent".to_owned()),
            Position::Capture(name) => Err(format!("${name} is used before it was captured")),
        };
        self.positions(environment).into_iter().map(concrete).collect()
    }
}

impl Part {
    fn expand(&self, environment: &Environment, out: &mut Vec<Position>) {
        match self {
            Part::Byte(byte) => out.push(Position::Byte(*byte)),
            Part::Any => out.push(Position::Any),
            Part::Capture(name) => match environment.captures.get(name) {
                Some(bytes) => out.extend(bytes.iter().copied().map(Position::Byte)),
                None => out.extend([Position::Capture(name.clone()), Position::Capture(name.clone())]),
            },
            Part::Text(text) => {
                out.extend(text.replace('@', &environment.tag).bytes().map(Position::Byte));
            }
            Part::Binary(inner) => {
                let inner = inner.positions(environment);
                let length = u16::try_from(inner.len()).expect("a counted string of the dialect fits two length bytes");
                out.extend(length.to_be_bytes().map(Position::Byte));
                out.extend(inner);
            }
            Part::Counted(inner) => {
                let inner = inner.positions(environment);
                out.extend(varint(inner.len()).into_iter().map(Position::Byte));
                out.extend(inner);
            }
            Part::Repeat(times, inner) => {
                let inner = inner.positions(environment);
                (0..*times).for_each(|_| out.extend(inner.iter().cloned()));
            }
        }
    }
}

/// The shortest Variable Byte Integer of `value`.
fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let digit = u8::try_from(value % 128).expect("a remainder of 128 fits a byte");
        value /= 128;
        out.push(if value > 0 { digit | 0x80 } else { digit });
        if value == 0 {
            return out;
        }
    }
}

/// Splits at `separator` where it stands outside of quotes and brackets.
pub fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_u32, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '{' | '(' if !quoted => depth += 1,
            '}' | ')' if !quoted => depth = depth.saturating_sub(1),
            found if found == separator && !quoted && depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// One byte from two hex digits.
pub fn hex_byte(text: &str) -> Result<u8, String> {
    let digits = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !digits {
        return Err(format!("`{text}` is no hex byte"));
    }
    u8::from_str_radix(text, 16).map_err(|error| error.to_string())
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn parts(&mut self) -> Result<Expression, String> {
        let mut parts = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return Ok(Expression(parts));
            }
            let part = self.part()?;
            parts.push(part);
        }
    }

    fn part(&mut self) -> Result<Part, String> {
        if self.take("..") {
            Ok(Part::Any)
        } else if self.take("$") {
            self.name().map(Part::Capture)
        } else if self.rest.starts_with('"') {
            self.text().map(Part::Text)
        } else if self.take("utf(") {
            let text = self.text()?;
            self.need(")")?;
            Ok(Part::Binary(Expression(vec![Part::Text(text)])))
        } else if self.take("bin{") {
            self.group().map(Part::Binary)
        } else if self.take("len{") || self.take("v{") {
            self.group().map(Part::Counted)
        } else if self.take("rep(") {
            self.repeat()
        } else if self.take("connect") {
            self.connect()
        } else {
            self.byte().map(Part::Byte)
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn need(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(format!("`{word}` is missing before `{}`", self.rest)) }
    }

    fn name(&mut self) -> Result<String, String> {
        let end = self.rest.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(self.rest.len());
        if end == 0 {
            return Err("a capture has no name".to_owned());
        }
        let name = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        Ok(name)
    }

    fn text(&mut self) -> Result<String, String> {
        self.need("\"")?;
        let Some((text, rest)) = self.rest.split_once('"') else {
            return Err("a quote is not closed".to_owned());
        };
        self.rest = rest;
        Ok(text.to_owned())
    }

    fn group(&mut self) -> Result<Expression, String> {
        let inner = self.parts()?;
        self.need("}")?;
        Ok(inner)
    }

    fn repeat(&mut self) -> Result<Part, String> {
        let Some((times, rest)) = self.rest.split_once("){") else {
            return Err("rep needs `(count){...}`".to_owned());
        };
        self.rest = rest;
        let times = times.parse().map_err(|error| format!("`{times}` is no count: {error}"))?;
        self.group().map(|inner| Part::Repeat(times, inner))
    }

    fn byte(&mut self) -> Result<u8, String> {
        let Some(pair) = self.rest.get(..2) else {
            return Err(format!("half a byte: `{}`", self.rest));
        };
        let byte = hex_byte(pair)?;
        self.rest = &self.rest[2..];
        Ok(byte)
    }

    /// `connect3("id")`, `connect4("id")`, `connect5("id")`: Clean Start, Keep Alive 60, nothing else.
    fn connect(&mut self) -> Result<Part, String> {
        let head = if self.take("3(") {
            "10 len{ utf(\"MQIsdp\") 03 02 003c "
        } else if self.take("4(") {
            "10 len{ utf(\"MQTT\") 04 02 003c "
        } else if self.take("5(") {
            "10 len{ utf(\"MQTT\") 05 02 003c 00 "
        } else {
            return Err(format!("no such macro: `connect{}`", self.rest));
        };
        let client_id = self.text()?;
        self.need(")")?;
        let expanded = Expression::parse(&format!("{head} utf(\"{client_id}\") }}"))?;
        Ok(Part::Repeat(1, expanded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Vec<u8> {
        let environment =
            Environment { tag: "T".to_owned(), captures: BTreeMap::from([("id".to_owned(), vec![1, 2])]) };
        Expression::parse(text).unwrap().bytes(&environment).unwrap()
    }

    #[test]
    fn fragments_expand_to_the_bytes_they_name() {
        assert_eq!(expand("c000 D0 00"), [0xc0, 0, 0xd0, 0]);
        assert_eq!(expand("utf(\"a/b\")"), [0, 3, b'a', b'/', b'b']);
        assert_eq!(expand("\"@;{\""), *b"T;{");
        assert_eq!(expand("bin{ff fe}"), [0, 2, 0xff, 0xfe]);
        assert_eq!(expand("30 len{ bin{} v{} $id }"), [0x30, 5, 0, 0, 0, 1, 2]);
        assert_eq!(expand("rep(3){00 \"x\"}"), [0, b'x', 0, b'x', 0, b'x']);
    }

    #[test]
    fn counted_groups_use_the_shortest_length() {
        assert_eq!(expand("len{rep(127){00}}")[..1], [127]);
        assert_eq!(expand("len{rep(128){00}}")[..2], [0x80, 1]);
        assert_eq!(expand("len{rep(16384){00}}")[..3], [0x80, 0x80, 1]);
    }

    #[test]
    fn connect_macros_expand_to_whole_packets() {
        assert_eq!(expand("connect3(\"x\")"), *b"\x10\x0f\0\x06MQIsdp\x03\x02\0\x3c\0\x01x");
        assert_eq!(expand("connect4(\"x\")"), *b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01x");
        assert_eq!(expand("connect5(\"@\")"), *b"\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01T");
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in ["c", "c0 0", "xy", "len{00", "00}", "utf(a)", "\"a", "$", "rep(x){00}", "connect6(\"a\")", "$Id"] {
            assert!(Expression::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn wildcards_and_free_captures_match_but_cannot_be_sent() {
        let environment = Environment::default();
        let parsed = Expression::parse("40 .. $id").unwrap();
        let capture = Position::Capture("id".to_owned());
        let expected = [Position::Byte(0x40), Position::Any, capture.clone(), capture];
        assert_eq!(parsed.positions(&environment), expected);
        assert!(parsed.bytes(&environment).is_err());
    }

    #[test]
    fn separators_inside_quotes_and_brackets_do_not_split() {
        assert_eq!(split_outside("> \"a;b\" ; len{ ; } ;x", ';'), ["> \"a;b\"", "len{ ; }", "x"]);
    }
}
