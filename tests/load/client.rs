//! What a client makes of the answers to CONNECT and SUBSCRIBE.

use pregon::mqtt::frame::{Next, next_frame};
use pregon::mqtt::{QoS, Reason, Version};

use crate::generator::client::{Client, Role, Stage, Welcome};
use crate::generator::packets::Session;

fn welcome(client: &mut Client, bytes: &[u8]) -> Welcome {
    let Ok(Next::Frame(frame)) = next_frame(bytes, u32::MAX) else { panic!("one whole packet") };
    client.welcome(Version::V311, QoS::AtLeastOnce, &frame)
}

fn subscriber() -> Client {
    let role = Role::Subscriber { slot: 0, publishers: (0, 1) };
    Client::new(Version::V311, role, "load-0", Session::Passing, Some("load/0"), 0)
}

#[test]
fn a_subscriber_is_ready_after_suback() {
    let mut client = subscriber();
    client.outbox.clear();
    assert_eq!(welcome(&mut client, &[0x20, 2, 0, 0]), Welcome::Connected { receive_maximum: None, is_odd: false });
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
    let mut client = Client::new(Version::V311, Role::Holder, "load-0", Session::Passing, None, 0);
    assert!(matches!(welcome(&mut client, &[0x20, 2, 0, 3]), Welcome::Refused(_)));
    assert_eq!(client.stage, Stage::Gone);
}

#[test]
fn a_session_that_should_be_there_or_should_not_is_noticed_where_the_version_tells() {
    let is_odd = |version, session, is_present: u8| {
        let mut client = Client::new(version, Role::Holder, "load-0", session, None, 0);
        let bytes = [0x20, 2, is_present, 0];
        let Ok(Next::Frame(frame)) = next_frame(&bytes, u32::MAX) else { panic!("one whole packet") };
        let Welcome::Connected { is_odd, .. } = client.welcome(version, QoS::AtLeastOnce, &frame) else {
            panic!("it is accepted")
        };
        assert_eq!(client.stage, Stage::Ready);
        is_odd
    };
    for session in [Session::Passing, Session::Lasting] {
        assert_eq!([0, 1].map(|is_present| is_odd(Version::V311, session, is_present)), [false, true]);
    }
    assert_eq!([0, 1].map(|is_present| is_odd(Version::V311, Session::Resumed, is_present)), [true, false]);
    assert!(!is_odd(Version::V31, Session::Resumed, 0), "3.1 has no word for it");
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut client = subscriber();
    assert_eq!(welcome(&mut client, &[0x90, 3, 0, 1, 1]), Welcome::Wrong);
    assert_eq!(client.stage, Stage::Connecting);
}
