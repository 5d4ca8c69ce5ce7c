//! Keys that are read, keys that are not, and whose signatures hold by which of them.

use aws_lc_rs::rsa::KeySize;

use super::*;
use crate::engine::auth::token::compact::Compact;
use crate::engine::auth::token::samples::{ED25519, ES256, HS256, Issuer, RS256, SECRET, part, secret_key, token_by};

fn keys(text: &str) -> Keys {
    Keys::parse(text.as_bytes()).unwrap()
}

fn set(keys: &[&str]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn judged(keys: &Keys, token: &str) -> Result<(), TokenFault> {
    let token = Compact::parse(token.as_bytes())?;
    keys.verify(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature)
}

fn fault(text: &str) -> KeysFault {
    Keys::parse(text.as_bytes()).unwrap_err()
}

/// A token with its last character but one turned into another one, and one with another first character of the claims.
fn spoilt(token: &str) -> [String; 2] {
    let turned = |at: usize| {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    };
    [turned(token.len() - 3), turned(token.find('.').unwrap() + 1)]
}

#[test]
fn the_signatures_of_the_standards_hold_and_spoilt_ones_do_not() {
    for [key, token] in [HS256, RS256, ES256, ED25519] {
        for text in [key.to_owned(), set(&[key])] {
            let keys = keys(&text);
            assert_eq!(judged(&keys, token), Ok(()), "{token}");
            for other in spoilt(token) {
                assert_eq!(judged(&keys, &other), Err(TokenFault::Signature), "{other}");
            }
            let unsigned = &token[..=token.rfind('.').unwrap()];
            assert_eq!(judged(&keys, unsigned), Err(TokenFault::Signature), "an empty signature");
        }
    }
}

#[test]
fn each_algorithm_needs_its_own_key() {
    let keys = [HS256, RS256, ES256, ED25519].map(|[key, _]| keys(key));
    let tokens = [HS256, RS256, ES256, ED25519].map(|[_, token]| token);
    for (own, keys) in keys.iter().enumerate() {
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| *at != own) {
            assert_eq!(judged(keys, token), Err(TokenFault::OtherAlgorithm), "key {own}, token {at}");
        }
    }
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let issuer = Issuer::rsa(KeySize::Rsa2048);
    for text in [issuer.key(""), issuer.key(r#","alg":"RS256""#), PEM_RSA.to_owned()] {
        let keys = keys(&text);
        for secret in [text.as_bytes(), text.trim().as_bytes(), b"", &[0; 32]] {
            let forged = token_by(secret, r#"{"alg":"HS256"}"#, "{}");
            assert_eq!(judged(&keys, &forged), Err(TokenFault::OtherAlgorithm));
        }
    }
    let confusing = Issuer::rsa(KeySize::Rsa2048).key(r#","alg":"HS256""#);
    assert_eq!(fault(&confusing), KeysFault::Key { number: 1, fault: KeyFault::OtherAlgorithm });
    let confusing = secret_key().replace('}', r#","alg":"RS256"}"#);
    assert_eq!(fault(&confusing), KeysFault::Key { number: 1, fault: KeyFault::OtherAlgorithm });
}

#[test]
fn what_a_key_says_of_its_algorithm_holds() {
    let issuer = Issuer::rsa(KeySize::Rsa2048);
    let (plain, pss) = (issuer.token(r#"{"alg":"RS256"}"#, "{}"), issuer.token_pss(r#"{"alg":"PS256"}"#, "{}"));
    let any = keys(&issuer.key(""));
    assert_eq!((judged(&any, &plain), judged(&any, &pss)), (Ok(()), Ok(())));
    let only = keys(&issuer.key(r#","alg":"PS256""#));
    assert_eq!((judged(&only, &plain), judged(&only, &pss)), (Err(TokenFault::OtherAlgorithm), Ok(())));
    let swapped = issuer.token(r#"{"alg":"PS256"}"#, "{}");
    assert_eq!(judged(&any, &swapped), Err(TokenFault::Signature), "another padding than it says");
    let short = keys(&format!(r#"{{"kty":"oct","k":"{}"}}"#, part(&SECRET[..32])));
    assert_eq!(judged(&short, &token_by(&SECRET[..32], r#"{"alg":"HS256"}"#, "{}")), Ok(()));
    let long = token_by(&SECRET[..32], r#"{"alg":"HS512"}"#, "{}");
    assert_eq!(judged(&short, &long), Err(TokenFault::OtherAlgorithm), "a secret is as long as the digest");
}

#[test]
fn the_name_picks_the_key() {
    let [one, other] = [Issuer::p256(), Issuer::p256()];
    let [one_key, other_key] =
        [one.key(r#","kid":"1","use":"sig""#), other.key(r#","kid":"../2","key_ops":["verify"]"#)];
    let both = keys(&set(&[&one_key, &other_key]));
    assert_eq!((both.keys_count(), both.passed_over_count(), both.have_secret()), (2, 0, false));
    let by = |issuer: &Issuer, id: &str| judged(&both, &issuer.token(&format!(r#"{{"alg":"ES256"{id}}}"#), "{}"));
    assert_eq!((by(&one, r#","kid":"1""#), by(&other, r#","kid":"../2""#)), (Ok(()), Ok(())));
    assert_eq!((by(&one, ""), by(&other, "")), (Ok(()), Ok(())), "without a name both are tried");
    assert_eq!(by(&one, r#","kid":"../2""#), Err(TokenFault::Signature));
    for strange in ["", "2", "1 ", "/etc/passwd", "' OR 1=1"] {
        assert_eq!(by(&one, &format!(r#","kid":"{strange}""#)), Err(TokenFault::UnknownKey), "{strange}");
    }
    let nameless = keys(&one.key(""));
    assert_eq!(judged(&nameless, &one.token(r#"{"alg":"ES256","kid":"whatever"}"#, "{}")), Ok(()));
    let mixed = keys(&set(&[&one.key(""), &other_key]));
    let token = one.token(r#"{"alg":"ES256","kid":"../2"}"#, "{}");
    assert_eq!(judged(&mixed, &token), Err(TokenFault::Signature), "where the name is known no other key counts");
}

#[test]
fn threat_3_a_token_makes_us_try_few_keys() {
    let issuers: Vec<Issuer> = (0..=KEYS_TRIED_MAX).map(|_| Issuer::p256()).collect();
    let texts: Vec<String> = issuers.iter().map(|issuer| issuer.key("")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let token = |at: usize| issuers[at].token(r#"{"alg":"ES256"}"#, "{}");
    let all = keys(&set(&texts));
    assert_eq!(judged(&all, &token(0)), Err(TokenFault::ManyKeys));
    let few = keys(&set(&texts[..KEYS_TRIED_MAX]));
    assert_eq!(judged(&few, &token(KEYS_TRIED_MAX - 1)), Ok(()));
}

#[test]
fn only_what_costs_little_is_done_at_once() {
    let quick = |text: &str, algorithm| keys(text).are_quick(algorithm, None);
    for ([key, _], algorithm) in [HS256, RS256, ES256, ED25519].into_iter().zip([
        Algorithm::Hmac(Digest::Sha256),
        Algorithm::Rsa(Digest::Sha256),
        Algorithm::Es256,
        Algorithm::EdDsa,
    ]) {
        assert!(quick(key, algorithm), "{algorithm:?}");
    }
    let p384 = Issuer::p384();
    assert!(!quick(&p384.key(""), Algorithm::Es384));
    assert!(quick(&p384.key(""), Algorithm::Es256), "a refusal costs nothing");
    assert_eq!(judged(&keys(&p384.key("")), &p384.token(r#"{"alg":"ES384"}"#, "{}")), Ok(()));
    assert!(!quick(&set(&[ES256[0], ES256[0]]), Algorithm::Es256), "two may have to be tried");
    assert!(quick(&set(&[HS256[0], HS256[0]]), Algorithm::Hmac(Digest::Sha256)));
}

#[test]
fn keys_for_other_purposes_are_passed_over() {
    let issuer = Issuer::p256();
    let other = [
        issuer.key(r#","use":"enc""#),
        issuer.key(r#","key_ops":["encrypt"]"#),
        issuer.key(r#","alg":"ECDH-ES""#),
        r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.into(),
        r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.into(),
        r#"{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}"#.into(),
    ];
    let mut all: Vec<&str> = other.iter().map(String::as_str).collect();
    assert_eq!(fault(&set(&all)), KeysFault::NoKey);
    all.push(ES256[0]);
    let keys = keys(&set(&all));
    assert_eq!((keys.keys_count(), keys.passed_over_count()), (1, 6));
    assert_eq!(format!("{keys:?}"), "Keys { keys: 1, passed_over: 6, .. }");
    assert!(self::keys(&secret_key()).have_secret() && !keys.have_secret());
}

#[test]
fn threat_7_keys_that_are_wrong_refuse_the_whole_text() {
    for (text, expected) in [
        ("", KeysFault::Form),
        ("x", KeysFault::Form),
        ("{}", KeysFault::Form),
        (r#"{"keys":{}}"#, KeysFault::Form),
        (r#"{"keys":[]}"#, KeysFault::NoKey),
        (r#"{"keys":[]"#, KeysFault::Json(crate::engine::auth::token::json::JsonFault::Syntax)),
        (r#"{"keys":[],"keys":[]}"#, KeysFault::Json(crate::engine::auth::token::json::JsonFault::Twice)),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    let [rsa, ec, ed] = [RS256[0], ES256[0], ED25519[0]];
    for (key, expected) in [
        ("1".to_owned(), KeyFault::NoObject),
        ("{}".into(), KeyFault::Text { name: "kty" }),
        (r#"{"kty":1}"#.into(), KeyFault::Text { name: "kty" }),
        (r#"{"kty":"EC"}"#.into(), KeyFault::Text { name: "crv" }),
        (r#"{"kty":"oct"}"#.into(), KeyFault::Text { name: "k" }),
        (r#"{"kty":"oct","k":"A="}"#.into(), KeyFault::Encoding { name: "k" }),
        (r#"{"kty":"oct","k":""}"#.into(), KeyFault::Encoding { name: "k" }),
        (format!(r#"{{"kty":"oct","k":"{}"}}"#, part(&SECRET[..31])), KeyFault::ShortSecret { bytes: 31, least: 32 }),
        (
            format!(r#"{{"kty":"oct","alg":"HS512","k":"{}"}}"#, part(&SECRET[..63])),
            KeyFault::ShortSecret { bytes: 63, least: 64 },
        ),
        (rsa.replace(r#","e":"AQAB""#, ""), KeyFault::Text { name: "e" }),
        (rsa.replace("AQAB", "A"), KeyFault::Encoding { name: "e" }),
        (rsa.replace("AQAB", "Ag"), KeyFault::Numbers),
        (rsa.replace("AQAB", "AQ"), KeyFault::Numbers),
        (rsa.replace("AQAB", "AAEAAQ"), KeyFault::Numbers),
        (rsa.replace("AQAB", "AQEBAQE"), KeyFault::Numbers),
        (rsa.replace('}', r#","d":"AQAB"}"#), KeyFault::Private),
        (format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, part([0xFF; 128])), KeyFault::RsaSize { bytes: 128 }),
        (format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, part([0x7F; 256])), KeyFault::RsaSize { bytes: 256 }),
        (format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, part([0xFF; 1025])), KeyFault::RsaSize { bytes: 1025 }),
        (ec.replace("f83O", "f83P"), KeyFault::Numbers),
        (ec.replace("f83O", ""), KeyFault::Encoding { name: "x" }),
        (ec.replace('}', r#","alg":"ES384"}"#), KeyFault::OtherAlgorithm),
        (ec.replace('}', r#","use":1}"#), KeyFault::Text { name: "use" }),
        (ec.replace('}', r#","kid":1}"#), KeyFault::Text { name: "kid" }),
        (ec.replace('}', r#","key_ops":"verify"}"#), KeyFault::Operations),
        (ec.replace('}', r#","key_ops":[1]}"#), KeyFault::Operations),
        (ed.replace("11qY", ""), KeyFault::Encoding { name: "x" }),
    ] {
        let found = Keys::parse(set(&[ES256[0], &key]).as_bytes()).err();
        assert_eq!(found, Some(KeysFault::Key { number: 2, fault: expected }), "{key}");
    }
}

#[test]
fn threat_1_a_text_of_keys_is_bounded() {
    let long = format!("{}{}", HS256[0], " ".repeat(KEYS_BYTES_MAX));
    assert_eq!(fault(&long), KeysFault::TooLong);
    assert!(Keys::parse(&long.as_bytes()[..KEYS_BYTES_MAX]).is_ok());
    let many = vec![HS256[0]; KEYS_MAX + 1];
    assert_eq!(fault(&set(&many)), KeysFault::TooMany);
    assert_eq!(keys(&set(&many[1..])).keys_count(), KEYS_MAX);
    let many = PEM_ED25519.repeat(KEYS_MAX + 1);
    assert_eq!(fault(&many), KeysFault::TooMany);
}

/// The key of RFC 8037, as openssl writes it.
const PEM_ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";
/// The key of RFC 7515, A.2.
const PEM_RSA: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\n\
    NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\n\
    P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n\
    9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\n\
    EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\n\
    FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\n\
    oQIDAQAB\n\
    -----END PUBLIC KEY-----\n";
/// The key of RFC 7515, A.3.
const PEM_P256: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
    6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n\
    -----END PUBLIC KEY-----\n";
/// A key on P-384, by openssl.
const PEM_P384: &str = "-----BEGIN PUBLIC KEY-----\n\
    MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEbK5UqfLuWgzaJ1JLvBkwvAzeQ0B+wH3G\n\
    c0qukMPDbtEHC92LgFyr8k3JS+0oPKWyVx0F0/QyYjxc+485StNXYCCIElq1cmeZ\n\
    Gqp5r8JVs9TF+ZOkpaVp7kx2dmVsD4tn\n\
    -----END PUBLIC KEY-----\n";
/// An RSA key of 1,024 bits.
const PEM_WEAK: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQD/////////////////////////\n\
    ////////////////////////////////////////////////////////////////\n\
    ////////////////////////////////////////////////////////////////\n\
    /////////////////wIDAQAB\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn keys_in_pem_are_the_same_keys() {
    for (text, token) in [(PEM_ED25519, ED25519[1]), (PEM_RSA, RS256[1]), (PEM_P256, ES256[1])] {
        assert_eq!(judged(&keys(text), token), Ok(()), "{text}");
        assert_eq!(judged(&keys(&text.replace('\n', "\r\n")), token), Ok(()), "{text}");
    }
    let all = keys(&format!("\n{PEM_ED25519}{PEM_RSA}\n{PEM_P256}"));
    assert_eq!(all.keys_count(), 3);
    for [_, token] in [RS256, ES256, ED25519] {
        assert_eq!(judged(&all, token), Ok(()));
    }
    let p384 = keys(PEM_P384);
    assert!(!p384.are_quick(Algorithm::Es384, None));
}

#[test]
fn threat_7_what_is_no_public_key_in_pem_is_refused() {
    for (text, expected) in [
        (PEM_ED25519.replace("MCow", "MCox"), KeyFault::Der),
        (PEM_ED25519.replace("URo=", "URo"), KeyFault::Pem),
        (PEM_ED25519.replace("-----END PUBLIC KEY-----\n", ""), KeyFault::Pem),
        (PEM_ED25519.replace("PUBLIC", "PRIVATE"), KeyFault::Private),
        (PEM_ED25519.replace("PUBLIC", "RSA PRIVATE"), KeyFault::Private),
        (PEM_ED25519.replace("PUBLIC KEY", "CERTIFICATE"), KeyFault::Pem),
        (PEM_ED25519.replace("K2Vw", "K2Vu"), KeyFault::Der),
        (format!("{PEM_ED25519}and some words\n"), KeyFault::Pem),
        (PEM_WEAK.to_owned(), KeyFault::RsaSize { bytes: 128 }),
    ] {
        assert_eq!(fault(&text), KeysFault::Key { number: 1, fault: expected }, "{text}");
    }
    assert_eq!(fault("-----BEGUN"), KeysFault::Form);
    assert_eq!(fault(&format!("some words\n{PEM_ED25519}")), KeysFault::Form);
}
