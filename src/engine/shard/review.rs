//! The policy has changed: who is here is judged again, a part of them at a time; what was decided before counts no more.

use std::sync::Arc;

use super::Shard;
use crate::base::time::Time;
use crate::engine::auth::policy::Policy;
use crate::engine::connection::ConnectionKey;
use crate::engine::event::Cause;
use crate::engine::limits::REVIEWED_CONNECTIONS_MAX;
use crate::engine::output::Outputs;
use crate::mqtt::Reason;

impl Shard {
    /// From now on everything is decided by another policy. Messages are withheld at once from whoever may not read them any more; those
    /// who may not be here at all go within the next turns.
    pub(super) fn change_policy(&mut self, policy: Arc<Policy>, now: Time, out: &mut Outputs) {
        debug_assert!(policy.number() > self.policy.number(), "policies follow each other");
        self.policy = policy;
        self.reviewing = Some(0);
        if self.go_on_reviewing(now, out) {
            out.wake_at = Some(now);
        }
    }

    /// Whether each delivery must be asked for. A subscription that is older than the process is no right: nobody knows by which rules it was
    /// granted.
    pub(super) fn checks_receive(&self) -> bool {
        self.has_restored || self.policy.checks_receive()
    }

    /// Looks at the next connections; whether there are more.
    pub(super) fn go_on_reviewing(&mut self, now: Time, out: &mut Outputs) -> bool {
        let Some(start) = self.reviewing else { return false };
        let bound = self.connections.index_bound();
        let end = start.saturating_add(REVIEWED_CONNECTIONS_MAX).min(bound);
        let reserve = self.reserve();
        let mut next = start;
        while next < end && self.may_cause_more(reserve) {
            let found = self.connections.key_at(next);
            next += 1;
            let Some(key) = found else { continue };
            self.place_again(key);
            if !self.is_welcome(key) {
                self.charge(1);
                self.revoke(key, now, out);
            }
        }
        self.reviewing = (next < bound).then_some(next);
        self.reviewing.is_some()
    }

    /// Ends the connection of somebody who may not be here any more.
    pub(super) fn revoke(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        if !self.connections.contains(key) {
            return;
        }
        self.stats.connections_revoked += 1;
        self.say_goodbye(key, Reason::NotAuthorized, None, out);
        self.end(key, Cause::Refused(Reason::NotAuthorized), now, out);
    }

    /// Rules that ask where somebody comes from may be new: who was let in without that being known is asked for it now.
    fn place_again(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(identity) = &connection.identity else { return };
        let shown = connection.certificate.as_deref();
        let placed = self.policy.placed(Arc::clone(identity), connection.peer.address.ip(), shown);
        if Arc::ptr_eq(&placed, identity) {
            return;
        }
        connection.identity = Some(Arc::clone(&placed));
        if let Some(session) = connection.session.and_then(|session| self.sessions.get_mut(session)) {
            session.owner = placed;
            self.owners_changed += 1;
        }
    }

    /// Whoever is not through with CONNECT is judged there.
    fn is_welcome(&self, key: ConnectionKey) -> bool {
        let Some(connection) = self.connections.get(key).filter(|connection| connection.is_connected()) else {
            return true;
        };
        let session = connection.session.and_then(|session| self.sessions.get(session));
        let (Some(identity), Some(session)) = (&connection.identity, session) else { return true };
        self.policy.welcomes(identity, connection.peer.listener, self.client_id(session))
    }
}
