//! What `pub` and `sub` share: where the broker is, who we are, what is said when we are lost.

use std::ffi::OsString;

use clap::{ArgAction, Args};

use super::value;
use crate::cli::client::greeting::{Greeting, LastWill, SESSION_NEVER_EXPIRES};
use crate::mqtt::{QoS, Version};

/// The flags of mosquitto's clients that say so, with their defaults.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Peer {
    /// The broker's host
    #[arg(short = 'h', long, value_name = "HOST", default_value = "localhost")]
    pub host: String,

    /// The broker's port
    #[arg(short, long, value_name = "PORT", default_value_t = 1883)]
    pub port: u16,

    /// Version of MQTT: 31, 311 or 5
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "311", value_parser = value::version)]
    pub protocol_version: Version,

    /// Client id; without one the broker chooses
    #[arg(short, long, value_name = "ID", value_parser = value::field)]
    pub id: Option<String>,

    /// Go on with a stored session, and have it kept when we leave
    #[arg(short = 'c', long, requires = "id")]
    pub disable_clean_session: bool,

    /// How long the session is kept when we leave, in seconds; -1 for ever [default: 0, with -c -1] (MQTT 5)
    #[arg(short = 'x', long, value_name = "SECONDS", value_parser = value::session_expiry, allow_hyphen_values = true)]
    pub session_expiry_interval: Option<u32>,

    /// Seconds of silence after which we ping; 0 for never
    #[arg(short, long, value_name = "SECONDS", default_value_t = 60)]
    pub keepalive: u16,

    /// User name
    #[arg(short, long, value_name = "NAME", value_parser = value::field)]
    pub username: Option<String>,

    /// Password; other users of this machine can see it in the list of processes
    #[arg(short = 'P', long, value_name = "PASSWORD")]
    pub pw: Option<OsString>,

    /// Topic of the will, which the broker publishes if we are lost
    #[arg(long, value_name = "TOPIC", value_parser = value::topic)]
    pub will_topic: Option<String>,

    /// What the will says [default: nothing]
    #[arg(long, value_name = "TEXT", requires = "will_topic")]
    pub will_payload: Option<OsString>,

    /// Quality of service of the will [default: 0]
    #[arg(long, value_name = "QOS", requires = "will_topic", value_parser = value::qos)]
    pub will_qos: Option<QoS>,

    /// Have the will retained
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,

    /// Show each packet on standard error
    #[arg(short, long)]
    pub debug: bool,

    /// Say nothing about errors while running; the exit code tells
    #[arg(long)]
    pub quiet: bool,

    /// Show this help
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

impl Peer {
    /// Who we are; `name` begins the client id where the version demands one. A sentence where the flags do not agree.
    pub fn greeting(&self, name: &str) -> Result<Greeting, String> {
        let version = self.protocol_version;
        if self.session_expiry_interval.is_some() && !version.has_properties() {
            return Err("-x is for MQTT 5: add -V 5".into());
        }
        // [MQTT-3.1.2-22] of 3.1.1.
        if self.pw.is_some() && self.username.is_none() && !version.has_properties() {
            return Err("before MQTT 5 a password (-P) needs a user name (-u)".into());
        }
        let password = self.pw.clone().map(value::binary).transpose().map_err(|what| format!("-P: {what}"))?;
        let mut greeting = Greeting::new(version, self.client_id(name));
        greeting.is_clean = !self.disable_clean_session;
        greeting.keep_alive = self.keepalive;
        greeting.user.clone_from(&self.username);
        greeting.password = password;
        greeting.will = self.will()?;
        let default = if self.disable_clean_session { SESSION_NEVER_EXPIRES } else { 0 };
        greeting.set_session_expiry(self.session_expiry_interval.unwrap_or(default));
        Ok(greeting)
    }

    /// From 3.1.1 on the broker may choose. 3.1 demands 1 to 23 characters.
    fn client_id(&self, name: &str) -> String {
        match (&self.id, self.protocol_version) {
            (Some(id), _) => id.clone(),
            (None, Version::V31) => format!("{name}-{}", std::process::id()),
            (None, Version::V311 | Version::V5) => String::new(),
        }
    }

    fn will(&self) -> Result<Option<LastWill>, String> {
        let Some(topic) = self.will_topic.clone() else {
            return Ok(None);
        };
        let payload = value::binary(self.will_payload.clone().unwrap_or_default());
        Ok(Some(LastWill {
            topic,
            payload: payload.map_err(|what| format!("--will-payload: {what}"))?,
            qos: self.will_qos.unwrap_or(QoS::AtMostOnce),
            is_retained: self.will_retain,
        }))
    }
}
