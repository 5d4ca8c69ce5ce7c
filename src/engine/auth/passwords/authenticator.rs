//! The link of a chain that knows the users of one password file.

use core::fmt;
use core::hint::black_box;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::PasswordsError;
use super::hash::Hash;
use super::proof::{Proven, Prover, SECRET_BYTES};
use super::strangers::Strangers;
use super::text::{Entry, entries};
use crate::engine::auth::exchange::Exchange;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::scram::{self, server::Scram};
use crate::engine::auth::{Authenticator, Credentials, Verdict};
use crate::mqtt::reason::Reason;

/// The users of one password file. Shared by all shards; a file that has changed is another value. Of what was proven to the old one only
/// that counts for it which was proven to a hash that is still its user's.
///
/// Whoever gives a user name is judged here, and nobody behind it in the chain is asked. Whoever gives none is left to the others: with
/// [`Anonymous`](crate::engine::auth::policy::Anonymous) before or behind it, those come in without a name who give neither name nor password,
/// and nobody else.
///
/// Users whose line has the keys of SCRAM may prove their password in an exchange of that method; in CONNECT they may send it like others.
pub struct Passwords {
    users: BTreeMap<Box<str>, User>,
    /// What a stranger's password is compared with.
    strangers: Strangers,
    prover: Prover,
    /// The users who may take part in an exchange; none where there is nobody.
    scram: Option<Arc<Scram>>,
}

struct User {
    hash: Hash,
    proven: Proven,
}

impl Passwords {
    /// Reads a file. The secret is drawn for this reading; what was proven is remembered under it, and nothing was yet.
    pub fn parse(text: &[u8], secret: &[u8; SECRET_BYTES]) -> Result<Self, PasswordsError> {
        let entries = entries(text)?;
        let may_exchange = |entry: &Entry<'_>| Some((entry.name.as_str().into(), entry.hash.scram()?));
        let scram = Scram::new(entries.iter().filter_map(may_exchange).collect(), secret).map(Arc::new);
        let user = |hash| User { hash, proven: Proven::default() };
        let users: BTreeMap<Box<str>, User> =
            entries.into_iter().map(|entry| (entry.name.as_str().into(), user(entry.hash))).collect();
        let strangers = Strangers::new(users.values().map(|user| &user.hash)).ok_or(PasswordsError::NoUser)?;
        Ok(Self { users, strangers, prover: Prover::new(secret), scram })
    }

    /// Reads the file anew. What was proven stays proven for those whose hash has stayed the same, and for nobody else: so it is remembered
    /// under the secret of before. The new one is for conversations: what they were asked under the old one never comes again.
    pub fn parse_after(text: &[u8], secret: &[u8; SECRET_BYTES], before: &Self) -> Result<Self, PasswordsError> {
        let mut after = Self { prover: before.prover.clone(), ..Self::parse(text, secret)? };
        for (name, user) in &mut after.users {
            if let Some(known) = before.users.get(name).filter(|known| known.hash == user.hash) {
                user.proven = known.proven.clone();
            }
        }
        Ok(after)
    }

    /// How many users there are.
    pub fn users_count(&self) -> usize {
        self.users.len()
    }

    /// Whether it is one of the users who offers the right password. Costs one hash: the user's own, or for a stranger one that some user has.
    fn is_right(&self, name: &str, verify: impl Fn(&Hash) -> bool) -> bool {
        let decoy = self.strangers.decoy(name); // also for a user, who takes as long
        let user = self.users.get(name);
        // What comes out for a stranger does not count: nobody of this name has the hash.
        let is_right = black_box(verify(user.map_or(decoy, |user| &user.hash)));
        is_right && user.is_some()
    }
}

impl Authenticator for Passwords {
    /// What was proven before is known at once. All others wait for [`work`](Self::work), strangers as well.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Some(name) = credentials.user_name else { return Verdict::Abstain };
        let Some(password) = credentials.password else { return refusal() };
        let offered = self.prover.prove(name, password);
        match self.users.get(name) {
            Some(user) if user.proven.is(offered.as_ref()) => admission(name, user),
            Some(_) | None => Verdict::Later,
        }
    }

    fn knows(&self, identity: &Identity) -> bool {
        let user = identity.user.as_ref().and_then(|name| self.users.get(name));
        matches!(identity.method, METHOD | scram::PROVEN_BY)
            && user.is_some_and(|user| user.hash.mark() == identity.mark)
    }

    fn work(&self, credentials: &Credentials<'_>) -> Verdict {
        let (Some(name), Some(password)) = (credentials.user_name, credentials.password) else { return refusal() };
        let user = self.users.get(name);
        let offered = self.prover.prove(name, password);
        // While this one waited for a helper thread, another may have proven the same.
        if let Some(user) = user.filter(|user| user.proven.is(offered.as_ref())) {
            return admission(name, user);
        }
        let is_right = self.is_right(name, |hash| hash.verify(password));
        let Some(user) = user.filter(|_| is_right) else { return refusal() };
        if let Some(proof) = offered {
            user.proven.keep(proof);
        }
        admission(name, user)
    }

    fn exchange(&self, method: &str) -> Option<Box<dyn Exchange>> {
        self.scram.as_ref()?.exchange(method)
    }
}

/// What identities say that were proven here.
const METHOD: &str = "password";

fn admission(name: &str, user: &User) -> Verdict {
    Verdict::Allow(Arc::new(Identity { mark: user.hash.mark(), ..Identity::user(name, METHOD) }))
}

const fn refusal() -> Verdict {
    Verdict::Deny(Reason::BadUserNameOrPassword)
}

/// How many users there are, and nothing of what they prove.
impl fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Passwords").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
