//! What it costs to compute a digest: the parameters of each scheme, and how large a file may make them.
//!
//! One iteration of PBKDF2 and one block of Argon2 take about the same time, somewhat less than a microsecond. So the bounds keep a
//! check below a few seconds, whatever a file says.

use argon2::{Algorithm, Argon2, Params, Version};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest as _, Sha512};

use super::fault::HashFault;
use crate::engine::auth::scram::keys::{ITERATIONS as SCRAM_ITERATIONS, KEY_BYTES, Keys, NEW_ITERATIONS};

/// Iterations that PBKDF2 may take.
pub const ITERATIONS_MAX: u32 = 2_000_000;
/// Memory that Argon2 may fill.
pub const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Memory times passes: what Argon2 may fill and fill again.
pub const FILLED_KIB_MAX: u32 = 1024 * 1024;

const _: () = assert!(MEMORY_KIB_MAX <= FILLED_KIB_MAX, "the largest memory can be filled once");

/// The one version of Argon2 that is taken: 1.3, which writes itself so.
pub(super) const ARGON2_VERSION: &str = "v=19";
/// How the costs of Argon2 stand in a hash.
const ARGON2_KEYS: [&str; 3] = ["m=", "t=", "p="];

/// How a digest comes from a password and a salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    /// SHA-512 of the password and the salt behind it, once.
    Sha512,
    /// PBKDF2 with HMAC-SHA512.
    Pbkdf2 { iterations: u32 },
    /// PBKDF2 with HMAC-SHA256, and the keys of SCRAM from it.
    Scram { iterations: u32 },
    /// Argon2id.
    Argon2id { memory_kib: u32, passes: u32, lanes: u32 },
}

impl Cost {
    /// What is made today: OWASP's second choice for Argon2id, 19 MiB twice.
    pub(super) const NEW: Self = Self::Argon2id { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// Reads the iterations of PBKDF2.
    pub(super) fn parse_pbkdf2(text: &str) -> Result<Self, HashFault> {
        let iterations = number(text).filter(|iterations| (1..=ITERATIONS_MAX).contains(iterations));
        Ok(Self::Pbkdf2 { iterations: iterations.ok_or(HashFault::Iterations)? })
    }

    /// Reads the iterations of SCRAM.
    pub(super) fn parse_scram(text: &str) -> Result<Self, HashFault> {
        let iterations = number(text).filter(|iterations| SCRAM_ITERATIONS.contains(iterations));
        Ok(Self::Scram { iterations: iterations.ok_or(HashFault::ScramIterations)? })
    }

    /// Reads `m=19456,t=2,p=1`.
    pub(super) fn parse_argon2id(text: &str) -> Result<Self, HashFault> {
        let mut values = text.split(',');
        let [memory_kib, passes, lanes] =
            ARGON2_KEYS.map(|key| values.next().and_then(|value| value.strip_prefix(key)).and_then(number));
        let (Some(memory_kib), Some(passes), Some(lanes), None) = (memory_kib, passes, lanes, values.next()) else {
            return Err(HashFault::Argon2);
        };
        let filled_kib = memory_kib.checked_mul(passes).filter(|filled_kib| *filled_kib <= FILLED_KIB_MAX);
        let is_bounded = memory_kib <= MEMORY_KIB_MAX && filled_kib.is_some();
        if !is_bounded || Params::new(memory_kib, passes, lanes, None).is_err() {
            return Err(HashFault::Argon2);
        }
        Ok(Self::Argon2id { memory_kib, passes, lanes })
    }

    /// Fills `digest`; an error where Argon2's memory cannot be had.
    pub(super) fn compute(self, password: &[u8], salt: &[u8], digest: &mut [u8]) -> Result<(), argon2::Error> {
        match self {
            Self::Sha512 => {
                let whole = Sha512::new().chain_update(password).chain_update(salt).finalize();
                digest.copy_from_slice(&whole);
                Ok(())
            }
            Self::Pbkdf2 { iterations } => {
                pbkdf2_hmac::<Sha512>(password, salt, iterations, digest);
                Ok(())
            }
            Self::Scram { iterations } => {
                let keys = Keys::derive(password, salt, iterations);
                let (stored, server) = digest.split_at_mut(KEY_BYTES);
                stored.copy_from_slice(keys.stored());
                server.copy_from_slice(keys.server());
                Ok(())
            }
            Self::Argon2id { memory_kib, passes, lanes } => {
                let params = Params::new(memory_kib, passes, lanes, Some(digest.len()))?;
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, digest)
            }
        }
    }

    /// The work of a check in steps of somewhat less than a microsecond.
    pub(super) const fn steps(self) -> u32 {
        match self {
            Self::Sha512 => 1,
            Self::Pbkdf2 { iterations } | Self::Scram { iterations } => iterations,
            Self::Argon2id { memory_kib, passes, .. } => memory_kib * passes, // ≤ FILLED_KIB_MAX
        }
    }

    /// Whether it is cheaper to guess than what is made today. What needs no memory always is: it is guessed by thousands at a time. Only
    /// SCRAM has no other choice, and is compared with its own kind.
    pub(super) const fn is_weaker_than_new(self) -> bool {
        match (self, Self::NEW) {
            (Self::Argon2id { memory_kib, .. }, Self::Argon2id { memory_kib: wanted_kib, .. }) => {
                memory_kib < wanted_kib || self.steps() < Self::NEW.steps()
            }
            (Self::Scram { iterations }, _) => iterations < NEW_ITERATIONS,
            (Self::Sha512 | Self::Pbkdf2 { .. } | Self::Argon2id { .. }, _) => true,
        }
    }
}

/// A number as the formats write it: digits, without a sign and without zeros in front.
fn number(text: &str) -> Option<u32> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (!text.starts_with('0') || text == "0");
    if is_canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_1_no_file_makes_a_check_take_minutes() {
        for text in ["0", "2000001", "4294967296", "", "+5", "-1", "05", "1e3", " 5", "5 "] {
            assert_eq!(Cost::parse_pbkdf2(text), Err(HashFault::Iterations), "{text:?}");
        }
        assert_eq!(Cost::parse_pbkdf2("2000000"), Ok(Cost::Pbkdf2 { iterations: ITERATIONS_MAX }));
        for text in [
            "m=262145,t=1,p=1",
            "m=262144,t=5,p=1",
            "m=8,t=131073,p=1",
            "m=65536,t=65536,p=1",
            "m=7,t=1,p=1",
            "m=8,t=0,p=1",
            "m=8,t=1,p=0",
            "m=8,t=1,p=2",
            "m=262144,t=1,p=32769",
            "m=262144,t=1,p=4294967295",
        ] {
            assert_eq!(Cost::parse_argon2id(text), Err(HashFault::Argon2), "{text}");
        }
        for text in ["0", "4095", "600001", "4294967296", "", "04096", "4096 "] {
            assert_eq!(Cost::parse_scram(text), Err(HashFault::ScramIterations), "{text:?}");
        }
        assert_eq!(Cost::parse_scram("4096"), Ok(Cost::Scram { iterations: 4_096 }));
        assert_eq!(Cost::parse_scram("600000"), Ok(Cost::Scram { iterations: 600_000 }));
        let largest = Cost::parse_argon2id("m=262144,t=4,p=32768").unwrap();
        assert_eq!(largest.steps(), FILLED_KIB_MAX);
    }

    #[test]
    fn costs_of_argon2_stand_in_their_order_and_alone() {
        for text in ["", "m=64", "m=64,t=1", "t=1,m=64,p=1", "m=64,t=1,p=1,", "m=64,t=1,p=1,keyid=a", "m=64, t=1,p=1"] {
            assert_eq!(Cost::parse_argon2id(text), Err(HashFault::Argon2), "{text}");
        }
    }

    #[test]
    fn what_is_made_today_is_not_weak_and_what_costs_less_is() {
        let argon2id = |memory_kib, passes| Cost::Argon2id { memory_kib, passes, lanes: 1 };
        let scram = |iterations| Cost::Scram { iterations };
        for strong in [Cost::NEW, argon2id(47_104, 1), argon2id(65_536, 3), scram(NEW_ITERATIONS)] {
            assert!(!strong.is_weaker_than_new(), "{strong:?}");
        }
        let pbkdf2 = Cost::Pbkdf2 { iterations: ITERATIONS_MAX };
        for weak in [Cost::Sha512, scram(NEW_ITERATIONS - 1), pbkdf2, argon2id(19_456, 1), argon2id(64, 10_000)] {
            assert!(weak.is_weaker_than_new(), "{weak:?}");
        }
    }
}
