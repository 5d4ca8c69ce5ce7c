//! What the integration tests share; each test binary uses its part.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what a test does not expect is one case")]
#![allow(clippy::needless_pass_by_value, reason = "a story hands over what it builds")]

pub mod bare;
pub mod cast;
pub mod disk;
pub mod golden;
pub mod medium;
pub mod policies;
pub mod raw;
pub mod scram;
pub mod story;
pub mod wired;
pub mod world;
