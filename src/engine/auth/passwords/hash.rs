//! A password's hash as a value: read, written, made, and compared with a password.

use core::fmt;
use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use subtle::ConstantTimeEq as _;

use super::cost::{ARGON2_VERSION, Cost};
use super::fault::HashFault;

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

/// A hash in one of the three formats; it is written as it was read, byte for byte.
///
/// | text | what it is |
/// |---|---|
/// | `$argon2id$v=19$m=19456,t=2,p=1$SALT$DIGEST` | Argon2id, base64 without padding |
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
    pub(super) const fn steps(&self) -> u32 {
        self.cost.steps()
    }

    fn decode(cost: Cost, salt: &str, digest: &str) -> Result<Self, HashFault> {
        let decode = |text| base64(cost).decode(text).ok();
        let salt = decode(salt).filter(|salt| SALT_BYTES.contains(&salt.len())).ok_or(HashFault::Salt)?;
        let bytes = match cost {
            Cost::Sha512 | Cost::Pbkdf2 { .. } => SHA512_BYTES..=SHA512_BYTES,
            Cost::Argon2id { .. } => ARGON2_DIGEST_BYTES,
        };
        let digest = decode(digest).filter(|digest| bytes.contains(&digest.len())).ok_or(HashFault::Digest)?;
        Ok(Self { cost, salt: salt.into(), digest: digest.into() })
    }
}

const _: () = assert!(*ARGON2_DIGEST_BYTES.end() <= SHA512_BYTES, "a digest of each kind fits where it is computed");

/// The parts between the dollar signs.
fn parts<const COUNT: usize>(text: &str) -> Result<[&str; COUNT], HashFault> {
    let mut parts = text.split('$');
    let found = [(); COUNT].map(|()| parts.next());
    if found.contains(&None) || parts.next().is_some() {
        return Err(HashFault::Parts);
    }
    Ok(found.map(Option::unwrap_or_default))
}

/// The alphabet of all, and the padding of mosquitto's own formats.
const fn base64(cost: Cost) -> &'static GeneralPurpose {
    match cost {
        Cost::Sha512 | Cost::Pbkdf2 { .. } => &STANDARD,
        Cost::Argon2id { .. } => &STANDARD_NO_PAD,
    }
}

/// The form that [`Hash::parse`] reads.
impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cost {
            Cost::Sha512 => formatter.write_str("$6$")?,
            Cost::Pbkdf2 { iterations } => write!(formatter, "$7${iterations}$")?,
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
