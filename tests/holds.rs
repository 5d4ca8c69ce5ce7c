//! What is more than an input may cause waits where it is bounded, and whoever brings it is not read meanwhile.

mod support;

use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use support::story::{Client, Hello, Post, Story};
use support::world::World;

/// A broker of one shard whose inputs cause no more copies than that.
fn alone(copies: usize, change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut story = Story::over(World::with(1, limits, Policy::open(), 7));
    story.world.set_copies_per_input_max(copies);
    story
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
