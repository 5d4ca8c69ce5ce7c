//! What is kept of a password: two keys, of which neither is the password nor lets its owner in.
//!
//! ```text
//! salted = PBKDF2-HMAC-SHA256(prepared password, salt, iterations)
//! client = HMAC(salted, "Client Key")     stored = SHA-256(client)     server = HMAC(salted, "Server Key")
//! proof  = client XOR HMAC(stored, all that was said)     signature = HMAC(server, all that was said)
//! ```
//! Kept are `stored`, by which a proof is checked, and `server`, by which we sign.

use core::fmt;
use core::ops::RangeInclusive;

use hmac::{Hmac, KeyInit as _, Mac as _};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::preparation::key_bytes;

/// Bytes of a key, a proof and a signature.
pub const KEY_BYTES: usize = 32;
/// Iterations that a user may have. RFC 7677 says 4,096 at least; beyond the maximum a small client does not answer within the time that a
/// handshake has.
pub const ITERATIONS: RangeInclusive<u32> = 4_096..=600_000;
/// Iterations of a new user: what OWASP asks of PBKDF2 with HMAC-SHA256.
pub const NEW_ITERATIONS: u32 = 600_000;

const _: () = assert!(*ITERATIONS.start() <= NEW_ITERATIONS && NEW_ITERATIONS <= *ITERATIONS.end());

/// The two keys of a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    stored: [u8; KEY_BYTES],
    server: [u8; KEY_BYTES],
}

/// What the broker knows of a user: how its keys come from its password, and the keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// In `ITERATIONS`.
    pub iterations: u32,
    /// Drawn for this user.
    pub salt: Box<[u8]>,
    /// What came of it.
    pub keys: Keys,
}

impl Keys {
    /// The same for the same keys, and hardly ever for others.
    pub fn mark(&self) -> u64 {
        let start: [u8; 8] = self.stored[..8].try_into().expect("a key is longer");
        u64::from_le_bytes(start)
    }

    /// The keys of a password, as a client computes them. Slow.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let mut salted = [0; KEY_BYTES];
        pbkdf2_hmac::<Sha256>(&key_bytes(password), salt, iterations, &mut salted);
        let client = hmac(&salted, &[b"Client Key"]);
        Self { stored: Sha256::digest(client).into(), server: hmac(&salted, &[b"Server Key"]) }
    }

    /// Keys that were kept.
    pub const fn new(stored: [u8; KEY_BYTES], server: [u8; KEY_BYTES]) -> Self {
        Self { stored, server }
    }

    /// The key that proofs are checked by.
    pub const fn stored(&self) -> &[u8; KEY_BYTES] {
        &self.stored
    }

    /// The key that signatures are made with.
    pub const fn server(&self) -> &[u8; KEY_BYTES] {
        &self.server
    }

    /// Whether who gives this proof knows the password. In constant time.
    #[must_use]
    pub fn are_proven(&self, said: &[&[u8]], proof: &[u8; KEY_BYTES]) -> bool {
        let mut client = hmac(&self.stored, said);
        client.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
        Sha256::digest(client).as_slice().ct_eq(&self.stored).into()
    }

    /// The proof that we know the user.
    pub fn signature(&self, said: &[&[u8]]) -> [u8; KEY_BYTES] {
        hmac(&self.server, said)
    }
}

/// HMAC-SHA256 of all parts behind each other.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

/// Nothing of the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// What it costs to guess, and nothing else.
impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The example of RFC 7677, section 3.
    const SAID: &[u8] = b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn the_proofs_of_the_standard_hold_and_no_others() {
        let keys = Keys::derive(b"pencil", &bytes("W22ZaJ0SNY7soEsUEjb6gQ=="), 4_096);
        let proof: [u8; KEY_BYTES] = bytes("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").try_into().unwrap();
        assert!(keys.are_proven(&[SAID], &proof));
        assert!(keys.are_proven(&[&SAID[..10], &SAID[10..]], &proof), "where it is cut does not count");
        assert_eq!(keys.signature(&[SAID]).to_vec(), bytes("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!keys.are_proven(&[&SAID[1..]], &proof));
        for at in 0..KEY_BYTES {
            let mut wrong = proof;
            wrong[at] ^= 1;
            assert!(!keys.are_proven(&[SAID], &wrong), "{at}");
        }
        for wrong in [&b"Pencil"[..], b"pencil ", b""] {
            assert!(!Keys::derive(wrong, &bytes("W22ZaJ0SNY7soEsUEjb6gQ=="), 4_096).are_proven(&[SAID], &proof));
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = Keys::new([7; KEY_BYTES], [8; KEY_BYTES]);
        let credential = Credential { iterations: 4_096, salt: [9; 16].into(), keys };
        assert_eq!(format!("{keys:?} {credential:?}"), "Keys { .. } Credential { iterations: 4096, .. }");
    }
}
