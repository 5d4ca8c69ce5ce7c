//! Claims that hold and claims that do not.

use super::*;
use crate::engine::auth::token::json::parse;
use crate::engine::auth::token::samples::{NOW, given};

fn judged(terms: &Terms, claims: &str) -> Result<Identity, TokenFault> {
    terms.identity(&parse(claims.as_bytes()).unwrap(), &given(Some("alice"), None))
}

/// A token of alice with an end, and with these claims.
fn with(terms: &Terms, more: &str) -> Result<Identity, TokenFault> {
    judged(terms, &format!(r#"{{"sub":"alice","exp":{}{more}}}"#, NOW + 60))
}

#[test]
fn the_subject_is_the_user_until_the_end() {
    let alice = with(&Terms::default(), "").unwrap();
    assert_eq!((alice.user.as_deref(), alice.method, alice.is_superuser), (Some("alice"), "token", false));
    assert_eq!((alice.expires_at, alice.groups.len()), (Some(NOW + 60 + LEEWAY_S), 0));
    let terms = Terms { needs_expiry: false, ..Terms::default() };
    assert_eq!(judged(&terms, r#"{"sub":"alice"}"#).unwrap().expires_at, None);
    assert_eq!(judged(&Terms::default(), r#"{"sub":"alice"}"#), Err(TokenFault::Endless));
}

#[test]
fn the_end_comes_when_the_leeway_is_over() {
    let at = |exp: u64| judged(&Terms::default(), &format!(r#"{{"sub":"alice","exp":{exp}}}"#)).map(|_| ());
    assert_eq!(at(NOW - LEEWAY_S + 1), Ok(()));
    assert_eq!(at(NOW - LEEWAY_S), Err(TokenFault::Expired));
    assert_eq!(at(0), Err(TokenFault::Expired));
    let strict = Terms { leeway_s: 0, ..Terms::default() };
    assert!(judged(&strict, &format!(r#"{{"sub":"alice","exp":{}}}"#, NOW + 1)).is_ok());
    assert_eq!(judged(&strict, &format!(r#"{{"sub":"alice","exp":{NOW}}}"#)), Err(TokenFault::Expired));
}

#[test]
fn a_token_of_tomorrow_is_none_today() {
    for name in ["nbf", "iat"] {
        let at = |date: u64| with(&Terms::default(), &format!(r#","{name}":{date}"#)).map(|_| ());
        assert_eq!(at(NOW + LEEWAY_S), Ok(()));
        assert_eq!(at(NOW + LEEWAY_S + 1), Err(TokenFault::Early));
    }
}

#[test]
fn a_date_is_a_number_of_seconds_that_somebody_may_live_to_see() {
    let exp = |text: &str| {
        judged(&Terms::default(), &format!(r#"{{"sub":"alice","exp":{text}}}"#)).map(|alice| alice.expires_at)
    };
    assert_eq!(exp("1800000060.9"), Ok(Some(1_800_000_060 + LEEWAY_S)));
    assert_eq!(exp("1.80000006e9"), Ok(Some(1_800_000_060 + LEEWAY_S)));
    assert_eq!(exp("253402300799"), Ok(Some(DATE_MAX + LEEWAY_S)));
    for text in [
        "253402300800",
        "253402300800.0",
        "1800000060000",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "-1",
        "-1800000060",
        "-0.5",
        "\"1800000060\"",
        "null",
        "true",
        "[]",
        "{}",
    ] {
        assert_eq!(exp(text), Err(TokenFault::Date), "{text}");
        for name in ["nbf", "iat"] {
            assert_eq!(with(&Terms::default(), &format!(r#","{name}":{text}"#)), Err(TokenFault::Date), "{text}");
        }
    }
    let endless = Terms { leeway_s: u64::MAX, ..Terms::default() };
    assert_eq!(with(&endless, "").unwrap().expires_at, Some(u64::MAX));
}

#[test]
fn threat_7_where_the_clock_was_never_set_no_token_holds() {
    let claims = parse(format!(r#"{{"sub":"alice","exp":{}}}"#, NOW + 60).as_bytes()).unwrap();
    for now_unix_s in [0, 1, 86_400, CLOCK_MIN - 1] {
        let credentials = Credentials { now_unix_s, ..given(None, None) };
        assert_eq!(Terms::default().identity(&claims, &credentials), Err(TokenFault::NoClock));
    }
}

#[test]
fn issuer_and_audience_are_compared_whole() {
    let terms = Terms { issuer: Some("https://a".into()), ..Terms::default() };
    assert!(with(&terms, r#","iss":"https://a""#).is_ok());
    for text in ["", r#","iss":"https://a/""#, r#","iss":"https://A""#, r#","iss":["https://a"]"#, r#","iss":null"#] {
        assert_eq!(with(&terms, text), Err(TokenFault::Issuer), "{text}");
    }
    let terms = Terms { audience: vec!["us".into(), "mqtt".into()], ..Terms::default() };
    for text in [r#","aud":"us""#, r#","aud":["x","mqtt"]"#, r#","aud":[1,"us"]"#] {
        assert!(with(&terms, text).is_ok(), "{text}");
    }
    for text in [
        "",
        r#","aud":"usx""#,
        r#","aud":"u""#,
        r#","aud":[]"#,
        r#","aud":["x"]"#,
        r#","aud":{"us":1}"#,
        r#","aud":"us mqtt""#,
    ] {
        assert_eq!(with(&terms, text), Err(TokenFault::Audience), "{text}");
    }
    assert!(with(&Terms::default(), r#","iss":"x","aud":"y""#).is_ok(), "nobody has asked");
}

#[test]
fn threat_6_a_user_is_a_name_and_nothing_else() {
    let user = |text: &str| {
        let claims = format!(r#"{{"exp":{},"sub":{text}}}"#, NOW + 60);
        judged(&Terms::default(), &claims).map(|alice| alice.user.unwrap().into_string())
    };
    for name in ["#", "+", "a/+/b", "%u", "$SYS", " ", "\u{F1}"] {
        assert_eq!(user(&format!("\"{name}\"")), Ok(name.into()));
    }
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert!(user(&format!("\"{}\"", &long[1..])).is_ok());
    for text in ["\"\"", "1", "null", "[\"a\"]", r#""a\u0000""#, r#""a\nb""#, r#""\u0085""#, &format!("\"{long}\"")] {
        assert_eq!(user(text), Err(TokenFault::User), "{text}");
    }
    assert_eq!(judged(&Terms::default(), &format!(r#"{{"exp":{}}}"#, NOW + 60)), Err(TokenFault::User));
    let terms = Terms { user_claim: "email".into(), ..Terms::default() };
    assert_eq!(with(&terms, r#","email":"a@b""#).unwrap().user.as_deref(), Some("a@b"));
    assert_eq!(with(&terms, ""), Err(TokenFault::User));
}

#[test]
fn the_user_name_of_connect_is_the_users_where_that_is_asked() {
    let claims = parse(format!(r#"{{"sub":"alice","exp":{}}}"#, NOW + 60).as_bytes()).unwrap();
    let judged = |terms: &Terms, name| terms.identity(&claims, &given(name, None)).map(|alice| alice.user.unwrap());
    let equal = Terms { user_name: UserName::Equal, ..Terms::default() };
    assert_eq!(judged(&equal, Some("alice")), Ok("alice".into()));
    for name in [None, Some(""), Some("Alice"), Some("bob")] {
        assert_eq!(judged(&equal, name), Err(TokenFault::UserName), "{name:?}");
        assert_eq!(judged(&Terms::default(), name), Ok("alice".into()), "{name:?}");
    }
}

#[test]
fn threat_6_a_token_for_one_client_is_none_for_another() {
    let terms = Terms { client_id_claim: Some("client".into()), ..Terms::default() };
    assert!(with(&terms, "").is_ok() && with(&terms, r#","client":"c1""#).is_ok());
    for text in [r#""c2""#, r#""C1""#, r#""""#, "null", r#"["c1"]"#, r##""#""##] {
        assert_eq!(with(&terms, &format!(r#","client":{text}"#)), Err(TokenFault::ClientId), "{text}");
    }
    assert!(with(&Terms::default(), r#","client":"c2""#).is_ok(), "nobody has asked");
}

#[test]
fn threat_6_rights_are_lists_of_filters_and_anything_else_refuses_the_token() {
    let terms = Terms { acl_claim: Some("acl".into()), ..Terms::default() };
    let rights = |text: &str| {
        with(&terms, &format!(r#","acl":{text}"#)).map(|alice| alice.claims.map(|claims| (*claims).clone()))
    };
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect::<Vec<_>>();
    for (text, publish, subscribe) in [
        (r##"{"pub":["a/%u","b"],"sub":["#","+/%c/#"]}"##, &["a/%u", "b"][..], &["#", "+/%c/#"][..]),
        (r#"{"sub":["a"]}"#, &[], &["a"]),
        (r#"{"pub":["a"],"sub":[]}"#, &["a"], &[]),
        ("{}", &[], &[]),
    ] {
        assert_eq!(rights(text), Ok(Some(Claims::new(patterns(publish), patterns(subscribe)))), "{text}");
    }
    let many = |count: usize| format!(r#"{{"pub":[{}]}}"#, vec!["\"a\""; count].join(","));
    assert!(rights(&many(FILTERS_MAX)).is_ok());
    for text in [
        "null",
        "[]",
        "\"a\"",
        "true",
        r##"["#"]"##,
        r#"{"pub":"a"}"#,
        r#"{"pub":null}"#,
        r#"{"pub":{"a":1}}"#,
        r#"{"pub":[1]}"#,
        r#"{"pub":[""]}"#,
        r#"{"pub":["a+"]}"#,
        r#"{"sub":["a/#/b"]}"#,
        r#"{"sub":["a/x%u"]}"#,
        r#"{"sub":["$share/g/a"]}"#,
        r#"{"sub":["a"],"all":["b"]}"#,
        r#"{"Pub":["a"]}"#,
        &many(FILTERS_MAX + 1),
    ] {
        assert_eq!(rights(text), Err(TokenFault::Rights), "{text}");
    }
    assert_eq!(with(&terms, "").unwrap().claims, None, "a token that says nothing of it leaves it to rules");
    assert_eq!(with(&Terms::default(), r#","acl":[]"#).unwrap().claims, None, "nobody has asked");
}

#[test]
fn groups_are_a_list_of_names() {
    let terms = Terms { groups_claim: Some("groups".into()), ..Terms::default() };
    let groups = |text: &str| with(&terms, &format!(r#","groups":{text}"#)).map(|alice| alice.groups);
    assert_eq!(groups(r##"["staff","#"]"##), Ok(vec!["staff".into(), "#".into()]));
    assert_eq!((groups("[]"), with(&terms, "").map(|alice| alice.groups)), (Ok(vec![]), Ok(vec![])));
    let many = |count: usize| format!("[{}]", vec!["\"g\""; count].join(","));
    assert_eq!(groups(&many(GROUPS_MAX)).map(|groups| groups.len()), Ok(GROUPS_MAX));
    for text in ["\"staff\"", "null", "[1]", "[\"\"]", r#"["a\u0000"]"#, "{}", &many(GROUPS_MAX + 1)] {
        assert_eq!(groups(text), Err(TokenFault::Groups), "{text}");
    }
}
