//! What came of a storm.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// The figures of one wave of clients.
#[derive(Debug)]
pub struct Figures {
    /// Clients that should come.
    pub clients: u64,
    /// Clients that have.
    pub back: u64,
    /// Of these, the ones whose sessions were there.
    pub present: u64,
    /// Whether sessions should be there.
    pub expects_sessions: bool,
    /// How long it took until the last one was back.
    pub took_ns: u64,
    /// From a client's `connect` to its CONNACK with success.
    pub connack: Histogram<u64>,
    /// From the beginning of the storm to each client's CONNACK with success.
    pub return_time: Histogram<u64>,
    /// The latest CONNACK of any kind since its `connect`.
    pub latest_ns: u64,
    /// CONNACKs of any kind behind the deadline.
    pub late: u64,
    /// Attempts that failed, by what the client saw.
    pub failures: BTreeMap<String, u64>,
    /// Handshakes that have resumed a session of TLS.
    pub resumed: u64,
    /// Messages that should have come, and did not.
    pub lost: u64,
    /// Messages that came again.
    pub doubled: u64,
    /// Processor time of the clients.
    pub own_s: f64,
}

impl Figures {
    /// Nothing has happened yet.
    pub fn new(clients: u64, expects_sessions: bool) -> Self {
        let histogram = || {
            let mut histogram = Histogram::new(3).expect("three digits are allowed");
            histogram.auto(true);
            histogram
        };
        Self {
            clients,
            back: 0,
            present: 0,
            expects_sessions,
            took_ns: 0,
            connack: histogram(),
            return_time: histogram(),
            latest_ns: 0,
            late: 0,
            failures: BTreeMap::new(),
            resumed: 0,
            lost: 0,
            doubled: 0,
            own_s: 0.0,
        }
    }

    /// One more attempt has failed.
    pub fn failed(&mut self, why: impl Into<String>) {
        *self.failures.entry(why.into()).or_default() += 1;
    }

    /// Whether everybody is back in time, with a session, and has everything.
    pub fn is_sound(&self) -> bool {
        let present = if self.expects_sessions { self.clients } else { 0 };
        self.back == self.clients && self.present == present && self.late == 0 && self.lost == 0
    }

    /// A line for each figure.
    pub fn text(&self, wave: &str) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            writeln!(text, "{wave:<8} {name:<26} {value}").expect("a string takes everything");
        };
        line("clients back", format!("{} of {}", self.back, self.clients));
        line("sessions present", self.present.to_string());
        line("seconds until all are back", seconds(self.took_ns));
        for (name, histogram) in [("CONNACK after connect", &self.connack), ("back after the cut", &self.return_time)] {
            let [p50, p99] = [0.5, 0.99].map(|quantile| seconds(histogram.value_at_quantile(quantile)));
            line(name, format!("p50 {p50} p99 {p99} latest {}", seconds(histogram.max())));
        }
        line("latest CONNACK of any kind", seconds(self.latest_ns));
        line("CONNACKs behind deadline", self.late.to_string());
        line("TLS sessions resumed", self.resumed.to_string());
        line("messages lost, doubled", format!("{}, {}", self.lost, self.doubled));
        line("CPU s of the clients", format!("{:.2}", self.own_s));
        for (why, count) in &self.failures {
            line("attempts failed", format!("{count} {why}"));
        }
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn seconds(ns: u64) -> String {
    format!("{:.3}", ns as f64 / 1e9)
}
