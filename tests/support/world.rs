//! A whole broker in memory: shards, the mesh between them, clients as streams of bytes, one clock that somebody turns.
//!
//! Nothing happens by itself: [`World::drive`] performs what the shards wish until all is quiet, [`World::advance`]
//! turns the clock. A simulation that wants its own order of events uses the single steps instead.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::disk::Disk;
use pregon::base::hash::Seed;
use pregon::base::time::Time;
use pregon::engine::accounts::Accounts;
use pregon::engine::accounts::terms::Terms;
use pregon::engine::auth::policy::Policy;
use pregon::engine::change::{Change, Serial};
use pregon::engine::connection::{ConnectionKey, Peer};
use pregon::engine::event::Event;
use pregon::engine::homes::{Homes, ShardId};
use pregon::engine::input::{Answer, Fetched, Input};
use pregon::engine::limits::Limits;
use pregon::engine::mesh::Mesh;
use pregon::engine::message::Message;
use pregon::engine::output::{Arrival, Fetch, Outputs, Question, Wanted};
use pregon::engine::shard::moving::{Destination, Loans, Movers, Subject};
use pregon::engine::shard::{Shard, Shared};
use pregon::engine::stats::Stats;
use pregon::engine::subscriptions::interest::Interest;

/// Positions of the interest filter a shard: few, so that false positives happen in tests.
const POSITIONS: usize = 1 << 12;

/// Addresses and users that are counted: few, since they are all looked at after each step.
const ACCOUNTS_MAX: usize = 256;

/// What the broker's clock shows at first.
const START_MS: u64 = 1_000_000;

/// What the clock on the wall shows then.
pub const WALL_S: u64 = 1_800_000_000;

/// Milliseconds between two ticks of a shard.
pub const TICK_MS: u64 = 100;

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

/// The broker and its clients.
pub struct World {
    /// The shards, in the order of their numbers.
    pub shards: Vec<Shard>,
    /// What they have noted.
    pub disks: Vec<Disk>,
    shared: Shared,
    seed: u64,
    outs: Vec<Outputs>,
    /// What every shard reads the time from.
    pub now: Time,
    /// All network connections there ever were.
    pub links: Vec<Link>,
    keys: Vec<BTreeMap<ConnectionKey, usize>>,
    /// Messages between shards on their way: from, to.
    pub mesh: Vec<Vec<VecDeque<Mesh>>>,
    /// How many of the first of them are left of a batch that was too much for one input.
    begun: Vec<Vec<usize>>,
    /// Connections on their way to their home.
    pub moving: VecDeque<(usize, usize, Box<Arrival>)>,
    /// Questions nobody has answered: which shard asks, what.
    pub questions: Vec<(usize, Question)>,
    /// Everything that happened, in order.
    pub events: Vec<(usize, Event)>,
    /// Whether every shard's invariants are proven after each step.
    pub is_checked: bool,
    /// Connections whose backlog has changed and whose shard does not know yet.
    notices: Vec<usize>,
    /// Messages that were read and are on their way to their shards.
    fetches: Vec<VecDeque<Fetched>>,
    wants_tick: Vec<bool>,
    /// What the clock on the wall shows, in seconds since 1970.
    wall_s: u64,
    next_landing: usize,
    /// Letters that came back because they were too much for one turn.
    pub letters_left: u64,
    /// Which listener new connections come in by.
    pub listener: u16,
    /// Where they come from.
    pub address: IpAddr,
}

impl Link {
    /// The network takes of the backlog what it has room for.
    fn fill(&mut self) {
        let room = self.room.saturating_sub(self.incoming.len());
        let count = self.backlog.len().min(room);
        self.incoming.extend(self.backlog.drain(..count));
        self.taken += count;
    }
}

/// Who takes in what is moved.
struct Crew<'a> {
    serials: Vec<Serial>,
    disks: &'a mut [Disk],
    /// The disk of the shard that moves out.
    from: &'a Disk,
}

impl Movers for Crew<'_> {
    fn takes(&mut self, _subject: Subject<'_>) -> bool {
        true
    }

    fn note(&mut self, home: ShardId, change: Change) -> Serial {
        let serial = self.serials[home.index()].next();
        self.serials[home.index()] = serial;
        self.disks[home.index()].take(&mut vec![(serial, change)], &mut Vec::new(), None);
        serial
    }

    fn read(&mut self, wanted: Wanted) -> Option<Message> {
        self.from.read(wanted)
    }
}

/// The shard of this number, which knows nothing yet.
fn shard(number: usize, shared: &Shared, seed: u64) -> Shard {
    Shard::new(ShardId::new(number), shared.clone(), seed.wrapping_mul(31).wrapping_add(number as u64))
}

/// What a shard needs before it serves anybody.
fn bring_wanted(shard: &mut Shard, disk: &Disk) {
    for wanted in shard.wanted() {
        let message = disk.read(wanted).expect("the disk has what it told of");
        shard.found(wanted.body, message);
    }
}

impl World {
    /// A broker of so many shards with its defaults, open to everybody.
    pub fn new(shards: usize) -> Self {
        Self::with(shards, Limits::default(), Policy::open(), 7)
    }

    /// A broker with these limits, this policy and this seed, and nothing that outlives it.
    pub fn with(shards: usize, limits: Limits, policy: Policy, seed: u64) -> Self {
        Self::make(shards, limits, policy, seed, false)
    }

    /// The same, of which nobody knows anything yet, with so much memory on each shard for what waits.
    #[must_use]
    pub fn with_ram_budget(mut self, bytes: u64) -> Self {
        self.shared.ram_budget = bytes;
        self.shards = (0..self.shards.len()).map(|number| shard(number, &self.shared, self.seed)).collect();
        self
    }

    /// The same, of which nobody knows anything yet, with other bounds on what shards count together.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.shared.accounts = Arc::new(Accounts::new(terms, Seed::new(self.seed)));
        self.shards = (0..self.shards.len()).map(|number| shard(number, &self.shared, self.seed)).collect();
        self
    }

    /// The same, with these bounds for the clients of listeners 0, 1, and so on.
    #[must_use]
    pub fn with_own_limits(mut self, own: Vec<Limits>) -> Self {
        self.shared.own_limits = own.into();
        self.shards = (0..self.shards.len()).map(|number| shard(number, &self.shared, self.seed)).collect();
        self
    }

    /// The same, of which nobody knows anything yet, and a journal keeps what outlives it.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.shared.has_journal = true;
        self.shards = (0..self.shards.len()).map(|number| shard(number, &self.shared, self.seed)).collect();
        self
    }

    /// One that keeps a journal.
    pub fn durable(shards: usize, limits: Limits, seed: u64) -> Self {
        Self::make(shards, limits, Policy::open(), seed, true)
    }

    /// One that keeps a journal, with this policy.
    pub fn durable_under(shards: usize, policy: Policy) -> Self {
        Self::make(shards, Limits::default(), policy, 7, true)
    }

    fn make(shards: usize, limits: Limits, policy: Policy, seed: u64, has_journal: bool) -> Self {
        let hash = Seed::new(seed);
        let bits = u32::try_from(shards).expect("at most 64 shards");
        let shared = Shared {
            accounts: Arc::new(Accounts::new(Terms { accounts_max: ACCOUNTS_MAX, ..Terms::of(&limits) }, hash)),
            limits: Arc::new(limits),
            own_limits: Arc::from([]),
            homes: Arc::new(Homes::new(hash, shards)),
            interest: Arc::new(Interest::new(hash, bits, POSITIONS)),
            policy: Arc::new(policy),
            has_journal,
            ram_budget: u64::MAX,
        };
        Self {
            shards: (0..shards).map(|number| shard(number, &shared, seed)).collect(),
            disks: (0..shards).map(|number| Disk::new(ShardId::new(number), seed)).collect(),
            shared,
            seed,
            outs: (0..shards).map(|_| Outputs::new(shards)).collect(),
            now: Time::from_millis(START_MS),
            links: Vec::new(),
            keys: vec![BTreeMap::new(); shards],
            mesh: (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect(),
            begun: vec![vec![0; shards]; shards],
            moving: VecDeque::new(),
            questions: Vec::new(),
            events: Vec::new(),
            is_checked: true,
            notices: Vec::new(),
            fetches: (0..shards).map(|_| VecDeque::new()).collect(),
            wants_tick: vec![false; shards],
            wall_s: WALL_S,
            next_landing: 0,
            letters_left: 0,
            listener: 0,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// Somebody turns the clock on the wall.
    pub fn turn_wall(&mut self, wall_s: u64) {
        self.wall_s = wall_s.wrapping_sub((self.now.as_millis() - START_MS) / 1_000);
    }

    /// A new connection, accepted by the next shard in turn.
    pub fn connect(&mut self) -> usize {
        let landing = self.next_landing % self.shards.len();
        self.next_landing += 1;
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
        self.links.push(Link {
            at: key.map(|key| (landing, key)),
            outgoing: VecDeque::new(),
            incoming: Vec::new(),
            is_read: true,
            is_closed: key.is_none(),
            is_broken: false,
            room: usize::MAX,
            backlog: VecDeque::new(),
            told_backlog: 0,
            taken: 0,
            promised: VecDeque::new(),
            closing: None,
        });
        if let Some(key) = key {
            self.keys[landing].insert(key, link);
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
        let bytes = std::mem::take(&mut self.links[link].incoming);
        self.drain_backlog(link, usize::MAX);
        bytes
    }

    /// The network takes up to `most` bytes of what the broker could not send, as far as there is room.
    pub fn drain_backlog(&mut self, link: usize, most: usize) {
        let state = &mut self.links[link];
        let room = state.room.saturating_sub(state.incoming.len());
        let count = state.backlog.len().min(room).min(most);
        state.incoming.extend(state.backlog.drain(..count));
        state.taken += count;
        self.tell_backlog(link);
    }

    /// The client's network breaks, or it closes without a word.
    pub fn cut(&mut self, link: usize) {
        let state = &mut self.links[link];
        state.is_closed = true;
        state.outgoing.clear();
        state.backlog.clear();
        let Some((shard, key)) = state.at.take() else { return };
        self.keys[shard].remove(&key);
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

    /// From now on an input of each shard causes no more copies than that.
    pub fn set_copies_per_input_max(&mut self, copies: usize) {
        self.shards.iter_mut().for_each(|shard| shard.set_copies_per_input_max(copies));
    }

    /// Delivers one batch from one shard to another, or what is left of the last one: one input. Whether there was any.
    pub fn deliver_mesh(&mut self, from: usize, to: usize, most: usize) -> bool {
        let queue = &mut self.mesh[from][to];
        let left = self.begun[from][to];
        let count = if left > 0 { left } else { queue.len().min(most) };
        if count == 0 {
            return false;
        }
        let mut batch: Vec<Mesh> = queue.drain(..count).collect();
        self.input(to, Input::Mesh { from: ShardId::new(from), batch: &mut batch });
        self.begun[from][to] = batch.len();
        // What was too much for one input comes before all else from there, by itself, and behind what others have sent.
        for letter in batch.into_iter().rev() {
            self.mesh[from][to].push_front(letter);
            self.letters_left += 1;
        }
        true
    }

    /// Whether a batch is being read that a shard has sent to this one, and that was too much for one input.
    pub fn has_begun(&self, from: usize, to: usize) -> bool {
        self.begun[from][to] > 0
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
        self.keys[home].insert(key, link);
        self.perform(home);
        true
    }

    /// Answers the oldest open question.
    pub fn answer(&mut self, answer: Answer) {
        let (shard, question) = self.questions.remove(0);
        self.input(shard, Input::Answer { connection: question.connection, number: question.number, answer });
    }

    /// The operator's files say something else from now on.
    pub fn change_policy(&mut self, policy: Policy) {
        let policy = Arc::new(policy.after(&self.shared.policy));
        self.shared.policy = Arc::clone(&policy);
        for shard in 0..self.shards.len() {
            self.input(shard, Input::Policy { policy: Arc::clone(&policy) });
        }
    }

    fn tell_wall(&mut self, shard: usize) {
        let wall_s = self.wall_s.wrapping_add((self.now.as_millis() - START_MS) / 1_000);
        self.shards[shard].set_wall(wall_s, self.now);
    }

    /// One shard gets one input and its wishes are performed.
    pub fn input(&mut self, shard: usize, input: Input<'_>) {
        self.tell_wall(shard);
        self.shards[shard].handle(input, self.now, &mut self.outs[shard]);
        self.perform(shard);
    }

    /// Performs everything until nothing moves any more.
    pub fn drive(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the broker does not come to rest");
    }

    fn step(&mut self) -> bool {
        let mut has_moved = false;
        for link in 0..self.links.len() {
            has_moved |= self.read(link, usize::MAX);
        }
        while self.arrive() {
            has_moved = true;
        }
        for from in 0..self.shards.len() {
            for to in 0..self.shards.len() {
                has_moved |= self.deliver_mesh(from, to, usize::MAX);
            }
        }
        for shard in 0..self.shards.len() {
            if std::mem::take(&mut self.wants_tick[shard]) {
                self.input(shard, Input::Tick);
                has_moved = true;
            }
            has_moved |= self.store(shard, usize::MAX) | self.disks[shard].take_away();
            has_moved |= self.fetch(shard);
        }
        has_moved
    }

    /// The messages that a shard has asked for first are there. Whether it had asked for any.
    pub fn fetch(&mut self, shard: usize) -> bool {
        let Some(fetched) = self.fetches[shard].pop_front() else { return false };
        self.input(shard, Input::Fetched(fetched));
        true
    }

    /// A shard's disk makes the oldest turns safe, and what waited for them leaves. Whether there were any.
    pub fn store(&mut self, shard: usize, turns: usize) -> bool {
        let disk = &mut self.disks[shard];
        if disk.waiting() == 0 || disk.is_in_trouble() {
            return false;
        }
        let spots = disk.store(turns);
        let upto = disk.stored();
        self.input(shard, Input::Written { spots: &spots });
        self.input(shard, Input::Stored { upto });
        for link in 0..self.links.len() {
            if self.links[link].at.is_some_and(|(at, _)| at == shard) || self.links[link].closing == Some(shard) {
                self.keep_promises(link, upto);
            }
        }
        true
    }

    /// What waits for the disk and is safe goes on its way.
    fn keep_promises(&mut self, link: usize, upto: Serial) {
        let state = &mut self.links[link];
        while let Some((_, bytes)) = state.promised.pop_front_if(|(promises, _)| *promises <= upto) {
            state.backlog.extend(bytes);
        }
        state.fill();
        if state.closing.is_some() && state.promised.is_empty() {
            state.is_closed = true;
        }
        self.tell_backlog(link);
    }

    /// The power goes, and comes back: every connection is gone, and shards know what their disks have kept.
    pub fn crash(&mut self) {
        self.lose_everybody();
        let (hash, bits) = (Seed::new(self.seed), u32::try_from(self.shards.len()).expect("at most 64 shards"));
        self.shared.interest = Arc::new(Interest::new(hash, bits, POSITIONS));
        self.restart();
    }

    /// The same, but the operator's files say something else when the broker is started again.
    pub fn crash_under(&mut self, policy: Policy) {
        self.shared.policy = Arc::new(policy);
        self.crash();
    }

    /// The same, but a broker of another number of shards is started: what was kept is told again to these.
    pub fn crash_into(&mut self, shards: usize) {
        self.lose_everybody();
        let limits = Limits::clone(&self.shared.limits);
        let mut next = Self::make(shards, limits, Policy::open(), self.seed, true);
        next.shared.ram_budget = self.shared.ram_budget;
        next.shared.policy = Arc::clone(&self.shared.policy);
        let homes = Arc::clone(&next.shared.homes);
        let mut serials = vec![Serial::NONE; shards];
        let mut loans = Loans::default();
        for number in 0..self.shards.len() {
            let mut old = shard(number, &self.shared, self.seed);
            let out = &mut self.outs[number];
            let disk = &mut self.disks[number];
            disk.lose_power(|serial, change, spot| old.restore(serial, change, spot, out));
            bring_wanted(&mut old, disk);
            let mut movers = Crew { serials, disks: &mut next.disks, from: disk };
            old.move_out(self.now, Destination { homes: &homes, numbered: 0 }, &mut loans, &mut movers);
            serials = movers.serials;
        }
        if let Some(from) = self.disks.first() {
            loans.settle(&mut Crew { serials, disks: &mut next.disks, from });
        }
        for disk in &mut next.disks {
            disk.store(usize::MAX);
        }
        next.links = std::mem::take(&mut self.links);
        (next.now, next.is_checked) = (self.now, self.is_checked);
        *self = next;
        self.restart();
    }

    /// Every connection is gone, and whatever was on its way.
    fn lose_everybody(&mut self) {
        for link in &mut self.links {
            link.at = None;
            link.is_closed = true;
            link.outgoing.clear();
            link.backlog.clear();
            link.promised.clear();
        }
        self.moving.clear();
        self.questions.clear();
        self.notices.clear();
        self.fetches.iter_mut().for_each(VecDeque::clear);
        self.mesh.iter_mut().flatten().for_each(VecDeque::clear);
        self.begun.iter_mut().flatten().for_each(|left| *left = 0);
        self.keys.iter_mut().for_each(BTreeMap::clear);
    }

    /// Shards know what their disks have kept.
    fn restart(&mut self) {
        for number in 0..self.shards.len() {
            self.shards[number] = shard(number, &self.shared, self.seed);
            self.outs[number] = Outputs::new(self.shards.len());
        }
        // None waits for the others: for the first one time goes on before the last one has begun.
        for number in 0..self.shards.len() {
            let (shard, out) = (&mut self.shards[number], &mut self.outs[number]);
            let disk = &mut self.disks[number];
            disk.lose_power(|serial, change, spot| shard.restore(serial, change, spot, out));
            bring_wanted(shard, disk);
            self.shards[number].restored(self.disks[number].stored(), self.now, &mut self.outs[number]);
            self.perform(number);
            self.input(number, Input::Tick);
        }
    }

    /// The messages that a shard has asked for first cannot be read.
    pub fn lose_fetch(&mut self, shard: usize) {
        let mut fetched = self.fetches[shard].pop_front().expect("something was asked for");
        fetched.messages.iter_mut().for_each(|(_, message)| *message = None);
        self.input(shard, Input::Fetched(fetched));
    }

    /// How often a shard has asked for messages that are still on their way.
    pub fn fetches_waiting(&self, shard: usize) -> usize {
        self.fetches[shard].len()
    }

    /// Turns the clock, with all the ticks on the way.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.after_ms(ms);
        self.drive();
        while self.now < end {
            let left = end.since_ms(self.now);
            self.now = self.now.after_ms(left.min(TICK_MS));
            for shard in 0..self.shards.len() {
                self.input(shard, Input::Tick);
            }
            self.drive();
        }
    }

    /// Whether a shard has put off work to its next tick.
    pub fn takes_tick(&mut self, shard: usize) -> bool {
        std::mem::take(&mut self.wants_tick[shard])
    }

    fn perform(&mut self, shard: usize) {
        let mut out = std::mem::take(&mut self.outs[shard]);
        self.write(shard, &out);
        for (key, is_read) in out.reads.drain(..) {
            if let Some(link) = self.keys[shard].get(&key) {
                self.links[*link].is_read = is_read;
            }
        }
        for hand_over in out.hand_overs.drain(..) {
            let link = self.keys[shard].remove(&hand_over.connection).expect("a connection that moves is served here");
            self.links[link].at = None;
            self.moving.push_back((link, hand_over.to.index(), hand_over.arrival));
        }
        for key in out.closes.drain(..) {
            if let Some(link) = self.keys[shard].remove(&key) {
                let link = &mut self.links[link];
                link.closing = (!link.promised.is_empty()).then_some(shard);
                link.is_closed = link.closing.is_none();
                link.at = None;
            }
        }
        self.disks[shard].take(&mut out.changes, &mut out.stowed, out.swept);
        for Fetch { reader, wanted } in out.fetches.drain(..) {
            let bytes = wanted.iter().map(|wanted| u64::from(wanted.spot.bytes)).sum();
            let disk = &self.disks[shard];
            let messages = wanted.iter().map(|wanted| (wanted.body, Some(disk.read(*wanted).expect("it was stowed"))));
            self.fetches[shard].push_back(Fetched { reader, bytes, messages: messages.collect() });
        }
        for (to, letters) in out.mesh.iter_mut().enumerate() {
            self.mesh[shard][to].extend(letters.drain(..));
        }
        self.questions.extend(out.questions.drain(..).map(|question| (shard, question)));
        self.events.extend(out.events.drain(..).map(|event| (shard, event)));
        self.wants_tick[shard] |= out.wake_at.is_some();
        out.clear();
        self.outs[shard] = out;
        for link in std::mem::take(&mut self.notices) {
            self.tell_backlog(link);
        }
        if self.is_checked {
            self.shards[shard].check();
            // Moved connections count as closed where they were.
            let here = |stats: &Stats| stats.connections_opened - stats.connections_closed;
            let here: u64 = self.shards.iter().map(|shard| here(shard.stats())).sum();
            let retained =
                self.shards.iter().map(Shard::charged_retained).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            self.shared.accounts.check(here + self.moving.len() as u64, retained);
        }
    }

    fn write(&mut self, shard: usize, out: &Outputs) {
        let mut touched = Vec::new();
        let mut bytes = Vec::new();
        for piece in out.pieces() {
            for recipient in piece.recipients {
                let Some(link) = self.keys[shard].get(&recipient.connection).copied() else { continue };
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
            state.fill();
            if state.backlog.len() != state.told_backlog {
                self.notices.push(link);
            }
        }
    }

    fn tell_backlog(&mut self, link: usize) {
        let state = &mut self.links[link];
        let bytes = state.backlog.len();
        if bytes == state.told_backlog {
            return;
        }
        state.told_backlog = bytes;
        let taken = u32::try_from(std::mem::take(&mut state.taken)).unwrap_or(u32::MAX);
        if let Some((shard, key)) = state.at {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.input(shard, Input::Backlog { connection: key, bytes, taken });
        }
    }
}
