//! Reports of the shards as text that Prometheus reads, in its own form and in that of OpenMetrics.
//!
//! Single values go through the recorder of `metrics-exporter-prometheus`, which keeps them, escapes their labels and prints
//! their lines. It takes no histogram that is counted already, no counter with a fraction, knows nothing of OpenMetrics and
//! prints families in the order of a hash table. So the heads of families and their order come from [`METRICS`], a counter
//! with a fraction is kept as a gauge, and the lines of histograms are written here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::names::{Kind, METRICS, Metric, Reading, Scrape, packet_types, seconds};
use crate::engine::stats::DropReason;
use crate::shell::files::tally::{BUCKETS_BYTES, Sizes};
use crate::shell::report::{BUCKETS_US, Histogram, Report};

/// In which words the same is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text of Prometheus, 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Form {
    /// What stands in the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All families of a scrape in the order of the table.
pub fn render(scrape: &Scrape<'_>, form: Form) -> String {
    let recorder = PrometheusBuilder::new().build_recorder(); // a new one: a shard that is silent leaves no old values
    for metric in &METRICS {
        each_value(metric, scrape, |labels, value| keep(&recorder, metric, labels, value));
    }
    let kept = recorder.handle().render();
    let lines = lines_by_name(&kept);
    let mut text = String::with_capacity(kept.len() * 2);
    for metric in &METRICS {
        let single = lines.get(metric.name).map_or(&[][..], Vec::as_slice);
        let counts = counts(metric, scrape);
        if single.is_empty() && counts.is_empty() {
            continue; // the kernel did not tell, or no shard answered
        }
        write_head(metric, form, &mut text);
        for line in single {
            text.push_str(line);
            text.push('\n');
        }
        for (shard, counts) in &counts {
            counts.write(metric.name, shard.as_deref(), &mut text);
        }
    }
    if form == Form::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// The labels of a value, in the order in which they are printed.
type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Fraction(f64),
}

fn keep(recorder: &PrometheusRecorder, metric: &Metric, labels: Labels, value: Value) {
    const METADATA: Metadata<'_> = Metadata::new("pregon", Level::INFO, None);
    let labels: Vec<Label> = labels.into_iter().map(|(name, value)| Label::new(name, value)).collect();
    let key = Key::from_parts(metric.name, labels);
    match (metric.kind, value) {
        (Kind::Counter, Value::Whole(value)) => recorder.register_counter(&key, &METADATA).absolute(value),
        (_, Value::Whole(value)) => recorder.register_gauge(&key, &METADATA).set(as_fraction(value)),
        (_, Value::Fraction(value)) => recorder.register_gauge(&key, &METADATA).set(value),
    }
}

/// Every single value of a metric, with its labels.
fn each_value(metric: &Metric, scrape: &Scrape<'_>, mut set: impl FnMut(Labels, Value)) {
    let one = Value::Whole(1);
    match metric.reading {
        Reading::Broker(read) => set(Vec::new(), Value::Whole(read(scrape))),
        Reading::Process(read) => {
            if let Some(value) = read(scrape.process) {
                set(Vec::new(), Value::Fraction(value));
            }
        }
        Reading::Build(labels) => set(labels.iter().map(|(name, value)| (*name, (*value).to_string())).collect(), one),
        Reading::Durabilities => {
            if let Some(report) = scrape.reports.first() {
                set(vec![("durability", report.promise.durability.word().to_string())], one);
            }
        }
        Reading::LossWindow => {
            if let Some(report) = scrape.reports.first() {
                set(Vec::new(), Value::Fraction(report.promise.loss_window_s));
            }
        }
        Reading::BrokerParts(label, parts) => {
            if let Some(report) = scrape.reports.first() {
                for (name, read) in parts {
                    set(vec![(label, (*name).to_string())], Value::Whole(read(report)));
                }
            }
        }
        Reading::Durations(_) | Reading::BrokerDurations(_) | Reading::Sizes(_) => {}
        Reading::Shard(_)
        | Reading::ShardFraction(_)
        | Reading::PacketTypes(_)
        | Reading::DropReasons(_)
        | Reading::Limits
        | Reading::Parts(..)
        | Reading::Cores => each_value_of_shards(metric, scrape, set),
    }
}

fn each_value_of_shards(metric: &Metric, scrape: &Scrape<'_>, mut set: impl FnMut(Labels, Value)) {
    for report in scrape.reports {
        let shard = || ("shard", report.shard.to_string());
        let mut set_part = |label, part: &str, value| set(vec![shard(), (label, part.to_string())], value);
        match metric.reading {
            Reading::Shard(read) => set(vec![shard()], Value::Whole(read(report))),
            Reading::ShardFraction(read) => set(vec![shard()], Value::Fraction(read(report))),
            Reading::PacketTypes(read) => {
                let counts = read(report);
                for (name, place) in packet_types() {
                    set_part("type", name, Value::Whole(counts[place]));
                }
            }
            Reading::Limits => {
                for (name, times) in report.stats.limits() {
                    set_part("limit", name, Value::Whole(times));
                }
            }
            Reading::DropReasons(read) => {
                for why in DropReason::ALL {
                    set_part("reason", why.name(), Value::Whole(read(&report.stats, why)));
                }
            }
            Reading::Parts(label, parts) => {
                for (name, read) in parts {
                    set_part(label, name, Value::Whole(read(report)));
                }
            }
            Reading::Cores => {
                let core = report.core.map_or_else(|| "none".to_string(), |core| core.to_string());
                set_part("core", &core, Value::Whole(1));
            }
            Reading::Durations(_)
            | Reading::Sizes(_)
            | Reading::Durabilities
            | Reading::LossWindow
            | Reading::Broker(_)
            | Reading::BrokerParts(..)
            | Reading::BrokerDurations(_)
            | Reading::Process(_)
            | Reading::Build(_) => {}
        }
    }
}

/// What falls into buckets, by shard; none where a metric is of something else.
fn counts(metric: &Metric, scrape: &Scrape<'_>) -> Vec<(Option<String>, Counts)> {
    if let Reading::BrokerDurations(read) = metric.reading {
        return scrape.reports.first().map(|report| (None, Counts::of_durations(read(report)))).into_iter().collect();
    }
    let of = |report: &Report| match metric.reading {
        Reading::Durations(read) => Some(Counts::of_durations(read(report))),
        Reading::Sizes(read) => Some(Counts::of_sizes(read(report))),
        Reading::Shard(_)
        | Reading::ShardFraction(_)
        | Reading::PacketTypes(_)
        | Reading::DropReasons(_)
        | Reading::Limits
        | Reading::Parts(..)
        | Reading::Durabilities
        | Reading::LossWindow
        | Reading::Cores
        | Reading::Broker(_)
        | Reading::BrokerParts(..)
        | Reading::BrokerDurations(_)
        | Reading::Process(_)
        | Reading::Build(_) => None,
    };
    scrape.reports.iter().filter_map(|report| Some((Some(report.shard.to_string()), of(report)?))).collect()
}

/// The recorder's lines of values under the name of their metric, in the order of their labels.
fn lines_by_name(kept: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in kept.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let end = line.find(['{', ' ']).expect("a line of the recorder has a value behind its name");
        lines.entry(&line[..end]).or_default().push(line);
    }
    for lines in lines.values_mut() {
        lines.sort_unstable();
    }
    lines
}

fn write_head(metric: &Metric, form: Form, text: &mut String) {
    let (name, kind) = match (form, metric.kind) {
        // OpenMetrics names the family, the older text names the samples and knows no info.
        (Form::OpenMetrics, Kind::Counter) => (metric.family(), "counter"),
        (Form::OpenMetrics, Kind::Info) => (metric.family(), "info"),
        (Form::Prometheus, Kind::Counter) => (metric.name, "counter"),
        (_, Kind::Histogram) => (metric.name, "histogram"),
        (Form::Prometheus, Kind::Info) | (_, Kind::Gauge) => (metric.name, "gauge"),
    };
    put(text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help));
    if let (Form::OpenMetrics, Some(unit)) = (form, metric.unit()) {
        put(text, format_args!("# UNIT {name} {unit}\n"));
    }
}

/// A histogram in base units.
struct Counts {
    /// Each bucket's bound and what fell into it alone; the last one has no bound.
    buckets: Vec<(String, u64)>,
    sum: f64,
}

impl Counts {
    fn of_durations(Histogram { buckets, sum_ns }: &Histogram) -> Self {
        Self::new(BUCKETS_US.map(|us| seconds(us * 1_000)), buckets, seconds(*sum_ns))
    }

    fn of_sizes(Sizes { buckets, sum_bytes }: &Sizes) -> Self {
        Self::new(BUCKETS_BYTES.map(as_fraction), buckets, as_fraction(*sum_bytes))
    }

    fn new(bounds: impl IntoIterator<Item = f64>, buckets: &[u64], sum: f64) -> Self {
        let bounds = bounds.into_iter().map(bound_text).chain(["+Inf".to_string()]);
        Self { buckets: bounds.zip(buckets.iter().copied()).collect(), sum }
    }

    /// Adds the buckets up, as the format wants them.
    fn write(&self, name: &str, shard: Option<&str>, text: &mut String) {
        let (among, alone) = match shard {
            Some(shard) => (format!("shard=\"{shard}\","), format!("{{shard=\"{shard}\"}}")),
            None => (String::new(), String::new()),
        };
        let mut count = 0;
        for (bound, bucket) in &self.buckets {
            count += bucket;
            put(text, format_args!("{name}_bucket{{{among}le=\"{bound}\"}} {count}\n"));
        }
        put(text, format_args!("{name}_sum{alone} {}\n", self.sum));
        put(text, format_args!("{name}_count{alone} {count}\n"));
    }
}

/// A whole number keeps its point, as OpenMetrics wants it.
fn bound_text(bound: f64) -> String {
    if bound.fract() == 0.0 { format!("{bound:.1}") } else { bound.to_string() }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String takes every write");
}

#[expect(clippy::cast_precision_loss, reason = "what is of this moment stays far below 2^53, and so do sums of bytes")]
fn as_fraction(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::super::process::Process;
    use super::super::sample::report;
    use super::*;
    use crate::config::{Durability, Storage};
    use crate::shell::files::writer::State;
    use crate::shell::report::Promise;

    fn text(reports: &[Report], form: Form) -> String {
        let process = Process { cpu_s: Some(1.25), max_fds: Some(f64::INFINITY), ..Process::default() };
        render(&Scrape { reports, shards: 2, process: &process }, form)
    }

    fn sample<'a>(text: &'a str, series: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }

    #[test]
    fn each_number_of_a_report_stands_under_its_shard() {
        let mut second = report(1);
        second.stats.publishes_received = 1 << 60;
        second.stats.packets_received_by_type[3] = 7;
        second.shell.busy_ns = 1_500_000_000;
        second.sizes.memory.retained = 4_711;
        second.stats.ledger.routed = 5;
        second.stats.ledger.drop_copies(DropReason::Slow, 2);
        let text = text(&[report(0), second], Form::Prometheus);
        for (series, value) in [
            ("pregon_publishes_received_total{shard=\"1\"}", "1152921504606846976"),
            ("pregon_packets_received_total{shard=\"1\",type=\"publish\"}", "7"),
            ("pregon_shard_busy_seconds_total{shard=\"1\"}", "1.5"),
            ("pregon_messages_dropped_total{shard=\"1\",reason=\"slow\"}", "2"),
            ("pregon_messages_dropped_total{shard=\"1\",reason=\"expired\"}", "0"),
            ("pregon_messages_queued{shard=\"1\"}", "3"),
            ("pregon_memory_bytes{shard=\"1\",component=\"retained\"}", "4711"),
            ("pregon_shard_info{shard=\"1\",core=\"none\"}", "1"),
            ("pregon_shards_answering", "2"),
            ("process_cpu_seconds_total", "1.25"),
        ] {
            assert_eq!(sample(&text, series), Some(value), "{series}");
        }
    }

    #[test]
    fn buckets_are_added_up_and_end_with_the_count() {
        let mut report = report(0);
        report.shell.turn_length.note_ns(900);
        report.shell.turn_length.note_ns(1_000_000);
        report.shell.turn_length.note_ns(2_000_000_000);
        let text = text(&[report], Form::OpenMetrics);
        let bucket = |bound| sample(&text, &format!("pregon_turn_seconds_bucket{{shard=\"0\",le=\"{bound}\"}}"));
        assert_eq!(["0.000001", "0.0005", "0.001", "1.0", "+Inf"].map(bucket), ["1", "1", "2", "2", "3"].map(Some));
        assert_eq!(sample(&text, "pregon_turn_seconds_sum{shard=\"0\"}"), Some("2.0010009"));
        assert_eq!(sample(&text, "pregon_turn_seconds_count{shard=\"0\"}"), Some("3"));
    }

    #[test]
    fn the_journal_tells_what_it_promises_how_it_stands_and_what_it_wrote() {
        let mut kept = report(0);
        (kept.promise.durability, kept.promise.loss_window_s) = (Durability::Interval, 0.1);
        kept.journal.state = State::Full;
        (kept.journal.tally.refusals, kept.journal.shortages, kept.journal.tally.failures) = (2, 3, 1);
        kept.journal.tally.group_bytes.note(4_096);
        kept.journal.tally.group_bytes.note(5_000);
        kept.shell.promises_stalled_ns = 2_500_000_000;
        kept.replayed.took_ns = 1_500_000_000;
        let told = text(&[kept], Form::Prometheus);
        for (series, value) in [
            ("pregon_storage_info{durability=\"interval\"}", "1"),
            ("pregon_storage_loss_window_seconds", "0.1"),
            ("pregon_journal_state{shard=\"0\",state=\"full\"}", "1"),
            ("pregon_journal_state{shard=\"0\",state=\"open\"}", "0"),
            ("pregon_journal_faults_total{shard=\"0\",cause=\"full\"}", "5"),
            ("pregon_journal_faults_total{shard=\"0\",cause=\"failed\"}", "1"),
            ("pregon_journal_group_bytes_bucket{shard=\"0\",le=\"4096.0\"}", "1"),
            ("pregon_journal_group_bytes_bucket{shard=\"0\",le=\"8192.0\"}", "2"),
            ("pregon_journal_group_bytes_sum{shard=\"0\"}", "9096"),
            ("pregon_journal_stalled_seconds{shard=\"0\"}", "2.5"),
            ("pregon_replay_seconds{shard=\"0\"}", "1.5"),
        ] {
            assert_eq!(sample(&told, series), Some(value), "{series}");
        }
        let mut in_memory = report(0);
        in_memory.promise = Promise::of(&Storage { durability: Durability::Memory, ..Storage::default() });
        let in_memory = text(&[in_memory], Form::Prometheus);
        assert_eq!(sample(&in_memory, "pregon_storage_loss_window_seconds"), Some("inf"));
    }

    #[test]
    fn a_silent_shard_leaves_a_gap_and_no_other_takes_its_number() {
        let text = text(&[report(1)], Form::Prometheus);
        assert_eq!((sample(&text, "pregon_shards"), sample(&text, "pregon_shards_answering")), (Some("2"), Some("1")));
        assert!(!text.contains("shard=\"0\"") && text.contains("shard=\"1\""), "{text}");
    }

    #[test]
    fn both_forms_say_the_same_and_name_families_as_they_should() {
        let [old, open] = [Form::Prometheus, Form::OpenMetrics].map(|form| text(&[report(0), report(1)], form));
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&old), samples(&open));
        assert!(open.contains("# TYPE pregon_shard_busy_seconds counter\n# UNIT pregon_shard_busy_seconds seconds\n"));
        assert!(open.contains("# TYPE pregon_build info\n") && open.ends_with("# EOF\n"), "{open}");
        assert!(old.contains("# TYPE pregon_shard_busy_seconds_total counter\n") && !old.contains("# EOF"), "{old}");
        assert!(old.contains("# TYPE pregon_build_info gauge\n"), "{old}");
    }

    #[test]
    fn families_stand_in_the_order_of_the_table() {
        let text = text(&[report(0)], Form::Prometheus);
        let seen: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let told = |metric: &&Metric| !matches!(metric.reading, Reading::Process(_));
        let table: Vec<&str> = METRICS.iter().filter(told).map(|metric| metric.name).collect();
        assert_eq!(seen[..table.len()], table);
        assert_eq!(seen[table.len()..], ["process_cpu_seconds_total", "process_max_fds"], "what the kernel told");
    }

    #[test]
    fn a_bound_is_written_in_base_units() {
        let bounds = |counts: Counts| -> Vec<String> { counts.buckets.into_iter().map(|(bound, _)| bound).collect() };
        let durations = bounds(Counts::of_durations(&Histogram::default()));
        assert_eq!([0, 8, 9, 15, 16].map(|at| &*durations[at]), ["0.000001", "0.0005", "0.001", "1.0", "+Inf"]);
        let sizes = bounds(Counts::of_sizes(&Sizes::default()));
        assert_eq!([0, 7, 8].map(|at| &*sizes[at]), ["4096.0", "16777216.0", "+Inf"]);
    }
}
