//! What a token lets its user do at the most, beside all rules.

use super::acl::question::Question;
use super::identity::Identity;
use super::pattern::Pattern;
use super::{Action, ClientId};

/// Where somebody may publish and what he may be sent, as whoever has signed for him says. It takes away from what rules allow and gives
/// nothing. Shared by all connections of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    publish: Box<[Pattern]>,
    subscribe: Box<[Pattern]>,
}

impl Claims {
    /// Publishing, wills too, reaches so far; and so do subscriptions, with what comes of them.
    pub fn new(publish: Vec<Pattern>, subscribe: Vec<Pattern>) -> Self {
        Self { publish: publish.into(), subscribe: subscribe.into() }
    }

    /// Whether this is within what they say.
    pub fn allow(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> bool {
        let patterns = match action {
            Action::Connect => return true, // the token itself decides about that
            Action::Publish { .. } | Action::Will { .. } => &self.publish,
            Action::Subscribe { .. } | Action::Receive { .. } => &self.subscribe,
        };
        let question = Question::new(who, client_id, action);
        question.is_ok_and(|question| patterns.iter().any(|pattern| question.is_reached(pattern)))
    }
}
