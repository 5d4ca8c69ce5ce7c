//! The operator's floor: what the broker shows of itself, and to whom.
//!
//! | file | what lives there |
//! |---|---|
//! | [`names`] | every metric: name, kind, help, and where its value is read |
//! | [`process`] | what the kernel says of this process |
//! | [`exposition`] | reports of the shards as text that Prometheus reads |
//! | [`scrape`] | what the shards said last, kept for a moment |
//! | [`request`] | the little of HTTP that the operator's door understands, pure |
//! | [`http`] | the door itself: metrics and health, on threads of its own |
//! | [`control`] | the inner door: questions that only our own user may ask |
//! | [`notify`] | words to the service manager |
//! | [`log`] | events for a person, as lines on standard error |
//! | [`sample`] | a report that no shard made, for tests of this floor and of the dashboards |
//!
//! # Invariants
//! The shards are asked for at most one report in a quarter of a second, whoever knocks, and for one page of a listing at a time. Nothing here is on the way of a
//! message, nothing here makes a shard wait, and nothing here changes what the broker does.

pub mod control;
pub mod exposition;
pub mod http;
#[cfg(test)]
mod http_tests;
pub mod log;
pub mod names;
pub mod notify;
pub mod process;
pub mod request;
pub mod sample;
pub mod scrape;
