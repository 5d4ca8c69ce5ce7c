//! Shards and nothing around them: what the benches count and the proofs of allocations drive.
//!
//! Beside the shards themselves it allocates nothing once it has grown, and looks at outputs only where somebody asks.
#![allow(dead_code, reason = "each program uses its part")]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pregon::base::hash::Seed;
use pregon::base::time::Time;
use pregon::engine::accounts::Accounts;
use pregon::engine::accounts::terms::Terms;
use pregon::engine::auth::policy::Policy;
use pregon::engine::connection::{ConnectionKey, Peer};
use pregon::engine::homes::{Homes, ShardId};
use pregon::engine::input::Input;
use pregon::engine::limits::Limits;
use pregon::engine::mesh::Mesh;
use pregon::engine::output::Outputs;
use pregon::engine::shard::{Shard, Shared};
use pregon::engine::subscriptions::interest::Interest;
use pregon::mqtt::numbered::NumberedRun;
use pregon::mqtt::properties::Properties;
use pregon::mqtt::publish::Publish;
use pregon::mqtt::{PacketId, QoS, Topic, Version};

/// Positions of the interest filter.
const POSITIONS: usize = 1 << 16;

/// A broker whose clients are keys.
pub struct Bare {
    /// The shards, in the order of their numbers.
    pub shards: Vec<Shard>,
    /// What each shard wishes, since the last [`Bare::clear`].
    pub outs: Vec<Outputs>,
    /// The time.
    pub now: Time,
    homes: Arc<Homes>,
    /// A batch on its way, empty between two moves.
    batch: Vec<Mesh>,
    /// Packets with an identifier that clients have got, empty between two rounds.
    received: Vec<(ConnectionKey, PacketId)>,
    /// Their answers, one client's at a time.
    answers: Vec<u8>,
}

/// A connected client.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The shard that serves it.
    pub shard: usize,
    /// Its connection there.
    pub key: ConnectionKey,
}

impl Bare {
    /// A broker of so many shards, open to everybody.
    pub fn new(shards: usize) -> Self {
        let seed = Seed::new(7);
        let homes = Arc::new(Homes::new(seed, shards));
        let bits = u32::try_from(shards).expect("at most 64 shards");
        let shared = Shared {
            limits: Arc::new(Limits::default()),
            own_limits: Arc::from([]),
            homes: Arc::clone(&homes),
            interest: Arc::new(Interest::new(seed, bits, POSITIONS)),
            policy: Arc::new(Policy::open()),
            accounts: Arc::new(Accounts::new(Terms::of(&Limits::default()), seed)),
            has_journal: false,
            ram_budget: 0,
        };
        Self {
            shards: (0..shards).map(|n| Shard::new(ShardId::new(n), shared.clone(), n as u64)).collect(),
            outs: (0..shards).map(|_| Outputs::new(shards)).collect(),
            now: Time::from_millis(1_000_000),
            homes,
            batch: Vec::new(),
            received: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Connects a client with a clean session, at its home. The name gets a number behind it until it lives on `shard`.
    pub fn connect(&mut self, shard: usize, version: Version, name: &str) -> Client {
        let mut numbered = (0..).map(|number| format!("{name}-{number}"));
        let id = numbered.find(|id| self.homes.client(id).index() == shard).expect("every shard is home to some name");
        self.connect_as(shard, &connect(version, &id, true))
    }

    /// Opens a connection and sends this CONNECT.
    pub fn connect_as(&mut self, shard: usize, connect: &[u8]) -> Client {
        let client = self.open(shard);
        self.send(client, connect);
        client
    }

    /// Opens a connection that says nothing yet.
    pub fn open(&mut self, shard: usize) -> Client {
        let peer = Peer { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883), listener: 0 };
        let key = self.shards[shard].accept(peer, self.now).expect("there is room for one more");
        Client { shard, key }
    }

    /// Subscribes, and forgets what was answered.
    pub fn subscribe(&mut self, client: Client, version: Version, filter: &str, options: u8) {
        self.send(client, &subscribe(version, filter, options));
        self.move_mesh();
        self.clear();
    }

    /// Bytes of a client arrive.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        let input = Input::Received { connection: client.key, bytes };
        self.shards[client.shard].handle(input, self.now, &mut self.outs[client.shard]);
    }

    /// Moves what the shards have to say to each other until they are silent.
    pub fn move_mesh(&mut self) {
        let shards = self.shards.len();
        let mut is_busy = true;
        while mem::take(&mut is_busy) {
            for (from, to) in (0..shards).flat_map(|from| (0..shards).map(move |to| (from, to))) {
                if self.outs[from].mesh[to].is_empty() {
                    continue;
                }
                is_busy = true;
                mem::swap(&mut self.batch, &mut self.outs[from].mesh[to]);
                let input = Input::Mesh { from: ShardId::new(from), batch: &mut self.batch };
                self.shards[to].handle(input, self.now, &mut self.outs[to]);
                mem::swap(&mut self.batch, &mut self.outs[from].mesh[to]);
            }
        }
    }

    /// Every client of this shard answers, with this packet, each packet with an identifier that it has got.
    ///
    /// `first` and the 2 behind it are the fixed header of the answer.
    pub fn answer_all(&mut self, shard: usize, first: u8) {
        let mut received = mem::take(&mut self.received);
        for piece in self.outs[shard].pieces() {
            if piece.packet_id_at.is_some() {
                let with_id = piece.recipients.iter().filter_map(|to| Some((to.connection, to.packet_id?)));
                received.extend(with_id);
            } else if let Some(run) = NumberedRun::find(Version::V311, piece.head, u32::MAX) {
                received.extend(run.map(|packet| (piece.recipients[0].connection, packet.id)));
            }
        }
        self.outs[shard].clear();
        let mut answers = mem::take(&mut self.answers);
        for of_one in received.chunk_by(|one, other| one.0 == other.0) {
            answers.clear();
            for (_, id) in of_one {
                let [high, low] = id.get().to_be_bytes();
                answers.extend_from_slice(&[first, 2, high, low]);
            }
            self.send(Client { shard, key: of_one[0].0 }, &answers);
        }
        received.clear();
        (self.received, self.answers) = (received, answers);
    }

    /// How many receivers the pieces of all shards have together.
    pub fn recipient_count(&self) -> usize {
        self.outs.iter().flat_map(Outputs::pieces).map(|piece| piece.recipients.len()).sum()
    }

    /// Forgets all wishes.
    pub fn clear(&mut self) {
        self.outs.iter_mut().for_each(Outputs::clear);
    }
}

/// A CONNECT with a keep-alive of a minute.
pub fn connect(version: Version, id: &str, is_clean: bool) -> Vec<u8> {
    let mut body = b"\0\x04MQTT".to_vec();
    body.extend([version.level(), if is_clean { 2 } else { 0 }, 0, 60]);
    if version == Version::V5 && is_clean {
        body.push(0);
    } else if version == Version::V5 {
        body.extend([5, 0x11, 0xff, 0xff, 0xff, 0xff]); // the session never expires
    }
    put_text(id, &mut body);
    packet(0x10, &body)
}

/// A SUBSCRIBE to one filter.
pub fn subscribe(version: Version, filter: &str, options: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    put_text(filter, &mut body);
    body.push(options);
    packet(0x82, &body)
}

/// A PUBLISH of 64 bytes, with the identifier 7 where it needs one.
pub fn publish(version: Version, topic: &str, qos: QoS, properties: Properties<'_>) -> Vec<u8> {
    let packet = Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(Topic::parse(topic).expect("it is a topic")),
        topic_alias: None,
        packet_id: PacketId::new(7).filter(|_| qos > QoS::AtMostOnce),
        message_expiry: properties.message_expiry(),
        properties,
        payload: &[b'x'; 64],
    };
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 128);
    let mut bytes = vec![first, length.expect("these packets are short")];
    bytes.extend_from_slice(body);
    bytes
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("these texts are short");
    out.extend(length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
