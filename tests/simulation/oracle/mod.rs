//! The oracle: it knows what clients did and saw and how the broker is configured, and nothing of the broker's inside.
//!
//! | file           | what it judges                                                               | when           |
//! |----------------|------------------------------------------------------------------------------|----------------|
//! | [`deliveries`] | each delivery by itself: was it asked for, is it in order, did it come twice | at once        |
//! | [`losses`]     | nothing acknowledged is lost                                                 | at the end     |
//! | [`shared`]     | each message of a group to one member                                        | at the end     |
//! | [`retained`]   | the last retained message, for those who come and for those who were there   | at the end     |
//! | [`wills`]      | each will when it is due, once                                               | at the end     |
//! | [`ending`]     | how a run comes to rest, and that nothing is left                            | the last steps |

pub mod deliveries;
pub mod ending;
pub mod losses;
pub mod retained;
pub mod shared;
pub mod wills;
