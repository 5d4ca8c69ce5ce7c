//! The operator's files change while the broker runs.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::wait_for;
use crate::process::{Broker, Options};
use crate::support::story::{Heard, Hello, Post};
use crate::tls::{self, Trust};

/// By `mosquitto_passwd` 2.0.11: `alice` with `correct horse`, `bob` with `ñandú €`.
pub const ALICE: &str = "alice:$7$101$sW+MWAyltInm8zDb$\
    pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==\n";
pub const BOB: &str = "bob:$6$i1AdAIxM3Hsv1WMD$\
    YvZUebNjXNVMUItUlln8/ONDgOTnC+4Teb74s7vR2rtwKmd5OKgigQTJNbijM3LiNeWZcyie6TOLxojIPyOeyQ==\n";
const EVERYTHING: &str = "pattern #\n";

struct Scene {
    folder: Folder,
    broker: Broker,
}

impl Scene {
    fn new(test: &str) -> Self {
        let folder = Folder::new(test);
        fs::create_dir(folder.path()).expect("the name is this test's");
        fs::write(folder.path().join("users"), [ALICE, BOB].concat()).expect("there is room");
        fs::write(folder.path().join("rules"), EVERYTHING).expect("there is room");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (users, rules) =
            (format!("auth.password_file={}", path("users")), format!("auth.acl_file={}", path("rules")));
        let broker = Options::shards(2).set(&users).set(&rules).start();
        Self { folder, broker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file gets another content all at once, as editors and orchestrators do it.
    fn replace(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).expect("there is room");
        put_in_place(&self.path("new"), &self.path(name));
    }

    fn times(&self, what: &str) -> usize {
        self.broker.log().matches(what).count()
    }

    /// The files were read anew so many times, and their content is in force.
    fn await_reloads(&self, count: usize) {
        wait_for("a reload", || (self.times("were read anew") >= count).then_some(()));
    }

    /// All that they say has come into force so many times.
    fn await_in_force(&self, count: usize) {
        wait_for("a whole reload", || (self.times("were read anew and are in force") >= count).then_some(()));
    }

    /// So many times they were not fit for it.
    fn await_refusals(&self, count: usize) {
        wait_for("a refused reload", || (self.times("is not in force") >= count).then_some(()));
    }

    fn alice(&self, id: &str) -> Client {
        Client::connect(&self.broker, &Hello::v5(id).login("alice", "correct horse"))
    }

    fn bob(&self, id: &str) -> Client {
        Client::connect(&self.broker, &Hello::v5(id).login("bob", "ñandú €"))
    }
}

#[test]
fn threat_5_a_user_who_is_gone_is_gone_at_once_and_the_others_notice_nothing() {
    let scene = Scene::new("reload-users");
    let (mut alice, mut bob, mut old) = (
        scene.alice("a"),
        scene.bob("b"),
        Client::connect(&scene.broker, &Hello::new(Version::V311, "c").login("bob", "ñandú €")),
    );
    scene.replace("users", ALICE);
    bob.expect_closed_for(0x87);
    old.expect_closed();
    let mut refused = Client::hello(&scene.broker, &Hello::v5("d").login("bob", "ñandú €"));
    refused.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
    alice.post(&Post::to("a").payload("x").qos(1).id(1));
    scene.alice("e").leave();
    scene.replace("users", &[ALICE, BOB].concat());
    scene.await_reloads(2);
    scene.bob("b").leave();
}

#[test]
fn threat_5_a_user_who_is_taken_away_while_the_broker_starts_does_not_come_in() {
    let trust = Trust::new("reload-start");
    let (users, pipe) = (trust.path("users"), trust.path("pipe.pem"));
    fs::write(&users, [ALICE, BOB].concat()).expect("there is room");
    // The certificate is read behind the users, and out of a pipe: so the start goes no further until somebody writes.
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("there is one").success());
    let chain = fs::read(&trust.server.path).expect("it is there");
    let users_are = format!("auth.password_file={}", users.display());
    let chain_is = format!("listeners.tls.certificates={}", pipe.display());
    let options = Options::shards(2).set(&users_are).set("listeners.tls.address=127.0.0.1:0").set(&chain_is);
    let broker = options.launch();
    let mut writer = wait_for("the broker to read its certificate", || {
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe).ok()
    });
    tls::replace(&users, ALICE);
    fs::rename(&trust.server.path, &pipe).expect("it is the same folder"); // what is read later is a file
    writer.write_all(&chain).expect("a pipe has room for it");
    drop(writer);
    let login = |name: &str, password: &str| {
        let mut client = Client::over(tls::open(&broker, &trust.anybody()), Version::V5);
        client.send(&Hello::v5("x").login(name, password).encode());
        client.hear()
    };
    wait_for("the user to be gone", || matches!(login("bob", "ñandú €"), Heard::ConnAck(_, 0x86, _)).then_some(()));
    assert!(matches!(login("alice", "correct horse"), Heard::ConnAck(_, 0, _)));
}

#[test]
fn threat_5_whose_password_has_changed_has_to_prove_himself_again() {
    let scene = Scene::new("reload-password");
    let (mut alice, mut bob) = (scene.alice("a"), scene.bob("b"));
    // The same password under another salt is another proof.
    let renewed = ALICE.replace("bob", "alice").replace("sW+MWAyl", "tW+MWAyl").replace("pN8dTsBm", "qN8dTsBm");
    scene.replace("users", &[&*renewed, BOB].concat());
    alice.expect_closed_for(0x87);
    bob.post(&Post::to("a").payload("x").qos(1).id(1));
}

#[test]
fn threat_5_an_old_password_that_was_known_is_refused_as_soon_as_it_has_changed() {
    let scene = Scene::new("reload-known");
    let refused = |name: &str, password: &str| {
        let mut client = Client::hello(&scene.broker, &Hello::v5("x").login(name, password));
        client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
    };
    // What was proven once is known, on each shard.
    for id in ["a", "b", "c", "d"] {
        scene.alice(id).leave();
        scene.bob(id).leave();
    }
    let renewed = BOB.replace("bob:", "alice:");
    scene.replace("users", &[&*renewed, BOB].concat());
    scene.await_reloads(1);
    for _ in 0..4 {
        refused("alice", "correct horse");
    }
    Client::connect(&scene.broker, &Hello::v5("a").login("alice", "ñandú €")).leave();
    scene.bob("b").leave();
    scene.replace("users", &renewed);
    scene.await_reloads(2);
    for _ in 0..4 {
        refused("bob", "ñandú €");
        refused("alice", "correct horse");
    }
    scene.replace("users", &[ALICE, BOB].concat());
    scene.await_reloads(3);
    refused("alice", "ñandú €");
    scene.alice("a").leave();
    scene.bob("b").leave();
}

/// What a publication is answered.
fn puback(client: &mut Client, topic: &str) -> u8 {
    client.publish(&Post::to(topic).payload("x").qos(1).id(7));
    match client.hear() {
        Heard::PubAck(7, code, _) => code,
        other => panic!("no PUBACK: {other:?}"),
    }
}

/// A file takes the place of another one, later than it was written as the kernel's clock for files tells: that stands still for milliseconds.
fn put_in_place(new: &Path, place: &Path) {
    let aside = new.with_extension("aside");
    loop {
        fs::rename(new, &aside).expect("it is the same folder");
        let found = fs::metadata(&aside).expect("it is there");
        if (found.ctime(), found.ctime_nsec()) > (found.mtime(), found.mtime_nsec()) {
            return fs::rename(&aside, place).expect("it is the same folder");
        }
        fs::rename(&aside, new).expect("it is the same folder");
    }
}

#[test]
fn threat_7_rules_that_are_written_into_their_file_take_away_at_once_and_give_when_they_are_known_to_be_whole() {
    let scene = Scene::new("reload-in-place");
    scene.replace("rules", "pattern #\npattern deny secret/#\n");
    scene.await_reloads(1);
    let mut bob = scene.bob("b");
    assert_eq!(["secret/x", "a", "b"].map(|topic| puback(&mut bob, topic)), [0x87, 0x10, 0x10]);
    let write = |text: &str| fs::write(scene.path("rules"), text).expect("there is room");
    let await_caution = |count: usize| {
        wait_for("a cautious reload", || (scene.times("may be half there") >= count).then_some(()));
    };
    // A writer who has got so far, and no further: the denial stands behind the cut.
    write("pattern deny b\npattern #\n");
    await_caution(1);
    wait_for("the new denial", || (puback(&mut bob, "b") == 0x87).then_some(()));
    let answers = ["secret/x", "a"].map(|topic| puback(&mut bob, topic));
    let is_slow = scene.times("are in force") > 1; // five seconds are over before anybody could look
    assert!(answers == [0x87, 0x10] || is_slow, "{answers:?}");
    // The rest comes, and nobody has had anything in between.
    write("pattern deny b\npattern #\npattern deny secret/#\n");
    await_caution(2);
    scene.await_in_force(2);
    assert_eq!(["secret/x", "a", "b"].map(|topic| puback(&mut bob, topic)), [0x87, 0x10, 0x87]);
    // What the operator means to give comes when he has said so, or when the file has been quiet.
    write("pattern a\npattern secret/#\n");
    await_caution(3);
    let before = scene.times("are in force");
    scene.broker.signal("HUP");
    scene.await_in_force(before + 1);
    wait_for("the right", || (puback(&mut bob, "secret/x") == 0x10).then_some(()));
    write("pattern a\npattern c\n");
    await_caution(4);
    wait_for("the right to go", || (puback(&mut bob, "secret/x") == 0x87).then_some(()));
    wait_for("the right of a quiet file", || (puback(&mut bob, "c") == 0x10).then_some(()));
    assert!(scene.times("are in force") > before);
    // What is made in the place of the old file, as some programs do it, is another file, and not whole because it is.
    fs::remove_file(scene.path("rules")).expect("it is there");
    write("pattern d\n");
    await_caution(5);
    fs::remove_file(scene.path("rules")).expect("it is there");
    wait_for("the file to be missed", || scene.broker.log().contains("No such file").then_some(()));
    write("pattern #\n");
    await_caution(6);
}

#[test]
fn threat_7_rules_that_were_cut_in_a_line_change_nothing() {
    let scene = Scene::new("reload-cut");
    scene.replace("rules", "pattern #\npattern deny secret/#\n");
    scene.await_reloads(1);
    let mut bob = scene.bob("b");
    scene.replace("rules", "pattern #\npattern deny secret/");
    scene.await_refusals(1);
    assert!(
        scene.broker.log().contains("rules: line 2: no newline ends it: was the file cut?"),
        "{}",
        scene.broker.log()
    );
    assert_eq!(["secret/x", "a"].map(|topic| puback(&mut bob, topic)), [0x87, 0x10]);
}

#[test]
fn threat_5_a_right_that_is_gone_ends_on_subscriptions_that_stay() {
    let scene = Scene::new("reload-rules");
    let (mut alice, mut bob) = (scene.alice("a"), scene.bob("b"));
    alice.subscribe("#", 1);
    bob.post(&Post::to("home/a").payload("x").qos(1).id(1));
    assert_eq!(alice.take().topic, "home/a");
    scene.replace("rules", "user alice\ntopic read news/#\nuser bob\ntopic #\n");
    scene.await_reloads(1);
    for (id, topic) in [(2, "home/a"), (3, "news/a")] {
        bob.post(&Post::to(topic).payload("x").qos(1).id(id));
    }
    assert_eq!(alice.take().topic, "news/a");
    alice.publish(&Post::to("news/a").payload("x").qos(1).id(1));
    alice.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(1, 0x87, _)));
}

#[test]
fn threat_5_rules_that_have_changed_while_the_broker_was_down_hold_for_subscriptions_of_before() {
    let folder = Folder::new("reload-restart");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("users"), [ALICE, BOB].concat()).expect("there is room");
    let allow = |filter: &str| {
        let rules = format!(
            "rule = [
                {{ effect = 'allow', who = {{ user = 'bob' }}, actions = 'publish', topics = '#' }},
                {{ effect = 'allow', who = {{ user = 'alice' }}, actions = 'subscribe', topics = '{filter}' }},
            ]"
        );
        fs::write(path("rules"), rules).expect("there is room");
    };
    let start = || {
        let options = Options::shards(2).set(&format!("auth.password_file={}", path("users").display()));
        let options = options.set(&format!("auth.rules_file={}", path("rules").display()));
        let options = options.set("storage.durability=interval");
        options.set(&format!("storage.data_dir={}", path("data").display())).start()
    };
    let alice = Hello::v5("a").login("alice", "correct horse").resume().expiry(600);
    let bob = Hello::v5("b").login("bob", "ñandú €");
    allow("#");
    let mut broker = start();
    let mut reader = Client::connect(&broker, &alice);
    reader.subscribe("#", 1);
    reader.leave();
    let mut writer = Client::connect(&broker, &bob);
    for (id, topic) in [(1, "secret/before"), (2, "open/before")] {
        writer.post(&Post::to(topic).payload("x").qos(1).id(id));
    }
    broker.terminate();
    broker.wait();
    allow("open/#");
    let broker = start();
    let (mut reader, is_present) = Client::connect_present(&broker, &alice);
    assert!(is_present);
    assert_eq!(reader.take().topic, "open/before");
    let mut writer = Client::connect(&broker, &bob);
    for (id, topic) in [(1, "secret/after"), (2, "open/after")] {
        writer.post(&Post::to(topic).payload("x").qos(1).id(id));
    }
    assert_eq!(reader.take().topic, "open/after");
}

#[test]
fn threat_7_what_cannot_be_read_changes_nothing_and_is_told() {
    let scene = Scene::new("reload-wrong");
    let mut bob = scene.bob("b");
    let wrong = ["", "alice\n", "alice:$7$101$sW", "# nobody\n", "bob:x\n"];
    for (number, text) in (1..).zip(wrong) {
        scene.replace("users", text);
        scene.await_refusals(number);
        bob.post(&Post::to("a").payload("x").qos(1).id(1));
        scene.bob("c").leave();
    }
    fs::remove_file(scene.path("users")).expect("it is there");
    scene.await_refusals(wrong.len() + 1);
    scene.replace("rules", "use bob\n");
    scene.await_refusals(wrong.len() + 2);
    assert!(scene.broker.log().contains("No such file"), "{}", scene.broker.log());
    bob.post(&Post::to("a").payload("x").qos(1).id(1));
    scene.bob("c").leave();
    assert_eq!(scene.times("were read anew"), 0);
    scene.replace("rules", EVERYTHING);
    scene.replace("users", ALICE);
    bob.expect_closed_for(0x87);
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let scene = Scene::new("reload-link");
    let mut bob = scene.bob("b");
    fs::write(scene.path("users.2"), ALICE).expect("there is room");
    std::os::unix::fs::symlink("users.2", scene.path("link")).expect("it is not there");
    fs::rename(scene.path("link"), scene.path("users")).expect("it is the same folder");
    bob.expect_closed_for(0x87);
    fs::write(scene.path("users.3"), [ALICE, BOB].concat()).expect("there is room");
    std::os::unix::fs::symlink("users.3", scene.path("link")).expect("it is not there");
    fs::rename(scene.path("link"), scene.path("users")).expect("it is the same folder");
    scene.await_reloads(2);
    scene.bob("b").leave();
}

#[test]
fn a_hangup_has_everything_read_anew_and_ends_nothing() {
    let scene = Scene::new("reload-hangup");
    let mut bob = scene.bob("b");
    for count in 1..=3 {
        scene.broker.signal("HUP");
        scene.await_reloads(count);
    }
    bob.post(&Post::to("a").payload("x").qos(1).id(1));
}

#[test]
fn threat_7_without_descriptors_the_old_files_stay_in_force_until_there_are_some() {
    let scene = Scene::new("reload-descriptors");
    let mut bob = scene.bob("b");
    scene.broker.limit_descriptors(3);
    scene.replace("users", ALICE);
    scene.await_refusals(1);
    bob.post(&Post::to("a").payload("x").qos(1).id(1));
    scene.broker.limit_descriptors(1_000);
    // Nobody has touched the file again.
    bob.expect_closed_for(0x87);
}
