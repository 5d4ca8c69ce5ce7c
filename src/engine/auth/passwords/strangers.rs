//! What a stranger's password is compared with: a hash that some user of the file has, so that no time tells who is in it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::hash::Hash;

/// The hashes that strangers' passwords are compared with. One for each file that is read.
///
/// A name always meets the same one, and of many names as many meet a kind of hash as users have it. Whoever adds or removes a user changes
/// that for few names; the secret is the hash of the first user, so that it is the same after a restart, and nobody who has to ask knows it.
pub(super) struct Strangers {
    secret: Hmac<Sha256>,
    /// One hash of each cost, the cheapest first.
    decoys: Box<[Decoy]>,
    users: u64,
}

struct Decoy {
    hash: Hash,
    /// How many users have a hash of this cost, or of one before.
    upto: u64,
}

impl Strangers {
    /// By the hashes of all users, in the order of their names; none where there is no user.
    pub(super) fn new<'a>(hashes: impl Iterator<Item = &'a Hash>) -> Option<Self> {
        let mut hashes: Vec<&Hash> = hashes.collect();
        let secret = hashes.first()?.to_string();
        let secret = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        hashes.sort_by_key(|hash| hash.rank());
        let mut upto = 0;
        let decoys = hashes.chunk_by(|one, other| one.rank() == other.rank()).map(|alike| {
            upto += alike.len() as u64;
            Decoy { hash: alike[0].clone(), upto }
        });
        let decoys = decoys.collect();
        Some(Self { secret, decoys, users: upto })
    }

    /// What the password of somebody with this name is compared with, if there is no such user.
    pub(super) fn decoy(&self, name: &str) -> &Hash {
        let mut secret = self.secret.clone();
        secret.update(name.as_bytes());
        let drawn: [u8; 32] = secret.finalize().into_bytes().into();
        let drawn = u64::from_le_bytes(*drawn.first_chunk().expect("a digest has 32 bytes"));
        // A part of all users, not a remainder: one user more moves few names to another place.
        let place = (u128::from(drawn) * u128::from(self.users)) >> 64;
        let decoy = self.decoys.iter().find(|decoy| u128::from(decoy.upto) > place);
        &decoy.expect("the last one is that of all users").hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(iterations: u32, letter: char) -> Hash {
        let digest: String = std::iter::repeat_n(letter, 86).collect();
        Hash::parse(&format!("$7${iterations}$AAECAwQFBgcICQoL${digest}==")).unwrap()
    }

    fn steps(strangers: &Strangers, name: u32) -> u32 {
        strangers.decoy(&format!("stranger {name}")).steps()
    }

    #[test]
    fn as_many_strangers_meet_a_kind_of_hash_as_users_have_it() {
        let hashes = [hash(101, 'A'), hash(5_000, 'Q'), hash(101, 'g'), hash(101, 'w')];
        let strangers = Strangers::new(hashes.iter()).unwrap();
        let slow = (0..4_000).filter(|name| steps(&strangers, *name) == 5_000).count();
        assert!((900..1_100).contains(&slow), "{slow}");
        assert_eq!(strangers.decoys.len(), 2, "one for each kind");
    }

    #[test]
    fn a_stranger_meets_the_same_hash_after_a_restart_and_nearly_always_after_a_change() {
        let mut hashes: Vec<Hash> = (0..100).map(|user| hash(if user % 2 == 0 { 101 } else { 5_000 }, 'A')).collect();
        let before = Strangers::new(hashes.iter()).unwrap();
        let again = Strangers::new(hashes.iter()).unwrap();
        hashes.push(hash(5_000, 'Q'));
        let after = Strangers::new(hashes.iter()).unwrap();
        let mut changed = 0;
        for name in 0..2_000 {
            assert_eq!(steps(&before, name), steps(&again, name));
            changed += u32::from(steps(&before, name) != steps(&after, name));
        }
        assert!(changed < 40, "{changed} of 2,000 names tell that they are strangers");
        assert!(Strangers::new([].iter()).is_none());
    }
}
