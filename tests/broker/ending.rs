//! How the process ends, and when it does not even begin.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::PATIENCE;
use crate::process::{Broker, Options, run_to_end};
use crate::support::story::{Hello, Post};

/// DISCONNECT: Server shutting down.
const SHUTTING_DOWN: u8 = 0x8b;
/// Exit codes.
const MISUSED: Option<i32> = Some(2);
const NOT_STARTED: Option<i32> = Some(3);

#[test]
fn sigterm_says_goodbye_delivers_what_was_acknowledged_and_ends_with_zero() {
    for shards in [1, 3] {
        let mut broker = Broker::start(shards);
        let mut clients: Vec<Client> =
            (0..12).map(|number| Client::join(&broker, Version::V5, &format!("client-{number}"))).collect();
        let mut older = Client::join(&broker, Version::V311, "older");
        let mut reader = Client::join(&broker, Version::V5, "reader");
        reader.subscribe("last", 0);
        let mut silent = Client::open(broker.address, Version::V5);
        let mut publisher = Client::join(&broker, Version::V5, "publisher");
        for number in 0..100u8 {
            publisher.post(&Post::to("last").payload([number]).qos(1));
        }

        broker.terminate();
        for number in 0..100u8 {
            assert_eq!(reader.take().payload, [number]);
        }
        reader.expect_closed_for(SHUTTING_DOWN);
        for client in &mut clients {
            client.expect_closed_for(SHUTTING_DOWN);
        }
        older.expect_closed();
        silent.expect_closed();
        assert_eq!(broker.wait().code(), Some(0));
    }
}

#[test]
fn stopping_broker_accepts_nobody() {
    let mut broker = Broker::start(2);
    let mut client = Client::join(&broker, Version::V5, "client");
    broker.terminate();
    client.expect_closed_for(SHUTTING_DOWN);
    // Either nobody listens, or the connection ends without an acceptance.
    if let Ok(mut late) = TcpStream::connect(broker.address) {
        late.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
        let mut heard = Vec::new();
        // A reset on either way is an end, too.
        let _ = late.write_all(&Hello::v311("late").encode()).and_then(|()| late.read_to_end(&mut heard));
        assert_ne!(heard, [0x20, 2, 0, 0]);
    }
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn next_start_on_the_same_address_need_not_wait() {
    for shards in [1, 3] {
        let mut broker = Broker::start(shards);
        for _ in 0..20 {
            Client::join(&broker, Version::V5, "client").expect_silence();
            broker.terminate();
            assert_eq!(broker.wait().code(), Some(0));
            broker = Options::shards(shards).listen(broker.address).start();
        }
    }
}

#[test]
fn client_that_does_not_read_cannot_hold_up_the_end() {
    let mut broker = Options::shards(1).set("runtime.drain_timeout=1s").start();
    let mut idler = Client::join(&broker, Version::V311, "idler");
    idler.subscribe("news", 0);
    let mut publisher = Client::join(&broker, Version::V311, "publisher");
    for _ in 0..200 {
        publisher.publish(&Post::to("news").payload(vec![0; 64 * 1024]));
    }
    publisher.expect_silence();
    broker.terminate();
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn second_start_on_the_same_address_names_it() {
    let broker = Broker::start(1);
    let address = broker.address.to_string();
    let (code, log) = run_to_end(&["--memory", "--listen", &address, "--admin", "127.0.0.1:0"]);
    assert_eq!(code, NOT_STARTED, "{log}");
    assert!(log.contains(&address), "{log}");
    Client::join(&broker, Version::V5, "undisturbed").expect_silence();
}

#[test]
fn address_of_another_program_is_not_taken() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
    let address = other.local_addr().expect("a bound socket has an address").to_string();
    let (code, log) = run_to_end(&["--memory", "--listen", &address, "--admin", "127.0.0.1:0"]);
    assert_eq!(code, NOT_STARTED, "{log}");
    assert!(log.contains(&address), "{log}");
}

#[test]
fn core_that_is_missing_is_named() {
    let (code, log) =
        run_to_end(&["--memory", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "4000-4001"]);
    assert!(code == NOT_STARTED || code == MISUSED, "{code:?}: {log}");
    assert!(log.contains("4000"), "{log}");
}

#[test]
fn unknown_key_is_named_with_its_neighbour() {
    let (code, log) = run_to_end(&["--memory", "--listen", "127.0.0.1:0", "--set", "limits.recieve_maximum=5"]);
    assert_eq!(code, MISUSED, "{log}");
    assert!(log.contains("recieve_maximum") && log.contains("receive_maximum"), "{log}");
}

#[test]
fn value_that_makes_no_sense_is_named() {
    for setting in ["limits.receive_maximum=none", "runtime.shards=0", "runtime.shards=65"] {
        let (code, log) =
            run_to_end(&["--memory", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", setting]);
        assert!(code == MISUSED || code == NOT_STARTED, "{setting}: {code:?}: {log}");
        let (key, _) = setting.split_once('=').expect("a setting");
        let (_, name) = key.split_once('.').expect("a section");
        assert!(log.contains(name), "{setting}: {log}");
    }
}
