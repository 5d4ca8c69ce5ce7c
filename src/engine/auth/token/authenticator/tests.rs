//! Clients with tokens, with passwords, and with neither.

use super::*;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy::{Open, Outcome, Policy};
use crate::engine::auth::token::compact::TOKEN_BYTES_MAX;
use crate::engine::auth::token::samples::{HS256, Issuer, NOW, given, part, secret_key, token, token_by};
use crate::engine::auth::token::terms::Carrier;
use crate::engine::auth::users::Users;

fn tokens(keys: &str, terms: Terms) -> Tokens {
    Tokens::new(Keys::parse(keys.as_bytes()).unwrap(), terms)
}

/// Claims of alice that hold for a minute.
fn claims() -> String {
    format!(r#"{{"sub":"alice","exp":{}}}"#, NOW + 60)
}

/// A verdict as text.
fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow(identity) => format!("{} by {}", identity.user.as_deref().unwrap_or("nobody"), identity.method),
        Verdict::Deny(reason) => reason.name().to_owned(),
        Verdict::Abstain => "abstain".into(),
        Verdict::Later => "later".into(),
    }
}

#[test]
fn a_token_in_the_password_lets_its_user_in() {
    let tokens = tokens(&secret_key(), Terms::default());
    let token = token(&claims());
    for name in [None, Some("anybody")] {
        assert_eq!(said(&tokens.authenticate(&given(name, Some(&token)))), "alice by token");
        assert_eq!(said(&tokens.work(&given(name, Some(&token)))), "alice by token");
    }
    assert_eq!(said(&tokens.authenticate(&given(Some(&token), None))), "abstain");
}

#[test]
fn a_token_in_the_user_name_lets_its_user_in_where_that_is_said() {
    let tokens = tokens(&secret_key(), Terms { carrier: Carrier::UserName, ..Terms::default() });
    let token = token(&claims());
    for password in [None, Some("whatever")] {
        assert_eq!(said(&tokens.authenticate(&given(Some(&token), password))), "alice by token");
    }
    assert_eq!(said(&tokens.authenticate(&given(Some("alice"), Some(&token)))), "abstain");
}

#[test]
fn what_is_a_token_and_does_not_hold_is_refused_for_good() {
    let tokens = tokens(&secret_key(), Terms { client_id_claim: Some("cid".into()), ..Terms::default() });
    let good = token(&claims());
    let expired = token(&format!(r#"{{"sub":"alice","exp":{}}}"#, NOW - 3_600));
    let (unsigned, cut) = (&good[..=good.rfind('.').unwrap()], &good[..good.len() - 2]);
    let none = format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims()));
    let other_key = token_by(&[7; 64], r#"{"alg":"HS256"}"#, &claims());
    let twice = token(r#"{"sub":"alice","exp":1800000060,"sub":"root"}"#);
    let (no_json, list) = (token("alice"), token("[]"));
    for wrong in [&*expired, unsigned, cut, &none, &other_key, &twice, &no_json, &list, HS256[1], &format!("{good}=")] {
        assert_eq!(said(&tokens.authenticate(&given(None, Some(wrong)))), "bad_user_name_or_password", "{wrong}");
        assert_eq!(said(&tokens.work(&given(None, Some(wrong)))), "bad_user_name_or_password", "{wrong}");
    }
    let bound = token(&format!(r#"{{"sub":"alice","exp":{},"cid":"c2"}}"#, NOW + 60));
    assert_eq!(said(&tokens.authenticate(&given(None, Some(&bound)))), "not_authorized");
    let early = Credentials { now_unix_s: 0, ..given(None, Some(&good)) };
    assert_eq!(said(&tokens.authenticate(&early)), "server_unavailable");
}

#[test]
fn every_token_that_was_cut_is_none() {
    let tokens = tokens(&secret_key(), Terms::default());
    let good = token(&claims());
    for end in 0..good.len() {
        let verdict = tokens.authenticate(&given(None, Some(&good[..end])));
        assert!(matches!(verdict, Verdict::Abstain | Verdict::Deny(_)), "{end}");
    }
}

#[test]
fn every_turned_byte_spoils_a_token() {
    let tokens = tokens(&secret_key(), Terms::default());
    let good = token(&claims());
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] ^= 1;
        let credentials = Credentials { password: Some(&bytes), ..given(None, None) };
        let verdict = tokens.authenticate(&credentials);
        assert!(matches!(verdict, Verdict::Abstain | Verdict::Deny(_)), "{at}");
    }
}

#[test]
fn slow_signatures_are_put_off() {
    let issuer = Issuer::p384();
    let tokens = tokens(&issuer.key(""), Terms::default());
    let token = issuer.token(r#"{"alg":"ES384"}"#, &claims());
    assert_eq!(said(&tokens.authenticate(&given(None, Some(&token)))), "later");
    assert_eq!(said(&tokens.work(&given(None, Some(&token)))), "alice by token");
    let other = issuer.token(r#"{"alg":"ES256"}"#, &claims());
    assert_eq!(said(&tokens.authenticate(&given(None, Some(&other)))), "bad_user_name_or_password");
}

#[test]
fn passwords_stand_beside_tokens() {
    let users = Users::new()
        .with("bob", "se.cr.et")
        .with_identity(Identity::user("long", "password"), &"x".repeat(TOKEN_BYTES_MAX + 1));
    let policy = Policy::new(vec![Box::new(tokens(&secret_key(), Terms::default())), Box::new(users)], Box::new(Open));
    let user = |name, password: &str| match policy.authenticate(&given(Some(name), Some(password))) {
        Outcome::Allow(identity) => identity.user.clone(),
        Outcome::Deny(_) | Outcome::Later(_) => None,
    };
    assert_eq!(user("bob", "se.cr.et").as_deref(), Some("bob"));
    assert_eq!(user("long", &"x".repeat(TOKEN_BYTES_MAX + 1)).as_deref(), Some("long"));
    assert_eq!(user("bob", &token(&claims())).as_deref(), Some("alice"));
    assert_eq!(user("bob", "wrong"), None);
}
