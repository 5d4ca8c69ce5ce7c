//! A whole broker in memory: shards, the mesh between them, clients as streams of bytes, one clock that somebody turns.
//!
//! Nothing happens by itself: [`World::drive`] performs what the shards wish until all is quiet, [`World::advance`]
//! turns the clock. A simulation that wants its own order of events uses the single steps instead: those of clients and
//! of the mesh are in `network`.

mod network;

use std::collections::VecDeque;
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

pub use network::Link;
use network::Wires;

use super::disk::Disk;
use pregon::base::hash::Seed;
use pregon::base::time::Time;
use pregon::engine::accounts::Accounts;
use pregon::engine::accounts::terms::Terms;
use pregon::engine::auth::policy::Policy;
use pregon::engine::change::{Change, Serial};
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
    wires: Wires,
    /// Messages between shards on their way: from, to.
    pub mesh: Vec<Vec<VecDeque<Mesh>>>,
    /// Connections on their way to their home.
    pub moving: VecDeque<(usize, usize, Box<Arrival>)>,
    /// Questions nobody has answered: which shard asks, what.
    pub questions: Vec<(usize, Question)>,
    /// Everything that happened, in order.
    pub events: Vec<(usize, Event)>,
    /// Whether every shard's invariants are proven after each step.
    pub is_checked: bool,
    /// Messages that were read and are on their way to their shards.
    fetches: Vec<VecDeque<Fetched>>,
    wants_tick: Vec<bool>,
    /// What the clock on the wall shows, in seconds since 1970.
    wall_s: u64,
    /// Letters that came back because they were too much for one turn.
    pub letters_left: u64,
    /// Which listener new connections come in by.
    pub listener: u16,
    /// Where they come from.
    pub address: IpAddr,
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
            wires: Wires::new(shards),
            mesh: (0..shards).map(|_| (0..shards).map(|_| VecDeque::new()).collect()).collect(),
            moving: VecDeque::new(),
            questions: Vec::new(),
            events: Vec::new(),
            is_checked: true,
            fetches: (0..shards).map(|_| VecDeque::new()).collect(),
            wants_tick: vec![false; shards],
            wall_s: WALL_S,
            letters_left: 0,
            listener: 0,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// Somebody turns the clock on the wall.
    pub fn turn_wall(&mut self, wall_s: u64) {
        self.wall_s = wall_s.wrapping_sub((self.now.as_millis() - START_MS) / 1_000);
    }

    /// From now on an input of each shard causes no more copies than that.
    pub fn set_copies_per_input_max(&mut self, copies: usize) {
        self.shards.iter_mut().for_each(|shard| shard.set_copies_per_input_max(copies));
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
            if mem::take(&mut self.wants_tick[shard]) {
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
        self.keep_promises(shard, upto);
        true
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
        next.links = mem::take(&mut self.links);
        (next.now, next.is_checked) = (self.now, self.is_checked);
        *self = next;
        self.restart();
    }

    /// Every connection is gone, and whatever was on its way.
    fn lose_everybody(&mut self) {
        self.lose_network();
        self.questions.clear();
        self.fetches.iter_mut().for_each(VecDeque::clear);
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
        mem::take(&mut self.wants_tick[shard])
    }

    fn perform(&mut self, shard: usize) {
        let mut out = mem::take(&mut self.outs[shard]);
        self.carry(shard, &mut out);
        self.disks[shard].take(&mut out.changes, &mut out.stowed, out.swept);
        for Fetch { reader, wanted } in out.fetches.drain(..) {
            let bytes = wanted.iter().map(|wanted| u64::from(wanted.spot.bytes)).sum();
            let disk = &self.disks[shard];
            let messages = wanted.iter().map(|wanted| (wanted.body, Some(disk.read(*wanted).expect("it was stowed"))));
            self.fetches[shard].push_back(Fetched { reader, bytes, messages: messages.collect() });
        }
        self.questions.extend(out.questions.drain(..).map(|question| (shard, question)));
        self.events.extend(out.events.drain(..).map(|event| (shard, event)));
        self.wants_tick[shard] |= out.wake_at.is_some();
        out.clear();
        self.outs[shard] = out;
        self.tell_backlogs();
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
}
