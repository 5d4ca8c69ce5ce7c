//! Reasons, diagnostics, request and response, and message expiry of MQTT 5.0.

use crate::support::policies::{Rules, Verb};
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::Policy;
use pregon::engine::auth::{Authenticator, Credentials, Verdict};
use pregon::engine::limits::QueuePolicy;
use pregon::mqtt::Reason;
use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::properties::Properties;
use pregon::mqtt::property::{Place, Property};

/// Requests that are refused in every kind of answer; the DISCONNECT comes last.
const ERRORS: [fn(&mut Story, Client); 5] = [
    |story, client| story.publish(client, Post::to("no").qos(1)),
    |story, client| story.publish(client, Post::to("no").qos(2)),
    |story, client| story.pubrel(client, 77),
    |story, client| story.ask_to_subscribe(client, 1, &[Wish::to("no", 0)], None),
    |story, client| story.send(client, &[0x00, 0]),
];

fn refusing() -> Story {
    Story::with(
        |_| {},
        [Verb::Publish, Verb::Subscribe, Verb::Will]
            .into_iter()
            .fold(Rules::default(), |rules, verb| rules.deny(verb, "no"))
            .policy(),
    )
}

/// v5: X5-REASON-FIT
#[test]
fn an_explanation_is_left_out_where_it_would_not_fit() {
    let mut longest = 0;
    for maximum in 5..=100_u32 {
        let mut story = refusing();
        for shard in 0..2 {
            // Each shard is the landing one once, so that the limit moves with the connection.
            let hello = Hello::v5(&format!("client-{shard}")).with(Property::MaximumPacketSize(maximum));
            let client = story.hello(&hello);
            for say in ERRORS {
                say(&mut story, client);
            }
            let refused =
                story.hello(&hello.clone().will("no/+x".trim_end_matches("+x"), "", 0, false).login("u", "p"));
            let bytes = [story.world.receive(client.0), story.world.receive(refused.0)].concat();
            let mut rest = &bytes[..];
            let mut kinds = Vec::new();
            while !rest.is_empty() {
                let Ok(Next::Frame(frame)) = next_frame(rest, u32::MAX) else { panic!("half a packet in {rest:?}") };
                assert!(frame.len <= maximum as usize, "{:02x?} where {maximum} are allowed", &rest[..frame.len]);
                kinds.push(frame.first);
                longest = longest.max(frame.len);
                rest = &rest[frame.len..];
            }
            if maximum >= 11 {
                let expected = [0x20, 0x40, 0x50, 0x70, 0x90, 0xE0, 0x20];
                assert_eq!(kinds, expected, "an answer is shortened, not lost, at {maximum}");
            }
        }
    }
    assert!(longest > 20, "with room enough there are explanations");
}

/// v5: X5-PROBLEM-INFO
#[test]
fn explanations_come_unless_the_client_wants_none_but_always_with_the_end() {
    for (wish, is_wanted) in [(None, true), (Some(true), true), (Some(false), false)] {
        let mut story = refusing();
        let hello = Hello::v5("client");
        let hello = wish.map_or(hello.clone(), |wish| hello.clone().with(Property::RequestProblemInfo(wish)));
        let client = story.connect(hello);
        for say in ERRORS {
            say(&mut story, client);
        }
        let heard = story.hear_all(client);
        let explained = |raw: &[u8], place| Properties::parse(raw, place).unwrap().reason_string().is_some();
        let [
            Heard::PubAck(_, 0x87, puback),
            Heard::PubRec(_, 0x87, pubrec),
            Heard::PubComp(_, 0x92, pubcomp),
            Heard::SubAck(_, _, suback),
            Heard::Disconnect(0x81, disconnect),
            Heard::Closed,
        ] = &heard[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!(explained(puback, Place::PubAck), is_wanted);
        assert_eq!(explained(pubrec, Place::PubRec), is_wanted);
        assert_eq!(explained(pubcomp, Place::PubComp), is_wanted);
        assert_eq!(explained(suback, Place::SubAck), is_wanted);
        assert!(explained(disconnect, Place::Disconnect));
    }
}

/// v5: X5-RESPINFO
#[test]
fn response_information_comes_to_who_asks_where_there_is_some() {
    let info = |said: &[u8]| Properties::parse(said, Place::ConnAck).unwrap().response_info().map(str::to_owned);
    let asking = |id: &str| Hello::v5(id).with(Property::RequestResponseInfo(true));
    let mut story = Story::new(2);
    let (_, said) = story.welcome(asking("client"));
    assert_eq!(info(&said), None);
    let mut story = Story::limited(|limits| limits.response_prefix = Some("answers/".into()));
    for hello in [Hello::v5("quiet"), Hello::v5("quiet").with(Property::RequestResponseInfo(false))] {
        let (_, said) = story.welcome(hello);
        assert_eq!(info(&said), None);
    }
    let (client, said) = story.welcome(asking("client"));
    let prefix = info(&said).expect("response information");
    let (_, said) = story.welcome(asking("other"));
    assert_ne!(info(&said).as_ref(), Some(&prefix), "each client has its own");
    // It is good for what it is meant for.
    assert_eq!(story.subscribe(client, &format!("{prefix}/#"), 1), 1);
    story.publish(client, Post::to(&format!("{prefix}/1")));
    assert_eq!(story.deliveries(client).len(), 1);
}

/// v5: X5-REQRESP
#[test]
fn a_request_finds_its_responder_and_the_response_its_requester() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let requester = story.connect(Hello::v5("requester"));
        let responder = story.connect(Hello::v5("responder"));
        story.subscribe(requester, "r/1", 1);
        story.subscribe(responder, "requests", 1);
        let correlation = &[0, 255, 7][..];
        let request = Post::to("requests").qos(1).payload("2 + 2").with(Property::ResponseTopic("r/1"));
        story.publish_fully(requester, request.with(Property::CorrelationData(correlation)));
        let asked = story.delivery(responder);
        let asked = Properties::parse(&asked.properties, Place::Publish).unwrap();
        assert_eq!(asked.response_topic(), Some("r/1"));
        let data = asked.correlation_data().expect("correlation data");
        let response = Post::to("r/1").qos(1).payload("4").with(Property::CorrelationData(data));
        story.publish_fully(responder, response);
        let answer = story.delivery(requester);
        assert_eq!(answer.payload, b"4");
        assert_eq!(
            Properties::parse(&answer.properties, Place::Publish).unwrap().correlation_data(),
            Some(correlation)
        );
    }
}

/// v5: X5-PFI-VALIDATE
#[test]
fn false_text_is_refused_where_the_operator_checks_and_passes_otherwise() {
    for is_checked in [true, false] {
        let mut story = Story::limited(|limits| limits.payload_format_check = is_checked);
        let reader = story.connect(Hello::v5("reader"));
        let writer = story.connect(Hello::v5("writer"));
        story.subscribe(reader, "a", 0);
        let post = || Post::to("a").with(Property::PayloadFormat(true)).payload([0xFF, 0xFE]);
        let reason = if is_checked { 0x99 } else { 0 };
        assert_eq!(story.publish_fully(writer, post().qos(1)), reason);
        assert_eq!(story.publish_fully(writer, post().qos(2)), reason);
        story.publish(writer, post());
        let heard = story.deliveries(reader);
        assert_eq!(heard.len(), if is_checked { 0 } else { 3 });
        assert!(heard.iter().all(|delivery| delivery.payload == [0xFF, 0xFE] && delivery.properties == [1, 1]));
        story.publish(writer, Post::to("a").with(Property::PayloadFormat(true)).payload("true text"));
        story.publish(writer, Post::to("a").with(Property::PayloadFormat(false)).payload([0xFF, 0xFE]));
        assert_eq!(story.deliveries(reader).len(), 2);
    }
}

/// v5: X5-EXPIRY-DECREMENT, X5-EXPIRY-RETAINED
#[test]
fn a_message_grows_older_in_the_broker() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let absent = story.connect(Hello::v5("absent").expiry(600));
        story.subscribe(absent, "a", 1);
        story.cut(absent);
        let writer = story.connect(Hello::v5("writer"));
        story.publish_fully(writer, Post::to("a").qos(1).retain().expiry(60).payload("x"));
        for (wait_s, left_s) in [(5, 55), (15, 40)] {
            story.wait_s(wait_s);
            let reader = story.connect(Hello::v5("reader"));
            story.subscribe(reader, "a", 1);
            assert_eq!(story.delivery(reader).expiry, Some(left_s));
        }
        story.wait_s(10);
        let absent = story.connect(Hello::v5("absent").expiry(600).resume());
        assert_eq!(story.delivery(absent).expiry, Some(30));
        story.wait_s(31);
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "a", 1);
        story.subscribe(reader, "#", 1);
        story.expect_silence(reader);
    }
}

/// v5: X5-EXPIRY-ABSENT
#[test]
fn a_message_without_expiry_waits_for_ever_and_gets_none() {
    let mut story = Story::new(2);
    let absent = story.connect(Hello::v5("absent").expiry(u32::MAX));
    story.subscribe(absent, "a", 1);
    story.cut(absent);
    let writer = story.connect(Hello::v5("writer"));
    story.publish_fully(writer, Post::to("a").qos(1).retain().payload("x"));
    story.wait_s(7200);
    let absent = story.connect(Hello::v5("absent").resume());
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "a", 1);
    for client in [absent, reader] {
        let delivery = story.delivery(client);
        assert_eq!((&delivery.payload[..], delivery.expiry, &delivery.properties[..]), (&b"x"[..], None, &[][..]));
    }
}

/// v5: X5-ACK-NOMATCH
#[test]
fn no_matching_subscribers_is_said_only_when_it_is_certain() {
    for shards in [1, 3] {
        for qos in 1..=2 {
            let mut story = Story::new(shards);
            let writer = story.connect(Hello::v5("writer"));
            let ask = |story: &mut Story, topic: &str| story.publish_fully(writer, Post::to(topic).qos(qos));
            assert_eq!(ask(&mut story, "a"), 0x10);
            for (n, filter) in ["a", "b/+", "$share/g/c"].into_iter().enumerate() {
                let reader = story.connect(Hello::v5(&format!("reader-{n}")).expiry(600));
                story.subscribe(reader, filter, 0);
                assert_eq!(ask(&mut story, filter.trim_start_matches("$share/g/").trim_end_matches('+')), 0);
                story.cut(reader);
                assert_eq!(ask(&mut story, filter.trim_start_matches("$share/g/").trim_end_matches('+')), 0);
            }
            assert_eq!(ask(&mut story, "d"), 0x10);
        }
    }
}

/// v5: X5-ACK-DENIED
#[test]
fn a_publication_that_is_denied_is_answered_and_goes_nowhere() {
    let mut story = refusing();
    let reader = story.connect(Hello::v5("reader"));
    story.subscribe(reader, "#", 0);
    let writer = story.connect(Hello::v5("writer"));
    assert_eq!(story.publish_fully(writer, Post::to("no").qos(1).retain().payload("x")), 0x87);
    assert_eq!(story.publish_fully(writer, Post::to("no").qos(2).retain().payload("x")), 0x87);
    story.publish(writer, Post::to("no").retain().payload("x"));
    story.expect_open(writer);
    story.subscribe(reader, "+", 0);
    story.expect_silence(reader);
}

/// v5: X5-ACK-QUOTA
#[test]
fn a_publication_that_nobody_has_room_for_is_refused_by_quota() {
    let mut story = Story::limited(|limits| {
        limits.queue_messages_max = 2;
        limits.queue_policy = QueuePolicy::RefuseNew;
        limits.retained_messages_max = 0;
    });
    let reader = story.connect(Hello::v5("reader").expiry(60));
    story.subscribe(reader, "a", 2);
    story.cut(reader);
    let writer = story.connect(Hello::v5("writer"));
    assert_eq!(story.publish_fully(writer, Post::to("a").qos(1)), 0);
    assert_eq!(story.publish_fully(writer, Post::to("a").qos(2)), 0);
    assert_eq!(story.publish_fully(writer, Post::to("a").qos(1)), 0x97);
    assert_eq!(story.publish_fully(writer, Post::to("a").qos(2)), 0x97);
    assert_eq!(story.publish_fully(writer, Post::to("b").qos(1).retain().payload("x")), 0x97);
    let reader = story.connect(Hello::v5("reader").expiry(60).resume());
    assert_eq!(story.deliveries(reader).len(), 2);
}

struct Elsewhere(Reason);

impl Authenticator for Elsewhere {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
        Verdict::Deny(self.0)
    }

    fn knows(&self, _identity: &Identity) -> bool {
        true
    }
}

/// v5: X5-SERVERREF
#[test]
fn a_client_may_be_sent_to_another_server() {
    for reason in [Reason::UseAnotherServer, Reason::ServerMoved] {
        let policy = Policy::new(vec![Box::new(Elsewhere(reason))], Box::new(Rules::default()));
        let mut story = Story::with(|_| {}, policy);
        let client = story.hello(&Hello::v5("client"));
        story.expect_refused(client, reason.code());
        let old = story.hello(&Hello::v311("old"));
        story.expect_refused(old, 3);
    }
}
