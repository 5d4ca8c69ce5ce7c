//! Whom a connection acts for, and whose a session is.

use core::net::IpAddr;
use std::sync::Arc;

use super::claims::Claims;

/// What the rules may ask of a certificate that a client has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// SHA-256 of the whole of it.
    pub fingerprint: [u8; 32],
    /// The common name of its subject.
    pub common_name: CommonName,
}

/// What is known of a certificate's common name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommonName {
    /// It has none.
    None,
    /// It has this one and no other.
    One(Box<str>),
    /// It has several, or one that is no plain text: nobody can say whom it means. Rules take it for unknown.
    Unclear,
}

/// A proven identity. Shared by reference count; it does not change while a connection lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name that was proven; none for a client that proved nothing.
    pub user: Option<Box<str>>,
    /// How it was proven: `anonymous`, `password`, `scram`, `token`, `certificate`, `hook`.
    pub method: &'static str,
    /// The groups that the authenticator puts it into.
    pub groups: Vec<Box<str>>,
    /// Whether no rule applies to it.
    pub is_superuser: bool,
    /// Stays the same as long as that by which it was proven does; 0 where nothing of the kind is kept.
    pub mark: u64,
    /// Where it comes from; unknown where no rule asks for it, and to a session that was read from disk.
    pub address: Option<IpAddr>,
    /// The certificate that its connection showed, if there was one.
    pub certificate: Option<Box<Shown>>,
    /// Whether address and certificate, or that there is none, are those of a connection. To a session that was read from disk they are not.
    pub is_placed: bool,
    /// Until when it is proven, in seconds since 1970: its connection ends then. A session goes on without it, as it does without a connection.
    pub expires_at: Option<u64>,
    /// What it may do at the most, whatever rules allow; none where nobody has said so, and to a session that was read from disk.
    pub claims: Option<Arc<Claims>>,
}

impl Identity {
    /// The identity of everybody who proved nothing.
    pub const fn anonymous() -> Self {
        Self {
            user: None,
            method: "anonymous",
            groups: Vec::new(),
            is_superuser: false,
            address: None,
            certificate: None,
            is_placed: false,
            mark: 0,
            expires_at: None,
            claims: None,
        }
    }

    /// A user in no group.
    pub fn user(name: &str, method: &'static str) -> Self {
        Self { user: Some(name.into()), method, ..Self::anonymous() }
    }

    /// Whether it proved nothing.
    pub const fn is_anonymous(&self) -> bool {
        self.user.is_none()
    }

    /// Whether it is known what certificate it showed, if any. A socket in the file system has no address, yet nobody shows a certificate there.
    pub const fn is_certificate_known(&self) -> bool {
        self.is_placed || self.certificate.is_some() || self.address.is_some()
    }

    /// Whether the authenticator put it into this group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| **own == *group)
    }

    /// Whether a session of one may be resumed, taken over or wiped by the other.
    ///
    /// The name decides, as it does for the rules: a user who changes from a password to a certificate keeps the session. A
    /// client that proved nothing never reaches the session of one that did, nor the reverse.
    pub fn same_owner(&self, other: &Self) -> bool {
        self.user == other.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_4_a_session_belongs_to_the_identity_that_made_it() {
        let alice = Identity::user("alice", "password");
        assert!(alice.same_owner(&Identity::user("alice", "certificate")));
        for other in
            [Identity::user("bob", "password"), Identity::user("Alice", "password"), Identity::user("", "password")]
        {
            assert!(!alice.same_owner(&other) && !other.same_owner(&alice), "{other:?}");
        }
    }

    #[test]
    fn threat_4_a_client_without_a_name_owns_only_nameless_sessions() {
        let nobody = Identity::anonymous();
        assert!(nobody.same_owner(&Identity::anonymous()));
        for named in [
            Identity::user("alice", "password"),
            Identity::user("", "password"),
            Identity::user("anonymous", "password"),
        ] {
            assert!(!nobody.same_owner(&named) && !named.same_owner(&nobody), "{named:?}");
        }
    }

    #[test]
    fn groups_are_compared_whole() {
        let mut alice = Identity::user("alice", "password");
        alice.groups = vec!["staff".into()];
        assert!(alice.is_in("staff"));
        assert!(!alice.is_in("sta") && !alice.is_in("") && !alice.is_in("#"));
    }
}
