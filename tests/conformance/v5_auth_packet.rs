//! MQTT 5.0, section 3.15: the AUTH packet itself.

use std::sync::Arc;

use pregon::engine::auth::exchange::{Exchange, Step};
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Open, Policy};
use pregon::engine::auth::{Authenticator, Credentials, Verdict};
use pregon::mqtt::Reason;
use pregon::mqtt::properties::{Place, Property};

use super::v5_bytes::{ask, has_diagnostics};
use crate::support::policies::{CHALLENGE, Challenge, PROOF};
use crate::support::story::{Client, Heard, Hello, Story};

fn hello() -> Hello {
    Hello::v5("client").with(Property::AuthMethod(CHALLENGE)).with(Property::AuthData(b"alice"))
}

/// A client in the middle of its authentication.
fn challenged(hello: &Hello) -> (Story, Client) {
    let mut story = Story::with(|_| {}, Challenge::policy());
    let client = story.hello(hello);
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::Auth(0x18, _)]));
    (story, client)
}

/// A client that has authenticated itself.
fn authenticated(hello: &Hello) -> (Story, Client) {
    let (mut story, client) = challenged(hello);
    story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::ConnAck(false, 0, _)]));
    (story, client)
}

/// An AUTH packet of the client, byte by byte.
fn auth(first: u8, reason: u8) -> Vec<u8> {
    let method = [&[0x15, 0, 9], CHALLENGE.as_bytes()].concat();
    [&[first, 14, reason, 12], &method[..]].concat()
}

/// v5: MQTT-3.15.1-1
#[test]
fn an_auth_with_flags_is_malformed() {
    for flags in 1..=15 {
        let (mut story, client) = authenticated(&hello());
        story.send(client, &auth(0xf0 | flags, 0x19));
        story.expect_closed_for(client, &[0x81]);
        let (mut story, client) = challenged(&hello());
        story.send(client, &auth(0xf0 | flags, 0x18));
        story.expect_refused(client, 0x81);
    }
}

/// v5: MQTT-3.15.2-1
#[test]
fn the_broker_says_only_continue_and_success() {
    let (mut story, client) = authenticated(&hello());
    story.auth(client, 0x19, Some(CHALLENGE), Some(b"alice"));
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::Auth(0x18, _)]));
    story.auth(client, 0x18, Some(CHALLENGE), Some(PROOF));
    assert!(matches!(story.hear_all(client).as_slice(), [Heard::Auth(0x00, _)]));
    story.expect_open(client);
}

/// v5: MQTT-3.15.2-1
#[test]
fn an_auth_of_the_client_with_another_code_is_an_error() {
    for code in [0x00, 0x01, 0x17, 0x1a, 0x55, 0x80, 0x87, 0xff] {
        let (mut story, client) = authenticated(&hello());
        story.send(client, &auth(0xf0, code));
        story.expect_closed_for(client, &[0x82]);
        let (mut story, client) = challenged(&hello());
        story.send(client, &auth(0xf0, code));
        story.expect_refused(client, 0x82);
    }
}

/// v5: MQTT-3.15.2-2, MQTT-3.15.2-3
#[test]
fn an_auth_fits_its_receiver_and_explains_nothing_beyond() {
    let challenge = |packet_bytes_max| {
        let mut story = Story::with(|_| {}, Challenge::policy());
        let client = story.hello(&hello().with(Property::MaximumPacketSize(packet_bytes_max)));
        story.world.receive(client.0)
    };
    let bytes = challenge(1000);
    let size = u32::try_from(bytes.len()).expect("a small packet");
    assert_eq!(bytes[..3], [0xf0, bytes[1], 0x18]);
    assert_eq!(challenge(size), bytes);
    assert!(!has_diagnostics(&bytes[4..], Place::Auth));
    assert_eq!(challenge(size - 1), [0_u8; 0]);
    let (mut story, client) = authenticated(&hello().with(Property::MaximumPacketSize(size)));
    assert_eq!(ask(&mut story, client, &[&[0xf0, 22, 0x19, 20][..], &renewal()].concat()), bytes);
}

/// The properties of an AUTH that begins a renewal.
fn renewal() -> Vec<u8> {
    [&[0x15, 0, 9], CHALLENGE.as_bytes(), &[0x16, 0, 5], b"alice"].concat()
}

/// Lets everybody in at once and nobody stay: each renewal is denied with a code of CONNACK alone.
struct Once;

struct OnceExchange;

impl Authenticator for Once {
    fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
        Verdict::Abstain
    }

    fn exchange(&self, _method: &str) -> Option<Box<dyn Exchange>> {
        Some(Box::new(OnceExchange))
    }

    fn knows(&self, _identity: &Identity) -> bool {
        true
    }
}

impl Exchange for OnceExchange {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        match data {
            Some(_) => Step::Accept { identity: Arc::new(Identity::user("alice", "once")), data: None },
            None => Step::Deny(Reason::BadUserNameOrPassword),
        }
    }
}

/// v5: MQTT-3.14.2-1
#[test]
fn a_denied_renewal_ends_with_a_code_of_disconnect() {
    let mut story = Story::with(|_| {}, Policy::new(vec![Box::new(Once)], Box::new(Open)));
    let client = story.connect(hello());
    story.send(client, &auth(0xf0, 0x19));
    story.expect_closed_for(client, &[0x87]);
}
