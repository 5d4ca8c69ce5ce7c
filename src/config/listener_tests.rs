//! Stories of listeners with a name: where their values come from, which names and values are refused, what contradicts what.

use super::complaint::Complaint;
use super::listener::{
    ClientCertificates, LISTENERS_MAX, ListenAddress, Proof, Protocol, ProxyProtocol, TlsVersion, UserFrom,
};
use super::listener_keys::LISTENER_KEYS;
use super::print::example;
use super::tests::{about, complaints, file, loaded, place};
use super::*;
use crate::base::network::Network;
use crate::mqtt::QoS;

/// A listener that says everything, a Unix socket's permissions left out.
const EVERY_KEY: &str = r#"
[listeners.Casa-1_b]
address = "[::]:8883"
protocol = "websocket"
interface = "eth0"
dual_stack = true
proxy_protocol = "required"
proxy_trusted = ["10.0.0.0/8", "fd00::/8", "192.0.2.7"]
certificates = ["a.pem", "/etc/b,c.pem"]
keys = ["a.key", "b.key"]
key_passphrase_file = "secret"
tls_min = "1.3"
client_certificates = "optional"
client_ca = ["ca.pem"]
client_crls = ["crl.pem"]
client_pins = "pins"
user_from = "common-name"
tickets = false
path = "/ws"
origins = ["https://casa.example"]
chain = ["certificate", "token", "password", "hook", "anonymous"]
connections_max = 1_000
connections_per_address_max = 10
connect_rate = 50
packet_bytes_max = "1MiB"
keep_alive_max = "1m"
connect_timeout = "5s"
message_rate = "unlimited"
byte_rate = "64KiB"
maximum_qos = 1
subscriptions_max = 7
topic_levels_max = 8
inflight_max = 9
"#;

/// What `address` takes, in words.
const ADDRESS_ALLOWED: &str =
    "allowed: an address with its port such as \"0.0.0.0:8883\", or a socket such as \"unix:/run/pregon/mqtt\"";

/// The listener of the example, as a file that says it.
pub fn uncommented(example: &str) -> String {
    let listener = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.is_empty() && !line.starts_with(' '));
    listener.collect::<Vec<_>>().join("\n")
}

/// The only listener of a configuration.
fn only(checked: &Checked) -> &Listener {
    let [listener] = &checked.config().listeners.named[..] else { panic!("one listener") };
    listener
}

/// The complaints about a listener `a` on loopback with these keys, in the lines 3 and below.
fn about_listener(keys: &str) -> Vec<String> {
    about(&format!("[listeners.a]\naddress = \"127.0.0.1:8883\"\n{keys}"))
}

fn address(text: &str) -> ListenAddress {
    ListenAddress::Tcp(text.parse().unwrap())
}

#[test]
fn every_key_of_a_listener_is_read_from_a_file() {
    let checked = loaded(vec![file(EVERY_KEY)]);
    let wanted = Listener {
        name: "Casa-1_b".into(),
        address: address("[::]:8883"),
        protocol: Protocol::WebSocket,
        interface: Some("eth0".into()),
        dual_stack: true,
        socket_mode: 0o660,
        proxy_protocol: ProxyProtocol::Required,
        proxy_trusted: ["10.0.0.0/8", "fd00::/8", "192.0.2.7"].map(|text| Network::parse(text).unwrap()).into(),
        certificates: vec!["a.pem".into(), "/etc/b,c.pem".into()],
        keys: vec!["a.key".into(), "b.key".into()],
        key_passphrase_file: "secret".into(),
        tls_min: TlsVersion::V13,
        client_certificates: ClientCertificates::Optional,
        client_ca: vec!["ca.pem".into()],
        client_crls: vec!["crl.pem".into()],
        client_pins: "pins".into(),
        user_from: UserFrom::CommonName,
        tickets: false,
        path: "/ws".into(),
        origins: vec!["https://casa.example".into()],
        chain: vec![Proof::Certificate, Proof::Token, Proof::Password, Proof::Hook, Proof::Anonymous],
        connections_max: Some(1_000),
        connections_per_address_max: Some(10),
        connect_rate: 50,
        packet_bytes_max: Some(1 << 20),
        keep_alive_max_s: Some(60),
        connect_timeout_ms: Some(5_000),
        message_rate: Some(0),
        byte_rate: Some(65_536),
        maximum_qos: Some(QoS::AtLeastOnce),
        subscriptions_max: Some(7),
        topic_levels_max: Some(8),
        inflight_max: Some(9),
    };
    assert_eq!(*only(&checked), wanted);
    let socket = loaded(vec![file("[listeners.a]\naddress = \"unix:/run/x\"\nsocket_mode = \"0600\"")]);
    let wanted = Listener { address: ListenAddress::Unix("/run/x".into()), socket_mode: 0o600, ..Listener::new("a") };
    assert_eq!(*only(&socket), wanted);
}

#[test]
fn each_source_adds_to_a_listener_and_wins_over_the_one_below() {
    let sources = vec![
        Source::set("listeners.garden.maximum_qos=1"),
        Source::environment("PREGON_LISTENERS__GARDEN__INFLIGHT_MAX", "7"),
        Source::environment("PREGON_LISTENERS__GARDEN__MAXIMUM_QOS", "0"),
        Source::drop_in("conf.d/20-b.toml", "listeners.garden.inflight_max = 6\nlisteners.garden.byte_rate = \"2KiB\""),
        Source::drop_in("conf.d/10-a.toml", "[listeners.garden]\nbyte_rate = \"1KiB\"\ntopic_levels_max = 5"),
        file("[listeners]\nbacklog = 9\n\n[listeners.garden]\naddress = \"127.0.0.1:4\"\ntopic_levels_max = 4"),
    ];
    let checked = loaded(sources);
    let wanted = Listener {
        address: address("127.0.0.1:4"),
        topic_levels_max: Some(5),
        byte_rate: Some(2_048),
        inflight_max: Some(7),
        maximum_qos: Some(QoS::AtLeastOnce),
        ..Listener::new("garden")
    };
    assert_eq!(*only(&checked), wanted);
    assert_eq!(checked.config().listeners.backlog, 9);
    for (key, origin) in [
        ("address", "pregon.toml:5"),
        ("topic_levels_max", "conf.d/10-a.toml:3"),
        ("byte_rate", "conf.d/20-b.toml:2"),
        ("inflight_max", "PREGON_LISTENERS__GARDEN__INFLIGHT_MAX"),
        ("maximum_qos", "--set"),
        ("tickets", "default"),
    ] {
        assert_eq!(place(&checked, &format!("listeners.garden.{key}")), origin, "{key}");
    }
}

#[test]
fn a_listener_may_be_said_without_any_file() {
    let checked = loaded(vec![
        Source::set("listeners.b-1.address=unix:/run/b"),
        Source::environment("PREGON_LISTENERS__A_1__ADDRESS", "127.0.0.1:4"),
        Source::environment("PREGON_LISTENERS__A_1__CHAIN", "token, password"),
    ]);
    let chain = vec![Proof::Token, Proof::Password];
    let wanted = [
        Listener { address: address("127.0.0.1:4"), chain, ..Listener::new("a_1") },
        Listener { address: ListenAddress::Unix("/run/b".into()), ..Listener::new("b-1") },
    ];
    assert_eq!(checked.config().listeners.named, wanted, "they stand by their names");
}

#[test]
fn every_key_of_a_listener_has_a_variable_and_an_assignment() {
    let there = || file("listeners.a.address = \"127.0.0.1:4\"");
    let plain = Listener { address: address("127.0.0.1:4"), ..Listener::new("a") };
    for key in LISTENER_KEYS {
        let written = key.written(&plain).replace('"', "");
        let sources = [
            (Source::environment(&key.variable_in("a"), written.as_str()), key.variable_in("a")),
            (Source::set(format!("{} = {written}", key.path_in("a"))), "--set".to_owned()),
        ];
        for (source, origin) in sources {
            let checked = loaded(vec![there(), source]);
            assert_eq!((only(&checked), place(&checked, &key.path_in("a"))), (&plain, origin));
        }
    }
}

#[test]
fn the_listener_of_the_example_has_every_key_at_its_default() {
    let text = uncommented(&example());
    let checked = loaded(vec![file(&text)]);
    let address = ListenAddress::Tcp("127.0.0.1:1884".parse().unwrap());
    assert_eq!(*only(&checked), Listener { address, ..Listener::new("garden") });
    for key in LISTENER_KEYS {
        let origin = place(&checked, &key.path_in("garden"));
        assert!(origin.starts_with("pregon.toml:"), "{} is not in the example", key.name);
    }
    assert_eq!(text.lines().count(), LISTENER_KEYS.len() + 1, "each key once");
}

#[test]
fn the_names_of_listeners_are_plain_and_differ() {
    let letters = "letters, digits, - and _ make a name, up to 32 of them";
    let longest = "n".repeat(32);
    assert_eq!(
        about(&format!("[listeners.\"a.b\"]\nkesy = 1\n[listeners.{longest}x]\n[listeners.\"\"]\n")),
        [
            format!("1:12: listeners.a.b: a listener is not called so: {letters}"),
            format!("3:12: listeners.{longest}x: a listener is not called so: {letters}"),
            format!("4:12: listeners.: a listener is not called so: {letters}"),
        ]
    );
    loaded(vec![file(&format!("[listeners.{longest}]\naddress = \"127.0.0.1:4\""))]);
    let taken = "`tcp` is a key of [listeners]: a listener needs another name";
    assert_eq!(about("[listeners.tcp]\naddress = \"127.0.0.1:4\""), [format!("1:12: listeners.tcp: {taken}")]);
    assert_eq!(
        complaints(vec![Source::environment("PREGON_LISTENERS__TCP__ADDRESS", "127.0.0.1:4")]),
        [format!("PREGON_LISTENERS__TCP__ADDRESS: listeners.tcp: {taken}")]
    );
    assert_eq!(
        complaints(vec![Source::set("listeners.a b.address=127.0.0.1:4")]),
        [format!("--set: listeners.a b: a listener is not called so: {letters}")]
    );
    assert_eq!(
        about("[listeners.Home]\naddress = \"127.0.0.1:4\"\n[listeners.home]\naddress = \"127.0.0.1:5\""),
        ["3:12: listeners.home: a listener is called `Home` already: names differ in more than capitals"]
    );
    assert_eq!(about("[listeners.a]\naddress = \"127.0.0.1:4\"\n[listeners.a]\n"), ["3:12: no TOML: duplicate key"]);
}

#[test]
fn a_variable_means_the_listener_that_is_there_whatever_its_capitals() {
    let checked = loaded(vec![
        file("[listeners.Home]\naddress = \"127.0.0.1:4\""),
        Source::environment("PREGON_LISTENERS__HOME__ADDRESS", "127.0.0.1:5"),
    ]);
    assert_eq!((&*only(&checked).name, &only(&checked).address), ("Home", &address("127.0.0.1:5")));
    assert_eq!(place(&checked, "listeners.Home.address"), "PREGON_LISTENERS__HOME__ADDRESS");
}

#[test]
fn there_are_so_many_listeners_and_no_more() {
    let table = |number: usize| format!("[listeners.l{number:02}]\naddress = \"127.0.0.1:{}\"", number + 1);
    let text = |count: usize| (0..count).map(table).collect::<Vec<_>>().join("\n");
    assert_eq!(loaded(vec![file(&text(LISTENERS_MAX))]).config().listeners.named.len(), LISTENERS_MAX);
    let told = about(&text(LISTENERS_MAX + 2));
    assert_eq!(told[0], "129:12: listeners.l64: there are more than 64 listeners with a name");
    assert_eq!(told.len(), 2);
}

#[test]
fn what_is_no_table_is_no_listener() {
    let once = "a list stands here; allowed: [listeners.home] once, and its keys below";
    assert_eq!(
        about("[[listeners.home]]\naddress = \"127.0.0.1:4\""),
        [format!("1:13: listeners.home: the name of a section, but {once}")]
    );
    assert_eq!(about("listeners.garden = \"127.0.0.1:4\""), ["1:11: listeners.garden: there is no such key"]);
    assert_eq!(about("listeners.tpc = [\"127.0.0.1:4\"]").len(), 1);
    assert_eq!(
        about("[listener.home]\naddress = \"127.0.0.1:4\""),
        ["1:2: listener: there is no section of this name; did you mean listeners?"]
    );
}

#[test]
fn a_key_that_is_none_leads_to_the_one_that_was_meant() {
    let meant = |keys: &str| {
        let [told] = &about_listener(keys)[..] else { panic!("one complaint about {keys}") };
        told.split_once("; ").map_or("", |(_, meant)| meant).to_owned()
    };
    assert_eq!(meant("certificats = []"), "did you mean listeners.a.certificates?");
    assert_eq!(meant("max_connections = 3"), "did you mean listeners.a.connections_max?");
    assert_eq!(meant("backlog = 3"), "did you mean listeners.backlog?");
    assert_eq!(meant("session_expiry_max = \"7d\""), "did you mean limits.session_expiry_max?");
    assert_eq!(meant("keepalive_max = \"7s\""), "did you mean listeners.a.keep_alive_max?");
    assert_eq!(meant("x = 3"), "");
    let key = |at: &str, meant: &str| [format!("{at}: there is no such key; did you mean {meant}?")];
    assert_eq!(
        about("[listeners]\ncertificates = []"),
        key("2:1: listeners.certificates", "listeners.NAME.certificates")
    );
    assert_eq!(about("client_ca = []"), key("1:1: client_ca", "listeners.NAME.client_ca"));
    assert_eq!(
        complaints(vec![Source::set("listener.a.adress=127.0.0.1:4")]),
        key("--set: listener.a.adress", "listeners.a.address")
    );
    assert_eq!(
        complaints(vec![Source::set("listeners.a\u{1b}[31m.adress=127.0.0.1:4")]),
        key("--set: listeners.a\\u{1b}[31m.adress", "listeners.NAME.address")
    );
    assert_eq!(
        complaints(vec![Source::environment("PREGON_LISTENERS__A__ADRESS", "127.0.0.1:4")]),
        key("PREGON_LISTENERS__A__ADRESS", "PREGON_LISTENERS__A__ADDRESS")
    );
    assert_eq!(
        complaints(vec![Source::environment("PREGON_LISTENERS_A_CLIENT_CA", "ca.pem")]),
        key("PREGON_LISTENERS_A_CLIENT_CA", "PREGON_LISTENERS__A__CLIENT_CA")
    );
}

#[test]
fn a_wrong_value_of_a_listener_says_what_is_allowed() {
    let networks = "a list of networks such as [\"10.0.0.0/8\", \"fd00::/8\", \"192.0.2.7\"]";
    for (line, wanted) in [
        (
            "address = \"localhost:4\"",
            format!("\"localhost:4\" is not an address and a port; \"127.0.0.1:4\" is one; {ADDRESS_ALLOWED}"),
        ),
        (
            "address = \"unix:x\"",
            format!(
                "\"unix:x\" is no socket in the file system: an absolute path of up to 107 bytes is one; {ADDRESS_ALLOWED}"
            ),
        ),
        ("address = [\"127.0.0.1:4\"]", format!("a list does not belong here; {ADDRESS_ALLOWED}")),
        (
            "socket_mode = 660",
            "a number does not belong here; allowed: permissions in octal digits such as \"0660\"".to_owned(),
        ),
        (
            "protocol = \"ws\"",
            "\"ws\" is not one of the words known here; allowed: \"mqtt\" or \"websocket\"".to_owned(),
        ),
        (
            "proxy_trusted = \"10.0.0.1/8\"",
            format!(
                "\"10.0.0.1/8\" is no network: bits are set behind the first 8; 10.0.0.0/8 is the network of that \
                 address; allowed: {networks}"
            ),
        ),
        (
            "chain = [\"token\", \"token\"]",
            "\"token\" stands there twice; allowed: a list of \"certificate\", \"password\", \"token\", \"hook\" or \
             \"anonymous\", each at most once"
                .to_owned(),
        ),
        (
            "origins = [\"https://Casa.example/\"]",
            "\"https://Casa.example/\" is no origin as browsers send it; \"https://casa.example\" is one; allowed: a \
             list of origins such as [\"https://casa.example\", \"http://localhost:8080\"]"
                .to_owned(),
        ),
        (
            "path = \"mqtt\"",
            "\"mqtt\" is no path of a URL: it begins with a slash and has up to 256 bytes; allowed: the path of a URL \
             such as \"/mqtt\", up to 256 bytes"
                .to_owned(),
        ),
        (
            "interface = \"eth0:1\"",
            "\"eth0:1\" is no network device: its name has up to 15 bytes; allowed: the name of a network device such \
             as \"eth0\", or \"\" for any"
                .to_owned(),
        ),
        (
            "byte_rate = \"any\"",
            "\"any\" is not a number; allowed: \"1KiB\" to \"2GiB\", \"unlimited\" or \"inherit\"".to_owned(),
        ),
        ("maximum_qos = 3", "3 is out of bounds; allowed: 0 to 2, or \"inherit\"".to_owned()),
        ("tickets = \"no\"", "text does not belong here; allowed: true or false".to_owned()),
    ] {
        let address = if line.starts_with("address") { "" } else { "address = \"127.0.0.1:4\"\n" };
        let [told] = &about(&format!("[listeners.a]\n{address}{line}"))[..] else { panic!("one complaint: {line}") };
        let key = line.split(' ').next().unwrap();
        let (_, what) = told.split_once(&format!(": listeners.a.{key}: ")).unwrap_or_else(|| panic!("{told}"));
        assert_eq!(what, wanted, "{line}");
    }
}

#[test]
fn each_wrong_entry_of_a_list_is_pointed_at() {
    let told = about_listener("proxy_protocol = \"required\"\nproxy_trusted = [\"10.0.0.0/8\", \"x\", 3, \"::/129\"]");
    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["4:32", "4:37", "4:40"], "{told:?}");
    let many = vec!["\"a\""; 1_025].join(",");
    let told = about_listener(&format!("certificates = [{many}]"));
    assert!(told[0].starts_with("3:16: listeners.a.certificates: the list has more than 1024 entries;"), "{told:?}");
}

#[test]
fn a_listener_without_an_address_is_pointed_at_where_it_is_named_first() {
    let missing = |at: &str| {
        [format!(
            "{at}: listeners.a.address: a listener says where it listens, and nothing does here; {ADDRESS_ALLOWED}"
        )]
    };
    assert_eq!(about("\n[listeners.a]\nsocket_mode = \"0600\"\ninflight_max = 3"), missing("2:12"));
    assert_eq!(complaints(vec![Source::set("listeners.a.inflight_max=3")]), missing("--set"));
    let later = vec![file("[listeners.a]\n"), Source::drop_in("conf.d/1.toml", "listeners.a.inflight_max = 3")];
    assert_eq!(complaints(later), missing("pregon.toml:1:12"));
    // What may have been meant as the address is not missed as well.
    assert_eq!(about("[listeners.a]\nadress = \"127.0.0.1:4\"").len(), 1);
    assert_eq!(about("[listeners.a]\naddress = \"127.0.0.1\"").len(), 1);
    assert_eq!(about("[listeners.a]\naddress = 127.0.0.1:4\n").len(), 1);
}

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
            "chain = [\"certificate\", \"token\"]",
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
    for keys in [
        format!("{certificates}client_certificates = \"required\""),
        "chain = [\"anonymous\"]".to_owned(),
        "chain = [\"token\"]".to_owned(),
    ] {
        loaded(vec![file(&outside(&keys))]);
    }
    for auth in ["auth.anonymous = \"yes\"\n", "auth.password_file = \"users\"\n"] {
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
        "auth.anonymous = \"no\"\n[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"token\"]",
        "auth.password_file = \"users\"\n[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"password\"]",
        "[listeners.a]\naddress = \"127.0.0.1:4\"\nchain = [\"password\", \"anonymous\"]",
        "[listeners.a]\naddress = \"127.0.0.1:4\"",
    ] {
        loaded(vec![file(text)]);
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

#[test]
fn what_was_said_of_listeners_is_printed_with_its_place() {
    let checked = loaded(vec![
        file("[listeners.b]\naddress = \"127.0.0.1:5\"\ntickets = true\n[listeners.a]\naddress = \"unix:/run/x\""),
        Source::set("listeners.a.chain=token,hook"),
    ]);
    let printed = checked.to_string();
    let lines: Vec<&str> = printed.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("listeners.a.")).unwrap();
    assert!(lines[first - 1].starts_with("listeners.receive_buffer_bytes "), "behind their section");
    assert_eq!(
        lines[first..first + 5],
        [
            "listeners.a.address               = \"unix:/run/x\"       pregon.toml:5",
            "listeners.a.chain                 = [\"token\", \"hook\"]   --set",
            "listeners.b.address               = \"127.0.0.1:5\"       pregon.toml:2",
            "listeners.b.tickets               = true                pregon.toml:3",
            lines[first + 4],
        ]
    );
    assert!(lines[first + 4].starts_with("limits."));
}
