//! Dashboards, alert rules and exported metrics agree, and Prometheus' own tool finds nothing to complain of.
#![cfg(feature = "shell")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pregon::ops::http::{Admin, Readiness};
use pregon::ops::names::{Kind, METRICS, Metric};
use pregon::ops::sample::report;
use serde_json::Value;

/// Metrics that no dashboard and no rule shows, and why not.
const EXCUSED: [(&str, &str); 2] = [
    ("process_virtual_memory_bytes", "the allocator reserves address space in advance: the figure says nothing."),
    ("process_threads", "it does not change after the start; it helps who compares two processes by hand."),
];
/// Metrics that Prometheus makes itself.
const FOREIGN: [&str; 1] = ["up"];
/// Labels that Prometheus adds, and the one of a bucket.
const ADDED_LABELS: [&str; 3] = ["job", "instance", "le"];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The dashboards by their path.
fn dashboards() -> BTreeMap<String, Value> {
    let entries = fs::read_dir(root("grafana/dashboards")).expect("there are dashboards");
    let names = entries.map(|entry| entry.expect("it can be read").file_name().into_string().expect("a plain name"));
    let boards = names.map(|name| format!("grafana/dashboards/{name}"));
    boards.map(|path| (path.clone(), serde_json::from_str(&read(&path)).expect("a dashboard is JSON"))).collect()
}

/// Every query, at any depth.
fn collect_queries<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str));
            fields.values().for_each(|field| collect_queries(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_queries(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The queries of panels and annotations.
fn queries(board: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    collect_queries(board, &mut found);
    assert!(found.len() > 20, "only {} queries: were they moved?", found.len());
    found
}

/// The expressions of the alert rules; one that is folded over lines comes as one.
fn alerts() -> Vec<String> {
    let text = read("grafana/alerts.yml");
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim_start().strip_prefix("expr: ") else { continue };
        let mut whole = expression.trim_start_matches(">-").to_string();
        let indent = |line: &str| line.len() - line.trim_start().len();
        while expression == ">-" && lines.peek().is_some_and(|next| indent(next) > indent(line)) {
            whole = whole + " " + lines.next().expect("it was peeked at").trim();
        }
        found.push(whole);
    }
    assert_eq!(found.len(), text.matches("- alert: ").count(), "each rule has an expression");
    found
}

/// The words of a query that stand outside of quotes, each with what follows it.
fn words(query: &str) -> Vec<(&str, &str)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(|letter: char| letter == '"' || is_part(letter)) {
        rest = &rest[start..];
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted.split_once('"').expect("a quote is closed").1;
            continue;
        }
        let end = rest.find(|letter: char| !is_part(letter)).unwrap_or(rest.len());
        found.push((&rest[..end], &rest[end..]));
        rest = &rest[end..];
    }
    found
}

/// The metric whose series have this name.
fn metric_of(series: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| {
        let part = series.strip_prefix(metric.name);
        part == Some("")
            || (metric.kind == Kind::Histogram
                && part.is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part)))
    })
}

/// The series that a query reads, each with its selector.
fn series(query: &str) -> Vec<(&str, &str)> {
    let ours = |name: &str| name.starts_with("pregon_") || name.starts_with("process_");
    let selector =
        |rest: &'_ str| -> usize { if rest.starts_with('{') { rest.find('}').expect("it closes") + 1 } else { 0 } };
    let words = words(query).into_iter().filter(|(name, _)| ours(name));
    words.map(|(name, rest)| (name, &rest[..selector(rest)])).collect()
}

#[test]
fn every_series_of_a_query_is_exported_and_every_metric_is_shown_or_excused() {
    let boards = dashboards();
    let alerts = alerts();
    let queries: Vec<&str> = boards.values().flat_map(queries).chain(alerts.iter().map(String::as_str)).collect();
    let mut shown = BTreeSet::new();
    for query in queries {
        for (name, _) in series(query) {
            let metric = metric_of(name).unwrap_or_else(|| panic!("`{name}` is not exported: {query}"));
            shown.insert(metric.name);
        }
    }
    let exported: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let excused: BTreeSet<&str> = EXCUSED.iter().map(|(name, _)| *name).collect();
    assert!(EXCUSED.iter().all(|(_, reason)| reason.ends_with('.')), "a reason is a sentence");
    let hidden: Vec<_> = exported.difference(&shown).copied().collect();
    assert_eq!(hidden, excused.into_iter().collect::<Vec<_>>(), "neither shown nor excused, or excused for nothing");
}

#[test]
fn every_query_of_a_dashboard_asks_for_the_chosen_job_and_instance() {
    for (path, board) in dashboards() {
        for query in queries(&board) {
            for (name, selector) in series(query) {
                let is_chosen = selector.contains(r#"job=~"$job""#) && selector.contains(r#"instance=~"$instance""#);
                assert!(is_chosen, "{path}: {name}{selector} in {query}");
            }
            assert!(!query.contains("rate(") || query.contains("[$__rate_interval]"), "{path}: {query}");
        }
    }
}

#[test]
fn an_alert_keeps_the_labels_that_name_the_broker() {
    for query in alerts() {
        let ours: Vec<_> = series(&query);
        let is_foreign = FOREIGN.iter().any(|name| words(&query).iter().any(|(word, _)| word == name));
        assert!(!ours.is_empty() || is_foreign, "{query}");
        for aggregation in ["sum", "max", "avg", "min", "count"] {
            for (_, rest) in words(&query).iter().filter(|(word, _)| *word == aggregation) {
                assert!(rest.starts_with(" by (job, instance"), "{aggregation} without `by (job, instance`: {query}");
            }
        }
    }
}

#[test]
fn a_query_names_only_labels_that_its_metrics_have() {
    let boards = dashboards();
    let alerts = alerts();
    let queries = boards.values().flat_map(queries).chain(alerts.iter().map(String::as_str));
    for query in queries {
        let metrics = series(query).into_iter().filter_map(|(name, _)| metric_of(name));
        let labels: BTreeSet<&str> = metrics.flat_map(|metric| metric.reading.labels()).chain(ADDED_LABELS).collect();
        for group in query.split(" by (").skip(1).chain(query.split(" on (").skip(1)) {
            let named = group.split_once(')').expect("a group closes").0.split(", ");
            named.for_each(|label| assert!(labels.contains(label), "`{label}` is no label of what is read: {query}"));
        }
        for (name, selector) in series(query) {
            let of_metric = metric_of(name).map(|metric| metric.reading.labels()).unwrap_or_default();
            for (word, rest) in words(selector).into_iter().filter(|(_, rest)| rest.starts_with('=')) {
                assert!(of_metric.contains(&word) || ADDED_LABELS.contains(&word), "{name}{{{word}{rest}: {query}");
            }
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_source() {
    for (path, board) in dashboards() {
        let panels = board["panels"].as_array().expect("a dashboard has panels");
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().expect("an id is a number")).collect();
        assert_eq!(ids.len(), panels.len(), "{path}: ids are unique");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = panel["title"].as_str().expect("a panel has a title");
            let description = panel["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{path}: {title}: {description:?}");
            let unit = ["/fieldConfig/defaults/unit", "/options/yAxis/unit"].iter().find_map(|at| panel.pointer(at));
            assert!(unit.is_some(), "{path}: {title} has no unit");
            let targets = panel["targets"].as_array().expect("a panel asks");
            let is_chosen = |target: &Value| target["datasource"]["uid"] == "${datasource}";
            assert!(!targets.is_empty() && targets.iter().all(is_chosen), "{path}: {title}");
        }
        let variables = board["templating"]["list"].as_array().expect("a dashboard has variables");
        let names: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
        assert_eq!(names[..3], ["datasource", "job", "instance"], "{path}");
    }
}

#[test]
fn panels_lie_on_the_grid_and_none_covers_another() {
    for (path, board) in dashboards() {
        let mut taken = BTreeSet::new();
        for panel in board["panels"].as_array().expect("a dashboard has panels") {
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a whole number"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{path}: {}", panel["title"]);
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{path}: {} covers another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn settings_that_a_person_is_sent_to_exist() {
    let example: toml::Table = read("src/manual/pregon.toml").parse().expect("the example is TOML");
    let files = ["grafana/alerts.yml", "grafana/README.md", "tuning/README.md", "tuning/pregon.service"];
    let mut named = 0;
    for (path, text) in files.map(|path| (path, read(path))) {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || ['_', '.'].contains(&letter);
        for word in text.split(|letter: char| !is_part(letter)).map(|word| word.trim_end_matches('.')) {
            let Some((section, key)) = word.split_once('.').filter(|(_, key)| *key != "conf") else { continue };
            let Some(section) = example.get(section).and_then(toml::Value::as_table) else { continue };
            named += 1;
            assert!(section.contains_key(key), "{path}: there is no setting {word}");
        }
    }
    assert!(named >= 10, "only {named} settings: are they written otherwise?");
}

/// A scrape of the operator's door, in this form.
fn scrape(accept: &str) -> String {
    let reports = || {
        let mut busy = report(0);
        busy.shell.turn_length.note_ns(30_000);
        busy.shell.busy_ns = 30_000;
        busy.stats.publishes_received = 5;
        vec![busy, report(1)]
    };
    let door = Admin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), reports, Readiness::new(2)).expect("it opens");
    let mut guest = TcpStream::connect(door.address()).expect("the door listens");
    write!(guest, "GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n").expect("the door hears");
    let mut answer = String::new();
    guest.read_to_string(&mut answer).expect("the answer ends");
    answer.split_once("\r\n\r\n").expect("the answer has a head").1.to_owned()
}

#[test]
fn a_scrape_holds_every_metric_of_the_table() {
    for accept in ["text/plain", "application/openmetrics-text"] {
        let text = scrape(accept);
        let names: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| metric_of(line.split(['{', ' ']).next()?))
            .map(|metric| metric.name)
            .collect();
        assert_eq!(names, METRICS.iter().map(|metric| metric.name).collect(), "{accept}");
    }
}

/// Runs a program of somebody else with this on its standard input. Where it is not installed the test says so and ends,
/// unless `PREGON_FOREIGN=required`, as `tests/foreign/promtool` has it.
#[expect(clippy::print_stdout, reason = "whoever reads the output of the tests learns what was left out")]
fn foreign(program: &str, arguments: &[&str], input: &str) {
    let is_required = std::env::var_os("PREGON_FOREIGN").is_some_and(|word| word == "required");
    let command = Command::new(program)
        .args(arguments)
        .current_dir(root("."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match command {
        Ok(child) => child,
        Err(error) => {
            assert!(!is_required, "{program} does not start: {error}");
            println!("skipped: {program} is not installed; tests/foreign/promtool installs and runs it");
            return;
        }
    };
    let mut stdin = child.stdin.take().expect("it was piped");
    // One that does not read its input has something to say.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !is_required && said.contains("No module named") {
        println!("skipped: {program} lacks a module; tests/foreign/promtool installs it");
        return;
    }
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

fn promtool(arguments: &[&str], input: &str) {
    foreign("promtool", arguments, input);
}

#[test]
fn the_reference_parser_of_openmetrics_takes_the_scrape() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        families = list(parse(sys.stdin.read()))\n\
        assert len(families) == int(sys.argv[1]), f'{len(families)} families'\n";
    let families = METRICS.len().to_string();
    foreign("python3", &["-c", PARSE, &families], &scrape("application/openmetrics-text"));
}

#[test]
fn promtool_takes_the_scrape() {
    promtool(&["check", "metrics"], &scrape("text/plain"));
}

#[test]
fn promtool_takes_the_alert_rules() {
    promtool(&["check", "rules", "grafana/alerts.yml"], "");
}

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    promtool(&["test", "rules", "tests/fixtures/alerts.yml"], "");
}

#[test]
fn promtool_takes_the_example_configuration() {
    promtool(&["check", "config", "--syntax-only", "grafana/provisioning/prometheus.yml"], "");
}
