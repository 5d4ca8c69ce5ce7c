//! Who the client is: everything that CONNECT says, owned.

use crate::mqtt::connect::{Connect, Will};
use crate::mqtt::properties::{Properties, Property, PropertyBuffer};
use crate::mqtt::{QoS, Topic, Version};

/// A session that does not end. [MQTT 5.0, 3.1.2.11.2]
pub const SESSION_NEVER_EXPIRES: u32 = u32::MAX;

/// All that a broker is told first. Texts and binary fields have at most 65,535 bytes: the command line checked that.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// The protocol to speak.
    pub version: Version,
    /// The client's name; empty lets the broker choose, where the version allows it.
    pub client_id: String,
    /// Forget what the broker has kept for this client.
    pub is_clean: bool,
    /// The longest silence in seconds; 0 for no bound.
    pub keep_alive: u16,
    /// Who the client says it is.
    pub user: Option<String>,
    /// What should prove it.
    pub password: Option<Vec<u8>>,
    /// What the broker publishes if the client is lost.
    pub will: Option<LastWill>,
    properties: PropertyBuffer,
}

/// A message that the broker publishes in the client's name.
#[derive(Clone, Debug)]
pub struct LastWill {
    /// Where it goes: a topic name.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// How surely it is delivered.
    pub qos: QoS,
    /// Whether it is kept for later subscribers.
    pub is_retained: bool,
}

impl Greeting {
    /// A client with this name and nothing else to say.
    pub fn new(version: Version, client_id: String) -> Self {
        Self {
            version,
            client_id,
            is_clean: true,
            keep_alive: 60,
            user: None,
            password: None,
            will: None,
            properties: PropertyBuffer::new(),
        }
    }

    /// Asks the broker to keep the session for so many seconds. Versions before 5.0 leave it out.
    pub fn set_session_expiry(&mut self, seconds: u32) {
        if seconds > 0 {
            self.properties.push(Property::SessionExpiry(seconds));
        }
    }

    /// The packet.
    pub fn as_connect(&self) -> Connect<'_> {
        let will = self.will.as_ref().map(|will| Will {
            topic: Topic::parse(&will.topic).expect("the command line has checked the topic"),
            payload: &will.payload,
            qos: will.qos,
            retain: will.is_retained,
            properties: Properties::NONE,
        });
        Connect {
            version: self.version,
            bridge: false,
            clean_start: self.is_clean,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will,
            user_name: self.user.as_deref(),
            password: self.password.as_deref(),
            properties: self.properties.as_properties(),
        }
    }
}
