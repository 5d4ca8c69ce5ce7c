//! What the shards said last, kept for a moment: a storm of scrapes costs the shards one report.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::exposition::{Form, render};
use super::names::Scrape;
use super::process::Process;
use crate::shell::report::Report;

/// So long an answer serves others, too.
const FRESH: Duration = Duration::from_millis(250);

/// Asks every shard; those that do not answer in time are missing.
pub type Ask = dyn Fn() -> Vec<Report> + Send + Sync;

/// The one place that asks shards for reports. Whoever comes while it asks waits for the same answer.
pub struct Scrapes {
    ask: Box<Ask>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    shards: usize,
    last: Mutex<Option<Answer>>,
}

/// What was heard, and how it reads in each form that somebody wanted.
struct Answer {
    at: Instant,
    reports: Vec<Report>,
    prometheus: Option<Arc<str>>,
    open_metrics: Option<Arc<str>>,
}

impl Scrapes {
    /// One that asks so many shards.
    pub fn new(
        shards: usize,
        ask: impl Fn() -> Vec<Report> + Send + Sync + 'static,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Self {
        Self { ask: Box::new(ask), clock: Box::new(clock), shards, last: Mutex::new(None) }
    }

    /// The metrics as text.
    pub fn text(&self, form: Form) -> Arc<str> {
        self.with_fresh(|answer| {
            let Answer { reports, prometheus, open_metrics, .. } = answer;
            let text = match form {
                Form::Prometheus => prometheus,
                Form::OpenMetrics => open_metrics,
            };
            let render = || {
                let process = Process::read();
                render(&Scrape { reports, shards: self.shards, process: &process }, form).into()
            };
            Arc::clone(text.get_or_insert_with(render))
        })
    }

    /// How many shards answer.
    pub fn answering(&self) -> usize {
        self.with_fresh(|answer| answer.reports.len())
    }

    fn with_fresh<T>(&self, read: impl FnOnce(&mut Answer) -> T) -> T {
        let mut last = self.last.lock().expect("a panic ends the process");
        let is_fresh = |answer: &Answer| (self.clock)().saturating_duration_since(answer.at) < FRESH;
        let answer = last.take().filter(is_fresh).unwrap_or_else(|| {
            let reports = (self.ask)();
            Answer { at: (self.clock)(), reports, prometheus: None, open_metrics: None }
        });
        read(last.insert(answer))
    }
}

impl fmt::Debug for Scrapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrapes").field("shards", &self.shards).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::super::http::now;
    use super::super::sample::report;
    use super::*;

    /// Scrapes of two shards under a clock that stands until it is moved; counts how often they are asked.
    fn scrapes(asked: &Arc<AtomicUsize>, ms: &Arc<AtomicU64>) -> Scrapes {
        let (asked, ms, start) = (Arc::clone(asked), Arc::clone(ms), now());
        let ask = move || {
            let mut report = report(0);
            report.stats.takeovers = asked.fetch_add(1, Ordering::Relaxed) as u64;
            vec![report]
        };
        Scrapes::new(2, ask, move || start + Duration::from_millis(ms.load(Ordering::Relaxed)))
    }

    #[test]
    fn a_storm_asks_the_shards_once_and_again_when_the_answer_is_old() {
        let (asked, ms) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let scrapes = scrapes(&asked, &ms);
        let first = scrapes.text(Form::Prometheus);
        ms.store(249, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&first, &scrapes.text(Form::Prometheus)), "the text is kept as well");
        scrapes.text(Form::OpenMetrics);
        assert_eq!((scrapes.answering(), asked.load(Ordering::Relaxed)), (1, 1));
        ms.store(250, Ordering::Relaxed);
        assert!(scrapes.text(Form::Prometheus).contains("pregon_takeovers_total{shard=\"0\"} 1\n"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
