//! Version 1: one line of text, read strictly.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::malformed::{Malformed, Side};
use super::{Endpoints, Header, begins};

/// The longest line, with its CRLF. One that does not end within so many bytes is malformed.
pub const LINE_BYTES_MAX: usize = 107;

/// What each line begins with.
pub const BEGIN: &[u8] = b"PROXY ";

const UNKNOWN: &[u8] = b"UNKNOWN";

/// Reads the line at the front of `bytes`; nothing while its end is not there.
pub fn decode(bytes: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    if !begins(bytes, BEGIN)? {
        return Ok(None);
    }
    let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if window.len() == LINE_BYTES_MAX { Err(Malformed::LineTooLong) } else { Ok(None) };
    };
    match (window[end], window.get(end + 1)) {
        (b'\r', Some(b'\n')) => Ok(Some(Header::plain(end + 2, endpoints(&window[BEGIN.len()..end])?))),
        (b'\r', None) if window.len() == LINE_BYTES_MAX => Err(Malformed::LineTooLong),
        (b'\r', None) => Ok(None),
        _ => Err(Malformed::LineEnd { at: end }),
    }
}

/// What stands between `PROXY ` and the end of the line.
fn endpoints(line: &[u8]) -> Result<Endpoints<'static>, Malformed> {
    let mut fields = line.split(|byte| *byte == b' ');
    let parse = match fields.next() {
        Some(UNKNOWN) => return Ok(Endpoints::Own), // whatever stands behind it is passed over
        Some(b"TCP4") => |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some(b"TCP6") => |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err(Malformed::Family),
    };
    let mut next = || fields.next().ok_or(Malformed::Fields);
    let fields_in_order = [next()?, next()?, next()?, next()?];
    if fields.next().is_some() || fields_in_order.iter().any(|field| field.is_empty()) {
        return Err(Malformed::Fields);
    }
    let [source, destination, source_port, destination_port] = fields_in_order;
    let address = |text, end| str::from_utf8(text).ok().and_then(parse).ok_or(Malformed::Address { end });
    let port = |text, end| port(text).ok_or(Malformed::Port { end });
    Ok(Endpoints::Inet {
        source: SocketAddr::new(address(source, Side::Source)?, port(source_port, Side::Source)?),
        destination: SocketAddr::new(
            address(destination, Side::Destination)?,
            port(destination_port, Side::Destination)?,
        ),
    })
}

/// A port as it is written in one way only.
fn port(text: &[u8]) -> Option<u16> {
    let is_plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0');
    if is_plain { str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> Result<Option<Endpoints<'_>>, Malformed> {
        decode(line.as_bytes()).map(|header| header.map(|header| header.endpoints))
    }

    fn inet(source: &str, destination: &str) -> Endpoints<'static> {
        Endpoints::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn a_line_names_both_ends() {
        assert_eq!(
            line("PROXY TCP4 192.168.0.1 10.0.0.9 56324 0\r\n"),
            Ok(Some(inet("192.168.0.1:56324", "10.0.0.9:0")))
        );
        let widest = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
        assert_eq!(line(widest), Ok(Some(inet("255.255.255.255:65535", "255.255.255.255:65535"))));
        assert_eq!(line("PROXY TCP6 2001:DB8::1 ::1 1 8883\r\n"), Ok(Some(inet("[2001:db8::1]:1", "[::1]:8883"))));
        assert_eq!(line("PROXY TCP6 ::ffff:1.2.3.4 :: 1 2\r\n"), Ok(Some(inet("[::ffff:1.2.3.4]:1", "[::]:2"))));
    }

    #[test]
    fn an_unknown_connection_keeps_the_sockets_ends_whatever_else_is_said() {
        for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ::1 1 2\r\n", "PROXY UNKNOWN  \0 x\r\n"] {
            assert_eq!(line(unknown), Ok(Some(Endpoints::Own)), "{unknown:?}");
        }
        assert_eq!(line("PROXY UNKNOWNS\r\n"), Err(Malformed::Family));
    }

    #[test]
    fn a_line_is_waited_for_to_its_last_byte_and_ends_there() {
        let text = b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n\x10\x0e";
        for cut in 0..text.len() - 2 {
            assert_eq!(decode(&text[..cut]), Ok(None), "cut at {cut}");
        }
        assert_eq!(decode(text).unwrap().unwrap().consumed, text.len() - 2);
    }

    #[test]
    fn what_is_not_written_in_the_one_way_is_malformed() {
        let (source, destination) = (Side::Source, Side::Destination);
        for (text, malformed) in [
            ("TCP5 1.2.3.4 5.6.7.8 1 2", Malformed::Family),
            ("tcp4 1.2.3.4 5.6.7.8 1 2", Malformed::Family),
            (" TCP4 1.2.3.4 5.6.7.8 1 2", Malformed::Family),
            ("TCP4", Malformed::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1", Malformed::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1 2 ", Malformed::Fields),
            ("TCP4 1.2.3.4 5.6.7.8 1 2 3", Malformed::Fields),
            ("TCP4  1.2.3.4 5.6.7.8 1 2", Malformed::Fields),
            ("TCP4 1.2.3.4  5.6.7.8 1", Malformed::Fields),
            ("TCP4 01.2.3.4 5.6.7.8 1 2", Malformed::Address { end: source }),
            ("TCP4 1.2.3 5.6.7.8 1 2", Malformed::Address { end: source }),
            ("TCP4 1.2.3.256 5.6.7.8 1 2", Malformed::Address { end: source }),
            ("TCP4 ::1 5.6.7.8 1 2", Malformed::Address { end: source }),
            ("TCP4 1.2.3.4 ::1 1 2", Malformed::Address { end: destination }),
            ("TCP6 1.2.3.4 ::1 1 2", Malformed::Address { end: source }),
            ("TCP6 fe80::1%eth0 ::1 1 2", Malformed::Address { end: source }),
            ("TCP6 [::1] ::1 1 2", Malformed::Address { end: source }),
            ("TCP6 ::1 1::2::3 1 2", Malformed::Address { end: destination }),
            ("TCP6 ::1 1:2:3:4:5:6:7 1 2", Malformed::Address { end: destination }),
            ("TCP6 ::1 ::12345 1 2", Malformed::Address { end: destination }),
            ("TCP4 1.2.3.4 5.6.7.8 01 2", Malformed::Port { end: source }),
            ("TCP4 1.2.3.4 5.6.7.8 +1 2", Malformed::Port { end: source }),
            ("TCP4 1.2.3.4 5.6.7.8 -1 2", Malformed::Port { end: source }),
            ("TCP4 1.2.3.4 5.6.7.8 65536 2", Malformed::Port { end: source }),
            ("TCP4 1.2.3.4 5.6.7.8 1 00", Malformed::Port { end: destination }),
            ("TCP4 1.2.3.4 5.6.7.8 1 2\t", Malformed::Port { end: destination }),
        ] {
            assert_eq!(line(&format!("PROXY {text}\r\n")), Err(malformed), "{text}");
        }
    }

    #[test]
    fn half_a_line_end_is_none() {
        assert_eq!(line("PROXY UNKNOWN\n"), Err(Malformed::LineEnd { at: 13 }));
        assert_eq!(line("PROXY UNKNOWN\rx"), Err(Malformed::LineEnd { at: 13 }));
        assert_eq!(line("PROXY UNKNOWN\r\r\n"), Err(Malformed::LineEnd { at: 13 }));
        assert_eq!(line("PROXY UNKNOWN a\nb\r\n"), Err(Malformed::LineEnd { at: 15 }));
    }

    #[test]
    fn threat_1_a_line_is_bounded() {
        let of = |bytes: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(bytes - 16));
        assert_eq!(decode(of(LINE_BYTES_MAX).as_bytes()).unwrap().unwrap().consumed, LINE_BYTES_MAX);
        assert_eq!(line(&of(LINE_BYTES_MAX + 1)), Err(Malformed::LineTooLong));
        assert_eq!(line(&of(LINE_BYTES_MAX + 2)), Err(Malformed::LineTooLong));
        assert_eq!(decode(&of(200).as_bytes()[..LINE_BYTES_MAX - 1]), Ok(None));
    }
}
