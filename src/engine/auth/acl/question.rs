//! What is asked of a list of rules, looked at once for all of them.

use super::rule::Actions;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::pattern::{Gap, Names, Pattern};
use crate::engine::auth::{Action, ClientId};
use crate::mqtt::topic::{Filter, Topic, TopicError};
use crate::mqtt::version::QoS;

/// Whether somebody may do something.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who.
    pub who: &'a Identity,
    /// What it is called.
    pub names: Names<'a>,
    /// What it wants to do: one action.
    pub action: Actions,
    /// With what.
    pub object: Object<'a>,
    /// The quality of service that it asks for, where there is one.
    pub qos: Option<QoS>,
    /// Whether it is to be retained.
    pub retain: bool,
}

/// What it is about.
#[derive(Clone, Copy, Debug)]
pub enum Object<'a> {
    /// The connection itself.
    Nothing,
    /// One topic.
    Topic(Topic<'a>),
    /// All that a filter can match.
    Filter(Filter<'a>),
}

impl<'a> Question<'a> {
    /// The question; none about a topic or filter that is none.
    pub fn new(who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Result<Self, TopicError> {
        let (kind, object, qos, retain) = match action {
            Action::Connect => (Actions::CONNECT, Object::Nothing, None, false),
            Action::Publish { topic, qos, retain } => {
                (Actions::PUBLISH_ONLY, Object::Topic(Topic::parse(topic)?), Some(qos), retain)
            }
            Action::Will { topic, qos, retain } => {
                (Actions::WILL, Object::Topic(Topic::parse(topic)?), Some(qos), retain)
            }
            Action::Subscribe { filter, qos, is_shared: _ } => {
                (Actions::SUBSCRIBE_ONLY, Object::Filter(Filter::parse(filter)?), Some(qos), false)
            }
            Action::Receive { topic } => (Actions::RECEIVE, Object::Topic(Topic::parse(topic)?), None, false),
        };
        let names = Names { user: who.user.as_deref(), client_id };
        Ok(Self { who, names, action: kind, object, qos, retain })
    }

    /// Why the pattern does not reach what is asked for; nothing where it does.
    pub fn gap(&self, pattern: &'a Pattern) -> Option<Gap<'a>> {
        match self.object {
            Object::Nothing => None,
            Object::Topic(topic) => pattern.gap_to_topic(self.names, topic),
            Object::Filter(filter) => pattern.gap_to_filter(self.names, filter),
        }
    }

    /// Whether the pattern reaches what is asked for.
    pub fn is_reached(&self, pattern: &Pattern) -> bool {
        match self.object {
            Object::Nothing => true,
            Object::Topic(topic) => pattern.matches(self.names, topic),
            Object::Filter(filter) => pattern.covers(self.names, filter),
        }
    }

    /// What the client calls itself.
    pub fn client_id(&self) -> ClientId<'a> {
        self.names.client_id
    }
}
