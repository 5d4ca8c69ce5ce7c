//! Keys read from PEM: public keys as `openssl` writes them, one or several.

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Document, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::algorithm::Algorithm;
use super::fault::{KeyFault, KeysFault};
use super::keys::{Check, KEYS_MAX, Key, ed25519, p256, p384, rsa};

const BEGIN: &str = "-----BEGIN ";
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The keys of a text, in their order. Each stands alone between its lines; anything else refuses all.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Option<Key>>, KeysFault> {
    let text = str::from_utf8(text).map_err(|_not_utf8| KeysFault::Form)?.trim_ascii_start();
    let text = text.strip_prefix(BEGIN).ok_or(KeysFault::Form)?;
    let blocks: Vec<_> = text.split(BEGIN).take(KEYS_MAX + 1).collect();
    if blocks.len() > KEYS_MAX {
        return Err(KeysFault::TooMany);
    }
    let read = |(number, block): (usize, &str)| {
        let uses = read(&format!("{BEGIN}{}\n", block.trim_ascii_end()));
        uses.map(|uses| Some(Key { id: None, uses })).map_err(|fault| KeysFault::Key { number, fault })
    };
    (1..).zip(blocks).map(read).collect()
}

fn read(block: &str) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    let (label, document) = Document::from_pem(block).map_err(|_no_pem| KeyFault::Pem)?;
    match label {
        "PUBLIC KEY" => public(document.as_bytes()),
        label if label.ends_with("PRIVATE KEY") => Err(KeyFault::Private),
        _other => Err(KeyFault::Pem),
    }
}

fn public(der: &[u8]) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_no_der| KeyFault::Der)?;
    let key = info.subject_public_key.as_bytes().ok_or(KeyFault::Der)?;
    let curve =
        info.algorithm.parameters.as_ref().and_then(|curve: &AnyRef<'_>| ObjectIdentifier::try_from(*curve).ok());
    match (info.algorithm.oid, curve) {
        (RSA, _) => {
            let (n, e) = numbers(key).ok_or(KeyFault::Der)?;
            rsa(n.as_bytes(), e.as_bytes(), None)
        }
        (EC, Some(P256)) => p256(key, None),
        (EC, Some(P384)) => p384(key, None),
        (ED25519, _) => ed25519(key, None),
        _unknown => Err(KeyFault::Der),
    }
}

/// Modulus and exponent of an RSA key, PKCS #1.
pub(super) fn numbers(der: &[u8]) -> Option<(UintRef<'_>, UintRef<'_>)> {
    let mut reader = SliceReader::new(der).ok()?;
    let both =
        reader.sequence(|inner| Ok::<_, x509_cert::der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)));
    let both = both.ok()?;
    reader.is_finished().then_some(both)
}
