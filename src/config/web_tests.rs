//! What is said of web servers: where they are, what goes with them, and what would be unsafe.

use super::address::{WEB_URL_BYTES_MAX, is_encrypted, is_overheard, parse_web_url};
use super::complaint::Mistake;
use super::tests::{about, file, loaded};

#[test]
fn a_web_server_has_a_scheme_a_host_and_no_more_than_can_stand_in_a_request() {
    for text in [
        "https://issuer.example",
        "https://issuer.example/",
        "https://issuer.example:8443/keys?of=all",
        "http://127.0.0.1:8080/who",
        "http://[::1]/who",
        "https://issuer.example?of=all",
    ] {
        assert_eq!(parse_web_url(text).as_deref(), Ok(text));
    }
    let long = format!("https://issuer.example/{}", "x".repeat(WEB_URL_BYTES_MAX));
    for text in [
        "",
        "issuer.example",
        "ftp://issuer.example/",
        "HTTPS://issuer.example/",
        "https:///keys",
        "https://user:secret@issuer.example/",
        "https://issuer.example:0/",
        "https://issuer.example:65536/",
        "https://issuer.example/a b",
        "https://issuer.example/#keys",
        "https://issuer.example/\r\nx: y",
        "https://größe.example/",
        "https://[::1/",
        &long,
    ] {
        assert!(matches!(parse_web_url(text), Err(Mistake::WebUrlInvalid { .. })), "{text}");
    }
}

#[test]
fn only_what_is_not_encrypted_and_leaves_this_machine_is_overheard() {
    for (url, is_heard, is_tls) in [
        ("https://issuer.example/", false, true),
        ("http://issuer.example/", true, false),
        ("http://192.0.2.1/", true, false),
        ("http://[2001:db8::1]/", true, false),
        ("http://localhost.example/", true, false),
        ("http://localhost/", false, false),
        ("http://127.1.2.3:80/", false, false),
        ("http://[::1]:80/", false, false),
    ] {
        assert_eq!((is_overheard(url), is_encrypted(url)), (is_heard, is_tls), "{url}");
    }
}

#[test]
fn threat_7_a_server_on_another_machine_is_asked_over_tls_unless_that_is_said() {
    for key in ["token_keys_url", "hook_url", "hook_rules_url"] {
        let named = format!("[auth]\n{key} = \"http://192.0.2.1/x\"");
        let told = about(&named);
        let what = format!("auth.{key} leads to another machine without encryption, http://192.0.2.1/x");
        assert!(told.len() == 1 && told[0].contains(&what), "{told:?}");
        loaded(vec![file(&format!("{named}\nweb_plaintext = true"))]);
        loaded(vec![file(&named.replace("http:", "https:"))]);
    }
}

#[test]
fn what_goes_with_a_server_does_nothing_without_one() {
    let keys = "[auth]\ntoken_keys_url = \"https://issuer.example/\"";
    let hook = "[auth]\nhook_url = \"https://issuer.example/\"";
    for (line, server) in [
        ("token_keys_refresh = \"1m\"", keys),
        ("token_keys_keep = \"1h\"", keys),
        ("token_keys_timeout = \"1s\"", keys),
        ("web_ca = \"ca.pem\"", keys),
        ("hook_secret_file = \"secret\"", hook),
        ("hook_timeout = \"1s\"", hook),
        ("hook_cache = \"off\"", hook),
        ("hook_cache_denials = \"1s\"", hook),
        ("hook_connections = 4", hook),
        ("web_ca = \"ca.pem\"", hook),
    ] {
        let key = line.split(' ').next().unwrap();
        let told = about(&format!("[auth]\n{line}"));
        assert!(told.len() == 1 && told[0].starts_with(&format!("2:1: auth.{key}: this does nothing: ")), "{told:?}");
        loaded(vec![file(&format!("{server}\n{line}"))]);
    }
    assert_eq!(about("[auth]\nhook_url = \"http://127.0.0.1/\"\nweb_ca = \"ca.pem\"").len(), 1, "nothing is encrypted");
}

#[test]
fn keys_are_fetched_before_they_end() {
    let text = "[auth]\ntoken_keys_url = \"https://issuer.example/\"\ntoken_keys_keep = ";
    let told = about(&format!("{text}\"1m\""));
    assert!(told.len() == 1 && told[0].contains("keys would hold no longer"), "{told:?}");
    loaded(vec![file(&format!("{text}\"5m\""))]);
}

#[test]
fn threat_7_where_a_server_knows_clients_nobody_comes_in_unasked() {
    for server in ["token_keys_url", "hook_url"] {
        let text = format!("auth.{server} = \"https://issuer.example/\"\nlisteners.tcp = [\"0.0.0.0:1\"]");
        assert!(!loaded(vec![file(&text)]).config().auth.lets_anybody_in(), "{server}");
        loaded(vec![file(&format!("auth.anonymous = \"no\"\n{text}"))]);
    }
    let rules = "auth.hook_rules_url = \"https://issuer.example/\"";
    assert!(loaded(vec![file(rules)]).config().auth.lets_anybody_in(), "it says what clients may do, not who they are");
    assert_eq!(about(&format!("{rules}\nlisteners.tcp = [\"0.0.0.0:1\"]")).len(), 1);
}

#[test]
fn a_chain_with_a_hook_has_somebody_to_ask() {
    let listener = "[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"hook\"]";
    let told = about(listener);
    assert!(told.len() == 1 && told[0].contains("listeners.a.chain: nobody would be asked"), "{told:?}");
    loaded(vec![file(&format!("auth.hook_url = \"https://issuer.example/\"\n{listener}"))]);
}
