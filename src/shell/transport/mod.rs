//! What stands between a client's socket and its MQTT: layers, each of which turns bytes into bytes.
//!
//! | file | what lives there |
//! |---|---|
//! | [`layers`] | the layers of one connection, from the socket inward |
//! | [`tls`] | one TLS session, driven by hand |
//! | [`hello`] | whether a client's first words offer TLS 1.3 |
//! | `keys` | keys of records, small while nothing is said |
//! | [`plan`] | what all connections of a listener have in common |
//! | [`secrets`] | certificates, their secrets, lists of revoked ones: the operator's files |
//! | [`clients`] | which client certificates are good |
//!
//! Invariants worth naming:
//! - A connection without layers does not come here: it costs one look at a pointer.
//! - Nothing is told of a client before its certificate is judged, also where it comes back to a session.
//! - Nothing is kept while idle but the state of the session itself.
//! - What cannot be read makes no plan: at a start the broker does not run, at a reload the plan of before stays.

#[cfg(test)]
mod agreed_tests;
#[cfg(test)]
mod asking_tests;
#[cfg(test)]
pub(in crate::shell) mod authority;
#[cfg(test)]
mod chains_tests;
pub mod clients;
#[cfg(test)]
mod greed_tests;
pub mod hello;
#[cfg(test)]
mod hello_tests;
mod keys;
#[cfg(test)]
mod keys_tests;
pub mod layers;
#[cfg(test)]
mod layers_tests;
#[cfg(test)]
pub(in crate::shell) mod pair;
pub mod plan;
pub mod secrets;
#[cfg(test)]
mod secrets_tests;
pub mod tls;
