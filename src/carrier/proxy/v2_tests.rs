//! Tests of version 2: addresses, fields, checksums, bounds.

use super::malformed::Malformed;
use super::v2::{HEADER_BYTES_MAX, decode};
use super::{Endpoints, Header, Tls};
use crate::base::checksum::Crc32c;

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x22, 0xb3];

const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;

fn header(command: u8, transport: u8, behind: &[u8]) -> Vec<u8> {
    let length = u16::try_from(behind.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, transport][..], &length, behind].concat()
}

/// A header of TCP over IPv4 with these fields.
fn with(fields: &[Vec<u8>]) -> Vec<u8> {
    header(0x21, 0x11, &[V4, &fields.concat()].concat())
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, high, low], value].concat()
}

fn ssl(client: u8, verify: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    field(SSL, &[&[client][..], &verify.to_be_bytes(), &fields.concat()].concat())
}

fn v4() -> Endpoints<'static> {
    Endpoints::Inet { source: "192.0.2.1:56324".parse().unwrap(), destination: "198.51.100.2:8883".parse().unwrap() }
}

/// The header that stands in `bytes`, which end with it.
#[track_caller]
fn decoded(bytes: &[u8]) -> Header<'_> {
    let header = decode(bytes).expect("a header").expect("a whole one");
    assert_eq!(header.consumed, bytes.len());
    header
}

#[track_caller]
fn tls(fields: &[Vec<u8>], check: impl Fn(Option<Tls<'_>>)) {
    check(decoded(&with(fields)).tls);
}

#[test]
fn addresses_of_each_family_are_read() {
    assert_eq!(decoded(&header(0x21, 0x11, V4)), Header::plain(28, v4()));

    let mut v6 = [0; 36];
    (v6[0], v6[1], v6[15], v6[31], v6[33], v6[35]) = (0x20, 0x01, 1, 1, 5, 6);
    let ends = Endpoints::Inet { source: "[2001::1]:5".parse().unwrap(), destination: "[::1]:6".parse().unwrap() };
    assert_eq!(decoded(&header(0x21, 0x21, &v6)).endpoints, ends);

    let mut unix = [0; 216];
    unix[..8].copy_from_slice(b"/run/a\0b");
    unix[108..114].copy_from_slice(b"\0a\0bcd");
    let ends = Endpoints::Unix { source: b"/run/a", destination: b"\0a\0bcd" };
    assert_eq!(decoded(&header(0x21, 0x31, &unix)).endpoints, ends);
    let longest = [b'/'; 216];
    let ends = Endpoints::Unix { source: &longest[..108], destination: &longest[..108] };
    assert_eq!(decoded(&header(0x21, 0x31, &longest)).endpoints, ends);
    assert_eq!(decoded(&header(0x21, 0x31, &[0; 216])).endpoints, Endpoints::Unix { source: b"", destination: b"" });
}

#[test]
fn the_sockets_own_ends_count_for_local_and_for_what_carries_no_stream() {
    let claim = [V4, &ssl(7, 0, &[field(SSL_CN, b"admin")]), b"rubbish"].concat();
    for (command, transport) in
        [(0x20, 0x00), (0x20, 0x11), (0x20, 0x21), (0x21, 0x00), (0x21, 0x01), (0x21, 0x10), (0x21, 0x12), (0x21, 0x32)]
    {
        for behind in [&claim[..], b""] {
            let bytes = header(command, transport, behind);
            assert_eq!(decoded(&bytes), Header::plain(bytes.len(), Endpoints::Own), "{command:#x} {transport:#x}");
        }
    }
}

#[test]
fn what_no_version_knows_is_malformed() {
    let refused = |command, transport| decode(&header(command, transport, V4)).unwrap_err();
    assert_eq!(refused(0x11, 0x11), Malformed::Version { version: 1 });
    assert_eq!(refused(0x31, 0x11), Malformed::Version { version: 3 });
    assert_eq!(refused(0x22, 0x11), Malformed::Command { command: 2 });
    assert_eq!(refused(0x2f, 0x11), Malformed::Command { command: 15 });
    for byte in [0x03, 0x13, 0x1f, 0x40, 0x41, 0xf1] {
        assert_eq!(refused(0x21, byte), Malformed::Transport { byte });
        assert_eq!(refused(0x20, byte), Malformed::Transport { byte });
    }
}

#[test]
fn a_header_is_waited_for_to_its_last_byte_and_ends_there() {
    let bytes = [with(&[field(AUTHORITY, b"a.example"), ssl(1, 1, &[])]), b"\x10\x0e".to_vec()].concat();
    for cut in 0..bytes.len() - 2 {
        assert_eq!(decode(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    assert_eq!(decode(&bytes).unwrap().unwrap().consumed, bytes.len() - 2);
}

#[test]
fn addresses_that_are_cut_are_malformed() {
    for (transport, whole) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
        for bytes in [0, 1, whole - 1] {
            assert_eq!(decode(&header(0x21, transport, &vec![1; bytes])), Err(Malformed::AddressesCut { bytes }));
        }
        assert!(decode(&header(0x21, transport, &vec![1; whole])).is_ok_and(|header| header.is_some()));
    }
}

#[test]
fn fields_are_read_and_those_of_no_use_are_passed_over() {
    let bytes = with(&[
        field(0x01, b"mqtt"),
        field(AUTHORITY, "bücher.example".as_bytes()),
        field(0x04, b""),
        field(0x05, &[0xff; 128]),
        field(0x30, b"netns"),
        field(0xe0, b"\0"),
        field(0xe0, b"\0"),
        ssl(1, 1, &[field(SSL_VERSION, b"TLSv1.3"), field(0x23, b"\xff"), field(0xee, b"")]),
    ]);
    let header = decoded(&bytes);
    assert_eq!((header.endpoints, header.authority), (v4(), Some("bücher.example")));
    assert_eq!(header.tls.and_then(|tls| tls.version), Some("TLSv1.3"));
}

/// THREATS: a name that nobody has proven is no name.
#[test]
fn threat_4_a_common_name_is_told_only_of_a_verified_certificate() {
    let name = [field(SSL_VERSION, b"TLSv1.2"), field(SSL_CN, b"admin")];
    for client in 0..=u8::MAX {
        for verify in [0, 1, 0x0100_0000] {
            let is_proven = verify == 0 && client & 1 != 0 && client & 6 != 0;
            tls(&[ssl(client, verify, &name)], |tls| {
                let tls = tls.unwrap();
                assert_eq!(tls.common_name, is_proven.then_some("admin"), "{client:#x} {verify}");
                assert_eq!((tls.is_verified(), tls.verify, tls.version), (is_proven, verify, Some("TLSv1.2")));
                assert_eq!(tls.is_encrypted, client & 1 != 0);
                assert_eq!(tls.has_shown_certificate, client & 2 != 0);
                assert_eq!(tls.has_session_certificate, client & 4 != 0);
            });
        }
    }
    tls(&[], |tls| assert_eq!(tls, None));
}

#[test]
fn threat_6_a_name_with_control_characters_is_malformed() {
    for name in [&b"admin\0.evil"[..], b"a\nb", b"a\x7f", b"\xc2\x85", b"\xff", b"\xed\xa0\x80"] {
        let claim = with(&[ssl(7, 0, &[field(SSL_CN, name)])]);
        assert_eq!(decode(&claim), Err(Malformed::FieldText { kind: SSL_CN }), "{name:?}");
        assert_eq!(decode(&with(&[field(AUTHORITY, name)])), Err(Malformed::FieldText { kind: AUTHORITY }));
    }
    let wild = with(&[ssl(7, 0, &[field(SSL_CN, b"a/+/#")])]);
    assert_eq!(decoded(&wild).tls.unwrap().common_name, Some("a/+/#"), "names are compared, not parsed");
}

#[test]
fn a_field_that_says_something_twice_is_malformed() {
    let twice = |fields: &[Vec<u8>]| decode(&with(fields)).unwrap_err();
    assert_eq!(twice(&[field(AUTHORITY, b"a"), field(AUTHORITY, b"a")]), Malformed::FieldTwice { kind: AUTHORITY });
    assert_eq!(twice(&[ssl(1, 0, &[]), ssl(7, 0, &[])]), Malformed::FieldTwice { kind: SSL });
    assert_eq!(twice(&[field(CRC32C, &[0; 4]), field(CRC32C, &[0; 4])]), Malformed::FieldTwice { kind: CRC32C });
    for kind in [SSL_CN, SSL_VERSION] {
        assert_eq!(twice(&[ssl(7, 0, &[field(kind, b"a"), field(kind, b"b")])]), Malformed::FieldTwice { kind });
    }
}

#[test]
fn broken_lengths_are_malformed() {
    let cut = |behind: &[u8]| decode(&header(0x21, 0x11, &[V4, behind].concat())).unwrap_err();
    assert_eq!(cut(&[0x04]), Malformed::FieldCut { at: 28 });
    assert_eq!(cut(&[0x04, 0]), Malformed::FieldCut { at: 28 });
    assert_eq!(cut(&[0x04, 0, 1]), Malformed::FieldCut { at: 28 });
    assert_eq!(cut(&[0x04, 0, 1, 9, 0x04, 0xff, 0xff, 0]), Malformed::FieldCut { at: 32 });
    assert_eq!(cut(&ssl(7, 0, &[vec![SSL_CN, 0, 2, b'a']])), Malformed::FieldCut { at: 5 });
    for bytes in 0..5 {
        assert_eq!(cut(&field(SSL, &vec![0; bytes])), Malformed::FieldLength { kind: SSL, bytes });
    }
    for bytes in [0, 3, 5] {
        assert_eq!(cut(&field(CRC32C, &vec![0; bytes])), Malformed::FieldLength { kind: CRC32C, bytes });
    }
    assert_eq!(cut(&field(AUTHORITY, b"")), Malformed::FieldLength { kind: AUTHORITY, bytes: 0 });
}

#[test]
fn a_checksum_is_compared_and_finds_every_flipped_bit() {
    let mut bytes = with(&[field(AUTHORITY, b"a"), field(CRC32C, &[0; 4]), field(0x04, b"behind")]);
    let computed = Crc32c::of(&bytes);
    let at = bytes.len() - 13;
    bytes[at..at + 4].copy_from_slice(&computed.to_be_bytes());
    assert_eq!(decoded(&bytes).authority, Some("a"));
    let field_type = at - 3;
    for bit in 0..bytes.len() * 8 {
        // A field of another type is no checksum, so nothing is compared then.
        if bit / 8 == field_type {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let is_refused = decode(&flipped).is_err();
        let is_longer = matches!(decode(&flipped), Ok(None));
        let is_passed_over = bit / 8 == 12 || bit / 8 == 13; // LOCAL, or a transport of no stream
        assert!(is_refused || is_longer || is_passed_over, "bit {bit}");
    }
}

#[test]
fn a_wrong_checksum_is_told_with_the_right_one() {
    let bytes = with(&[field(CRC32C, &[0; 4])]);
    let computed = Crc32c::of(&bytes);
    assert_ne!(computed, 0);
    assert_eq!(decode(&bytes), Err(Malformed::Checksum { told: 0, computed }));
}

#[test]
fn threat_1_a_header_is_bounded_by_its_announced_length() {
    let most = with(&[field(0x04, &vec![0; HEADER_BYTES_MAX - 31])]);
    assert_eq!(decoded(&most).consumed, HEADER_BYTES_MAX);
    let more = with(&[field(0x04, &vec![0; HEADER_BYTES_MAX - 30])]);
    let too_long = Err(Malformed::HeaderTooLong { bytes: HEADER_BYTES_MAX + 1 });
    assert_eq!((decode(&more), decode(&more[..16])), (too_long, too_long));
    assert_eq!(decode(&more[..15]), Ok(None));
}
