//! How a client of a story says CONNECT.

use pregon::mqtt::connect::{Connect, Will};
use pregon::mqtt::packet::Packet;
use pregon::mqtt::properties::PropertyBuffer;
use pregon::mqtt::property::Property;
use pregon::mqtt::{Topic, Version};

use super::qos_of;

/// A CONNECT to be sent.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The version it speaks.
    pub version: Version,
    id: String,
    clean: bool,
    keep_alive: u16,
    user: Option<String>,
    password: Option<Vec<u8>>,
    properties: PropertyBuffer,
    will: Option<(String, Vec<u8>, u8, bool, PropertyBuffer)>,
}

impl Hello {
    /// A CONNECT of this version: clean start, no keep-alive.
    pub fn new(version: Version, id: &str) -> Self {
        let properties = PropertyBuffer::default();
        Self { version, id: id.into(), clean: true, keep_alive: 0, user: None, password: None, properties, will: None }
    }

    /// A CONNECT of 5.0.
    pub fn v5(id: &str) -> Self {
        Self::new(Version::V5, id)
    }

    /// A CONNECT of 3.1.1.
    pub fn v311(id: &str) -> Self {
        Self::new(Version::V311, id)
    }

    /// A CONNECT of 3.1.
    pub fn v31(id: &str) -> Self {
        Self::new(Version::V31, id)
    }

    /// Clean start or clean session 0.
    pub fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    /// Keep Alive in seconds.
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// User name and password.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// A user name alone.
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    /// One more property.
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    /// Session Expiry Interval in seconds.
    pub fn expiry(self, seconds: u32) -> Self {
        self.with(Property::SessionExpiry(seconds))
    }

    /// Receive Maximum.
    pub fn receive_maximum(self, count: u16) -> Self {
        self.with(Property::ReceiveMaximum(count))
    }

    /// A will.
    pub fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
        self.will = Some((topic.into(), payload.into(), qos, retain, PropertyBuffer::default()));
        self
    }

    /// A property of the will.
    pub fn will_with(mut self, property: Property<'_>) -> Self {
        self.will.as_mut().expect("a will comes before its properties").4.push(property);
        self
    }

    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let will = self.will.as_ref().map(|(topic, payload, qos, retain, properties)| Will {
            topic: Topic::parse(topic).expect("a topic"),
            payload,
            qos: qos_of(*qos),
            retain: *retain,
            properties: properties.as_properties(),
        });
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            client_id: &self.id,
            will,
            user_name: self.user.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
        };
        let mut bytes = Vec::new();
        Packet::Connect(connect).encode(self.version, &mut bytes);
        bytes
    }
}
