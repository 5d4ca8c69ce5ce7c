//! What is counted across connections and shards: addresses and users have their bounds, and who guesses is not listened to for a while.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pregon::base::network::Network;
use pregon::engine::accounts::bans::BanTerms;
use pregon::engine::accounts::limit::SharedLimit;
use pregon::engine::accounts::terms::{ListenerTerms, Terms};
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Open, Policy};
use pregon::engine::auth::{Decision, Verdict};
use pregon::engine::event::Event;
use pregon::engine::input::{Answer, Input};
use pregon::engine::limits::Limits;
use pregon::engine::stats::DropReason;
use pregon::mqtt::property::Property;
use pregon::mqtt::{Reason, Version};
use support::policies::{CHALLENGE, Challenge, PROOF, Rules, Slow, Users, Verb};
use support::story::{Client, Heard, Hello, Post, Story, Wish, subscribe};
use support::world::World;

const SHARDS: usize = 3;

/// 0x8A, 0x97 and 0x9F in CONNACK.
const BANNED: u8 = 0x8A;
const QUOTA: u8 = 0x97;
const RATE: u8 = 0x9F;

fn policy() -> Policy {
    Policy::new(vec![Box::new(Users(&[("alice", "a"), ("bob", "b")]))], Box::new(Open))
}

/// A broker of three shards with these limits and two users.
fn limited(change: impl FnOnce(&mut Limits)) -> Story {
    let mut limits = Limits::default();
    change(&mut limits);
    Story::over(World::with(SHARDS, limits, policy(), 7))
}

fn bans() -> BanTerms {
    BanTerms {
        failures_max: 3,
        failure_window_ms: 60_000,
        ban_ms: 30_000,
        ban_max_ms: 600_000,
        exempt: vec![Network::parse("10.9.0.0/16").expect("it is one")],
    }
}

/// A broker that bans, with a plain listener and one behind a proxy.
fn banning(policy: Policy) -> World {
    let proxied = ListenerTerms { is_proxied: true, ..ListenerTerms::default() };
    let terms = Terms { accounts_max: 256, ..Terms::of(&Limits::default()) }
        .with_listeners(vec![ListenerTerms::default(), proxied])
        .with_bans(bans());
    World::with(SHARDS, Limits::default(), policy, 7).with_terms(terms)
}

fn alice(id: &str) -> Hello {
    Hello::v5(id).login("alice", "a")
}

fn bob(id: &str) -> Hello {
    Hello::v5(id).login("bob", "b")
}

/// The reason of CONNACK.
#[track_caller]
fn refused(story: &mut Story, hello: &Hello) -> u8 {
    let client = story.hello(hello);
    match story.hear_all(client).as_slice() {
        [Heard::ConnAck(false, reason, _), Heard::Closed] => *reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn met(world: &World, limit: SharedLimit) -> u64 {
    world.shards.iter().map(|shard| shard.stats().shared_limits_reached.of(limit)).sum()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}

/// Says CONNECT from an address; the first byte of what is answered behind the header of CONNACK: its reason. None where it is closed at once.
fn knock(world: &mut World, landing: usize, from: IpAddr, listener: u16, hello: &Hello) -> Option<u8> {
    let link = world.connect_from(landing, from, listener);
    if world.links[link].is_closed {
        return None;
    }
    world.send(link, &hello.encode());
    world.drive();
    world.receive(link).get(3).copied()
}

/// The same through a proxy that names this address.
fn knock_through(world: &mut World, landing: usize, named: IpAddr, hello: &Hello) -> Option<u8> {
    let link = world.connect_from(landing, IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    let (shard, connection) = world.links[link].at.expect("a proxy comes in");
    let address = Some(SocketAddr::new(named, 1));
    world.input(shard, Input::Introduced { connection, address, certificate: None });
    world.send(link, &hello.encode());
    world.drive();
    world.receive(link).get(3).copied()
}

#[test]
fn connections_of_the_broker_are_counted_on_all_shards_together() {
    let mut story = limited(|limits| limits.connections_max = 4);
    let here: Vec<Client> = (0..4).map(|number| story.connect(alice(&format!("c{number}")))).collect();
    for _ in 0..SHARDS {
        let one_more = story.open(Version::V5);
        assert_eq!(story.hear_all(one_more), [Heard::Closed]);
    }
    assert_eq!(met(&story.world, SharedLimit::Connections), 3);
    story.cut(here[0]);
    story.connect(alice("again"));
}

#[test]
fn connects_of_the_broker_are_counted_on_all_shards_together() {
    let mut story = limited(|limits| limits.connect_rate = 4);
    for number in 0..4 {
        story.connect(alice(&format!("c{number}")));
    }
    assert_eq!([0; SHARDS].map(|_| refused(&mut story, &alice("one-more"))), [RATE; SHARDS]);
    story.wait_s(1);
    story.connect(alice("later"));
}

#[test]
fn an_address_has_its_connections_and_the_others_have_theirs() {
    let limits = Limits { connections_per_address_max: 2, ..Limits::default() };
    let mut world = World::with(SHARDS, limits, policy(), 7);
    let from = |world: &mut World, landing, address| {
        let link = world.connect_from(landing, ip(address), 0);
        (!world.links[link].is_closed).then_some(link)
    };
    let first = from(&mut world, 0, "192.0.2.1").unwrap();
    assert!(from(&mut world, 1, "192.0.2.1").is_some());
    assert_eq!([0, 1, 2].map(|landing| from(&mut world, landing, "192.0.2.1")), [None; 3]);
    assert!(from(&mut world, 2, "192.0.2.2").is_some());
    assert!(from(&mut world, 0, "2001:db8::1").is_some() && from(&mut world, 1, "2001:db8::2").is_some());
    assert!(from(&mut world, 2, "2001:db8::3").is_none(), "64 bits of IPv6 are one client's");
    world.cut(first);
    assert!(from(&mut world, 2, "192.0.2.1").is_some());
    assert_eq!(met(&world, SharedLimit::ConnectionsPerAddress), 4);
}

#[test]
fn a_listener_has_its_own_bounds() {
    let terms = ListenerTerms { connections_max: 3, connections_per_address_max: 2, ..ListenerTerms::default() };
    let rated = ListenerTerms { connect_rate: 2, ..ListenerTerms::default() };
    let terms = Terms { accounts_max: 256, ..Terms::of(&Limits::default()) }.with_listeners(vec![terms, rated]);
    let mut world = World::with(SHARDS, Limits::default(), policy(), 7).with_terms(terms);
    let mut from = |landing, address, listener| {
        let link = world.connect_from(landing, ip(address), listener);
        !world.links[link].is_closed
    };
    assert_eq!([0, 1, 2].map(|landing| from(landing, "192.0.2.1", 0)), [true, true, false]);
    assert_eq!(["192.0.2.2", "192.0.2.3"].map(|address| from(0, address, 0)), [true, false]);
    assert_eq!([0, 1, 2].map(|landing| from(landing, "192.0.2.1", 1)), [true, true, false]);
    assert_eq!([0, 1, 2].map(|landing| from(landing, "192.0.2.1", 2)), [true; 3], "others have none");
}

#[test]
fn a_user_has_its_connections_and_who_takes_its_own_over_needs_no_other() {
    let mut story = limited(|limits| limits.connections_per_user_max = 2);
    let first = story.connect(alice("a1").expiry(60));
    story.connect(alice("a2").expiry(60));
    assert_eq!([0; SHARDS].map(|_| refused(&mut story, &alice("a3"))), [QUOTA; SHARDS]);
    story.connect(bob("b1"));
    assert_eq!(met(&story.world, SharedLimit::ConnectionsPerUser), 3);
    let (again, is_present) = story.connect_present(alice("a1").resume().expiry(60));
    assert!(is_present, "it takes itself over");
    assert_eq!(refused(&mut story, &alice("a3")), QUOTA);
    story.cut(again);
    story.cut(first);
    story.connect(alice("a3"));
}

#[test]
fn who_comes_back_to_a_session_needs_a_place_for_its_connection() {
    let mut story = limited(|limits| limits.connections_per_user_max = 2);
    let away = story.connect(alice("a1").expiry(60));
    story.cut(away);
    let here = ["a2", "a3"].map(|id| story.connect(alice(id)));
    assert_eq!(refused(&mut story, &alice("a1").resume().expiry(60)), QUOTA);
    story.cut(here[0]);
    let (_, is_present) = story.connect_present(alice("a1").resume().expiry(60));
    assert!(is_present, "its session has waited");
}

#[test]
fn a_user_connects_so_often_and_no_other_waits_for_it() {
    let mut story = limited(|limits| limits.connect_rate_per_user = 2);
    for number in 0..2 {
        story.connect(alice(&format!("a{number}")));
    }
    assert_eq!(refused(&mut story, &alice("a2")), RATE);
    story.connect(bob("b1"));
    story.wait_s(1);
    story.connect(alice("a2"));
}

#[test]
fn a_user_has_its_sessions_and_comes_back_to_them() {
    let mut story = limited(|limits| limits.sessions_per_user_max = 2);
    for id in ["a1", "a2"] {
        let client = story.connect(alice(id).expiry(60));
        story.cut(client);
    }
    assert_eq!(refused(&mut story, &alice("a3")), QUOTA);
    story.connect(bob("b1"));
    let (back, is_present) = story.connect_present(alice("a1").resume().expiry(60));
    assert!(is_present);
    story.cut(back);
    let anew = story.connect(alice("a1").expiry(60)); // in the place of the one of before
    assert_eq!(refused(&mut story, &alice("a3")), QUOTA);
    story.cut(anew);
    story.wait_s(61);
    story.connect(alice("a3"));
    assert_eq!(met(&story.world, SharedLimit::SessionsPerUser), 2);
}

#[test]
fn threat_4_a_refused_user_takes_nothing_over() {
    let mut story = limited(|limits| (limits.connect_rate_per_user, limits.sessions_per_user_max) = (1, 1));
    let first = story.connect(alice("a1").expiry(60));
    story.subscribe(first, "a/#", 0);
    assert_eq!(refused(&mut story, &alice("a1")), RATE);
    story.expect_open(first);
    story.wait_s(1);
    assert_eq!(refused(&mut story, &alice("a2")), QUOTA);
    story.expect_open(first);
}

#[test]
fn a_user_publishes_so_much_on_all_its_connections() {
    let mut story = limited(|limits| limits.message_rate_per_user = 4);
    let reader = story.connect(bob("reader"));
    story.subscribe(reader, "#", 0);
    let writers: Vec<Client> = (0..3).map(|number| story.connect(alice(&format!("a{number}")))).collect();
    let heard = |story: &mut Story| story.deliveries(reader).len();
    for _ in 0..4 {
        for writer in &writers {
            story.publish(*writer, Post::to("x").payload("1"));
        }
    }
    let at_once = heard(&mut story);
    assert!((4..=7).contains(&at_once), "{at_once}: four a second, and one that each of the others had under way");
    story.wait_s(4);
    assert_eq!(at_once + heard(&mut story), 12, "nothing is lost");
    assert!(met(&story.world, SharedLimit::MessageRatePerUser) > 0);
}

/// Six readers of this user, two on each shard.
fn readers(story: &mut Story, who: impl Fn(&str) -> Hello, qos: u8) -> Vec<Client> {
    let mut names: Vec<String> = (0..100).map(|number| format!("reader{number}")).collect();
    let mut here = [0; SHARDS];
    names.retain(|name| {
        let count = &mut here[story.world.shards[0].home_of(name).index()];
        *count += 1;
        *count <= 2
    });
    let readers: Vec<Client> = names.iter().map(|name| story.connect(who(name))).collect();
    for reader in &readers {
        assert_eq!(story.subscribe(*reader, "t", qos), qos);
    }
    assert_eq!(readers.len(), 2 * SHARDS);
    readers
}

fn publish_numbers(story: &mut Story, writer: Client, qos: u8, count: u16) {
    for number in 0..count {
        story.post(writer, Post::to("t").qos(qos).id(number + 1).payload(number.to_string()));
    }
}

fn dropped(story: &Story, why: DropReason) -> u64 {
    story.world.shards.iter().map(|shard| shard.stats().ledger.dropped(why)).sum()
}

/// What they hear, beside what they have heard.
fn listen(story: &mut Story, readers: &[Client], heard: &mut [Vec<String>]) -> usize {
    for (reader, heard) in readers.iter().zip(heard.iter_mut()) {
        let payloads = story.deliveries(*reader).into_iter().map(|delivery| delivery.payload);
        heard.extend(payloads.map(|payload| String::from_utf8(payload).expect("text")));
    }
    heard.iter().map(Vec::len).sum()
}

#[test]
fn a_user_is_sent_so_much_on_all_its_connections_and_the_rest_in_its_order_later() {
    for qos in [1, 2] {
        let mut story = limited(|limits| limits.message_rate_out_per_user = 12);
        let narrow = readers(&mut story, alice, qos);
        let other = story.connect(bob("other"));
        story.subscribe(other, "t", qos);
        let writer = story.connect(bob("writer"));
        publish_numbers(&mut story, writer, qos, 10);
        assert_eq!(story.deliveries(other).len(), 10, "nobody else waits");
        let mut heard = vec![Vec::new(); narrow.len()];
        // A second's worth, and the one that is too much.
        assert_eq!(listen(&mut story, &narrow, &mut heard), 13);
        for seconds in 1..=12 {
            story.wait_s(1);
            let count = listen(&mut story, &narrow, &mut heard);
            assert!(count <= 13 + 12 * seconds, "{count} in {seconds} seconds");
        }
        for heard in heard {
            assert_eq!(heard, (0..10).map(|number: u32| number.to_string()).collect::<Vec<_>>());
        }
        assert!(met(&story.world, SharedLimit::MessageRateOutPerUser) > 0);
        assert_eq!(met(&story.world, SharedLimit::ByteRateOutPerUser), 0);
    }
}

#[test]
fn messages_of_qos_0_above_the_rate_of_a_user_are_dropped_and_counted() {
    for is_run in [false, true] {
        let mut story = limited(|limits| limits.message_rate_out_per_user = 12);
        let narrow = readers(&mut story, alice, 0);
        let writer = story.connect(bob("writer"));
        if is_run {
            let encode = |number: u32| Post::to("t").payload(number.to_string()).encode(Version::V5);
            let run: Vec<u8> = (0..10).flat_map(encode).collect();
            story.send(writer, &run);
        } else {
            publish_numbers(&mut story, writer, 0, 10);
        }
        let mut heard = vec![Vec::new(); narrow.len()];
        assert_eq!(listen(&mut story, &narrow, &mut heard), 13);
        assert_eq!(dropped(&story, DropReason::AboveRate), 60 - 13);
        story.expect_open(writer);
        story.wait_s(2);
        story.publish(writer, Post::to("t").payload("later"));
        listen(&mut story, &narrow, &mut heard);
        assert!(heard.iter().all(|heard| heard.last().is_some_and(|last| last == "later")), "{heard:?}");
    }
}

#[test]
fn an_address_is_sent_so_many_bytes_a_second_and_the_others_have_theirs() {
    let mut story = limited(|limits| limits.byte_rate_out_per_address = 10_000);
    let mut by_address = |address| {
        story.world.address = ip(address);
        let readers = [0, 1].map(|number| story.connect(alice(&format!("{address}-{number}"))));
        for reader in readers {
            story.subscribe(reader, "t", 1);
        }
        readers
    };
    let readers = ["192.0.2.1", "192.0.2.2"].map(&mut by_address);
    story.world.address = ip("192.0.2.3");
    let writer = story.connect(bob("writer"));
    for id in 1..=30 {
        story.post(writer, Post::to("t").qos(1).id(id).payload(vec![b'x'; 1_000]));
    }
    let mut bytes = [0; 2];
    for seconds in 0..=12 {
        for (bytes, readers) in bytes.iter_mut().zip(readers) {
            for reader in readers {
                *bytes += story.deliveries(reader).iter().map(|delivery| delivery.bytes).sum::<usize>();
            }
            assert!(*bytes <= (seconds + 1) * 10_000 + 1_100, "{bytes} in {seconds} seconds");
            assert!(*bytes >= 9_000);
        }
        story.wait_s(1);
    }
    assert!(bytes.iter().all(|bytes| *bytes >= 60 * 1_008), "nothing is lost: {bytes:?}");
    assert!(met(&story.world, SharedLimit::ByteRateOutPerAddress) > 0);
}

#[test]
fn a_client_with_a_rate_of_its_own_has_no_more_by_a_larger_one_of_its_user() {
    let mut story = limited(|limits| (limits.message_rate_out, limits.message_rate_out_per_user) = (2, 100));
    let readers = readers(&mut story, alice, 1);
    let writer = story.connect(bob("writer"));
    publish_numbers(&mut story, writer, 1, 10);
    let mut heard = vec![Vec::new(); readers.len()];
    assert_eq!(listen(&mut story, &readers, &mut heard), 3 * 6);
    story.wait_s(6);
    assert_eq!(listen(&mut story, &readers, &mut heard), 10 * 6);
    assert_eq!(met(&story.world, SharedLimit::MessageRateOutPerUser), 0);
}

#[test]
fn retained_messages_and_those_of_a_group_keep_to_the_rate_of_a_user() {
    let mut story = limited(|limits| limits.message_rate_out_per_user = 50);
    let writer = story.connect(bob("writer"));
    for number in 0..150 {
        story.publish(writer, Post::to(&format!("r/{number}")).retain().payload("x"));
    }
    let readers = [0, 1].map(|number| story.connect(alice(&format!("reader{number}"))));
    for reader in readers {
        story.send(reader, &subscribe(Version::V5, 1, &[Wish::to("r/#", 0)], None));
    }
    let mut counts = [0; 2];
    for seconds in 0..10 {
        for (count, reader) in counts.iter_mut().zip(readers) {
            story.forget(reader, |heard| matches!(heard, Heard::SubAck(..)));
            *count += story.deliveries(reader).len();
        }
        assert!(counts[0] + counts[1] <= 51 + 50 * seconds, "{counts:?} in {seconds} seconds");
        story.wait_s(1);
    }
    assert_eq!((counts, dropped(&story, DropReason::AboveRate)), ([150; 2], 0));

    for reader in readers {
        story.subscribe(reader, "$share/g/t", 0);
    }
    publish_numbers(&mut story, writer, 0, 100);
    let heard = |story: &mut Story| -> usize { readers.iter().map(|reader| story.deliveries(*reader).len()).sum() };
    assert_eq!(heard(&mut story), 51, "the others wait in the group until somebody may have more");
    story.wait_s(3);
    let later = heard(&mut story);
    assert!(later > 0, "they go on");
    assert_eq!(later as u64 + dropped(&story, DropReason::AboveRate), 49);
}

#[test]
fn threat_10_who_guesses_is_not_asked_any_more_on_any_shard() {
    let mut world = banning(policy());
    let (bad, guesser) = (Hello::v5("g").login("alice", "wrong"), ip("192.0.2.1"));
    let refusals = [0, 1, 2].map(|landing| knock(&mut world, landing, guesser, 0, &bad));
    assert_eq!(refusals, [Some(0x86); 3]);
    let good = [0, 1, 2].map(|landing| knock(&mut world, landing, guesser, 0, &alice("a")));
    assert_eq!(good, [None; 3], "closed at once, even with the right password");
    assert_eq!(met(&world, SharedLimit::Ban), 3);
    assert_eq!(
        knock(&mut world, 0, ip("192.0.2.2"), 0, &alice("a")),
        Some(0),
        "its victim is not locked out elsewhere"
    );
    let banned = |(_, event): &(usize, Event)| matches!(event, Event::Banned { lasts_ms: 30_000, .. });
    assert_eq!(world.events.iter().filter(|event| banned(event)).count(), 1);
    world.advance(30_000);
    assert_eq!(knock(&mut world, 1, guesser, 0, &alice("a")), Some(0));
    let again = [0, 1, 2].map(|landing| knock(&mut world, landing, guesser, 0, &bad));
    assert_eq!(again, [Some(0x86); 3]);
    world.advance(30_000);
    assert_eq!(knock(&mut world, 1, guesser, 0, &alice("a")), None, "the second ban is longer");
    world.advance(30_000);
    assert_eq!(knock(&mut world, 1, guesser, 0, &alice("a")), Some(0));
}

#[test]
fn threat_10_who_was_here_before_the_ban_is_not_asked_either() {
    let mut world = banning(Policy::new(vec![Box::new(Slow)], Box::new(Open)));
    let guesser = ip("192.0.2.1");
    let waiting = world.connect_from(1, guesser, 0);
    for landing in 0..3 {
        assert_eq!(knock(&mut world, landing, guesser, 0, &alice("a")), None, "the answer is awaited");
        world.answer(Answer::Credentials(Verdict::Deny(Reason::BadUserNameOrPassword)));
    }
    world.send(waiting, &alice("b").encode());
    world.drive();
    assert_eq!(world.receive(waiting)[3], BANNED);
    assert!(world.links[waiting].is_closed && world.questions.is_empty(), "no hash is asked for");
}

#[test]
fn threat_10_of_guesses_that_are_judged_together_none_comes_through_behind_the_ban() {
    let mut world = banning(Policy::new(vec![Box::new(Slow)], Box::new(Open)));
    let knocking = [0, 1, 2, 0].map(|landing| {
        let link = world.connect_from(landing, ip("192.0.2.1"), 0);
        world.send(link, &alice(&format!("g{link}")).encode());
        world.drive();
        link
    });
    for _ in 0..3 {
        world.answer(Answer::Credentials(Verdict::Deny(Reason::BadUserNameOrPassword)));
    }
    world.answer(Answer::Credentials(Verdict::Allow(Arc::new(Identity::user("alice", "password")))));
    world.drive();
    assert_eq!(knocking.map(|link| world.receive(link)[3]), [0x86, 0x86, 0x86, BANNED]);
}

#[test]
fn threat_10_one_proof_makes_one_failure_good_however_often_admission_asks() {
    let rules = Rules::default().later(Verb::Connect, "a").later(Verb::Will, "w");
    let policy = Policy::new(vec![Box::new(Users(&[("alice", "a")]))], Box::new(rules));
    let bans = BanTerms { failures_max: 6, ..bans() };
    let terms = Terms { accounts_max: 256, ..Terms::of(&Limits::default()) }.with_bans(bans);
    let mut world = World::with(SHARDS, Limits::default(), policy, 7).with_terms(terms);
    let (bad, guesser) = (Hello::v5("g").login("alice", "wrong"), ip("192.0.2.1"));
    for landing in [0, 1, 2, 0] {
        assert_eq!(knock(&mut world, landing, guesser, 0, &bad), Some(0x86));
    }
    let here = world.connect_from(1, guesser, 0);
    world.send(here, &alice("a").will("w", "gone", 0, false).encode());
    for _about_the_connection_and_then_the_will in 0..2 {
        world.drive();
        assert!(world.receive(here).is_empty());
        world.answer(Answer::Action(Decision::Allow));
    }
    world.drive();
    assert_eq!(world.receive(here)[3], 0);
    for landing in 0..3 {
        assert_eq!(knock(&mut world, landing, guesser, 0, &bad), Some(0x86));
    }
    assert_eq!(knock(&mut world, 0, guesser, 0, &bad), None, "seven failures, of which one was made good");
}

#[test]
fn who_asks_for_nothing_or_meets_a_busy_broker_has_not_failed() {
    let mut world = banning(Policy::new(vec![Box::new(Slow)], Box::new(Open)));
    let address = ip("192.0.2.1");
    for reason in [Reason::ServerUnavailable, Reason::ServerBusy, Reason::BadUserNameOrPassword] {
        let hello = if reason == Reason::BadUserNameOrPassword { Hello::v5("nameless") } else { alice("a") };
        for landing in 0..5 {
            knock(&mut world, landing % SHARDS, address, 0, &hello);
            world.answer(Answer::Credentials(Verdict::Deny(reason)));
        }
    }
    assert_eq!(world.shards.iter().map(|shard| shard.stats().proofs_failed).sum::<u64>(), 0);
}

#[test]
fn an_exempt_network_may_fail_as_often_as_it_likes() {
    let mut world = banning(policy());
    let bad = Hello::v311("g").login("alice", "wrong");
    for number in 0..10 {
        assert_eq!(knock(&mut world, number % SHARDS, ip("10.9.8.7"), 0, &bad), Some(4));
    }
}

#[test]
fn threat_10_of_two_clients_behind_one_proxy_only_the_one_that_guesses_is_banned() {
    let mut world = banning(policy());
    let bad = Hello::v5("g").login("alice", "wrong");
    let refusals = [0, 1, 2].map(|landing| knock_through(&mut world, landing, ip("192.0.2.1"), &bad));
    assert_eq!(refusals, [Some(0x86); 3]);
    assert_eq!(knock_through(&mut world, 0, ip("192.0.2.1"), &alice("a")), None);
    assert_eq!(knock_through(&mut world, 0, ip("192.0.2.2"), &alice("a")), Some(0));
    assert_eq!(knock(&mut world, 0, ip("192.0.2.1"), 0, &alice("b")), None, "nor does it come in by another way");
}

/// Begins an exchange for a user; the broker asks.
fn begin_exchange(story: &mut Story, id: &str) -> Client {
    let hello = Hello::v5(id).with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(b"alice"));
    let client = story.hello(&hello);
    assert!(matches!(story.hear_all(client)[..], [Heard::Auth(0x18, _)]));
    client
}

#[test]
fn threat_10_who_guesses_in_exchanges_is_banned_like_who_guesses_passwords() {
    let mut story = Story::over(banning(Challenge::policy()));
    for number in 0..3 {
        let client = begin_exchange(&mut story, &format!("g{number}"));
        story.auth(client, 0x18, Some(CHALLENGE), Some(b"a guess"));
        story.expect_refused(client, 0x87);
    }
    let client = story.open(Version::V5);
    story.expect_closed(client);
    assert_eq!(met(&story.world, SharedLimit::Ban), 1);
}

#[test]
fn threat_10_who_guesses_when_asked_again_is_banned_too() {
    let mut story = Story::over(banning(Challenge::policy()));
    let mut here = Vec::new();
    for number in 0..3 {
        let client = begin_exchange(&mut story, &format!("g{number}"));
        story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
        assert!(matches!(story.hear_all(client)[..], [Heard::ConnAck(false, 0, _)]));
        here.push(client);
    }
    for client in here {
        story.auth(client, 0x19, Some(CHALLENGE), Some(b"alice"));
        assert!(matches!(story.hear_all(client)[..], [Heard::Auth(0x18, _)]));
        story.auth(client, 0x18, Some(CHALLENGE), Some(b"a guess"));
        story.expect_closed_for(client, &[0x87]);
    }
    let client = story.open(Version::V5);
    story.expect_closed(client);
}
