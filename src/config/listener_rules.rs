//! Contradictions within a listener, between listeners, and with what is said for the whole broker.

use core::net::{IpAddr, SocketAddr};

use super::Config;
use super::complaint::{Complaint, Mistake, Remedy};
use super::listener::{ClientCertificates, ListenAddress, Listener, Proof, Protocol, ProxyProtocol, UserFrom};
use super::listener_keys::LISTENER_KEYS;
use super::load::Checked;
use super::rules::{Contradiction, by_path, contradiction, overlap};
use super::schema::find_in_listener;
use super::setting::Setting;
use super::source::Origin;

/// Keys that do nothing because of another one: whoever sets them expects something that does not happen.
struct Idle {
    names: &'static [&'static str],
    because: &'static str,
    is_idle: fn(&Listener) -> bool,
    why: &'static str,
}

const IDLE: [Idle; 11] = [
    Idle {
        names: &[
            "keys",
            "key_passphrase_file",
            "tls_min",
            "client_certificates",
            "client_ca",
            "client_crls",
            "client_pins",
            "tickets",
        ],
        because: "certificates",
        is_idle: |listener| !listener.is_encrypted(),
        why: "there is no TLS without a certificate",
    },
    Idle {
        names: &["client_ca", "client_crls", "client_pins"],
        because: "client_certificates",
        is_idle: |listener| listener.is_encrypted() && !asks_for_certificates(listener),
        why: "clients are not asked for a certificate",
    },
    Idle {
        names: &["user_from"],
        because: "client_certificates",
        is_idle: |listener| !asks_for_certificates(listener) && !is_told_by_proxy(listener),
        why: "clients are not asked for a certificate",
    },
    Idle {
        names: &["client_crls"],
        because: "client_ca",
        is_idle: |listener| asks_for_certificates(listener) && listener.client_ca.is_empty(),
        why: "who signs is not asked for, and so not what was revoked",
    },
    Idle {
        names: &["plaintext_passwords"],
        because: "certificates",
        is_idle: |listener| !listener.is_overheard(),
        why: "what comes in here is encrypted, never leaves this machine, or comes from a proxy",
    },
    Idle {
        names: &["path", "origins"],
        because: "protocol",
        is_idle: |listener| listener.protocol == Protocol::Mqtt,
        why: "only a WebSocket has it",
    },
    Idle {
        names: &["interface", "dual_stack", "proxy_trusted"],
        because: "address",
        is_idle: |listener| listener.address.tcp().is_none(),
        why: "a Unix socket is on no network",
    },
    Idle {
        names: &["connections_per_address_max"],
        because: "address",
        is_idle: |listener| listener.address.tcp().is_none() && listener.proxy_protocol == ProxyProtocol::Off,
        why: "who comes in by a Unix socket has no address",
    },
    Idle {
        names: &["socket_mode"],
        because: "address",
        is_idle: |listener| listener.address.tcp().is_some(),
        why: "only a Unix socket has permissions",
    },
    Idle {
        names: &["dual_stack"],
        because: "address",
        is_idle: |listener| listener.address.tcp().is_some_and(|address| !is_any_ipv6(address)),
        why: "only [::] can take IPv4 as well",
    },
    Idle {
        names: &["proxy_trusted"],
        because: "proxy_protocol",
        is_idle: |listener| listener.address.tcp().is_some() && listener.proxy_protocol == ProxyProtocol::Off,
        why: "no proxy says who comes",
    },
];

/// A rule: the keys of a listener and those of the table that it is about, and what is wrong with their values, if anything.
struct Rule {
    names: &'static [&'static str],
    paths: &'static [&'static str],
    broken: fn(&Listener, &Config) -> Option<String>,
}

const RULES: [Rule; 8] = [
    Rule { names: &["certificates", "keys"], paths: &[], broken: secrets_are_missing },
    Rule { names: &["client_ca", "client_pins", "client_certificates"], paths: &[], broken: nobody_vouches },
    Rule { names: &["proxy_trusted", "proxy_protocol"], paths: &[], broken: no_proxy_is_believed },
    Rule { names: &["client_certificates", "user_from", "chain"], paths: &[], broken: certificates_name_nobody },
    Rule { names: &["chain"], paths: &["auth.token_keys"], broken: no_token_holds },
    Rule { names: &["chain"], paths: &["auth.hook_url"], broken: nobody_is_asked },
    Rule {
        names: &["chain", "client_certificates", "address"],
        paths: &["auth.anonymous", "auth.password_file", "auth.token_keys", "auth.hook_url"],
        broken: the_world_is_let_in,
    },
    Rule {
        names: &["chain", "user_from", "address"],
        paths: &["auth.anonymous", "auth.password_file", "auth.token_keys", "auth.hook_url"],
        broken: nobody_is_let_in,
    },
];

/// Every rule that a listener breaks. A complaint stands where a value of the listener was set.
pub fn contradictions(checked: &Checked) -> Vec<Contradiction> {
    let listeners = 0..checked.config().listeners.named.len();
    listeners.flat_map(|number| of_listener(checked, number)).collect()
}

fn of_listener(checked: &Checked, number: usize) -> Vec<Contradiction> {
    let mut found = idle(checked, number);
    let listener = &checked.config().listeners.named[number];
    for rule in &RULES {
        let Some(what) = (rule.broken)(listener, checked.config()) else { continue };
        found.push(contradiction(checked, &by_name(number, rule.names), &by_path(rule.paths), &what));
    }
    found.extend(in_the_way(checked, number));
    let address = setting(number, "address");
    if checked.place(address).origin == Origin::Default {
        // What stands there in its place says nothing.
        found.retain(|contradiction| !contradiction.settings.contains(&address));
        found.push(address_missing(checked, number, address));
    }
    found
}

fn address_missing(checked: &Checked, number: usize, address: Setting) -> Contradiction {
    let complaint = Complaint {
        place: checked.heads[number].clone(),
        key: Some(address.path(checked.config()).into()),
        mistake: Mistake::AddressMissing,
        remedy: Remedy::Allowed(address.kind().allowed().into()),
    };
    Contradiction { settings: vec![address], complaint }
}

fn idle(checked: &Checked, number: usize) -> Vec<Contradiction> {
    let listener = &checked.config().listeners.named[number];
    let plain = Listener::new(&listener.name);
    let mut found = Vec::new();
    for rule in IDLE.iter().filter(|rule| (rule.is_idle)(listener)) {
        let is_set = |name: &&&str| {
            let key = &LISTENER_KEYS[find_in_listener(name).expect("a rule names keys of listeners")];
            (key.get)(listener) != (key.get)(&plain)
        };
        for name in rule.names.iter().filter(is_set) {
            let (blamed, because) = (setting(number, name), setting(number, rule.because));
            found.push(contradiction(checked, &[blamed], &[because], &format!("this does nothing: {}", rule.why)));
        }
    }
    found
}

fn setting(listener: usize, name: &str) -> Setting {
    Setting::Listener { listener, key: find_in_listener(name).expect("a rule names keys of listeners") }
}

fn by_name(listener: usize, names: &[&str]) -> Vec<Setting> {
    names.iter().map(|name| setting(listener, name)).collect()
}

fn asks_for_certificates(listener: &Listener) -> bool {
    match listener.client_certificates {
        ClientCertificates::Off => false,
        ClientCertificates::Optional | ClientCertificates::Required => true,
    }
}

/// Whether a proxy that speaks TLS says which certificate it was shown: of that it has the common name.
fn is_told_by_proxy(listener: &Listener) -> bool {
    listener.proxy_protocol == ProxyProtocol::Required && listener.user_from == UserFrom::CommonName
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

fn secrets_are_missing(listener: &Listener, _: &Config) -> Option<String> {
    let (certificates, keys) = (listener.certificates.len(), listener.keys.len());
    let is_broken = certificates > 0 && keys > 0 && certificates != keys;
    is_broken.then(|| {
        format!(
            "there are not as many secrets as certificates, {keys} and {certificates}: name one for each, or none where each stands with \
             its certificate"
        )
    })
}

fn nobody_vouches(listener: &Listener, _: &Config) -> Option<String> {
    let has_judge = !listener.client_ca.is_empty() || !listener.client_pins.as_os_str().is_empty();
    let is_broken = listener.is_encrypted() && asks_for_certificates(listener) && !has_judge;
    is_broken.then(|| "nobody says which certificates hold: client_ca or client_pins do".to_owned())
}

fn no_proxy_is_believed(listener: &Listener, _: &Config) -> Option<String> {
    let is_required = listener.proxy_protocol == ProxyProtocol::Required;
    let is_broken = is_required && listener.address.tcp().is_some() && listener.proxy_trusted.is_empty();
    is_broken.then(|| "no proxy would be believed: proxy_trusted names where they are".to_owned())
}

fn certificates_name_nobody(listener: &Listener, _: &Config) -> Option<String> {
    let is_asked = asks_for_certificates(listener) || is_told_by_proxy(listener);
    let names_somebody = is_asked && listener.user_from != UserFrom::None;
    let is_broken = listener.chain.contains(&Proof::Certificate) && !names_somebody;
    is_broken.then(|| "no certificate would say who comes: client_certificates and user_from see to that".to_owned())
}

fn no_token_holds(listener: &Listener, config: &Config) -> Option<String> {
    let is_broken = listener.chain.contains(&Proof::Token) && !config.auth.takes_tokens();
    is_broken.then(|| "no token would hold: auth.token_keys says whose signatures count".to_owned())
}

fn nobody_is_asked(listener: &Listener, config: &Config) -> Option<String> {
    let is_broken = listener.chain.contains(&Proof::Hook) && !config.auth.asks_who_comes();
    is_broken.then(|| "nobody would be asked: auth.hook_url says who is".to_owned())
}

/// Without a word from the operator, whom nobody knows comes from this machine.
fn the_world_is_let_in(listener: &Listener, config: &Config) -> Option<String> {
    let is_broken = listener.address.is_reached_from_outside() && listener.lets_anybody_in_unasked(&config.auth);
    is_broken.then(|| {
        format!(
            "{} is reached from other machines, and anybody would be let in: name a password file, the keys of tokens or a hook, require \
             certificates, or say by what clients show who they are with chain, which may be \"anonymous\"",
            listener.address
        )
    })
}

fn nobody_is_let_in(listener: &Listener, config: &Config) -> Option<String> {
    let auth = &config.auth;
    if auth.has_users() {
        return None;
    }
    if !listener.chain.is_empty() {
        // A chain that asks for tokens or a hook has keys or somebody to ask, or is told of those already.
        let is_closed = listener.chain.iter().all(|proof| *proof == Proof::Password);
        return is_closed.then(|| "nobody could come in here: there is no password file".to_owned());
    }
    let is_closed = !auth.lets_anybody_in()
        && !auth.takes_tokens()
        && !auth.asks_who_comes()
        && listener.user_from == UserFrom::None;
    is_closed.then(|| {
        "nobody could come in here: there is no password file, no hook, and there are no keys of tokens".to_owned()
    })
}

/// Whoever else wants the place that a listener wants: an earlier listener, the plain ones, the operator's door.
fn in_the_way(checked: &Checked, number: usize) -> Option<Contradiction> {
    let Config { listeners, admin, .. } = checked.config();
    let own = &listeners.named[number];
    let told = |who: &str, beside: &str| {
        let what = format!("{who} and clients at {} cannot share a port", own.address);
        let mut found = contradiction(checked, &[setting(number, "address")], &by_path(&[beside]), &what);
        found.settings.extend(by_name(number, &["interface", "dual_stack"]));
        Some(found)
    };
    if let Some(earlier) = (0..number).find(|earlier| share(&listeners.named[*earlier], own)) {
        return Some(between(checked, earlier, number));
    }
    if let Some(plain) = listeners.tcp.iter().find(|plain| takes(own, **plain)) {
        return told(&format!("clients at {plain}"), "listeners.tcp");
    }
    let door = admin.listen.filter(|door| takes(own, *door))?;
    told(&format!("the operator's door {door}"), "admin.listen")
}

fn between(checked: &Checked, earlier: usize, later: usize) -> Contradiction {
    let [one, other] = [earlier, later].map(|number| &checked.config().listeners.named[number]);
    let what = format!("{} and {} cannot share a place", one.address, other.address);
    let addresses = [setting(earlier, "address"), setting(later, "address")];
    let mut found = contradiction(checked, &addresses, &[], &what);
    for number in [earlier, later] {
        found.settings.extend(by_name(number, &["interface", "dual_stack"]));
    }
    found
}

/// Whether two listeners want the same place. On two network devices they are at two places.
fn share(one: &Listener, other: &Listener) -> bool {
    match (&one.address, &other.address) {
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(address), ListenAddress::Tcp(wanted)) => {
            let is_apart = one.interface.is_some() && other.interface.is_some() && one.interface != other.interface;
            !is_apart && (takes(one, *wanted) || takes(other, *address))
        }
        (ListenAddress::Tcp(_), ListenAddress::Unix(_)) | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => false,
    }
}

/// Whether a listener takes this address, or one behind it.
fn takes(listener: &Listener, wanted: SocketAddr) -> bool {
    let Some(address) = listener.address.tcp() else { return false };
    let takes_ipv4 = listener.dual_stack && is_any_ipv6(address) && wanted.is_ipv4();
    let address = if takes_ipv4 { SocketAddr::new(IpAddr::from([0; 4]), address.port()) } else { address };
    overlap(address, wanted)
}

#[cfg(test)]
mod tests;
