//! The end of sessions with many subscriptions: it takes many turns, and nobody notices.

mod support;

use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Input;
use pregon::engine::limits::{DEPARTED_FILTERS_MAX, FILTERS_PER_PACKET_MAX, FILTERS_PER_PIECE_MAX, Limits};
use pregon::mqtt::Version;
use support::story::{Client, Heard, Hello, Post, Story, Wish, subscribe, unsubscribe};
use support::world::World;

/// Subscriptions that each of these sessions has.
const MANY: usize = 4_000;

fn alone(change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut story = Story::over(World::with(1, limits, Policy::open(), 7));
    story.world.is_checked = false; // each step would look at all of them
    story
}

/// Subscribes to `f/0`, `f/1`, and so on.
fn subscribe_to_many(story: &mut Story, client: Client, count: usize) {
    let filters: Vec<String> = (0..count).map(|number| format!("f/{number}")).collect();
    for filters in filters.chunks(FILTERS_PER_PACKET_MAX) {
        let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 1)).collect();
        assert!(story.subscribe_to(client, 1, &wishes, None).iter().all(|code| *code == 1));
    }
}

/// Sessions and subscriptions there are.
fn sizes(story: &Story) -> (usize, usize) {
    let sizes = story.world.shards[0].sizes();
    (sizes.sessions, sizes.subscriptions)
}

fn topics(story: &mut Story, client: Client) -> Vec<String> {
    story.forget(client, |heard| !matches!(heard, Heard::Publish(_)));
    story.deliveries(client).into_iter().map(|delivery| delivery.topic).collect()
}

#[test]
fn threat_3_a_session_with_many_subscriptions_ends_piece_by_piece() {
    let mut story = alone(|_| {});
    let watcher = story.connect(Hello::v5("watcher"));
    story.subscribe(watcher, "will", 0);
    let client = story.connect(Hello::v5("c").will("will", "gone", 0, false));
    subscribe_to_many(&mut story, client, MANY);
    let before = sizes(&story);
    story.cut_without_driving(client);
    let mut left = sizes(&story);
    assert_eq!(left.0, before.0 - 1, "the session has ended at once");
    assert_eq!(topics(&mut story, watcher), ["will"], "and its will was published");
    assert!(left.1 + FILTERS_PER_PIECE_MAX >= before.1);
    let mut turns = 0;
    while left.1 > 1 {
        story.world.shards[0].check();
        story.world.input(0, Input::Tick);
        let now = sizes(&story);
        assert!(now.1 < left.1 && now.1 + FILTERS_PER_PIECE_MAX >= left.1, "{} after {}", now.1, left.1);
        (left, turns) = (now, turns + 1);
    }
    assert_eq!((left, turns), ((1, 1), MANY.div_ceil(FILTERS_PER_PIECE_MAX) - 1));
    story.world.shards[0].check();
}

/// Tells the broker all this at once, without a turn in between.
fn say_at_once(story: &mut Story, client: Client, said: &[Vec<u8>]) {
    story.world.send(client.0, &said.concat());
    while story.world.read(client.0, usize::MAX) {}
}

#[test]
fn whoever_comes_back_while_its_old_session_is_taken_down_has_a_new_one() {
    let mut story = alone(|_| {});
    let publisher = story.connect(Hello::v5("p"));
    let client = story.connect(Hello::v5("c"));
    subscribe_to_many(&mut story, client, MANY);
    story.publish(publisher, Post::to("f/7").qos(1).id(1)); // the route is known
    assert_eq!(topics(&mut story, client), ["f/7"]);
    let sent = story.world.shards[0].stats().ledger.clone();
    story.cut_without_driving(client);
    let again = story.open(Version::V5);
    let wish = subscribe(Version::V5, 1, &[Wish::to("f/7", 1), Wish::to("f/8", 1)], None);
    say_at_once(&mut story, again, &[Hello::v5("c").encode(), wish]);
    let posts = ["f/7", "f/9"].map(|topic| Post::to(topic).qos(1).id(2).encode(Version::V5));
    say_at_once(&mut story, publisher, &posts);
    assert!(sizes(&story).1 > MANY / 2, "most of what it had is still there");
    assert_eq!(topics(&mut story, again), ["f/7"], "nothing of what it had subscribed to before");
    let ledger = story.world.shards[0].stats().ledger.clone();
    assert_eq!(ledger.routed - sent.routed, 1, "a copy for the new session, and none for the old one");
    story.world.drive();
    story.world.shards[0].check();
    assert_eq!(sizes(&story), (2, 2));
    for topic in ["f/7", "f/8", "f/9"] {
        story.publish(publisher, Post::to(topic).qos(1).id(3));
    }
    assert_eq!(
        topics(&mut story, again),
        ["f/7", "f/8"],
        "the last subscriber of the old session did not take these along"
    );
}

#[test]
fn threat_8_subscriptions_of_ended_sessions_do_not_pile_up() {
    let mut story = alone(|_| {});
    let sessions = DEPARTED_FILTERS_MAX / MANY + 10;
    let clients: Vec<Client> = (0..sessions)
        .map(|number| {
            let client = story.connect(Hello::v5(&format!("c{number}")));
            subscribe_to_many(&mut story, client, MANY);
            client
        })
        .collect();
    for client in clients {
        story.cut_without_driving(client); // and no turn comes in between
    }
    let (sessions, left) = sizes(&story);
    assert!(sessions == 0 && left > 0 && left < DEPARTED_FILTERS_MAX + MANY, "{left}");
    story.world.drive();
    assert_eq!(sizes(&story), (0, 0));
    story.world.shards[0].check();
}

#[test]
fn filters_of_a_session_that_ends_leave_the_interest_of_all_shards() {
    let mut story = Story::new(2);
    story.world.set_copies_per_input_max(1);
    let publisher = story.connect(Hello::v5("p"));
    for number in 0..8 {
        let client = story.connect(Hello::v5(&format!("c{number}")));
        subscribe_to_many(&mut story, client, 5);
        story.cut(client);
    }
    let forwards = |story: &Story| story.world.shards.iter().map(|shard| shard.stats().forwards_sent).sum::<u64>();
    let before = forwards(&story);
    for number in 0..5 {
        story.publish(publisher, Post::to(&format!("f/{number}")));
    }
    assert_eq!(forwards(&story), before, "no shard wants them");
    let left: usize = story.world.shards.iter().map(|shard| shard.sizes().subscriptions).sum();
    assert_eq!(left, 0);
}

#[test]
fn what_is_subscribed_to_and_given_up_counts_for_many_copies() {
    let mut story = alone(|_| {});
    let client = story.connect(Hello::v5("c"));
    let filters: Vec<String> = (0..FILTERS_PER_PACKET_MAX).map(|number| format!("f/{number}")).collect();
    let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 0)).collect();
    let names: Vec<&str> = filters.iter().map(String::as_str).collect();
    let one = [subscribe(Version::V5, 1, &wishes, None), unsubscribe(Version::V5, 2, &names)];
    story.world.send(client.0, &one.concat().repeat(50));
    assert!(story.world.read(client.0, usize::MAX));
    let answers = story.hear_all(client).len();
    assert!((1..20).contains(&answers), "{answers} packets of a thousand filters in one input");
    story.world.drive();
    assert_eq!(answers + story.hear_all(client).len(), 100);
}
