//! The operator's files say something else about client certificates: who is here is judged again, a part of them in each turn.

use std::sync::Arc;

use super::core::Core;
use super::events;
use super::lines::Line;
use super::transport::layers::Layers;
use super::transport::plan::Plan;
use crate::base::time::Time;
use crate::engine::connection::ConnectionKey;
use crate::engine::input::Input;
use crate::engine::output::Arrival;

/// The part of a turn's time that goes into this.
const PART: u64 = 2;
/// Connections between two looks at the clock: as long as nothing has to be verified, each costs less than a look.
const LINES_PER_LOOK: usize = 64;

/// A listener whose connections are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judging {
    listener: u16,
    /// The first line that has not been looked at.
    next: usize,
}

impl Core {
    /// New connections of a listener follow this plan, and those that are here have to be good by it.
    pub(super) fn change_plan(&mut self, number: u16, plan: Arc<Plan>) {
        let Some(listener) = self.listeners.get_mut(usize::from(number)) else { return };
        listener.plan = Some(plan);
        self.judgings.retain(|judging| judging.listener != number);
        self.judgings.push(Judging { listener: number, next: 0 });
    }

    /// Looks at the next connections. Only behind all that a turn performs: nobody is on the way to another shard then.
    pub(super) fn go_on_judging(&mut self, now: Time) {
        let Some(Judging { listener, next }) = self.judgings.first().copied() else { return };
        let until_ns = self.clock.now_ns() + self.turn.time_us_max * 1_000 / PART;
        let mut at = next;
        while at < self.lines.index_bound() {
            let is_verified = self.lines.key_at(at).is_some_and(|key| self.judge(key, listener, now));
            at += 1;
            if (is_verified || at.is_multiple_of(LINES_PER_LOOK)) && self.clock.now_ns() >= until_ns {
                break;
            }
        }
        if at < self.lines.index_bound() {
            self.judgings[0].next = at;
        } else {
            self.judgings.remove(0);
        }
    }

    /// Has a connection follow the plan of its listener, if it is this listener's; whether that took some time.
    fn judge(&mut self, key: ConnectionKey, number: u16, now: Time) -> bool {
        let Some(layers) = self.lines.get_mut(key).and_then(Line::layers) else { return false };
        let Some(connection) = self.shard.connection(key) else { return false };
        let plan = self.listeners.get(usize::from(number)).and_then(|listener| listener.plan.as_ref());
        let Some(plan) = plan.filter(|plan| connection.peer.listener == number && !layers.follows(plan)) else {
            return false;
        };
        if let Err(error) = layers.follow(plan) {
            let (identity, shown) = (connection.identity.as_deref(), connection.certificate.as_deref());
            events::certificate_revoked(self.id, connection.peer.address, identity, shown, &error);
            self.shard.handle(Input::Revoked { connection: key }, now, &mut self.out);
        }
        true
    }

    /// Has a connection that arrives follow the plan of its listener, which may have changed while it was on its way; whether it is good by it.
    pub(super) fn is_good(&self, layers: Option<&mut Layers>, arrival: &Arrival) -> bool {
        let plan = self.listeners.get(usize::from(arrival.peer.listener)).and_then(|listener| listener.plan.as_ref());
        let (Some(layers), Some(plan)) = (layers, plan) else { return true };
        let Some(error) = (!layers.follows(plan)).then(|| layers.follow(plan).err()).flatten() else { return true };
        let shown = arrival.certificate.as_deref();
        events::certificate_revoked(self.id, arrival.peer.address, Some(&arrival.identity), shown, &error);
        false
    }
}
