//! Connections that the kernel receives for, in a real ring: hot and cold again, out of buffers, paused and closed in flight.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::clerks::Clerks;
use super::clock::Clock;
use super::core::{Core, Parts};
use super::lines::Watch;
use super::listener;
use super::mesh::{Inbox, Ways, connect};
use super::progress::Progress;
use super::reading::Due;
use super::reloading::Force;
use super::report::Promise;
use super::ring::Ended;
use crate::base::hash::Seed;
use crate::config::{Config, Driver};
use crate::engine::accounts::Accounts;
use crate::engine::accounts::terms::Terms;
use crate::engine::auth::policy::Policy;
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::{Homes, ShardId};
use crate::engine::output::Recipient;
use crate::engine::shard::Shared;
use crate::engine::subscriptions::interest::Interest;

/// Turns after which a test gives up: far more than any needs.
const TURNS_MAX: usize = 2_000_000;
/// More than all buffers of a ring together.
const MORE_THAN_ALL_BUFFERS: usize = 1 << 20;

/// A shard without an executor, and where it listens.
pub(super) struct Scene {
    pub(super) core: Core,
    pub(super) address: SocketAddr,
    pub(super) ways: Ways,
    /// Those of the other shards, which are not there.
    pub(super) inboxes: Vec<Inbox>,
    /// What all shards say of themselves.
    pub(super) progress: Arc<Progress>,
}

/// A client of 3.1.1 whose messages have identifiers that go up.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) key: ConnectionKey,
    sent: u16,
    acknowledged: u16,
    heard: Vec<u8>,
}

impl Scene {
    pub(super) fn new(ring_entries: u32) -> Self {
        Self::among(1, ring_entries, Config::default())
    }

    /// The first of so many shards.
    pub(super) fn among(shards: usize, ring_entries: u32, config: Config) -> Self {
        let bound = listener::bind(
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            1,
            &config.listeners,
            &listener::SocketOptions::default(),
        )
        .unwrap();
        let (ways, mut inboxes) = connect(shards, 8, u64::MAX).unwrap();
        let seed = Seed::new(7);
        let shared = Shared {
            limits: Arc::new(config.limits.clone()),
            own_limits: Arc::from([]),
            homes: Arc::new(Homes::new(seed, shards)),
            interest: Arc::new(Interest::new(seed, u32::try_from(shards).unwrap(), 64)),
            policy: Arc::new(Policy::open()),
            accounts: Arc::new(Accounts::new(Terms::of(&config.limits), seed)),
            has_journal: false,
            ram_budget: 0,
        };
        let clock = Clock::start();
        let progress = Progress::new(clock, vec![0; shards]);
        let desk = Clerks::start(0, &Arc::new(Force::new(Arc::clone(&shared.policy))), &ways)
            .unwrap()
            .desk(ShardId::new(0), 16);
        let core = Core::new(Parts {
            id: ShardId::new(0),
            core: None,
            clock,
            shared,
            seed: 7,
            inbox: inboxes.remove(0),
            ways: ways.clone(),
            desk,
            listeners: bound.sockets.into_iter().map(|fd| listener::Socket { fd, plan: None }).collect(),
            turn: config.turn,
            spin_before_park_us: 0,
            driver: Driver::Ring,
            ring_entries,
            promise: Promise::of(&config.storage),
            share: progress.share(ShardId::new(0)),
            kept: None,
        });
        let mut core = core.unwrap();
        core.serve();
        Self { core, address: bound.address, ways, inboxes, progress }
    }

    /// Turns until something is so.
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Core) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(&mut self.core) {
                return;
            }
            self.core.turn();
        }
        panic!("{what}: not after {TURNS_MAX} turns");
    }

    /// A client that is connected.
    pub(super) fn client(&mut self, id: char) -> Client {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01").unwrap();
        stream.write_all(&[u8::try_from(id).unwrap()]).unwrap();
        let mut connack = Vec::new();
        let mut stream_of_it = stream.try_clone().unwrap();
        self.until("CONNACK", |_| {
            take(&mut stream_of_it, &mut connack);
            connack.len() == 4
        });
        assert_eq!(connack, [0x20, 2, 0, 0]);
        let key = self.newest_key();
        Client { stream, key, sent: 0, acknowledged: 0, heard: Vec::new() }
    }

    /// The connection that has the last place, of those that nobody had before.
    pub(super) fn newest_key(&mut self) -> ConnectionKey {
        let keys = (0..4_096).filter_map(|index| ConnectionKey::from_bits(1 << 32 | index));
        keys.filter(|key| self.core.lines.get_mut(*key).is_some()).last().expect("its line is the newest")
    }

    /// One message after the other until the kernel receives for this client.
    pub(super) fn heat(&mut self, client: &mut Client) {
        let before = client.sent;
        while self.watch_of(client) != Watch::Receive {
            assert!(client.sent < before + 100, "it does not become hot");
            client.publish(10);
            self.until_acknowledged(client);
        }
    }

    pub(super) fn until_acknowledged(&mut self, client: &mut Client) {
        self.until("every acknowledgement", |_| client.is_acknowledged());
    }

    fn watch_of(&mut self, client: &Client) -> Watch {
        self.core.lines.get_mut(client.key).expect("it is connected").state.watch
    }

    /// What has become ready is sorted, and nothing of it is handled, until something is so.
    fn sort_until(&mut self, mut is_so: impl FnMut(&mut Core) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_so(&mut self.core) {
                return;
            }
            self.core.net.poke();
            self.core.sort_ready();
        }
        panic!("not after {TURNS_MAX} looks");
    }

    pub(super) fn pause(&mut self, client: &Client, is_read: bool) {
        self.core.out.reads.push((client.key, is_read));
        let now = self.core.clock.now();
        self.core.perform(now);
    }
}

/// Whether something that the kernel has received for this connection waits to be handled.
fn has_piece(core: &Core, of: ConnectionKey) -> bool {
    core.due.iter().any(|due| matches!(due, Due::Piece(key, _) if *key == of))
}

/// Reads what there is.
fn take(stream: &mut TcpStream, heard: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => heard.extend_from_slice(&buffer[..count]),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
}

impl Client {
    /// A message at QoS 1 with so many bytes of payload.
    pub(super) fn publish(&mut self, payload: u16) {
        let bytes = self.message(payload);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Where what is for it goes.
    pub(super) fn as_recipient(&self) -> Recipient {
        Recipient { connection: self.key, packet_id: None }
    }

    /// Looks at what has come: the beginning of these bytes, or all of them.
    pub(super) fn has_heard(&mut self, expected: &[u8]) -> bool {
        take(&mut self.stream, &mut self.heard);
        assert!(expected.starts_with(&self.heard), "{:?} came and not {expected:?}", self.heard);
        self.heard.len() == expected.len()
    }

    fn message(&mut self, payload: u16) -> Vec<u8> {
        self.sent += 1;
        let rest = 5 + payload;
        let mut bytes = vec![0x32, u8::try_from(rest & 0x7F).unwrap() | 0x80, u8::try_from(rest >> 7).unwrap()];
        bytes.extend_from_slice(b"\0\x01t");
        bytes.extend_from_slice(&self.sent.to_be_bytes());
        bytes.resize(bytes.len() + usize::from(payload), b'x');
        bytes
    }

    /// Looks at what has come: acknowledgements in the order of the messages, and nothing else.
    fn is_acknowledged(&mut self) -> bool {
        take(&mut self.stream, &mut self.heard);
        let whole = self.heard.len() / 4 * 4;
        for puback in self.heard.drain(..whole).collect::<Vec<_>>().chunks(4) {
            self.acknowledged += 1;
            let id = self.acknowledged.to_be_bytes();
            assert_eq!(puback, [0x40, 2, id[0], id[1]], "messages are handled in order");
        }
        self.acknowledged == self.sent
    }
}

#[test]
fn client_that_says_little_again_and_again_is_received_for_until_it_is_quiet() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('a');
    assert_eq!(scene.watch_of(&client), Watch::Poll);
    scene.heat(&mut client);
    assert_eq!(scene.core.report().shell.receive_promotions, 1);
    for _ in 0..100 {
        client.publish(20);
        scene.until_acknowledged(&mut client);
    }
    assert_eq!((scene.core.stats.receive_promotions, scene.core.stats.receive_demotions), (1, 0));

    let mut later = scene.core.clock.now();
    for _ in 0..40 {
        later = later.after_ms(256);
        scene.core.cool(later);
    }
    scene.until("the end of receiving", |core| core.stats.receive_demotions == 1);
    assert_eq!(scene.watch_of(&client), Watch::Poll);
    client.publish(20);
    scene.until_acknowledged(&mut client);
    scene.heat(&mut client);
    assert_eq!(scene.core.stats.receive_promotions, 2);
}

#[test]
fn client_that_says_much_at_a_time_is_read_by_plain_calls() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('a');
    for _ in 0..50 {
        client.publish(2_000);
        scene.until_acknowledged(&mut client);
    }
    assert_eq!(scene.core.stats.receive_promotions, 0);
    scene.heat(&mut client);
    for _ in 0..50 {
        client.publish(2_000);
        scene.until_acknowledged(&mut client);
    }
    assert_eq!(scene.core.stats.receive_demotions, 1);
    assert_eq!(scene.watch_of(&client), Watch::Poll);
}

#[test]
fn client_for_which_no_buffer_is_left_is_read_by_plain_calls_and_loses_nothing() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('a');
    scene.heat(&mut client);
    let mut unsent = Vec::new();
    while unsent.len() < MORE_THAN_ALL_BUFFERS {
        unsent.extend(client.message(2_000));
    }
    let mut at = 0;
    scene.sort_until(|core| {
        at += client.stream.write(&unsent[at..]).unwrap_or(0);
        core.due.iter().any(|due| matches!(due, Due::Ended(_, Ended::NoBuffer)))
    });
    let mut stream = client.stream.try_clone().unwrap();
    scene.until("every acknowledgement", |_| {
        at += stream.write(&unsent[at..]).unwrap_or(0);
        client.is_acknowledged()
    });
    assert_eq!(scene.core.stats.receive_shortages, 1);

    // All buffers have come back: it may become hot again, and far more than all of them goes through.
    scene.heat(&mut client);
    for _ in 0..MORE_THAN_ALL_BUFFERS / 100 {
        client.publish(100);
        scene.until_acknowledged(&mut client);
    }
    assert_eq!((scene.core.stats.receive_shortages, scene.watch_of(&client)), (1, Watch::Receive));
}

#[test]
fn what_was_received_when_a_client_is_made_to_wait_is_kept_in_order() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('a');
    scene.heat(&mut client);
    for round in 0..50 {
        client.publish(30);
        scene.sort_until(|core| has_piece(core, client.key));
        scene.pause(&client, false);
        client.publish(40);
        if round % 2 == 0 {
            scene.until("the end of receiving", |core| core.stats.receive_demotions > round / 2);
        }
        scene.until("what came to be put aside", |core| !has_piece(core, client.key));
        client.publish(50);
        assert!(!client.is_acknowledged(), "nothing is handled while it waits");
        scene.pause(&client, true);
        scene.until_acknowledged(&mut client);
        scene.heat(&mut client);
    }
}

#[test]
fn client_that_is_closed_while_the_kernel_receives_takes_no_buffer_with_it() {
    let mut scene = Scene::new(64);
    let mut other = scene.client('b');
    scene.heat(&mut other);
    for _ in 0..100 {
        let mut client = scene.client('a');
        client.key = (1..1 << 20)
            .find_map(|generation| {
                let key = ConnectionKey::from_bits(generation << 32 | 1)?;
                scene.core.lines.get_mut(key).is_some().then_some(key)
            })
            .expect("it has the place of the one before");
        scene.heat(&mut client);
        // The last word, and more behind it that nobody will read: in pieces of their own.
        client.stream.write_all(b"\xe0\0").unwrap();
        scene.sort_until(|core| has_piece(core, client.key));
        for _ in 0..10 {
            client.stream.write_all(&[0xC0; 4_000]).unwrap();
            let before = scene.core.due.len();
            scene.sort_until(|core| core.due.len() > before);
        }
        scene.until("its line to be gone", |core| core.lines.get_mut(client.key).is_none());
    }
    for _ in 0..MORE_THAN_ALL_BUFFERS / 100 {
        other.publish(100);
        scene.until_acknowledged(&mut other);
    }
    assert_eq!((scene.core.stats.receive_shortages, scene.watch_of(&other)), (0, Watch::Receive));
}

#[test]
fn receive_that_the_kernel_breaks_off_goes_on() {
    // Completions have 32 places: with more receives than that at once the kernel breaks some of them off.
    let mut scene = Scene::new(8);
    let names = ('0'..='9').chain('a'..='z').chain('A'..='Z');
    let mut clients: Vec<Client> = names.map(|name| scene.client(name)).collect();
    for client in &mut clients {
        scene.heat(client);
    }
    for _ in 0..20 {
        for client in &mut clients {
            client.publish(10);
        }
        (0..50).for_each(|_| scene.core.net.poke());
        for client in &mut clients {
            scene.until_acknowledged(client);
        }
    }
    assert!(scene.core.report().shell.ring_overflows > 0, "there were enough places");
    assert!(scene.core.stats.receive_demotions > 0, "no receive was broken off");
    assert!(clients.iter().all(|client| scene.watch_of(client) == Watch::Receive));
}

#[test]
fn shard_ends_while_the_kernel_receives() {
    let mut scene = Scene::new(64);
    let mut client = scene.client('a');
    scene.heat(&mut client);
    client.publish(10);
    scene.sort_until(|core| has_piece(core, client.key));
    client.publish(10);
    drop(scene);
    client.stream.set_nonblocking(false).unwrap();
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut end = client.stream.read(&mut [0; 1]);
    while end.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
        end = client.stream.read(&mut [0; 1]); // the end of the ring interrupts its thread
    }
    let is_end = matches!(&end, Ok(0)) || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
    assert!(is_end, "{end:?}");
}
