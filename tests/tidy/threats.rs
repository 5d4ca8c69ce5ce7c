//! The ten roots of broken brokers: each has tests that bear its number, and the manual's list of them is true.

use std::collections::BTreeSet;

use crate::source::Source;

const MANUAL: &str = "src/manual/invariants.md";
const HEADING: &str = "## Roots of broken brokers";
/// How many there are.
const RULES: usize = 10;

/// Rules without a test, names that stand for no test or at another rule, and tests of a rule that the list does not name.
pub fn findings(files: &[Source]) -> Vec<String> {
    let tests: BTreeSet<String> = files.iter().filter(|file| file.is_rust()).flat_map(functions).collect();
    let mut found = Vec::new();
    for rule in 1..=RULES {
        if !tests.iter().any(|name| name.starts_with(&prefix(rule))) {
            found.push(format!("rule {rule}: no test is called {}...", prefix(rule)));
        }
    }
    let Some(manual) = files.iter().find(|file| file.path == MANUAL) else {
        return vec![format!("there is no {MANUAL}")];
    };
    let (mut listed, mut told) = (BTreeSet::new(), BTreeSet::new());
    for (line, text) in list(manual) {
        let Some(rule) = text.split('.').next().and_then(|number| number.parse().ok()) else {
            found.push(manual.finding(line, "a line that begins with no number"));
            continue;
        };
        let names: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        for name in &names {
            if !tests.contains(*name) {
                found.push(manual.finding(line, format!("there is no test {name}")));
            }
            if name.starts_with("threat_") && !name.starts_with(&prefix(rule)) {
                found.push(manual.finding(line, format!("{name} belongs to another rule than {rule}")));
            }
        }
        if !names.is_empty() {
            listed.insert(rule);
        }
        told.extend(names);
    }
    let of_rules = tests.iter().filter(|name| (1..=RULES).any(|rule| name.starts_with(&prefix(rule))));
    let unlisted = of_rules.filter(|name| !told.contains(name.as_str()));
    found.extend(unlisted.map(|name| format!("{MANUAL}: {name} is not listed")));
    found.extend(
        (1..=RULES).filter(|rule| !listed.contains(rule)).map(|rule| format!("{MANUAL}: no test at rule {rule}")),
    );
    found
}

fn prefix(rule: usize) -> String {
    format!("threat_{rule}_")
}

/// The lines below the heading that say something, up to the next one; a rule is one line.
fn list(manual: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = manual.text.lines().enumerate().skip_while(|(_, line)| *line != HEADING).skip(1);
    let section = lines.take_while(|(_, line)| !line.starts_with("## "));
    section
        .filter(|(_, line)| line.starts_with(|letter: char| letter.is_ascii_digit()))
        .map(|(at, line)| (at + 1, line))
}

/// The functions of a file that has tests.
fn functions(source: &Source) -> Vec<String> {
    let code = source.code();
    let has_tests = code.windows(3).any(|part| (part[0].text, part[1].text, part[2].text) == ("#", "[", "test"));
    let names = code.windows(2).filter(|pair| has_tests && pair[0].text == "fn").map(|pair| pair[1].text.to_owned());
    names.collect()
}

/// What stands in front of strangers and had a fault that they could use: the name, and the first version without it.
const MENDED: [(&str, [u32; 3]); 2] = [
    ("rustls", [0, 23, 5]),      // RUSTSEC-2024-0336: an endless loop
    ("tungstenite", [0, 20, 1]), // RUSTSEC-2023-0065: no bound of a header
];

/// Packages of the lock file that are older than they may be.
pub fn outdated(lock: &str) -> Vec<String> {
    let field = |package: &str, name: &str| {
        let start = format!("{name} = \"");
        package.lines().find_map(|line| line.strip_prefix(start.as_str())?.strip_suffix('"').map(str::to_owned))
    };
    let mut found = Vec::new();
    for package in lock.split("[[package]]") {
        let (Some(name), Some(version)) = (field(package, "name"), field(package, "version")) else { continue };
        let numbers: Vec<u32> = version.split(['.', '-', '+']).take(3).filter_map(|part| part.parse().ok()).collect();
        let too_old = MENDED.iter().any(|(mended, first)| *mended == name && numbers.as_slice() < first.as_slice());
        if too_old {
            found.push(format!("Cargo.lock: {name} {version} has a fault that strangers can use"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(list: &str) -> Vec<Source> {
        let all: Vec<String> = (1..=RULES).map(|rule| format!("#[test] fn threat_{rule}_holds() {{}}\n")).collect();
        let all = all.concat();
        vec![Source::new("tests/x.rs", &all), Source::new(MANUAL, &format!("{HEADING}\n\n{list}\n## Next\n11. none\n"))]
    }

    fn good() -> String {
        let lines = (1..=RULES).map(|rule| format!("{rule}. It holds: `threat_{rule}_holds`.\n"));
        lines.collect::<Vec<String>>().concat()
    }

    #[test]
    fn a_true_list_passes() {
        assert_eq!(findings(&repository(&good())), Vec::<String>::new());
    }

    #[test]
    fn a_rule_without_a_test_and_a_name_without_one_are_found() {
        let found = findings(&repository(&good().replace("threat_3_holds", "threat_3_hopes")));
        let unlisted = |rule: usize| format!("{MANUAL}: threat_{rule}_holds is not listed");
        assert_eq!(found, [format!("{MANUAL}:5: there is no test threat_3_hopes"), unlisted(3)]);
        let found = findings(&repository(&good().replace("10. It holds: `threat_10_holds`.\n", "")));
        assert_eq!(found, [unlisted(10), format!("{MANUAL}: no test at rule 10")]);
        let mut files = repository(&good());
        files[0] = Source::new("tests/x.rs", "#[test] fn threat_1_holds() {}");
        assert_eq!(findings(&files).len(), 2 * (RULES - 1));
    }

    #[test]
    fn a_name_at_another_rule_is_found() {
        let found = findings(&repository(&good().replace("threat_2_holds", "threat_1_holds")));
        let unlisted = format!("{MANUAL}: threat_2_holds is not listed");
        assert_eq!(found, [format!("{MANUAL}:4: threat_1_holds belongs to another rule than 2"), unlisted]);
    }

    #[test]
    fn a_test_that_the_list_does_not_name_is_found() {
        let mut files = repository(&good());
        files.push(Source::new("src/y.rs", "#[test] fn threat_10_holds_elsewhere() {}\n#[test] fn other() {}"));
        assert_eq!(findings(&files), [format!("{MANUAL}: threat_10_holds_elsewhere is not listed")]);
    }

    #[test]
    fn an_old_package_is_found() {
        let lock = |version: &str| format!("[[package]]\nname = \"rustls\"\nversion = \"{version}\"\n");
        assert_eq!(outdated(&lock("0.23.4")).len(), 1);
        assert_eq!(outdated(&(lock("0.23.5") + &lock("1.0.0-alpha.1"))), Vec::<String>::new());
    }
}
