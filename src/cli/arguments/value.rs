//! Texts that must be something: checked where they are written, so that nobody asks again.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::mqtt::{Filter, QoS, Subscription, Topic, Version};

/// The largest text or binary field of the protocol.
const FIELD_BYTES_MAX: usize = 65_535;

/// The longest time in seconds: a year and a bit.
const SECONDS_MAX: f64 = 40_000_000.0;

/// `31`, `311`, `5`, or as mosquitto's clients also write them.
pub fn version(text: &str) -> Result<Version, String> {
    match text.strip_prefix("mqttv").unwrap_or(text) {
        "31" | "3.1" => Ok(Version::V31),
        "311" | "3.1.1" => Ok(Version::V311),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err("31, 311 and 5 are the versions of MQTT".into()),
    }
}

/// 0, 1 or 2.
pub fn qos(text: &str) -> Result<QoS, String> {
    let bits = text.parse().ok().and_then(QoS::from_bits);
    bits.ok_or_else(|| "0, 1 and 2 are the qualities of service".into())
}

/// A topic to publish to.
pub fn topic(text: &str) -> Result<String, String> {
    Topic::parse(text).map_err(|error| format!("no topic to publish to: {error}"))?;
    Ok(text.to_owned())
}

/// What can be subscribed, shared ones included.
pub fn subscription(text: &str) -> Result<String, String> {
    Subscription::parse(text).map_err(|error| format!("no topic filter: {error}"))?;
    Ok(text.to_owned())
}

/// A pattern over topics.
pub fn filter(text: &str) -> Result<String, String> {
    Filter::parse(text).map_err(|error| format!("no topic filter: {error}"))?;
    Ok(text.to_owned())
}

/// A text that fits into a field.
pub fn field(text: &str) -> Result<String, String> {
    match text.len() {
        _ if text.contains('\0') => Err("MQTT allows no U+0000 in a text".into()),
        0..=FIELD_BYTES_MAX => Ok(text.to_owned()),
        len => Err(format!("{len} bytes, and MQTT allows {FIELD_BYTES_MAX}")),
    }
}

/// Seconds, with a fraction if need be, as milliseconds.
pub fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("a number of seconds between 0 and {SECONDS_MAX} is wanted"))?;
    let millis = std::time::Duration::from_secs_f64(seconds).as_millis();
    Ok(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// How long a session lives behind its connection; without end for -1, 4294967295 and the sign of infinity.
pub fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "\u{221e}" => Ok(u32::MAX),
        _ => text.parse().map_err(|_number| "0 to 4294967294 seconds, or -1 for a session without end".into()),
    }
}

/// Bytes that fit into a binary field: whatever the shell passes, UTF-8 or not.
pub fn binary(text: OsString) -> Result<Vec<u8>, String> {
    let bytes = text.into_vec();
    if bytes.len() > FIELD_BYTES_MAX {
        return Err(format!("{} bytes, and MQTT allows {FIELD_BYTES_MAX}", bytes.len()));
    }
    Ok(bytes)
}
