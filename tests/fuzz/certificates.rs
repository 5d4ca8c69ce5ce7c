//! What the fuzz target of client certificates does with its bytes; `tests/corpus.rs` does the same with its corpus.

use pregon::engine::auth::certificate::{Certificate, NAME_BYTES_MAX, NameRule};

/// Bytes as a certificate in DER. By whatever rule, a name is short text without control characters, and all rules see the same certificate.
pub fn certificates(data: &[u8]) {
    let rules = [NameRule::CommonName, NameRule::Subject, NameRule::Dns, NameRule::Email, NameRule::Uri];
    let read = rules.map(|rule| Certificate::parse(data, rule));
    for certificate in &read {
        assert_eq!(
            certificate.is_ok(),
            read[0].is_ok(),
            "what a certificate is does not depend on what is asked of it"
        );
        let Ok(certificate) = certificate else { continue };
        assert!(
            !certificate.subject().chars().any(|letter| letter.is_ascii_control()),
            "what is written to logs is escaped"
        );
        if let Ok(name) = certificate.name() {
            assert!((1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control), "{name:?}");
        }
    }
}
