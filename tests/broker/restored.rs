//! Sessions that were kept, and the first message behind a restart: no shard lets anybody in before all have read what they had kept.

use std::net::TcpStream;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::wait_for;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

const SHARDS: usize = 3;
/// Enough that each shard is home to some.
const SESSIONS: usize = 30;
/// What waits for one session, so that its shard reads for longer than the others.
const MESSAGES: u16 = 6_000;
const PAYLOAD_BYTES: usize = 10_000;
/// Those who wait at the door, for whichever shard they come to.
const SPEAKERS: usize = 24;

fn hello(number: usize) -> Hello {
    Hello::v5(&format!("kept-{number}")).resume().expiry(3_600)
}

#[test]
fn threat_8_sessions_that_were_kept_hear_the_first_message_behind_a_restart() {
    for slow in 0..2 * SHARDS {
        let folder = Folder::new(&format!("restored-{slow}"));
        let data = format!("storage.data_dir={}", folder.path().display());
        let options = Options::shards(SHARDS).set("storage.durability=interval").set(&data);
        let options = options.set("limits.queue_messages_max=100000");
        let broker = options.clone().start();
        for number in 0..SESSIONS {
            let mut client = Client::connect(&broker, &hello(number));
            client.subscribe("first/#", 1);
            client.cut();
        }
        burden(&broker, slow);
        let options = options.listen(broker.address);
        drop(broker);

        let broker = options.launch();
        let speakers: Vec<Client> = (0..SPEAKERS).map(|number| speak_at_once(&broker, number)).collect();
        for (number, mut speaker) in speakers.into_iter().enumerate() {
            loop {
                match speaker.hear() {
                    Heard::ConnAck(false, 0, _) => break,
                    // When the broker looks whether the address is free, it closes who comes in that moment.
                    Heard::Closed => speaker = speak_at_once(&broker, number),
                    other => panic!("no CONNACK: {other:?}"),
                }
            }
            speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(1, 0, _)));
        }
        for number in 0..SESSIONS {
            let (mut client, is_present) = Client::connect_present(&broker, &hello(number));
            assert!(is_present, "session {number} was kept");
            if number == slow {
                (0..MESSAGES).for_each(|_| assert_eq!(client.take().topic, "burden"));
            }
            let mut heard: Vec<String> = (0..SPEAKERS).map(|_| client.take().topic).collect();
            heard.sort();
            let mut said: Vec<String> = (0..SPEAKERS).map(topic).collect();
            said.sort();
            assert_eq!(heard, said, "session {number}");
        }
    }
}

/// One session is owed far more than the others.
fn burden(broker: &Broker, slow: usize) {
    let mut client = Client::connect(broker, &hello(slow));
    client.subscribe("burden", 1);
    client.cut();
    let mut speaker = Client::join(broker, Version::V5, "speaker");
    let numbers: Vec<u16> = (1..=MESSAGES).collect();
    for some in numbers.chunks(100) {
        for id in some {
            speaker.publish(&Post::to("burden").qos(1).id(*id).payload(vec![b'x'; PAYLOAD_BYTES]));
        }
        for id in some {
            speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(found, 0, _) if found == id));
        }
    }
    speaker.leave();
}

fn topic(number: usize) -> String {
    format!("first/{number}")
}

/// Comes as soon as anybody listens, and says all it has to say before it has heard a word.
fn speak_at_once(broker: &Broker, number: usize) -> Client {
    let hello = Hello::v5(&format!("speaker-{number}"));
    let post = Post::to(&topic(number)).qos(1).payload("x");
    // While nobody listens, the kernel may connect us to ourselves.
    let others = |stream: &TcpStream| stream.local_addr().is_ok_and(|own| own != broker.address);
    let stream = wait_for("somebody to listen", || TcpStream::connect(broker.address).ok().filter(others));
    let mut client = Client::over(stream, Version::V5);
    client.send(&[hello.encode(), post.encode(Version::V5)].concat());
    client
}
