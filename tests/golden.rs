//! The golden conversations are well formed, and their runner fails whenever a server does.

mod support;

use std::collections::BTreeSet;
use std::net::ToSocketAddrs;

use support::golden::{
    Action, Conversation, Delivery, Environment, Failure, Step, Wire, files, load, run, run_all, tcp::TcpWire,
};

/// Fewer than this were lost by accident.
const CONVERSATIONS_MIN: usize = 650;

#[test]
fn there_are_enough_conversations() {
    let count = load().len();
    assert!(count >= CONVERSATIONS_MIN, "only {count} conversations");
}

#[test]
fn names_and_tags_are_unique() {
    let conversations = load();
    let names: BTreeSet<&str> = conversations.iter().map(|conversation| conversation.name.as_str()).collect();
    assert_eq!(names.len(), conversations.len());
    let tags: BTreeSet<String> = conversations.iter().map(|conversation| conversation.tag("whole")).collect();
    assert_eq!(tags.len(), conversations.len());
}

#[test]
fn every_file_has_conversations_and_says_what_they_are_about() {
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} has no first line", path.display());
        assert!(text.lines().any(|line| line.contains(" | ")), "{} is empty", path.display());
    }
}

#[test]
fn every_expression_expands_and_every_expected_packet_is_whole() {
    for conversation in load() {
        let environment = Environment { tag: conversation.tag("whole"), ..Environment::default() };
        for step in &conversation.steps {
            assert!(step.action.expands(&environment), "{}: `{}`", conversation.name, step.text);
        }
    }
}

#[test]
fn every_conversation_expects_something() {
    for conversation in load() {
        let expects =
            |step: &Step| !matches!(step.action, Action::Send(_) | Action::Dial | Action::Hangup | Action::Allow(_));
        assert!(conversation.steps.iter().any(expects), "{} cannot fail", conversation.name);
    }
}

/// The broker named in `GOLDEN_BROKER` (`host:port`), if there is one to judge.
fn named_broker() -> Option<TcpWire> {
    let name = std::env::var("GOLDEN_BROKER").ok()?;
    let mut addresses = name.to_socket_addrs().expect("GOLDEN_BROKER is host:port");
    Some(TcpWire::new(addresses.next().expect("the host has an address")))
}

#[test]
fn a_named_broker_over_tcp_agrees() {
    if std::env::var_os("GOLDEN_DISAGREEMENTS").is_some() {
        return;
    }
    let Some(mut wire) = named_broker() else { return };
    let mut failures = run_all(&mut wire, Delivery::Whole);
    failures.extend(run_all(&mut wire, Delivery::ByteByByte));
    assert!(failures.is_empty(), "{}", report(&failures));
}

/// `GOLDEN_DISAGREEMENTS` names a file of conversations, one a line, that the named broker is known to hold otherwise.
#[test]
fn a_named_broker_over_tcp_disagrees_where_it_is_known_to() {
    let Ok(path) = std::env::var("GOLDEN_DISAGREEMENTS") else { return };
    let text = std::fs::read_to_string(path).expect("GOLDEN_DISAGREEMENTS is a file that can be read");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known: BTreeSet<String> = lines.map(str::to_owned).collect();
    let mut wire = named_broker().expect("GOLDEN_BROKER names the broker that disagrees");
    let failures = run_all(&mut wire, Delivery::Whole);
    let news: Vec<Failure> = failures.iter().filter(|failure| !known.contains(&failure.name)).cloned().collect();
    let failed: BTreeSet<&str> = failures.iter().map(|failure| failure.name.as_str()).collect();
    let mended: Vec<&String> = known.iter().filter(|name| !failed.contains(name.as_str())).collect();
    assert!(news.is_empty(), "{}", report(&news));
    assert!(mended.is_empty(), "these went as written: {mended:?}");
}

/// A list of disagreements speaks of conversations that there are.
#[test]
fn listed_disagreements_exist() {
    let conversations = load();
    let names: BTreeSet<&str> = conversations.iter().map(|conversation| conversation.name.as_str()).collect();
    let list = include_str!("golden/disagreements/mosquitto-2.0.11.txt");
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let unknown: Vec<&str> = lines.filter(|line| !names.contains(line)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A server that answers CONNECT of 3.1.1 and PINGREQ, and everything else as its script says.
struct Scripted<F> {
    script: F,
    connections: Vec<Line>,
}

/// One connection of the scripted server.
#[derive(Default)]
struct Line {
    received: Vec<u8>,
    sent: Vec<u8>,
    is_closed: bool,
}

/// What the script wants done with the connection that sent a packet.
enum Reply {
    Bytes(&'static [u8]),
    BytesThenClose(&'static [u8]),
    Ignore,
}

impl<F: FnMut(&[u8]) -> Reply> Scripted<F> {
    fn new(script: F) -> Self {
        Self { script, connections: Vec::new() }
    }

    fn answer(&mut self, client: usize, packet: &[u8]) {
        let reply = match packet[0] {
            0x10 => Reply::Bytes(&[0x20, 2, 0, 0]),
            0xc0 => Reply::Bytes(&[0xd0, 0]),
            _ => (self.script)(packet),
        };
        let line = &mut self.connections[client];
        match reply {
            Reply::Bytes(bytes) => line.sent.extend(bytes),
            Reply::BytesThenClose(bytes) => {
                line.sent.extend(bytes);
                line.is_closed = true;
            }
            Reply::Ignore => {}
        }
    }
}

impl<F: FnMut(&[u8]) -> Reply> Wire for Scripted<F> {
    fn connect(&mut self) -> usize {
        self.connections.push(Line::default());
        self.connections.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.connections[client].received.extend(bytes);
        loop {
            let line = &mut self.connections[client];
            let Some(length) = line.received.get(1).map(|length| 2 + usize::from(*length)) else {
                return;
            };
            if line.is_closed || line.received.len() < length {
                return;
            }
            let packet: Vec<u8> = line.received.drain(..length).collect();
            self.answer(client, &packet);
        }
    }

    fn receive(&mut self, client: usize) -> Vec<u8> {
        // One byte a question: the runner must put packets together.
        let sent = &mut self.connections[client].sent;
        if sent.is_empty() { Vec::new() } else { vec![sent.remove(0)] }
    }

    fn is_closed(&mut self, client: usize) -> bool {
        self.connections[client].is_closed
    }

    fn close(&mut self, client: usize) {
        self.connections[client].is_closed = true;
    }
}

/// Plays `steps` against a server that meets what is no CONNECT and no PINGREQ with `reply`.
fn play(steps: &str, reply: fn() -> Reply) -> Result<(), Failure> {
    let conversation = Conversation::parse("scripted", &format!("name | {steps}")).expect("a test writes what parses");
    let whole = run(&mut Scripted::new(|_| reply()), &conversation, Delivery::Whole, "salt");
    let split = run(&mut Scripted::new(|_| reply()), &conversation, Delivery::ByteByByte, "salt");
    assert_eq!(whole, split);
    whole
}

fn failing_step(steps: &str, reply: fn() -> Reply) -> String {
    play(steps, reply).expect_err("the conversation went otherwise than written").step
}

const PUBLISH: &str = "hello4 ; > 32 len{ utf(\"t\") 0001 }";

#[test]
fn right_bytes_pass() {
    assert_eq!(play(&format!("{PUBLISH} ; < 4002 0001"), || Reply::Bytes(&[0x40, 2, 0, 1])), Ok(()));
    assert_eq!(
        play(&format!("{PUBLISH} ; < 4002 $id ; open ; nothing"), || { Reply::Bytes(&[0x40, 2, 0, 1]) }),
        Ok(())
    );
    assert_eq!(play(&format!("{PUBLISH} ; closed"), || Reply::BytesThenClose(&[])), Ok(()));
    assert_eq!(play(&format!("{PUBLISH} ; < d000 or closed"), || { Reply::BytesThenClose(&[]) }), Ok(()));
    assert_eq!(play(&format!("{PUBLISH} ; closed 81|82"), || { Reply::BytesThenClose(&[0xe0, 1, 0x82]) }), Ok(()));
    assert_eq!(play(&format!("{PUBLISH} ; << 5000 , 4000"), || Reply::Bytes(&[0x40, 0, 0x50, 0])), Ok(()));
    assert_eq!(play("hello4 ; <? 4000 ; > e000 ; nothing", || Reply::Bytes(&[0x40, 0])), Ok(()));
}

#[test]
fn wrong_bytes_fail() {
    let step = failing_step(&format!("{PUBLISH} ; < 4002 0001 ; open"), || Reply::Bytes(&[0x40, 2, 0, 2]));
    assert_eq!(step, "< 4002 0001");
    assert_eq!(
        failing_step(&format!("{PUBLISH} ; << 4000 , 6000"), || Reply::Bytes(&[0x40, 0, 0x50, 0])),
        "<< 4000 , 6000"
    );
    assert_eq!(failing_step("> connect4(\"@\") ; < 20020005", || Reply::Ignore), "< 20020005");
}

#[test]
fn missing_packet_fails() {
    assert_eq!(failing_step(&format!("{PUBLISH} ; < 4002 0001"), || Reply::Ignore), "< 4002 0001");
    assert_eq!(failing_step(&format!("{PUBLISH} ; < 4002 0001"), || { Reply::BytesThenClose(&[]) }), "< 4002 0001");
    assert_eq!(failing_step(&format!("{PUBLISH} ; < 4002 0001"), || Reply::Bytes(&[0x40, 2, 0])), "< 4002 0001");
}

#[test]
fn missing_close_fails() {
    assert_eq!(failing_step(&format!("{PUBLISH} ; closed"), || Reply::Ignore), "closed");
    assert_eq!(failing_step(&format!("{PUBLISH} ; closed 81"), || Reply::Bytes(&[0xe0, 1, 0x81])), "closed 81");
    assert_eq!(failing_step(&format!("{PUBLISH} ; refused 84"), || Reply::Ignore), "refused 84");
    assert_eq!(failing_step(&format!("{PUBLISH} ; < d000 or closed"), || Reply::Ignore), "< d000 or closed");
}

#[test]
fn close_with_other_words_fails() {
    assert_eq!(failing_step(&format!("{PUBLISH} ; closed"), || Reply::BytesThenClose(&[0xe0, 1, 0x81])), "closed");
    assert_eq!(
        failing_step(&format!("{PUBLISH} ; closed 82"), || Reply::BytesThenClose(&[0xe0, 1, 0x81])),
        "closed 82"
    );
    let twice = || Reply::BytesThenClose(&[0xe0, 1, 0x81, 0xe0, 1, 0x81]);
    assert_eq!(failing_step(&format!("{PUBLISH} ; closed 81"), twice), "closed 81");
    assert_eq!(failing_step(&format!("{PUBLISH} ; closed 81"), || Reply::BytesThenClose(&[0xe0])), "closed 81");
    assert_eq!(
        failing_step(&format!("{PUBLISH} ; refused 84"), || Reply::BytesThenClose(&[0x20, 2, 0, 1])),
        "refused 84"
    );
}

#[test]
fn unexpected_close_fails() {
    assert_eq!(failing_step(&format!("{PUBLISH} ; open"), || Reply::BytesThenClose(&[])), "open");
    assert_eq!(failing_step(&format!("{PUBLISH} ; nothing"), || Reply::BytesThenClose(&[])), "nothing");
    assert_eq!(failing_step(PUBLISH, || Reply::BytesThenClose(&[])), "the end");
}

#[test]
fn extra_packet_fails_at_a_nothing_and_at_the_end() {
    assert_eq!(failing_step(&format!("{PUBLISH} ; nothing"), || Reply::Bytes(&[0x40, 0])), "nothing");
    assert_eq!(failing_step(&format!("{PUBLISH} ; < 4000"), || Reply::Bytes(&[0x40, 0, 0x40, 0])), "the end");
    assert_eq!(failing_step(&format!("{PUBLISH} ; < 4000 ; open"), || Reply::Bytes(&[0x40, 0, 0x40, 0])), "the end");
    let allowed_once = "hello4 ; <? 4000 ; > e000 ; nothing";
    assert_eq!(failing_step(allowed_once, || Reply::Bytes(&[0x40, 0, 0x40, 0])), "nothing");
    assert_eq!(failing_step(&format!("b hello4 ; b> e000 ; {PUBLISH}"), || Reply::Bytes(&[0x40, 0])), "the end");
}

#[test]
fn steps_without_a_connection_fail() {
    assert_eq!(failing_step("< d000", || Reply::Ignore), "< d000");
    assert_eq!(failing_step("hello4 ; b open", || Reply::Ignore), "b open");
    assert_eq!(failing_step("hello4 ; hangup ; open", || Reply::Ignore), "open");
    assert_eq!(failing_step("dial ; dial", || Reply::Ignore), "dial");
}

fn report(failures: &[Failure]) -> String {
    let lines: Vec<String> = failures.iter().map(ToString::to_string).collect();
    format!("{} conversations went otherwise than written:\n{}", lines.len(), lines.join("\n"))
}

#[test]
fn the_engine_agrees_on_every_conversation() {
    for shards in [1, 3] {
        for delivery in [Delivery::Whole, Delivery::ByteByByte] {
            let mut world = support::world::World::new(shards);
            let failures = run_all(&mut world, delivery);
            assert!(failures.is_empty(), "{shards} shards, {delivery:?}: {}", report(&failures));
        }
    }
}
