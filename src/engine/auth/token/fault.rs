//! What is wrong with a token, and with keys; never with a word of either.

use super::compact::TOKEN_BYTES_MAX;
use super::json::JsonFault;
use super::keys::{KEYS_BYTES_MAX, KEYS_MAX, KEYS_TRIED_MAX, RSA_BYTES};
use super::terms::{FILTERS_MAX, GROUPS_MAX, NAME_BYTES_MAX};
use crate::mqtt::reason::Reason;

/// Why a token lets nobody in.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum TokenFault {
    #[error("it is none of three parts in base64url, with a header of JSON, of {TOKEN_BYTES_MAX} bytes at most")]
    NoToken,
    #[error("the header: {0}")]
    Header(JsonFault),
    #[error("the header has a name or type that is no text, or another type than JWT")]
    HeaderValue,
    #[error("the header names no algorithm that is known")]
    Algorithm,
    #[error("the header has extensions that must be understood")]
    Critical,
    #[error("no key has the name that the token gives")]
    UnknownKey,
    #[error("the key is not for this algorithm")]
    OtherAlgorithm,
    #[error("the token names no key, and more than {KEYS_TRIED_MAX} would have to be tried")]
    ManyKeys,
    #[error("the signature does not hold")]
    Signature,
    #[error("the claims are not in base64url")]
    ClaimsEncoding,
    #[error("the claims: {0}")]
    Claims(JsonFault),
    #[error("exp, nbf or iat is no number of seconds between 1970 and 9999")]
    Date,
    #[error("it has no end, exp")]
    Endless,
    #[error("it has ended")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("somebody else has issued it")]
    Issuer,
    #[error("it was issued for somebody else")]
    Audience,
    #[error("it names no user of 1 to {NAME_BYTES_MAX} bytes without control characters")]
    User,
    #[error("the user name in CONNECT is another one")]
    UserName,
    #[error("it was issued for another client identifier")]
    ClientId,
    #[error("its groups are no list of at most {GROUPS_MAX} texts of 1 to {NAME_BYTES_MAX} bytes")]
    Groups,
    #[error(
        "its rights are no object of `pub` and `sub`, each a list of at most {FILTERS_MAX} filters as rules have them"
    )]
    Rights,
    #[error("nobody has set the clock")]
    NoClock,
}

impl TokenFault {
    /// What the client is told. The token stands where a password does, so it is as wrong as a wrong password; only what is right and does not
    /// go with this client is not authorised.
    pub const fn reason(self) -> Reason {
        match self {
            Self::ClientId => Reason::NotAuthorized,
            Self::NoClock => Reason::ServerUnavailable,
            Self::NoToken
            | Self::Header(_)
            | Self::HeaderValue
            | Self::Algorithm
            | Self::Critical
            | Self::UnknownKey
            | Self::OtherAlgorithm
            | Self::ManyKeys
            | Self::Signature
            | Self::ClaimsEncoding
            | Self::Claims(_)
            | Self::Date
            | Self::Endless
            | Self::Expired
            | Self::Early
            | Self::Issuer
            | Self::Audience
            | Self::User
            | Self::UserName
            | Self::Groups
            | Self::Rights => Reason::BadUserNameOrPassword,
        }
    }
}

/// Why a text has no keys.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum KeysFault {
    #[error("keys have at most {KEYS_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is neither a JSON Web Key Set nor PEM")]
    Form,
    #[error("{0}")]
    Json(#[from] JsonFault),
    #[error("it has more than {KEYS_MAX} keys")]
    TooMany,
    #[error("it has no key that a signature could be checked with")]
    NoKey,
    #[error("key {number}: {fault}")]
    Key { number: usize, fault: KeyFault },
}

/// What is wrong with one key, counted from one.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum KeyFault {
    #[error("it is no object")]
    NoObject,
    #[error("its {name} is missing, or no text")]
    Text { name: &'static str },
    #[error("its {name} is not base64url of the right length")]
    Encoding { name: &'static str },
    #[error("its key_ops are no list of texts")]
    Operations,
    #[error("its alg is for another type of key")]
    OtherAlgorithm,
    #[error("it has a private part, which is to be known to the issuer alone")]
    Private,
    #[error("a secret has {bytes} bytes, and must have {least} at least")]
    ShortSecret { bytes: usize, least: usize },
    #[error("an RSA key has {bytes} bytes, and must have {} to {}", RSA_BYTES.start(), RSA_BYTES.end())]
    RsaSize { bytes: usize },
    #[error("its numbers make no key")]
    Numbers,
    #[error("it is not PEM of a public key")]
    Pem,
    #[error("it is no public key in DER, or of a type that is not known")]
    Der,
}
