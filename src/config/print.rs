//! Configurations for reading: each value with its origin, and the example file with every key at its default.

use core::fmt;

use super::Config;
use super::keys::{KEYS, SECTIONS};
use super::load::Checked;

/// Columns of the comments in the example file.
const COMMENT_COLUMNS_MAX: usize = 110;

/// Columns of a value behind which the origin is no longer kept in line.
const VALUE_COLUMNS_MAX: usize = 32;

/// How the example file begins.
const EXAMPLE_HEAD: &str = "\
# The configuration of Pregon: every key at its default. Without any file the broker runs with just these values.
#
# Copy what you change, to the file of `pregon --config` or to a file of conf.d beside it, and leave the rest out.
# `pregon check` validates, and prints each value with the place that it came from.
";

/// Each key with its value and the origin of that, one a line, in the order of the table.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<(String, String)> = KEYS.iter().map(|key| (key.path(), key.written(&self.config))).collect();
        let path_columns = rows.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
        let values = rows.iter().map(|(_, value)| value.chars().count());
        let value_columns = values.filter(|columns| *columns <= VALUE_COLUMNS_MAX).max().unwrap_or(0);
        for ((path, value), place) in rows.iter().zip(&self.places) {
            writeln!(f, "{path:path_columns$} = {value:value_columns$}  {place}")?;
        }
        Ok(())
    }
}

/// The example file: every key at its default, with what it does and what it takes.
pub fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    let defaults = Config::default();
    for section in &SECTIONS {
        let rule = "=".repeat(COMMENT_COLUMNS_MAX - 2);
        text.extend(["\n# ", &rule, "\n"]);
        push_comment(&mut text, section.doc);
        text.extend(["[", section.name, "]\n"]);
        for key in KEYS.iter().filter(|key| key.section == section.name) {
            text.push('\n');
            push_comment(&mut text, key.doc);
            push_comment(&mut text, &format!("Allowed: {}.", key.kind.allowed()));
            text.extend([key.name, " = ", &key.written(&defaults), "\n"]);
        }
    }
    text
}

/// Appends a sentence as comment lines.
fn push_comment(text: &mut String, sentence: &str) {
    let mut columns = 1;
    text.push('#');
    for word in sentence.split(' ') {
        let width = word.chars().count() + 1;
        if columns + width > COMMENT_COLUMNS_MAX {
            text.push_str("\n#");
            columns = 1;
        }
        text.extend([" ", word]);
        columns += width;
    }
    text.push('\n');
}
