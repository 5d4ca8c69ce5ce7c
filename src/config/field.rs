//! The bridge between a field of the configuration and the value of its key.

use core::net::SocketAddr;
use std::path::PathBuf;

use super::kind::Value;
use super::levels::{Level, Levels};
use super::{Anonymous, Cores, Driver, Durability, LogFormat};
use crate::engine::limits::{Overlap, QueuePolicy, Strategy};
use crate::mqtt::QoS;

/// A field that a key can fill. Which kind of value it takes stands in the table of keys, and a test holds both together.
pub trait Field {
    /// What the field holds.
    fn to_value(&self) -> Value;

    /// Fills the field.
    ///
    /// # Panics
    /// When the table gives the field a value of another kind, or one that does not fit.
    fn set_value(&mut self, value: Value);
}

/// A field that holds one of a few things, each with its word.
pub trait Spelled: Copy + Sized {
    /// The words.
    const WORDS: &'static [&'static str];

    /// The word for this.
    fn word(self) -> &'static str;

    /// What a word means.
    fn of_word(word: &str) -> Option<Self>;
}

macro_rules! spelled {
    ($($field:ident { $($variant:ident = $word:literal),+ })+) => {$(
        impl Spelled for $field {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn word(self) -> &'static str {
                match self {
                    $($field::$variant => $word),+
                }
            }

            fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some($field::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

spelled! {
    Driver { Auto = "auto", Ring = "ring", Plain = "plain" }
    Anonymous { Auto = "auto", Yes = "yes", No = "no" }
    Durability { Fsync = "fsync", Interval = "interval", Memory = "memory" }
    Level { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
    LogFormat { Text = "text", Json = "json" }
    QueuePolicy { RefuseNew = "refuse-new", DropOldest = "drop-oldest" }
    Overlap { Merged = "merged", Separate = "separate" }
    Strategy {
        RoundRobin = "round-robin",
        Random = "random",
        Sticky = "sticky",
        LeastInflight = "least-inflight",
        HashTopic = "hash-topic",
        HashPublisher = "hash-publisher"
    }
}

impl<T: Spelled> Field for T {
    fn to_value(&self) -> Value {
        Value::Word(self.word())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Word(word) = value else { unreachable!("the table says that the key takes a word") };
        *self = T::of_word(word).expect("the kind has the words of its field");
    }
}

/// Numbers are carried in 64 bits; the bounds of each key fit its field.
macro_rules! number_fields {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn to_value(&self) -> Value {
                Value::Number(u64::try_from(*self).expect("a field has at most 64 bits"))
            }

            fn set_value(&mut self, value: Value) {
                *self = Self::try_from(number(&value)).expect("the bounds of a key fit its field");
            }
        }
    )*};
}

number_fields!(u16, u32, u64, usize);

/// Nothing is 0 in the table, where a word stands for it.
impl Field for Option<usize> {
    fn to_value(&self) -> Value {
        self.unwrap_or(0).to_value()
    }

    fn set_value(&mut self, value: Value) {
        let mut count = 0_usize;
        count.set_value(value);
        *self = (count > 0).then_some(count);
    }
}

impl Field for QoS {
    fn to_value(&self) -> Value {
        Value::Number(u64::from(self.bits()))
    }

    fn set_value(&mut self, value: Value) {
        let level = u8::try_from(number(&value)).ok().and_then(QoS::from_bits);
        *self = level.expect("the bounds of the key are the levels");
    }
}

impl Field for bool {
    fn to_value(&self) -> Value {
        Value::Flag(*self)
    }

    fn set_value(&mut self, value: Value) {
        let Value::Flag(flag) = value else { unreachable!("the table says that the key takes true or false") };
        *self = flag;
    }
}

/// Nothing is the empty text.
impl Field for Option<Box<str>> {
    fn to_value(&self) -> Value {
        Value::Text(self.clone().unwrap_or_default())
    }

    fn set_value(&mut self, value: Value) {
        *self = Some(text(value)).filter(|text| !text.is_empty());
    }
}

impl Field for PathBuf {
    fn to_value(&self) -> Value {
        Value::Text(self.to_str().expect("it was made of text").into())
    }

    fn set_value(&mut self, value: Value) {
        *self = Self::from(text(value).into_string());
    }
}

impl Field for Cores {
    fn to_value(&self) -> Value {
        Value::Cores(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Cores(cores) = value else { unreachable!("the table says that the key takes cores") };
        *self = cores;
    }
}

impl Field for Levels {
    fn to_value(&self) -> Value {
        Value::Levels(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Levels(levels) = value else { unreachable!("the table says that the key takes levels") };
        *self = levels;
    }
}

impl Field for Vec<SocketAddr> {
    fn to_value(&self) -> Value {
        Value::Addresses(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Addresses(addresses) = value else { unreachable!("the table says that the key takes addresses") };
        *self = addresses;
    }
}

impl Field for Option<SocketAddr> {
    fn to_value(&self) -> Value {
        Value::Address(*self)
    }

    fn set_value(&mut self, value: Value) {
        let Value::Address(address) = value else { unreachable!("the table says that the key takes one address") };
        *self = address;
    }
}

fn number(value: &Value) -> u64 {
    let Value::Number(number) = value else { unreachable!("the table says that the key takes a number") };
    *number
}

fn text(value: Value) -> Box<str> {
    let Value::Text(text) = value else { unreachable!("the table says that the key takes text") };
    text
}
