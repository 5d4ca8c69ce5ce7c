//! A publisher: how many messages it may send now, and their bytes.

use super::ledger::Audience;
use super::pace::Pace;
use super::packets::Template;
use super::window::Window;

/// What all publishers of a run go by.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    /// What makes them send.
    pub pace: Pace,
    /// When the plan started, in nanoseconds.
    pub started_ns: u64,
    /// When it ends: what is due by then still leaves, however late it is.
    pub stop_ns: u64,
    /// Messages that each of them sends in all.
    pub messages_max: u64,
}

/// One publisher. It says what to send; its link takes the bytes.
#[derive(Clone, Debug)]
pub struct Publisher {
    number: u32,
    template: Template,
    /// Who hears its messages, and what was heard.
    pub audience: Audience,
    /// What the broker has not acknowledged; none at quality of service 0.
    pub window: Option<Window>,
    /// Messages that were handed to the link.
    pub sent: u64,
}

impl Publisher {
    /// The publisher of this number.
    pub fn new(number: u32, template: Template, audience: Audience, window: Option<Window>) -> Self {
        Publisher { number, template, audience, window, sent: 0 }
    }

    /// How many messages may leave now.
    #[inline]
    pub fn allowance(&self, orders: &Orders, now_ns: u64) -> u64 {
        let by_pace = match orders.pace {
            Pace::Closed { .. } | Pace::Flood if now_ns >= orders.stop_ns => 0,
            Pace::Closed { in_flight } => in_flight.saturating_sub(self.sent - self.audience.arrived()),
            Pace::Fixed(rate) => {
                let due = rate
                    .due_count(u64::from(self.number), now_ns.min(orders.stop_ns).saturating_sub(orders.started_ns));
                due.saturating_sub(self.sent)
            }
            Pace::Flood => u64::MAX,
        };
        let by_window = self.window.as_ref().map_or(u64::MAX, |window| window.free_count() as u64);
        by_pace.min(by_window).min(orders.messages_max.saturating_sub(self.sent))
    }

    /// Appends messages: `count` of them, or fewer if `bytes_max` is reached before. It was allowed.
    #[inline]
    pub fn write(&mut self, count: u64, orders: &Orders, now_ns: u64, bytes_max: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            let sent_ns = match orders.pace {
                Pace::Fixed(rate) => orders.started_ns + rate.due_ns(u64::from(self.number), self.sent),
                Pace::Closed { .. } | Pace::Flood => now_ns,
            };
            let packet_id = self.window.as_mut().map_or(0, Window::publish);
            self.template.append(self.sent, sent_ns, packet_id, out);
            self.sent += 1;
            if out.len() >= bytes_max {
                break;
            }
        }
    }
}
