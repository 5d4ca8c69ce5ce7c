//! Which modules write events: an operator names them, so the configuration knows them all.

use std::collections::BTreeSet;

use pregon::config::levels::EVENT_MODULES;

use crate::source::Source;

/// The macros of `tracing` that write an event.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];

/// Where the list of the configuration and what is written part.
pub fn findings<'a>(shipped: impl Iterator<Item = &'a Source>) -> Vec<String> {
    let writing: BTreeSet<String> = shipped.filter(|source| writes_events(source)).filter_map(module).collect();
    let known: BTreeSet<String> = EVENT_MODULES.map(str::to_owned).into();
    let missing =
        writing.difference(&known).map(|module| format!("`{module}` writes events and is no area of the log"));
    let idle = known.difference(&writing).map(|module| format!("`{module}` is an area of the log and writes no event"));
    missing.chain(idle).collect()
}

fn writes_events(source: &Source) -> bool {
    let code: Vec<_> = source.code().into_iter().filter(|code| !code.in_test).collect();
    let names_it = code.iter().any(|code| code.text == "tracing");
    let is_event = |[name, bang, open]: [&str; 3]| MACROS.contains(&name) && bang == "!" && open == "(";
    names_it && code.windows(3).any(|place| is_event([place[0].text, place[1].text, place[2].text]))
}

/// The path of a file's module below the crate; none outside of it.
fn module(source: &Source) -> Option<String> {
    let path = source.path.strip_prefix("src/")?.strip_suffix(".rs")?;
    Some(path.strip_suffix("/mod").unwrap_or(path).replace('/', "::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> bool {
        let expected = format!("`{}` writes", module(&Source::new(path, text)).unwrap_or_default());
        findings([Source::new(path, text)].iter()).iter().any(|finding| finding.starts_with(&expected))
    }

    #[test]
    fn a_module_that_writes_and_is_not_listed_is_found() {
        assert!(found("src/shell/new.rs", "fn f() { tracing::warn!(\"x\"); }"));
        assert!(found("src/ops/new/mod.rs", "use tracing::{debug, info}; fn f() { debug!(a, \"x\"); }"));
        assert!(!found("src/shell/events.rs", "fn f() { tracing::warn!(\"x\"); }"));
        assert!(!found("src/shell/new.rs", "#[cfg(test)] mod tests { fn f() { tracing::warn!(\"x\"); } }"));
        assert!(!found("src/shell/new.rs", "// tracing::warn!()\nfn f() { error != tracing }"));
        assert!(!found("tests/new.rs", "fn f() { tracing::warn!(\"x\"); }"));
    }

    #[test]
    fn a_module_that_is_listed_and_writes_nothing_is_found() {
        assert_eq!(findings([].iter()).len(), EVENT_MODULES.len());
    }
}
