//! Who a client is and what it may do, as the operator's server says it: what is remembered answers at once, and what is not is asked once.

use core::{fmt, mem};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::client::{Client, NoAnswer, without_query};
use super::tally::{Tally, count};
use crate::config::{Auth, Listeners};
use crate::engine::auth::acl::deliveries::Deliveries;
use crate::engine::auth::acl::rule::Rule;
use crate::engine::auth::hook::answer::{self, AnswerFault, ClientAnswer};
use crate::engine::auth::hook::digest::{Digest, Digester, SECRET_BYTES, Topic};
use crate::engine::auth::hook::flights::{Begun, Flights};
use crate::engine::auth::hook::shelves::Shelves;
use crate::engine::auth::hook::{METHOD, Said, question};
use crate::engine::auth::identity::Identity;
use crate::engine::auth::{
    Action, Authenticator, Authoriser, ClientId, Credentials, Decision, Ground, Helper, Verdict,
};
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::input::Answer;
use crate::engine::limits::{HOOK_ANSWER_BYTES_MAX, HOOK_WAITING_MAX};
use crate::engine::output::{About, Question};
use crate::mqtt::Reason;
use crate::shell::clock::{Clock, wall_s};
use crate::shell::guard::guarded;

/// The hook. One for the whole broker, for all its life: a reload forgets what it remembers.
pub struct Hook {
    terms: Terms,
    clock: Clock,
    tally: Arc<Tally>,
    asking: RwLock<Arc<Asking>>,
    known: Mutex<Known>,
}

/// What the operator says of it.
#[derive(Debug)]
struct Terms {
    client_url: Option<Box<str>>,
    rules_url: Option<Box<str>>,
    cache_ms: u64,
    cache_denials_ms: u64,
    patience_ms: u64,
    /// The names of listeners by their numbers; those that were only given an address have none.
    listeners: Vec<Option<Box<str>>>,
}

/// By what it is asked, between two reloads.
#[derive(Debug)]
struct Asking {
    digester: Digester,
    client: Client,
    number: u64,
}

#[derive(Debug)]
struct Known {
    shelves: Shelves,
    flights: Flights<Waiter>,
    /// What was asked before the last reload is not remembered.
    number: u64,
}

/// Who waits for an answer: the connection and the number of its question, on this shard; a will has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The shard.
    pub shard: ShardId,
    /// The connection.
    pub connection: Option<ConnectionKey>,
    /// The question.
    pub number: u32,
}

/// What becomes of a question.
#[derive(Debug)]
enum Found {
    Said(Said),
    /// The server did not answer, or not as it should.
    Failed,
    /// Too many wait.
    Busy,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
    #[error("the answer cannot be used: {0}")]
    Answer(#[from] AnswerFault),
}

impl Hook {
    /// A hook that remembers nothing yet.
    pub fn new(
        auth: &Auth,
        listeners: &Listeners,
        client: Client,
        secret: &[u8; SECRET_BYTES],
        tally: Arc<Tally>,
    ) -> Self {
        let plain = listeners.tcp.iter().map(|_| None);
        let terms = Terms {
            client_url: auth.hook_url.clone(),
            rules_url: auth.hook_rules_url.clone(),
            cache_ms: auth.hook_cache_ms,
            cache_denials_ms: auth.hook_cache_denials_ms,
            patience_ms: auth.hook_timeout_ms,
            listeners: plain.chain(listeners.named.iter().map(|named| Some(named.name.clone()))).collect(),
        };
        let asking = Asking { digester: Digester::new(secret), client, number: 0 };
        Self {
            terms,
            clock: Clock::start(),
            tally,
            asking: RwLock::new(Arc::new(asking)),
            known: Mutex::new(Known::new(0)),
        }
    }

    /// Forgets all that it remembers, and asks by this client from now on.
    pub fn renew(&self, client: Client, secret: &[u8; SECRET_BYTES]) {
        let digester = Digester::new(secret);
        let mut asking = self.asking.write().unwrap_or_else(PoisonError::into_inner);
        let number = asking.number + 1;
        let before = mem::replace(&mut *asking, Arc::new(Asking { digester, client, number }));
        let mut known = self.known();
        let forgotten = mem::take(&mut known.shelves);
        known.number = number;
        // Shards take these locks: they do not wait while so much is freed.
        drop(known);
        drop(asking);
        drop((before, forgotten));
    }

    /// When it is now, as [`Self::serve`] counts it.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// A question that nobody could take.
    pub fn note_refused(&self) {
        count(&self.tally.refused);
    }

    /// Finds the answer to a question that has waited since then: it is handed over, now or by whoever asks the same.
    pub fn serve(&self, shard: ShardId, question: Question, since_ns: u64, mut hand: impl FnMut(Waiter, Answer)) {
        let Question { connection, number, about } = question;
        let waiter = Waiter { shard, connection, number };
        let Some(put) = self.put(&about) else { return hand(waiter, as_answer(&about, &Found::Failed)) };
        // Its client has waited as long as for an answer, and would have to wait so long again.
        if self.now_ns().saturating_sub(since_ns) > self.terms.patience_ms * 1_000_000 {
            self.note_refused();
            return hand(waiter, as_answer(&about, &Found::Busy));
        }
        // Not in the arms below: the lock would be held while the server is asked.
        let begun = match self.begin(&put, waiter) {
            Ok(begun) => begun,
            Err(said) => return hand(waiter, as_answer(&about, &Found::Said(said))),
        };
        match begun {
            Begun::Joined => count(&self.tally.joined),
            Begun::Full(waiter) => {
                self.note_refused();
                hand(waiter, as_answer(&about, &Found::Busy));
            }
            Begun::First => {
                // Whatever happens, all who wait are told.
                let said = guarded(|| self.ask(&put, &about)).flatten();
                let found = said.map_or(Found::Failed, Found::Said);
                let waiters = self.known().flights.end(&put.digest);
                for waiter in waiters {
                    hand(waiter, as_answer(&about, &found));
                }
            }
        }
    }

    /// What becomes of the question, unless its answer is there: in one step, so that none is asked whose answer has just come.
    fn begin(&self, put: &Put<'_>, waiter: Waiter) -> Result<Begun<Waiter>, Said> {
        let mut known = self.known();
        match known.shelves.get(put.topic, &put.digest, self.clock.now()).cloned() {
            Some(said) => {
                count(&self.tally.cache_hits);
                Err(said)
            }
            None => Ok(known.flights.begin(put.digest, waiter)),
        }
    }

    fn put(&self, about: &About) -> Option<Put<'_>> {
        let asking = Arc::clone(&self.asking.read().unwrap_or_else(PoisonError::into_inner));
        let (topic, url, text) = match about {
            About::Credentials { .. } => {
                let credentials = about.credentials()?;
                (Topic::Client, self.terms.client_url.as_deref()?, self.about_client(&credentials))
            }
            About::Action { identity, client_id, action } => {
                let text = question::about_action(identity, client_id, action.as_action())?;
                (Topic::Action, self.terms.rules_url.as_deref()?, text)
            }
            About::Exchange { .. } => return None,
        };
        Some(Put { digest: asking.digester.digest(topic, &text), asking, topic, url, text })
    }

    fn about_client(&self, credentials: &Credentials<'_>) -> Vec<u8> {
        let listener = self.terms.listeners.get(usize::from(credentials.listener));
        question::about_client(credentials, listener.and_then(Option::as_deref))
    }

    /// Asks the server, and remembers what it says.
    fn ask(&self, put: &Put<'_>, about: &About) -> Option<Said> {
        let begun_ns = self.now_ns();
        let heard = hear(put, about);
        let said = heard.as_ref().ok().map(|(said, _)| said);
        self.tally.note(said, self.now_ns().saturating_sub(begun_ns));
        match heard {
            Ok((said, expires_at)) => {
                self.keep(put, &said, expires_at);
                Some(said)
            }
            Err(error) => {
                let url = without_query(put.url);
                tracing::warn!(url, %error, "a hook has not answered: whoever was asked about is refused");
                None
            }
        }
    }

    fn keep(&self, put: &Put<'_>, said: &Said, expires_at: Option<u64>) {
        let cache_ms = if said.is_good() { self.terms.cache_ms } else { self.terms.cache_denials_ms };
        // The clock has shown this second for up to a second: rather a moment too short than too long.
        let left_ms = expires_at.map(|end| end.saturating_sub(wall_s() + 1).saturating_mul(1_000));
        let now = self.clock.now();
        let until = now.after_ms(left_ms.map_or(cache_ms, |left_ms| left_ms.min(cache_ms)));
        let mut known = self.known();
        if known.number == put.asking.number {
            known.shelves.keep(put.topic, put.digest, said, until, now);
        }
    }

    /// What is remembered of a question.
    fn recall(&self, topic: Topic, text: &[u8]) -> Option<Said> {
        let digest = self.digest(topic, text);
        let said = self.known().shelves.get(topic, &digest, self.clock.now()).cloned();
        if said.is_some() {
            count(&self.tally.cache_hits);
        }
        said
    }

    fn digest(&self, topic: Topic, text: &[u8]) -> Digest {
        self.asking.read().unwrap_or_else(PoisonError::into_inner).digester.digest(topic, text)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question as the server gets it.
struct Put<'a> {
    asking: Arc<Asking>,
    topic: Topic,
    url: &'a str,
    text: Vec<u8>,
    digest: Digest,
}

impl Known {
    fn new(number: u64) -> Self {
        Self { shelves: Shelves::default(), flights: Flights::new(HOOK_WAITING_MAX), number }
    }
}

/// What the server says, and until when it holds.
fn hear(put: &Put<'_>, about: &About) -> Result<(Said, Option<u64>), Failure> {
    let text = put.asking.client.post(put.url, &put.text, HOOK_ANSWER_BYTES_MAX)?;
    let (said, expires_at) = match put.topic {
        Topic::Client => {
            let answer = answer::of_client(&text)?;
            let expires_at = match &answer {
                ClientAnswer::Allow(admission) => admission.expires_at,
                ClientAnswer::Deny | ClientAnswer::Ignore => None,
            };
            let user_name = about.credentials().and_then(|credentials| credentials.user_name);
            (Said::of_client(answer, user_name), expires_at)
        }
        Topic::Action => {
            let answer = answer::of_action(&text)?;
            let said = if answer.is_allowed { Said::Granted } else { Said::Refused };
            (said, answer.expires_at)
        }
    };
    // What was allowed until a moment that is over is not allowed.
    let is_over = said.is_good() && expires_at.is_some_and(|end| end <= wall_s());
    Ok((if is_over { Said::Refused } else { said }, expires_at))
}

fn as_answer(about: &About, found: &Found) -> Answer {
    match (about, found) {
        (About::Credentials { .. }, Found::Said(said)) => Answer::Credentials(said.verdict()),
        (About::Credentials { .. }, Found::Busy) => Answer::Credentials(Verdict::Deny(Reason::ServerBusy)),
        (About::Credentials { .. } | About::Exchange { .. }, Found::Said(_) | Found::Failed | Found::Busy) => {
            Answer::Credentials(Verdict::Deny(Reason::ServerUnavailable))
        }
        (About::Action { .. }, Found::Said(said)) => Answer::Action(said.decision()),
        (About::Action { .. }, Found::Failed) => Answer::Action(Decision::Deny),
        (About::Action { .. }, Found::Busy) => Answer::Action(Decision::Later),
    }
}

impl Authenticator for Hook {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        let text = self.about_client(credentials);
        self.recall(Topic::Client, &text).map_or(Verdict::Later, |said| said.verdict())
    }

    fn helper(&self, _credentials: &Credentials<'_>) -> Helper {
        Helper::Courier
    }

    /// Whom the server has let in stays until its own end: it cannot be asked about everybody at once.
    fn knows(&self, identity: &Identity) -> bool {
        identity.method == METHOD
    }
}

/// The rules of the operator's files, and where they allow something, the word of the server.
pub struct HookRules {
    files: Box<dyn Authoriser>,
    hook: Arc<Hook>,
}

impl HookRules {
    /// Both have to allow what is done; of deliveries the files decide alone.
    pub fn new(files: Box<dyn Authoriser>, hook: Arc<Hook>) -> Self {
        Self { files, hook }
    }
}

impl Authoriser for HookRules {
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision {
        match self.files.decide(who, client_id, action) {
            Decision::Allow => {}
            decided @ (Decision::Deny | Decision::Later) => return decided,
        }
        let Some(text) = question::about_action(who, client_id.as_str(), action) else { return Decision::Allow };
        self.hook.recall(Topic::Action, &text).map_or(Decision::Later, |said| said.decision())
    }

    /// Where the files allow something, no rule of theirs refuses it.
    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        let is_theirs = self.files.decide(who, client_id, action) == Decision::Deny;
        if is_theirs { self.files.ground(who, client_id, action) } else { Ground::NoRule }
    }

    fn rule(&self, ground: Ground) -> Option<&Rule> {
        self.files.rule(ground)
    }

    fn files(&self) -> Option<&dyn Authoriser> {
        Some(&*self.files)
    }

    fn is_cautious(&self) -> bool {
        self.files.is_cautious()
    }

    fn checks_receive(&self) -> bool {
        self.files.checks_receive()
    }

    fn asks_for_origin(&self) -> bool {
        self.files.asks_for_origin()
    }

    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        self.files.deliveries(who, client_id, filter)
    }
}

/// Where it asks, and nothing of what it remembers.
impl fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hook").field("terms", &self.terms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Trust;
    use super::super::resolver::Lookups;
    use super::*;
    use crate::base::hash::Seed;
    use crate::engine::auth::acl::Acl;
    use crate::engine::auth::difference::{Fate, Wanted, fate};
    use crate::engine::auth::policy::Policy;
    use crate::mqtt::QoS;

    fn acl(text: &str) -> Box<Acl> {
        Box::new(Acl::parse(text, Seed::new(1)).unwrap())
    }

    #[test]
    fn threat_7_what_other_rules_take_is_seen_where_a_hook_has_a_word_too() {
        let auth = Auth::default();
        let client = Client::new(&Trust::read(&auth).unwrap(), 100, 1, None, &Lookups::new(1));
        let hook = Hook::new(&auth, &Listeners::default(), client, &[1; SECRET_BYTES], Arc::default());
        let allowed = "rule = [{ effect = 'allow', actions = 'all', topics = 'a/#' }]";
        let rules = HookRules::new(acl(allowed), Arc::new(hook));
        let policy = Policy::new(Vec::new(), Box::new(rules));
        let (who, client_id, qos) = (Identity::anonymous(), ClientId::Text("c1"), QoS::AtMostOnce);
        let wanted = Wanted { who: &who, client_id, filter: "a/b", qos, is_shared: false };
        assert_eq!(
            fate(policy.rules(), &*acl("rule = [{ effect = 'allow', actions = 'all', topics = 'z' }]"), &wanted),
            Fate::Lost
        );
        assert_eq!(fate(policy.rules(), &*acl(allowed), &wanted), Fate::Same);
        let subscribe = |filter| Action::Subscribe { filter, qos, is_shared: false };
        assert_eq!(policy.authoriser().decide(&who, client_id, subscribe("a/b")), Decision::Later);
        assert_eq!(policy.rules().ground(&who, client_id, subscribe("a/b")), Ground::Rule(0));
        let ground = policy.authoriser().ground(&who, client_id, subscribe("a/b"));
        assert_eq!(ground, Ground::NoRule, "the hook decides this");
        assert!(policy.authoriser().rule(Ground::Rule(0)).is_some());
    }
}
