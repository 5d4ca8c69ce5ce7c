//! Stories of listeners with a name: where their values come from, which names and values are refused, what is printed.

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
chain = ["certificate", "token", "password", "anonymous"]
connections_max = 1_000
connections_per_address_max = 10
connect_rate = 50
packet_bytes_max = "1MiB"
keep_alive_max = "1m"
connect_timeout = "5s"
message_rate = "unlimited"
byte_rate = "64KiB"
message_rate_out = 20
byte_rate_out = "2MiB"
will_bytes_max = "0B"
user_properties_max = 3
maximum_qos = 1
subscriptions_max = 7
topic_levels_max = 8
inflight_max = 9
"#;

/// What `address` takes, in words.
const ADDRESS_ALLOWED: &str = "allowed: an address such as \"0.0.0.0:8883\", without a port at 8883 with TLS and at 1883 without, or a \
     socket such as \"unix:/run/pregon/mqtt\"";

#[test]
fn where_the_syntax_is_broken_nobody_is_told_what_a_listener_lacks() {
    let broken = "[listeners.a]\naddress = \"127.0.0.1:8883\"\n[listeners.b\nclient_certificates = \"required\"\n";
    let told = about(broken);
    assert_eq!(told.len(), 1, "it is a guess whose line that is: {told:?}");
    let mended = broken.replace("s.b\n", "s.b]\naddress = \"127.0.0.1:8884\"\n");
    let told = about(&mended);
    assert!(!told.is_empty() && told.iter().all(|told| told.contains("client_certificates")), "{told:?}");
}

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
pub(super) fn about_listener(keys: &str) -> Vec<String> {
    about(&format!("[listeners.a]\naddress = \"127.0.0.1:8883\"\n{keys}"))
}

fn address(text: &str) -> ListenAddress {
    ListenAddress::Tcp(text.parse().unwrap())
}

#[test]
fn every_key_of_a_listener_is_read_from_a_file() {
    let checked = loaded(vec![file(EVERY_KEY), Source::set("auth.token_keys=keys")]);
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
        chain: vec![Proof::Certificate, Proof::Token, Proof::Password, Proof::Anonymous],
        plaintext_passwords: None, // there is TLS
        connections_max: Some(1_000),
        connections_per_address_max: Some(10),
        connect_rate: 50,
        packet_bytes_max: Some(1 << 20),
        keep_alive_max_s: Some(60),
        connect_timeout_ms: Some(5_000),
        message_rate: Some(0),
        byte_rate: Some(65_536),
        message_rate_out: Some(20),
        byte_rate_out: Some(2 << 20),
        will_bytes_max: Some(0),
        user_properties_max: Some(3),
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
fn bounds_stand_at_the_number_of_their_listener() {
    let tcp = "[listeners]\ntcp = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n";
    let own = |bounds: &str| {
        let a = "[listeners.a]\naddress = \"127.0.0.1:3\"\n";
        let checked = loaded(vec![file(&format!("{tcp}{a}[listeners.b]\naddress = \"127.0.0.1:4\"\n{bounds}"))]);
        let (listeners, limits) = (&checked.config().listeners, &checked.config().limits);
        listeners.own_limits(limits).iter().map(|own| own.inflight_max).collect::<Vec<_>>()
    };
    assert_eq!(own("inflight_max = 7"), [1_000, 1_000, 1_000, 7]);
    assert!(own("").is_empty() && own("inflight_max = 1_000").is_empty(), "none has bounds of its own");
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
        Source::environment("PREGON_AUTH__TOKEN_KEYS", "keys"),
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
    assert_eq!(about("[listeners.a]\naddress = \"localhost\"").len(), 1);
    assert_eq!(about("[listeners.a]\naddress = 127.0.0.1:4\n").len(), 1);
}

#[test]
fn an_address_without_a_port_has_the_one_of_what_is_spoken_there() {
    let at = |keys: &str| loaded(vec![file(&format!("listeners.tcp = []\n[listeners.a]\n{keys}"))]);
    for (keys, wanted) in [
        ("address = \"127.0.0.1\"", "127.0.0.1:1883"),
        ("address = \"127.0.0.1\"\ncertificates = [\"a\"]", "127.0.0.1:8883"),
        ("certificates = [\"a\"]\naddress = \"[::1]\"", "[::1]:8883"),
        ("address = \"127.0.0.1:0\"\ncertificates = [\"a\"]", "127.0.0.1:0"),
    ] {
        assert_eq!(only(&at(keys)).address, address(wanted), "{keys}");
    }
    // Who has the last word about the address says whether there is a port; who speaks of certificates may come later.
    let said = |more: Vec<Source>| {
        let first = file("listeners.tcp = []\n[listeners.a]\naddress = \"127.0.0.1\"");
        only(&loaded(std::iter::once(first).chain(more).collect())).address.clone()
    };
    assert_eq!(said(vec![Source::set("listeners.a.certificates=a")]), address("127.0.0.1:8883"));
    assert_eq!(said(vec![Source::set("listeners.a.address=127.0.0.1:7")]), address("127.0.0.1:7"));
    let plain = loaded(vec![Source::set("listeners.tcp=127.0.0.1, [::1]")]);
    assert_eq!(plain.config().listeners.tcp, ["127.0.0.1:1883", "[::1]:1883"].map(|text| text.parse().unwrap()));
    for text in ["[::1]", "[[::1]]", "[::1]:1883"] {
        let plain = loaded(vec![Source::set(format!("listeners.tcp={text}"))]);
        assert_eq!(plain.config().listeners.tcp, ["[::1]:1883".parse().unwrap()], "{text}");
    }

    let told = |keys: &str| about(&format!("listeners.tcp = []\n[listeners.a]\n{keys}"));
    let allowed = ADDRESS_ALLOWED;
    assert_eq!(
        told("address = \"127.0.0.1\"\nprotocol = \"websocket\""),
        [format!("3:1: listeners.a.address: a WebSocket has no usual port: one has to be said; {allowed}")]
    );
    assert_eq!(
        told("address = \"fe80::1:8883\""),
        [format!(
            "3:11: listeners.a.address: \"fe80::1:8883\" is IPv6 without brackets, so nobody can tell a port from it: \
             \"[fe80::1:8883]\" is an address, \"[fe80::1]:8883\" one with its port; {allowed}"
        )]
    );
    // What is wrong elsewhere may change the port, so nothing is said of it.
    assert_eq!(told("address = \"127.0.0.1\"\nprotocol = \"ws\"").len(), 1);
    let two = "address = \"127.0.0.1\"\ncertificates = [\"a\"]\n[listeners.b]\naddress = \"127.0.0.1:8883\"";
    assert!(told(two)[0].contains("127.0.0.1:8883 and 127.0.0.1:8883 cannot share a place"));
    assert_eq!(told(&two.replace("[\"a\"]", "3")).len(), 1);
}

#[test]
fn what_was_said_of_listeners_is_printed_with_its_place() {
    let checked = loaded(vec![
        file("[listeners.b]\naddress = \"127.0.0.1:5\"\ntickets = true\n[listeners.a]\naddress = \"unix:/run/x\""),
        Source::set("listeners.a.chain=token,password"),
        Source::set("auth.token_keys=keys"),
    ]);
    let printed = checked.to_string();
    let lines: Vec<&str> = printed.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("listeners.a.")).unwrap();
    assert!(lines[first - 1].starts_with("listeners.receive_buffer_bytes "), "behind their section");
    assert_eq!(
        lines[first..first + 5],
        [
            "listeners.a.address                   = \"unix:/run/x\"           pregon.toml:5",
            "listeners.a.chain                     = [\"token\", \"password\"]   --set",
            "listeners.b.address                   = \"127.0.0.1:5\"           pregon.toml:2",
            "listeners.b.tickets                   = true                    pregon.toml:3",
            lines[first + 4],
        ]
    );
    assert!(lines[first + 4].starts_with("limits."));
}

#[test]
fn the_listeners_of_the_manual_are_right() {
    let manual = include_str!("../manual/configuration.md");
    let block = manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let text = block.into_iter().find(|text| text.contains("[listeners.secure]")).unwrap();
    let checked = loaded(vec![file(text)]);
    let names: Vec<&str> = checked.config().listeners.named.iter().map(|listener| &*listener.name).collect();
    assert_eq!(names, ["behind-proxy", "browsers", "local", "secure"]);
}
