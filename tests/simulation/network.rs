//! The network and the mesh of a run: bytes in pieces, letters in turns, cuts, and when the broker wrote what.

use std::collections::VecDeque;

use pregon::base::random::Random;
use pregon::base::time::Time;
use pregon::engine::auth::Decision;
use pregon::engine::homes::ShardId;
use pregon::engine::input::{Answer, Input};

use crate::clients::Farewell;
use crate::record::Moment;
use crate::simulation::Simulation;

/// What the simulation knows of one network connection beside the bytes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "things that have happened or not, each by itself")]
pub struct Wire {
    /// Whose it is.
    pub client: usize,
    /// Bytes that the client has heard.
    pub heard: u64,
    /// The beginning of a packet.
    pub partial: Vec<u8>,
    /// How far the broker had written when.
    written: VecDeque<(u64, Moment)>,
    /// When the broker's end was closed, and whether we cut it.
    pub closed: Option<(Time, bool)>,
    /// The DISCONNECT that was sent on it.
    pub farewell: Option<Farewell>,
    /// Whether the client broke the protocol on it.
    pub is_spoilt: bool,
    /// Whether the broker said DISCONNECT.
    pub said_goodbye: bool,
    /// Whether the broker's first packet was heard.
    pub said_hello: bool,
    /// Whether something was sent since then.
    pub has_unread: bool,
    /// When the broker had last read all that was sent.
    pub drained: Time,
    /// In which step it was opened.
    pub opened: u64,
}

impl Wire {
    /// A new connection.
    pub fn new(client: usize, now: Moment) -> Self {
        let (partial, written) = (Vec::new(), VecDeque::new());
        let (said_goodbye, said_hello, is_spoilt, has_unread) = (false, false, false, false);
        let (drained, opened) = (now.time, now.step);
        let (closed, farewell) = (None, None);
        Self {
            client,
            heard: 0,
            partial,
            written,
            closed,
            farewell,
            is_spoilt,
            said_goodbye,
            said_hello,
            has_unread,
            drained,
            opened,
        }
    }

    /// When the broker wrote the byte before this place.
    pub fn written_at(&mut self, place: u64) -> Moment {
        while self.written.len() > 1 && self.written[0].0 < place {
            self.written.pop_front();
        }
        self.written.front().expect("what was heard was written").1
    }

    fn note(&mut self, place: u64, now: Moment) {
        if self.written.back().is_none_or(|(last, _)| *last < place) {
            self.written.push_back((place, now));
        }
    }
}

/// A length that is often short, sometimes all.
fn piece(random: &mut Random) -> usize {
    match random.below(4) {
        0 => random.index(4) + 1,
        1 => random.index(40) + 1,
        _ => usize::MAX,
    }
}

/// Steps of the network.
impl Simulation {
    /// The broker reads a piece of what some client has sent.
    pub fn network_reads(&mut self) {
        let links = self.live.iter().copied().filter(|link| !self.world.links[*link].outgoing.is_empty());
        let links: Vec<usize> = links.collect();
        let Some(link) = self.dice.network.pick(&links).copied() else { return };
        let most = piece(&mut self.dice.network);
        if most < self.world.links[link].outgoing.len() {
            self.coverage.hit("packet cut in pieces");
        }
        if self.world.read(link, most) {
            self.trace(|| format!("link {link} is read"));
        }
        self.look();
    }

    /// Some client hears a piece of what the broker has written.
    pub fn network_speaks(&mut self) {
        let is_audible =
            |link: &usize| !self.world.links[*link].incoming.is_empty() || self.world.links[*link].is_closed;
        let links = self.clients.iter().filter_map(|client| client.link).filter(is_audible);
        let links: Vec<usize> = links.collect();
        let Some(link) = self.dice.network.pick(&links).copied() else { return };
        let most = piece(&mut self.dice.network);
        self.hear(link, most);
    }

    /// The network takes some of a backlog.
    pub fn network_drains(&mut self) {
        let links: Vec<usize> =
            self.live.iter().copied().filter(|link| !self.world.links[*link].backlog.is_empty()).collect();
        let Some(link) = self.dice.network.pick(&links).copied() else { return };
        let most = piece(&mut self.dice.network);
        self.world.drain_backlog(link, most);
        self.look();
    }

    /// Some letters from one shard to another arrive.
    pub fn mesh_delivers(&mut self) {
        let shards = self.plan.shards;
        let pairs = (0..shards * shards).map(|pair| (pair / shards, pair % shards));
        let pairs: Vec<_> = pairs.filter(|(from, to)| !self.world.mesh[*from][*to].is_empty()).collect();
        let Some((from, to)) = self.dice.mesh.pick(&pairs).copied() else { return };
        let is_slow = self.plan.has_slow_ways && (from * 5 + to * 3 + from * to) % 4 == 1;
        if is_slow && self.dice.mesh.chance(29, 30) {
            return self.tell_room(&pairs);
        }
        let most = if self.dice.mesh.chance(1, 2) { 1 } else { self.dice.mesh.index(20) + 1 };
        self.trace(|| format!("mesh {from} -> {to}, at most {most}"));
        let left = self.world.letters_left;
        if (0..shards).any(|other| other != from && self.world.has_begun(other, to)) {
            self.coverage.hit("letters past what is left of another sender's");
        }
        self.world.deliver_mesh(from, to, most);
        if self.world.letters_left > left {
            self.coverage.hit("letters left for a later turn");
        }
        self.look();
        self.tell_room(&pairs);
        if self.dice.mesh.chance(1, 30) {
            let shard = self.dice.mesh.index(shards);
            self.tell_wide_room(shard, self.late.contains(&shard));
        }
    }

    /// Tells shards which ways are full and which have room again.
    fn tell_room(&mut self, pairs: &[(usize, usize)]) {
        for (from, to) in pairs.iter().copied() {
            let count = self.world.mesh[from][to].len();
            let is_full = self.full.contains(&(from, to));
            if count > self.plan.mesh_room && !is_full {
                self.coverage.hit("mesh full");
                self.full.insert((from, to));
                self.tell_mesh_room(from, to, false);
            } else if is_full && count == 0 {
                self.full.remove(&(from, to));
                self.tell_mesh_room(from, to, true);
            }
        }
    }

    fn tell_mesh_room(&mut self, from: usize, to: usize, has_room: bool) {
        self.trace(|| format!("the way {from} -> {to} {}", if has_room { "has room" } else { "is full" }));
        self.world.input(from, Input::MeshRoom { to: ShardId::new(to), has_room });
        self.look();
    }

    /// Tells a shard whether more of what goes to many may wait.
    fn tell_wide_room(&mut self, shard: usize, has_room: bool) {
        self.trace(|| format!("shard {shard} {} for what goes to many", if has_room { "has room" } else { "is full" }));
        if has_room {
            self.late.remove(&shard);
        } else {
            self.coverage.hit("no room for what goes to many");
            self.late.insert(shard);
        }
        self.world.input(shard, Input::WideRoom { has_room });
        self.look();
    }

    /// Every way has room again.
    pub fn clear_mesh_room(&mut self) -> bool {
        let full = std::mem::take(&mut self.full);
        for (from, to) in &full {
            self.tell_mesh_room(*from, *to, true);
        }
        let late = std::mem::take(&mut self.late);
        for shard in &late {
            self.tell_wide_room(*shard, true);
        }
        !full.is_empty() || !late.is_empty()
    }

    /// The oldest connection on its way arrives at its home.
    pub fn connection_arrives(&mut self) {
        if let Some((link, home, _)) = self.world.moving.front() {
            let (link, home) = (*link, *home);
            self.trace(|| format!("link {link} arrives at shard {home}"));
            if self.clients[self.wires[link].client].session_link.is_some() {
                self.coverage.hit("take-over across shards");
            }
            if (0..self.plan.shards).any(|from| self.world.has_begun(from, home)) {
                self.coverage.hit("way in past what is left of letters");
            }
            self.world.arrive();
            self.look();
        }
    }

    /// The oldest question is answered.
    pub fn policy_answers(&mut self) -> bool {
        if self.world.questions.is_empty() {
            return false;
        }
        self.coverage.hit("policy answered late");
        self.trace(|| "a question is answered".to_owned());
        self.world.answer(Answer::Action(Decision::Allow));
        self.look();
        true
    }

    /// A shard gets a tick.
    pub fn shard_ticks(&mut self) {
        let shard = self.dice.network.index(self.plan.shards);
        if self.world.takes_tick(shard) {
            self.coverage.hit("work put off to a later turn");
        }
        self.tick(shard);
    }

    /// This shard gets a tick.
    pub fn tick(&mut self, shard: usize) {
        self.world.input(shard, Input::Tick);
        self.look();
    }

    /// The operator ends some client's connection.
    pub fn somebody_is_kicked(&mut self) {
        let client = self.dice.network.index(self.clients.len() - 1) + 1;
        let name = self.clients[client].name.clone();
        self.trace(|| format!("{name} is kicked"));
        self.coverage.hit("kick");
        self.disturb(client);
        for shard in 0..self.plan.shards {
            self.world.input(shard, Input::Kick { client_id: &name });
            self.look();
        }
    }

    /// A connection breaks, at any byte.
    pub fn something_breaks(&mut self) {
        let links: Vec<usize> = self.live.iter().copied().filter(|link| self.wires[*link].client != 0).collect();
        let Some(link) = self.dice.network.pick(&links).copied() else { return };
        let most = piece(&mut self.dice.network);
        if self.clients[self.wires[link].client].link == Some(link) {
            self.hear(link, most);
        }
        self.break_link(link);
    }

    /// This connection breaks; what was on its way is lost.
    pub fn break_link(&mut self, link: usize) {
        if self.world.links[link].is_closed {
            return;
        }
        let is_in_packet = !self.wires[link].partial.is_empty();
        self.trace(|| format!("link {link} breaks"));
        if is_in_packet {
            self.coverage.hit("cut in a packet");
        }
        self.was_cut = Some(link);
        if link.is_multiple_of(2) {
            self.world.break_off(link); // a send finds out before a read does
        }
        self.world.cut(link);
        self.world.links[link].incoming.clear();
        self.look();
        self.was_cut = None;
        let client = self.wires[link].client;
        if self.clients[client].link == Some(link) {
            self.connection_over(client);
        }
    }

    /// Notes what the broker has written and which connections are over.
    pub fn look(&mut self) {
        self.step_now = Moment { step: self.step_now.step + 1, time: self.world.now };
        let now = self.step_now;
        let mut over = Vec::new();
        for link in self.live.iter().copied() {
            let (state, wire) = (&self.world.links[link], &mut self.wires[link]);
            let length = state.incoming.len() + state.backlog.len();
            wire.note(wire.heard + length as u64, now);
            if state.outgoing.is_empty() && wire.has_unread {
                (wire.drained, wire.has_unread) = (now.time, false);
            }
            if state.is_closed && wire.closed.is_none() {
                wire.closed = Some((now.time, self.was_cut == Some(link)));
                over.push(link);
            }
        }
        for link in over {
            self.live.retain(|live| *live != link);
            self.link_over(link);
        }
    }
}
