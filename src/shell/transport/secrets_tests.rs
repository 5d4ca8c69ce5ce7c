//! Secrets as openssl writes them: each form that is in use is read, and what is not says in which file, and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;

use super::secrets::{FileError, FileFault, passphrase, secret};
use crate::shell::files::scratch::Scratch;

/// By `tests/fixtures/secrets/make`.
const PASSPHRASE: &[u8] = b"open sesame";
/// One secret in all of these.
const ENCRYPTED: [&str; 5] = ["aes128", "aes256", "aes256-sha512", "des3", "scrypt"];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/secrets/{name}.pem"))
}

fn text(name: &str) -> String {
    fs::read_to_string(sample(name)).unwrap()
}

fn opened(name: &str) -> Result<PrivateKeyDer<'static>, FileError> {
    secret(&sample(name), Some(PASSPHRASE))
}

/// What the library makes of a secret: the public half.
fn public_half(secret: PrivateKeyDer<'static>) -> Vec<u8> {
    let key = default_provider().key_provider.load_private_key(secret).unwrap();
    key.public_key().expect("this kind can say it").to_vec()
}

#[test]
fn every_form_in_use_is_read() {
    let plain = secret(&sample("pkcs8"), None).unwrap();
    let sec1 = secret(&sample("sec1"), None).unwrap();
    let rsa = secret(&sample("rsa"), None).unwrap();
    assert!(matches!(plain, PrivateKeyDer::Pkcs8(_)) && matches!(sec1, PrivateKeyDer::Sec1(_)));
    assert!(matches!(rsa, PrivateKeyDer::Pkcs1(_)));
    for name in ENCRYPTED {
        let opened = opened(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.secret_der(), plain.secret_der(), "{name}");
    }
    let public = public_half(plain);
    assert_eq!(public_half(sec1), public);
    assert_ne!(public_half(rsa), public);
    // A passphrase that nothing needs is no mistake.
    assert!(opened("pkcs8").is_ok() && opened("rsa").is_ok());
}

#[test]
fn threat_7_a_secret_that_does_not_open_is_refused_with_its_file_and_what_to_do() {
    let told = |name: &str, passphrase: Option<&[u8]>| {
        let error = secret(&sample(name), passphrase).expect_err(name);
        let text = error.to_string();
        assert!(text.contains(&format!("{name}.pem")), "{text}");
        (error.fault, text)
    };
    for name in ENCRYPTED {
        let (fault, text) = told(name, None);
        assert!(matches!(fault, FileFault::PassphraseMissing) && text.contains("key_passphrase_file"), "{text}");
        for wrong in [&b"open sesam"[..], b"open sesame ", b"Open sesame", b""] {
            let (fault, text) = told(name, Some(wrong));
            assert!(matches!(fault, FileFault::Passphrase), "{text}");
        }
    }
    for name in ["pbes1", "pbes1-pkcs12", "camellia"] {
        let (fault, text) = told(name, Some(PASSPHRASE));
        assert!(matches!(fault, FileFault::Encryption(_)) && text.contains("openssl pkcs8 -topk8"), "{text}");
    }
    for name in ["old-ec", "old-rsa"] {
        for passphrase in [None, Some(PASSPHRASE)] {
            let (fault, text) = told(name, passphrase);
            assert!(matches!(fault, FileFault::OldEncryption) && text.contains("openssl pkcs8 -topk8"), "{text}");
        }
    }
}

#[test]
fn one_secret_is_wanted_and_no_more() {
    let scratch = Scratch::new();
    let path = scratch.path().join("secrets.pem");
    let read = |content: String| {
        fs::write(&path, content).unwrap();
        secret(&path, Some(PASSPHRASE)).map_err(|error| error.fault)
    };
    for (one, other) in
        [("pkcs8", "pkcs8"), ("pkcs8", "rsa"), ("aes256", "sec1"), ("sec1", "aes256"), ("des3", "aes128")]
    {
        let both = read(text(one) + &text(other));
        assert!(matches!(both, Err(FileFault::ManySecrets(2))), "{one} {other}: {both:?}");
    }
    assert!(matches!(read(String::new()), Err(FileFault::Nothing("secret"))));
    assert!(matches!(read("a secret\n".to_owned()), Err(FileFault::Nothing("secret"))));
    // What stands around a secret says nothing, and lines may end in two ways.
    let around = |name| format!("Bag Attributes\n    friendlyName: broker\n{}\nbehind it\n", text(name));
    for name in ["pkcs8", "aes256"] {
        assert!(read(around(name)).is_ok() && read(text(name).replace('\n', "\r\n")).is_ok(), "{name}");
    }
}

#[test]
fn threat_7_a_secret_that_was_cut_anywhere_is_none() {
    let scratch = Scratch::new();
    let path = scratch.path().join("secret.pem");
    for name in ["pkcs8", "sec1", "aes256"] {
        let whole = text(name);
        let end = whole.rfind("-----END").expect("it has an end");
        for cut in 0..end {
            fs::write(&path, &whole[..cut]).unwrap();
            let read = secret(&path, Some(PASSPHRASE));
            assert!(read.is_err(), "{name} up to {cut}");
        }
    }
}

#[test]
fn a_passphrase_is_the_first_line_of_its_file() {
    let scratch = Scratch::new();
    let path = scratch.path().join("passphrase");
    for content in ["open sesame", "open sesame\n", "open sesame\r\n", "open sesame\nnot this\n"] {
        fs::write(&path, content).unwrap();
        assert_eq!(passphrase(&path).unwrap(), PASSPHRASE, "{content:?}");
    }
    for content in ["", "\n", "\r\nopen sesame\n"] {
        fs::write(&path, content).unwrap();
        assert!(matches!(passphrase(&path).map_err(|error| error.fault), Err(FileFault::Nothing("passphrase"))));
    }
}
