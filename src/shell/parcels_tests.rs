//! What comes to a shard by several lanes and from several senders, in a real turn: nobody waits behind what is too much of another one.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::BytesMut;

use super::lines::LineParts;
use super::mesh::{Batch, Parcel};
use super::receiving_tests::Scene;
use crate::config::Config;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::policy::Policy;
use crate::engine::change::Serial;
use crate::engine::connection::Peer;
use crate::engine::homes::ShardId;
use crate::engine::mesh::{Mesh, RunPiece};
use crate::engine::message::SessionId;
use crate::engine::output::Arrival;

/// The shard that is there, and two that send to it.
const HERE: usize = 0;
const ONE: usize = 1;
const OTHER: usize = 2;

/// The body of a CONNECT of 3.1.1 without its client identifier.
const CONNECT: &[u8] = b"\0\x04MQTT\x04\x02\0\0";

fn scene() -> Scene {
    let mut scene = Scene::among(3, 64, Config::default());
    scene.core.shard.set_copies_per_input_max(16);
    scene
}

/// A client identifier whose home is this shard, and that no other number has.
fn id_at(scene: &Scene, shard: usize, number: usize) -> String {
    let ids = (0..).map(|tried| format!("client-{number}-{tried}"));
    ids.into_iter().find(|id| scene.core.shard.home_of(id).index() == shard).unwrap()
}

/// The body of CONNECT of this client.
fn connect_of(id: &str) -> Vec<u8> {
    [CONNECT, &[0, u8::try_from(id.len()).unwrap()], id.as_bytes()].concat()
}

/// What has come so far.
fn take(stream: &mut impl Read, heard: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => heard.extend_from_slice(&buffer[..count]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
}

/// A client of this shard that is connected and has subscribed to everything.
fn subscriber(scene: &mut Scene) -> TcpStream {
    let mut stream = TcpStream::connect(scene.address).unwrap();
    let body = connect_of(&id_at(scene, HERE, 0));
    stream.write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], &body[..]].concat()).unwrap();
    stream.write_all(b"\x82\x06\0\x01\0\x01#\0").unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut heard = Vec::new();
    scene.until("SUBACK", |_| {
        take(&mut stream, &mut heard);
        heard.len() == 9
    });
    stream
}

/// A message that says only its number.
fn message(number: u8) -> [u8; 6] {
    [0x30, 4, 0, 1, b't', number]
}

/// The numbers of the messages that came.
fn numbers(heard: &[u8]) -> Vec<u8> {
    heard.chunks_exact(6).map(|bytes| bytes[5]).collect()
}

/// Another shard sends these messages in one batch.
fn send(scene: &Scene, from: usize, numbers: impl IntoIterator<Item = u8>) {
    let letter = |number: u8| {
        let bytes = message(number).to_vec().into();
        let run = RunPiece { bytes, count: 1, is_v5: false, origin: SessionId::BROKER };
        Mesh::Run { run, publisher: None }
    };
    let letters = numbers.into_iter().map(letter).collect();
    Batch::each(letters, ShardId::new(from), 0, |batch| {
        scene.ways.put(ShardId::new(HERE), Parcel::Batch(batch)).unwrap();
    });
}

/// A client comes in by another shard; what it hears.
fn move_in(scene: &Scene, number: usize) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let id = id_at(scene, HERE, number);
    let arrival = Arrival {
        peer: Peer { address: ([127, 0, 0, 1], 4711).into(), listener: 0 },
        seat: None,
        certificate: None,
        connect: connect_of(&id).into(),
        first: 0x10,
        client_id: id.into(),
        is_assigned: false,
        identity: Arc::new(Identity::anonymous()),
        policy: 0,
        auth_data: None,
        unread: BytesMut::new(),
    };
    let parts = Box::new(LineParts { fd: ours.into(), outbox: None, layers: None });
    let moved = Parcel::Moved { parts, arrival: Box::new(arrival) };
    scene.ways.put(ShardId::new(HERE), moved).unwrap();
    theirs
}

#[test]
fn threat_3_what_is_too_much_of_one_shard_holds_up_no_other_and_nobody_who_comes_in() {
    const FLOOD: u8 = 100;
    const LAST: u8 = 200;
    let mut scene = scene();
    let mut reader = subscriber(&mut scene);
    send(&scene, ONE, 0..FLOOD);
    send(&scene, ONE, [FLOOD]);
    send(&scene, OTHER, [LAST]);
    let (mut heard, mut answered) = (Vec::new(), Vec::new());
    scene.core.turn();
    take(&mut reader, &mut heard);
    assert!(numbers(&heard).contains(&LAST), "each has an input of the turn");
    // The rest is here and waits when somebody comes in.
    let mut newcomer = move_in(&scene, 1);
    scene.until("the newcomer", |_| {
        take(&mut reader, &mut heard);
        take(&mut newcomer, &mut answered);
        answered.len() == 4
    });
    let before = numbers(&heard).len();
    assert!(before < usize::from(FLOOD) / 2, "{before} messages of the flood came first");
    let report = scene.core.report().shell;
    assert_eq!(report.mesh_depth, 2, "what is left of a batch, and the one behind it");
    assert!(report.mesh_bytes > 0, "they take room until they are read");
    scene.until("the rest", |_| {
        take(&mut reader, &mut heard);
        heard.len() == 6 * (usize::from(FLOOD) + 2)
    });
    let flood: Vec<u8> = numbers(&heard).into_iter().filter(|number| *number != LAST).collect();
    assert_eq!(flood, (0..=FLOOD).collect::<Vec<_>>(), "letters of one sender stay in their order");
    let report = scene.core.report().shell;
    assert_eq!((report.mesh_depth, report.mesh_bytes, report.mesh_batches_received), (0, 0, 3));
}

#[test]
fn who_comes_in_does_not_keep_letters_waiting() {
    let mut scene = scene();
    scene.core.shard.set_copies_per_input_max(100); // who comes in causes something, too
    let mut reader = subscriber(&mut scene);
    let mut newcomers: Vec<UnixStream> = (0..8).map(|number| move_in(&scene, 1 + number)).collect();
    send(&scene, ONE, [7]);
    let mut heard = Vec::new();
    scene.core.turn();
    take(&mut reader, &mut heard);
    assert_eq!(numbers(&heard), [7], "one input of letters is a part of each turn");
    for newcomer in &mut newcomers {
        let mut answered = Vec::new();
        scene.until("CONNACK", |_| {
            take(newcomer, &mut answered);
            answered.len() == 4
        });
    }
}

#[test]
fn who_comes_in_has_a_part_of_the_time_of_a_turn_and_one_comes_in_at_least() {
    let mut scene = scene();
    scene.core.turn.time_us_max = 0;
    let newcomers = [1, 2, 3].map(|number| move_in(&scene, number));
    let left = newcomers.each_ref().map(|_| {
        scene.core.turn();
        scene.core.report().shell.mesh_depth
    });
    assert_eq!(left, [2, 1, 0]);
}

/// Turns until the reader is closed; what it has heard.
fn heard_until_closed(scene: &mut Scene, reader: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    scene.until("the end of the connection", |_| {
        let mut buffer = [0; 4096];
        match reader.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => heard.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        false
    });
    numbers(&heard)
}

#[test]
fn clients_hear_of_the_stop_behind_what_was_there_before_it() {
    let mut scene = scene();
    let mut reader = subscriber(&mut scene);
    send(&scene, ONE, 0..30);
    send(&scene, ONE, 30..50);
    let until_ns = scene.core.clock.now_ns() + 3_600_000_000_000;
    scene.ways.put(ShardId::new(HERE), Parcel::Stop { until_ns }).unwrap();
    scene.core.turn();
    assert!(TcpStream::connect(scene.address).is_err(), "nobody comes in from the first moment on");
    assert!(!scene.core.is_finished());
    // What has found no room before is on its way until its senders say that it has left them.
    scene.progress.share(ShardId::new(OTHER)).has_handed_on();
    (0..100).for_each(|_| _ = scene.core.turn());
    send(&scene, ONE, 50..60);
    scene.progress.share(ShardId::new(ONE)).has_handed_on();
    for number in 0..100 {
        send(&scene, ONE, [100 + number]);
        scene.core.turn(); // what comes later is not waited for
    }
    let heard = heard_until_closed(&mut scene, &mut reader);
    assert!(heard.len() < 100 && heard.starts_with(&(0..60).collect::<Vec<u8>>()), "{heard:?}");
    drop(reader);
}

#[test]
fn a_stop_waits_for_letters_no_longer_than_there_is_time() {
    let mut scene = scene();
    let mut reader = subscriber(&mut scene);
    send(&scene, ONE, 0..100);
    let until_ns = scene.core.clock.now_ns();
    scene.ways.put(ShardId::new(HERE), Parcel::Stop { until_ns }).unwrap();
    let heard = heard_until_closed(&mut scene, &mut reader);
    assert!(heard.len() < 100, "{heard:?}");
}

#[test]
fn what_a_client_says_before_it_has_moved_moves_with_it() {
    let mut config = Config::default();
    config.turn.read_bytes_max = 4 << 10;
    let mut scene = Scene::among(3, 64, config);
    let body = connect_of(&id_at(&scene, ONE, 0));
    let mut said = vec![0x10, u8::try_from(body.len()).unwrap()];
    said.extend_from_slice(&body);
    let behind: Vec<u8> = (0..6_000).flat_map(|number| message(u8::try_from(number % 251).unwrap())).collect();
    let mut stream = TcpStream::connect(scene.address).unwrap();
    stream.write_all(&[&said[..], &behind[..16 << 10]].concat()).unwrap();
    scene.until("the way home", |core| core.stats.handed_over == 1);
    let Some(Parcel::Moved { parts, arrival }) = scene.inboxes[ONE - 1].take_client() else { panic!("it moves") };
    stream.write_all(&behind[16 << 10..32 << 10]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = arrival.unread.to_vec();
    let mut rest = TcpStream::from(parts.fd);
    rest.set_nonblocking(false).unwrap();
    rest.read_to_end(&mut heard).unwrap();
    assert!(heard == behind[..32 << 10], "nothing is lost on the way, {} bytes came", heard.len());
}

/// Messages that are too much for one input.
const SAID: u8 = 20;

/// They go to two topics in turn, for those of one are taken together.
fn all_said() -> impl Iterator<Item = u8> {
    (0..SAID).flat_map(|number| [0x30, 4, 0, 1, b't' + number % 2, number])
}

#[track_caller]
fn expect_all_said(scene: &mut Scene, reader: &mut TcpStream) {
    let mut heard = Vec::new();
    scene.until("all that was said", |_| {
        take(reader, &mut heard);
        heard.len() == 6 * usize::from(SAID)
    });
    assert_eq!(numbers(&heard), (0..SAID).collect::<Vec<_>>());
}

#[test]
fn what_a_client_has_said_takes_effect_also_where_it_hears_nothing_any_more() {
    let mut scene = scene();
    let mut reader = subscriber(&mut scene);
    let mut deaf = move_in(&scene, 1);
    deaf.write_all(b"\x82\x06\0\x01\0\x01#\0").unwrap();
    let mut answered = Vec::new();
    scene.until("CONNACK and SUBACK", |_| {
        take(&mut deaf, &mut answered);
        answered.len() == 9
    });
    deaf.shutdown(Shutdown::Read).unwrap(); // what is sent to it fails
    deaf.write_all(&all_said().collect::<Vec<u8>>()).unwrap();
    expect_all_said(&mut scene, &mut reader);
    scene.until("its end", |core| core.shard.sizes().connections == 1);
}

/// More than a test may take.
const TURN_US: u64 = 60_000_000;

/// So many batches wait, of which two are all that a turn takes in.
fn charged(scene: &mut Scene, batches: usize) {
    scene.core.turn.time_us_max = TURN_US;
    let bytes = scene.core.turn.bytes_max.div_ceil(2);
    for _ in 0..batches {
        let batch = Batch { from: ShardId::new(ONE), sent_ns: 0, bytes, letters: Vec::new() };
        scene.ways.put(ShardId::new(HERE), Parcel::Batch(batch)).unwrap();
    }
}

#[test]
fn a_turn_takes_in_so_many_bytes_of_messages_and_leaves_the_others_to_the_next_ones() {
    let mut scene = scene();
    charged(&mut scene, 7);
    let left = [0; 4].map(|_| {
        scene.core.turn();
        scene.core.report().shell.mesh_depth
    });
    assert_eq!(left, [5, 3, 1, 0]);
}

#[test]
fn threat_5_another_policy_is_in_force_before_the_messages_that_wait() {
    let mut scene = scene();
    charged(&mut scene, 6);
    let policy = Policy::open().after(scene.core.shard.policy());
    let number = policy.number();
    assert_ne!(scene.core.shard.policy().number(), number);
    scene.ways.put(ShardId::new(HERE), Parcel::Policy(Arc::new(policy))).unwrap();
    scene.core.turn();
    assert_eq!(scene.core.report().shell.mesh_depth, 4);
    assert_eq!(scene.core.shard.policy().number(), number);
}

#[test]
fn threat_8_a_shard_lets_nobody_in_before_the_others_have_said_who_their_members_are() {
    let mut scene = Scene::among(2, 64, Config::default());
    let now = scene.core.clock.now();
    let progress = Arc::clone(&scene.progress);
    progress.share(ShardId::new(ONE)).has_settled();
    scene.core.shard.restored(Serial::NONE, now, &mut scene.core.out);
    (0..10).for_each(|_| _ = scene.core.turn());
    assert_eq!(progress.first_unsettled(), Some(HERE));
    let from = ShardId::new(ONE);
    Batch::each(vec![Mesh::Rejoined], from, 0, |batch| {
        scene.ways.put(ShardId::new(HERE), Parcel::Batch(batch)).unwrap();
    });
    scene.until("the word of the other shard", |_| progress.first_unsettled().is_none());
}
