//! What a seed decides before anything happens: the broker's size and bounds, the clients and what they are like.

use pregon::base::random::Random;
use pregon::engine::limits::{Limits, Overlap, QueuePolicy, Strategy};
use pregon::mqtt::Version;

/// Steps of a run before the broker is brought to rest.
const STEPS: (u64, u64) = (300, 1_500);

/// One client's nature, for its whole life.
#[derive(Clone, Debug)]
pub struct Role {
    /// What it speaks.
    pub version: Version,
    /// The shared groups it may join; a member has no other subscriptions to their topics.
    pub groups: Vec<usize>,
    /// Receive Maximum, if it says one.
    pub receive_maximum: Option<u16>,
    /// Topic Alias Maximum.
    pub alias_maximum: u16,
    /// Maximum Packet Size, if it says one.
    pub maximum_packet: Option<u32>,
    /// Keep Alive in seconds.
    pub keep_alive: u16,
    /// Session Expiry Intervals that it chooses from; 0 and the largest one are all that 3.x has.
    pub expiries: Vec<u32>,
    /// Of eight turns, in how many it sends an acknowledgement that it owes.
    pub diligence: u64,
    /// Bytes that may lie unread on its network.
    pub room: usize,
    /// Of eight connections, how many have a will.
    pub wills: u64,
}

/// A seed's choices.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "choices that do not depend on each other")]
pub struct Plan {
    /// How many shards the broker has.
    pub shards: usize,
    /// How many steps the run has.
    pub steps: u64,
    /// The broker's bounds.
    pub limits: Limits,
    /// Whether no bound can be reached, so that nothing may be lost.
    pub is_generous: bool,
    /// Whether some questions to the policy are answered late.
    pub is_slow: bool,
    /// Whether the clock jumps by minutes and days.
    pub is_jumpy: bool,
    /// Of a thousand steps, how many break something.
    pub disasters: u64,
    /// Of ten messages, how many are retained.
    pub retains: u64,
    /// Topics in each tree.
    pub topics: u64,
    /// Whether some ways between shards are much slower than others.
    pub has_slow_ways: bool,
    /// Letters that may lie between two shards before the sender is told that the way is full.
    pub mesh_room: usize,
    /// The clients behind the watcher.
    pub roles: Vec<Role>,
    /// How many copies an input may cause: sometimes so few that they are used up all the time.
    pub copies_per_input_max: usize,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(random: &mut Random) -> Self {
        let shards = match random.below(20) {
            0..4 => 1,
            4..10 => 2,
            10..15 => random.range(3, 4),
            15..19 => random.range(5, 12),
            _ => 64,
        };
        let is_generous = random.chance(2, 3);
        let mut limits = features(random);
        if !is_generous {
            tighten(&mut limits, random);
        }
        let clients = random.range(3, 9);
        let has_large = random.chance(1, 4);
        let roles = (0..clients).map(|_| role(random, has_large)).collect();
        Self {
            shards: usize::try_from(shards).expect("at most 64"),
            steps: random.range(STEPS.0, STEPS.1),
            limits,
            is_generous,
            is_slow: random.chance(1, 4),
            is_jumpy: random.chance(1, 3),
            disasters: *random.pick(&[0, 5, 15, 40]).expect("there are some"),
            retains: *random.pick(&[0, 2, 5]).expect("there are some"),
            topics: random.range(1, 4),
            has_slow_ways: random.chance(1, 2),
            mesh_room: *random.pick(&[3, 10, 1_000]).expect("there are some"),
            roles,
            copies_per_input_max: *random.pick(&[1, 4, 100_000, 100_000]).expect("there are some"),
        }
    }
}

/// Bounds that lose nothing, and features at random.
fn features(random: &mut Random) -> Limits {
    let strategies = [
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::Sticky,
        Strategy::LeastInflight,
        Strategy::HashTopic,
        Strategy::HashPublisher,
    ];
    Limits {
        // The network holds back a part of a packet for as long as it likes.
        read_stall_ms: u64::MAX / 4,
        shared_strategy: *random.pick(&strategies).expect("there are some"),
        overlap: if random.chance(1, 5) { Overlap::Separate } else { Overlap::Merged },
        queue_qos0: random.chance(1, 4),
        queue_policy: if random.chance(1, 2) { QueuePolicy::RefuseNew } else { QueuePolicy::DropOldest },
        inflight_max: *random.pick(&[1, 3, 20, 1_000]).expect("there are some"),
        receive_maximum: *random.pick(&[1, 3, 100]).expect("there are some"),
        fanout_recipients_max: *random.pick(&[1, 2, 10_000]).expect("there are some"),
        backlog_bytes_max: *random.pick(&[100, 1_000, 1 << 20]).expect("there are some"),
        topic_alias_maximum: *random.pick(&[0, 2, 32]).expect("there are some"),
        topic_alias_out_max: *random.pick(&[0, 2, 32]).expect("there are some"),
        connections_per_address_max: 1_000, // never met, but everybody holds a place for it
        ..Limits::default()
    }
}

/// Bounds that are reached all the time.
fn tighten(limits: &mut Limits, random: &mut Random) {
    limits.queue_messages_max = 5;
    limits.group_queue_messages_max = 5;
    if random.chance(1, 3) {
        limits.queue_bytes_max = 1_500;
        limits.group_queue_bytes_max = 1_500;
    }
    if random.chance(1, 3) {
        limits.retained_messages_max = 2;
    }
    if random.chance(1, 4) {
        limits.subscriptions_max = 3;
    }
    if random.chance(1, 4) {
        limits.group_members_max = 1;
    }
    if random.chance(1, 4) {
        limits.message_rate = 20;
        limits.message_rate_per_address = 60;
    }
    if random.chance(1, 4) {
        limits.session_expiry_max_s = 30;
    }
}

fn role(random: &mut Random, has_large: bool) -> Role {
    let version = if random.chance(2, 3) { Version::V5 } else { Version::V311 };
    let is_v5 = version == Version::V5;
    let groups = match random.below(3) {
        0 if is_v5 => vec![0, 1, 2],
        0 => vec![usize::try_from(random.below(3)).expect("below three")],
        _ => Vec::new(),
    };
    let expiries = match (version, random.below(3)) {
        (Version::V5, 0) => vec![u32::MAX],
        (Version::V5, 1) => vec![0, 5, 60, 100_000],
        (_, 2) => vec![0],
        _ => vec![0, u32::MAX, u32::MAX],
    };
    Role {
        version,
        groups,
        receive_maximum: (is_v5 && random.chance(1, 2)).then(|| narrow(random.range(1, 20))),
        alias_maximum: if is_v5 { *random.pick(&[0, 0, 1, 3]).expect("there are some") } else { 0 },
        maximum_packet: (is_v5 && has_large && random.chance(1, 2)).then_some(400),
        keep_alive: if random.chance(1, 3) { narrow(random.range(2, 30)) } else { 0 },
        expiries,
        diligence: *random.pick(&[1, 4, 7]).expect("there are some"),
        room: *random.pick(&[usize::MAX, usize::MAX, 2_000, 60]).expect("there are some"),
        wills: *random.pick(&[0, 2, 6]).expect("there are some"),
    }
}

/// A `QoS` that was drawn.
pub fn any_qos(random: &mut Random) -> u8 {
    *random.pick(&[0, 1, 2]).expect("there are some")
}

/// A number that was drawn from below 65,536.
pub fn narrow(number: u64) -> u16 {
    u16::try_from(number).expect("a small number")
}
