//! The text forms of values: counts, sizes, times, addresses, cores.
//!
//! Each form has one way to be written, and what is written is read back as the same value. Numbers are whole: `1s500ms`,
//! not `1.5s`. Units of size are powers of two and say so; units of time come in falling order.

use core::fmt::Write as _;
use core::net::SocketAddr;

use super::Cores;
use super::complaint::{Mistake, excerpt};

/// Cores that Linux can name in the fixed set that pinning uses: 0 to this.
pub const CORE_NUMBER_MAX: usize = 1023;

/// Entries of a list.
pub const LIST_ENTRIES_MAX: usize = 1024;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things; written as a bare number.
    One,
    /// Bytes, written with a unit of size.
    Bytes,
    /// Microseconds, written with units of time.
    Micros,
    /// Milliseconds, written with units of time.
    Millis,
    /// Seconds, written with units of time.
    Seconds,
}

/// Units of size in bytes, small to large.
const SIZES: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Units of time in microseconds, small to large.
const TIMES: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60 * 1_000_000),
    ("h", 3_600 * 1_000_000),
    ("d", 86_400 * 1_000_000),
];

impl Unit {
    /// Reads a number of this unit.
    pub fn parse(self, text: &str) -> Result<u64, Mistake> {
        match self {
            Unit::One => parse_count(text),
            Unit::Bytes => parse_size(text),
            Unit::Micros | Unit::Millis | Unit::Seconds => self.parse_time(text),
        }
    }

    /// The number as [`Unit::parse`] reads it.
    pub fn format(self, number: u64) -> String {
        match self {
            Unit::One => format_count(number),
            Unit::Bytes => format_size(number),
            Unit::Micros | Unit::Millis | Unit::Seconds => format_time(number.saturating_mul(self.micros())),
        }
    }

    fn parse_time(self, text: &str) -> Result<u64, Mistake> {
        let (mut rest, mut sum, mut last_unit) = (text, 0_u64, u64::MAX);
        loop {
            let (number, unit, after) = take_amount(rest, &TIMES, "us, ms, s, m, h, d")?;
            if unit >= last_unit {
                return Err(Mistake::UnitOrder);
            }
            sum = number.checked_mul(unit).and_then(|part| sum.checked_add(part)).ok_or(Mistake::TooLarge)?;
            (rest, last_unit) = (after, unit);
            if rest.is_empty() {
                break;
            }
        }
        if !sum.is_multiple_of(self.micros()) {
            return Err(Mistake::TooFine { finest: self.finest() });
        }
        Ok(sum / self.micros())
    }

    /// Microseconds in one.
    fn micros(self) -> u64 {
        match self {
            Unit::One | Unit::Bytes | Unit::Micros => 1,
            Unit::Millis => 1_000,
            Unit::Seconds => 1_000_000,
        }
    }

    fn finest(self) -> &'static str {
        match self {
            Unit::One | Unit::Bytes => "whole numbers",
            Unit::Micros => "microseconds",
            Unit::Millis => "milliseconds",
            Unit::Seconds => "seconds",
        }
    }
}

/// `1000`, `10_000_000`: as TOML writes it, so one underscore between two digits means nothing.
fn parse_count(text: &str) -> Result<u64, Mistake> {
    let groups_are_whole = text.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    if !groups_are_whole {
        return Err(Mistake::NotANumber { text: excerpt(text) });
    }
    parse_digits(&text.replace('_', ""))
}

fn format_count(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

fn parse_size(text: &str) -> Result<u64, Mistake> {
    let (number, unit, rest) = take_amount(text, &SIZES, "B, KiB, MiB, GiB, TiB")?;
    if !rest.is_empty() {
        return Err(Mistake::NotOneSize);
    }
    number.checked_mul(unit).ok_or(Mistake::TooLarge)
}

/// In the largest unit that leaves no rest.
fn format_size(bytes: u64) -> String {
    let fitting = SIZES.iter().rev().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (name, unit) = fitting.unwrap_or(&SIZES[0]);
    format!("{}{name}", bytes / unit)
}

/// In as many units as it takes.
fn format_time(micros: u64) -> String {
    let (mut text, mut rest) = (String::new(), micros);
    for (name, unit) in TIMES.iter().rev() {
        if rest >= *unit {
            write!(text, "{}{name}", rest / unit).expect("a string takes all text");
            rest %= unit;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Takes `64KiB` off the front: the number, how much its unit is worth, and what follows.
fn take_amount<'a>(text: &'a str, units: &[(&str, u64)], names: &'static str) -> Result<(u64, u64, &'a str), Mistake> {
    let (digits, rest) = split_where(text, |letter| !letter.is_ascii_digit());
    let (name, after) = split_where(rest, |letter| letter.is_ascii_digit());
    if digits.is_empty() {
        return Err(Mistake::NotANumber { text: excerpt(text) });
    }
    if name.is_empty() {
        return Err(Mistake::UnitMissing { number: excerpt(digits), units: names });
    }
    let known = units.iter().find(|(known, _)| *known == name);
    let (_, unit) = known.ok_or_else(|| Mistake::UnitUnknown { unit: excerpt(name), units: names })?;
    Ok((parse_digits(digits)?, *unit, after))
}

fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_end).unwrap_or(text.len()))
}

/// Digits and nothing else; only their number can be wrong.
fn parse_digits(digits: &str) -> Result<u64, Mistake> {
    debug_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "the caller looked");
    digits.parse().or(Err(Mistake::TooLarge))
}

/// `ADDRESS:PORT`, the address in numbers.
pub fn parse_address(text: &str) -> Result<SocketAddr, Mistake> {
    let address = text.parse().ok();
    address.ok_or_else(|| Mistake::AddressInvalid { text: excerpt(text), instead: instead_of_address(text) })
}

/// What is meant by the forms that other programs take.
fn instead_of_address(text: &str) -> Option<Box<str>> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return None;
    }
    match host {
        "" | "*" => Some(format!("0.0.0.0:{port}").into()),
        "localhost" => Some(format!("127.0.0.1:{port}").into()),
        _ => format!("[{host}]:{port}").parse::<SocketAddr>().ok().map(|address| address.to_string().into()),
    }
}

/// The entries of a list in text form: `a, b`, in brackets or not.
pub fn parse_list(text: &str) -> Result<Vec<&str>, Mistake> {
    let inner = text.trim();
    let inner = inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(inner);
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<&str> = inner.split(',').map(str::trim).take(LIST_ENTRIES_MAX + 1).collect();
    if entries.len() > LIST_ENTRIES_MAX {
        return Err(Mistake::ListTooLong { maximum: LIST_ENTRIES_MAX });
    }
    Ok(entries)
}

/// `auto`, `4` for the first four, `2,3,6-7` or `[5]` for these.
pub fn parse_cores(text: &str, count_max: usize) -> Result<Cores, Mistake> {
    if text == "auto" {
        return Ok(Cores::Auto);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && !text.is_empty() {
        return count_cores(parse_count(text)?, count_max);
    }
    let mut cores = Vec::new();
    for entry in parse_list(text)? {
        let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
        let (first, last) = (parse_core(first.trim())?, parse_core(last.trim())?);
        if first > last {
            return Err(Mistake::RangeBackwards { first, last });
        }
        cores.extend(first..=last);
    }
    list_cores(cores, count_max)
}

fn parse_core(text: &str) -> Result<usize, Mistake> {
    core_number(parse_count(text)?)
}

/// The first so many cores.
pub fn count_cores(count: u64, count_max: usize) -> Result<Cores, Mistake> {
    match usize::try_from(count) {
        Ok(count) if (1..=count_max).contains(&count) => Ok(Cores::Count(count)),
        Ok(_) | Err(_) => Err(Mistake::CoreCount { count, maximum: count_max }),
    }
}

/// The number of one core.
pub fn core_number(number: u64) -> Result<usize, Mistake> {
    match usize::try_from(number) {
        Ok(core) if core <= CORE_NUMBER_MAX => Ok(core),
        Ok(_) | Err(_) => Err(Mistake::CoreNumber { number, maximum: CORE_NUMBER_MAX }),
    }
}

/// These cores, each once.
pub fn list_cores(cores: Vec<usize>, count_max: usize) -> Result<Cores, Mistake> {
    if cores.is_empty() {
        return Err(Mistake::ListEmpty);
    }
    if let Some(at) = (1..cores.len()).find(|at| cores[..*at].contains(&cores[*at])) {
        return Err(Mistake::CoreTwice { core: cores[at] });
    }
    if cores.len() > count_max {
        return Err(Mistake::CoreCount { count: cores.len() as u64, maximum: count_max });
    }
    Ok(Cores::List(cores))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [("0B", 0), ("100B", 100), ("64KiB", 65_536), ("1MiB", 1 << 20), ("16TiB", 16 << 40)] {
            assert_eq!((Unit::Bytes.parse(text), Unit::Bytes.format(bytes).as_str()), (Ok(bytes), text));
        }
        assert_eq!(Unit::Bytes.parse("1024KiB"), Ok(1 << 20));
        assert_eq!(Unit::Bytes.format(1_000_000), "1000000B");
    }

    #[test]
    fn a_size_that_is_none_says_why() {
        let units = "B, KiB, MiB, GiB, TiB";
        assert_eq!(Unit::Bytes.parse("64"), Err(Mistake::UnitMissing { number: "64".into(), units }));
        assert_eq!(Unit::Bytes.parse("64KB"), Err(Mistake::UnitUnknown { unit: "KB".into(), units }));
        assert_eq!(Unit::Bytes.parse("1.5MiB"), Err(Mistake::UnitUnknown { unit: ".".into(), units }));
        assert_eq!(Unit::Bytes.parse("1MiB512KiB"), Err(Mistake::NotOneSize));
        assert_eq!(Unit::Bytes.parse("KiB"), Err(Mistake::NotANumber { text: "KiB".into() }));
        assert_eq!(Unit::Bytes.parse("-1B"), Err(Mistake::NotANumber { text: "-1B".into() }));
        assert_eq!(Unit::Bytes.parse(""), Err(Mistake::NotANumber { text: "".into() }));
        assert_eq!(Unit::Bytes.parse("99999999999999999999B"), Err(Mistake::TooLarge));
        assert_eq!(Unit::Bytes.parse("99999999999TiB"), Err(Mistake::TooLarge));
    }

    #[test]
    fn times_are_read_in_units_that_fall() {
        for (text, ms) in [("0s", 0), ("500ms", 500), ("30s", 30_000), ("1m30s", 90_000), ("1h30m", 5_400_000)] {
            assert_eq!((Unit::Millis.parse(text), Unit::Millis.format(ms).as_str()), (Ok(ms), text));
        }
        assert_eq!(Unit::Seconds.parse("1d"), Ok(86_400));
        assert_eq!(Unit::Micros.parse("2ms"), Ok(2_000));
        assert_eq!(Unit::Millis.parse("90s"), Ok(90_000));
        assert_eq!(Unit::Seconds.format(u64::from(u32::MAX)), "49710d6h28m15s");
    }

    #[test]
    fn a_time_that_is_none_says_why() {
        let units = "us, ms, s, m, h, d";
        assert_eq!(Unit::Millis.parse("30m1h"), Err(Mistake::UnitOrder));
        assert_eq!(Unit::Millis.parse("1s1s"), Err(Mistake::UnitOrder));
        assert_eq!(Unit::Millis.parse("500us"), Err(Mistake::TooFine { finest: "milliseconds" }));
        assert_eq!(Unit::Seconds.parse("1500ms"), Err(Mistake::TooFine { finest: "seconds" }));
        assert_eq!(Unit::Millis.parse("10"), Err(Mistake::UnitMissing { number: "10".into(), units }));
        assert_eq!(Unit::Millis.parse("1h30"), Err(Mistake::UnitMissing { number: "30".into(), units }));
        assert_eq!(Unit::Millis.parse("10sec"), Err(Mistake::UnitUnknown { unit: "sec".into(), units }));
        assert_eq!(Unit::Millis.parse(""), Err(Mistake::NotANumber { text: "".into() }));
        assert_eq!(Unit::Millis.parse("99999999999999d"), Err(Mistake::TooLarge));
        assert_eq!(Unit::Micros.parse("18446744073709551615us1ms"), Err(Mistake::UnitOrder));
        assert_eq!(Unit::Micros.parse("18446744073709551ms999us"), Err(Mistake::TooLarge));
    }

    #[test]
    fn counts_may_be_grouped() {
        for (text, count) in [("0", 0), ("9999", 9_999), ("10_000", 10_000), ("1_000_000", 1_000_000)] {
            assert_eq!((Unit::One.parse(text), Unit::One.format(count).as_str()), (Ok(count), text));
        }
        for text in ["", "_", "1_", "_1", "1__0", "-1", "+1", "1e3", "0x10", "1 000", "½"] {
            assert_eq!(Unit::One.parse(text), Err(Mistake::NotANumber { text: text.into() }));
        }
        assert_eq!(Unit::One.parse("18446744073709551616"), Err(Mistake::TooLarge));
    }

    #[test]
    fn every_number_is_read_back_as_it_was_written() {
        let mut random = Random::from_seed(3);
        for unit in [Unit::One, Unit::Bytes, Unit::Micros, Unit::Millis, Unit::Seconds] {
            for _ in 0..2_000 {
                let bits = random.below(44);
                let number = random.below(1 << bits);
                assert_eq!(unit.parse(&unit.format(number)), Ok(number), "{}", unit.format(number));
            }
        }
    }

    #[test]
    fn an_address_is_numbers_and_what_was_meant_is_said() {
        assert_eq!(parse_address("127.0.0.1:1883"), Ok(SocketAddr::from(([127, 0, 0, 1], 1883))));
        assert!(parse_address("[::1]:1883").is_ok());
        let instead = |text| match parse_address(text) {
            Err(Mistake::AddressInvalid { instead, .. }) => instead,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(instead("1883").as_deref(), Some("0.0.0.0:1883"));
        assert_eq!(instead(":1883").as_deref(), Some("0.0.0.0:1883"));
        assert_eq!(instead("*:1883").as_deref(), Some("0.0.0.0:1883"));
        assert_eq!(instead("localhost:1883").as_deref(), Some("127.0.0.1:1883"));
        assert_eq!(instead("fe80::1:1883").as_deref(), Some("[fe80::1]:1883"));
        assert_eq!(instead("broker.example:1883"), None);
        assert_eq!(instead("127.0.0.1"), None);
        assert_eq!(instead("127.0.0.1:70000"), None);
        assert_eq!(instead(""), None);
    }

    #[test]
    fn cores_are_all_so_many_or_these() {
        let list = |cores: &[usize]| Ok(Cores::List(cores.to_vec()));
        assert_eq!(parse_cores("auto", 64), Ok(Cores::Auto));
        assert_eq!(parse_cores("4", 64), Ok(Cores::Count(4)));
        assert_eq!(parse_cores("2,3,6-7", 64), list(&[2, 3, 6, 7]));
        assert_eq!(parse_cores("[2, 3, 6, 7]", 64), list(&[2, 3, 6, 7]));
        assert_eq!(parse_cores("[5]", 64), list(&[5]));
        assert_eq!(parse_cores("5-5", 64), list(&[5]));
    }

    #[test]
    fn cores_that_cannot_be_say_why() {
        assert_eq!(parse_cores("0", 64), Err(Mistake::CoreCount { count: 0, maximum: 64 }));
        assert_eq!(parse_cores("65", 64), Err(Mistake::CoreCount { count: 65, maximum: 64 }));
        assert_eq!(parse_cores("0-64", 64), Err(Mistake::CoreCount { count: 65, maximum: 64 }));
        assert_eq!(parse_cores("1,2,1", 64), Err(Mistake::CoreTwice { core: 1 }));
        assert_eq!(parse_cores("7-6", 64), Err(Mistake::RangeBackwards { first: 7, last: 6 }));
        assert_eq!(parse_cores("1024-1025", 64), Err(Mistake::CoreNumber { number: 1024, maximum: 1023 }));
        assert_eq!(parse_cores("", 64), Err(Mistake::ListEmpty));
        assert_eq!(parse_cores("[]", 64), Err(Mistake::ListEmpty));
        assert_eq!(parse_cores("1,,2", 64), Err(Mistake::NotANumber { text: "".into() }));
        assert_eq!(parse_cores("all", 64), Err(Mistake::NotANumber { text: "all".into() }));
        assert_eq!(parse_cores("1-2-3", 64), Err(Mistake::NotANumber { text: "2-3".into() }));
        let many = "0-1023,".repeat(1_000);
        assert_eq!(parse_cores(&many, 64), Err(Mistake::NotANumber { text: "".into() }));
    }
}
