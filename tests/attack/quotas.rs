//! What a client may have of everything: sessions, subscriptions, retained messages, wills, aliases, identifiers.

use std::num::NonZeroU16;
use std::time::Duration;

use pregon::mqtt::Version;
use pregon::mqtt::property::Property;

use crate::client::Client;
use crate::field::{Attack, Field, MEBIBYTE, SHARDS, Stage, metric, metric_now, wait};
use crate::packets::{connect_body, packet, text};
use crate::patience::wait_until;
use crate::process::Options;
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};

pub const SESSIONS: Attack = Attack { name: "sessions", run: sessions };
pub const SUBSCRIPTIONS: Attack = Attack { name: "subscriptions", run: subscriptions };
pub const RETAINED: Attack = Attack { name: "retained messages", run: retained };
pub const WILLS: Attack = Attack { name: "wills", run: wills };
pub const PACKETS: Attack = Attack { name: "aliases and user properties", run: packets };
pub const IDENTIFIERS: Attack = Attack { name: "packet identifiers", run: identifiers };

const QUOTA_EXCEEDED: u8 = 0x97;
const LEFT_BYTES_MAX: u64 = 16 * MEBIBYTE;

/// What a broker keeps of an absent session with its subscriptions and what waits for it, with room to spare.
const SESSION_BYTES_MAX: u64 = 4 * 1024;
const SESSIONS_MAX: u64 = 10_000;
/// More than there may be: so many at least are refused.
const SESSIONS_TOO_MANY: u64 = 100;
/// The first crowd leaves tables of its size behind, and all that follow find them.
const CROWDS: u64 = 3;
/// What may be counted of the witnesses.
const WITNESSED_MAX: u64 = 300;
/// What the crowds behind the first one may leave: some 150 bytes for each of their sessions.
const FORGOTTEN_BYTES_MAX: u64 = 3 * MEBIBYTE;

/// Crowd after crowd with new names, which expires and leaves nothing.
fn sessions(stage: &Stage) {
    let field = stage.open(Options::shards(SHARDS).set(&format!("limits.sessions_max={SESSIONS_MAX}")));
    field.attack(|field, round| {
        let own = metric_now(&field.broker, "pregon_sessions", "");
        let mut settled_bytes = 0;
        for crowd in 0..CROWDS {
            let name = |number: u64| format!("s-{round}-{crowd}-{number}");
            let taken = fill(field, name);
            field.expect_growth(SESSIONS_MAX * SESSION_BYTES_MAX + LEFT_BYTES_MAX);
            // Whoever has one comes back to it, also above the quota, and says that a second is enough.
            for number in taken {
                let hello = Hello::v5(&name(number)).resume().receive_maximum(1).expiry(1);
                let (client, is_present) = Client::connect_present(&field.broker, &hello);
                assert!(is_present, "session {number} is there");
                client.cut();
            }
            field.expect_nobody_else();
            wait_until("sessions to expire", || metric(&field.broker, "pregon_sessions", "") == own);
            for what in ["pregon_subscriptions", "pregon_messages_queued"] {
                assert!(metric_now(&field.broker, what, "") < WITNESSED_MAX, "{what} of the witnesses alone");
            }
            if crowd == 0 {
                field.expect_shrunk(LEFT_BYTES_MAX);
                settled_bytes = least_growth(field);
            }
        }
        field.expect_shrunk(settled_bytes + FORGOTTEN_BYTES_MAX);
    });
}

/// What is left when the allocator has given back what it does not use, which it does within a second or two.
fn least_growth(field: &Field<'_>) -> u64 {
    let looks = (0..60).map(|_| {
        wait(Duration::from_millis(50));
        field.memory()
    });
    looks.min().expect("it was looked at").saturating_sub(field.base_bytes)
}

/// As many sessions as there may be, each with two subscriptions and messages that wait: the numbers of those that were let in.
fn fill(field: &Field<'_>, name: impl Fn(u64) -> String) -> Vec<u64> {
    let (mut taken, mut refused) = (Vec::new(), 0_u64);
    for number in 0..SESSIONS_MAX + SESSIONS_TOO_MANY {
        let mut client = Client::hello(&field.broker, &Hello::v5(&name(number)).expiry(600));
        match client.hear() {
            Heard::ConnAck(false, 0, _) => {
                let own = format!("own/{}/+", name(number));
                assert_eq!(client.subscribe_to(&[Wish::to("attacked/#", 1), Wish::to(&own, 1)]), [1, 1]);
                client.cut();
                taken.push(number);
            }
            Heard::ConnAck(false, QUOTA_EXCEEDED, _) => refused += 1,
            other => panic!("neither in nor over the quota: {other:?}"),
        }
    }
    let kept = metric_now(&field.broker, "pregon_sessions", "");
    assert!(kept <= SESSIONS_MAX && refused >= SESSIONS_TOO_MANY, "{kept} sessions, {refused} refused");
    // A client without a session of its own would find no place.
    let hello = Hello::v5(&name(taken[0])).resume().receive_maximum(1).expiry(600);
    let mut speaker = Client::connect(&field.broker, &hello);
    for id in 1..=3 {
        speaker.publish(&Post::to("attacked/all").qos(1).id(id).payload(vec![b'x'; 100]));
    }
    let mut acknowledged = 0;
    while acknowledged < 3 {
        acknowledged += usize::from(matches!(speaker.hear(), Heard::PubAck(_, 0, _)));
    }
    speaker.cut();
    let queued = metric_now(&field.broker, "pregon_messages_queued", "");
    assert!(queued >= 3 * (taken.len() as u64 - 1), "{queued} messages wait for {} sessions", taken.len());
    taken
}

fn subscriptions(stage: &Stage) {
    const SUBSCRIPTIONS_MAX: usize = 2_000;
    let limit = format!("limits.subscriptions_max={SUBSCRIPTIONS_MAX}");
    stage.open(Options::shards(SHARDS).set(&limit)).attack(|field, _| {
        for version in [Version::V311, Version::V5] {
            let mut client = Client::join(&field.broker, version, "greedy");
            let filters: Vec<String> =
                (0..SUBSCRIPTIONS_MAX + 500).map(|number| format!("{number}/+/{number}/#")).collect();
            let mut granted = 0;
            for some in filters.chunks(100) {
                let wishes: Vec<Wish<'_>> = some.iter().map(|filter| Wish::to(filter, 1)).collect();
                let codes = client.subscribe_to(&wishes);
                granted += codes.iter().map(|code| usize::from(*code == 1)).sum::<usize>();
                let refusal = if version == Version::V5 { QUOTA_EXCEEDED } else { 0x80 };
                assert!(codes.iter().all(|code| [1, refusal].contains(code)), "{codes:02x?}");
            }
            assert_eq!(granted, SUBSCRIPTIONS_MAX);
            client.leave();
            // As many filters as a packet has room for: each is answered.
            let mut client = Client::join(&field.broker, version, "wordy");
            let wishes = vec![Wish::to("a", 0); 250_000];
            for _ in 0..10 {
                assert_eq!(client.subscribe_to(&wishes).len(), wishes.len());
            }
            client.leave();
        }
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

fn retained(stage: &Stage) {
    const MESSAGES_MAX: u64 = 400;
    const BYTES_MAX: u64 = 4 * MEBIBYTE;
    let limits =
        [format!("limits.retained_messages_max={MESSAGES_MAX}"), format!("limits.retained_bytes_max={BYTES_MAX}B")];
    let options = Options::shards(SHARDS).set(&limits[0]).set(&limits[1]);
    stage.open(options).attack(|field, _| {
        let mut client = Client::join(&field.broker, Version::V5, "keeper");
        for payload_bytes in [10, 64 * 1024] {
            let mut refused = 0;
            for number in 0..2 * MESSAGES_MAX {
                client.publish(&Post::to(&format!("kept/{number}")).qos(1).retain().payload(vec![b'x'; payload_bytes]));
                match client.hear() {
                    Heard::PubAck(1, QUOTA_EXCEEDED, _) => refused += 1,
                    Heard::PubAck(1, 0 | 0x10, _) => {}
                    other => panic!("no PUBACK: {other:?}"),
                }
            }
            let kept = metric_now(&field.broker, "pregon_retained_messages", "");
            assert!(refused > 0 && kept <= MESSAGES_MAX, "{refused} refused, {kept} kept");
        }
        field.expect_growth(2 * BYTES_MAX + LEFT_BYTES_MAX);
        // Erasing needs no room.
        for number in 0..2 * MESSAGES_MAX {
            client.post(&Post::to(&format!("kept/{number}")).qos(1).retain());
        }
        assert_eq!(metric_now(&field.broker, "pregon_retained_messages", ""), 0);
        client.leave();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Wills of the largest size that a listener takes, kept and let loose all at once.
fn wills(stage: &Stage) {
    const PACKET_BYTES_MAX: usize = 32 * 1024;
    const CLIENTS: usize = 200;
    let limit = format!("limits.packet_bytes_max={PACKET_BYTES_MAX}B");
    stage.open(Options::shards(SHARDS).set(&limit)).attack(|field, round| {
        let with_will = |number: usize, bytes: usize| {
            Hello::v5(&format!("w-{round}-{number}")).will("attacked/wills", &"x".repeat(bytes), 1, false)
        };
        let mut larger = Client::hello(&field.broker, &with_will(0, PACKET_BYTES_MAX));
        larger.expect_end();
        let mut hearer = Client::join(&field.broker, Version::V5, "heir");
        hearer.subscribe("attacked/#", 1);
        let crowd: Vec<Client> = (0..CLIENTS)
            .map(|number| Client::connect(&field.broker, &with_will(number, PACKET_BYTES_MAX - 200)))
            .collect();
        field.expect_growth((2 * CLIENTS * PACKET_BYTES_MAX) as u64 + LEFT_BYTES_MAX);
        crowd.into_iter().for_each(Client::cut);
        for _ in 0..CLIENTS {
            assert_eq!(hearer.take().payload.len(), PACKET_BYTES_MAX - 200);
        }
        hearer.leave();
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Packets with as much in them as there is room for.
fn packets(stage: &Stage) {
    let options = Options::shards(SHARDS).set("limits.packet_bytes_max=256KiB").set("limits.user_properties_max=20000");
    stage.open(options).attack(|field, _| {
        let mut hearer = Client::join(&field.broker, Version::V5, "hearer");
        hearer.subscribe("attacked/#", 1);
        let mut speaker = Client::join(&field.broker, Version::V5, "speaker");
        let mut post = Post::to("attacked/a").qos(1);
        for _ in 0..20_000 {
            post = post.with(Property::User("n", "v"));
        }
        for _ in 0..20 {
            speaker.post(&post);
            assert_eq!(hearer.take().user.len(), 20_000);
        }
        // CONNECT with user properties alone is a packet like any other, up to the largest.
        let own = b"\x26\0\x01n\0\x01v".repeat(18);
        let mut polite = Client::open(field.broker.address, Version::V5);
        polite.send(&packet(0x10, &connect_body(Version::V5, b"polite", &own, &own)));
        polite.expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
        polite.leave();
        let mut largest = Client::join(&field.broker, Version::V5, "largest");
        largest.send(&packet(0x30, &[&text("a")[..], &[0], &vec![b'x'; 256 * 1024]].concat()));
        largest.expect_closed_for(0x95);
        // The last alias that is offered, and the one behind it.
        for (alias, reason) in [(32_u16, None), (33, Some(0x94)), (u16::MAX, Some(0x94))] {
            let mut client = Client::join(&field.broker, Version::V5, "alias");
            for number in 1..=alias.min(32) {
                client.publish(&Post::to(&format!("x/{number}/{}", "y".repeat(2_000))).alias(number));
            }
            let alias = NonZeroU16::new(alias).expect("it is not zero").get();
            client.publish(&Post::to("x").alias(alias));
            match reason {
                Some(reason) => client.expect_closed_for(reason),
                None => client.expect_silence(),
            }
        }
        // One that stands for nearly all the bytes that aliases may stand for, and one more.
        let mut wordy = Client::join(&field.broker, Version::V5, "wordy");
        for number in [1, 2] {
            wordy.publish(&Post::to(&format!("x/{number}/{}", "y".repeat(60_000))).alias(number));
        }
        wordy.expect_closed_for(0x97);
        hearer.leave();
        speaker.leave();
        field.expect_growth(64 * MEBIBYTE);
        field.expect_nobody_else();
        field.expect_shrunk(LEFT_BYTES_MAX);
    });
}

/// Exchanges that nobody finishes, in both directions.
fn identifiers(stage: &Stage) {
    stage
        .open(Options::shards(SHARDS).set("limits.inflight_max=65535").set("limits.queue_messages_max=1000"))
        .attack(outgoing);
    stage.open(Options::shards(SHARDS)).attack(incoming);
}

/// A subscriber never acknowledges: no identifier comes twice, and what waits behind them is bounded.
fn outgoing(field: &Field<'_>, _: usize) {
    const USED_UP: usize = 65_535;
    let mut deaf = Client::join(&field.broker, Version::V311, "deaf");
    deaf.send(&subscribe(Version::V311, 1, &[Wish::to("attacked", 1)], None));
    deaf.expect("SUBACK", |heard| matches!(heard, Heard::SubAck(..)));
    let mut speaker = Client::join(&field.broker, Version::V311, "speaker");
    let mut seen = vec![false; USED_UP + 1];
    for burst in 0..u16::try_from((USED_UP + 5_000) / 500).expect("few") {
        let post = |id| Post::to("attacked").qos(1).id(id).payload(burst.to_be_bytes());
        speaker.send(&(1..=500).flat_map(|id| post(id).encode(Version::V311)).collect::<Vec<u8>>());
        for number in 1..=500 {
            speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(id, ..) if *id == number));
        }
        while let Some(heard) = deaf.hear_within(Duration::from_millis(1)) {
            let Heard::Publish(delivery) = heard else { panic!("no message: {heard:?}") };
            let id = usize::from(delivery.id.expect("it has one"));
            assert!(!std::mem::replace(&mut seen[id], true), "{id} is in use");
        }
    }
    field.expect_growth(64 * MEBIBYTE);
    deaf.cut();
    speaker.leave();
    field.expect_nobody_else();
    field.expect_shrunk(LEFT_BYTES_MAX);
}

/// A publisher never releases: at the receive maximum it is told so, and in 3.1.1 there are no more than there are identifiers.
fn incoming(field: &Field<'_>, _: usize) {
    let begin = |client: &mut Client, count: u16| {
        let all: Vec<u8> =
            (1..=count).flat_map(|id| Post::to("attacked").qos(2).id(id).payload("x").encode(Version::V5)).collect();
        client.send(&all);
    };
    let mut polite = Client::join(&field.broker, Version::V5, "polite");
    begin(&mut polite, 2_048);
    for id in 1..=2_048 {
        polite.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(found, 0 | 0x10, _) if *found == id));
    }
    polite.send(&Post::to("attacked").qos(2).id(3_000).encode(Version::V5));
    polite.expect_closed_for(0x93);
    let mut old = Client::join(&field.broker, Version::V311, "old");
    // Never more of them under way than may be: 65,535 in all.
    'all: for first in (1..=u16::MAX).step_by(255) {
        let some = first..=first + 254;
        let post = |id| Post::to("attacked").qos(2).id(id).encode(Version::V311);
        old.send(&some.clone().flat_map(post).collect::<Vec<u8>>());
        for id in some {
            match old.hear() {
                Heard::PubRec(found, ..) if found == id => {}
                Heard::Closed => break 'all,
                other => panic!("no PUBREC of {id}: {other:?}"),
            }
        }
    }
    field.expect_growth(16 * MEBIBYTE);
    drop(old);
    field.expect_nobody_else();
    field.expect_shrunk(LEFT_BYTES_MAX);
}
