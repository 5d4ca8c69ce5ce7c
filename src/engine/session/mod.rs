//! A session: what outlives a connection, and the flows of quality of service that run through it.
//!
//! | file           | what                                                                   | owner              |
//! |----------------|------------------------------------------------------------------------|--------------------|
//! | [`state`]      | the flows of QoS 1 and 2 as tables: the one truth of the other files   | a value            |
//! | [`delivery`]   | a message on its way to one receiver                                   | where it waits     |
//! | [`queue`]      | deliveries that were never sent                                        | one per session    |
//! | [`packet_ids`] | open packet identifiers and what stands under each                     | one per session    |
//! | [`window`]     | deliveries that were sent and are not settled, in the order of sending | one per session    |
//! | [`outbound`]   | queue and window together: what a session has still to send            | one per session    |
//! | [`received`]   | QoS 2 messages of the client that it has not released                  | one per session    |
//! | [`pipeline`]   | answers that leave in the order of the requests                        | one per connection |
//!
//! Invariants worth naming:
//! - Each delivery that comes in goes out once: delivered, refused, expired, displaced, returned, given up or drained.
//! - A packet identifier under which anything is open, be it only a PUBCOMP, is given to nothing else.
//! - Nothing new is sent before everything that an earlier connection left open has been sent again.
//! - None of these structures holds heap before it is used, and every step costs the same wherever in the window it
//!   happens.
//!
//! Not here, and why: the bounds themselves (they are the operator's, in [`limits`](super::limits)), the ledger (whoever
//! takes a delivery out counts it), packets and bytes (these rooms say what is to be sent, the shard sends it).

pub mod delivery;
pub mod outbound;
#[cfg(test)]
mod outbound_model;
#[cfg(test)]
mod outbound_tests;
pub mod packet_ids;
pub mod pipeline;
pub mod queue;
pub mod received;
pub mod state;
pub mod window;
