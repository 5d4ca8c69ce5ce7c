//! Why bytes are no PROXY header, by what is wrong and the number that explains it.

use super::{v1, v2};

/// What is wrong. The connection is closed; whoever wrote this is a proxy that is set up wrongly, or no proxy.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Malformed {
    #[error("it does not begin as a PROXY header")]
    NoHeader,
    #[error("the line does not end within {} bytes", v1::LINE_BYTES_MAX)]
    LineTooLong,
    #[error("the line ends in half of CRLF, at byte {at}")]
    LineEnd { at: usize },
    #[error("the line names none of TCP4, TCP6 and UNKNOWN")]
    Family,
    #[error("the line has not four fields behind its family, one space before each")]
    Fields,
    #[error("the {end} address is none of the family")]
    Address { end: Side },
    #[error("the {end} port is no number up to 65535 without leading zeros")]
    Port { end: Side },
    #[error("version {version}, where 2 is known")]
    Version { version: u8 },
    #[error("the unknown command {command}")]
    Command { command: u8 },
    #[error("the unknown family or transport {byte:#04x}")]
    Transport { byte: u8 },
    #[error("a header of {bytes} bytes where {} are taken", v2::HEADER_BYTES_MAX)]
    HeaderTooLong { bytes: usize },
    #[error("{bytes} bytes behind the header's beginning are too few for two addresses of its family")]
    AddressesCut { bytes: usize },
    #[error("the field at byte {at} goes beyond what it stands in")]
    FieldCut { at: usize },
    #[error("a second field of type {kind:#04x}")]
    FieldTwice { kind: u8 },
    #[error("the field of type {kind:#04x} has {bytes} bytes")]
    FieldLength { kind: u8, bytes: usize },
    #[error("the field of type {kind:#04x} is no text, or has control characters")]
    FieldText { kind: u8 },
    #[error("the checksum is {told:#010x}, and of the header {computed:#010x}")]
    Checksum { told: u32, computed: u32 },
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Source,
    /// Where it connected to.
    Destination,
}

impl core::fmt::Display for Side {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(match self {
            Self::Source => "source",
            Self::Destination => "destination",
        })
    }
}
