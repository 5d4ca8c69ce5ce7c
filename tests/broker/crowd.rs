//! Many connections at once, each one served; and what is left of them when they are gone.

use pregon::mqtt::Version;

use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Broker, Options, is_plain, raise_own_limit};
use crate::support::story::{Hello, Post};

const CROWD: usize = 10_000;
/// The same where each of them takes two descriptors of the broker.
const CROWD_PLAIN: usize = CROWD / 2;
/// Descriptors beside the crowd's, on either side.
const SPARE: usize = 500;

#[test]
fn ten_thousand_subscribed_clients_are_each_served() {
    let crowd_size = if is_plain() { CROWD_PLAIN } else { CROWD };
    raise_own_limit(crowd_size + SPARE);
    let count = u32::try_from(CROWD + SPARE).expect("a small number");
    let broker = Options::shards(2).descriptors_max(count).start();
    let join = |number: usize| {
        let version = Version::ALL[number % Version::ALL.len()];
        let mut client = Client::join(&broker, version, &format!("client-{number}"));
        client.subscribe(&format!("own/{number}"), 1);
        client.subscribe("all", 0);
        client
    };
    let mut crowd: Vec<Client> = (0..crowd_size).map(join).collect();

    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.publish(&Post::to("all").payload("everybody"));
    for client in &mut crowd {
        assert_eq!(client.take().payload, b"everybody");
    }
    for (number, client) in crowd.iter_mut().enumerate() {
        publisher.post(&Post::to(&format!("own/{number}")).payload(number.to_string()).qos(1));
        assert_eq!(client.take().payload, number.to_string().as_bytes());
    }
    crowd.iter_mut().for_each(Client::expect_silence);
}

#[test]
fn descriptors_of_those_who_left_are_closed() {
    for shards in [1, 3] {
        let broker = Broker::start(shards);
        // What is made on first use is made now.
        Client::join(&broker, Version::V5, "first").leave();
        let mut witness = Client::join(&broker, Version::V5, "witness");
        witness.expect_silence();
        let before = broker.descriptor_count();
        for round in 0..100 {
            for version in Version::ALL {
                let id = format!("client-{round}");
                Client::join(&broker, version, &id).leave();
                Client::join(&broker, version, &id).cut();
                drop(Client::join(&broker, version, &id));
                let mut older = Client::join(&broker, version, &id);
                let mut newer = Client::join(&broker, version, &id);
                older.expect_end();
                newer.close_half();
                newer.expect_end();

                // Some that never come to their CONNECT, and some that break off in it.
                drop(Client::open(broker.address, version));
                Client::open(broker.address, version).cut();
                let connect = Hello::new(version, &id).encode();
                let mut half = Client::open(broker.address, version);
                half.send(&connect[..connect.len() / 2]);
                half.cut();
                let mut wrong = Client::open(broker.address, version);
                wrong.send(&[0xff; 8]);
                wrong.expect_closed();
            }
        }
        wait_until("as many descriptors as before", || broker.descriptor_count() <= before);
        witness.expect_silence();
        assert_eq!(broker.descriptor_count(), before);
    }
}
