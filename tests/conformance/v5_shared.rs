//! Shared subscriptions, section 4.8.2 of MQTT 5.0.

use crate::support::policies::Rules;
use crate::support::story::{Client, Heard, Hello, Post, Story, Wish};
use crate::support::world::World;
use pregon::engine::limits::Limits;

/// Members of `$share/g/t` at this quality of service whose sessions stay so long, and a writer.
fn group<const N: usize>(shards: usize, qos: u8, expiry_s: u32) -> (Story, [Client; N], Client) {
    let mut story = Story::new(shards);
    let writer = story.connect(Hello::v5("writer"));
    let members = std::array::from_fn(|n| {
        let member = story.connect(Hello::v5(&format!("member-{n}")).expiry(expiry_s));
        assert_eq!(story.subscribe(member, "$share/g/t", qos), qos);
        member
    });
    (story, members, writer)
}

fn back(story: &mut Story, member: usize) -> Client {
    story.connect(Hello::v5(&format!("member-{member}")).expiry(600).resume())
}

/// Publishes one message; the place of the member that got it, its identifier, and the other member.
fn serve(story: &mut Story, members: [Client; 2], writer: Client, qos: u8) -> (usize, u16, Client) {
    story.publish_fully(writer, Post::to("t").qos(qos).payload("x"));
    let heard = members.map(|member| story.deliveries(member));
    let place = usize::from(heard[0].is_empty());
    assert_eq!((heard[place].len(), heard[1 - place].len()), (1, 0), "one member gets it");
    (place, heard[place][0].id.expect("a QoS 1 or 2 message"), members[1 - place])
}

/// v5: MQTT-4.8.2-1, MQTT-4.8.2-2
#[test]
fn a_share_name_has_a_character_and_no_wildcard_and_a_filter_behind_it() {
    let mut story = Story::new(2);
    let member = story.connect(Hello::v5("member"));
    for filter in
        ["$share//t", "$share/g+/t", "$share/g#", "$share/g#/t", "$share/+/t", "$share/g", "$share/g/", "$share/"]
    {
        assert_eq!(story.subscribe(member, filter, 1), 0x8F, "{filter}");
    }
    for filter in ["$share/g/t", "$share/g/+", "$share/g/#", "$share/g//t", "$share/a b/t"] {
        assert_eq!(story.subscribe(member, filter, 1), 1, "{filter}");
    }
}

/// v5: MQTT-4.8.2-3
#[test]
fn each_member_is_served_at_its_own_quality_of_service() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let members = [0, 1, 2].map(|qos| {
            let member = story.connect(Hello::v5(&format!("member-{qos}")));
            assert_eq!(story.subscribe(member, "$share/g/t", qos), qos);
            member
        });
        for n in 0..30 {
            assert_eq!(story.publish_fully(writer, Post::to("t").qos(n % 2 + 1).payload([n])), 0);
        }
        for (granted, member) in (0..=2).zip(members) {
            let heard = story.deliveries(member);
            assert!(!heard.is_empty());
            assert!(heard.iter().all(|delivery| delivery.qos == granted.min(delivery.payload[0] % 2 + 1)), "{heard:?}");
        }
    }
}

/// v5: MQTT-4.8.2-4
#[test]
fn a_qos_2_delivery_that_broke_off_is_completed_with_the_same_member() {
    for shards in [1, 3] {
        let (mut story, members, writer) = group::<2>(shards, 2, 600);
        let (place, id, other) = serve(&mut story, members, writer, 2);
        story.cut(members[place]);
        story.expect_silence(other);
        let member = back(&mut story, place);
        let again = story.delivery(member);
        assert_eq!((again.id, again.dup, again.qos), (Some(id), true, 2));
        story.expect_silence(other);
    }
}

/// v5: MQTT-4.8.2-5
#[test]
fn a_qos_2_delivery_goes_to_nobody_else_when_its_session_ends() {
    for shards in [1, 3] {
        let (mut story, members, writer) = group::<2>(shards, 2, 0);
        let (place, _, other) = serve(&mut story, members, writer, 2);
        story.cut(members[place]);
        story.wait_s(5);
        story.expect_silence(other);
        story.publish_fully(writer, Post::to("t").qos(2).payload("next"));
        assert_eq!(story.delivery(other).payload, b"next");
    }
}

/// v5: MQTT-4.8.2-6
#[test]
fn what_a_member_refuses_goes_to_nobody() {
    for shards in [1, 3] {
        for (qos, first) in [(1, 0x40), (2, 0x50)] {
            let (mut story, members, writer) = group::<2>(shards, 2, 600);
            let (place, id, other) = serve(&mut story, members, writer, qos);
            story.acknowledge(members[place], first, id, 0x80);
            story.wait_s(5);
            story.expect_silence(other);
            story.cut(members[place]);
            story.expect_silence(other);
            let member = back(&mut story, place);
            story.expect_silence(member);
        }
    }
}

/// v5: X5-SHARED-ONE
#[test]
fn each_message_goes_to_one_member_and_all_members_work() {
    for shards in [1, 3] {
        for qos in 0..=2 {
            let (mut story, members, writer) = group::<3>(shards, 2, 0);
            for n in 0..300_u16 {
                let post = Post::to("t").qos(qos).payload(n.to_be_bytes());
                if qos == 0 { story.publish(writer, post) } else { assert_eq!(story.publish_fully(writer, post), 0) }
            }
            let heard = members.map(|member| story.deliveries(member));
            assert!(heard.iter().all(|heard| heard.len() >= 50), "{:?}", heard.each_ref().map(Vec::len));
            let mut all: Vec<Vec<u8>> = heard.into_iter().flatten().map(|delivery| delivery.payload).collect();
            all.sort();
            assert_eq!(all, (0..300_u16).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
        }
    }
}

/// v5: X5-SHARED-GROUPS
#[test]
fn other_names_and_other_filters_are_other_groups() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let readers = ["$share/g1/t", "$share/g2/t", "$share/g1/#", "t", "$share/g1/other"].map(|filter| {
            let reader = story.connect(Hello::v5(&format!("reader of {filter}")));
            story.subscribe(reader, filter, 1);
            reader
        });
        story.publish_fully(writer, Post::to("t").qos(1));
        assert_eq!(readers.map(|reader| story.deliveries(reader).len()), [1, 1, 1, 1, 0]);
    }
}

/// v5: X5-SHARED-SAMECLIENT
#[test]
fn a_member_that_also_subscribes_for_itself_gets_both() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let reader = story.connect(Hello::v5("reader"));
        story.subscribe(reader, "t", 1);
        story.subscribe(reader, "$share/g/t", 1);
        story.publish_fully(writer, Post::to("t").qos(1));
        assert_eq!(story.deliveries(reader).len(), 2);
    }
}

/// v5: X5-SHARED-NORETAINED
#[test]
fn joining_a_group_brings_nothing_that_is_retained() {
    for shards in [1, 3] {
        let (mut story, _, writer) = group::<0>(shards, 0, 0);
        story.publish(writer, Post::to("t").retain().payload("kept"));
        let member = story.connect(Hello::v5("member"));
        for _ in 0..2 {
            assert_eq!(story.subscribe_to(member, 1, &[Wish::to("$share/g/t", 1).handling(0)], None), [1]);
            story.expect_silence(member);
        }
    }
}

/// v5: X5-SHARED-UNSUB
#[test]
fn leaving_takes_the_whole_filter_or_the_end_of_the_session() {
    for shards in [1, 3] {
        let (mut story, [first, second], writer) = group::<2>(shards, 1, 0);
        assert_eq!(story.unsubscribe(first, 1, &["t", "$share/h/t", "$share/g/#"]), [0x11, 0x11, 0x11]);
        assert_eq!(story.unsubscribe(first, 2, &["$share/g/t"]), [0]);
        for _ in 0..10 {
            story.publish_fully(writer, Post::to("t").qos(1));
        }
        story.expect_silence(first);
        assert_eq!(story.deliveries(second).len(), 10);
        story.subscribe(first, "$share/g/t", 1);
        story.cut(second);
        story.forget(first, |heard| matches!(heard, Heard::Publish(_)));
        story.publish_fully(writer, Post::to("t").qos(1).payload("to the one that is left"));
        story.publish_fully(writer, Post::to("t").qos(1));
        assert_eq!(story.deliveries(first).len(), 2);
    }
}

/// v5: X5-SHARED-QOS1-END, X5-SHARED-QOS1-OFFLINE
#[test]
fn what_a_lost_member_has_not_acknowledged_at_qos_1_goes_to_another() {
    for expiry_s in [0, 600] {
        for shards in [1, 3] {
            let (mut story, members, writer) = group::<2>(shards, 1, expiry_s);
            for n in 0..10_u8 {
                story.publish_fully(writer, Post::to("t").qos(1).payload([n]));
            }
            let lost = story.deliveries(members[0]);
            let mut all: Vec<u8> = story.deliveries(members[1]).iter().map(|delivery| delivery.payload[0]).collect();
            assert!(!lost.is_empty() && !all.is_empty());
            story.puback(members[0], lost[0].id.unwrap());
            story.cut(members[0]);
            all.extend(story.deliveries(members[1]).iter().map(|delivery| delivery.payload[0]));
            all.push(lost[0].payload[0]);
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
            // Whoever comes back has nothing left to do.
            let member = back(&mut story, 0);
            story.expect_silence(member);
        }
    }
}

/// v5: X5-SHARED-OFFLINE
#[test]
fn members_that_are_there_are_served_first() {
    for shards in [1, 3] {
        let (mut story, [absent, present], writer) = group::<2>(shards, 1, 600);
        story.cut(absent);
        for _ in 0..100 {
            assert_eq!(story.publish_fully(writer, Post::to("t").qos(1)), 0);
        }
        assert_eq!(story.deliveries(present).len(), 100);
        // Without anybody there, the group's messages wait for the first to come.
        story.cut(present);
        story.publish_fully(writer, Post::to("t").qos(1).payload("waits"));
        let absent = back(&mut story, 0);
        assert!(story.deliveries(absent).iter().any(|delivery| delivery.payload == b"waits"));
    }
}

/// v5: X5-SHARED-LASTLEAVES
#[test]
fn a_group_ends_with_its_last_member_and_so_does_its_queue() {
    for shards in [1, 3] {
        let (mut story, [first, second], writer) = group::<2>(shards, 1, 2);
        story.cut(first);
        story.cut(second);
        story.publish_fully(writer, Post::to("t").qos(1).payload("nobody comes for it"));
        story.wait_s(4);
        story.publish_fully(writer, Post::to("t").qos(1).payload("nobody is there"));
        let member = story.connect(Hello::v5("member-0"));
        story.subscribe(member, "$share/g/t", 1);
        story.expect_silence(member);
        story.unsubscribe(member, 2, &["$share/g/t"]);
        assert_eq!(story.publish_fully(writer, Post::to("t").qos(1)), 0x10, "the group is gone");
        story.subscribe(member, "$share/g/t", 1);
        story.expect_silence(member);
    }
}

/// v5: X5-SHARED-SUBID
#[test]
fn a_member_gets_its_own_subscription_identifier() {
    for shards in [1, 3] {
        let mut story = Story::new(shards);
        let writer = story.connect(Hello::v5("writer"));
        let members = [1, 2].map(|id| {
            let member = story.connect(Hello::v5(&format!("member-{id}")));
            story.subscribe_to(member, 1, &[Wish::to("$share/g/t", 1)], Some(id));
            member
        });
        for _ in 0..10 {
            story.publish_fully(writer, Post::to("t").qos(1));
        }
        for (id, member) in [1, 2].into_iter().zip(members) {
            let heard = story.deliveries(member);
            assert!(!heard.is_empty());
            assert!(heard.iter().all(|delivery| delivery.subscription_ids == [id]), "{heard:?}");
        }
    }
}

/// v5: X5-SHARED-DOLLAR
#[test]
fn the_filter_behind_the_share_name_is_what_matches() {
    for shards in [1, 3] {
        let mut story = Story::over(World::with(shards, Limits::default(), Rules::default().policy(), 7));
        let writer = story.connect(Hello::v5("writer"));
        let all = story.connect(Hello::v5("all"));
        let slash = story.connect(Hello::v5("slash"));
        story.subscribe(all, "$share/g/#", 0);
        story.subscribe(slash, "$share/g//finance", 0);
        story.publish(writer, Post::to("$SYS/x"));
        story.expect_silence(all);
        story.publish(writer, Post::to("finance"));
        story.expect_silence(slash);
        assert_eq!(story.delivery(all).topic, "finance");
        story.publish(writer, Post::to("/finance"));
        assert_eq!(story.delivery(slash).topic, "/finance");
    }
}
