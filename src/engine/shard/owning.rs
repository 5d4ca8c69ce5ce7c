//! Who is charged with retained messages: the user who has set one, on all shards together, until it is replaced or gone.
//!
//! Who has no name is charged with nothing, and so is the broker itself; the broker's own bounds hold for all. A will is its session's. One that
//! is on its way when the process ends is nobody's afterwards.

use std::sync::Arc;

use super::Shard;
use super::retain::charged;
use crate::base::time::Time;
use crate::engine::accounts::limit::SharedLimit;
use crate::engine::auth::identity::Identity;
use crate::engine::message::Message;
use crate::engine::retained::owners::Exchange;
use crate::mqtt::Topic;

impl Shard {
    /// Who is to be charged with what is retained, if anybody is.
    pub(super) fn owner_of_retained(&self, is_retained: bool, who: &Arc<Identity>) -> Option<Arc<Identity>> {
        let is_owned = is_retained && self.accounts.asks_for_owners() && who.user.is_some();
        is_owned.then(|| Arc::clone(who))
    }

    /// The next message of a topic is this client's: its user is charged, and whoever had the one of before is not any more. At a bound
    /// nothing has changed.
    pub(super) fn own_retained(
        &mut self,
        topic: Topic<'_>,
        owner: Option<&Identity>,
        bytes: Exchange,
        now: Time,
    ) -> Result<(), SharedLimit> {
        let user = owner.and_then(|owner| owner.user.as_deref());
        self.charge_owner(topic, user, bytes, false, now)
    }

    /// A message of before the restart is this user's, whatever the bounds say.
    pub(super) fn own_restored(&mut self, topic: Topic<'_>, user: Option<&str>, message: &Message) {
        let user = user.filter(|_| self.accounts.asks_for_owners());
        let bytes = Exchange { before: self.retained.get(topic).map_or(0, charged), after: charged(message) };
        let charged = self.charge_owner(topic, user, bytes, true, Time::ZERO);
        charged.expect("what is due meets no bound");
    }

    fn charge_owner(
        &mut self,
        topic: Topic<'_>,
        user: Option<&str>,
        bytes: Exchange,
        is_due: bool,
        now: Time,
    ) -> Result<(), SharedLimit> {
        if user.is_none() && self.owners.is_empty() {
            return Ok(()); // as ever where nobody asks whose it is
        }
        let accounts = &self.accounts;
        self.owners.replace(topic.as_str(), user, bytes, is_due, |user| accounts.retained(user, now))
    }

    /// The message of a topic is gone.
    pub(super) fn disown_retained(&mut self, topic: Topic<'_>, bytes: u64) {
        if !self.owners.is_empty() {
            self.owners.release(topic.as_str(), bytes);
        }
    }

    /// How many retained messages are charged to users here, and their bytes.
    pub fn charged_retained(&self) -> (u64, u64) {
        self.owners.charged()
    }

    /// Proves that whoever is charged has what is retained.
    pub(super) fn check_owners(&self) {
        let of = |topic: &str| self.retained.get(Topic::parse(topic).expect("it was parsed")).map(charged);
        self.owners.check(of);
    }
}
