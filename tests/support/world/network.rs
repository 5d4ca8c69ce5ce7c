//! The network of the world: clients as streams of bytes, letters between shards, connections on their way to their homes.
//!
//! Nothing here moves by itself either: what a shard wishes is put on its way, and whoever turns the world says what arrives, and how much of it.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::net::{IpAddr, SocketAddr};

use super::World;
use pregon::engine::change::Serial;
use pregon::engine::connection::{ConnectionKey, Peer};
use pregon::engine::homes::ShardId;
use pregon::engine::input::Input;
use pregon::engine::mesh::Mesh;
use pregon::engine::output::Outputs;

/// One client's network connection.
#[derive(Debug)]
pub struct Link {
    /// Where the broker serves it now, unless it is closed or on its way to its home.
    pub at: Option<(usize, ConnectionKey)>,
    /// Bytes that the client has sent and the broker has not read.
    pub outgoing: VecDeque<u8>,
    /// Bytes that the broker has sent and nobody has looked at.
    pub incoming: Vec<u8>,
    /// Whether the broker reads.
    pub is_read: bool,
    /// Whether the broker has closed it.
    pub is_closed: bool,
    /// Whether nothing that the broker sends arrives any more.
    pub is_broken: bool,
    /// How many bytes may lie unread before the network takes no more; the rest is the broker's backlog.
    pub room: usize,
    /// Bytes that the broker could not send yet.
    pub backlog: VecDeque<u8>,
    told_backlog: usize,
    /// Bytes of the backlog that the network has taken and the broker does not know of.
    taken: usize,
    /// Bytes that wait for the disk, each with what it waits for, and whatever comes behind them.
    promised: VecDeque<(Serial, Vec<u8>)>,
    /// Whose they are, if it is closed once they have left.
    closing: Option<usize>,
}

/// How the network knows what belongs together.
pub struct Wires {
    /// The links of connections, by the shards that serve them.
    keys: Vec<BTreeMap<ConnectionKey, usize>>,
    /// How many of the first letters, from and to, are left of a batch that was too much for one input.
    begun: Vec<Vec<usize>>,
    /// Connections whose backlog has changed and whose shard does not know yet.
    notices: Vec<usize>,
    next_landing: usize,
}

impl Wires {
    /// Those of so many shards, to which nobody is connected.
    pub fn new(shards: usize) -> Self {
        Self {
            keys: vec![BTreeMap::new(); shards],
            begun: vec![vec![0; shards]; shards],
            notices: Vec::new(),
            next_landing: 0,
        }
    }
}

impl Link {
    /// One that the broker serves here, unless it has refused it.
    fn new(at: Option<(usize, ConnectionKey)>) -> Self {
        Self {
            at,
            outgoing: VecDeque::new(),
            incoming: Vec::new(),
            is_read: true,
            is_closed: at.is_none(),
            is_broken: false,
            room: usize::MAX,
            backlog: VecDeque::new(),
            told_backlog: 0,
            taken: 0,
            promised: VecDeque::new(),
            closing: None,
        }
    }

    /// The network takes of the backlog what it has room for, up to so many bytes.
    fn fill(&mut self, most: usize) {
        let room = self.room.saturating_sub(self.incoming.len());
        let count = self.backlog.len().min(room).min(most);
        self.incoming.extend(self.backlog.drain(..count));
        self.taken += count;
    }
}

/// What clients and those between them and the broker do.
impl World {
    /// A new connection, accepted by the next shard in turn.
    pub fn connect(&mut self) -> usize {
        let landing = self.wires.next_landing % self.shards.len();
        self.wires.next_landing += 1;
        self.connect_to(landing)
    }

    /// A new connection, accepted by this shard.
    pub fn connect_to(&mut self, landing: usize) -> usize {
        self.connect_from(landing, self.address, self.listener)
    }

    /// A new connection from this address by this listener, accepted by this shard.
    pub fn connect_from(&mut self, landing: usize, address: IpAddr, listener: u16) -> usize {
        let link = self.links.len();
        let address = SocketAddr::new(address, u16::try_from(link % 60_000).unwrap_or(0) + 1024);
        let key = self.shards[landing].accept(Peer { address, listener }, self.now);
        self.links.push(Link::new(key.map(|key| (landing, key))));
        if let Some(key) = key {
            self.wires.keys[landing].insert(key, link);
        }
        link
    }

    /// The client sends bytes; they lie in the network until the broker reads them.
    pub fn send(&mut self, link: usize, bytes: &[u8]) {
        self.links[link].outgoing.extend(bytes);
    }

    /// The broker reads up to `most` of the bytes that lie in the network. Whether there were any.
    pub fn read(&mut self, link: usize, most: usize) -> bool {
        let Link { at: Some((shard, key)), is_read: true, .. } = self.links[link] else { return false };
        let count = self.links[link].outgoing.len().min(most);
        if count == 0 {
            return false;
        }
        let bytes: Vec<u8> = self.links[link].outgoing.drain(..count).collect();
        self.input(shard, Input::Received { connection: key, bytes: &bytes });
        true
    }

    /// Everything that has arrived at the client since the last call.
    pub fn receive(&mut self, link: usize) -> Vec<u8> {
        let bytes = mem::take(&mut self.links[link].incoming);
        self.drain_backlog(link, usize::MAX);
        bytes
    }

    /// The network takes up to `most` bytes of what the broker could not send, as far as there is room.
    pub fn drain_backlog(&mut self, link: usize, most: usize) {
        self.links[link].fill(most);
        self.tell_backlog(link);
    }

    /// The client's network breaks, or it closes without a word.
    pub fn cut(&mut self, link: usize) {
        let state = &mut self.links[link];
        state.is_closed = true;
        state.outgoing.clear();
        state.backlog.clear();
        let Some((shard, key)) = state.at.take() else { return };
        self.wires.keys[shard].remove(&key);
        self.input(shard, Input::Lost { connection: key });
    }

    /// Nothing that the broker sends arrives any more. What the client has sent before lies in the network.
    pub fn break_off(&mut self, link: usize) {
        let state = &mut self.links[link];
        state.is_broken = true;
        state.backlog.clear();
        state.promised.clear();
        (state.told_backlog, state.taken) = (0, 0);
        if let Some((shard, key)) = state.at {
            self.input(shard, Input::Broken { connection: key });
        }
    }

    /// The client says goodbye behind all that it has sent, and the broker reads both at once.
    pub fn end(&mut self, link: usize) {
        self.read(link, usize::MAX);
        let Some((shard, key)) = self.links[link].at else { return };
        self.input(shard, Input::Ended { connection: key });
    }

    /// Delivers one batch from one shard to another, or what is left of the last one: one input. Whether there was any.
    pub fn deliver_mesh(&mut self, from: usize, to: usize, most: usize) -> bool {
        let queue = &mut self.mesh[from][to];
        let left = self.wires.begun[from][to];
        let count = if left > 0 { left } else { queue.len().min(most) };
        if count == 0 {
            return false;
        }
        let mut batch: Vec<Mesh> = queue.drain(..count).collect();
        self.input(to, Input::Mesh { from: ShardId::new(from), batch: &mut batch });
        self.wires.begun[from][to] = batch.len();
        // What was too much for one input comes before all else from there, by itself, and behind what others have sent.
        for letter in batch.into_iter().rev() {
            self.mesh[from][to].push_front(letter);
            self.letters_left += 1;
        }
        true
    }

    /// Whether a batch is being read that a shard has sent to this one, and that was too much for one input.
    pub fn has_begun(&self, from: usize, to: usize) -> bool {
        self.wires.begun[from][to] > 0
    }

    /// The oldest connection on its way arrives at its home. Whether there was any.
    pub fn arrive(&mut self) -> bool {
        let Some((link, home, arrival)) = self.moving.pop_front() else { return false };
        if self.links[link].is_closed {
            return true; // the client is gone: the socket is closed with the arrival
        }
        self.tell_wall(home);
        let key = self.shards[home].adopt(arrival, self.now, &mut self.outs[home]);
        self.links[link].at = Some((home, key));
        self.wires.keys[home].insert(key, link);
        self.perform(home);
        true
    }
}

/// What shards wish of it.
impl World {
    /// Puts on its way what a shard sends, to clients and to other shards, and does with connections as it wishes.
    pub(super) fn carry(&mut self, shard: usize, out: &mut Outputs) {
        self.write(shard, out);
        for (key, is_read) in out.reads.drain(..) {
            if let Some(link) = self.wires.keys[shard].get(&key) {
                self.links[*link].is_read = is_read;
            }
        }
        for hand_over in out.hand_overs.drain(..) {
            let link =
                self.wires.keys[shard].remove(&hand_over.connection).expect("a connection that moves is served here");
            self.links[link].at = None;
            self.moving.push_back((link, hand_over.to.index(), hand_over.arrival));
        }
        for key in out.closes.drain(..) {
            if let Some(link) = self.wires.keys[shard].remove(&key) {
                let link = &mut self.links[link];
                link.closing = (!link.promised.is_empty()).then_some(shard);
                link.is_closed = link.closing.is_none();
                link.at = None;
            }
        }
        for (to, letters) in out.mesh.iter_mut().enumerate() {
            self.mesh[shard][to].extend(letters.drain(..));
        }
    }

    fn write(&mut self, shard: usize, out: &Outputs) {
        let mut touched = Vec::new();
        let mut bytes = Vec::new();
        for piece in out.pieces() {
            for recipient in piece.recipients {
                let Some(link) = self.wires.keys[shard].get(&recipient.connection).copied() else { continue };
                bytes.clear();
                piece.write_for(*recipient, &mut bytes);
                let state = &mut self.links[link];
                if state.is_broken {
                    continue;
                }
                if piece.promises > self.disks[shard].stored() || !state.promised.is_empty() {
                    state.promised.push_back((piece.promises, bytes.clone()));
                } else {
                    state.backlog.extend(&bytes);
                }
                touched.push(link);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for link in touched {
            let state = &mut self.links[link];
            state.fill(usize::MAX);
            if state.backlog.len() != state.told_backlog {
                self.wires.notices.push(link);
            }
        }
    }

    /// Shards hear of their backlogs that have changed.
    pub(super) fn tell_backlogs(&mut self) {
        for link in mem::take(&mut self.wires.notices) {
            self.tell_backlog(link);
        }
    }

    fn tell_backlog(&mut self, link: usize) {
        let state = &mut self.links[link];
        let bytes = state.backlog.len();
        if bytes == state.told_backlog {
            return;
        }
        state.told_backlog = bytes;
        let taken = u32::try_from(mem::take(&mut state.taken)).unwrap_or(u32::MAX);
        if let Some((shard, key)) = state.at {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.input(shard, Input::Backlog { connection: key, bytes, taken });
        }
    }

    /// What a shard has promised and is safe now goes on its way.
    pub(super) fn keep_promises(&mut self, shard: usize, upto: Serial) {
        for link in 0..self.links.len() {
            let state = &mut self.links[link];
            if state.at.is_none_or(|(at, _)| at != shard) && state.closing != Some(shard) {
                continue;
            }
            while let Some((_, bytes)) = state.promised.pop_front_if(|(promises, _)| *promises <= upto) {
                state.backlog.extend(bytes);
            }
            state.fill(usize::MAX);
            if state.closing.is_some() && state.promised.is_empty() {
                state.is_closed = true;
            }
            self.tell_backlog(link);
        }
    }

    /// Every connection is gone, and whatever was on its way.
    pub(super) fn lose_network(&mut self) {
        for link in &mut self.links {
            link.at = None;
            link.is_closed = true;
            link.outgoing.clear();
            link.backlog.clear();
            link.promised.clear();
        }
        self.moving.clear();
        self.wires.notices.clear();
        self.mesh.iter_mut().flatten().for_each(VecDeque::clear);
        self.wires.begun.iter_mut().flatten().for_each(|left| *left = 0);
        self.wires.keys.iter_mut().for_each(BTreeMap::clear);
    }
}
