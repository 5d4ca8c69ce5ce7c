//! Certificates, their secrets and lists of revoked ones, as PEM files have them.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::engine::auth::acl::who::parse_fingerprint;
use crate::shell::files::whole::read_up_to;

/// No file of certificates, secrets or revocations is longer.
const FILE_BYTES_MAX: usize = 16 << 20;
/// Before a secret under a passphrase.
const ENCRYPTED_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
/// Behind anything.
const SECTION_END: &str = "-----END";

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct FileError {
    /// Which one.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: FileFault,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is no PEM.
    #[error("this is no PEM: {0}")]
    Pem(pem::Error),
    /// Nothing of what is looked for stands in it.
    #[error("there is no {0} in it")]
    Nothing(&'static str),
    /// More than one secret: nobody knows which one is meant.
    #[error("there are {0} secrets in it, and one is wanted")]
    ManySecrets(usize),
    /// A secret under a passphrase that nobody has named.
    #[error("the secret in it is encrypted: name the file of its passphrase with key_passphrase_file")]
    PassphraseMissing,
    /// A secret that the passphrase does not open.
    #[error("the passphrase does not open the secret in it")]
    Passphrase,
    /// An encryption that is not known.
    #[error(
        "the secret in it is encrypted in a way that is not known here ({0}): `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE` writes it anew"
    )]
    Encryption(pkcs8::Error),
    /// An encryption of the time before PKCS #8.
    #[error("the secret in it is encrypted in an old way: `openssl pkcs8 -topk8 -in FILE` writes it anew")]
    OldEncryption,
    /// A secret under a passphrase that is not whole.
    #[error("the encrypted secret in it is not whole")]
    Cut,
    /// The library does not take it.
    #[error("{0}")]
    Refused(rustls::Error),
    /// A certificate and a secret that do not belong together.
    #[error("the secret in {} is not the one of its first certificate", secret.display())]
    Mismatch {
        /// Where the secret is.
        secret: PathBuf,
    },
    /// A line of a list of fingerprints.
    #[error("line {line}: a fingerprint is 64 hexadecimal digits, with or without colons")]
    Fingerprint {
        /// Which line, from one.
        line: usize,
    },
}

impl FileFault {
    /// The same with its place.
    pub fn of(self, path: &Path) -> FileError {
        FileError { path: path.into(), fault: self }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_up_to(path, FILE_BYTES_MAX).map_err(|error| FileFault::Unreadable(error).of(path))
}

/// All certificates of a file, in their order.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    all(path, "certificate")
}

/// All lists of revoked certificates of a file.
pub fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, FileError> {
    all(path, "list of revoked certificates")
}

fn all<T: PemObject>(path: &Path, what: &'static str) -> Result<Vec<T>, FileError> {
    let bytes = read(path)?;
    let found: Vec<T> =
        T::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| FileFault::Pem(error).of(path))?;
    if found.is_empty() { Err(FileFault::Nothing(what).of(path)) } else { Ok(found) }
}

/// The one secret of a file: in the forms of PKCS #8, PKCS #1 and SEC 1, or encrypted as PKCS #8 has it.
pub fn secret(path: &Path, passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, FileError> {
    let bytes = read(path)?;
    secret_of(&bytes, passphrase).map_err(|fault| fault.of(path))
}

fn secret_of(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, FileFault> {
    let opened = opened_secrets(bytes, passphrase)?;
    let plain: Vec<PrivateKeyDer<'static>> =
        PrivateKeyDer::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(|error| {
            // Headers stand between the marks of a secret that is encrypted in the old way.
            if has_old_encryption(bytes) { FileFault::OldEncryption } else { FileFault::Pem(error) }
        })?;
    let mut secrets: Vec<_> = opened.into_iter().chain(plain).collect();
    match (secrets.pop(), secrets.len()) {
        (Some(secret), 0) => Ok(secret),
        (Some(_), others) => Err(FileFault::ManySecrets(others + 1)),
        (None, _) => Err(FileFault::Nothing("secret")),
    }
}

fn has_old_encryption(bytes: &[u8]) -> bool {
    let mark = b"Proc-Type: 4,ENCRYPTED";
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// The secrets under a passphrase.
fn opened_secrets(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<Vec<PrivateKeyDer<'static>>, FileFault> {
    let mut found = Vec::new();
    for section in String::from_utf8_lossy(bytes).split(ENCRYPTED_BEGIN).skip(1) {
        let (body, _) = section.split_once(SECTION_END).ok_or(FileFault::Cut)?;
        let body: String = body.split_whitespace().collect();
        let sealed = BASE64_STANDARD.decode(body).map_err(|_not_base64| FileFault::Cut)?;
        let passphrase = passphrase.ok_or(FileFault::PassphraseMissing)?;
        let info = EncryptedPrivateKeyInfoRef::try_from(&*sealed).map_err(FileFault::Encryption)?;
        let opened = info.decrypt(passphrase).map_err(unopened)?;
        found.push(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into());
    }
    Ok(found)
}

/// Whether it is the passphrase that is wrong, or what it was to open.
fn unopened(error: pkcs8::Error) -> FileFault {
    let is_passphrase = matches!(error, pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed))
        || matches!(error, pkcs8::Error::Asn1(_)); // now and then a wrong one leaves something behind, and that is no secret
    if is_passphrase { FileFault::Passphrase } else { FileFault::Encryption(error) }
}

/// A passphrase: the first line of its file.
pub fn passphrase(path: &Path) -> Result<Vec<u8>, FileError> {
    let bytes = read(path)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() { Err(FileFault::Nothing("passphrase").of(path)) } else { Ok(line.to_vec()) }
}

/// Fingerprints, one a line: SHA-256 of the whole certificate. What follows one, and lines that begin with `#`, say nothing.
pub fn fingerprints(path: &Path) -> Result<Vec<[u8; 32]>, FileError> {
    let text = String::from_utf8(read(path)?).map_err(|_not_utf8| FileFault::Nothing("text").of(path))?;
    let mut found = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let Some(word) = text.split_whitespace().next().filter(|word| !word.starts_with('#')) else { continue };
        found.push(parse_fingerprint(word).ok_or_else(|| FileFault::Fingerprint { line }.of(path))?);
    }
    if found.is_empty() { Err(FileFault::Nothing("fingerprint").of(path)) } else { Ok(found) }
}
