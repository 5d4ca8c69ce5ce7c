//! A journal without room: what must be kept is refused, what ends things is noted, and all else goes on.

use pregon::engine::input::{Input, Room};
use pregon::engine::limits::Limits;
use pregon::engine::stats::DropReason;

use crate::facts::{broker, comes, heard};
use crate::support::raw::{packet, packets, text};
use crate::support::world::World;

/// What a client of 5.0 is told.
const QUOTA_EXCEEDED: u8 = 0x97;
const CLEAN: u8 = 2;
const WILL_QOS_1: u8 = 0b0000_1100;
/// Of one shard and of several.
const SHARDS: [usize; 2] = [1, 3];

/// Every shard's journal has room for this.
fn tell(world: &mut World, room: Room) {
    for shard in 0..world.shards.len() {
        world.input(shard, Input::Journal { room });
    }
    world.drive();
}

/// Connects with 5.0 and says more; what comes back.
fn comes5(world: &mut World, name: &str, flags: u8, expiry_s: u32, says: &[Vec<u8>]) -> (usize, Vec<(u8, Vec<u8>)>) {
    let expiry = [&[5, 0x11][..], &expiry_s.to_be_bytes()].concat();
    let link = world.connect();
    world.send(link, &packet(0x10, &[&text("MQTT"), &[5, flags, 0, 0], &expiry, &text(name)]));
    (link, asks(world, link, says))
}

/// Says something; what comes back.
fn asks(world: &mut World, link: usize, says: &[Vec<u8>]) -> Vec<(u8, Vec<u8>)> {
    for packet in says {
        world.send(link, packet);
    }
    world.drive();
    packets(&world.receive(link))
}

fn publish5(first: u8, topic: &str, id: u8, payload: &str) -> Vec<u8> {
    let id = if first & 6 == 0 { &[][..] } else { &[0, id][..] };
    packet(0x30 | first, &[&text(topic), id, &[0], payload.as_bytes()])
}

fn subscribe5(filter: &str, options: u8) -> Vec<u8> {
    packet(0x82, &[&[0, 1, 0], &text(filter), &[options]])
}

/// The reason code of a PUBACK or PUBREC, which is left out where all is well.
fn reason(body: &[u8]) -> u8 {
    body.get(2).copied().unwrap_or(0)
}

/// A publisher of 5.0 that nobody keeps.
fn publisher(world: &mut World) -> usize {
    comes5(world, "publisher", CLEAN, 0, &[]).0
}

/// The first bytes and the reason codes of what comes back for some packets.
fn answers(world: &mut World, link: usize, says: &[Vec<u8>]) -> Vec<(u8, u8)> {
    asks(world, link, says).iter().map(|(first, body)| (*first, reason(body))).collect()
}

fn dropped(world: &World) -> u64 {
    world.shards.iter().map(|shard| shard.stats().ledger.dropped(DropReason::JournalFull)).sum()
}

/// Everything that is noted is safe, so this says how much was.
fn noted(world: &World) -> Vec<u64> {
    world.disks.iter().map(|disk| disk.stored().get()).collect()
}

#[test]
fn a_message_that_only_durable_sessions_want_is_refused_until_there_is_room() {
    for shards in SHARDS {
        let mut world = broker(shards);
        for name in ["here", "there", "everywhere"] {
            let (link, _) = comes5(&mut world, name, 0, 9, &[subscribe5("t", 2)]);
            world.cut(link);
        }
        world.drive();
        let publisher = publisher(&mut world);
        tell(&mut world, Room::Full);
        let before = noted(&world);
        let says = [publish5(2, "t", 1, "one"), publish5(4, "t", 2, "two")];
        assert_eq!(answers(&mut world, publisher, &says), [(0x40, QUOTA_EXCEEDED), (0x50, QUOTA_EXCEEDED)]);
        assert_eq!((noted(&world), dropped(&world)), (before, 6), "nothing of them is noted");
        tell(&mut world, Room::Open);
        let says = [publish5(2, "t", 1, "three"), publish5(4, "t", 2, "four")];
        assert_eq!(answers(&mut world, publisher, &says), [(0x40, 0), (0x50, 0)]);
        world.crash();
        for name in ["here", "there", "everywhere"] {
            let (_, answers) = comes5(&mut world, name, 0, 9, &[]);
            assert_eq!(answers.len(), 3, "{name}: CONNACK and the two that had room");
        }
    }
}

#[test]
fn a_publisher_of_3_1_1_is_closed_and_comes_again_with_its_message() {
    for shards in SHARDS {
        let mut world = broker(shards);
        comes(&mut world, "s", 0, &[], &[crate::facts::subscribe("t", 1)]);
        tell(&mut world, Room::Full);
        let says = [crate::facts::publish(2, "t", "one")];
        let (link, heard) = comes(&mut world, "p", CLEAN, &[], &says);
        assert!(world.links[link].is_closed && packets(&heard).len() == 1, "CONNACK and no PUBACK");
        tell(&mut world, Room::Open);
        let (_, heard) = comes(&mut world, "p", CLEAN, &[], &says);
        assert_eq!(packets(&heard).len(), 2);
    }
}

#[test]
fn who_is_not_kept_is_served_as_ever_and_its_publisher_hears_so() {
    for shards in SHARDS {
        let mut world = broker(shards);
        let (durable, _) = comes5(&mut world, "durable", 0, 9, &[subscribe5("t", 2)]);
        let (passing, _) = comes5(&mut world, "passing", CLEAN, 0, &[subscribe5("t", 2)]);
        let publisher = publisher(&mut world);
        tell(&mut world, Room::Full);
        let before = noted(&world);
        let says = [publish5(0, "t", 0, "zero"), publish5(2, "t", 1, "one"), publish5(4, "t", 2, "two")];
        assert_eq!(answers(&mut world, publisher, &says), [(0x40, 0), (0x50, 0)]);
        assert_eq!(packets(&world.receive(passing)).len(), 3);
        assert_eq!(packets(&world.receive(durable)).len(), 1, "quality of service 0 promises nothing");
        assert_eq!((noted(&world), dropped(&world)), (before, 2));
        let late = comes5(&mut world, "late", CLEAN, 0, &[subscribe5("t", 1)]).1;
        assert_eq!(late.len(), 2, "CONNACK and SUBACK");
        assert_eq!(reason(&late[1].1[1..]), 1);
    }
}

#[test]
fn a_new_durable_session_is_refused_and_one_that_is_there_goes_on() {
    for shards in SHARDS {
        let mut world = broker(shards);
        let (old, _) = comes5(&mut world, "old", 0, 9, &[subscribe5("t", 1)]);
        world.cut(old);
        tell(&mut world, Room::Full);
        let refused = comes5(&mut world, "new", 0, 9, &[]).1;
        assert_eq!((refused.len(), refused[0].0, refused[0].1[1]), (1, 0x20, QUOTA_EXCEEDED));
        assert_eq!(comes(&mut world, "new", 0, &[], &[]).1, [0x20, 2, 0, 3], "server unavailable");
        let wiped = comes5(&mut world, "old", CLEAN, 9, &[]).1;
        assert_eq!(wiped[0].1[1], QUOTA_EXCEEDED, "it would be another one");
        let resumed = comes5(&mut world, "old", 0, 9, &[]).1;
        assert_eq!(resumed[0].1[..2], [1, 0], "it is there");
        assert_eq!(comes(&mut world, "brief", CLEAN, &[], &[]).1, [0x20, 2, 0, 0]);
        let gone = comes5(&mut world, "old", CLEAN, 0, &[]).1;
        assert_eq!(gone[0].1[..2], [0, 0], "who ends his session makes room");
        let refused: u64 = world.shards.iter().map(|shard| shard.stats().journal_refusals.sessions).sum();
        assert_eq!(refused, 3);
        world.crash();
        assert_eq!(comes5(&mut world, "old", 0, 9, &[]).1[0].1[..2], [0, 0]);
    }
}

#[test]
fn new_subscriptions_of_durable_sessions_are_refused_and_old_ones_stay_or_go() {
    for shards in SHARDS {
        let mut world = broker(shards);
        let says = [subscribe5("t", 1), subscribe5("$share/g/t", 1), subscribe5("u", 1)];
        let (link, _) = comes5(&mut world, "s", 0, 9, &says);
        let (old, _) = comes(&mut world, "old", 0, &[], &[]);
        tell(&mut world, Room::Full);
        let before = noted(&world);
        let code = |world: &mut World, filter: &str, options| {
            *asks(world, link, &[subscribe5(filter, options)])[0].1.last().expect("a code")
        };
        assert_eq!(code(&mut world, "new", 1), QUOTA_EXCEEDED);
        assert_eq!(code(&mut world, "$share/g/new", 1), QUOTA_EXCEEDED);
        assert_eq!(code(&mut world, "t", 2), QUOTA_EXCEEDED, "it would have new terms");
        assert_eq!(code(&mut world, "$share/g/t", 2), QUOTA_EXCEEDED);
        assert_eq!((code(&mut world, "t", 1), code(&mut world, "$share/g/t", 1)), (1, 1), "as it is it goes on");
        assert_eq!(noted(&world), before, "nothing of it is noted");
        assert_eq!(asks(&mut world, old, &[crate::facts::subscribe("t", 1)]), [(0x90, vec![0, 1, 0x80])]);
        let left = asks(&mut world, link, &[packet(0xa2, &[&[0, 2, 0], &text("u")])]);
        assert_eq!(left, [(0xb0, vec![0, 2, 0, 0])]);
        world.crash();
        comes5(&mut world, "s", 0, 9, &[]);
        let publisher = publisher(&mut world);
        let says = [publish5(2, "u", 1, "one"), publish5(2, "new", 1, "two"), publish5(2, "t", 1, "three")];
        let no_subscribers = 0x10;
        let heard = answers(&mut world, publisher, &says);
        assert_eq!(heard, [(0x40, no_subscribers), (0x40, no_subscribers), (0x40, 0)]);
    }
}

#[test]
fn retained_messages_are_refused_and_may_be_erased() {
    for shards in SHARDS {
        let mut world = broker(shards);
        let publisher = publisher(&mut world);
        let says = ["a", "b", "c"].map(|topic| publish5(3, topic, 1, "before"));
        assert_eq!(asks(&mut world, publisher, &says).len(), 3);
        tell(&mut world, Room::Full);
        let heard = answers(&mut world, publisher, &[publish5(3, "a", 1, "during"), publish5(5, "d", 2, "during")]);
        assert_eq!(heard, [(0x40, QUOTA_EXCEEDED), (0x50, QUOTA_EXCEEDED)]);
        let heard = answers(&mut world, publisher, &[publish5(3, "b", 1, ""), publish5(1, "c", 0, "during")]);
        assert_eq!(heard.len(), 1);
        let refused: u64 = world.shards.iter().map(|shard| shard.stats().journal_refusals.retained).sum();
        assert_eq!(refused, 3);
        for _ in 0..2 {
            let (_, found) = comes(&mut world, "s", CLEAN, &[], &[crate::facts::subscribe("#", 1)]);
            let found = heard_texts(&found);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].ends_with("before") && found[0].contains('a'));
            world.crash();
        }
    }
}

fn heard_texts(bytes: &[u8]) -> Vec<String> {
    heard(bytes).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn what_a_durable_publisher_sends_exactly_once_is_refused_unless_it_came_before() {
    for shards in SHARDS {
        let mut world = broker(shards);
        comes5(&mut world, "passing", CLEAN, 0, &[subscribe5("t", 2)]);
        let (link, _) = comes5(&mut world, "p", 0, 9, &[publish5(4, "t", 1, "before")]);
        tell(&mut world, Room::Full);
        let before = noted(&world);
        let says = [publish5(4, "t", 2, "during"), publish5(4 | 8, "t", 1, "before"), publish5(2, "t", 3, "once")];
        assert_eq!(answers(&mut world, link, &says), [(0x50, QUOTA_EXCEEDED), (0x50, 0), (0x40, 0)]);
        assert_eq!(noted(&world), before, "nothing of it is noted");
        assert_eq!(answers(&mut world, link, &[packet(0x62, &[&[0, 1]])]), [(0x70, 0)]);
        let (old, heard) = comes(&mut world, "p", 0, &[], &[crate::facts::publish(4, "t", "during")]);
        assert!(world.links[old].is_closed && packets(&heard).len() == 1, "3.1.1 has no word for it");
    }
}

#[test]
fn a_queue_is_drained_while_there_is_no_room_and_stays_so() {
    for shards in SHARDS {
        let mut world = broker(shards);
        let (link, _) = comes5(&mut world, "s", 0, 9, &[subscribe5("t", 2)]);
        world.cut(link);
        let publisher = publisher(&mut world);
        asks(&mut world, publisher, &[publish5(2, "t", 1, "one"), publish5(4, "t", 2, "two")]);
        tell(&mut world, Room::Full);
        let (link, queued) = comes5(&mut world, "s", 0, 9, &[]);
        assert_eq!(queued.len(), 3);
        let id = |body: &[u8]| body[3..5].to_vec();
        let released =
            asks(&mut world, link, &[packet(0x40, &[&id(&queued[1].1)]), packet(0x50, &[&id(&queued[2].1)])]);
        assert_eq!(released.len(), 1, "PUBREL");
        asks(&mut world, link, &[packet(0x70, &[&id(&queued[2].1)])]);
        world.crash();
        assert_eq!(comes5(&mut world, "s", 0, 9, &[]).1.len(), 1, "CONNACK");
    }
}

/// Three durable sessions and one that is not want the same; each copy of a message takes a turn.
fn slow_fan_out() -> (World, usize, usize) {
    let mut world = World::durable(1, Limits { fanout_recipients_max: 1, ..Limits::default() }, 3);
    for name in ["s0", "s1", "s2"] {
        let (link, _) = comes5(&mut world, name, 0, 9, &[subscribe5("t", 1)]);
        world.cut(link);
    }
    let (passing, _) = comes5(&mut world, "passing", CLEAN, 0, &[subscribe5("t", 1)]);
    let publisher = publisher(&mut world);
    (world, passing, publisher)
}

/// What each of the three has found after a crash.
fn found_by_three(world: &mut World) -> Vec<usize> {
    world.crash();
    ["s0", "s1", "s2"].map(|name| comes5(world, name, 0, 9, &[]).1.len() - 1).to_vec()
}

#[test]
fn who_was_promised_a_message_gets_it_although_there_is_no_room_any_more() {
    let (mut world, _, publisher) = slow_fan_out();
    world.send(publisher, &publish5(2, "t", 1, "one"));
    while world.read(publisher, usize::MAX) {}
    tell(&mut world, Room::Full);
    assert_eq!(packets(&world.receive(publisher)), [(0x40, vec![0, 1])]);
    assert_eq!((found_by_three(&mut world), dropped(&world)), (vec![1, 1, 1], 0));
}

#[test]
fn who_was_promised_nothing_gets_nothing_although_there_is_room_again() {
    let (mut world, passing, publisher) = slow_fan_out();
    tell(&mut world, Room::Full);
    world.send(publisher, &publish5(2, "t", 1, "one"));
    while world.read(publisher, usize::MAX) {}
    tell(&mut world, Room::Open);
    assert_eq!(packets(&world.receive(publisher)), [(0x40, vec![0, 1])], "somebody has it");
    assert_eq!((packets(&world.receive(passing)).len(), dropped(&world)), (1, 3));
    world.cut(passing);
    world.drive();
    tell(&mut world, Room::Full);
    let heard = answers(&mut world, publisher, &[publish5(2, "t", 1, "two")]);
    assert_eq!(heard, [(0x40, QUOTA_EXCEEDED)], "nobody has it");
    assert_eq!(found_by_three(&mut world), [0, 0, 0]);
}

#[test]
fn a_search_for_retained_messages_waits_for_room_where_they_have_to_be_kept() {
    for shards in SHARDS {
        for room in [Room::Tight, Room::Full] {
            let mut world = broker(shards);
            let retained = publisher(&mut world);
            let says: Vec<Vec<u8>> = (0..20).map(|number| publish5(3, &format!("t/{number}"), 1, "kept")).collect();
            asks(&mut world, retained, &says);
            let (link, _) = comes5(&mut world, "s", 0, 9, &[]);
            assert_eq!(asks(&mut world, link, &[subscribe5("t/+", 0x21)]).len(), 1, "none is wanted");
            tell(&mut world, room);
            let before = noted(&world);
            // The same terms but for what is to be found, which is no part of a subscription.
            assert_eq!(asks(&mut world, link, &[subscribe5("t/+", 1)]).len(), 1, "SUBACK");
            assert_eq!(noted(&world), before);
            tell(&mut world, Room::Open);
            assert_eq!(packets(&world.receive(link)).len(), 20);
        }
    }
}

#[test]
fn a_will_that_finds_no_room_is_counted_and_reaches_those_who_are_not_kept() {
    let mut world = broker(1);
    comes5(&mut world, "durable", 0, 9, &[subscribe5("will", 1)]);
    let (passing, _) = comes5(&mut world, "passing", CLEAN, 0, &[subscribe5("will", 1)]);
    let (link, _) = comes(&mut world, "s", CLEAN | WILL_QOS_1, &[text("will"), text("gone")].concat(), &[]);
    tell(&mut world, Room::Full);
    world.cut(link);
    world.drive();
    assert_eq!(packets(&world.receive(passing)).len(), 1);
    assert_eq!((dropped(&world), world.shards[0].stats().journal_refusals.wills), (1, 1));
}

/// Whether each of these connections is read.
fn are_read(world: &World, links: &[usize]) -> Vec<bool> {
    links.iter().map(|link| world.links[*link].is_read).collect()
}

#[test]
fn while_it_is_tight_those_who_bring_more_wait_wherever_they_are_and_nobody_else_does() {
    for shards in SHARDS {
        for relief in [Room::Open, Room::Full] {
            let mut world = broker(shards);
            comes5(&mut world, "durable", 0, 9, &[subscribe5("kept", 2)]);
            comes5(&mut world, "passing", CLEAN, 0, &[subscribe5("passing", 2)]);
            let names = ["a", "b", "c", "d", "e", "f"];
            let keep: Vec<usize> = names.iter().map(|name| comes5(&mut world, name, CLEAN, 0, &[]).0).collect();
            let (retaining, _) = comes5(&mut world, "retaining", CLEAN, 0, &[]);
            let (once, _) = comes5(&mut world, "once", 0, 9, &[]);
            let (other, _) = comes5(&mut world, "other", 0, 9, &[]);
            tell(&mut world, Room::Tight);
            for link in &keep {
                let says = [publish5(2, "kept", 1, "one"), publish5(0, "kept", 0, "zero")];
                assert_eq!(answers(&mut world, *link, &says), [(0x40, 0)], "what came is taken");
            }
            asks(&mut world, retaining, &[publish5(1, "retained", 0, "x")]);
            asks(&mut world, once, &[publish5(4, "passing", 1, "x")]);
            let says = [publish5(0, "kept", 0, "x"), publish5(2, "passing", 1, "x"), subscribe5("more", 1)];
            assert_eq!(asks(&mut world, other, &says).len(), 2);
            let waiting = [&keep[..], &[retaining, once]].concat();
            assert_eq!(are_read(&world, &waiting), vec![false; waiting.len()], "{shards} shards");
            assert!(world.links[other].is_read);
            for link in &waiting {
                assert_eq!(asks(&mut world, *link, &[packet(0xc0, &[])]), [], "it lies unread");
            }
            tell(&mut world, relief);
            assert_eq!(are_read(&world, &waiting), vec![true; waiting.len()]);
            for link in &waiting {
                assert_eq!(packets(&world.receive(*link)).last(), Some(&(0xd0, vec![])), "PINGRESP");
            }
        }
    }
}

#[test]
fn who_waits_for_the_journal_is_not_silent_and_who_leaves_meanwhile_is_forgotten() {
    for shards in SHARDS {
        let mut world = broker(shards);
        comes5(&mut world, "durable", 0, 900, &[subscribe5("kept", 2)]);
        let keep_alive_s = 2;
        let mut links = Vec::new();
        for name in ["a", "b"] {
            let link = world.connect();
            world.send(link, &packet(0x10, &[&text("MQTT"), &[5, CLEAN, 0, keep_alive_s, 0], &text(name)]));
            tell(&mut world, Room::Tight);
            asks(&mut world, link, &[publish5(2, "kept", 1, "one")]);
            links.push(link);
        }
        world.advance(60_000);
        assert_eq!(are_read(&world, &links), [false, false]);
        assert!(!world.links[links[0]].is_closed && !world.links[links[1]].is_closed);
        world.cut(links[1]);
        tell(&mut world, Room::Open);
        assert!(world.links[links[0]].is_read);
        world.advance(1_000);
        assert!(!world.links[links[0]].is_closed, "its time begins anew");
        world.advance(60_000);
        assert!(world.links[links[0]].is_closed, "and it is silent");
    }
}

#[test]
fn a_message_for_a_shared_group_is_refused_where_it_would_have_to_be_kept() {
    for shards in SHARDS {
        for (expiry_s, expected) in [(9, QUOTA_EXCEEDED), (0, 0)] {
            let mut world = broker(shards);
            let (member, _) = comes5(&mut world, "member", 0, expiry_s, &[subscribe5("$share/g/t", 1)]);
            let publisher = publisher(&mut world);
            tell(&mut world, Room::Full);
            let said = answers(&mut world, publisher, &[publish5(2, "t", 1, "one")]);
            assert_eq!(said, [(0x40, expected)], "of a member that is kept for {expiry_s} s");
            assert_eq!(
                (heard(&world.receive(member)).len(), dropped(&world)),
                if expected == 0 { (1, 0) } else { (0, 1) }
            );
            tell(&mut world, Room::Open);
            assert_eq!(answers(&mut world, publisher, &[publish5(2, "t", 1, "two")]), [(0x40, 0)]);
            assert_eq!(heard(&world.receive(member)).len(), 1);
        }
    }
}
