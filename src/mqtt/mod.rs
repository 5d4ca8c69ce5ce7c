//! Floor 1: the wire.

pub mod error;
pub mod properties;
pub mod reason;
pub mod text;
pub mod topic;
pub mod varint;
pub mod version;
