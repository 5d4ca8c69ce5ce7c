//! The hook: a web server says who comes in and what they may do, and whatever it does wrong lets nobody in.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use pregon::mqtt::Version;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::client::Client;
use crate::folder::Folder;
use crate::patience::{unix_s, wait_for, wait_until};
use crate::process::{Broker, Options, run_to_end};
use crate::support::story::{Heard, Hello, Post, Wish};
use crate::tls::{HOST, Trust};
use crate::webserver::{Asked, Reply, WebServer};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn said(answer: &Value) -> Reply {
    Reply::Text(answer.to_string())
}

fn allow() -> Reply {
    said(&json!({ "result": "allow" }))
}

fn deny() -> Reply {
    said(&json!({ "result": "deny" }))
}

/// Whoever has the right password comes in, and whoever is called a stranger is not known.
fn by_password(asked: &Asked) -> Reply {
    match (&asked.body["user"], &asked.body["password"]) {
        (user, _) if *user == "stranger" => said(&json!({ "result": "ignore" })),
        (_, password) if *password == "right" => allow(),
        _ => deny(),
    }
}

/// A broker that asks this server.
fn options(server: &WebServer) -> Options {
    let url = format!("auth.hook_url={}", server.url("/who"));
    Options::shards(2).with_metrics().set(&url).set("auth.hook_timeout=1s")
}

/// Publishes to itself: the message and its PUBACK come in either order.
#[track_caller]
fn echo(client: &mut Client, topic: &str, id: u16) {
    client.publish(&Post::to(topic).payload("x").qos(1).id(id));
    let (mut is_acknowledged, mut is_delivered) = (false, false);
    while !(is_acknowledged && is_delivered) {
        match client.hear() {
            Heard::PubAck(acknowledged, 0, _) if acknowledged == id => is_acknowledged = true,
            Heard::Publish(delivery) if delivery.topic == topic => {
                client.acknowledge(&delivery);
                is_delivered = true;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn hello(version: Version, id: &str, password: &str) -> Hello {
    Hello::new(version, id).login("alice", password)
}

#[track_caller]
fn expect_refused(broker: &Broker, hello: &Hello, codes: [u8; 2]) {
    let mut client = Client::hello(broker, hello);
    client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, code, _) if codes.contains(code)));
    client.expect_closed();
}

/// In the words of 3.x and of 5.0.
const BAD_PASSWORD: [u8; 2] = [4, 0x86];
const UNAVAILABLE: [u8; 2] = [3, 0x88];
const NOT_AUTHORISED: [u8; 2] = [5, 0x87];

#[test]
fn who_the_hook_knows_comes_in_and_it_is_told_what_it_needs() {
    let folder = Folder::new("hook-told");
    fs::create_dir(folder.path()).expect("the name is this test's");
    fs::write(folder.path().join("secret"), "s3cret\n").expect("there is room");
    let server = WebServer::start(by_password);
    let secret = format!("auth.hook_secret_file={}", folder.path().join("secret").display());
    let broker = options(&server).set(&secret).start();
    for version in VERSIONS {
        Client::connect(&broker, &hello(version, "a", "right")).leave();
        expect_refused(&broker, &hello(version, "a", "wrong"), BAD_PASSWORD);
        expect_refused(&broker, &Hello::new(version, "a").login("stranger", "right"), BAD_PASSWORD);
        expect_refused(&broker, &Hello::new(version, "nameless"), BAD_PASSWORD);
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 4 * VERSIONS.len());
    assert!(asked.iter().all(|asked| asked.head.starts_with("POST /who ")));
    assert!(asked.iter().all(|asked| asked.head.contains("authorization: Bearer s3cret\r\n")), "{}", asked[0].head);
    let expected = json!({
        "user": "alice", "password": "right", "client_id": "a", "address": "127.0.0.1", "listener": null, "protocol": "3.1",
        "certificate": null,
    });
    assert_eq!(asked[0].body, expected);
    assert!(!broker.log().contains("s3cret"), "{}", broker.log());
}

#[test]
fn threat_7_whatever_is_no_answer_lets_nobody_in() {
    let server = WebServer::start(|_| Reply::Silence);
    let broker = options(&server).set("auth.hook_timeout=500ms").start();
    let good = r#"{"result":"allow"}"#;
    let framed =
        |length: usize, text: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}").into_bytes();
    let wrong = [
        Reply::Silence,
        Reply::Status(500, good.into()),
        Reply::Status(401, good.into()),
        Reply::Status(201, good.into()),
        Reply::Status(302, good.into()),
        Reply::Status(307, good.into()),
        Reply::Text(String::new()),
        Reply::Text("allow".into()),
        Reply::Text(r#"{"result":"allow""#.into()),
        Reply::Text(r#"{"result":"ok"}"#.into()),
        Reply::Text(r#"{"result":"allow","is_superuser":true}"#.into()),
        Reply::Text(r#"{"result":"deny","result":"allow"}"#.into()),
        Reply::Text(format!("{}{good}", " ".repeat(1 << 20))),
        Reply::Raw(Vec::new()),
        Reply::Raw(b"\x16\x03\x01garbage\r\n\r\n".to_vec()),
        Reply::Raw(framed(good.len() + 1, good)),
        Reply::Raw(framed(usize::MAX, good)),
        Reply::Raw(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20)).into_bytes()),
    ];
    for (number, reply) in wrong.into_iter().enumerate() {
        let (asked, told) = (server.count(), reply.clone());
        server.answer(move |_| told.clone());
        for version in [Version::V311, Version::V5] {
            expect_refused(&broker, &hello(version, "a", "right"), UNAVAILABLE);
        }
        assert!(server.count() >= asked + 2, "{number}: {reply:?}: what is no answer is not remembered");
        assert!(server.asked().iter().all(|asked| asked.head.starts_with("POST /who ")), "no redirect is followed");
    }
    server.answer(|_| allow());
    Client::connect(&broker, &hello(Version::V5, "a", "right")).leave();
    drop(server);
    expect_refused(&broker, &hello(Version::V5, "b", "right"), UNAVAILABLE);
}

#[test]
fn the_same_question_is_asked_once_and_all_hear_the_answer() {
    let server = WebServer::start(by_password);
    server.open(false);
    let broker = options(&server).set("auth.hook_timeout=60s").set("limits.connect_timeout=60s").start();
    let mut clients: Vec<Client> = (0..40).map(|_| Client::hello(&broker, &hello(Version::V5, "a", "wrong"))).collect();
    broker.await_metric("pregon_hook_questions_joined_total", 39.0);
    server.open(true);
    for client in &mut clients {
        client.expect("a refusal", |heard| matches!(heard, Heard::ConnAck(false, 0x86, _)));
    }
    assert_eq!(server.count(), 1);
    broker.await_metric("pregon_hook_questions_total{result=\"deny\"}", 1.0);
    broker.await_metric("pregon_hook_answer_seconds_count", 1.0);
}

#[test]
fn threat_5_what_was_said_is_remembered_for_this_question_alone_and_until_a_reload() {
    let server = WebServer::start(by_password);
    let broker = options(&server).set("auth.hook_cache=1h").set("auth.hook_cache_denials=1h").start();
    for _ in 0..3 {
        Client::connect(&broker, &hello(Version::V5, "a", "right")).leave();
        expect_refused(&broker, &hello(Version::V5, "a", "wrong"), BAD_PASSWORD);
    }
    assert_eq!(server.count(), 2);
    broker.await_metric("pregon_hook_cache_hits_total", 4.0);
    Client::connect(&broker, &hello(Version::V5, "b", "right")).leave();
    expect_refused(&broker, &hello(Version::V5, "a", "Right"), BAD_PASSWORD);
    assert_eq!(server.count(), 4, "another client and another password are other questions");
    server.answer(|_| deny());
    Client::connect(&broker, &hello(Version::V5, "a", "right")).leave();
    broker.signal("HUP");
    wait_until("a reload", || broker.log().contains("were read anew"));
    expect_refused(&broker, &hello(Version::V5, "a", "right"), BAD_PASSWORD);
}

#[test]
fn a_refusal_is_over_before_a_permission_where_that_is_said() {
    let server = WebServer::start(|_| deny());
    let broker = options(&server).set("auth.hook_cache=1h").set("auth.hook_cache_denials=1s").start();
    expect_refused(&broker, &hello(Version::V5, "a", "right"), BAD_PASSWORD);
    server.answer(by_password);
    wait_until("the refusal to be over", || {
        let mut client = Client::hello(&broker, &hello(Version::V5, "a", "right"));
        matches!(client.hear(), Heard::ConnAck(_, 0, _))
    });
    server.answer(|_| deny());
    Client::connect(&broker, &hello(Version::V5, "a", "right")).leave();
}

#[test]
fn threat_5_an_answer_ends_when_it_says_and_the_connection_with_it() {
    let server = WebServer::start(|_| said(&json!({ "result": "allow", "expires_at": unix_s() + 3 })));
    let broker = options(&server).set("auth.hook_cache=1h").start();
    let mut client = Client::connect(&broker, &hello(Version::V5, "a", "x"));
    server.answer(|_| deny());
    client.expect_closed_for(0xa0);
    expect_refused(&broker, &hello(Version::V5, "a", "x"), BAD_PASSWORD);
    server.answer(|_| said(&json!({ "result": "allow", "expires_at": unix_s() - 1 })));
    expect_refused(&broker, &hello(Version::V5, "b", "x"), BAD_PASSWORD);
}

#[test]
fn threat_10_a_server_that_hangs_holds_up_nobody_else_and_only_so_many_wait() {
    let server = WebServer::start(|_| Reply::Silence);
    let broker = options(&server)
        .set("auth.hook_timeout=1s")
        .set("auth.hook_connections=2")
        .set("listeners.open.address=127.0.0.1:0")
        .set("listeners.open.chain=anonymous")
        .start();
    let open = crate::stream::tcp(broker.named("open"));
    let mut calm = Client::connect_over(open, &Hello::v5("calm"));
    calm.subscribe("a", 1);
    let mut waiting: Vec<Client> =
        (0..700).map(|number| Client::hello(&broker, &hello(Version::V5, &format!("w{number}"), "x"))).collect();
    for id in 1..100 {
        echo(&mut calm, "a", id);
    }
    let refusals: Vec<u8> = waiting
        .iter_mut()
        .map(|client| match client.hear() {
            Heard::ConnAck(false, code @ (0x88 | 0x89), _) => code,
            other => panic!("nobody was let in by silence: {other:?}"),
        })
        .collect();
    assert!(refusals.contains(&0x88) && refusals.contains(&0x89), "some were asked about and some found no room");
    wait_until("the refusals to be told", || broker.metric("pregon_hook_questions_refused_total") > Some(0.0));
}

#[test]
fn what_clients_may_do_is_asked_at_each_moment_and_again_when_the_answer_is_over() {
    let rules = WebServer::start(|asked: &Asked| {
        let name = [&asked.body["topic"], &asked.body["filter"]].into_iter().find_map(Value::as_str).unwrap_or("ok");
        if name.starts_with("ok") && asked.body["client_id"] != "nobody" { allow() } else { deny() }
    });
    let broker = Options::shards(2)
        .set(&format!("auth.hook_rules_url={}", rules.url("/may")))
        .set("auth.hook_cache=100ms")
        .set("auth.hook_cache_denials=100ms")
        .start();
    for version in VERSIONS {
        expect_refused(&broker, &Hello::new(version, "nobody"), NOT_AUTHORISED);
        expect_refused(&broker, &Hello::new(version, "w").will("no/w", "x", 0, false), NOT_AUTHORISED);
        Client::connect(&broker, &Hello::new(version, "w").will("ok/w", "x", 0, false)).leave();
    }
    let mut client = Client::connect(&broker, &Hello::v5("c"));
    assert_eq!(client.subscribe_to(&[Wish::to("ok/#", 1), Wish::to("no/#", 1), Wish::to("#", 0)]), [1, 0x87, 0x87]);
    echo(&mut client, "ok/a", 1);
    client.publish(&Post::to("no/a").payload("x").qos(1).id(2));
    client.expect("PUBACK", |heard| matches!(heard, Heard::PubAck(2, 0x87, _)));
    let publish = rules.asked().into_iter().find(|asked| asked.body["topic"] == "ok/a").expect("it was asked about");
    let expected = json!({
        "action": "publish", "topic": "ok/a", "qos": 1, "retain": false, "user": null, "groups": [], "method": "anonymous",
        "client_id": "c",
    });
    assert_eq!(publish.body, expected);
    rules.answer(|_| deny());
    let mut id = 2;
    wait_until("the right to end", || {
        id += 1;
        client.publish(&Post::to("ok/a").payload("x").qos(1).id(id));
        loop {
            match client.hear() {
                Heard::PubAck(acknowledged, code, _) if acknowledged == id => return code == 0x87,
                Heard::Publish(delivery) => client.acknowledge(&delivery),
                other => panic!("{other:?}"),
            }
        }
    });
    drop(rules);
    expect_refused(&broker, &Hello::v5("late"), NOT_AUTHORISED);
}

#[test]
fn threat_5_an_answer_counts_once_and_each_refusal_of_a_filter_is_counted_once() {
    let rules = WebServer::start(|asked: &Asked| {
        if asked.body["filter"].as_str().is_some_and(|filter| filter.starts_with("no")) { deny() } else { allow() }
    });
    let broker = Options::shards(1)
        .with_metrics()
        .set(&format!("auth.hook_rules_url={}", rules.url("/may")))
        .set("auth.hook_cache=1h")
        .set("auth.hook_cache_denials=1h")
        .start();
    let mut client = Client::connect(&broker, &Hello::v5("c"));
    let wishes = ["no/a", "a", "no/b", "b", "c"].map(|filter| Wish::to(filter, 0));
    assert_eq!(client.subscribe_to(&wishes), [0x87, 0, 0x87, 0, 0]);
    broker.await_metric("pregon_subscribes_denied_total{shard=\"0\"}", 2.0);
    // This one waits for its answer, and goes the short way when that is there.
    client.publish(&Post::to("a").payload("x"));
    assert_eq!(client.take().topic, "a");
    rules.answer(|_| deny());
    broker.signal("HUP");
    wait_until("a reload", || broker.log().contains("were read anew"));
    client.publish(&Post::to("a").payload("y"));
    client.publish(&Post::to("b").payload("y").qos(1).id(1));
    client.expect("PUBACK and nothing before", |heard| matches!(heard, Heard::PubAck(1, 0x87, _)));
}

/// Publications and wills that were refused, on all of so many shards.
fn denied(broker: &Broker, shards: usize) -> f64 {
    let of_shard = |shard| broker.metric(&format!("pregon_publishes_denied_total{{shard=\"{shard}\"}}"));
    (0..shards).filter_map(of_shard).sum()
}

#[test]
fn threat_5_a_will_is_asked_about_again_when_it_is_published() {
    let rules = WebServer::start(|_| allow());
    let broker = Options::shards(3)
        .with_metrics()
        .set(&format!("auth.hook_rules_url={}", rules.url("/may")))
        .set("auth.hook_cache=off")
        .set("auth.hook_cache_denials=off")
        .set("auth.hook_timeout=1s")
        .start();
    let mut watcher = Client::connect(&broker, &Hello::v5("watcher"));
    watcher.subscribe("will/#", 1);
    let mut expected = 0.0;
    for version in VERSIONS {
        let topic = format!("will/{}", version.level());
        let mortal = || Hello::new(version, "mortal").will(&topic, "gone", 1, false);
        Client::connect(&broker, &mortal()).cut();
        assert_eq!(watcher.take().topic, topic);
        let asked = rules.asked();
        let about_will = asked.iter().filter(|asked| asked.body["action"] == "will" && asked.body["topic"] == *topic);
        assert_eq!(about_will.count(), 2, "once by CONNECT and once when it was due");
        for refusal in [deny(), Reply::Status(500, String::new()), Reply::Silence, Reply::Text("yes".into())] {
            let client = Client::connect(&broker, &mortal());
            rules.answer(move |_| refusal.clone());
            client.cut();
            expected += 1.0;
            wait_until("the will to be given up", || denied(&broker, 3) >= expected);
            rules.answer(|_| allow());
        }
        watcher.expect_silence();
    }
    assert!((denied(&broker, 3) - expected).abs() < 0.5);
}

#[test]
fn a_broker_that_stops_waits_for_the_word_about_its_last_wills() {
    let folder = Folder::new("hook-stop");
    fs::create_dir(folder.path()).expect("the name is this test's");
    let rules = WebServer::start(|_| allow());
    for shards in [1, 3] {
        let start = || {
            Options::shards(shards)
                .set(&format!("auth.hook_rules_url={}", rules.url("/may")))
                .set("auth.hook_cache=off")
                .set("storage.durability=fsync")
                .set(&format!("storage.data_dir={}", folder.path().join(shards.to_string()).display()))
                .start()
        };
        let mut broker = start();
        let _mortal = Client::connect(&broker, &Hello::v5("last").will("will", "gone", 1, true));
        let asked = rules.count();
        rules.open(false);
        broker.terminate();
        wait_until("the question", || rules.count() > asked);
        rules.open(true);
        assert_eq!(broker.wait().code(), Some(0));
        let broker = start();
        let mut late = Client::connect(&broker, &Hello::v5("late"));
        late.subscribe("will", 1);
        assert_eq!(late.take().payload, b"gone", "it was retained before the end");
    }
}

#[test]
fn a_broker_whose_time_to_stop_is_over_says_what_it_gives_up() {
    let rules = WebServer::start(|_| allow());
    let mut broker = Options::shards(2)
        .set(&format!("auth.hook_rules_url={}", rules.url("/may")))
        .set("auth.hook_cache=off")
        .set("auth.hook_timeout=10s")
        .set("runtime.drain_timeout=1s")
        .start();
    let _mortal = Client::connect(&broker, &Hello::v5("last").will("will", "gone", 1, true));
    let asked = rules.count();
    rules.open(false);
    broker.terminate();
    wait_until("the question", || rules.count() > asked);
    wait_until("the end of the time to stop", || broker.log().contains("is given up"));
    rules.open(true);
    assert_eq!(broker.wait().code(), Some(0));
    let log = broker.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("is given up")).collect();
    assert!(matches!(told[..], [line] if line.contains("WARN") && line.contains("wills=1")), "{log}");
}

/// What this certificate lets a server do.
fn server_config(path: &std::path::Path) -> Arc<ServerConfig> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).expect("it is there").collect();
    let key = PrivateKeyDer::from_pem_file(path).expect("it has one");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain.expect("it is PEM"), key);
    Arc::new(config.expect("they belong together"))
}

#[test]
fn over_tls_only_a_server_is_asked_that_an_authority_vouches_for() {
    let (trust, strange) = (Trust::new("hook-tls"), Trust::new("hook-tls-strange"));
    let address = ([127, 0, 0, 1], 0).into();
    let server = WebServer::over(address, Some(server_config(&trust.server.path)), |_| allow());
    let broker = |ca: &std::path::Path, host: &str| {
        Options::shards(1)
            .set(&format!("auth.hook_url=https://{host}:{}/who", server.address.port()))
            .set(&format!("auth.web_ca={}", ca.display()))
            .start()
    };
    let (good, other, misnamed) = (
        broker(&trust.authority.path(), HOST),
        broker(&strange.authority.path(), HOST),
        broker(&trust.authority.path(), "127.0.0.1"),
    );
    for wrong in [other, misnamed] {
        expect_refused(&wrong, &hello(Version::V5, "a", "x"), UNAVAILABLE);
    }
    assert_eq!(server.count(), 0, "no password was sent to it");
    for id in ["a", "b"] {
        Client::connect(&good, &hello(Version::V5, id, "x")).leave();
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn threat_7_a_broker_that_could_not_ask_safely_does_not_start() {
    let start = |settings: &[&str]| {
        let mut words = vec!["--listen", "127.0.0.1:0", "--memory"];
        for setting in settings {
            words.extend(["--set", setting]);
        }
        run_to_end(&words)
    };
    for (settings, what) in [
        (&["auth.hook_url=http://192.0.2.1/who"][..], "auth.web_plaintext"),
        (&["auth.hook_url=ftp://127.0.0.1/who"][..], "no address of a web server"),
        (&["auth.hook_url=http://127.0.0.1/who", "auth.hook_secret_file=/nowhere/secret"][..], "/nowhere/secret"),
        (&["auth.hook_url=https://127.0.0.1/who", "auth.web_ca=/nowhere/ca.pem"][..], "/nowhere/ca.pem"),
        (&["listeners.a.address=127.0.0.1:0", "listeners.a.chain=hook"][..], "auth.hook_url"),
    ] {
        let (code, told) = start(settings);
        assert!(code.is_some_and(|code| code != 0) && told.contains(what), "{what}: {code:?} {told}");
    }
}

#[test]
fn a_question_that_was_not_answered_is_asked_again_at_once() {
    let server = WebServer::start(|_| Reply::Status(503, String::new()));
    let broker = options(&server).start();
    expect_refused(&broker, &hello(Version::V5, "a", "right"), UNAVAILABLE);
    server.answer(by_password);
    let came_in = wait_for("a connection", || {
        let mut client = Client::hello(&broker, &hello(Version::V5, "a", "right"));
        matches!(client.hear_within(Duration::from_secs(30)), Some(Heard::ConnAck(_, 0, _))).then_some(client)
    });
    came_in.leave();
    assert_eq!(server.count(), 2);
    broker.await_metric("pregon_hook_questions_total{result=\"failed\"}", 1.0);
}
