//! The files of the repository as the rules see them: text, tokens, and the paths that the code spells.

use std::fs;
use std::path::Path;

use crate::tokens::{Kind, Token, tokenize};

/// Folders that are made by tools and never committed.
const FOREIGN: [&str; 5] = ["target", "artifacts", "node_modules", ".venv", ".git"];

/// One text file.
pub struct Source {
    /// From the root of the repository, with forward slashes.
    pub path: String,
    pub text: String,
}

/// A token of code, and where in the module tree it stands.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    pub text: &'a str,
    pub line: usize,
    /// How many modules with a body (`mod tests { ... }`) enclose it.
    pub inline_modules: usize,
    /// Inside an item under `#[cfg(test)]`.
    pub in_test: bool,
}

/// A path in code with the brace groups multiplied out: `use a::{b, c::d}` spells `a::b` and `a::c::d`.
#[derive(Clone, Debug)]
pub struct Spelled<'a> {
    pub segments: Vec<&'a str>,
    pub start: Code<'a>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    pub fn is_markdown(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "md")
    }

    /// The folder under `src/` that holds the file: its floor, if it has one.
    pub fn floor(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(folder, _)| folder)
    }

    /// `path:line: what`, as an editor can follow it.
    pub fn finding(&self, line: usize, what: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, what.as_ref())
    }

    pub fn tokens(&self) -> Vec<Token<'_>> {
        tokenize(&self.text)
    }

    /// The tokens without comments.
    pub fn code(&self) -> Vec<Code<'_>> {
        let tokens: Vec<_> = self.tokens().into_iter().filter(|token| token.kind != Kind::Comment).collect();
        let mut open = Vec::new();
        let mut test_is_next = false;
        let mut code = Vec::with_capacity(tokens.len());
        for (at, token) in tokens.iter().enumerate() {
            let in_test = test_is_next || open.iter().any(|(_, is_test)| *is_test);
            let inline_modules = open.iter().filter(|(is_module, _)| *is_module).count();
            code.push(Code { text: token.text, line: token.line, inline_modules, in_test });
            match token.text {
                "cfg" if is_test_condition(&tokens[at..]) => test_is_next = true,
                "{" => open.push((at >= 2 && tokens[at - 2].text == "mod", std::mem::take(&mut test_is_next))),
                "}" => drop(open.pop()),
                ";" => test_is_next = false,
                _ => {}
            }
        }
        code
    }
}

/// `cfg(test)` and `cfg(all(test, ...))`, but not `cfg(not(test))`.
fn is_test_condition(tokens: &[Token<'_>]) -> bool {
    let condition: Vec<_> = tokens.iter().take_while(|token| token.text != "]").map(|token| token.text).collect();
    condition.contains(&"test") && !condition.contains(&"not")
}

/// Every path in `code`, single words among them.
pub fn paths<'a>(code: &[Code<'a>]) -> Vec<Spelled<'a>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        at = if is_word(code[at].text) { spell(code, at, &[], code[at], &mut found) } else { at + 1 };
    }
    found
}

/// Follows the path that begins at `at` and every branch of its groups; returns the first token behind it.
fn spell<'a>(code: &[Code<'a>], at: usize, prefix: &[&'a str], start: Code<'a>, found: &mut Vec<Spelled<'a>>) -> usize {
    let mut segments = prefix.to_vec();
    let mut at = at;
    loop {
        segments.push(code[at].text);
        at += 1;
        let text = |at: usize| code.get(at).map_or("", |token| token.text);
        if text(at) != "::" {
            break;
        }
        match text(at + 1) {
            "{" => return spell_group(code, at + 2, &segments, found),
            next if is_word(next) || next == "*" => at += 1,
            _ => break, // a turbofish, or the end of the text
        }
    }
    found.push(Spelled { segments, start });
    at
}

/// The elements of a group up to its closing brace.
fn spell_group<'a>(code: &[Code<'a>], at: usize, prefix: &[&'a str], found: &mut Vec<Spelled<'a>>) -> usize {
    let mut at = at;
    let mut is_element = true;
    while let Some(token) = code.get(at) {
        match token.text {
            "}" => return at + 1,
            "," => (is_element, at) = (true, at + 1),
            text if is_element && (is_word(text) || text == "*") => {
                is_element = false; // what follows up to the comma is `as name`
                at = spell(code, at, prefix, *token, found);
            }
            _ => at += 1,
        }
    }
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter == '_' || letter.is_alphabetic())
}

/// Every text file of the repository, in the order of its path.
pub fn repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, "", &mut files);
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the walk must have seen the crate");
    files
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository can be listed");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry can be read").file_name())
        .map(|name| name.into_string().expect("names in the repository are UTF-8"))
        .collect();
    names.sort();
    for name in names.iter().filter(|name| !FOREIGN.contains(&name.as_str())) {
        let (path, on_disk) = (format!("{prefix}{name}"), folder.join(name));
        if on_disk.is_dir() {
            walk(&on_disk, &format!("{path}/"), files);
        } else if let Ok(text) = fs::read_to_string(&on_disk) {
            files.push(Source { path, text }); // what is not UTF-8 is a fixture
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Vec<String> {
        let source = Source::new("src/base/x.rs", text);
        paths(&source.code()).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn groups_are_multiplied_out() {
        let paths = spelled("use a::{b, c::{self, d as e}, f::*};");
        assert_eq!(paths, ["use", "a::b", "a::c::self", "a::c::d", "a::f::*"]);
    }

    #[test]
    fn paths_in_expressions_are_seen_from_their_start() {
        assert_eq!(spelled("x = ::a::b::<C>(d.e)"), ["x", "a::b", "C", "d", "e"]);
    }

    #[test]
    fn test_items_and_inline_modules_are_known() {
        let source =
            Source::new("src/base/x.rs", "a #[cfg(test)] mod t { b mod u { c } } d #[cfg(not(test))] fn f() { e }");
        let seen: Vec<_> = source
            .code()
            .into_iter()
            .filter(|code| code.text.len() == 1 && "abcde".contains(code.text))
            .map(|code| (code.text, code.inline_modules, code.in_test))
            .collect();
        assert_eq!(seen, [("a", 0, false), ("b", 1, true), ("c", 2, true), ("d", 0, false), ("e", 0, false)]);
    }
}
