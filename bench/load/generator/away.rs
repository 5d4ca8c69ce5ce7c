//! A run in which subscribers are away: their sessions are filled, then they come back and get what has waited for them.

use super::arguments::{Arguments, Extent, Plan};
use super::crew;
use super::failure::Failure;
use super::messages::{End, Run, report_plan, report_verdict};
use super::packets::Session;
use super::progress::Progress;
use super::publisher::Orders;
use super::report::Report;
use super::watch::{Span, Watch, report_memory};

/// Runs a plan and reports.
pub fn run(arguments: &Arguments, plan: &Plan, progress: &mut Progress) -> Result<Report, Failure> {
    let watch = Watch::new(arguments);
    let mut fleet = crew::fleet(arguments, plan.version, plan.qos, crew::publishers(plan))?;
    crew::gather(&mut fleet, arguments, &crew::subscribers(plan, Session::Lasting), progress)?;
    fleet.close_all();
    crew::gather(&mut fleet, arguments, &crew::senders(plan), progress)?;
    let before = watch.memory()?;
    let mut run = Run { fleet, plan, progress };
    let empty = watch.look(&run.fleet)?;
    let mut end = store(&mut run)?;
    let full = watch.look(&run.fleet)?;
    let stored = watch.memory()?;
    // The way back is a part of the drain: what waits for a subscriber comes right behind its CONNACK.
    crew::gather(&mut run.fleet, arguments, &crew::subscribers(plan, Session::Resumed), run.progress)?;
    if end == End::Reached {
        end = run.advance("draining", |fleet| fleet.desk.all_arrived())?;
    }
    let drained = watch.look(&run.fleet)?;
    run.settle()?;
    let mut report = Report::default();
    report_plan(&mut report, plan);
    report_spans(&mut report, &full.since(&empty), &drained.since(&full));
    if let (Some(before), Some(stored)) = (before, stored) {
        report.count("resident_stored_bytes", stored.resident.saturating_sub(before.resident));
    }
    report_memory(&mut report, before, watch.memory()?);
    report_verdict(&mut report, &run.fleet.desk, end);
    run.fleet.close_all();
    crew::forget(&mut run.fleet, arguments, plan, run.progress)?;
    Ok(report)
}

/// Publishes everything, and waits until it is acknowledged.
fn store(run: &mut Run<'_>) -> Result<End, Failure> {
    let Extent::Messages { each: messages_max } = run.plan.extent else {
        unreachable!("whoever is away is told how many messages come");
    };
    let sent = messages_max * u64::from(run.plan.publishers);
    let started_ns = run.fleet.clock.now_ns();
    run.fleet.desk.orders = Some(Orders { pace: run.plan.pace, started_ns, stop_ns: u64::MAX, messages_max });
    run.fleet.desk.call_all();
    run.advance("storing", |fleet| fleet.desk.sent() == sent && fleet.desk.unacknowledged() == 0)
}

fn report_spans(report: &mut Report, store: &Span, drain: &Span) {
    report.number("store_s", store.seconds);
    report.number("acknowledged_per_s", store.acknowledged / store.seconds);
    report.number("drain_s", drain.seconds);
    report.number("drained_per_s", drain.deliveries / drain.seconds);
    if let (Some(store_s), Some(drain_s)) = (store.broker_s, drain.broker_s) {
        report.number("store_cpu_s_per_million", store_s / store.acknowledged * 1e6);
        report.number("drain_cpu_s_per_million", drain_s / drain.deliveries * 1e6);
        report.number("broker_cpu_s_per_million", (store_s + drain_s) / drain.deliveries * 1e6);
        report.number("broker_cpu_share", (store_s + drain_s) / (store.seconds + drain.seconds));
    }
    report.number("load_cpu_share", (store.own_s + drain.own_s) / (store.seconds + drain.seconds));
    if let (Some(store_bytes), Some(drain_bytes)) = (store.written, drain.written) {
        report.number("store_written_bytes_each", store_bytes / store.acknowledged);
        report.number("drain_written_bytes_each", drain_bytes / drain.deliveries);
    }
}
