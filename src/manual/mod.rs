//! The manual: markdown beside the code, compiled into its documentation.
//!
//! Also here are the two licences, `pregon.toml`, the example of a configuration with every key at its default, and `rules.toml`, an
//! example of rules, because the top of the repository holds only what one starts from.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("invariants.md")]
pub mod invariants {}

#[doc = include_str!("decisions.md")]
pub mod decisions {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}
