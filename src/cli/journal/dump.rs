//! `pregon journal dump`: every change in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;

use super::row::Row;
use super::{Finding, JournalError, fields, warn};
use crate::cli::arguments::journal::Dump;
use crate::engine::change::{Change, Serial};
use crate::engine::message::SessionId;
use crate::journal::kind::Kind;
use crate::journal::replay::Found;
use crate::shell::archive::{Archive, ArchiveError, Shelved};

/// What of a shard is printed.
enum Choice {
    All,
    /// These sessions and the messages that they were owed.
    Of {
        sessions: BTreeSet<SessionId>,
        bodies: BTreeSet<Serial>,
    },
}

impl Choice {
    fn takes(&self, found: &Found) -> bool {
        match self {
            Self::All => true,
            Self::Of { sessions, bodies } => match fields::session(&found.change) {
                Some(session) => sessions.contains(&session),
                None => fields::message(found).is_some_and(|body| bodies.contains(&body)),
            },
        }
    }
}

/// Prints the changes that are asked for.
pub(super) fn run(flags: &Dump, out: &mut impl Write) -> Result<Finding, JournalError> {
    let archive = Archive::open(&flags.place.directory)?;
    let is_wanted = |shelf: &&Shelved| flags.shard.is_none_or(|wanted| shelf.shard.index() == wanted);
    let shelves: Vec<&Shelved> = archive.shelves.iter().filter(is_wanted).collect();
    if let (Some(wanted), true) = (flags.shard, shelves.is_empty()) {
        let known: Vec<String> = archive.shelves.iter().map(|shelf| shelf.shard.index().to_string()).collect();
        return Err(JournalError::NoSuchShard { wanted, known: known.join(", ") });
    }
    let sessions = flags.session.as_deref().map(|client_id| sessions(&archive, client_id)).transpose()?;
    let mut left = flags.limit.unwrap_or(u64::MAX);
    let mut finding = Finding::Clean;
    for shelf in shelves {
        let choice = match &sessions {
            Some(sessions) => choice(&archive, shelf, sessions)?,
            None => Choice::All,
        };
        finding = finding.and(print(&archive, shelf, &choice, &mut left, flags.json, out)?);
        if left == 0 {
            break;
        }
    }
    Ok(finding)
}

/// Reads all shards for the sessions of a client: one lives on its home shard, and is told of on others, and before its own record.
fn sessions(archive: &Archive, client_id: &str) -> Result<BTreeSet<SessionId>, ArchiveError> {
    let mut sessions = BTreeSet::new();
    for shelf in &archive.shelves {
        archive.read(shelf, |found| {
            if let Change::Session { session, standing } = &found.change
                && *standing.client_id == *client_id
            {
                sessions.insert(*session);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(sessions)
}

/// Reads a shard for what these sessions were owed.
fn choice(archive: &Archive, shelf: &Shelved, sessions: &BTreeSet<SessionId>) -> Result<Choice, ArchiveError> {
    let mut bodies = BTreeSet::new();
    archive.read(shelf, |found| {
        if let Change::Queued { session, body, .. } | Change::QueuedAgain { session, body, .. } = found.change
            && sessions.contains(&session)
        {
            bodies.insert(body);
        }
        ControlFlow::Continue(())
    })?;
    Ok(Choice::Of { sessions: sessions.clone(), bodies })
}

fn print(
    archive: &Archive,
    shelf: &Shelved,
    choice: &Choice,
    left: &mut u64,
    is_json: bool,
    out: &mut impl Write,
) -> Result<Finding, JournalError> {
    let mut clients: BTreeMap<SessionId, Box<str>> = BTreeMap::new();
    let mut written = Ok(());
    let report = archive.read(shelf, |found| {
        if *left == 0 {
            return ControlFlow::Break(());
        }
        if let Change::Session { session, standing } = &found.change {
            clients.insert(*session, standing.client_id.clone());
        }
        if !choice.takes(&found) {
            return ControlFlow::Continue(());
        }
        *left -= 1;
        written = write(shelf, &found, &clients, is_json, out);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written?;
    Ok(warn(archive, shelf, report)?)
}

fn write(
    shelf: &Shelved,
    found: &Found,
    clients: &BTreeMap<SessionId, Box<str>>,
    is_json: bool,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let Found { serial, change, place, bytes } = found;
    let (shard, kind) = (shelf.shard.index(), fields::name(Kind::of(change)));
    let session = fields::session(change);
    let client_id = session.and_then(|session| clients.get(&session)).map(|client_id| &**client_id);
    let row = Row::default()
        .with_some("session", session.map(SessionId::get))
        .with_some("client_id", client_id)
        .and(fields::of(change));
    if is_json {
        let head = Row::default().with("shard", shard).with("serial", serial.get()).with("kind", kind);
        let place =
            Row::default().with("segment", place.segment.get()).with("position", place.position).with("bytes", *bytes);
        head.and(row).and(place).write_json(out)?;
    } else {
        write!(out, "{shard:>2} {:>10} {kind:13} ", serial.get())?;
        row.write_line(out)?;
    }
    writeln!(out)
}
