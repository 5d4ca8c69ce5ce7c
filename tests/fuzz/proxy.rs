//! What the fuzz target of the PROXY protocol does with its bytes; `tests/corpus.rs` does the same with its corpus.
#![allow(dead_code, reason = "each user takes its part")]

use core::net::SocketAddr;

use pregon::base::checksum::Crc32c;
use pregon::carrier::proxy::{Endpoints, HEADER_BYTES_MAX, Header, decode};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes as a header: told on its last byte and not before, the same whatever follows, and written again it says the same.
pub fn proxy(data: &[u8]) {
    let whole = decode(data);
    let told = match whole {
        Ok(None) => return assert!(data.len() < HEADER_BYTES_MAX, "with so many bytes there is an answer"),
        Ok(Some(header)) => header.consumed,
        Err(_) => data.len(),
    };
    assert!(told <= HEADER_BYTES_MAX || whole.is_err());
    let mut is_told = false;
    for count in (0..=data.len().min(HEADER_BYTES_MAX)).filter(|count| is_sampled(*count, told)) {
        let part = decode(&data[..count]);
        assert!(part == Ok(None) || part == whole, "at {count}: {part:?}, and then {whole:?}");
        assert!(part != Ok(None) || !is_told, "an answer is not taken back");
        is_told |= part != Ok(None);
        if whole.is_ok() {
            assert_eq!(is_told, count >= told, "a header is told on its last byte");
        }
    }
    if let Ok(Some(header)) = whole {
        again(&header);
        checksum(&data[..header.consumed], &header);
    }
}

/// All parts of a short header, of a long one every hundredth, and all near its end.
fn is_sampled(count: usize, told: usize) -> bool {
    count <= 256 || count.is_multiple_of(97) || count.abs_diff(told) <= 4
}

/// What was read can be written in both versions and read again.
fn again(header: &Header<'_>) {
    if let Endpoints::Inet { source, destination } = header.endpoints {
        assert_eq!(source.is_ipv4(), destination.is_ipv4());
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let ((from, to), (from_port, to_port)) = ((source.ip(), destination.ip()), (source.port(), destination.port()));
        let line = format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n");
        let read = decode(line.as_bytes()).expect("a line that was written").expect("all of it");
        assert_eq!((read.endpoints, read.consumed), (header.endpoints, line.len()));
    }
    let mut fields = Vec::new();
    if let Some(authority) = header.authority {
        field(0x02, authority.as_bytes(), &mut fields);
    }
    if let Some(tls) = header.tls {
        let flags = [(tls.is_encrypted, 1), (tls.has_shown_certificate, 2), (tls.has_session_certificate, 4)];
        let mut value = vec![flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum()];
        value.extend(tls.verify.to_be_bytes());
        for (kind, text) in [(0x21, tls.version), (0x22, tls.common_name)] {
            if let Some(text) = text {
                field(kind, text.as_bytes(), &mut value);
            }
        }
        assert!(tls.common_name.is_none() || tls.verify == 0 && value[0] & 1 != 0 && value[0] & 6 != 0);
        field(0x20, &value, &mut fields);
    }
    let written = write(header.endpoints, &fields);
    let read = decode(&written).expect("a header that was written").expect("all of it");
    assert_eq!(read, Header { consumed: written.len(), ..*header });
}

fn field(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(u16::try_from(value.len()).expect("a field of a header").to_be_bytes());
    out.extend_from_slice(value);
}

/// A header of version 2.
fn write(endpoints: Endpoints<'_>, fields: &[u8]) -> Vec<u8> {
    let (family, mut block) = match endpoints {
        Endpoints::Own => (0x00, Vec::new()),
        Endpoints::Inet { source: SocketAddr::V4(source), destination: SocketAddr::V4(destination) } => {
            (0x11, [source.ip().octets(), destination.ip().octets()].concat())
        }
        Endpoints::Inet { source: SocketAddr::V6(source), destination: SocketAddr::V6(destination) } => {
            (0x21, [source.ip().octets(), destination.ip().octets()].concat())
        }
        Endpoints::Inet { .. } => panic!("both ends are of one family"),
        Endpoints::Unix { source, destination } => {
            let mut block = vec![0; 216];
            block[..source.len()].copy_from_slice(source);
            block[108..108 + destination.len()].copy_from_slice(destination);
            (0x31, block)
        }
    };
    if let Endpoints::Inet { source, destination } = endpoints {
        block.extend(source.port().to_be_bytes());
        block.extend(destination.port().to_be_bytes());
    }
    block.extend_from_slice(fields);
    let length = u16::try_from(block.len()).expect("a header is small").to_be_bytes();
    [SIGNATURE, &[0x21, family], &length, &block].concat()
}

/// The same header with a checksum passes, and with a wrong one does not; told of a header that names its ends in version 2.
fn checksum(bytes: &[u8], header: &Header<'_>) {
    let is_second = bytes.starts_with(SIGNATURE);
    let Some(mut with) = is_second.then(|| write(header.endpoints, &[0x03, 0, 4, 0, 0, 0, 0])) else { return };
    let at = with.len() - 4;
    let sum = Crc32c::of(&with).to_be_bytes();
    with[at..].copy_from_slice(&sum);
    assert_eq!(decode(&with).map(|read| read.map(|read| read.endpoints)), Ok(Some(header.endpoints)));
    with[at] ^= 1;
    assert_eq!(decode(&with).is_err(), header.endpoints != Endpoints::Own);
}
