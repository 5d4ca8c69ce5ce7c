//! Certificates of good and bad issuers.

use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType};

use super::*;
use crate::base::hash::Seed;
use crate::engine::auth::acl::Acl;
use crate::engine::auth::policy::{Open, Outcome, Policy, placed};
use crate::engine::auth::{Action, Authoriser as _, ClientId, Decision};
use crate::mqtt::reason::Reason;
use crate::mqtt::version::{QoS, Version};

fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A certificate with this common name.
fn called(name: impl Into<DnValue>) -> Vec<u8> {
    der(|params| params.distinguished_name.push(DnType::CommonName, name))
}

fn named(der: &[u8], rule: NameRule) -> Result<String, NameFault> {
    Certificate::parse(der, rule).unwrap().name().map(Into::into)
}

/// By the common name.
fn common(name: impl Into<DnValue>) -> Result<String, NameFault> {
    named(&called(name), NameRule::CommonName)
}

fn alternative(names: Vec<SanType>) -> Vec<u8> {
    der(|params| params.subject_alt_names = names)
}

fn credentials(certificate: Option<&Certificate>) -> Credentials<'_> {
    Credentials {
        client_id: "c1",
        user_name: None,
        password: None,
        peer: ([127, 0, 0, 1], 8883).into(),
        listener: 0,
        version: Version::V5,
        now_unix_s: 0,
        certificate,
    }
}

#[test]
fn a_certificate_is_known_by_its_bytes_and_its_subject() {
    let der = der(|params| {
        params.distinguished_name.push(DnType::OrganizationName, "the house, of all");
        params.distinguished_name.push(DnType::CommonName, "alice");
    });
    let certificate = Certificate::parse(&der, NameRule::default()).unwrap();
    let fingerprint: [u8; 32] = Sha256::digest(&der).into();
    assert_eq!(certificate.fingerprint, fingerprint);
    assert_eq!((certificate.subject(), certificate.name()), (r"CN=alice,O=the house\, of all", Ok("alice")));
    assert_eq!(named(&der, NameRule::Subject).as_deref(), Ok(r"CN=alice,O=the house\, of all"));
}

#[test]
fn the_common_name_is_one_text_without_control_characters() {
    assert_eq!(common("\u{F1}and\u{FA} 1"), Ok("\u{F1}and\u{FA} 1".into()));
    assert_eq!(common(DnValue::PrintableString("alice".try_into().unwrap())), Ok("alice".into()));
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    assert_eq!(common(&long[1..]).map(|name| name.len()), Ok(NAME_BYTES_MAX));
    assert_eq!(common(&*long), Err(NameFault::Length { bytes: 257 }));
    assert_eq!(common(""), Err(NameFault::Length { bytes: 0 }));
    for name in ["alice\0", "\0alice", "a\nb", "a\u{7f}", "a\u{85}"] {
        assert_eq!(common(name), Err(NameFault::Control), "{name:?}");
    }
    assert_eq!(common(DnValue::TeletexString("alice".try_into().unwrap())), Err(NameFault::Encoding));
    assert_eq!(common(DnValue::BmpString("alice".try_into().unwrap())), Err(NameFault::Encoding));
    assert_eq!(named(&der(|_| {}), NameRule::CommonName), Err(NameFault::Missing));
}

#[test]
fn names_that_are_parts_of_the_subject_take_no_room_of_their_own_and_all_others_do() {
    let read = |rule, common: &str| {
        let der = der(|params| {
            params.distinguished_name.push(DnType::CommonName, common);
            params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())];
        });
        Certificate::parse(&der, rule).unwrap()
    };
    let texts = |certificate: &Certificate| (certificate.text.len(), certificate.subject().len());
    let alice = read(NameRule::CommonName, "alice");
    assert_eq!((alice.subject(), alice.common_name(), alice.name()), ("CN=alice", Ok("alice"), Ok("alice")));
    assert_eq!(texts(&alice), (8, 8));
    let named = read(NameRule::Dns, "alice");
    assert_eq!((named.subject(), named.common_name(), named.name()), ("CN=alice", Ok("alice"), Ok("a.example")));
    assert_eq!(texts(&named), (17, 8));
    let whole = read(NameRule::Subject, "a,b");
    assert_eq!((whole.subject(), whole.common_name(), whole.name()), (r"CN=a\,b", Ok("a,b"), Ok(r"CN=a\,b")));
    assert_eq!(texts(&whole), (10, 7));
    // One name may stand across the end of another.
    let edge = Certificate::new([0; 32], "ab".into(), Ok("bc".into()), Ok("abbc".into()));
    assert_eq!((edge.subject(), edge.common_name(), edge.name()), ("ab", Ok("bc"), Ok("abbc")));
}

#[test]
fn of_two_names_none_is_meant() {
    let second = DnType::CustomDnType(vec![2, 5, 4, 3]);
    let der = der(|params| {
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.distinguished_name.push(second, "root");
    });
    assert_eq!(named(&der, NameRule::CommonName), Err(NameFault::Several));
    assert!(named(&der, NameRule::Subject).is_ok(), "the whole subject has both");
}

/// What rules that deny and allow by common name say of whoever has shown this certificate: whether the denial and the allowance apply.
fn judged_by_name(certificate: &Certificate) -> (bool, bool) {
    let who = placed(Arc::new(Identity::user("u", METHOD)), [127, 0, 0, 1].into(), Some(certificate));
    let decide = |rules: &str| {
        let rule = |effect, who| format!("[[rule]]\neffect = '{effect}'\n{who}actions = 'all'\ntopics = '#'\n");
        let named = "who = { common_name = ['alice', 'root'] }\n";
        let text = match rules {
            "deny" => rule("deny", named) + &rule("allow", ""),
            _ => rule("allow", named),
        };
        let acl = Acl::parse(&text, Seed::new(1)).unwrap();
        acl.decide(&who, ClientId::Text("c1"), Action::Receive { topic: "t" })
    };
    (decide("deny") == Decision::Deny, decide("allow") == Decision::Allow)
}

#[test]
fn threat_6_a_common_name_that_is_not_clear_escapes_no_denial_and_earns_no_allowance() {
    let read = |der: &[u8]| Certificate::parse(der, NameRule::Dns).unwrap();
    assert_eq!(judged_by_name(&read(&called("alice"))), (true, true));
    for harmless in [read(&called("bob")), read(&der(|_| {})), Certificate::told("bob")] {
        assert_eq!(judged_by_name(&harmless), (false, false), "{harmless:?}");
    }
    let two = |names: [&'static str; 2]| {
        der(|params| {
            params.distinguished_name.push(DnType::CommonName, names[0]);
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), names[1]);
        })
    };
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let unclear = [
        read(&two(["alice", "bob"])),
        read(&two(["bob", "alice"])),
        read(&called(DnValue::BmpString("alice".try_into().unwrap()))),
        read(&called(DnValue::TeletexString("alice".try_into().unwrap()))),
        read(&called("alice\0")),
        read(&called("")),
        read(&called(&*long)),
        Certificate::told(&long),
    ];
    for unclear in unclear {
        assert_eq!(judged_by_name(&unclear), (true, false), "{unclear:?}");
    }
}

#[test]
fn a_name_that_a_proxy_tells_is_the_only_thing_that_is_known() {
    let told = Certificate::told("alice");
    assert_eq!((told.name(), told.subject(), told.fingerprint), (Ok("alice"), "alice", [0; 32]));
    assert_eq!(judged_by_name(&told), (true, true));
    let Verdict::Allow(who) = CertificateUser.authenticate(&credentials(Some(&told))) else { panic!("{told:?}") };
    assert_eq!(who.user.as_deref(), Some("alice"));
    for wrong in ["", "a\nb"] {
        assert!(matches!(
            CertificateUser.authenticate(&credentials(Some(&Certificate::told(wrong)))),
            Verdict::Abstain
        ));
    }
}

#[test]
fn alternative_names_are_told_apart_by_their_kind() {
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let der =
        alternative(vec![dns("a.example"), mail("a@example"), uri("urn:a"), SanType::IpAddress([127, 0, 0, 1].into())]);
    assert_eq!(named(&der, NameRule::Dns).as_deref(), Ok("a.example"));
    assert_eq!(named(&der, NameRule::Email).as_deref(), Ok("a@example"));
    assert_eq!(named(&der, NameRule::Uri).as_deref(), Ok("urn:a"));
    assert_eq!(named(&der, NameRule::CommonName), Err(NameFault::Missing));
    for (names, fault) in [
        (vec![], NameFault::Missing),
        (vec![mail("a@example")], NameFault::Missing),
        (vec![dns("a.example"), dns("a.example")], NameFault::Several),
        (vec![dns("a.example\0.evil")], NameFault::Control),
        (vec![dns("")], NameFault::Length { bytes: 0 }),
    ] {
        assert_eq!(named(&alternative(names), NameRule::Dns), Err(fault));
    }
}

#[test]
fn an_extension_that_stands_there_twice_or_cannot_be_read_says_nothing() {
    const ALTERNATIVE: [u64; 4] = [2, 5, 29, 17];
    let extension = |content: &[u8]| CustomExtension::from_oid_content(&ALTERNATIVE, content.to_vec());
    let good = &b"\x30\x05\x82\x03a.b"[..];
    let with = |contents: &[&[u8]]| {
        der(|params| params.custom_extensions = contents.iter().map(|content| extension(content)).collect())
    };
    assert_eq!(named(&with(&[good]), NameRule::Dns).as_deref(), Ok("a.b"));
    for contents in [&[good, good][..], &[&good[..6]], &[&[]], &[&b"\x30\x05\x82\x03a.\xff"[..]]] {
        let wrong =
            Certificate::parse(&with(contents), NameRule::Dns).map(|certificate| certificate.name().map(str::to_owned));
        assert!(matches!(wrong, Err(CertificateError::Der) | Ok(Err(NameFault::Encoding))), "{wrong:?}");
    }
}

#[test]
fn a_subject_with_something_that_is_no_text_is_no_name() {
    let spoilt = der(|params| {
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.distinguished_name.push(DnType::OrganizationName, "a\nb");
    });
    let certificate = Certificate::parse(&spoilt, NameRule::Subject).unwrap();
    assert_eq!(certificate.name(), Err(NameFault::Control));
    assert!(!certificate.subject().contains('\n'), "what is written to logs is escaped: {}", certificate.subject());
    assert_eq!(named(&der(|_| {}), NameRule::Subject), Err(NameFault::Length { bytes: 0 }));
}

#[test]
fn what_is_no_certificate_is_refused_wherever_it_was_cut() {
    let der = called("alice");
    for end in 0..der.len() {
        assert_eq!(Certificate::parse(&der[..end], NameRule::CommonName), Err(CertificateError::Der), "{end}");
    }
    let behind = [&der[..], &[0]].concat();
    assert_eq!(Certificate::parse(&behind, NameRule::CommonName), Err(CertificateError::Der));
    let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
    assert_eq!(Certificate::parse(&long, NameRule::CommonName), Err(CertificateError::TooLong { bytes: long.len() }));
}

#[test]
fn who_has_a_certificate_comes_in_by_its_name() {
    let alice = Certificate::parse(&called("alice"), NameRule::CommonName).unwrap();
    let verdict = CertificateUser.authenticate(&credentials(Some(&alice)));
    assert!(
        matches!(&verdict, Verdict::Allow(who) if who.user.as_deref() == Some("alice") && who.method == "certificate"),
        "{verdict:?}"
    );
    let nobody = Certificate::parse(&called("a\0"), NameRule::CommonName).unwrap();
    for certificate in [None, Some(&nobody)] {
        assert!(matches!(CertificateUser.authenticate(&credentials(certificate)), Verdict::Abstain));
    }
    let policy = Policy::new(vec![Box::new(CertificateUser)], Box::new(Open));
    let outcome = policy.authenticate(&credentials(Some(&nobody)));
    assert!(matches!(outcome, Outcome::Deny(Reason::BadUserNameOrPassword)), "{outcome:?}");
}

#[test]
fn threat_6_a_name_from_a_certificate_widens_no_rule() {
    let acl =
        Acl::parse("[[rule]]\neffect = 'allow'\nactions = 'publish'\ntopics = 'home/%u/#'\n", Seed::new(1)).unwrap();
    for name in ["#", "+", "a/b", "%u", "%c", "+/#", "$SYS"] {
        let certificate = Certificate::parse(&called(name), NameRule::CommonName).unwrap();
        assert_eq!(certificate.name(), Ok(name));
        let Verdict::Allow(who) = CertificateUser.authenticate(&credentials(Some(&certificate))) else {
            panic!("{name}")
        };
        for topic in ["home/bob/x", "home/alice/x", "home/a/b/x", "other"] {
            let decision =
                acl.decide(&who, ClientId::Text("c1"), Action::Publish { topic, qos: QoS::AtMostOnce, retain: false });
            assert_eq!(decision, Decision::Deny, "{name} to {topic}");
        }
    }
    let certificate = Certificate::parse(&called("alice"), NameRule::CommonName).unwrap();
    let Verdict::Allow(alice) = CertificateUser.authenticate(&credentials(Some(&certificate))) else { panic!("alice") };
    let action = Action::Publish { topic: "home/alice/x", qos: QoS::AtMostOnce, retain: false };
    assert_eq!(acl.decide(&alice, ClientId::Text("c1"), action), Decision::Allow);
}
