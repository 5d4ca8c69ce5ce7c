//! Policies for tests: a table of users, a list of rules, a method of enhanced authentication, and slow ones.

use std::sync::Arc;

use pregon::engine::auth::exchange::{Exchange, Step};
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Anonymous, Policy};
use pregon::engine::auth::{Action, Authenticator, Authoriser, ClientId, Credentials, Decision, Verdict};
use pregon::engine::input::Answer;
use pregon::engine::output::About;
use pregon::mqtt::{Filter, Reason, Topic};

use super::story::Story;

/// Users and their passwords. Who is not in the table is refused.
pub struct Users(pub &'static [(&'static str, &'static str)]);

impl Authenticator for Users {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let is_known = self.0.iter().any(|(user, password)| {
            credentials.user_name == Some(user) && credentials.password == Some(password.as_bytes())
        });
        match credentials.user_name {
            Some(user) if is_known => Verdict::Allow(Arc::new(Identity::user(user, "password"))),
            _ => Verdict::Deny(Reason::BadUserNameOrPassword),
        }
    }

    fn knows(&self, identity: &Identity) -> bool {
        self.0.iter().any(|(user, _)| identity.user.as_deref() == Some(user))
    }
}

/// Puts every CONNECT off; the test answers by [`Answer::Credentials`].
pub struct Slow;

impl Authenticator for Slow {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
        Verdict::Later
    }

    fn knows(&self, _identity: &Identity) -> bool {
        true
    }
}

/// What a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The pattern is a client id.
    Connect,
    /// The pattern is a filter over topics.
    Publish,
    /// The pattern is the very filter.
    Subscribe,
    /// The pattern is a filter over topics; every delivery is asked for as soon as there is one such rule.
    Receive,
    /// The pattern is a filter over topics.
    Will,
}

/// A list of rules, the first that applies decides; what none speaks of is allowed.
#[derive(Default)]
pub struct Rules(Vec<(Verb, &'static str, Decision)>);

impl Rules {
    /// One more thing that nobody may do.
    pub fn deny(self, verb: Verb, pattern: &'static str) -> Self {
        self.rule(verb, pattern, Decision::Deny)
    }

    /// One more thing whose answer comes later, by [`Answer::Action`].
    pub fn later(self, verb: Verb, pattern: &'static str) -> Self {
        self.rule(verb, pattern, Decision::Later)
    }

    /// A policy of these rules for nameless clients.
    pub fn policy(self) -> Policy {
        Policy::new(vec![Box::new(Anonymous)], Box::new(self))
    }

    fn rule(mut self, verb: Verb, pattern: &'static str, decision: Decision) -> Self {
        self.0.push((verb, pattern, decision));
        self
    }
}

impl Authoriser for Rules {
    fn decide(&self, _who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        let (wanted, text) = match action {
            Action::Connect => (Verb::Connect, client_id.as_str()),
            Action::Publish { topic, .. } => (Verb::Publish, topic),
            Action::Subscribe { filter, .. } => (Verb::Subscribe, filter),
            Action::Receive { topic } => (Verb::Receive, topic),
            Action::Will { topic, .. } => (Verb::Will, topic),
        };
        let applies = |pattern: &str| match wanted {
            Verb::Connect | Verb::Subscribe => pattern == text,
            Verb::Publish | Verb::Receive | Verb::Will => {
                Filter::parse(pattern).expect("a filter").matches(Topic::parse(text).expect("a topic"))
            }
        };
        let rule = self.0.iter().find(|(verb, pattern, _)| *verb == wanted && applies(pattern));
        rule.map_or(Decision::Allow, |(_, _, decision)| *decision)
    }

    fn checks_receive(&self) -> bool {
        self.0.iter().any(|(verb, ..)| *verb == Verb::Receive)
    }
}

/// The name of [`Challenge`] on the wire.
pub const CHALLENGE: &str = "CHALLENGE";
/// What a client that knows the secret answers.
pub const PROOF: &[u8] = b"open sesame";

/// Enhanced authentication in two steps: the client names its user, is asked `who goes there`, and answers [`PROOF`].
/// The final packet carries `welcome`. The user `slow` has each step put off. Clients without a method are nameless.
pub struct Challenge;

impl Challenge {
    /// A policy of this method alone, where everything is allowed.
    pub fn policy() -> Policy {
        Policy::new(vec![Box::new(Self)], Box::new(Rules::default()))
    }
}

impl Authenticator for Challenge {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        Anonymous.authenticate(credentials)
    }

    fn exchange(&self, method: &str) -> Option<Box<dyn Exchange>> {
        (method == CHALLENGE).then(|| Box::new(Conversation::default()) as Box<dyn Exchange>)
    }

    fn knows(&self, _identity: &Identity) -> bool {
        true
    }
}

#[derive(Default)]
struct Conversation {
    user: Option<String>,
    heard: Vec<u8>,
}

impl Exchange for Conversation {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        self.heard = data.unwrap_or_default().to_vec();
        let is_slow = self.user.as_deref() == Some("slow") || self.heard == b"slow";
        if is_slow { Step::Later } else { self.work() }
    }

    fn work(&mut self) -> Step {
        let Some(user) = &self.user else {
            self.user = Some(String::from_utf8_lossy(&self.heard).into_owned());
            return Step::Continue(b"who goes there".to_vec());
        };
        if self.heard != PROOF {
            return Step::Deny(Reason::NotAuthorized);
        }
        Step::Accept { identity: Arc::new(Identity::user(user, "challenge")), data: Some(b"welcome".to_vec()) }
    }
}

/// Does the slow half of the oldest open exchange, as a helper thread would.
pub fn work_on_exchange(story: &mut Story) {
    let (shard, question) = story.world.questions.remove(0);
    let About::Exchange { mut exchange } = question.about else { panic!("another question is older") };
    let step = exchange.work();
    let answer = Answer::Exchange(exchange, step);
    let input =
        pregon::engine::input::Input::Answer { connection: question.connection, number: question.number, answer };
    story.world.input(shard, input);
    story.world.drive();
}
