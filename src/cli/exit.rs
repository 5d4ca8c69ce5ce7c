//! How the process ends: the exit codes, as `--help` and the manual name them.

use std::process::ExitCode;

/// What the help of every command says about them.
pub const HELP: &str = "\
Exit codes:
  0  done; the broker: stopped in an orderly way
  1  failed while it ran, or stopped by a second signal
  2  the arguments or the configuration are wrong
  3  the broker could not start: an address is taken, a limit is too low, a core is missing";

/// What the help of `pub` and `sub` says about them.
pub const CLIENT_HELP: &str = "\
Exit codes:
  0    done
  1    failed: no connection, connection lost, message or subscription refused
  2    the arguments are wrong
  27   nothing more came within the time of -W (sub)
  any other: the broker refused the connection, and this is its code, as with mosquitto's clients.
       3.x: 1 protocol version, 2 client id, 3 unavailable, 4 user name or password, 5 not authorized.
       5:   128 and above, the reason codes of the standard.
  Codes 1, 2 and 3 of a refusal by a 3.x broker are told from ours by the message on standard error.";

/// What the help of `journal` says about them.
pub const JOURNAL_HELP: &str = "\
Exit codes:
  0  done, and all that was read is as it was written
  1  the directory cannot be read, holds no journal, or one of a newer version
  2  the arguments are wrong
  4  done, and something is damaged or missing";

/// What the help of `acl` says about them.
pub const ACL_HELP: &str = "\
Exit codes:
  0  it is allowed
  1  it is denied
  2  the arguments, the configuration, its file of rules or the token are wrong";

/// What the help of `acl diff` says about them.
pub const ACL_DIFF_HELP: &str = "\
Exit codes:
  0  nobody would lose anything
  1  somebody would lose something, or nobody can say
  2  the arguments, the configuration or the new rules are wrong, or no broker answers";

/// What the help of `passwd` says about them.
pub const PASSWD_HELP: &str = "\
Exit codes:
  0  done; with --check: the password is right
  1  the file cannot be read or replaced or is malformed, there is no such user, the password is wrong or none came
  2  the arguments are wrong";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As asked.
    Done,
    /// Something went wrong on the way.
    Failed,
    /// The arguments or the configuration make no sense.
    Misused,
    /// The broker could not start.
    NotStarted,
    /// A journal was read, and not all of it is as it was written.
    Damaged,
    /// The time was over before the work was.
    TimedOut,
    /// A broker refused the connection with this code.
    Refused(u8),
}

impl Exit {
    /// The number that the caller sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Misused => 2,
            Self::NotStarted => 3,
            Self::Damaged => 4,
            Self::TimedOut => 27,
            Self::Refused(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
