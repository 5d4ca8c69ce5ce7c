//! The fields of a record: a cursor that reads them out of borrowed bytes, and the functions that append them.

use super::record::RecordError;
use super::varint;
use crate::mqtt::{PacketId, QoS};

/// A cursor over the body of one record. What it hands out borrows from it.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    /// A cursor at the front of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Bytes that are left.
    pub const fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(RecordError::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    /// All bytes that are left.
    pub const fn rest(&mut self) -> &'a [u8] {
        let rest = self.left;
        self.left = &[];
        rest
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, RecordError> {
        let (&byte, left) = self.left.split_first().ok_or(RecordError::Truncated)?;
        self.left = left;
        Ok(byte)
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, RecordError> {
        let (value, len) = varint::decode(self.left)?;
        self.left = &self.left[len..];
        Ok(value)
    }

    /// A number of up to 32 bits.
    pub fn small(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.number()?).map_err(|_too_large| RecordError::Field { name: "number" })
    }

    /// A length, and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.number()?;
        self.take(usize::try_from(len).map_err(|_too_large| RecordError::Truncated)?)
    }

    /// A length, and as many bytes of text.
    pub fn text(&mut self) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes()?).map_err(|_not_utf8| RecordError::Field { name: "text" })
    }

    /// A packet identifier.
    pub fn packet_id(&mut self) -> Result<PacketId, RecordError> {
        let number = u16::try_from(self.number()?).ok();
        number.and_then(PacketId::new).ok_or(RecordError::Field { name: "packet identifier" })
    }

    /// Succeeds when nothing is left.
    pub const fn finish(self) -> Result<(), RecordError> {
        if self.left.is_empty() { Ok(()) } else { Err(RecordError::Trailing) }
    }
}

/// The quality of service in the lowest two bits of a byte, and the flags above it.
pub fn qos_and_flags<const N: usize>(byte: u8) -> Result<(QoS, [bool; N]), RecordError> {
    let qos = QoS::from_bits(byte & 3).ok_or(RecordError::Field { name: "quality of service" })?;
    Ok((qos, flags(byte >> 2)?))
}

/// The flags in a byte, from the lowest bit; those that nobody knows are refused.
pub fn flags<const N: usize>(byte: u8) -> Result<[bool; N], RecordError> {
    if byte >> N != 0 {
        return Err(RecordError::Field { name: "flags" });
    }
    Ok(std::array::from_fn(|bit| byte & 1 << bit != 0))
}

/// The byte that [`qos_and_flags`] reads.
pub fn packed<const N: usize>(qos: QoS, flags: [bool; N]) -> u8 {
    const { assert!(N <= 6, "two bits are taken") };
    qos.bits() | bits(flags) << 2
}

/// The byte that [`flags`] reads.
pub fn bits<const N: usize>(flags: [bool; N]) -> u8 {
    const { assert!(N <= 7, "flags stand in one byte") };
    flags.iter().enumerate().fold(0, |byte, (bit, &flag)| byte | u8::from(flag) << bit)
}

/// Appends a length and as many bytes.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::encode(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a packet identifier.
pub fn put_packet_id(id: PacketId, out: &mut Vec<u8>) {
    varint::encode(u64::from(id.get()), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_turn_and_the_end_is_noticed() {
        let mut fields = Fields::new(&[7, 0x80, 0x01, 2, b'h', b'i', 9, 1, 2]);
        assert_eq!(fields.byte(), Ok(7));
        assert_eq!(fields.number(), Ok(128));
        assert_eq!(fields.text(), Ok("hi"));
        assert_eq!(fields.packet_id(), Ok(PacketId::new(9).unwrap()));
        assert_eq!(fields.finish(), Err(RecordError::Trailing));
        assert_eq!((fields.len(), fields.rest(), fields.is_empty()), (2, &[1, 2][..], true));
        assert_eq!((fields.finish(), fields.byte()), (Ok(()), Err(RecordError::Truncated)));
    }

    #[test]
    fn an_announced_length_takes_nothing_that_is_not_there() {
        let mut enormous = Vec::new();
        varint::encode(u64::MAX, &mut enormous);
        assert_eq!(Fields::new(&enormous).bytes(), Err(RecordError::Truncated));
        assert_eq!(Fields::new(&[3, 1, 2]).bytes(), Err(RecordError::Truncated));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert_eq!(Fields::new(&[0]).packet_id(), Err(RecordError::Field { name: "packet identifier" }));
        assert_eq!(Fields::new(&[0x80, 0x80, 0x04]).packet_id(), Err(RecordError::Field { name: "packet identifier" }));
        assert_eq!(Fields::new(&[0x80, 0x80, 0x80, 0x80, 0x10]).small(), Err(RecordError::Field { name: "number" }));
        assert_eq!(Fields::new(&[1, 0xff]).text(), Err(RecordError::Field { name: "text" }));
        assert_eq!(qos_and_flags::<0>(3), Err(RecordError::Field { name: "quality of service" }));
        assert_eq!(qos_and_flags::<2>(0b1_0000), Err(RecordError::Field { name: "flags" }));
    }

    #[test]
    fn flags_lie_beside_the_quality_of_service() {
        let byte = packed(QoS::ExactlyOnce, [true, false, true]);
        assert_eq!(byte, 0b1_0110);
        assert_eq!(qos_and_flags(byte), Ok((QoS::ExactlyOnce, [true, false, true])));
        assert_eq!(flags(bits([false, true])), Ok([false, true]));
    }
}
