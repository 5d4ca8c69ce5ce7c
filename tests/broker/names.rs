//! What of a certificate is the name of its user, and what becomes of one that is not clear about it.

use std::fs;
use std::io::{Read as _, Write as _};

use pregon::mqtt::Version;
use rcgen::{CertificateParams, DnType, SanType, SerialNumber};
use sha2::{Digest as _, Sha256};

use crate::authority::{Certified, Saying};
use crate::client::Client;
use crate::patience::wait_until;
use crate::process::{Broker, Options};
use crate::stream;
use crate::support::story::{Heard, Hello, Wish};
use crate::tls::{BOTH, Trust, is_resumed, open, over};

/// Everybody comes in, and has a branch of his own.
const OWN_BRANCHES: &str = "\
[[rule]]
effect = 'allow'
actions = 'connect'

[[rule]]
effect = 'allow'
actions = 'all'
topics = 'home/%u'
";

/// What names a user, and the user that it names in the certificate of these tests.
const KINDS: [(&str, &str); 5] = [
    ("common-name", "client"),
    ("subject", "O=house,CN=client"),
    ("dns", "device.example"),
    ("email", "device@example"),
    ("uri", "urn:device:7"),
];

fn with_all_names(params: &mut CertificateParams) {
    let text = |text: &str| text.try_into().expect("it is ASCII");
    params.distinguished_name.push(DnType::OrganizationName, "house");
    let names = [SanType::DnsName(text("device.example")), SanType::Rfc822Name(text("device@example"))];
    params.subject_alt_names = names.into_iter().chain([SanType::URI(text("urn:device:7"))]).collect();
}

fn with_two_common_names(params: &mut CertificateParams) {
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "eve");
}

/// The library takes such a number, and x509-cert does not: the standard allows twenty bytes.
fn with_a_long_number(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from(vec![7; 24]));
}

/// A file with these rules, and the setting that names it.
fn rules(trust: &Trust, text: &str) -> String {
    fs::write(trust.path("rules"), text).expect("there is room");
    format!("auth.rules_file={}", trust.path("rules").display())
}

/// A listener for each kind of name, called like it.
fn by_kind(trust: &Trust, shards: usize) -> Options {
    let mut options = Options::shards(shards);
    let (server, authority) = (trust.server.path.display(), trust.authority.path().display().to_string());
    for (kind, _) in KINDS {
        for setting in [
            "address=127.0.0.1:0".to_owned(),
            format!("certificates={server}"),
            "client_certificates=required".to_owned(),
            format!("client_ca={authority}"),
            format!("user_from={kind}"),
            "chain=certificate".to_owned(),
        ] {
            options = options.set(&format!("listeners.{kind}.{setting}"));
        }
    }
    options.set(&rules(trust, OWN_BRANCHES))
}

fn hello_over(broker: &Broker, trust: &Trust, listener: &str, shown: &Certified) -> Client {
    let session = over(&trust.client(Some(shown), &BOTH), stream::tcp(broker.named(listener)));
    let mut client = Client::over(session, Version::V5);
    client.send(&Hello::v5("client").encode());
    client
}

#[test]
fn each_kind_of_name_is_the_user_that_rules_speak_of() {
    let trust = Trust::new("names-kinds");
    let shown = trust.authority.certify(&Saying { further: with_all_names, ..Saying::default() });
    let bare = trust.authority.certify(&Saying { name: "bare", serial: 8, ..Saying::default() });
    for shards in [1, 3] {
        let broker = by_kind(&trust, shards).start();
        for (kind, user) in KINDS {
            for tls in BOTH {
                let config = trust.client(Some(&shown), &[tls]);
                for is_back in [false, true] {
                    let mut session = over(&config, stream::tcp(broker.named(kind)));
                    session.write_all(&Hello::v5("client").encode()).expect("the broker takes bytes");
                    assert_eq!(is_resumed(&session), is_back, "{kind}");
                    let mut client = Client::over(session, Version::V5);
                    client.expect("success", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
                    for (_, other) in KINDS {
                        let code = if other == user { 1 } else { 0x87 };
                        let topic = format!("home/{other}");
                        assert_eq!(client.subscribe_to(&[Wish::to(&topic, 1)]), [code], "{kind} as {other}");
                    }
                    client.leave();
                }
            }
            let mut nameless = hello_over(&broker, &trust, kind, &bare);
            if matches!(kind, "dns" | "email" | "uri") {
                nameless.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
                nameless.expect_closed();
            } else {
                nameless.expect("success", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
                assert_eq!(nameless.subscribe_to(&[Wish::to(&format!("home/{user}"), 1)]), [0x87]);
                nameless.leave(); // the next one has the same identifier and is somebody else
            }
        }
    }
}

/// Everybody may do everything but whom this is about.
fn all_but(who: &str) -> String {
    format!(
        "[[rule]]\neffect = 'deny'\nwho = {{ {who} }}\nactions = 'all'\ntopics = '#'\n\n\
         [[rule]]\neffect = 'allow'\nactions = 'all'\ntopics = '#'\n"
    )
}

#[test]
fn threat_6_two_common_names_escape_no_denial() {
    let trust = Trust::new("names-two");
    let two = trust.authority.certify(&Saying { further: with_two_common_names, serial: 1, ..Saying::default() });
    let one = trust.authority.certify(&Saying { serial: 2, ..Saying::default() });
    for shards in [1, 3] {
        let broker = trust.mutual(shards).set(&rules(&trust, &all_but("common_name = 'eve'"))).start();
        for (shown, code) in [(&two, 0x87), (&one, 1)] {
            let mut client = hello_over(&broker, &trust, "tls", shown);
            client.expect("success", |heard| matches!(heard, Heard::ConnAck(_, 0, _)));
            assert_eq!(client.subscribe_to(&[Wish::to("a", 1)]), [code]);
        }
    }
}

/// Of all shards.
fn layer_failures(broker: &Broker) -> u64 {
    let text = broker.metrics();
    let values = text.lines().filter_map(|line| line.strip_prefix("pregon_layer_failures_total")?.split(' ').nth(1));
    values.map(|value| value.parse::<u64>().expect("a count is a number")).sum()
}

#[test]
fn threat_7_who_shows_a_certificate_that_cannot_be_read_is_nobody_without_one() {
    let trust = Trust::new("names-unreadable");
    let strange = trust.authority.certify(&Saying { further: with_a_long_number, ..Saying::default() });
    let digest = Sha256::digest(strange.certificate.der());
    let print = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    for shards in [1, 3] {
        let options = trust.mutual(shards).set("listeners.tls.client_certificates=optional").with_metrics();
        let options = options.set(&rules(&trust, &all_but(&format!("certificate = '{print}'"))));
        let broker = options.set("log.level=info,shell::events=debug").start();
        for (count, tls) in (1..).zip(BOTH) {
            let mut session = open(&broker, &trust.client(Some(&strange), &[tls]));
            // The broker may have closed already.
            let _ = session.write_all(&Hello::v5("strange").encode());
            assert!(!matches!(session.read(&mut [0; 64]), Ok(1..)), "the broker has said something");
            wait_until("the word about it", || broker.log().matches("holds and cannot be read").count() == count);
        }
        wait_until("the count", || layer_failures(&broker) == 2);
        // Who shows nothing is known to have shown nothing.
        let mut plain = Client::connect_over(open(&broker, &trust.anybody()), &Hello::v5("plain"));
        assert_eq!(plain.subscribe_to(&[Wish::to("a", 1)]), [1]);
    }
}
