//! Runs without messages: what it costs to connect, and what a connection costs that only is there.

use std::time::Duration;

use pregon::mqtt::QoS;

use super::arguments::{Arguments, Scenario};
use super::crew::{self, WAIT};
use super::desk::latency_histogram;
use super::failure::{Failure, io};
use super::fleet::Fleet;
use super::progress::Progress;
use super::report::{Report, median, report_tls};
use super::watch::{Span, Watch, number, report_memory, seconds};

/// How long the broker gets to be ready, to notice that clients have left, or to become quiet; as often as it is busy all the same.
const REST: Duration = Duration::from_millis(500);
/// A broker that uses less than this share of a core has nothing to do.
const CALM_SHARE: f64 = 0.05;
/// A broker that is never calm is waited for so long.
const CALM_NS_MAX: u64 = 10_000_000_000;

/// Connects clients and lets them leave, in rounds.
pub fn connect(arguments: &Arguments, progress: &mut Progress) -> Result<Report, Failure> {
    let watch = Watch::new(arguments);
    let mut fleet = crew::fleet(arguments, arguments.version(), QoS::AtMostOnce, Vec::new())?;
    fleet.desk.latency = Some(latency_histogram());
    let parts = crew::holders(arguments.connections, arguments.subscribe);
    let (mut spans, mut residents) = (Vec::new(), Vec::new());
    calm(&mut fleet, &watch, progress)?;
    let before = watch.memory()?;
    for _ in 0..arguments.rounds {
        let from = watch.look(&fleet)?;
        crew::gather(&mut fleet, arguments, &parts, progress)?;
        spans.push(watch.look(&fleet)?.since(&from));
        fleet.close_all();
        calm(&mut fleet, &watch, progress)?;
        residents.extend(watch.memory()?.map(|memory| number(memory.resident)));
    }
    let mut report = start_report(arguments);
    let each = |what: fn(&Span) -> f64| {
        let clients = f64::from(arguments.connections);
        spans.iter().map(|span| what(span) / clients * 1e6).collect::<Vec<_>>()
    };
    report.number("connects_per_s", 1e6 / median(each(|span| span.seconds)));
    if arguments.pid.is_some() {
        report.number("broker_cpu_us_each", median(each(|span| span.broker_s.unwrap_or(f64::NAN))));
    }
    report.number("load_cpu_us_each", median(each(|span| span.own_s)));
    if let Some(latency) = &fleet.desk.latency {
        report.number("latency_p50_us", seconds(latency.value_at_quantile(0.5)) * 1e6);
        report.number("latency_p99_us", seconds(latency.value_at_quantile(0.99)) * 1e6);
    }
    report_memory(&mut report, before, watch.memory()?);
    report.numbers("resident_after_rounds_bytes", residents);
    finish(&mut report, &fleet);
    Ok(report)
}

/// Connects clients with a subscription each and holds them.
pub fn idle(arguments: &Arguments, progress: &mut Progress) -> Result<Report, Failure> {
    let hold = arguments.measured().map_err(Failure::Arguments)?;
    let watch = Watch::new(arguments);
    let mut fleet = crew::fleet(arguments, arguments.version(), QoS::AtMostOnce, Vec::new())?;
    calm(&mut fleet, &watch, progress)?;
    let before = watch.memory()?;
    crew::gather(&mut fleet, arguments, &crew::holders(arguments.connections, true), progress)?;
    calm(&mut fleet, &watch, progress)?;
    let from = watch.look(&fleet)?;
    rest(&mut fleet, hold, progress)?;
    let span = watch.look(&fleet)?.since(&from);
    let after = watch.memory()?;
    let mut report = start_report(arguments);
    report.number("seconds", span.seconds);
    span.report_cpu(&mut report);
    report_memory(&mut report, before, after);
    if let (Some(before), Some(after)) = (before, after) {
        let growth = number(after.resident) - number(before.resident);
        report.number("bytes_a_connection", growth / f64::from(arguments.connections));
    }
    finish(&mut report, &fleet);
    fleet.close_all();
    Ok(report)
}

/// Serves the sockets for a while, without anything to say.
fn rest(fleet: &mut Fleet, duration: Duration, progress: &mut Progress) -> Result<(), Failure> {
    let until_ns = fleet.clock.now_ns() + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    while fleet.clock.now_ns() < until_ns {
        fleet.turn(WAIT).map_err(io("epoll"))?;
        progress.show(fleet.desk.now_ns, "holding", fleet.len() as u64);
    }
    progress.clear();
    Ok(())
}

/// Rests until the broker has nothing to do.
fn calm(fleet: &mut Fleet, watch: &Watch, progress: &mut Progress) -> Result<(), Failure> {
    let until_ns = fleet.clock.now_ns() + CALM_NS_MAX;
    loop {
        let from = watch.look(fleet)?;
        rest(fleet, REST, progress)?;
        let span = watch.look(fleet)?.since(&from);
        let is_calm = span.broker_s.is_none_or(|busy_s| busy_s < CALM_SHARE * span.seconds);
        if is_calm || fleet.clock.now_ns() >= until_ns {
            return Ok(());
        }
    }
}

fn start_report(arguments: &Arguments) -> Report {
    let mut report = Report::default();
    report.text("scenario", arguments.scenario.name());
    report.text("mqtt", arguments.version_name());
    report_tls(&mut report, arguments);
    report.count("connections", arguments.connections);
    if arguments.scenario == Scenario::Connect {
        report.count("rounds", arguments.rounds);
        report.count("at_once", arguments.at_once);
    }
    report
}

fn finish(report: &mut Report, fleet: &Fleet) {
    let tally = fleet.desk.tally;
    report.count("wrong_packets", tally.wrong);
    report.count("clients_gone", tally.gone);
    report.is_sound = tally.wrong == 0 && tally.gone == 0;
}
