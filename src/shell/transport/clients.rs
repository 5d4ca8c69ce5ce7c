//! Which client certificates are good: by the chain to an authority, by the server's own copy, or by both; also when a session is resumed.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The SHA-256 of a whole certificate.
pub type Fingerprint = [u8; 32];

/// Judges the certificates of clients. One per listener; a reload makes a new one.
#[derive(Debug)]
pub struct Clients {
    /// Judges the chain to one of the authorities, if one is asked for.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    /// Judges the signatures of handshakes.
    algorithms: WebPkiSupportedAlgorithms,
    /// The only certificates that are good, if they are listed.
    pins: Option<BTreeSet<Fingerprint>>,
    is_mandatory: bool,
    /// Stands for all that decides.
    content: Fingerprint,
}

thread_local! {
    /// A session of TLS 1.3 begins on this thread.
    static IS_BEGINNING_13: Cell<bool> = const { Cell::new(false) };
}

/// Begins a session whose client is known to speak TLS 1.3.
///
/// The library asks twice whether certificates are wanted: when a session begins, and when it answers to the hello. By the first answer it keeps
/// all that is said until a certificate has come, which TLS 1.2 has clients sign; one of TLS 1.3 signs a digest of it, so the copy is never read. It
/// takes a connection more than all the rest, for as long as its client cares to wait. Here the first answer is no. Should a client speak TLS 1.2
/// after all, its signature has nothing to be checked against, and it is refused.
pub fn of_13<T>(begin: impl FnOnce() -> T) -> T {
    IS_BEGINNING_13.set(true);
    let session = begin();
    IS_BEGINNING_13.set(false);
    session
}

/// The fingerprint of a certificate.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    Sha256::digest(certificate).into()
}

impl Clients {
    /// Judges by a chain, by copies, or by both.
    pub fn new(
        chain: Option<Arc<dyn ClientCertVerifier>>,
        pins: Option<BTreeSet<Fingerprint>>,
        is_mandatory: bool,
        algorithms: WebPkiSupportedAlgorithms,
        content: Fingerprint,
    ) -> Self {
        assert!(chain.is_some() || pins.is_some(), "somebody has to say no");
        Self { chain, algorithms, pins, is_mandatory, content }
    }

    /// Whether both say the same of everybody.
    pub fn judges_like(&self, other: &Self) -> bool {
        self.content == other.content
    }

    /// Judges once more what a session has brought: since it began, authorities may have gone and certificates been revoked. `at` is the moment
    /// at which certificates and lists must not have expired.
    pub fn judge_again(&self, chain: Option<&[CertificateDer<'static>]>, at: UnixTime) -> Result<(), Error> {
        match chain.and_then(<[_]>::split_first) {
            Some((leaf, rest)) => self.verify_client_cert(leaf, rest, at).map(drop),
            None => self.judge_nobody(),
        }
    }

    /// Judges a client that has shown nothing.
    pub fn judge_nobody(&self) -> Result<(), Error> {
        if self.is_mandatory { Err(Error::NoCertificatesPresented) } else { Ok(()) }
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        !IS_BEGINNING_13.get()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(pins) = &self.pins
            && !pins.contains(&fingerprint(leaf))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        match &self.chain {
            Some(chain) => chain.verify_client_cert(leaf, rest, now),
            None => check_time(leaf, now).map(|()| ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Also a certificate that nobody has signed but its owner has a time.
fn check_time(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(leaf).map_err(|_not_one| CertificateError::BadEncoding)?;
    let validity = certificate.tbs_certificate().validity();
    let now_s = now.as_secs();
    if now_s < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now_s > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
