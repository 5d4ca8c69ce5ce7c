//! The three parts of a token, and what its header asks for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::fault::TokenFault;
use super::json::{Value, parse};

/// Bytes of a token; a longer one is refused unread.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Characters of a header, which is read before anybody knows who has signed it; a longer one is refused.
const HEADER_CHARS_MAX: usize = 4 * 1024;
/// Types that a token may say it is of.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// A token in its compact form, of which nothing is proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact<'a> {
    /// How it says it is signed.
    pub algorithm: Algorithm,
    /// The name of the key that it says it is signed by.
    pub key_id: Option<String>,
    /// What is signed: header and claims as they were sent.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
    claims: &'a str,
}

impl<'a> Compact<'a> {
    /// Reads a token. [`TokenFault::NoToken`] means that it is something else, such as a password.
    pub fn parse(text: &'a [u8]) -> Result<Self, TokenFault> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::NoToken);
        }
        let text = str::from_utf8(text).map_err(|_not_utf8| TokenFault::NoToken)?;
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::NoToken);
        };
        let is_short = header.len() <= HEADER_CHARS_MAX;
        let decoded = URL_SAFE_NO_PAD.decode(header).ok().filter(|header| is_short && header.starts_with(b"{"));
        let (algorithm, key_id) = read_header(&decoded.ok_or(TokenFault::NoToken)?)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_no_base64| TokenFault::Signature)?;
        let signed = &text.as_bytes()[..header.len() + 1 + claims.len()];
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }

    /// The claims. Only somebody who has checked the signature has any use for them.
    pub fn claims(&self) -> Result<super::json::Object, TokenFault> {
        let claims = URL_SAFE_NO_PAD.decode(self.claims).map_err(|_no_base64| TokenFault::ClaimsEncoding)?;
        parse(&claims).map_err(TokenFault::Claims)
    }
}

/// The algorithm, and the name of a key. Keys that come with a token, and addresses where some could be had, say nothing here.
fn read_header(text: &[u8]) -> Result<(Algorithm, Option<String>), TokenFault> {
    let mut header = parse(text).map_err(TokenFault::Header)?;
    if header.contains_key("crit") {
        return Err(TokenFault::Critical);
    }
    let algorithm =
        header.get("alg").and_then(Value::as_text).and_then(Algorithm::named).ok_or(TokenFault::Algorithm)?;
    if let Some(typed) = header.get("typ") {
        let name = typed.as_text().ok_or(TokenFault::HeaderValue)?.to_ascii_lowercase();
        if !TYPES.contains(&name.strip_prefix("application/").unwrap_or(&name)) {
            return Err(TokenFault::HeaderValue);
        }
    }
    let key_id = match header.remove("kid") {
        None => None,
        Some(Value::Text(id)) => Some(id),
        Some(Value::Null | Value::Bool(_) | Value::Whole(_) | Value::Number(_) | Value::List(_) | Value::Object(_)) => {
            return Err(TokenFault::HeaderValue);
        }
    };
    Ok((algorithm, key_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::auth::token::algorithm::Digest;
    use crate::engine::auth::token::json::JsonFault;

    fn header(text: &str) -> Result<(Algorithm, Option<String>), TokenFault> {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(text));
        Compact::parse(token.as_bytes()).map(|token| (token.algorithm, token.key_id))
    }

    #[test]
    fn a_token_has_three_parts() {
        let token = Compact::parse(b"eyJhbGciOiJIUzI1NiJ9.e30.AAEC").unwrap();
        assert_eq!((token.algorithm, token.key_id.as_deref()), (Algorithm::Hmac(Digest::Sha256), None));
        assert_eq!((token.signed, &*token.signature), (&b"eyJhbGciOiJIUzI1NiJ9.e30"[..], &[0, 1, 2][..]));
        assert!(token.claims().unwrap().is_empty());
    }

    #[test]
    fn what_looks_like_no_token_is_somebodys_password() {
        let long = format!("eyJhbGciOiJIUzI1NiJ9.{}.AAEC", "A".repeat(TOKEN_BYTES_MAX));
        let header = format!(
            "{}.e30.AA",
            URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"x\":\"{}\"}}", "x".repeat(4096)))
        );
        for text in [
            "",
            ".",
            "..",
            "secret",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            "eyJhbGciOiJIUzI1NiJ9.e30",
            "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA",
            "W10.e30.AA",
            "eyJhbGciOiJIUzI1NiJ9=.e30.AA",
            " eyJhbGciOiJIUzI1NiJ9.e30.AA",
            "eyJhbGciOiJIUzI1NiJ9\n.e30.AA",
            &long,
            &header,
        ] {
            assert_eq!(Compact::parse(text.as_bytes()), Err(TokenFault::NoToken), "{text:.40}");
        }
        assert_eq!(Compact::parse(b"eyJhbGciOiJIUzI1NiJ9.e30.\xff"), Err(TokenFault::NoToken));
    }

    #[test]
    fn other_alphabets_padding_and_loose_bits_are_no_base64url() {
        let signature = |text: &str| Compact::parse(format!("eyJhbGciOiJIUzI1NiJ9.e30.{text}").as_bytes()).err();
        for text in ["AA==", "AA=", "A", "A+", "A/", "AB", "AA AA", "AA\n"] {
            assert_eq!(signature(text), Some(TokenFault::Signature), "{text:?}");
        }
        assert_eq!(signature("-_8"), None);
        let claims = |text: &str| {
            Compact::parse(format!("eyJhbGciOiJIUzI1NiJ9.{text}.AA").as_bytes()).unwrap().claims().unwrap_err()
        };
        for text in ["e30=", "e3+", "e30 ", "e31"] {
            assert_eq!(claims(text), TokenFault::ClaimsEncoding, "{text:?}");
        }
        assert_eq!(claims(""), TokenFault::Claims(JsonFault::Syntax));
        assert_eq!(claims("W10"), TokenFault::Claims(JsonFault::NoObject));
    }

    #[test]
    fn a_header_is_taken_as_it_says_or_not_at_all() {
        let (algorithm, id) =
            header(r#"{"typ":"JWT","alg":"ES256","kid":"../../etc/passwd\u0000","jku":"http://x","jwk":{}}"#).unwrap();
        assert_eq!((algorithm, id.as_deref()), (Algorithm::Es256, Some("../../etc/passwd\0")));
        for typed in ["jwt", "JWT", "application/jwt", "at+jwt", "application/at+JWT"] {
            assert!(header(&format!(r#"{{"alg":"ES256","typ":"{typed}"}}"#)).is_ok(), "{typed}");
        }
        for (text, fault) in [
            ("{}", TokenFault::Algorithm),
            (r#"{"alg":"none"}"#, TokenFault::Algorithm),
            (r#"{"alg":null}"#, TokenFault::Algorithm),
            (r#"{"alg":["HS256"]}"#, TokenFault::Algorithm),
            (r#"{"alg":"HS256","alg":"none"}"#, TokenFault::Header(JsonFault::Twice)),
            (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, TokenFault::Critical),
            (r#"{"alg":"HS256","crit":[]}"#, TokenFault::Critical),
            (r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, TokenFault::Critical),
            (r#"{"alg":"HS256","kid":1}"#, TokenFault::HeaderValue),
            (r#"{"alg":"HS256","kid":null}"#, TokenFault::HeaderValue),
            (r#"{"alg":"HS256","typ":1}"#, TokenFault::HeaderValue),
            (r#"{"alg":"HS256","typ":"logout+jwt"}"#, TokenFault::HeaderValue),
            (r#"{"alg":"HS256""#, TokenFault::Header(JsonFault::Syntax)),
            (r#"{"alg":"HS256"}{}"#, TokenFault::Header(JsonFault::Syntax)),
            (r#"{"a":[[[[[[[[[[]]]]]]]]]]}"#, TokenFault::Header(JsonFault::Deep)),
        ] {
            assert_eq!(header(text), Err(fault), "{text}");
        }
    }
}
