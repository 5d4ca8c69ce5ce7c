//! Version 2: a binary header, and behind its addresses fields of a type, a length and a value.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::checksum::Crc32c;

use super::malformed::Malformed;
use super::{Endpoints, Header, Tls, begins};

/// A longer header is malformed, which is known after its first 16 bytes. It has room for two Unix addresses and 3.8 KB of fields.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What each header begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const BEGIN_BYTES: usize = 16;
/// A Unix address, filled up with NUL.
const UNIX_BYTES: usize = 108;

/// The fields that are read; those of other types are passed over.
mod kind {
    pub const AUTHORITY: u8 = 0x02;
    pub const CRC32C: u8 = 0x03;
    pub const SSL: u8 = 0x20;
    pub const SSL_VERSION: u8 = 0x21;
    pub const SSL_CN: u8 = 0x22;
}

/// Reads the header at the front of `bytes`; nothing while it is not whole.
pub fn decode(bytes: &[u8]) -> Result<Option<Header<'_>>, Malformed> {
    if !begins(bytes, SIGNATURE)? {
        return Ok(None);
    }
    let Some(begin) = bytes.first_chunk::<BEGIN_BYTES>() else { return Ok(None) };
    let [command, transport, high, low] = [begin[12], begin[13], begin[14], begin[15]];
    let addressed = family(command, transport)?;
    let len = BEGIN_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > HEADER_BYTES_MAX {
        return Err(Malformed::HeaderTooLong { bytes: len });
    }
    let Some(whole) = bytes.get(..len) else { return Ok(None) };
    let Some(family) = addressed else {
        return Ok(Some(Header::plain(len, Endpoints::Own)));
    };
    let cut = Malformed::AddressesCut { bytes: len - BEGIN_BYTES };
    let (endpoints, behind) = endpoints(family, &whole[BEGIN_BYTES..]).ok_or(cut)?;
    let mut header = Header::plain(len, endpoints);
    read_fields(whole, len - behind.len(), &mut header)?;
    Ok(Some(header))
}

/// The families whose addresses are taken.
#[derive(Clone, Copy)]
enum Family {
    Inet,
    Inet6,
    Unix,
}

/// Whose addresses stand in the header; nothing if the socket's own count, and what stands in the header is passed over.
///
/// That is so for LOCAL, for a family or transport that the proxy does not name, and for datagrams, which carry no stream: the
/// specification lets a receiver that has no use for a transport go on as if it were unnamed.
fn family(command: u8, transport: u8) -> Result<Option<Family>, Malformed> {
    let is_local = match (command >> 4, command & 0x0f) {
        (2, 0) => true,
        (2, 1) => false,
        (2, command) => return Err(Malformed::Command { command }),
        (version, _) => return Err(Malformed::Version { version }),
    };
    let family = match transport >> 4 {
        0 => None,
        1 => Some(Family::Inet),
        2 => Some(Family::Inet6),
        3 => Some(Family::Unix),
        _ => return Err(Malformed::Transport { byte: transport }),
    };
    match transport & 0x0f {
        0 | 2 => Ok(None),
        1 => Ok(family.filter(|_| !is_local)),
        _ => Err(Malformed::Transport { byte: transport }),
    }
}

/// Both addresses and what stands behind them; nothing if they are not whole.
fn endpoints(family: Family, block: &[u8]) -> Option<(Endpoints<'_>, &[u8])> {
    match family {
        Family::Inet => {
            let (source, behind) = block.split_first_chunk::<4>()?;
            let (destination, behind) = behind.split_first_chunk::<4>()?;
            let (ports, behind) = behind.split_first_chunk::<4>()?;
            Some((inet(Ipv4Addr::from(*source), Ipv4Addr::from(*destination), *ports), behind))
        }
        Family::Inet6 => {
            let (source, behind) = block.split_first_chunk::<16>()?;
            let (destination, behind) = behind.split_first_chunk::<16>()?;
            let (ports, behind) = behind.split_first_chunk::<4>()?;
            Some((inet(Ipv6Addr::from(*source), Ipv6Addr::from(*destination), *ports), behind))
        }
        Family::Unix => {
            let (source, behind) = block.split_at_checked(UNIX_BYTES)?;
            let (destination, behind) = behind.split_at_checked(UNIX_BYTES)?;
            Some((Endpoints::Unix { source: unix(source), destination: unix(destination) }, behind))
        }
    }
}

fn inet<T: Into<core::net::IpAddr>>(source: T, destination: T, ports: [u8; 4]) -> Endpoints<'static> {
    let [a, b, c, d] = ports;
    Endpoints::Inet {
        source: SocketAddr::new(source.into(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination.into(), u16::from_be_bytes([c, d])),
    }
}

/// A path ends at its first NUL; a name that begins with one, at the NULs that fill it up.
fn unix(padded: &[u8]) -> &[u8] {
    let end = match padded {
        [0, ..] => padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1),
        _ => padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len()),
    };
    &padded[..end]
}

/// A type, a value, and where the value begins.
type Field<'a> = (u8, &'a [u8], usize);

/// Reads the fields of `bytes` from `at` on, which they fill.
fn fields(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    core::iter::from_fn(move || {
        let begin = at;
        at = bytes.len(); // nothing is read behind a field that is cut
        let behind = bytes.get(begin..).filter(|behind| !behind.is_empty())?;
        let Some(([kind, high, low], behind)) = behind.split_first_chunk() else {
            return Some(Err(Malformed::FieldCut { at: begin }));
        };
        let Some(value) = behind.get(..usize::from(u16::from_be_bytes([*high, *low]))) else {
            return Some(Err(Malformed::FieldCut { at: begin }));
        };
        at = begin + 3 + value.len();
        Some(Ok((*kind, value, begin + 3)))
    })
}

/// Puts a value where there is none yet.
fn set<T>(place: &mut Option<T>, value: T, kind: u8) -> Result<(), Malformed> {
    if place.replace(value).is_some() { Err(Malformed::FieldTwice { kind }) } else { Ok(()) }
}

/// Reads the fields behind the addresses, of the header from its first byte on.
fn read_fields<'a>(whole: &'a [u8], at: usize, header: &mut Header<'a>) -> Result<(), Malformed> {
    let mut checksum = None;
    for field in fields(whole, at) {
        let (kind, value, at) = field?;
        match kind {
            kind::AUTHORITY => set(&mut header.authority, text(kind, value)?, kind)?,
            kind::CRC32C => {
                let told =
                    value.try_into().map_err(|_wrong_length| Malformed::FieldLength { kind, bytes: value.len() })?;
                set(&mut checksum, (u32::from_be_bytes(told), at), kind)?;
            }
            kind::SSL => set(&mut header.tls, tls(value)?, kind)?,
            _ => {}
        }
    }
    let Some((told, at)) = checksum else { return Ok(()) };
    // The sum is that of the header with four zeros where the sum stands.
    let mut computed = Crc32c::new();
    computed.update(&whole[..at]);
    computed.update(&[0; 4]);
    computed.update(&whole[at + 4..]);
    let computed = computed.value();
    if told == computed { Ok(()) } else { Err(Malformed::Checksum { told, computed }) }
}

/// What stands in the field about TLS.
fn tls(value: &[u8]) -> Result<Tls<'_>, Malformed> {
    let Some((begin, _)) = value.split_first_chunk::<5>() else {
        return Err(Malformed::FieldLength { kind: kind::SSL, bytes: value.len() });
    };
    let [client, verify @ ..] = *begin;
    let mut tls = Tls {
        is_encrypted: client & 0x01 != 0,
        has_shown_certificate: client & 0x02 != 0,
        has_session_certificate: client & 0x04 != 0,
        verify: u32::from_be_bytes(verify),
        version: None,
        common_name: None,
    };
    for field in fields(value, begin.len()) {
        let (kind, value, _) = field?;
        match kind {
            kind::SSL_VERSION => set(&mut tls.version, text(kind, value)?, kind)?,
            kind::SSL_CN => set(&mut tls.common_name, text(kind, value)?, kind)?,
            _ => {}
        }
    }
    if !tls.is_verified() {
        tls.common_name = None;
    }
    Ok(tls)
}

/// A name: UTF-8, not empty, and nothing in it that ends a text or a line somewhere else.
fn text(kind: u8, value: &[u8]) -> Result<&str, Malformed> {
    let text = str::from_utf8(value).map_err(|_not_utf8| Malformed::FieldText { kind })?;
    if text.is_empty() {
        return Err(Malformed::FieldLength { kind, bytes: 0 });
    }
    if text.chars().any(char::is_control) { Err(Malformed::FieldText { kind }) } else { Ok(text) }
}
