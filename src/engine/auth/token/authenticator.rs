//! The link of a chain that takes tokens.

use std::sync::Arc;

use super::compact::Compact;
use super::fault::TokenFault;
use super::keys::Keys;
use super::terms::Terms;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Authenticator, Credentials, Verdict};

/// Whoever comes with a token. Shared by all shards; other keys or terms are another value.
///
/// What is no token is left to the others in the chain, so that passwords can stand beside tokens; what is one and does not hold is refused,
/// whatever they would say. Most signatures cost less than the way to a helper thread and are checked at once; those on P-384, by very
/// large RSA keys, or where several public keys may have to be tried, are put off.
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    terms: Terms,
}

impl Tokens {
    /// Tokens that were signed by these keys and meet these terms.
    pub const fn new(keys: Keys, terms: Terms) -> Self {
        Self { keys, terms }
    }

    /// How many keys there are.
    pub const fn keys_count(&self) -> usize {
        self.keys.keys_count()
    }

    /// Whom the token makes of this client, or what is wrong with it.
    pub fn judge(&self, credentials: &Credentials<'_>) -> Result<Identity, TokenFault> {
        self.judge_token(&self.terms.token(credentials)?, credentials)
    }

    /// Whether there may be a key for this token: one of its name, or where it names none, or no key has a name. What is no token needs none.
    pub fn have_key_for(&self, credentials: &Credentials<'_>) -> bool {
        let Ok(token) = self.terms.token(credentials) else { return true };
        self.keys.are_for(token.algorithm, token.key_id.as_deref())
    }

    /// Whether the token names a key, and none of these is called so.
    pub fn miss_key_of(&self, credentials: &Credentials<'_>) -> bool {
        let Ok(token) = self.terms.token(credentials) else { return false };
        token.key_id.is_some_and(|id| !self.keys.have_name(&id))
    }

    /// Whether one of the keys has signed this.
    pub fn verify(&self, token: &Compact<'_>) -> Result<(), TokenFault> {
        self.keys.verify(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature)
    }

    fn judge_token(&self, token: &Compact<'_>, credentials: &Credentials<'_>) -> Result<Identity, TokenFault> {
        self.verify(token)?;
        self.terms.identity(&token.claims()?, credentials)
    }
}

impl Authenticator for Tokens {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let token = match self.terms.token(credentials) {
            Ok(token) => token,
            Err(fault) => return refusal(fault),
        };
        if !self.keys.are_quick(token.algorithm, token.key_id.as_deref()) {
            return Verdict::Later;
        }
        verdict(self.judge_token(&token, credentials))
    }

    fn work(&self, credentials: &Credentials<'_>) -> Verdict {
        verdict(self.judge(credentials))
    }

    /// What was signed holds until its own end: keys come and go while the tokens of before are good.
    fn knows(&self, identity: &Identity) -> bool {
        identity.method == METHOD
    }
}

/// What identities say that were proven here.
pub const METHOD: &str = "token";

fn verdict(judged: Result<Identity, TokenFault>) -> Verdict {
    match judged {
        Ok(identity) => Verdict::Allow(Arc::new(identity)),
        Err(fault) => refusal(fault),
    }
}

fn refusal(fault: TokenFault) -> Verdict {
    if fault == TokenFault::NoToken { Verdict::Abstain } else { Verdict::Deny(fault.reason()) }
}

#[cfg(test)]
mod tests;
