//! The command line of the load generator: usual sizes, what excludes each other, what is refused.

use clap::Parser;

use crate::generator::arguments::{Arguments, Extent, Plan, Sessions};
use crate::generator::pace::Pace;

fn plan(line: &str) -> Result<Plan, String> {
    let words = std::iter::once("load").chain(line.split_ascii_whitespace());
    Arguments::try_parse_from(words).map_err(|error| error.to_string())?.plan()
}

#[test]
fn each_scenario_has_its_usual_size_and_loop() {
    let usual = |line| plan(line).map(|plan| (plan.publishers, plan.subscribers, plan.pace)).unwrap();
    let closed = |in_flight| Pace::Closed { in_flight };
    assert_eq!(usual("fan-in"), (10, 1, closed(1_000)));
    assert_eq!(usual("fan-out"), (1, 100, closed(200)));
    assert_eq!(usual("fan-out --subscribers 500"), (1, 500, closed(50)));
    assert_eq!(usual("pairs --pairs 7"), (7, 7, closed(100)));
    assert_eq!(usual("shared --in-flight 5"), (10, 10, closed(5)));
    assert_eq!(usual("durable --qos 1"), (50, 50, closed(100)));
}

#[test]
fn who_is_away_is_bounded_by_the_window_alone_and_told_how_many_messages_come() {
    assert_eq!(plan("pairs").unwrap().sessions, Sessions::Passing);
    assert_eq!(plan("durable --qos 1").unwrap().sessions, Sessions::Lasting);
    let away = plan("durable --qos 2 --away --pairs 4").unwrap();
    assert_eq!((away.sessions, away.pace, away.window), (Sessions::Away, Pace::Flood, Some(20)));
    assert_eq!(away.extent, Extent::Messages { each: 50_000 });
    assert_eq!(plan("durable --qos 1 --away --messages 50").unwrap().extent, Extent::Messages { each: 1 });
}

#[test]
fn a_window_belongs_to_acknowledged_messages() {
    assert_eq!(plan("pairs").unwrap().window, None);
    assert_eq!(plan("pairs --qos 1").unwrap().window, Some(20));
    assert_eq!(plan("pairs --qos 2 --window 5 --mqtt 5").unwrap().window, Some(5));
}

#[test]
fn a_rate_a_flood_and_a_loop_exclude_each_other() {
    assert!(matches!(plan("fan-in --rate 1000").unwrap().pace, Pace::Fixed(_)));
    assert_eq!(plan("fan-in --flood").unwrap().pace, Pace::Flood);
    for wrong in ["fan-in --rate 1 --flood", "fan-in --flood --in-flight 2", "fan-in --rate 1 --in-flight 2"] {
        assert!(plan(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn messages_are_shared_out_among_publishers() {
    assert_eq!(plan("fan-in --publishers 3 --messages 10").unwrap().extent, Extent::Messages { each: 4 });
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (line, word) in [
        ("fan-in --payload 19", "--payload 19"),
        ("fan-in --seconds=-1", "--seconds -1"),
        ("fan-out --subscribers 0", "at least one"),
        ("fan-in --qos 3", "3"),
        ("fan-in --rate 0", "0"),
        ("walk", "walk"),
        ("durable", "--qos 0"),
        ("pairs --qos 1 --away", "--away"),
        ("durable --qos 1 --away --rate 5", "--away"),
    ] {
        let error = plan(line).unwrap_err();
        assert!(error.contains(word), "{line}: {error}");
    }
}
