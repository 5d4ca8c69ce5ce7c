//! A filled journal whose bits flip and whose files are cut: the broker starts, says what is wrong, and tells nothing that nobody said.

use std::collections::BTreeSet;

use pregon::base::random::Random;
use pregon::engine::limits::Limits;
use pregon::journal::place::{BLOCK_BYTES, SegmentNumber};
use pregon::journal::report::{Flaw, Report};

use crate::facts::{comes, heard, publish, subscribe};
use crate::support::raw::packet;
use crate::support::world::World;

/// How often a bit flips, and how often a file is cut.
const FLIPS: usize = 8_000;
const CUTS: usize = 2_000;
/// Clients with a session that lasts.
const OWNERS: [&str; 3] = ["s0", "s1", "s2"];

type Segments = Vec<(SegmentNumber, Vec<u8>)>;

/// What a broker tells after a start: each owner and, last, somebody who was never there.
type Told = Vec<Vec<(u8, String)>>;

/// Queues of three sessions, messages under way and identifiers open, messages retained, replaced and erased.
fn filled() -> Segments {
    let mut world = World::durable(1, Limits::default(), 5);
    for (number, name) in OWNERS.into_iter().enumerate() {
        let own = format!("own/{number}");
        let (link, _) = comes(&mut world, name, 0, &[], &[subscribe(&own, 2), subscribe("all", 1)]);
        if number > 0 {
            world.cut(link);
        }
    }
    let more = "x".repeat(300);
    let says = (0..60).map(|number| match number % 4 {
        0 => publish(2, "all", &format!("to all {number} {more}")),
        1 => publish(4, &format!("own/{}", number % 3), &format!("to one {number}")),
        2 => publish(3, &format!("kept/{}", number % 7), &format!("retained {number}")),
        _ => publish(3, &format!("kept/{}", number % 9), if number % 3 == 0 { "" } else { "other" }),
    });
    let release = packet(0x62, &[&[0, 7]]);
    let says: Vec<Vec<u8>> = says.flat_map(|packet| [packet, release.clone()]).collect();
    comes(&mut world, "p", 0, &[], &says);
    world.disks[0].close();
    world.disks[0].segments()
}

/// How many bytes of a segment are used: whole blocks.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).next_multiple_of(BLOCK_BYTES)
}

/// What a broker tells that starts from these segments, and what it has found wrong.
fn start(segments: &Segments) -> (Told, Report) {
    let mut world = World::durable(1, Limits::default(), 5);
    world.disks[0].harm(segments);
    world.crash();
    let report = world.disks[0].report.clone();
    let mut told: Told = OWNERS.iter().map(|name| heard(&comes(&mut world, name, 0, &[], &[]).1)).collect();
    told.push(heard(&comes(&mut world, "new", 2, &[], &[subscribe("kept/#", 1)]).1));
    told.last_mut().expect("somebody has come").sort_unstable();
    (told, report)
}

/// A topic and a payload, without the identifier between them.
fn words(body: &str) -> (&str, &str) {
    let (topic, rest) = body.split_at(2 + usize::from(body.as_bytes()[1]));
    (topic, rest.get(2..).unwrap_or_default())
}

/// Everything that was ever said, and what an unharmed journal tells.
struct Trial {
    segments: Segments,
    told: Told,
    said: BTreeSet<(String, String)>,
}

impl Trial {
    fn new() -> Self {
        let segments = filled();
        let (told, report) = start(&segments);
        assert!(!report.is_flawed() && told.iter().all(|told| told.len() > 3), "{report:?}");
        let says = (0..60).filter(|number| number % 4 == 2);
        let retained = says.map(|number| (format!("\0\u{6}kept/{}", number % 7), format!("retained {number}")));
        let others = (0..9).map(|number| (format!("\0\u{6}kept/{number}"), "other".to_owned()));
        let owed = told[..OWNERS.len()].iter().flatten();
        let owed = owed.map(|(_, body)| words(body)).map(|(topic, text)| (topic.to_owned(), text.to_owned()));
        Self { said: owed.chain(retained).chain(others).collect(), segments, told }
    }

    /// A start from harmed segments; how many records it has lost.
    fn judge(&self, segments: &Segments, what: &str) -> usize {
        let (told, report) = start(segments);
        assert!(report.is_flawed(), "{what} is not reported");
        for (_, body) in told.iter().flatten() {
            let (topic, text) = words(body);
            assert!(self.said.contains(&(topic.to_owned(), text.to_owned())), "{what}: nobody has said {body:?}");
        }
        let is_record = |flaw: Flaw| matches!(flaw, Flaw::Record(_) | Flaw::Frame | Flaw::Cut | Flaw::SegmentHeader(_));
        let lost = report.damages.iter().filter(|damage| is_record(damage.flaw)).count();
        assert!(lost > 0 || told == self.told, "{what}: nothing is lost, and yet less is told");
        lost
    }
}

#[test]
fn a_broker_starts_from_a_journal_with_a_flipped_bit_and_loses_the_record_it_hits_at_most() {
    let (trial, mut random) = (Trial::new(), Random::from_seed(1));
    let mut hits = 0;
    for _ in 0..FLIPS {
        let mut segments = trial.segments.clone();
        let which = random.index(segments.len());
        let bytes = &mut segments[which].1;
        let (at, bit) = (random.index(used(bytes)), random.index(8));
        bytes[at] ^= 1 << bit;
        let lost = trial.judge(&segments, &format!("bit {bit} of byte {at} of segment {which}"));
        assert!(lost <= 1);
        hits += lost;
    }
    assert!(hits > FLIPS / 10 && hits < FLIPS, "{hits} flips have hit a record");
}

#[test]
fn a_broker_starts_from_a_journal_with_a_file_cut_short() {
    let (trial, mut random) = (Trial::new(), Random::from_seed(2));
    for _ in 0..CUTS {
        let mut segments = trial.segments.clone();
        let which = random.index(segments.len());
        let bytes = &mut segments[which].1;
        let end = random.index(used(bytes));
        bytes.truncate(end);
        trial.judge(&segments, &format!("segment {which} cut at {end}"));
    }
}
