//! Tokens that are judged by keys of a web server, beside those of a file.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use super::client::{Client, NoAnswer};
use super::tally::{Tally, count};
use crate::config::Auth;
use crate::engine::auth::identity::Identity;
use crate::engine::auth::token::authenticator::{METHOD, Tokens};
use crate::engine::auth::token::fault::{KeysFault, TokenFault};
use crate::engine::auth::token::keys::{KEYS_BYTES_MAX, Keys};
use crate::engine::auth::token::terms::Terms;
use crate::engine::auth::{Authenticator, Credentials, Helper, Verdict};
use crate::mqtt::Reason;

/// The keys that were fetched last, as long as they hold. One for the whole broker, for all its life.
#[derive(Debug)]
pub struct Fetched {
    url: Box<str>,
    /// How often they are fetched, and how long they hold without.
    pub every_ms: u64,
    /// How long they hold when they cannot be fetched any more.
    pub keep_ms: u64,
    terms: Terms,
    client: RwLock<Client>,
    held: RwLock<Option<Held>>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    tokens: Arc<Tokens>,
}

/// Why no keys have come.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There was no answer.
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
    /// The answer has no keys.
    #[error("the answer has no keys that can be used: {0}")]
    Keys(#[from] KeysFault),
    /// A secret that everybody could fetch is none.
    #[error("the answer has a shared secret in it: a key that can be fetched must be a public one")]
    Secret,
}

impl Fetched {
    /// Nothing was fetched yet.
    pub fn new(auth: &Auth, url: &str, terms: Terms, client: Client, tally: Arc<Tally>) -> Self {
        Self {
            url: url.into(),
            every_ms: auth.token_keys_refresh_s * 1_000,
            keep_ms: auth.token_keys_keep_s * 1_000,
            terms,
            client: RwLock::new(client),
            held: RwLock::new(None),
            tally,
        }
    }

    /// Keys are fetched by this client from now on.
    pub fn renew(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Fetches them; after an error those of before are there as if nothing had been tried.
    pub fn fetch(&self) -> Result<(), FetchError> {
        let fetched = self.try_fetch();
        let is_failing = fetched.is_err();
        let was_failing = self.tally.are_keys_failing.swap(is_failing, Ordering::Relaxed);
        match &fetched {
            Ok(true) => {
                count(&self.tally.keys_changed);
                tracing::info!(url = %self.url, keys = self.keys_count(), "keys of tokens were fetched and are in force");
            }
            Ok(false) => {
                count(&self.tally.keys_same);
                if was_failing {
                    tracing::info!(url = %self.url, "keys of tokens were fetched again, and are the same");
                }
            }
            Err(error) => {
                count(&self.tally.keys_failed);
                tracing::error!(url = %self.url, %error, "keys of tokens were not fetched: what was in force stays");
            }
        }
        fetched.map(|_has_changed| ())
    }

    /// Keys that are too old hold no longer.
    pub fn forget(&self) {
        self.replace(None);
        tracing::error!(url = %self.url, "keys of tokens have not been fetched for too long: no token is taken by them");
    }

    /// Whether other keys came than were there.
    fn try_fetch(&self) -> Result<bool, FetchError> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone();
        let text = client.get(&self.url, KEYS_BYTES_MAX)?;
        if self.held.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|held| held.text == text) {
            return Ok(false);
        }
        let keys = Keys::parse(&text)?;
        if keys.have_secret() {
            return Err(FetchError::Secret);
        }
        self.replace(Some(Held { text, tokens: Arc::new(Tokens::new(keys, self.terms.clone())) }));
        Ok(true)
    }

    fn replace(&self, held: Option<Held>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        self.tally.keys.store(self.keys_count() as u64, Ordering::Relaxed);
    }

    fn keys_count(&self) -> usize {
        self.tokens().map_or(0, |tokens| tokens.keys_count())
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|held| Arc::clone(&held.tokens))
    }
}

/// The link of a chain that takes tokens by keys of a server, and by those of a file if there is one. Who comes with a token that none of
/// them may have signed waits until they were fetched anew.
#[derive(Debug)]
pub struct IssuedTokens {
    file: Option<Arc<Tokens>>,
    fetched: Arc<Fetched>,
}

impl IssuedTokens {
    /// By these keys.
    pub fn new(file: Option<Arc<Tokens>>, fetched: Arc<Fetched>) -> Self {
        Self { file, fetched }
    }

    /// Both kinds of keys, as far as there are some.
    fn all(&self) -> Vec<Arc<Tokens>> {
        self.fetched.tokens().into_iter().chain(self.file.clone()).collect()
    }

    /// Whether other keys may be needed: none has the name that the token gives, or none have come yet.
    fn is_strange(&self, credentials: &Credentials<'_>) -> bool {
        let all = self.all();
        let miss_name = all.iter().all(|tokens| tokens.miss_key_of(credentials));
        let is_for_file = self.file.as_ref().is_some_and(|tokens| tokens.have_key_for(credentials));
        (all.is_empty() || miss_name) || (self.fetched.tokens().is_none() && !is_for_file)
    }

    /// By which keys this token is to be judged.
    fn judge(&self, credentials: &Credentials<'_>) -> Result<Arc<Tokens>, Verdict> {
        match self.fetched.terms.token(credentials) {
            Err(TokenFault::NoToken) => return Err(Verdict::Abstain),
            Err(fault) => return Err(Verdict::Deny(fault.reason())),
            Ok(_) => {}
        }
        let is_known = self.fetched.tokens().is_some();
        let judge = self.all().into_iter().find(|tokens| tokens.have_key_for(credentials));
        // Without any keys nobody knows whether the token is wrong.
        let stranger = if is_known { TokenFault::UnknownKey.reason() } else { Reason::ServerUnavailable };
        judge.ok_or(Verdict::Deny(stranger))
    }
}

impl Authenticator for IssuedTokens {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        match self.judge(credentials) {
            // A key without a name may have signed it, too.
            Ok(tokens) => match tokens.authenticate(credentials) {
                Verdict::Deny(_) if self.is_strange(credentials) => Verdict::Later,
                judged @ (Verdict::Allow(_) | Verdict::Deny(_) | Verdict::Abstain | Verdict::Later) => judged,
            },
            Err(Verdict::Deny(_)) if self.is_strange(credentials) => Verdict::Later,
            Err(refused) => refused,
        }
    }

    fn work(&self, credentials: &Credentials<'_>) -> Verdict {
        match self.judge(credentials) {
            Ok(tokens) => tokens.work(credentials),
            Err(refused) => refused,
        }
    }

    fn helper(&self, credentials: &Credentials<'_>) -> Helper {
        if self.is_strange(credentials) { Helper::Fetcher } else { Helper::Clerk }
    }

    /// What was signed holds until its own end: keys come and go while the tokens of before are good.
    fn knows(&self, identity: &Identity) -> bool {
        identity.method == METHOD
    }
}
