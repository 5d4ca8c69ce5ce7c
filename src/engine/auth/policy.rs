//! The chain of authenticators and the authoriser behind it.

use std::sync::Arc;

use super::exchange::Dialogue;
use super::identity::Identity;
use super::{Action, Authenticator, Authoriser, Credentials, Decision, Verdict};
use crate::mqtt::reason::Reason;

/// Who is let in and what they may do. One for the whole broker, shared by all shards; a reload makes a new one.
pub struct Policy {
    authenticators: Vec<Box<dyn Authenticator>>,
    authoriser: Box<dyn Authoriser>,
}

/// The place of an authenticator in the chain: whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(usize);

/// What the chain says.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The client is this one.
    Allow(Arc<Identity>),
    /// The client is refused.
    Deny(Reason),
    /// [`Policy::work`] finds the answer of this link on a helper thread, [`Policy::resume`] goes on with it.
    Later(Link),
}

impl Policy {
    /// A policy; the authenticators are asked in this order.
    pub fn new(authenticators: Vec<Box<dyn Authenticator>>, authoriser: Box<dyn Authoriser>) -> Self {
        Self { authenticators, authoriser }
    }

    /// Everybody is let in without a name and may do everything but publish to topics that begin with `$`.
    pub fn open() -> Self {
        Self::new(vec![Box::new(Anybody)], Box::new(Open))
    }

    /// Asks the chain about a CONNECT without enhanced authentication.
    pub fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        self.ask(Link(0), credentials)
    }

    /// The slow answer of one link. Called on a helper thread.
    pub fn work(&self, link: Link, credentials: &Credentials<'_>) -> Verdict {
        match self.authenticators.get(link.0) {
            Some(authenticator) => authenticator.work(credentials),
            None => Verdict::Deny(Reason::ServerUnavailable), // the question is older than this policy
        }
    }

    /// Goes on where the chain had to wait, now that `link` has answered.
    pub fn resume(&self, link: Link, answer: Verdict, credentials: &Credentials<'_>) -> Outcome {
        match answer {
            Verdict::Allow(identity) => Outcome::Allow(identity),
            Verdict::Deny(reason) => Outcome::Deny(reason),
            Verdict::Abstain => self.ask(Link(link.0 + 1), credentials),
            Verdict::Later => Outcome::Deny(Reason::ServerUnavailable), // an answer that is none
        }
    }

    /// Starts enhanced authentication with the first authenticator that knows the method; none does: 0x8C.
    pub fn exchange(&self, method: &str) -> Option<Dialogue> {
        let exchange = self.authenticators.iter().find_map(|authenticator| authenticator.exchange(method))?;
        Some(Dialogue::new(method, exchange))
    }

    /// Whether `who`, connected as `client_id`, may do this.
    pub fn decide(&self, who: &Identity, client_id: &str, action: Action<'_>) -> Decision {
        if who.is_superuser {
            return Decision::Allow;
        }
        self.authoriser.decide(who, client_id, action)
    }

    /// Whether each delivery must be asked for.
    pub fn checks_receive(&self) -> bool {
        self.authoriser.checks_receive()
    }

    /// The generation of the rules: what was decided under an older one is asked again.
    pub fn generation(&self) -> u64 {
        self.authoriser.generation()
    }

    fn ask(&self, first: Link, credentials: &Credentials<'_>) -> Outcome {
        for (index, authenticator) in self.authenticators.iter().enumerate().skip(first.0) {
            match authenticator.authenticate(credentials) {
                Verdict::Allow(identity) => return Outcome::Allow(identity),
                Verdict::Deny(reason) => return Outcome::Deny(reason),
                Verdict::Abstain => {}
                Verdict::Later => return Outcome::Later(Link(index)),
            }
        }
        Outcome::Deny(Reason::BadUserNameOrPassword) // whom nobody knows stays outside
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("authenticators", &self.authenticators.len())
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

/// Lets everybody in without a name, whatever they call themselves: for brokers that know no users.
#[derive(Clone, Copy, Debug)]
pub struct Anybody;

impl Authenticator for Anybody {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
        Verdict::Allow(Arc::new(Identity::anonymous()))
    }
}

/// Lets in who gives no name and no password; whoever gives one is left to those who can check it.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Authenticator for Anonymous {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        if credentials.user_name.is_some() || credentials.password.is_some() {
            return Verdict::Abstain;
        }
        Verdict::Allow(Arc::new(Identity::anonymous()))
    }
}

/// Whether a topic is in the tree that the broker itself publishes to.
pub fn is_the_brokers(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Allows everything but what would let a client speak for the broker.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Authoriser for Open {
    fn decide(&self, _who: &Identity, _client_id: &str, action: Action<'_>) -> Decision {
        match action {
            // [MQTT-4.7.2-1] What the broker says of itself nobody else may say; other `$` topics are the clients' affair.
            Action::Publish { topic, .. } | Action::Will { topic, .. } if is_the_brokers(topic) => Decision::Deny,
            Action::Publish { .. }
            | Action::Will { .. }
            | Action::Connect
            | Action::Subscribe { .. }
            | Action::Receive { .. } => Decision::Allow,
        }
    }
}
