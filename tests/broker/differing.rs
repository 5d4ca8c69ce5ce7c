//! `pregon acl diff`: what other rules would change for those who are connected to a running broker.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{wait_for, wait_until};
use crate::process::{Broker, Options};
use crate::reload::{ALICE, BOB};
use crate::support::story::{Hello, Post, Wish};

/// Alice may do everything, Bob has a branch.
const RULES: &str = "\
[[rule]]
effect = 'allow'
who = { user = 'alice' }
actions = 'all'
topics = '#'

[[rule]]
effect = 'allow'
who = { user = 'bob' }
actions = 'all'
topics = 'b/#'
";

/// Alice has lost a part, and Bob all that he had; he has another branch.
const OTHERS: &str = "\
[[rule]]
effect = 'deny'
who = { user = 'alice' }
actions = ['publish', 'receive']
topics = 'a/secret/#'

[[rule]]
effect = 'allow'
who = { user = 'alice' }
actions = 'all'
topics = '#'

[[rule]]
effect = 'allow'
who = { user = 'bob' }
actions = 'all'
topics = 'c/#'
";

pub struct Scene {
    folder: Folder,
    /// Which key names the rules in force, and in which file they are.
    rules: (&'static str, &'static str),
}

impl Scene {
    pub fn new(test: &str) -> Self {
        let folder = Folder::new(test);
        fs::create_dir(folder.path()).expect("the name is this test's");
        let scene = Self { folder, rules: ("rules_file", "rules.toml") };
        for (name, text) in
            [("users", [ALICE, BOB].concat()), ("rules.toml", RULES.to_owned()), ("new.toml", OTHERS.to_owned())]
        {
            fs::write(scene.folder.path().join(name), text).expect("there is room");
        }
        scene
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn settings(&self) -> Vec<String> {
        vec![
            format!("auth.password_file={}", self.path("users")),
            format!("auth.{}={}", self.rules.0, self.path(self.rules.1)),
            "storage.durability=memory".to_owned(),
            format!("admin.control={}", self.path("control")),
        ]
    }

    fn start(&self, shards: usize) -> Broker {
        self.start_with(shards, &[])
    }

    pub fn start_with(&self, shards: usize, further: &[String]) -> Broker {
        let settings = [&self.settings()[..], further].concat();
        let options = settings.iter().fold(Options::shards(shards), |options, setting| options.set(setting));
        let broker = options.start();
        wait_until("the inner door", || self.socket().exists());
        broker
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn command(&self, new: &str, further: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pregon"));
        command.args(["acl", "diff", &self.path(new)]);
        for setting in self.settings() {
            command.args(["--set", &setting]);
        }
        command.args(further);
        command
    }

    pub fn diff(&self, new: &str, further: &[&str]) -> Output {
        self.command(new, further).output().expect("it can be started")
    }
}

fn alice(broker: &Broker, id: &str) -> Client {
    Client::connect(broker, &Hello::v5(id).login("alice", "correct horse"))
}

/// Exit code, lines in order, complaints.
pub fn told(output: &Output) -> (Option<i32>, Vec<String>, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    let summary = lines.pop();
    lines.sort();
    lines.extend(summary);
    (output.status.code(), lines, text(&output.stderr))
}

#[test]
fn threat_5_what_others_would_lose_and_gain_is_told_by_a_broker_that_changes_nothing() {
    for shards in [1, 3] {
        let scene = Scene::new(&format!("diff-told-{shards}"));
        let (rules, new) = (scene.path("rules.toml"), scene.path("new.toml"));
        let broker = scene.start(shards);
        let mut a = alice(&broker, "a");
        assert_eq!(a.subscribe_to(&[Wish::to("a/#", 1), Wish::to("$share/g/x/#", 1)]), [1, 1]);
        let hello = Hello::v5("b").resume().expiry(600).login("bob", "ñandú €").will("b/gone", "x", 0, false);
        let mut b = Client::connect(&broker, &hello);
        b.subscribe("b/+", 1);
        assert_eq!(b.subscribe_to(&[Wish::to("c/x", 0)]), [0x87]);
        // Also who is away has something to lose.
        let mut c = Client::connect(&broker, &Hello::v5("c").resume().expiry(600).login("bob", "ñandú €"));
        c.subscribe("b/c", 0);
        c.leave();
        let (code, lines, complaints) = told(&scene.diff("new.toml", &[]));
        assert_eq!(
            lines,
            [
                format!("lost    alice as a: receive a/secret/# by subscribe a/#: {rules}:1 -> {new}:1"),
                format!("lost    bob as b: subscribe b/+: {rules}:7 -> {new}: no rule"),
                format!("lost    bob as b: will b/gone: {rules}:7 -> {new}: no rule"),
                format!("lost    bob as c: subscribe b/c: {rules}:7 -> {new}: no rule"),
                "4 lost, 0 gained: 4 subscriptions of 3 sessions".to_owned(),
            ]
        );
        assert_eq!((code, complaints.as_str()), (Some(1), ""));
        let output = scene.diff("new.toml", &["--json"]);
        let rows = String::from_utf8(output.stdout).expect("it is text");
        let rows: Vec<serde_json::Value> =
            rows.lines().map(|row| serde_json::from_str(row).expect("it is JSON")).collect();
        let lost = rows.iter().find(|row| row["part"] == "a/secret/#").expect("it is told");
        assert_eq!(lost["change"], "lost");
        assert_eq!((&lost["user"], &lost["client"], &lost["topic"]), (&"alice".into(), &"a".into(), &"a/#".into()));
        assert_eq!((&lost["now"]["file"], &lost["now"]["line"]), (&rules.into(), &1.into()));
        assert_eq!(rows.last().expect("a summary")["lost"], 4);
        let away = rows.iter().find(|row| row["client"] == "c").expect("it is told");
        assert_eq!(away["connected"], false);
        // Nobody has lost anything.
        alice(&broker, "d").post(&Post::to("b/x").payload("still").qos(1).id(1));
        assert_eq!(b.take().payload, b"still");
        // What is in force changes nothing; in the words of mosquitto neither.
        let (code, lines, _) = told(&scene.diff("rules.toml", &[]));
        assert_eq!((code, lines.len()), (Some(0), 1), "{lines:?}");
        fs::write(scene.path("acl"), "user alice\ntopic #\nuser bob\ntopic b/#\ntopic c/#\n").expect("there is room");
        let (code, lines, complaints) = told(&scene.diff("acl", &[]));
        assert_eq!((code, lines.len(), complaints.as_str()), (Some(0), 1, ""), "{lines:?}");
        let (code, _, complaints) = told(&scene.diff("rules.toml", &["--format", "mosquitto"]));
        assert!(code == Some(2) && complaints.contains("rules.toml: line 1: "), "{complaints}");
    }
}

#[test]
fn what_is_gained_is_told_apart() {
    let scene = Scene::new("diff-gained");
    fs::write(scene.path("rules.toml"), OTHERS).expect("there is room");
    fs::write(scene.path("new.toml"), RULES).expect("there is room");
    let (rules, new) = (scene.path("rules.toml"), scene.path("new.toml"));
    let broker = scene.start(2);
    let mut a = alice(&broker, "a");
    a.subscribe("a/secret/x", 1);
    let (code, lines, _) = told(&scene.diff("new.toml", &[]));
    let gained = format!("gained  alice as a: receive a/secret/x by subscribe a/secret/x: {rules}:1 -> {new}:1");
    assert_eq!((code, lines), (Some(0), vec![gained, "0 lost, 1 gained: 1 subscriptions of 1 sessions".to_owned()]));
}

#[test]
fn where_somebody_comes_from_is_known_and_what_nobody_can_say_counts_as_lost() {
    let scene = Scene::new("diff-unclear");
    let broker = scene.start(2);
    let mut a = alice(&broker, "a");
    a.subscribe("a/#", 1);
    fs::write(scene.path("here.toml"), RULES.replace("user = 'alice'", "address = '127.0.0.0/8'"))
        .expect("there is room");
    let (code, lines, complaints) = told(&scene.diff("here.toml", &[]));
    assert_eq!((code, lines.len(), complaints.as_str()), (Some(0), 1, ""), "{lines:?}");
    // More lines speak of it than are looked at.
    let denials: Vec<String> = (0..2_000).map(|number| format!("topic deny a/{number}")).collect();
    let many = ["user alice", &denials.join("\n"), "topic #", ""].join("\n");
    fs::write(scene.path("many"), many).expect("there is room");
    let (code, lines, complaints) = told(&scene.diff("many", &[]));
    assert_eq!((code, complaints.as_str()), (Some(1), ""));
    assert!(lines[1].starts_with("0 lost, 0 gained, 1 unclear: "), "{lines:?}");
}

#[test]
fn threat_7_while_rules_may_be_half_written_what_is_in_force_is_told_by_both() {
    let scene = Scene { rules: ("acl_file", "acl"), ..Scene::new("diff-cautious") };
    let (acl, new) = (scene.path("acl"), scene.path("new.acl"));
    let old = "user alice\ntopic a/#\ntopic b/#\ntopic deny a/old\n";
    fs::write(&acl, old).expect("there is room");
    fs::write(&new, "user alice\ntopic a/#\ntopic c/#\n").expect("there is room");
    let broker = scene.start(2);
    let mut a = alice(&broker, "a");
    assert_eq!(a.subscribe_to(&["a/#", "b/#", "c/#"].map(|filter| Wish::to(filter, 1))), [1, 1, 1]);
    let whole = told(&scene.diff("new.acl", &[]));
    let gained = [
        format!("gained  alice as a: receive a/old by subscribe a/#: {acl}:4 -> {new}:2"),
        format!("gained  alice as a: receive c/# by subscribe c/#: {acl}: no rule -> {new}:3"),
    ];
    let lost = format!("lost    alice as a: receive b/# by subscribe b/#: {acl}:3 -> {new}: no rule");
    let end = "1 lost, 2 gained: 3 subscriptions of 1 sessions".to_owned();
    assert_eq!(whole, (Some(1), [&gained[..], &[lost, end]].concat(), String::new()));
    // Written in place: `a/new` is denied at once, and what is given waits. A file that has stayed as it is for some seconds is taken for whole,
    // so on a slow machine all of it is done once more.
    let tries = Cell::new(0);
    let cautious = |diff: &dyn Fn() -> Output, is_cautious: &dyn Fn(&Output) -> bool| {
        let await_more = |words: &str, change: &dyn Fn()| {
            let before = broker.log().matches(words).count();
            change();
            wait_until(words, || broker.log().matches(words).count() > before);
        };
        wait_for("an answer while nobody knows", || {
            tries.set(tries.get() + 1);
            let number = tries.get();
            await_more("were read anew and are in force", &|| {
                fs::write(scene.path("beside"), format!("{old}# {number}\n")).expect("there is room");
                fs::rename(scene.path("beside"), &acl).expect("it is the same folder");
            });
            await_more("may be half there", &|| {
                let text = format!("user alice\ntopic a/#\ntopic c/#\ntopic deny a/new\n# {number}\n");
                fs::write(&acl, text).expect("there is room");
            });
            Some(diff()).filter(is_cautious)
        })
    };
    let is_noted = |output: &Output| output.stdout.windows(7).any(|some| some == b"note   ");
    let output = cautious(&|| scene.diff("new.acl", &[]), &is_noted);
    let note =
        format!("note    {acl} may be half written: what it gives counts only where it did before the change, too");
    let gained = [
        format!("gained  alice as a: receive a/new by subscribe a/#: {acl}:4 -> {new}:2"),
        format!("gained  alice as a: receive a/old by subscribe a/#: {acl}:4 before its last change -> {new}:2"),
        format!("gained  alice as a: receive c/# by subscribe c/#: {acl}: no rule before its last change -> {new}:3"),
    ];
    let end = "0 lost, 3 gained: 3 subscriptions of 1 sessions".to_owned();
    assert_eq!(told(&output), (Some(0), [&gained[..], &[note, end]].concat(), String::new()));
    assert!(output.stdout.starts_with(b"note"), "it is told first");
    let rows = |output: &Output| -> Vec<serde_json::Value> {
        let text = String::from_utf8(output.stdout.clone()).expect("it is text");
        text.lines().map(|row| serde_json::from_str(row).expect("it is JSON")).collect()
    };
    let is_said = |output: &Output| rows(output).last().is_some_and(|summary| summary["cautious"] == true);
    let rows = rows(&cautious(&|| scene.diff("new.acl", &["--json"]), &is_said));
    let gained = rows.iter().find(|row| row["part"] == "a/old").expect("it is told");
    assert_eq!(gained["now"], serde_json::json!({ "file": acl, "line": 4, "before_change": true }));
    assert_eq!(gained["then"], serde_json::json!({ "file": new, "line": 2 }));
    // Now somebody says that it is whole.
    broker.signal("HUP");
    wait_until("the rules alone", || !is_noted(&scene.diff("new.acl", &[])));
}

#[test]
fn many_subscriptions_are_told_once_each() {
    let scene = Scene::new("diff-many");
    fs::write(scene.path("new.toml"), OTHERS.replace("topics = '#'", "topics = 'x/#'")).expect("there is room");
    let broker = scene.start(2);
    let mut clients = Vec::new();
    for client in 0..3 {
        let mut alice = alice(&broker, &format!("many-{client}"));
        // More than a page, and each of its pages ends within a session.
        for part in 0..9 {
            let filters: Vec<String> = (0..200).map(|number| format!("t/{client}/{}", part * 200 + number)).collect();
            let wishes: Vec<Wish<'_>> = filters.iter().map(|filter| Wish::to(filter, 0)).collect();
            assert!(alice.subscribe_to(&wishes).iter().all(|code| *code == 0));
        }
        clients.push(alice);
    }
    let (code, mut lines, _) = told(&scene.diff("new.toml", &[]));
    assert_eq!(code, Some(1));
    assert_eq!(lines.pop().as_deref(), Some("5400 lost, 0 gained: 5400 subscriptions of 3 sessions"));
    lines.dedup();
    assert_eq!(lines.len(), 5_400);
}

#[test]
fn threat_5_nobody_but_its_own_user_asks_a_broker() {
    let scene = Scene::new("diff-stranger");
    let broker = scene.start(1);
    let mode = fs::metadata(scene.socket()).expect("it is there").mode();
    assert_eq!(mode & 0o777, 0o600);
    if fs::metadata("/proc/self").expect("the kernel knows us").uid() != 0 {
        return; // only root can be somebody else
    }
    // Even where the file system would let everybody in.
    fs::set_permissions(scene.folder.path(), Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(scene.socket(), Permissions::from_mode(0o666)).expect("it is ours");
    let program = scene.folder.path().join("pregon");
    fs::copy(env!("CARGO_BIN_EXE_pregon"), &program).expect("there is room");
    let usual = scene.command("new.toml", &[]);
    let output = Command::new(program).args(usual.get_args()).uid(65_534).gid(65_534).output().expect("it starts");
    let (code, lines, complaints) = told(&output);
    assert_eq!((code, lines.len()), (Some(2), 0), "{complaints}");
    assert!(complaints.contains("nobody else asks it; you are user 65534"), "{complaints}");
    alice(&broker, "a").leave();
}

#[test]
fn where_no_broker_answers_that_is_told() {
    let scene = Scene::new("diff-nobody");
    let (code, _, complaints) = told(&scene.diff("new.toml", &[]));
    assert_eq!(code, Some(2));
    assert!(complaints.contains("no broker answers at") && complaints.contains(&scene.path("control")), "{complaints}");
    let (code, _, complaints) = told(&scene.diff("new.toml", &["--set", "admin.control=control"]));
    assert!(code == Some(2) && complaints.contains("admin.control"), "{complaints}");
    let (code, _, complaints) = told(&scene.diff("missing.toml", &[]));
    assert!(code == Some(2) && complaints.contains("missing.toml: No such file"), "{complaints}");
    // A socket that a broker has left behind is no broker, and in nobody's way.
    let broker = scene.start(1);
    broker.signal("KILL");
    drop(broker);
    assert!(scene.socket().exists());
    assert_eq!(told(&scene.diff("new.toml", &[])).0, Some(2));
    let options = scene.settings().iter().fold(Options::shards(1), |options, setting| options.set(setting));
    let mut broker = options.start();
    wait_until("the inner door", || scene.diff("new.toml", &[]).status.code() == Some(0));
    broker.terminate();
    assert!(broker.wait().success());
    assert!(!scene.socket().exists(), "a broker that stops takes its door away");
}

#[test]
fn the_door_lies_in_the_data_directory_unless_told_otherwise() {
    let scene = Scene::new("diff-default");
    let data = scene.path("data");
    let (durability, place) = ("storage.durability=fsync", format!("storage.data_dir={data}"));
    let _broker = Options::shards(1).set(durability).set(&place).start();
    let socket = scene.folder.path().join("data/control");
    wait_until("the inner door", || socket.exists());
    let mut command = Command::new(env!("CARGO_BIN_EXE_pregon"));
    command.args(["acl", "diff", &scene.path("new.toml"), "--data-dir", &data]);
    wait_until("an answer", || command.output().expect("it can be started").status.code() == Some(0));
}
