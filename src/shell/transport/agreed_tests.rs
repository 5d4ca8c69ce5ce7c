//! What client and server agree upon to speak inside TLS, by ALPN: RFC 7301.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error};

use super::authority::Authority;
use super::pair::{Pair, client, files, plan};
use super::plan::TlsFiles;
use crate::shell::files::scratch::Scratch;

/// What becomes of a client that offers these names, at a listener of MQTT or of a WebSocket: what was chosen, or its error.
fn agreed(is_websocket: bool, offered: &[&str]) -> Result<Option<String>, Error> {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "authority");
    let plan = plan(&TlsFiles { is_websocket, ..files(&[&authority.server("localhost")]) }, None);
    let [newer, older] = [&TLS13, &TLS12].map(|version| {
        let mut config = (*client(&authority, None, &[version])).clone();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut pair = Pair::new(&plan, &Arc::new(config), "localhost");
        let driven = pair.drive(1 << 20);
        assert_eq!(driven.is_ok(), pair.client_error.is_none(), "{driven:?} {:?}", pair.client_error);
        assert_eq!(pair.was_resumed.is_some(), driven.is_ok(), "nobody is told of a client that was refused");
        let chosen = pair.client.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        pair.client_error.map_or(Ok(chosen), Err)
    });
    assert_eq!(newer, older);
    newer
}

#[test]
fn what_is_spoken_is_chosen_where_it_is_offered() {
    for (is_websocket, name) in [(false, "mqtt"), (true, "http/1.1")] {
        for offered in [&[name][..], &["h2", name], &[name, "x"], &["http/1.1", "mqtt"]] {
            assert_eq!(agreed(is_websocket, offered), Ok(Some(name.to_owned())), "{offered:?}");
        }
        assert_eq!(agreed(is_websocket, &[]), Ok(None), "who offers nothing speaks what the listener speaks");
    }
}

#[test]
fn who_offers_only_something_else_is_refused_with_an_alert_that_says_so() {
    let refused = Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    for offered in [&["http/1.1"][..], &["h2", "http/1.1"], &["MQTT"], &["mqtt5"], &["mqttv3.1"]] {
        assert_eq!(agreed(false, offered), refused, "{offered:?}");
    }
    for offered in [&["mqtt"][..], &["h2"], &["http/1.0"]] {
        assert_eq!(agreed(true, offered), refused, "{offered:?}");
    }
}
