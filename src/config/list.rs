//! Values that are lists: what their entries are, and how each of them has its say.

use core::ops::Range;

use toml::de::DeArray;

use super::address::{self, PLAIN_PORT};
use super::complaint::{Mistake, excerpt};
use super::kind::{Fault, TEXT_BYTES_MAX, Value, either, find_word, name_of, parse_free_text, parse_path};
use super::text::{self, LIST_ENTRIES_MAX};
use crate::base::network::Network;

/// What stands in a list. Any number of entries does, also none.
#[derive(Clone, Copy, Debug)]
pub enum List {
    /// Addresses, with their ports or at the one of plain MQTT.
    Addresses,
    /// Networks.
    Networks,
    /// Paths in the file system.
    Files,
    /// Origins of pages.
    Origins,
    /// Free texts.
    Texts,
    /// These words, each at most once.
    Words(&'static [&'static str]),
}

impl List {
    /// Reads the text form; the first entry that is wrong is told.
    pub fn read_text(self, text: &str) -> Result<Value, Mistake> {
        let is_entry = matches!(self, List::Addresses) && address::begins_with_ipv6(text.trim());
        let listed = if is_entry { format!("[{text}]") } else { text.to_owned() };
        let entries = text::parse_list(&listed)?.into_iter().map(Ok);
        self.read(entries).map_err(|mut wrong| wrong.swap_remove(0).1)
    }

    /// Reads a list of a file; every entry that is wrong is told.
    pub fn read_toml(self, list: &DeArray<'_>, span: &Range<usize>) -> Result<Value, Vec<Fault>> {
        if list.len() > LIST_ENTRIES_MAX {
            let mistake = Mistake::ListTooLong { maximum: LIST_ENTRIES_MAX };
            return Err(vec![Fault { mistake, span: span.clone() }]);
        }
        let entries = list.iter().map(|entry| {
            let found = name_of(entry.get_ref());
            entry.get_ref().as_str().ok_or(Mistake::WrongType { found })
        });
        self.read(entries).map_err(|wrong| {
            let fault = |(at, mistake): (usize, Mistake)| Fault { mistake, span: list[at].span() };
            wrong.into_iter().map(fault).collect()
        })
    }

    fn read<'a>(self, entries: impl Iterator<Item = Result<&'a str, Mistake>>) -> Result<Value, Vec<(usize, Mistake)>> {
        match self {
            List::Addresses => each(entries, address::parse_plain).map(Value::Addresses),
            List::Networks => each(entries, parse_network).map(Value::Networks),
            List::Files => each(entries, parse_path).map(Value::Texts),
            List::Origins => each(entries, address::parse_origin).map(Value::Texts),
            List::Texts => each(entries, parse_free_text).map(Value::Texts),
            List::Words(words) => {
                let mut seen = Vec::new();
                let once = |text: &str| {
                    let word = find_word(words, text)?;
                    if seen.contains(&word) {
                        return Err(Mistake::WordTwice(word));
                    }
                    seen.push(word);
                    Ok(word)
                };
                each(entries, once).map(Value::Words)
            }
        }
    }

    /// What stands in it, in words.
    pub fn allowed(self) -> String {
        let (entries, example) = match self {
            List::Addresses => {
                return format!(
                    "a list of addresses such as [\"0.0.0.0:{PLAIN_PORT}\", \"[::1]:{PLAIN_PORT}\"], at {PLAIN_PORT} where no port is said"
                );
            }
            List::Networks => ("networks", "[\"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.7\"]"),
            List::Files => ("paths", "[\"/etc/pregon/broker.pem\"]"),
            List::Origins => ("origins", "[\"https://casa.example\", \"http://localhost:8080\"]"),
            List::Texts => {
                return format!("a list of texts such as [\"broker\"], each up to {TEXT_BYTES_MAX} bytes");
            }
            List::Words(words) => {
                let words = either(words.iter().map(|word| format!("\"{word}\"")));
                return format!("a list of {words}, each at most once");
            }
        };
        format!("a list of {entries} such as {example}")
    }
}

/// Reads every entry, or tells which ones are wrong.
fn each<'a, T>(
    entries: impl Iterator<Item = Result<&'a str, Mistake>>,
    mut parse: impl FnMut(&str) -> Result<T, Mistake>,
) -> Result<Vec<T>, Vec<(usize, Mistake)>> {
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for (at, entry) in entries.enumerate() {
        match entry.and_then(&mut parse) {
            Ok(value) => right.push(value),
            Err(mistake) => wrong.push((at, mistake)),
        }
    }
    if wrong.is_empty() { Ok(right) } else { Err(wrong) }
}

fn parse_network(text: &str) -> Result<Network, Mistake> {
    Network::parse(text).map_err(|error| Mistake::NetworkInvalid { text: excerpt(text), error })
}
