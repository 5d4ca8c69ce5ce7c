//! What kinds of values there are: how each is read from TOML and from plain text, and how it is written.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeValue};

use super::Cores;
use super::address::{self, PLAIN_PORT, Place, TLS_PORT, URL_PATH_BYTES_MAX, WEB_URL_BYTES_MAX};
use super::complaint::{Mistake, excerpt};
use super::field::Spelled;
use super::levels::{self, Level, LevelFault, Levels};
use super::list::List;
use super::listener::ListenAddress;
use super::text::{self, Unit};
use crate::base::network::Network;
use crate::engine::homes::SHARDS_MAX;
use crate::mqtt::topic::Topic;

/// The longest start of a response topic, so that there is room for a client identifier behind it.
const PREFIX_BYTES_MAX: usize = 1024;

/// The longest path that the kernel takes, without the byte that ends it.
const PATH_BYTES_MAX: usize = 4_095;

/// The longest free text.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Words that stand for numbers of one key.
const WORDS_MAX: usize = 2;

/// The number that stands for no value, where a field may have none.
pub const NOTHING: u64 = u64::MAX;

/// A value on its way between a text and the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number in the unit of its field.
    Number(u64),
    /// One word of a closed list.
    Word(&'static str),
    /// Free text.
    Text(Box<str>),
    /// Cores.
    Cores(Cores),
    /// How loud the log is.
    Levels(Levels),
    /// Where to listen.
    Addresses(Vec<SocketAddr>),
    /// Where to listen, or not at all.
    Address(Option<SocketAddr>),
    /// Where to listen, on the network or in the file system.
    Listen(ListenAddress),
    /// Where to listen on the network, at the usual port of whatever is spoken there.
    ListenPortless(IpAddr),
    /// Networks.
    Networks(Vec<Network>),
    /// Free texts.
    Texts(Vec<Box<str>>),
    /// Words of a closed list, each at most once.
    Words(Vec<&'static str>),
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A count, a size or a time.
    Number(Number),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Cores: `"auto"`, so many, or these.
    Cores,
    /// Any number of something.
    List(List),
    /// One address, or `"off"`.
    Address,
    /// A level of the log, and others for some areas.
    Levels,
    /// The start of a topic, or nothing.
    TopicPrefix,
    /// A path in the file system.
    Path,
    /// A path in the file system, or nothing.
    File,
    /// A text that means something to others.
    Text(FreeText),
    /// An address, or a socket in the file system.
    Listen,
    /// The path of a URL.
    UrlPath,
    /// Where a web server is asked, or nothing.
    WebUrl,
    /// The name of a network device, or nothing.
    Interface,
    /// The permissions of a file.
    Mode,
}

/// A text that means something to others.
#[derive(Clone, Copy, Debug)]
pub struct FreeText {
    /// What it is, with its article.
    pub what: &'static str,
    /// One of them.
    pub example: &'static str,
    /// Whether there may be none, which is the empty text.
    pub is_optional: bool,
}

/// A number within bounds, and perhaps a word for one that stands apart.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// What it counts.
    pub unit: Unit,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// Words and the number that each means, which may be out of the bounds. What there is stands first.
    pub words: [Option<(&'static str, u64)>; WORDS_MAX],
}

/// A mistake in a value, and the bytes that it stands at.
pub struct Fault {
    /// What is wrong.
    pub mistake: Mistake,
    /// Where in the file.
    pub span: Range<usize>,
}

impl Kind {
    /// A count from `min` to `max`.
    pub const fn count(min: u64, max: u64) -> Self {
        Kind::number(Unit::One, min, max)
    }

    /// A size from `min` to `max` bytes.
    pub const fn size(min: u64, max: u64) -> Self {
        Kind::number(Unit::Bytes, min, max)
    }

    /// A time from `min` to `max`, in this unit.
    pub const fn time(unit: Unit, min: u64, max: u64) -> Self {
        Kind::number(unit, min, max)
    }

    const fn number(unit: Unit, min: u64, max: u64) -> Self {
        assert!(min <= max);
        Kind::Number(Number { unit, min, max, words: [None; WORDS_MAX] })
    }

    /// The same with a word that means `number`.
    #[must_use]
    pub const fn or(self, word: &'static str, number: u64) -> Self {
        let Kind::Number(plain) = self else { panic!("only a number has a word for one of its values") };
        let words = match plain.words {
            [None, None] => [Some((word, number)), None],
            [first, None] => [first, Some((word, number))],
            [_, Some(_)] => panic!("there is no room for another word"),
        };
        Kind::Number(Number { words, ..plain })
    }

    /// Reads the text form: what the environment and the command line have.
    pub fn read_text(&self, text: &str) -> Result<Value, Mistake> {
        match self {
            Kind::Flag => read_flag(text),
            Kind::Number(number) => number.read_text(text).map(Value::Number),
            Kind::Word(words) => find_word(words, text).map(Value::Word),
            Kind::Cores => text::parse_cores(text, SHARDS_MAX).map(Value::Cores),
            Kind::List(list) => list.read_text(text),
            Kind::Address if text == "off" => Ok(Value::Address(None)),
            Kind::Address => text::parse_address(text).map(|address| Value::Address(Some(address))),
            Kind::Levels => Levels::parse(text).map(Value::Levels).map_err(|fault| fault.mistake),
            Kind::TopicPrefix => read_prefix(text),
            Kind::File | Kind::WebUrl if text.is_empty() => Ok(Value::Text("".into())),
            Kind::Path | Kind::File => parse_path(text).map(Value::Text),
            Kind::Text(free) if free.is_optional && text.is_empty() => Ok(Value::Text("".into())),
            Kind::Text(_) => parse_free_text(text).map(Value::Text),
            Kind::Listen => address::parse_listen(text).map(|place| match place {
                Place::Whole(address) => Value::Listen(address),
                Place::Portless(host) => Value::ListenPortless(host),
            }),
            Kind::UrlPath => address::parse_url_path(text).map(Value::Text),
            Kind::WebUrl => address::parse_web_url(text).map(Value::Text),
            Kind::Interface => address::parse_interface(text).map(Value::Text),
            Kind::Mode => address::parse_mode(text).map(Value::Number),
        }
    }

    /// Reads a value of a file. In a list each entry has its say.
    pub fn read_toml(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, Vec<Fault>> {
        let read = match (self, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Kind::Number(number), DeValue::Integer(integer)) => number.read_integer(integer).map(Value::Number),
            (Kind::Number(number), DeValue::String(text)) => number.read_string(text).map(Value::Number),
            (Kind::Cores, DeValue::Integer(count)) => {
                whole(count).and_then(|count| text::count_cores(count, SHARDS_MAX)).map(Value::Cores)
            }
            (Kind::Cores, DeValue::Array(list)) => return read_core_list(list, &value.span()),
            (Kind::List(kind), DeValue::Array(list)) => return kind.read_toml(list, &value.span()),
            (Kind::Levels, DeValue::String(text)) => return read_levels(text, &value.span()),
            (
                Kind::Word(_)
                | Kind::Cores
                | Kind::List(_)
                | Kind::Address
                | Kind::TopicPrefix
                | Kind::Path
                | Kind::File
                | Kind::Text(_)
                | Kind::Listen
                | Kind::UrlPath
                | Kind::WebUrl
                | Kind::Interface
                | Kind::Mode,
                DeValue::String(text),
            ) => self.read_text(text),
            (_, other) => Err(Mistake::WrongType { found: name_of(other) }),
        };
        read.map_err(|mistake| vec![Fault { mistake, span: value.span() }])
    }

    /// Writes a value as a file has it.
    pub fn write(&self, value: &Value) -> String {
        match value {
            Value::Flag(flag) => flag.to_string(),
            Value::Number(mode) if matches!(self, Kind::Mode) => format!("\"{}\"", address::format_mode(*mode)),
            Value::Number(number) => self.write_number(*number),
            Value::Word(word) => format!("\"{word}\""),
            Value::Text(text) => quoted(text),
            Value::Levels(levels) => format!("\"{levels}\""),
            Value::Cores(Cores::Auto) => "\"auto\"".to_owned(),
            Value::Cores(Cores::Count(count)) => count.to_string(),
            Value::Cores(Cores::List(cores)) => listed(cores.iter().map(usize::to_string)),
            Value::Addresses(addresses) => listed(addresses.iter().map(|address| format!("\"{address}\""))),
            Value::Address(None) => "\"off\"".to_owned(),
            Value::Address(Some(address)) => format!("\"{address}\""),
            Value::Listen(address) => quoted(&address.to_string()),
            Value::ListenPortless(_) => unreachable!("a listener has a port"),
            Value::Networks(networks) => listed(networks.iter().map(|network| format!("\"{network}\""))),
            Value::Texts(texts) => listed(texts.iter().map(|text| quoted(text))),
            Value::Words(words) => listed(words.iter().map(|word| format!("\"{word}\""))),
        }
    }

    fn write_number(&self, number: u64) -> String {
        let Kind::Number(kind @ Number { unit, .. }) = self else { unreachable!("only a key of numbers gives one") };
        if let Some((word, _)) = kind.words().find(|(_, meant)| *meant == number) {
            return format!("\"{word}\"");
        }
        match unit {
            Unit::One => unit.format(number),
            Unit::Bytes | Unit::Micros | Unit::Millis | Unit::Seconds => format!("\"{}\"", unit.format(number)),
        }
    }

    /// What the key takes, in words.
    pub fn allowed(&self) -> String {
        match self {
            Kind::Flag => "true or false".to_owned(),
            Kind::Number(number) => number.allowed(),
            Kind::Word(words) => either(words.iter().map(|word| format!("\"{word}\""))),
            Kind::Cores => format!("\"auto\", 1 to {SHARDS_MAX} for the first so many, or a list such as [2, 3, 6, 7]"),
            Kind::List(list) => list.allowed(),
            Kind::Address => "an address with its port such as \"127.0.0.1:9883\", or \"off\"".to_owned(),
            Kind::Levels => {
                let [levels, rooms] = [Level::WORDS.to_vec(), levels::rooms().collect()]
                    .map(|words| either(words.into_iter().map(str::to_owned)));
                format!("{levels}; and behind commas area=level, where an area is {rooms} or what lies in it")
            }
            Kind::TopicPrefix => format!("the start of a topic, up to {PREFIX_BYTES_MAX} bytes, or \"\" for none"),
            Kind::File => {
                format!("a path such as \"/etc/pregon/users\", up to {PATH_BYTES_MAX} bytes, or \"\" for none")
            }
            Kind::Text(FreeText { what, example, is_optional }) => {
                let none = if *is_optional { ", or \"\" for none" } else { "" };
                format!("{what} such as \"{example}\", up to {TEXT_BYTES_MAX} bytes{none}")
            }
            Kind::Path => format!("a path such as \"/var/lib/pregon\", up to {PATH_BYTES_MAX} bytes"),
            Kind::Listen => format!(
                "an address such as \"0.0.0.0:{TLS_PORT}\", without a port at {TLS_PORT} with TLS and at {PLAIN_PORT} without, or a socket \
                 such as \"unix:/run/pregon/mqtt\""
            ),
            Kind::UrlPath => format!("the path of a URL such as \"/mqtt\", up to {URL_PATH_BYTES_MAX} bytes"),
            Kind::WebUrl => {
                format!(
                    "an address such as \"https://issuer.example/keys\", up to {WEB_URL_BYTES_MAX} bytes, or \"\" for none"
                )
            }
            Kind::Interface => "the name of a network device such as \"eth0\", or \"\" for any".to_owned(),
            Kind::Mode => "permissions in octal digits such as \"0660\"".to_owned(),
        }
    }
}

impl Number {
    /// Its words, each with the number that it means.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.words.into_iter().flatten()
    }

    fn meant_by(&self, text: &str) -> Option<u64> {
        self.words().find(|(word, _)| *word == text).map(|(_, meant)| meant)
    }

    fn read_text(&self, text: &str) -> Result<u64, Mistake> {
        match self.meant_by(text) {
            Some(meant) => Ok(meant),
            None => self.check(self.unit.parse(text)?),
        }
    }

    /// A string of a file: a size, a time, or the word. A count has no quotes.
    fn read_string(&self, text: &str) -> Result<u64, Mistake> {
        match self.unit {
            Unit::One if self.meant_by(text).is_none() => Err(Mistake::WrongType { found: "text" }),
            Unit::One | Unit::Bytes | Unit::Micros | Unit::Millis | Unit::Seconds => self.read_text(text),
        }
    }

    /// An integer of a file: a count. Sizes and times say their unit.
    fn read_integer(&self, integer: &DeInteger<'_>) -> Result<u64, Mistake> {
        match self.unit {
            Unit::One => self.check(whole(integer)?),
            Unit::Bytes | Unit::Micros | Unit::Millis | Unit::Seconds => {
                Err(Mistake::WrongType { found: "a number without a unit" })
            }
        }
    }

    fn check(&self, number: u64) -> Result<u64, Mistake> {
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        Err(Mistake::OutOfBounds { value: self.unit.format(number).into() })
    }

    fn allowed(&self) -> String {
        let (min, max) = (self.unit.format(self.min), self.unit.format(self.max));
        let range = match self.unit {
            Unit::One => format!("{min} to {max}"),
            Unit::Bytes | Unit::Micros | Unit::Millis | Unit::Seconds => format!("\"{min}\" to \"{max}\""),
        };
        match self.words {
            [None, _] => range,
            [Some((word, _)), None] => format!("{range}, or \"{word}\""),
            [Some((one, _)), Some((other, _))] => format!("{range}, \"{one}\" or \"{other}\""),
        }
    }
}

fn read_flag(text: &str) -> Result<Value, Mistake> {
    match text {
        "true" => Ok(Value::Flag(true)),
        "false" => Ok(Value::Flag(false)),
        _ => Err(Mistake::WordUnknown(excerpt(text))),
    }
}

/// Which of these words it is.
pub fn find_word(words: &[&'static str], text: &str) -> Result<&'static str, Mistake> {
    let known = words.iter().find(|word| **word == text);
    known.copied().ok_or_else(|| Mistake::WordUnknown(excerpt(text)))
}

/// Levels of a file. Where the text stands there letter by letter, the part that is wrong can be pointed at.
fn read_levels(text: &str, span: &Range<usize>) -> Result<Value, Vec<Fault>> {
    Levels::parse(text).map(Value::Levels).map_err(|LevelFault { mistake, part }| {
        let start = span.start + 1; // behind the quote
        let is_plain = span.len() == text.len() + 2;
        let span = if is_plain { start + part.start..start + part.end } else { span.clone() };
        vec![Fault { mistake, span }]
    })
}

fn read_prefix(text: &str) -> Result<Value, Mistake> {
    let begins_a_topic = text.is_empty() || Topic::parse(text).is_ok();
    // A control character or a `$` at the start would make each topic one that brokers refuse or hide.
    if !begins_a_topic || text.len() > PREFIX_BYTES_MAX || text.contains(char::is_control) || text.starts_with('$') {
        return Err(Mistake::TopicInvalid(excerpt(text)));
    }
    Ok(Value::Text(text.into()))
}

/// A text that is written to logs and compared, and never parsed.
pub fn parse_free_text(text: &str) -> Result<Box<str>, Mistake> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains(char::is_control) {
        return Err(Mistake::TextInvalid { text: excerpt(text), maximum: TEXT_BYTES_MAX });
    }
    Ok(text.into())
}

/// A path that the kernel takes.
pub fn parse_path(text: &str) -> Result<Box<str>, Mistake> {
    if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains(char::is_control) {
        return Err(Mistake::PathInvalid(excerpt(text)));
    }
    Ok(text.into())
}

fn read_core_list(list: &DeArray<'_>, span: &Range<usize>) -> Result<Value, Vec<Fault>> {
    let (mut cores, mut faults) = (Vec::new(), Vec::new());
    for entry in list {
        let number = entry.get_ref().as_integer().ok_or(Mistake::WrongType { found: name_of(entry.get_ref()) });
        match number.and_then(whole).and_then(text::core_number) {
            Ok(core) => cores.push(core),
            Err(mistake) => faults.push(Fault { mistake, span: entry.span() }),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let listed = text::list_cores(cores, SHARDS_MAX);
    listed.map(Value::Cores).map_err(|mistake| vec![Fault { mistake, span: span.clone() }])
}

/// An integer of a file that is not negative; it may be written in any radix.
fn whole(integer: &DeInteger<'_>) -> Result<u64, Mistake> {
    if integer.as_str().starts_with('-') {
        return Err(Mistake::OutOfBounds { value: excerpt(&integer.to_string()) });
    }
    u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()).or(Err(Mistake::TooLarge))
}

/// A value of TOML, named as it would be in a sentence.
pub fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Text as TOML has it, between quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn listed(entries: impl Iterator<Item = String>) -> String {
    format!("[{}]", entries.collect::<Vec<_>>().join(", "))
}

/// `a, b or c`.
pub fn either(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}
