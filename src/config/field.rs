//! The bridge between a field of the configuration and the value of its key.

use core::net::SocketAddr;
use std::path::PathBuf;

use super::kind::{NOTHING, Value};
use super::levels::{Level, Levels};
use super::listener::{ClientCertificates, ListenAddress, Proof, Protocol, ProxyProtocol, TlsVersion, UserFrom};
use super::plaintext::PlaintextPasswords;
use super::{Anonymous, Cores, Driver, Durability, LogFormat};
use crate::base::network::Network;
use crate::engine::auth::token::terms::{Carrier, UserName};
use crate::engine::limits::{Overlap, QueuePolicy, Strategy};
use crate::mqtt::QoS;

/// The word for what the whole broker has.
pub const INHERIT: &str = "inherit";

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
    PlaintextPasswords { Allow = "allow", Warn = "warn", Refuse = "refuse" }
    Carrier { Password = "password", UserName = "user-name" }
    UserName { Ignored = "ignore", Equal = "equal" }
    Durability { Fsync = "fsync", Interval = "interval", Memory = "memory" }
    Protocol { Mqtt = "mqtt", WebSocket = "websocket" }
    ProxyProtocol { Off = "off", Required = "required" }
    TlsVersion { V12 = "1.2", V13 = "1.3" }
    ClientCertificates { Off = "off", Optional = "optional", Required = "required" }
    UserFrom {
        None = "none",
        CommonName = "common-name",
        Subject = "subject",
        Dns = "dns",
        Email = "email",
        Uri = "uri"
    }
    Proof {
        Certificate = "certificate",
        Password = "password",
        Token = "token",
        Hook = "hook",
        Anonymous = "anonymous"
    }
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

/// Nothing is a number of its own, for which the key has a word.
macro_rules! optional_fields {
    ($($field:ty = $any:expr),*) => {$(
        impl Field for Option<$field> {
            fn to_value(&self) -> Value {
                self.as_ref().map_or(Value::Number(NOTHING), Field::to_value)
            }

            fn set_value(&mut self, value: Value) {
                *self = (value != Value::Number(NOTHING)).then(|| {
                    let mut field = $any;
                    field.set_value(value);
                    field
                });
            }
        }
    )*};
}

optional_fields!(u16 = 0, u32 = 0, u64 = 0, usize = 0, QoS = QoS::AtMostOnce);

/// Nothing is a word of its own, which stands first among those of the key.
impl Field for Option<PlaintextPasswords> {
    fn to_value(&self) -> Value {
        Value::Word(self.map_or(INHERIT, Spelled::word))
    }

    fn set_value(&mut self, value: Value) {
        let Value::Word(word) = value else { unreachable!("the table says that the key takes a word") };
        *self = PlaintextPasswords::of_word(word);
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

impl Field for Box<str> {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        *self = text(value);
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

impl Field for ListenAddress {
    fn to_value(&self) -> Value {
        Value::Listen(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        if let Value::ListenPortless(host) = value {
            *self = Self::Tcp(SocketAddr::new(host, 0)); // until it is known what is spoken there
            return;
        }
        let Value::Listen(address) = value else { unreachable!("the table says that the key takes where to listen") };
        *self = address;
    }
}

impl Field for Vec<Network> {
    fn to_value(&self) -> Value {
        Value::Networks(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Networks(networks) = value else { unreachable!("the table says that the key takes networks") };
        *self = networks;
    }
}

/// Paths that were made of text.
impl Field for Vec<PathBuf> {
    fn to_value(&self) -> Value {
        let text = |path: &PathBuf| path.to_str().expect("it was made of text").into();
        Value::Texts(self.iter().map(text).collect())
    }

    fn set_value(&mut self, value: Value) {
        *self = texts(value).into_iter().map(|text| text.into_string().into()).collect();
    }
}

impl Field for Vec<Box<str>> {
    fn to_value(&self) -> Value {
        Value::Texts(self.clone())
    }

    fn set_value(&mut self, value: Value) {
        *self = texts(value);
    }
}

impl<T: Spelled> Field for Vec<T> {
    fn to_value(&self) -> Value {
        Value::Words(self.iter().map(|spelled| spelled.word()).collect())
    }

    fn set_value(&mut self, value: Value) {
        let Value::Words(words) = value else { unreachable!("the table says that the key takes words") };
        let of_word = |word| T::of_word(word).expect("the kind has the words of its field");
        *self = words.into_iter().map(of_word).collect();
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

fn texts(value: Value) -> Vec<Box<str>> {
    let Value::Texts(texts) = value else { unreachable!("the table says that the key takes several texts") };
    texts
}
