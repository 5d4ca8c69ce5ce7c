//! MQTT over TLS: all that it is over TCP, however its bytes are cut and whichever shard a client comes to.

use std::io::Write as _;
use std::sync::Arc;

use pregon::mqtt::Version;
use rustls::{AlertDescription, ClientConfig, Error};

use crate::client::Client;
use crate::process::Broker;
use crate::stream::{self, Crumbs};
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};
use crate::tls::{BOTH, Trust, expect_refused, is_resumed, open, over, say_in_records, shake};
use crate::web::WebSocket;

/// So many clients that most of them move to another shard when they say who they are.
const CLIENTS: usize = 12;

fn join(broker: &Broker, config: &Arc<ClientConfig>, hello: &Hello) -> Client {
    Client::connect_over(open(broker, config), hello)
}

#[test]
fn every_quality_of_service_in_each_version_of_both() {
    let trust = Trust::new("secure-qualities");
    for shards in [1, 3] {
        let broker = trust.options(shards).start();
        for tls in BOTH {
            let config = trust.client(None, &[tls]);
            for version in [Version::V311, Version::V5] {
                let mut subscriber = join(&broker, &config, &Hello::new(version, "subscriber"));
                let mut publisher = join(&broker, &config, &Hello::new(version, "publisher"));
                let mut plain = Client::join(&broker, version, "plain");
                plain.subscribe("q/#", 2);
                for qos in 0..=2 {
                    let topic = format!("q/{qos}");
                    subscriber.subscribe(&topic, qos);
                    publisher.post(&Post::to(&topic).payload("x").qos(qos).id(7));
                    for hearer in [&mut subscriber, &mut plain] {
                        let heard = hearer.take();
                        assert_eq!((heard.topic.as_str(), heard.qos), (topic.as_str(), qos), "{tls:?} {version:?}");
                    }
                }
                for client in [subscriber, publisher, plain] {
                    client.leave();
                }
            }
        }
    }
}

#[test]
fn a_megabyte_goes_both_ways() {
    let trust = Trust::new("secure-megabyte");
    let payload: Vec<u8> = (0..1_000_000_u32).map(|number| ((number * 7) >> 3).to_le_bytes()[0]).collect();
    for shards in [1, 3] {
        let broker = trust.options(shards).start();
        for tls in BOTH {
            let config = trust.client(None, &[tls]);
            for qos in 0..=2 {
                let mut one = join(&broker, &config, &Hello::v5("one"));
                let mut other = join(&broker, &config, &Hello::v311("other"));
                one.subscribe("to/one", qos);
                other.subscribe("to/other", qos);
                for (from, to, topic) in [(1, 2, "to/other"), (2, 1, "to/one")] {
                    let (speaker, hearer) = if from < to { (&mut one, &mut other) } else { (&mut other, &mut one) };
                    speaker.post(&Post::to(topic).payload(payload.clone()).qos(qos).id(3));
                    assert!(hearer.take().payload == payload, "{shards} {tls:?} {qos}");
                }
                one.leave();
                other.leave();
            }
        }
    }
}

#[test]
fn connect_and_all_behind_it_may_come_in_one_flight_of_many_records() {
    let trust = Trust::new("secure-flight");
    for shards in [1, 3] {
        let broker = trust.options(shards).start();
        for tls in BOTH {
            for version in [Version::V311, Version::V5] {
                let config = trust.client(None, &[tls]);
                for number in 0..CLIENTS {
                    let topic = format!("echo/{number}");
                    let packets = [
                        Hello::new(version, &format!("client-{number}")).encode(),
                        subscribe(version, 1, &[Wish::to(&topic, 1)], None),
                        Post::to(&topic).payload("x".repeat(5_000)).qos(1).id(9).encode(version),
                        vec![0xc0, 0],
                    ];
                    let mut tls = open(&broker, &config);
                    // Every other one says all of it before it knows that the broker is content.
                    if number % 2 == 0 {
                        tls = shake(&broker, &config);
                    }
                    say_in_records(&mut tls, &packets);
                    let mut client = Client::over(tls, version);
                    client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
                    let mut awaited = vec!["SUBACK", "PUBLISH", "PUBACK", "PINGRESP"];
                    while !awaited.is_empty() {
                        let name = match client.hear() {
                            Heard::SubAck(1, ..) => "SUBACK",
                            Heard::Publish(post) if post.payload.len() == 5_000 => "PUBLISH",
                            Heard::PubAck(9, ..) => "PUBACK",
                            Heard::PingResp => "PINGRESP",
                            other => panic!("{other:?}"),
                        };
                        let place = awaited.iter().position(|awaited| *awaited == name);
                        awaited.remove(place.unwrap_or_else(|| panic!("{name} once more")));
                    }
                    client.leave();
                }
            }
        }
    }
}

#[test]
fn packets_and_handshakes_may_come_byte_by_byte() {
    let trust = Trust::new("secure-crumbs");
    for shards in [1, 3] {
        let broker = trust.options(shards).start();
        let mut subscriber = Client::join(&broker, Version::V5, "subscriber");
        subscriber.subscribe("crumbs/#", 1);
        for tls in BOTH {
            for number in 0..CLIENTS / 2 {
                let crumbs = Crumbs(stream::tcp(broker.named("tls")));
                let mut tls = over(&trust.client(None, &[tls]), crumbs);
                let mut packets = vec![Hello::v311(&format!("crumbs-{number}")).encode()];
                for id in 1..=5 {
                    packets.push(Post::to("crumbs/a").payload(format!("{id}")).qos(1).id(id).encode(Version::V311));
                }
                // A record for each byte, and then all bytes in few records.
                if number % 2 == 0 {
                    packets = packets.concat().iter().map(|byte| vec![*byte]).collect();
                }
                say_in_records(&mut tls, &packets);
                let mut client = Client::over(tls, Version::V311);
                client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
                for awaited in 1..=5 {
                    client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(id, ..) if *id == awaited));
                    assert_eq!(subscriber.take().payload, awaited.to_string().as_bytes());
                }
                client.leave();
            }
        }
    }
}

#[test]
fn a_client_that_comes_back_resumes_its_session_of_tls() {
    let trust = Trust::new("secure-resumed");
    let broker = trust.options(3).start();
    for tls in BOTH {
        let config = trust.client(None, &[tls]);
        for number in 0..CLIENTS {
            let session = shake(&broker, &config);
            assert_eq!(is_resumed(&session), number > 0, "{tls:?} {number}");
            let mut client = Client::connect_over(session, &Hello::v5(&format!("client-{number}")));
            client.expect_silence();
            client.leave();
        }
    }
    let broker = trust.options(1).set("listeners.tls.tickets=false").start();
    for tls in BOTH {
        let config = trust.client(None, &[tls]);
        for _ in 0..2 {
            let session = shake(&broker, &config);
            assert!(!is_resumed(&session), "{tls:?}");
            Client::connect_over(session, &Hello::v5("client")).leave();
        }
    }
}

#[test]
fn mqtt_is_what_is_agreed_upon_where_a_client_offers_anything() {
    let trust = Trust::new("secure-alpn");
    let options = trust.options(3).set("listeners.web.address=127.0.0.1:0").set("listeners.web.protocol=websocket");
    let certificates = format!("listeners.web.certificates={}", trust.server.path.display());
    let broker = options.set(&certificates).start();
    let offering = |names: &[&str], tls| {
        let mut config = (*trust.client(None, &[tls])).clone();
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    };
    for tls in BOTH {
        for (names, chosen) in [(&["mqtt"][..], Some("mqtt")), (&["http/1.1", "mqtt"], Some("mqtt")), (&[], None)] {
            let session = shake(&broker, &offering(names, tls));
            assert_eq!(session.conn.alpn_protocol(), chosen.map(str::as_bytes), "{names:?}");
            Client::connect_over(session, &Hello::v5("client")).leave();
        }
        for (names, chosen) in [(&["http/1.1"][..], Some("http/1.1")), (&[], None)] {
            let session = over(&offering(names, tls), stream::tcp(broker.named("web")));
            let socket = WebSocket::open(session);
            assert_eq!(socket.stream.conn.alpn_protocol(), chosen.map(str::as_bytes), "{names:?}");
            Client::connect_over(socket, &Hello::v5("page")).leave();
        }
        for (listener, names) in [("tls", &["http/1.1"][..]), ("tls", &["h2", "mqttv3.1"]), ("web", &["mqtt"])] {
            let session = over(&offering(names, tls), stream::tcp(broker.named(listener)));
            let told = expect_refused(session, &Hello::v5("stranger").encode());
            assert_eq!(told, Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)), "{names:?}");
        }
    }
}

#[test]
fn only_the_versions_that_are_allowed_are_spoken() {
    let trust = Trust::new("secure-versions");
    let broker = trust.options(1).set("listeners.tls.tls_min=1.3").start();
    let [newer, older] = BOTH;
    let mut old = open(&broker, &trust.client(None, &[older]));
    let error = old.write_all(&Hello::v5("old").encode()).expect_err("the broker refuses");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    join(&broker, &trust.client(None, &[newer]), &Hello::v5("new")).leave();
}

#[test]
fn without_plain_listeners_clients_come_by_tls_and_no_other_port_is_open() {
    let trust = Trust::new("secure-only");
    for shards in [1, 3] {
        // Where something plain is open as well, the kernel tells of both.
        let both = trust.options(shards).start();
        let mut expected = [both.address.port(), both.named("tls").port()];
        expected.sort_unstable();
        assert_eq!(both.ports(), expected);
        let broker = trust.options(shards).without_plain_listener().start();
        assert_eq!(broker.ports(), [broker.named("tls").port()]);
        for version in Version::ALL {
            let mut plain = stream::tcp(broker.named("tls"));
            plain.write_all(&Hello::new(version, "plain").encode()).expect("the broker takes bytes");
            let told = stream::read_to_end(&mut plain);
            assert_ne!(told.first(), Some(&0x20), "nobody is let in without TLS: {told:02x?}");
            for tls in BOTH {
                join(&broker, &trust.client(None, &[tls]), &Hello::new(version, "secure")).leave();
            }
        }
    }
}

#[test]
fn silence_ends_a_connection_and_pings_keep_it() {
    let trust = Trust::new("secure-keep-alive");
    let broker = trust.options(3).start();
    let config = trust.anybody();
    let mut lively = join(&broker, &config, &Hello::v311("lively").keep_alive(60));
    let mut silent = join(&broker, &config, &Hello::v5("silent").keep_alive(1));
    silent.expect_closed_for(0x8d);
    lively.expect_silence();
}

#[test]
fn a_session_is_taken_over_between_tls_and_plain() {
    let trust = Trust::new("secure-takeover");
    for shards in [1, 3] {
        let broker = trust.options(shards).start();
        let config = trust.anybody();
        let hello = Hello::v5("same").resume().expiry(600);
        let mut old = join(&broker, &config, &hello);
        old.subscribe("a", 1);
        for round in 0..4 {
            let mut new =
                if round % 2 == 0 { join(&broker, &config, &hello) } else { Client::connect(&broker, &hello) };
            old.expect_closed_for(0x8e);
            Client::join(&broker, Version::V5, "publisher").post(&Post::to("a").payload("x").qos(1).id(1));
            assert_eq!(new.take().payload, b"x");
            new.expect_silence(); // its PUBACK has arrived, so nothing is sent again to the next one
            old = new;
        }
    }
}

#[test]
fn a_broker_that_stops_says_so_within_tls() {
    let trust = Trust::new("secure-stop");
    let mut broker = trust.options(3).start();
    let config = trust.anybody();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| join(&broker, &config, &Hello::v5(&format!("client-{number}")))).collect();
    broker.terminate();
    for client in &mut clients {
        client.expect_closed_for(0x8b);
    }
    assert!(broker.wait().success());
}
