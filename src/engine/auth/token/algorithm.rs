//! The ways of signing a token, RFC 7518 and RFC 8037.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

/// A way of signing. There is none that does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC by a shared secret.
    Hmac(Digest),
    /// RSA with the padding of PKCS #1.
    Rsa(Digest),
    /// RSA with the padding of PSS.
    RsaPss(Digest),
    /// ECDSA over the curve P-256.
    Es256,
    /// ECDSA over the curve P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

/// What is signed is a digest; one of the family of SHA-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the digests")]
pub enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// The algorithm of this name, if it is one that is known here.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hmac(Digest::Sha256),
            "HS384" => Self::Hmac(Digest::Sha384),
            "HS512" => Self::Hmac(Digest::Sha512),
            "RS256" => Self::Rsa(Digest::Sha256),
            "RS384" => Self::Rsa(Digest::Sha384),
            "RS512" => Self::Rsa(Digest::Sha512),
            "PS256" => Self::RsaPss(Digest::Sha256),
            "PS384" => Self::RsaPss(Digest::Sha384),
            "PS512" => Self::RsaPss(Digest::Sha512),
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa, // RFC 9864 gives it the second name
            _unknown => return None,
        })
    }
}

impl Digest {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Bytes of a digest, and by RFC 7518 of the shortest secret.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(super) const fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub(super) const fn rsa(self) -> &'static RsaParameters {
        match self {
            Self::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        }
    }

    pub(super) const fn rsa_pss(self) -> &'static RsaParameters {
        match self {
            Self::Sha256 => &RSA_PSS_2048_8192_SHA256,
            Self::Sha384 => &RSA_PSS_2048_8192_SHA384,
            Self::Sha512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_none_is_no_algorithm() {
        for name in ["none", "None", "NONE", "", "hs256", "HS256 ", "HS1", "RS1", "ES512", "ES256K", "dir", "RSA-OAEP"]
        {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
        assert_eq!(Algorithm::named("PS384"), Some(Algorithm::RsaPss(Digest::Sha384)));
    }
}
