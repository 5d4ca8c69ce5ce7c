//! How loud each area of the broker may be: `info,shell=debug` as an operator writes it.

use core::fmt;
use core::ops::Range;

use super::complaint::{Mistake, excerpt};
use super::field::Spelled;
use super::text::LIST_ENTRIES_MAX;
use crate::base::nearest::nearest_name;

/// The modules that write events. An area is one of them or what it lies in; a test holds the list against the source.
pub const EVENT_MODULES: [&str; 21] = [
    "cli::serve",
    "ops::control",
    "ops::http",
    "ops::log::kinds",
    "ops::log::lines",
    "shell::accepting",
    "shell::broker",
    "shell::clerks",
    "shell::events",
    "shell::executor",
    "shell::fetching",
    "shell::files::keeper",
    "shell::journal",
    "shell::moving",
    "shell::reloading",
    "shell::replay",
    "shell::returning",
    "shell::storage",
    "shell::ring::uring",
    "shell::web::hook",
    "shell::web::keys",
];

/// How important an event is, from what must be heard to what is for the very curious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Somebody has to look at it.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What clients do.
    Debug,
    /// Every single thing.
    Trace,
}

/// How loud everything is, and which areas are an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    everything: Level,
    /// As they were written, each once.
    areas: Vec<(Box<str>, Level)>,
}

/// What is wrong with a text of levels, and the part of it that is.
#[derive(Debug)]
pub struct LevelFault {
    /// What.
    pub mistake: Mistake,
    /// Which bytes of the text.
    pub part: Range<usize>,
}

impl Levels {
    /// One level for everything.
    pub const fn all(everything: Level) -> Self {
        Self { everything, areas: Vec::new() }
    }

    /// Reads `level`, `area=level`, or several of them behind commas. Without a plain level everything else is `info`.
    pub fn parse(text: &str) -> Result<Self, LevelFault> {
        let (mut everything, mut areas, mut at) = (None, Vec::new(), 0);
        for part in text.split(',') {
            read_part(part, &mut everything, &mut areas)
                .map_err(|mistake| LevelFault { mistake, part: at..at + part.len() })?;
            at += part.len() + 1;
        }
        Ok(Self { everything: everything.unwrap_or(Level::Info), areas })
    }

    /// How loud the events of this module may be: the closest area decides.
    pub fn of(&self, module: &str) -> Level {
        let around = self.areas.iter().filter(|(area, _)| lies_in(module, area));
        around.max_by_key(|(area, _)| area.len()).map_or(self.everything, |(_, level)| *level)
    }

    /// How loud everything is that lies in no area of ours.
    pub fn everything(&self) -> Level {
        self.everything
    }

    /// What is quieter than this is heard from nobody.
    pub fn loudest(&self) -> Level {
        self.areas.iter().map(|(_, level)| *level).fold(self.everything, Level::max)
    }
}

/// As it would be written.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.everything.word())?;
        self.areas.iter().try_for_each(|(area, level)| write!(f, ",{area}={}", level.word()))
    }
}

fn read_part(part: &str, everything: &mut Option<Level>, areas: &mut Vec<(Box<str>, Level)>) -> Result<(), Mistake> {
    let Some((area, level)) = part.split_once('=') else {
        let is_first = everything.replace(read_level(part.trim())?).is_none();
        return if is_first { Ok(()) } else { Err(Mistake::LevelTwice("everything".into())) };
    };
    let area = area.trim();
    if !EVENT_MODULES.iter().any(|module| lies_in(module, area)) {
        return Err(Mistake::AreaUnknown { area: excerpt(area), instead: nearest_name(area, known_areas()) });
    }
    if areas.iter().any(|(other, _)| **other == *area) {
        return Err(Mistake::LevelTwice(area.into()));
    }
    if areas.len() == LIST_ENTRIES_MAX {
        return Err(Mistake::ListTooLong { maximum: LIST_ENTRIES_MAX });
    }
    areas.push((area.into(), read_level(level.trim())?));
    Ok(())
}

fn read_level(text: &str) -> Result<Level, Mistake> {
    let unknown =
        || Mistake::LevelUnknown { level: excerpt(text), instead: nearest_name(text, Level::WORDS.iter().copied()) };
    Level::of_word(text).ok_or_else(unknown)
}

/// Whether a module is an area or lies in it.
fn lies_in(module: &str, area: &str) -> bool {
    module.strip_prefix(area).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every area: the modules that write events, and what they lie in.
fn known_areas() -> impl Iterator<Item = &'static str> {
    EVENT_MODULES.iter().flat_map(|module| {
        let around = module.match_indices("::").map(|(end, _)| &module[..end]);
        around.chain([*module])
    })
}

/// The rooms that have areas in them.
pub fn rooms() -> impl Iterator<Item = &'static str> {
    let mut rooms: Vec<&str> = known_areas().filter(|area| !area.contains("::")).collect();
    rooms.dedup();
    rooms.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_area_decides() {
        let levels = Levels::parse("warn, shell=debug, shell::events=error").unwrap();
        assert_eq!(levels.of("shell::broker"), Level::Debug);
        assert_eq!(levels.of("shell"), Level::Debug);
        assert_eq!(levels.of("shell::events::turn"), Level::Error);
        assert_eq!(levels.of("shell::eventsful"), Level::Debug);
        assert_eq!(levels.of("shellfish"), Level::Warn);
        assert_eq!(levels.loudest(), Level::Debug);
        assert_eq!(levels.to_string(), "warn,shell=debug,shell::events=error");
    }

    #[test]
    fn without_a_plain_level_the_rest_is_info() {
        let levels = Levels::parse("ops=error").unwrap();
        assert_eq!((levels.of("ops::http"), levels.of("cli")), (Level::Error, Level::Info));
    }

    #[test]
    fn nonsense_is_told_what_was_meant_and_where() {
        let told = |text| {
            let fault = Levels::parse(text).unwrap_err();
            (fault.mistake.to_string(), fault.part)
        };
        let area = |area, instead| format!("the log has no area \"{area}\"; \"{instead}\" is one");
        assert_eq!(told("info,shel=debug"), (area("shel", "shell"), 5..15));
        assert_eq!(told("shell::evnets=debug").0, area("shell::evnets", "shell::events"));
        assert_eq!(told("engine=debug").0, "the log has no area \"engine\"");
        assert_eq!(told("=info").0, "the log has no area \"\"");
        assert_eq!(told("debgu"), ("the log has no level \"debgu\"; \"debug\" is one".to_owned(), 0..5));
        assert_eq!(told("shell=a=b=c").0, "the log has no level \"a=b=c\"");
        assert_eq!(told("info,"), ("the log has no level \"\"".to_owned(), 5..5));
        assert_eq!(told("info,debug").0, "the log has two levels for everything");
        assert_eq!(told("shell=info,shell=warn").0, "the log has two levels for shell");
    }
}
