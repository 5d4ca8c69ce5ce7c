//! The broker as a process of its own, spoken to over real sockets.
//!
//! Each test starts the broker it needs on a port of the kernel's choice, so tests run side by side and share nothing.
//! Nothing here sleeps and hopes: a test waits for a condition, with a deadline far beyond what a busy machine needs.
//!
//! `PREGON_TEST_SETTINGS='runtime.driver=plain'` starts every broker with further settings, split at blanks.
//! `PREGON_TEST_BROKER='mosquitto -p {port}'` runs the same tests against another broker: so a test shows that it asks for
//! what the standard says. That broker fails where ours promises more: the word before a close, CONNECT in time, jobs of a
//! dying member of a group, descriptors that run out, the end of the process.
//!
//! | file | what lives there |
//! |---|---|
//! | `patience` | the only clock: deadlines, and waiting for a condition |
//! | `process` | starting, watching and ending the broker |
//! | `client` | a blocking client that says and hears packets |
//! | `stream`, `tls`, `web` | what it speaks through: sockets, TLS, frames of a WebSocket |
//! | `webserver` | a web server that answers as a test says, well or badly |
//! | `lives` | publishers and subscribers that outlive the broker, and their books |
//! | `fickle`, `mounted` | a disk that loses power, fills up and fails |
//! | the others | the tests, by what they are about |

#![expect(clippy::wildcard_enum_match_arm, reason = "what a test does not expect is one case")]

#[path = "../../src/shell/transport/authority.rs"]
mod authority;
#[path = "../../bench/disk/fickle/mod.rs"]
#[expect(dead_code, reason = "only its own program reads orders from words")]
mod fickle;
#[path = "../disk/mounted.rs"]
mod mounted;
#[path = "../support/mod.rs"]
mod support;

mod client;
mod folder;
mod lives;
mod patience;
mod process;
mod stream;
mod tls;
mod web;
mod webserver;

mod accounts;
mod addresses;
mod admission;
mod big;
mod bounds;
mod certificates;
mod chains;
mod crash;
mod crowd;
mod denied;
mod differing;
mod differing_claims;
mod disk;
mod ending;
mod fairness;
mod flows;
mod golden;
mod growth;
mod hidden;
mod hook;
mod issuer;
mod keep_alive;
mod last_words;
mod lending;
mod memory;
mod moves;
mod names;
mod overheard;
mod power;
mod proxied;
mod reload;
mod restored;
mod retained;
mod rumqttc;
mod scram;
mod secrets;
mod secure;
mod sessions;
mod shared;
mod shortage;
mod storm;
mod stowed;
mod strangers;
mod takeover;
mod tokens;
mod unix;
mod unreadable;
mod websocket;
mod wills;
mod wire;
