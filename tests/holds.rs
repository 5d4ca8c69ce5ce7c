//! What is more than an input may cause waits where it is bounded, and whoever brings it is not read meanwhile.

mod support;

use pregon::base::hash::Seed;
use pregon::engine::auth::policy::Policy;
use pregon::engine::homes::{Homes, ShardId};
use pregon::engine::input::Input;
use pregon::engine::limits::{COPIES_PER_INPUT_MAX, LETTERS_MAX, Limits, RESUMED_PER_INPUT_MAX};
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;
use support::policies::{Rules, Verb};
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

/// A broker of one shard whose inputs cause no more copies than that.
fn alone(copies: usize, change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut story = Story::over(World::with(1, limits, Policy::open(), 7));
    story.world.set_copies_per_input_max(copies);
    story
}

/// A client whose home is this shard.
fn connect_at(story: &mut Story, shard: usize, name: &str) -> Client {
    for attempt in 0..64 {
        let client = story.connect(Hello::v311(&format!("{name}{attempt}")));
        if story.world.links[client.0].at.is_some_and(|(at, _)| at == shard) {
            return client;
        }
        story.cut(client);
    }
    panic!("one of 64 names has its home here");
}

/// What of so many shards has its home at this one, by a number that is part of its name.
fn at_home(shard: usize, shards: usize, home: impl Fn(&Homes, u32) -> usize) -> u32 {
    let homes = Homes::new(Seed::new(7), shards);
    (0..10_000).find(|number| home(&homes, *number) == shard).expect("one of so many")
}

/// A shared subscription whose group lives there.
fn group_at(shard: usize, shards: usize, filter: &str) -> String {
    let number = at_home(shard, shards, |homes, number| homes.group(&format!("g{number}"), filter).index());
    format!("$share/g{number}/{filter}")
}

fn audience(story: &mut Story, filter: &str, count: usize) -> Vec<Client> {
    let subscribe = |number: usize| {
        let client = story.connect(Hello::v311(&format!("s{number}")));
        assert_eq!(story.subscribe(client, filter, 0), 0);
        client
    };
    (0..count).map(subscribe).collect()
}

/// Messages with their numbers to topics in turn, which are no run.
fn numbered(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let post = |number: u32| Post::to(&format!("a/{}", number % 2)).payload(number.to_string()).encode(Version::V311);
    numbers.flat_map(post).collect()
}

fn heard_numbers(story: &mut Story, client: Client) -> Vec<u32> {
    let number = |payload: Vec<u8>| String::from_utf8(payload).expect("text").parse().expect("a number");
    story.deliveries(client).into_iter().map(|delivery| number(delivery.payload)).collect()
}

/// The network brings bytes of a client as often as the shard takes them, and no tick comes.
fn offer(story: &mut Story, client: Client, bytes: &[u8]) {
    story.world.send(client.0, bytes);
    story.world.read(client.0, bytes.len());
}

fn partial_bytes(story: &Story, shard: usize) -> u64 {
    story.world.shards[shard].sizes().memory.partial_packets
}

#[test]
fn threat_1_whoever_offers_more_than_can_be_handed_out_is_read_no_more_until_it_is() {
    let mut story = alone(100, |_| {});
    let audience = audience(&mut story, "a/#", 40);
    let publisher = story.connect(Hello::v311("p"));
    for part in 0..100 {
        offer(&mut story, publisher, &numbered(part * 100..(part + 1) * 100));
    }
    let one_part = numbered(0..100).len();
    let (unread, held) = (story.world.links[publisher.0].outgoing.len(), partial_bytes(&story, 0));
    assert!(unread >= 98 * one_part, "only {unread} bytes are left to the network");
    assert!(held <= 4 * one_part as u64, "{held} bytes are held");
    story.world.drive();
    for client in audience {
        assert_eq!(heard_numbers(&mut story, client), (0..10_000).collect::<Vec<_>>());
    }
    assert_eq!(partial_bytes(&story, 0), 0);
}

#[test]
fn threat_10_who_waits_for_his_turn_is_no_stalled_sender() {
    let mut story = alone(100, |_| {});
    audience(&mut story, "a/#", 40);
    let publisher = story.connect(Hello::v311("p").keep_alive(10));
    offer(&mut story, publisher, &numbered(0..100));
    let patience_ms = 2 * Limits::default().read_stall_ms;
    story.world.now = story.world.now.after_ms(patience_ms);
    story.world.input(0, Input::Tick);
    story.expect_open(publisher);
    story.world.drive();
    story.expect_open(publisher);
    story.world.advance(20_000);
    story.expect_closed(publisher); // nothing excuses its silence any more
}

#[test]
fn threat_10_inputs_of_others_bring_nobody_forward_who_waits_for_his_turn() {
    let mut story = alone(100, |_| {});
    audience(&mut story, "a/#", 40);
    let [publisher, other] = ["p", "o"].map(|name| story.connect(Hello::v311(name)));
    offer(&mut story, publisher, &numbered(0..100));
    let held = partial_bytes(&story, 0);
    assert!(held > 0, "it waits");
    (0..10).for_each(|_| offer(&mut story, other, &[0xC0, 0]));
    assert_eq!(partial_bytes(&story, 0), held);
    story.world.input(0, Input::Tick);
    assert!(partial_bytes(&story, 0) < held);
}

#[test]
fn a_tick_brings_so_many_forward_and_leaves_the_others_to_the_next_one() {
    const MORE: usize = 10;
    let mut story = alone(100, |_| {});
    let reader = audience(&mut story, "a/#", 1)[0];
    let publishers: Vec<Client> =
        (0..RESUMED_PER_INPUT_MAX + MORE).map(|number| story.connect(Hello::v311(&format!("p{number}")))).collect();
    story.world.set_copies_per_input_max(1);
    for publisher in publishers {
        offer(&mut story, publisher, &numbered(0..2));
    }
    story.world.set_copies_per_input_max(COPIES_PER_INPUT_MAX);
    let heard = [(); 2].map(|()| {
        story.world.input(0, Input::Tick);
        heard_numbers(&mut story, reader).into_iter().filter(|number| *number == 1).count()
    });
    assert_eq!(heard, [RESUMED_PER_INPUT_MAX, MORE]);
}

#[test]
fn a_connection_that_another_reason_holds_meanwhile_goes_on_when_that_is_over() {
    let mut story = alone(100, |limits| limits.message_rate = 50);
    let audience = audience(&mut story, "a/#", 40);
    let publisher = story.connect(Hello::v311("p"));
    offer(&mut story, publisher, &numbered(0..200));
    story.wait_s(60);
    for client in audience {
        assert_eq!(heard_numbers(&mut story, client), (0..200).collect::<Vec<_>>());
    }
}

/// Jobs with their numbers to one topic, which are one run, or to two topics in turn.
fn jobs(topics: u32, numbers: std::ops::Range<u32>) -> Vec<u8> {
    let post =
        |number: u32| Post::to(&format!("jobs/{}", number % topics)).payload(number.to_string()).encode(Version::V311);
    numbers.flat_map(post).collect()
}

#[test]
fn threat_1_a_shard_has_few_letters_to_itself_however_many_messages_come_for_a_group() {
    for topics in [1, 2] {
        let mut story = alone(COPIES_PER_INPUT_MAX, |_| {});
        let member = story.connect(Hello::v311("m"));
        story.subscribe(member, "$share/workers/jobs/#", 0);
        let publisher = story.connect(Hello::v311("p"));
        let count: u32 = 60_000;
        for part in 0..3 {
            offer(&mut story, publisher, &jobs(topics, part * count..(part + 1) * count));
        }
        let letters = story.world.shards[0].sizes().memory.letters;
        let letter_bytes = 512 * LETTERS_MAX as u64;
        assert!(letters <= letter_bytes, "{letters} bytes of letters wait");
        let unread = story.world.links[publisher.0].outgoing.len();
        assert!(unread >= jobs(topics, 0..count).len(), "the rest is left to the network");
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, member), (0..3 * count).collect::<Vec<_>>());
        assert_eq!(story.world.shards[0].sizes().memory.letters, 0);
    }
}

#[test]
fn threat_1_the_same_where_they_come_from_another_shard() {
    let mut story = Story::new(2);
    let share = group_at(0, 2, "jobs/#");
    let member = connect_at(&mut story, 0, "m");
    story.subscribe(member, &share, 0);
    let publisher = connect_at(&mut story, 1, "p");
    for topics in [1, 2] {
        let count: u32 = 60_000;
        offer(&mut story, publisher, &jobs(topics, 0..count));
        story.world.deliver_mesh(1, 0, usize::MAX);
        let letters = story.world.shards[0].sizes().memory.letters;
        assert!(letters <= 512 * LETTERS_MAX as u64, "{letters} bytes of letters wait");
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, member), (0..count).collect::<Vec<_>>());
    }
}

fn room(story: &mut Story, from: usize, to: usize, has_room: bool) {
    story.world.input(from, Input::MeshRoom { to: ShardId::new(to), has_room });
}

fn queued(story: &Story, shard: usize) -> u64 {
    story.world.shards[shard].stats().ledger.queued()
}

#[test]
fn threat_1_messages_for_members_behind_a_full_way_wait_in_their_group_and_so_does_their_publisher() {
    for (at, topics) in [(0, 1), (0, 2), (2, 1), (2, 2)] {
        let mut story = Story::new(3);
        let member = connect_at(&mut story, 1, "m");
        story.subscribe(member, &group_at(0, 3, "jobs/#"), 0);
        let publisher = connect_at(&mut story, at, "p");
        room(&mut story, 0, 1, false);
        for part in 0..30 {
            offer(&mut story, publisher, &jobs(topics, part * 100..(part + 1) * 100));
            story.world.deliver_mesh(2, 0, usize::MAX);
            story.world.deliver_mesh(0, 2, usize::MAX);
        }
        assert!(story.world.mesh[0][1].len() <= 1, "{} letters wait for room", story.world.mesh[0][1].len());
        assert!((1..=100).contains(&queued(&story, 0)), "{} messages wait in the group", queued(&story, 0));
        assert!(!story.world.links[publisher.0].outgoing.is_empty(), "the publisher is not read");
        room(&mut story, 0, 1, true);
        story.world.drive();
        assert_eq!(heard_numbers(&mut story, member), (0..3_000).collect::<Vec<_>>());
    }
}

#[test]
fn members_on_other_ways_take_what_those_behind_a_full_one_cannot() {
    let mut story = Story::new(3);
    let members = [1, 2].map(|shard| connect_at(&mut story, shard, &format!("m{shard}-")));
    for member in members {
        story.subscribe(member, &group_at(0, 3, "jobs/#"), 0);
    }
    let publisher = connect_at(&mut story, 0, "p");
    room(&mut story, 0, 1, false);
    story.send(publisher, &jobs(2, 0..100));
    assert!(story.world.links[publisher.0].is_read, "nothing waits");
    assert_eq!(members.map(|member| story.deliveries(member).len()), [0, 100]);
    room(&mut story, 0, 1, true);
    story.send(publisher, &jobs(2, 0..100));
    assert_eq!(members.map(|member| story.deliveries(member).len()), [50, 50]);
}

#[test]
fn threat_1_who_publishes_retained_messages_waits_for_a_full_way_to_their_home() {
    let mut story = Story::new(2);
    let number = at_home(1, 2, |homes, number| homes.topic(&format!("r/{number}")).index());
    let publisher = connect_at(&mut story, 0, "p");
    room(&mut story, 0, 1, false);
    let post = Post::to(&format!("r/{number}")).payload("x").retain().encode(Version::V311).repeat(10);
    for _ in 0..10 {
        offer(&mut story, publisher, &post);
    }
    assert_eq!(story.world.mesh[0][1].len(), 1);
    assert!(story.world.links[publisher.0].outgoing.len() >= 9 * post.len());
    room(&mut story, 0, 1, true);
    story.world.drive();
    assert!(story.world.links[publisher.0].outgoing.is_empty());
    assert_eq!(story.world.shards[1].sizes().retained, 1);
}

#[test]
fn threat_1_a_publisher_waits_where_the_home_of_its_retained_messages_cannot_tell_who_wants_them() {
    let mut story = Story::new(3);
    let number = at_home(1, 3, |homes, number| homes.topic(&format!("r/{number}")).index());
    let reader = connect_at(&mut story, 2, "s");
    story.subscribe(reader, "r/#", 0);
    let publisher = connect_at(&mut story, 0, "p");
    room(&mut story, 1, 2, false);
    let post = Post::to(&format!("r/{number}")).payload("x").retain().encode(Version::V311);
    for _ in 0..10 {
        offer(&mut story, publisher, &post);
        for (from, to) in [(0, 1), (0, 2), (1, 0)] {
            story.world.deliver_mesh(from, to, usize::MAX);
        }
    }
    assert_eq!(story.world.mesh[1][2].len(), 1);
    assert!(!story.world.links[publisher.0].is_read);
    room(&mut story, 1, 2, true);
    story.world.drive();
    assert_eq!(story.deliveries(reader).len(), 10);
}

fn wills_published(story: &Story) -> u64 {
    story.world.shards[0].stats().wills_published
}

/// Twenty clients whose wills are for forty others, where an input causes a hundred copies.
fn with_wills(hello: impl Fn(Hello) -> Hello) -> (Story, Vec<Client>, Vec<Client>) {
    let mut story = alone(100, |_| {});
    let audience = audience(&mut story, "wills/#", 40);
    let client = |number: u32| story.connect(hello(Hello::v5(&format!("c{number}")).will("wills/a", "gone", 0, false)));
    let clients = (0..20).map(client).collect();
    (story, audience, clients)
}

/// What has ended all of them has published some wills, and the others come with the next ticks.
fn expect_wills_in_pieces(story: &mut Story, audience: Vec<Client>) {
    let published = wills_published(story);
    assert!((1..=4).contains(&published), "{published} wills in one input");
    story.world.input(0, Input::Tick);
    assert!((2..=10).contains(&wills_published(story)), "{} wills in two inputs", wills_published(story));
    story.world.drive();
    assert_eq!(wills_published(story), 20);
    for client in audience {
        assert_eq!(story.hear_all(client).into_iter().filter(|heard| matches!(heard, Heard::Publish(_))).count(), 20);
    }
}

#[test]
fn threat_3_wills_of_clients_that_fall_silent_together_are_published_some_in_a_tick() {
    let (mut story, audience, clients) = with_wills(|hello| hello.keep_alive(10));
    story.world.now = story.world.now.after_ms(60_000);
    story.world.input(0, Input::Tick);
    expect_wills_in_pieces(&mut story, audience);
    for client in clients {
        story.expect_closed_for(client, &[0x8D]);
    }
}

#[test]
fn threat_3_wills_that_are_due_together_are_published_some_in_a_tick() {
    let (mut story, audience, clients) = with_wills(|hello| hello.expiry(5).will_with(Property::WillDelay(5)));
    for client in clients {
        story.cut(client);
    }
    assert_eq!(wills_published(&story), 0);
    story.world.now = story.world.now.after_ms(60_000);
    story.world.input(0, Input::Tick);
    expect_wills_in_pieces(&mut story, audience);
    assert_eq!(story.world.shards[0].sizes().sessions, 40);
}

#[test]
fn threat_3_wills_of_clients_that_are_not_welcome_any_more_are_published_some_in_an_input() {
    let (mut story, audience, clients) = with_wills(|hello| hello);
    let rules = (0..20).map(|number| &*format!("c{number}").leak());
    story.world.change_policy(rules.fold(Rules::default(), |rules, name| rules.deny(Verb::Connect, name)).policy());
    expect_wills_in_pieces(&mut story, audience);
    for client in clients {
        story.expect_closed_for(client, &[0x87]);
    }
}

#[test]
fn threat_3_wills_of_a_broker_that_stops_are_published_some_in_an_input() {
    let (mut story, audience, clients) = with_wills(|hello| hello);
    story.world.input(0, Input::Shutdown);
    let closed = clients.iter().filter(|client| story.world.links[client.0].is_closed).count();
    assert!((0..20).contains(&closed), "not all of them end at once");
    story.world.drive();
    assert_eq!(story.world.shards[0].sizes().connections, 0);
    for client in clients {
        story.expect_closed_for(client, &[0x8B]);
    }
    drop(audience);
}

#[test]
fn who_speaks_while_he_stands_in_line_stays() {
    let (mut story, _audience, clients) = with_wills(|hello| hello.keep_alive(10));
    story.world.now = story.world.now.after_ms(60_000);
    story.world.input(0, Input::Tick);
    let is_here = |client: &&Client| !story.world.links[client.0].is_closed;
    let last = *clients.iter().find(is_here).expect("some stand in line");
    offer(&mut story, last, &[0xC0, 0]);
    story.world.drive();
    assert_eq!(wills_published(&story), 19);
    assert_eq!(story.hear(last), Some(Heard::PingResp));
    story.expect_open(last);
}

#[test]
fn an_input_is_told_what_it_has_caused() {
    let mut story = alone(COPIES_PER_INPUT_MAX, |_| {});
    audience(&mut story, "a/#", 40);
    let publisher = story.connect(Hello::v311("p"));
    let before = story.world.shards[0].caused();
    offer(&mut story, publisher, &numbered(0..100));
    let caused = story.world.shards[0].caused() - before;
    assert!((4_000..4_200).contains(&caused), "{caused} copies");
}
