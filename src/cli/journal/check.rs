//! `pregon journal check`: every byte is read, and what is not as it was written is named.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use super::{Finding, JournalError};
use crate::journal::place::SegmentNumber;
use crate::journal::report::{Damage, Report};
use crate::journal::tail::Tail;
use crate::shell::archive::{Archive, Shelved};

/// Reads a data directory and prints what is wrong with it.
pub(super) fn run(directory: &Path, out: &mut impl Write) -> Result<Finding, JournalError> {
    let archive = Archive::open(directory)?;
    let mut finding = Finding::Clean;
    for shelf in &archive.shelves {
        let report = archive.check(shelf)?;
        tell(shelf, &report, out)?;
        finding = finding.and(Finding::of(&report));
    }
    for shard in archive.missing() {
        writeln!(
            out,
            "shard {}: its folder is missing, and {} shards have written here",
            shard.index(),
            archive.shards
        )?;
        finding = Finding::Damaged;
    }
    match finding {
        Finding::Clean => writeln!(out, "all is as it was written")?,
        Finding::Damaged => {
            writeln!(out, "damaged: a start sets aside the records that were hit, and loses nothing else")?;
        }
    }
    Ok(finding)
}

fn tell(shelf: &Shelved, report: &Report, out: &mut impl Write) -> Result<(), JournalError> {
    let Report { segments, frames, records, bytes, .. } = report;
    let shard = shelf.shard.index();
    writeln!(out, "shard {shard}: {segments} segments, {frames} frames, {records} records, {bytes} bytes read")?;
    for damage in &report.damages {
        let (place, flaw) = (damage.place, damage.flaw);
        writeln!(
            out,
            "  damaged: {}: {} bytes at {}: {flaw}",
            file(shelf, place.segment),
            damage.bytes,
            place.position
        )?;
    }
    let unlisted = report.damages_count - report.damages.len() as u64;
    if unlisted > 0 {
        writeln!(out, "  damaged: {unlisted} more pieces, which are not listed")?;
    }
    for number in &report.missing {
        writeln!(out, "  missing: segment {}: the one behind it is there", number.get())?;
    }
    for Damage { place, bytes, flaw } in report.mends.iter().map(|mend| mend.damage) {
        writeln!(
            out,
            "  torn: {}: {bytes} bytes at {}: {flaw}; a crash leaves that behind, and the next start mends it",
            file(shelf, place.segment),
            place.position
        )?;
    }
    if let Some(Tail { place, torn_bytes: Some(bytes), .. }) = report.tail {
        let file = file(shelf, place.segment);
        writeln!(
            out,
            "  unfinished: {file}: {bytes} bytes at {}: a crash leaves that behind, or a broker that is just writing",
            place.position
        )?;
    }
    Ok(())
}

/// The file of a segment, for a person.
fn file(shelf: &Shelved, number: SegmentNumber) -> impl Display {
    let path = shelf.file(number).map(|path| path.display().to_string());
    path.unwrap_or_else(|| format!("segment {} of {}", number.get(), shelf.path.display()))
}
