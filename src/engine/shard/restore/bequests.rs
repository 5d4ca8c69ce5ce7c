//! The part of a restart that wills on their way have: other shards may not have them yet.

use super::{Restoring, Shard};
use crate::engine::change::Serial;
use crate::engine::message::SessionId;
use crate::engine::shard::wills::Bequest;

impl Restoring {
    /// Other shards have to have a will, or it is told again that they have.
    fn bequeath(&mut self, number: SessionId, body: Serial) {
        let Some(named) = self.bodies.get_mut(&body) else { return };
        if self.bequests.insert(number, body).is_none() {
            named.named += 1;
        }
    }
}

impl Shard {
    /// Other shards have to have a will. Its number is not given again.
    pub(super) fn restore_bequest(&mut self, restoring: &mut Restoring, number: SessionId, body: Serial) {
        self.serial = self.serial.max(number.serial());
        restoring.bequeath(number, body);
    }

    /// They have it.
    pub(super) fn restore_bequest_over(&mut self, restoring: &mut Restoring, number: SessionId) {
        self.serial = self.serial.max(number.serial());
        if let Some(body) = restoring.bequests.remove(&number) {
            restoring.unname(body);
        }
    }

    /// Wills that were on their way when the process ended.
    pub(super) fn unfold_bequests(&mut self, restoring: &mut Restoring) {
        for (number, body) in std::mem::take(&mut restoring.bequests) {
            // One that could not be read is lost.
            let message = restoring.bodies.get(&body).and_then(|body| body.message.clone());
            if let Some(message) = message {
                self.bequests.restore(number, Bequest { body, message });
            }
        }
        self.bequests.restored(self.serial);
    }
}
