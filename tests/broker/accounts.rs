//! Bounds on what is counted across connections and shards, and bans, of a running broker.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use pregon::mqtt::Version;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{PATIENCE, Stopwatch, wait_until};
use crate::process::{Broker, Options};
use crate::stream;
use crate::support::story::{Heard, Hello, Post};
use crate::tls::{Trust, over};

/// By `mosquitto_passwd` 2.0.11: `alice` with `correct horse`.
const USERS: &str = "\
alice:$7$101$sW+MWAyltInm8zDb$pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==
";

/// A folder with the users, and the setting that names them.
fn users(test: &str) -> (Folder, String) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("users"), USERS).expect("there is room");
    let setting = format!("auth.password_file={}", folder.path().join("users").display());
    (folder, setting)
}

/// A broker that bans after three failures, also on this machine.
fn banning(users: &str, shards: usize) -> Options {
    Options::shards(shards)
        .set(users)
        .set("auth.failures_max=3")
        .set("auth.ban=1h")
        .set("auth.ban_max=1h")
        .set("auth.ban_exempt=")
}

/// A connection from this address of the machine itself.
fn from(own: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are descriptors");
    socket.bind(&SocketAddr::from((own, 0)).into()).expect("all of 127.0.0.0/8 is this machine");
    socket.connect(&to.into()).expect("the broker listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
    stream
}

fn alice(id: &str) -> Hello {
    Hello::v5(id).login("alice", "correct horse")
}

fn stranger(id: &str) -> Hello {
    Hello::v5(id).login("alice", "guess")
}

/// Says CONNECT through a stream and takes the reason of CONNACK; none where the broker only closes.
fn answer(stream: impl stream::Stream + 'static, hello: &Hello) -> Option<u8> {
    let mut client = Client::over(stream, hello.version);
    client.send(&hello.encode());
    match client.hear() {
        Heard::ConnAck(_, reason, _) => Some(reason),
        Heard::Closed => None,
        other => panic!("no answer to CONNECT: {other:?}"),
    }
}

fn guess_three_times(mut say: impl FnMut(&Hello) -> Option<u8>) {
    for number in 0..3 {
        assert_eq!(say(&stranger(&format!("guesser-{number}"))), Some(0x86));
    }
}

#[test]
fn threat_10_an_address_that_guesses_is_closed_at_once_on_every_shard_and_others_come_in() {
    let (_folder, users) = users("bounds-guess");
    for shards in [1, 3] {
        let broker = banning(&users, shards).start();
        let [guesser, other] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let mut here = Client::connect_over(from(guesser, broker.address), &alice("here"));
        guess_three_times(|hello| answer(from(guesser, broker.address), hello));
        for number in 0..8 {
            let hello = alice(&format!("client-{number}"));
            assert_eq!(answer(from(guesser, broker.address), &hello), None);
            assert_eq!(answer(from(other, broker.address), &hello), Some(0));
        }
        here.expect_silence();
        wait_until("the line about the ban", || broker.log().contains("an address is banned"));
    }
}

#[test]
fn threat_10_a_banned_address_behind_a_proxy_gets_no_handshake_and_its_neighbour_does() {
    let (_folder, users) = users("bounds-proxied");
    let trust = Trust::new("bounds-proxied-tls");
    for shards in [1, 3] {
        let broker = banning(&users, shards)
            .set("listeners.proxied.address=127.0.0.1:0")
            .set(&format!("listeners.proxied.certificates={}", trust.server.path.display()))
            .set("listeners.proxied.proxy_protocol=required")
            .set("listeners.proxied.proxy_trusted=127.0.0.0/8")
            .start();
        let behind = |source: &str| {
            let mut stream = stream::tcp(broker.named("proxied"));
            let header = format!("PROXY TCP4 {source} 127.0.0.1 40000 8883\r\n");
            stream.write_all(header.as_bytes()).expect("the broker takes bytes");
            stream
        };
        guess_three_times(|hello| answer(over(&trust.anybody(), behind("10.1.2.3")), hello));
        for number in 0..4 {
            let hello = alice(&format!("client-{number}"));
            let mut banned = over(&trust.anybody(), behind("10.1.2.3"));
            let _sent_or_closed_already = banned.conn.write_tls(&mut banned.sock);
            assert!(stream::read_to_end(&mut banned.sock).is_empty(), "not a byte of TLS");
            assert_eq!(answer(over(&trust.anybody(), behind("10.1.2.4")), &hello), Some(0));
        }
        assert_eq!(answer(stream::tcp(broker.address), &alice("direct")), Some(0), "the proxy's own address is free");
    }
}

#[test]
fn a_local_client_is_never_banned_unless_it_is_wanted() {
    let (_folder, users) = users("bounds-local");
    let broker = Options::shards(2).set(&users).set("auth.failures_max=1").start();
    for number in 0..5 {
        assert_eq!(answer(stream::tcp(broker.address), &stranger(&format!("c{number}"))), Some(0x86));
    }
    Client::connect(&broker, &alice("alice"));
}

/// How many of so many connections stay open, by PINGREQ after a successful CONNECT.
fn crowd(broker: &Broker, count: usize, address: impl Fn(usize) -> Ipv4Addr) -> Vec<Client> {
    let mut here = Vec::new();
    for number in 0..count {
        let hello = Hello::v5(&format!("crowd-{number}"));
        let mut client = Client::over(from(address(number), broker.address), hello.version);
        client.send(&hello.encode());
        match client.hear() {
            Heard::ConnAck(_, 0, _) => here.push(client),
            Heard::Closed => {}
            other => panic!("neither in nor out: {other:?}"),
        }
    }
    here
}

#[test]
fn connections_of_broker_and_address_are_counted_on_all_shards_together() {
    let one = |_| Ipv4Addr::LOCALHOST;
    let each = |number: usize| Ipv4Addr::new(127, 1, 0, u8::try_from(number).expect("a small crowd"));
    for shards in [1, 3] {
        let broker = Options::shards(shards).set("limits.connections_max=7").start();
        let mut here = crowd(&broker, 12, each);
        assert_eq!(here.len(), 7);
        here.swap_remove(0).leave();
        wait_until("the place of one that has left", || crowd(&broker, 1, each).len() == 1);

        let broker = Options::shards(shards).set("limits.connections_per_address_max=4").start();
        let here = crowd(&broker, 12, one);
        assert_eq!(here.len(), 4);
        assert_eq!(crowd(&broker, 3, each).len(), 3);
        drop(here);
        wait_until("the places of those that have left", || crowd(&broker, 1, one).len() == 1);
    }
}

#[test]
fn a_listener_has_its_own_bounds_and_the_others_do_not_feel_them() {
    let broker = Options::shards(3)
        .set("listeners.narrow.address=127.0.0.1:0")
        .set("listeners.narrow.connections_max=3")
        .set("listeners.narrow.connections_per_address_max=2")
        .start();
    let narrow = broker.named("narrow");
    let enter = |last: u8, number: usize| {
        let hello = Hello::v311(&format!("n-{last}-{number}"));
        let mut client = Client::over(from(Ipv4Addr::new(127, 0, 0, last), narrow), hello.version);
        client.send(&hello.encode());
        matches!(client.hear(), Heard::ConnAck(_, 0, _)).then_some(client)
    };
    let here = [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0)].map(|(last, number)| enter(last, number));
    assert_eq!(here.each_ref().map(Option::is_some), [true, true, false, false, true, false]);
    (0..5).for_each(|number| drop(Client::join(&broker, Version::V5, &format!("wide-{number}"))));
}

#[test]
fn sessions_of_a_user_are_counted_again_after_a_restart() {
    let (folder, users) = users("bounds-sessions");
    let data = format!("storage.data_dir={}", folder.path().join("data").display());
    let options = |shards| {
        let options = Options::shards(shards).set(&users).set("storage.durability=interval").set(&data);
        options.set("limits.sessions_per_user_max=2")
    };
    let broker = options(3).start();
    for id in ["a1", "a2"] {
        Client::connect(&broker, &alice(id).expiry(600)).leave();
    }
    assert_eq!(answer(stream::tcp(broker.address), &alice("a3").expiry(600)), Some(0x97));
    let mut before = broker;
    before.terminate();
    before.wait();
    let broker = options(2).start();
    assert_eq!(answer(stream::tcp(broker.address), &alice("a3").expiry(600)), Some(0x97));
    let (mut back, is_present) = Client::connect_present(&broker, &alice("a1").resume().expiry(600));
    assert!(is_present);
    back.post(&Post::to("x").payload("1").qos(1).id(1));
}

#[test]
fn a_user_is_sent_so_much_in_a_second_on_all_shards_and_nobody_else_waits() {
    let (_folder, users) = users("bounds-out");
    let broker =
        Options::shards(3).set(&users).set("auth.anonymous=yes").set("limits.message_rate_out_per_user=20").start();
    let mut readers: Vec<Client> =
        (0..3).map(|number| Client::connect(&broker, &alice(&format!("r{number}")))).collect();
    let mut usual = Client::join(&broker, Version::V311, "usual");
    readers.iter_mut().chain([&mut usual]).for_each(|reader| reader.subscribe("t", 1));
    let watch = Stopwatch::start();
    let mut writer = Client::join(&broker, Version::V311, "writer");
    for id in 1..=20 {
        writer.post(&Post::to("t").qos(1).id(id).payload(id.to_string()));
    }
    for id in 1..=20 {
        assert_eq!(usual.take().payload, id.to_string().as_bytes());
    }
    for reader in &mut readers {
        for id in 1..=20 {
            assert_eq!(reader.take().payload, id.to_string().as_bytes());
        }
    }
    // Each shard may send one before it knows what the others have sent.
    assert!(watch.elapsed() > Duration::from_millis(1_700), "37 of them, 20 a second, in {:?}", watch.elapsed());
    readers.iter_mut().for_each(Client::expect_silence);
}

#[test]
fn what_a_user_retains_is_counted_again_after_a_restart_with_other_shards() {
    let (folder, users) = users("bounds-retained");
    let data = format!("storage.data_dir={}", folder.path().join("data").display());
    let options = |shards| {
        let options = Options::shards(shards).set(&users).set("storage.durability=interval").set(&data);
        options.set("limits.retained_messages_per_user_max=10")
    };
    let refused = |broker: &Broker| {
        let mut alice = Client::connect(broker, &alice("a"));
        alice.post(&Post::to("t/3").retain().payload("newer").qos(1));
        alice.publish(&Post::to("t/more").retain().payload("x").qos(1));
        alice.expect("a refusal", |heard| matches!(heard, Heard::PubAck(1, 0x97, _)));
    };
    let mut broker = options(3).start();
    let mut writer = Client::connect(&broker, &alice("w"));
    for number in 0..10 {
        writer.post(&Post::to(&format!("t/{number}")).retain().payload("x").qos(1));
    }
    refused(&broker);
    for shards in [3, 2] {
        broker.terminate();
        broker.wait();
        broker = options(shards).start();
        refused(&broker);
    }
    let mut alice = Client::connect(&broker, &alice("a"));
    alice.post(&Post::to("t/3").retain().qos(1)); // an empty one erases
    alice.post(&Post::to("t/more").retain().payload("x").qos(1));
}

#[test]
fn threat_10_strangers_from_any_number_of_addresses_switch_off_no_bound_of_a_user() {
    let (_folder, users) = users("bounds-flood");
    let broker = Options::shards(3)
        .set(&users)
        .set("limits.accounts_max=1024")
        .set("limits.connections_per_user_max=1")
        .set("listeners.proxied.address=127.0.0.1:0")
        .set("listeners.proxied.proxy_protocol=required")
        .set("listeners.proxied.proxy_trusted=127.0.0.0/8")
        .with_metrics()
        .start();
    // Each of them is remembered for a minute, since it has failed once.
    for number in 0..3_000 {
        let mut stream = stream::tcp(broker.named("proxied"));
        let header = format!("PROXY TCP6 2001:db8:0:{number:x}::1 ::1 40000 1883\r\n");
        stream.write_all(header.as_bytes()).expect("the broker takes bytes");
        assert_eq!(answer(stream, &stranger("s")), Some(0x86));
    }
    wait_until("no place for an address", || broker.metric("pregon_uncounted_total").is_some_and(|count| count > 0.0));
    let _here = Client::connect(&broker, &alice("a1"));
    assert_eq!(answer(stream::tcp(broker.address), &alice("a2")), Some(0x97));
}
