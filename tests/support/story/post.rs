//! What a client of a story publishes.

use std::num::NonZeroU16;

use pregon::mqtt::properties::PropertyBuffer;
use pregon::mqtt::property::Property;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::{Topic, Version};

use super::{packet_id, qos_of};

/// A PUBLISH to be sent.
#[derive(Clone, Debug)]
pub struct Post {
    topic: String,
    payload: Vec<u8>,
    /// The quality of service.
    pub qos: u8,
    retain: bool,
    dup: bool,
    /// The packet identifier of QoS 1 and 2.
    pub id: u16,
    alias: Option<u16>,
    expiry: Option<u32>,
    properties: PropertyBuffer,
}

impl Post {
    /// An empty QoS 0 message; an empty topic is left to the alias.
    pub fn to(topic: &str) -> Self {
        let properties = PropertyBuffer::default();
        let topic = topic.into();
        Self {
            topic,
            payload: Vec::new(),
            qos: 0,
            retain: false,
            dup: false,
            id: 1,
            alias: None,
            expiry: None,
            properties,
        }
    }

    /// The payload.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// The quality of service.
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// The packet identifier, 1 unless said otherwise.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// RETAIN.
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// DUP.
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// Message Expiry Interval.
    pub fn expiry(mut self, seconds: u32) -> Self {
        self.expiry = Some(seconds);
        self.with(Property::MessageExpiry(seconds))
    }

    /// Topic Alias.
    pub fn alias(mut self, alias: u16) -> Self {
        self.alias = Some(alias);
        self.with(Property::TopicAlias(NonZeroU16::new(alias).expect("not zero")))
    }

    /// One more property.
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let publish = Publish {
            dup: self.dup,
            qos: qos_of(self.qos),
            retain: self.retain,
            topic: (!self.topic.is_empty()).then(|| Topic::parse(&self.topic).expect("a topic")),
            topic_alias: self.alias.and_then(NonZeroU16::new),
            packet_id: (self.qos > 0).then(|| packet_id(self.id)),
            message_expiry: self.expiry,
            properties: self.properties.as_properties(),
            payload: &self.payload,
        };
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes);
        bytes
    }
}
