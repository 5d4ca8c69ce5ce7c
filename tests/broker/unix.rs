//! A listener in the file system: who may connect, what is found at a start, and what is left after a stop.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use pregon::mqtt::Version;

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::PATIENCE;
use crate::process::{Options, run_to_end};
use crate::support::story::{Heard, Hello, Post, Wish, subscribe};

/// A folder, and the place of a socket in it.
fn place(test: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(test);
    fs::create_dir(folder.path()).expect("the name is this test's");
    let path = folder.path().join("mqtt");
    (folder, path)
}

fn listening(path: &std::path::Path, shards: usize) -> Options {
    Options::shards(shards).set(&format!("listeners.local.address=unix:{}", path.display()))
}

fn open(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the broker accepts connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero is taken");
    stream
}

#[test]
fn clients_of_a_socket_are_like_all_others() {
    let (_folder, path) = place("unix-clients");
    for shards in [1, 3] {
        let mut broker = listening(&path, shards).start();
        let mut plain = Client::join(&broker, Version::V5, "plain");
        plain.subscribe("a/#", 2);
        for number in 0..12 {
            let topic = format!("a/{number}");
            let mut client = Client::over(open(&path), Version::V311);
            let packets = [
                Hello::v311(&format!("client-{number}")).encode(),
                subscribe(Version::V311, 1, &[Wish::to(&topic, 0)], None),
            ];
            client.send(&packets.concat());
            client.expect("CONNACK", |heard| matches!(heard, Heard::ConnAck(false, 0, _)));
            client.expect("SUBACK", |heard| matches!(heard, Heard::SubAck(1, codes, _) if codes == &[0]));
            for qos in 0..=2 {
                let payload = vec![7; 300_000];
                client.publish(&Post::to(&topic).payload(payload.clone()).qos(qos).id(3));
                assert!(plain.take().payload == payload);
                assert!(client.delivery().payload == payload);
                match qos {
                    0 => {}
                    1 => client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(3, ..))),
                    _ => {
                        client.expect("PUBREC", |heard| matches!(heard, Heard::PubRec(3, ..)));
                        client.answer(0x62, 3);
                        client.expect("PUBCOMP", |heard| matches!(heard, Heard::PubComp(3, ..)));
                    }
                }
            }
            client.leave();
        }
        broker.terminate();
        assert!(broker.wait().success());
    }
}

#[test]
fn the_file_has_the_permissions_that_were_asked_for_and_goes_with_the_broker() {
    let (_folder, path) = place("unix-mode");
    for (mode, bits) in [(None, 0o660), (Some("0600"), 0o600), (Some("0666"), 0o666)] {
        let options = listening(&path, 3);
        let mut broker = match mode {
            None => options.start(),
            Some(mode) => options.set(&format!("listeners.local.socket_mode={mode}")).start(),
        };
        let found = fs::metadata(&path).expect("it is there");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, bits);
        Client::connect_over(open(&path), &Hello::v5("a")).leave();
        broker.terminate();
        assert!(broker.wait().success());
        assert!(!path.exists(), "the file is gone");
    }
}

#[test]
fn what_a_killed_broker_has_left_is_taken_over() {
    let (_folder, path) = place("unix-stale");
    let mut broker = listening(&path, 1).start();
    broker.signal("KILL");
    assert!(!broker.wait().success());
    assert!(path.exists());
    let mut broker = listening(&path, 3).start();
    Client::connect_over(open(&path), &Hello::v5("a")).leave();
    broker.terminate();
    assert!(broker.wait().success());
}

#[test]
fn what_belongs_to_somebody_else_is_left_alone() {
    let (_folder, path) = place("unix-taken");
    let setting = format!("listeners.local.address=unix:{}", path.display());
    let arguments = ["--listen", "127.0.0.1:0", "--memory", "--set", "admin.listen=off", "--set", &setting];
    let theirs = UnixListener::bind(&path).expect("the folder is there");
    let (code, told) = run_to_end(&arguments);
    assert!(code.is_some_and(|code| code != 0) && told.contains("mqtt"), "{code:?} {told}");
    UnixStream::connect(&path).expect("who was there is there");
    drop(theirs);
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, "no socket").expect("there is room");
    let (code, told) = run_to_end(&arguments);
    assert!(code.is_some_and(|code| code != 0) && told.contains("mqtt"), "{code:?} {told}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "no socket");
}
