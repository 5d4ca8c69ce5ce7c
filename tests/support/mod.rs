//! What the integration tests share; each test binary uses its part.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod golden;
pub mod policies;
pub mod raw;
pub mod story;
pub mod world;
