//! How loud each area of the broker may be: `info,shell=debug` as the configuration writes it.

use tracing_subscriber::filter::LevelFilter;

/// The areas that have events of their own: the rooms behind `pregon::` in an event's target.
pub const AREAS: [&str; 5] = ["engine", "config", "shell", "ops", "cli"];

/// The prefix of the targets of our own events.
const OURS: &str = concat!(env!("CARGO_CRATE_NAME"), "::");

/// What is wrong with a text of levels.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum LevelError {
    #[error("`{0}` is no level: error, warn, info, debug and trace are")]
    Level(String),
    #[error("`{0}` is no area: {areas} are, and what lies in them, as shell::ring", areas = AREAS.join(", "))]
    Area(String),
    #[error("a second level for everything: `{0}`")]
    Repeated(String),
    #[error("a second level for `{0}`")]
    AreaRepeated(String),
}

/// How loud everything is, and which areas are an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    everything: LevelFilter,
    /// The longest name first, so that the first match is the closest one.
    areas: Vec<(Box<str>, LevelFilter)>,
}

impl Levels {
    /// Reads `level`, `area=level`, or several of them behind commas. Without a plain level everything else is `info`.
    pub fn parse(text: &str) -> Result<Self, LevelError> {
        let mut everything = None;
        let mut areas: Vec<(Box<str>, LevelFilter)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None => {
                    if everything.replace(level(part)?).is_some() {
                        return Err(LevelError::Repeated(part.to_owned()));
                    }
                }
                Some((area, text)) => {
                    let area = self::area(area.trim())?;
                    if areas.iter().any(|(other, _)| **other == *area) {
                        return Err(LevelError::AreaRepeated(area.to_owned()));
                    }
                    areas.push((area.into(), level(text.trim())?));
                }
            }
        }
        areas.sort_by_key(|(area, _)| std::cmp::Reverse(area.len()));
        Ok(Self { everything: everything.unwrap_or(LevelFilter::INFO), areas })
    }

    /// How loud the events of this target may be.
    pub fn of(&self, target: &str) -> LevelFilter {
        let Some(place) = target.strip_prefix(OURS) else {
            return self.everything;
        };
        let inside =
            |area: &str| place.strip_prefix(area).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        self.areas.iter().find(|(area, _)| inside(area)).map_or(self.everything, |(_, level)| *level)
    }

    /// What is quieter than this is heard from nobody.
    pub fn loudest(&self) -> LevelFilter {
        self.areas.iter().map(|(_, level)| *level).fold(self.everything, LevelFilter::max)
    }
}

fn level(text: &str) -> Result<LevelFilter, LevelError> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(LevelError::Level(text.to_owned())),
    }
}

fn area(text: &str) -> Result<&str, LevelError> {
    let room = text.split("::").next().unwrap_or(text);
    if AREAS.contains(&room) { Ok(text) } else { Err(LevelError::Area(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_area_decides() {
        let levels = Levels::parse("warn, shell=debug, shell::ring=error").unwrap();
        assert_eq!(levels.of("pregon::shell::turn"), LevelFilter::DEBUG);
        assert_eq!(levels.of("pregon::shell"), LevelFilter::DEBUG);
        assert_eq!(levels.of("pregon::shell::ring::accept"), LevelFilter::ERROR);
        assert_eq!(levels.of("pregon::shell::ringing"), LevelFilter::DEBUG);
        assert_eq!(levels.of("pregon::shellfish"), LevelFilter::WARN);
        assert_eq!(levels.of("shell"), LevelFilter::WARN, "another crate's target is no area of ours");
        assert_eq!(levels.loudest(), LevelFilter::DEBUG);
    }

    #[test]
    fn without_a_plain_level_the_rest_is_info() {
        let levels = Levels::parse("ops=error").unwrap();
        assert_eq!((levels.of("pregon::ops::http"), levels.of("pregon::cli")), (LevelFilter::ERROR, LevelFilter::INFO));
    }

    #[test]
    fn nonsense_is_told_what_would_make_sense() {
        let error = |text| Levels::parse(text).unwrap_err();
        assert_eq!(error("loud"), LevelError::Level("loud".into()));
        assert_eq!(error(""), LevelError::Level(String::new()));
        assert_eq!(error("info,"), LevelError::Level(String::new()));
        assert_eq!(error("shel=debug"), LevelError::Area("shel".into()));
        assert_eq!(error("shell=debug=x"), LevelError::Level("debug=x".into()));
        assert_eq!(error("info,debug"), LevelError::Repeated("debug".into()));
        assert_eq!(error("shell=info,shell=warn"), LevelError::AreaRepeated("shell".into()));
        assert!(error("shel=debug").to_string().contains("engine, config, shell"));
    }
}
