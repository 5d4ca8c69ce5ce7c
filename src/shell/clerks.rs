//! Clerks: a few threads that find the answers which take time, so that no shard waits while a password is hashed.
//!
//! Shards leave questions at a desk; a clerk brings the answer through the shard's door, like any other shard. Questions that find no
//! room are refused at once, so a flood of wrong passwords makes new clients wait or go. What it takes of the cores that clerks share with
//! the shards is bounded by their number. A clerk whose question goes wrong answers with a refusal and goes on.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::broker::post;
use super::mesh::{Parcel, Ways};
use super::reloading::Force;
use super::web;
use crate::engine::auth::exchange::Step;
use crate::engine::auth::policy::Policy;
use crate::engine::auth::{Decision, Helper, Verdict};
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::input::Answer;
use crate::engine::output::{About, Question};
use crate::mqtt::Reason;

/// Questions of all shards that may wait for a clerk. At some 20 ms for a hash two clerks need five to six seconds for so many, which is
/// within the time that a client has for its handshake.
const QUESTIONS_MAX: usize = 512;

/// What a clerk has found.
#[derive(Debug)]
pub struct Answered {
    /// Where the question came from, without what it was about.
    pub connection: ConnectionKey,
    /// Which of its questions it was.
    pub number: u32,
    /// The answer.
    pub answer: Answer,
}

/// Where one shard leaves its questions. One per shard.
#[derive(Clone, Debug)]
pub struct Desk {
    shard: ShardId,
    questions: Sender<(ShardId, Question)>,
    /// Where questions go whose answers come from a web server.
    web: web::Desk,
}

impl Desk {
    /// The same, with somebody who asks web servers.
    #[must_use]
    pub fn with_web(self, web: web::Desk) -> Self {
        Self { web, ..self }
    }

    /// Leaves a question; gives it back if there is no room, or nobody to answer.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask(&self, question: Question) -> Result<(), Question> {
        match question.about.helper() {
            Helper::Clerk => {}
            Helper::Courier | Helper::Fetcher => return self.web.ask(self.shard, question),
        }
        self.questions.try_send((self.shard, question)).map_err(|refused| match refused {
            TrySendError::Full((_, question)) | TrySendError::Disconnected((_, question)) => question,
        })
    }
}

/// The running clerks. They end when this and all desks are dropped.
#[derive(Debug)]
pub struct Clerks {
    questions: Option<Sender<(ShardId, Question)>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clerks {
    /// Starts so many clerks, who answer by the policy that is in force.
    pub fn start(count: usize, force: &Arc<Force>, ways: &Ways) -> io::Result<Self> {
        let (questions, inbox) = bounded(QUESTIONS_MAX);
        let mut threads = Vec::new();
        for number in 0..count {
            let (force, ways, inbox) = (Arc::clone(force), ways.clone(), inbox.clone());
            let name = format!("pregon-clerk-{number}");
            threads.push(thread::Builder::new().name(name).spawn(move || work(&force, &ways, &inbox))?);
        }
        Ok(Self { questions: Some(questions), threads })
    }

    /// Where a shard asks.
    pub fn desk(&self, shard: ShardId) -> Desk {
        let questions = self.questions.clone().expect("it is there until this is dropped");
        Desk { shard, questions, web: web::Desk::default() }
    }
}

impl Drop for Clerks {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            thread.join().expect("a clerk does not panic");
        }
    }
}

fn work(force: &Force, ways: &Ways, inbox: &Receiver<(ShardId, Question)>) {
    while let Ok((shard, Question { connection, number, about })) = inbox.recv() {
        let answer = answer(&force.policy(), about);
        post(ways, shard, Parcel::Answered(Box::new(Answered { connection, number, answer })));
    }
}

fn answer(policy: &Policy, about: About) -> Answer {
    if let (About::Credentials { link, .. }, Some(credentials)) = (&about, about.credentials()) {
        let verdict = guarded(|| policy.work(*link, &credentials));
        return Answer::Credentials(verdict.unwrap_or(Verdict::Deny(Reason::ServerUnavailable)));
    }
    match about {
        About::Exchange { mut exchange } => {
            let step = guarded(|| exchange.work());
            Answer::Exchange(exchange, step.unwrap_or(Step::Deny(Reason::ServerUnavailable)))
        }
        // Credentials were seen to above; whoever decides later about actions is no clerk.
        About::Credentials { .. } | About::Action { .. } => refusal(about),
    }
}

/// The answer to a question that nobody could take.
pub fn refusal(about: About) -> Answer {
    let denied = Reason::ServerBusy;
    match about {
        About::Credentials { .. } => Answer::Credentials(Verdict::Deny(denied)),
        About::Exchange { exchange } => Answer::Exchange(exchange, Step::Deny(denied)),
        About::Action { .. } => Answer::Action(Decision::Deny),
    }
}

/// What it finds, unless it goes wrong: nobody is let in because of that, and the clerk goes on.
fn guarded<T>(find: impl FnOnce() -> T) -> Option<T> {
    // What it has touched is not looked at again, or goes on from a refusal.
    let found = catch_unwind(AssertUnwindSafe(find));
    if found.is_err() {
        tracing::error!("who had to say whether a client may come in went wrong; the client is refused");
    }
    found.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::engine::auth::identity::Identity;
    use crate::engine::auth::policy::{Open, Outcome};
    use crate::engine::auth::{Authenticator, Credentials};
    use crate::engine::connection::Peer;
    use crate::mqtt::Version;
    use crate::shell::mesh::{Inbox, connect};

    /// Takes its time for everybody, as long as somebody holds it up, and knows those who send their name as a password.
    #[derive(Default)]
    struct Slow {
        held_up: Arc<Mutex<()>>,
    }

    impl Authenticator for Slow {
        fn authenticate(&self, _credentials: &Credentials<'_>) -> Verdict {
            Verdict::Later
        }

        fn work(&self, credentials: &Credentials<'_>) -> Verdict {
            let _goes_on = self.held_up.lock();
            let name = credentials.user_name.expect("these tests give one");
            assert_ne!(name, "nobody", "this one goes wrong");
            if credentials.password == Some(name.as_bytes()) {
                return Verdict::Allow(Arc::new(Identity::user(name, "password")));
            }
            Verdict::Deny(Reason::BadUserNameOrPassword)
        }

        fn knows(&self, _identity: &Identity) -> bool {
            true
        }
    }

    fn policy(slow: Slow) -> Arc<Policy> {
        Arc::new(Policy::new(vec![Box::new(slow)], Box::new(Open)))
    }

    fn in_force(policy: &Arc<Policy>) -> Arc<Force> {
        Arc::new(Force::new(Arc::clone(policy)))
    }

    fn question(policy: &Policy, number: u32, name: &str, password: &str) -> Question {
        let peer = Peer { address: ([127, 0, 0, 1], 1883).into(), listener: 0 };
        let credentials = Credentials {
            client_id: "c",
            user_name: Some(name),
            password: Some(password.as_bytes()),
            peer: peer.address,
            listener: peer.listener,
            version: Version::V5,
            now_unix_s: 0,
            certificate: None,
        };
        let Outcome::Later(link) = policy.authenticate(&credentials) else { panic!("it takes its time") };
        let about = About::Credentials {
            link,
            client_id: "c".into(),
            user_name: Some(name.into()),
            password: Some(password.as_bytes().into()),
            peer,
            certificate: None,
            version: Version::V5,
            now_unix_s: 0,
        };
        Question { connection: ConnectionKey::from_bits(1 << 32).expect("it is the first"), number, about }
    }

    /// The next answer for a shard.
    fn answered(inbox: &Inbox) -> (u32, Verdict) {
        loop {
            match inbox.take() {
                Some(Parcel::Answered(answered)) => {
                    let Answer::Credentials(verdict) = answered.answer else { panic!("credentials were asked about") };
                    return (answered.number, verdict);
                }
                Some(_) => panic!("nobody sends anything else"),
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn answers_come_to_the_shard_that_has_asked() {
        let (ways, inboxes) = connect(2, 16).unwrap();
        let policy = policy(Slow::default());
        let clerks = Clerks::start(2, &in_force(&policy), &ways).unwrap();
        for (number, inbox) in inboxes.iter().enumerate() {
            let desk = clerks.desk(ShardId::new(number));
            let number = u32::try_from(number).unwrap();
            desk.ask(question(&policy, 10 + number, "alice", "alice")).expect("there is room");
            let (answered, verdict) = answered(inbox);
            assert_eq!(answered, 10 + number);
            assert!(matches!(verdict, Verdict::Allow(identity) if identity.user.as_deref() == Some("alice")));
            desk.ask(question(&policy, 0, "alice", "bob")).expect("there is room");
            assert!(matches!(self::answered(inbox).1, Verdict::Deny(Reason::BadUserNameOrPassword)));
        }
    }

    #[test]
    fn threat_3_a_clerk_whose_question_goes_wrong_refuses_and_goes_on() {
        let (ways, inboxes) = connect(1, 16).unwrap();
        let policy = policy(Slow::default());
        let clerks = Clerks::start(1, &in_force(&policy), &ways).unwrap();
        let desk = clerks.desk(ShardId::new(0));
        desk.ask(question(&policy, 1, "nobody", "x")).expect("there is room");
        assert!(matches!(answered(&inboxes[0]), (1, Verdict::Deny(Reason::ServerUnavailable))));
        desk.ask(question(&policy, 2, "alice", "alice")).expect("there is room");
        assert!(matches!(answered(&inboxes[0]), (2, Verdict::Allow(_))));
    }

    #[test]
    fn what_finds_no_room_comes_back_and_is_refused() {
        let (ways, inboxes) = connect(1, 2 * QUESTIONS_MAX).unwrap();
        let held_up = Arc::default();
        let policy = policy(Slow { held_up: Arc::clone(&held_up) });
        let clerks = Clerks::start(1, &in_force(&policy), &ways).unwrap();
        let desk = clerks.desk(ShardId::new(0));
        let busy = held_up.lock().unwrap();
        let refused = (0..).find_map(|number| desk.ask(question(&policy, number, "alice", "alice")).err()).unwrap();
        let room = usize::try_from(refused.number).unwrap();
        // One of them may be in the clerk's hands.
        assert!(room == QUESTIONS_MAX || room == QUESTIONS_MAX + 1, "{room}");
        assert!(matches!(refusal(refused.about), Answer::Credentials(Verdict::Deny(Reason::ServerBusy))));
        drop(busy);
        assert!((0..refused.number).all(|number| answered(&inboxes[0]).0 == number), "whoever found room is answered");
    }
}
