//! The filters and topics of the benches: `tenant/site/device/reading`, ten readings a device.

use std::fmt::Write;

const READINGS: [&str; 10] =
    ["temperature", "humidity", "pressure", "state", "battery", "signal", "position", "alarm", "config", "log"];

/// What kind of filters there are.
#[derive(Clone, Copy)]
pub enum Kind {
    Exact,
    /// One `+`, at one of the first three levels.
    Plus,
    /// `#` behind the device.
    Hash,
    /// 70 % exact, 20 % with one `+`, 10 % with `#`.
    Mixed,
}

impl Kind {
    /// The filter of a number, another one for each number.
    pub fn write_filter(self, number: u32, text: &mut String) {
        text.clear();
        let (device, reading) = (number / 10, READINGS[number as usize % 10]);
        let (tenant, site) = (device % 1_000, device / 1_000 % 20);
        let kind = match self {
            Self::Exact | Self::Plus | Self::Hash => self,
            Self::Mixed => match number % 10 {
                0..=6 => Self::Exact,
                7 | 8 => Self::Plus,
                _ => Self::Hash,
            },
        };
        let written = match (kind, device % 3) {
            (Self::Exact | Self::Mixed, _) => {
                write!(text, "tenant-{tenant:03}/site-{site:02}/device-{device:07}/{reading}")
            }
            (Self::Plus, 0) => write!(text, "tenant-{tenant:03}/+/device-{device:07}/{reading}"),
            (Self::Plus, 1) => write!(text, "+/site-{site:02}/device-{device:07}/{reading}"),
            // Under a `+` for all devices the number must stand elsewhere.
            (Self::Plus, _) => write!(text, "tenant-{tenant:03}/site-{site:02}-{device:07}/+/{reading}"),
            (Self::Hash, _) => write!(text, "tenant-{tenant:03}/site-{site:02}/device-{device:07}/{number}/#"),
        };
        written.expect("a string takes any text");
        if let (Self::Hash, 0) = (kind, number % 10) {
            let end = text.rfind("/0/#").or_else(|| text.rfind(&format!("/{number}/#"))).expect("it ends so");
            text.truncate(end);
            text.push_str("/#");
        }
    }
}

/// The topic that the exact filter of a number names.
pub fn topic(number: u32) -> String {
    let mut text = String::new();
    Kind::Exact.write_filter(number, &mut text);
    text
}
