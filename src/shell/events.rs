//! What happened, as log events with fields.

use std::net::SocketAddr;

use tracing::{Level, debug, enabled, info, trace, warn};

use super::transport::layers::LayerError;
use crate::engine::auth::policy::Policy;
use crate::engine::auth::{Action, ClientId, Decision};
use crate::engine::connection::Connection;
use crate::engine::event::{Denied, Event};
use crate::engine::homes::ShardId;
use crate::mqtt::Reason;

/// Tells the log. What a client can cause at will is no louder than debug.
pub fn log(shard: ShardId, event: &Event, policy: &Policy) {
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
        Event::Denied(denied) => log_denied(shard, denied, policy),
        // Told with the rule that says so.
        Event::SubscribeDenied { reason: Reason::NotAuthorized, .. }
        | Event::PublishDenied { reason: Reason::NotAuthorized, .. } => {}
        Event::SubscribeDenied { session, reason, count } => {
            debug!(shard, ?session, reason = reason.name(), count, "subscriptions denied");
        }
        Event::PublishDenied { session, reason } => {
            debug!(shard, ?session, reason = reason.name(), "publication denied");
        }
        Event::Dropped { session, why } => trace!(shard, ?session, why = why.name(), "dropped"),
        Event::WillPublished { session } => debug!(shard, ?session, "will published"),
    }
}

/// The rule is looked for again, and only for a log that wants to hear of it.
fn log_denied(shard: usize, denied: &Denied, policy: &Policy) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let Denied { who, client_id, action } = denied;
    let action = action.as_action();
    let client = ClientId::Text(client_id);
    let ground = policy.authoriser().ground(who, client, action);
    let is_of_hook =
        policy.authoriser().files().is_some_and(|rules| rules.decide(who, client, action) == Decision::Allow);
    let rule = match (policy.rules_file(), ground) {
        _ if is_of_hook => Some("the hook".to_owned()),
        ("", _) => None,
        (file, Some(rule)) => Some(format!("{file}:{}", rule.line)),
        (file, None) => Some(format!("{file}: no rule")),
    };
    let (action, topic) = match action {
        Action::Connect => ("connect", None),
        Action::Publish { topic, .. } => ("publish", Some(topic)),
        Action::Subscribe { filter, .. } => ("subscribe", Some(filter)),
        Action::Receive { topic } => ("receive", Some(topic)),
        Action::Will { topic, .. } => ("will", Some(topic)),
    };
    debug!(shard, user = ?who.user, %client_id, action, topic, rule, "denied");
}

/// What stands between a client's socket and its MQTT cannot go on.
pub fn layer_failed(shard: ShardId, peer: Option<SocketAddr>, error: &LayerError) {
    debug!(shard = shard.index(), ?peer, %error, "what carries MQTT has failed");
}

/// A client that is here has shown a certificate by which it would not be let in any more.
pub fn certificate_revoked(shard: ShardId, connection: &Connection, error: &rustls::Error) {
    let (shard, peer) = (shard.index(), connection.peer.address);
    let user = connection.identity.as_ref().and_then(|identity| identity.user.as_deref());
    let subject = connection.certificate().map(|certificate| &*certificate.subject);
    info!(shard, %peer, user, subject, %error, "a connection ends: its certificate is good no more");
}

/// More clients come in than can be answered in time. Whoever tells it does so now and then, whatever clients do.
pub fn turned_away(shard: ShardId, count: u64, (handshakes, questions): (usize, usize), oldest_ms: u64) {
    warn!(
        shard = shard.index(),
        count, handshakes, questions, oldest_ms, "clients were turned away that would have waited too long"
    );
}

/// Somebody speaks where only proxies may.
pub fn not_trusted(shard: ShardId, peer: SocketAddr) {
    debug!(shard = shard.index(), %peer, "a connection from where no proxy is trusted");
}
