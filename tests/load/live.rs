//! Whole runs against the relay of `bench/floor`, and through a crooked wire that the books must notice.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use clap::Parser;
use pregon::mqtt::PacketType;
use pregon::mqtt::frame::{Next, next_frame};

use crate::generator::arguments::Arguments;
use crate::generator::report::Report;
use crate::keeper::Keeper;
use crate::relay::{Relay, Target};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Something that runs beside a test until the process of the tests ends.
#[expect(clippy::disallowed_methods, reason = "a relay needs a thread beside the generator's own")]
fn beside(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

fn relay(target: Target) -> SocketAddr {
    let relay = Relay::listen(ANY_PORT, target).unwrap();
    let address = relay.address().unwrap();
    beside(move || relay.run().unwrap());
    address
}

fn run(address: SocketAddr, line: &str) -> Report {
    let line = format!("load {line} --address {address}");
    crate::generator::run(&Arguments::try_parse_from(line.split_ascii_whitespace()).unwrap()).unwrap()
}

/// The number that the JSON of a report has under this name.
fn count(report: &Report, name: &str) -> u64 {
    let json = report.to_json();
    let line = json.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{name}\": ")));
    line.unwrap_or_else(|| panic!("{name} in {json}")).trim_end_matches(',').parse().unwrap()
}

#[test]
fn every_message_is_counted_in_each_scenario_version_and_quality_of_service() {
    for (target, scenario, deliveries) in [
        (Target::Everyone, "fan-in --publishers 3", 600),
        (Target::Everyone, "fan-out --subscribers 7", 4_200),
        (Target::Partner(4), "pairs --pairs 4", 600),
    ] {
        for options in
            ["", "--mqtt 3.1 --qos 1", "--qos 2", "--mqtt 5", "--mqtt 5 --qos 2 --window 3", "--payload 5000"]
        {
            let report = run(relay(target), &format!("{scenario} --messages 600 {options}"));
            assert!(report.is_sound, "{scenario} {options}:\n{}", report.to_table());
            assert_eq!(count(&report, "deliveries"), deliveries, "{scenario} {options}");
        }
    }
}

#[test]
fn lasting_sessions_are_counted_like_others_and_their_acknowledgements_too() {
    for options in ["--qos 1", "--mqtt 5 --qos 2", "--mqtt 3.1 --qos 1"] {
        let report = run(relay(Target::Partner(4)), &format!("durable --pairs 4 --messages 600 {options}"));
        assert!(report.is_sound, "{options}:\n{}", report.to_table());
        assert!(report.to_json().contains("\"acknowledged_per_s\""), "{options}");
    }
}

#[test]
fn who_comes_back_gets_what_was_kept_and_leaves_no_session() {
    for qos in [1, 2] {
        let keeper = Keeper::default();
        let report = run(keeping(&keeper), &format!("durable --pairs 3 --messages 300 --qos {qos} --away"));
        assert!(report.is_sound, "{}", report.to_table());
        assert_eq!(["sent", "deliveries"].map(|name| count(&report, name)), [300, 300]);
        assert!(["acknowledged_per_s", "drained_per_s"].iter().all(|name| report.to_json().contains(name)));
        assert!(keeper.is_empty());
    }
}

#[test]
fn a_message_that_was_acknowledged_and_not_kept_is_lost() {
    let report = run(keeping(&Keeper::losing(70)), "durable --pairs 3 --messages 300 --qos 1 --away");
    let found = ["deliveries", "lost", "odd_sessions"].map(|name| count(&report, name));
    assert_eq!((found, report.is_sound), ([299, 1, 0], false), "{}", report.to_table());
}

#[test]
fn messages_for_who_is_away_are_lost_where_nothing_is_kept() {
    let report = run(relay(Target::Partner(4)), "durable --pairs 4 --messages 400 --qos 1 --away");
    let found = ["sent", "deliveries", "lost", "odd_sessions", "unacknowledged"].map(|name| count(&report, name));
    assert_eq!((found, report.is_sound), ([400, 0, 400, 4, 0], false), "{}", report.to_table());
}

#[test]
fn a_flood_and_a_fixed_rate_lose_nothing_either() {
    for pace in ["--flood", "--rate 100000"] {
        let report = run(relay(Target::Everyone), &format!("fan-in --publishers 2 --messages 5000 {pace}"));
        assert!(report.is_sound, "{pace}:\n{}", report.to_table());
        assert_eq!(count(&report, "deliveries"), 5_000, "{pace}");
    }
}

#[test]
fn latency_is_told_where_a_rate_is_kept() {
    let address = relay(Target::Everyone);
    assert!(run(address, "fan-in --publishers 1 --messages 500 --rate 50000").to_json().contains("latency_p99_us"));
    assert!(!run(address, "fan-in --publishers 1 --messages 500").to_json().contains("latency"));
}

#[test]
fn messages_that_the_wire_loses_doubles_and_swaps_are_told_apart() {
    let address = crooked_wire(relay(Target::Everyone));
    let report = run(address, "fan-in --publishers 1 --messages 500");
    let found = ["lost", "duplicates", "reordered", "foreign", "wrong_packets"].map(|name| count(&report, name));
    assert_eq!((found, report.is_sound), ([1, 1, 1, 0, 0], false), "{}", report.to_table());
}

#[test]
fn clients_come_and_go_and_stay() {
    let address = relay(Target::Everyone);
    for options in ["", "--subscribe"] {
        let report = run(address, &format!("connect --connections 50 --rounds 3 --at-once 8 {options}"));
        assert!(report.is_sound && count(&report, "rounds") == 3, "{}", report.to_table());
    }
    let own = std::process::id();
    let report = run(address, &format!("idle --connections 50 --seconds 0.1 --pid {own}"));
    assert!(report.is_sound && count(&report, "resident_after_bytes") > 0, "{}", report.to_table());
}

#[test]
fn a_broker_that_is_not_there_is_named_with_what_to_look_at() {
    let address = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let line = format!("load fan-in --address {address}");
    let arguments = Arguments::try_parse_from(line.split_ascii_whitespace()).unwrap();
    let error = crate::generator::run(&arguments).unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("is it listening"), "{error}");
}

/// The address of a broker that keeps messages.
fn keeping(keeper: &Keeper) -> SocketAddr {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let (address, keeper) = (listener.local_addr().unwrap(), keeper.clone());
    beside(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let keeper = keeper.clone();
            beside(move || {
                // The generator closes its end without waiting for the last words.
                let _ = keeper.serve(client);
            });
        }
    });
    address
}

/// A way to `target` on which the fifth message to a client is lost, the seventh doubled, the ninth and tenth swapped.
fn crooked_wire(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap();
    beside(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect(target).unwrap();
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            beside(move || {
                // Either end may leave first.
                let _ = std::io::copy(&mut up_from, &mut up_to);
            });
            beside(move || bend(broker, client));
        }
    });
    address
}

fn bend(mut from: TcpStream, mut to: TcpStream) {
    let (mut held, mut chunk, mut messages) = (Vec::new(), [0; 4_096], 0);
    let mut ninth = Vec::new();
    while let Ok(size @ 1..) = from.read(&mut chunk) {
        held.extend_from_slice(&chunk[..size]);
        let mut out = Vec::new();
        while let Ok(Next::Frame(frame)) = next_frame(&held, u32::MAX) {
            let packet: Vec<u8> = held.drain(..frame.len).collect();
            let is_message = PacketType::of_first_byte(packet[0]) == Some(PacketType::Publish);
            messages += u32::from(is_message);
            match messages {
                5 => {}
                7 => out.extend([packet.as_slice(), &packet].concat()),
                9 => ninth = packet,
                10 => out.extend([packet, std::mem::take(&mut ninth)].concat()),
                _ => out.extend(packet),
            }
        }
        if to.write_all(&out).is_err() {
            return;
        }
    }
}
