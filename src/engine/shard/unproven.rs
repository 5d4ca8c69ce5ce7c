//! Those who have proven nothing: what they may have a shard hold beyond a part of their own is lent out of one pool.
//!
//! Ordinary clients never need it. A CONNECT with a long will does, and gets it as long as strangers leave some: each of them may hold
//! [`UNPROVEN_BYTES_MAX`](crate::engine::limits::UNPROVEN_BYTES_MAX), and all together what the pool has beside that. Who is the first to want more than there is has to go;
//! those before him end with the time that they have to come in. Proof, or the end of the connection, gives back what was lent.

use super::Shard;
use super::memory::lent_bytes;
use super::receive::is_connect_of_v5;
use crate::base::time::Time;
use crate::engine::connection::{ConnectionKey, Phase};
use crate::engine::limits::UNPROVEN_POOL_BYTES_MAX;
use crate::engine::output::Outputs;
use crate::engine::stats::Limit;
use crate::mqtt::{Reason, Version};

impl Shard {
    /// Refuses a connection for which more was lent than there is.
    pub(super) fn bound_lent(&mut self, key: ConnectionKey, now: Time, out: &mut Outputs) {
        if self.holdings.lent <= UNPROVEN_POOL_BYTES_MAX {
            return;
        }
        let Some(connection) = self.connections.get(key).filter(|connection| lent_bytes(connection) > 0) else {
            return;
        };
        let version = match &connection.phase {
            Phase::AwaitConnect { .. } => {
                let begun = connection.held.as_ref().map_or(&[][..], |begun| &begun.bytes);
                is_connect_of_v5(begun).then_some(Version::V5)
            }
            Phase::Authenticating(_) | Phase::Connected => Some(connection.version),
        };
        self.reached(Limit::UnprovenBytes);
        self.refuse(key, version, Reason::QuotaExceeded, now, out);
    }

    /// The shell could not send everything, or could at last: what lies there for somebody who has proven nothing is lent as well.
    pub(super) fn could_not_send(&mut self, key: ConnectionKey, bytes: u32, taken: u32, now: Time, out: &mut Outputs) {
        let is_stranger = self.is_in_handshake(key);
        if let Some(connection) = self.connections.get(key).filter(|_| is_stranger) {
            self.holdings.take_out(connection);
        }
        self.backlog(key, bytes, taken, now, out);
        if let Some(connection) = self.connections.get(key).filter(|_| is_stranger) {
            self.holdings.put_in(connection);
            self.bound_lent(key, now, out);
        }
    }
}
