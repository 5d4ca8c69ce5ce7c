//! What the fuzz target of configurations does with its bytes; `tests/corpus.rs` does the same with its corpus.

use pregon::config::load::TEXT_BYTES_MAX;
use pregon::config::setting::Setting;
use pregon::config::{Checked, Source, load};

/// Sources of one input.
const SOURCES_MAX: usize = 8;

/// Bytes as sources, with a zero between two: the file, then each by its first letter a file of `conf.d`, `--set`, or a variable of the
/// environment. All of it is taken or nothing; complaints are lines that a terminal may be shown; and what was taken, written as a file, is
/// taken again and means the same.
pub fn configuration(data: &[u8]) {
    let sources: Vec<Source> = data.split(|byte| *byte == 0).take(SOURCES_MAX).enumerate().map(source).collect();
    match load(sources) {
        Ok(checked) => again(&checked),
        Err(complaints) => {
            let told = complaints.to_string();
            assert!(!told.is_empty(), "whoever refuses says why");
            assert!(!told.chars().any(|letter| letter.is_control() && letter != '\n'), "{told:?}");
        }
    }
}

fn source((number, part): (usize, &[u8])) -> Source {
    match (number, part.split_first()) {
        (1.., Some((b'd', text))) => Source::drop_in("conf.d/fuzz.toml", text),
        (1.., Some((b'e', text))) => {
            let (name, value) = text.split_at(text.iter().position(|byte| *byte == b'=').unwrap_or(text.len()));
            let name = format!("PREGON_{}", String::from_utf8_lossy(name));
            Source::environment(&name, value.get(1..).unwrap_or_default())
        }
        (1.., Some((b's', text))) => Source::set(text),
        (1.., _) => Source::set(part),
        (0, _) => Source::file("fuzz.toml", part),
    }
}

/// Written as a file that says everything, also what is the default, a configuration is what it was.
fn again(checked: &Checked) {
    let config = checked.config();
    let line = |setting: Setting| format!("{} = {}\n", setting.path(config), setting.written(config));
    let text: String = Setting::all(config).map(line).collect();
    assert!(text.len() <= TEXT_BYTES_MAX || config.listeners.named.len() > 1, "what was said fits into a file");
    match load(vec![Source::file("again.toml", text.as_str())]) {
        Ok(read) => assert_eq!(read.config(), config, "{text}"),
        Err(complaints) => assert!(text.len() > TEXT_BYTES_MAX, "{complaints}\n{text}"),
    }
}
