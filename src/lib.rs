//! Pregon: an MQTT broker whose whole behaviour is a deterministic machine.

pub mod base;
pub mod engine;
pub mod mqtt;
