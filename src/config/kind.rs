//! What kinds of values there are: how each is read from TOML and from plain text, and how it is written.

use core::net::SocketAddr;
use core::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeValue};

use super::Cores;
use super::complaint::{Mistake, excerpt};
use super::field::Spelled;
use super::levels::{self, Level, LevelFault, Levels};
use super::text::{self, LIST_ENTRIES_MAX, Unit};
use crate::engine::homes::SHARDS_MAX;
use crate::mqtt::topic::Topic;

/// The longest start of a response topic, so that there is room for a client identifier behind it.
const PREFIX_BYTES_MAX: usize = 1024;

/// The longest path that the kernel takes, without the byte that ends it.
const PATH_BYTES_MAX: usize = 4_095;

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
    /// At least one address.
    Addresses,
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
    /// A word and the number that it means, which may be out of the bounds.
    pub word: Option<(&'static str, u64)>,
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
        Kind::Number(Number { unit, min, max, word: None })
    }

    /// The same with a word that means `number`.
    #[must_use]
    pub const fn or(self, word: &'static str, number: u64) -> Self {
        let Kind::Number(plain) = self else { panic!("only a number has a word for one of its values") };
        Kind::Number(Number { word: Some((word, number)), ..plain })
    }

    /// Reads the text form: what the environment and the command line have.
    pub fn read_text(&self, text: &str) -> Result<Value, Mistake> {
        match self {
            Kind::Flag => read_flag(text),
            Kind::Number(number) => number.read_text(text).map(Value::Number),
            Kind::Word(words) => read_word(words, text),
            Kind::Cores => text::parse_cores(text, SHARDS_MAX).map(Value::Cores),
            Kind::Addresses => {
                let addresses: Result<Vec<_>, _> =
                    text::parse_list(text)?.into_iter().map(text::parse_address).collect();
                addresses.map(Value::Addresses)
            }
            Kind::Address if text == "off" => Ok(Value::Address(None)),
            Kind::Address => text::parse_address(text).map(|address| Value::Address(Some(address))),
            Kind::Levels => Levels::parse(text).map(Value::Levels).map_err(|fault| fault.mistake),
            Kind::TopicPrefix => read_prefix(text),
            Kind::File if text.is_empty() => Ok(Value::Text("".into())),
            Kind::Path | Kind::File => read_path(text),
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
            (Kind::Addresses, DeValue::Array(list)) => return read_address_list(list, &value.span()),
            (Kind::Levels, DeValue::String(text)) => return read_levels(text, &value.span()),
            (
                Kind::Word(_)
                | Kind::Cores
                | Kind::Addresses
                | Kind::Address
                | Kind::TopicPrefix
                | Kind::Path
                | Kind::File,
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
        }
    }

    fn write_number(&self, number: u64) -> String {
        let Kind::Number(Number { unit, word, .. }) = self else { unreachable!("only a key of numbers gives one") };
        match (word, unit) {
            (Some((word, meant)), _) if *meant == number => format!("\"{word}\""),
            (_, Unit::One) => unit.format(number),
            (_, Unit::Bytes | Unit::Micros | Unit::Millis | Unit::Seconds) => format!("\"{}\"", unit.format(number)),
        }
    }

    /// What the key takes, in words.
    pub fn allowed(&self) -> String {
        match self {
            Kind::Flag => "true or false".to_owned(),
            Kind::Number(number) => number.allowed(),
            Kind::Word(words) => either(words.iter().map(|word| format!("\"{word}\""))),
            Kind::Cores => format!("\"auto\", 1 to {SHARDS_MAX} for the first so many, or a list such as [2, 3, 6, 7]"),
            Kind::Addresses => "a list of addresses with their ports such as [\"0.0.0.0:1883\", \"[::1]:1883\"]".into(),
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
            Kind::Path => format!("a path such as \"/var/lib/pregon\", up to {PATH_BYTES_MAX} bytes"),
        }
    }
}

impl Number {
    fn read_text(&self, text: &str) -> Result<u64, Mistake> {
        match self.word {
            Some((word, meant)) if word == text => Ok(meant),
            Some(_) | None => self.check(self.unit.parse(text)?),
        }
    }

    /// A string of a file: a size, a time, or the word. A count has no quotes.
    fn read_string(&self, text: &str) -> Result<u64, Mistake> {
        let is_word = self.word.is_some_and(|(word, _)| word == text);
        match self.unit {
            Unit::One if !is_word => Err(Mistake::WrongType { found: "text" }),
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
        match self.word {
            Some((word, _)) => format!("{range}, or \"{word}\""),
            None => range,
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

fn read_word(words: &[&'static str], text: &str) -> Result<Value, Mistake> {
    let known = words.iter().find(|word| **word == text);
    known.map(|word| Value::Word(word)).ok_or_else(|| Mistake::WordUnknown(excerpt(text)))
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

fn read_path(text: &str) -> Result<Value, Mistake> {
    if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains(char::is_control) {
        return Err(Mistake::PathInvalid(excerpt(text)));
    }
    Ok(Value::Text(text.into()))
}

fn read_core_list(list: &DeArray<'_>, span: &Range<usize>) -> Result<Value, Vec<Fault>> {
    let cores = read_entries(list, |entry| {
        let number = entry.as_integer().ok_or(Mistake::WrongType { found: name_of(entry) })?;
        text::core_number(whole(number)?)
    })?;
    let listed = text::list_cores(cores, SHARDS_MAX);
    listed.map(Value::Cores).map_err(|mistake| vec![Fault { mistake, span: span.clone() }])
}

fn read_address_list(list: &DeArray<'_>, span: &Range<usize>) -> Result<Value, Vec<Fault>> {
    let addresses = read_entries(list, |entry| {
        let text = entry.as_str().ok_or(Mistake::WrongType { found: name_of(entry) })?;
        text::parse_address(text)
    })?;
    let fault = match addresses.len() {
        0 => Mistake::ListEmpty,
        1..=LIST_ENTRIES_MAX => return Ok(Value::Addresses(addresses)),
        _ => Mistake::ListTooLong { maximum: LIST_ENTRIES_MAX },
    };
    Err(vec![Fault { mistake: fault, span: span.clone() }])
}

fn read_entries<T>(
    list: &DeArray<'_>,
    read: impl Fn(&DeValue<'_>) -> Result<T, Mistake>,
) -> Result<Vec<T>, Vec<Fault>> {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    for entry in list {
        match read(entry.get_ref()) {
            Ok(value) => entries.push(value),
            Err(mistake) => faults.push(Fault { mistake, span: entry.span() }),
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
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
fn either(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} or {last}", words.join(", ")) }
}
