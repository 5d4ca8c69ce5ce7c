//! The text forms of where one listens and what comes in there: sockets, devices, permissions, paths and origins of pages.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::complaint::{Mistake, excerpt};
use super::listener::ListenAddress;
use super::text::parse_address;

/// The port of plain MQTT, where none is said.
pub const PLAIN_PORT: u16 = 1883;

/// The port of MQTT over TLS, where none is said.
pub const TLS_PORT: u16 = 8883;

/// How the address of a Unix socket begins.
const UNIX: &str = "unix:";

/// The longest path of a Unix socket that the kernel takes, without the byte that ends it.
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// The longest name of a network device that the kernel takes, without the byte that ends it.
pub const INTERFACE_BYTES_MAX: usize = 15;

/// The longest path of a WebSocket.
pub const URL_PATH_BYTES_MAX: usize = 256;

/// The longest address of a web server.
pub const WEB_URL_BYTES_MAX: usize = 1_024;

/// The longest host that the domain name system has.
const HOST_BYTES_MAX: usize = 253;

/// Where to listen, as far as one text says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it is said.
    Whole(ListenAddress),
    /// The port is the usual one of whatever is spoken there.
    Portless(IpAddr),
}

/// `ADDRESS:PORT`, `ADDRESS` or `unix:/path`.
pub fn parse_listen(text: &str) -> Result<Place, Mistake> {
    if let Some(path) = text.strip_prefix(UNIX) {
        let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control);
        let fits = path.len() <= UNIX_PATH_BYTES_MAX;
        return if is_path && fits {
            Ok(Place::Whole(ListenAddress::Unix(path.into())))
        } else {
            Err(Mistake::UnixInvalid { text: excerpt(text), maximum: UNIX_PATH_BYTES_MAX })
        };
    }
    let (host, port) = parse_host(text)?;
    let plain = host.to_canonical();
    if plain.is_ipv4() != host.is_ipv4() {
        // A socket of IPv6 alone, which all of ours are, cannot have it.
        let instead = port.map_or_else(|| plain.to_string(), |port| SocketAddr::new(plain, port).to_string());
        return Err(Mistake::AddressInvalid { text: excerpt(text), instead: Some(instead.into()) });
    }
    let whole = |port| Place::Whole(ListenAddress::Tcp(SocketAddr::new(host, port)));
    Ok(port.map_or(Place::Portless(host), whole))
}

/// Where plain MQTT is spoken: `ADDRESS:PORT` or `ADDRESS`.
pub fn parse_plain(text: &str) -> Result<SocketAddr, Mistake> {
    let (host, port) = parse_host(text)?;
    Ok(SocketAddr::new(host, port.unwrap_or(PLAIN_PORT)))
}

/// An address of the network, and its port if it says one.
fn parse_host(text: &str) -> Result<(IpAddr, Option<u16>), Mistake> {
    if let Ok(host) = text.parse::<Ipv4Addr>() {
        return Ok((host.into(), None));
    }
    if let Some(host) = in_brackets(text).and_then(|host| host.parse::<Ipv6Addr>().ok()) {
        return Ok((host.into(), None));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        let with_port = text.rsplit_once(':').map(|(host, port)| format!("[{host}]:{port}"));
        let with_port = with_port.filter(|whole| whole.parse::<SocketAddr>().is_ok());
        return Err(Mistake::AddressUnclear { text: excerpt(text), with_port: with_port.map(Into::into) });
    }
    parse_address(text).map(|address| (address.ip(), Some(address.port())))
}

/// What stands in brackets, if all of it does.
fn in_brackets(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// Whether a text begins with an address of IPv6 in its own brackets, which are then none of a list.
pub fn begins_with_ipv6(text: &str) -> bool {
    let first = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
    first.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

/// The name of a network device, or nothing.
pub fn parse_interface(text: &str) -> Result<Box<str>, Mistake> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
    if !is_name || text.len() > INTERFACE_BYTES_MAX || matches!(text, "." | "..") {
        return Err(Mistake::InterfaceInvalid { text: excerpt(text), maximum: INTERFACE_BYTES_MAX });
    }
    Ok(text.into())
}

/// Permissions for owner, group and others: `0660` or `660`.
pub fn parse_mode(text: &str) -> Result<u64, Mistake> {
    let digits = if text.len() == 4 { text.strip_prefix('0').unwrap_or(text) } else { text };
    let is_mode = digits.len() == 3 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u64::from_str_radix(digits, 8).ok().filter(|_| is_mode);
    mode.ok_or_else(|| Mistake::ModeInvalid(excerpt(text)))
}

/// Permissions as [`parse_mode`] reads them.
pub fn format_mode(mode: u64) -> String {
    format!("{mode:04o}")
}

/// The path of a URL: what stands in the first line of a request, without a question or a fragment.
pub fn parse_url_path(text: &str) -> Result<Box<str>, Mistake> {
    let is_path = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"' | b'\\'));
    if !is_path || !text.starts_with('/') || text.len() > URL_PATH_BYTES_MAX {
        return Err(Mistake::UrlPathInvalid { text: excerpt(text), maximum: URL_PATH_BYTES_MAX });
    }
    Ok(text.into())
}

/// Where a web server is asked: `https://host/path` or `http://host/path`, with or without a port and a question.
pub fn parse_web_url(text: &str) -> Result<Box<str>, Mistake> {
    let is_url = split_web_url(text).is_some_and(|(_, authority, path)| {
        let (host, port) = split_port(authority);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
        is_host(host) && port.is_none_or(is_port) && path.bytes().all(is_plain)
    });
    if !is_url || text.len() > WEB_URL_BYTES_MAX {
        return Err(Mistake::WebUrlInvalid { text: excerpt(text), maximum: WEB_URL_BYTES_MAX });
    }
    Ok(text.into())
}

/// Whether what is sent to this server can be read on the way: it is not encrypted, and the server is on another machine.
pub fn is_overheard(url: &str) -> bool {
    let Some(("http", authority, _)) = split_web_url(url) else { return false };
    let (host, _) = split_port(authority);
    let literal = in_brackets(host).unwrap_or(host);
    host != "localhost" && !literal.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether the server is asked over TLS.
pub fn is_encrypted(url: &str) -> bool {
    matches!(split_web_url(url), Some(("https", _, _)))
}

/// Scheme, authority and everything behind it.
fn split_web_url(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://").filter(|(scheme, _)| matches!(*scheme, "https" | "http"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    Some((scheme, authority, path))
}

/// `scheme://host` or `scheme://host:port`, letter by letter as browsers send it, for so it is compared.
pub fn parse_origin(text: &str) -> Result<Box<str>, Mistake> {
    if is_origin(text) {
        return Ok(text.into());
    }
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix('/').unwrap_or(&lower);
    let (https, http) = (plain.starts_with("https://"), plain.starts_with("http://"));
    let default_port = if https { ":443" } else { ":80" };
    let plain = plain.strip_suffix(default_port).filter(|_| https || http).unwrap_or(plain);
    let instead = Some(plain).filter(|plain| is_origin(plain)).map(Box::from);
    Err(Mistake::OriginInvalid { text: excerpt(text), instead })
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|letter: char| letter.is_ascii_lowercase())
        && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
    let (host, port) = split_port(authority);
    let is_default = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
    is_scheme && is_host(host) && port.is_none_or(is_port) && !is_default
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = in_brackets(host) {
        return address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label)
}

fn is_port(port: &str) -> bool {
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    is_plain && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_a_port_or_a_socket_in_the_file_system() {
        let whole = |address| Ok(Place::Whole(address));
        assert_eq!(parse_listen("[::1]:8883"), whole(ListenAddress::Tcp("[::1]:8883".parse().unwrap())));
        assert_eq!(parse_listen("unix:/run/pregon.sock"), whole(ListenAddress::Unix("/run/pregon.sock".into())));
        for text in ["[::1]:8883", "0.0.0.0:0", "unix:/run/größe.sock"] {
            assert!(matches!(parse_listen(text), Ok(Place::Whole(address)) if address.to_string() == text));
        }
        let mapped =
            Mistake::AddressInvalid { text: "[::ffff:127.0.0.1]:1".into(), instead: Some("127.0.0.1:1".into()) };
        assert_eq!(parse_listen("[::ffff:127.0.0.1]:1"), Err(mapped));
        assert!(matches!(parse_listen("/run/pregon.sock"), Err(Mistake::AddressInvalid { .. })));
        let longest = format!("unix:/{}", "s".repeat(UNIX_PATH_BYTES_MAX - 1));
        assert!(parse_listen(&longest).is_ok());
        for text in ["unix:", "unix:run/x", "unix:/run/", "unix:/", "unix:/a\0b", "unix:@abstract", &(longest + "s")] {
            assert!(matches!(parse_listen(text), Err(Mistake::UnixInvalid { .. })), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_port_is_one_and_ipv6_needs_its_brackets() {
        for (text, host) in
            [("0.0.0.0", "0.0.0.0"), ("[::]", "::"), ("[::1]", "::1"), ("[fe80::1:8883]", "fe80::1:8883")]
        {
            let host: IpAddr = host.parse().unwrap();
            assert_eq!(parse_listen(text), Ok(Place::Portless(host)));
            assert_eq!(parse_plain(text), Ok(SocketAddr::new(host, PLAIN_PORT)));
        }
        assert_eq!(parse_plain("[::1]:5"), Ok("[::1]:5".parse().unwrap()));
        for (text, with_port) in [
            ("::", None),
            ("::1", None),
            ("fe80::1:8883", Some("[fe80::1]:8883")),
            ("::1:88", Some("[::1]:88")),
            ("fe80::a", None),
            ("1:2:3:4:5:6:7:8", None),
        ] {
            let unclear = Mistake::AddressUnclear { text: text.into(), with_port: with_port.map(Into::into) };
            assert_eq!(parse_listen(text), Err(unclear.clone()));
            assert_eq!(parse_plain(text), Err(unclear));
        }
        let mapped = Mistake::AddressInvalid { text: "[::ffff:127.0.0.1]".into(), instead: Some("127.0.0.1".into()) };
        assert_eq!(parse_listen("[::ffff:127.0.0.1]"), Err(mapped));
        for text in ["", "localhost", "1883", ":1883", "[127.0.0.1]", "[::1", "::1]", "[]", "127.0.0.1:", "[::1]:"] {
            assert!(matches!(parse_listen(text), Err(Mistake::AddressInvalid { .. })), "{text}");
        }
    }

    #[test]
    fn a_device_has_a_name_that_the_kernel_takes() {
        for text in ["", "eth0", "enp3s0.100", "wg-home", "abcdefghijklmno"] {
            assert_eq!(parse_interface(text).as_deref(), Ok(text));
        }
        for text in ["eth 0", "a/b", "eth0:1", ".", "..", "abcdefghijklmnop", "größe", "a\n"] {
            assert!(matches!(parse_interface(text), Err(Mistake::InterfaceInvalid { .. })), "{text}");
        }
    }

    #[test]
    fn permissions_are_three_octal_digits() {
        for (text, mode) in [("0660", 0o660), ("0600", 0o600), ("0777", 0o777), ("0000", 0)] {
            assert_eq!((parse_mode(text), format_mode(mode).as_str()), (Ok(mode), text));
        }
        assert_eq!(parse_mode("660"), Ok(0o660));
        for text in ["", "0", "66", "0680", "1777", "00660", "0o660", "+660", "rw-rw----"] {
            assert_eq!(parse_mode(text), Err(Mistake::ModeInvalid(text.into())), "{text}");
        }
    }

    #[test]
    fn the_path_of_a_websocket_stands_in_one_line_of_a_request() {
        let longest = format!("/{}", "p".repeat(URL_PATH_BYTES_MAX - 1));
        for text in ["/", "/mqtt", "/a/b-c_d~e/", "/%7Ea", &longest] {
            assert_eq!(parse_url_path(text).as_deref(), Ok(text));
        }
        for text in ["", "mqtt", "/a b", "/a?b", "/a#b", "/größe", "/a\r\nHost: x", "/\"", &(longest + "p")] {
            assert!(matches!(parse_url_path(text), Err(Mistake::UrlPathInvalid { .. })), "{text}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in [
            "https://casa.example",
            "http://localhost:8080",
            "https://[2001:db8::1]:8443",
            "http://10.0.0.1",
            "app-x://pb_1",
            "https://a.example:1",
        ] {
            assert_eq!(parse_origin(text).as_deref(), Ok(text));
        }
        let instead = |text| match parse_origin(text) {
            Err(Mistake::OriginInvalid { instead, .. }) => instead,
            other => panic!("{text}: {other:?}"),
        };
        for (text, meant) in [
            ("https://Casa.Example/", "https://casa.example"),
            ("https://casa.example:443", "https://casa.example"),
            ("HTTP://casa.example:80/", "http://casa.example"),
        ] {
            assert_eq!(instead(text).as_deref(), Some(meant));
        }
        for text in [
            "",
            "*",
            "null",
            "casa.example",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://user@a",
            "https://*.a",
            "https://a..b",
            "https://größe",
            "https://a:",
            "https://a:0",
            "https://a:08",
            "https://a:65536",
            "https://[::1",
            "https://[0:0::1]",
            "1http://a",
            "://a",
            "https://a ",
        ] {
            assert_eq!(instead(text), None, "{text}");
        }
    }
}
