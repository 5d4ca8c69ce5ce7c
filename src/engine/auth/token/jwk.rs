//! Keys read from a JSON Web Key Set, or from a single key, RFC 7517.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::fault::{KeyFault, KeysFault};
use super::json::{Object, Value, parse as parse_json};
use super::keys::{KEYS_MAX, Key, ed25519, p256, p384, rsa, secret};

/// Members that only the issuer may know.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// The keys of a set, in their order; nothing in the place of one that is for something else, or of a kind that is not known: the standard
/// wants such ones passed over. One that is known and wrong refuses all.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Option<Key>>, KeysFault> {
    let mut set = parse_json(text)?;
    let keys = match set.remove("keys") {
        Some(Value::List(keys)) => keys,
        None if set.contains_key("kty") => vec![Value::Object(set)],
        Some(_) | None => return Err(KeysFault::Form),
    };
    if keys.len() > KEYS_MAX {
        return Err(KeysFault::TooMany);
    }
    let numbered = (1..).zip(keys);
    numbered.map(|(number, key)| read(&key).map_err(|fault| KeysFault::Key { number, fault })).collect()
}

fn read(key: &Value) -> Result<Option<Key>, KeyFault> {
    let Value::Object(key) = key else { return Err(KeyFault::NoObject) };
    let kind = required(key, "kty")?;
    if !is_for_signatures(key)? {
        return Ok(None);
    }
    let only = match optional(key, "alg")?.map(Algorithm::named) {
        Some(None) => return Ok(None),
        Some(algorithm) => algorithm,
        None => None,
    };
    if kind != "oct" && PRIVATE.iter().any(|name| key.contains_key(*name)) {
        return Err(KeyFault::Private);
    }
    let uses = match (kind, optional(key, "crv")?) {
        ("oct", _) => secret(&bytes(key, "k", None)?, only)?,
        ("RSA", _) => rsa(&bytes(key, "n", None)?, &bytes(key, "e", None)?, only)?,
        ("EC", Some("P-256")) => p256(&point(key, 32)?, only)?,
        ("EC", Some("P-384")) => p384(&point(key, 48)?, only)?,
        ("OKP", Some("Ed25519")) => ed25519(&bytes(key, "x", Some(32))?, only)?,
        ("EC" | "OKP", None) => return Err(KeyFault::Text { name: "crv" }),
        (_unknown, _) => return Ok(None),
    };
    Ok(Some(Key { id: optional(key, "kid")?.map(Into::into), uses }))
}

/// What a key says that it is for; one that says nothing is for anything.
fn is_for_signatures(key: &Object) -> Result<bool, KeyFault> {
    let is_by_use = optional(key, "use")?.is_none_or(|used| used == "sig");
    let Some(operations) = key.get("key_ops") else { return Ok(is_by_use) };
    let operations = operations.as_list().ok_or(KeyFault::Operations)?;
    if !operations.iter().all(|operation| operation.as_text().is_some()) {
        return Err(KeyFault::Operations);
    }
    Ok(is_by_use && operations.iter().any(|operation| operation.as_text() == Some("verify")))
}

fn optional<'a>(key: &'a Object, name: &'static str) -> Result<Option<&'a str>, KeyFault> {
    let Some(value) = key.get(name) else { return Ok(None) };
    value.as_text().map(Some).ok_or(KeyFault::Text { name })
}

fn required<'a>(key: &'a Object, name: &'static str) -> Result<&'a str, KeyFault> {
    optional(key, name)?.ok_or(KeyFault::Text { name })
}

fn bytes(key: &Object, name: &'static str, length: Option<usize>) -> Result<Vec<u8>, KeyFault> {
    let bytes = URL_SAFE_NO_PAD.decode(required(key, name)?).ok();
    let fits = |bytes: &Vec<u8>| !bytes.is_empty() && length.is_none_or(|length| bytes.len() == length);
    bytes.filter(fits).ok_or(KeyFault::Encoding { name })
}

/// Both coordinates behind the byte that says so.
fn point(key: &Object, length: usize) -> Result<Vec<u8>, KeyFault> {
    Ok([vec![4], bytes(key, "x", Some(length))?, bytes(key, "y", Some(length))?].concat())
}
