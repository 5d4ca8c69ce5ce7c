//! The broker is killed again and again under load: what it had acknowledged is there afterwards, by books that are kept outside.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lives::Lives;
use crate::process::{Broker, Options};

/// How often the broker is killed; `PREGON_CRASHES` says otherwise.
const CRASHES: u32 = 50;
/// It lives so long at the most.
const LIFE_MS_MAX: u64 = 300;

/// A folder that outlives each broker.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What a failed run leaves behind is looked at by whoever wants to know why.
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).expect("the folder is ours");
        }
    }
}

fn start(shards: usize, folder: &Path) -> Broker {
    let data_dir = format!("storage.data_dir={}", folder.display());
    let options = Options::shards(shards).set("storage.durability=fsync").set(&data_dir);
    options.set("storage.segment_bytes=64KiB").start()
}

fn survive(shards: usize) {
    let crashes = std::env::var("PREGON_CRASHES").ok().and_then(|count| count.parse().ok()).unwrap_or(CRASHES);
    let name = format!("pregon-crash-{}-{shards}", std::process::id());
    let folder = Scratch(std::env::temp_dir().join(name));
    let mut lives = Lives::new(u64::from(std::process::id()));
    for _ in 0..crashes {
        let broker = start(shards, &folder.0);
        let life = Duration::from_millis(lives.random.below(LIFE_MS_MAX));
        lives.live(&broker, life);
        drop(broker); // with SIGKILL
        lives.hear_last_words();
    }
    lives.finish(&start(shards, &folder.0));
    for shard in 0..shards {
        let oldest = oldest_segment(&folder.0, shard);
        assert!(oldest > 1, "the log of shard {shard} was never swept: it begins with segment {oldest}");
    }
}

/// The number of the first segment of a shard. The first one of all is 1; without it a sweep has told again what it held.
pub fn oldest_segment(folder: &Path, shard: usize) -> u64 {
    let entries = fs::read_dir(folder.join(format!("shard-{shard}"))).expect("the shard has a folder");
    let names = entries.map(|entry| entry.expect("a folder of ours can be read").file_name());
    let number = |name: OsString| {
        let (_, number) = name.to_str()?.strip_suffix(".segment")?.split_once('-')?;
        u64::from_str_radix(number, 16).ok()
    };
    names.filter_map(number).min().expect("the shard has segments")
}

#[test]
fn what_was_acknowledged_survives_kills_of_one_shard() {
    survive(1);
}

#[test]
fn what_was_acknowledged_survives_kills_of_two_shards() {
    survive(2);
}
