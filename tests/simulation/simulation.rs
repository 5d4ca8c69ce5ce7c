//! One run: the broker, its clients and everything that may happen between them, in an order that the seed decides.

use std::collections::{BTreeSet, VecDeque};

use pregon::base::random::Random;
use pregon::engine::auth::identity::Identity;
use pregon::engine::auth::policy::{Anonymous, Policy};
use pregon::engine::auth::{Action, Authoriser, ClientId, Decision};
use pregon::engine::event::Event;
use pregon::mqtt::Version;

use crate::clients::Client;
use crate::coverage::Coverage;
use crate::network::Wire;
use crate::plan::{Plan, Role};
use crate::record::{Message, Moment, Will};
use crate::support::world::World;

/// Events that a failure shows.
const TRACE_MAX: usize = 60;

/// A stream of random numbers for each concern.
pub struct Dice {
    /// What happens next.
    pub choice: Random,
    /// What the network does.
    pub network: Random,
    /// What the mesh does.
    pub mesh: Random,
    /// What clients do.
    pub client: Random,
    /// How time passes.
    pub clock: Random,
}

/// A run under way.
pub struct Simulation {
    /// What the seed decided.
    pub plan: Plan,
    /// The broker.
    pub world: World,
    /// Random numbers.
    pub dice: Dice,
    /// The clients; the first one is the watcher, whose network never fails and who sees every will.
    pub clients: Vec<Client>,
    /// What is known of each connection.
    pub wires: Vec<Wire>,
    /// Connections whose end nobody has noticed.
    pub live: Vec<usize>,
    /// Every message.
    pub messages: Vec<Message>,
    /// Every will.
    pub wills: Vec<Will>,
    /// The ways that a shard believes to be full.
    pub full: BTreeSet<(usize, usize)>,
    /// Shards that believe that no more of what goes to many may wait.
    pub late: BTreeSet<usize>,
    /// What has happened.
    pub coverage: Coverage,
    /// The present step.
    pub step_now: Moment,
    /// The connection that we are just cutting.
    pub was_cut: Option<usize>,
    /// Whether every event is printed.
    pub is_loud: bool,
    trace: VecDeque<String>,
    counted_events: usize,
}

/// Answers some questions later.
struct Slow;

impl Authoriser for Slow {
    fn decide(&self, _who: &Identity, _client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        let text = match action {
            Action::Connect | Action::Receive { .. } | Action::Will { .. } => return Decision::Allow,
            Action::Publish { topic, .. } => topic,
            Action::Subscribe { filter, .. } => filter,
        };
        if text.ends_with(['1', '#']) { Decision::Later } else { Decision::Allow }
    }
}

impl Simulation {
    /// The run of a seed, before its first step.
    pub fn new(seed: u64, is_loud: bool) -> Self {
        let random = Random::from_seed(seed);
        let plan = Plan::of(&mut random.fork(1));
        let policy = if plan.is_slow { Policy::new(vec![Box::new(Anonymous)], Box::new(Slow)) } else { Policy::open() };
        let mut world = World::with(plan.shards, plan.limits.clone(), policy, seed);
        world.set_copies_per_input_max(plan.copies_per_input_max);
        let mut clients = vec![Client::new("watcher".into(), watcher())];
        let named = plan.roles.iter().enumerate();
        clients.extend(named.map(|(number, role)| Client::new(format!("c{number}"), role.clone())));
        let step_now = Moment { step: 0, time: world.now };
        Self {
            world,
            dice: Dice {
                choice: random.fork(2),
                network: random.fork(3),
                mesh: random.fork(4),
                client: random.fork(5),
                clock: random.fork(6),
            },
            clients,
            wires: Vec::new(),
            live: Vec::new(),
            messages: Vec::new(),
            wills: Vec::new(),
            full: BTreeSet::new(),
            late: BTreeSet::new(),
            coverage: Coverage::default(),
            step_now,
            was_cut: None,
            is_loud,
            trace: VecDeque::new(),
            counted_events: 0,
            plan,
        }
    }

    /// The whole run, with every check.
    pub fn run(&mut self) {
        let summary = format!("{:?}", self.plan);
        self.trace(|| summary);
        self.watch();
        for _ in 0..self.plan.steps {
            self.step();
        }
        self.finish();
    }

    /// Notes an event.
    #[expect(clippy::print_stderr, reason = "a replayed seed shows what happens")]
    pub fn trace(&mut self, event: impl FnOnce() -> String) {
        let line = format!("{:>6} {:>9} {}", self.step_now.step, self.world.now.as_millis() - 1_000_000, event());
        if self.is_loud {
            eprintln!("{line}");
        }
        self.trace.push_back(line);
        if self.trace.len() > TRACE_MAX {
            self.trace.pop_front();
        }
    }

    /// The last events.
    pub fn last_events(&self) -> String {
        let lines: Vec<String> = self.trace.iter().map(|line| format!("    {line}")).collect();
        lines.join("\n")
    }

    fn step(&mut self) {
        self.step_now.step += 1;
        match self.dice.choice.below(100) {
            0..22 => {
                let client = self.dice.choice.index(self.clients.len());
                self.client_acts(client);
            }
            22..40 => self.network_reads(),
            40..60 => self.network_speaks(),
            60..82 => self.mesh_delivers(),
            82..87 => self.connection_arrives(),
            87..90 => self.shard_ticks(),
            90..93 => self.network_drains(),
            93..96 => {
                self.policy_answers();
            }
            _ => self.time_passes(),
        }
        if self.dice.choice.chance(self.plan.disasters, 1_000) {
            match self.dice.choice.below(6) {
                0 => self.somebody_is_kicked(),
                1 => self.somebody_is_silent(),
                _ => self.something_breaks(),
            }
        }
        self.count_events();
    }

    fn time_passes(&mut self) {
        let most_ms = if self.plan.is_jumpy { self.dice.clock.below(100) } else { 0 };
        let ms = match most_ms {
            0..88 => self.dice.clock.below(200),
            88..94 => self.dice.clock.below(5_000),
            94..98 => self.dice.clock.below(100_000),
            _ => self.dice.clock.below(200_000_000),
        };
        self.turn_clock(ms);
    }

    /// Turns the clock and leaves it to chance when the shards notice.
    pub fn turn_clock(&mut self, ms: u64) {
        if ms > 1_000 {
            self.trace(|| format!("the clock jumps by {ms} ms"));
        }
        self.world.now = self.world.now.after_ms(ms);
        self.look();
    }

    /// Looks through the broker's own account of what happened, for coverage only.
    pub fn count_events(&mut self) {
        for (_, event) in &self.world.events[self.counted_events..] {
            if matches!(event, Event::SessionEnded { copies_lost: 1.., .. }) {
                self.coverage.hit("session ended with messages");
            }
        }
        self.counted_events = self.world.events.len();
    }

    /// Performs whatever is under way until nothing moves any more; clients answer what they owe.
    pub fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.settle_once() {
                return;
            }
        }
        panic!("the broker does not come to rest");
    }

    fn settle_once(&mut self) -> bool {
        let mut has_moved = self.clear_mesh_room();
        for link in self.live.clone() {
            has_moved |= self.world.read(link, usize::MAX);
            self.look();
        }
        while !self.world.moving.is_empty() {
            self.connection_arrives();
            has_moved = true;
        }
        while self.policy_answers() {
            has_moved = true;
        }
        for from in 0..self.plan.shards {
            for to in 0..self.plan.shards {
                if self.world.deliver_mesh(from, to, usize::MAX) {
                    self.look();
                    has_moved = true;
                }
            }
        }
        for shard in 0..self.plan.shards {
            if self.world.takes_tick(shard) {
                self.tick(shard);
                has_moved = true;
            }
        }
        for client in 0..self.clients.len() {
            has_moved |= self.client_catches_up(client);
        }
        has_moved
    }

    /// A number for a new connection's wire.
    pub fn open_link(&mut self, client: usize) -> usize {
        let landing = self.dice.client.index(self.plan.shards);
        let link = self.world.connect_to(landing);
        assert_eq!(link, self.wires.len(), "every connection has a wire");
        self.wires.push(Wire::new(client, self.step_now));
        self.world.links[link].room = self.clients[client].role.room;
        self.live.push(link);
        link
    }
}

/// A client that is always there.
fn watcher() -> Role {
    Role {
        version: Version::V5,
        groups: Vec::new(),
        receive_maximum: None,
        alias_maximum: 0,
        maximum_packet: None,
        keep_alive: 0,
        expiries: vec![u32::MAX],
        diligence: 8,
        room: usize::MAX,
        wills: 0,
    }
}

/// The number of a message in its payload.
pub fn number_in(payload: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(payload).ok()?;
    text.split(';').next()?.parse().ok()
}
