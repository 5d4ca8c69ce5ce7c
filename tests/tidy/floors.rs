//! The rule of the floors: a file imports its own floor or one below, and nothing reaches round it.

use crate::source::{Code, Source, Spelled, paths};

/// From the ground up. The manual stands beside them: it holds no code.
pub const FLOORS: [&str; 9] = ["base", "mqtt", "carrier", "engine", "journal", "config", "shell", "ops", "cli"];

/// What the floors rule finds in one file.
pub fn findings(source: &Source) -> Vec<String> {
    let Some(floor) = source.floor().and_then(rank) else {
        return Vec::new();
    };
    let code = source.code();
    let mut found = detours(source, &code);
    for path in paths(&code) {
        let complaint = match path.segments[0] {
            "crate" => upward(&path, floor),
            "self" | "super" => outside(&path, source),
            _ => None,
        };
        found.extend(complaint.map(|what| source.finding(path.start.line, what)));
    }
    found.dedup(); // `engine::{shard, limits}` is one mistake
    found
}

fn rank(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|name| *name == floor)
}

/// `crate::engine::...` below the engine; also what the crate's root would hand on.
fn upward(path: &Spelled<'_>, floor: usize) -> Option<String> {
    let target = path.segments.get(1)?;
    match rank(target) {
        Some(rank) if rank <= floor => None,
        Some(_) => Some(format!("`{}` stands above `{}`: imports point downward", target, FLOORS[floor])),
        None => Some(format!("`crate::{target}` names no floor: import from the room that owns it")),
    }
}

/// A chain of `super` may climb to the room's own folder and no further.
fn outside(path: &Spelled<'_>, source: &Source) -> Option<String> {
    let climbs = path.segments.iter().filter(|segment| **segment == "super").count();
    let folders = source.path.matches('/').count() - 1; // below src/
    let own = if source.path.ends_with("/mod.rs") { folders } else { folders + 1 };
    let depth = own + path.start.inline_modules;
    if depth.checked_sub(climbs).is_some_and(|depth| depth >= folders) {
        return None;
    }
    Some(format!("`{}` leaves the room: write the path from `crate`", path.segments.join("::")))
}

/// The ways round the rule: another name for the root, another file as a module.
fn detours(source: &Source, code: &[Code<'_>]) -> Vec<String> {
    const DETOURS: [(&[&str], &str); 4] = [
        (&["crate", "as"], "the root gets no second name"),
        (&["extern", "crate"], "the crate gets no second name"),
        (&["#", "[", "path"], "a module stands where its name says"),
        (&["include", "!"], "code is not pasted from another file"),
    ];
    let mut found = Vec::new();
    for (words, why) in DETOURS {
        let places =
            code.windows(words.len()).filter(|place| place.iter().map(|code| code.text).eq(words.iter().copied()));
        found.extend(places.map(|place| source.finding(place[0].line, why)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<String> {
        findings(&Source::new(path, text))
            .into_iter()
            .map(|finding| finding.split(": ").next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn upward_imports_are_found_in_every_form() {
        for planted in [
            "use crate::engine::Shard;",
            "use crate::{base::slab, engine::{shard, limits}};",
            "use crate::{\n  mqtt::{self},\n  shell};",
            "pub use crate::engine::*;",
            "fn f() { crate::engine::shard::new() }",
            "fn f(x: &crate::ops::Log) {}",
            "macro_rules! m { () => { $crate::config::load() } }",
            "use crate::Shard;",
            "use crate::*;",
            "use crate::{self as root};",
            "use crate as root;",
            "extern crate self as pregon;",
            "#[path = \"../engine/shard.rs\"] mod shard;",
            "include!(\"../engine/shard.rs\");",
        ] {
            assert_eq!(lines("src/mqtt/frame.rs", planted).len(), 1, "{planted}");
        }
    }

    #[test]
    fn own_floor_and_floors_below_are_open() {
        let text = "use crate::{base::slab, mqtt::{frame, text}};\n pub(crate) fn f() {} // crate::engine\n/// [`crate::engine`]\nconst A: &str = \"crate::ops::x\";";
        assert!(lines("src/mqtt/frame.rs", text).is_empty());
        assert!(lines("src/ops/log.rs", "use crate::{base, mqtt, engine, journal, config, shell, ops};").is_empty());
        assert!(lines("src/lib.rs", "pub use crate::ops::Log;").is_empty());
    }

    #[test]
    fn super_may_reach_the_room_but_not_leave_it() {
        assert!(
            lines("src/engine/session/inbound.rs", "use super::state; mod tests { use super::super::state; }")
                .is_empty()
        );
        assert!(lines("src/engine/session/mod.rs", "use self::state::S; mod tests { use super::*; }").is_empty());
        assert_eq!(
            lines("src/engine/session/inbound.rs", "\nuse super::super::limits;"),
            ["src/engine/session/inbound.rs:2"]
        );
        assert_eq!(lines("src/engine/session/mod.rs", "use super::limits;").len(), 1);
        assert_eq!(lines("src/mqtt/mod.rs", "use super::engine;").len(), 1);
        assert_eq!(lines("src/mqtt/frame.rs", "use super::{super::engine, text};").len(), 1);
        assert_eq!(lines("src/mqtt/frame.rs", "mod tests { use super::super::super::engine; }").len(), 1);
    }
}
