//! Why a request gets no WebSocket, and the whole response that says so.
//!
//! A shell sends [`Refusal::response`] and closes the connection behind it. Nothing of the request stands in it.

use super::upgrade::{HEADERS_MAX, REQUEST_BYTES_MAX};

/// What is wrong with a request.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Refusal {
    #[error("this is no HTTP/1.1 request")]
    Malformed,
    #[error("a request has at most {REQUEST_BYTES_MAX} bytes and {HEADERS_MAX} headers")]
    TooLarge,
    #[error("a WebSocket begins with GET")]
    Method,
    #[error("there is nothing at this path")]
    Path,
    #[error("a request has one Host")]
    Host,
    #[error("this request has no body")]
    Body,
    #[error("here is a WebSocket: ask for an upgrade to websocket")]
    NoUpgrade,
    #[error("a request has one Sec-WebSocket-Version")]
    Versions,
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    #[error("a request has one Sec-WebSocket-Key, of 16 bytes in base64")]
    Key,
    #[error("a request has one Origin at most")]
    Origins,
    #[error("pages of this origin may not connect")]
    Origin,
    #[error("a subprotocol of mqtt or mqttv3.1 is to be offered")]
    Subprotocol,
}

impl Refusal {
    /// The status that HTTP has for it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed
            | Self::Host
            | Self::Body
            | Self::Versions
            | Self::Key
            | Self::Origins
            | Self::Subprotocol => 400,
            Self::Origin => 403,
            Self::Path => 404,
            Self::Method => 405,
            Self::NoUpgrade | Self::Version => 426,
            Self::TooLarge => 431,
        }
    }

    /// The status in words, and the headers that go with it.
    const fn head(self) -> (&'static str, &'static str) {
        match self.status() {
            403 => ("Forbidden", "Connection: close\r\n"),
            404 => ("Not Found", "Connection: close\r\n"),
            405 => ("Method Not Allowed", "Connection: close\r\nAllow: GET\r\n"),
            426 => (
                "Upgrade Required",
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            ),
            431 => ("Request Header Fields Too Large", "Connection: close\r\n"),
            _ => ("Bad Request", "Connection: close\r\n"),
        }
    }

    /// The response, complete.
    pub fn response(self) -> Vec<u8> {
        let (status, (words, headers), body) = (self.status(), self.head(), format!("{self}\n"));
        let length = body.len();
        format!(
            "HTTP/1.1 {status} {words}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_whole_response_that_closes() {
        let text = String::from_utf8(Refusal::Version.response()).unwrap();
        let expected = "HTTP/1.1 426 Upgrade Required\r\n\
             Connection: close, Upgrade\r\n\
             Upgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 44\r\n\r\n\
             only version 13 of WebSocket is spoken here\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_method_that_is_not_allowed_is_told_which_one_is() {
        let text = String::from_utf8(Refusal::Method.response()).unwrap();
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 28\r\n\r\na WebSocket begins with GET\n"), "{text}");
    }
}
