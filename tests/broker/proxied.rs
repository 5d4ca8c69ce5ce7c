//! Proxies that say who comes: their word is what rules hear, and nobody else's is taken.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;

use pregon::mqtt::Version;

use crate::authority::Saying;
use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::stream::{self, Crumbs, read_to_end};
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};
use crate::tls::{BOTH, Trust, over};
use crate::web::WebSocket;

/// Everybody comes in; one network may do more than the others.
const RULES: &str = "\
[[rule]]
effect = 'allow'
actions = 'connect'

[[rule]]
effect = 'allow'
who = { address = '10.1.0.0/16' }
actions = 'all'
topics = 'home/#'
";

/// A header of version 1 for a client of this address.
fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 127.0.0.1 40000 1883\r\n").into_bytes()
}

/// The same of version 2, with something behind the addresses that the broker does not know.
fn v2(source: &str) -> Vec<u8> {
    let source: Ipv4Addr = source.parse().expect("it is an address");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend([0, 12 + 4]);
    header.extend(source.octets());
    header.extend([127, 0, 0, 1, 0x9c, 0x40, 0x07, 0x5b]);
    header.extend([0xee, 0, 1, 7]);
    header
}

/// A field of version 2.
fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).expect("it is short").to_be_bytes();
    [&[kind, high, low], value].concat()
}

/// What a proxy says of the TLS that it has with a client: with this common name, verified so (0 is well), and of which session (bits).
fn v2_of_tls(source: &str, common_name: Option<&str>, verified: u32, bits: u8) -> Vec<u8> {
    let name = common_name.map(|name| field(0x22, name.as_bytes())).unwrap_or_default();
    let told = [&[bits][..], &verified.to_be_bytes(), &field(0x21, b"TLSv1.3"), &name].concat();
    let mut header = [v2(source), field(0x20, &told)].concat();
    let length = u16::try_from(header.len() - 16).expect("it is short");
    header[14..16].copy_from_slice(&length.to_be_bytes());
    header
}

/// The client has shown a certificate, on this connection.
const SHOWN: u8 = 0x01 | 0x02 | 0x04;

/// The same of one that the proxy has verified.
fn v2_of(common_name: &str) -> Vec<u8> {
    v2_of_tls("10.1.2.3", Some(common_name), 0, SHOWN)
}

/// A proxy speaks for itself, to see whether the broker is there.
fn own() -> Vec<u8> {
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()
}

/// A broker that believes proxies at these addresses.
fn believing(trusted: &str, shards: usize) -> Options {
    Options::shards(shards)
        .set("listeners.proxied.address=127.0.0.1:0")
        .set("listeners.proxied.proxy_protocol=required")
        .set(&format!("listeners.proxied.proxy_trusted={trusted}"))
        .set("limits.connect_timeout=1h")
}

/// A folder with the rules, and the setting that names them.
fn rules(test: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("rules"), RULES).expect("there is room");
    let setting = format!("auth.rules_file={}", folder.path().join("rules").display());
    (folder, setting)
}

fn behind(broker: &Broker, header: &[u8]) -> std::net::TcpStream {
    let mut stream = stream::tcp(broker.named("proxied"));
    stream.write_all(header).expect("the broker takes bytes");
    stream
}

#[test]
fn threat_5_rules_see_the_address_that_the_proxy_names() {
    let (_folder, rules) = rules("proxied-rules");
    for shards in [1, 3] {
        let broker = believing("127.0.0.0/8", shards).set(&rules).start();
        for header in [v1, v2] {
            for (source, code) in [("10.1.2.3", 1), ("10.2.2.3", 0x87), ("127.0.0.1", 0x87)] {
                for number in 0..4 {
                    let hello = Hello::v5(&format!("client-{number}"));
                    let mut client = Client::connect_over(behind(&broker, &header(source)), &hello);
                    assert_eq!(client.subscribe_to(&[Wish::to("home/#", 1)]), [code], "{source} {number}");
                    client.leave();
                }
            }
        }
        // A proxy that speaks for itself is where it is.
        let mut proxy = Client::connect_over(behind(&broker, &own()), &Hello::v5("proxy"));
        assert_eq!(proxy.subscribe_to(&[Wish::to("home/#", 1)]), [0x87]);
    }
}

#[test]
fn a_header_may_come_in_bytes_or_together_with_what_follows() {
    let (_folder, rules) = rules("proxied-cuts");
    for shards in [1, 3] {
        let broker = believing("127.0.0.1", shards).set(&rules).start();
        for (name, header) in [("v1", v1("10.1.2.3")), ("v2", v2("10.1.2.3"))] {
            for number in 0..8 {
                let id = format!("{name}-{number}");
                let said = [
                    header.clone(),
                    Hello::v311(&id).encode(),
                    subscribe(Version::V311, 1, &[Wish::to("home/a", 1)], None),
                    Post::to("home/a").payload("x").encode(Version::V311),
                ];
                let stream = stream::tcp(broker.named("proxied"));
                let mut client = if number % 2 == 0 {
                    Client::over(Crumbs(stream), Version::V311)
                } else {
                    Client::over(stream, Version::V311)
                };
                client.send(&said.concat());
                client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
                client.expect("SUBACK", |heard| matches!(heard, Heard::SubAck(1, codes, _) if codes == &[1]));
                assert_eq!(client.delivery().payload, b"x");
                client.leave();
            }
        }
    }
}

#[test]
fn threat_4_who_brings_no_header_is_closed_without_a_word() {
    let broker = believing("127.0.0.0/8", 3).start();
    let mut witness = Client::connect_over(behind(&broker, &v2("10.1.2.3")), &Hello::v5("witness"));
    let mut wrong_length = v2("10.1.2.3");
    wrong_length[15] = 3;
    for said in [
        Hello::v5("stranger").encode(),
        b"PROXY TCP4 10.1.2.3 127.0.0.1 40000\r\n".to_vec(),
        b"PROXY TCP4 10.1.2.3.4 127.0.0.1 40000 1883\r\n".to_vec(),
        [b'P'; 200].to_vec(),
        format!("PROXY {}", "x".repeat(200)).into_bytes(),
        wrong_length,
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c".to_vec(),
    ] {
        let mut stranger = behind(&broker, &said);
        assert_eq!(read_to_end(&mut stranger), b"", "{said:?}");
    }
    // A second header is no MQTT.
    let twice = [v1("10.1.2.3"), v1("10.1.2.4"), Hello::v5("twice").encode()].concat();
    assert_eq!(read_to_end(&mut behind(&broker, &twice)), b"");
    witness.expect_silence();
}

#[test]
fn threat_4_who_is_no_trusted_proxy_is_closed_whatever_he_says() {
    for shards in [1, 3] {
        let broker = believing("192.0.2.7", shards).start();
        for said in [v1("192.0.2.7"), v2("192.0.2.7"), own(), Vec::new()] {
            let mut stranger = stream::tcp(broker.named("proxied"));
            // The broker may have closed already.
            let _ = stranger.write_all(&[&said[..], &Hello::v5("stranger").encode()].concat());
            assert_eq!(read_to_end(&mut stranger), b"");
        }
        Client::join(&broker, Version::V5, "plain").expect_silence();
    }
}

#[test]
fn a_header_stands_before_tls_and_before_a_websocket() {
    let trust = Trust::new("proxied-layers");
    let rules_path = trust.path("rules");
    fs::write(&rules_path, RULES).expect("there is room");
    for (shards, is_web) in [(1, false), (3, false), (1, true), (3, true)] {
        let mut options = trust
            .options(shards)
            .set("listeners.tls.proxy_protocol=required")
            .set("listeners.tls.proxy_trusted=127.0.0.1")
            .set(&format!("auth.rules_file={}", rules_path.display()));
        if is_web {
            options = options.set("listeners.tls.protocol=websocket");
        }
        let broker = options.start();
        for (source, code) in [("10.1.2.3", 1), ("10.2.2.3", 0x87)] {
            for number in 0..6 {
                let mut stream = stream::tcp(broker.named("tls"));
                stream.write_all(&v2(source)).expect("the broker takes bytes");
                let tls = over(&trust.anybody(), stream);
                let hello = Hello::v5(&format!("client-{number}"));
                let mut client = if is_web {
                    Client::connect_over(WebSocket::open(tls), &hello)
                } else {
                    Client::connect_over(tls, &hello)
                };
                assert_eq!(client.subscribe_to(&[Wish::to("home/#", 1)]), [code], "{source}");
                client.leave();
            }
        }
        let mut bare = stream::tcp(broker.named("tls"));
        bare.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0\0\0").expect("the broker takes bytes");
        assert_eq!(read_to_end(&mut bare), b"");
    }
}

/// Everybody has a branch of his own, and one whose certificate has this common name is denied everything in a third.
const NAMED: &str = "\
[[rule]]
effect = 'allow'
actions = 'connect'

[[rule]]
effect = 'deny'
who = { common_name = 'eve' }
actions = 'all'
topics = 'square'

[[rule]]
effect = 'allow'
actions = 'all'
topics = ['home/%u', 'square']
";

/// A broker where proxies tell users by the common names of certificates.
fn naming(test: &str, shards: usize) -> (Folder, Options) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("rules"), NAMED).expect("there is room");
    let rules = format!("auth.rules_file={}", folder.path().join("rules").display());
    let options = believing("127.0.0.0/8", shards).set(&rules);
    (folder, options.set("listeners.proxied.user_from=common-name"))
}

fn codes(client: &mut Client, topics: &[&str]) -> Vec<u8> {
    topics.iter().flat_map(|topic| client.subscribe_to(&[Wish::to(topic, 1)])).collect()
}

#[test]
fn threat_4_a_proxy_names_a_user_only_by_a_certificate_that_it_has_verified() {
    for shards in [1, 3] {
        let (_folder, options) = naming("proxied-names", shards);
        let broker = options.set("listeners.proxied.chain=certificate").start();
        for number in 0..4 {
            let hello = Hello::v5(&format!("client-{number}"));
            let mut ann = Client::connect_over(behind(&broker, &v2_of("ann")), &hello);
            assert_eq!(codes(&mut ann, &["home/ann", "home/bob", "home/+", "square"]), [1, 0x87, 0x87, 1]);
            ann.leave();
        }
        // Shown in an earlier connection of the same session of TLS.
        Client::connect_over(behind(&broker, &v2_of_tls("10.1.2.3", Some("ann"), 0, 0x05)), &Hello::v5("back")).leave();
        let mut local = v2_of("ann");
        local[12] = 0x20;
        let nobody = [
            ("not verified", v2_of_tls("10.1.2.3", Some("ann"), 1, SHOWN)),
            ("not shown", v2_of_tls("10.1.2.3", Some("ann"), 0, 0x01)),
            ("no TLS", v2_of_tls("10.1.2.3", Some("ann"), 0, 0x06)),
            ("no name", v2_of_tls("10.1.2.3", None, 0, SHOWN)),
            ("nothing of TLS", v2("10.1.2.3")),
            ("version 1", v1("10.1.2.3")),
            ("the proxy itself", local),
        ];
        for (what, header) in nobody {
            let mut client = Client::over(behind(&broker, &header), Version::V5);
            client.send(&Hello::v5("nobody").encode());
            client.expect(what, |heard| matches!(heard, Heard::ConnAck(false, 0x86 | 0x87, _)));
            client.expect_closed();
        }
        for wrong in [v2_of("a\0b"), v2_of("a\nb"), v2_of("")] {
            assert_eq!(read_to_end(&mut behind(&broker, &wrong)), b"", "such a header is malformed");
        }
        // A name that looks like a pattern or a path is nobody else's.
        for name in ["+", "#", "ann/#", "%u", "*"] {
            let mut other = Client::connect_over(behind(&broker, &v2_of(name)), &Hello::v5("other"));
            assert_eq!(codes(&mut other, &["home/ann", "home/+", "home/#"]), [0x87; 3], "{name}");
            other.leave();
        }
    }
}

#[test]
fn threat_4_a_session_belongs_to_the_user_that_a_proxy_has_named() {
    for shards in [1, 3] {
        let (_folder, options) = naming("proxied-sessions", shards);
        let broker = options.set("listeners.proxied.chain=certificate").start();
        let hello = Hello::v5("same").resume().expiry(600);
        let mut owner = Client::connect_over(behind(&broker, &v2_of("ann")), &hello);
        owner.subscribe("square", 1);
        for _ in 0..3 {
            let mut thief = Client::over(behind(&broker, &v2_of("bob")), Version::V5);
            thief.send(&hello.encode());
            thief.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x80.., _)));
            thief.expect_closed();
        }
        owner.expect_silence();
        // From elsewhere, she is still herself.
        let again = behind(&broker, &v2_of_tls("10.7.7.7", Some("ann"), 0, SHOWN));
        let mut again = Client::over(again, Version::V5);
        again.send(&hello.encode());
        again.expect("the session", |heard| matches!(heard, Heard::ConnAck(true, 0, _)));
        owner.expect_closed_for(0x8e);
        Client::join(&broker, Version::V311, "speaker").post(&Post::to("square").payload("x").qos(1).id(1));
        assert_eq!(again.take().payload, b"x");
    }
}

#[test]
fn threat_5_rules_by_common_name_hold_for_what_a_proxy_tells() {
    let long = "n".repeat(300);
    for shards in [1, 3] {
        let (_folder, options) = naming("proxied-denied", shards);
        let broker = options.set("listeners.proxied.chain=anonymous").start();
        // Of a name that is too long to be one nobody knows whose it is.
        for (name, code) in [("ann", 1), ("eve", 0x87), (&*long, 0x87)] {
            let mut client = Client::connect_over(behind(&broker, &v2_of(name)), &Hello::v5("client"));
            assert_eq!(codes(&mut client, &["square"]), [code], "{name}");
            client.leave();
        }
        let mut bare = Client::connect_over(behind(&broker, &v2("10.1.2.3")), &Hello::v5("bare"));
        assert_eq!(codes(&mut bare, &["square"]), [1], "a proxy that says nothing says that there is none");
    }
    // Where names are not asked for, what proxies say of them is nothing.
    let (_folder, options) = naming("proxied-unasked", 1);
    let broker = options.set("listeners.proxied.user_from=none").set("listeners.proxied.chain=anonymous").start();
    let mut eve = Client::connect_over(behind(&broker, &v2_of("eve")), &Hello::v5("eve"));
    assert_eq!(codes(&mut eve, &["square"]), [1]);
}

#[test]
fn threat_4_a_certificate_that_the_broker_has_seen_counts_more_than_one_that_it_is_told_of() {
    let trust = Trust::new("proxied-shown");
    let rules_path = trust.path("rules");
    fs::write(&rules_path, NAMED).expect("there is room");
    let shown = trust.authority.certify(&Saying { name: "bob", ..Saying::default() });
    let broker = trust
        .mutual(3)
        .set("listeners.tls.proxy_protocol=required")
        .set("listeners.tls.proxy_trusted=127.0.0.1")
        .set("listeners.tls.user_from=common-name")
        .set("listeners.tls.chain=certificate")
        .set(&format!("auth.rules_file={}", rules_path.display()))
        .start();
    for header in [v2_of("ann"), v2("10.1.2.3")] {
        let mut stream = stream::tcp(broker.named("tls"));
        stream.write_all(&header).expect("the broker takes bytes");
        let mut bob = Client::connect_over(over(&trust.client(Some(&shown), &BOTH), stream), &Hello::v5("bob"));
        assert_eq!(codes(&mut bob, &["home/bob", "home/ann"]), [1, 0x87]);
        bob.leave();
    }
}
