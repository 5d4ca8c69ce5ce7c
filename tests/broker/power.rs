//! The power is cut again and again under load, on a disk that forgets what was not synced: what was acknowledged is there afterwards.

use std::time::Duration;

use crate::crash::oldest_segment;
use crate::fickle::luck::Luck;
use crate::fickle::mount::Mount;
use crate::fickle::order::Order;
use crate::lives::Lives;
use crate::mounted::mounted;
use crate::patience::Stopwatch;
use crate::process::{Broker, Options};

/// How often the power is cut; `PREGON_POWER_CUTS` says otherwise.
const CUTS: u32 = 20;
/// The broker lives so long at the most.
const LIFE_MS_MAX: u64 = 300;
/// A start that is cut short takes so long at the most.
const START_MS_MAX: u64 = 60;
/// A sync takes so long at the most. Meanwhile there is something to lose.
const SYNC_MS_MAX: u64 = 4;

/// A broker whose data lies on a disk.
pub fn on(mount: &Mount, shards: usize) -> Options {
    let data_dir = format!("storage.data_dir={}", mount.path().join("data").display());
    let options = Options::shards(shards).set("storage.durability=fsync").set(&data_dir);
    options.set("storage.segment_bytes=64KiB")
}

/// One life of the broker, up to the moment at which it ends; every fourth ends before it listens.
fn live(mount: &Mount, lives: &mut Lives, shards: usize) -> Broker {
    mount.obey(Order::Slow(Duration::from_millis(lives.random.below(SYNC_MS_MAX + 1))));
    if lives.random.chance(1, 4) {
        let start = Duration::from_millis(lives.random.below(START_MS_MAX));
        let broker = on(mount, shards).launch();
        let watch = Stopwatch::start();
        while watch.elapsed() < start {
            std::thread::yield_now();
        }
        return broker;
    }
    let broker = on(mount, shards).start();
    let life = Duration::from_millis(lives.random.below(LIFE_MS_MAX));
    lives.live(&broker, life);
    broker
}

/// The process is killed, and nothing else happens: what it had written and not synced is seen by the next one, and is not safe.
fn kill(lives: &mut Lives, broker: Broker) {
    drop(broker); // with SIGKILL
    lives.hear_last_words();
}

/// The power goes at this very moment, and the process a little later; then it is back.
fn cut(mount: &Mount, lives: &mut Lives, broker: Broker) {
    let luck = if lives.random.chance(1, 4) { Luck::None } else { Luck::of_seed(lives.random.next_u64()) };
    mount.obey(Order::Cut(luck));
    kill(lives, broker);
    mount.obey(Order::Power);
}

fn survive(shards: usize) {
    let Some(mount) = mounted() else { return };
    let cuts = std::env::var("PREGON_POWER_CUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(CUTS);
    let mut lives = Lives::new(u64::from(std::process::id()));
    for _ in 0..cuts {
        while lives.random.chance(1, 3) {
            let broker = live(&mount, &mut lives, shards);
            kill(&mut lives, broker);
        }
        let broker = live(&mount, &mut lives, shards);
        cut(&mount, &mut lives, broker);
    }
    mount.obey(Order::Slow(Duration::ZERO));
    lives.finish(&on(&mount, shards).start());
    let data = mount.path().join("data");
    assert!((0..shards).any(|shard| oldest_segment(&data, shard) > 1), "no log was ever swept");
}

#[test]
fn threat_9_what_was_acknowledged_survives_power_cuts_of_one_shard() {
    survive(1);
}

#[test]
fn threat_9_what_was_acknowledged_survives_power_cuts_of_two_shards() {
    survive(2);
}
