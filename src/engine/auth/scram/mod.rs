//! SCRAM-SHA-256 for enhanced authentication: a client proves that it knows a password, and the broker that it knows the client.
//!
//! | file            | what                                                                   |
//! |-----------------|------------------------------------------------------------------------|
//! | [`preparation`] | names and passwords that look the same become the same                 |
//! | [`keys`]        | what is kept of a password, and the proofs that come of it             |
//! | [`message`]     | what the client says, read; what the broker says, written              |
//! | [`server`]      | the users of one file, what strangers are told, and one conversation   |
//!
//! RFC 5802 and RFC 7677. The client's two messages and the broker's two ride in CONNECT, AUTH, AUTH and the last packet:
//! ```text
//! CONNECT  n,,n=alice,r=rOprNGfwEbeRWgbNEkqO
//! AUTH     r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096
//! AUTH     c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
//! CONNACK  v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
//! ```
//! The slow hash is the client's work; the broker's is a few HMACs, so every step is answered at once.
//!
//! Invariants worth naming:
//! - A stranger is asked the same question as a user, the same one each time, and is refused where a user with a wrong password is.
//! - A nonce of ours comes once: it is a counter under a secret.
//! - What is compared with a secret is compared in constant time, and nothing secret is printed.
//!
//! Not here, and why: channel binding (no transport hands one down, so `p=` is refused and `SCRAM-SHA-256-PLUS` is not known), the file
//! that the users stand in (`passwords` reads it and makes a [`Scram`](server::Scram) of those that can take part).

pub mod keys;
pub mod message;
pub mod preparation;
pub mod server;

/// The name of the method in CONNECT and AUTH.
pub const METHOD: &str = "SCRAM-SHA-256";
/// What identities say that were proven so.
pub const PROVEN_BY: &str = "scram";
