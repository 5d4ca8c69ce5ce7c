//! Who may come in and what they may do: the policy that the operator's files make.
//!
//! A file that cannot be read, or says something that is none, makes no policy at all: nobody is let in by a part of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::hash::Seed;
use crate::config::listener::{Proof, UserFrom};
use crate::config::{Auth, Listener, Listeners};
use crate::engine::auth::acl::Acl;
use crate::engine::auth::acl::explain::Explanation;
use crate::engine::auth::acl::rule::Rule;
use crate::engine::auth::acl_file::{AclFile, AclFileError};
use crate::engine::auth::certificate::CertificateUser;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::passwords::SECRET_BYTES;
use crate::engine::auth::passwords::authenticator::Passwords;
use crate::engine::auth::passwords::fault::PasswordsError;
use crate::engine::auth::passwords::text::FILE_BYTES_MAX;
use crate::engine::auth::policy::{Anonymous, Anybody, Chain, Open, Policy};
use crate::engine::auth::rules::RulesFault;
use crate::engine::auth::{Action, Authenticator, Authoriser, ClientId};

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// Something in a password file is wrong.
    #[error("{}: {fault}", path.display())]
    Passwords {
        /// Which one.
        path: PathBuf,
        /// What, and on which line.
        fault: PasswordsError,
    },
    /// A file of rules is no text.
    #[error("{}: this is not UTF-8", path.display())]
    NotUtf8 {
        /// Which one.
        path: PathBuf,
    },
    /// Something in a file of rules as mosquitto writes it is wrong.
    #[error("{}: {fault}", path.display())]
    AclFile {
        /// Which one.
        path: PathBuf,
        /// What, and on which line.
        fault: AclFileError,
    },
    /// Something in a file of our own rules is wrong.
    #[error("{}:{fault}", path.display())]
    Rules {
        /// Which one.
        path: PathBuf,
        /// What, and where.
        fault: RulesFault,
    },
}

/// A file of rules, and what it says.
pub struct RuleFile {
    /// Which one.
    pub path: PathBuf,
    /// Its rules.
    pub rules: Rules,
}

/// Rules of one format or the other.
pub enum Rules {
    /// In our own.
    Own(Acl),
    /// As mosquitto writes them.
    Mosquitto(AclFile),
}

impl Rules {
    /// The rules, in the order in which they decide.
    pub fn all(&self) -> &[Rule] {
        match self {
            Self::Own(rules) => rules.rules(),
            Self::Mosquitto(rules) => rules.rules(),
        }
    }

    /// The decision about this action, and why.
    pub fn explain<'a>(&'a self, who: &'a Identity, client_id: ClientId<'a>, action: Action<'a>) -> Explanation<'a> {
        match self {
            Self::Own(rules) => rules.explain(who, client_id, action),
            Self::Mosquitto(rules) => rules.explain(who, client_id, action),
        }
    }

    /// What decides by them.
    pub fn authoriser(&self) -> &dyn Authoriser {
        match self {
            Self::Own(rules) => rules,
            Self::Mosquitto(rules) => rules,
        }
    }

    fn into_authoriser(self) -> Box<dyn Authoriser> {
        match self {
            Self::Own(rules) => Box::new(rules),
            Self::Mosquitto(rules) => Box::new(rules),
        }
    }
}

/// Reads the files that the configuration names, again and again. What users have proven is remembered as long as their hashes stay the same.
#[derive(Debug)]
pub struct Reader {
    auth: Auth,
    /// Listeners that say themselves by what clients show who they are, by their numbers.
    chains: Vec<(u16, Vec<Proof>)>,
    passwords: Option<Arc<Passwords>>,
}

impl Reader {
    /// Nothing has been read yet.
    pub fn new(auth: &Auth, listeners: &Listeners) -> Self {
        let numbered = (0..).zip(&listeners.named);
        let first = u16::try_from(listeners.tcp.len()).expect("a list has a bound");
        let own = numbered.filter_map(|(number, named): (u16, _)| Some((first + number, chain_of(named)?)));
        Self { auth: auth.clone(), chains: own.collect(), passwords: None }
    }

    /// The files that are read.
    pub fn files(&self) -> Vec<PathBuf> {
        let named = [&self.auth.password_file, &self.auth.acl_file, &self.auth.rules_file];
        named.into_iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect()
    }

    /// Reads them all. After an error it is as if nothing had been tried.
    pub fn read(&mut self) -> Result<Policy, PolicyError> {
        let (mut policy, passwords) = read_all(&self.auth, self.passwords.as_deref())?;
        for (listener, proofs) in &self.chains {
            policy = policy.with_chain(*listener, chain(proofs, passwords.as_ref()));
        }
        self.passwords = passwords;
        Ok(policy)
    }
}

/// By what clients of a listener show who they are, if it does not leave that to `[auth]`. Certificates that name users are proof enough.
fn chain_of(listener: &Listener) -> Option<Vec<Proof>> {
    match (&listener.chain[..], listener.user_from) {
        ([], UserFrom::None) => None,
        ([], _) => Some(vec![Proof::Certificate, Proof::Password]),
        (own, _) => Some(own.to_vec()),
    }
}

fn chain(proofs: &[Proof], passwords: Option<&Arc<Passwords>>) -> Chain {
    let link = |proof: &Proof| -> Option<Box<dyn Authenticator>> {
        match proof {
            Proof::Certificate => Some(Box::new(CertificateUser)),
            Proof::Password => passwords.map(|passwords| Box::new(Arc::clone(passwords)) as Box<dyn Authenticator>),
            Proof::Anonymous => Some(Box::new(Anonymous)),
            Proof::Token => None,
        }
    };
    proofs.iter().filter_map(link).collect()
}

fn read_all(auth: &Auth, before: Option<&Passwords>) -> Result<(Policy, Option<Arc<Passwords>>), PolicyError> {
    let mut chain: Vec<Box<dyn Authenticator>> = Vec::new();
    let has_users = !auth.password_file.as_os_str().is_empty();
    if auth.lets_anybody_in() {
        // Where nobody is known by name, a name says nothing.
        chain.push(if has_users { Box::new(Anonymous) } else { Box::new(Anybody) });
    }
    let passwords = if has_users { Some(Arc::new(passwords(&auth.password_file, before)?)) } else { None };
    if let Some(passwords) = &passwords {
        chain.push(Box::new(Arc::clone(passwords)));
    }
    let rules = rule_file(auth).map_err(|mut errors| errors.swap_remove(0))?;
    let authoriser = rules.map_or_else(|| Box::new(Open) as Box<dyn Authoriser>, |file| file.rules.into_authoriser());
    Ok((Policy::new(chain, authoriser), passwords))
}

/// Everything that is wrong with the files that the configuration names.
pub fn complaints(auth: &Auth) -> Vec<PolicyError> {
    let mut all = Vec::new();
    if !auth.password_file.as_os_str().is_empty() {
        all.extend(passwords(&auth.password_file, None).err());
    }
    all.extend(rule_file(auth).err().into_iter().flatten());
    all
}

/// The file of rules, if there is one, or what is wrong with it: at least one thing.
pub fn rule_file(auth: &Auth) -> Result<Option<RuleFile>, Vec<PolicyError>> {
    let (path, read): (_, fn(&Path) -> _) = match [&auth.rules_file, &auth.acl_file] {
        [own, _] if !own.as_os_str().is_empty() => (own, own_rules),
        [_, mosquittos] if !mosquittos.as_os_str().is_empty() => (mosquittos, mosquittos_rules),
        [_, _] => return Ok(None),
    };
    let rules = read(path)?;
    Ok(Some(RuleFile { path: path.clone(), rules }))
}

fn passwords(path: &Path, before: Option<&Passwords>) -> Result<Passwords, PolicyError> {
    let text = read(path).map_err(|error| PolicyError::Unreadable { path: path.into(), error })?;
    let mut secret = [0; SECRET_BYTES];
    random(&mut secret)?;
    let read = match before {
        Some(before) => Passwords::parse_after(&text, &secret, before),
        None => Passwords::parse(&text, &secret),
    };
    read.map_err(|fault| PolicyError::Passwords { path: path.into(), fault })
}

fn own_rules(path: &Path) -> Result<Rules, Vec<PolicyError>> {
    let (text, seed) = (text(path).map_err(one)?, seed().map_err(one)?);
    let rules = Acl::parse(&text, seed).map_err(|error| {
        let faults = error.faults().iter().cloned();
        faults.map(|fault| PolicyError::Rules { path: path.into(), fault }).collect::<Vec<_>>()
    })?;
    Ok(Rules::Own(rules))
}

fn mosquittos_rules(path: &Path) -> Result<Rules, Vec<PolicyError>> {
    let (text, seed) = (text(path).map_err(one)?, seed().map_err(one)?);
    let rules = AclFile::parse(&text, seed).map_err(|fault| one(PolicyError::AclFile { path: path.into(), fault }))?;
    Ok(Rules::Mosquitto(rules))
}

fn one(error: PolicyError) -> Vec<PolicyError> {
    vec![error]
}

/// The seed of the tables that rules are looked up in; they take 48 bytes for the life of the process with each reading of a file.
fn seed() -> Result<Seed, PolicyError> {
    let mut bits = [0; 8];
    random(&mut bits)?;
    Ok(Seed::new(u64::from_ne_bytes(bits)))
}

fn random(bytes: &mut [u8]) -> Result<(), PolicyError> {
    let path = Path::new("/dev/urandom");
    let read = File::open(path).and_then(|mut file| file.read_exact(bytes));
    read.map_err(|error| PolicyError::Unreadable { path: path.into(), error })
}

fn text(path: &Path) -> Result<String, PolicyError> {
    let text = read(path).map_err(|error| PolicyError::Unreadable { path: path.into(), error })?;
    String::from_utf8(text).map_err(|_not_utf8| PolicyError::NotUtf8 { path: path.into() })
}

/// A file that is longer than any may be is refused, and not cut.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config;
    use crate::engine::auth::policy::Outcome;
    use crate::engine::auth::{Credentials, Decision, Verdict};
    use crate::mqtt::{QoS, Version};
    use crate::shell::files::scratch::Scratch;

    /// By `mosquitto_passwd`; her password is `correct horse`.
    fn policy(auth: &Auth) -> Result<Policy, PolicyError> {
        Reader::new(auth, &Listeners::default()).read()
    }

    const USERS: &str = "alice:$7$101$sW+MWAyltInm8zDb$\
        pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==";

    fn credentials<'a>(user_name: Option<&'a str>, password: Option<&'a [u8]>) -> Credentials<'a> {
        let peer = ([127, 0, 0, 1], 1_883).into();
        Credentials {
            client_id: "c",
            user_name,
            password,
            peer,
            listener: 0,
            version: Version::V5,
            now_unix_s: 0,
            certificate: None,
        }
    }

    fn is_let_in(policy: &Policy, user_name: Option<&str>, password: Option<&str>) -> bool {
        let credentials = credentials(user_name, password.map(str::as_bytes));
        let mut outcome = policy.authenticate(&credentials);
        while let Outcome::Later(link) = outcome {
            let verdict: Verdict = policy.work(link, &credentials);
            outcome = policy.resume(link, verdict, &credentials);
        }
        matches!(outcome, Outcome::Allow(_))
    }

    fn written(scratch: &Scratch, name: &str, text: &[u8]) -> PathBuf {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn without_files_everybody_is_let_in_whatever_they_are_called() {
        let policy = policy(&Auth::default()).unwrap();
        assert!(is_let_in(&policy, None, None) && is_let_in(&policy, Some("alice"), Some("x")));
        assert!(!policy.takes_time(), "nobody has to hash anything");
    }

    #[test]
    fn with_a_password_file_its_users_are_let_in_and_the_nameless_where_that_is_said() {
        let scratch = Scratch::new();
        let password_file = written(&scratch, "users", USERS.as_bytes());
        for (anonymous, are_nameless_in) in
            [(config::Anonymous::Auto, false), (config::Anonymous::No, false), (config::Anonymous::Yes, true)]
        {
            let policy = policy(&Auth { anonymous, password_file: password_file.clone(), ..Auth::default() }).unwrap();
            assert!(is_let_in(&policy, Some("alice"), Some("correct horse")));
            assert!(!is_let_in(&policy, Some("alice"), Some("wrong")) && !is_let_in(&policy, Some("bob"), Some("x")));
            assert_eq!(is_let_in(&policy, None, None), are_nameless_in, "{anonymous:?}");
        }
    }

    #[test]
    fn rules_bind_whoever_was_let_in() {
        let scratch = Scratch::new();
        let acl_file = written(&scratch, "rules", b"user alice\ntopic write a/#\n");
        let own = "[[rule]]\neffect = 'allow'\nwho = { user = 'alice' }\nactions = 'publish'\ntopics = 'a/#'\n";
        let rules_file = written(&scratch, "rules.toml", own.as_bytes());
        for auth in [Auth { acl_file, ..Auth::default() }, Auth { rules_file, ..Auth::default() }] {
            let policy = policy(&auth).unwrap();
            let may = |user, topic| {
                let action = Action::Publish { topic, qos: QoS::AtMostOnce, retain: false };
                policy.decide(&Identity::user(user, "password"), ClientId::Text("c"), action) == Decision::Allow
            };
            assert!(may("alice", "a/b") && !may("alice", "b") && !may("bob", "a/b"), "{auth:?}");
        }
    }

    #[test]
    fn everything_that_is_wrong_with_the_files_is_told_at_once() {
        let scratch = Scratch::new();
        let auth = Auth {
            password_file: written(&scratch, "users", b"alice\n"),
            rules_file: written(&scratch, "rules.toml", b"[[rule]]\nefect = 1\n[[rule]]\neffect = 'alow'\n"),
            ..Auth::default()
        };
        let told: Vec<String> = complaints(&auth).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, what) in
            told.iter().zip(["users: line 1: ", "rules.toml:2:1: there is no key", "rules.toml:4:10: `alow`"])
        {
            assert!(told.contains(what), "{told}");
        }
        assert!(complaints(&Auth::default()).is_empty());
    }

    #[test]
    fn threat_7_a_file_that_is_too_long_is_refused_and_not_cut() {
        let scratch = Scratch::new();
        let path = written(&scratch, "rules", b"topic a\n");
        File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX as u64 + 1).unwrap();
        let error = policy(&Auth { acl_file: path, ..Auth::default() }).expect_err("it is too long");
        assert!(matches!(error, PolicyError::Unreadable { .. }), "{error}");
    }

    #[test]
    fn threat_7_a_file_that_says_nothing_or_something_wrong_makes_no_policy_and_is_named() {
        type Case<'a> = (fn(PathBuf) -> Auth, &'a [u8], &'a str);
        let scratch = Scratch::new();
        let users = |path| Auth { password_file: path, ..Auth::default() };
        let mosquittos = |path| Auth { acl_file: path, ..Auth::default() };
        let own = |path| Auth { rules_file: path, ..Auth::default() };
        for auth in [users, mosquittos, own] {
            let error = policy(&auth(scratch.path().join("missing"))).expect_err("there is no such file").to_string();
            assert!(error.contains("missing: No such file"), "{error}");
        }
        let wrong: [Case<'_>; 8] = [
            (users, b"", "file: it has no user"),
            (users, b"alice\n", "file: line 1: "),
            (mosquittos, b"", "file: there is no rule in it"),
            (mosquittos, b"topic a\nuse alice\n", "file: line 2: `use` is no word"),
            (mosquittos, b"topic \xff\n", "file: this is not UTF-8"),
            (own, b"", "file:1:1: there is no rule in it"),
            (own, b"[[rule]]\neffect = 'alow'\n", "file:2:10: `alow`"),
            (own, b"\xff\n", "file: this is not UTF-8"),
        ];
        for (auth, text, what) in wrong {
            let error = policy(&auth(written(&scratch, "file", text))).expect_err(what).to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
