//! Command lines as people type them, and what becomes of them.

use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;
use crate::mqtt::{QoS, Version};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("pregon").chain(line.split_whitespace()))
}

fn publishing(line: &str) -> Publishing {
    match parse(line).unwrap().command {
        Some(Command::Pub(publishing)) => publishing,
        other => panic!("{line}: {other:?}"),
    }
}

fn subscribing(line: &str) -> Subscribing {
    match parse(line).unwrap().command {
        Some(Command::Sub(subscribing)) => subscribing,
        other => panic!("{line}: {other:?}"),
    }
}

fn refusal(line: &str) -> ErrorKind {
    parse(line).expect_err(line).kind()
}

#[test]
fn the_definition_has_no_contradictions() {
    Arguments::command().debug_assert();
}

#[test]
fn the_flags_of_mosquitto_pub_mean_the_same_here() {
    let flags =
        publishing("pub -h b.example -p 1884 -t a/b -m hello -q 2 -r -V mqttv5 -c -i me -u hans -P letmein -k 5 -x 30");
    let greeting = flags.peer.greeting("name").unwrap();
    assert_eq!((&*flags.peer.host, flags.peer.port, &*flags.topic), ("b.example", 1884, "a/b"));
    assert_eq!((flags.message.unwrap(), flags.qos, flags.retain), ("hello".into(), QoS::ExactlyOnce, true));
    let connect = greeting.as_connect();
    assert_eq!((connect.version, connect.client_id, connect.clean_start), (Version::V5, "me", false));
    assert_eq!((connect.user_name, connect.password, connect.keep_alive), (Some("hans"), Some(&b"letmein"[..]), 5));
    assert_eq!(connect.properties.session_expiry(), Some(30));
}

#[test]
fn defaults_are_those_of_mosquitto() {
    let flags = publishing("pub -t a -n");
    let greeting = flags.peer.greeting("name").unwrap();
    assert_eq!((&*flags.peer.host, flags.peer.port, flags.qos), ("localhost", 1883, QoS::AtMostOnce));
    assert_eq!((flags.repeat.get(), flags.repeat_delay, flags.max_inflight.get()), (1, 0, 20));
    let connect = greeting.as_connect();
    assert_eq!((connect.version, connect.clean_start, connect.keep_alive), (Version::V311, true, 60));
    assert_eq!((connect.client_id, connect.will, connect.user_name), ("", None, None));
}

#[test]
fn a_client_of_3_1_always_has_a_name() {
    let greeting = publishing("pub -t a -n -V 31").peer.greeting("pregon-pub").unwrap();
    assert!(greeting.client_id.starts_with("pregon-pub-") && greeting.client_id.len() <= 23, "{}", greeting.client_id);
}

#[test]
fn a_kept_session_of_version_5_lives_for_ever_unless_told_otherwise() {
    let expiry = |line| publishing(line).peer.greeting("name").unwrap().as_connect().properties.session_expiry();
    assert_eq!(expiry("pub -t a -n -V 5"), None);
    assert_eq!(expiry("pub -t a -n -V 5 -c -i me"), Some(u32::MAX));
    assert_eq!(expiry("pub -t a -n -V 5 -c -i me -x 0"), None);
    assert_eq!(expiry("pub -t a -n -V 5 -x -1"), Some(u32::MAX));
}

#[test]
fn a_will_has_all_its_parts() {
    let flags = subscribing("sub -t a --will-topic die --will-payload bye --will-qos 2 --will-retain");
    let greeting = flags.peer.greeting("name").unwrap();
    let will = greeting.as_connect().will.unwrap();
    assert_eq!(
        (will.topic.as_str(), will.payload, will.qos, will.retain),
        ("die", &b"bye"[..], QoS::ExactlyOnce, true)
    );
}

#[test]
fn the_flags_of_mosquitto_sub_mean_the_same_here() {
    let flags = subscribing("sub -t a/# -t $share/g/b -U c -T a/x -q 1 -C 3 -W 2.5 -R -v -N -E --remove-retained");
    assert_eq!(flags.topic, ["a/#", "$share/g/b"]);
    assert_eq!((&flags.unsubscribe[0][..], &flags.filter_out[0][..], flags.qos), ("c", "a/x", QoS::AtLeastOnce));
    assert_eq!((flags.count.unwrap().get(), flags.timeout), (3, Some(2_500)));
    assert!(
        flags.no_retained && flags.verbose && flags.no_newline && flags.exit_after_subscribe && flags.remove_retained
    );
}

#[test]
fn flags_that_do_not_agree_are_refused() {
    for line in [
        "pub -t a",
        "sub",
        "pub -t a -m x -n",
        "pub -t a -m x -c",
        "pub -t a -m x --will-qos 1",
        "pub -t a -l --repeat 2",
        "sub -t a -R --retained-only",
        "--memory --data-dir /tmp",
        "--listen 127.0.0.1:1 check",
    ] {
        let kind = refusal(line);
        assert!(matches!(kind, ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict), "{line}: {kind:?}");
    }
    assert!(publishing("pub -t a -n -P secret").peer.greeting("name").unwrap_err().contains("-u"));
    assert!(publishing("pub -t a -n -x 5").peer.greeting("name").unwrap_err().contains("-V 5"));
    assert!(publishing("pub -t a -n -V 5 -P secret").peer.greeting("name").is_ok(), "5.0 lets a password stand alone");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for line in [
        "pub -t a/# -n",
        "pub -t a -n -q 3",
        "pub -t a -n -V 4",
        "pub -t a -n -p 70000",
        "pub -t a -m x --repeat 0",
        "pub -t a -m x --repeat-delay -1",
        "pub -t a -m x --repeat-delay nan",
        "sub -t a/#/b",
        "sub -t $share//b",
        "sub -t a -C 0",
        "sub -t a -W x",
        "sub -t a -F %z",
        "--log-format xml",
    ] {
        let kind = refusal(line);
        assert!(
            matches!(kind, ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::UnknownArgument),
            "{line}: {kind:?}"
        );
    }
}

#[test]
fn serving_is_what_happens_without_a_command() {
    let arguments =
        parse("--listen 127.0.0.1:0 --listen [::1]:0 --cores 2,3 --admin 127.0.0.1:0 --set a.b=c --memory").unwrap();
    assert!(arguments.command.is_none());
    assert_eq!(arguments.settings.listen, ["127.0.0.1:0", "[::1]:0"]);
    assert_eq!((arguments.settings.cores.as_deref(), arguments.settings.set), (Some("2,3"), vec!["a.b=c".to_owned()]));
}

#[test]
fn the_help_names_the_exit_codes() {
    for (line, wanted) in [("--help", "3  the broker could not start"), ("pub --help", "27"), ("sub --help", "27")] {
        let help = parse(line).expect_err(line);
        assert_eq!(help.kind(), ErrorKind::DisplayHelp, "{line}");
        assert!(help.to_string().contains(wanted), "{line}: {help}");
    }
    assert_eq!(refusal("--version"), ErrorKind::DisplayVersion);
}
