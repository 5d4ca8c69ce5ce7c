//! Clients that ask for too much, answer too little or come back at a bad moment: what they cannot do.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Anonymous, Policy};
use pregon::engine::auth::{Action, Authoriser, ClientId, Decision};
use pregon::engine::event::Event;
use pregon::engine::input::{Answer, Input};
use pregon::engine::limits::{FILTERS_PER_PACKET_MAX, Limits, Overlap};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;
use support::policies::{Rules, Verb};
use support::story::{Client, Heard, Hello, Post, Story, Wish, subscribe, unsubscribe};
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

/// Publications that all shards have taken from clients.
fn taken(story: &Story) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().publishes_received).sum()
}

/// Reads all that a client has sent in one go, and nothing happens behind it.
fn read_at_once(story: &mut Story, client: Client, bytes: &[u8]) {
    story.world.send(client.0, bytes);
    assert!(story.world.read(client.0, usize::MAX));
}

/// Publications to these topics, with their number as payload.
fn numbered(version: Version, qos: u8, topics: impl IntoIterator<Item = String>) -> Vec<u8> {
    let post = |(number, topic): (u16, String)| {
        let post = Post::to(&topic).qos(qos).payload(number.to_be_bytes());
        if qos > 0 { post.id(number).encode(version) } else { post.encode(version) }
    };
    (1..).zip(topics).flat_map(post).collect()
}

/// The numbers in the order in which a client hears them.
fn heard_numbers(story: &mut Story, client: Client) -> Vec<u16> {
    let number = |payload: Vec<u8>| u16::from_be_bytes(payload.try_into().expect("two bytes"));
    story.deliveries(client).into_iter().map(|delivery| number(delivery.payload)).collect()
}

/// 4,096 filters of 13 levels, all of which match the topic that they lead to.
fn overlapping(story: &mut Story, client: Client, identifier: impl Fn(u32) -> Option<u32>) -> String {
    story.world.is_checked = false; // each step would look at all of them
    for number in 0..4_096_u32 {
        let levels: Vec<&str> = (0..12).map(|level| if number >> level & 1 == 1 { "+" } else { "a" }).collect();
        let filter = levels.join("/") + "/+";
        assert_eq!(story.subscribe_to(client, 1, &[Wish::to(&filter, 0)], identifier(number)), [0]);
    }
    ["a"; 12].join("/") + "/"
}

#[test]
fn threat_3_topics_that_many_filters_match_are_looked_up_a_few_in_an_input() {
    let mut story = alone(|_| {});
    let subscriber = story.connect(Hello::v311("s"));
    let beginning = overlapping(&mut story, subscriber, |_| None);
    let publisher = story.connect(Hello::v311("p"));
    let posts = numbered(Version::V311, 0, (1..=200).map(|number| format!("{beginning}{number}")));
    read_at_once(&mut story, publisher, &posts);
    assert!((1..20).contains(&taken(&story)), "{} topics in one input", taken(&story));
    story.world.drive();
    assert_eq!(heard_numbers(&mut story, subscriber), (1..=200).collect::<Vec<_>>());
}

#[test]
fn threat_3_copies_with_many_identifiers_count_for_many() {
    for is_run in [true, false] {
        let mut story = alone(|_| {});
        let subscriber = story.connect(Hello::v5("s"));
        let beginning = overlapping(&mut story, subscriber, |number| Some(number + 1));
        let publisher = story.connect(Hello::v5("p"));
        // The same topic is looked up once: what costs are the copies.
        let topics = (0..1_000).map(|number| format!("{beginning}{}", if is_run { 0 } else { number % 2 }));
        let posts = numbered(Version::V5, 0, topics);
        read_at_once(&mut story, publisher, &posts);
        assert!((1..500).contains(&taken(&story)), "{} in one input", taken(&story));
        let written = story.world.links[subscriber.0].incoming.len();
        assert!(written < 8 << 20, "{written} bytes of one input");
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, subscriber), (1..=1_000).collect::<Vec<_>>());
    }
}

/// So many subscribers of `a/#`, each with an identifier if they speak 5.0.
fn audience(story: &mut Story, shard: usize, version: Version, qos: u8, count: usize) -> Vec<Client> {
    let subscribe = |number: usize| {
        let client = connect_at(story, shard, &format!("s{number}-"), |name| Hello::new(version, name));
        let identifier = (version == Version::V5).then_some(7);
        assert_eq!(story.subscribe_to(client, 1, &[Wish::to("a/#", qos)], identifier), [qos]);
        client
    };
    (0..count).map(subscribe).collect()
}

#[test]
fn threat_3_a_wide_audience_ends_an_input_early_whatever_way_its_copies_go() {
    for (version, topics) in [(Version::V311, 2), (Version::V5, 2), (Version::V5, 1)] {
        let mut story = alone(|_| {});
        story.world.set_copies_per_input_max(100);
        let subscribers = audience(&mut story, 0, version, 0, 40);
        let publisher = story.connect(Hello::new(version, "p"));
        let posts = numbered(version, 0, (0..300).map(|number| format!("a/{}", number % topics)));
        read_at_once(&mut story, publisher, &posts);
        assert!((1..5).contains(&taken(&story)), "{} messages to 40 in one input", taken(&story));
        story.world.drive();
        for subscriber in subscribers {
            assert_eq!(heard_numbers(&mut story, subscriber), (1..=300).collect::<Vec<_>>());
        }
    }
}

#[test]
fn threat_3_letters_of_another_shard_end_an_input_early_and_go_on_in_their_order() {
    const V311: Version = Version::V311;
    const V5: Version = Version::V5;
    // One message to 40, and one that is acknowledged to 10, is a large part of an input.
    for (version, qos, topics, count) in
        [(V311, 0, 2, 10), (V311, 0, 2, 40), (V5, 0, 1, 40), (V311, 1, 2, 10), (V311, 1, 1, 40), (V5, 1, 1, 40)]
    {
        let mut story = Story::new(2);
        story.world.set_copies_per_input_max(100);
        let subscribers = audience(&mut story, 1, version, qos, count);
        let publisher = connect_at(&mut story, 0, "p", |name| Hello::new(version, name));
        let posts = numbered(version, qos, (0..300).map(|number| format!("a/{}", number % topics)));
        read_at_once(&mut story, publisher, &posts);
        let routed = |story: &Story| story.world.shards[1].stats().ledger.routed;
        let before = routed(&story);
        assert!(story.world.deliver_mesh(0, 1, usize::MAX));
        let copies = routed(&story) - before;
        assert!((10..200).contains(&copies), "{copies} copies in one input");
        let waits_aside = story.world.shards[1].has_letters_aside();
        assert_eq!(waits_aside, count > 10 || qos > 0);
        assert!(waits_aside || (story.world.letters_left > 0 && !story.world.mesh[0][1].is_empty()));
        story.world.drive();
        for subscriber in subscribers {
            let mut heard = Vec::new();
            loop {
                let deliveries = story.deliveries(subscriber);
                if deliveries.is_empty() {
                    break;
                }
                for delivery in deliveries {
                    heard.push(u16::from_be_bytes(delivery.payload.try_into().expect("two bytes")));
                    if let Some(id) = delivery.id {
                        story.puback(subscriber, id);
                    }
                }
            }
            assert_eq!(heard, (1..=300).collect::<Vec<_>>());
        }
        let acks = story.hear_all(publisher);
        assert_eq!(acks.len(), if qos > 0 { 300 } else { 0 });
    }
}

#[test]
fn threat_3_whose_messages_are_too_much_on_another_shard_holds_up_no_other_there() {
    for qos in [0, 1] {
        let mut story = Story::new(2);
        let connect = |story: &mut Story, shard: usize, name: &str| connect_at(story, shard, name, Hello::v311);
        let all = connect(&mut story, 1, "all");
        let beginning = overlapping(&mut story, all, |_| None);
        let one = connect(&mut story, 1, "one");
        assert_eq!(story.subscribe(one, "quiet/+", qos), qos);
        let [loud, quiet] = ["loud", "quiet"].map(|name| connect(&mut story, 0, name));
        let posts = numbered(Version::V311, qos, (1..=60).map(|number| format!("{beginning}{number}")));
        read_at_once(&mut story, loud, &posts);
        read_at_once(&mut story, quiet, &numbered(Version::V311, qos, (1..=9).map(|number| format!("quiet/{number}"))));
        for _ in 0..3 {
            story.world.deliver_mesh(0, 1, usize::MAX);
        }
        assert!(story.world.mesh[0][1].is_empty() && story.world.shards[1].has_letters_aside());
        assert_eq!(heard_numbers(&mut story, one), (1..=9).collect::<Vec<_>>(), "they do not wait for the others");
        let routed = |story: &Story| story.world.shards[1].stats().ledger.routed;
        assert!(routed(&story) < 40, "{} messages in three inputs", routed(&story));
        story.world.deliver_mesh(1, 0, usize::MAX);
        assert!(!story.world.links[loud.0].is_read, "whose messages wait is not read");
        assert!(story.world.links[quiet.0].is_read);
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, all), (1..=60).collect::<Vec<_>>(), "in their order");
        assert!(story.world.links[loud.0].is_read);
    }
}

#[test]
fn threat_3_whose_messages_were_too_much_is_known_for_a_second() {
    let mut story = Story::new(2);
    let connect = |story: &mut Story, shard: usize, name: &str| connect_at(story, shard, name, Hello::v311);
    let all = connect(&mut story, 1, "all");
    let beginning = overlapping(&mut story, all, |_| None);
    let loud = connect(&mut story, 0, "loud");
    let routed = |story: &Story| story.world.shards[1].stats().ledger.routed;
    // What comes a while later, and whether its first message is looked up with those of everybody else.
    for (first, pause_ms, is_new) in [(1, 0, true), (11, 100, false), (21, 900, false), (31, 1_100, true)] {
        story.world.advance(pause_ms);
        let topics = (0..10).map(|number| format!("{beginning}{}", first + number));
        read_at_once(&mut story, loud, &numbered(Version::V311, 0, topics));
        let before = routed(&story);
        story.world.deliver_mesh(0, 1, usize::MAX);
        assert_eq!(routed(&story) - before, u64::from(is_new), "message {first}");
        assert!(story.world.shards[1].has_letters_aside());
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, all), (1..=10).collect::<Vec<_>>());
    }
}

#[test]
fn many_messages_at_once_are_not_one_that_is_too_much() {
    for (version, qos) in [(Version::V311, 0), (Version::V5, 0), (Version::V311, 1), (Version::V5, 1)] {
        let mut story = Story::new(2);
        story.world.set_copies_per_input_max(100);
        let subscriber = audience(&mut story, 1, version, qos, 1)[0];
        let publisher = connect_at(&mut story, 0, "p", |name| Hello::new(version, name));
        let posts = numbered(version, qos, (0..300).map(|_| "a/b".to_owned()));
        read_at_once(&mut story, publisher, &posts);
        story.world.deliver_mesh(0, 1, usize::MAX);
        let routed = story.world.shards[1].stats().ledger.routed;
        assert!(routed >= 10, "only {routed} in one input");
        assert!(!story.world.shards[1].has_letters_aside(), "they wait in their batch");
        story.world.drive();
        assert!(story.deliveries(subscriber).len() >= 64);
    }
}

#[test]
fn threat_1_filters_behind_the_bound_of_a_packet_are_refused_and_told_once() {
    const COUNT: usize = 100_000;
    for version in [Version::V311, Version::V5] {
        let mut story = alone(|_| {});
        let client = story.connect(Hello::new(version, "c"));
        let refusal = if version == Version::V5 { 0x97 } else { 0x80 };
        let codes = story.subscribe_to(client, 1, &vec![Wish::to("a", 0); COUNT], None);
        assert_eq!(codes.len(), COUNT);
        assert!(codes[..FILTERS_PER_PACKET_MAX].iter().all(|code| *code == 0));
        assert!(codes[FILTERS_PER_PACKET_MAX..].iter().all(|code| *code == refusal));
        let told: Vec<usize> = story.world.events.iter().filter_map(|(_, event)| refused_filters(event)).collect();
        assert_eq!(told, [COUNT - FILTERS_PER_PACKET_MAX]);
    }
}

fn refused_filters(event: &Event) -> Option<usize> {
    if let Event::SubscribeDenied { count, .. } = event { Some(*count) } else { None }
}

#[test]
fn threat_1_an_unsubscribe_behind_that_bound_is_refused_where_there_is_a_word_for_it() {
    let filters = vec!["a"; FILTERS_PER_PACKET_MAX + 1];
    let mut story = alone(|_| {});
    let client = story.connect(Hello::v5("c"));
    story.subscribe(client, "a", 0);
    let codes = story.unsubscribe(client, 2, &filters);
    assert_eq!((codes[0], codes[1], codes.len()), (0, 0x11, filters.len()));
    assert_eq!(codes.last(), Some(&0x83));
    let client = story.connect(Hello::v311("d"));
    story.send(client, &unsubscribe(Version::V311, 2, &filters[..FILTERS_PER_PACKET_MAX]));
    assert!(matches!(story.hear(client), Some(Heard::UnsubAck(2, ..))));
    story.send(client, &unsubscribe(Version::V311, 2, &filters));
    story.expect_closed(client);
}

#[test]
fn threat_1_what_is_no_message_is_refused_on_its_header_above_1_mib() {
    // A remaining length of 1 MiB.
    let header = |first: u8| [first, 0x80, 0x80, 0x40];
    for version in [Version::V311, Version::V5] {
        for first in [0x82, 0xA2, 0x40, 0x50, 0x62, 0x70, 0xE0] {
            let mut story = alone(|_| {});
            let client = story.connect(Hello::new(version, "c"));
            story.send(client, &header(first));
            story.expect_closed_for(client, &[0x95]);
        }
        let mut story = alone(|_| {});
        let client = story.connect(Hello::new(version, "c"));
        story.send(client, &header(0x30));
        assert!(story.hear_all(client).is_empty(), "the rest of a message is awaited");
    }
}

/// Counts what it is asked; filters wait for an answer, and deliveries are checked.
#[derive(Default)]
struct Counting {
    filters: Arc<AtomicUsize>,
    deliveries: Arc<AtomicUsize>,
    denies: bool,
}

impl Authoriser for Counting {
    fn decide(&self, _who: &Identity, _client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match action {
            Action::Subscribe { filter, .. } if filter.starts_with("later") => {
                self.filters.fetch_add(1, Ordering::Relaxed);
                if self.denies { Decision::Deny } else { Decision::Later }
            }
            Action::Receive { .. } => {
                self.deliveries.fetch_add(1, Ordering::Relaxed);
                Decision::Allow
            }
            Action::Connect | Action::Publish { .. } | Action::Subscribe { .. } | Action::Will { .. } => {
                Decision::Allow
            }
        }
    }

    fn checks_receive(&self) -> bool {
        true
    }
}

fn judged_by(change: impl FnOnce(&mut Limits), authoriser: Counting) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    Story::over(World::with(1, limits, Policy::new(vec![Box::new(Anonymous)], Box::new(authoriser)), 7))
}

/// A SUBSCRIBE with so many filters that are all asked about.
fn many_questions(story: &mut Story, client: Client, count: usize) {
    let filters: Vec<String> = (0..count).map(|number| format!("later/{number}")).collect();
    let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 0)).collect();
    story.send(client, &subscribe(Version::V5, 1, &wishes, None));
}

#[test]
fn threat_3_a_filter_is_asked_about_as_often_whatever_stands_behind_it() {
    const COUNT: usize = 200;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut story = judged_by(|_| {}, Counting { filters: Arc::clone(&asked), ..Counting::default() });
    let client = story.connect(Hello::v5("c"));
    many_questions(&mut story, client, COUNT);
    for number in 0..COUNT {
        assert!(story.hear_all(client).is_empty(), "{number} are answered");
        story.world.answer(Answer::Action(if number == 3 { Decision::Deny } else { Decision::Allow }));
        story.world.drive();
    }
    let Some(Heard::SubAck(1, codes, _)) = story.hear(client) else { panic!("all are answered") };
    assert_eq!(codes.len(), COUNT);
    assert!((0..).zip(codes).all(|(number, code)| code == if number == 3 { 0x87 } else { 0 }));
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked <= 2 * COUNT, "{asked} decisions for {COUNT} filters");
}

#[test]
fn threat_3_an_answer_makes_us_read_a_subscribe_on_and_not_again() {
    const COUNT: usize = 300;
    let mut story = judged_by(|_| {}, Counting::default());
    let client = story.connect(Hello::v5("c"));
    many_questions(&mut story, client, COUNT);
    let answer = |story: &mut Story| {
        let before = story.world.shards[0].caused();
        story.world.answer(Answer::Action(Decision::Allow));
        story.world.drive(); // it goes on in a tick
        story.world.shards[0].caused() - before
    };
    for number in 1..COUNT {
        let caused = answer(&mut story);
        assert!(caused < 50, "answer {number} costs as much as {caused} copies");
    }
    assert!(story.hear_all(client).is_empty());
    assert!(answer(&mut story) > COUNT as u64, "behind the last answer all of it takes effect");
    story.world.drive();
    assert!(matches!(story.hear(client), Some(Heard::SubAck(1, codes, _)) if codes == [0; COUNT]));
}

/// What a client has caused that subscribes to so many filters, each of which is asked about or not.
fn caused_by_subscribe(count: usize, prefix: &str) -> u64 {
    let mut story = judged_by(|_| {}, Counting::default());
    let client = story.connect(Hello::v5("c"));
    let before = story.world.shards[0].caused();
    let filters: Vec<String> = (0..count).map(|number| format!("{prefix}/{number}")).collect();
    let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 0)).collect();
    story.send(client, &subscribe(Version::V5, 1, &wishes, None));
    while !story.world.questions.is_empty() {
        story.world.answer(Answer::Action(Decision::Allow));
        story.world.drive();
    }
    let Some(Heard::SubAck(1, codes, _)) = story.hear(client) else { panic!("all are answered") };
    assert_eq!(codes.len(), count);
    story.world.shards[0].caused() - before
}

#[test]
fn a_subscribe_that_waits_costs_as_much_as_one_that_does_not() {
    for count in [1, 2, 50, 300] {
        assert_eq!(caused_by_subscribe(count, "later"), caused_by_subscribe(count, "now"), "of {count} filters");
    }
}

#[test]
fn a_packet_that_waits_for_an_answer_is_counted_once() {
    let policy = Rules::default().later(Verb::Publish, "asked/#").later(Verb::Subscribe, "asked/#").policy();
    let mut story = Story::over(World::with(1, Limits::default(), policy, 7));
    let client = story.connect(Hello::v5("c"));
    let received = |story: &Story| {
        let stats = story.world.shards[0].stats();
        let bytes: u64 = stats.packet_bytes_received_by_type.iter().sum();
        (stats.packets_received, bytes)
    };
    let (packets, bytes) = received(&story);
    let wishes = [Wish::to("asked/#", 0), Wish::to("free/#", 0)];
    // Runs of neighbours take a way of their own, and so does what stands behind one that waits.
    let posts = ["asked/a", "asked/a", "asked/a", "free/b", "free/b"];
    let mut said = subscribe(Version::V5, 1, &wishes, None);
    for topic in posts {
        said.extend_from_slice(&Post::to(topic).payload("x").encode(Version::V5));
    }
    let len = said.len() as u64;
    story.send(client, &said);
    while !story.world.questions.is_empty() {
        story.world.answer(Answer::Action(Decision::Allow));
        story.world.drive();
    }
    assert!(matches!(story.hear(client), Some(Heard::SubAck(1, ..))));
    let heard: Vec<String> = story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect();
    assert_eq!(heard, posts);
    assert_eq!(received(&story), (packets + 1 + posts.len() as u64, bytes + len));
}

#[test]
fn threat_5_what_is_settled_of_a_subscribe_is_judged_again_after_the_rules_have_changed() {
    let mut story = judged_by(|_| {}, Counting::default());
    let client = story.connect(Hello::v5("c"));
    many_questions(&mut story, client, 3);
    for _ in 0..2 {
        story.world.answer(Answer::Action(Decision::Allow));
        story.world.drive();
    }
    let denies = Counting { denies: true, ..Counting::default() };
    story.world.change_policy(Policy::new(vec![Box::new(Anonymous)], Box::new(denies)));
    story.world.answer(Answer::Action(Decision::Allow));
    story.world.drive();
    assert!(matches!(story.hear(client), Some(Heard::SubAck(1, codes, _)) if codes == [0x87; 3]));
}

#[test]
fn threat_3_a_wide_route_is_judged_piece_by_piece_as_it_is_served() {
    let judged = Arc::new(AtomicUsize::new(0));
    let authoriser = Counting { deliveries: Arc::clone(&judged), ..Counting::default() };
    let mut story = judged_by(|limits| limits.fanout_recipients_max = 10, authoriser);
    let subscribers = audience(&mut story, 0, Version::V311, 0, 50);
    let publisher = story.connect(Hello::v311("p"));
    let post = Post::to("a/b").payload("x").encode(Version::V311);
    read_at_once(&mut story, publisher, &post);
    story.world.input(0, Input::Tick);
    let at_once = judged.load(Ordering::Relaxed);
    assert!((1..=20).contains(&at_once), "{at_once} decisions before the second piece");
    story.world.drive();
    assert_eq!(judged.load(Ordering::Relaxed), 50);
    story.send(publisher, &post);
    assert_eq!(judged.load(Ordering::Relaxed), 50, "they are remembered as long as nothing changes");
    assert!(subscribers.into_iter().all(|subscriber| story.deliveries(subscriber).len() == 2));
}
