//! Password files: users and the hashes of their passwords or the keys of SCRAM, as mosquitto writes them and as `pregon passwd` does.
//!
//! | file              | what                                                              |
//! |-------------------|-------------------------------------------------------------------|
//! | [`authenticator`] | the link of a chain that knows the users of one file              |
//! | [`text`]          | the lines of a file: read, put in, taken out                      |
//! | [`name`]          | what a line can begin with                                        |
//! | [`hash`]          | a hash: read, written, made, compared with a password             |
//! | `cost`            | the schemes behind it and what they cost, with the bounds         |
//! | `proof`           | what was proven since the file was read                           |
//! | `strangers`       | what a stranger's password is compared with                       |
//! | [`fault`]         | what is wrong with a file, by line and reason                     |
//!
//! Invariants worth naming:
//! - A text with one line that cannot be read, with a user twice, or without any user, lets nobody in: there is no part of a file.
//! - Each attempt computes one hash: a user's its own, a stranger's one that some user has, always the same one for the same name.
//! - What was proven is remembered by the value that one file became, and goes with it.
//! - No error and no debug output has a hash, a salt or a password in it.
//!
//! Not here, and why: reading and replacing files (`cli`, and the shell), salts and secrets (they are drawn above and come as
//! values), helper threads (the shell calls [`work`](super::Authenticator::work)), bounds on attempts (the shard knows who asks).

pub mod authenticator;
mod cost;
pub mod fault;
pub mod hash;
pub mod name;
mod proof;
mod strangers;
pub mod text;

pub use proof::SECRET_BYTES;
