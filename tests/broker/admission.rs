//! Who may come in and what they may do, by the operator's files.

use std::fs;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options, run_to_end};
use crate::support::story::{Heard, Hello, Post, Wish};

/// By `mosquitto_passwd` 2.0.11: `alice` with `correct horse`, `bob` with `ñandú €`.
const USERS: &str = "\
alice:$7$101$sW+MWAyltInm8zDb$pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==
bob:$6$i1AdAIxM3Hsv1WMD$YvZUebNjXNVMUItUlln8/ONDgOTnC+4Teb74s7vR2rtwKmd5OKgigQTJNbijM3LiNeWZcyie6TOLxojIPyOeyQ==
";
const RULES: &str = "\
topic read news/#
user alice
topic home/#
topic deny home/safe
pattern own/%u/#
";

/// A password file and rules.
struct Files(Folder);

impl Files {
    fn new(test: &str, users: &str, rules: &str) -> Self {
        let folder = Folder::new(test);
        fs::create_dir(folder.path()).expect("the name is this test's");
        fs::write(folder.path().join("users"), users).expect("there is room");
        fs::write(folder.path().join("rules"), rules).expect("there is room");
        Self(folder)
    }

    /// The settings that name them.
    fn settings(&self) -> [String; 2] {
        let path = |name| self.0.path().join(name).display().to_string();
        [format!("auth.password_file={}", path("users")), format!("auth.acl_file={}", path("rules"))]
    }

    fn broker(&self, shards: usize) -> Broker {
        let [users, rules] = self.settings();
        Options::shards(shards).set(&users).set(&rules).start()
    }
}

fn alice(version: Version, id: &str) -> Hello {
    Hello::new(version, id).login("alice", "correct horse")
}

#[track_caller]
fn expect_refused(broker: &Broker, hello: &Hello) {
    let mut client = Client::hello(broker, hello);
    // Bad user name or password, in the words of 3.x and of 5.0.
    client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 4 | 0x86, _)));
    client.expect_closed();
}

#[test]
fn users_of_the_password_file_come_in_and_nobody_else() {
    let files = Files::new("admission-users", USERS, RULES);
    for shards in [1, 3] {
        let broker = files.broker(shards);
        for version in [Version::V311, Version::V5] {
            for number in 0..6 {
                let id = format!("{}-{number}", version.level());
                // The second time its password is known already.
                Client::connect(&broker, &alice(version, &id)).leave();
                Client::connect(&broker, &alice(version, &id)).leave();
            }
            Client::connect(&broker, &Hello::new(version, "b").login("bob", "ñandú €")).leave();
            expect_refused(&broker, &Hello::new(version, "w").login("alice", "correct"));
            expect_refused(&broker, &Hello::new(version, "s").login("stranger", "correct horse"));
            expect_refused(&broker, &Hello::new(version, "n"));
        }
    }
}

#[test]
fn what_was_sent_behind_connect_is_handled_when_the_password_is_proven() {
    let files = Files::new("admission-hasty", USERS, RULES);
    let broker = files.broker(3);
    let mut client = Client::open(broker.address, Version::V5);
    let mut bytes = alice(Version::V5, "hasty").encode();
    bytes.extend(Post::to("home/a").payload("said").qos(1).id(7).encode(Version::V5));
    client.send(&bytes);
    client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
    client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(7, ..)));
}

#[test]
fn rules_are_checked_at_every_publish_and_every_delivery() {
    let files = Files::new("admission-rules", USERS, RULES);
    let broker = files.broker(2);
    let mut owner = Client::connect(&broker, &alice(Version::V5, "owner"));
    owner.subscribe("#", 1);
    let mut speaker = Client::connect(&broker, &alice(Version::V5, "speaker"));
    let mut bob = Client::connect(&broker, &Hello::v5("bob").login("bob", "ñandú €"));
    bob.subscribe("#", 1);
    for (topic, is_allowed) in [("home/a", true), ("home/safe", false), ("own/alice/x", true), ("own/bob/x", false)] {
        speaker.publish(&Post::to(topic).payload(topic).qos(1).id(3));
        let code = if is_allowed { 0 } else { 0x87 };
        speaker.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(3, found, _) if *found == code));
        if is_allowed {
            assert_eq!(owner.take().topic, topic);
        }
    }
    let mut writer = Client::connect(&broker, &Hello::v5("writer").login("bob", "ñandú €"));
    writer.post(&Post::to("own/bob/x").payload("mine").qos(1).id(4));
    assert_eq!(bob.take().topic, "own/bob/x");
    bob.expect_silence();
    owner.expect_silence();
}

/// What `bob` may do depends on his name, on what he calls himself, and on where he comes from.
const OWN_RULES: &str = "\
[[rule]]
effect = 'allow'
who = { client = ['%u', '%u-*'] }
actions = 'connect'

[[rule]]
effect = 'deny'
actions = 'receive'
topics = 'home/safe'

[[rule]]
effect = 'allow'
who = { address = '127.0.0.0/8' }
qos_max = 1
actions = 'all'
topics = ['home/#', 'own/%c/#']

[[rule]]
effect = 'allow'
who = { address = '10.0.0.0/8' }
actions = 'all'
topics = '#'
";

#[test]
fn threat_5_own_rules_are_asked_at_connect_will_publish_subscribe_and_delivery() {
    let files = Files::new("admission-own", USERS, OWN_RULES);
    let [users, _] = files.settings();
    let rules = format!("auth.rules_file={}", files.0.path().join("rules").display());
    for shards in [1, 3] {
        let broker = Options::shards(shards).set(&users).set(&rules).start();
        let bob = |id| Hello::v5(id).login("bob", "ñandú €");
        for hello in [
            bob("alice-1"),
            bob("bobby"),
            bob("bob-1").will("away", "x", 0, false),
            bob("bob-1").will("home/x", "x", 2, false),
        ] {
            let mut client = Client::hello(&broker, &hello);
            client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x87, _)));
            client.expect_closed();
        }
        let mut owner = Client::connect(&broker, &bob("bob").will("home/x", "x", 1, false));
        let granted = owner.subscribe_to(&[Wish::to("home/#", 1), Wish::to("#", 1), Wish::to("$share/g/own/bob/#", 0)]);
        assert_eq!(granted, [1, 0x87, 0], "{shards}");
        let mut speaker = Client::connect(&broker, &bob("bob-2"));
        for (topic, is_allowed) in
            [("home/safe", true), ("own/bob-2/x", true), ("own/bob/x", false), ("elsewhere", false), ("home/a", true)]
        {
            speaker.publish(&Post::to(topic).payload(topic).qos(1).id(3));
            speaker.expect(topic, |heard| matches!(heard, Heard::PubAck(3, code, _) if (*code != 0x87) == is_allowed));
        }
        assert_eq!(owner.take().topic, "home/a", "what is in the safe is withheld");
    }
}

#[test]
fn threat_7_a_broker_whose_files_are_wrong_does_not_start_and_names_file_and_line() {
    let cases = [
        ("alice\n", RULES, "users: line 1"),
        ("", RULES, "users: "),
        (USERS, "topic a\ntopics b\n", "rules: line 2"),
        (USERS, "# nothing\n", "rules: there is no rule"),
    ];
    for (users, rules, what) in cases {
        let files = Files::new("admission-wrong", users, rules);
        let [users, rules] = files.settings();
        let (code, told) = run_to_end(&["--listen", "127.0.0.1:0", "--memory", "--set", &users, "--set", &rules]);
        assert!(code.is_some_and(|code| code != 0) && told.contains(what), "{what}: {code:?} {told}");
    }
    let (code, told) = run_to_end(&["--listen", "0.0.0.0:0", "--memory"]);
    assert!(code.is_some_and(|code| code != 0) && told.contains("anybody would be let in"), "{code:?} {told}");
}
