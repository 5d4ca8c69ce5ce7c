//! The rules about single words: what a pure room may not name, and what must not be left behind in any file.

use std::collections::BTreeSet;

use crate::source::{Code, Source, paths};
use crate::tokens::Kind;

/// The floors that are pure: time, randomness and bytes come in as values, wishes go out as values.
const PURE: [&str; 6] = ["base", "mqtt", "carrier", "engine", "journal", "config"];

/// Paths that a pure room does not spell, in whole or as a part.
const BANNED_PATHS: [(&[&str], &str); 26] = [
    (&["Instant", "now"], "time enters as a value"),
    (&["time", "Instant"], "time enters as a value"),
    (&["SystemTime"], "time enters as a value"),
    (&["UNIX_EPOCH"], "time enters as a value"),
    (&["std", "thread"], "a shard is one thread and starts none"),
    (&["thread_local"], "state is owned by the shard"),
    (&["thread", "spawn"], "a shard is one thread and starts none"),
    (&["sync", "Mutex"], "state is owned, not locked"),
    (&["sync", "RwLock"], "state is owned, not locked"),
    (&["sync", "Condvar"], "a shard never waits"),
    (&["sync", "mpsc"], "messages between shards go through the outputs"),
    (&["collections", "HashMap"], "its seed is random: a run could not be replayed"),
    (&["collections", "HashSet"], "its seed is random: a run could not be replayed"),
    (&["collections", "hash_map"], "its seed is random: a run could not be replayed"),
    (&["collections", "hash_set"], "its seed is random: a run could not be replayed"),
    (&["collections", "*"], "it would bring in maps whose seed is random"),
    (&["RandomState"], "its seed is random: a run could not be replayed"),
    (&["DefaultHasher"], "its result changes with the compiler"),
    (&["std", "fs"], "a pure room does no I/O"),
    (&["std", "net"], "a pure room does no I/O: addresses come from `core::net`"),
    (&["std", "os"], "a pure room does no I/O"),
    (&["std", "env"], "settings come in as values"),
    (&["std", "process"], "a pure room ends nothing and starts nothing"),
    (&["std", "*"], "name what is used"),
    (&["io", "stdout"], "a pure room prints nothing"),
    (&["io", "stderr"], "a pure room prints nothing"),
];

/// Macros that print, from a pure room.
const BANNED_MACROS: [&str; 5] = ["println", "print", "eprintln", "eprint", "dbg"];

/// What no document says of itself: where somebody works, and how a program ends that has broken.
const PASTED: [&str; 4] = ["/home/", "panicked at", "stack backtrace", "RUST_BACKTRACE=full"];

/// The files that may hold `unsafe`.
const UNSAFE_FILES: [&str; 5] = [
    "src/shell/ring/buffers.rs",
    "src/shell/ring/plain.rs",
    "src/shell/ring/sys.rs",
    "src/shell/ring/uring.rs",
    "tests/allocations.rs",
];

/// What a pure room may not name. Its tests may read a fixture or start a thread: clippy has its own word with them.
pub fn impure(source: &Source) -> Vec<String> {
    if !source.floor().is_some_and(|floor| PURE.contains(&floor)) {
        return Vec::new();
    }
    let code = source.code();
    let mut found = Vec::new();
    for path in paths(&code).into_iter().filter(|path| !path.start.in_test) {
        let banned =
            BANNED_PATHS.iter().find(|(words, _)| path.segments.windows(words.len()).any(|part| part == *words));
        found.extend(banned.map(|(words, why)| {
            source.finding(path.start.line, format!("`{}` in a pure room: {why}", words.join("::")))
        }));
    }
    for pair in
        code.windows(2).filter(|pair| !pair[0].in_test && pair[1].text == "!" && BANNED_MACROS.contains(&pair[0].text))
    {
        found.push(source.finding(pair[0].line, format!("`{}!` in a pure room", pair[0].text)));
    }
    found
}

/// `unsafe` outside of the listed files.
pub fn unlisted_unsafe(source: &Source) -> Vec<String> {
    if UNSAFE_FILES.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let code = source.code();
    let places = code.iter().filter(|code| code.text == "unsafe");
    places.map(|code| source.finding(code.line, "`unsafe` in a file that tidy does not list")).collect()
}

/// Marks of unfinished work: in comments and code of Rust, anywhere in other text.
pub fn unfinished(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut scan = |first_line: usize, text: &str| {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| has_mark(line)) {
            found.push(source.finding(first_line + at, format!("unfinished: {}", line.trim())));
        }
    };
    if !source.is_rust() {
        scan(1, &source.text);
        return found;
    }
    source.tokens().iter().filter(|token| token.kind == Kind::Comment).for_each(|token| scan(token.line, token.text));
    for place in source.code().windows(3) {
        let [first, second, third] = [place[0].text, place[1].text, place[2].text];
        if matches!((first, second), ("todo" | "unimplemented", "!")) {
            found.push(source.finding(place[0].line, format!("`{first}!` is unfinished work")));
        }
        if (first, second, third) == ("#", "[", "ignore") {
            found.push(source.finding(place[0].line, "an ignored test proves nothing"));
        }
    }
    found
}

fn has_mark(line: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "TODO" || word == "FIXME")
}

/// What comes into a document by pasting: paths of somebody's machine, and what a program said when it broke.
pub fn pasted(source: &Source) -> Vec<String> {
    if !source.is_markdown() {
        return Vec::new();
    }
    let is_path_of_code = |word: &str| word.starts_with('/') && word.contains(".rs:");
    let is_pasted = |line: &str| PASTED.iter().any(|mark| line.contains(mark)) || line.split(' ').any(is_path_of_code);
    let lines = source.text.lines().enumerate().filter(|(_, line)| is_pasted(line));
    lines.map(|(at, line)| source.finding(at + 1, format!("pasted: {}", line.trim()))).collect()
}

/// `let _ =` without a comment on its line or the one above.
pub fn silent_drops(source: &Source) -> Vec<String> {
    let mut commented = BTreeSet::new();
    for token in source.tokens().iter().filter(|token| token.kind == Kind::Comment) {
        commented.extend(token.line..=token.line + token.text.matches('\n').count());
    }
    let is_silent = |place: &[Code<'_>]| {
        let line = place[0].line;
        place[0].text == "let" && place[1].text == "_" && !commented.contains(&line) && !commented.contains(&(line - 1))
    };
    let code = source.code();
    let places = code.windows(2).filter(|place| is_silent(place));
    places
        .map(|place| source.finding(place[0].line, "`let _ =` needs a comment: why may the value be dropped?"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pure(text: &str) -> usize {
        impure(&Source::new("src/engine/shard.rs", text)).len()
    }

    #[test]
    fn impure_words_are_found_in_every_form() {
        for planted in [
            "fn f() { Instant::now(); }",
            "fn f() { std::time::SystemTime::now(); }",
            "use std::time::{Duration, Instant};",
            "use std::{fmt, thread};",
            "fn f() { ::std::thread::yield_now() }",
            "use std::collections::{BTreeMap, HashMap};",
            "use std::{collections::{HashSet}, fmt};",
            "use std::collections; fn f() { collections::HashMap::new(); }",
            "use std::collections::*;",
            "use std::hash::RandomState;",
            "use std::fs;",
            "use std::net::TcpStream;",
            "fn f() { println!(\"x\"); }",
            "fn f() { dbg!(1); }",
            "use std::sync::{Arc, Mutex};",
        ] {
            assert_eq!(pure(planted), 1, "{planted}");
        }
    }

    #[test]
    fn pure_words_pass() {
        let text = "use std::{collections::BTreeMap, fmt, time::Duration}; use hashbrown::HashMap; // std::fs\nconst A: &str = \"std::net\";";
        assert_eq!(pure(text), 0);
        assert_eq!(pure("#[cfg(test)] mod tests { use std::fs; }"), 0);
        assert!(impure(&Source::new("src/shell/files.rs", "use std::fs;")).is_empty());
    }

    #[test]
    fn unsafe_is_found_but_its_lint_is_not() {
        let source = Source::new("src/base/ring.rs", "#![expect(unsafe_code)]\nfn f() { unsafe { g() } }");
        assert_eq!(unlisted_unsafe(&source), ["src/base/ring.rs:2: `unsafe` in a file that tidy does not list"]);
    }

    #[test]
    fn unfinished_work_is_found() {
        let rust = |text: &str| unfinished(&Source::new("src/base/x.rs", text)).len();
        assert_eq!(rust("// FIXME: later"), 1);
        assert_eq!(rust("/* a\n TODO b */"), 1);
        assert_eq!(rust("fn f() { todo!() }"), 1);
        assert_eq!(rust("fn f() { unimplemented!(\"x\") }"), 1);
        assert_eq!(rust("#[test] #[ignore = \"slow\"] fn f() {}"), 1);
        assert_eq!(rust("const A: &str = \"TODO\"; fn todo() {} // a method of todos"), 0);
        assert_eq!(unfinished(&Source::new("README.md", "one\n- TODO two")), ["README.md:2: unfinished: - TODO two"]);
    }

    #[test]
    fn what_was_pasted_into_a_document_is_found() {
        let found = |path: &str, text: &str| pasted(&Source::new(path, text)).len();
        for line in [
            "thread 'main' (1) panicked at src/lib.rs:1:1:",
            "stack backtrace:",
            "   at /rustc/59807616/library/core/src/ops/function.rs:250:5",
            "cd /home/somebody/pregon",
        ] {
            assert_eq!(found("bench/README.md", &format!("one\n{line}\n")), 1, "{line}");
            assert_eq!(found("src/base/x.rs", line), 0, "only documents");
        }
        let plain = "pregon journal export /var/lib/pregon /tmp/carry\n`home/%u/#`, /etc/pregon, src/lib.rs:3, a panic";
        assert_eq!(found("src/manual/operations.md", plain), 0);
        let finding = pasted(&Source::new("README.md", "\n stack backtrace:"));
        assert_eq!(finding, ["README.md:2: pasted: stack backtrace:"]);
    }

    #[test]
    fn a_dropped_value_wants_a_comment() {
        let drops = |text: &str| silent_drops(&Source::new("src/base/x.rs", text)).len();
        assert_eq!(drops("fn f() {\n let _ = g();\n}"), 1);
        assert_eq!(drops("fn f() {\n let _: u8 = g();\n}"), 1);
        assert_eq!(drops("fn f() {\n // The peer is gone anyway.\n let _ = g();\n}"), 0);
        assert_eq!(drops("fn f() {\n let _ = g(); // The peer is gone anyway.\n}"), 0);
        assert_eq!(drops("fn f() {\n let _unused = g();\n}"), 0);
    }
}
