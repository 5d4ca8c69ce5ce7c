//! `pregon acl diff`: asks the running broker what other rules would change, and prints what it says.

use std::io::{self, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::cli::arguments::acl::{Diff, Format};
use crate::cli::exit::Exit;
use crate::cli::{complain, complain_of};
use crate::config::Config;
use crate::ops::control::words::{Form, Question, Reply, read_line};
use crate::shell::admission::{RuleFormat, parse_rules, rule_text};

/// Why there is no whole answer.
#[derive(thiserror::Error, Debug)]
enum DiffError {
    #[error(
        "the running broker is asked through admin.control, and this configuration has none; without a data directory it needs an absolute path"
    )]
    NoPlace,
    #[error(
        "no broker answers at {path}: {error}; it is asked while it runs, with the same configuration as it has, by the user that it runs as"
    )]
    NoBroker { path: String, error: io::Error },
    #[error("{0}")]
    Broker(String),
    #[error("the broker has broken off: {0}")]
    Lost(io::Error),
    #[error("the broker has broken off")]
    BrokenOff,
    #[error("standard output: {0}")]
    Output(io::Error),
}

/// Asks, and prints the answer as it comes.
pub fn run(arguments: &Diff, config: &Config) -> Exit {
    let Diff { new, format, json, .. } = arguments;
    let format = format.map_or_else(
        || RuleFormat::of(new),
        |format| match format {
            Format::Toml => RuleFormat::Own,
            Format::Mosquitto => RuleFormat::Mosquitto,
        },
    );
    // What is wrong with the file is said here, all of it.
    let read = rule_text(new).map_err(|error| vec![error]);
    let rules = match read.and_then(|text| parse_rules(new, format, text.clone()).map(|_good| text)) {
        Ok(rules) => rules,
        Err(errors) => {
            complain_of(&errors);
            return Exit::Misused;
        }
    };
    let form = if *json { Form::Json } else { Form::Text };
    let question = Question { path: new.display().to_string(), format, form, rules };
    match ask(&question, config.control().as_deref()) {
        Ok(0) => Exit::Done,
        Ok(_lost) => Exit::Failed,
        Err(error) => {
            complain(format_args!("{error}"));
            Exit::Misused
        }
    }
}

/// How much would be lost.
fn ask(question: &Question, control: Option<&Path>) -> Result<u64, DiffError> {
    let path = control.ok_or(DiffError::NoPlace)?;
    let no_broker = |error| DiffError::NoBroker { path: path.display().to_string(), error };
    let mut stream = UnixStream::connect(path).map_err(no_broker)?;
    // Who is turned away while it asks hears why.
    let asked = question.write(&mut stream);
    let mut answer = BufReader::new(stream);
    let mut out = io::stdout().lock();
    while let Some(line) = read_line(&mut answer).map_err(DiffError::Lost)? {
        match Reply::parse(&line) {
            Some(Reply::Line(text)) => writeln!(out, "{text}").map_err(DiffError::Output)?,
            Some(Reply::Done { lost }) => return out.flush().map(|()| lost).map_err(DiffError::Output),
            Some(Reply::Failed(why)) => return Err(DiffError::Broker(why.to_owned())),
            None => return Err(DiffError::BrokenOff),
        }
    }
    asked.map_err(DiffError::Lost)?;
    Err(DiffError::BrokenOff)
}
