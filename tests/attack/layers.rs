//! Each way in, as far as it goes without a word of MQTT: what a connection costs that stops there, in peace and at its worst.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use pregon::shell::transport::layers::{CHAIN_BYTES_MAX, PENDING_BYTES_MAX};
use rustls::crypto::cipher::{Nonce as Numbered, make_tls13_aad};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ClientConnection, ConnectionTrafficSecrets, SupportedProtocolVersion};

use crate::authority::{Authority, Certified, Saying};
use crate::crowds::{DESCRIPTORS_MAX, HOSTILE_BYTES_MAX, SILENT_BYTES_MAX};
use crate::field::{Attack, Field, KIBIBYTE, SHARDS, Stage, metric, metric_now};
use crate::patience::wait_until;
use crate::process::{Broker, raise_own_limit};
use crate::strangers::nearly_request;
use crate::stream::{Stream, tcp};
use crate::tls::{Tls, Trust, over, shake_over};
use crate::web::{WebSocket, request};

pub const SILENT: Attack = Attack { name: "silent in each layer", run: silent };
pub const GREEDY: Attack = Attack { name: "greedy in each layer", run: greedy };

/// So many of each kind are silent: as many as 20,000 descriptors allow, of which strangers do not get the last eighth.
const SILENT_EACH: usize = 850;
/// So many of each kind take what they are let.
const GREEDY_EACH: usize = 600;
/// What an idle session of TLS may take, whose client has shown no certificate.
const IDLE_BYTES_MAX: u64 = 4 * KIBIBYTE;
/// What else the test opens.
const OTHERS: usize = 500;
/// Those who come before it is counted: they pay for what all share.
const FIRST: usize = 50;

/// Where somebody comes in, and what he has to do it with.
struct Doors {
    trust: Trust,
    /// Asks for no certificate.
    tls: SocketAddr,
    /// Asks for one.
    mutual: SocketAddr,
    /// `WebSocket`, without TLS and over it.
    web: SocketAddr,
    secure_web: SocketAddr,
    /// A proxy speaks first, and its client TLS.
    proxied: SocketAddr,
    /// The short chain of a client, through an authority between.
    short: Certified,
    /// The longest that is kept, and one that leaves room for a long hello.
    long: Certified,
    half: Certified,
}

/// How somebody comes, as far as he does.
struct Way {
    name: &'static str,
    /// Whether the broker has gone through a handshake with him.
    has_shaken: bool,
    /// What he may cost, where that is not what everybody may who does the like.
    bytes_max: Option<u64>,
    /// Comes; his end of the connection.
    come: fn(&Doors) -> Box<dyn Stream>,
}

const SILENT_WAYS: [Way; 18] = [
    way("TLS, nothing said", |doors| Box::new(tcp(doors.tls))),
    way("TLS, half a hello", |doors| {
        let hello = hello(&doors.nameless(&TLS13));
        said(doors.tls, &hello[..hello.len() / 2])
    }),
    way("TLS 1.3, a hello alone", |doors| said(doors.tls, &hello(&doors.nameless(&TLS13)))),
    way("TLS 1.2, a hello alone", |doors| said(doors.tls, &hello(&doors.nameless(&TLS12)))),
    idle("TLS 1.3", |doors| Box::new(shake_over(&doors.nameless(&TLS13), tcp(doors.tls)))),
    idle("TLS 1.2", |doors| Box::new(shake_over(&doors.nameless(&TLS12), tcp(doors.tls)))),
    shaken("TLS 1.3, and a part of a record", |doors| {
        part_of_record(shake_over(&doors.nameless(&TLS13), tcp(doors.tls)), 200)
    }),
    way("mutual TLS 1.3, a hello alone", |doors| said(doors.mutual, &hello(&doors.nameless(&TLS13)))),
    way("mutual TLS 1.2, a hello alone", |doors| said(doors.mutual, &hello(&doors.nameless(&TLS12)))),
    shaken("mutual TLS 1.3", |doors| Box::new(shake_over(&doors.showing(&doors.short, &TLS13), tcp(doors.mutual)))),
    shaken("mutual TLS 1.2", |doors| Box::new(shake_over(&doors.showing(&doors.short, &TLS12), tcp(doors.mutual)))),
    way("WebSocket, half a request", |doors| {
        let asked = request("/mqtt", None);
        said(doors.web, &asked.as_bytes()[..asked.len() / 2])
    }),
    way("WebSocket", |doors| Box::new(WebSocket::open(tcp(doors.web)))),
    idle("secure WebSocket, nothing asked", |doors| {
        Box::new(shake_over(&doors.nameless(&TLS13), tcp(doors.secure_web)))
    }),
    shaken("secure WebSocket, half a request", |doors| {
        let (mut tls, asked) = (shake_over(&doors.nameless(&TLS13), tcp(doors.secure_web)), request("/mqtt", None));
        tls.write_all(&asked.as_bytes()[..asked.len() / 2]).expect("the broker takes bytes");
        tls.flush().expect("the broker takes bytes");
        Box::new(tls)
    }),
    idle("secure WebSocket", |doors| {
        Box::new(WebSocket::open(shake_over(&doors.nameless(&TLS13), tcp(doors.secure_web))))
    }),
    way("PROXY, the header alone", |doors| said(doors.proxied, &header(0))),
    idle("PROXY and TLS", |doors| {
        let mut stream = tcp(doors.proxied);
        stream.write_all(&header(0)).expect("the broker takes bytes");
        Box::new(shake_over(&doors.nameless(&TLS13), stream))
    }),
];

const GREEDY_WAYS: [Way; 14] = [
    way("TLS, a hello without an end", |doors| said(doors.tls, &endless_hello(0x1000))),
    way("TLS, a hello in small pieces", |doors| said(doors.tls, &endless_hello(8))),
    way("mutual TLS 1.3, a long chain and no end of the rest", |doors| nearly_shown(doors, &doors.long, &TLS13)),
    way("mutual TLS 1.2, a long chain and no end of the rest", |doors| nearly_shown(doors, &doors.long, &TLS12)),
    way("mutual TLS 1.3, a long hello, a chain and no end", |doors| nearly_shown(doors, &doors.half, &TLS13)),
    way("mutual TLS 1.2, a long hello, a chain and no end", |doors| nearly_shown(doors, &doors.half, &TLS12)),
    shaken("mutual TLS 1.3, the longest chain", |doors| long_shown(doors, &TLS13)),
    shaken("mutual TLS 1.2, the longest chain", |doors| long_shown(doors, &TLS12)),
    shaken("TLS 1.3, a record without its last byte", |doors| {
        part_of_record(shake_over(&doors.nameless(&TLS13), tcp(doors.tls)), usize::MAX)
    }),
    shaken("TLS 1.2, a record without its last byte", |doors| {
        part_of_record(shake_over(&doors.nameless(&TLS12), tcp(doors.tls)), usize::MAX)
    }),
    shaken("TLS 1.3, a handshake behind the handshake", endless_update),
    way("WebSocket, a request without an end", |doors| said(doors.web, &nearly_request())),
    shaken("secure WebSocket, a request without an end, and a record", |doors| {
        let mut tls = shake_over(&doors.nameless(&TLS13), tcp(doors.secure_web));
        tls.write_all(&nearly_request()).expect("the broker takes bytes");
        tls.flush().expect("the broker takes bytes");
        part_of_record(tls, usize::MAX)
    }),
    way("PROXY, a header without its last byte", |doors| {
        let header = header(PROXY_BYTES_MAX - header(0).len());
        said(doors.proxied, &header[..header.len() - 1])
    }),
];

/// A way on which no handshake comes to its end.
const fn way(name: &'static str, come: fn(&Doors) -> Box<dyn Stream>) -> Way {
    Way { name, has_shaken: false, bytes_max: None, come }
}

/// One on which it does.
const fn shaken(name: &'static str, come: fn(&Doors) -> Box<dyn Stream>) -> Way {
    Way { name, has_shaken: true, bytes_max: None, come }
}

/// One on which nothing is left to be said but MQTT.
const fn idle(name: &'static str, come: fn(&Doors) -> Box<dyn Stream>) -> Way {
    Way { name, has_shaken: true, bytes_max: Some(IDLE_BYTES_MAX), come }
}

fn silent(stage: &Stage) {
    stop_on(stage, &SILENT_WAYS, SILENT_EACH, SILENT_BYTES_MAX);
}

fn greedy(stage: &Stage) {
    stop_on(stage, &GREEDY_WAYS, GREEDY_EACH, HOSTILE_BYTES_MAX);
}

/// Many come on each way in turn, and stay where it ends; each of them costs so much and no more.
#[expect(clippy::print_stdout, reason = "how far each stays below its bound is worth a look")]
fn stop_on(stage: &Stage, ways: &[Way], each: usize, bytes_max: u64) {
    raise_own_limit(ways.len() * (FIRST + each) + OTHERS);
    let (doors, broker) = Doors::open();
    stage.around(broker, |hello, broker| crate::client::Client::connect(broker, hello)).attack(|field, _| {
        let mut crowd = Vec::new();
        for way in ways {
            let mut come = |count: usize| {
                let shaken = handshakes(field) + if way.has_shaken { count as u64 } else { 0 };
                crowd.extend((0..count).map(|_| (way.come)(&doors)));
                let there = crowd.len() as u64;
                let is_there =
                    || metric(&field.broker, "pregon_connections", "") >= there && handshakes(field) >= shaken;
                wait_until(way.name, is_there);
                field.expect_witnesses_to_go_on();
                field.memory()
            };
            let before = come(FIRST);
            let grown = come(each).saturating_sub(before);
            let each_bytes = grown / each as u64;
            let bytes_max = way.bytes_max.unwrap_or(bytes_max);
            println!("{}: {each_bytes} bytes each", way.name);
            assert!(each_bytes <= bytes_max, "{}: {each_bytes} bytes each, at most {bytes_max}", way.name);
            // Nobody was turned away, which would cost nothing.
            let there = metric_now(&field.broker, "pregon_connections", "");
            assert!(there >= crowd.len() as u64, "{}: {there} of {} are there", way.name, crowd.len());
        }
        drop(crowd);
        field.expect_nobody_else();
    });
}

fn handshakes(field: &Field<'_>) -> u64 {
    metric(&field.broker, "pregon_handshakes_total", "")
}

impl Doors {
    /// A broker with all of them.
    fn open() -> (Self, Broker) {
        let trust = Trust::new("attack-layers-each");
        let between = trust.authority.intermediate("between", 50);
        let short = between.certify(&Saying::default());
        let long = wordy(&trust.authority, "long", CHAIN_BYTES_MAX - 1_000);
        let half = wordy(&trust.authority, "half", PENDING_BYTES_MAX / 2);
        let certificates = trust.server.path.display();
        let mut options = trust.options(SHARDS).descriptors_max(DESCRIPTORS_MAX).set("limits.connect_timeout=1h");
        for (name, keys) in [
            ("mutual", format!("client_certificates=required client_ca={}", trust.authority.path().display())),
            ("web", "protocol=websocket".to_owned()),
            ("secure_web", "protocol=websocket".to_owned()),
            ("proxied", "proxy_protocol=required proxy_trusted=127.0.0.0/8".to_owned()),
        ] {
            options = options.set(&format!("listeners.{name}.address=127.0.0.1:0"));
            if name != "web" {
                options = options.set(&format!("listeners.{name}.certificates={certificates}"));
            }
            for key in keys.split(' ') {
                options = options.set(&format!("listeners.{name}.{key}"));
            }
        }
        let broker = options.with_metrics().start();
        let [tls, mutual, web, secure_web, proxied] =
            ["tls", "mutual", "web", "secure_web", "proxied"].map(|name| broker.named(name));
        (Self { trust, tls, mutual, web, secure_web, proxied, short, long, half }, broker)
    }

    /// Somebody who has nothing to show.
    fn nameless(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        self.trust.client(None, &[version])
    }

    fn showing(&self, shown: &Certified, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        self.trust.client(Some(shown), &[version])
    }
}

/// A certificate with so many names that it has about this length.
fn wordy(authority: &Authority, name: &str, bytes: usize) -> Certified {
    let host = |number| format!("{number:03}.{}.example", "x".repeat(60));
    let names: Vec<String> = (0..(bytes - 500) / (host(0).len() + 2)).map(host).collect();
    let hosts: Vec<&str> = names.iter().map(String::as_str).collect();
    let certified = authority.certify(&Saying { name, hosts: &hosts, ..Saying::default() });
    let found = certified.certificate.der().len();
    assert!((bytes - 500..=bytes).contains(&found), "{found} of {bytes}");
    certified
}

/// Has said this, and waits.
fn said(address: SocketAddr, bytes: &[u8]) -> Box<dyn Stream> {
    let mut stream = tcp(address);
    stream.write_all(bytes).expect("the broker takes bytes");
    Box::new(stream)
}

/// The first flight of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut session =
        ClientConnection::new(Arc::clone(config), crate::tls::name()).expect("the client's words are good");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("a vector takes bytes");
    hello
}

/// The longest hello but for its end, in records of this length.
fn endless_hello(record_bytes: u16) -> Vec<u8> {
    let mut bytes = vec![0x16, 3, 1, 0, 4, 1, 0, 0xf0, 0];
    let record = [&[0x16, 3, 1][..], &record_bytes.to_be_bytes(), &vec![0; record_bytes.into()]].concat();
    while bytes.len() + record.len() <= PENDING_BYTES_MAX {
        bytes.extend_from_slice(&record);
    }
    bytes
}

/// The client's hello is as long as its certificate lets it be, of which all has come. What is missing is a part of the signature, or of what
/// comes behind it in the same record.
fn nearly_shown(doors: &Doors, shown: &Certified, version: &'static SupportedProtocolVersion) -> Box<dyn Stream> {
    const PIECE: usize = 128;
    const MISSING: usize = 60;
    const MISSING_OF_12: usize = 100;
    // A certificate in records of TLS 1.3, and about what else is said.
    let shown_bytes = shown.certificate.der().len() * PIECE / (PIECE - 22) + 3 * 1024;
    let mut config = ClientConfig::clone(&doors.showing(shown, version));
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    config.alpn_protocols.extend((0..(PENDING_BYTES_MAX - shown_bytes) / 215).map(|_| vec![b'x'; 200]));
    config.max_fragment_size = Some(PIECE);
    let mut tls = over(&Arc::new(config), tcp(doors.mutual));
    tls.conn.write_tls(&mut tls.sock).expect("the broker takes bytes");
    while !tls.conn.wants_write() {
        tls.conn.read_tls(&mut tls.sock).expect("the broker answers");
        tls.conn.process_new_packets().expect("the answer is good");
    }
    let mut flight = Vec::new();
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut flight).expect("a vector takes bytes");
    }
    let missing = if *version == TLS12 { MISSING_OF_12 } else { MISSING };
    tls.sock.write_all(&flight[..flight.len() - missing]).expect("the broker takes bytes");
    Box::new(tls)
}

/// The longest chain that is kept, and behind it as much of a record as may wait.
fn long_shown(doors: &Doors, version: &'static SupportedProtocolVersion) -> Box<dyn Stream> {
    let tls = shake_over(&doors.showing(&doors.long, version), tcp(doors.mutual));
    part_of_record(tls, PENDING_BYTES_MAX - doors.long.certificate.der().len())
}

/// The largest record up to this byte, and never its last one. It begins a CONNECT.
fn part_of_record(mut tls: Tls, bytes_max: usize) -> Box<dyn Stream> {
    tls.conn.writer().write_all(&[0x10; 16 * 1024]).expect("there is room for a record");
    let mut record = Vec::new();
    tls.conn.write_tls(&mut record).expect("a vector takes bytes");
    tls.sock.write_all(&record[..bytes_max.min(record.len() - 1)]).expect("the broker takes bytes");
    Box::new(tls)
}

/// Behind the handshake comes a message of a handshake that announces much, in pieces, and never its end.
fn endless_update(doors: &Doors) -> Box<dyn Stream> {
    const PIECE: usize = 1_000;
    const KEY_UPDATE: [u8; 4] = [24, 0, 0xf0, 0];
    let mut config = ClientConfig::clone(&doors.nameless(&TLS13));
    config.enable_secret_extraction = true;
    let Tls { conn, mut sock } = shake_over(&Arc::new(config), tcp(doors.tls));
    assert_eq!(
        conn.negotiated_cipher_suite().map(|agreed| agreed.suite()),
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384)
    );
    let (first, secrets) = conn.dangerous_extract_secrets().expect("it was allowed").tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("another cipher was agreed on") };
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("it is a key"));
    let mut wire = Vec::new();
    for number in 0.. {
        let mut piece = if number == 0 { KEY_UPDATE.to_vec() } else { vec![0; PIECE] };
        piece.push(0x16);
        let header = make_tls13_aad(piece.len() + AES_256_GCM.tag_len());
        let nonce = Nonce::assume_unique_for_key(Numbered::new(&iv, first + number).0);
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut piece).expect("there is room");
        if wire.len() + header.len() + piece.len() > 16 * 1024 {
            break;
        }
        wire.extend([&header[..], &piece].concat());
    }
    sock.write_all(&wire).expect("the broker takes bytes");
    sock
}

/// The longest header of a proxy.
const PROXY_BYTES_MAX: usize = pregon::carrier::proxy::HEADER_BYTES_MAX;

/// A proxy's header of version 2, with so many bytes behind the addresses that nobody knows.
fn header(unknown: usize) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(u16::try_from(12 + unknown).expect("it is short").to_be_bytes());
    header.extend([10, 1, 2, 3, 127, 0, 0, 1, 0x9c, 0x40, 0x07, 0x5b]);
    if unknown > 0 {
        header.push(0xee);
        header.extend(u16::try_from(unknown - 3).expect("it is short").to_be_bytes());
        header.resize(header.len() + unknown - 3, 0);
    }
    header
}
