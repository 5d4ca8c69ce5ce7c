//! How soon something ends that has to end in time: what a changed file takes away, connections whose packets must close them, and a flood.
#![expect(clippy::disallowed_methods, reason = "this is about real time")]

use std::fs;
use std::time::{Duration, Instant};

use pregon::mqtt::Version;

use crate::authority::Saying;
use crate::client::Client;
use crate::field::SHARDS;
use crate::folder::Folder;
use crate::malformed::{Fate, fate};
use crate::overload::{Pair, flood};
use crate::packets::{good_body, packet};
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};
use crate::tls::{BOTH, Trust, open, replace};

/// How often each is done.
const ROUNDS: usize = 20;
/// The rule of the house.
const MOST: Duration = Duration::from_secs(1);
/// The same for the full rate behind a flood.
const RATE_MOST: Duration = Duration::from_secs(10);
const FLOODS: usize = 3;
/// Messages by which a pair's rate is told, and how often it is told before a flood.
const SAMPLE: u16 = 1_000;
const SAMPLES: usize = 15;
/// What a delivery takes at most where nothing forbids it, on a busy machine.
const DELIVERY: Duration = Duration::from_millis(100);
/// Sessions of clients that are away, each with a message that waits.
const ABSENT: usize = 100;

const OPEN: &str = "pattern #\n";
const SHUT: &str = "pattern write #\npattern read open/#\n";

/// Prints the worst of each; whether all of them keep the rule.
pub fn run() -> bool {
    println!("\n| what ends | times | worst ms | at most ms | holds |");
    println!("|---|---:|---:|---:|---|");
    // Each is measured, also behind one that is too late.
    let all = [
        row("a right on a live subscription", MOST, &(0..ROUNDS).map(live).collect::<Vec<_>>()),
        row("a right to what waits for who is away", MOST, &(0..ROUNDS / 4).map(queued).collect::<Vec<_>>()),
        row("the connection of a user who is gone", MOST, &(0..ROUNDS).map(user).collect::<Vec<_>>()),
        row("the connections of a revoked certificate", MOST, &(0..ROUNDS / 4).map(certificate).collect::<Vec<_>>()),
        row("a connection with a packet that must close it", MOST, &must_close()),
        row("what a flood leaves: the full rate is back", RATE_MOST, &(0..FLOODS).map(full_rate).collect::<Vec<_>>()),
    ];
    all.into_iter().all(|holds| holds)
}

fn row(what: &str, most: Duration, times: &[Duration]) -> bool {
    let worst = times.iter().max().copied().unwrap_or_default();
    let holds = worst <= most;
    let verdict = if holds { "yes" } else { "NO" };
    println!("| {what} | {} | {} | {} | {verdict} |", times.len(), worst.as_millis(), most.as_millis());
    holds
}

/// A broker with rules in a file of mosquitto's form.
fn ruled(folder: &Folder) -> Broker {
    fs::create_dir(folder.path()).expect("the name is this bench's");
    fs::write(folder.path().join("rules"), OPEN).expect("there is room");
    let rules = format!("auth.acl_file={}", folder.path().join("rules").display());
    Options::shards(SHARDS).set(&rules).set("auth.anonymous=yes").start()
}

/// From the change of the file to the publication of the first message that does not come.
fn live(_: usize) -> Duration {
    let folder = Folder::new("prompt-live");
    let broker = ruled(&folder);
    let mut hearer = Client::join(&broker, Version::V5, "hearer");
    hearer.subscribe("shut/#", 0);
    let mut speaker = Client::join(&broker, Version::V5, "speaker");
    replace(&folder.path().join("rules"), SHUT);
    let changed = Instant::now();
    loop {
        let said = Instant::now();
        speaker.post(&Post::to("shut/a").qos(1).payload("x"));
        if hearer.hear_within(DELIVERY).is_none() {
            hearer.expect_silence();
            return said - changed;
        }
    }
}

/// From the change of the file to the return of the last client that still gets what has waited for it.
fn queued(_: usize) -> Duration {
    let folder = Folder::new("prompt-queued");
    let broker = ruled(&folder);
    let hello = |number: usize| Hello::v5(&format!("away-{number}")).resume().expiry(600);
    for number in 0..ABSENT {
        let mut client = Client::connect(&broker, &hello(number));
        client.subscribe("shut/#", 1);
        client.cut();
    }
    Client::join(&broker, Version::V5, "speaker").post(&Post::to("shut/a").qos(1).payload("x"));
    replace(&folder.path().join("rules"), SHUT);
    let changed = Instant::now();
    let mut last = Duration::ZERO;
    for number in 0..ABSENT {
        let back = changed.elapsed();
        let mut client = Client::connect(&broker, &hello(number));
        client.send(&[0xc0, 0]);
        if matches!(client.hear(), Heard::Publish(_)) {
            last = back;
        }
        client.cut();
        std::thread::sleep(Duration::from_millis(10));
    }
    last
}

/// By `mosquitto_passwd`: `alice` with `correct horse`, `bob` with `ñandú €`.
const ALICE: &str = "alice:$7$101$sW+MWAyltInm8zDb$\
    pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==\n";
const BOB: &str = "bob:$6$i1AdAIxM3Hsv1WMD$\
    YvZUebNjXNVMUItUlln8/ONDgOTnC+4Teb74s7vR2rtwKmd5OKgigQTJNbijM3LiNeWZcyie6TOLxojIPyOeyQ==\n";

/// From the change of the file to the end of the connection.
fn user(_: usize) -> Duration {
    let folder = Folder::new("prompt-user");
    fs::create_dir(folder.path()).expect("the name is this bench's");
    let users = folder.path().join("users");
    fs::write(&users, [ALICE, BOB].concat()).expect("there is room");
    let broker = Options::shards(SHARDS).set(&format!("auth.password_file={}", users.display())).start();
    let mut client = Client::connect(&broker, &Hello::v5("bob").login("bob", "ñandú €"));
    replace(&users, ALICE);
    let changed = Instant::now();
    client.expect_closed_for(0x87);
    changed.elapsed()
}

/// From the new list to the end of the last connection that has shown the certificate.
fn certificate(_: usize) -> Duration {
    let trust = Trust::new("prompt-certificate");
    let list = trust.authority.revoke(&[13], 4000);
    let options = trust.mutual(SHARDS).set(&format!("listeners.tls.client_crls={}", list.display()));
    let broker = options.start();
    let shown = trust.authority.certify(&Saying { serial: 8, ..Saying::default() });
    let config = trust.client(Some(&shown), &BOTH);
    let mut crowd: Vec<Client> = (0..ABSENT)
        .map(|number| Client::connect_over(open(&broker, &config), &Hello::v5(&format!("shown-{number}"))))
        .collect();
    trust.authority.revoke(&[8, 13], 4000);
    let changed = Instant::now();
    for client in &mut crowd {
        client.expect_closed_for(0x87);
    }
    changed.elapsed()
}

/// From the last byte of the packet to the end of the connection.
fn must_close() -> Vec<Duration> {
    let broker = Options::shards(SHARDS).start();
    let mut times = Vec::new();
    for version in Version::ALL {
        for first in 0..=u8::MAX {
            if !matches!(fate(version, first), Fate::Falls(_)) {
                continue;
            }
            let mut client = Client::join(&broker, version, "falls");
            client.send(&packet(first, &good_body(version, first)));
            let said = Instant::now();
            client.expect_end();
            times.push(said.elapsed());
        }
    }
    times
}

/// From the end of ten times too much to the moment at which a pair has exchanged messages at the rate that was usual before it.
fn full_rate(round: usize) -> Duration {
    let broker = Options::shards(SHARDS).set("limits.backlog_bytes_max=64KiB").start();
    let mut pair = Pair::join(&broker);
    let mut sample = || {
        let begun = Instant::now();
        pair.exchange(SAMPLE);
        begun.elapsed()
    };
    let mut before: Vec<Duration> = (0..SAMPLES).map(|_| sample()).collect();
    before.sort_unstable();
    let usual = before[SAMPLES / 2];
    let since = flood(&broker, round, || ());
    while sample() > usual && since.elapsed() < 2 * RATE_MOST {}
    since.elapsed()
}
