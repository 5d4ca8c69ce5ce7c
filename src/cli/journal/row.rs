//! Named values in their order, as a line for people or as one JSON object.

use std::borrow::Cow;
use std::io::{self, Write};

/// A value with a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Yes or no.
    Flag(bool),
    /// How many, or which one.
    Number(u64),
    /// A share of one.
    Share(f64),
    /// Text that is a value.
    Text(Cow<'a, str>),
    /// Bytes that are no text, in hexadecimal digits; its name ends in `_hex`.
    Hex(&'a [u8]),
    /// Several of a kind.
    List(Vec<Value<'a>>),
    /// Values with names of their own.
    Row(Row<'a>),
}

impl<'a> Value<'a> {
    /// Bytes of somebody else: as text if they happen to be.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Hex(bytes), Self::from)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// Named values in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Row<'a> {
    /// The same and one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// The same and one more, if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Value<'a>>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The same and those of another one.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// Writes `name=value` after `name=value`, without an end of line.
    pub fn write_line(&self, out: &mut impl Write) -> io::Result<()> {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let blank = if at > 0 { " " } else { "" };
            write!(out, "{blank}{name}{}=", value.suffix())?;
            value.write_plain(out)?;
        }
        Ok(())
    }

    /// Writes each value in a line of its own, behind its name.
    pub fn write_column(&self, out: &mut impl Write) -> io::Result<()> {
        let names: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}{}", value.suffix())).collect();
        let columns = names.iter().map(String::len).max().unwrap_or(0);
        for (name, (_, value)) in names.iter().zip(&self.0) {
            write!(out, "{name:columns$} ")?;
            value.write_plain(out)?;
            writeln!(out)?;
        }
        Ok(())
    }

    /// Writes a JSON object, without an end of line.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{")?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(out, "{comma}\"{name}{}\":", value.suffix())?;
            value.write_json(out)?;
        }
        out.write_all(b"}")
    }
}

impl Value<'_> {
    /// What the name of such a value ends with.
    const fn suffix(&self) -> &'static str {
        if matches!(self, Self::Hex(_)) { "_hex" } else { "" }
    }

    fn write_plain(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Flag(flag) => write!(out, "{flag}"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Share(share) => write!(out, "{share:.3}"),
            Self::Text(text) if is_plain(text) => write!(out, "{text}"),
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Hex(bytes) => write_hex(bytes, out),
            Self::List(values) => {
                for (at, value) in values.iter().enumerate() {
                    out.write_all(if at > 0 { b"," } else { b"" })?;
                    value.write_plain(out)?;
                }
                Ok(())
            }
            Self::Row(row) => {
                out.write_all(b"(")?;
                row.write_line(out)?;
                out.write_all(b")")
            }
        }
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Flag(flag) => write!(out, "{flag}"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Share(share) => write!(out, "{share:.3}"),
            Self::Text(text) => write_string(text, out),
            Self::Hex(bytes) => {
                out.write_all(b"\"")?;
                write_hex(bytes, out)?;
                out.write_all(b"\"")
            }
            Self::List(values) => {
                out.write_all(b"[")?;
                for (at, value) in values.iter().enumerate() {
                    out.write_all(if at > 0 { b"," } else { b"" })?;
                    value.write_json(out)?;
                }
                out.write_all(b"]")
            }
            Self::Row(row) => row.write_json(out),
        }
    }
}

/// Whether a text ends where a reader thinks it does, and holds nothing that a terminal would obey.
fn is_plain(text: &str) -> bool {
    let is_plain =
        |letter: char| letter.is_alphanumeric() || letter.is_ascii_punctuation() && !"\"'=\\,()".contains(letter);
    !text.is_empty() && text.chars().all(is_plain)
}

fn write_hex(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

fn write_string(text: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\', '\u{7f}']).into_iter().chain(rest.find(|letter| letter < ' ')).min() {
        out.write_all(&rest.as_bytes()[..at])?;
        match rest.as_bytes()[at] {
            letter @ (b'"' | b'\\') => out.write_all(&[b'\\', letter])?,
            letter => write!(out, "\\u{letter:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    write!(out, "{rest}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>() -> Row<'a> {
        Row::default()
            .with("number", u64::MAX)
            .with("flag", true)
            .with("share", Value::Share(0.25))
            .with("plain", "größe-2")
            .with("odd", "a b\"\\\n\u{1b}\u{7f}é")
            .with("empty", "")
            .with("text", Value::of_bytes(b"21.5"))
            .with("raw", Value::of_bytes(b"\x00\xff"))
            .with("ids", Value::List(vec![1_u64.into(), 2_u64.into()]))
            .with_some("none", None::<u64>)
            .and(Row::default().with("inner", Value::Row(Row::default().with("a", 1_u64).with("b", "c"))))
    }

    #[test]
    fn a_line_for_people_quotes_what_could_be_mistaken() {
        let mut line = Vec::new();
        row().write_line(&mut line).unwrap();
        let expected = "number=18446744073709551615 flag=true share=0.250 plain=größe-2 \
                        odd=\"a b\\\"\\\\\\n\\u{1b}\\u{7f}é\" empty=\"\" text=21.5 raw_hex=00ff ids=1,2 inner=(a=1 b=c)";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_column_keeps_values_in_line() {
        let mut text = Vec::new();
        Row::default().with("a", 1_u64).with("longer", "x y").write_column(&mut text).unwrap();
        assert_eq!(text, b"a      1\nlonger \"x y\"\n");
    }

    #[test]
    fn another_reader_of_json_reads_the_same() {
        let mut line = Vec::new();
        row().write_json(&mut line).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = serde_json::json!({
            "number": u64::MAX, "flag": true, "share": 0.25, "plain": "größe-2", "odd": "a b\"\\\n\u{1b}\u{7f}é", "empty": "",
            "text": "21.5", "raw_hex": "00ff", "ids": [1, 2], "inner": {"a": 1, "b": "c"},
        });
        assert_eq!(read, expected);
    }
}
