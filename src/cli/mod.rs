//! Floor 8, the command line: the broker itself, `check`, `acl`, `journal`, `passwd`, `pub` and `sub`.
//!
//! | file | what lives there |
//! |---|---|
//! | here | from the arguments to the exit code |
//! | [`arguments`] | flags and their help |
//! | [`exit`] | the exit codes |
//! | [`sources`] | the texts that make the configuration: files, environment, flags |
//! | [`serve`] [`check`] | the broker from start to stop; the look at its configuration |
//! | [`acl`] | what the rules say, and why |
//! | [`journal`] | what a broker has kept on disk |
//! | [`passwd`] | the users of a password file |
//! | [`publish`] [`subscribe`] | `pub` and `sub` |
//! | [`mod@format`] | how `sub` prints a message |
//! | [`client`] | the MQTT client that both stand on |
//! | [`signals`] | SIGINT and SIGTERM |
//!
//! Standard output carries what was asked for: messages, values, help. Everything else goes to standard error.

pub mod acl;
pub mod arguments;
pub mod check;
pub mod client;
pub mod exit;
pub mod format;
pub mod journal;
pub mod passwd;
pub mod publish;
pub mod serve;
pub mod signals;
pub mod sources;
pub mod subscribe;

use core::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::acl::{Acl, Diff, Explain};
use self::arguments::passwd::Passwd;
use self::arguments::peer::Peer;
use self::arguments::publishing::Publishing;
use self::arguments::settings::Settings;
use self::arguments::subscribing::Subscribing;
use self::arguments::{Arguments, Command};
use self::client::error::ClientError;
use self::exit::Exit;
use self::signals::Interrupts;
use crate::config::{Checked, load};
use crate::engine::auth::passwords::name::Name;
use crate::shell::admission;
use crate::shell::guard::end_with_every_other_panic;

/// The whole program.
pub fn run() -> ExitCode {
    end_with_every_other_panic();
    match Arguments::try_parse() {
        Ok(Arguments { command: None, settings }) => serve(&settings).into(),
        Ok(Arguments { command: Some(Command::Acl(Acl::Explain(arguments))), .. }) => explain(&arguments).into(),
        Ok(Arguments { command: Some(Command::Acl(Acl::Diff(arguments))), .. }) => diff(&arguments).into(),
        Ok(Arguments { command: Some(Command::Check(settings)), .. }) => check(&settings).into(),
        Ok(Arguments { command: Some(Command::Journal(question)), .. }) => journal::run(&question).into(),
        Ok(Arguments { command: Some(Command::Passwd(arguments)), .. }) => passwd(&arguments).into(),
        Ok(Arguments { command: Some(Command::Pub(arguments)), .. }) => publish(&arguments).into(),
        Ok(Arguments { command: Some(Command::Sub(arguments)), .. }) => subscribe(&arguments).into(),
        Err(told) => {
            // Help for a reader who has gone is no failure.
            let _ = told.print();
            if told.use_stderr() { Exit::Misused.into() } else { Exit::Done.into() }
        }
    }
}

fn serve(settings: &Settings) -> Exit {
    match configuration(settings) {
        Ok(checked) => serve::run(checked.config()),
        Err(exit) => exit,
    }
}

fn check(settings: &Settings) -> Exit {
    let checked = match configuration(settings) {
        Ok(checked) => checked,
        Err(exit) => return exit,
    };
    let complaints = admission::complaints(&checked.config().auth);
    if complaints.is_empty() {
        return check::run(&checked);
    }
    complain_of(&complaints);
    Exit::Misused
}

fn explain(arguments: &Explain) -> Exit {
    match configuration(&arguments.settings) {
        Ok(checked) => acl::explain(arguments, &checked.config().auth),
        Err(exit) => exit,
    }
}

fn diff(arguments: &Diff) -> Exit {
    match configuration(&arguments.settings) {
        Ok(checked) => acl::diff::run(arguments, checked.config()),
        Err(exit) => exit,
    }
}

fn passwd(arguments: &Passwd) -> Exit {
    match Name::parse(&arguments.name) {
        Ok(name) => passwd::run(arguments, name),
        Err(fault) => misused(&fault.to_string()),
    }
}

fn publish(arguments: &Publishing) -> Exit {
    let greeting = match arguments.peer.greeting("pregon-pub") {
        Ok(greeting) => greeting,
        Err(sentence) => return misused(&sentence),
    };
    let result = publish::run(arguments, &greeting).map(|()| Exit::Done);
    result.unwrap_or_else(|error| failed(&error, &arguments.peer))
}

fn subscribe(arguments: &Subscribing) -> Exit {
    let greeting = match arguments.peer.greeting("pregon-sub") {
        Ok(greeting) => greeting,
        Err(sentence) => return misused(&sentence),
    };
    let interrupts = Interrupts::register().and_then(Interrupts::into_channel);
    let interrupts = match interrupts {
        Ok(interrupts) => interrupts,
        Err(error) => {
            complain(format_args!("signals: {error}"));
            return Exit::Failed;
        }
    };
    let result = subscribe::run(arguments, &greeting, &interrupts);
    result.unwrap_or_else(|error| failed(&error, &arguments.peer))
}

/// The checked configuration, or the exit code after all complaints.
fn configuration(settings: &Settings) -> Result<Checked, Exit> {
    let sources = sources::gather(settings).map_err(|unread| {
        complain_of(&unread);
        Exit::Misused
    })?;
    load(sources).map_err(|complaints| {
        complain_of(&complaints);
        Exit::Misused
    })
}

/// Each of them in a line of its own.
fn complain_of<T: fmt::Display>(all: impl IntoIterator<Item = T>) {
    for one in all {
        complain(format_args!("{one}"));
    }
}

fn misused(sentence: &str) -> Exit {
    complain(format_args!("{sentence}"));
    Exit::Misused
}

fn failed(error: &ClientError, peer: &Peer) -> Exit {
    if !peer.quiet {
        complain(format_args!("{error}"));
    }
    if let ClientError::Refused { code, .. } = error { Exit::Refused(*code) } else { Exit::Failed }
}

/// One line for the person who typed the command.
fn complain(what: fmt::Arguments<'_>) {
    // Where standard error is closed, the exit code has to do.
    let _ = writeln!(io::stderr().lock(), "pregon: {what}");
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    /// Says to this test that it is the program.
    const CHILD: &str = "A_PANIC_ENDS_THE_PROGRAM";

    #[test]
    fn threat_3_whatever_the_program_was_called_for_a_panic_that_is_no_answer_ends_it() {
        if std::env::var_os(CHILD).is_some() {
            let _misused = run(); // a test is called with other words
            #[expect(clippy::disallowed_methods, reason = "it ends the process from another thread, as a shard would")]
            let joined = std::thread::spawn(|| panic!("lost")).join();
            eprintln!("came back: {joined:?}");
            return;
        }
        let own = std::env::current_exe().unwrap();
        let name = "threat_3_whatever_the_program_was_called_for_a_panic_that_is_no_answer_ends_it";
        let arguments = ["--exact", &format!("cli::tests::{name}"), "--nocapture"];
        let output = Command::new(own).args(arguments).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("Usage") && said.contains("lost") && !said.contains("came back"), "{said}");
    }
}
