//! What breaks a rule of the frames: each violation carries the number that explains it and knows its close code.

use super::close::CloseCode;

/// What is wrong with the frames of the peer. The connection ends with a close frame of `code()`.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Violation {
    #[error("reserved bits on a frame that begins with {first:#04x}, and no extension is agreed upon")]
    ReservedBits { first: u8 },
    #[error("the unknown opcode {opcode:#x}")]
    OpcodeUnknown { opcode: u8 },
    #[error("a text frame, where MQTT has binary ones")]
    Text,
    #[error("a fragment of a control frame of opcode {opcode:#x}")]
    ControlFragmented { opcode: u8 },
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    #[error("a continuation of no message")]
    NothingToContinue,
    #[error("a new message within another one")]
    MessageWithinMessage,
    #[error("a frame without a mask")]
    NotMasked,
    #[error("a length of {length} in more bytes than it needs")]
    LengthNotShortest { length: u64 },
    #[error("a length of {length}, which has the top bit")]
    LengthTopBit { length: u64 },
    #[error("a frame of {length} bytes where {maximum} are taken")]
    FrameTooLarge { length: u64, maximum: u32 },
    #[error("a close frame with half a code")]
    CloseTruncated,
    #[error("the close code {number}, which no frame may carry")]
    CloseCode { number: u16 },
    #[error("a reason to close that is not UTF-8 from byte {at} on")]
    CloseReason { at: usize },
}

impl Violation {
    /// The code of the close frame that answers it.
    pub const fn code(&self) -> CloseCode {
        match self {
            Violation::ReservedBits { .. }
            | Violation::OpcodeUnknown { .. }
            | Violation::ControlFragmented { .. }
            | Violation::ControlTooLong
            | Violation::NothingToContinue
            | Violation::MessageWithinMessage
            | Violation::NotMasked
            | Violation::LengthNotShortest { .. }
            | Violation::LengthTopBit { .. }
            | Violation::CloseTruncated
            | Violation::CloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Violation::Text => CloseCode::UNSUPPORTED,
            Violation::FrameTooLarge { .. } => CloseCode::TOO_BIG,
            Violation::CloseReason { .. } => CloseCode::NOT_UTF8,
        }
    }
}
