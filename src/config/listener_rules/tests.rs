//! Stories of contradictions: what a listener cannot mean, and that what it can mean is left alone.

use crate::config::complaint::Complaint;
use crate::config::listener_tests::about_listener;
use crate::config::tests::{about, complaints, file, loaded};
use crate::config::{Source, load};

#[test]
fn keys_that_would_do_nothing_are_told() {
    const TLS: &str = "certificates = [\"a.pem\"]\n";
    const SOCKET: &str = "[listeners.a]\naddress = \"unix:/run/x\"\n\n";
    let no_tls = "there is no TLS without a certificate (listeners.a.certificates = []: the default)";
    let not_asked = "clients are not asked for a certificate (listeners.a.client_certificates = \"off\": the default)";
    for (before, line, why) in [
        ("", "keys = [\"a.key\"]", no_tls),
        ("", "key_passphrase_file = \"a\"", no_tls),
        ("", "tls_min = \"1.3\"", no_tls),
        ("", "client_certificates = \"optional\"", no_tls),
        ("", "client_ca = [\"ca.pem\"]", no_tls),
        ("", "client_crls = [\"crl.pem\"]", no_tls),
        ("", "client_pins = \"pins\"", no_tls),
        ("", "tickets = false", no_tls),
        ("", "user_from = \"common-name\"", not_asked),
        (TLS, "client_ca = [\"ca.pem\"]", not_asked),
        (TLS, "client_crls = [\"crl.pem\"]", not_asked),
        (TLS, "client_pins = \"pins\"", not_asked),
        (TLS, "user_from = \"dns\"", not_asked),
        ("", "path = \"/ws\"", "only a WebSocket has it (listeners.a.protocol = \"mqtt\": the default)"),
        ("", "origins = [\"http://a\"]", "only a WebSocket has it (listeners.a.protocol = \"mqtt\": the default)"),
        (
            "",
            "dual_stack = true",
            "only [::] can take IPv4 as well (listeners.a.address = \"127.0.0.1:8883\": pregon.toml:2)",
        ),
        (
            "",
            "socket_mode = \"0600\"",
            "only a Unix socket has permissions (listeners.a.address = \"127.0.0.1:8883\": pregon.toml:2)",
        ),
        (
            "",
            "proxy_trusted = [\"::1\"]",
            "no proxy says who comes (listeners.a.proxy_protocol = \"off\": the default)",
        ),
    ] {
        let told = about_listener(&format!("{before}{line}"));
        let (key, at) = (line.split(' ').next().unwrap(), 3 + before.lines().count());
        assert_eq!(told, [format!("{at}:1: listeners.a.{key}: this does nothing: {why}")]);
    }
    let network = "a Unix socket is on no network (listeners.a.address = \"unix:/run/x\": pregon.toml:2)";
    for (line, why) in [
        ("interface = \"eth0\"", network),
        ("dual_stack = true", network),
        ("proxy_trusted = [\"::1\"]", network),
        (
            "connections_per_address_max = 3",
            "who comes in by a Unix socket has no address (listeners.a.address = \"unix:/run/x\": pregon.toml:2)",
        ),
    ] {
        let key = line.split(' ').next().unwrap();
        assert_eq!(about(&format!("{SOCKET}{line}")), [format!("4:1: listeners.a.{key}: this does nothing: {why}")]);
    }
    let crls = "client_certificates = \"required\"\nclient_pins = \"pins\"\nclient_crls = [\"crl.pem\"]";
    let [told] = &about_listener(&format!("{TLS}{crls}"))[..] else { panic!("one complaint") };
    assert!(told.starts_with("6:1: listeners.a.client_crls: this does nothing: who signs is not asked for"), "{told}");
    // One IPv6 address takes no IPv4 either.
    let one = about("auth.anonymous = \"yes\"\n[listeners.a]\naddress = \"[2001:db8::1]:1\"\ndual_stack = true");
    assert!(one[0].contains("only [::] can take IPv4 as well"), "{one:?}");
}

#[test]
fn a_listener_that_is_whole_contradicts_nothing() {
    for keys in [
        "certificates = [\"a.pem\", \"b.pem\"]\ntls_min = \"1.3\"\ntickets = false\nkey_passphrase_file = \"a\"",
        "certificates = [\"a.pem\", \"b.pem\"]\nkeys = [\"a.key\", \"b.key\"]",
        "certificates = [\"a.pem\"]\nclient_certificates = \"required\"\nclient_ca = [\"ca.pem\"]\nclient_crls = [\"c\"]",
        "certificates = [\"a.pem\"]\nclient_certificates = \"optional\"\nclient_pins = \"pins\"\nuser_from = \"subject\"",
        "certificates = [\"a.pem\"]\nclient_certificates = \"optional\"\nclient_pins = \"pins\"\nuser_from = \"uri\"\n\
         chain = [\"certificate\", \"anonymous\"]",
        "protocol = \"websocket\"\npath = \"/\"\norigins = [\"http://localhost\"]\ninterface = \"lo\"",
        "proxy_protocol = \"required\"\nproxy_trusted = [\"127.0.0.0/8\"]\nuser_from = \"common-name\"\n\
         chain = [\"certificate\"]",
        "connections_per_address_max = 3\ntickets = true\nkeys = []\nclient_certificates = \"off\"",
    ] {
        loaded(vec![file(&format!("[listeners.a]\naddress = \"127.0.0.1:8883\"\n{keys}"))]);
    }
    for keys in [
        "protocol = \"websocket\"\nsocket_mode = \"0666\"",
        "proxy_protocol = \"required\"\nconnections_per_address_max = 3",
    ] {
        loaded(vec![file(&format!("[listeners.a]\naddress = \"unix:/run/x\"\n{keys}"))]);
    }
    loaded(vec![file("auth.anonymous = \"yes\"\n[listeners.a]\naddress = \"[::]:4\"\ndual_stack = true")]);
}

#[test]
fn a_listener_that_contradicts_itself_is_told_at_its_own_line() {
    for (keys, wanted) in [
        (
            "certificates = [\"a.pem\"]\nkeys = [\"a.key\", \"b.key\"]",
            "4:1: listeners.a.keys: there are not as many secrets as certificates, 2 and 1: name one for each, or none where \
             each stands with its certificate (listeners.a.certificates = [\"a.pem\"]: pregon.toml:3)",
        ),
        (
            "certificates = [\"a.pem\"]\nclient_certificates = \"required\"",
            "4:1: listeners.a.client_certificates: nobody says which certificates hold: client_ca or client_pins do \
             (listeners.a.client_ca = []: the default, listeners.a.client_pins = \"\": the default)",
        ),
        (
            "proxy_protocol = \"required\"",
            "3:1: listeners.a.proxy_protocol: no proxy would be believed: proxy_trusted names where they are \
             (listeners.a.proxy_trusted = []: the default)",
        ),
        (
            "chain = [\"certificate\", \"anonymous\"]",
            "3:1: listeners.a.chain: no certificate would say who comes: client_certificates and user_from see to that \
             (listeners.a.client_certificates = \"off\": the default, listeners.a.user_from = \"none\": the default)",
        ),
    ] {
        assert_eq!(about_listener(keys), [wanted]);
    }
    let asked = "certificates = [\"a.pem\"]\nclient_certificates = \"required\"\nclient_ca = [\"ca.pem\"]\n";
    let told = about_listener(&format!("{asked}chain = [\"certificate\"]"));
    assert!(told.len() == 1 && told[0].starts_with("6:1: listeners.a.chain: no certificate would say"), "{told:?}");
    // A proxy is shown a certificate as well, but hands on nothing of it but the common name.
    let proxy = "proxy_protocol = \"required\"\nproxy_trusted = [\"::1\"]\nchain = [\"certificate\"]\n";
    assert_eq!(about_listener(&format!("{proxy}user_from = \"dns\"")).len(), 2);
    // The value whose source wins is blamed, if it is the listener's.
    let later = complaints(vec![
        file("[listeners.a]\naddress = \"127.0.0.1:4\"\ncertificates = [\"a.pem\"]\nkeys = [\"a.key\"]"),
        Source::set("listeners.a.certificates=a.pem,b.pem"),
    ]);
    assert!(
        later.len() == 1 && later[0].starts_with("--set: listeners.a.certificates: there are not as many"),
        "{later:?}"
    );
}

#[test]
fn no_contradiction_is_seen_in_a_listener_that_is_not_understood() {
    for keys in ["keys = [\"a.key\"]\ncertificats = [\"a.pem\"]", "keys = [\"a.key\"]\ncertificates = \"\\u0000\""] {
        let told = about_listener(keys);
        assert_eq!(told.len(), 1, "{told:?}");
    }
    let lost = about(
        "[listeners.a]\naddress = \"127.0.0.1:4\"\n[listeners.b\naddress = \"unix:/run/x\"\nsocket_mode = \"0600\"",
    );
    assert!(lost.iter().all(|line| !line.contains("does nothing")), "{lost:?}");
}

#[test]
fn listeners_keep_out_of_the_way_of_each_other() {
    let pair = |one: &str, other: &str| {
        load(vec![file(&format!(
            "auth.anonymous = \"yes\"\n[listeners.a]\naddress = {one}\n[listeners.b]\naddress = {other}"
        ))])
    };
    for (one, other) in [
        ("\"127.0.0.1:4\"", "\"127.0.0.1:4\""),
        ("\"127.0.0.1:4\"", "\"0.0.0.0:4\""),
        ("\"[::]:4\"", "\"[::1]:4\""),
        ("\"[::]:4\"\ndual_stack = true", "\"127.0.0.1:4\""),
        ("\"10.0.0.1:4\"\ninterface = \"eth0\"", "\"0.0.0.0:4\"\ninterface = \"eth0\""),
        ("\"10.0.0.1:4\"\ninterface = \"eth0\"", "\"0.0.0.0:4\""),
        ("\"unix:/run/x\"", "\"unix:/run/x\""),
    ] {
        let (forth, back) = (pair(one, other), pair(other, one));
        for told in [forth.unwrap_err(), back.unwrap_err()] {
            let told: Vec<String> = told.iter().map(Complaint::to_string).collect();
            assert!(told.len() == 1 && told[0].contains("cannot share a place"), "{one} {other}: {told:?}");
        }
    }
    for (one, other) in [
        ("\"127.0.0.1:0\"", "\"127.0.0.1:0\""),
        ("\"127.0.0.1:4\"", "\"127.0.0.1:5\""),
        ("\"127.0.0.1:4\"", "\"127.0.0.2:4\""),
        ("\"0.0.0.0:4\"", "\"[::]:4\""),
        ("\"[::]:5\"\ndual_stack = true", "\"127.0.0.1:4\""),
        ("\"10.0.0.1:4\"\ninterface = \"eth0\"", "\"10.0.0.1:4\"\ninterface = \"eth1\""),
        ("\"unix:/run/x\"", "\"unix:/run/y\""),
        ("\"unix:/run/x\"", "\"127.0.0.1:4\""),
    ] {
        assert!(pair(one, other).is_ok() && pair(other, one).is_ok(), "{one} {other}");
    }
    assert_eq!(
        about("[listeners.a]\naddress = \"127.0.0.1:4\"\n[listeners.b]\naddress = \"127.0.0.1:4\""),
        ["4:1: listeners.b.address: 127.0.0.1:4 and 127.0.0.1:4 cannot share a place \
            (listeners.a.address = \"127.0.0.1:4\": pregon.toml:2)"]
    );
}

#[test]
fn listeners_keep_out_of_the_way_of_plain_ones_and_of_the_door() {
    assert_eq!(
        complaints(vec![file("\n[listeners.a]\naddress = \"127.0.0.1:4\""), Source::set("listeners.tcp=127.0.0.1:4")]),
        [
            "pregon.toml:3:1: listeners.a.address: clients at 127.0.0.1:4 and clients at 127.0.0.1:4 cannot share a port \
            (listeners.tcp = [\"127.0.0.1:4\"]: --set)"
        ]
    );
    assert_eq!(
        about("[listeners.a]\naddress = \"127.0.0.1:9883\""),
        [
            "2:1: listeners.a.address: the operator's door 127.0.0.1:9883 and clients at 127.0.0.1:9883 cannot share a port \
            (admin.listen = \"127.0.0.1:9883\": the default)"
        ]
    );
    let dual = "auth.anonymous = \"yes\"\n[listeners.a]\naddress = \"[::]:1883\"\n";
    assert_eq!(about(&format!("{dual}dual_stack = true")).len(), 1, "it takes the default of listeners.tcp");
    loaded(vec![file(dual)]);
    loaded(vec![file("[admin]\nlisten = \"off\"\n[listeners.a]\naddress = \"127.0.0.1:9883\"")]);
}

#[test]
fn threat_7_a_listener_lets_nobody_in_unasked_from_other_machines() {
    let outside = |keys: &str| format!("[listeners.a]\naddress = \"0.0.0.0:8883\"\n{keys}");
    let told = about(&outside(""));
    let what = "2:1: listeners.a.address: 0.0.0.0:8883 is reached from other machines, and anybody would be let in";
    assert!(told.len() == 1 && told[0].starts_with(what), "{told:?}");
    let certificates = "certificates = [\"a.pem\"]\nclient_ca = [\"ca.pem\"]\n";
    for keys in [
        "protocol = \"websocket\"".to_owned(),
        "certificates = [\"a.pem\"]".to_owned(),
        "proxy_protocol = \"required\"\nproxy_trusted = [\"10.0.0.1\"]".to_owned(),
        "interface = \"lo\"".to_owned(),
        format!("{certificates}client_certificates = \"optional\""),
    ] {
        let told = about(&outside(&keys));
        assert!(told.len() == 1 && told[0].starts_with(what), "{keys}: {told:?}");
    }
    for keys in [format!("{certificates}client_certificates = \"required\""), "chain = [\"anonymous\"]".to_owned()] {
        loaded(vec![file(&outside(&keys))]);
    }
    for auth in ["auth.anonymous = \"yes\"\n", "auth.password_file = \"users\"\n", "auth.token_keys = \"keys\"\n"] {
        loaded(vec![file(&format!("{auth}{}", outside("")))]);
    }
    for address in ["127.1.2.3:1", "[::1]:1", "unix:/run/x"] {
        loaded(vec![file(&format!("[listeners.a]\naddress = \"{address}\""))]);
    }
    // An empty chain that a stronger source brings is to blame itself.
    let emptied = complaints(vec![file(&outside("chain = [\"anonymous\"]")), Source::set("listeners.a.chain=")]);
    assert!(emptied.len() == 1 && emptied[0].starts_with("--set: listeners.a.chain: 0.0.0.0:8883"), "{emptied:?}");
}

#[test]
fn a_listener_that_nobody_can_come_in_by_is_told() {
    let nobody = "nobody could come in here: there is no password file";
    let told = about_listener("chain = [\"password\"]");
    assert!(told.len() == 1 && told[0].starts_with(&format!("2:1: listeners.a.address: {nobody}")), "{told:?}");
    let told = about("auth.anonymous = \"no\"\n[listeners.a]\naddress = \"127.0.0.1:4\"");
    assert!(told.len() == 1 && told[0].starts_with(&format!("3:1: listeners.a.address: {nobody}")), "{told:?}");
    for text in [
        "auth.token_keys = \"keys\"\nauth.anonymous = \"no\"\n[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"token\"]",
        "auth.token_keys = \"keys\"\n[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"token\", \"password\"]",
        "auth.token_keys = \"keys\"\nauth.anonymous = \"no\"\n[listeners.a]\naddress = \"127.0.0.1:4\"",
        "auth.password_file = \"users\"\n[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"password\"]",
        "[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"password\", \"anonymous\"]",
        "[listeners.a]\naddress = \"127.0.0.1:4\"",
    ] {
        loaded(vec![file(text)]);
    }
}

#[test]
fn who_asks_for_tokens_says_whose_signatures_count() {
    for chain in ["\"token\"", "\"token\", \"password\"", "\"anonymous\", \"token\""] {
        let told = about_listener(&format!("chain = [{chain}]"));
        let what = "3:1: listeners.a.chain: no token would hold: auth.token_keys says whose signatures count \
            (auth.token_keys = \"\": the default)";
        assert_eq!(told, [what], "{chain}");
    }
}

#[test]
fn clients_need_some_way_in() {
    let nowhere = "listeners.tcp: clients could come in nowhere: an address is missing, or a listener of its own";
    assert_eq!(about("listeners.tcp = []"), [format!("1:11: {nowhere}")]);
    assert_eq!(complaints(vec![Source::set("listeners.tcp=")]), [format!("--set: {nowhere}")]);
    let checked = loaded(vec![file("[listeners]\ntcp = []\n[listeners.a]\naddress = \"127.0.0.1:1883\"")]);
    assert_eq!(checked.config().listeners.tcp, []);
}
