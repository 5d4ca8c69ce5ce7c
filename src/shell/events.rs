//! What happened, as log events with fields.

use std::net::SocketAddr;

use tracing::{debug, info, trace};

use super::transport::layers::LayerError;
use crate::engine::event::Event;
use crate::engine::homes::ShardId;

/// Tells the log. What a client can cause at will is no louder than debug.
pub fn log(shard: ShardId, event: &Event) {
    let shard = shard.index();
    match event {
        Event::Connected { client_id, identity, peer, version, is_resumed, session, .. } => {
            debug!(shard, %client_id, user = ?identity.user, peer = %peer.address, ?version, is_resumed, ?session, "connected");
        }
        Event::Refused { peer, reason, .. } => debug!(shard, peer = %peer.address, reason = reason.name(), "refused"),
        // A thing that operators act on; it takes many failures, and there is a bound on lines.
        Event::Banned { address, lasts_ms } => {
            info!(shard, %address, lasts_ms, "an address is banned: too many proofs have failed");
        }
        Event::Disconnected { session, cause, .. } => debug!(shard, ?session, ?cause, "disconnected"),
        Event::SessionEnded { session, copies_lost } => debug!(shard, ?session, copies_lost, "session ended"),
        Event::SubscribeDenied { session, reason } => {
            debug!(shard, ?session, reason = reason.name(), "subscription denied");
        }
        Event::PublishDenied { session, reason } => {
            debug!(shard, ?session, reason = reason.name(), "publication denied");
        }
        Event::Dropped { session, why } => trace!(shard, ?session, why = why.name(), "dropped"),
        Event::WillPublished { session } => debug!(shard, ?session, "will published"),
    }
}

/// What stands between a client's socket and its MQTT cannot go on.
pub fn layer_failed(shard: ShardId, peer: Option<SocketAddr>, error: &LayerError) {
    debug!(shard = shard.index(), ?peer, %error, "what carries MQTT has failed");
}

/// Somebody speaks where only proxies may.
pub fn not_trusted(shard: ShardId, peer: SocketAddr) {
    debug!(shard = shard.index(), %peer, "a connection from where no proxy is trusted");
}
