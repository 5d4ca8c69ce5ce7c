//! One request to a web server and its answer: no redirect is followed, no proxy is asked, and size and time have a bound.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, http};

use super::resolver::{Bounded, Lookups};
use crate::config::Auth;
use crate::config::address::is_encrypted;
use crate::shell::files::whole::read_up_to;
use crate::shell::transport::secrets::{FileError, FileFault, certificates};

/// Where systems keep the authorities that they trust: Debian, Fedora, SUSE, Alpine.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How long a connection is kept for the next question: less than servers usually do, so that it is not closed just then.
const IDLE_AGE: Duration = Duration::from_secs(4);
/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a secret.
const SECRET_BYTES_MAX: usize = 4 * 1024;

/// Why the settings make no client of web servers.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file cannot be used.
    #[error("{0}")]
    File(#[from] FileError),
    /// Nobody says who may vouch for a server.
    #[error("the system has no file of authorities that it trusts: name one with auth.web_ca")]
    NoAuthorities,
    /// A secret that cannot stand in a request.
    #[error("{}: the first line is no secret of 1 to {SECRET_BYTES_MAX} visible characters of ASCII", path.display())]
    Secret {
        /// Where it is.
        path: PathBuf,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// No connection, no time left, no HTTP, too many bytes.
    #[error("{0}")]
    Failed(Box<ureq::Error>),
    /// An answer that says that it is none.
    #[error("the server answered with status {0} instead of 200")]
    Status(u16),
}

impl From<ureq::Error> for NoAnswer {
    fn from(error: ureq::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Asks web servers, and keeps connections to them. Shared by those who ask; a reload makes a new one.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    /// What is shown to servers that are asked about clients.
    bearer: Option<Box<str>>,
}

impl Client {
    /// A client that waits so long for the whole of an answer.
    pub fn new(
        trust: &Trust,
        timeout_ms: u64,
        connections_max: usize,
        bearer: Option<Box<str>>,
        lookups: &Arc<Lookups>,
    ) -> Self {
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(trust.0.clone())
            .build();
        let timeout = Some(Duration::from_millis(timeout_ms));
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(timeout)
            .timeout_connect(timeout)
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("pregon/", env!("CARGO_PKG_VERSION")))
            .max_idle_age(IDLE_AGE)
            .max_idle_connections(connections_max)
            .max_idle_connections_per_host(connections_max)
            .max_response_header_size(HEAD_BYTES_MAX)
            .build();
        let resolver = Bounded::new(DefaultResolver::default(), lookups);
        Self { agent: Agent::with_parts(config, DefaultConnector::default(), resolver), bearer }
    }

    /// What lies there.
    pub fn get(&self, url: &str, bytes_max: usize) -> Result<Vec<u8>, NoAnswer> {
        body(self.agent.get(url).header("accept", "application/json").call()?, bytes_max)
    }

    /// The answer to a question in JSON.
    pub fn post(&self, url: &str, question: &[u8], bytes_max: usize) -> Result<Vec<u8>, NoAnswer> {
        let request = self.agent.post(url).header("content-type", "application/json");
        let request = request.header("accept", "application/json");
        let request = match &self.bearer {
            Some(secret) => request.header("authorization", format!("Bearer {secret}")),
            None => request,
        };
        body(request.send(question)?, bytes_max)
    }
}

/// Nothing of the secret.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("has_bearer", &self.bearer.is_some()).finish_non_exhaustive()
    }
}

/// An address as logs may have it: behind `?` there may be a secret.
pub fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(place, _)| place)
}

fn body(mut answer: http::Response<Body>, bytes_max: usize) -> Result<Vec<u8>, NoAnswer> {
    if answer.status() != http::StatusCode::OK {
        return Err(NoAnswer::Status(answer.status().as_u16()));
    }
    Ok(answer.body_mut().with_config().limit(bytes_max as u64).read_to_vec()?)
}

/// Who may vouch for servers.
pub struct Trust(RootCerts);

impl Trust {
    /// Those of the operator's file, or those of the system; nobody where no server is asked by https.
    pub fn read(auth: &Auth) -> Result<Self, WebError> {
        if !auth.web_servers().any(|(_, url)| is_encrypted(url)) {
            return Ok(Self(RootCerts::new_with_certs(&[])));
        }
        let found = if auth.web_ca.as_os_str().is_empty() { of_system()? } else { of_operator(&auth.web_ca)? };
        let found: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        Ok(Self(RootCerts::new_with_certs(&found)))
    }
}

/// Each of them has to be one: an authority that is passed over would be missed when it is needed.
fn of_operator(path: &Path) -> Result<Vec<CertificateDer<'static>>, WebError> {
    let found = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for der in &found {
        roots.add(der.clone()).map_err(|error| FileFault::Refused(error).of(path))?;
    }
    Ok(found)
}

fn of_system() -> Result<Vec<CertificateDer<'static>>, WebError> {
    let there = SYSTEM_AUTHORITIES.into_iter().map(Path::new).find(|path| path.exists());
    Ok(certificates(there.ok_or(WebError::NoAuthorities)?)?)
}

/// The first line of the operator's file; none without a file.
pub fn bearer(path: &Path) -> Result<Option<Box<str>>, WebError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = read_up_to(path, SECRET_BYTES_MAX).map_err(|error| FileFault::Unreadable(error).of(path))?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let secret = core::str::from_utf8(line).ok().filter(|line| !line.is_empty());
    let secret = secret.filter(|secret| secret.bytes().all(|byte| byte.is_ascii_graphic()));
    secret.map(|secret| Some(secret.into())).ok_or_else(|| WebError::Secret { path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::files::scratch::Scratch;

    #[test]
    fn threat_7_a_secret_that_is_none_is_told_and_not_sent() {
        let scratch = Scratch::new();
        let path = scratch.path().join("secret");
        assert!(bearer(Path::new("")).unwrap().is_none());
        assert!(matches!(bearer(&path), Err(WebError::File(_))));
        for text in ["s3cret", "s3cret\n", "s3cret\r\nanother line"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(bearer(&path).unwrap().as_deref(), Some("s3cret"));
        }
        for text in ["", "\ns3cret", "two words", "ñandú", "tab\t"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(bearer(&path), Err(WebError::Secret { .. })), "{text:?}");
        }
    }

    #[test]
    fn what_a_query_says_is_not_printed() {
        assert_eq!(without_query("https://a.example/who?key=s3cret?x"), "https://a.example/who");
        assert_eq!(without_query("https://a.example/who"), "https://a.example/who");
    }

    #[test]
    fn a_client_does_not_print_its_secret() {
        let client =
            Client::new(&Trust(RootCerts::new_with_certs(&[])), 100, 1, Some("hunter2".into()), &Lookups::new(1));
        assert!(!format!("{client:?}").contains("hunter2"));
    }
}
