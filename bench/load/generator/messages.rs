//! A run of messages: warm-up, measurement, the wait for what is still on its way, the figures.

use std::time::Duration;

use super::arguments::{Arguments, Extent, Plan, Sessions};
use super::away;
use super::crew::{self, WAIT};
use super::desk::{Desk, latency_histogram};
use super::failure::{Failure, io};
use super::fleet::Fleet;
use super::pace::Pace;
use super::progress::Progress;
use super::publisher::Orders;
use super::report::{Report, report_tls};
use super::watch::{Span, Watch, number, report_memory, seconds};

/// After so long without a delivery or an acknowledgement a run has stalled: what is on its way will not arrive.
const SILENCE_NS_MAX: u64 = 3_000_000_000;

/// How long what is on its way may take when sending has ended.
const SETTLING_NS_MAX: u64 = 60_000_000_000;

/// Why a stretch of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was waited for.
    Reached,
    /// Nothing came for too long.
    Silence,
}

/// A run under way.
pub struct Run<'a> {
    /// Who takes part.
    pub fleet: Fleet,
    /// What is run.
    pub plan: &'a Plan,
    /// Says how far it is.
    pub progress: &'a mut Progress,
}

/// Runs a plan and reports.
pub fn run(arguments: &Arguments, progress: &mut Progress) -> Result<Report, Failure> {
    let plan = arguments.plan().map_err(Failure::Arguments)?;
    if plan.sessions == Sessions::Away {
        return away::run(arguments, &plan, progress);
    }
    let watch = Watch::new(arguments);
    let mut fleet = crew::fleet(arguments, plan.version, plan.qos, crew::publishers(&plan))?;
    crew::gather(&mut fleet, arguments, &crew::parts(&plan), progress)?;
    let before = watch.memory()?;
    let mut run = Run { fleet, plan: &plan, progress };
    let (span, end) = run.measure(&watch)?;
    run.settle()?;
    let after = watch.memory()?;
    let mut report = Report::default();
    report_plan(&mut report, &plan);
    report_tls(&mut report, arguments);
    report_span(&mut report, &plan, &span);
    report_memory(&mut report, before, after);
    report_latency(&mut report, &run.fleet.desk);
    report_verdict(&mut report, &run.fleet.desk, end);
    run.fleet.close_all();
    if plan.sessions == Sessions::Lasting {
        crew::forget(&mut run.fleet, arguments, &plan, progress)?;
    }
    Ok(report)
}

impl Run<'_> {
    /// Starts the publishers and measures; the load still runs when this returns.
    fn measure(&mut self, watch: &Watch) -> Result<(Span, End), Failure> {
        let started_ns = self.fleet.clock.now_ns();
        let (messages_max, warm_up) = match self.plan.extent {
            Extent::Messages { each } => (each, Duration::ZERO),
            Extent::Time { warm_up, .. } => (u64::MAX, warm_up),
        };
        self.fleet.desk.orders = Some(Orders { pace: self.plan.pace, started_ns, stop_ns: u64::MAX, messages_max });
        self.fleet.desk.call_all();
        let warm_ns = started_ns.saturating_add(nanoseconds(warm_up));
        let mut end = self.advance("warming up", |fleet| fleet.clock.now_ns() >= warm_ns)?;
        if matches!(self.plan.pace, Pace::Fixed(_)) {
            self.fleet.desk.latency = Some(latency_histogram());
        }
        let from = watch.look(&self.fleet)?;
        if end == End::Reached {
            end = match self.plan.extent {
                Extent::Messages { each } => {
                    let sent = each * u64::from(self.plan.publishers);
                    self.advance("measuring", |fleet| fleet.desk.sent() == sent && fleet.desk.all_arrived())?
                }
                Extent::Time { measured, .. } => {
                    let stop_ns = from.at_ns.saturating_add(nanoseconds(measured));
                    self.advance("measuring", |fleet| fleet.clock.now_ns() >= stop_ns)?
                }
            };
        }
        Ok((watch.look(&self.fleet)?.since(&from), end))
    }

    /// Stops the publishers and waits for all that is on its way, acknowledgements included.
    pub fn settle(&mut self) -> Result<(), Failure> {
        let stop_ns = self.fleet.clock.now_ns();
        if let Some(orders) = &mut self.fleet.desk.orders {
            orders.stop_ns = stop_ns;
        }
        let end_ns = stop_ns.saturating_add(SETTLING_NS_MAX);
        // Silence says as much as completeness here: the books know what is missing.
        self.advance("settling", |fleet| fleet.desk.is_settled() || fleet.clock.now_ns() >= end_ns)?;
        self.progress.clear();
        Ok(())
    }

    /// Turns until `until` holds, or nothing has arrived for too long.
    pub fn advance(&mut self, doing: &str, until: impl Fn(&Fleet) -> bool) -> Result<End, Failure> {
        let heard = |fleet: &Fleet| fleet.desk.tally.deliveries + fleet.desk.tally.acknowledged;
        let mut heard_count = heard(&self.fleet);
        let mut heard_ns = self.fleet.clock.now_ns();
        let is_fixed = matches!(self.plan.pace, Pace::Fixed(_));
        while !until(&self.fleet) {
            if is_fixed {
                self.fleet.desk.call_all(); // time passes for all of them
            }
            self.fleet.turn(WAIT).map_err(io("epoll"))?;
            let now_ns = self.fleet.desk.now_ns;
            if heard(&self.fleet) > heard_count {
                (heard_count, heard_ns) = (heard(&self.fleet), now_ns);
            } else if now_ns.saturating_sub(heard_ns) > SILENCE_NS_MAX {
                return Ok(End::Silence);
            }
            self.progress.show(now_ns, doing, self.fleet.desk.tally.deliveries);
        }
        Ok(End::Reached)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds what was asked for.
pub fn report_plan(report: &mut Report, plan: &Plan) {
    report.text("scenario", plan.scenario.name());
    report.text("mqtt", plan.version_name());
    report.count("qos", plan.qos.bits());
    report.count("payload_bytes", plan.payload_len as u64);
    report.count("publishers", plan.publishers);
    report.count("subscribers", plan.subscribers);
    match plan.pace {
        Pace::Closed { in_flight } => report.count("in_flight_max", in_flight),
        Pace::Fixed(rate) => report.count("rate_per_s", rate.per_second()),
        Pace::Flood => report.truth("flood", true),
    }
    if let Some(window) = plan.window {
        report.count("window", window);
    }
}

fn report_span(report: &mut Report, plan: &Plan, span: &Span) {
    report.number("seconds", span.seconds);
    report.number("published_per_s", span.sent / span.seconds);
    if plan.sessions == Sessions::Lasting {
        report.number("acknowledged_per_s", span.acknowledged / span.seconds);
        if let Some(written) = span.written {
            report.number("written_bytes_each", written / span.acknowledged);
        }
    }
    report.number("deliveries_per_s", span.deliveries / span.seconds);
    if let Some(broker_s) = span.broker_s.filter(|_| span.deliveries > 0.0) {
        report.number("broker_cpu_s_per_million", broker_s / span.deliveries * 1e6);
    }
    span.report_cpu(report);
}

fn report_latency(report: &mut Report, desk: &Desk) {
    let Some(latency) = desk.latency.as_ref().filter(|latency| !latency.is_empty()) else {
        return;
    };
    for (name, quantile) in [
        ("latency_p50_us", 0.5),
        ("latency_p90_us", 0.9),
        ("latency_p99_us", 0.99),
        ("latency_p999_us", 0.999),
        ("latency_max_us", 1.0),
    ] {
        report.number(name, seconds(latency.value_at_quantile(quantile)) * 1e6);
    }
}

/// Adds what the books say.
pub fn report_verdict(report: &mut Report, desk: &Desk, end: End) {
    let (verdict, tally) = (desk.verdict(), desk.tally);
    report.count("sent", desk.sent());
    report.count("deliveries", tally.deliveries);
    report.number("delivered_share", number(tally.deliveries) / number(desk.expected().max(1)));
    report.count("lost", verdict.lost);
    report.count("duplicates", verdict.duplicates);
    report.count("reordered", verdict.reordered);
    for (name, count) in [
        ("unacknowledged", desk.unacknowledged()),
        ("foreign", tally.foreign),
        ("refused", tally.refused),
        ("wrong_packets", tally.wrong),
        ("clients_gone", tally.gone),
        ("odd_sessions", tally.odd_sessions),
    ] {
        report.count(name, count);
    }
    if let Some((publisher, first)) = desk.first_irregularity() {
        let at =
            format!("publisher {publisher}, subscriber {}: {} came for {}", first.subscriber, first.came, first.due);
        report.text("first_irregularity", at);
    }
    if let Some(reason) = desk.last_word {
        report.text("last_word", reason.name());
    }
    report.truth("stalled", end == End::Silence);
    let odd = tally.foreign + tally.refused + tally.wrong + tally.gone + tally.odd_sessions + desk.unacknowledged();
    report.is_sound = verdict.is_clean() && odd == 0 && end == End::Reached;
}
