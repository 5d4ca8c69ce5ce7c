//! The command line: what a run is asked to do, and the checked plan that comes of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use pregon::mqtt::{QoS, Version};

use super::pace::{Pace, Rate};
use super::stamp::STAMP_BYTES;
use super::wire::Group;

/// Messages that are published while subscribers are away, if nothing else is said.
const MESSAGES_AWAY: u64 = 200_000;

/// Puts a load on an MQTT broker and tells what came of it.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line that stands alone")]
pub struct Arguments {
    /// Who talks to whom.
    pub scenario: Scenario,
    /// Where the broker listens.
    #[arg(long, default_value = "127.0.0.1:1883")]
    pub address: SocketAddr,
    /// Clients of `connect` and `idle`.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub connections: u32,
    /// Publishers; 10 if not said, 1 for `fan-out`.
    #[arg(long, value_name = "N")]
    publishers: Option<u32>,
    /// Subscribers; 1 if not said, 100 for `fan-out`, 10 for `shared`.
    #[arg(long, value_name = "N")]
    subscribers: Option<u32>,
    /// Pairs of a publisher and a subscriber with a topic of their own, of `pairs` and `durable`.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pairs: u32,
    /// Quality of service of messages and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// The version of the protocol.
    #[arg(long, default_value = "3.1.1")]
    mqtt: MqttVersion,
    /// Size of a payload in bytes; 20 at least, which the generator needs for itself.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    payload: usize,
    /// Closed loop: messages of a publisher on their way at most; if not said 1000 for `fan-in`, 200 for `fan-out` (50 from
    /// 500 subscribers on), 100 else.
    #[arg(long, value_name = "K", conflicts_with_all = ["rate", "flood"])]
    in_flight: Option<u64>,
    /// Fixed rate: messages a second of all publishers together. Latency is counted from the intended time of sending.
    #[arg(long, value_name = "R", conflicts_with = "flood", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// Write as fast as the socket takes it.
    #[arg(long)]
    flood: bool,
    /// Messages of a publisher that the broker has not acknowledged at most, at quality of service 1 and 2.
    #[arg(long, default_value_t = 20, value_name = "W", value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How long is measured, or connections are held.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    seconds: f64,
    /// How long the load runs before it is measured.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    warm_up: f64,
    /// Send so many messages in all instead of measuring for a time; there is no warm-up then. 200,000 with `--away`.
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// Connections that are being made at the same time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub at_once: u32,
    /// How often `connect` comes and goes.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Clients of `connect` subscribe, too, to a topic of their own each.
    #[arg(long)]
    pub subscribe: bool,
    /// Subscribers of `durable` leave before the first message and come back when the last one is acknowledged.
    #[arg(long, conflicts_with_all = ["rate", "flood", "in_flight"])]
    away: bool,
    /// TLS 1.3 with AES-128-GCM, a whole handshake for each connection, and whatever certificate there is.
    #[arg(long)]
    tls: bool,
    /// The key exchange of TLS.
    #[arg(long, default_value = "x25519", value_name = "NAME", requires = "tls")]
    group: Group,
    /// The core to run on.
    #[arg(long)]
    pub core: Option<usize>,
    /// The broker's process, for its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// A block device that only the broker writes to, such as `loop0`, for the bytes that reach it.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Write the figures here, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What client identifiers begin with.
    #[arg(long, default_value = "load", value_name = "TEXT")]
    pub prefix: String,
    /// Cargo says this to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Clients connect, one after the other, and leave.
    Connect,
    /// Clients connect, subscribe to a topic of their own each, and stay.
    Idle,
    /// Many publishers, one topic, one subscriber.
    FanIn,
    /// One publisher, one topic, many subscribers.
    FanOut,
    /// Each publisher has a topic and a subscriber of its own.
    Pairs,
    /// Many publishers, one topic, one shared subscription of many members.
    Shared,
    /// The pairs, with subscribers whose sessions outlive their connections.
    Durable,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MqttVersion {
    #[value(name = "3.1")]
    V31,
    #[value(name = "3.1.1")]
    V311,
    #[value(name = "5", alias = "5.0")]
    V5,
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Measured for a time, after a warm-up.
    Time {
        /// Before it is measured.
        warm_up: Duration,
        /// Measured.
        measured: Duration,
    },
    /// So many messages of each publisher, measured from the first to the last.
    Messages {
        /// For each publisher.
        each: u64,
    },
}

/// What becomes of the sessions of subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// They end with their connections.
    Passing,
    /// They outlive them, and the subscribers are there all the time.
    Lasting,
    /// They outlive them, and the subscribers are away while messages are published.
    Away,
}

/// A run of messages, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who talks to whom.
    pub scenario: Scenario,
    /// The version of the protocol.
    pub version: Version,
    /// Of messages and subscriptions.
    pub qos: QoS,
    /// Size of a payload in bytes.
    pub payload_len: usize,
    /// How many publish; as many as subscribe in `pairs`.
    pub publishers: u32,
    /// How many subscribe.
    pub subscribers: u32,
    /// What becomes of their sessions.
    pub sessions: Sessions,
    /// What makes publishers send.
    pub pace: Pace,
    /// Unacknowledged messages of a publisher at most; none at quality of service 0.
    pub window: Option<u16>,
    /// How much is done.
    pub extent: Extent,
}

impl Scenario {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Connect => "connect",
            Scenario::Idle => "idle",
            Scenario::FanIn => "fan-in",
            Scenario::FanOut => "fan-out",
            Scenario::Pairs => "pairs",
            Scenario::Shared => "shared",
            Scenario::Durable => "durable",
        }
    }
}

impl Arguments {
    /// The version of the protocol as it is called on the command line.
    pub const fn version_name(&self) -> &'static str {
        name_of(self.version())
    }

    /// The version of the protocol.
    pub const fn version(&self) -> Version {
        match self.mqtt {
            MqttVersion::V31 => Version::V31,
            MqttVersion::V311 => Version::V311,
            MqttVersion::V5 => Version::V5,
        }
    }

    /// How long connections are held, or messages measured.
    pub fn measured(&self) -> Result<Duration, String> {
        duration("--seconds", self.seconds)
    }

    /// The plan of a run of messages, or what is wrong with what was asked.
    pub fn plan(&self) -> Result<Plan, String> {
        if self.payload < STAMP_BYTES {
            return Err(format!("--payload {}: at least {STAMP_BYTES} bytes are needed for the stamp", self.payload));
        }
        let (publishers, subscribers) = match self.scenario {
            Scenario::Pairs | Scenario::Durable => (self.pairs, self.pairs),
            Scenario::FanOut => (self.publishers.unwrap_or(1), self.subscribers.unwrap_or(100)),
            Scenario::Shared => (self.publishers.unwrap_or(10), self.subscribers.unwrap_or(10)),
            Scenario::FanIn | Scenario::Connect | Scenario::Idle => {
                (self.publishers.unwrap_or(10), self.subscribers.unwrap_or(1))
            }
        };
        if publishers == 0 || subscribers == 0 {
            return Err("at least one publisher and one subscriber are needed".to_owned());
        }
        let qos = QoS::from_bits(self.qos).expect("the parser has checked the range");
        let sessions = self.sessions(qos)?;
        Ok(Plan {
            scenario: self.scenario,
            version: self.version(),
            qos,
            payload_len: self.payload,
            publishers,
            subscribers,
            sessions,
            pace: self.pace(publishers, subscribers),
            window: (qos > QoS::AtMostOnce).then_some(self.window),
            extent: self.extent(publishers)?,
        })
    }

    /// The key exchange, if TLS is spoken.
    pub fn tls(&self) -> Option<Group> {
        self.tls.then_some(self.group)
    }

    /// Whether messages leave by a plan, whatever the broker does.
    pub fn is_open_loop(&self) -> bool {
        self.rate.is_some()
    }

    fn sessions(&self, qos: QoS) -> Result<Sessions, String> {
        match (self.scenario == Scenario::Durable, self.away) {
            (false, true) => Err("--away: only the subscribers of `durable` find their messages later".to_owned()),
            (false, false) => Ok(Sessions::Passing),
            (true, _) if qos == QoS::AtMostOnce => Err("durable: nothing is kept at --qos 0, take 1 or 2".to_owned()),
            (true, false) => Ok(Sessions::Lasting),
            (true, true) => Ok(Sessions::Away),
        }
    }

    fn pace(&self, publishers: u32, subscribers: u32) -> Pace {
        let usual = match self.scenario {
            Scenario::FanIn => 1_000,
            Scenario::FanOut if subscribers < 500 => 200,
            Scenario::FanOut => 50,
            Scenario::Pairs | Scenario::Shared | Scenario::Durable | Scenario::Connect | Scenario::Idle => 100,
        };
        match self.rate {
            Some(rate) => Pace::Fixed(Rate::new(rate, u64::from(publishers))),
            None if self.flood || self.away => Pace::Flood, // nothing arrives that a loop could wait for: the window bounds it
            None => Pace::Closed { in_flight: self.in_flight.unwrap_or(usual).max(1) },
        }
    }

    fn extent(&self, publishers: u32) -> Result<Extent, String> {
        let messages = self.messages.or(self.away.then_some(MESSAGES_AWAY));
        Ok(match messages {
            Some(messages) => Extent::Messages { each: messages.div_ceil(u64::from(publishers)) },
            None => Extent::Time { warm_up: duration("--warm-up", self.warm_up)?, measured: self.measured()? },
        })
    }
}

impl Plan {
    /// The version of the protocol as it is called on the command line.
    pub const fn version_name(&self) -> &'static str {
        name_of(self.version)
    }
}

const fn name_of(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5",
    }
}

fn duration(name: &str, seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{name} {seconds}: {error}"))
}
