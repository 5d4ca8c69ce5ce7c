//! Events in, lines out: what a captured log says.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

use super::{Gate, Levels, layer, level_of};
use crate::config::LogFormat;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Capture {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Runs `speak` under a log of its own; its lines.
fn heard(format: LogFormat, levels: &str, lines_max: u32, speak: impl FnOnce(&Gate)) -> Vec<String> {
    let (capture, gate) = (Capture::default(), Gate::new(Levels::parse(levels).unwrap(), lines_max));
    let subscriber = Registry::default().with(layer(format, gate.clone(), capture.clone()));
    tracing::subscriber::with_default(subscriber, || speak(&gate));
    capture.lines()
}

fn text(levels: &str, speak: impl FnOnce(&Gate)) -> Vec<String> {
    heard(LogFormat::Text, levels, 100, speak)
}

#[test]
fn a_line_says_when_how_bad_where_what() {
    let lines = text("info", |_| tracing::info!(target: "pregon::shell::turn", shard = 3, "it turns"));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(rest.trim_start(), "INFO pregon::shell::turn: it turns shard=3");
}

#[test]
fn each_area_is_as_loud_as_it_may_be() {
    let lines = text("warn,shell=debug,shell::events=error", |_| {
        tracing::debug!(target: "pregon::shell::turn", "heard");
        tracing::trace!(target: "pregon::shell::turn", "too quiet");
        tracing::warn!(target: "pregon::shell::events", "too quiet");
        tracing::info!(target: "pregon::ops::http", "too quiet");
        tracing::warn!(target: "foreign", "heard");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("heard")), "{lines:?}");
}

#[test]
fn text_of_a_client_ends_no_line_and_commands_no_terminal() {
    let hostile = "a\nERROR pregon: faked \u{1b}[2J\u{9b}2J\u{202e} level=error \"x\"";
    let lines = text("info", |_| {
        tracing::info!(client = hostile, "{hostile}");
        tracing::info!(client = %hostile);
        tracing::info!(client = ?hostile);
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in &lines {
        assert!(line.chars().all(|letter| !letter.is_control() && letter != '\u{202e}'), "{line:?}");
    }
    assert!(lines[1].ends_with(r#"client="a\nERROR pregon: faked \u{1b}[2J\u{9b}2J\u{202e} level=error \"x\"""#));
}

#[test]
fn a_plain_value_stands_bare_and_a_strange_one_in_quotes() {
    let lines = text("info", |_| {
        tracing::info!(client = "hogar-1", peer = %"[::1]:1883", topic = "presión/a", is = true, empty = "", two = "a b");
    });
    assert!(
        lines[0].ends_with(r#"client=hogar-1 peer=[::1]:1883 topic=presión/a is=true empty="" two="a b""#),
        "{lines:?}"
    );
}

#[test]
fn json_is_one_object_a_line() {
    let lines = heard(LogFormat::Json, "info", 100, |_| tracing::warn!(client = "a\n\"b\u{1b}", count = 7, "left"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with('{') && lines[0].ends_with('}'), "{lines:?}");
    for part in [r#""level":"WARN""#, r#""message":"left""#, r#""client":"a\n\"b\u001b""#, r#""count":7"#] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
}

#[test]
fn a_kind_over_its_bound_is_counted_and_summed_up() {
    let lines = heard(LogFormat::Text, "info", 2, |gate| {
        for turn in 0..5 {
            tracing::info!(turn, "often");
            tracing::info!(turn, "seldom is another kind");
        }
        gate.kinds().sum_up();
        tracing::info!("a new second");
        gate.kinds().sum_up();
    });
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count("often"), count("seldom"), count("new second")), (2, 2, 1), "{lines:?}");
    assert_eq!(count("events left out count=3"), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("log/tests.rs:")), "{lines:?}");
    assert_eq!(lines.len(), 7);
}

#[test]
fn a_kind_speaks_again_after_the_sum() {
    let lines = heard(LogFormat::Text, "info", 1, |gate| {
        for _ in 0..3 {
            tracing::info!("again");
            gate.kinds().sum_up();
        }
    });
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[test]
fn a_target_of_another_crate_lies_in_no_area() {
    let levels = Levels::parse("warn,shell=debug").unwrap();
    assert_eq!(level_of(&levels, "pregon::shell::events"), LevelFilter::DEBUG);
    assert_eq!(level_of(&levels, "pregon::cli::serve"), LevelFilter::WARN);
    assert_eq!(level_of(&levels, "shell::events"), LevelFilter::WARN);
}

#[test]
fn a_bound_of_zero_leaves_only_the_sums() {
    let lines = heard(LogFormat::Text, "info", 0, |gate| {
        tracing::info!("left out");
        tracing::error!("left out, too");
        gate.kinds().sum_up();
    });
    assert_eq!(lines.iter().filter(|line| line.contains("count=1")).count(), 2, "{lines:?}");
    assert_eq!(lines.len(), 2);
}
