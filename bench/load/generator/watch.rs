//! Looks at a run from outside: the clock, the counters, the broker's process and the generator's own.

use super::arguments::Arguments;
use super::device::Device;
use super::failure::{Failure, io};
use super::fleet::Fleet;
use super::process::{CpuTime, Memory, Process};
use super::report::Report;

/// Who is looked at.
pub struct Watch {
    broker: Option<Process>,
    device: Option<Device>,
    own: Process,
}

/// What one look saw.
pub struct Look {
    /// On the generator's clock.
    pub at_ns: u64,
    /// Messages sent so far.
    pub sent: u64,
    /// Messages acknowledged so far.
    pub acknowledged: u64,
    /// Messages delivered so far.
    pub deliveries: u64,
    written: Option<u64>,
    broker: Option<CpuTime>,
    own: CpuTime,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// How long it took.
    pub seconds: f64,
    /// Messages sent.
    pub sent: f64,
    /// Messages acknowledged.
    pub acknowledged: f64,
    /// Messages delivered.
    pub deliveries: f64,
    /// Bytes written to the broker's device, if that is known.
    pub written: Option<f64>,
    /// CPU seconds of the broker, if it is watched.
    pub broker_s: Option<f64>,
    /// CPU seconds of the broker's busiest thread, if they are known.
    pub busiest_s: Option<f64>,
    /// CPU seconds of the generator.
    pub own_s: f64,
}

impl Watch {
    /// Looks at the generator, and at what is known of the broker.
    pub fn new(arguments: &Arguments) -> Self {
        let (broker, device) = (arguments.pid.map(Process::new), arguments.device.as_deref().map(Device::new));
        Watch { broker, device, own: Process::new(std::process::id()) }
    }

    /// The broker's memory.
    pub fn memory(&self) -> Result<Option<Memory>, Failure> {
        self.broker.as_ref().map(Process::memory).transpose().map_err(io("--pid"))
    }

    /// Looks now.
    pub fn look(&self, fleet: &Fleet) -> Result<Look, Failure> {
        Ok(Look {
            broker: self.broker.as_ref().map(Process::cpu_time).transpose().map_err(io("--pid"))?,
            own: self.own.cpu_time().map_err(io("own CPU time"))?,
            at_ns: fleet.clock.now_ns(),
            sent: fleet.desk.sent(),
            acknowledged: fleet.desk.tally.acknowledged,
            deliveries: fleet.desk.tally.deliveries,
            written: self.device.as_ref().map(Device::written).transpose().map_err(io("--device"))?,
        })
    }
}

impl Look {
    /// What has happened since.
    pub fn since(&self, earlier: &Look) -> Span {
        let broker = self.broker.as_ref().zip(earlier.broker.as_ref());
        Span {
            seconds: seconds(self.at_ns - earlier.at_ns),
            sent: number(self.sent - earlier.sent),
            acknowledged: number(self.acknowledged - earlier.acknowledged),
            deliveries: number(self.deliveries - earlier.deliveries),
            written: self.written.zip(earlier.written).map(|(now, before)| number(now.saturating_sub(before))),
            broker_s: broker.map(|(now, before)| seconds(now.since_ns(before))),
            busiest_s: broker.and_then(|(now, before)| now.busiest_since_ns(before)).map(seconds),
            own_s: seconds(self.own.since_ns(&earlier.own)),
        }
    }
}

impl Span {
    /// Adds what the broker and the generator used of their cores.
    pub fn report_cpu(&self, report: &mut Report) {
        if let Some(broker_s) = self.broker_s {
            report.number("broker_cpu_s", broker_s);
            report.number("broker_cpu_share", broker_s / self.seconds);
        }
        if let Some(busiest_s) = self.busiest_s {
            report.number("broker_busiest_share", busiest_s / self.seconds);
        }
        report.number("load_cpu_share", self.own_s / self.seconds);
    }
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    number(ns) / 1e9
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "figures are read to four digits")]
pub fn number(count: u64) -> f64 {
    count as f64
}

/// Adds what became of the broker's memory between two looks at it.
pub fn report_memory(report: &mut Report, before: Option<Memory>, after: Option<Memory>) {
    if let (Some(before), Some(after)) = (before, after) {
        report.count("resident_before_bytes", before.resident);
        report.count("resident_after_bytes", after.resident);
        report.count("resident_peak_bytes", after.peak);
        report.count("resident_growth_bytes", after.peak.saturating_sub(before.resident));
    }
}
