//! Files that are there and cannot be read: a folder, a link to itself, one that is somebody else's.
//!
//! Root reads what is forbidden to all others. So the broker is started under a user who owns nothing, where this is root who may do so.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::wait_until;
use crate::process::{Options, nobodys_program, run_to_end, run_to_end_as_nobody};
use crate::reload::{ALICE, BOB};
use crate::support::story::{Heard, Hello, Post};

const OWN_RULES: &str = "[[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = 'a/#'\n";
const KEYS: &str =
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;

/// The keys of `[auth]` that name files, and what stands in a good one.
const FILES: [(&str, &str); 5] = [
    ("password_file", ALICE),
    ("rules_file", OWN_RULES),
    ("acl_file", "pattern a/#\n"),
    ("token_keys", KEYS),
    ("hook_secret_file", "s3cret\n"),
];

/// What stands in the place of a file, and what the system says of it.
#[derive(Clone, Copy)]
enum Obstacle {
    Folder,
    Loop,
    Forbidden,
}

impl Obstacle {
    const ALL: [Self; 3] = [Self::Folder, Self::Loop, Self::Forbidden];

    /// Puts it there. Whether the broker cannot read it: it may be root, which reads what is forbidden to all others.
    fn put(self, path: &Path, is_nobody: bool) -> bool {
        if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            fs::remove_dir(path).expect("it is empty");
        }
        let new = path.with_extension("new");
        match self {
            Self::Folder => {
                // A folder takes the place of no file at once.
                let _there_may_be_none = fs::remove_file(path);
                fs::create_dir(path).expect("it is not there");
            }
            Self::Loop => {
                symlink(path, &new).expect("it is not there");
                fs::rename(&new, path).expect("it is the same folder");
            }
            Self::Forbidden => {
                fs::write(&new, BOB).expect("there is room");
                fs::set_permissions(&new, Permissions::from_mode(0o000)).expect("it is ours");
                fs::rename(&new, path).expect("it is the same folder");
            }
        }
        is_nobody || File::open(path).map_or(true, |file| file.metadata().expect("it is open").is_dir())
    }

    fn words(self) -> &'static str {
        match self {
            Self::Folder => "Is a directory",
            Self::Loop => "Too many levels of symbolic links",
            Self::Forbidden => "Permission denied",
        }
    }
}

/// The settings under which a broker reads this file, and needs no other one.
fn settings(key: &str, path: &Path) -> Vec<String> {
    let mut all = vec![format!("auth.{key}={}", path.display())];
    if key == "hook_secret_file" {
        all.push("auth.hook_rules_url=http://127.0.0.1:1/may".into());
    }
    all
}

#[test]
fn threat_7_a_broker_that_cannot_read_a_file_does_not_start_and_says_why() {
    let folder = Folder::new("unreadable-start");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let nobodys = nobodys_program(folder.path());
    for (key, _) in FILES {
        let path = folder.path().join(key);
        for obstacle in Obstacle::ALL {
            if !obstacle.put(&path, nobodys.is_some()) {
                continue;
            }
            let settings = settings(key, &path);
            let mut arguments = vec!["--listen", "127.0.0.1:0", "--memory"];
            arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
            let (code, told) = match &nobodys {
                Some(program) => run_to_end_as_nobody(program, &arguments),
                None => run_to_end(&arguments),
            };
            let is_told = told.contains(&format!("{}: {}", path.display(), obstacle.words()));
            assert!(code.is_some_and(|code| code != 0) && is_told, "{key}: {code:?} {told}");
        }
    }
}

#[test]
fn threat_7_a_file_that_cannot_be_read_any_more_leaves_in_force_what_was() {
    let folder = Folder::new("unreadable-reload");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let path = |key: &str| folder.path().join(key);
    let nobodys = nobodys_program(folder.path());
    // One file of rules at a time; the secret of a hook is read wherever it is named.
    for left_out in ["acl_file", "rules_file"] {
        let files: Vec<_> = FILES.iter().filter(|(key, _)| *key != left_out).collect();
        let mut options = Options::shards(2).set("auth.hook_url=http://127.0.0.1:1/who");
        for (key, text) in &files {
            fs::write(path(key), text).expect("there is room");
            options = options.set(&format!("auth.{key}={}", path(key).display()));
        }
        let options = nobodys.iter().fold(options, |options, program| options.by_nobody(program));
        // Who is in the password file is asked for his password alone.
        let options = options.set("listeners.own.address=127.0.0.1:0").set("listeners.own.chain=password");
        let broker = options.start();
        let hello = |id| Hello::v5(id).login("alice", "correct horse");
        let come_in = |id| {
            let mut client = Client::open(broker.named("own"), pregon::mqtt::Version::V5);
            client.send(&hello(id).encode());
            client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
            client
        };
        let mut here = come_in("here");
        for (key, text) in &files {
            for obstacle in Obstacle::ALL {
                if !obstacle.put(&path(key), nobodys.is_some()) {
                    continue;
                }
                let told = format!("{}: {}", path(key).display(), obstacle.words());
                wait_until(&told, || {
                    broker.log().lines().any(|line| line.contains("is not in force") && line.contains(&told))
                });
                for (topic, code) in [("b", 0x87), ("a/x", 0x10)] {
                    here.publish(&Post::to(topic).payload("x").qos(1).id(1));
                    here.expect(topic, |heard| matches!(heard, Heard::PubAck(1, found, _) if *found == code));
                }
                come_in("new").leave();
            }
            if path(key).is_dir() {
                fs::remove_dir(path(key)).expect("it is empty");
            }
            let before = broker.log().matches("were read anew").count();
            fs::write(path("new"), text).expect("there is room");
            fs::rename(path("new"), path(key)).expect("it is the same folder");
            wait_until("what is right to be read", || broker.log().matches("were read anew").count() > before);
        }
        here.expect_silence();
    }
}
