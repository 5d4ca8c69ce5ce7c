//! `pregon journal` on what a broker has written, while it runs and afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pregon::config::{Config, Durability};
use pregon::journal::kind::Kind;
use pregon::shell::broker::{Broker, Stopped};
use serde_json::Value;

use super::{code, errors, pregon, printed, run};

const BLOCK_BYTES: u64 = 4096;

/// A data directory that goes with the test.
struct Kept {
    path: PathBuf,
    shards: usize,
}

impl Kept {
    /// A directory in which a broker with so many shards has kept something.
    fn new(name: &str, shards: usize) -> Self {
        let kept = Self::empty(name, shards);
        let broker = kept.start();
        fill(&broker);
        assert_eq!(broker.stop(), Stopped::Clean);
        kept
    }

    fn empty(name: &str, shards: usize) -> Self {
        Self { path: std::env::temp_dir().join(format!("pregon-journal-{}-{name}", std::process::id())), shards }
    }

    fn start(&self) -> Broker {
        let mut config = Config::default();
        config.listeners.tcp = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        config.runtime.shards = Some(self.shards);
        config.storage.durability = Durability::Fsync;
        config.storage.data_dir.clone_from(&self.path);
        config.storage.segment_bytes = 1 << 20;
        Broker::start(&config).expect("loopback has a free port")
    }

    /// Asks and expects this exit code.
    fn ask(&self, question: &str, flags: &str, expected: i32) -> String {
        let output = run(&format!("journal {question} {} {flags}", self.path.display()));
        assert_eq!(code(&output), expected, "{question} {flags}: {} {}", printed(&output), errors(&output));
        printed(&output)
    }

    /// What `dump --json` says, a value a line.
    fn dump(&self, flags: &str, expected: i32) -> Vec<Value> {
        values(&self.ask("dump", &format!("--json {flags}"), expected))
    }

    /// Flips a bit in the middle of the record; the file in which it lies.
    fn flip(&self, row: &Value) -> PathBuf {
        let [shard, segment, position, bytes] =
            ["shard", "segment", "position", "bytes"].map(|name| row[name].as_u64().expect("a number"));
        let path = self.path.join(format!("shard-{shard}")).join(format!("00-{segment:016x}.segment"));
        let mut file = fs::read(&path).unwrap();
        file[usize::try_from(position + bytes / 2).unwrap()] ^= 1;
        fs::write(&path, file).unwrap();
        path
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is a JSON object")).collect()
}

fn client(broker: &Broker, line: &str) {
    let output = run(&format!("{line} -h 127.0.0.1 -p {}", broker.addresses()[0].port()));
    assert_eq!(code(&output), 0, "{line}: {}", errors(&output));
}

/// Two sessions with one subscription each, a message for one of them, two for the other, and a retained one.
fn fill(broker: &Broker) {
    client(broker, "sub -V 5 -x 3600 -c -i keeper -u ann -P unspeakable -q 1 -t hall/+ -E");
    client(broker, "sub -c -i other -q 2 -t $share/crew/job -t hall/2 -E");
    client(broker, "pub -i pen -q 1 -t hall/1 -m text-of-the-first");
    client(broker, "pub -i pen -q 1 -t hall/2 -m second -r");
    let port = broker.addresses()[0].port();
    let mut command = pregon(&format!("pub -i pen -q 1 -t hall/3 -s -h 127.0.0.1 -p {port}"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\x00\xff").unwrap();
    assert!(child.wait().unwrap().success());
}

fn kinds(rows: &[Value]) -> BTreeMap<&str, usize> {
    rows.iter().fold(BTreeMap::new(), |mut kinds, row| {
        *kinds.entry(row["kind"].as_str().expect("a kind is a text")).or_default() += 1;
        kinds
    })
}

#[test]
fn a_directory_is_looked_at_while_its_broker_runs() {
    let kept = Kept::empty("live", 2);
    let broker = kept.start();
    fill(&broker);
    let check = kept.ask("check", "", 0);
    assert!(check.contains("shard 0: ") && check.contains("shard 1: "), "{check}");
    assert!(check.ends_with("all is as it was written\n"), "{check}");
    assert_eq!(kinds(&kept.dump("", 0))["subscribed"], 2);
    kept.ask("stats", "--sessions", 0);
    fill(&broker);
    assert_eq!(broker.stop(), Stopped::Clean, "nobody has taken its lock or its files");
    assert_eq!(kinds(&kept.dump("", 0))["retained"], 2);
}

#[test]
fn dump_tells_each_change_in_its_order_and_no_password() {
    let kept = Kept::new("dump", 1);
    let rows = kept.dump("", 0);
    let serials: Vec<u64> = rows.iter().map(|row| row["serial"].as_u64().unwrap()).collect();
    assert!(serials.is_sorted() && serials.len() > 10, "{serials:?}");
    let one = |kind: &str, name: &str, value: &str| {
        let found = rows.iter().find(|row| row["kind"] == kind && row[name] == value);
        found.unwrap_or_else(|| panic!("{kind} {name}={value} in {rows:?}"))
    };
    let (session, body) = (one("session", "client_id", "keeper"), one("body", "payload", "text-of-the-first"));
    assert_eq!((&session["user"], &session["expiry_s"]), (&Value::Null, &3_600.into()), "nobody has proven the name");
    assert_eq!((&body["topic"], &body["qos"], &body["retain"]), (&"hall/1".into(), &1.into(), &false.into()));
    assert_eq!(one("body", "payload_hex", "00ff")["topic"], "hall/3");
    assert_eq!(one("joined", "share", "crew")["filter"], "job");
    let queued = rows.iter().find(|row| row["kind"] == "queued" && row["body"] == body["serial"]).unwrap();
    assert_eq!((&queued["client_id"], &queued["session"]), (&"keeper".into(), &session["session"]));

    let text = kept.ask("dump", "", 0);
    assert_eq!(text.lines().count(), rows.len(), "a change has a line in both forms");
    assert!(text.contains(" payload=text-of-the-first ") && text.contains(" payload_hex=00ff "), "{text}");
    assert!(!text.contains("unspeakable"), "{text}");
}

#[test]
fn dump_is_narrowed_to_a_client_a_shard_and_a_number() {
    let kept = Kept::new("narrow", 2);
    let all = kept.dump("", 0);
    let shard = |row: &Value| row["shard"].as_u64().unwrap();
    for number in 0..2 {
        let rows = kept.dump(&format!("--shard {number}"), 0);
        assert_eq!(rows, all.iter().filter(|row| shard(row) == number).cloned().collect::<Vec<_>>());
    }
    assert_eq!(kept.dump("--limit 3", 0), all[..3]);
    assert_eq!(kept.dump("--limit 0", 0), [] as [Value; 0]);

    let other = kept.dump("--session other", 0);
    assert!(other.iter().all(|row| row["client_id"] == "other" || row["kind"] == "body"), "{other:?}");
    assert_eq!(
        kinds(&other),
        BTreeMap::from([("body", 1), ("joined", 1), ("queued", 1), ("session", 2), ("subscribed", 1)])
    );
    assert!(other.iter().any(|row| row["payload"] == "second"), "the message that it is owed: {other:?}");
    assert_eq!(kept.dump("--session nobody", 0), [] as [Value; 0]);

    let output = run(&format!("journal dump {} --shard 7", kept.path.display()));
    assert_eq!((code(&output), errors(&output).contains("no shard 7, only 0, 1")), (1, true), "{}", errors(&output));
}

#[test]
fn stats_add_up_what_is_kept() {
    let kept = Kept::new("stats", 2);
    let rows = values(&kept.ask("stats", "--json --sessions", 0));
    let (shards, sessions): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row["client_id"].is_null());
    let sum = |name: &str| shards.iter().map(|row| row[name].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(shards.len(), 2);
    assert_eq!(["sessions", "subscriptions", "memberships", "queued_copies"].map(sum), [2, 2, 1, 4]);
    assert_eq!(["retained_messages", "inflight_copies"].map(sum), [1, 0]);
    assert_eq!(sum("records"), kept.dump("", 0).len() as u64);
    for row in &shards {
        let of_kinds = row["kinds"].as_object().unwrap().values();
        let (mut records, mut bytes) = (0, 0);
        of_kinds.for_each(|kind| {
            records += kind["records"].as_u64().unwrap();
            bytes += kind["bytes"].as_u64().unwrap();
        });
        assert_eq!((Some(records), Some(bytes)), (row["records"].as_u64(), row["record_bytes"].as_u64()));
        assert!(row["live_bytes"].as_u64() <= row["record_bytes"].as_u64(), "{row}");
        assert!(row["segments"].as_u64().is_none_or(|segments| segments <= row["file_bytes"].as_u64().unwrap() >> 20));
    }
    let keeper = sessions.iter().find(|row| row["client_id"] == "keeper").unwrap();
    assert_eq!((&keeper["subscriptions"], &keeper["queued"]), (&serde_json::json!(["hall/+"]), &3.into()));
    let other = sessions.iter().find(|row| row["client_id"] == "other").unwrap();
    assert_eq!((&other["memberships"], &other["queued"]), (&serde_json::json!(["$share/crew/job"]), &1.into()));
    assert!(other["is_connected"] == false && sessions.len() == 2, "{sessions:?}");

    let text = kept.ask("stats", "", 0);
    assert!(text.contains("\nretained_messages ") && text.contains("\n  queued "), "{text}");
    assert!(!text.contains("keeper") && kept.ask("stats", "--sessions", 0).contains(" client_id=keeper "), "{text}");
}

#[test]
fn a_flipped_bit_is_named_with_its_place_and_ends_with_4() {
    let kept = Kept::new("flipped", 1);
    let rows = kept.dump("", 0);
    let body = rows.iter().find(|row| row["payload"] == "text-of-the-first").unwrap();
    let path = kept.flip(body);
    let check = kept.ask("check", "", 4);
    let named =
        format!("  damaged: {}: {} bytes at {}: a record is lost", path.display(), body["bytes"], body["position"]);
    assert!(check.contains(&named), "{named} in {check}");
    let left = kept.dump("", 4);
    assert_eq!(left, rows.iter().filter(|row| *row != body).cloned().collect::<Vec<_>>(), "nothing else is lost");
    let output = run(&format!("journal stats {}", kept.path.display()));
    assert_eq!((code(&output), errors(&output).contains("shard 0: 1 pieces of damage")), (4, true));
}

#[test]
fn what_was_not_written_to_its_end_is_no_damage() {
    let kept = Kept::new("torn", 1);
    let rows = kept.dump("", 0);
    let last = rows.last().unwrap();
    kept.flip(last);
    let check = kept.ask("check", "", 0);
    let frame = last["position"].as_u64().unwrap() / BLOCK_BYTES * BLOCK_BYTES;
    assert!(check.contains("  unfinished: ") && check.contains(&format!(" bytes at {frame}: a crash ")), "{check}");
    let left = kept.dump("", 0);
    assert!(left.len() < rows.len() && left[..] == rows[..left.len()], "{left:?}");
}

#[test]
fn every_kind_of_change_has_a_line() {
    let kept = Kept::empty("kinds", 2);
    fs::create_dir_all(kept.path.join("shard-0")).unwrap();
    fs::create_dir(kept.path.join("shard-1")).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-1");
    for number in 1.. {
        let Ok(segment) = fs::read(fixture.join(format!("{number}.segment"))) else { break };
        fs::write(kept.path.join(format!("shard-1/00-{number:016x}.segment")), segment).unwrap();
    }
    kept.ask("check", "", 0);
    let rows = kept.dump("", 0);
    let kinds = kinds(&rows);
    // The fixture has all that there was when it was written.
    assert_eq!(kinds.len(), usize::from(Kind::Swept.number()), "{kinds:?}");
    let text = kept.ask("dump", "", 0);
    for line in [
        " 1          2 session       session=17920001 client_id=größe-2 user=ann expiry_s=3600 is_connected=false \
         ends_at=2026-09-21T14:14:20.000Z",
        " 1          4 joined        session=17920001 client_id=größe-2 share=crew filter=hall/+/temperature qos=2 \
         retain_as_published=true subscription_id=5",
        " 1          7 body          topic=hall/1/temperature payload=21.5 user=(name=k value=v) qos=2 retain=true origin=1793 \
         expires_at=2026-09-21T14:15:00.000Z",
        " 1         11 taken         session=257 client_id=sensor-1 copy=8 packet_id=1",
        " 1        301 queued_again  session=257 client_id=sensor-1 copy=16 body=15 qos=1 retain=false subscription_ids=300",
        " 1        302 swept         sessions=70000",
        " 1 5000000000 session_ended session=17920001 client_id=größe-2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
    let stats = kept.ask("stats", "--sessions", 0);
    assert!(stats.contains("\nshard=1 session=257 client_id=sensor-1 "), "{stats}");
}

#[test]
fn a_shard_that_is_not_there_is_damage() {
    let kept = Kept::new("missing", 2);
    // One that has written something says how many there are.
    let missing = 1 - kept.dump("", 0)[0]["shard"].as_u64().unwrap();
    fs::remove_dir_all(kept.path.join(format!("shard-{missing}"))).unwrap();
    let check = kept.ask("check", "", 4);
    let named = format!("shard {missing}: its folder is missing, and 2 shards have written here");
    assert!(check.contains(&named), "{check}");
}

#[test]
fn a_directory_without_a_journal_ends_with_1() {
    let kept = Kept::empty("nothing", 1);
    let refusal = |path: &Path| {
        let output = run(&format!("journal check {}", path.display()));
        assert_eq!((code(&output), printed(&output).as_str()), (1, ""));
        errors(&output)
    };
    assert!(refusal(&kept.path).contains(&format!("{}", kept.path.display())));
    fs::create_dir(&kept.path).unwrap();
    assert!(refusal(&kept.path).contains("holds no journal"));
}

/// What each session owns, by client identifier, and how many messages are retained.
fn owned(kept: &Kept) -> (BTreeMap<String, Vec<String>>, u64) {
    let rows = values(&kept.ask("stats", "--json --sessions", 0));
    let of_session = ["subscriptions", "memberships", "queued", "inflight", "expiry_s", "is_connected", "owner"];
    let mut sessions = BTreeMap::new();
    for row in rows.iter().filter(|row| !row["client_id"].is_null()) {
        let values = of_session.map(|name| format!("{name}={}", row[name])).to_vec();
        assert_eq!(sessions.insert(row["client_id"].to_string(), values), None, "{rows:?}");
    }
    (sessions, rows.iter().filter_map(|row| row["retained_messages"].as_u64()).sum())
}

#[test]
fn export_and_import_carry_everything() {
    let kept = Kept::new("export", 2);
    let before = owned(&kept);
    assert_eq!((before.0.len(), before.1), (2, 1));
    let carried = Kept::empty("exported", 1);
    let said = kept.ask("export", carried.path.to_str().unwrap(), 0);
    assert_eq!(said, "2 sessions and 1 retained messages are there now\n");
    assert_eq!((owned(&carried), owned(&kept)), (before.clone(), before.clone()));
    carried.ask("check", "", 0);

    let there = Kept::empty("imported", 2);
    there.ask("import", carried.path.to_str().unwrap(), 0);
    assert_eq!(owned(&there), before);
    // The broker of the other machine has more shards, finds it all and adds to it.
    let there = Kept { shards: 3, path: there.path.clone() };
    let broker = there.start();
    client(&broker, "pub -i pen -q 1 -t hall/9 -m later");
    client(&broker, "sub -c -i third -q 1 -t attic -E");
    assert_eq!(broker.stop(), Stopped::Clean);
    let after = owned(&there);
    assert_eq!((after.0.len(), after.1), (3, 1));
    assert!(after.0["\"keeper\""].contains(&"queued=4".to_owned()), "{after:?}");

    there.ask("export", carried.path.to_str().unwrap(), 1);
    assert_eq!(owned(&carried), before, "what is there already is left alone");
}

#[test]
fn an_import_of_what_is_there_already_asks_who_counts() {
    let (first, second) = (Kept::new("first", 2), Kept::new("second", 1));
    let broker = second.start();
    client(&broker, "pub -i pen -q 1 -t hall/9 -m later");
    client(&broker, "sub -c -i third -q 1 -t attic -E");
    assert_eq!(broker.stop(), Stopped::Clean);
    let (here, coming) = (owned(&first), owned(&second));

    let question = format!("journal import {} {}", first.path.display(), second.path.display());
    let output = run(&question);
    let complaint = errors(&output);
    assert!(code(&output) == 1 && complaint.contains("and 2 more: choose with --keep or --replace"), "{complaint}");
    assert_eq!(owned(&first), here, "nothing was changed");

    let said = printed(&run(&format!("{question} --keep")));
    assert_eq!(said, "3 sessions and 1 retained messages are there now, 3 more were there twice\n");
    let kept = owned(&first);
    assert_eq!((&kept.0["\"keeper\""], &kept.0["\"third\""]), (&here.0["\"keeper\""], &coming.0["\"third\""]));

    assert_eq!(code(&run(&format!("{question} --replace"))), 0);
    assert_eq!(owned(&first), coming);
    let broker = first.start();
    let output = run(&question);
    assert!(code(&output) == 1 && errors(&output).contains("is in use by process"), "{}", errors(&output));
    assert_eq!(broker.stop(), Stopped::Clean);
}
