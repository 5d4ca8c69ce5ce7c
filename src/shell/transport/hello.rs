//! The first words of a client of TLS, as far as one question goes: whether they offer TLS 1.3.
//!
//! It is the library that reads a hello and judges it. This is asked before, and whatever is not plain is left to the library: the answer is no.

/// The type of a record that is a part of a handshake: RFC 8446, 5.1.
const HANDSHAKE: u8 = 22;
/// The type of the message: RFC 8446, 4.
const CLIENT_HELLO: u8 = 1;
/// The extension that lists versions, and TLS 1.3 in it: RFC 8446, 4.2.1.
const SUPPORTED_VERSIONS: usize = 43;
const TLS_13: [u8; 2] = [3, 4];
/// A version that means nothing any more, and random bytes.
const FIXED_BYTES: usize = 2 + 32;

/// Whether these bytes begin with a hello that is whole, lies in one record and offers TLS 1.3.
pub fn offers_13(raw: &[u8]) -> bool {
    versions(raw).is_some_and(|versions| versions.chunks_exact(2).any(|version| version == TLS_13))
}

/// The versions that a hello lists.
fn versions(mut raw: &[u8]) -> Option<&[u8]> {
    let [HANDSHAKE, _, _] = take(&mut raw, 3)? else { return None };
    let mut record = vector(&mut raw, 2)?;
    let [CLIENT_HELLO] = take(&mut record, 1)? else { return None };
    let mut hello = vector(&mut record, 3)?;
    take(&mut hello, FIXED_BYTES)?;
    let _session = vector(&mut hello, 1)?;
    let _ciphers = vector(&mut hello, 2)?;
    let _compressions = vector(&mut hello, 1)?;
    let mut extensions = vector(&mut hello, 2)?;
    loop {
        let kind = number(&mut extensions, 2)?;
        let mut content = vector(&mut extensions, 2)?;
        if kind == SUPPORTED_VERSIONS {
            return vector(&mut content, 1);
        }
    }
}

/// Bytes behind a number of so many bytes that says how many they are.
fn vector<'a>(rest: &mut &'a [u8], of_number: usize) -> Option<&'a [u8]> {
    let count = number(rest, of_number)?;
    take(rest, count)
}

fn number(rest: &mut &[u8], bytes: usize) -> Option<usize> {
    Some(take(rest, bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    rest.split_off(..count)
}
