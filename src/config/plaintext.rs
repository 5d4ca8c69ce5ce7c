//! Where passwords can be read on their way, and what becomes of them there.

use core::fmt;

use super::listener::{ListenAddress, Listener, Proof, ProxyProtocol};
use super::{Auth, Listeners};

/// What becomes of a password, or of a token, that comes without TLS over a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaintextPasswords {
    /// It is taken, and nobody says a word.
    Allow,
    /// It is taken, and the operator is told at the start that it can be.
    Warn,
    /// Its client is refused, whether it is right or not.
    Refuse,
}

/// A listener at which others can read what clients say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard<'a> {
    /// Its number among all listeners.
    pub number: u16,
    /// What it is called; nothing for one of `listeners.tcp`.
    pub name: &'a str,
    /// Where it listens.
    pub address: ListenAddress,
    /// What becomes of passwords there.
    pub passwords: PlaintextPasswords,
    /// Whether somebody there may be known by one.
    pub takes_passwords: bool,
}

impl Overheard<'_> {
    /// Whether its operator is told.
    pub fn wants_a_word(&self) -> bool {
        self.takes_passwords && self.passwords == PlaintextPasswords::Warn
    }
}

/// What its operator is told, in one line.
impl fmt::Display for Overheard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "tcp" } else { self.name };
        write!(
            f,
            "listeners.{name}: passwords that come to {} can be read on their way, for there is no TLS; give it certificates, or say with \
             plaintext_passwords that they are refused or that this is meant",
            self.address
        )
    }
}

impl Listener {
    /// Whether others may read what clients say here. What lies before a proxy is the proxy's: it may speak TLS with the clients.
    pub fn is_overheard(&self) -> bool {
        let is_proxied = self.proxy_protocol == ProxyProtocol::Required;
        self.address.is_reached_from_outside() && !self.is_encrypted() && !is_proxied
    }
}

impl Listeners {
    /// All listeners at which others can read what clients say, in the order of their numbers: those of `tcp` first.
    pub fn overheard<'a>(&'a self, auth: &'a Auth) -> impl Iterator<Item = Overheard<'a>> {
        let is_known_by_one = auth.has_users() || auth.takes_tokens() || auth.asks_who_comes();
        let plain = self.tcp.iter().map(move |address| {
            let address = ListenAddress::Tcp(*address);
            let is_overheard = address.is_reached_from_outside();
            is_overheard.then_some(("", address, auth.plaintext_passwords, is_known_by_one))
        });
        let named = self.named.iter().map(move |named| {
            let shows_one = |proof: &Proof| matches!(proof, Proof::Password | Proof::Token | Proof::Hook);
            let is_asked = if named.chain.is_empty() { is_known_by_one } else { named.chain.iter().any(shows_one) };
            let passwords = named.plaintext_passwords.unwrap_or(auth.plaintext_passwords);
            named.is_overheard().then(|| (&*named.name, named.address.clone(), passwords, is_asked))
        });
        (0..).zip(plain.chain(named)).filter_map(|(number, found)| {
            let (name, address, passwords, takes_passwords) = found?;
            Some(Overheard { number, name, address, passwords, takes_passwords })
        })
    }
}

#[cfg(test)]
mod tests {
    use PlaintextPasswords::{Allow, Refuse, Warn};

    use super::*;
    use crate::config::load;
    use crate::config::source::Source;

    const LISTENERS: &str = r#"
[auth]
password_file = "users"

[listeners]
tcp = ["127.0.0.1:1", "0.0.0.0:2", "[::]:2"]

[listeners.a-loopback]
address = "[::1]:3"

[listeners.b-socket]
address = "unix:/run/x"

[listeners.c-tls]
address = "0.0.0.0:4"
certificates = ["a.pem"]

[listeners.d-proxied]
address = "0.0.0.0:5"
proxy_protocol = "required"
proxy_trusted = ["10.0.0.1"]

[listeners.e-pages]
address = "0.0.0.0:6"
protocol = "websocket"

[listeners.f-nameless]
address = "0.0.0.0:7"
chain = ["anonymous"]

[listeners.g-lan]
address = "10.0.0.1:8"
plaintext_passwords = "allow"
"#;

    #[test]
    fn what_is_encrypted_local_or_before_a_proxy_is_overheard_by_nobody() {
        let checked = load(vec![Source::file("pregon.toml", LISTENERS)]).unwrap();
        let config = checked.config();
        let found: Vec<Overheard<'_>> = config.listeners.overheard(&config.auth).collect();
        let names: Vec<(u16, &str)> = found.iter().map(|found| (found.number, found.name)).collect();
        assert_eq!(names, [(1, ""), (2, ""), (7, "e-pages"), (8, "f-nameless"), (9, "g-lan")]);
        let told: Vec<u16> = found.iter().filter(|found| found.wants_a_word()).map(|found| found.number).collect();
        assert_eq!(told, [1, 2, 7], "nobody shows a password to the eighth, and of the ninth it is meant");
        let [tcp, pages] = [1, 7].map(|number| found.iter().find(|found| found.number == number).unwrap().to_string());
        assert!(tcp.starts_with("listeners.tcp: passwords that come to 0.0.0.0:2 can be read on their way"), "{tcp}");
        assert!(pages.starts_with("listeners.e-pages: passwords that come to 0.0.0.0:6 "), "{pages}");
    }

    #[test]
    fn what_becomes_of_them_is_said_for_all_and_otherwise_for_one() {
        let said = |more: &[&str]| {
            let all =
                std::iter::once(Source::file("pregon.toml", LISTENERS)).chain(more.iter().map(|set| Source::set(*set)));
            let checked = load(all.collect()).unwrap();
            let config = checked.config();
            config.listeners.overheard(&config.auth).map(|found| found.passwords).collect::<Vec<_>>()
        };
        assert_eq!(said(&[]), [Warn, Warn, Warn, Warn, Allow]);
        let all = "auth.plaintext_passwords=refuse";
        assert_eq!(said(&[all]), [Refuse, Refuse, Refuse, Refuse, Allow]);
        let own = "listeners.e-pages.plaintext_passwords=warn";
        assert_eq!(
            said(&[all, own, "listeners.g-lan.plaintext_passwords=inherit"]),
            [Refuse, Refuse, Warn, Refuse, Refuse]
        );
    }

    #[test]
    fn where_nobody_is_known_by_a_password_nobody_is_told() {
        let nobodys = LISTENERS.replace("password_file = \"users\"", "anonymous = \"yes\"");
        let told = |more: &[&str]| {
            let file = Source::file("pregon.toml", nobodys.as_str());
            let checked =
                load(std::iter::once(file).chain(more.iter().map(|set| Source::set(*set))).collect()).unwrap();
            let config = checked.config();
            config.listeners.overheard(&config.auth).filter(Overheard::wants_a_word).count()
        };
        assert_eq!(told(&[]), 0);
        assert_eq!(told(&["auth.token_keys=keys"]), 3, "tokens count as passwords");
        assert_eq!(told(&["auth.token_keys=keys", "listeners.f-nameless.chain=token"]), 4);
    }

    #[test]
    fn it_is_said_of_no_listener_where_it_would_do_nothing() {
        for name in ["a-loopback", "b-socket", "c-tls", "d-proxied"] {
            let set = Source::set(format!("listeners.{name}.plaintext_passwords=refuse"));
            let told = load(vec![Source::file("pregon.toml", LISTENERS), set]).unwrap_err().to_string();
            assert!(
                told.starts_with(&format!("--set: listeners.{name}.plaintext_passwords: this does nothing: ")),
                "{told}"
            );
        }
    }
}
