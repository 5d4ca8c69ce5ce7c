//! `pregon journal stats`: what the changes of each shard add up to.

use std::io::{self, Write};
use std::ops::ControlFlow;

use super::moment::Moment;
use super::row::{Row, Value};
use super::{Finding, JournalError, fields, warn};
use crate::cli::arguments::journal::Stats;
use crate::engine::change::Serial;
use crate::engine::message::SessionId;
use crate::journal::kind::Kind;
use crate::journal::ledger::{Account, Ledger};
use crate::journal::replay::Found;
use crate::journal::report::Report;
use crate::shell::archive::{Archive, Shelved};

/// How many records there are, and how long they are together.
#[derive(Clone, Copy, Default)]
struct Sum {
    records: u64,
    bytes: u64,
}

/// What was read of one shard.
struct Sums {
    kinds: [Sum; Kind::ALL.len()],
    /// The lowest number of a change.
    first: Option<Serial>,
    ledger: Ledger,
    report: Report,
}

impl Sums {
    fn new() -> Self {
        let kinds = [Sum::default(); Kind::ALL.len()];
        Self { kinds, first: None, ledger: Ledger::default(), report: Report::default() }
    }

    fn take(&mut self, found: Found) {
        let Found { serial, change, bytes, .. } = found;
        let sum = &mut self.kinds[usize::from(Kind::of(&change).number()) - 1];
        (sum.records, sum.bytes) = (sum.records + 1, sum.bytes + u64::from(bytes));
        self.first.get_or_insert(serial);
        self.ledger.take(serial, change, bytes);
    }

    /// The kinds of which there are records, with their sums.
    fn kinds(&self) -> impl Iterator<Item = (Kind, Sum)> {
        Kind::ALL.into_iter().zip(self.kinds).filter(|(_, sum)| sum.records > 0)
    }

    fn all(&self) -> Sum {
        let add = |all: Sum, sum: Sum| Sum { records: all.records + sum.records, bytes: all.bytes + sum.bytes };
        self.kinds.into_iter().fold(Sum::default(), add)
    }

    /// Which part of the bytes of all records is still needed; none where there is no record.
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn live_share(&self) -> Option<f64> {
        let bytes = self.all().bytes;
        (bytes > 0).then(|| self.ledger.live_bytes() as f64 / bytes as f64)
    }

    /// A number of all sessions together.
    fn count(&self, of: impl Fn(&Account) -> usize) -> usize {
        self.ledger.sessions().map(|(_, account)| of(account)).sum()
    }
}

/// Adds up each shard and prints what it comes to.
pub(super) fn run(flags: &Stats, out: &mut impl Write) -> Result<Finding, JournalError> {
    let archive = Archive::open(&flags.place.directory)?;
    let mut finding = Finding::Clean;
    for shelf in &archive.shelves {
        let mut sums = Sums::new();
        sums.report = archive.read(shelf, |found| {
            sums.take(found);
            ControlFlow::Continue(())
        })?;
        if flags.json {
            write_json(shelf, &sums, flags.sessions, out)?;
        } else {
            write_text(shelf, &sums, flags.sessions, out)?;
        }
        finding = finding.and(warn(&archive, shelf, sums.report)?);
    }
    Ok(finding)
}

/// What there is to say about a shard as a whole.
fn totals<'a>(shelf: &Shelved, sums: &Sums) -> Row<'a> {
    let (all, ledger) = (sums.all(), &sums.ledger);
    let numbers = |pick: fn(&[u64]) -> Option<u64>| {
        pick(&shelf.segments.iter().map(|segment| segment.number).collect::<Vec<_>>())
    };
    Row::default()
        .with("shard", shelf.shard.index())
        .with("segments", shelf.segments.len())
        .with("file_bytes", shelf.segments.iter().map(|segment| segment.bytes).sum::<u64>())
        .with_some("oldest_segment", numbers(|numbers| numbers.iter().min().copied()))
        .with_some("newest_segment", numbers(|numbers| numbers.iter().max().copied()))
        .with("records", all.records)
        .with("record_bytes", all.bytes)
        .with("live_bytes", ledger.live_bytes())
        .with_some("live_share", sums.live_share().map(Value::Share))
        .with_some("oldest_change", sums.first.map(Serial::get))
        .with_some("newest_change", sums.first.map(|_| sums.report.last.get()))
        .with("sessions", ledger.sessions().count())
        .with("subscriptions", sums.count(|account| account.subscriptions().count()))
        .with("memberships", sums.count(|account| account.memberships().count()))
        .with("queued_copies", sums.count(Account::queued_count))
        .with("inflight_copies", sums.count(Account::inflight_count))
        .with("groups", ledger.groups().count())
        .with("group_copies", ledger.groups().map(|(_, _, copies)| copies).sum::<usize>())
        .with("retained_messages", ledger.retained_count())
}

/// What there is to say about a session.
fn session<'a>(shelf: &Shelved, id: SessionId, account: &'a Account) -> Row<'a> {
    Row::default()
        .with("shard", shelf.shard.index())
        .with("session", id.get())
        .with("client_id", account.client_id())
        .with_some("user", account.user())
        .with("expiry_s", account.expiry_s())
        .with("is_connected", account.is_connected())
        .with_some("ends_at", Moment::of(account.ends_at()).map(|moment| moment.to_string()))
        .with("subscriptions", Value::List(account.subscriptions().map(Value::from).collect()))
        .with("memberships", Value::List(account.memberships().map(membership).collect()))
        .with("queued", account.queued_count())
        .with("inflight", account.inflight_count())
        .with("incoming", account.incoming_count())
        .with("has_will", account.has_will())
}

/// A shared subscription as it is written in SUBSCRIBE.
fn membership<'a>((share, filter): (&str, &str)) -> Value<'a> {
    format!("$share/{share}/{filter}").into()
}

fn write_json(shelf: &Shelved, sums: &Sums, with_sessions: bool, out: &mut impl Write) -> io::Result<()> {
    let of_kind = |sum: Sum| Value::Row(Row::default().with("records", sum.records).with("bytes", sum.bytes));
    let kinds = sums.kinds().fold(Row::default(), |row, (kind, sum)| row.with(fields::name(kind), of_kind(sum)));
    totals(shelf, sums).with("kinds", Value::Row(kinds)).write_json(out)?;
    writeln!(out)?;
    for (id, account) in sums.ledger.sessions().filter(|_| with_sessions) {
        session(shelf, id, account).write_json(out)?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_text(shelf: &Shelved, sums: &Sums, with_sessions: bool, out: &mut impl Write) -> io::Result<()> {
    totals(shelf, sums).write_column(out)?;
    writeln!(out, "  {:16} {:>12} {:>16}", "kind", "records", "bytes")?;
    for (kind, sum) in sums.kinds() {
        writeln!(out, "  {:16} {:>12} {:>16}", fields::name(kind), sum.records, sum.bytes)?;
    }
    for (id, account) in sums.ledger.sessions().filter(|_| with_sessions) {
        session(shelf, id, account).write_line(out)?;
        writeln!(out)?;
    }
    Ok(())
}
