//! Configurations for reading: each value with its origin, and the example file with every key at its default.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Config;
use super::keys::{KEYS, SECTIONS};
use super::listener::{ListenAddress, Listener};
use super::listener_keys::LISTENER_KEYS;
use super::load::Checked;
use super::schema::{Key, LISTENERS};
use super::setting::Setting;
use super::source::{Origin, Place};

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

/// What makes a line of the example a comment; comments proper have a blank behind it.
const SILENCE: &str = "#";

/// The listener of the example.
const EXAMPLE_NAME: &str = "garden";

/// Where it listens.
const EXAMPLE_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1884);

/// What is said about listeners.
const EXAMPLE_LISTENER: &str = "\
A listener of its own: any number of tables [listeners.NAME], each with an address and whatever of these keys is to be \
other than here. A NAME is made of letters, digits, - and _. What is \"inherit\" is what [limits] says.";

/// Each key with its value and the origin of that, one a line, in the order of the table; of listeners what was said.
impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said =
            |setting: &Setting| matches!(setting, Setting::Key(_)) || self.place(*setting).origin != Origin::Default;
        let row = |setting: Setting| (setting.path(&self.config), setting.written(&self.config), self.place(setting));
        let rows: Vec<(String, String, &Place)> = Setting::all(&self.config).filter(said).map(row).collect();
        let path_columns = rows.iter().map(|(path, _, _)| path.len()).max().unwrap_or(0);
        let values = rows.iter().map(|(_, value, _)| value.chars().count());
        let value_columns = values.filter(|columns| *columns <= VALUE_COLUMNS_MAX).max().unwrap_or(0);
        for (path, value, place) in &rows {
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
            push_key(&mut text, key, &key.written(&defaults), "");
        }
        if section.name == LISTENERS {
            push_listener(&mut text);
        }
    }
    text
}

/// Appends a listener that is none: each of its keys once, behind a `#` without a blank.
fn push_listener(text: &mut String) {
    let address = ListenAddress::Tcp(EXAMPLE_ADDRESS);
    let listener = Listener { address, ..Listener::new(EXAMPLE_NAME) };
    text.extend(["\n# ", &"-".repeat(COMMENT_COLUMNS_MAX - 2), "\n"]);
    push_comment(text, EXAMPLE_LISTENER);
    text.extend([SILENCE, "[", LISTENERS, ".", &listener.name, "]\n"]);
    for key in LISTENER_KEYS {
        push_key(text, key, &key.written(&listener), SILENCE);
    }
}

/// Appends what a key does and takes, and its value.
fn push_key<T>(text: &mut String, key: &Key<T>, value: &str, before: &str) {
    text.push('\n');
    push_comment(text, key.doc);
    push_comment(text, &format!("Allowed: {}.", key.kind.allowed()));
    text.extend([before, key.name, " = ", value, "\n"]);
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
