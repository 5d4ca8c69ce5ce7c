//! A disk that fails, fills up or slows down: what must be kept waits for it, and nothing else does.

use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::fickle::luck::Luck;
use crate::fickle::mount::Mount;
use crate::fickle::order::{Order, Room};
use crate::mounted::mounted;
use crate::patience::{PATIENCE, Stopwatch, wait_until};
use crate::power::on;
use crate::process::Broker;
use crate::support::story::{Heard, Hello, Post};

/// What a durable session wants.
const KEPT: &str = "kept";
/// What only those want who are there.
const PASSING: &str = "passing";
/// After so long there is room again for everybody.
const RESUMED: Duration = Duration::from_secs(5);
/// More messages, each in a block of its own, than fit into all segments that are ready.
const MANY: u16 = 2_000;
/// Nobody waits so long for a disk that has room.
const ANSWERED: Duration = Duration::from_secs(1);

fn durable() -> Hello {
    Hello::v5("durable").resume().expiry(1_000)
}

/// A broker of one shard, and a durable session that wants what is kept; its client is gone.
fn broker_with_session(mount: &Mount) -> Broker {
    let broker = on(mount, 1).start();
    let mut owner = Client::connect(&broker, &durable());
    owner.subscribe(KEPT, 2);
    owner.leave();
    broker
}

fn kept(text: &str) -> Post {
    Post::to(KEPT).payload(text).qos(1)
}

/// What comes to the durable session, up to this message.
fn collect(broker: &Broker, last: &str) -> Vec<String> {
    let (mut owner, is_present) = Client::connect_present(broker, &durable());
    assert!(is_present, "the session is there");
    let mut found = Vec::new();
    while found.last().is_none_or(|text| text != last) {
        found.push(String::from_utf8(owner.take().payload).expect("text was sent"));
    }
    found
}

/// Messages that nobody keeps pass from one client to another.
fn assert_flow(broker: &Broker) {
    let mut listener = Client::join(broker, Version::V5, "listener");
    listener.subscribe(PASSING, 1);
    let mut talker = Client::join(broker, Version::V5, "talker");
    for number in 1..=100_u16 {
        let qos = u8::from(number.is_multiple_of(2));
        talker.post(&Post::to(PASSING).payload(number.to_string()).qos(qos).id(number));
        assert_eq!(listener.take().payload, number.to_string().as_bytes());
    }
    listener.leave();
    talker.leave();
}

/// The broker has had time for everybody else, and this client has heard nothing.
fn assert_unanswered(client: &mut Client) {
    assert_eq!(client.hear_within(Duration::from_millis(50)), None);
}

fn is_acked(heard: &Heard, id: u16) -> bool {
    matches!(heard, Heard::PubAck(acked, 0, _) if *acked == id)
}

#[test]
fn after_a_failed_sync_nothing_that_must_be_kept_is_acknowledged_and_all_else_goes_on() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.post(&kept("before").id(1));
    mount.obey(Order::FailSync);
    publisher.publish(&kept("during").id(2));
    wait_until("the failure in the log", || broker.log().contains("fdatasync: Input/output error"));
    publisher.publish(&kept("behind").id(3));
    assert_flow(&broker);
    assert_unanswered(&mut publisher);
    drop(broker); // with SIGKILL

    let broker = on(&mount, 1).start();
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.post(&kept("after").id(4));
    let found = collect(&broker, "after");
    assert_eq!(found[0], "before");
    assert!(found.len() <= 4, "{found:?}");
}

#[test]
fn what_is_acknowledged_after_a_failed_sync_and_a_restart_survives_a_power_cut() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let publisher = Hello::v5("publisher").resume().expiry(1_000);
    let during = kept("during").qos(2).id(2);
    let mut speaker = Client::connect(&broker, &publisher);
    speaker.post(&kept("before").id(1));
    mount.obey(Order::FailSync);
    speaker.publish(&during);
    wait_until("the failure in the log", || broker.log().contains("the journal has failed"));
    drop(broker); // with SIGKILL

    // The kernel shows what the device may not have.
    let broker = on(&mount, 1).start();
    let (mut speaker, is_present) = Client::connect_present(&broker, &publisher);
    assert!(is_present, "the session is there");
    speaker.publish(&during.dup());
    speaker.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(2, 0, _)));
    mount.obey(Order::Cut(Luck::None));
    drop(broker); // with SIGKILL
    mount.obey(Order::Power);

    let broker = on(&mount, 1).start();
    let mut speaker = Client::connect(&broker, &publisher);
    speaker.post(&kept("last").id(3));
    assert_eq!(collect(&broker, "last"), ["before", "during", "last"]);
}

#[test]
fn a_disk_without_any_room_holds_back_what_must_be_kept_until_there_is_some() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.post(&kept("before").id(1));
    mount.obey(Order::Room(Room::None));
    publisher.publish(&kept("during").id(2));
    wait_until("the shortage in the log", || broker.log().contains("the journal has no room"));
    assert_flow(&broker);
    assert_unanswered(&mut publisher);
    mount.obey(Order::Room(Room::Plenty));
    let watch = Stopwatch::start();
    publisher.expect("PUBACK", |heard| is_acked(heard, 2));
    assert!(watch.elapsed() < RESUMED, "it took {:?}", watch.elapsed());
    publisher.post(&kept("after").id(3));
    wait_until("the end of the shortage in the log", || broker.log().contains("the journal has room again"));
    drop(broker); // with SIGKILL
    assert_eq!(collect(&on(&mount, 1).start(), "after"), ["before", "during", "after"]);
}

#[test]
fn a_disk_without_room_for_new_files_is_used_up_and_then_waited_for() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    mount.obey(Order::Room(Room::Old));
    let mut id = 0;
    let first_unanswered = loop {
        id += 1;
        assert!(id < MANY, "what was ready is used, and no more");
        publisher.publish(&kept(&id.to_string()).id(id));
        match publisher.hear_within(ANSWERED) {
            Some(heard) => assert!(is_acked(&heard, id), "{heard:?}"),
            None => break id,
        }
    };
    assert!(first_unanswered > 1, "what was ready is used");
    assert!(broker.log().contains("no segment can be made") && broker.log().contains("the journal has no room"));
    assert_flow(&broker);
    assert_unanswered(&mut publisher);
    mount.obey(Order::Room(Room::Plenty));
    let watch = Stopwatch::start();
    publisher.expect("PUBACK", |heard| is_acked(heard, first_unanswered));
    assert!(watch.elapsed() < RESUMED, "it took {:?}", watch.elapsed());
    publisher.post(&kept("last").id(1));
    let expected = (1..=first_unanswered).map(|id| id.to_string()).chain(["last".to_owned()]);
    assert_eq!(collect(&broker, "last"), expected.collect::<Vec<_>>());
}

#[test]
fn a_slow_disk_is_waited_for_by_nobody_but_those_who_must() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    mount.obey(Order::Slow(PATIENCE));
    publisher.publish(&kept("slow").id(1));
    assert_flow(&broker);
    assert_unanswered(&mut publisher);
    mount.obey(Order::Slow(Duration::ZERO));
    publisher.expect("PUBACK", |heard| is_acked(heard, 1));
}
