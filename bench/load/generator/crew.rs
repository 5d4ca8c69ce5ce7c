//! Who takes part in a scenario, and how all of them get connected.

use std::sync::Arc;
use std::time::Duration;

use pregon::mqtt::{QoS, Version};

use super::arguments::{Arguments, Plan, Scenario, Sessions};
use super::client::{Client, Role};
use super::clock::Clock;
use super::desk::Desk;
use super::failure::{Failure, io};
use super::fleet::Fleet;
use super::ledger::Audience;
use super::packets::{Session, Template};
use super::progress::Progress;
use super::publisher::Publisher;
use super::window::Window;
use super::wire;

/// After so long without a single client becoming ready the broker is given up.
const GATHERING_NS_MAX: u64 = 10_000_000_000;

/// How long a turn waits for sockets when there is nothing to do.
pub const WAIT: Duration = Duration::from_millis(20);

/// A client to be: what it is for, and what it subscribes to.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is for.
    pub role: Role,
    /// Stands in its client identifier.
    number: u32,
    /// What it asks of its session.
    session: Session,
    /// What it subscribes to.
    filter: Option<String>,
}

/// The publishers of a plan.
pub fn publishers(plan: &Plan) -> Vec<Publisher> {
    let audience = match plan.scenario {
        Scenario::Pairs | Scenario::Durable => Audience::everyone(1),
        Scenario::Shared => Audience::any_one(plan.subscribers as usize),
        Scenario::FanIn | Scenario::FanOut | Scenario::Connect | Scenario::Idle => {
            Audience::everyone(plan.subscribers as usize)
        }
    };
    let publisher = |number| {
        let template = Template::new(plan.version, &topic(plan.scenario, number), plan.qos, plan.payload_len, number);
        Publisher::new(number, template, audience.clone(), plan.window.map(Window::new))
    };
    (0..plan.publishers).map(publisher).collect()
}

/// The clients of a plan: subscribers first, so that nobody misses a message.
pub fn parts(plan: &Plan) -> Vec<Part> {
    let session = match plan.sessions {
        Sessions::Passing => Session::Passing,
        Sessions::Lasting | Sessions::Away => Session::Lasting,
    };
    [subscribers(plan, session), senders(plan)].concat()
}

/// The subscribers of a plan. Those that find their sessions have subscribed already.
pub fn subscribers(plan: &Plan, session: Session) -> Vec<Part> {
    let subscriber = |number| match plan.scenario {
        Scenario::Pairs | Scenario::Durable => (0, (number, number + 1), topic(plan.scenario, number)),
        Scenario::Shared => (number, (0, plan.publishers), format!("$share/load/{}", topic(plan.scenario, 0))),
        Scenario::FanIn | Scenario::FanOut | Scenario::Connect | Scenario::Idle => {
            (number, (0, plan.publishers), topic(plan.scenario, 0))
        }
    };
    let part = |number| {
        let (slot, publishers, filter) = subscriber(number);
        let filter = (session != Session::Resumed).then_some(filter);
        Part { role: Role::Subscriber { slot, publishers }, number, session, filter }
    };
    (0..plan.subscribers).map(part).collect()
}

/// The clients of the publishers of a plan.
pub fn senders(plan: &Plan) -> Vec<Part> {
    let part = |number| Part {
        role: Role::Publisher(number),
        number: plan.subscribers + number,
        session: Session::Passing,
        filter: None,
    };
    (0..plan.publishers).map(part).collect()
}

/// Clients that only are there, each with a topic of its own if it subscribes.
pub fn holders(count: u32, subscribe: bool) -> Vec<Part> {
    let filter = |number| subscribe.then(|| topic(Scenario::Idle, number));
    let part = |number| Part { role: Role::Holder, number, session: Session::Passing, filter: filter(number) };
    (0..count).map(part).collect()
}

/// The topic that a publisher of this number sends to.
fn topic(scenario: Scenario, number: u32) -> String {
    match scenario {
        Scenario::Pairs | Scenario::Idle | Scenario::Durable => format!("load/{}/{number:05}", scenario.name()),
        Scenario::FanIn | Scenario::FanOut | Scenario::Shared | Scenario::Connect => {
            format!("load/{}", scenario.name())
        }
    }
}

/// A fleet without clients.
pub fn fleet(arguments: &Arguments, version: Version, qos: QoS, publishers: Vec<Publisher>) -> Result<Fleet, Failure> {
    let desk = Desk::new(version, qos, publishers);
    let tls = arguments.tls().map(|group| Arc::new(wire::config(group)));
    Fleet::new(arguments.address, Clock::start(), desk, arguments.is_open_loop(), tls).map_err(io("epoll"))
}

/// Ends the sessions that the subscribers of a plan have left behind.
pub fn forget(fleet: &mut Fleet, arguments: &Arguments, plan: &Plan, progress: &mut Progress) -> Result<(), Failure> {
    let parts: Vec<Part> =
        subscribers(plan, Session::Passing).into_iter().map(|part| Part { filter: None, ..part }).collect();
    gather(fleet, arguments, &parts, progress)?;
    fleet.close_all();
    Ok(())
}

/// Connects all clients, so many at once, and waits until each of them is ready.
pub fn gather(
    fleet: &mut Fleet,
    arguments: &Arguments,
    parts: &[Part],
    progress: &mut Progress,
) -> Result<(), Failure> {
    let before = fleet.desk.tally;
    let wanted = parts.len() as u64;
    let (mut opened, mut settled, mut settled_ns) = (0, 0, fleet.clock.now_ns());
    loop {
        let tally = fleet.desk.tally;
        let (ready, gone) = (tally.ready - before.ready, tally.gone - before.gone);
        let now_ns = fleet.clock.now_ns();
        if ready + gone > settled {
            (settled, settled_ns) = (ready + gone, now_ns);
        }
        if ready == wanted {
            progress.clear();
            return Ok(());
        }
        let is_hopeless = settled == wanted || now_ns - settled_ns > GATHERING_NS_MAX;
        if is_hopeless {
            progress.clear();
            let (address, reason) = (arguments.address, fleet.desk.last_word);
            return Err(Failure::NotReady { address, wanted, ready, gone, reason });
        }
        while opened < wanted && opened - settled < u64::from(arguments.at_once) {
            let part = &parts[usize::try_from(opened).expect("it is below the length")];
            let client_id = format!("{}-{}", arguments.prefix, part.number);
            let (version, filter) = (arguments.version(), part.filter.as_deref());
            let client = Client::new(version, part.role.clone(), &client_id, part.session, filter, now_ns);
            fleet.open(client).map_err(io(format!("client {opened} to {}", arguments.address)))?;
            opened += 1;
        }
        fleet.turn(WAIT).map_err(io("epoll"))?;
        progress.show(now_ns, "connecting", ready);
    }
}
