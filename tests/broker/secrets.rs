//! The broker's secret in each form that openssl writes, at a start and while it runs; and what cannot be used.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};

use crate::authority::{Certified, Saying};
use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Broker, Options, run_to_end};
use crate::support::story::Hello;
use crate::tls::{HOST, Trust, open, replace, shake, shown};

/// One secret in all of these; the last two are not encrypted.
const GOOD: [&str; 7] = ["aes128", "aes256", "aes256-sha512", "des3", "scrypt", "pkcs8", "sec1"];
/// What is wrong with a secret, and what is said of it. Nothing stands for the right passphrase.
const BAD: [(&str, Option<&str>, &str); 8] = [
    ("aes256", Some(""), "there is no passphrase in it"),
    ("aes256", Some("open sesam\n"), "the passphrase does not open the secret in it"),
    ("scrypt", Some("open\n"), "the passphrase does not open the secret in it"),
    ("pbes1", None, "openssl pkcs8 -topk8"),
    ("pbes1-pkcs12", None, "openssl pkcs8 -topk8"),
    ("old-ec", None, "openssl pkcs8 -topk8"),
    ("rsa", None, "is not the one of its first certificate"),
    ("make", None, "there is no secret in it"),
];

fn sample(name: &str) -> PathBuf {
    let name = if name == "make" { name.to_owned() } else { format!("{name}.pem") };
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/secrets").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(sample(name)).expect("it is there")
}

/// A certificate for the secret of a sample.
fn certified(trust: &Trust, name: &str, serial: u64) -> Certified {
    let key = KeyPair::from_pem(&text(name)).expect("it is a secret");
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    trust.authority.certify_key(&Saying { name, serial, usage, hosts: &[HOST], ..Saying::default() }, key)
}

/// The settings of a listener with this certificate, whose secret and passphrase stand in files of the test.
fn settings(trust: &Trust, certified: &Certified) -> [String; 3] {
    [
        format!("listeners.tls.certificates={}", certified.path.display()),
        format!("listeners.tls.keys={}", trust.path("secret").display()),
        format!("listeners.tls.key_passphrase_file={}", trust.path("passphrase").display()),
    ]
}

fn write(trust: &Trust, secret: &str, passphrase: &str) {
    replace(&trust.path("secret"), &text(secret));
    replace(&trust.path("passphrase"), passphrase);
}

fn options(trust: &Trust, certified: &Certified) -> Options {
    settings(trust, certified).iter().fold(trust.options(1), |options, setting| options.set(setting))
}

fn expect_shown(broker: &Broker, trust: &Trust, certified: &Certified) {
    let session = shake(broker, &trust.anybody());
    assert_eq!(shown(&session), *certified.certificate.der());
    Client::connect_over(session, &Hello::v5("client")).leave();
}

#[test]
fn a_broker_starts_with_each_form_that_is_in_use() {
    let trust = Trust::new("secrets-start");
    let ec = certified(&trust, "pkcs8", 1);
    let rsa = certified(&trust, "rsa", 2);
    for (name, certified) in GOOD.map(|name| (name, &ec)).into_iter().chain([("rsa", &rsa)]) {
        write(&trust, name, "open sesame\n");
        expect_shown(&options(&trust, certified).start(), &trust, certified);
    }
    // Without a passphrase where none is needed, and in one file with the certificate.
    let whole = format!("listeners.tls.certificates={}", ec.path.display());
    expect_shown(&trust.options(1).set(&whole).start(), &trust, &ec);
}

#[test]
fn threat_7_a_broker_whose_secret_does_not_open_does_not_start_and_says_what_to_do() {
    let trust = Trust::new("secrets-refused");
    let certified = certified(&trust, "pkcs8", 1);
    let listener = ["listeners.tls.address=127.0.0.1:0", "admin.listen=off"].map(str::to_owned);
    let expect_refused = |settings: &[String], words: &str, file: &Path| {
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--memory"];
        for setting in listener.iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        let (code, told) = run_to_end(&arguments);
        assert!(code.is_some_and(|code| code != 0), "{words}: {told}");
        assert!(told.contains(words) && told.contains(&file.display().to_string()), "{words}: {told}");
    };
    for (name, passphrase, words) in BAD {
        write(&trust, name, passphrase.unwrap_or("open sesame\n"));
        let file = match (words.contains("passphrase in it"), name) {
            (true, _) => trust.path("passphrase"),
            (false, _) => trust.path("secret"),
        };
        expect_refused(&settings(&trust, &certified), words, &file);
    }
    write(&trust, "aes256", "open sesame\n");
    let without = &settings(&trust, &certified)[..2];
    expect_refused(without, "key_passphrase_file", &trust.path("secret"));
}

#[test]
fn threat_7_a_secret_that_does_not_open_changes_nothing_while_the_broker_runs() {
    let trust = Trust::new("secrets-reload");
    let certified = certified(&trust, "pkcs8", 1);
    write(&trust, "aes128", "open sesame\n");
    let broker = options(&trust, &certified).start();
    let mut old = Client::connect_over(open(&broker, &trust.anybody()), &Hello::v5("old"));
    for (count, (name, passphrase, words)) in (1..).zip(BAD) {
        // One file at a time is exchanged, as it would be; the one before is right again before that.
        let before = broker.log().matches("were read anew").count();
        match passphrase {
            Some(passphrase) => replace(&trust.path("passphrase"), passphrase),
            None => replace(&trust.path("secret"), &text(name)),
        }
        wait_until(words, || {
            let log = broker.log();
            log.matches("is not in force").count() == count && log.contains(words)
        });
        expect_shown(&broker, &trust, &certified);
        old.expect_silence();
        write(&trust, GOOD[count % GOOD.len()], "open sesame\n");
        wait_until("the right ones", || broker.log().matches("were read anew").count() > before);
        expect_shown(&broker, &trust, &certified);
    }
    old.expect_silence();
}
