//! The messages of SCRAM: what the client says is read by the grammar of RFC 5802, what the broker says is written.

use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::KEY_BYTES;
use crate::mqtt::reason::Reason;

/// Bytes that a message of the client may have: a longer one is refused unread.
pub const MESSAGE_BYTES_MAX: usize = 2_048;
/// Characters that the client's nonce may have: a longer one is refused.
pub const CLIENT_NONCE_CHARS_MAX: usize = 256;

/// Why a message is refused. None of it depends on who exists.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum Fault {
    #[error("a message has {bytes} bytes, and may have {MESSAGE_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("a message is not UTF-8")]
    NotText,
    #[error("a message has not the attributes that it must have, in their order")]
    Attributes,
    #[error("the flag of channel binding is none of n, y and p=")]
    Flag,
    #[error("a name is empty, or has an = that stands neither for a comma nor for itself")]
    Name,
    #[error(
        "the nonce is empty, has a character that is none of printable ASCII, or more than {CLIENT_NONCE_CHARS_MAX} of them"
    )]
    Nonce,
    #[error("the proof is not base64 of {KEY_BYTES} bytes")]
    Proof,
    #[error("channel binding is asked for, and none is offered")]
    ChannelBinding,
    #[error("an extension is mandatory, and none is known")]
    Extension,
    #[error("somebody wants to act for another user")]
    Authorisation,
    #[error("a name has characters that may not be in it")]
    Unprepared,
    #[error("what was agreed on in the first message is another thing in the last")]
    Disagreement,
}

impl Fault {
    /// What the client is told. What breaks the grammar is a protocol error; what is well said and not granted is not authorised.
    pub const fn reason(self) -> Reason {
        match self {
            Self::TooLong { .. }
            | Self::NotText
            | Self::Attributes
            | Self::Flag
            | Self::Name
            | Self::Nonce
            | Self::Proof => Reason::ProtocolError,
            Self::ChannelBinding | Self::Extension | Self::Authorisation | Self::Unprepared | Self::Disagreement => {
                Reason::NotAuthorized
            }
        }
    }
}

/// `n,,n=alice,r=fyko`: who it is, and the client's part of the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// The beginning, up to the second comma, that the last message repeats: `n,,`.
    pub header: &'a str,
    /// The rest, which is part of what is signed.
    pub bare: &'a str,
    /// The user, as it was sent.
    pub name: String,
    /// Whom it wants to act for, if it says so.
    pub acts_for: Option<String>,
    /// The client's part of the nonce.
    pub nonce: &'a str,
}

/// `c=biws,r=fyko3rfc,p=v0X8`: the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    /// The header of the first message, in base64.
    pub binding: &'a str,
    /// Both parts of the nonce.
    pub nonce: &'a str,
    /// All before the proof, which is part of what is signed.
    pub without_proof: &'a str,
    /// The proof.
    pub proof: [u8; KEY_BYTES],
}

impl<'a> ClientFirst<'a> {
    /// Reads the first message.
    pub fn parse(data: &'a [u8]) -> Result<Self, Fault> {
        let text = text(data)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(acts_for), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Fault::Attributes);
        };
        match flag {
            "n" | "y" => {}
            binding if binding.starts_with("p=") => return Err(Fault::ChannelBinding),
            _neither => return Err(Fault::Flag),
        }
        let acts_for = match acts_for {
            "" => None,
            named => Some(name(value(Some(named), "a=")?)?),
        };
        if bare.starts_with("m=") {
            return Err(Fault::Extension);
        }
        let mut attributes = bare.split(',');
        let name = name(value(attributes.next(), "n=")?)?;
        let nonce = value(attributes.next(), "r=")?;
        if !is_nonce(nonce) || nonce.len() > CLIENT_NONCE_CHARS_MAX {
            return Err(Fault::Nonce);
        }
        attributes.try_for_each(optional)?;
        let header = &text[..text.len() - bare.len()];
        Ok(Self { header, bare, name, acts_for, nonce })
    }
}

impl<'a> ClientFinal<'a> {
    /// Reads the last message.
    pub fn parse(data: &'a [u8]) -> Result<Self, Fault> {
        let text = text(data)?;
        let (without_proof, proof) = text.rsplit_once(',').ok_or(Fault::Attributes)?;
        let mut attributes = without_proof.split(',');
        let binding = value(attributes.next(), "c=")?;
        let nonce = value(attributes.next(), "r=")?;
        if !is_nonce(nonce) {
            return Err(Fault::Nonce);
        }
        attributes.try_for_each(optional)?;
        let proof = STANDARD.decode(value(Some(proof), "p=")?).ok().and_then(|proof| proof.try_into().ok());
        Ok(Self { binding, nonce, without_proof, proof: proof.ok_or(Fault::Proof)? })
    }
}

/// The broker's question: both parts of the nonce, and how keys come from a password.
pub fn server_first(client_nonce: &str, own_nonce: &str, salt: &[u8], iterations: u32) -> String {
    let mut text = format!("r={client_nonce}{own_nonce},s=");
    STANDARD.encode_string(salt, &mut text);
    write!(text, ",i={iterations}").expect("memory takes what is written");
    text
}

/// The broker's proof.
pub fn server_final(signature: &[u8; KEY_BYTES]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

/// How the header of the first message stands in the last.
pub fn binding(header: &str) -> String {
    STANDARD.encode(header)
}

fn text(data: &[u8]) -> Result<&str, Fault> {
    if data.len() > MESSAGE_BYTES_MAX {
        return Err(Fault::TooLong { bytes: data.len() });
    }
    str::from_utf8(data).map_err(|_not_utf8| Fault::NotText)
}

/// The value of an attribute that must be this one.
fn value<'a>(attribute: Option<&'a str>, key: &str) -> Result<&'a str, Fault> {
    attribute.and_then(|attribute| attribute.strip_prefix(key)).ok_or(Fault::Attributes)
}

/// An extension that may be passed over.
fn optional(attribute: &str) -> Result<(), Fault> {
    match attribute.as_bytes() {
        [b'm', b'=', ..] => Err(Fault::Extension),
        [key, b'=', value @ ..] if key.is_ascii_alphabetic() && !value.is_empty() && !value.contains(&0) => Ok(()),
        _no_attribute => Err(Fault::Attributes),
    }
}

fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// A name as it was before its commas were written `=2C` and its equals signs `=3D`.
fn name(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.contains('\0') {
        return Err(Fault::Name);
    }
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = if let Some(rest) = part.strip_prefix("2C") {
            (',', rest)
        } else if let Some(rest) = part.strip_prefix("3D") {
            ('=', rest)
        } else {
            return Err(Fault::Name);
        };
        name.push(sign);
        name.push_str(rest);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Result<ClientFirst<'_>, Fault> {
        ClientFirst::parse(text.as_bytes())
    }

    fn last(text: &str) -> Result<ClientFinal<'_>, Fault> {
        ClientFinal::parse(text.as_bytes())
    }

    #[test]
    fn the_messages_of_the_standard_are_read_and_written() {
        let said = first("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!((said.header, said.bare), ("n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO"));
        assert_eq!((&*said.name, said.acts_for, said.nonce), ("user", None, "rOprNGfwEbeRWgbNEkqO"));
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            server_first(said.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt, 4_096),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let said = last("c=biws,r=rOprNGfwEbeRWgbNEkqO%hv,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        assert_eq!((said.binding, said.nonce), (&*binding("n,,"), "rOprNGfwEbeRWgbNEkqO%hv"));
        assert_eq!(said.without_proof, "c=biws,r=rOprNGfwEbeRWgbNEkqO%hv");
        assert_eq!(server_final(&said.proof), "v=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    }

    #[test]
    fn names_may_have_commas_and_equals_signs() {
        let said = first("y,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x,z=later,Y=1=2").unwrap();
        assert_eq!((said.header, &*said.name, said.acts_for.as_deref()), ("y,a=a=2Cb=3Dc,", "a,b=c", Some("a,b=c")));
        assert_eq!(said.bare, "n=a=2Cb=3Dc,r=x,z=later,Y=1=2");
        assert_eq!(first("n,,n=\u{F1}=2C=2C,r=x").unwrap().name, "\u{F1},,");
    }

    #[test]
    fn what_is_no_first_message_is_refused_by_its_fault() {
        let long = "r".repeat(CLIENT_NONCE_CHARS_MAX + 1);
        let longest = format!("n,,n=u,r={}", &long[1..]);
        assert!(first(&longest).is_ok());
        for (text, fault) in [
            ("", Fault::Attributes),
            ("n", Fault::Attributes),
            ("n,", Fault::Attributes),
            ("n,,", Fault::Attributes),
            ("n,,n=user", Fault::Attributes),
            ("n,,r=x,n=user", Fault::Attributes),
            ("n,,n=user,x=1,r=x", Fault::Attributes),
            ("n,,n=user,r=x,", Fault::Attributes),
            ("n,,n=user,r=x,1=2", Fault::Attributes),
            ("n,,n=user,r=x,z", Fault::Attributes),
            ("n,,n=user,r=x,z=", Fault::Attributes),
            ("n,,n=user,r=x,z=\0", Fault::Attributes),
            ("n,user,n=user,r=x", Fault::Attributes),
            ("n,a=,n=user,r=x", Fault::Name),
            (",,n=user,r=x", Fault::Flag),
            ("N,,n=user,r=x", Fault::Flag),
            ("nn,,n=user,r=x", Fault::Flag),
            ("p=tls-exporter,,n=user,r=x", Fault::ChannelBinding),
            ("p=,,n=user,r=x", Fault::ChannelBinding),
            ("n,,m=ext,n=user,r=x", Fault::Extension),
            ("n,,n=user,r=x,m=ext", Fault::Extension),
            ("n,,n=,r=x", Fault::Name),
            ("n,,n=a=b,r=x", Fault::Name),
            ("n,,n=a=2c,r=x", Fault::Name),
            ("n,,n=a=,r=x", Fault::Name),
            ("n,,n=a\0b,r=x", Fault::Name),
            ("n,,n=user,r=", Fault::Nonce),
            ("n,,n=user,r=a b", Fault::Nonce),
            ("n,,n=user,r=a\u{7f}", Fault::Nonce),
            ("n,,n=user,r=\u{F1}", Fault::Nonce),
            (&format!("n,,n=u,r={long}"), Fault::Nonce),
        ] {
            assert_eq!(first(text).unwrap_err(), fault, "{text:?}");
        }
        assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x"), Err(Fault::NotText));
    }

    #[test]
    fn what_is_no_last_message_is_refused_by_its_fault() {
        let proof = "A".repeat(43) + "=";
        assert!(last(&format!("c=biws,r=x,z=y,p={proof}")).is_ok());
        for (text, fault) in [
            (String::new(), Fault::Attributes),
            ("c=biws,r=x".into(), Fault::Attributes),
            (format!("p={proof}"), Fault::Attributes),
            (format!("r=x,c=biws,p={proof}"), Fault::Attributes),
            (format!("c=biws,r=x,p={proof},z=y"), Fault::Attributes),
            (format!("c=biws,r=x,zz,p={proof}"), Fault::Attributes),
            (format!("c=biws,r=x,m=y,p={proof}"), Fault::Extension),
            (format!("c=biws,r=,p={proof}"), Fault::Nonce),
            ("c=biws,r=x,p=".into(), Fault::Proof),
            (format!("c=biws,r=x,p={}", "A".repeat(43)), Fault::Proof),
            (format!("c=biws,r=x,p={}B=", "A".repeat(42)), Fault::Proof),
            (format!("c=biws,r=x,p={}", "A".repeat(44)), Fault::Proof),
            (format!("c=biws,r=x,p=_{}=", "A".repeat(42)), Fault::Proof),
        ] {
            assert_eq!(last(&text).unwrap_err(), fault, "{text:?}");
        }
    }

    #[test]
    fn threat_1_a_long_message_is_refused_unread() {
        let long = [b'\xff'; MESSAGE_BYTES_MAX + 1];
        assert_eq!(ClientFirst::parse(&long), Err(Fault::TooLong { bytes: long.len() }));
        assert_eq!(ClientFinal::parse(&long), Err(Fault::TooLong { bytes: long.len() }));
        assert_eq!(ClientFirst::parse(&long[1..]), Err(Fault::NotText));
    }

    #[test]
    fn broken_grammar_is_a_protocol_error_and_what_is_not_granted_is_not_authorised() {
        for text in ["", "x,,n=user,r=x", "n,,n=,r=x", "n,,n=user,r="] {
            assert_eq!(first(text).unwrap_err().reason(), Reason::ProtocolError, "{text}");
        }
        for text in ["p=x,,n=user,r=x", "n,,m=x,n=user,r=x"] {
            assert_eq!(first(text).unwrap_err().reason(), Reason::NotAuthorized, "{text}");
        }
    }
}
