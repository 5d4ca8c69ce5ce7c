//! What a web server is asked, as JSON: the operator's own server gets to know all that would let it decide.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::engine::auth::acl::who::write_fingerprint;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{Action, Credentials};
use crate::mqtt::version::{QoS, Version};

/// Who a client is. A password that is no text is told as `password_base64`.
pub fn about_client(credentials: &Credentials<'_>, listener: Option<&str>) -> Vec<u8> {
    let mut question = Map::new();
    let mut tell = |name: &str, value: Value| question.insert(name.to_owned(), value);
    tell("user", credentials.user_name.into());
    match credentials.password.map(|password| (password, core::str::from_utf8(password))) {
        Some((bytes, Err(_no_text))) => tell("password_base64", BASE64_STANDARD.encode(bytes).into()),
        Some((_, Ok(text))) => tell("password", text.into()),
        None => tell("password", Value::Null),
    };
    tell("client_id", credentials.client_id.into());
    // Whoever comes by a socket in the file system has no address. A port says nothing, and would make each question another one.
    let address = Some(credentials.peer.ip().to_canonical()).filter(|address| !address.is_unspecified());
    tell("address", address.map(|address| address.to_string()).into());
    tell("listener", listener.into());
    tell("protocol", protocol(credentials.version).into());
    let certificate = credentials.certificate.map(|shown| {
        json!({
            "fingerprint": write_fingerprint(&shown.fingerprint),
            "common_name": shown.common_name().ok(),
            "subject": shown.subject(),
        })
    });
    tell("certificate", certificate.into());
    written(question)
}

/// Whether somebody may do something; nothing where nobody is asked, as at each delivery.
pub fn about_action(who: &Identity, client_id: &str, action: Action<'_>) -> Option<Vec<u8>> {
    let mut question = Map::new();
    let mut tell = |name: &str, value: Value| question.insert(name.to_owned(), value);
    let mut tell_topic = |name: &str, topic: &str, qos: QoS| {
        tell(name, topic.into());
        tell("qos", qos.bits().into());
    };
    let (name, flag) = match action {
        Action::Connect => ("connect", None),
        Action::Publish { topic, qos, retain } => {
            tell_topic("topic", topic, qos);
            ("publish", Some(("retain", retain)))
        }
        Action::Will { topic, qos, retain } => {
            tell_topic("topic", topic, qos);
            ("will", Some(("retain", retain)))
        }
        Action::Subscribe { filter, qos, is_shared } => {
            tell_topic("filter", filter, qos);
            ("subscribe", Some(("shared", is_shared)))
        }
        Action::Receive { .. } => return None,
    };
    tell("action", name.into());
    if let Some((flag, is_set)) = flag {
        tell(flag, is_set.into());
    }
    tell("user", who.user.as_deref().into());
    tell("groups", who.groups.iter().map(|group| &**group).collect());
    tell("method", who.method.into());
    tell("client_id", client_id.into());
    Some(written(question))
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5.0",
    }
}

fn written(question: Map<String, Value>) -> Vec<u8> {
    Value::Object(question).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::auth::certificate::{Certificate, NameFault};

    fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
        Credentials {
            client_id: "c \"1\"",
            user_name,
            password,
            peer: ([192, 0, 2, 7], 4711).into(),
            listener: 0,
            version: Version::V5,
            now_unix_s: 7,
            certificate: None,
        }
    }

    fn told(question: &[u8]) -> Value {
        serde_json::from_slice(question).unwrap()
    }

    #[test]
    fn the_server_is_told_all_that_is_known_of_a_client() {
        let plain = about_client(&credentials(Some("alice"), Some(b"secret")), Some("secure"));
        assert_eq!(
            told(&plain),
            json!({
                "user": "alice", "password": "secret", "client_id": "c \"1\"", "address": "192.0.2.7",
                "listener": "secure", "protocol": "5.0", "certificate": null,
            })
        );
        let (subject, name) = ("CN=dev-1,O=house".into(), Err(NameFault::Missing));
        let shown = Certificate::new([0xab; 32], subject, Ok("dev-1".into()), name);
        let peer = ("::ffff:192.0.2.9".parse::<core::net::Ipv6Addr>().unwrap(), 1).into();
        let nameless = Credentials { certificate: Some(&shown), peer, ..credentials(None, Some(b"\xff\x00")) };
        let question = told(&about_client(&nameless, None));
        assert_eq!(question["certificate"]["fingerprint"], "ab".repeat(32));
        assert_eq!(question["certificate"]["common_name"], "dev-1");
        assert_eq!(question["certificate"]["subject"], "CN=dev-1,O=house");
        assert_eq!(question["password_base64"], "/wA=");
        assert_eq!(question["address"], "192.0.2.9");
        assert!(question.get("password").is_none() && question["user"].is_null() && question["listener"].is_null());
    }

    #[test]
    fn whoever_comes_by_a_socket_in_the_file_system_has_no_address() {
        let local = Credentials { peer: ([0, 0, 0, 0], 0).into(), ..credentials(None, None) };
        assert!(told(&about_client(&local, None))["address"].is_null());
    }

    #[test]
    fn the_server_is_told_what_somebody_wants_to_do() {
        let who = Identity { groups: vec!["staff".into()], ..Identity::user("alice", "password") };
        let question = |action| about_action(&who, "c1", action).map(|question| told(&question));
        let qos = QoS::AtLeastOnce;
        let who_asks = json!({ "user": "alice", "groups": ["staff"], "method": "password", "client_id": "c1" });
        for (action, more) in [
            (Action::Connect, json!({ "action": "connect" })),
            (
                Action::Publish { topic: "a/b", qos, retain: true },
                json!({ "action": "publish", "topic": "a/b", "qos": 1, "retain": true }),
            ),
            (
                Action::Will { topic: "a/b", qos, retain: false },
                json!({ "action": "will", "topic": "a/b", "qos": 1, "retain": false }),
            ),
            (
                Action::Subscribe { filter: "a/#", qos, is_shared: true },
                json!({ "action": "subscribe", "filter": "a/#", "qos": 1, "shared": true }),
            ),
        ] {
            let mut all = who_asks.clone();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(question(action), Some(all));
        }
        assert_eq!(question(Action::Receive { topic: "a" }), None, "the way of a message does not wait");
    }
}
