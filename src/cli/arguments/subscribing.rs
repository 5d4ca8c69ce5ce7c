//! What `pregon sub` has of its own.

use std::num::NonZeroU64;

use clap::{ArgGroup, Args};

use super::peer::Peer;
use super::value;
use crate::cli::format::Format;
use crate::mqtt::QoS;

/// The flags of `mosquitto_sub`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("topics").required(true).multiple(true).args(["topic", "unsubscribe"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Subscribing {
    /// Topic filter to subscribe to, `$share/GROUP/FILTER` included; may be repeated
    #[arg(short, long, value_name = "FILTER", value_parser = value::subscription)]
    pub topic: Vec<String>,

    /// Topic filter of a stored session to unsubscribe from; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER", value_parser = value::subscription)]
    pub unsubscribe: Vec<String>,

    /// Topic filter of messages that are not printed; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER", value_parser = value::filter)]
    pub filter_out: Vec<String>,

    /// Highest quality of service at which messages shall come
    #[arg(short, long, value_name = "QOS", default_value = "0", value_parser = value::qos)]
    pub qos: QoS,

    /// Leave after so many messages
    #[arg(short = 'C', long, value_name = "COUNT")]
    pub count: Option<NonZeroU64>,

    /// Leave after so many seconds, with exit code 27
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = value::seconds)]
    pub timeout: Option<u64>,

    /// Leave once the subscriptions are granted
    #[arg(short = 'E', long)]
    pub exit_after_subscribe: bool,

    /// Print no retained messages, only fresh ones
    #[arg(short = 'R', long, conflicts_with = "retained_only")]
    pub no_retained: bool,

    /// Print retained messages, and leave at the first fresh one
    #[arg(long)]
    pub retained_only: bool,

    /// Clear each retained message that comes, except those of -T
    #[arg(long)]
    pub remove_retained: bool,

    /// Have RETAIN show what the publisher said, not whether a message was stored (MQTT 5)
    #[arg(long)]
    pub retain_as_published: bool,

    /// Print the topic in front of each message
    #[arg(short, long)]
    pub verbose: bool,

    /// Print each message in this form; it wins over -v
    ///
    /// %t topic, %p payload, %x and %X payload in hexadecimal, %l its length in bytes, %q quality of service, %r retained,
    /// %m packet id, %% a percent sign, @@ an at sign; of MQTT 5 %C content type, %E expiry, %F payload format,
    /// %R response topic, %D correlation data, %S subscription id, %P user properties; \n \r \t \v \a \e \0 \\ as in C.
    #[arg(short = 'F', long, value_name = "FORMAT", value_parser = Format::parse)]
    pub format: Option<Format>,

    /// Print no end of line behind a message
    #[arg(short = 'N', long)]
    pub no_newline: bool,

    /// Where the broker is and who we are.
    #[command(flatten)]
    pub peer: Peer,
}
