//! What a client of a story subscribes to.

use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::{Properties, PropertyBuffer};
use pregon::mqtt::property::Property;
use pregon::mqtt::subscribe::{RequestBuffer, Requested, RetainHandling, Subscribe};
use pregon::mqtt::unsubscribe::{FilterBuffer, Unsubscribe};
use pregon::mqtt::{Subscription, Version};

use super::{packet_id, qos_of};

/// A filter to subscribe to.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    filter: &'a str,
    qos: u8,
    no_local: bool,
    keeps_retain: bool,
    handling: RetainHandling,
}

impl<'a> Wish<'a> {
    /// A subscription with the default options.
    pub fn to(filter: &'a str, qos: u8) -> Self {
        Self { filter, qos, no_local: false, keeps_retain: false, handling: RetainHandling::SendAtSubscribe }
    }

    /// No Local.
    pub fn no_local(mut self) -> Self {
        self.no_local = true;
        self
    }

    /// Retain As Published.
    pub fn keep_retain(mut self) -> Self {
        self.keeps_retain = true;
        self
    }

    /// Retain Handling 0, 1 or 2.
    pub fn handling(mut self, handling: u8) -> Self {
        self.handling = match handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            other => panic!("no retain handling {other}"),
        };
        self
    }
}

/// A SUBSCRIBE of these filters, all with the same Subscription Identifier, if any.
pub fn subscribe(version: Version, id: u16, wishes: &[Wish<'_>], identifier: Option<u32>) -> Vec<u8> {
    let mut properties = PropertyBuffer::default();
    if let Some(identifier) = identifier {
        properties.push(Property::SubscriptionId(identifier));
    }
    let mut buffer = RequestBuffer::default();
    for wish in wishes {
        buffer.push(&Requested {
            text: wish.filter,
            subscription: Subscription::parse(wish.filter),
            qos: qos_of(wish.qos),
            no_local: wish.no_local,
            retain_as_published: wish.keeps_retain,
            retain_handling: wish.handling,
        });
    }
    let packet = Packet::Subscribe(Subscribe::new(packet_id(id), properties.as_properties(), &buffer));
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

/// An UNSUBSCRIBE of these filters.
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut buffer = FilterBuffer::default();
    for filter in filters {
        buffer.push(filter);
    }
    let mut bytes = Vec::new();
    Packet::Unsubscribe(Unsubscribe::new(packet_id(id), Properties::NONE, &buffer)).encode(version, &mut bytes);
    bytes
}
