//! What is wrong with a password file, by line and reason, and never with a word of a hash.

use super::cost::{FILLED_KIB_MAX, ITERATIONS_MAX, MEMORY_KIB_MAX};
use super::hash::{ARGON2_DIGEST_BYTES, SALT_BYTES, SHA512_BYTES};
use super::name::NameFault;
use super::text::FILE_BYTES_MAX;
use crate::engine::auth::scram::keys::{ITERATIONS as SCRAM_ITERATIONS, KEY_BYTES};

/// A text that is no password file.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordsError {
    /// It is not looked at.
    #[error("a password file has at most {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// Nobody could come in: such a file was cut, or never written.
    #[error("it has no user")]
    NoUser,
    /// A line that is neither a user, nor a comment, nor empty.
    #[error("line {line}: {fault}")]
    Line {
        /// Which line, counted from one.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
}

/// What is wrong with a line.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum LineFault {
    #[error("it is not UTF-8")]
    NotText,
    #[error("no colon stands between a name and a hash")]
    NoColon,
    #[error("{0}")]
    Name(#[from] NameFault),
    #[error("{0}")]
    Hash(#[from] HashFault),
    #[error("the name of a user of SCRAM is not as SASLprep leaves it, so nobody could be found by it")]
    Unprepared,
    #[error("this user has a line already, {first}")]
    Twice { first: usize },
}

/// What is wrong with a hash.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum HashFault {
    #[error("the user has no hash")]
    Missing,
    #[error("the hash begins with none of $argon2id$, $scram-sha-256$, $7$ and $6$")]
    Scheme,
    #[error("the hash has too few or too many parts")]
    Parts,
    #[error("the iterations are no number from 1 to {ITERATIONS_MAX}")]
    Iterations,
    #[error("the iterations of SCRAM are no number from {} to {}", SCRAM_ITERATIONS.start(), SCRAM_ITERATIONS.end())]
    ScramIterations,
    #[error("only version 19 of Argon2 is known, v=19")]
    Version,
    #[error(
        "the costs of Argon2 are not m=...,t=...,p=..., with 8 KiB a lane at least, {MEMORY_KIB_MAX} KiB at most, and {FILLED_KIB_MAX} KiB \
         times passes"
    )]
    Argon2,
    #[error("the salt is not {} to {} bytes in base64", SALT_BYTES.start(), SALT_BYTES.end())]
    Salt,
    #[error("the keys of SCRAM are not two of {KEY_BYTES} bytes in base64")]
    Keys,
    #[error(
        "the digest is not base64 of {SHA512_BYTES} bytes, for Argon2 of {} to {}",
        ARGON2_DIGEST_BYTES.start(),
        ARGON2_DIGEST_BYTES.end()
    )]
    Digest,
}

/// Why no keys of SCRAM can be made.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum MakingFault {
    #[error("{}", LineFault::Unprepared)]
    Name,
    #[error("the password is not UTF-8 that SASLprep takes, so no client could prove it")]
    Password,
    #[error("{}", HashFault::ScramIterations)]
    Iterations,
}
