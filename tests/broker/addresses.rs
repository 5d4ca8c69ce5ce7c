//! Listeners at addresses of IPv6, of both families at once, and of one network device.
//!
//! The machine has an IPv6 of its own, at least at the loopback, as Linux has it unless somebody turns it off.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use pregon::mqtt::Version;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::PATIENCE;
use crate::process::{Broker, Options, run_to_end};
use crate::stream::{Stream, read_to_end};
use crate::support::story::{Heard, Hello, Post, Wish};

const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// An address of this machine at which nobody else listens.
const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 8, 7));

/// Who comes by IPv4 has one branch, who comes by IPv6 another, and whom a proxy names a third.
const RULES: &str = "\
[[rule]]
effect = 'allow'
actions = 'connect'

[[rule]]
effect = 'allow'
who = { address = '127.0.0.0/8' }
actions = 'all'
topics = 'four'

[[rule]]
effect = 'allow'
who = { address = '::1' }
actions = 'all'
topics = 'six'

[[rule]]
effect = 'allow'
who = { address = '10.1.0.0/16' }
actions = 'all'
topics = 'proxied'
";

const BRANCHES: [&str; 3] = ["four", "six", "proxied"];

/// By `mosquitto_passwd` 2.0.11: `alice` with `correct horse`.
const USERS: &str = "\
alice:$7$101$sW+MWAyltInm8zDb$pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==
";

/// A folder with this file, and the setting that names it.
fn file(test: &str, key: &str, content: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("file"), content).expect("there is room");
    let setting = format!("{key}={}", folder.path().join("file").display());
    (folder, setting)
}

/// Listeners at `[::1]`, and at `[::]` with and without IPv4.
fn listening(shards: usize) -> Options {
    Options::shards(shards)
        .set("listeners.one.address=[::1]:0")
        .set("listeners.six.address=[::]:0")
        .set("listeners.six.chain=anonymous")
        .set("listeners.both.address=[::]:0")
        .set("listeners.both.dual_stack=true")
        .set("listeners.both.chain=anonymous")
}

/// A connection from this address of the machine to the same one.
fn try_at(address: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let family = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(family, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((address, 0)).into()).expect("this machine has that address");
    socket.connect(&SocketAddr::from((address, port)).into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn at(address: IpAddr, port: u16) -> TcpStream {
    try_at(address, port).expect("the broker listens")
}

#[track_caller]
fn expect_nobody(address: IpAddr, port: u16) {
    let error = try_at(address, port).expect_err("nobody listens there");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{error}");
}

/// Which of the branches a client has.
fn branches(stream: impl Stream + 'static) -> [bool; 3] {
    let mut client = Client::connect_over(stream, &Hello::v5("client"));
    let granted = BRANCHES.map(|topic| client.subscribe_to(&[Wish::to(topic, 1)]) == [1]);
    client.leave();
    granted
}

#[test]
fn a_listener_is_reached_by_the_families_that_it_takes() {
    for shards in [1, 3] {
        let broker = listening(shards).start();
        let [one, six, both] = ["one", "six", "both"].map(|name| broker.named(name));
        assert_eq!(one.ip(), SIX);
        let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
        subscriber.subscribe("news", 1);
        for (address, port) in [(SIX, one.port()), (SIX, six.port()), (SIX, both.port()), (FOUR, both.port())] {
            for number in 0..4 {
                let hello = Hello::v311(&format!("client-{number}"));
                let mut client = Client::connect_over(at(address, port), &hello);
                client.post(&Post::to("news").payload(format!("{address}")).qos(1).id(1));
                assert_eq!(subscriber.take().payload, address.to_string().as_bytes());
                client.leave();
            }
        }
        expect_nobody(FOUR, one.port());
        expect_nobody(FOUR, six.port());
    }
}

#[test]
fn threat_5_rules_see_an_address_of_ipv4_also_where_it_comes_as_one_of_ipv6() {
    let (_folder, rules) = file("addresses-rules", "auth.rules_file", RULES);
    for shards in [1, 3] {
        let broker = listening(shards).set(&rules).start();
        let [one, both] = ["one", "both"].map(|name| broker.named(name).port());
        assert_eq!(branches(at(FOUR, both)), [true, false, false]);
        assert_eq!(branches(at(SIX, both)), [false, true, false]);
        assert_eq!(branches(at(SIX, one)), [false, true, false]);
    }
}

#[test]
fn threat_10_a_ban_holds_for_an_address_however_it_is_written() {
    let (_folder, users) = file("addresses-bans", "auth.password_file", USERS);
    let guess = |stream: TcpStream| {
        let mut client = Client::over(stream, Version::V5);
        client.send(&Hello::v5("guesser").login("alice", "guess").encode());
        client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
    };
    let come_in = |stream: TcpStream| {
        Client::connect_over(stream, &Hello::v5("alice").login("alice", "correct horse")).leave();
    };
    for shards in [1, 3] {
        let options = listening(shards).set(&users).set("auth.failures_max=3").set("auth.ban_exempt=");
        let options = options.set("auth.ban=1h").set("auth.ban_max=1h").set("listeners.both.chain=password");
        let broker = options.set("listeners.four.address=127.9.8.7:0").start();
        let [one, both, four] = ["one", "both", "four"].map(|name| broker.named(name).port());
        for _ in 0..3 {
            guess(at(FOUR, both));
        }
        for port in [four, both] {
            assert_eq!(read_to_end(&mut at(FOUR, port)), b"", "it is closed without a word");
        }
        come_in(at(SIX, both));
        for _ in 0..3 {
            guess(at(SIX, one));
        }
        for port in [one, both] {
            assert_eq!(read_to_end(&mut at(SIX, port)), b"", "it is closed without a word");
        }
        come_in(crate::stream::tcp(broker.address));
    }
}

/// A header of version 2 for a client of IPv6.
fn v2_of_six(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().expect("it is an address");
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    header.extend(source.octets());
    header.extend(Ipv6Addr::LOCALHOST.octets());
    header.extend([0x9c, 0x40, 0x07, 0x5b]);
    header
}

#[test]
fn threat_4_a_proxy_is_known_and_believed_by_addresses_however_they_are_written() {
    let (_folder, rules) = file("addresses-proxied", "auth.rules_file", RULES);
    let v1 = |source: &str| format!("PROXY TCP6 {source} ::1 40000 1883\r\n").into_bytes();
    let trusting = |shards: usize, trusted: &str| {
        listening(shards)
            .set(&rules)
            .set("listeners.both.proxy_protocol=required")
            .set(&format!("listeners.both.proxy_trusted={trusted}"))
            .start()
    };
    let behind = |broker: &Broker, proxy: IpAddr, header: &[u8]| {
        let mut stream = at(proxy, broker.named("both").port());
        std::io::Write::write_all(&mut stream, header).expect("the broker takes bytes");
        stream
    };
    for shards in [1, 3] {
        let broker = trusting(shards, "127.9.8.0/24");
        for header in [v1, |source: &str| v2_of_six(source)] {
            assert_eq!(branches(behind(&broker, FOUR, &header("::ffff:10.1.2.3"))), [false, false, true]);
            assert_eq!(branches(behind(&broker, FOUR, &header("::ffff:10.2.2.3"))), [false; 3]);
            assert_eq!(branches(behind(&broker, FOUR, &header("::1"))), [false, true, false]);
        }
        assert_eq!(read_to_end(&mut at(SIX, broker.named("both").port())), b"", "this proxy is not believed");
        let broker = trusting(shards, "::1");
        assert_eq!(branches(behind(&broker, SIX, &v2_of_six("::ffff:10.1.2.3"))), [false, false, true]);
        assert_eq!(read_to_end(&mut at(FOUR, broker.named("both").port())), b"", "this proxy is not believed");
    }
}

#[test]
fn a_listener_of_one_device_is_reached_by_that_device() {
    let broker = Options::shards(3)
        .set("listeners.loop.address=0.0.0.0:0")
        .set("listeners.loop.interface=lo")
        .set("listeners.loop.chain=anonymous")
        .start();
    let port = broker.named("loop").port();
    for number in 0..4 {
        Client::connect_over(at(FOUR, port), &Hello::v5(&format!("client-{number}"))).leave();
    }
    drop(broker);
    // Where there is another device, who comes by this one does not reach a listener of that one.
    let devices = fs::read_dir("/sys/class/net").expect("Linux tells its devices");
    let devices = devices.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for device in devices.filter(|name| name == "eth0") {
        let broker = Options::shards(1)
            .set("listeners.other.address=0.0.0.0:0")
            .set(&format!("listeners.other.interface={device}"))
            .set("listeners.other.chain=anonymous")
            .start();
        expect_nobody(FOUR, broker.named("other").port());
    }
}

#[test]
fn a_device_that_is_not_there_is_told() {
    let settings = ["listeners.other.address=127.0.0.1:0", "listeners.other.interface=nowhere0", "admin.listen=off"];
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--memory"];
    for setting in &settings {
        arguments.extend(["--set", setting]);
    }
    let (code, told) = run_to_end(&arguments);
    assert!(code.is_some_and(|code| code != 0), "{told}");
    assert!(told.contains("127.0.0.1:0") && told.contains("this machine has no such network device"), "{told}");
}
