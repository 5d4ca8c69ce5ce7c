//! Clients that ask for too much, answer too little or come back at a bad moment: what they cannot do.

mod support;

use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Input;
use pregon::engine::limits::{Limits, Overlap};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

fn alone(change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    Story::over(World::with(1, limits, Policy::open(), 7))
}

fn shard_of(story: &Story, client: Client) -> usize {
    story.world.links[client.0].at.expect("the client is connected").0
}

/// A client whose home is this shard.
fn connect_at(story: &mut Story, shard: usize, name: &str, hello: impl Fn(&str) -> Hello) -> Client {
    for attempt in 0..64 {
        let client = story.connect(hello(&format!("{name}{attempt}")));
        if shard_of(story, client) == shard {
            return client;
        }
        story.cut(client);
    }
    panic!("one of 64 names has its home here");
}

#[test]
fn a_message_larger_than_the_byte_rate_is_delayed_and_not_stuck() {
    let mut story = alone(|limits| limits.byte_rate = 100);
    let client = story.connect(Hello::v311("a"));
    story.publish(client, Post::to("t").qos(1).payload(vec![b'x'; 300]));
    story.wait_s(60);
    assert_eq!(story.hear_all(client), [Heard::PubAck(1, 0, Vec::new())]);
}

#[test]
fn at_one_message_a_second_three_messages_take_about_three_seconds() {
    let mut story = alone(|limits| limits.message_rate = 1);
    let client = story.connect(Hello::v311("a"));
    for id in 1..=3 {
        story.publish(client, Post::to("t").qos(1).id(id));
    }
    story.wait_s(30);
    assert_eq!(story.hear_all(client).len(), 3);
}

#[test]
fn a_shard_with_an_unsent_byte_may_sleep_until_the_patience_is_over() {
    let mut story = alone(|_| {});
    let client = story.connect(Hello::v311("a"));
    story.world.links[client.0].room = 0;
    story.send(client, &[0xC0, 0]);
    story.world.input(0, Input::Tick);
    let due = story.world.shards[0].next_due(story.world.now).expect("a receiver is watched");
    assert!(due > story.world.now, "a shell that sleeps until a moment that is over never sleeps");
}

#[test]
fn a_client_that_reads_none_of_our_answers_is_read_no_more() {
    let mut story = alone(|limits| limits.backlog_bytes_max = 10_000);
    let client = story.connect(Hello::v311("a"));
    story.world.links[client.0].room = 0;
    let pings = [0xC0, 0].repeat(1_000);
    for _ in 0..100 {
        story.send(client, &pings);
    }
    let unsent = story.world.links[client.0].backlog.len();
    assert!(unsent < 50_000, "{unsent} bytes of answers wait for one client");
}

/// One session with more subscriptions that match one topic than a turn serves.
fn many_subscriptions(story: &mut Story, client: Client) -> String {
    let levels = 14;
    let topic = vec!["l"; levels].join("/");
    story.world.is_checked = false;
    for number in 0..10_240_u32 {
        let levels: Vec<&str> = (0..levels).map(|level| if number >> level & 1 == 1 { "+" } else { "l" }).collect();
        assert_eq!(story.subscribe(client, &levels.join("/"), 0), 0);
    }
    topic
}

#[test]
fn a_run_that_is_put_off_stays_in_order() {
    let mut story = alone(|limits| {
        limits.overlap = Overlap::Separate;
        limits.subscriptions_max = 20_000;
    });
    let subscriber = story.connect(Hello::v311("s"));
    let topic = many_subscriptions(&mut story, subscriber);
    let publisher = story.connect(Hello::v311("p"));
    let mut run = Vec::new();
    for number in 0..300_u16 {
        run.extend(Post::to(&topic).payload(number.to_be_bytes()).encode(Version::V311));
    }
    story.send(publisher, &run);
    let mut last = 0;
    for delivery in story.deliveries(subscriber) {
        let number = u16::from_be_bytes(delivery.payload.try_into().expect("two bytes"));
        assert!(number >= last, "{number} came behind {last}");
        last = number;
    }
    assert_eq!(last, 299);
}

#[test]
fn a_place_that_a_late_failing_pubrec_frees_is_used() {
    let mut story = alone(|_| {});
    let subscriber = story.connect(Hello::v5("s").receive_maximum(1));
    story.subscribe(subscriber, "t", 2);
    let publisher = story.connect(Hello::v311("p"));
    story.publish_fully(publisher, Post::to("t").qos(2).id(1).payload("one"));
    story.publish_fully(publisher, Post::to("t").qos(2).id(2).payload("two"));
    let id = story.delivery(subscriber).id.expect("an identifier");
    story.pubrec(subscriber, id);
    assert_eq!(story.hear(subscriber), Some(Heard::PubRel(id, 0, Vec::new())));
    let [high, low] = id.to_be_bytes();
    story.send(subscriber, &[0x50, 3, high, low, 0x80]);
    assert_eq!(story.delivery(subscriber).payload, b"two");
}

#[test]
fn a_queued_message_of_qos_0_is_not_overtaken() {
    let mut story = alone(|limits| limits.queue_qos0 = true);
    let hello = || Hello::v5("s").expiry(60).receive_maximum(1).resume();
    let subscriber = story.connect(hello());
    story.subscribe(subscriber, "t", 1);
    story.cut(subscriber);
    let publisher = story.connect(Hello::v311("p"));
    story.publish_fully(publisher, Post::to("t").qos(1).id(1).payload("1"));
    story.publish_fully(publisher, Post::to("t").qos(1).id(2).payload("2"));
    story.publish(publisher, Post::to("t").payload("old"));
    let subscriber = story.connect(hello());
    story.publish(publisher, Post::to("t").payload("new"));
    let mut plain = Vec::new();
    for _ in 0..4 {
        for delivery in story.deliveries(subscriber) {
            match delivery.id {
                Some(id) => story.puback(subscriber, id),
                None => plain.push(String::from_utf8(delivery.payload).expect("text")),
            }
        }
    }
    assert_eq!(plain, ["old", "new"]);
}

#[test]
fn own_messages_do_not_displace_those_of_a_group() {
    let mut story = alone(|limits| limits.queue_messages_max = 5);
    let member = story.connect(Hello::v5("m").receive_maximum(10));
    story.subscribe(member, "own", 1);
    story.subscribe(member, "$share/g/t", 1);
    let publisher = story.connect(Hello::v311("p"));
    for id in 1..=10 {
        story.publish_fully(publisher, Post::to("own").qos(1).id(id).payload("fill"));
    }
    for id in 11..=20 {
        story.publish_fully(publisher, Post::to("t").qos(1).id(id).payload(id.to_string()));
    }
    story.publish_fully(publisher, Post::to("own").qos(1).id(21).payload("fill"));
    let mut group = Vec::new();
    for _ in 0..40 {
        for delivery in story.deliveries(member) {
            if delivery.topic == "t" {
                group.push(String::from_utf8(delivery.payload).expect("text"));
            }
            story.puback(member, delivery.id.expect("an identifier"));
        }
    }
    let sent: Vec<String> = (11..=20).map(|number| number.to_string()).collect();
    assert_eq!(group, sent);
}

#[test]
fn repeats_of_a_message_that_is_still_routed_are_bounded() {
    let mut story = Story::new(2);
    let subscriber = connect_at(&mut story, 1, "s", Hello::v311);
    story.subscribe(subscriber, "t", 2);
    let publisher = connect_at(&mut story, 0, "p", Hello::v311);
    let post = Post::to("t").qos(2).id(1).dup().encode(Version::V311).repeat(100);
    for _ in 0..100 {
        story.world.send(publisher.0, &post);
        story.world.read(publisher.0, usize::MAX); // the other shard does not answer
    }
    let unread = story.world.links[publisher.0].outgoing.len();
    assert!(unread >= 80 * post.len(), "only {unread} bytes are left unread");
    story.world.drive();
    assert_eq!(story.hear_all(publisher).len(), 10_000);
    story.world.drive();
    assert_eq!(story.deliveries(subscriber).len(), 1);
}

#[test]
fn a_late_refusal_does_not_undo_a_newer_membership() {
    let mut story = Story::limited(|limits| limits.group_members_max = 1);
    // The group's home is the shard whose members are granted without a letter.
    let (mut home, mut share) = (0, String::new());
    for attempt in 0..1 {
        share = format!("$share/g{attempt}/t");
        let probe = connect_at(&mut story, 0, "probe", Hello::v5);
        story.ask_to_subscribe_without_driving(probe, &share);
        story.world.read(probe.0, usize::MAX);
        home = usize::from(!story.world.mesh[0][1].is_empty());
        story.world.drive();
        story.cut(probe);
    }
    let away = 1 - home;
    let first = connect_at(&mut story, home, "first", Hello::v5);
    assert_eq!(story.subscribe(first, &share, 1), 1);
    let late = connect_at(&mut story, away, "late", Hello::v5);
    story.ask_to_subscribe_without_driving(late, &share);
    story.world.read(late.0, usize::MAX);
    story.world.deliver_mesh(away, home, usize::MAX); // refused; the answer is on its way
    story.cut_without_driving(first);
    story.ask_to_subscribe_without_driving(late, &share);
    story.world.read(late.0, usize::MAX);
    story.world.deliver_mesh(home, away, usize::MAX);
    story.world.deliver_mesh(away, home, usize::MAX); // granted
    story.world.drive();
    story.cut(late);
    story.world.is_checked = false;
    let publisher = connect_at(&mut story, home, "p", Hello::v5);
    assert_eq!(story.publish_fully(publisher, Post::to("t").qos(1)), 0x10, "nobody is a member any more");
}

#[test]
fn a_refusal_at_home_fits_into_the_packets_that_the_client_takes() {
    for attempt in 0..8 {
        let mut story = Story::limited(|limits| limits.sessions_max = 0);
        let name = format!("c{attempt}");
        let client = story.hello(&Hello::v5(&name).with(Property::MaximumPacketSize(8)));
        let answer = story.world.receive(client.0);
        assert!(answer.len() <= 8, "{} bytes for a client that takes 8", answer.len());
    }
}
