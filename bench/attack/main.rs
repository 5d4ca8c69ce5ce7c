//! What good clients notice of attacks: the latency of witnesses before each attack of `tests/attack` and during it.
//!
//! ```text
//! cargo bench --bench attack                     every attack, five seconds of each
//! cargo bench --bench attack -- 20 handshake     twenty seconds of those whose names have this word
//! cargo bench --bench attack -- prompt           no attack: how soon what a file takes away ends, a wrong packet's connection, and a flood
//! ```
//!
//! It ends with status 1 if a row says NO.
//!
//! The rule of the house is that the 99th percentile stays within twice that of the base or ten milliseconds above it. A witness is late from
//! the moment at which its message was due, so a publisher who had to wait counts. Attackers and witnesses run on the same cores as the
//! broker, where elsewhere attackers have machines of their own. So broker and witnesses run before the attackers, if the system lets us
//! (it asks for root); a column says which part of the time of as many cores as there are shards was the broker's own.

#![expect(clippy::wildcard_enum_match_arm, reason = "what an attack does not expect is one case")]
#![expect(clippy::print_stdout, reason = "figures are printed")]

#[path = "../../src/shell/transport/authority.rs"]
mod authority;
#[path = "../../tests/broker/client.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod client;
#[path = "../../tests/attack/costly.rs"]
mod costly;
#[path = "../../tests/attack/crowds.rs"]
mod crowds;
#[path = "../../tests/attack/field.rs"]
mod field;
#[path = "../../tests/broker/folder.rs"]
mod folder;
#[path = "../../tests/attack/layers.rs"]
mod layers;
#[path = "../../tests/attack/malformed.rs"]
mod malformed;
#[path = "../../tests/attack/overload.rs"]
mod overload;
#[path = "../../tests/attack/packets.rs"]
mod packets;
#[path = "../../tests/broker/patience.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod patience;
mod precedence;
#[path = "../../tests/broker/process.rs"]
mod process;
mod prompt;
#[path = "../../tests/attack/quotas.rs"]
mod quotas;
#[path = "../../tests/attack/secure.rs"]
mod secure;
#[path = "../../tests/attack/slow.rs"]
mod slow;
#[path = "../../tests/attack/strangers.rs"]
mod strangers;
#[path = "../../tests/broker/stream.rs"]
mod stream;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/broker/tls.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod tls;
#[path = "../../tests/broker/web.rs"]
#[expect(dead_code, reason = "tests/broker has the rest of its uses")]
mod web;
#[path = "../../tests/attack/witness.rs"]
mod witness;

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Duration;

use field::{Attack, KIBIBYTE, Row, Stage};

const ALL: [Attack; 33] = [
    malformed::FIRST_BYTES,
    malformed::CUTS,
    malformed::PROPERTY_RULES,
    malformed::TEXTS,
    malformed::LEVELS,
    crowds::IDLE,
    crowds::ANNOUNCEMENTS,
    layers::SILENT,
    layers::GREEDY,
    strangers::NEARLY_WHOLE,
    crowds::CONNECTS,
    crowds::PASSWORDS,
    crowds::DESCRIPTORS,
    crowds::ONE_NAME,
    crowds::LOG,
    quotas::SESSIONS,
    quotas::SUBSCRIPTIONS,
    quotas::RETAINED,
    quotas::WILLS,
    quotas::PACKETS,
    quotas::IDENTIFIERS,
    costly::OVERLAPS,
    costly::REPEATS,
    costly::AUDIENCE,
    overload::TEN_TIMES,
    slow::BYTE_BY_BYTE,
    slow::READERS,
    slow::HALF_DONE,
    slow::SILENT,
    secure::BAD_CERTIFICATES,
    secure::WRONG_LAYER,
    secure::HANDSHAKES,
    secure::RELOADS,
];

/// The rule: twice the base, or so much above it.
const FACTOR: u32 = 2;
const ABOVE_US: u32 = 10_000;
const SECONDS: u64 = 5;
/// The word for what is no attack.
const PROMPT: &str = "prompt";

fn main() -> ExitCode {
    // Cargo says `--bench` to every bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(SECONDS);
    let wanted = words.iter().find(|word| word.parse::<u64>().is_err());
    if wanted.is_some_and(|word| word == PROMPT) {
        return told(prompt::run());
    }
    let has_precedence = precedence::take();
    if !has_precedence {
        println!("Attackers take the time of broker and witnesses: they may run before them only for root.\n");
    }
    println!(
        "| attack | messages | base p99 ms | attack p99 ms | at most ms | worst ms | holds | broker's part | memory KiB |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|---:|---:|");
    let mut all_hold = true;
    for attack in ALL.iter().filter(|attack| wanted.is_none_or(|word| attack.name.contains(word.as_str()))) {
        precedence::take();
        let measured = Some(Duration::from_secs(seconds));
        let stage = Stage { measured, give_way: precedence::give_up, rows: RefCell::default() };
        (attack.run)(&stage);
        for mut row in stage.rows.take() {
            all_hold &= print_row(attack.name, &mut row);
        }
    }
    told(all_hold)
}

/// For scripts: 1 if a single row says NO.
fn told(all_hold: bool) -> ExitCode {
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the rule holds.
fn print_row(name: &str, row: &mut Row) -> bool {
    row.base.sort_unstable();
    row.attack.sort_unstable();
    let (base, attack) = (p99(&row.base), p99(&row.attack));
    let most = (base * FACTOR).max(base + ABOVE_US);
    let holds = attack <= most;
    let verdict = if holds { "yes" } else { "NO" };
    let worst = row.attack.last().copied().unwrap_or_default();
    println!(
        "| {name} | {} | {} | {} | {} | {} | {verdict} | {} % | {} |",
        row.attack.len(),
        milliseconds(base),
        milliseconds(attack),
        milliseconds(most),
        milliseconds(worst),
        row.broker_percent,
        row.growth_bytes / KIBIBYTE
    );
    holds
}

/// The value that 99 in a hundred do not exceed; they are in order.
fn p99(sorted: &[u32]) -> u32 {
    sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

fn milliseconds(micros: u32) -> String {
    format!("{}.{:02}", micros / 1_000, micros % 1_000 / 10)
}
