//! Golden conversations: one line of hex each, played against anything that speaks MQTT over bytes.
//!
//! The dialect is described in `tests/golden/README.md`. A conversation is parsed once (`script`, `expression`,
//! `expectation`) and played by `run` over a [`Wire`]: the pure engine, our broker over TCP, a foreign broker.
//! Invariants: nothing here uses the codec under test; a packet that nobody expected fails the conversation;
//! each conversation has client identifiers and topics of its own, so that one cannot spoil the next.

mod expectation;
mod expression;
mod packet;
mod run;
mod script;
pub mod tcp;

use std::fs;
use std::path::{Path, PathBuf};

pub use expression::Environment;
pub use run::{Failure, run};
pub use script::{Action, Conversation, Step};

/// Connections to whatever is driven, as plain bytes.
pub trait Wire {
    /// Opens a connection and names it.
    fn connect(&mut self) -> usize;
    /// Hands bytes to the server; on a closed connection they are lost, which is no error.
    fn send(&mut self, client: usize, bytes: &[u8]);
    /// All that has arrived by now; a wire over a network waits a little when there is nothing.
    fn receive(&mut self, client: usize) -> Vec<u8>;
    /// Whether the server has closed the connection; asked after `receive` had nothing more.
    fn is_closed(&mut self, client: usize) -> bool;
    /// Closes the connection from this side without a DISCONNECT.
    fn close(&mut self, client: usize);
}

/// How the bytes of a client are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Each step in one piece.
    Whole,
    /// Each byte by itself.
    ByteByByte,
}

/// Plays all conversations and returns those that went otherwise than written.
#[must_use]
pub fn run_all(wire: &mut impl Wire, delivery: Delivery) -> Vec<Failure> {
    let salt = match delivery {
        Delivery::Whole => "whole",
        Delivery::ByteByByte => "byte by byte",
    };
    let failures = load().into_iter().filter_map(|conversation| run(wire, &conversation, delivery, salt).err());
    failures.collect()
}

/// All conversations of `tests/golden`, file by file.
///
/// # Panics
/// When a line does not parse; the message names it.
pub fn load() -> Vec<Conversation> {
    files().iter().flat_map(|path| load_file(path)).collect()
}

/// The golden files in order of their names.
pub fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(folder).expect("the folder of golden files is there");
    let paths = entries.map(|entry| entry.expect("an entry of the folder is readable").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    files
}

fn load_file(path: &Path) -> Vec<Conversation> {
    let text = fs::read_to_string(path).expect("a golden file is text");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a golden file has a plain name");
    let mut conversations = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match Conversation::parse(stem, line) {
            Ok(conversation) => conversations.push(conversation),
            Err(reason) => panic!("{stem}.txt line {}: {reason}", at + 1),
        }
    }
    conversations
}
