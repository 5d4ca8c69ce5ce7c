//! Tokens: somebody whom the operator trusts has signed who a client is, and until when.
//!
//! | file              | what                                                               |
//! |-------------------|--------------------------------------------------------------------|
//! | [`authenticator`] | the link of a chain that takes tokens                              |
//! | [`compact`]       | the three parts of a token, and what its header asks for           |
//! | [`algorithm`]     | the ways of signing                                                |
//! | [`keys`]          | whose signature counts, and by which way                           |
//! | [`jwk`]           | keys read from a JSON Web Key Set                                  |
//! | [`pem`]           | keys read from PEM                                                 |
//! | [`terms`]         | what claims must say, and whom they make of a client               |
//! | [`refresh`]       | when keys are fetched again, and how long they hold                |
//! | [`json`]          | JSON without doubt: no name twice, nothing deep                    |
//! | [`fault`]         | what is wrong with a token, and with keys                          |
//!
//! RFC 7515 (signatures), 7517 (keys), 7518 and 8037 (algorithms), 7519 (claims), and what RFC 8725 advises.
//!
//! Invariants worth naming:
//! - The key says by which algorithms it is used; the header of a token only chooses among them. So no public key is ever a shared secret, and
//!   `none` is no algorithm.
//! - Nothing that a token says is believed before its signature holds, but the name of its key, which is compared.
//! - A token without an end is refused unless the operator says otherwise, and where nobody knows what time it is all are.
//!
//! Not here, and why: fetching keys (`shell::web` does, and their text comes as a value), encrypted tokens (the way to the broker is what is to be encrypted), and what comes
//! of rights in a claim: `terms` reads them into the [claims](super::claims) of an identity.

pub mod algorithm;
pub mod authenticator;
pub mod compact;
pub mod fault;
pub mod json;
pub mod jwk;
pub mod keys;
pub mod pem;
pub mod refresh;
pub mod terms;

#[cfg(test)]
pub(crate) mod samples;
