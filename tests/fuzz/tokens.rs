//! What the fuzz target of tokens does with its bytes; `tests/corpus.rs` does the same with its corpus.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use pregon::engine::auth::token::authenticator::Tokens;
use pregon::engine::auth::token::compact::Compact;
use pregon::engine::auth::token::fault::TokenFault;
use pregon::engine::auth::token::json::parse;
use pregon::engine::auth::token::keys::Keys;
use pregon::engine::auth::token::terms::{GROUPS_MAX, NAME_BYTES_MAX, Terms};
use pregon::engine::auth::{Authenticator as _, Credentials, Verdict};
use pregon::mqtt::Version;

const SECRET: &[u8; 64] = b"a secret of sixty-four bytes, that somebody has typed for tests!";
const NOW: u64 = 1_800_000_000;

/// The first byte says what the others are: a token as it came, a header or claims that are signed, or keys.
pub fn tokens(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 4 {
        0 => as_it_came(data),
        1 => signed(data, b"{\"sub\":\"alice\",\"exp\":1800000060}"),
        2 => signed(b"{\"alg\":\"HS256\"}", data),
        _keys => keys(data),
    }
}

/// Nobody who does not know the secret comes in.
fn as_it_came(token: &[u8]) {
    let verdict = authenticator().authenticate(&credentials(token));
    assert!(matches!(verdict, Verdict::Deny(_) | Verdict::Abstain), "nobody has signed it");
}

/// Header and claims of somebody who knows the secret: whoever comes in is somebody, for a while, in a bounded number of groups.
fn signed(header: &[u8], claims: &[u8]) {
    let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    let tokens = authenticator();
    let judged = tokens.judge(&credentials(token.as_bytes()));
    let read = Compact::parse(token.as_bytes());
    match judged {
        Ok(identity) => {
            let user = identity.user.expect("a token names its user");
            assert!((1..=NAME_BYTES_MAX).contains(&user.len()) && identity.groups.len() <= GROUPS_MAX);
            assert!(identity.expires_at.is_some_and(|end| end > NOW) && !identity.is_superuser);
            assert!(parse(header).is_ok_and(|header| !header.contains_key("crit")) && parse(claims).is_ok());
            assert!(read.is_ok());
        }
        Err(fault) => {
            assert!(read.is_ok() || read == Err(fault), "a token that cannot be read has no other fault");
            let verdict = tokens.authenticate(&credentials(token.as_bytes()));
            assert_eq!(matches!(verdict, Verdict::Abstain), fault == TokenFault::NoToken);
        }
    }
}

fn keys(text: &[u8]) {
    if let Ok(keys) = Keys::parse(text) {
        assert!(keys.keys_count() > 0, "keys that nobody could use are none");
    }
}

fn authenticator() -> Tokens {
    let key = format!("{{\"kty\":\"oct\",\"k\":\"{}\"}}", URL_SAFE_NO_PAD.encode(SECRET));
    let keys = Keys::parse(key.as_bytes()).expect("a key");
    Tokens::new(keys, Terms { groups_claim: Some("groups".into()), acl_claim: Some("acl".into()), ..Terms::default() })
}

fn credentials(password: &[u8]) -> Credentials<'_> {
    Credentials {
        client_id: "c1",
        user_name: None,
        password: Some(password),
        peer: ([127, 0, 0, 1], 1883).into(),
        listener: 0,
        version: Version::V5,
        now_unix_s: NOW,
        certificate: None,
    }
}
