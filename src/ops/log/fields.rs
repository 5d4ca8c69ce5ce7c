//! What a line for people looks like: the message, then `name=value`, quoted where a value could be mistaken for more.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Fields as text.
pub(super) struct Plain;

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// The fields of one line in the making.
struct Line<'writer> {
    writer: Writer<'writer>,
    is_empty: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str) -> fmt::Result {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.write_char(' ')?;
        }
        match field.name() {
            "message" => Printable(&mut self.writer).write_str(value),
            name if is_plain(value) => write!(self.writer, "{name}={value}"),
            name => write!(self.writer, "{name}={value:?}"),
        }
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.put(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Whether the value ends where a reader thinks it does, and holds nothing that a terminal would obey.
fn is_plain(value: &str) -> bool {
    let is_plain =
        |letter: char| letter.is_alphanumeric() || letter.is_ascii_punctuation() && !"\"'=\\".contains(letter);
    !value.is_empty() && value.chars().all(is_plain)
}

/// Writes what cannot be printed as an escape.
struct Printable<'a, W>(&'a mut W);

impl<W: Write> Write for Printable<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '"' | '\'' => self.0.write_char(letter)?,
                _ => write!(self.0, "{}", letter.escape_debug())?,
            }
        }
        Ok(())
    }
}
