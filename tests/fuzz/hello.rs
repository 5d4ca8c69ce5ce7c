//! What the fuzz target of a TLS client's first words does with its bytes; `tests/corpus.rs` does the same with its corpus.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use rustls::ProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::offers_13;

/// The extension that lists versions.
const SUPPORTED_VERSIONS: u16 = 43;
const TLS_13: [u8; 2] = [3, 4];
/// Extensions that nobody knows begin here, 256 of them.
const UNKNOWN: u16 = 0x7a00;
/// Signatures that the client can read: ECDSA and Ed25519. The library wants to know.
const SIGNATURES: [u8; 10] = [0, 13, 0, 6, 0, 4, 4, 3, 8, 7];
/// Bytes of an input that are made into a hello: it has room in one record.
const RECIPE_BYTES_MAX: usize = 2_048;

/// Bytes as the first words of a client, and as what a hello is made of: the answer is what the library agrees on.
pub fn hello(data: &[u8]) {
    heard(data);
    if let Some((cut, recipe)) = data.split_first() {
        written(*cut, &recipe[..recipe.len().min(RECIPE_BYTES_MAX)]);
    }
}

/// A hello is told with the last byte of its record and not before, the same whatever follows, and only if all of it lies there. Where the library
/// comes to a version, it is TLS 1.3 if and only if that was told, or the hello lies in several records.
fn heard(raw: &[u8]) {
    let answer = offers_13(raw);
    let end = record_end(raw);
    for count in (0..=raw.len()).filter(|count| *count <= 256 || count.is_multiple_of(97) || count.abs_diff(end) <= 4) {
        assert_eq!(offers_13(&raw[..count]), answer && count >= end, "at {count} of {end}");
    }
    if answer {
        assert!(lies_in_one_record(raw), "all else is left to the library");
        let list = raw[..end].windows(2).position(|bytes| bytes == SUPPORTED_VERSIONS.to_be_bytes());
        let rest = &raw[list.expect("a hello that lists versions")..end];
        assert!(rest.windows(2).any(|bytes| bytes == TLS_13), "and this one among them");
    }
    match negotiated(raw) {
        Some(ProtocolVersion::TLSv1_3) => assert_eq!(answer, lies_in_one_record(raw)),
        Some(older) => assert!(!answer, "the library speaks {older:?}"),
        None => {}
    }
}

/// Where the first record ends.
fn record_end(raw: &[u8]) -> usize {
    let length = raw.get(3..5).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    5 + length
}

/// Whether the first record is there, and a whole hello in it.
fn lies_in_one_record(raw: &[u8]) -> bool {
    let [22, _, _, _, _, 1, high, middle, low, ..] = raw else { return false };
    let hello_bytes = 4 + (usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low));
    record_end(raw) <= raw.len() && 5 + hello_bytes <= record_end(raw)
}

/// A server without certificates: a session of its ends as soon as the version stands.
#[derive(Debug)]
struct Nobody;

impl ResolvesServerCert for Nobody {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// The version that the library comes to with whoever says this, if it comes that far.
fn negotiated(raw: &[u8]) -> Option<ProtocolVersion> {
    static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).expect("the library has both");
        Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(Nobody)))
    });
    let mut session = UnbufferedServerConnection::new(Arc::clone(&SERVER)).expect("its settings are good");
    drop(session.process_tls_records(&mut raw.to_vec()));
    session.protocol_version()
}

/// A hello that is right as far as the library looks, with extensions as the recipe says: what is said of it is known before.
fn written(cut: u8, mut recipe: &[u8]) {
    let session = take(&mut recipe, 1).first().map_or(0, |length| usize::from(*length) % 33);
    let (mut extensions, mut listed, mut kinds, mut is_plain) = (Vec::new(), None, BTreeSet::new(), true);
    while let [kind, length, ..] = *take(&mut recipe, 2) {
        let mut content = take(&mut recipe, usize::from(length)).to_vec();
        let has_more = (0x20..0x40).contains(&kind);
        let kind = if kind < 0x40 { SUPPORTED_VERSIONS } else { UNKNOWN + u16::from(kind) };
        is_plain &= kinds.insert(kind);
        if kind == SUPPORTED_VERSIONS {
            content.truncate(content.len() / 2 * 2);
            is_plain &= !content.is_empty();
            let versions: Vec<[u8; 2]> = content.chunks_exact(2).map(|version| [version[0], version[1]]).collect();
            listed.get_or_insert(versions);
            content.insert(0, u8::try_from(content.len()).expect("it has a length of one byte"));
            if has_more {
                content.extend(TLS_13); // behind the list, and none of it
                is_plain = false;
            }
        }
        extensions.extend(kind.to_be_bytes());
        put(&mut extensions, 2, &content);
    }
    extensions.extend(SIGNATURES);

    let mut body = vec![3, 3];
    body.extend([7; 32]);
    put(&mut body, 1, &[9; 32][..session]);
    put(&mut body, 2, &[0x13, 1, 0xc0, 0x2b]);
    put(&mut body, 1, &[0]);
    put(&mut body, 2, &extensions);
    let mut hello = vec![1];
    put(&mut hello, 3, &body);

    let whole = record(&hello);
    let offers = |version| listed.as_ref().is_some_and(|listed| listed.contains(&version));
    assert_eq!(offers_13(&whole), offers(TLS_13), "{listed:?}");
    if is_plain {
        let version = if offers(TLS_13) {
            Some(ProtocolVersion::TLSv1_3)
        } else {
            (listed.is_none() || offers([3, 3])).then_some(ProtocolVersion::TLSv1_2)
        };
        assert_eq!(negotiated(&whole), version, "{listed:?}");
    }
    heard(&whole);

    let (front, back) = hello.split_at(1 + usize::from(cut) % (hello.len() - 1));
    let halves = [record(front), record(back)].concat();
    assert!(!offers_13(&halves), "what comes in two records is left to the library");
    heard(&halves);
}

/// The first of so many bytes; nothing where they are fewer.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    rest.split_off(..count).unwrap_or_default()
}

/// A number of so many bytes that says how many follow, and these.
fn put(out: &mut Vec<u8>, of_number: usize, content: &[u8]) {
    let number = u32::try_from(content.len()).expect("a hello is small").to_be_bytes();
    out.extend_from_slice(&number[4 - of_number..]);
    out.extend_from_slice(content);
}

/// A record of a handshake.
fn record(part: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 3, 1];
    put(&mut record, 2, part);
    record
}
