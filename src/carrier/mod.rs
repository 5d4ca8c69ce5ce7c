//! Floor 2: the carrier, what carries MQTT, as bytes: no socket here.
//!
//! # Map
//! | room | what |
//! |---|---|
//! | [`websocket`] | RFC 6455, the server's side: the upgrade, frames that come in, frames that go out |
//! | [`proxy`] | the PROXY protocol, the receiver's side: whose connection it is that a proxy hands on |
//!
//! # Invariants
//! - Bytes and settings come in as values, bytes and verdicts go out. Nothing is kept between two reads but what a value
//!   of a few bytes holds, and a connection that is idle holds no memory besides it.
//! - Work and memory are linear in what has arrived, never in a length that was announced; every head has a maximum.
//! - The verdict on a stream does not depend on the pieces that it arrives in.
//! - Bytes from outside never reach a panic: what is wrong with them is an error that says what.
//!
//! # What is not here
//! TLS, which is rustls' own. Whom to believe: a PROXY header says who the client is, and only the shell knows whether
//! the network that it came from may say so.

pub mod proxy;
pub mod websocket;
