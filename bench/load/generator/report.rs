//! The figures of a run, in the order in which they are read: as a table for people and as JSON for programs.

use std::fmt::Write as _;

use super::arguments::Arguments;

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// A word.
    Text(String),
    /// Something counted.
    Count(u64),
    /// Something measured.
    Number(f64),
    /// The same figure of each round.
    Numbers(Vec<f64>),
    /// Something that is true or not.
    Truth(bool),
}

/// The figures of a run by their names. A name ends in its unit.
#[derive(Clone, Debug, Default)]
pub struct Report {
    figures: Vec<(&'static str, Figure)>,
    /// Whether each message arrived once and in order, and every client stayed.
    pub is_sound: bool,
}

impl Report {
    /// Adds a word.
    pub fn text(&mut self, name: &'static str, text: impl Into<String>) {
        self.figures.push((name, Figure::Text(text.into())));
    }

    /// Adds a count.
    pub fn count(&mut self, name: &'static str, count: impl Into<u64>) {
        self.figures.push((name, Figure::Count(count.into())));
    }

    /// Adds a measurement.
    pub fn number(&mut self, name: &'static str, number: f64) {
        self.figures.push((name, Figure::Number(number)));
    }

    /// Adds the measurements of all rounds.
    pub fn numbers(&mut self, name: &'static str, numbers: Vec<f64>) {
        self.figures.push((name, Figure::Numbers(numbers)));
    }

    /// Adds whether something is so.
    pub fn truth(&mut self, name: &'static str, truth: bool) {
        self.figures.push((name, Figure::Truth(truth)));
    }

    /// A line for each figure.
    pub fn to_table(&self) -> String {
        let width = self.figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut table = String::new();
        for (name, figure) in &self.figures {
            let value = match figure {
                Figure::Text(text) => text.clone(),
                Figure::Count(count) => grouped(*count),
                Figure::Number(number) => short(*number),
                Figure::Numbers(numbers) => numbers.iter().map(|number| short(*number)).collect::<Vec<_>>().join("  "),
                Figure::Truth(truth) => if *truth { "yes" } else { "no" }.to_owned(),
            };
            let line = format!("{:<width$}  {value:>14}", name.replace('_', " "));
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        let fields = self.figures.iter().map(|(name, figure)| {
            let value = match figure {
                Figure::Text(text) => quoted(text),
                Figure::Count(count) => count.to_string(),
                Figure::Number(number) => json_number(*number),
                Figure::Numbers(numbers) => {
                    format!("[{}]", numbers.iter().map(|number| json_number(*number)).collect::<Vec<_>>().join(", "))
                }
                Figure::Truth(truth) => truth.to_string(),
            };
            format!("  {}: {value}", quoted(name))
        });
        format!("{{\n{}\n}}\n", fields.collect::<Vec<_>>().join(",\n"))
    }
}

/// Adds what was spoken below MQTT, if that is TLS.
pub fn report_tls(report: &mut Report, arguments: &Arguments) {
    if let Some(group) = arguments.tls() {
        report.text("tls", format!("TLS 1.3, AES-128-GCM, {}", group.name()));
    }
}

/// A count with a comma at each thousand.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Four digits that matter.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 1_000.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

/// JSON has no word for what is not a number.
fn json_number(number: f64) -> String {
    if number.is_finite() { format!("{number:.6}") } else { "null".to_owned() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                write!(quoted, "\\u{:04x}", u32::from(control)).expect("a string takes everything");
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The middle of some measurements; not a number if there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        Some(upper) if values.len().is_multiple_of(2) => f64::midpoint(values[middle - 1], *upper),
        Some(middle) => *middle,
        None => f64::NAN,
    }
}
