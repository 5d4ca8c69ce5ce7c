//! Whose signature counts: keys, each with the algorithms that it is for.

use core::fmt;
use core::ops::RangeInclusive;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents,
    VerificationAlgorithm,
};

use super::algorithm::{Algorithm, Digest};
use super::fault::{KeyFault, KeysFault, TokenFault};
use super::{jwk, pem};

/// Bytes of a text of keys; a longer one is refused unread.
pub const KEYS_BYTES_MAX: usize = 1 << 20;
/// Keys in one text; one with more is refused.
pub const KEYS_MAX: usize = 256;
/// Keys that are tried for one token; where more would have to be, it is refused.
pub const KEYS_TRIED_MAX: usize = 4;
/// Bytes of the modulus of an RSA key: 2,048 to 8,192 bits.
pub(super) const RSA_BYTES: RangeInclusive<usize> = 256..=1024;
/// Bytes of the exponent of an RSA key.
const EXPONENT_BYTES_MAX: usize = 4;
/// Bytes of such a modulus whose signatures are checked at once.
const RSA_QUICK_BYTES_MAX: usize = 512;

/// Keys of those who are trusted. Shared by all shards; a text that has changed is another value.
pub struct Keys {
    keys: Vec<Key>,
    passed_over: usize,
}

/// One key.
pub(super) struct Key {
    /// Its name, if it has one.
    pub(super) id: Option<Box<str>>,
    /// What it is for, and how a signature is checked then; at least one.
    pub(super) uses: Vec<(Algorithm, Check)>,
}

/// How a signature is checked.
pub(super) enum Check {
    /// By a secret that we share with the issuer.
    Secret(Box<hmac::Key>),
    /// By the public half of its key; `is_quick` where that takes microseconds.
    Public { key: ParsedPublicKey, is_quick: bool },
}

impl Keys {
    /// Reads a JSON Web Key Set, a single JSON Web Key, or public keys in PEM, by what the text begins with.
    pub fn parse(text: &[u8]) -> Result<Self, KeysFault> {
        if text.len() > KEYS_BYTES_MAX {
            return Err(KeysFault::TooLong);
        }
        let found = match text.trim_ascii_start().first() {
            Some(b'{') => jwk::parse(text)?,
            Some(b'-') => pem::parse(text)?,
            Some(_) | None => return Err(KeysFault::Form),
        };
        let all = found.len();
        let keys: Vec<Key> = found.into_iter().flatten().collect();
        if keys.is_empty() {
            return Err(KeysFault::NoKey);
        }
        Ok(Self { passed_over: all - keys.len(), keys })
    }

    /// How many there are.
    pub const fn keys_count(&self) -> usize {
        self.keys.len()
    }

    /// How many more were in the text, for other purposes than signatures or of types that are not known here.
    pub const fn passed_over_count(&self) -> usize {
        self.passed_over
    }

    /// Whether one of them is a shared secret. Such keys belong in a file; whoever fetches keys over the network should refuse them, for what one
    /// can fetch others can.
    pub fn have_secret(&self) -> bool {
        self.keys.iter().any(|key| key.uses.iter().any(|(_, check)| matches!(check, Check::Secret(_))))
    }

    /// Whether one of them may have made such a signature.
    pub fn are_for(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.checks(algorithm, id).is_ok()
    }

    /// Whether one of them is called so.
    pub fn have_name(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether a signature can be checked in the time that a shard has: some tenth of a millisecond. What is refused is refused at once.
    pub fn are_quick(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let Ok(checks) = self.checks(algorithm, id) else { return true };
        match &checks[..] {
            [Check::Secret(_) | Check::Public { is_quick: true, .. }] => true,
            several => several.iter().all(|check| matches!(check, Check::Secret(_))),
        }
    }

    /// Whether somebody who is trusted has signed this.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), TokenFault> {
        let checks = self.checks(algorithm, id)?;
        if checks.iter().any(|check| check.holds(signed, signature)) { Ok(()) } else { Err(TokenFault::Signature) }
    }

    /// The checks that a token's header leads to, at least one. A key without a name is for tokens with any name that no key has.
    fn checks(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Vec<&Check>, TokenFault> {
        let has_name = id.is_some() && self.keys.iter().any(|key| key.id.as_deref() == id);
        let is_meant = |key: &&Key| match id {
            Some(_) if has_name => key.id.as_deref() == id,
            Some(_) => key.id.is_none(),
            None => true,
        };
        let mut meant = self.keys.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Err(TokenFault::UnknownKey);
        }
        let uses = meant.flat_map(|key| &key.uses).filter(|(own, _)| *own == algorithm);
        let checks: Vec<_> = uses.map(|(_, check)| check).take(KEYS_TRIED_MAX + 1).collect();
        match checks.len() {
            0 => Err(TokenFault::OtherAlgorithm),
            1..=KEYS_TRIED_MAX => Ok(checks),
            _more => Err(TokenFault::ManyKeys),
        }
    }
}

impl Check {
    fn holds(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Public { key, .. } => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

/// What a key can be for by its type; `only` is what it says itself.
pub(super) fn secret(bytes: &[u8], only: Option<Algorithm>) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    let fits = |digest: &Digest| bytes.len() >= digest.bytes();
    let uses = Digest::ALL.into_iter().filter(|digest| is_allowed(Algorithm::Hmac(*digest), only));
    let least = uses.clone().map(Digest::bytes).min().ok_or(KeyFault::OtherAlgorithm)?;
    let uses: Vec<_> = uses
        .filter(fits)
        .map(|digest| (Algorithm::Hmac(digest), Check::Secret(Box::new(hmac::Key::new(digest.hmac(), bytes)))))
        .collect();
    if uses.is_empty() { Err(KeyFault::ShortSecret { bytes: bytes.len(), least }) } else { Ok(uses) }
}

/// An RSA key of these numbers, big-endian and without zeros in front.
pub(super) fn rsa(n: &[u8], e: &[u8], only: Option<Algorithm>) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    if !RSA_BYTES.contains(&n.len()) || n[0] < 0x80 && n.len() == *RSA_BYTES.start() {
        return Err(KeyFault::RsaSize { bytes: n.len() });
    }
    // An exponent is odd and small; by one everybody could sign.
    let is_exponent = e.len() <= EXPONENT_BYTES_MAX && e != [1] && e.last().is_some_and(|last| last % 2 == 1);
    if n[0] == 0 || e.first() == Some(&0) || !is_exponent {
        return Err(KeyFault::Numbers);
    }
    let ways = Digest::ALL
        .into_iter()
        .flat_map(|digest| [(Algorithm::Rsa(digest), digest.rsa()), (Algorithm::RsaPss(digest), digest.rsa_pss())]);
    let ways: Vec<_> = ways.filter(|(algorithm, _)| is_allowed(*algorithm, only)).collect();
    if ways.is_empty() {
        return Err(KeyFault::OtherAlgorithm);
    }
    let is_quick = n.len() <= RSA_QUICK_BYTES_MAX;
    let key = |(algorithm, parameters)| {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
        Ok((algorithm, Check::Public { key: key.map_err(|_rejected| KeyFault::Numbers)?, is_quick }))
    };
    ways.into_iter().map(key).collect()
}

/// A key on P-256, as an uncompressed point.
pub(super) fn p256(point: &[u8], only: Option<Algorithm>) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    one(Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, point, only, true)
}

/// A key on P-384, as an uncompressed point.
pub(super) fn p384(point: &[u8], only: Option<Algorithm>) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    one(Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, point, only, false)
}

/// A key of Ed25519.
pub(super) fn ed25519(bytes: &[u8], only: Option<Algorithm>) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    one(Algorithm::EdDsa, &ED25519, bytes, only, true)
}

fn one(
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    bytes: &[u8],
    only: Option<Algorithm>,
    is_quick: bool,
) -> Result<Vec<(Algorithm, Check)>, KeyFault> {
    if !is_allowed(algorithm, only) {
        return Err(KeyFault::OtherAlgorithm);
    }
    let key = ParsedPublicKey::new(verification, bytes).map_err(|_rejected| KeyFault::Numbers)?;
    Ok(vec![(algorithm, Check::Public { key, is_quick })])
}

fn is_allowed(algorithm: Algorithm, only: Option<Algorithm>) -> bool {
    only.is_none_or(|only| only == algorithm)
}

/// How many there are, and nothing of them.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("keys", &self.keys.len())
            .field("passed_over", &self.passed_over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
