//! What a client makes of the answers to CONNECT and SUBSCRIBE.

use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::{QoS, Reason, Version};

use crate::generator::client::{Client, Role, Stage, Welcome};

fn welcome(client: &mut Client, bytes: &[u8]) -> Welcome {
    let Ok(Next::Frame(frame)) = next_frame(bytes, u32::MAX) else { panic!("one whole packet") };
    client.welcome(Version::V311, QoS::AtLeastOnce, &frame)
}

fn subscriber() -> Client {
    let role = Role::Subscriber { slot: 0, publishers: (0, 1) };
    Client::new(Version::V311, role, "load-0", Some("load/0"), 0)
}

#[test]
fn a_subscriber_is_ready_after_suback() {
    let mut client = subscriber();
    client.outbox.clear();
    assert_eq!(welcome(&mut client, &[0x20, 2, 0, 0]), Welcome::Connected(None));
    assert_eq!((client.stage, client.outbox[0]), (Stage::Subscribing, 0x82));
    assert_eq!(welcome(&mut client, &[0x90, 3, 0, 1, 1]), Welcome::Subscribed);
    assert_eq!(client.stage, Stage::Ready);
}

#[test]
fn a_subscription_at_a_lower_quality_of_service_is_a_refusal() {
    let mut client = subscriber();
    welcome(&mut client, &[0x20, 2, 0, 0]);
    assert_eq!(welcome(&mut client, &[0x90, 3, 0, 1, 0]), Welcome::Refused(Reason::granted(QoS::AtMostOnce)));
    assert_eq!(client.stage, Stage::Gone);
}

#[test]
fn a_refused_client_is_gone() {
    let mut client = Client::new(Version::V311, Role::Holder, "load-0", None, 0);
    assert!(matches!(welcome(&mut client, &[0x20, 2, 0, 3]), Welcome::Refused(_)));
    assert_eq!(client.stage, Stage::Gone);
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut client = subscriber();
    assert_eq!(welcome(&mut client, &[0x90, 3, 0, 1, 1]), Welcome::Wrong);
    assert_eq!(client.stage, Stage::Connecting);
}
