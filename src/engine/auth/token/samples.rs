//! Tokens and keys of the standards, and some that are signed here.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::pem::numbers;
use crate::engine::auth::Credentials;
use crate::mqtt::version::Version;

/// RFC 7515, A.1: the key and the token.
pub const HS256: [&str; 2] = [
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
];
/// RFC 7515, A.2.
pub const RS256: [&str; 2] = [
    r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
     cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
];
/// RFC 7515, A.3.
pub const ES256: [&str; 2] = [
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
     DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
];
/// RFC 8037, A.2 and A.4; what is signed there is no JSON.
pub const ED25519: [&str; 2] = [
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
     hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
];

/// What the clock shows in these tests.
pub const NOW: u64 = 1_800_000_000;
/// A shared secret.
pub const SECRET: &[u8; 64] = b"a secret of sixty-four bytes, that somebody has typed for tests!";

/// The text of an object as it stands in a token.
pub fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A key set with this secret alone.
pub fn secret_key() -> String {
    format!(r#"{{"kty":"oct","k":"{}"}}"#, part(SECRET))
}

/// A token that is signed by a secret with HMAC-SHA256, whatever its header says.
pub fn token_by(secret: &[u8], header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", part(tag))
}

/// A token with these claims that is as it should be.
pub fn token(claims: &str) -> String {
    token_by(SECRET, r#"{"alg":"HS256"}"#, claims)
}

/// What a client says that has this password.
pub fn given<'a>(user_name: Option<&'a str>, password: Option<&'a str>) -> Credentials<'a> {
    Credentials {
        client_id: "c1",
        user_name,
        password: password.map(str::as_bytes),
        peer: ([127, 0, 0, 1], 1883).into(),
        listener: 0,
        version: Version::V5,
        now_unix_s: NOW,
        certificate: None,
    }
}

/// Somebody who signs with a key of its own.
pub enum Issuer {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair, usize),
}

impl Issuer {
    pub fn rsa(size: KeySize) -> Self {
        Self::Rsa(RsaKeyPair::generate(size).unwrap())
    }

    pub fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, 32)
    }

    pub fn p384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, 48)
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, bytes: usize) -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap(), bytes)
    }

    /// Its public key, with these members behind the numbers.
    pub fn key(&self, more: &str) -> String {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = numbers(pair.public_key().as_ref()).unwrap();
                let [n, e] = [n, e].map(|number| part(number.as_bytes()));
                format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"{more}}}"#)
            }
            Self::Ecdsa(pair, bytes) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(*bytes);
                let [x, y] = [x, y].map(part);
                format!(r#"{{"kty":"EC","crv":"P-{}","x":"{x}","y":"{y}"{more}}}"#, 8 * bytes)
            }
        }
    }

    /// A token by the usual algorithm of its kind, whatever the header says.
    pub fn token(&self, header: &str, claims: &str) -> String {
        self.token_padded(header, claims, &RSA_PKCS1_SHA256)
    }

    /// A token by RSA-PSS.
    pub fn token_pss(&self, header: &str, claims: &str) -> String {
        self.token_padded(header, claims, &RSA_PSS_SHA256)
    }

    fn token_padded(&self, header: &str, claims: &str, padding: &'static dyn RsaEncoding) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ecdsa(pair, _) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", part(signature))
    }
}
