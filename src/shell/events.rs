//! What happened, as log events with fields.

use std::net::SocketAddr;

use tracing::{Level, debug, enabled, info, trace, warn};

use super::transport::layers::LayerError;
use crate::engine::auth::certificate::Certificate;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy::Policy;
use crate::engine::auth::{Action, ClientId, Decision, Ground};
use crate::engine::event::{Denied, Event};
use crate::engine::homes::ShardId;
use crate::mqtt::Reason;

/// Characters of a text of a client in a line about what it is denied.
const TEXT_CHARS_MAX: usize = 200;

/// Tells the log. What a client can cause at will is no louder than debug, but for sums.
pub fn log(shard: ShardId, event: &Event, policy: &Policy) {
    let shard = shard.index();
    match event {
        Event::Connected { client_id, identity, peer, version, is_resumed, session, .. } => {
            debug!(shard, %client_id, user = ?identity.user, peer = %peer.address, ?version, is_resumed, ?session, "connected");
        }
        Event::Refused { peer, reason, .. } => debug!(shard, peer = %peer.address, reason = reason.name(), "refused"),
        Event::PasswordInTheClear { peer } => {
            debug!(shard, peer = %peer.address, "a password has come without TLS, where it is refused (plaintext_passwords)");
        }
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
    let Refused { user, client_id, action, topic, rule } = Refused::of(denied, policy);
    debug!(shard, user, client_id, action, topic, rule, "denied");
}

/// A denial as the log tells of it.
#[derive(Debug)]
pub(super) struct Refused {
    user: Option<Box<str>>,
    client_id: Box<str>,
    action: &'static str,
    topic: Option<Box<str>>,
    rule: Option<String>,
}

impl Refused {
    /// With the rule that says so, which is looked for again.
    pub(super) fn of(denied: &Denied, policy: &Policy) -> Self {
        let Denied { who, client_id, action } = denied;
        let action = action.as_action();
        let client = ClientId::Text(client_id);
        let ground = policy.authoriser().ground(who, client, action);
        let is_of_hook =
            policy.authoriser().files().is_some_and(|rules| rules.decide(who, client, action) == Decision::Allow);
        let is_of_token = who.claims.as_ref().is_some_and(|claims| !claims.allow(who, client, action));
        let before = if matches!(ground, Ground::Before(_)) { " before its last change" } else { "" };
        let rule = match (policy.rules_file(), policy.authoriser().rule(ground)) {
            _ if is_of_token => Some("the token".to_owned()),
            _ if is_of_hook => Some("the hook".to_owned()),
            ("", _) => None,
            (file, Some(rule)) => Some(format!("{file}:{}{before}", rule.line)),
            (file, None) => Some(format!("{file}: no rule{before}")),
        };
        let (action, topic) = match action {
            Action::Connect => ("connect", None),
            Action::Publish { topic, .. } => ("publish", Some(topic)),
            Action::Subscribe { filter, .. } => ("subscribe", Some(filter)),
            Action::Receive { topic } => ("receive", Some(topic)),
            Action::Will { topic, .. } => ("will", Some(topic)),
        };
        Self {
            user: who.user.as_deref().map(short),
            client_id: short(client_id),
            action,
            topic: topic.map(short),
            rule,
        }
    }
}

/// What a client says, so much of it that it cannot fill the log.
fn short(text: &str) -> Box<str> {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// Rules have refused something to so many; this is the first. Whoever tells it does so once a second at the most, whatever clients do.
pub(super) fn denied(shard: ShardId, count: u64, first: Option<&Refused>) {
    let shard = shard.index();
    let Some(Refused { user, client_id, action, topic, rule }) = first else {
        return info!(shard, count, "refused by rules");
    };
    info!(shard, count, user, client_id, action, topic, rule, "refused by rules, and this is the first of them");
}

/// What stands between a client's socket and its MQTT cannot go on.
pub fn layer_failed(shard: ShardId, peer: Option<SocketAddr>, error: &LayerError) {
    debug!(shard = shard.index(), ?peer, %error, "what carries MQTT has failed");
}

/// A client that is here, or on its way to the home of its session, has shown a certificate by which it would not be let in any more.
pub fn certificate_revoked(
    shard: ShardId,
    peer: SocketAddr,
    identity: Option<&Identity>,
    certificate: Option<&Certificate>,
    error: &rustls::Error,
) {
    let shard = shard.index();
    let user = identity.and_then(|identity| identity.user.as_deref());
    let subject = certificate.map(Certificate::subject);
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

/// What is given up with the time to stop.
#[derive(Debug)]
pub(super) struct LeftBehind {
    /// Clients that are still connected.
    pub connections: usize,
    /// Batches of other shards that are here.
    pub letters_unread: usize,
    /// Parcels for other shards that are here.
    pub letters_unsent: usize,
    /// Wills that wait for a word.
    pub wills: usize,
    /// Whether the journal has all that was promised.
    pub is_kept: bool,
}

/// The broker stops, and clients hear of it before all messages were read that were on their way to them.
pub(super) fn letters_given_up(shard: ShardId, unread: usize, unsent: usize, are_all_here: bool) {
    let shard = shard.index();
    warn!(
        shard,
        unread,
        unsent,
        are_all_here,
        "half of runtime.drain_timeout is over: clients are told to go before all messages between shards were read"
    );
}

/// The time to stop is over before everything was done.
pub(super) fn stop_given_up(shard: ShardId, left: &LeftBehind) {
    let LeftBehind { connections, letters_unread, letters_unsent, wills, is_kept } = *left;
    let shard = shard.index();
    warn!(
        shard,
        connections,
        letters_unread,
        letters_unsent,
        wills,
        is_kept,
        "runtime.drain_timeout is over: what was still on its way is given up"
    );
}
