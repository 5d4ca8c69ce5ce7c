//! A table of users and their passwords in plain text, for tests and examples.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use super::identity::Identity;
use super::{Authenticator, Credentials, Verdict};
use crate::mqtt::reason::Reason;

/// Users with plain passwords. It knows only those that were added and abstains from all others.
#[derive(Default)]
pub struct Users {
    users: BTreeMap<Box<str>, User>,
}

struct User {
    password: Box<[u8]>,
    identity: Arc<Identity>,
}

impl Users {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, in no group.
    #[must_use]
    pub fn with(self, name: &str, password: &str) -> Self {
        self.with_identity(Identity::user(name, "password"), password)
    }

    /// Adds a user with all that is known of it.
    ///
    /// # Panics
    /// When the identity has no name.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity, password: &str) -> Self {
        let name = identity.user.clone().expect("a user has a name");
        let user = User { password: password.as_bytes().into(), identity: Arc::new(identity) };
        self.users.insert(name, user);
        self
    }
}

impl Authenticator for Users {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Some(user) = credentials.user_name.and_then(|name| self.users.get(name)) else {
            return Verdict::Abstain;
        };
        match credentials.password {
            Some(password) if is_equal(&user.password, password) => Verdict::Allow(Arc::clone(&user.identity)),
            Some(_) | None => Verdict::Deny(Reason::BadUserNameOrPassword),
        }
    }

    fn takes_time(&self) -> bool {
        false
    }

    fn knows(&self, identity: &Identity) -> bool {
        identity.user.as_ref().and_then(|name| self.users.get(name)).is_some_and(|user| *user.identity == *identity)
    }
}

/// Compares in a time that depends on the length of what was offered, not on where it differs.
fn is_equal(secret: &[u8], offered: &[u8]) -> bool {
    let mut difference = u8::from(secret.len() != offered.len());
    for (at, byte) in offered.iter().enumerate() {
        let expected = secret.get(at).copied().unwrap_or(0);
        difference = black_box(difference | (byte ^ expected));
    }
    difference == 0
}

/// The names, never the passwords.
impl std::fmt::Debug for Users {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.users.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_equal() {
        assert!(is_equal(b"secret", b"secret") && is_equal(b"", b""));
        for wrong in [&b"secreT"[..], b"Secret", b"secre", b"secret0", b"secret\0", b""] {
            assert!(!is_equal(b"secret", wrong), "{wrong:?}");
        }
        assert!(!is_equal(b"", b"\0"));
    }

    #[test]
    fn passwords_are_not_printed() {
        let users = Users::new().with("alice", "hunter2");
        assert_eq!(format!("{users:?}"), r#"{"alice"}"#);
    }
}
