//! The rules about a file as a whole: its first line, its length, its place in the module tree.

use crate::source::Source;

/// Past this many lines a file is mentioned.
const LONG: usize = 600;
/// Past this many lines a file is refused.
const TOO_LONG: usize = 1_000;

/// The first line must be `//! ` and one sentence.
pub fn first_line(source: &Source) -> Vec<String> {
    let line = source.text.lines().next().unwrap_or("");
    let complaint = match line.strip_prefix("//! ") {
        None => "the first line is `//! ` and one sentence on what lives here",
        Some(sentence) if !sentence.ends_with('.') => "the first line ends with its sentence, in a full stop",
        Some(sentence) if has_second_sentence(sentence) => {
            "the first line is one sentence; what more there is to say stands below"
        }
        Some(_) => return Vec::new(),
    };
    vec![source.finding(1, complaint)]
}

fn has_second_sentence(text: &str) -> bool {
    text.match_indices(". ")
        .any(|(at, _)| text[at + 2..].starts_with(|letter: char| letter.is_uppercase() || letter == '`'))
}

/// Files over the wall.
pub fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= TOO_LONG {
        return Vec::new();
    }
    vec![source.finding(lines, format!("{lines} lines, {TOO_LONG} is the wall: split along a noun"))]
}

/// A word about a file that grows towards the wall.
pub fn long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > LONG).then(|| source.finding(lines, format!("{lines} lines: is there a noun to split along?")))
}

/// A file that no `mod` line names is never compiled: its tests would never run.
pub fn orphans(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some((parents, module)) = parents(file, files) else {
            continue;
        };
        if !parents.is_empty() && !parents.iter().any(|parent| declares(parent, module, false)) {
            found.push(file.finding(1, format!("no `mod {module};` names this file, so it is never compiled")));
        }
    }
    found
}

/// Whether the file, or a module above it, is declared under `#[cfg(test)]`.
pub fn is_test_only(file: &Source, files: &[Source]) -> bool {
    parents(file, files).is_some_and(|(parents, module)| {
        let is_test = |parent: &&Source| declares(parent, module, true) || is_test_only(parent, files);
        parents.iter().any(is_test)
    })
}

/// The files that may declare this one, and the name under which; nothing for the root of a crate.
fn parents<'a>(file: &'a Source, files: &'a [Source]) -> Option<(Vec<&'a Source>, &'a str)> {
    let (folder, module) = place(&file.path)?;
    let paths = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].map(|end| format!("{folder}{end}"));
    let parents = files.iter().filter(|other| paths.contains(&other.path)).collect();
    Some((parents, module))
}

/// The folder whose module declares the file, and the file's name as a module; nothing for the root of a crate.
fn place(path: &str) -> Option<(&str, &str)> {
    let (folder, name) = path.rsplit_once('/')?;
    match name {
        "main.rs" | "lib.rs" => None,
        "mod.rs" => folder.rsplit_once('/'),
        _ => Some((folder, name.strip_suffix(".rs")?)),
    }
}

/// Whether a `mod` line of `parent` names the module; if `for_test`, one under `#[cfg(test)]`.
fn declares(parent: &Source, module: &str, for_test: bool) -> bool {
    let code = parent.code();
    let mut pairs = code.windows(2);
    pairs.any(|pair| pair[0].text == "mod" && pair[1].text == module && (pair[0].in_test || !for_test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_is_one_sentence() {
        let count = |text: &str| first_line(&Source::new("src/base/x.rs", text)).len();
        assert_eq!(count("//! The wheel: timers by the turn, e.g. keep-alive.\n\nuse x;"), 0);
        assert_eq!(count("use x;"), 1);
        assert_eq!(count(""), 1);
        assert_eq!(count("//! The wheel"), 1);
        assert_eq!(count("//! The wheel. It turns."), 1);
    }

    #[test]
    fn length_is_mentioned_and_then_refused() {
        let file = |lines: usize| Source::new("src/base/x.rs", &"\n".repeat(lines));
        assert!(long(&file(600)).is_none());
        assert!(long(&file(601)).is_some());
        assert!(too_long(&file(1_000)).is_empty());
        assert_eq!(too_long(&file(1_001)).len(), 1);
    }

    #[test]
    fn a_file_under_a_test_module_is_test_only() {
        let files = [
            Source::new("src/base/mod.rs", "pub mod slab; #[cfg(test)]\nmod model; mod ring;"),
            Source::new("src/base/model.rs", "mod naive;"),
            Source::new("src/base/model/naive.rs", ""),
            Source::new("src/base/ring.rs", ""),
            Source::new("src/base/slab.rs", ""),
        ];
        let seen = files.each_ref().map(|file| is_test_only(file, &files));
        assert_eq!(seen, [false, true, true, false, false]);
    }

    #[test]
    fn a_file_that_no_module_names_is_found() {
        let files = [
            Source::new("src/lib.rs", "pub mod base;"),
            Source::new("src/base/mod.rs", "pub mod slab; // mod wheel;"),
            Source::new("src/base/slab.rs", ""),
            Source::new("src/base/wheel.rs", ""),
            Source::new("src/mqtt/mod.rs", ""),
            Source::new("tests/golden.rs", ""),
        ];
        let found = orphans(&files);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].starts_with("src/base/wheel.rs:1:") && found[1].starts_with("src/mqtt/mod.rs:1:"),
            "{found:?}"
        );
    }
}
