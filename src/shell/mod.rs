//! The shell: it turns readiness into inputs of a shard, performs the shard's outputs, and moves batches between shards.
//!
//! | file | what lives there |
//! |---|---|
//! | [`report`] | what a shard tells the operator's floor about itself |
//!
//! Nothing here decides anything about MQTT: that is the engine's part. Nothing above here touches a shard: it asks for a
//! report and sends wishes.

pub mod report;
