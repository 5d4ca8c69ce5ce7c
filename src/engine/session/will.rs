//! The message that a client leaves for the case that it dies.

use crate::base::time::Time;
use crate::engine::message::SessionId;
use crate::mqtt::connect;
use crate::mqtt::publish::copy_forwarded;
use crate::mqtt::{QoS, Topic};

/// A will, in memory of its own. Its message is made when it is published, so that its expiry begins then.
#[derive(Clone, Debug)]
pub struct Will {
    /// The number under which shards take it once; that of the broker for none.
    pub number: SessionId,
    topic: Box<str>,
    forwarded: Box<[u8]>,
    payload: Box<[u8]>,
    /// The quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// How long after the connection's end it is published, in seconds.
    pub delay_s: u32,
    /// When it is published if nobody comes back; [`Time::NEVER`] while connected.
    pub due_at: Time,
    /// The life of the message in seconds, from its publication.
    pub message_expiry_s: Option<u32>,
}

impl Will {
    /// Copies a will out of CONNECT.
    pub fn of(will: &connect::Will<'_>) -> Self {
        let mut forwarded = Vec::new();
        copy_forwarded(will.properties, &mut forwarded);
        Self {
            number: SessionId::BROKER,
            topic: will.topic.as_str().into(),
            forwarded: forwarded.into(),
            payload: will.payload.into(),
            qos: will.qos,
            retain: will.retain,
            delay_s: will.properties.will_delay().unwrap_or(0),
            due_at: Time::NEVER,
            message_expiry_s: will.properties.message_expiry(),
        }
    }

    /// A will of these words, without delay, not retained and at most once; what else it was is said in its public fields.
    pub fn restored(topic: Topic<'_>, forwarded: &[u8], payload: &[u8]) -> Self {
        Self {
            number: SessionId::BROKER,
            topic: topic.as_str().into(),
            forwarded: forwarded.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            delay_s: 0,
            due_at: Time::NEVER,
            message_expiry_s: None,
        }
    }

    /// The topic.
    pub fn topic(&self) -> Topic<'_> {
        Topic::parse(&self.topic).expect("it was a topic when it was copied")
    }

    /// The properties that subscribers get.
    pub fn forwarded(&self) -> &[u8] {
        &self.forwarded
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::properties::PropertyBuffer;
    use crate::mqtt::property::Property;

    #[test]
    fn a_copy_says_what_connect_said() {
        let (mut said, mut forwarded) = (PropertyBuffer::default(), Vec::new());
        said.push(Property::WillDelay(7)).push(Property::User("a", "b")).push(Property::MessageExpiry(9));
        Property::User("a", "b").encode(&mut forwarded);
        let topic = Topic::parse("last/words").unwrap();
        let will = connect::Will {
            topic,
            payload: b"gone",
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: said.as_properties(),
        };
        let copy = Will::of(&will);
        assert_eq!((copy.topic(), copy.payload(), copy.forwarded()), (topic, &b"gone"[..], &forwarded[..]));
        assert_eq!((copy.qos, copy.retain), (QoS::ExactlyOnce, true));
        assert_eq!((copy.delay_s, copy.message_expiry_s, copy.due_at), (7, Some(9), Time::NEVER));
    }

    #[test]
    fn a_restored_will_has_the_words_of_the_first() {
        let topic = Topic::parse("last/words").unwrap();
        let will = Will::restored(topic, b"\x01\x01", b"gone");
        assert_eq!((will.topic(), will.forwarded(), will.payload()), (topic, &b"\x01\x01"[..], &b"gone"[..]));
        assert_eq!((will.qos, will.retain, will.delay_s), (QoS::AtMostOnce, false, 0));
        assert_eq!((will.due_at, will.message_expiry_s), (Time::NEVER, None));
    }
}
