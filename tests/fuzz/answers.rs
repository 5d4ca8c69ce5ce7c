//! What the fuzz target of a hook's answers does with its bytes; `tests/corpus.rs` does the same with its corpus.

use pregon::engine::auth::hook::Said;
use pregon::engine::auth::hook::answer::{ClientAnswer, of_action, of_client};
use pregon::engine::auth::token::json::{Value, parse};
use pregon::engine::auth::token::terms::{GROUPS_MAX, NAME_BYTES_MAX};
use pregon::engine::auth::{Decision, Verdict};
use pregon::engine::limits::HOOK_ANSWER_BYTES_MAX;

/// Bytes as an answer: whoever is let in by it is somebody whom it allows in so many words, and what says more than was asked says nothing.
pub fn answers(data: &[u8]) {
    let read = parse(data);
    let allows = read.as_ref().is_ok_and(|answer| answer.get("result") == Some(&Value::Text("allow".into())));
    let client = of_client(data);
    if let Ok(answer) = &client {
        assert!(data.len() <= HOOK_ANSWER_BYTES_MAX && read.is_ok());
        let known = ["result", "user", "groups", "expires_at"];
        assert!(read.as_ref().is_ok_and(|answer| answer.keys().all(|name| known.contains(&&**name))));
        assert_eq!(matches!(answer, ClientAnswer::Allow(_)), allows);
    }
    if let Ok(answer) = &client {
        let said = Said::of_client(answer.clone(), Some("alice"));
        assert_eq!(said.decision(), Decision::Deny, "who somebody is says nothing about what it may do");
        if let Verdict::Allow(identity) = said.verdict() {
            let user = identity.user.as_deref().expect("one was given");
            assert!((1..=NAME_BYTES_MAX).contains(&user.len()) && !user.contains(char::is_control));
            assert!(identity.groups.len() <= GROUPS_MAX && !identity.is_superuser);
        }
    }
    if let Ok(answer) = of_action(data) {
        assert_eq!(answer.is_allowed, allows);
        assert!(client.is_ok(), "an answer about an action would be one about a client");
    }
}
