//! Passwords that come without TLS to where other machines come in: the operator is told, or their clients are refused.

use std::fs;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::process::{Broker, Options};
use crate::reload::ALICE;
use crate::scram::come_in;
use crate::stream;
use crate::support::scram::FILE;
use crate::support::story::{Heard, Hello};
use crate::tls::{Trust, open};

/// A broker with users, reached from elsewhere at `lan` and `pages`, and from here at the plain address and at `tls`.
fn options(trust: &Trust, folder: &Folder) -> Options {
    fs::create_dir(folder.path()).expect("the name is this test's");
    let users = folder.path().join("users");
    fs::write(&users, [ALICE.as_bytes(), FILE].concat()).expect("there is room");
    trust
        .options(2)
        .set(&format!("auth.password_file={}", users.display()))
        .set("listeners.lan.address=0.0.0.0:0")
        .set("listeners.pages.address=0.0.0.0:0")
        .set("listeners.pages.protocol=websocket")
        .set("log.level=info,shell::events=debug")
        .with_metrics()
}

fn alice(version: Version) -> Hello {
    Hello::new(version, "a").login("alice", "correct horse")
}

fn at(broker: &Broker, listener: &str, hello: &Hello) -> Client {
    let mut client = Client::open(broker.named(listener), hello.version);
    client.send(&hello.encode());
    client
}

/// The listeners of which it is said that passwords can be read on their way to them.
fn told(broker: &Broker) -> Vec<String> {
    let log = broker.log();
    let lines = log.lines().filter(|line| line.contains("can be read on their way"));
    let names = lines.map(|line| {
        assert!(line.contains(" WARN "), "{line}");
        line.split_once("listeners.").expect("it names one").1.split(':').next().expect("and says more").to_owned()
    });
    names.collect()
}

#[test]
fn a_password_without_tls_is_refused_unhashed_where_that_is_said() {
    let (trust, folder) = (Trust::new("overheard-tls"), Folder::new("overheard"));
    let broker = options(&trust, &folder).set("auth.plaintext_passwords=refuse").start();
    for (version, code) in [(Version::V5, 0x87), (Version::V311, 5)] {
        let mut refused = at(&broker, "lan", &alice(version));
        refused.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, found, _) if *found == code));
        refused.expect_closed();
    }
    let sum = |metric: &str| -> Option<f64> {
        [0, 1].map(|shard| broker.metric(&format!("{metric}{{shard=\"{shard}\"}}"))).into_iter().sum()
    };
    assert_eq!(sum("pregon_plaintext_passwords_refused_total"), Some(2.0));
    assert_eq!(
        (sum("pregon_questions_total"), sum("pregon_proofs_failed_total")),
        (Some(0.0), Some(0.0)),
        "nobody looked at it"
    );
    let lines = broker.log().matches("a password has come without TLS").count();
    assert_eq!(lines, 2);
    // The same password is taken where nobody reads it, and a proof that shows none is taken everywhere.
    Client::connect(&broker, &alice(Version::V5)).leave();
    Client::connect_over(open(&broker, &trust.anybody()), &alice(Version::V5)).leave();
    come_in(stream::tcp(broker.named("lan")), "s").leave();
    assert_eq!(told(&broker), [""; 0]);
}

#[test]
fn where_a_password_can_be_read_on_its_way_the_operator_is_told_unless_that_is_meant() {
    let (trust, folder) = (Trust::new("overheard-told-tls"), Folder::new("overheard-told"));
    let broker = options(&trust, &folder).start();
    at(&broker, "lan", &alice(Version::V5)).expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
    assert_eq!(told(&broker), ["lan", "pages"]);
    drop(broker);
    fs::remove_dir_all(folder.path()).expect("it is there");
    let broker = options(&trust, &folder).set("listeners.lan.plaintext_passwords=allow").start();
    at(&broker, "lan", &alice(Version::V5)).expect("success", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
    assert_eq!(told(&broker), ["pages"]);
}
