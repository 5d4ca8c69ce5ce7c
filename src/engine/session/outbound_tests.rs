//! What the sending half of a session does, case by case.

use super::delivery::testing::{delivery, expiring, number, returned_numbers, waiting_number};
use super::delivery::{Delivery, Source};
use super::outbound::{Acked, Enqueued, Next, Outbound, QueueBounds, Recorded};
use crate::base::time::Time;
use crate::engine::change::Serial;
use crate::engine::homes::ShardId;
use crate::engine::limits::QueuePolicy;
use crate::mqtt::PacketId;
use crate::mqtt::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::mqtt::Reason;

const BOUNDS: QueueBounds = QueueBounds { messages_max: 1_000, bytes_max: 1 << 20, policy: QueuePolicy::RefuseNew };
const NOW: Time = Time::from_millis(1_000);

fn connected(window: u16) -> Outbound {
    let mut outbound = Outbound::new();
    outbound.connect(window);
    outbound
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn shared(number: u64, qos: QoS, group: u64) -> Delivery {
    let source = Source::Shared { home: ShardId::new(1), group, delivery: number, copy: Serial::NONE };
    Delivery { source, ..delivery(number, qos) }
}

fn enqueue_all(outbound: &mut Outbound, deliveries: impl IntoIterator<Item = Delivery>) {
    for delivery in deliveries {
        assert!(matches!(outbound.enqueue(delivery, &BOUNDS), Enqueued::Queued));
    }
}

/// Whatever can be sent, one word a packet: `1:7` is message 7 under identifier 1, `+` is DUP.
fn sent(outbound: &mut Outbound) -> String {
    let mut words = Vec::new();
    loop {
        words.push(match outbound.next(NOW) {
            Next::Stowed => unreachable!("nothing is stowed here"),
            Next::Publish { id, dup, delivery } => {
                format!("{}:{}{}", id.get(), number(delivery), if dup { "+" } else { "" })
            }
            Next::PubRel { id } => format!("rel{}", id.get()),
            Next::Plain(delivery) => format!("plain{}", number(&delivery)),
            Next::Expired(delivery) => format!("expired{}", number(&delivery)),
            Next::Nothing => break words.join(" "),
        });
        outbound.check();
    }
}

#[test]
fn a_fresh_one_is_small_and_sends_nothing() {
    let mut outbound = Outbound::new();
    assert!(size_of::<Outbound>() <= 192, "{}", size_of::<Outbound>());
    assert_eq!((sent(&mut outbound).as_str(), outbound.quota()), ("", 0));
    assert!(outbound.direct(delivery(1, AtLeastOnce)).is_err(), "without a connection nothing is sent");
    assert!(outbound.is_empty());
}

#[test]
fn a_qos_1_message_is_open_until_puback() {
    let mut outbound = connected(10);
    let id = outbound.direct(delivery(5, AtLeastOnce)).unwrap();
    assert_eq!((outbound.quota(), outbound.copies(), outbound.is_empty()), (9, 1, false));
    let Acked::Delivered(delivery) = outbound.puback(id, Reason::Success) else { panic!() };
    assert_eq!(number(&delivery), 5);
    assert!(matches!(outbound.puback(id, Reason::Success), Acked::Unknown));
    assert_eq!((outbound.quota(), outbound.is_empty()), (10, true));
}

#[test]
fn a_qos_2_message_keeps_its_quota_from_publish_to_pubcomp() {
    let mut outbound = connected(1);
    let id = outbound.direct(delivery(5, ExactlyOnce)).unwrap();
    assert!(!outbound.pubcomp(id), "PUBCOMP comes after PUBREC");
    assert!(matches!(outbound.pubrec(id, Reason::Success), Recorded::Release(_)));
    assert_eq!((outbound.copies(), outbound.inflight_count(), outbound.quota()), (0, 1, 0));
    assert!(matches!(outbound.pubrec(id, Reason::Success), Recorded::Again));
    assert!(outbound.direct(delivery(6, AtLeastOnce)).is_err());
    assert!(outbound.pubcomp(id));
    assert!(!outbound.pubcomp(id));
    assert_eq!(outbound.quota(), 1);
    outbound.check();
}

#[test]
fn an_error_settles_a_message_and_frees_its_place() {
    let mut outbound = connected(2);
    let one = outbound.direct(delivery(1, AtLeastOnce)).unwrap();
    let two = outbound.direct(delivery(2, ExactlyOnce)).unwrap();
    assert!(matches!(outbound.puback(one, Reason::NotAuthorized), Acked::Refused(_)));
    assert!(matches!(outbound.pubrec(two, Reason::UnspecifiedError), Recorded::Refused(_)));
    assert_eq!((outbound.quota(), outbound.is_empty()), (2, true));
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_or_of_nothing_changes_nothing() {
    let mut outbound = connected(10);
    let one = outbound.direct(delivery(1, AtLeastOnce)).unwrap();
    let two = outbound.direct(delivery(2, ExactlyOnce)).unwrap();
    for unknown in [one, id(77)] {
        assert!(matches!(outbound.pubrec(unknown, Reason::Success), Recorded::Unknown));
        assert!(matches!(outbound.pubrec(unknown, Reason::UnspecifiedError), Recorded::Closed));
        assert!(!outbound.pubcomp(unknown));
    }
    for unknown in [two, id(77)] {
        assert!(matches!(outbound.puback(unknown, Reason::Success), Acked::Unknown));
        assert!(matches!(outbound.puback(unknown, Reason::UnspecifiedError), Acked::Unknown));
    }
    outbound.check();
    assert_eq!((outbound.copies(), outbound.quota()), (2, 8));
}

#[test]
fn an_error_for_a_released_message_ends_its_flow() {
    let mut outbound = connected(1);
    let id = outbound.direct(delivery(1, ExactlyOnce)).unwrap();
    outbound.pubrec(id, Reason::Success);
    assert!(matches!(outbound.pubrec(id, Reason::PacketIdentifierNotFound), Recorded::Closed));
    assert_eq!((outbound.quota(), outbound.is_empty()), (1, true));
}

#[test]
fn the_queue_goes_out_as_far_as_the_quota_allows() {
    let mut outbound = connected(2);
    enqueue_all(&mut outbound, [1, 2, 3].map(|n| delivery(n, AtLeastOnce)));
    assert_eq!(sent(&mut outbound), "1:1 2:2");
    outbound.puback(id(2), Reason::Success);
    assert_eq!(sent(&mut outbound), "3:3");
}

#[test]
fn nothing_overtakes_what_is_queued() {
    let mut outbound = connected(1);
    let first = outbound.direct(delivery(1, AtLeastOnce)).unwrap();
    enqueue_all(&mut outbound, [delivery(2, AtLeastOnce), delivery(3, AtMostOnce)]);
    outbound.puback(first, Reason::Success);
    let refused = outbound.direct(delivery(4, AtLeastOnce)).unwrap_err();
    enqueue_all(&mut outbound, [refused]);
    assert_eq!(sent(&mut outbound), "2:2 plain3");
}

#[test]
fn a_qos_0_message_at_the_front_needs_no_quota() {
    let mut outbound = connected(1);
    outbound.direct(delivery(1, AtLeastOnce)).unwrap();
    assert!(!outbound.has_plain());
    enqueue_all(&mut outbound, [delivery(2, AtMostOnce), delivery(3, AtLeastOnce)]);
    assert!(outbound.has_plain(), "a newer one waits behind it");
    assert_eq!(sent(&mut outbound), "plain2");
    assert!(!outbound.has_plain());
}

#[test]
fn a_message_expires_in_the_queue_and_never_once_it_was_sent() {
    let mut outbound = connected(10);
    enqueue_all(&mut outbound, [expiring(1, AtLeastOnce, 1_001), expiring(2, ExactlyOnce, 1_001)]);
    assert_eq!(sent(&mut outbound), "1:1 2:2");
    enqueue_all(&mut outbound, [expiring(3, AtLeastOnce, 1_000), delivery(4, AtLeastOnce)]);
    assert_eq!(sent(&mut outbound), "expired3 3:4");
    outbound.disconnect();
    outbound.connect(10);
    let late = Time::from_millis(1 << 40);
    assert!(matches!(outbound.next(late), Next::Publish { dup: true, .. }));
    assert!(matches!(outbound.next(late), Next::Publish { dup: true, .. }));
}

#[test]
fn a_resumed_session_repeats_what_is_open_before_anything_new() {
    let mut outbound = connected(10);
    for n in 1..=4 {
        outbound.direct(delivery(n, if n == 2 { ExactlyOnce } else { AtLeastOnce })).unwrap();
    }
    outbound.pubrec(id(2), Reason::Success);
    outbound.puback(id(3), Reason::Success);
    outbound.disconnect();
    outbound.connect(10);
    assert!(outbound.direct(delivery(6, AtLeastOnce)).is_err(), "what is open goes first");
    enqueue_all(&mut outbound, [delivery(5, AtLeastOnce)]);
    assert_eq!(sent(&mut outbound), "1:1+ 4:4+ rel2 7:5");
    outbound.connect(10);
    assert_eq!(sent(&mut outbound), "1:1+ 4:4+ rel2 7:5+");
}

#[test]
fn pubrels_are_repeated_in_the_order_of_their_pubrecs() {
    let mut outbound = connected(10);
    for n in 1..=3 {
        outbound.direct(delivery(n, ExactlyOnce)).unwrap();
    }
    for released in [3, 1, 2] {
        outbound.pubrec(id(released), Reason::Success);
    }
    outbound.connect(10);
    assert_eq!(sent(&mut outbound), "rel3 rel1 rel2");
}

#[test]
fn a_smaller_window_repeats_piece_by_piece_and_pubrel_does_not_wait() {
    let mut outbound = connected(10);
    for n in 1..=4 {
        outbound.direct(delivery(n, ExactlyOnce)).unwrap();
    }
    outbound.pubrec(id(1), Reason::Success);
    outbound.connect(2);
    assert_eq!(outbound.quota(), 1, "a message that the client holds counts");
    assert_eq!(sent(&mut outbound), "2:2+ rel1");
    enqueue_all(&mut outbound, [delivery(9, AtMostOnce)]);
    assert!(outbound.pubcomp(id(1)));
    assert_eq!(sent(&mut outbound), "3:3+");
    outbound.pubrec(id(2), Reason::QuotaExceeded);
    assert_eq!(sent(&mut outbound), "4:4+ plain9");
}

#[test]
fn an_acknowledgement_for_what_was_not_yet_repeated_counts() {
    let mut outbound = connected(10);
    for n in 1..=3 {
        outbound.direct(delivery(n, if n == 2 { ExactlyOnce } else { AtLeastOnce })).unwrap();
    }
    outbound.connect(1);
    assert_eq!(sent(&mut outbound), "1:1+");
    assert!(matches!(outbound.pubrec(id(2), Reason::Success), Recorded::Release(_)));
    assert!(matches!(outbound.puback(id(3), Reason::Success), Acked::Delivered(_)));
    outbound.check();
    assert_eq!(sent(&mut outbound), "", "the PUBREL was the answer to PUBREC");
    outbound.puback(id(1), Reason::Success);
    assert!(outbound.pubcomp(id(2)));
    assert!(outbound.is_empty());
}

#[test]
fn an_identifier_that_is_never_acknowledged_does_not_block_the_others() {
    let mut outbound = connected(10);
    let stuck = outbound.direct(delivery(0, AtLeastOnce)).unwrap();
    for n in 1..=100_000 {
        let id = outbound.direct(delivery(n, AtLeastOnce)).unwrap();
        assert_ne!(id, stuck);
        assert!(matches!(outbound.puback(id, Reason::Success), Acked::Delivered(_)));
    }
    assert_eq!((outbound.inflight_count(), outbound.quota()), (1, 9));
    outbound.check();
}

#[test]
fn the_largest_window_is_acknowledged_in_reverse() {
    let mut outbound = connected(u16::MAX);
    let ids: Vec<_> = (0..65_535).map(|n| outbound.direct(delivery(n, AtLeastOnce)).unwrap()).collect();
    assert!(outbound.direct(delivery(0, AtLeastOnce)).is_err());
    for (n, id) in ids.iter().enumerate().rev() {
        let Acked::Delivered(delivery) = outbound.puback(*id, Reason::Success) else { panic!() };
        assert_eq!(number(&delivery), n as u64);
    }
    assert!(outbound.is_empty());
    outbound.check();
}

#[test]
fn a_message_that_is_too_large_is_over_and_its_place_is_free() {
    let mut outbound = connected(1);
    enqueue_all(&mut outbound, [delivery(1, AtLeastOnce), delivery(2, ExactlyOnce)]);
    assert_eq!(sent(&mut outbound), "1:1");
    assert_eq!(outbound.give_up(id(1)).as_ref().map(number), Some(1));
    assert!(outbound.give_up(id(1)).is_none());
    assert_eq!(sent(&mut outbound), "2:2");
    outbound.pubrec(id(2), Reason::Success);
    assert!(outbound.give_up(id(2)).is_none(), "the client has this one");
    assert_eq!(outbound.inflight_count(), 1);
}

#[test]
fn a_member_that_goes_gives_back_all_but_what_was_sent_with_qos_2() {
    let mut outbound = connected(4);
    let own = delivery(1, AtLeastOnce);
    let sent_ones = [own, shared(2, AtLeastOnce, 7), shared(3, ExactlyOnce, 7), shared(4, AtLeastOnce, 8)];
    enqueue_all(&mut outbound, sent_ones);
    assert_eq!(sent(&mut outbound), "1:1 2:2 3:3 4:4");
    enqueue_all(&mut outbound, [shared(5, ExactlyOnce, 7), delivery(6, AtLeastOnce), shared(7, AtLeastOnce, 8)]);
    let returned = outbound.take_returns(false);
    assert_eq!(returned_numbers(&returned), (vec![2, 4, 5, 7], vec![]));
    outbound.check();
    assert_eq!((outbound.quota(), outbound.copies()), (2, 3));
    assert_eq!(sent(&mut outbound), "6:6");
}

#[test]
fn a_session_that_ends_gives_back_what_may_go_to_others_and_drains_the_rest() {
    let mut outbound = connected(3);
    enqueue_all(&mut outbound, [shared(1, ExactlyOnce, 7), shared(2, AtLeastOnce, 7), delivery(3, ExactlyOnce)]);
    enqueue_all(&mut outbound, [shared(4, ExactlyOnce, 7), delivery(5, AtLeastOnce)]);
    sent(&mut outbound);
    let returned = outbound.take_returns(true);
    assert_eq!(returned_numbers(&returned), (vec![2, 4], vec![1]));
    let drained: Vec<_> = outbound.drain().iter().map(waiting_number).collect();
    assert_eq!(drained, [3, 5]);
    assert_eq!((outbound.is_empty(), outbound.copies(), outbound.queue().bytes()), (true, 0, 0));
    outbound.check();
}

#[test]
fn a_released_message_is_no_copy_any_more() {
    let mut outbound = connected(3);
    let id = outbound.direct(delivery(1, ExactlyOnce)).unwrap();
    outbound.pubrec(id, Reason::Success);
    assert_eq!(outbound.copies(), 0);
    assert!(outbound.drain().is_empty() && outbound.is_empty());
}
