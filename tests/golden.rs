//! The golden conversations are well formed, and their runner fails whenever a server does.

mod support;

use std::collections::BTreeSet;
use std::net::ToSocketAddrs;

use support::golden::{Action, Conversation, Delivery, Environment, Failure, Wire, Step, files, load, run, run_all, tcp::TcpWire};

/// Fewer than this were lost by accident.
const CONVERSATIONS_MIN: usize = 650;

#[test]
fn there_are_enough_conversations() {
    let count = load().len();
    assert!(count >= CONVERSATIONS_MIN, "only {count} conversations");
}

#[test]
fn names_and_tags_are_unique() {
    let conversations = load();
    let names: BTreeSet<&str> = conversations.iter().map(|conversation| conversation.name.as_str()).collect();
    assert_eq!(names.len(), conversations.len());
    let tags: BTreeSet<String> = conversations.iter().map(|conversation| conversation.tag("whole")).collect();
    assert_eq!(tags.len(), conversations.len());
}

#[test]
fn every_file_has_conversations_and_says_what_they_are_about() {
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} has no first line", path.display());
        assert!(text.lines().any(|line| line.contains(" | ")), "{} is empty", path.display());
    }
}

#[test]
fn every_expression_expands_and_every_expected_packet_is_whole() {
    for conversation in load() {
        let environment = Environment { tag: conversation.tag("whole"), ..Environment::default() };
        for step in &conversation.steps {
            assert!(step.action.expands(&environment), "{}: `{}`", conversation.name, step.text);
        }
    }
}

#[test]
fn every_conversation_expects_something() {
    for conversation in load() {
        let expects = |step: &Step| !matches!(step.action, Action::Send(_) | Action::Dial | Action::Hangup | Action::Allow(_));
        assert!(conversation.steps.iter().any(expects), "{} cannot fail", conversation.name);
    }
}

/// Plays all against the broker named in `GOLDEN_BROKER` (`host:port`); without it there is nobody to judge.
#[test]
fn a_named_broker_over_tcp_agrees() {
    let Ok(name) = std::env::var("GOLDEN_BROKER") else { return };
    let address = name.to_socket_addrs().expect("GOLDEN_BROKER is host:port").next().expect("the host has an address");
    let mut failures = run_all(&mut TcpWire::new(address), Delivery::Whole);
    failures.extend(run_all(&mut TcpWire::new(address), Delivery::ByteByByte));
    assert!(failures.is_empty(), "{}", report(&failures));
}

fn report(failures: &[Failure]) -> String {
    let lines: Vec<String> = failures.iter().map(ToString::to_string).collect();
    format!("{} conversations went otherwise than written:\n{}", lines.len(), lines.join("\n"))
}
