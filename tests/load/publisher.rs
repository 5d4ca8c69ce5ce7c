//! How many messages a publisher may send, and the time that they bear.

use pregon::mqtt::{QoS, Version};

use crate::generator::ledger::Audience;
use crate::generator::pace::{Pace, Rate};
use crate::generator::packets::{Delivery, Template};
use crate::generator::publisher::{Orders, Publisher};
use crate::generator::window::Window;

fn publisher(window: Option<u16>) -> Publisher {
    let qos = if window.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let template = Template::new(Version::V311, "load/0", qos, 64, 0);
    Publisher::new(0, template, Audience::everyone(1), window.map(Window::new))
}

fn orders(pace: Pace) -> Orders {
    Orders { pace, started_ns: 1_000, stop_ns: u64::MAX, messages_max: u64::MAX }
}

#[test]
fn a_closed_loop_sends_as_much_as_arrives() {
    let (mut publisher, orders) = (publisher(None), orders(Pace::Closed { in_flight: 10 }));
    assert_eq!(publisher.allowance(&orders, 0), 10);
    publisher.write(10, &orders, 0, usize::MAX, &mut Vec::new());
    assert_eq!(publisher.allowance(&orders, 0), 0);
    (0..4).for_each(|sequence| publisher.audience.note(0, sequence));
    assert_eq!(publisher.allowance(&orders, 0), 4);
}

#[test]
fn a_window_holds_back_even_a_flood() {
    let (mut publisher, orders) = (publisher(Some(3)), orders(Pace::Flood));
    assert_eq!(publisher.allowance(&orders, 0), 3);
    publisher.write(2, &orders, 0, usize::MAX, &mut Vec::new());
    assert_eq!(publisher.allowance(&orders, 0), 1);
}

#[test]
fn a_fixed_rate_stamps_the_time_of_the_plan_however_late_it_is() {
    let (mut publisher, orders) = (publisher(None), orders(Pace::Fixed(Rate::new(1_000_000, 1))));
    let late_ns = orders.started_ns + 2_000;
    assert_eq!(publisher.allowance(&orders, late_ns), 3);
    let mut out = Vec::new();
    publisher.write(3, &orders, late_ns, usize::MAX, &mut out);
    let times = out.chunks(out.len() / 3).map(|packet| {
        let delivery = Delivery::read(Version::V311, packet[0], &packet[2..]).unwrap();
        delivery.stamp.sent_ns
    });
    assert_eq!(times.collect::<Vec<_>>(), [1_000, 2_000, 3_000]);
}

#[test]
fn what_was_due_before_the_stop_still_leaves_and_a_loop_ends_at_once() {
    let mut orders = orders(Pace::Fixed(Rate::new(1_000_000, 1)));
    orders.stop_ns = orders.started_ns + 2_000;
    assert_eq!(publisher(None).allowance(&orders, 1_000_000), 3);
    orders.pace = Pace::Closed { in_flight: 10 };
    assert_eq!(publisher(None).allowance(&orders, orders.stop_ns), 0);
}

#[test]
fn no_more_is_sent_than_was_ordered() {
    let (mut publisher, mut orders) = (publisher(None), orders(Pace::Flood));
    orders.messages_max = 5;
    publisher.write(2, &orders, 0, usize::MAX, &mut Vec::new());
    assert_eq!(publisher.allowance(&orders, 0), 3);
}
