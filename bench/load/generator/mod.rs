//! The load generator: who takes part, what they send, what the broker delivers, and what that costs it.
//!
//! # Map
//! [`arguments`] is the command line and the plan of a run, [`crew`] who takes part and how they get connected. [`messages`] and
//! [`connections`] are the two kinds of runs, [`away`] is the one in which subscribers come late, [`watch`], [`process`] and
//! [`device`] what is measured of them, [`report`] the figures.
//! [`fleet`] is the sockets on one thread, [`wire`] a socket with or without TLS. [`desk`] understands packets: [`client`] is what a connection knows, [`publisher`]
//! what it may send by [`pace`] and [`window`], [`packets`] the bytes, [`stamp`] what each payload begins with, [`ledger`] the
//! books of what arrived.

mod anybody;
pub mod arguments;
mod away;
pub mod client;
mod clock;
mod connections;
mod crew;
mod desk;
pub mod device;
pub mod failure;
mod fleet;
pub mod ledger;
mod messages;
pub mod pace;
pub mod packets;
pub mod process;
mod progress;
pub mod publisher;
pub mod report;
pub mod stamp;
mod watch;
pub mod window;
pub mod wire;

use arguments::{Arguments, Scenario};
use failure::Failure;
use progress::Progress;
use report::Report;

/// Does what was asked, on the core that was asked for.
pub fn run(arguments: &Arguments) -> Result<Report, Failure> {
    if let Some(core) = arguments.core
        && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
    {
        return Err(Failure::Core { core });
    }
    let mut progress = Progress::new();
    match arguments.scenario {
        Scenario::Connect => connections::connect(arguments, &mut progress),
        Scenario::Idle => connections::idle(arguments, &mut progress),
        Scenario::FanIn | Scenario::FanOut | Scenario::Pairs | Scenario::Shared | Scenario::Durable => {
            messages::run(arguments, &mut progress)
        }
    }
}
