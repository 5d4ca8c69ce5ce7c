//! The command line as people write it: flags, their help, and what each of them may be.
//!
//! | file | what lives there |
//! |---|---|
//! | here | the commands |
//! | [`settings`] | what the broker itself may be told, also by `check` |
//! | [`peer`] | what `pub` and `sub` share: where the broker is and who we are |
//! | [`publishing`] [`subscribing`] | what each of them has of its own |
//! | [`acl`] | what can be asked of the rules |
//! | [`journal`] | what can be asked of a data directory |
//! | [`passwd`] | what can be done with a user of a password file |
//! | [`value`] | texts that must be something: a version, a topic, a time |

pub mod acl;
pub mod journal;
pub mod passwd;
pub mod peer;
pub mod publishing;
pub mod settings;
pub mod subscribing;
pub mod value;

use clap::{Parser, Subcommand};

use self::acl::Acl;
use self::journal::Journal;
use self::passwd::Passwd;
use self::publishing::Publishing;
use self::settings::Settings;
use self::subscribing::Subscribing;
use crate::cli::exit;

const ABOUT: &str = "An MQTT broker for dedicated Linux servers: 3.1, 3.1.1 and 5.0, one thread a core, io_uring";

const LONG_ABOUT: &str = "\
An MQTT broker for dedicated Linux servers: 3.1, 3.1.1 and 5.0, one thread a core, io_uring.

Without a command it runs the broker. Without any argument it listens on 127.0.0.1:1883, lets everybody in, uses all cores \
and serves metrics on 127.0.0.1:9883.

What counts, from the weakest to the strongest: built-in defaults, the file of --config, the files conf.d/*.toml beside it \
in the order of their names, environment variables PREGON_SECTION__KEY, --set, and the other flags. `pregon check` shows \
every value and where it comes from.

SIGTERM and SIGINT stop it: nobody comes in any more, clients are told, what is on its way is sent. A second signal ends it \
at once.";

/// Everything behind the name of the program.
#[derive(Parser, Debug)]
#[command(
    name = "pregon",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = exit::HELP,
    args_conflicts_with_subcommands = true,
    max_term_width = 120
)]
pub struct Arguments {
    /// What to do; without a command the broker runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the broker is told.
    #[command(flatten)]
    pub settings: Settings,
}

/// What can be done beside running the broker.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Check the configuration and show every value with its origin
    ///
    /// Reads what the broker would read with the same flags, the files of passwords and rules included, starts nothing, and lists either all
    /// values with the place each one comes from, or everything that is wrong with them.
    #[command(after_help = exit::HELP)]
    Check(Settings),
    /// Ask the rules what a client may do, and why
    #[command(subcommand, after_help = exit::ACL_HELP)]
    Acl(Acl),
    /// Look at what a broker has kept on disk; nothing is written, and a broker may go on meanwhile
    #[command(subcommand, after_help = exit::JOURNAL_HELP)]
    Journal(Journal),
    /// Set, check or take out the password of a user in a password file
    ///
    /// The password is asked for twice, without echo, and kept as a hash (Argon2id). The file changes whole or not at all, and all its other
    /// lines stay as they are; those of mosquitto's own tool may be among them.
    #[command(after_help = exit::PASSWD_HELP)]
    Passwd(Passwd),
    /// Publish messages, with the flags of `mosquitto_pub`
    #[command(after_help = exit::CLIENT_HELP, disable_help_flag = true)]
    Pub(Publishing),
    /// Subscribe and print messages, with the flags of `mosquitto_sub`
    #[command(after_help = exit::CLIENT_HELP, disable_help_flag = true)]
    Sub(Subscribing),
}

#[cfg(test)]
mod tests;
