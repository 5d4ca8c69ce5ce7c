//! The PROXY protocol, versions 1 and 2, the receiver's side: whose connection it is that a proxy hands on.
//!
//! | file | what |
//! |---|---|
//! | here | which version it is, and what a header says |
//! | [`v1`] | the line of text |
//! | [`v2`] | the binary header, and the fields behind its addresses |
//! | [`malformed`] | why bytes are no header |
//!
//! What a shell does with a listener that is set to it:
//!
//! 1. Look at the socket's own address first. From a network that is not trusted the connection is closed unread: whoever may
//!    write a header may be anybody. A header is never guessed at: such a listener wants one, others take none.
//! 2. Keep what arrives and hand all of it to [`decode`] until it answers. It never keeps more than
//!    [`HEADER_BYTES_MAX`]: with so many bytes there is always an answer. That one comes at all is for the deadline of
//!    the connection.
//! 3. On an error close without a word. Else drop `consumed` bytes; TLS, WebSocket or MQTT begins behind them.
//! 4. Take [`Endpoints`] for what the socket says, everywhere: rules, limits by address, logs. An IPv4 address that is
//!    written as IPv6 is handed on as it is written: whoever compares addresses compares canonical ones.
//! 5. Take [`Tls::common_name`] for a user's name where the listener is set to it, and nothing else of [`Tls`] for a proof.
//!
//! Invariants worth naming:
//! - A name of a certificate is there only if the proxy says that it has verified the certificate.
//! - A header that says something twice is malformed: no two readers may read it in two ways.
//! - The answer does not change with what follows: a whole header is told at its last byte.

use core::net::SocketAddr;

pub mod malformed;
pub mod v1;
pub mod v2;
#[cfg(test)]
mod v2_tests;

pub use malformed::Malformed;

/// No header has more bytes; [`v1::LINE_BYTES_MAX`] and [`v2::HEADER_BYTES_MAX`] are the bounds of each version.
pub const HEADER_BYTES_MAX: usize = v2::HEADER_BYTES_MAX;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The size of the header: what follows is the client's.
    pub consumed: usize,
    /// Between whom the connection is.
    pub endpoints: Endpoints<'a>,
    /// The host that the client asked for, in TLS its SNI. The client's own word.
    pub authority: Option<&'a str>,
    /// What the proxy says of the client's TLS, if it says anything.
    pub tls: Option<Tls<'a>>,
}

impl Header<'_> {
    /// A header that says nothing but that it is one.
    const fn plain(consumed: usize, endpoints: Endpoints<'_>) -> Header<'_> {
        Header { consumed, endpoints, authority: None, tls: None }
    }
}

/// Between whom a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoints<'a> {
    /// Between those whom the socket knows: the proxy speaks for itself, or does not know.
    Own,
    /// Over TCP, both addresses of one family.
    Inet {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// Over a Unix socket: paths, or names that begin with a NUL; empty without a name.
    Unix {
        /// The client.
        source: &'a [u8],
        /// Where it connected to.
        destination: &'a [u8],
    },
}

/// What a proxy says of the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls<'a> {
    /// Whether the client came over TLS at all.
    pub is_encrypted: bool,
    /// Whether it showed a certificate on this connection.
    pub has_shown_certificate: bool,
    /// Whether it showed one in this TLS session: also when the session was resumed.
    pub has_session_certificate: bool,
    /// How the proxy's verification went: 0 is well.
    pub verify: u32,
    /// The version, as `TLSv1.3`.
    pub version: Option<&'a str>,
    /// The common name of the certificate, which the proxy has verified; nothing otherwise, whatever was sent.
    pub common_name: Option<&'a str>,
}

impl Tls<'_> {
    /// Whether the proxy says that it knows the client by its certificate.
    pub const fn is_verified(&self) -> bool {
        self.is_encrypted && (self.has_shown_certificate || self.has_session_certificate) && self.verify == 0
    }
}

/// Reads the header at the front of `bytes`; nothing while it is not whole and not yet wrong.
pub fn decode(bytes: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    match bytes.first() {
        None => Ok(None),
        Some(first) if *first == v1::BEGIN[0] => v1::decode(bytes),
        Some(_) => v2::decode(bytes),
    }
}

/// Whether `bytes` begin as a header does: all of it is there, some of it, or something else.
fn begins(bytes: &[u8], begin: &[u8]) -> Result<bool, Malformed> {
    let common = bytes.len().min(begin.len());
    if bytes[..common] != begin[..common] {
        return Err(Malformed::NoHeader);
    }
    Ok(common == begin.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_header_is_told_on_its_first_wrong_byte() {
        assert_eq!(decode(b""), Ok(None));
        for other in [
            &b"\x10\x0e\x00\x04MQTT"[..],
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"PROXY\r\n",
            b"PROXY\tTCP4 ",
            b"POST",
            b"proxy ",
            b"\r\n\r\n\0\r\nQUIT\r",
            b"\r\n\r\n\r",
        ] {
            assert_eq!(decode(other), Err(Malformed::NoHeader), "{other:?}");
        }
    }
}
