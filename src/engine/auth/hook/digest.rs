//! What stands for a question where answers are remembered: a digest of all of it, under a secret.

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// The digest of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// What a question is about: the same words may mean two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Who a client is.
    Client,
    /// What it may do.
    Action,
}

/// Makes digests. The secret is drawn anew whenever all that is remembered is to be forgotten.
#[derive(Clone)]
pub struct Digester(Hmac<Sha256>);

impl Digester {
    /// By this secret, from a source that nobody can guess.
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// The digest of a question.
    pub fn digest(&self, topic: Topic, question: &[u8]) -> Digest {
        let mut hmac = self.0.clone();
        hmac.update(match topic {
            Topic::Client => b"c",
            Topic::Action => b"a",
        });
        hmac.update(question);
        Digest(hmac.finalize().into_bytes().into())
    }
}

/// Nothing of the secret.
impl fmt::Debug for Digester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Digester").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_question_another_topic_and_another_secret_are_another_digest() {
        let digester = Digester::new(&[7; SECRET_BYTES]);
        let one = digester.digest(Topic::Client, b"question");
        assert_eq!(one, digester.digest(Topic::Client, b"question"));
        assert_ne!(one, digester.digest(Topic::Action, b"question"));
        assert_ne!(one, digester.digest(Topic::Client, b"questioN"));
        assert_ne!(one, Digester::new(&[8; SECRET_BYTES]).digest(Topic::Client, b"question"));
        assert!(!format!("{digester:?}").contains('7'));
    }
}
