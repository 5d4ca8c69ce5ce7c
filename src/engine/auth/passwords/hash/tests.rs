//! Hashes of other programs, every way to spoil one, and the way there and back.

use super::*;

/// Password and hash. By `mosquitto_passwd` 2.0.11.
const MOSQUITTO: [(&str, &str); 3] = [
    (
        "correct horse",
        "$7$101$sW+MWAyltInm8zDb$pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==",
    ),
    (
        "swordfish",
        "$7$5000$xTwwTA5txYBO9slB$8kzPBBisD3nou1eXSXVYDhe/qpBUx0CEzVdElcF1G1Y6bqOWYvaXZ2aK+XXpHGtxSYDBcKztK15y0EdwbqFgcg==",
    ),
    (
        "ñandú €",
        "$6$i1AdAIxM3Hsv1WMD$YvZUebNjXNVMUItUlln8/ONDgOTnC+4Teb74s7vR2rtwKmd5OKgigQTJNbijM3LiNeWZcyie6TOLxojIPyOeyQ==",
    ),
];

/// By Python's hashlib: salts of 64 bytes, as mosquitto 2.1 draws them, and of 12.
const HASHLIB: [(&str, &str); 2] = [
    (
        "correct horse",
        "$7$1000$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==$53KiEygVzVVEVUVTe4h79yMtYp0OxxoKFip82vf7OCrEbcm4/E88oGkCyN0NhQ7fLOSBIpiITuELG/0ldDPFMQ==",
    ),
    (
        "ñandú €",
        "$6$AQIDBAUGBwgJCgsM$WSTQVEm8+PRCE/Y8yIfoE9WBak2qCfuZD6u5JCK1X8kcAGEInIxo5HYhOUPhAm6zvY+lF5KHKnlzBn0Xadzgng==",
    ),
];

/// By argon2-cffi, which is the reference implementation; the last has the form of mosquitto 2.1.
const REFERENCE: [(&str, &str); 3] = [
    (
        "correct horse",
        "$argon2id$v=19$m=19456,t=2,p=1$cHJlZ29ucHJlZ29uc2FsdA$1W8Bp1M4Em493FG81AqyxPD6L2HwCIrsxfHVmle8u5E",
    ),
    ("", "$argon2id$v=19$m=64,t=3,p=4$cHJlZ29ucHJlZ29uc2FsdA$BCReQG4mDMf4PmkKZI2nOA"),
    (
        "swordfish",
        "$argon2id$v=19$m=47104,t=1,p=1$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw$k9Q110CVFBynj61uYM9IFCIGQNlQgepZRL99uiZGDUQ4WmSrSsg7UK6oBG/nZphlItzT5jz2uaspskFRF+0pcg",
    ),
];

/// The example of RFC 7677, whose keys are by Python's hashlib, and the same with salt and iterations of another kind.
const SCRAM: [(&str, &str); 2] = [
    (
        "pencil",
        "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ),
    (
        "\u{F1}and\u{FA} \u{20AC}",
        "$scram-sha-256$4999$AAECAwQFBgc=$wug6Ga6bU1BYK1jWrewxftMbaq8QaspK+HwBTkyF4hs=$Y3lVWRJnzFGBKPTPUy1CX9WQplzYgx2izsYP1zlidwA=",
    ),
];

/// Whether it is weaker than ours, by its beginning.
fn is_weak(text: &str) -> bool {
    !text.starts_with("$argon2id$") || text.contains("m=64,")
}

#[test]
fn hashes_of_other_programs_are_verified() {
    for (password, text) in MOSQUITTO.iter().chain(&HASHLIB).chain(&REFERENCE).chain(&SCRAM) {
        let hash = Hash::parse(text).unwrap();
        assert!(hash.verify(password.as_bytes()), "{text}");
        for wrong in [format!("{password} "), format!("{password}\u{1}"), password.to_uppercase() + "!", "x".into()] {
            assert!(!hash.verify(wrong.as_bytes()), "{text} {wrong}");
        }
        assert_eq!(hash.is_weaker_than_new(), is_weak(text), "{text}");
    }
}

#[test]
fn a_hash_is_written_as_it_was_read() {
    for (_, text) in MOSQUITTO.iter().chain(&HASHLIB).chain(&REFERENCE).chain(&SCRAM) {
        assert_eq!(Hash::parse(text).unwrap().to_string(), *text);
    }
}

#[test]
fn a_new_hash_is_the_one_of_the_reference() {
    let (password, text) = REFERENCE[0];
    let hash = Hash::make(password.as_bytes(), *b"pregonpregonsalt").unwrap();
    assert_eq!(hash.to_string(), text);
    assert!(!hash.is_weaker_than_new());
    let other = Hash::make(password.as_bytes(), *b"another 16 bytes").unwrap();
    assert_ne!(hash, other, "the salt counts");
    assert!(other.verify(password.as_bytes()));
}

#[test]
fn new_keys_of_scram_are_those_of_the_standard() {
    let (password, text) = SCRAM[0];
    let read = Hash::parse(text).unwrap();
    let salt = (*read.salt).try_into().unwrap();
    let name = Name::parse("user").unwrap();
    let made = Hash::make_scram(name, password.as_bytes(), salt, 4_096).unwrap();
    assert_eq!(made.to_string(), text);
    assert!(made.scram() == read.scram() && made.scram().is_some());
    assert!(Hash::parse(REFERENCE[0].1).unwrap().scram().is_none());
    let making = |name, password: &str, iterations| {
        Hash::make_scram(Name::parse(name).unwrap(), password.as_bytes(), salt, iterations)
    };
    assert_eq!(making("I\u{AD}X", "x", 4_096), Err(MakingFault::Name));
    assert_eq!(making("user", "x\u{7}", 4_096), Err(MakingFault::Password));
    assert_eq!(making("user", "", 4_096), Err(MakingFault::Password));
    for iterations in [0, 4_095, 600_001] {
        assert_eq!(making("user", "x", iterations), Err(MakingFault::Iterations));
    }
    let soft = making("user", "I\u{AD}X", 4_096).unwrap();
    assert!(soft == making("user", "IX", 4_096).unwrap() && soft.verify(b"IX") && soft.verify("\u{2168}".as_bytes()));
}

#[test]
fn one_turned_bit_of_salt_or_digest_is_another_hash() {
    for (password, text) in [MOSQUITTO[0], MOSQUITTO[2], REFERENCE[1], SCRAM[0]] {
        let hash = Hash::parse(text).unwrap();
        for at in [0, hash.digest.len() - 1] {
            let mut other = hash.clone();
            other.digest[at] ^= 1;
            assert!(!other.verify(password.as_bytes()), "{text}");
        }
        let mut other = hash.clone();
        other.salt[0] ^= 0x80;
        assert!(!other.verify(password.as_bytes()), "{text}");
    }
}

#[test]
fn threat_7_what_is_no_hash_is_refused_by_its_fault() {
    let (salt, digest) = ("AQIDBAUGBwgJCgsM", "A".repeat(86) + "==");
    let phc = "A".repeat(43);
    for (text, fault) in [
        (String::new(), HashFault::Missing),
        ("secret".into(), HashFault::Scheme),
        ("$5$a$b".into(), HashFault::Scheme),
        ("$argon2i$v=19$m=64,t=1,p=1$a$b".into(), HashFault::Scheme),
        (format!("7${salt}${digest}"), HashFault::Scheme),
        ("$6$".into(), HashFault::Parts),
        (format!("$6${salt}"), HashFault::Parts),
        (format!("$6${salt}${digest}$"), HashFault::Parts),
        (format!("$7${salt}${digest}"), HashFault::Parts),
        (format!("$7$101${salt}${digest}$x"), HashFault::Parts),
        (format!("$argon2id$m=64,t=1,p=1${salt}${phc}"), HashFault::Parts),
        (format!("$argon2id$v=16$m=64,t=1,p=1${salt}${phc}"), HashFault::Version),
        (format!("$argon2id$v=19$m=64,t=1,p=1,data=AA${salt}${phc}"), HashFault::Argon2),
        (format!("$7$many${salt}${digest}"), HashFault::Iterations),
        (format!("$7$101$${digest}"), HashFault::Salt),
        (format!("$6$AQIDBAUGBw==${digest}"), HashFault::Salt),
        (format!("$6${}${digest}", "A".repeat(88)), HashFault::Salt),
        (format!("$6${salt}!${digest}"), HashFault::Salt),
        (format!("$6${salt}${phc}="), HashFault::Digest),
        (format!("$6${salt}${digest}="), HashFault::Digest),
        (format!("$6${salt}${}", "A".repeat(86)), HashFault::Digest),
        (format!("$6${salt}${}B==", "A".repeat(85)), HashFault::Digest),
        (format!("$argon2id$v=19$m=64,t=1,p=1${salt}${phc}="), HashFault::Digest),
        (format!("$argon2id$v=19$m=64,t=1,p=1${salt}${}", "A".repeat(20)), HashFault::Digest),
        (format!("$argon2id$v=19$m=64,t=1,p=1${salt}${}", "A".repeat(87)), HashFault::Digest),
    ] {
        assert_eq!(Hash::parse(&text).unwrap_err(), fault, "{text}");
    }
    let key = phc.clone() + "=";
    for (text, fault) in [
        (format!("$scram-sha-1$4096${salt}${key}${key}"), HashFault::Scheme),
        (format!("$scram-sha-256$4096${salt}${key}"), HashFault::Parts),
        (format!("$scram-sha-256$4096${salt}${key}${key}$"), HashFault::Parts),
        (format!("$scram-sha-256$4095${salt}${key}${key}"), HashFault::ScramIterations),
        (format!("$scram-sha-256$4096$AQIDBAUGBw==${key}${key}"), HashFault::Salt),
        (format!("$scram-sha-256$4096${salt}${phc}${key}"), HashFault::Keys),
        (format!("$scram-sha-256$4096${salt}${key}${phc}"), HashFault::Keys),
        (format!("$scram-sha-256$4096${salt}${digest}$"), HashFault::Keys),
        (format!("$scram-sha-256$4096${salt}${key}${}", "A".repeat(44)), HashFault::Keys),
    ] {
        assert_eq!(Hash::parse(&text).unwrap_err(), fault, "{text}");
    }
    assert!(Hash::parse(&format!("$scram-sha-256$4096${salt}${key}${key}")).is_ok());
    assert!(Hash::parse(&format!("$6${salt}${digest}")).is_ok(), "what is spoilt above is good");
    assert!(Hash::parse(&format!("$argon2id$v=19$m=64,t=1,p=1${salt}${phc}")).is_ok());
}

#[test]
fn faults_say_the_bounds_and_no_secret() {
    let said = |fault: HashFault| fault.to_string();
    assert!(said(HashFault::Iterations).contains("2000000"));
    assert!(said(HashFault::Argon2).contains("262144 KiB") && said(HashFault::Argon2).contains("1048576 KiB"));
    assert!(said(HashFault::Salt).contains("8 to 64"));
    let printed = format!("{:?}", Hash::parse(MOSQUITTO[0].1).unwrap());
    assert_eq!(printed, "Hash { cost: Pbkdf2 { iterations: 101 }, .. }");
}
