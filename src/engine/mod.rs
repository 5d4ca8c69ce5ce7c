//! Floor 2: what a broker is, pure.

pub mod retained;
pub mod subscriptions;
