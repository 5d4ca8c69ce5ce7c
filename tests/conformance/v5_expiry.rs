//! Clients whose token ends while they are connected, on a clock that the test turns.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::policies::Rules;
use crate::support::story::{Client, Heard, Hello, Post, Story};
use crate::support::world::WALL_S;
use pregon::engine::auth::policy::Policy;
use pregon::engine::auth::token::authenticator::Tokens;
use pregon::engine::auth::token::keys::Keys;
use pregon::engine::auth::token::terms::Terms;
use pregon::engine::event::{Cause, Event};

const SECRET: &[u8; 32] = b"a secret that everybody can read";

fn story() -> Story {
    let key = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(SECRET));
    let keys = Keys::parse(key.as_bytes()).expect("a key");
    let terms = Terms { leeway_s: 0, needs_expiry: false, ..Terms::default() };
    Story::with(|_| {}, Policy::new(vec![Box::new(Tokens::new(keys, terms))], Box::new(Rules::default())))
}

fn token(claims: &str) -> String {
    let [header, claims] = [r#"{"alg":"HS256"}"#, claims].map(|text| URL_SAFE_NO_PAD.encode(text));
    let signed = format!("{header}.{claims}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A token of alice that holds for so many seconds from the beginning of the story on.
fn lasting(seconds: u64) -> String {
    token(&format!(r#"{{"sub":"alice","exp":{}}}"#, WALL_S + seconds))
}

fn hello(id: &str, token: &str) -> Hello {
    Hello::v5(id).login("alice", token)
}

/// How connections have ended so far.
fn ends(story: &Story) -> Vec<Cause> {
    let cause = |(_, event): &(usize, Event)| {
        if let Event::Disconnected { cause, .. } = event { Some(*cause) } else { None }
    };
    story.world.events.iter().filter_map(cause).collect()
}

#[track_caller]
fn expect_expired(story: &mut Story, client: Client) {
    story.expect_closed_for(client, &[0xA0]);
    assert_eq!(ends(story).last(), Some(&Cause::Expired));
}

/// v5: MQTT-3.14.2-1, MQTT-3.14.4-2
#[test]
fn a_connection_ends_with_its_token_whatever_its_client_does() {
    let mut story = story();
    for n in 0..4 {
        // Several client ids, so that some connections move to another shard at first.
        let until = 60 * (n + 1);
        let client = story.connect(hello(&format!("client-{n}"), &lasting(until)).keep_alive(10));
        for _ in 0..11 {
            story.wait_s(5);
            story.send(client, &[0xC0, 0]);
            assert!(matches!(story.hear(client), Some(Heard::PingResp)));
        }
        story.wait_s(4);
        story.expect_silence(client);
        story.wait_s(1);
        expect_expired(&mut story, client);
    }
}

/// v5: X5-DISC-V3
#[test]
fn an_idle_connection_ends_as_well_and_one_of_3_1_1_without_a_word() {
    let mut story = story();
    let idle = story.connect(hello("idle", &lasting(3_000)));
    let old = story.connect(Hello::v311("old").login("alice", &lasting(3_000)));
    let endless = story.connect(hello("endless", &token(r#"{"sub":"alice"}"#)));
    story.wait_s(2_999);
    story.expect_open(idle);
    story.wait_s(2);
    story.expect_closed_for(idle, &[0xA0]);
    story.expect_closed(old);
    assert_eq!(ends(&story), [Cause::Expired, Cause::Expired]);
    story.wait_s(4_000);
    story.expect_open(endless);
}

/// v5: MQTT-3.1.2-8
#[test]
fn the_will_is_published_and_the_session_waits() {
    let mut story = story();
    let reader = story.connect(hello("reader", &lasting(10_000)));
    story.subscribe(reader, "will", 1);
    let client = story.connect(hello("client", &lasting(60)).expiry(600).will("will", "adieu", 1, false));
    story.subscribe(client, "a", 1);
    story.wait_s(61);
    expect_expired(&mut story, client);
    assert_eq!(story.delivery(reader).payload, b"adieu");
    story.publish_fully(reader, Post::to("a").qos(1).payload("kept"));
    let (client, is_present) = story.connect_present(hello("client", &lasting(600)).expiry(600).resume());
    assert!(is_present, "a fresh token finds the session");
    assert_eq!(story.delivery(client).payload, b"kept");
}

/// v5: MQTT-3.1.4-3
#[test]
fn a_fresh_token_takes_the_session_over_and_counts_from_then_on() {
    let mut story = story();
    let old = story.connect(hello("client", &lasting(60)).expiry(600));
    story.wait_s(30);
    let (new, is_present) = story.connect_present(hello("client", &lasting(120)).expiry(600).resume());
    assert!(is_present);
    story.expect_closed_for(old, &[0x8E]);
    story.wait_s(89);
    story.expect_open(new);
    story.wait_s(2);
    expect_expired(&mut story, new);
}

/// v5: MQTT-3.1.4-2
#[test]
fn a_token_that_has_ended_opens_nothing() {
    let mut story = story();
    story.wait_s(61);
    let client = story.hello(&hello("client", &lasting(60)));
    story.expect_refused(client, 0x86);
    // Nor does any, where nobody knows what time it is.
    story.world.turn_wall(0);
    let client = story.hello(&hello("client", &lasting(600)));
    story.expect_refused(client, 0x88);
}

/// v5: MQTT-4.13.2-1
#[test]
fn a_turned_clock_ends_nothing_and_prolongs_nothing() {
    let mut story = story();
    let client = story.connect(hello("client", &lasting(60)));
    story.world.turn_wall(WALL_S + 100_000);
    story.wait_s(30);
    story.expect_open(client);
    story.world.turn_wall(WALL_S - 100_000);
    story.wait_s(29);
    story.expect_open(client);
    story.wait_s(2);
    expect_expired(&mut story, client);
}
