//! The hook: a web server of the operator's is asked who a client is, and what it may do.
//!
//! | file         | what                                                            |
//! |--------------|-----------------------------------------------------------------|
//! | here         | what is known of a question, and what it becomes                |
//! | [`question`] | what the server is told, as JSON                                |
//! | [`answer`]   | what it may answer, read strictly                               |
//! | [`digest`]   | what stands for a question where answers are remembered         |
//! | [`shelf`]    | answers that are remembered, each until its time                |
//! | [`flights`]  | the same question is asked once, and all wait                   |
//!
//! Invariants worth naming:
//! - An answer that is not understood to its last word is none, and no answer lets nobody in.
//! - What is remembered is found by a keyed digest of the whole question: no password is kept, and no answer counts for a question that
//!   differs in anything that the server was told.
//! - An answer is never remembered for longer than it says itself.
//!
//! Not here, and why: sockets, threads and locks (`shell::web` has them), the time (it comes as a value).

pub mod answer;
pub mod digest;
pub mod flights;
pub mod question;
pub mod shelf;

use std::sync::Arc;

use self::answer::{Admission, ClientAnswer};
use super::identity::Identity;
use super::{Decision, Verdict};
use crate::mqtt::reason::Reason;

/// What identities say that were proven here.
pub const METHOD: &str = "hook";

/// What the server has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The client is this one.
    Client(Arc<Identity>),
    /// It may do what it asks for.
    Granted,
    /// It is refused.
    Refused,
    /// The server does not know this client: others are asked.
    Unknown,
}

impl Said {
    /// What it says of a client. The user is the one that the server names, else the one that CONNECT names.
    pub fn of_client(answer: ClientAnswer, user_name: Option<&str>) -> Self {
        match answer {
            ClientAnswer::Allow(admission) => Self::Client(Arc::new(identity(admission, user_name))),
            ClientAnswer::Deny => Self::Refused,
            ClientAnswer::Ignore => Self::Unknown,
        }
    }

    /// As the verdict about a client. What was said of something else lets nobody in.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Client(identity) => Verdict::Allow(Arc::clone(identity)),
            Self::Refused => Verdict::Deny(Reason::BadUserNameOrPassword),
            Self::Unknown => Verdict::Abstain,
            Self::Granted => Verdict::Deny(Reason::ServerUnavailable),
        }
    }

    /// As the decision about an action.
    pub fn decision(&self) -> Decision {
        match self {
            Self::Granted => Decision::Allow,
            Self::Client(_) | Self::Refused | Self::Unknown => Decision::Deny,
        }
    }

    /// Whether something was allowed by it.
    pub fn is_good(&self) -> bool {
        match self {
            Self::Client(_) | Self::Granted => true,
            Self::Refused | Self::Unknown => false,
        }
    }

    /// About how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let Self::Client(identity) = self else { return 0 };
        let groups: usize = identity.groups.iter().map(|group| group.len() + size_of::<Box<str>>()).sum();
        size_of::<Identity>() + identity.user.as_ref().map_or(0, |user| user.len()) + groups
    }
}

fn identity(admission: Admission, user_name: Option<&str>) -> Identity {
    let user = admission.user.or_else(|| user_name.map(Into::into));
    Identity {
        user,
        method: METHOD,
        groups: admission.groups,
        expires_at: admission.expires_at,
        ..Identity::anonymous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(answer: &str, user_name: Option<&str>) -> Verdict {
        Said::of_client(answer::of_client(answer.as_bytes()).unwrap(), user_name).verdict()
    }

    #[test]
    fn the_user_is_whom_the_server_names_or_else_whom_connect_names() {
        for (answer, user_name, user) in [
            (r#"{"result":"allow"}"#, Some("alice"), Some("alice")),
            (r#"{"result":"allow","user":"bob"}"#, Some("alice"), Some("bob")),
            (r#"{"result":"allow","user":"bob"}"#, None, Some("bob")),
            (r#"{"result":"allow"}"#, None, None),
        ] {
            let Verdict::Allow(identity) = verdict_of(answer, user_name) else { panic!("{answer}") };
            assert_eq!((identity.user.as_deref(), identity.method), (user, METHOD), "{answer}");
            assert!(!identity.is_superuser);
        }
    }

    #[test]
    fn a_refusal_ends_the_chain_and_a_stranger_goes_on() {
        let refused = verdict_of(r#"{"result":"deny"}"#, Some("a"));
        assert!(matches!(refused, Verdict::Deny(Reason::BadUserNameOrPassword)));
        assert!(matches!(verdict_of(r#"{"result":"ignore"}"#, Some("a")), Verdict::Abstain));
    }

    #[test]
    fn threat_7_an_answer_to_another_question_lets_nobody_in() {
        assert!(matches!(Said::Granted.verdict(), Verdict::Deny(Reason::ServerUnavailable)));
        for said in [Said::Client(Arc::new(Identity::user("a", METHOD))), Said::Refused, Said::Unknown] {
            assert_eq!(said.decision(), Decision::Deny);
        }
        assert_eq!(Said::Granted.decision(), Decision::Allow);
    }
}
