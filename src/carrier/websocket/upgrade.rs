//! The HTTP request that a WebSocket begins with, judged as RFC 6455 section 4.2.1 asks.
//!
//! A shell keeps what has arrived and hands in all of it, from the first byte, whenever there is more. `None` means: keep it, there is more
//! to come. It never keeps more than [`REQUEST_BYTES_MAX`]: with so many bytes there is always an answer. Each call looks
//! at all bytes again, so a request costs at most that much work for each piece it comes in; that it comes at all is
//! for the deadline of the connection. An answer is sent as it stands: [`Upgraded::response`], or
//! [`Refusal::response`] and then the end of the connection.

use core::iter::once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use super::refusal::Refusal;

/// A request with a longer head is refused with 431.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// A request with more headers is refused with 431.
pub const HEADERS_MAX: usize = 64;

/// The bytes of a key before base64.
const KEY_BYTES: usize = 16;
/// What a key is hashed with, so that only who knows of WebSocket answers. RFC 6455, 1.3
const KEY_SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a listener asks of a request.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The path, from its `/` on; what stands behind a `?` is not looked at.
    pub path: &'a str,
    /// The origins whose pages may connect, as browsers write them: `https://example.com`. None: every one.
    ///
    /// A request without an origin comes from no page and passes: whoever is no browser writes what it likes.
    pub origins: &'a [String],
}

/// What a client and the broker speak inside the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subprotocol {
    /// `mqtt`: 3.1.1 and 5.0.
    Mqtt,
    /// `mqttv3.1`: 3.1, by its old name.
    MqttV31,
}

impl Subprotocol {
    /// The name it is registered under.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::MqttV31 => "mqttv3.1",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Mqtt, Self::MqttV31].into_iter().find(|known| known.name().as_bytes() == name)
    }
}

/// A request that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// The response, complete: frames follow it.
    pub response: Vec<u8>,
    /// The size of the request: what arrived behind it are frames.
    pub consumed: usize,
    /// What was chosen of what was offered.
    pub subprotocol: Subprotocol,
}

/// Judges the request at the front of `bytes`; nothing while it is not whole and not yet wrong.
pub fn upgrade(bytes: &[u8], rules: &Rules<'_>) -> Result<Option<Upgraded>, Refusal> {
    let bytes = &bytes[..bytes.len().min(REQUEST_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let consumed = match request.parse(bytes) {
        Ok(httparse::Status::Complete(consumed)) => consumed,
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    // The parser takes a bare LF for the end of a line. No client of WebSocket sends one, and a proxy may read it otherwise.
    let head = &bytes[..consumed];
    if once(&0).chain(head).zip(head).any(|(before, byte)| *byte == b'\n' && *before != b'\r') {
        return Err(Refusal::Malformed);
    }
    let (subprotocol, key) = judge(&request, rules)?;
    Ok(Some(Upgraded { response: response(&key, subprotocol), consumed, subprotocol }))
}

/// What was chosen, and the key as it was written.
fn judge(
    request: &httparse::Request<'_, '_>,
    rules: &Rules<'_>,
) -> Result<(Subprotocol, [u8; KEY_TEXT_BYTES]), Refusal> {
    let headers = Headers(request.headers);
    if request.version != Some(1) {
        return Err(Refusal::Malformed); // HTTP/1.0 knows no upgrade
    }
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    if resource(request.path.unwrap_or_default()) != Some(rules.path) {
        return Err(Refusal::Path);
    }
    if headers.only("Host", Refusal::Host)?.is_none() {
        return Err(Refusal::Host);
    }
    if headers.all("Content-Length").any(|length| length != b"0") || headers.all("Transfer-Encoding").next().is_some() {
        return Err(Refusal::Body);
    }
    let asks = |name, wanted: &[u8]| headers.list(name).any(|token| token.eq_ignore_ascii_case(wanted));
    if !asks("Connection", b"upgrade") || !asks("Upgrade", b"websocket") {
        return Err(Refusal::NoUpgrade);
    }
    if headers.only("Sec-WebSocket-Version", Refusal::Versions)? != Some(b"13") {
        return Err(Refusal::Version);
    }
    let key = headers.only("Sec-WebSocket-Key", Refusal::Key)?.and_then(key).ok_or(Refusal::Key)?;
    if let Some(origin) = headers.only("Origin", Refusal::Origins)? {
        let is_allowed = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin);
        if !rules.origins.is_empty() && !rules.origins.iter().any(is_allowed) {
            return Err(Refusal::Origin);
        }
    }
    // [MQTT-6.0.0-3] The client offers a name; [MQTT-6.0.0-4] the first one that is known is chosen.
    let subprotocol = headers.list("Sec-WebSocket-Protocol").find_map(Subprotocol::from_name);
    Ok((subprotocol.ok_or(Refusal::Subprotocol)?, key))
}

/// The path that a target names, without its query; nothing if it names none.
fn resource(target: &str) -> Option<&str> {
    let target = match target.find("://") {
        // An absolute URI names the same resource. RFC 6455, 4.2.1
        Some(end) if matches!(&target[..end], "http" | "https") => {
            let behind = &target[end + 3..];
            &behind[behind.find('/')?..]
        }
        _ => target,
    };
    target.split('?').next().filter(|path| path.starts_with('/'))
}

const KEY_TEXT_BYTES: usize = 24;

/// The key, if it is what it has to be.
fn key(text: &[u8]) -> Option<[u8; KEY_TEXT_BYTES]> {
    let text = text.try_into().ok()?;
    // Twenty-four letters may stand for eighteen bytes, and what is decoded is looked at no further.
    let mut nonce = [0; KEY_BYTES + 2];
    let count = STANDARD.decode_slice(text, &mut nonce).ok()?;
    (count == KEY_BYTES).then_some(text)
}

fn response(key: &[u8], subprotocol: Subprotocol) -> Vec<u8> {
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(KEY_SALT).finalize());
    let name = subprotocol.name();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {name}\r\n\r\n"
    )
    .into_bytes()
}

/// The headers of a request, looked up by name. White space round values is gone.
struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The value of a header that stands at most once.
    fn only(&self, name: &'static str, twice: Refusal) -> Result<Option<&'a [u8]>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(twice) } else { Ok(first) }
    }

    /// All members of the lists of this name, in order.
    fn list(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Rules<'_> = Rules { path: "/mqtt", origins: &[] };

    /// The headers of the standard's own example, with MQTT's subprotocol.
    const GOOD: [&str; 6] = [
        "Host: server.example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
    ];

    fn request(line: &str, headers: &[&str]) -> Vec<u8> {
        format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes()
    }

    fn good() -> Vec<u8> {
        request("GET /mqtt HTTP/1.1", &GOOD)
    }

    /// The good request without the header of this name, and with others behind the rest.
    fn with(without: &str, others: &[&str]) -> Vec<u8> {
        let mut headers: Vec<&str> = GOOD.into_iter().filter(|header| !header.starts_with(without)).collect();
        headers.extend(others);
        request("GET /mqtt HTTP/1.1", &headers)
    }

    fn verdict(bytes: &[u8]) -> Result<Subprotocol, Refusal> {
        upgrade(bytes, &ANY).map(|upgraded| upgraded.expect("the request is whole").subprotocol)
    }

    const NONE: &str = "no header";

    #[test]
    fn the_example_of_the_standard_is_answered_as_it_says() {
        let mut bytes = good();
        let whole = bytes.len();
        bytes.extend_from_slice(b"\x82\x80");
        let upgraded = upgrade(&bytes, &ANY).unwrap().unwrap();
        assert_eq!((upgraded.consumed, upgraded.subprotocol), (whole, Subprotocol::Mqtt));
        let response = "HTTP/1.1 101 Switching Protocols\r\n\
             Upgrade: websocket\r\n\
             Connection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n";
        assert_eq!(String::from_utf8(upgraded.response).unwrap(), response);
    }

    #[test]
    fn a_request_is_waited_for_to_its_last_byte() {
        let bytes = good();
        for cut in 0..bytes.len() {
            assert_eq!(upgrade(&bytes[..cut], &ANY), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_http_is_refused_before_it_is_whole() {
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab";
        assert_eq!(upgrade(connect, &ANY), Err(Refusal::Malformed));
        assert_eq!(upgrade(b"\x16\x03\x01\x02\x00\x01", &ANY), Err(Refusal::Malformed));
    }

    #[test]
    fn the_request_line_is_get_of_the_path() {
        let line = |line: &str| verdict(&request(line, &GOOD));
        for good in [
            "GET /mqtt HTTP/1.1",
            "GET /mqtt?token=1&a=/b HTTP/1.1",
            "GET /mqtt? HTTP/1.1",
            "GET http://h/mqtt HTTP/1.1",
            "GET https://h:443/mqtt?x HTTP/1.1",
        ] {
            assert_eq!(line(good), Ok(Subprotocol::Mqtt), "{good}");
        }
        for path in ["/", "/mqtt/", "/mqttx", "/MQTT", "//mqtt", "/%6dqtt", "*", "mqtt", "ws://h/mqtt", "http://mqtt"] {
            assert_eq!(line(&format!("GET {path} HTTP/1.1")), Err(Refusal::Path), "{path}");
        }
        for method in ["POST", "get", "HEAD", "OPTIONS", "CONNECT"] {
            assert_eq!(line(&format!("{method} /mqtt HTTP/1.1")), Err(Refusal::Method), "{method}");
        }
        for malformed in
            ["GET /mqtt HTTP/1.0", "GET /mqtt HTTP/2.0", "GET  /mqtt HTTP/1.1", "GET /mqtt", "GET /a b HTTP/1.1"]
        {
            assert_eq!(line(malformed), Err(Refusal::Malformed), "{malformed}");
        }
    }

    #[test]
    fn each_header_that_the_standard_asks_for_is_missed() {
        assert_eq!(verdict(&with("Host", &[])), Err(Refusal::Host));
        assert_eq!(verdict(&with("Upgrade", &[])), Err(Refusal::NoUpgrade));
        assert_eq!(verdict(&with("Connection", &[])), Err(Refusal::NoUpgrade));
        assert_eq!(verdict(&with("Sec-WebSocket-Key", &[])), Err(Refusal::Key));
        assert_eq!(verdict(&with("Sec-WebSocket-Version", &[])), Err(Refusal::Version));
        assert_eq!(verdict(&with("Sec-WebSocket-Protocol", &[])), Err(Refusal::Subprotocol));
    }

    #[test]
    fn a_header_that_stands_once_is_refused_when_it_stands_twice() {
        for (header, refusal) in [
            ("host: server.example.com", Refusal::Host),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", Refusal::Key),
            ("SEC-WEBSOCKET-VERSION: 13", Refusal::Versions),
        ] {
            assert_eq!(verdict(&with(NONE, &[header])), Err(refusal), "{header}");
        }
        assert_eq!(verdict(&with(NONE, &["Origin: a", "Origin: a"])), Err(Refusal::Origins));
    }

    #[test]
    fn upgrade_and_connection_are_lists_of_tokens_in_any_case() {
        let granted = Ok(Subprotocol::Mqtt);
        assert_eq!(verdict(&with("Connection", &["Connection: keep-alive, uPGRADE"])), granted);
        assert_eq!(verdict(&with("Connection", &["Connection: keep-alive", "Connection:Upgrade\t"])), granted);
        assert_eq!(verdict(&with("Upgrade", &["Upgrade: h2c , WebSocket,"])), granted);
        assert_eq!(verdict(&with("Upgrade", &["Upgrade: websockets"])), Err(Refusal::NoUpgrade));
        assert_eq!(verdict(&with("Connection", &["Connection: no Upgrade"])), Err(Refusal::NoUpgrade));
    }

    #[test]
    fn a_key_is_sixteen_bytes_of_base64() {
        let key = |key: &str| verdict(&with("Sec-WebSocket-Key", &[&format!("Sec-WebSocket-Key: {key}")]));
        assert_eq!(key("AAAAAAAAAAAAAAAAAAAAAA=="), Ok(Subprotocol::Mqtt));
        for wrong in [
            "",
            "AAAAAAAAAAAAAAAAAAAAAA",   // no padding
            "AAAAAAAAAAAAAAAAAAAAAB==", // bits that mean nothing
            "AAAAAAAAAAAAAAAAAAAA",     // 15 bytes
            "AAAAAAAAAAAAAAAAAAAAAAA=", // 17 bytes
            "AAAAAAAAAAAAAAAAAAAAAAAA", // 18 bytes
            "AAAAAAAAAAAA AAAAAAAAA==",
            "________________AAAAAA==",
        ] {
            assert_eq!(key(wrong), Err(Refusal::Key), "{wrong}");
        }
    }

    #[test]
    fn another_version_is_told_ours() {
        for version in ["8", "013", "14", "13, 8", ""] {
            let header = format!("Sec-WebSocket-Version: {version}");
            assert_eq!(verdict(&with("Sec-WebSocket-Version", &[&header])), Err(Refusal::Version), "{version}");
        }
    }

    #[test]
    fn the_first_subprotocol_that_is_known_is_chosen() {
        let offer = |headers: &[&str]| {
            let headers: Vec<String> = headers.iter().map(|names| format!("Sec-WebSocket-Protocol: {names}")).collect();
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            verdict(&with("Sec-WebSocket-Protocol", &headers))
        };
        assert_eq!(offer(&["mqttv3.1"]), Ok(Subprotocol::MqttV31));
        assert_eq!(offer(&["mqttv3.1, mqtt"]), Ok(Subprotocol::MqttV31));
        assert_eq!(offer(&["chat,mqtt ,mqttv3.1"]), Ok(Subprotocol::Mqtt));
        assert_eq!(offer(&["chat", "mqtt"]), Ok(Subprotocol::Mqtt));
        for unknown in ["MQTT", "mqttv3.1.1", "mqtt5", "chat", "", "mqtt mqtt"] {
            assert_eq!(offer(&[unknown]), Err(Refusal::Subprotocol), "{unknown}");
        }
    }

    #[test]
    fn a_body_is_refused() {
        assert_eq!(verdict(&with(NONE, &["Content-Length: 0"])), Ok(Subprotocol::Mqtt));
        for body in ["Content-Length: 1", "Content-Length: 00", "Content-Length: 0, 0", "Transfer-Encoding: chunked"] {
            assert_eq!(verdict(&with(NONE, &[body])), Err(Refusal::Body), "{body}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let origins = ["https://a.example".to_owned(), "null".to_owned()];
        let rules = Rules { path: "/mqtt", origins: &origins };
        let from = |origin: &str| {
            let asked = with(NONE, &[&format!("Origin: {origin}")]);
            upgrade(&asked, &rules).map(|upgraded| upgraded.is_some())
        };
        assert_eq!(from("https://a.example"), Ok(true));
        assert_eq!(from("HTTPS://A.example"), Ok(true));
        assert_eq!(from("null"), Ok(true));
        for other in ["http://a.example", "https://a.example:8443", "https://a.example.evil", "https://a.example/", ""]
        {
            assert_eq!(from(other), Err(Refusal::Origin), "{other}");
        }
        assert!(upgrade(&good(), &rules).unwrap().is_some(), "no page, no origin");
        assert_eq!(verdict(&with(NONE, &["Origin: https://any.example"])), Ok(Subprotocol::Mqtt));
    }

    #[test]
    fn lines_are_ended_as_the_standard_says() {
        let text = String::from_utf8(good()).unwrap();
        for wrong in [
            text.replace("\r\n", "\n"),
            text.replacen("13\r\n", "13\n", 1),
            text.replace("\r\n\r\n", "\r\n\n"),
            format!("\n{text}"),
            text.replacen("Host: ", "Host: a\r\n b", 1), // a folded line
            text.replacen("Host: ", "Host : ", 1),
            text.replacen("Host: ", "Host\r\n: ", 1),
            text.replacen("Host: ", "Ho st: ", 1),
            text.replacen("Host: ", "Host: a\0", 1),
        ] {
            assert_eq!(verdict(wrong.as_bytes()), Err(Refusal::Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn threat_1_a_head_is_bounded_in_bytes_and_headers() {
        let mut endless = good();
        endless.truncate(endless.len() - 2);
        endless.extend_from_slice(b"X: ");
        endless.resize(REQUEST_BYTES_MAX - 1, b'x');
        assert_eq!(upgrade(&endless, &ANY), Ok(None));
        endless.push(b'x');
        assert_eq!(upgrade(&endless, &ANY), Err(Refusal::TooLarge));
        let others = |count: usize| with(NONE, &vec!["X: y"; count - GOOD.len()]);
        assert_eq!(verdict(&others(HEADERS_MAX)), Ok(Subprotocol::Mqtt));
        assert_eq!(verdict(&others(HEADERS_MAX + 1)), Err(Refusal::TooLarge));
    }

    #[test]
    fn a_head_that_ends_within_the_bound_passes_whatever_follows() {
        let mut bytes = with(NONE, &[&format!("X: {}", "x".repeat(7_000))]);
        let whole = bytes.len();
        for follows in [0x82, b'\n', 0] {
            bytes.resize(100_000, follows);
            assert_eq!(upgrade(&bytes, &ANY).unwrap().unwrap().consumed, whole, "{follows:#x}");
            bytes.truncate(whole);
        }
    }

    /// Whatever a header says of another address, nothing that comes out of here knows it.
    #[test]
    fn threat_6_a_forwarded_address_changes_nothing() {
        let plain = upgrade(&good(), &ANY).unwrap().unwrap();
        let forwarded = upgrade(&with(NONE, &["X-Forwarded-For: 127.0.0.1"]), &ANY).unwrap().unwrap();
        assert_eq!((plain.response, plain.subprotocol), (forwarded.response, forwarded.subprotocol));
    }
}
