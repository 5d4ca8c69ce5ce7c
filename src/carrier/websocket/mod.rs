//! WebSocket (RFC 6455), the server's side: MQTT in the binary frames of a connection that began as HTTP.
//!
//! | file | what |
//! |---|---|
//! | [`upgrade`] | the request that asks for a WebSocket, and the answer to it |
//! | [`refusal`] | why a request is refused, and what HTTP says then |
//! | [`frame`] | one frame's header, and the masks |
//! | [`reader`] | a stream of frames to the bytes inside them |
//! | [`violation`] | what breaks a rule of the frames, and the close code for it |
//! | [`close`] | close codes, and what a close frame holds |
//! | [`writer`] | headers of binary frames, pongs and close frames |
//!
//! What a shell does with a connection of a WebSocket listener:
//!
//! 1. Keep what arrives, and hand all of it to [`upgrade::upgrade`] whenever there is more, until it answers. Send the
//!    response. When it was refused, close behind the response; else drop `consumed` bytes: what is left, if anything,
//!    goes to a new [`reader::Reader`] like all that follows.
//! 2. Hand each piece that arrives to [`reader::Reader::read`], which answers with the MQTT in it, in one part. Answer
//!    each ping with [`writer::pong`].
//! 3. Put [`writer::binary_header`] before the MQTT that goes out: one frame a write, however many packets it holds.
//! 4. When the reader has come to its end, hand on the MQTT that came before it, write [`reader::End::answer`], close
//!    behind it. To close first, write [`writer::close`] and then close as well: whoever waits for the peer's
//!    close frame does it under a deadline.
//!
//! Invariants worth naming:
//! - Frames mean nothing to MQTT: a packet may span them and one may hold many, so bytes are handed on as soon as
//!   they are there. [MQTT-6.0.0-2]
//! - The first violation ends the stream, and what was legal before it has been handed on: the same bytes and the same
//!   verdict for any cut.
//!
//! Not here, and why: extensions (none is offered, so none is agreed upon and reserved bits stay reserved), the client's
//! side (a bridge dials plain MQTT), `X-Forwarded-For` (anybody may write it; the PROXY protocol says who a client is).

#[cfg(test)]
mod cases;
pub mod close;
pub mod frame;
pub mod reader;
pub mod refusal;
pub mod upgrade;
pub mod violation;
pub mod writer;
