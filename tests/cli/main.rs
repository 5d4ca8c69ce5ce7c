//! The command line from outside: exit codes, words, and what `pub` and `sub` say to a broker that the test plays.
#![cfg(feature = "shell")]
#![expect(clippy::unwrap_used, reason = "everything here is a test")]

mod acl;
mod acl_tokens;
mod journal;
mod passwd;
mod played;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use played::{Played, message};
use pregon::mqtt::ack::Ack;
use pregon::mqtt::connack::ConnAck;
use pregon::mqtt::disconnect::Disconnect;
use pregon::mqtt::packet::Packet;
use pregon::mqtt::{PacketId, PacketType, QoS, Reason, Version};

fn pregon(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pregon"));
    command.args(line.split_whitespace());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PREGON_")) {
        command.env_remove(name);
    }
    command
}

fn run(line: &str) -> Output {
    pregon(line).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pregon-cli-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn wrong_arguments_end_with_2_and_say_why() {
    for (line, wanted) in [
        ("--nonsense", "--nonsense"),
        ("pub -t a/# -n", "wildcard"),
        ("pub -t a -n -P secret", "-u"),
        ("sub", "--topic"),
        ("--data-dir /tmp/x --memory", "cannot be used with"),
        ("--set turn.input_max=5", "turn.inputs_max"),
        ("check --listen nowhere", "--listen"),
        ("check --log shel=debug", "\"shell\" is one"),
        ("check --config /does/not/exist.toml", "/does/not/exist.toml"),
        ("journal", "Usage"),
        ("journal dump", "<DIR>"),
        ("journal dump /tmp --shard one", "--shard"),
    ] {
        let output = run(line);
        assert_eq!(code(&output), 2, "{line}");
        assert!(errors(&output).contains(wanted), "{line}: {}", errors(&output));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn check_shows_each_value_with_its_origin() {
    let file = Scratch::new("origins", "[limits]\n\n[turn]\ninputs_max = 77\n");
    let mut command = pregon(&format!("check --config {} --admin 127.0.0.1:0 --set turn.bytes_max=2MiB", file.path()));
    let output = command.env("PREGON_LOG__LEVEL", "warn").output().unwrap();
    let (text, told) = (printed(&output), errors(&output));
    assert_eq!(code(&output), 0, "{told}");
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {text}"));
    assert!(line("turn.inputs_max").contains("77") && line("turn.inputs_max").ends_with(&format!("{}:4", file.path())));
    assert!(line("turn.bytes_max").ends_with("--set"));
    assert!(line("log.level").contains("warn") && line("log.level").ends_with("PREGON_LOG__LEVEL"));
    assert!(line("admin.listen").contains("off") && line("admin.listen").ends_with("--admin"));
    assert!(line("runtime.cores").contains("auto") && line("runtime.cores").ends_with("default"));
}

#[test]
fn check_tells_where_passwords_can_be_read_on_their_way_and_calls_it_no_mistake() {
    let users = Scratch::new(
        "overheard",
        "alice:$7$101$sW+MWAyltInm8zDb$\
         pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==\n",
    );
    let line = |more: &str| {
        let users = format!("--set auth.password_file={}", users.path());
        format!("check --listen 0.0.0.0 --listen 127.0.0.1:5 --set listeners.lan.address=[::] {users} {more}")
    };
    let output = run(&line("--set listeners.tls.address=0.0.0.0 --set listeners.tls.certificates=a.pem"));
    assert_eq!(code(&output), 0, "{}", errors(&output));
    let told = errors(&output);
    let [tcp, lan] = told.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {told}") };
    assert!(tcp.starts_with("pregon: listeners.tcp: passwords that come to 0.0.0.0:1883 can be read"), "{tcp}");
    assert!(lan.starts_with("pregon: listeners.lan: passwords that come to [::]:1883 can be read"), "{lan}");
    assert!(printed(&output).contains("= \"0.0.0.0:8883\""), "{}", printed(&output));
    let output = run(&line("--set auth.plaintext_passwords=refuse"));
    assert_eq!((code(&output), errors(&output).as_str()), (0, ""));
}

#[test]
fn check_complains_of_everything_at_once() {
    let file = Scratch::new("complaints", "[turn]\ninputs_max = \"many\"\nbites_max = 5\n");
    let output = run(&format!("check --config {} --cores x", file.path()));
    let told = errors(&output);
    assert_eq!(code(&output), 2);
    for wanted in [":2:", ":3:", "bytes_max", "--cores"] {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
}

#[test]
fn check_shows_listeners_with_the_origin_of_what_was_said() {
    let file = Scratch::new("listeners", "[listeners.garden]\naddress = \"127.0.0.1:1884\"\n");
    let mut command = pregon(&format!("check --config {} --set listeners.garden.maximum_qos=1", file.path()));
    let output = command.env("PREGON_LISTENERS__GARDEN__CHAIN", "anonymous").output().unwrap();
    let (text, told) = (printed(&output), errors(&output));
    assert_eq!(code(&output), 0, "{told}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("listeners.garden.")).collect();
    let [address, chain, quality] = lines[..] else { panic!("three values: {text}") };
    assert!(address.contains("\"127.0.0.1:1884\"") && address.ends_with(&format!("{}:2", file.path())), "{address}");
    assert!(chain.contains("[\"anonymous\"]") && chain.ends_with("PREGON_LISTENERS__GARDEN__CHAIN"), "{chain}");
    assert!(quality.ends_with("--set"), "{quality}");
}

#[test]
fn check_complains_of_listeners_with_line_and_nearest_key() {
    let file = Scratch::new("amiss", "[listeners.garden]\nadress = \"127.0.0.1:1884\"\n[listeners.home]\n");
    let output = run(&format!("check --config {}", file.path()));
    let told = errors(&output);
    assert_eq!(code(&output), 2);
    for wanted in
        [":2:1: listeners.garden.adress: ", "did you mean listeners.garden.address?", ":3:12: listeners.home.address"]
    {
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for line in [
        "--help",
        "check --help",
        "pub --help",
        "sub --help",
        "journal check --help",
        "passwd --help",
        "acl explain --help",
        "--version",
    ] {
        let output = run(line);
        assert_eq!((code(&output), errors(&output).as_str()), (0, ""), "{line}");
        assert!(!output.stdout.is_empty(), "{line}");
    }
    assert_eq!(printed(&run("--version")).trim(), format!("pregon {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_refused_connection_ends_with_the_code_of_connack_and_its_name() {
    for (version, flag, wanted) in [(Version::V311, "311", 5), (Version::V5, "5", 0x87)] {
        let broker = Played::new();
        let client = broker.spawn(&format!("pub -V {flag} -t a -m x"));
        let mut client = broker.accept(client, version);
        client.expect(PacketType::Connect);
        client.send(&Packet::ConnAck(ConnAck::refusal(Reason::NotAuthorized)));
        let output = client.output();
        assert_eq!(code(&output), wanted);
        assert!(errors(&output).contains("not authorized"), "{}", errors(&output));
    }
}

#[test]
fn a_server_of_something_else_is_called_so() {
    // The first is an impossible packet; the second reads as the beginning of a long one, whose end never comes.
    for (bytes, wanted) in [(&b"\0\0"[..], "no MQTT"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "instead of accepting")] {
        let broker = Played::new();
        let client = broker.spawn("sub -t a");
        let mut client = broker.accept(client, Version::V311);
        client.expect(PacketType::Connect);
        client.send_bytes(bytes);
        let output = client.output();
        assert_eq!(code(&output), 1);
        assert!(errors(&output).contains(wanted), "{}", errors(&output));
    }
}

#[test]
fn nobody_at_the_address_is_a_failure_that_names_it() {
    let output = run("pub -h 127.0.0.1 -p 1 -t a -m x");
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("127.0.0.1:1: "), "{}", errors(&output));
    let output = run("pub --quiet -h 127.0.0.1 -p 1 -t a -m x");
    assert_eq!((code(&output), errors(&output).as_str()), (1, ""));
}

#[test]
fn a_farewell_of_the_broker_is_told_with_its_reason() {
    let broker = Played::new();
    let client = broker.spawn("sub -V 5 -t a");
    let mut client = broker.welcome(client, Version::V5, 1);
    client.send(&Packet::Disconnect(Disconnect::new(Reason::ServerShuttingDown)));
    let output = client.output();
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("server shutting down"), "{}", errors(&output));
}

#[test]
fn subscriptions_that_are_all_refused_are_a_failure() {
    let broker = Played::new();
    let client = broker.spawn("sub -V 5 -t secret/# -t other");
    let mut client = broker.accept(client, Version::V5);
    client.greet();
    client.grant(&[0x87, 0x87]);
    let output = client.output();
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("secret/#: not authorized"), "{}", errors(&output));
}

#[test]
fn what_is_past_the_count_is_neither_printed_nor_acknowledged() {
    let broker = Played::new();
    let client = broker.spawn("sub -q 2 -t a -C 2");
    let mut client = broker.welcome(client, Version::V311, 1);
    client.send(&message(QoS::AtLeastOnce, 1, b"one"));
    client.send(&message(QoS::ExactlyOnce, 2, b"two"));
    client.send(&message(QoS::AtLeastOnce, 3, b"three"));
    client.expect(PacketType::PubAck);
    client.expect(PacketType::PubRec);
    client.send(&message(QoS::ExactlyOnce, 2, b"two")); // an impatient broker
    client.send(&Packet::PubRel(Ack::new(id(2), Reason::Success)));
    client.expect(PacketType::PubRec);
    client.expect(PacketType::PubComp);
    client.expect(PacketType::Disconnect);
    let output = client.output();
    assert_eq!((code(&output), printed(&output).as_str()), (0, "one\ntwo\n"));
}

#[test]
fn a_message_that_the_broker_does_not_take_is_a_failure() {
    let broker = Played::new();
    let client = broker.spawn("pub -V 5 -q 1 -t a -m x");
    let mut client = broker.accept(client, Version::V5);
    client.greet();
    let id = client.expect(PacketType::Publish).expect("a message of QoS 1 has an identifier");
    client.send(&Packet::PubAck(Ack::new(id, Reason::QuotaExceeded)));
    client.expect(PacketType::Disconnect);
    let output = client.output();
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("quota exceeded"), "{}", errors(&output));
}

#[test]
fn lines_wait_while_the_window_is_full() {
    let broker = Played::new();
    let mut client = broker.spawn("pub -V 5 -q 1 -t a -l -M 2");
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"1\n2\n3\n").unwrap();
    drop(input);
    let mut client = broker.accept(client, Version::V5);
    client.greet();
    let [first, second] = [(); 2].map(|()| client.expect(PacketType::Publish).unwrap());
    client.expect_silence();
    client.send(&Packet::PubAck(Ack::new(first, Reason::Success)));
    let third = client.expect(PacketType::Publish).unwrap();
    client.send(&Packet::PubAck(Ack::new(second, Reason::Success)));
    client.send(&Packet::PubAck(Ack::new(third, Reason::Success)));
    client.expect(PacketType::Disconnect);
    assert_eq!(code(&client.output()), 0);
}

#[test]
fn silence_ends_with_27_where_a_time_was_given() {
    let broker = Played::new();
    let client = broker.spawn("sub -t a -W 0.2");
    let mut client = broker.welcome(client, Version::V311, 1);
    client.expect(PacketType::Disconnect);
    assert_eq!(code(&client.output()), 27);
}
