//! Floor 2: what a broker is, pure.

pub mod subscriptions;
