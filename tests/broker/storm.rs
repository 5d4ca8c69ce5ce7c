//! More clients come in at once than can be answered in time: who is served, who is turned away, and who goes on as if nothing was.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::wait_until;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};

/// Long enough to hear what is there.
const MOMENT: Duration = Duration::from_millis(1);
const PASSWORD: &str = "correct horse";

/// A password file with users that all have the same slow hash, and a folder for the rest.
struct Files(Folder);

impl Files {
    fn new(test: &str, users: usize) -> Self {
        let files = Self(Folder::new(test));
        fs::create_dir(files.0.path()).expect("the name is this test's");
        let one = files.path("one");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pregon"));
        command.args(["passwd", "--create", &one, "user", "--batch"]).stdin(Stdio::piped());
        let mut making = command.spawn().expect("the command can be started");
        let input = making.stdin.as_mut().expect("it is a pipe");
        input.write_all(format!("{PASSWORD}\n").as_bytes()).expect("the command reads");
        assert!(making.wait().expect("the command ends").success());
        let line = fs::read_to_string(&one).expect("the file was made");
        let (_, hash) = line.trim().split_once(':').expect("a user has a hash");
        let lines: Vec<String> = (0..users).map(|number| format!("user-{number}:{hash}\n")).collect();
        fs::write(files.path("users"), lines.concat()).expect("there is room");
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// One clerk, so that hashes take their time.
    fn options(&self, shards: usize) -> Options {
        let users = format!("auth.password_file={}", self.path("users"));
        Options::shards(shards).set(&users).set("auth.clerks=1")
    }
}

fn user(version: Version, number: usize) -> Hello {
    Hello::new(version, &format!("client-{number}")).login(&format!("user-{number}"), PASSWORD)
}

#[test]
fn threat_10_who_would_be_answered_too_late_hears_it_in_time_and_others_go_on() {
    const CLIENTS: usize = 500;
    let files = Files::new("storm-late", CLIENTS + 2);
    // Much less time than so many hashes take.
    let broker = files.options(2).set("limits.connect_timeout=3s").start();
    let mut listener = Client::connect(&broker, &user(Version::V5, CLIENTS));
    listener.subscribe("established", 1);
    let mut speaker = Client::connect(&broker, &user(Version::V311, CLIENTS + 1));

    let version = |number: usize| if number.is_multiple_of(2) { Version::V5 } else { Version::V311 };
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|number| Client::hello(&broker, &user(version(number), number))).collect();
    let mut last = clients.pop().expect("there are some");
    last.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 3, _)));
    let heard: Vec<Option<Heard>> = clients.iter_mut().map(|client| client.hear_within(MOMENT)).collect();
    let let_in_before = heard.iter().flatten().filter(|heard| matches!(heard, Heard::ConnAck(false, 0, _))).count();
    let (mut let_in, mut turned_away) = (0, 1);
    for (number, (client, heard)) in clients.iter_mut().zip(heard).enumerate() {
        match heard.unwrap_or_else(|| client.hear()) {
            Heard::ConnAck(false, 0, _) => let_in += 1,
            // Server busy, in the words of 5.0 and of 3.x.
            Heard::ConnAck(false, 0x89 | 3, _) => turned_away += 1,
            other => panic!("client {number} is left without an answer in time: {other:?}"),
        }
        speaker.post(&Post::to("established").payload("goes on").qos(1).id(1));
        assert_eq!(listener.take().payload, b"goes on");
    }

    assert!(let_in > 0, "{let_in} came in, {turned_away} were turned away");
    assert!(2 * let_in_before < let_in, "the last heard it when {let_in_before} of {let_in} had come in: that is late");
    assert!(broker.log().contains("clients were turned away"), "the operator hears of it");
}

#[test]
fn who_has_a_session_goes_before_those_who_have_none() {
    const NEW: usize = 40;
    let files = Files::new("storm-resume", NEW + 1);
    let start = || -> Broker {
        let data_dir = format!("storage.data_dir={}", files.path("data"));
        files.options(1).set("storage.durability=fsync").set(&data_dir).set("limits.connect_timeout=1m").start()
    };
    let returning = user(Version::V5, NEW).resume().expiry(600);
    let mut broker = start();
    let (client, is_present) = Client::connect_present(&broker, &returning);
    assert!(!is_present);
    client.leave();
    broker.terminate();
    broker.wait();

    let broker = start(); // and nobody's password is known any more
    let mut new: Vec<Client> = (0..NEW).map(|number| Client::hello(&broker, &user(Version::V5, number))).collect();
    let (_client, is_present) = Client::connect_present(&broker, &returning);

    assert!(is_present);
    let answered = new.iter_mut().filter_map(|client| client.hear_within(MOMENT)).count();
    assert!(answered < NEW / 2, "{answered} of {NEW} who came before and have no session were served before");
    let last = new.last_mut().expect("there are some");
    last.expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
}

/// As slow as a password file may make it, and right for nobody.
fn slow_hash() -> String {
    format!("$7$2000000$c2FsdHNhbHRzYWx0${}==", "A".repeat(86))
}

#[test]
fn threat_10_no_hash_is_computed_for_clients_that_have_hung_up_in_line() {
    const GONE: usize = 20;
    /// They, and one who stays.
    const IN_LINE: f64 = 21.0;
    let files = Files::new("storm-gone", 1);
    let slow = ["slow-0", "slow-1"].map(|name| format!("{name}:{}\n", slow_hash()));
    let users = fs::read_to_string(files.path("users")).expect("it was made");
    fs::write(files.path("users"), users + &slow.concat()).expect("there is room");
    for _ in 0..10 {
        let broker = files.options(1).with_metrics().set("limits.connect_timeout=10m").start();
        // One in the clerk's hands, and one that is there when it is done with that: all others wait in line.
        let mut slow = ["slow-0", "slow-1"].map(|name| {
            let hello = Hello::v5(name).login(name, "wrong");
            Client::hello(&broker, &hello)
        });
        let gone: Vec<Client> = (0..GONE)
            .map(|number| Client::hello(&broker, &Hello::v5(&format!("gone-{number}")).login("user-0", "wrong")))
            .collect();
        let mut last = Client::hello(&broker, &user(Version::V5, 0));
        let mut is_over = false;
        wait_until("all of them to stand in line", || {
            is_over |= slow[0].hear_within(MOMENT).is_some();
            is_over || broker.metric("pregon_questions_waiting{shard=\"0\"}") == Some(IN_LINE)
        });
        gone.into_iter().for_each(Client::cut);
        if is_over || slow[0].hear_within(MOMENT).is_some() {
            continue; // the machine was busy: some of those who have gone may have had their turn
        }
        last.expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
        for client in &mut slow {
            client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
        }
        // Each hash of a wrong password counts.
        broker.await_metric("pregon_proofs_failed_total{shard=\"0\"}", 2.0);
        return;
    }
    panic!("the clerk is never busy for long enough");
}
