//! Who may come in and what they may do: the policy that the operator's files make.
//!
//! A file that cannot be read, or says something that is none, makes no policy at all: nobody is let in by a part of it. Of rules that may be
//! half written only what they take away counts.

mod caution;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::caution::{Caution, Origin};
use super::reloading::{Occasion, Taken};
use crate::base::hash::Seed;
use crate::config::listener::{Proof, UserFrom};
use crate::config::plaintext::PlaintextPasswords;
use crate::config::{Auth, Listener, Listeners};
use crate::engine::auth::acl::Acl;
use crate::engine::auth::acl::explain::Explanation;
use crate::engine::auth::acl::rule::Rule;
use crate::engine::auth::acl_file::{AclFile, AclFileError};
use crate::engine::auth::certificate::CertificateUser;
use crate::engine::auth::hook::digest;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::passwords::SECRET_BYTES;
use crate::engine::auth::passwords::authenticator::Passwords;
use crate::engine::auth::passwords::fault::PasswordsError;
use crate::engine::auth::passwords::text::FILE_BYTES_MAX;
use crate::engine::auth::policy::{Anonymous, Anybody, Chain, Open, Policy};
use crate::engine::auth::rules::RulesFault;
use crate::engine::auth::token::authenticator::Tokens;
use crate::engine::auth::token::fault::KeysFault;
use crate::engine::auth::token::keys::{KEYS_BYTES_MAX, Keys};
use crate::engine::auth::token::terms::{Carrier, Terms};
use crate::engine::auth::{Action, Authenticator, Authoriser, ClientId};
use crate::shell::files::whole::{Found, read_placed, read_up_to};
use crate::shell::web::client::{Client, Trust, WebError, bearer};
use crate::shell::web::hook::{Hook, HookRules};
use crate::shell::web::keys::{Fetched, IssuedTokens};
use crate::shell::web::resolver::Lookups;
use crate::shell::web::tally::Tally;

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
    /// Something in a file of keys is wrong.
    #[error("{}: {fault}", path.display())]
    Keys {
        /// Which one.
        path: PathBuf,
        /// What, and with which key.
        fault: KeysFault,
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
    /// What is needed to ask a web server cannot be used.
    #[error("{0}")]
    Web(#[from] WebError),
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

/// How rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleFormat {
    /// In our own words.
    Own,
    /// As mosquitto writes them.
    Mosquitto,
}

impl RuleFormat {
    /// What the name of a file tells: our own are TOML.
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|extension| extension == "toml") { Self::Own } else { Self::Mosquitto }
    }
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
}

/// Reads the files that the configuration names, again and again. What users have proven is remembered as long as their hashes stay the same.
#[derive(Debug)]
pub struct Reader {
    auth: Auth,
    /// Listeners that say themselves by what clients show who they are, by their numbers.
    chains: Vec<(u16, Vec<Proof>)>,
    passwords: Option<Arc<Passwords>>,
    listeners: Listeners,
    /// Who is asked, once it was read by what.
    hook: Option<Arc<Hook>>,
    /// Keys that come from a server.
    fetched: Option<Arc<Fetched>>,
    /// What those count who ask.
    tally: Arc<Tally>,
    /// Which rules are known to be whole.
    caution: Caution,
    /// Their look-ups of names, over all reloads: of the hook, and of the server of keys.
    hook_names: Arc<Lookups>,
    key_names: Arc<Lookups>,
}

impl Reader {
    /// Nothing has been read yet.
    pub fn new(auth: &Auth, listeners: &Listeners) -> Self {
        let numbered = (0..).zip(&listeners.named);
        let first = u16::try_from(listeners.tcp.len()).expect("a list has a bound");
        let own = numbered.filter_map(|(number, named): (u16, _)| Some((first + number, chain_of(named)?)));
        Self {
            auth: auth.clone(),
            chains: own.collect(),
            passwords: None,
            listeners: listeners.clone(),
            hook: None,
            fetched: None,
            tally: Arc::default(),
            caution: Caution::default(),
            hook_names: Lookups::new(auth.hook_connections),
            key_names: Lookups::new(1),
        }
    }

    /// The files that are read.
    pub fn files(&self) -> Vec<PathBuf> {
        let auth = &self.auth;
        let named = [
            &auth.password_file,
            &auth.token_keys,
            &auth.acl_file,
            &auth.rules_file,
            &auth.hook_secret_file,
            &auth.web_ca,
        ];
        named.into_iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect()
    }

    /// Reads them all. After an error it is as if nothing had been tried.
    pub fn read(&mut self) -> Result<Policy, PolicyError> {
        self.read_anew(Occasion::Asked).map(|(policy, _)| policy)
    }

    /// The same for this reason, and how much of it may come into force.
    pub fn read_anew(&mut self, occasion: Occasion) -> Result<(Policy, Taken), PolicyError> {
        let files = OfFiles::read(&self.auth, self.passwords.as_deref())?;
        let rules = placed_rules(&self.auth).map_err(|mut errors| errors.swap_remove(0))?;
        let path = rules.as_ref().map_or_else(String::new, |(file, _)| file.path.display().to_string());
        self.prepare_web()?;
        let known = files.with_web(&self.auth, self.hook.as_ref(), self.fetched.as_ref());
        let (authoriser, taken) = self.authoriser(rules, occasion);
        let authoriser: Box<dyn Authoriser> = match &self.hook {
            Some(hook) if self.auth.hook_rules_url.is_some() => Box::new(HookRules::new(authoriser, Arc::clone(hook))),
            Some(_) | None => authoriser,
        };
        let mut policy = Policy::new(known.usual_chain(&self.auth), authoriser)
            .with_rules_of(&path)
            .without_passwords_at(self.in_the_clear(), self.auth.token_carrier == Carrier::UserName)
            .with_claims(self.auth.token_acl_claim.is_some());
        for (listener, proofs) in &self.chains {
            policy = policy.with_chain(*listener, known.chain(proofs));
        }
        self.passwords = known.passwords;
        Ok((policy, taken))
    }

    /// The listeners at which passwords can be read on their way and are refused for it.
    fn in_the_clear(&self) -> BTreeSet<u16> {
        let overheard = self.listeners.overheard(&self.auth);
        overheard.filter(|at| at.passwords == PlaintextPasswords::Refuse).map(|at| at.number).collect()
    }

    fn authoriser(&mut self, rules: Option<(RuleFile, Origin)>, occasion: Occasion) -> (Box<dyn Authoriser>, Taken) {
        let Some((RuleFile { rules, .. }, at)) = rules else { return (Box::new(Open), Taken::All) };
        match rules {
            Rules::Own(rules) => (Box::new(rules), Taken::All), // a part of them allows nothing that all of them do not
            Rules::Mosquitto(rules) => {
                let (rules, taken) = self.caution.take(rules, at, occasion);
                (Box::new(rules), taken)
            }
        }
    }

    /// The hook that its policies ask, if there is one.
    pub fn hook(&self) -> Option<&Arc<Hook>> {
        self.hook.as_ref()
    }

    /// The keys of a server that its policies judge tokens by, if there is one.
    pub fn fetched(&self) -> Option<&Arc<Fetched>> {
        self.fetched.as_ref()
    }

    /// What those count who ask servers.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Servers are asked by what the files say now, and nothing is remembered of what they have said.
    fn prepare_web(&mut self) -> Result<(), PolicyError> {
        let auth = &self.auth;
        let (trust, bearer) = (Trust::read(auth)?, bearer(&auth.hook_secret_file)?);
        if auth.hook_url.is_some() || auth.hook_rules_url.is_some() {
            let mut secret = [0; digest::SECRET_BYTES];
            random(&mut secret)?;
            let client = Client::new(&trust, auth.hook_timeout_ms, auth.hook_connections, bearer, &self.hook_names);
            if let Some(hook) = &self.hook {
                hook.renew(client, &secret);
            } else {
                let hook = Hook::new(auth, &self.listeners, client, &secret, Arc::clone(&self.tally));
                self.hook = Some(Arc::new(hook));
            }
        }
        if let Some(url) = &auth.token_keys_url {
            let client = Client::new(&trust, auth.token_keys_timeout_ms, 1, None, &self.key_names);
            if let Some(fetched) = &self.fetched {
                fetched.renew(client);
            } else {
                let fetched = Fetched::new(auth, url, terms(auth), client, Arc::clone(&self.tally));
                self.fetched = Some(Arc::new(fetched));
            }
        }
        Ok(())
    }
}

/// By what clients of a listener show who they are, if it does not leave that to `[auth]`. Certificates that name users are proof enough.
fn chain_of(listener: &Listener) -> Option<Vec<Proof>> {
    match (&listener.chain[..], listener.user_from) {
        ([], UserFrom::None) => None,
        ([], _) => Some(vec![Proof::Certificate, Proof::Token, Proof::Hook, Proof::Password]),
        (own, _) => Some(own.to_vec()),
    }
}

/// Whom the files make known.
struct OfFiles {
    passwords: Option<Arc<Passwords>>,
    tokens: Option<Arc<Tokens>>,
}

impl OfFiles {
    fn read(auth: &Auth, before: Option<&Passwords>) -> Result<Self, PolicyError> {
        let passwords = auth.has_users().then(|| passwords(&auth.password_file, before)).transpose()?;
        let tokens = auth.has_token_keys().then(|| tokens(auth)).transpose()?;
        Ok(Self { passwords: passwords.map(Arc::new), tokens: tokens.map(Arc::new) })
    }

    /// Together with whom servers make known.
    fn with_web(self, auth: &Auth, hook: Option<&Arc<Hook>>, fetched: Option<&Arc<Fetched>>) -> Known {
        let tokens = match (fetched, self.tokens) {
            (Some(fetched), file) => {
                Some(Arc::new(IssuedTokens::new(file, Arc::clone(fetched))) as Arc<dyn Authenticator>)
            }
            (None, file) => file.map(|file| file as Arc<dyn Authenticator>),
        };
        let hook = hook.filter(|_| auth.asks_who_comes()).cloned();
        Known { passwords: self.passwords, tokens, hook }
    }
}

/// Who makes clients known. All chains share them.
struct Known {
    passwords: Option<Arc<Passwords>>,
    tokens: Option<Arc<dyn Authenticator>>,
    hook: Option<Arc<Hook>>,
}

impl Known {
    /// The chain of every listener that says nothing itself. What is no token is left to the hook, and whom that does not know to the passwords
    /// behind: nobody gets past those who gives a name.
    fn usual_chain(&self, auth: &Auth) -> Chain {
        let is_anybody_known = self.passwords.is_some() || self.tokens.is_some() || self.hook.is_some();
        if auth.lets_anybody_in() && !is_anybody_known {
            return vec![Box::new(Anybody)]; // where nobody is known by name, a name says nothing
        }
        let nameless = auth.lets_anybody_in().then_some(Proof::Anonymous);
        let proofs: Vec<Proof> = nameless.into_iter().chain([Proof::Token, Proof::Hook, Proof::Password]).collect();
        self.chain(&proofs)
    }

    /// The links of these proofs; none for one that nothing was said of.
    fn chain(&self, proofs: &[Proof]) -> Chain {
        proofs.iter().filter_map(|proof| self.link(*proof)).collect()
    }

    fn link(&self, proof: Proof) -> Option<Box<dyn Authenticator>> {
        match proof {
            Proof::Certificate => Some(Box::new(CertificateUser)),
            Proof::Password => Some(Box::new(Arc::clone(self.passwords.as_ref()?))),
            Proof::Token => Some(Box::new(Arc::clone(self.tokens.as_ref()?))),
            Proof::Hook => Some(Box::new(Arc::clone(self.hook.as_ref()?))),
            Proof::Anonymous => Some(Box::new(Anonymous)),
        }
    }
}

/// Everything that is wrong with the files that the configuration names.
pub fn complaints(auth: &Auth) -> Vec<PolicyError> {
    let mut all = Vec::new();
    if auth.has_users() {
        all.extend(passwords(&auth.password_file, None).err());
    }
    if auth.has_token_keys() {
        all.extend(tokens(auth).err());
    }
    all.extend(Trust::read(auth).err().map(PolicyError::Web));
    all.extend(bearer(&auth.hook_secret_file).err().map(PolicyError::Web));
    all.extend(rule_file(auth).err().into_iter().flatten());
    all
}

/// The file of rules, if there is one, or what is wrong with it: at least one thing.
pub fn rule_file(auth: &Auth) -> Result<Option<RuleFile>, Vec<PolicyError>> {
    placed_rules(auth).map(|found| found.map(|(file, _)| file))
}

/// The same, and where it was read.
fn placed_rules(auth: &Auth) -> Result<Option<(RuleFile, Origin)>, Vec<PolicyError>> {
    let (path, format) = match [&auth.rules_file, &auth.acl_file] {
        [own, _] if !own.as_os_str().is_empty() => (own, RuleFormat::Own),
        [_, mosquittos] if !mosquittos.as_os_str().is_empty() => (mosquittos, RuleFormat::Mosquitto),
        [_, _] => return Ok(None),
    };
    let found = placed_text(path).map_err(one)?;
    let at = Origin::of(&found);
    let text = found.text;
    let must_end = auth.acl_end && format == RuleFormat::Mosquitto;
    let end = if must_end { AclFile::check_end(&String::from_utf8_lossy(&text)) } else { Ok(()) };
    let file = parse_rules(path, format, text)?;
    end.map_err(|fault| one(PolicyError::AclFile { path: path.into(), fault }))?;
    Ok(Some((file, at)))
}

/// The text of a file of rules, as it lies there.
pub fn rule_text(path: &Path) -> Result<Vec<u8>, PolicyError> {
    placed_text(path).map(|found| found.text)
}

fn placed_text(path: &Path) -> Result<Found, PolicyError> {
    read_placed(path, FILE_BYTES_MAX).map_err(|error| PolicyError::Unreadable { path: path.into(), error })
}

/// The rules in a text that was read from this file, or what is wrong with them: at least one thing.
pub fn parse_rules(path: &Path, format: RuleFormat, text: Vec<u8>) -> Result<RuleFile, Vec<PolicyError>> {
    let text = String::from_utf8(text).map_err(|_not_utf8| one(PolicyError::NotUtf8 { path: path.into() }))?;
    let seed = seed().map_err(one)?;
    let rules = match format {
        RuleFormat::Own => own_rules(path, &text, seed)?,
        RuleFormat::Mosquitto => mosquittos_rules(path, &text, seed)?,
    };
    Ok(RuleFile { path: path.into(), rules })
}

fn passwords(path: &Path, before: Option<&Passwords>) -> Result<Passwords, PolicyError> {
    let text =
        read_up_to(path, FILE_BYTES_MAX).map_err(|error| PolicyError::Unreadable { path: path.into(), error })?;
    let mut secret = [0; SECRET_BYTES];
    random(&mut secret)?;
    let read = match before {
        Some(before) => Passwords::parse_after(&text, &secret, before),
        None => Passwords::parse(&text, &secret),
    };
    read.map_err(|fault| PolicyError::Passwords { path: path.into(), fault })
}

/// Tokens as the keys of the file judge them.
pub fn tokens(auth: &Auth) -> Result<Tokens, PolicyError> {
    let path = &auth.token_keys;
    let text =
        read_up_to(path, KEYS_BYTES_MAX).map_err(|error| PolicyError::Unreadable { path: path.clone(), error })?;
    let keys = Keys::parse(&text).map_err(|fault| PolicyError::Keys { path: path.clone(), fault })?;
    Ok(Tokens::new(keys, terms(auth)))
}

/// What tokens must say.
pub fn terms(auth: &Auth) -> Terms {
    Terms {
        carrier: auth.token_carrier,
        user_name: auth.token_user,
        user_claim: auth.token_user_claim.clone(),
        client_id_claim: auth.token_client_id_claim.clone(),
        groups_claim: auth.token_groups_claim.clone(),
        acl_claim: auth.token_acl_claim.clone(),
        issuer: auth.token_issuer.clone(),
        audience: auth.token_audience.clone(),
        leeway_s: auth.token_leeway_s,
        needs_expiry: auth.token_needs_expiry,
    }
}

fn own_rules(path: &Path, text: &str, seed: Seed) -> Result<Rules, Vec<PolicyError>> {
    let rules = Acl::parse(text, seed).map_err(|error| {
        let faults = error.faults().iter().cloned();
        faults.map(|fault| PolicyError::Rules { path: path.into(), fault }).collect::<Vec<_>>()
    })?;
    Ok(Rules::Own(rules))
}

fn mosquittos_rules(path: &Path, text: &str, seed: Seed) -> Result<Rules, Vec<PolicyError>> {
    let rules = AclFile::parse(text, seed).map_err(|fault| one(PolicyError::AclFile { path: path.into(), fault }))?;
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

#[cfg(test)]
mod tests;
