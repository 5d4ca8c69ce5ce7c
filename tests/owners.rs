//! Whose a session is, and what it may get, when its owner comes back from elsewhere or after a restart, and when others ask for it.

mod support;

use pregon::base::hash::Seed;
use pregon::engine::auth::acl::Acl;
use pregon::engine::auth::policy::{Open, Policy};
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use pregon::mqtt::property::Property;
use support::policies::{CHALLENGE, Challenge, PROOF, Users};
use support::story::{Client, Heard, Hello, Post, Story};
use support::world::World;

const USERS: Users = Users(&[("alice", "a"), ("bob", "b")]);

/// Two users under these rules.
fn under(rules: &str) -> Policy {
    let acl = Acl::parse(rules, Seed::new(1)).expect("these are rules");
    Policy::new(vec![Box::new(USERS)], Box::new(acl))
}

/// Two users who may do everything.
fn open() -> Policy {
    Policy::new(vec![Box::new(USERS)], Box::new(Open))
}

fn alice(id: &str) -> Hello {
    Hello::v5(id).login("alice", "a").resume().expiry(600)
}

fn bob(id: &str) -> Hello {
    Hello::v5(id).login("bob", "b")
}

/// The topics of what has come, acknowledged.
fn topics(story: &mut Story, client: Client) -> Vec<String> {
    let mut topics = Vec::new();
    loop {
        let deliveries = story.deliveries(client);
        if deliveries.is_empty() {
            return topics;
        }
        for delivery in deliveries {
            if let Some(id) = delivery.id {
                story.puback(client, id);
            }
            topics.push(delivery.topic);
        }
    }
}

/// A message for each topic, at this quality of service.
fn say(story: &mut Story, from: Client, qos: u8, topics: &[&str]) {
    for topic in topics {
        story.post(from, Post::to(topic).qos(qos).id(1).payload("x"));
    }
}

const AT_HOME: &str = "
rule = [
    { effect = 'allow', who = { user = 'bob' }, actions = 'publish', topics = '#' },
    { effect = 'allow', who = { address = '10.0.0.0/8' }, actions = 'subscribe', topics = '#' },
    { effect = 'allow', actions = 'receive', topics = 'open/#' },
]";

#[test]
fn threat_5_who_comes_back_from_elsewhere_is_judged_anew_also_where_topics_are_known() {
    for shards in [1, 3] {
        let mut story = Story::over(World::with(shards, Limits::default(), under(AT_HOME), 7));
        let writer = story.connect(bob("writer"));
        let both = ["home/x", "open/x"];
        let come = |story: &mut Story, from: &str| {
            story.world.address = from.parse().expect("it is an address");
            story.connect(alice("reader"))
        };
        let reader = come(&mut story, "10.0.0.1");
        assert_eq!(story.subscribe(reader, "#", 1), 1);
        say(&mut story, writer, 1, &both);
        assert_eq!(topics(&mut story, reader), both);
        for qos in [0, 1] {
            let away = come(&mut story, "192.0.2.1");
            say(&mut story, writer, qos, &both);
            assert_eq!(topics(&mut story, away), ["open/x"], "at quality of service {qos}");
            let back = come(&mut story, "10.0.0.1");
            say(&mut story, writer, qos, &both);
            assert_eq!(topics(&mut story, back), both, "at quality of service {qos}");
        }
    }
}

#[test]
fn threat_5_who_comes_back_from_elsewhere_is_judged_anew_while_a_message_is_on_its_way() {
    let limits = Limits { fanout_recipients_max: 1, ..Limits::default() };
    for qos in [0, 1] {
        let mut story = Story::over(World::with(1, limits.clone(), under(AT_HOME), 7));
        let writer = story.connect(bob("writer"));
        story.world.address = "10.0.0.1".parse().expect("it is an address");
        let readers: Vec<Client> = (0..4).map(|number| story.connect(alice(&format!("r{number}")))).collect();
        for reader in &readers {
            assert_eq!(story.subscribe(*reader, "#", qos), qos);
        }
        story.world.send(writer.0, &Post::to("home/x").qos(qos).id(1).encode(Version::V5));
        story.world.read(writer.0, usize::MAX);
        story.world.address = "192.0.2.1".parse().expect("it is an address");
        let away = story.connect(alice("r3"));
        assert_eq!(topics(&mut story, away), [""; 0], "at quality of service {qos}");
        for reader in &readers[..3] {
            assert_eq!(topics(&mut story, *reader), ["home/x"], "at quality of service {qos}");
        }
    }
}

#[test]
fn threat_5_rules_that_ask_where_somebody_comes_from_know_it_of_whoever_was_here_before_them() {
    for shards in [1, 3] {
        let mut story = Story::over(World::with(shards, Limits::default(), open(), 7));
        let [near, far] = [("near", "10.0.0.1"), ("far", "192.0.2.1")].map(|(id, address)| {
            story.world.address = address.parse().expect("it is an address");
            let reader = story.connect(alice(id));
            assert_eq!(story.subscribe(reader, "#", 1), 1);
            reader
        });
        let writer = story.connect(bob("writer"));
        story.world.change_policy(under(AT_HOME));
        story.world.drive();
        say(&mut story, writer, 1, &["home/x", "open/x"]);
        assert_eq!(topics(&mut story, near), ["home/x", "open/x"]);
        assert_eq!(topics(&mut story, far), ["open/x"]);
    }
}

#[test]
fn threat_5_a_will_needs_the_right_to_be_retained_when_it_is_left_and_when_it_is_published() {
    let rules = |retain: bool| {
        under(&format!(
            "rule = [
                {{ effect = 'allow', actions = 'will', topics = 'w', retain = {retain} }},
                {{ effect = 'allow', actions = 'subscribe', topics = '#' }},
            ]"
        ))
    };
    let mut story = Story::over(World::with(1, Limits::default(), rules(false), 7));
    let refused = story.hello(&alice("refused").will("w", "x", 0, true));
    story.expect_refused(refused, 0x87);
    story.connect(alice("modest").will("w", "x", 0, false));
    let watcher = story.connect(bob("watcher"));
    story.subscribe(watcher, "w", 0);
    for is_allowed in [true, false] {
        story.world.change_policy(rules(true));
        let mortal = story.connect(alice("mortal").will("w", "gone", 0, true));
        story.world.change_policy(rules(is_allowed));
        story.cut(mortal);
        assert_eq!(topics(&mut story, watcher).len(), usize::from(is_allowed));
    }
}

#[test]
fn threat_5_messages_in_a_row_are_judged_by_their_quality_of_service() {
    let rules = "rule = [
        { effect = 'allow', actions = 'publish', topics = 't', qos_max = 0 },
        { effect = 'allow', actions = 'subscribe', topics = '#' },
    ]";
    for version in [Version::V311, Version::V5] {
        let mut story = Story::over(World::with(1, Limits::default(), under(rules), 7));
        let reader = story.connect(bob("reader"));
        story.subscribe(reader, "t", 1);
        let writer = story.connect(Hello::new(version, "writer").login("alice", "a"));
        for (qos, count) in [(0, 8), (1, 0)] {
            let row = (1..=8).flat_map(|id| Post::to("t").qos(qos).id(id).payload("x").encode(version));
            story.send(writer, &row.collect::<Vec<u8>>());
            assert_eq!(topics(&mut story, reader).len(), count, "{version:?} at quality of service {qos}");
        }
    }
}

const EVERYTHING: &str = "
rule = [
    { effect = 'allow', who = { user = 'bob' }, actions = 'publish', topics = '#' },
    { effect = 'allow', who = { user = 'alice' }, actions = 'subscribe', topics = '#' },
]";
const LESS: &str = "
rule = [
    { effect = 'allow', who = { user = 'bob' }, actions = 'publish', topics = '#' },
    { effect = 'allow', who = { user = 'alice' }, actions = 'subscribe', topics = 'open/#' },
]";

#[test]
fn threat_5_what_was_subscribed_to_before_a_restart_is_judged_by_the_rules_of_after() {
    assert!(!under(LESS).checks_receive(), "by these rules alone nobody has such a subscription");
    for shards in [1, 3] {
        for filter in ["#", "$share/group/#"] {
            let mut story = Story::over(World::durable_under(shards, under(EVERYTHING)));
            let both = ["secret/x", "open/x"];
            let reader = story.connect(alice("reader"));
            assert_eq!(story.subscribe(reader, filter, 1), 1);
            let writer = story.connect(bob("writer"));
            say(&mut story, writer, 1, &both);
            assert_eq!(topics(&mut story, reader), both);
            story.cut(reader);
            say(&mut story, writer, 1, &both);
            story.world.crash_under(under(LESS));
            story.world.drive();
            let (reader, is_present) = story.connect_present(alice("reader"));
            assert!(is_present);
            assert_eq!(topics(&mut story, reader), ["open/x"], "of what has waited for {filter}");
            let writer = story.connect(bob("writer"));
            for qos in [0, 1] {
                say(&mut story, writer, qos, &both);
                assert_eq!(topics(&mut story, reader), ["open/x"], "{filter} at quality of service {qos}");
            }
        }
    }
}

#[test]
fn threat_7_after_a_restart_a_certificate_that_nobody_knows_counts_against_a_will() {
    let wills = |condition: &str| {
        format!(
            "rule = [
                {{ effect = 'deny', who = {{ {condition} }}, actions = 'will', topics = '#' }},
                {{ effect = 'allow', actions = 'all', topics = '#' }},
            ]"
        )
    };
    let other = format!("certificate = '{}'", "ab".repeat(32));
    for (condition, is_published) in [("user = 'bob'", true), (&*other, false), ("common_name = 'cn'", false)] {
        let mut story = Story::over(World::durable_under(1, under(&wills(condition))));
        let hello = alice("mortal").will("w", "x", 1, false).will_with(Property::WillDelay(60));
        let mortal = story.connect(hello); // nobody is denied who has shown no certificate
        story.cut(mortal);
        story.world.crash_under(under(&wills(condition)));
        let watcher = story.connect(bob("watcher"));
        story.subscribe(watcher, "w", 0);
        story.wait_s(61);
        assert_eq!(story.deliveries(watcher).len(), usize::from(is_published), "{condition}");
    }
}

/// Everybody who is not the owner, or cannot prove that he is, with the codes of 5.0 and of 3.x.
fn strangers(id: &str) -> Vec<(Hello, u8)> {
    let hellos = [Version::V311, Version::V5].map(|version| Hello::new(version, id));
    let of = |hello: &Hello, [new, old]: [u8; 2]| if hello.version == Version::V5 { new } else { old };
    let mut strangers = Vec::new();
    for hello in hellos {
        for (user, password, codes) in [("bob", "b", [0x87, 5]), ("alice", "b", [0x86, 4])] {
            let code = of(&hello, codes);
            let hello = hello.clone().login(user, password).will("w", "a stranger's", 0, false);
            strangers.push((hello.clone(), code));
            strangers.push((hello.resume(), code));
        }
    }
    strangers
}

#[test]
fn threat_4_a_session_that_waits_is_neither_wiped_nor_read_nor_given_to_others() {
    for shards in [1, 3] {
        for number in 0..4 {
            let id = format!("session-{number}");
            let mut story = Story::over(World::with(shards, Limits::default(), open(), 7));
            let owner = story.connect(alice(&id));
            story.subscribe(owner, "a", 1);
            story.cut(owner);
            let writer = story.connect(bob("writer"));
            say(&mut story, writer, 1, &["a"]);
            for (hello, code) in strangers(&id) {
                let stranger = story.hello(&hello);
                story.expect_refused(stranger, code);
            }
            let (owner, is_present) = story.connect_present(alice(&id));
            assert!(is_present);
            assert_eq!(topics(&mut story, owner), ["a"]);
        }
    }
}

#[test]
fn threat_4_who_is_refused_replaces_no_will() {
    for shards in [1, 3] {
        for (delay_s, is_here) in [(0, true), (60, true), (60, false)] {
            let mut story = Story::over(World::with(shards, Limits::default(), open(), 7));
            let watcher = story.connect(bob("watcher"));
            story.subscribe(watcher, "w", 0);
            let hello = alice("mortal").will("w", "the owner's", 0, false).will_with(Property::WillDelay(delay_s));
            let owner = story.connect(hello);
            if !is_here {
                story.cut(owner);
            }
            for (hello, code) in strangers("mortal") {
                let stranger = story.hello(&hello);
                story.expect_refused(stranger, code);
            }
            if is_here {
                story.expect_open(owner);
                story.cut(owner);
            }
            story.wait_s(u64::from(delay_s) + 1);
            let wills: Vec<Vec<u8>> = story.deliveries(watcher).into_iter().map(|will| will.payload).collect();
            assert_eq!(wills, [b"the owner's"], "{delay_s} s, is here: {is_here}");
        }
    }
}

#[test]
fn threat_5_a_conversation_that_began_under_other_rules_lets_nobody_in_whom_these_do_not_know() {
    for (user, is_known) in [("alice", true), ("carol", false)] {
        let mut story = Story::with(|_| {}, Challenge::policy());
        let hello = Hello::v5("c").with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(user.as_bytes()));
        let client = story.hello(&hello);
        assert!(matches!(story.hear_all(client)[..], [Heard::Auth(0x18, _)]));
        story.world.change_policy(open());
        story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
        if is_known {
            assert!(matches!(story.hear_all(client)[..], [Heard::ConnAck(false, 0, _)]));
        } else {
            story.expect_refused(client, 0x87);
        }
    }
}
