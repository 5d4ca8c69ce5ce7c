//! Who is here and what they are subscribed to, told page by page to whoever judges it away from the shard.

use core::net::IpAddr;
use std::sync::Arc;

use super::Shard;
use crate::engine::auth::certificate::Certificate;
use crate::engine::auth::identity::Identity;
use crate::engine::limits::{LISTED_BYTES_MAX, LISTED_SESSIONS_MAX, LISTED_SUBSCRIPTIONS_MAX};
use crate::engine::session::{Session, SessionKey};
use crate::engine::subscriptions::entry::Subscriber;
use crate::mqtt::QoS;

/// Where a listing goes on: a session's place, and how many of its subscriptions were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    session: u32,
    subscription: usize,
}

/// A part of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// Sessions; one that has more than fits stands on the next page, too.
    pub sessions: Vec<Listed>,
    /// Where it goes on, unless it is over.
    pub next: Option<Cursor>,
}

/// A session, as rules see it.
#[derive(Debug)]
pub struct Listed {
    /// Whose it is.
    pub who: Arc<Identity>,
    /// Its client identifier.
    pub client_id: Box<str>,
    /// Where its client is connected from; none while it is away, and for a process of this machine.
    pub address: Option<IpAddr>,
    /// The certificate that its client has shown, while connected.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether its client is connected.
    pub is_connected: bool,
    /// Whether it was begun on the page before.
    pub goes_on: bool,
    /// What it has left for the case that its client dies.
    pub will: Option<ListedWill>,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscribed>,
}

/// A will, as rules see it.
#[derive(Debug)]
pub struct ListedWill {
    /// Its topic.
    pub topic: Box<str>,
    /// Its quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
}

/// A subscription, as rules see it.
#[derive(Debug)]
pub struct Subscribed {
    /// Its filter; of `$share/group/filter` the inner one.
    pub filter: Box<str>,
    /// Its quality of service.
    pub qos: QoS,
    /// The name of its group, if it is shared.
    pub share: Option<Box<str>>,
}

impl Shard {
    /// The next page of all sessions. Who comes or goes between two pages may be on none of them.
    pub fn page(&self, from: Cursor) -> Page {
        let bound = self.sessions.index_bound();
        let end = from.session.saturating_add(LISTED_SESSIONS_MAX).min(bound);
        let mut page = Page::default();
        let (mut subscriptions, mut bytes) = (0, 0);
        for index in from.session..end {
            let Some((key, session)) = self.sessions.at(index) else { continue };
            let told = if index == from.session { from.subscription } else { 0 };
            let mut listed = self.listed(session, told > 0);
            let count = session.subscription_count();
            for number in told..count {
                if subscriptions == LISTED_SUBSCRIPTIONS_MAX || bytes >= LISTED_BYTES_MAX {
                    page.sessions.push(listed);
                    page.next = Some(Cursor { session: index, subscription: number });
                    return page;
                }
                let Some(subscribed) = self.subscribed(key, session, number) else { continue };
                bytes += subscribed.filter.len();
                subscriptions += 1;
                listed.subscriptions.push(subscribed);
            }
            bytes += listed.client_id.len();
            page.sessions.push(listed);
        }
        page.next = (end < bound).then_some(Cursor { session: end, subscription: 0 });
        page
    }

    fn listed(&self, session: &Session, goes_on: bool) -> Listed {
        let connection = session.link().and_then(|link| self.connections.get(link.connection));
        let will = session.extras.will.as_deref().filter(|_| !goes_on);
        Listed {
            who: Arc::clone(&session.owner),
            client_id: self.client_id(session).as_str().into(),
            address: connection.map(|connection| connection.peer.address.ip()),
            certificate: connection.and_then(|connection| connection.certificate.clone()),
            is_connected: connection.is_some(),
            goes_on,
            will: will.map(|will| ListedWill {
                topic: will.topic().as_str().into(),
                qos: will.qos,
                retain: will.retain,
            }),
            subscriptions: Vec::new(),
        }
    }

    /// First the plain ones, then the shared ones.
    fn subscribed(&self, key: SessionKey, session: &Session, number: usize) -> Option<Subscribed> {
        let filters = session.filters();
        if let Some(id) = filters.get(number) {
            let options = self.index.options(*id, Subscriber::session(key.index()))?;
            let mut filter = String::new();
            self.index.write_text(*id, &mut filter);
            return Some(Subscribed { filter: filter.into(), qos: options.qos(), share: None });
        }
        let membership = session.extras.shared.get(number - filters.len())?;
        let (filter, share) = (membership.filter.clone(), Some(membership.share.clone()));
        Some(Subscribed { filter, qos: membership.terms.qos, share })
    }
}
