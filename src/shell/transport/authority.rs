//! Authorities for tests: certificates for servers and clients, good ones and all kinds of bad ones.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

/// An authority and the folder of its files.
pub struct Authority {
    folder: PathBuf,
    name: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Certificates of authorities on the way from this one to the root, which is not among them; itself first.
    way: Vec<Certificate>,
}

/// A certificate with its secret.
pub struct Certified {
    /// The certificate.
    pub certificate: Certificate,
    /// The certificate, and behind it those that lead to the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its secret.
    pub key: KeyPair,
    /// A file with chain and secret.
    pub path: PathBuf,
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Saying<'a> {
    /// The common name.
    pub name: &'a str,
    /// Names of servers.
    pub hosts: &'a [&'a str],
    /// What it is for.
    pub usage: ExtendedKeyUsagePurpose,
    /// The years in which it is good.
    pub years: (i32, i32),
    /// Its number.
    pub serial: u64,
    /// What else it says, or says otherwise.
    pub further: fn(&mut CertificateParams),
}

impl Default for Saying<'_> {
    fn default() -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Self { name: "client", hosts: &[], usage, years: (2020, 4000), serial: 7, further: |_| {} }
    }
}

impl Authority {
    /// An authority of this name; `NAME.pem` is its own certificate.
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::self_signed(authority(name), key).expect("it signs itself");
        Self::with(folder, name, issuer, Vec::new())
    }

    /// One that this one vouches for, with this number.
    pub fn intermediate(&self, name: &str, serial: u64) -> Self {
        let mut params = authority(name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("it signs");
        let own: &Certificate = issuer.as_ref();
        let way = [own].into_iter().chain(&self.way).cloned().collect();
        Self::with(&self.folder, name, issuer, way)
    }

    fn with(folder: &Path, name: &str, issuer: CertifiedIssuer<'static, KeyPair>, way: Vec<Certificate>) -> Self {
        fs::write(folder.join(format!("{name}.pem")), issuer.pem()).expect("the folder is there");
        Self { folder: folder.into(), name: name.into(), issuer, way }
    }

    /// The file of its own certificate.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &Certificate {
        self.issuer.as_ref()
    }

    /// A certificate that says this, in the file `AUTHORITY-NAME-SERIAL.pem`.
    pub fn certify(&self, saying: &Saying<'_>) -> Certified {
        self.certify_key(saying, KeyPair::generate().expect("there is randomness"))
    }

    /// The same for a secret that is there.
    pub fn certify_key(&self, saying: &Saying<'_>, key: KeyPair) -> Certified {
        let hosts: Vec<String> = saying.hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("these are names");
        params.distinguished_name.push(DnType::CommonName, saying.name);
        params.extended_key_usages = vec![saying.usage.clone()];
        params.not_before = date_time_ymd(saying.years.0, 1, 1);
        params.not_after = date_time_ymd(saying.years.1, 1, 1);
        params.serial_number = Some(SerialNumber::from(saying.serial));
        params.use_authority_key_identifier_extension = true;
        (saying.further)(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        let chain = [&certificate].into_iter().chain(&self.way);
        let text: String = chain.clone().map(Certificate::pem).collect();
        let chain = chain.map(|certificate| certificate.der().clone()).collect();
        let path = self.folder.join(format!("{}-{}-{}.pem", self.name, saying.name.replace('/', "_"), saying.serial));
        fs::write(&path, text + &key.serialize_pem()).expect("the folder is there");
        Certified { certificate, chain, key, path }
    }

    /// A certificate for a server.
    pub fn server(&self, host: &str) -> Certified {
        let hosts = [host];
        self.certify(&Saying {
            name: host,
            hosts: &hosts,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            ..Saying::default()
        })
    }

    /// Writes the list of those who are revoked to `AUTHORITY.crl`; it is good until the end of this year.
    pub fn revoke(&self, serials: &[u64], good_until: i32) -> PathBuf {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(good_until, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.join(format!("{}.crl", self.name));
        let list = params.signed_by(&self.issuer).expect("it signs");
        fs::write(&path, list.pem().expect("it is text")).expect("the folder is there");
        path
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
