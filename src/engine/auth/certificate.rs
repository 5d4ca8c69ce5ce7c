//! Client certificates: the name that one gives to its user, when the transport has verified it.
//!
//! Certificates are read by `x509-cert`, in strict DER. Whether one is valid, trusted, revoked or for this use is the transport's to say, before anybody
//! asks here.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use x509_cert::certificate::CertificateInner;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::RelativeDistinguishedName;

use super::identity::{CommonName, Identity, Shown};
use super::{Authenticator, Credentials, Verdict};

/// Bytes of a certificate; a longer one is refused unread.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a name; a longer one is none.
pub const NAME_BYTES_MAX: usize = 256;
/// The attribute of a subject that is called CN.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What the user is called by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRule {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The whole subject as RFC 4514 writes it, its last part first: `CN=alice,O=house`.
    Subject,
    /// The alternative name that is a name in the DNS.
    Dns,
    /// The alternative name that is an address of mail.
    Email,
    /// The alternative name that is a URI.
    Uri,
}

/// What is known of a client's certificate. Made once a connection, and kept as long as it is there: so all that is said stands in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of all its bytes.
    pub fingerprint: [u8; 32],
    /// The subject, and behind it those of the names that are no part of it.
    text: Box<str>,
    subject_bytes: u32,
    common_name: Result<Place, NameFault>,
    name: Result<Place, NameFault>,
}

const _: () =
    assert!(size_of::<Certificate>() <= 80, "each client with a certificate has one, and two counters before it");

/// Where a name stands in the text of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: u32,
    bytes: u32,
}

/// Why bytes are no certificate.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum CertificateError {
    #[error("a certificate of {bytes} bytes, and it may have {CERTIFICATE_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("it is no certificate in DER")]
    Der,
}

/// Why a certificate does not say what its user is called.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the message of each variant is its documentation")]
pub enum NameFault {
    #[error("it has no such name")]
    Missing,
    #[error("it has several such names")]
    Several,
    #[error("the name is empty or has {bytes} bytes, and may have {NAME_BYTES_MAX}")]
    Length { bytes: u32 },
    #[error("the name has a control character in it")]
    Control,
    #[error("the name is no UTF-8, printable or ASCII string")]
    Encoding,
}

impl Certificate {
    /// Reads a certificate that the transport has verified.
    pub fn parse(der: &[u8], rule: NameRule) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong { bytes: der.len() });
        }
        let certificate = X509::from_der(der).map_err(|_no_der| CertificateError::Der)?;
        let subject = certificate.tbs_certificate().subject().to_string();
        let common_name = name(&certificate, NameRule::CommonName);
        Ok(Self::new(Sha256::digest(der).into(), subject, common_name, name(&certificate, rule)))
    }

    /// One of which this is known.
    pub(super) fn new(
        fingerprint: [u8; 32],
        subject: String,
        common_name: Result<Box<str>, NameFault>,
        name: Result<Box<str>, NameFault>,
    ) -> Self {
        let (subject_bytes, mut text) = (short(subject.len()), subject);
        let common_name = common_name.map(|name| Place::of(&name, &mut text));
        let name = name.map(|name| Place::of(&name, &mut text));
        // A copy has the room that it needs, and not what the text grew by.
        Self { fingerprint, text: text.as_str().into(), subject_bytes, common_name, name }
    }

    /// One of which a proxy tells nothing but the common name. No rule by fingerprint applies to it.
    pub fn told(common_name: &str) -> Self {
        let name = checked(common_name);
        let subject = name.clone().unwrap_or_default();
        Self::new([0; 32], subject.into(), name.clone(), name)
    }

    /// The whole subject as RFC 4514 writes it, with control characters of ASCII escaped.
    pub fn subject(&self) -> &str {
        &self.text[..self.subject_bytes as usize]
    }

    /// The common name of its subject, if there is one and no other.
    pub fn common_name(&self) -> Result<&str, NameFault> {
        self.common_name.map(|place| place.read(&self.text))
    }

    /// What its user is called by the rule.
    pub fn name(&self) -> Result<&str, NameFault> {
        self.name.map(|place| place.read(&self.text))
    }

    /// What rules may ask of it.
    pub fn shown(&self) -> Shown {
        let common_name = match self.common_name() {
            Ok(name) => CommonName::One(name.into()),
            Err(NameFault::Missing) => CommonName::None,
            Err(NameFault::Several | NameFault::Length { .. } | NameFault::Control | NameFault::Encoding) => {
                CommonName::Unclear
            }
        };
        Shown { fingerprint: self.fingerprint, common_name }
    }
}

impl Place {
    /// That of a name, which is appended if it stands nowhere yet.
    fn of(name: &str, text: &mut String) -> Self {
        let start = text.find(name).unwrap_or_else(|| {
            let end = text.len();
            text.push_str(name);
            end
        });
        Self { start: short(start), bytes: short(name.len()) }
    }

    fn read(self, text: &str) -> &str {
        &text[self.start as usize..][..self.bytes as usize]
    }
}

/// Bytes of a text that was made of a certificate.
fn short(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("no byte of a certificate becomes a thousand letters")
}

type X509 = CertificateInner;

/// The one name of this kind. Of two nobody could say which one is meant.
fn name(certificate: &X509, rule: NameRule) -> Result<Box<str>, NameFault> {
    let found = match rule {
        NameRule::CommonName => common_names(certificate)?,
        NameRule::Subject => vec![whole_subject(certificate)?],
        NameRule::Dns | NameRule::Email | NameRule::Uri => alternative_names(certificate, rule)?,
    };
    match &found[..] {
        [] => Err(NameFault::Missing),
        [name] => checked(name),
        _several => Err(NameFault::Several),
    }
}

/// A name is compared and never parsed, but it is written to logs and stands in rules.
fn checked(name: &str) -> Result<Box<str>, NameFault> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(NameFault::Length { bytes: u32::try_from(name.len()).unwrap_or(u32::MAX) });
    }
    if name.chars().any(char::is_control) {
        return Err(NameFault::Control);
    }
    Ok(name.into())
}

fn common_names(certificate: &X509) -> Result<Vec<String>, NameFault> {
    let attributes = certificate.tbs_certificate().subject().as_ref().iter().flat_map(RelativeDistinguishedName::iter);
    let names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    names.map(|attribute| text(&attribute.value).map(str::to_owned)).collect()
}

/// The subject, where all that it says is text without control characters.
fn whole_subject(certificate: &X509) -> Result<String, NameFault> {
    let subject = certificate.tbs_certificate().subject();
    for attribute in subject.as_ref().iter().flat_map(RelativeDistinguishedName::iter) {
        if text(&attribute.value)?.chars().any(char::is_control) {
            return Err(NameFault::Control);
        }
    }
    Ok(subject.to_string())
}

fn alternative_names(certificate: &X509, rule: NameRule) -> Result<Vec<String>, NameFault> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    // An extension that stands there twice, or cannot be read, says nothing that could be believed.
    let Some((_, names)) = extension.map_err(|_wrong| NameFault::Encoding)? else { return Ok(Vec::new()) };
    let wanted = |name: &GeneralName| match (rule, name) {
        (NameRule::Dns, GeneralName::DnsName(name))
        | (NameRule::Email, GeneralName::Rfc822Name(name))
        | (NameRule::Uri, GeneralName::UniformResourceIdentifier(name)) => Some(name.to_string()),
        _other => None,
    };
    Ok(names.0.iter().filter_map(wanted).collect())
}

/// The text of an attribute, of the types that say which characters their bytes are.
fn text(value: &x509_cert::der::Any) -> Result<&str, NameFault> {
    let tag = value.tag();
    let text = if tag == Tag::Utf8String {
        value.decode_as::<Utf8StringRef<'_>>().map(|text| text.as_str())
    } else if tag == Tag::PrintableString {
        value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str())
    } else if tag == Tag::Ia5String {
        value.decode_as::<Ia5StringRef<'_>>().map(|text| text.as_str())
    } else {
        return Err(NameFault::Encoding);
    };
    text.map_err(|_no_text| NameFault::Encoding)
}

/// What identities say that were proven so.
const METHOD: &str = "certificate";

/// Lets in whom a certificate names, by that name; the others in the chain say what becomes of everybody else. A certificate that does not say
/// what its user is called is as none: it lets nobody in.
#[derive(Clone, Copy, Debug)]
pub struct CertificateUser;

impl Authenticator for CertificateUser {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let Some(certificate) = credentials.certificate else { return Verdict::Abstain };
        match certificate.name() {
            Ok(name) => Verdict::Allow(Arc::new(Identity::user(name, METHOD))),
            Err(_says_nothing) => Verdict::Abstain,
        }
    }

    fn takes_time(&self) -> bool {
        false
    }

    /// Whether the certificate still holds is the transport's to say.
    fn knows(&self, identity: &Identity) -> bool {
        identity.method == METHOD
    }
}

#[cfg(test)]
mod tests;
