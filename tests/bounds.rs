//! Bounds of clients: each listener's own, the rates of what a client is sent, and the count of each bound that was met.

mod support;

use std::collections::BTreeSet;

use pregon::engine::auth::Decision;
use pregon::engine::auth::policy::Policy;
use pregon::engine::input::{Answer, Input};
use pregon::engine::limits::{ALIAS_BYTES_MIN, Limits, UNPROVEN_BYTES_MAX, UNPROVEN_POOL_BYTES_MAX};
use pregon::engine::stats::{DropReason, Limit};
use pregon::mqtt::properties::{Place, Properties};
use pregon::mqtt::property::Property;
use pregon::mqtt::{QoS, Version};
use support::policies::{Rules, Verb};
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

/// The listener without bounds of its own, and the one with them.
const USUAL: u16 = 0;
const NARROW: u16 = 1;

/// A broker of two shards with two listeners, the second one with bounds of its own.
fn with_narrow(narrow: impl FnOnce(&mut Limits)) -> Story {
    let mut own = Limits::default();
    narrow(&mut own);
    let world = World::with(2, Limits::default(), Policy::open(), 7);
    Story::over(world.with_own_limits(vec![Limits::default(), own]))
}

/// One shard with these limits.
fn alone(change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    Story::over(World::with(1, limits, Policy::open(), 7))
}

fn connect_by(story: &mut Story, listener: u16, hello: Hello) -> Client {
    story.world.listener = listener;
    story.connect(hello)
}

fn open_by(story: &mut Story, listener: u16, version: Version) -> Client {
    story.world.listener = listener;
    story.open(version)
}

fn reached(story: &Story, limit: Limit) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().limits_reached.of(limit)).sum()
}

fn dropped(story: &Story, why: DropReason) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().ledger.dropped(why)).sum()
}

/// What CONNACK says to a client of this listener.
fn announced(story: &mut Story, listener: u16, hello: Hello) -> Vec<u8> {
    story.world.listener = listener;
    story.welcome(hello).1
}

fn payloads(story: &mut Story, client: Client) -> Vec<String> {
    let deliveries = story.deliveries(client).into_iter();
    deliveries.map(|delivery| String::from_utf8(delivery.payload).expect("text")).collect()
}

#[test]
fn a_client_is_told_the_bounds_of_its_listener() {
    let mut story = with_narrow(|limits| {
        limits.packet_bytes_max = 1_000;
        limits.maximum_qos = QoS::AtLeastOnce;
        limits.keep_alive_max_s = 5;
    });
    for attempt in 0..4 {
        let said = announced(&mut story, NARROW, Hello::v5(&format!("narrow{attempt}")).keep_alive(60));
        let said = Properties::parse(&said, Place::ConnAck).unwrap();
        let keep_alive = said.server_keep_alive();
        assert_eq!((said.maximum_packet_size(), keep_alive), (Some(1_000), Some(5)));
        assert!(said.iter().any(|property| property == Property::MaximumQoS(1)));
        let said = announced(&mut story, USUAL, Hello::v5(&format!("usual{attempt}")).keep_alive(60));
        let said = Properties::parse(&said, Place::ConnAck).unwrap();
        assert_eq!((said.maximum_packet_size(), said.server_keep_alive()), (None, None));
        assert!(!said.iter().any(|property| matches!(property, Property::MaximumQoS(_))));
    }
}

#[test]
fn what_is_too_much_for_one_listener_is_not_for_the_other() {
    for version in [Version::V311, Version::V5] {
        for shape in [2, 100] {
            let mut story = with_narrow(|limits| {
                limits.packet_bytes_max = 300;
                limits.maximum_qos = QoS::AtLeastOnce;
                limits.topic_levels_max = 2;
                limits.subscriptions_max = 2;
                limits.shared_subscriptions_max = 2;
            });
            let reader = connect_by(&mut story, USUAL, Hello::v5("reader"));
            assert_eq!(story.subscribe(reader, "#", 2), 2);
            let large = || Post::to("a/b").qos(1).payload(vec![b'x'; 300]);
            let deep = || Post::to("a/b/c").qos(1).payload(vec![b'x'; shape]);
            let usual = connect_by(&mut story, USUAL, Hello::new(version, "usual"));
            for post in [large(), deep(), Post::to("a/b").qos(2)] {
                story.post(usual, post);
                story.deliveries(reader);
            }
            for filter in ["a/b/c", "d", "e"] {
                assert_eq!(story.subscribe(usual, filter, 2), 2);
            }

            let narrow = connect_by(&mut story, NARROW, Hello::new(version, "narrow"));
            let codes = ["a/b/c", "d", "e", "f"].map(|filter| story.subscribe(narrow, filter, 2));
            let refused = |reason| if version == Version::V5 { reason } else { 0x80 };
            assert_eq!(codes, [refused(0x8f), 1, 1, refused(0x97)]);
            // [MQTT-3.3.5-2] of 3.1.1: it is acknowledged and goes nowhere.
            let answer = story.publish_fully(narrow, deep());
            assert_eq!(answer, if version == Version::V5 { 0x90 } else { 0 });
            assert!(story.deliveries(reader).is_empty());
            for (post, reason) in [(large(), 0x95), (Post::to("a/b").qos(2), 0x9b)] {
                let narrow = connect_by(&mut story, NARROW, Hello::new(version, "narrow"));
                story.publish(narrow, post);
                story.expect_closed_for(narrow, &[reason]);
            }
            assert!(story.deliveries(reader).is_empty());
            let counts = [Limit::TopicLevels, Limit::Subscriptions, Limit::PacketBytes, Limit::MaximumQos];
            assert_eq!(counts.map(|limit| reached(&story, limit)), [2, 1, 1, 1]);
        }
    }
}

#[test]
fn runs_of_messages_keep_the_bounds_of_their_listener() {
    for qos in [0, 1] {
        let mut story = with_narrow(|limits| {
            limits.topic_levels_max = 1;
            limits.message_rate = 10;
        });
        let reader = connect_by(&mut story, USUAL, Hello::v5("reader"));
        assert_eq!(story.subscribe(reader, "#", qos), qos);
        for (listener, topic, expected) in [(USUAL, "a/b", 50), (NARROW, "a/b", 0), (NARROW, "a", 50)] {
            let writer = connect_by(&mut story, listener, Hello::v311("writer"));
            let run: Vec<u8> =
                (1..=50).flat_map(|id| Post::to(topic).qos(qos).id(id).payload("x").encode(Version::V311)).collect();
            story.send(writer, &run);
            story.wait_s(60);
            let count = story.deliveries(reader).len();
            assert_eq!(count, expected, "{topic} by listener {listener} at {qos}");
        }
        assert!(reached(&story, Limit::TopicLevels) == 50 && reached(&story, Limit::MessageRate) > 0);
    }
}

#[test]
fn a_session_has_the_bounds_of_the_listener_that_it_comes_back_by() {
    let mut story = with_narrow(|limits| {
        limits.subscriptions_max = 1;
        limits.shared_subscriptions_max = 1;
        limits.inflight_max = 1;
    });
    let writer = connect_by(&mut story, USUAL, Hello::v311("writer"));
    let hello = || Hello::v5("client").expiry(3_600).resume();
    for (listener, inflight, third) in [(USUAL, 3, 1), (NARROW, 1, 0x97), (USUAL, 3, 1)] {
        let client = connect_by(&mut story, listener, hello());
        if listener == USUAL {
            assert_eq!(["a", "b"].map(|filter| story.subscribe(client, filter, 1)), [1, 1]);
        }
        assert_eq!(story.subscribe(client, &format!("new/{listener}"), 1), third);
        for id in 1..=3 {
            story.post(writer, Post::to("a").qos(1).id(id));
        }
        let mut open = story.deliveries(client);
        assert_eq!(open.len(), inflight, "what it was granted before stays granted");
        while let Some(delivery) = open.pop() {
            story.puback(client, delivery.id.expect("an identifier"));
            open.extend(story.deliveries(client));
        }
        story.cut(client);
    }
}

#[test]
fn threat_10_the_keep_alive_of_a_listener_holds_for_who_asks_for_none_and_for_3() {
    for version in Version::ALL {
        for keep_alive_s in [0, 60] {
            let mut story = with_narrow(|limits| limits.keep_alive_max_s = 5);
            let usual = connect_by(&mut story, USUAL, Hello::new(version, "usual").keep_alive(keep_alive_s));
            let silent = connect_by(&mut story, NARROW, Hello::new(version, "silent").keep_alive(keep_alive_s));
            let pinging = connect_by(&mut story, NARROW, Hello::new(version, "pinging").keep_alive(keep_alive_s));
            story.world.advance(7_000);
            story.expect_silence(silent);
            story.expect_open(pinging);
            story.world.advance(1_000);
            story.expect_closed_for(silent, &[0x8d]);
            story.expect_open(pinging);
            story.expect_open(usual);
        }
    }
}

#[test]
fn threat_10_the_time_for_connect_is_that_of_the_listener() {
    for version in [Version::V311, Version::V5] {
        let mut story = with_narrow(|limits| limits.connect_timeout_ms = 1_000);
        let usual = open_by(&mut story, USUAL, version);
        let silent = open_by(&mut story, NARROW, version);
        let slow = open_by(&mut story, NARROW, version);
        story.send(slow, &Hello::new(version, "slow").encode()[..5]);
        story.world.advance(900);
        story.expect_silence(silent);
        story.send(slow, &Hello::new(version, "slow").encode()[5..6]); // one byte more is no respite
        story.world.advance(200);
        story.expect_closed(silent);
        story.expect_closed(slow);
        story.world.advance(8_000);
        story.expect_silence(usual);
        story.world.advance(1_000);
        story.expect_closed(usual);
        assert_eq!(reached(&story, Limit::ConnectTimeout), 3);
    }
}

#[test]
fn threat_10_a_receiver_that_takes_nothing_is_closed() {
    let mut story = alone(|limits| limits.write_stall_ms = 5_000);
    let (stalled, slow) = (story.connect(Hello::v311("stalled")), story.connect(Hello::v311("slow")));
    for reader in [stalled, slow] {
        story.subscribe(reader, "t", 0);
        story.world.links[reader.0].room = 0;
    }
    let writer = story.connect(Hello::v311("writer"));
    story.publish(writer, Post::to("t").payload(vec![b'x'; 10_000]));
    for _ in 0..12 {
        story.world.advance(500);
        story.world.links[slow.0].room += 1; // a byte now and then is enough
        story.world.drain_backlog(slow.0, 1);
    }
    assert!(story.world.links[stalled.0].is_closed && !story.world.links[slow.0].is_closed);
    assert_eq!(reached(&story, Limit::WriteStall), 1);
}

/// Without a keep-alive nothing else would ever end it.
#[test]
fn threat_10_a_sender_that_stops_in_the_middle_of_a_packet_is_closed() {
    let mut story = alone(|limits| limits.read_stall_ms = 5_000);
    let (stalled, slow) = (story.connect(Hello::v5("stalled")), story.connect(Hello::v311("slow")));
    let packet = Post::to("t").payload(vec![b'x'; 10_000]).encode(Version::V311);
    story.send(stalled, &Post::to("t").payload(vec![b'x'; 10_000]).encode(Version::V5)[..9_000]);
    for piece in packet.chunks(1_024) {
        story.send(slow, piece);
        story.world.advance(4_000);
    }
    assert!(story.world.links[stalled.0].is_closed && !story.world.links[slow.0].is_closed);
    assert_eq!(reached(&story, Limit::ReadStall), 1);
    story.world.advance(60_000);
    assert!(!story.world.links[slow.0].is_closed, "between packets silence is none of ours");
}

/// A byte now and then would hold what is here for ever, and whoever holds more has to send more.
#[test]
fn threat_10_a_sender_that_drips_holds_a_packet_no_longer_than_one_that_stops() {
    let packet = Post::to("t").payload(vec![b'x'; 1 << 20]).encode(Version::V311);
    let half = packet.len() / 2;
    // What has come, how much more comes each second, and whether that is enough for five.
    for (begun, drip, is_enough) in
        [(2, 1, false), (2, 250, false), (2, 260, true), (half, 2_000, false), (half, 2_100, true)]
    {
        let mut story = alone(|limits| limits.read_stall_ms = 5_000);
        let client = story.connect(Hello::v311("drips"));
        story.send(client, &packet[..begun]);
        for piece in packet[begun..].chunks(drip).take(11) {
            story.world.advance(1_000);
            if !story.world.links[client.0].is_closed {
                story.send(client, piece);
            }
        }
        assert_eq!(story.world.links[client.0].is_closed, !is_enough, "{drip} bytes a second behind {begun}");
        assert_eq!(reached(&story, Limit::ReadStall), u64::from(!is_enough));
    }
    let mut story = alone(|limits| limits.read_stall_ms = 5_000);
    let client = story.connect(Hello::v311("slow"));
    let post = Post::to("t").payload(vec![b'x'; 100]).encode(Version::V311);
    for piece in [&post, &post, &post].map(|post| post.split_at(50)).map(|(one, two)| [one, two]).as_flattened() {
        story.send(client, piece);
        story.world.advance(4_000);
    }
    assert!(!story.world.links[client.0].is_closed, "the end of a packet is enough, and the next one has as long");
}

/// Nobody can go on with a packet while he is not read.
#[test]
fn who_waits_for_our_answer_in_the_middle_of_a_packet_does_not_stall() {
    let policy = Rules::default().later(Verb::Publish, "asked").policy();
    let limits = Limits { read_stall_ms: 5_000, ..Limits::default() };
    let mut story = Story::over(World::with(1, limits, policy, 7));
    let client = story.connect(Hello::v311("patient"));
    let post = |topic: &str| Post::to(topic).payload("x").encode(Version::V311);
    let (whole, begun) = (post("asked"), post("next"));
    story.send(client, &[&whole, &begun[..4]].concat());
    story.world.advance(60_000);
    assert!(!story.world.links[client.0].is_closed, "it is our time");
    story.world.answer(Answer::Action(Decision::Allow));
    story.world.advance(4_000);
    assert!(!story.world.links[client.0].is_closed, "from now on it is its own, and all of it");
    story.world.advance(2_000);
    assert!(story.world.links[client.0].is_closed && reached(&story, Limit::ReadStall) == 1);
}

#[test]
fn threat_1_a_packet_above_the_bound_of_its_listener_is_refused_on_its_header() {
    let mut story = with_narrow(|limits| limits.packet_bytes_max = 1_000);
    let memory = |story: &Story| story.world.shards.iter().map(|shard| shard.memory().partial_packets).sum::<u64>();
    for version in [Version::V311, Version::V5] {
        let usual = connect_by(&mut story, USUAL, Hello::new(version, "usual"));
        let narrow = connect_by(&mut story, NARROW, Hello::new(version, "narrow"));
        for client in [usual, narrow] {
            story.send(client, &[0x30, 0xff, 0xff, 0xff, 0x7f]);
        }
        story.expect_closed_for(narrow, &[0x95]);
        story.expect_silence(usual);
        assert!(memory(&story) < 1_000, "{} bytes for an announcement", memory(&story));
        story.cut(usual);
    }
    assert_eq!(reached(&story, Limit::PacketBytes), 2);
}

/// Messages `0` to `count`, each acknowledged to their publisher.
fn publish_numbers(story: &mut Story, writer: Client, qos: u8, count: u16) {
    for number in 0..count {
        story.post(writer, Post::to("t").qos(qos).id(number + 1).payload(number.to_string()));
    }
}

#[test]
fn a_client_is_sent_so_many_messages_a_second_and_the_rest_in_its_order_later() {
    for (version, qos) in [(Version::V311, 1), (Version::V5, 1), (Version::V5, 2)] {
        let mut story = with_narrow(|limits| limits.message_rate_out = 10);
        let usual = connect_by(&mut story, USUAL, Hello::new(version, "usual"));
        let narrow = connect_by(&mut story, NARROW, Hello::new(version, "narrow"));
        for reader in [usual, narrow] {
            story.subscribe(reader, "t", qos);
        }
        let writer = connect_by(&mut story, USUAL, Hello::v5("writer"));
        publish_numbers(&mut story, writer, qos, 50);
        assert_eq!(payloads(&mut story, usual).len(), 50, "nobody else waits");
        let mut heard = payloads(&mut story, narrow);
        assert!((10..=12).contains(&heard.len()), "a second's worth at once: {}", heard.len());
        for seconds in 1..=5 {
            story.world.advance(1_000);
            heard.extend(payloads(&mut story, narrow));
            assert!(heard.len() <= 11 + 10 * seconds, "{} in {seconds} seconds", heard.len());
        }
        assert_eq!(heard, (0..50).map(|number: u32| number.to_string()).collect::<Vec<_>>());
        assert!(reached(&story, Limit::MessageRateOut) > 0 && reached(&story, Limit::ByteRateOut) == 0);
    }
}

#[test]
fn a_client_is_sent_so_many_bytes_a_second() {
    let mut story = with_narrow(|limits| limits.byte_rate_out = 10_000);
    let narrow = connect_by(&mut story, NARROW, Hello::v311("narrow"));
    story.subscribe(narrow, "t", 1);
    let writer = connect_by(&mut story, USUAL, Hello::v5("writer"));
    for id in 1..=30 {
        story.post(writer, Post::to("t").qos(1).id(id).payload(vec![b'x'; 1_000]));
    }
    let mut bytes = story.deliveries(narrow).iter().map(|delivery| delivery.bytes).sum::<usize>();
    let mut seconds = 0;
    while bytes < 30 * 1_008 {
        assert!(bytes <= (seconds + 1) * 10_000 + 1_100, "{bytes} in {seconds} seconds");
        story.world.advance(1_000);
        seconds += 1;
        bytes += story.deliveries(narrow).iter().map(|delivery| delivery.bytes).sum::<usize>();
    }
    assert!(seconds <= 4 && reached(&story, Limit::ByteRateOut) > 0);
}

#[test]
fn a_shard_sleeps_until_a_receiver_may_get_more() {
    let mut story = alone(|limits| limits.message_rate_out = 2);
    let reader = story.connect(Hello::v311("reader"));
    story.subscribe(reader, "t", 1);
    let writer = story.connect(Hello::v311("writer"));
    publish_numbers(&mut story, writer, 1, 9);
    story.hear_all(reader);
    story.world.input(0, Input::Tick);
    let now = story.world.now;
    let due = story.world.shards[0].next_due(now).expect("it waits for its tokens");
    assert!(due > now && due.since_ms(now) <= 1_000, "at {due:?}, now {now:?}");
}

#[test]
fn messages_of_qos_0_above_the_rate_are_dropped_and_counted_and_slow_down_nobody() {
    for is_run in [false, true] {
        let mut story = with_narrow(|limits| limits.message_rate_out = 10);
        let usual = connect_by(&mut story, USUAL, Hello::v311("usual"));
        let narrow = connect_by(&mut story, NARROW, Hello::v311("narrow"));
        for reader in [usual, narrow] {
            story.subscribe(reader, "t", 0);
        }
        let writer = connect_by(&mut story, USUAL, Hello::v311("writer"));
        if is_run {
            let encode = |number: u32| Post::to("t").payload(number.to_string()).encode(Version::V311);
            let run: Vec<u8> = (0..50).flat_map(encode).collect();
            story.send(writer, &run);
        } else {
            publish_numbers(&mut story, writer, 0, 50);
        }
        assert_eq!(payloads(&mut story, usual).len(), 50);
        assert_eq!(payloads(&mut story, narrow), (0..11).map(|number: u32| number.to_string()).collect::<Vec<_>>());
        assert_eq!(dropped(&story, DropReason::AboveRate), 39);
        story.expect_open(writer);
        story.world.advance(1_000);
        story.publish(writer, Post::to("t").payload("later"));
        assert_eq!(payloads(&mut story, narrow), ["later"]);
    }
}

#[test]
fn what_waits_for_a_rate_is_bounded_by_the_queue() {
    let mut story = alone(|limits| {
        limits.message_rate_out = 10;
        limits.queue_messages_max = 5;
    });
    let reader = story.connect(Hello::v311("reader"));
    story.subscribe(reader, "t", 1);
    let writer = story.connect(Hello::v311("writer"));
    publish_numbers(&mut story, writer, 1, 50);
    story.world.advance(5_000);
    let heard = payloads(&mut story, reader);
    assert_eq!((heard.len(), &heard[11..]), (16, &["45", "46", "47", "48", "49"].map(String::from)[..]));
    assert_eq!(dropped(&story, DropReason::QueueOldest), 34);
}

#[test]
fn retained_messages_that_a_subscription_finds_wait_for_the_rate() {
    let mut story = with_narrow(|limits| limits.message_rate_out = 50);
    let writer = connect_by(&mut story, USUAL, Hello::v311("writer"));
    for number in 0..300 {
        story.publish(writer, Post::to(&format!("t/{number}")).retain().payload("x"));
    }
    let reader = connect_by(&mut story, NARROW, Hello::v5("reader"));
    story.send(reader, &support::story::subscribe(Version::V5, 1, &[support::story::Wish::to("t/#", 0)], None));
    let mut topics = BTreeSet::new();
    for seconds in 0..7 {
        story.forget(reader, |heard| matches!(heard, Heard::SubAck(..)));
        topics.extend(story.deliveries(reader).into_iter().map(|delivery| delivery.topic));
        assert!(topics.len() <= (seconds + 1) * 51, "{} in {seconds} seconds", topics.len());
        story.world.advance(1_000);
    }
    assert_eq!((topics.len(), dropped(&story, DropReason::AboveRate)), (300, 0));
}

#[test]
fn who_comes_back_is_sent_what_was_left_open_at_the_rate() {
    let mut story = alone(|limits| limits.message_rate_out = 10);
    let hello = || Hello::v5("reader").expiry(60).resume();
    let reader = story.connect(hello());
    story.subscribe(reader, "t", 2);
    let writer = story.connect(Hello::v5("writer"));
    publish_numbers(&mut story, writer, 2, 11);
    story.cut(reader);
    publish_numbers(&mut story, writer, 2, 19);
    let reader = story.connect(hello());
    let at_once = payloads(&mut story, reader).len();
    assert!((10..=12).contains(&at_once), "{at_once}");
    story.world.advance(3_000);
    let later = story.hear_all(reader);
    assert_eq!(at_once + later.len(), 30, "each of them, once");
}

#[test]
fn a_will_that_is_too_long_or_has_too_many_properties_is_refused() {
    let narrow = |limits: &mut Limits| {
        limits.will_bytes_max = 5;
        limits.user_properties_max = 2;
        limits.topic_levels_max = 2;
    };
    for version in [Version::V311, Version::V5] {
        let mut story = with_narrow(narrow);
        let hello = |payload: &str| Hello::new(version, "client").will("w", payload, 1, false);
        story.world.listener = NARROW;
        let refused = story.hello(&hello("123456"));
        story.expect_refused(refused, if version == Version::V5 { 0x97 } else { 3 });
        connect_by(&mut story, NARROW, hello("12345"));
        connect_by(&mut story, USUAL, hello("123456"));
        assert_eq!(reached(&story, Limit::WillBytes), 1);
    }
    let mut story = with_narrow(narrow);
    let hello = |count| {
        let will = Hello::v5("client").will("w", "", 1, false);
        (0..count).fold(will, |hello, _| hello.will_with(Property::User("name", "value")))
    };
    story.world.listener = NARROW;
    let refused = story.hello(&hello(3));
    story.expect_refused(refused, 0x97);
    connect_by(&mut story, NARROW, hello(2));
    connect_by(&mut story, USUAL, hello(3));
    assert_eq!(reached(&story, Limit::UserProperties), 1);
}

#[test]
fn a_message_with_too_many_user_properties_is_refused_and_its_client_stays() {
    let mut story = with_narrow(|limits| limits.user_properties_max = 2);
    let reader = connect_by(&mut story, USUAL, Hello::v5("reader"));
    story.subscribe(reader, "t", 2);
    for (listener, count, is_taken) in [(NARROW, 3, false), (NARROW, 2, true), (USUAL, 3, true)] {
        let writer = connect_by(&mut story, listener, Hello::v5("writer"));
        let with = |qos| {
            let post = Post::to("t").qos(qos).with(Property::ContentType("long enough for more of them"));
            (0..count).fold(post, |post, _| post.with(Property::User("name", "value")))
        };
        story.publish(writer, with(0));
        for qos in [1, 2] {
            let reason = story.publish_fully(writer, with(qos));
            assert_eq!(reason, if is_taken { 0 } else { 0x97 });
        }
        story.expect_open(writer);
        assert_eq!(story.deliveries(reader).len(), if is_taken { 3 } else { 0 });
    }
    assert_eq!(reached(&story, Limit::UserProperties), 3);
}

/// Limits that are easily met, and what meets one of them.
type Meeting = (fn(&mut Limits), fn(&mut Story));

/// How this one is met once.
#[expect(clippy::too_many_lines, reason = "an arm a bound")]
fn meet(limit: Limit) -> Meeting {
    fn hello(story: &mut Story, name: &str) {
        story.hello(&Hello::v5(name));
    }
    fn say(story: &mut Story, posts: &[Post]) {
        let writer = story.connect(Hello::v5("writer"));
        for post in posts {
            story.publish(writer, post.clone());
        }
    }
    fn ask(story: &mut Story, name: &str, filters: &[&str]) -> Client {
        let reader = story.connect(Hello::v5(name));
        for filter in filters {
            story.subscribe(reader, filter, 0);
        }
        reader
    }
    match limit {
        Limit::PacketBytes => {
            (|limits| limits.packet_bytes_max = 300, |story| say(story, &[Post::to("t").payload([0; 300])]))
        }
        Limit::UnprovenBytes => (
            |_| {},
            |story| {
                let hello = Hello::v5("c").with(Property::User("n", &"v".repeat(60_000))).encode();
                let begun = &hello[..60_000];
                for _ in 0..=UNPROVEN_POOL_BYTES_MAX / (begun.len() - UNPROVEN_BYTES_MAX) {
                    let stranger = story.open(Version::V5);
                    story.send(stranger, begun);
                }
            },
        ),
        Limit::ClientIdBytes => (|limits| limits.client_id_bytes_max = 5, |story| hello(story, "123456")),
        Limit::WillBytes => (
            |limits| limits.will_bytes_max = 0,
            |story| {
                story.hello(&Hello::v5("c").will("w", "x", 0, false));
            },
        ),
        Limit::UserProperties => {
            (|limits| limits.user_properties_max = 0, |story| say(story, &[Post::to("t").with(Property::User("", ""))]))
        }
        Limit::TopicLevels => (
            |limits| limits.topic_levels_max = 1,
            |story| {
                ask(story, "reader", &["a/b"]);
            },
        ),
        Limit::MaximumQos => {
            (|limits| limits.maximum_qos = QoS::AtMostOnce, |story| say(story, &[Post::to("t").qos(1)]))
        }
        Limit::ReceiveMaximum => (
            |limits| limits.receive_maximum = 1,
            |story| say(story, &[Post::to("t").qos(2).id(1), Post::to("t").qos(2).id(2)]),
        ),
        Limit::TopicAliases => (|limits| limits.topic_alias_maximum = 0, |story| say(story, &[Post::to("t").alias(1)])),
        Limit::TopicAliasBytes => {
            (|_| {}, |story| say(story, &[1, 2].map(|alias| Post::to(&"t".repeat(ALIAS_BYTES_MIN - 10)).alias(alias))))
        }
        Limit::Subscriptions => (
            |limits| limits.subscriptions_max = 1,
            |story| {
                ask(story, "reader", &["a", "b"]);
            },
        ),
        Limit::SharedSubscriptions => (
            |limits| limits.shared_subscriptions_max = 0,
            |story| {
                ask(story, "reader", &["$share/g/a"]);
            },
        ),
        Limit::GroupMembers => (
            |limits| limits.group_members_max = 1,
            |story| {
                ask(story, "reader", &["$share/g/a"]);
                ask(story, "another", &["$share/g/a"]);
            },
        ),
        Limit::RetainedMessages => {
            (|limits| limits.retained_messages_max = 0, |story| say(story, &[Post::to("t").retain().payload("x")]))
        }
        Limit::RetainedBytes => {
            (|limits| limits.retained_bytes_max = 1, |story| say(story, &[Post::to("t").retain().payload("x")]))
        }
        Limit::Sessions => (|limits| limits.sessions_max = 0, |story| hello(story, "c")),
        Limit::ConnectTimeout => (
            |limits| limits.connect_timeout_ms = 1_000,
            |story| {
                story.open(Version::V5);
                story.world.advance(2_000);
            },
        ),
        Limit::WriteStall => (
            |limits| limits.write_stall_ms = 1_000,
            |story| {
                let reader = ask(story, "reader", &["t"]);
                story.world.links[reader.0].room = 0;
                say(story, &[Post::to("t")]);
                story.world.advance(2_000);
            },
        ),
        Limit::ReadStall => (
            |limits| limits.read_stall_ms = 1_000,
            |story| {
                let sender = story.connect(Hello::v311("sender"));
                story.send(sender, &[0x30, 9]);
                story.world.advance(2_000);
            },
        ),
        Limit::MessageRate => (|limits| limits.message_rate = 1, |story| say(story, &[Post::to("t"), Post::to("t")])),
        Limit::ByteRate => (|limits| limits.byte_rate = 10, |story| say(story, &[Post::to("t").payload([0; 20])])),
        Limit::MessageRateOut => (
            |limits| limits.message_rate_out = 1,
            |story| {
                ask(story, "reader", &["t"]);
                say(story, &[Post::to("t"), Post::to("t")]);
            },
        ),
        Limit::ByteRateOut => (
            |limits| limits.byte_rate_out = 10,
            |story| {
                ask(story, "reader", &["t"]);
                say(story, &[Post::to("t").payload([0; 20])]);
            },
        ),
    }
}

#[test]
fn each_bound_that_is_met_is_counted_under_its_own_name() {
    for limit in Limit::ALL {
        let (narrow, meet) = meet(limit);
        let mut story = alone(narrow);
        meet(&mut story);
        for other in Limit::ALL {
            assert_eq!(reached(&story, other), u64::from(other == limit), "{} by {}", other.name(), limit.name());
        }
    }
}
