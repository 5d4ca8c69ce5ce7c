//! A password's hash as a value: read, written, made, and compared with a password.

use core::fmt;
use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use subtle::ConstantTimeEq as _;

use super::cost::{ARGON2_VERSION, Cost};
use super::fault::{HashFault, MakingFault};
use super::name::Name;
use crate::engine::auth::scram::keys::{Credential, ITERATIONS as SCRAM_ITERATIONS, KEY_BYTES, Keys};
use crate::engine::auth::scram::preparation::{is_prepared, prepared};

/// Bytes of the salt of a new hash.
pub const NEW_SALT_BYTES: usize = 16;
/// Bytes of the digest of a new hash.
const NEW_DIGEST_BYTES: usize = 32;
/// Bytes that a salt may have: mosquitto's have 12 or 64.
pub(super) const SALT_BYTES: RangeInclusive<usize> = 8..=64;
/// Bytes of a digest of SHA-512, and of PBKDF2 with it.
pub(super) const SHA512_BYTES: usize = 64;
/// Bytes that a digest of Argon2 may have.
pub(super) const ARGON2_DIGEST_BYTES: RangeInclusive<usize> = 16..=64;

/// A hash in one of the four formats; it is written as it was read, byte for byte.
///
/// | text | what it is |
/// |---|---|
/// | `$argon2id$v=19$m=19456,t=2,p=1$SALT$DIGEST` | Argon2id, base64 without padding |
/// | `$scram-sha-256$ITERATIONS$SALT$STORED$SERVER` | the two keys of SCRAM-SHA-256, base64 |
/// | `$7$ITERATIONS$SALT$DIGEST` | PBKDF2 with HMAC-SHA512, base64 |
/// | `$6$SALT$DIGEST` | SHA-512 of the password and the salt behind it, base64 |
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: Cost,
    salt: Box<[u8]>,
    digest: Box<[u8]>,
}

impl Hash {
    /// Reads a hash.
    pub fn parse(text: &str) -> Result<Self, HashFault> {
        if text.is_empty() {
            return Err(HashFault::Missing);
        }
        if let Some(rest) = text.strip_prefix("$argon2id$") {
            let [version, costs, salt, digest] = parts(rest)?;
            if version != ARGON2_VERSION {
                return Err(HashFault::Version);
            }
            return Self::decode(Cost::parse_argon2id(costs)?, salt, digest);
        }
        if let Some(rest) = text.strip_prefix("$scram-sha-256$") {
            let [iterations, salt, stored, server] = parts(rest)?;
            return Self::decode_scram(Cost::parse_scram(iterations)?, salt, [stored, server]);
        }
        if let Some(rest) = text.strip_prefix("$7$") {
            let [iterations, salt, digest] = parts(rest)?;
            return Self::decode(Cost::parse_pbkdf2(iterations)?, salt, digest);
        }
        let [salt, digest] = parts(text.strip_prefix("$6$").ok_or(HashFault::Scheme)?)?;
        Self::decode(Cost::Sha512, salt, digest)
    }

    /// Makes the hash of a password, of the kind that is made today. The salt is drawn for this hash alone; an error means that Argon2's
    /// memory cannot be had.
    pub fn make(password: &[u8], salt: [u8; NEW_SALT_BYTES]) -> Result<Self, argon2::Error> {
        let mut digest = [0; NEW_DIGEST_BYTES];
        Cost::NEW.compute(password, &salt, &mut digest)?;
        Ok(Self { cost: Cost::NEW, salt: salt.into(), digest: digest.into() })
    }

    /// Makes the keys by which a user of this name proves its password without sending it. The salt is drawn for this hash alone.
    pub fn make_scram(
        name: Name<'_>,
        password: &[u8],
        salt: [u8; NEW_SALT_BYTES],
        iterations: u32,
    ) -> Result<Self, MakingFault> {
        if !is_prepared(name.as_str()) {
            return Err(MakingFault::Name);
        }
        if str::from_utf8(password).ok().and_then(prepared).is_none() {
            return Err(MakingFault::Password);
        }
        if !SCRAM_ITERATIONS.contains(&iterations) {
            return Err(MakingFault::Iterations);
        }
        let keys = Keys::derive(password, &salt, iterations);
        let digest = [*keys.stored(), *keys.server()];
        Ok(Self { cost: Cost::Scram { iterations }, salt: salt.into(), digest: digest.as_flattened().into() })
    }

    /// What proofs of SCRAM are checked by, if it is of that kind.
    pub fn scram(&self) -> Option<Credential> {
        let Cost::Scram { iterations } = self.cost else { return None };
        let key = |at: usize| self.digest[at..at + KEY_BYTES].try_into().expect("both keys are there");
        Some(Credential { iterations, salt: self.salt.clone(), keys: Keys::new(key(0), key(KEY_BYTES)) })
    }

    /// Whether it is of that kind.
    pub(super) const fn is_scram(&self) -> bool {
        matches!(self.cost, Cost::Scram { .. })
    }

    /// Whether it is this password's. Slow; where Argon2's memory cannot be had, no password is right.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        let mut offered = [0; SHA512_BYTES];
        let offered = &mut offered[..self.digest.len()];
        match self.cost.compute(password, &self.salt, offered) {
            Ok(()) => self.digest.ct_eq(offered).into(),
            Err(_no_memory) => false,
        }
    }

    /// The same for the same hash, and hardly ever for another one.
    pub fn mark(&self) -> u64 {
        let start: [u8; 8] = self.digest[..8].try_into().expect("no digest is shorter");
        u64::from_le_bytes(start)
    }

    /// Whether it is cheaper to guess than one that is made today.
    pub const fn is_weaker_than_new(&self) -> bool {
        self.cost.is_weaker_than_new()
    }

    /// The work of [`verify`](Self::verify), to be compared with that of others.
    #[cfg(test)]
    pub(super) const fn steps(&self) -> u32 {
        self.cost.steps()
    }

    /// Hashes of the same rank cost the same; those of a higher one cost no less.
    pub(super) const fn rank(&self) -> (u32, Cost) {
        (self.cost.steps(), self.cost)
    }

    fn decode(cost: Cost, salt: &str, digest: &str) -> Result<Self, HashFault> {
        let salt = decode_salt(cost, salt)?;
        let bytes = match cost {
            Cost::Sha512 | Cost::Pbkdf2 { .. } | Cost::Scram { .. } => SHA512_BYTES..=SHA512_BYTES,
            Cost::Argon2id { .. } => ARGON2_DIGEST_BYTES,
        };
        let digest = base64(cost).decode(digest).ok().filter(|digest| bytes.contains(&digest.len()));
        Ok(Self { cost, salt, digest: digest.ok_or(HashFault::Digest)?.into() })
    }

    fn decode_scram(cost: Cost, salt: &str, keys: [&str; 2]) -> Result<Self, HashFault> {
        let salt = decode_salt(cost, salt)?;
        let decode = |key| base64(cost).decode(key).ok().filter(|key| key.len() == KEY_BYTES);
        let [Some(stored), Some(server)] = keys.map(decode) else { return Err(HashFault::Keys) };
        Ok(Self { cost, salt, digest: [stored, server].concat().into() })
    }
}

const _: () = assert!(*ARGON2_DIGEST_BYTES.end() <= SHA512_BYTES, "a digest of each kind fits where it is computed");
const _: () = assert!(2 * KEY_BYTES == SHA512_BYTES, "both keys of SCRAM fit there");

fn decode_salt(cost: Cost, salt: &str) -> Result<Box<[u8]>, HashFault> {
    let salt = base64(cost).decode(salt).ok().filter(|salt| SALT_BYTES.contains(&salt.len()));
    Ok(salt.ok_or(HashFault::Salt)?.into())
}

/// The parts between the dollar signs.
fn parts<const COUNT: usize>(text: &str) -> Result<[&str; COUNT], HashFault> {
    let mut parts = text.split('$');
    let found = [(); COUNT].map(|()| parts.next());
    if found.contains(&None) || parts.next().is_some() {
        return Err(HashFault::Parts);
    }
    Ok(found.map(Option::unwrap_or_default))
}

/// The alphabet of all, and the padding of all but Argon2's.
const fn base64(cost: Cost) -> &'static GeneralPurpose {
    match cost {
        Cost::Sha512 | Cost::Pbkdf2 { .. } | Cost::Scram { .. } => &STANDARD,
        Cost::Argon2id { .. } => &STANDARD_NO_PAD,
    }
}

/// The form that [`Hash::parse`] reads.
impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cost {
            Cost::Sha512 => formatter.write_str("$6$")?,
            Cost::Pbkdf2 { iterations } => write!(formatter, "$7${iterations}$")?,
            Cost::Scram { iterations } => {
                let [salt, stored, server] = [&self.salt, &self.digest[..KEY_BYTES], &self.digest[KEY_BYTES..]]
                    .map(|bytes| STANDARD.encode(bytes));
                return write!(formatter, "$scram-sha-256${iterations}${salt}${stored}${server}");
            }
            Cost::Argon2id { memory_kib, passes, lanes } => {
                write!(formatter, "$argon2id${ARGON2_VERSION}$m={memory_kib},t={passes},p={lanes}$")?;
            }
        }
        let [salt, digest] = [&self.salt, &self.digest].map(|bytes| base64(self.cost).encode(bytes));
        write!(formatter, "{salt}${digest}")
    }
}

/// What it costs, and no part of the secret.
impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
