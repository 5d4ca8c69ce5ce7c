//! PINGREQ and PINGRESP: two bytes each, in every version.

use super::error::DecodeError;
use super::text::Reader;

/// PINGREQ, whole.
pub const REQUEST: [u8; 2] = [0xC0, 0x00];
/// PINGRESP, whole.
pub const RESPONSE: [u8; 2] = [0xD0, 0x00];

/// Neither of them has a body.
///
/// # Errors
/// A body.
pub fn decode(body: &[u8]) -> Result<(), DecodeError> {
    Reader::new(body).finish()
}

#[cfg(test)]
mod tests {
    use crate::mqtt::golden::{assert_golden, error_of};
    use crate::mqtt::packet::{Packet, Sender};
    use crate::mqtt::reason::Reason;
    use crate::mqtt::version::Version;

    #[test]
    fn a_ping_is_two_bytes_in_every_version() {
        for version in Version::ALL {
            assert_golden(version, Sender::Client, "C0 00", &Packet::PingReq);
            assert_golden(version, Sender::Server, "D0 00", &Packet::PingResp);
        }
    }

    #[test]
    fn a_ping_has_neither_body_nor_flags() {
        for version in Version::ALL {
            for digits in ["C0 01 00", "C1 00", "C2 00", "C8 00"] {
                let error = error_of(version, Sender::Client, digits);
                assert_eq!(error.reason(), Reason::MalformedPacket, "{digits}");
            }
        }
    }

    #[test]
    fn each_side_has_its_own_ping() {
        let error = error_of(Version::V5, Sender::Client, "D0 00");
        assert_eq!(error.reason(), Reason::ProtocolError);
        let error = error_of(Version::V5, Sender::Server, "C0 00");
        assert_eq!(error.reason(), Reason::ProtocolError);
    }
}
