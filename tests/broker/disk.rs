//! A disk that fails, fills up or slows down: what must be kept waits for it or is refused, and nothing else is.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::fickle::luck::Luck;
use crate::fickle::mount::Mount;
use crate::fickle::order::{Order, Room};
use crate::mounted::mounted;
use crate::patience::{Deadline, PATIENCE, Stopwatch, wait_until};
use crate::power::on;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

/// What a durable session wants.
const KEPT: &str = "kept";
/// What only those want who are there.
const PASSING: &str = "passing";
/// After so long there is room again for everybody.
const RESUMED: Duration = Duration::from_secs(5);
/// A broker that refuses for so long has found nothing that could go.
const STEADY: Duration = Duration::from_secs(2);
/// More messages, each in a block of its own, than fit into all segments that are ready.
const MANY: u16 = 2_000;

fn durable() -> Hello {
    Hello::v5("durable").resume().expiry(1_000)
}

/// A broker of one shard, and a durable session that wants what is kept; its client is gone.
fn broker_with_session(mount: &Mount) -> Broker {
    with_session(&on(mount, 1))
}

/// The same with segments in which a commit, a block at least, takes little of the half that is left when no other can be had.
fn roomy(mount: &Mount) -> Options {
    on(mount, 1).set("storage.segment_bytes=512KiB")
}

fn with_session(options: &Options) -> Broker {
    let broker = options.clone().start();
    let mut owner = Client::connect(&broker, &durable());
    owner.subscribe(KEPT, 2);
    owner.leave();
    broker
}

/// How many segments the only shard has, the one that is made ahead of use among them.
fn segments(mount: &Mount) -> usize {
    let files = fs::read_dir(mount.path().join("data/shard-0")).expect("the broker runs on it");
    files
        .filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "segment")))
        .count()
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

fn is_refused(heard: &Heard, id: u16) -> bool {
    matches!(heard, Heard::PubAck(refused, 0x97, _) if *refused == id)
}

fn is_acked(heard: &Heard, id: u16) -> bool {
    matches!(heard, Heard::PubAck(acked, 0, _) if *acked == id)
}

#[test]
fn threat_9_after_a_failed_sync_nothing_that_must_be_kept_is_acknowledged_and_all_else_goes_on() {
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
fn threat_9_what_is_acknowledged_after_a_failed_sync_and_a_restart_survives_a_power_cut() {
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
fn a_disk_without_any_room_holds_back_what_has_come_and_refuses_the_rest_until_there_is_some() {
    let Some(mount) = mounted() else { return };
    let broker = broker_with_session(&mount);
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publisher.post(&kept("before").id(1));
    mount.obey(Order::Room(Room::None));
    publisher.publish(&kept("during").id(2));
    wait_until("the shortage in the log", || broker.log().contains("the journal has no room"));
    let mut other = Client::join(&broker, Version::V5, "other");
    other.publish(&kept("refused").id(1));
    other.expect("PUBACK with 0x97", |heard| is_refused(heard, 1));
    assert_flow(&broker);
    assert_unanswered(&mut publisher);
    mount.obey(Order::Room(Room::Plenty));
    let watch = Stopwatch::start();
    publisher.expect("PUBACK", |heard| is_acked(heard, 2));
    assert!(watch.elapsed() < RESUMED, "it took {:?}", watch.elapsed());
    wait_until("the end of the shortage in the log", || broker.log().contains("the journal has room again"));
    publisher.post(&kept("after").id(3));
    drop(broker); // with SIGKILL
    assert_eq!(collect(&on(&mount, 1).start(), "after"), ["before", "during", "after"]);
}

/// Publishes large messages until one is refused however often it is tried; how many were not.
fn fill(publisher: &mut Client) -> u16 {
    let (mut id, mut watch) = (1, Stopwatch::start());
    while watch.elapsed() < STEADY {
        assert!(id < MANY, "what was ready is used, and no more");
        publisher.publish(&numbered(id));
        let heard = publisher.hear();
        if is_acked(&heard, id) {
            (id, watch) = (id + 1, Stopwatch::start());
        } else {
            assert!(is_refused(&heard, id), "{heard:?}");
        }
    }
    id - 1
}

/// Publishes it again and again, until it is not refused.
fn publish_until_taken(publisher: &mut Client, post: &Post, id: u16) {
    wait_until("room", || {
        publisher.publish(post);
        let heard = publisher.hear();
        assert!(is_acked(&heard, id) || is_refused(&heard, id), "{heard:?}");
        is_acked(&heard, id)
    });
}

/// A message that takes most of a block, and says its number.
fn numbered(id: u16) -> Post {
    kept(&format!("{id:03000}")).id(id)
}

/// Takes so many messages, and acknowledges them all at once; which they were.
fn take_numbers(owner: &mut Client, count: u16) -> Vec<u16> {
    let taken: Vec<_> = (0..count).map(|_| owner.delivery()).collect();
    let answers = taken.iter().flat_map(|delivery| {
        let [high, low] = delivery.id.expect("it has an identifier").to_be_bytes();
        [0x40, 2, high, low]
    });
    owner.send(&answers.collect::<Vec<u8>>());
    let number = |payload: &[u8]| std::str::from_utf8(payload).expect("text was sent").parse().expect("a number");
    taken.iter().map(|delivery| number(&delivery.payload)).collect()
}

#[test]
fn a_disk_without_room_for_new_files_is_drained_and_has_room_for_more_then() {
    let Some(mount) = mounted() else { return };
    let broker = with_session(&roomy(&mount));
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    wait_until("the segment after the first", || segments(&mount) > 1);
    mount.obey(Order::Room(Room::Old));
    let kept_count = fill(&mut publisher);
    assert!(kept_count > 10, "what was ready is used: {kept_count}");
    assert!(broker.log().contains("no segment can be made") && broker.log().contains("the journal has no room"));
    assert_flow(&broker);
    let mut stranger = Client::hello(&broker, &Hello::v5("stranger").resume().expiry(1_000));
    stranger.expect("CONNACK with 0x97", |heard| matches!(heard, Heard::ConnAck(false, 0x97, _)));
    publisher.publish(&numbered(1));
    publisher.expect("PUBACK with 0x97", |heard| is_refused(heard, 1));
    drop(broker); // with SIGKILL

    let broker = roomy(&mount).start();
    let (mut owner, is_present) = Client::connect_present(&broker, &durable());
    assert!(is_present, "the session is there");
    assert_eq!(take_numbers(&mut owner, kept_count), (1..=kept_count).collect::<Vec<_>>());
    // The disk is as full as before: what was acknowledged has made room for a sweep, and that for the rest.
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    publish_until_taken(&mut publisher, &kept("new").id(7), 7);
    assert_eq!(owner.take().payload, b"new");
    drop(broker); // with SIGKILL
    let broker = roomy(&mount).start();
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    mount.obey(Order::Room(Room::Plenty));
    publish_until_taken(&mut publisher, &kept("last").id(8), 8);
    let found = collect(&broker, "last");
    assert!(found == ["last"] || found == ["new", "last"], "{found:?}");
}

#[test]
fn when_there_is_room_for_files_again_nobody_is_refused_any_more() {
    let Some(mount) = mounted() else { return };
    let broker = with_session(&roomy(&mount));
    let mut publisher = Client::join(&broker, Version::V5, "publisher");
    mount.obey(Order::Room(Room::Old));
    let kept_count = fill(&mut publisher);
    mount.obey(Order::Room(Room::Plenty));
    let watch = Stopwatch::start();
    publish_until_taken(&mut publisher, &numbered(kept_count + 1), kept_count + 1);
    assert!(watch.elapsed() < RESUMED, "it took {:?}", watch.elapsed());
    drop(broker); // with SIGKILL
    let broker = roomy(&mount).start();
    let mut owner = Client::connect(&broker, &durable());
    assert_eq!(take_numbers(&mut owner, kept_count + 1), (1..=kept_count + 1).collect::<Vec<_>>());
}

#[test]
fn the_operators_bound_is_kept_and_whoever_drains_makes_room() {
    const BOUND: u64 = 4 << 20;
    for shards in [1, 2] {
        let folder = Folder::new();
        let options = || {
            let options = Options::shards(shards).set("storage.durability=fsync").set("storage.bytes_max=4MiB");
            options.set(&format!("storage.data_dir={}", folder.0.display()))
        };
        let mut broker = options().start();
        Client::connect(&broker, &durable()).subscribe(KEPT, 1);
        for round in 0..3 {
            let mut publisher = Client::join(&broker, Version::V5, "publisher");
            let kept_count = fill(&mut publisher);
            // What holds takes at least a quarter of the session's shard's part, each message in a block of its own.
            assert!(u64::from(kept_count) * 4_096 * 4 > BOUND / shards as u64, "round {round}: {kept_count}");
            assert!(folder.bytes() <= BOUND + BOUND / 8, "round {round}: {} bytes", folder.bytes());
            assert_flow(&broker);
            assert!(broker.log().contains("storage.bytes_max"));
            drop(broker); // with SIGKILL
            broker = options().start();
            let mut owner = Client::connect(&broker, &durable());
            assert_eq!(take_numbers(&mut owner, kept_count), (1..=kept_count).collect::<Vec<_>>());
            let mut publisher = Client::join(&broker, Version::V5, "publisher");
            publish_until_taken(&mut publisher, &kept("new").id(9), 9);
            assert_eq!(owner.take().payload, b"new");
            assert!(folder.bytes() <= BOUND + BOUND / 8, "round {round}: {} bytes", folder.bytes());
            owner.leave();
        }
    }
}

/// A data directory of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bound-{}-{number}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// The bytes of all segments, spare ones included.
    fn bytes(&self) -> u64 {
        let files =
            |path: &Path| fs::read_dir(path).expect("it is there").map(|entry| entry.expect("it is listed").path());
        let shards = files(&self.0).filter(|path| path.is_dir());
        shards
            .flat_map(|shard| files(&shard).collect::<Vec<_>>())
            .filter_map(|path| Some(path.metadata().ok()?.len()))
            .sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a test leaves behind harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_flood_that_a_slow_disk_cannot_take_waits_outside_of_the_broker() {
    /// How long it lasts, and what may wait for the disk, what the disk takes meanwhile, what is on its way in sockets and buffers.
    const FLOODED: Duration = Duration::from_secs(15);
    const TAKEN_BYTES_MAX: usize = 192 << 20;
    let Some(mount) = mounted() else { return };
    let broker = on(&mount, 1).set("storage.segment_bytes=32MiB").start();
    let mut publisher = Client::join(&broker, Version::V311, "publisher");
    publisher.post(&Post::to(KEPT).payload("first").qos(1).id(1).retain());
    let before = broker.memory_now();
    mount.obey(Order::Slow(Duration::from_secs(1)));
    // Each is kept in place of the one before, so that nothing but the journal holds what has come.
    let payload = vec![b'x'; 64 << 10];
    let message = Post::to(KEPT).payload(payload.clone()).retain().encode(Version::V311);
    let deadline = Deadline::after(FLOODED);
    let mut taken = 0;
    while let Some(left) = deadline.left() {
        publisher.stream().set_write_timeout(Some(left)).expect("a time-out above zero is taken");
        match publisher.stream().write(&message[taken % message.len()..]) {
            Ok(count) => taken += count,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
    }
    assert!(taken < TAKEN_BYTES_MAX, "{taken} bytes were taken");
    let grown = broker.memory_peak().saturating_sub(before);
    assert!(grown < 2 * TAKEN_BYTES_MAX as u64, "{grown} bytes more");
    assert_flow(&broker);
    mount.obey(Order::Slow(Duration::ZERO));
    publisher.stream().set_write_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
    publisher.send(&message[taken % message.len()..]);
    publisher.send(&[0xc0, 0]);
    assert_eq!(publisher.hear(), Heard::PingResp);
    let mut late = Client::join(&broker, Version::V311, "late");
    late.subscribe(KEPT, 0);
    assert_eq!(late.take().payload, payload);
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
