//! What the fuzz targets do with their bytes; `tests/corpus.rs` does the same with the corpora in the repository.
#![allow(dead_code, reason = "each target uses its part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a target treats all packets but one alike")]

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/medium.rs"]
mod medium;
#[path = "../support/world/mod.rs"]
mod world;

use pregon::engine::auth::policy::Policy;
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::mqtt::Version;
use pregon::mqtt::connect::Connect;
use pregon::mqtt::frame::{Assembler, Next, next_frame};
use pregon::mqtt::packet::{Packet, Sender};
use pregon::mqtt::run::find_run;
use world::World;

/// The largest packet of the fuzzed world.
const PACKET_BYTES_MAX: u32 = 4096;
/// What two clients do in one run.
const STEPS_MAX: usize = 96;

/// Whatever decodes must encode and decode to itself; whatever does not must say so without a panic, and the same
/// bytes cut anywhere must give the same packets.
pub fn decode(version: Version, data: &[u8]) {
    let mut whole = Vec::new();
    let mut rest = data;
    while let Ok(Next::Frame(frame)) = next_frame(rest, PACKET_BYTES_MAX) {
        whole.push((frame.first, frame.body.to_vec()));
        for sender in [Sender::Client, Sender::Server] {
            again(version, sender, frame.first, frame.body);
        }
        rest = &rest[frame.len..];
    }
    if let Some(run) = find_run(version, data, PACKET_BYTES_MAX, usize::MAX) {
        assert_eq!(run.payloads().count(), run.count as usize, "a run counts its packets");
    }
    let cut = data.first().copied().map_or(0, usize::from) + 1;
    let mut assembler = Assembler::new();
    let mut pieces = Vec::new();
    for piece in data.chunks(cut) {
        let fed = assembler.feed(piece, PACKET_BYTES_MAX, |frame| {
            pieces.push((frame.first, frame.body.to_vec()));
            std::ops::ControlFlow::Continue(())
        });
        if fed.is_err() {
            break;
        }
    }
    assert_eq!(pieces, whole, "cutting the bytes must not change the packets");
}

fn again(version: Version, sender: Sender, first: u8, body: &[u8]) {
    let Ok(packet) = Packet::decode(version, sender, first, body) else { return };
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    if bytes.is_empty() {
        return; // a refusal for which 3.x has no code
    }
    let Ok(Next::Frame(frame)) = next_frame(&bytes, u32::MAX) else { panic!("an encoded packet is whole") };
    assert_eq!(frame.len, bytes.len(), "nothing stands behind an encoded packet");
    match packet {
        Packet::Connect(connect) => assert_eq!(Connect::decode(frame.first, frame.body), Ok(connect)),
        packet => assert_eq!(Packet::decode(version, sender, frame.first, frame.body), Ok(packet)),
    }
}

/// Two clients, whose every byte comes from outside, and a network that breaks and delays as the bytes say.
/// Nothing may panic, and every invariant of both shards must hold after every step.
pub fn session(data: &[u8]) {
    let limits = Limits {
        packet_bytes_max: PACKET_BYTES_MAX,
        queue_messages_max: 4,
        receive_maximum: 3,
        inflight_max: 3,
        topic_alias_maximum: 2,
        session_expiry_v3_s: 60,
        ..Limits::default()
    };
    let mut world = World::with(2, limits, Policy::open(), 1);
    world.is_checked = false; // once a step below is enough, and much faster
    let mut links = [world.connect(), world.connect()];
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let [what, much, tail @ ..] = rest else { break };
        rest = tail;
        let side = usize::from(what & 1);
        match what >> 1 & 7 {
            0..=3 => {
                let (bytes, tail) = rest.split_at(usize::from(*much).min(rest.len()));
                rest = tail;
                world.send(links[side], bytes);
                world.drive();
            }
            4 => jump(&mut world, u64::from(*much) * 100),
            5 => {
                world.cut(links[side]);
                links[side] = world.connect();
            }
            6 => world.links[links[side]].room = usize::from(*much) * 16,
            _ => {
                let unread = world.receive(links[side]);
                assert!(unread.len() < 1 << 24, "a small input has no large effect");
            }
        }
        for shard in &world.shards {
            shard.check();
        }
    }
    jump(&mut world, 200_000);
    for shard in &world.shards {
        shard.check();
    }
}

/// Time passes at once; the ticks that were due come together.
fn jump(world: &mut World, ms: u64) {
    world.now = world.now.after_ms(ms);
    for shard in 0..world.shards.len() {
        world.input(shard, Input::Tick);
    }
    world.drive();
}
