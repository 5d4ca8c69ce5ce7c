//! The broker as a process of its own, spoken to over real sockets.
//!
//! Each test starts the broker it needs on a port of the kernel's choice, so tests run side by side and share nothing.
//! `PREGON_TEST_BROKER='mosquitto -p {port}'` runs the same tests against another broker: that is how a test shows that
//! it asks for what the standard says. Nothing here sleeps and hopes: a test waits for a condition, with a deadline far
//! beyond what a busy machine needs.
//!
//! | file | what lives there |
//! |---|---|
//! | `patience` | the only clock: deadlines, and waiting for a condition |
//! | `process` | starting, watching and ending the broker |
//! | `client` | a blocking client that says and hears packets |
//! | the others | the tests, by what they are about |

#[path = "../support/mod.rs"]
mod support;

mod client;
mod patience;
mod process;

mod big;
mod crowd;
mod ending;
mod fairness;
mod flows;
mod golden;
mod hidden;
mod keep_alive;
mod retained;
mod rumqttc;
mod sessions;
mod shared;
mod shortage;
mod takeover;
mod wills;
mod wire;
