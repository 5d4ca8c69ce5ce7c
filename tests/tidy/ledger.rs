//! The conformance ledger: every statement of the standards is claimed by a test or excused with a reason.
//!
//! Statements and exceptions are tables in `tests/conformance/`. A test claims what it proves in doc lines directly above
//! `#[test]`: `/// v5: MQTT-3.1.0-1, X5-CONN-PIPELINE`. Ids that begin with `MQTT-` are those of the OASIS texts, misprints
//! kept; those with `X` are ours, for what the texts demand without a number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::source::Source;
use crate::tokens::{Kind, Token};

const FOLDER: &str = "tests/conformance/";

/// Where the scorecard stands in the README.
pub const MARKERS: (&str, &str) = ("<!-- scorecard -->\n", "<!-- /scorecard -->");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V5,
    V311,
}

impl Version {
    pub const ALL: [Self; 2] = [Self::V5, Self::V311];

    /// As claims and exceptions write it.
    fn key(self) -> &'static str {
        match self {
            Self::V5 => "v5",
            Self::V311 => "v311",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::V5 => "MQTT 5.0",
            Self::V311 => "MQTT 3.1.1 and 3.1",
        }
    }

    fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.key() == key)
    }
}

type Id = (Version, String);

/// The tables and the claims, and what is wrong with them.
#[derive(Default)]
pub struct Ledger {
    /// With the place and the words of each statement, as a finding shows them.
    stated: BTreeMap<Id, String>,
    /// With the place of each exception.
    excused: BTreeMap<Id, String>,
    claimed: BTreeSet<Id>,
    pub problems: Vec<String>,
}

impl Ledger {
    pub fn read(files: &[Source]) -> Self {
        let mut ledger = Self::default();
        for version in Version::ALL {
            let path = format!("{FOLDER}statements-{}.tsv", version.key());
            ledger.read_statements(version, find(files, &path));
        }
        ledger.read_exceptions(find(files, &format!("{FOLDER}exceptions.tsv")));
        for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(FOLDER)) {
            ledger.read_claims(file);
        }
        let doubly = ledger.excused.iter().filter(|(id, _)| ledger.claimed.contains(id));
        ledger.problems.extend(doubly.map(|(_, place)| format!("{place} is excused although a test claims it")));
        ledger
    }

    /// What no test claims and no exception excuses.
    pub fn open(&self) -> Vec<String> {
        let is_open = |id: &Id| !self.claimed.contains(id) && !self.excused.contains_key(id);
        let open = self.stated.iter().filter(|(id, _)| is_open(id));
        open.map(|(_, statement)| format!("{statement} (neither tested nor excused)")).collect()
    }

    /// The table of the README.
    pub fn scorecard(&self) -> String {
        fn count<'a>(ids: impl Iterator<Item = &'a Id>, version: Version) -> usize {
            ids.filter(|(of, _)| *of == version).count()
        }
        let mut card = String::from("| standard | statements | tested | excused | open |\n|---|---:|---:|---:|---:|\n");
        for version in Version::ALL {
            let stated = count(self.stated.keys(), version);
            let tested = count(self.claimed.iter(), version);
            let excused = count(self.excused.keys(), version);
            let open = stated.saturating_sub(tested + excused);
            writeln!(card, "| {} | {stated} | {tested} | {excused} | {open} |", version.title())
                .expect("a String takes every write");
        }
        card
    }

    fn read_statements(&mut self, version: Version, table: &Source) {
        for (line, [id, binds, requirement, section]) in self.rows(table, "id\tbinds\trequirement\tsection") {
            if !["server", "client", "both"].contains(&binds) {
                self.problems.push(table.finding(line, format!("`{binds}` is nobody whom a statement binds")));
            }
            if requirement.is_empty() || section.is_empty() {
                self.problems.push(table.finding(line, format!("{id} says nothing")));
            }
            let statement = table.finding(line, format!("{id} {requirement}"));
            if self.stated.insert((version, id.to_owned()), statement).is_some() {
                self.problems.push(table.finding(line, format!("{id} stands here twice")));
            }
        }
    }

    fn read_exceptions(&mut self, table: &Source) {
        for (line, [id, key, reason]) in self.rows(table, "id\tversion\treason") {
            if !reason.ends_with('.') {
                self.problems.push(table.finding(line, format!("the reason for {id} is a sentence")));
            }
            let place = table.finding(line, id);
            if let Some(id) = self.known(table, line, key, id)
                && self.excused.insert(id, place).is_some()
            {
                self.problems.push(table.finding(line, "excused twice"));
            }
        }
    }

    /// The rows of a table under its heading, each with its line number.
    fn rows<'a, const N: usize>(&mut self, table: &'a Source, heading: &str) -> Vec<(usize, [&'a str; N])> {
        let mut lines = table.text.lines();
        assert_eq!(lines.next(), Some(heading), "{} has another heading", table.path);
        let mut rows = Vec::new();
        for (at, line) in lines.enumerate() {
            match <[&str; N]>::try_from(line.split('\t').collect::<Vec<_>>()) {
                Ok(cells) => rows.push((at + 2, cells)),
                Err(cells) => self.problems.push(table.finding(at + 2, format!("{} cells, not {N}", cells.len()))),
            }
        }
        rows
    }

    /// Walks the items of a file: doc lines and attributes gather until the item itself begins.
    fn read_claims(&mut self, file: &Source) {
        let tokens = file.tokens();
        let mut claims = Vec::new();
        let mut attributes = BTreeSet::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if token.kind == Kind::Comment {
                claims.extend(claim_of(token));
                at += 1;
            } else if token.text == "#" {
                let len = attribute_len(&tokens[at..]);
                attributes.extend(tokens[at..at + len].get(2).map(|name| name.text));
                at += len;
            } else {
                self.accept(file, token.line, &std::mem::take(&mut claims), &std::mem::take(&mut attributes));
                at += 1;
            }
        }
    }

    /// An item begins on `line`: what does it claim, and may it?
    fn accept(&mut self, file: &Source, line: usize, claims: &[Claim<'_>], attributes: &BTreeSet<&str>) {
        let complaint = match (claims.is_empty(), attributes.contains("test")) {
            (true, false) => return,
            (true, true) => Some("a conformance test names the statements it proves"),
            (false, false) => Some("a claim without `#[test]` proves nothing"),
            (false, true) if attributes.contains("cfg") || attributes.contains("cfg_attr") => {
                Some("a claim under a condition proves nothing")
            }
            (false, true) => None,
        };
        if let Some(complaint) = complaint {
            self.problems.push(file.finding(line, complaint));
            return;
        }
        for claim in claims {
            for id in claim.ids.split(',') {
                let id = self.known(file, claim.line, claim.key, id.trim());
                self.claimed.extend(id);
            }
        }
    }

    /// The id, if the tables know it.
    fn known(&mut self, file: &Source, line: usize, key: &str, id: &str) -> Option<Id> {
        let named = Version::from_key(key).map(|version| (version, id.to_owned()));
        let known = named.filter(|named| self.stated.contains_key(named));
        if known.is_none() {
            self.problems.push(file.finding(line, format!("`{key}: {id}` is no statement of the tables")));
        }
        known
    }
}

struct Claim<'a> {
    key: &'a str,
    ids: &'a str,
    line: usize,
}

/// `/// v5: id, id` is a claim; every other doc line is prose.
fn claim_of<'a>(comment: &Token<'a>) -> Option<Claim<'a>> {
    let (key, ids) = comment.text.strip_prefix("///")?.trim().split_once(':')?;
    let digits = key.strip_prefix('v')?;
    digits.starts_with(|digit: char| digit.is_ascii_digit()).then_some(Claim { key, ids, line: comment.line })
}

/// The number of tokens from `#` to its closing bracket.
fn attribute_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "[" => depth += 1,
            "]" if depth <= 1 => return at + 1,
            "]" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The part of the README between the markers, which stand on lines of their own.
pub fn printed_scorecard(readme: &str) -> Option<&str> {
    let (_, after) = readme.split_once(MARKERS.0)?;
    after.split_once(MARKERS.1).map(|(card, _)| card)
}

/// The one file of this path.
pub fn find<'a>(files: &'a [Source], path: &str) -> &'a Source {
    files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} must exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of two statements a version, `exceptions` and one file of tests.
    fn ledger(exceptions: &str, tests: &str) -> Ledger {
        let statements = "id\tbinds\trequirement\tsection\nA-1\tserver\tSpeak.\t1 One\nA-2\tboth\tListen.\t1 One\n";
        Ledger::read(&[
            Source::new("tests/conformance/statements-v5.tsv", statements),
            Source::new("tests/conformance/statements-v311.tsv", statements),
            Source::new("tests/conformance/exceptions.tsv", &format!("id\tversion\treason\n{exceptions}")),
            Source::new("tests/conformance/x.rs", tests),
        ])
    }

    #[test]
    fn claims_and_exceptions_close_statements() {
        let ledger =
            ledger("A-2\tv311\tNothing to see.\n", "/// Prose.\n/// v5: A-1, A-2\n/// v311: A-1\n#[test]\nfn f() {}\n");
        assert!(ledger.problems.is_empty(), "{:?}", ledger.problems);
        assert!(ledger.open().is_empty());
        assert!(ledger.scorecard().contains("| MQTT 5.0 | 2 | 2 | 0 | 0 |\n| MQTT 3.1.1 and 3.1 | 2 | 1 | 1 | 0 |\n"));
    }

    #[test]
    fn what_nobody_claims_is_open() {
        let ledger = ledger("", "/// v5: A-1\n#[test]\nfn f() {}\n// v5: A-2\n#[test] fn g() {}");
        let open = [
            "tests/conformance/statements-v5.tsv:3: A-2 Listen. (neither tested nor excused)",
            "tests/conformance/statements-v311.tsv:2: A-1 Speak. (neither tested nor excused)",
            "tests/conformance/statements-v311.tsv:3: A-2 Listen. (neither tested nor excused)",
        ];
        assert_eq!(ledger.open(), open);
        assert_eq!(ledger.problems, ["tests/conformance/x.rs:5: a conformance test names the statements it proves"]);
    }

    #[test]
    fn every_false_entry_is_found() {
        for (exceptions, tests, complaint) in [
            ("", "/// v5: A-9\n#[test]\nfn f() {}", "`v5: A-9` is no statement"),
            ("", "/// v4: A-1\n#[test]\nfn f() {}", "`v4: A-1` is no statement"),
            ("", "/// v5: A-1,\n#[test]\nfn f() {}", "`v5: ` is no statement"),
            ("", "/// v5: A-1\nfn f() {}", "a claim without `#[test]`"),
            ("", "/// v5: A-1\n#[expect(dead_code)]\nmod m { #[test] fn f() {} }", "a claim without `#[test]`"),
            ("", "/// v5: A-1\n#[cfg(any())]\n#[test]\nfn f() {}", "under a condition"),
            ("A-9\tv5\tNo.\n", "", "`v5: A-9` is no statement"),
            ("A-1\tv5\tno\n", "", "is a sentence"),
            ("A-1\tv5\n", "", "2 cells, not 3"),
            ("A-1\tv5\tNo.\nA-1\tv5\tNo.\n", "", "excused twice"),
            (
                "A-1\tv5\tNo.\n",
                "/// v5: A-1\n#[test]\nfn f() {}",
                "exceptions.tsv:2: A-1 is excused although a test claims it",
            ),
        ] {
            let problems = ledger(exceptions, tests).problems.join("\n");
            assert!(problems.contains(complaint), "{tests} {exceptions}: {problems}");
        }
    }

    #[test]
    fn a_statement_stands_once_in_its_table() {
        let mut ledger = Ledger::default();
        let table = "id\tbinds\trequirement\tsection\nA-1\tserver\tSpeak.\t1\nA-1\tbroker\tSpeak.\t1\n";
        ledger.read_statements(Version::V5, &Source::new("t.tsv", table));
        assert_eq!(
            ledger.problems,
            ["t.tsv:3: `broker` is nobody whom a statement binds", "t.tsv:3: A-1 stands here twice"]
        );
    }

    #[test]
    fn the_scorecard_is_what_stands_between_the_markers() {
        assert_eq!(printed_scorecard("a\n<!-- scorecard -->\n| x |\n<!-- /scorecard -->\nb"), Some("| x |\n"));
        assert_eq!(printed_scorecard("a\n<!-- scorecard -->\n| x |\n"), None);
    }
}
