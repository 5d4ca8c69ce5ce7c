//! What was proven since the file was read: a digest under a secret, so that a reconnect costs a microsecond instead of a hash.
//!
//! A password is never kept. Whoever reads the memory of the process finds the digest *and* the secret, and can then guess fast, as if
//! the password had been hashed once only; but there, passwords themselves come by with each CONNECT.

use core::fmt;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// Bytes of name and password together that are remembered: longer ones are verified each time, away from the shards.
const REMEMBERED_BYTES_MAX: usize = 1024;

/// The digest of a name and a password under the secret.
#[derive(Clone)]
pub(super) struct Proof([u8; 32]);

/// Makes proofs. One for each file that is read.
#[derive(Clone)]
pub(super) struct Prover(Hmac<Sha256>);

impl Prover {
    /// The secret is drawn for this value alone, from a source that nobody can guess.
    pub(super) fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// The proof of what somebody offers; none where it is too long to be remembered.
    pub(super) fn prove(&self, name: &str, password: &[u8]) -> Option<Proof> {
        if name.len() + password.len() > REMEMBERED_BYTES_MAX {
            return None;
        }
        let mut hmac = self.0.clone();
        hmac.update(&name.len().to_le_bytes()); // where the name ends: `ab` and `c` are not `a` and `bc`
        hmac.update(name.as_bytes());
        hmac.update(password);
        Some(Proof(hmac.finalize().into_bytes().into()))
    }
}

/// The proof that a user has given; empty until then. A user has one password, so it is written once and never replaced: the bound of
/// all is the number of users.
#[derive(Clone, Default)]
pub(super) struct Proven(OnceLock<Proof>);

impl Proven {
    /// Whether this was proven before, in constant time.
    pub(super) fn is(&self, offered: Option<&Proof>) -> bool {
        let (Some(proven), Some(offered)) = (self.0.get(), offered) else { return false };
        proven.0.ct_eq(&offered.0).into()
    }

    /// Keeps what the hash has proven. Of two at a time the first is kept: both prove the same.
    pub(super) fn keep(&self, proof: Proof) {
        self.0.get_or_init(|| proof);
    }
}

/// Nothing of the secret.
impl fmt::Debug for Prover {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Prover").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_proven_again_and_nothing_else() {
        let prover = Prover::new(&[7; 32]);
        let alice = Proven::default();
        let is_proven = |name, password: &[u8]| alice.is(prover.prove(name, password).as_ref());
        assert!(!is_proven("alice", b"secret"), "nothing was proven yet");
        alice.keep(prover.prove("alice", b"secret").unwrap());
        assert!(is_proven("alice", b"secret"));
        for (name, password) in [("alice", "secreT"), ("alices", "ecret"), ("alic", "esecret"), ("", "alicesecret")] {
            assert!(!is_proven(name, password.as_bytes()), "{name}");
        }
        let other = Prover::new(&[8; 32]);
        assert!(!alice.is(other.prove("alice", b"secret").as_ref()), "the secret counts");
    }

    #[test]
    fn what_is_too_long_is_never_remembered() {
        let prover = Prover::new(&[7; 32]);
        let longest = [b'x'; REMEMBERED_BYTES_MAX - 1];
        assert!(prover.prove("a", &longest).is_some() && prover.prove("ab", &longest).is_none());
        let alice = Proven::default();
        alice.keep(prover.prove("a", &longest).unwrap());
        assert!(!alice.is(None), "what has no proof has proven nothing");
    }
}
