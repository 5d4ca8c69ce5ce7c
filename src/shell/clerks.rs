//! Clerks: a few threads that find the answers which take time, so that no shard waits while a password is hashed.
//!
//! Shards leave questions at a desk, a few at a time: what else they have to ask waits with them, in an order of theirs. A clerk brings the
//! answer through the shard's door, like any other shard. Clerks share the cores with the shards, and give way to them: they have what time
//! is left, and little beyond it. A clerk whose question goes wrong answers with a refusal and goes on.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::broker::post;
use super::guard::guarded;
use super::mesh::{Parcel, Ways};
use super::reloading::Force;
use super::ring::sys::give_way;
use super::web;
use crate::base::time::Time;
use crate::engine::auth::exchange::Step;
use crate::engine::auth::policy::Policy;
use crate::engine::auth::{Decision, Verdict};
use crate::engine::connection::ConnectionKey;
use crate::engine::homes::ShardId;
use crate::engine::input::Answer;
use crate::engine::output::{About, Question};
use crate::mqtt::Reason;

/// Questions of all shards that clerks have, for each clerk: one in its hands, and one that is there when it is done with that.
const QUESTIONS_A_CLERK: usize = 2;

/// A question on its way to a clerk.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub question: Question,
    /// Which shard has asked.
    pub asker: ShardId,
    /// Until when a clerk has to have it.
    pub by: Time,
}

/// What a clerk has found.
#[derive(Debug)]
pub struct Answered {
    /// Where the question came from, without what it was about.
    pub connection: Option<ConnectionKey>,
    /// Which of its questions it was.
    pub number: u32,
    /// The answer.
    pub answer: Answer,
}

/// Where one shard leaves its questions. One per shard.
#[derive(Clone, Debug)]
pub struct Desk {
    shard: ShardId,
    questions: Sender<(ShardId, Asked)>,
    share: usize,
    waiting_max: usize,
    /// Where questions go whose answers come from a web server.
    web: web::Desk,
}

impl Desk {
    /// The same, with somebody who asks web servers.
    #[must_use]
    pub fn with_web(self, web: web::Desk) -> Self {
        Self { web, ..self }
    }

    /// Leaves a question with whoever asks web servers; gives it back if there is no room, or nobody to ask.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask_web(&self, question: Question) -> Result<(), Question> {
        self.web.ask(self.shard, question)
    }

    /// How many questions may wait on this shard until they can be left.
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// How many questions this shard may leave before one of them is answered.
    pub fn share(&self) -> usize {
        self.share
    }

    /// Leaves a question; gives it back if there is no room, or nobody to answer.
    #[expect(clippy::result_large_err, reason = "whoever hears no answers the question at once")]
    pub fn ask(&self, asked: Asked) -> Result<(), Asked> {
        self.questions.try_send((self.shard, asked)).map_err(|refused| match refused {
            TrySendError::Full((_, asked)) | TrySendError::Disconnected((_, asked)) => asked,
        })
    }
}

/// The running clerks. They end when this and all desks are dropped.
#[derive(Debug)]
pub struct Clerks {
    questions: Option<Sender<(ShardId, Asked)>>,
    share: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Clerks {
    /// Starts so many clerks, who answer by the policy that is in force.
    pub fn start(count: usize, force: &Arc<Force>, ways: &Ways) -> io::Result<Self> {
        // Each shard has one there at least: with the answer to it the next one comes.
        let share = (count * QUESTIONS_A_CLERK).div_ceil(ways.shards()).max(1);
        let (questions, inbox) = bounded(share * ways.shards());
        let mut threads = Vec::new();
        for number in 0..count {
            let (force, ways, inbox) = (Arc::clone(force), ways.clone(), inbox.clone());
            let name = format!("pregon-clerk-{number}");
            threads.push(thread::Builder::new().name(name).spawn(move || work(&force, &ways, &inbox))?);
        }
        Ok(Self { questions: Some(questions), share, threads })
    }

    /// Where a shard asks on which so many questions may wait.
    pub fn desk(&self, shard: ShardId, waiting_max: usize) -> Desk {
        let questions = self.questions.clone().expect("it is there until this is dropped");
        Desk { shard, questions, share: self.share, waiting_max, web: web::Desk::default() }
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

fn work(force: &Force, ways: &Ways, inbox: &Receiver<(ShardId, Asked)>) {
    if let Err(error) = give_way() {
        tracing::warn!(%error, "hashes of passwords are computed at the priority of the shards");
    }
    while let Ok((shard, Asked { question, asker, .. })) = inbox.recv() {
        let Question { connection, number, about } = question;
        let answer = answer(&force.policy(), about);
        post(ways, shard, Parcel::Found { asker, answered: Box::new(Answered { connection, number, answer }) });
    }
}

fn answer(policy: &Policy, about: About) -> Answer {
    if let (About::Credentials { link, .. }, Some(credentials)) = (&about, about.credentials()) {
        let verdict = find(|| policy.work(*link, &credentials));
        return Answer::Credentials(verdict.unwrap_or(Verdict::Deny(Reason::ServerUnavailable)));
    }
    match about {
        About::Exchange { mut exchange } => {
            let step = find(|| exchange.work());
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
        About::Action { .. } => Answer::Action(Decision::Later),
    }
}

/// What it finds, unless it goes wrong: nobody is let in because of that, and the clerk goes on.
fn find<T>(judge: impl FnOnce() -> T) -> Option<T> {
    let found = guarded(judge);
    if found.is_none() {
        tracing::error!("who had to say whether a client may come in went wrong; the client is refused");
    }
    found
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

    fn question(policy: &Policy, number: u32, name: &str, password: &str) -> Asked {
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
        let connection = ConnectionKey::from_bits(1 << 32).expect("it is the first");
        Asked {
            question: Question { connection: Some(connection), number, about },
            asker: ShardId::new(0),
            by: Time::NEVER,
        }
    }

    /// The next answer for a shard.
    fn answered(inbox: &Inbox) -> (u32, Verdict) {
        loop {
            match inbox.take_client() {
                Some(Parcel::Found { answered, .. }) => {
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
        let (ways, inboxes) = connect(2, 16, u64::MAX).unwrap();
        let policy = policy(Slow::default());
        let clerks = Clerks::start(2, &in_force(&policy), &ways).unwrap();
        for (number, inbox) in inboxes.iter().enumerate() {
            let desk = clerks.desk(ShardId::new(number), 16);
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
        let (ways, inboxes) = connect(1, 16, u64::MAX).unwrap();
        let policy = policy(Slow::default());
        let clerks = Clerks::start(1, &in_force(&policy), &ways).unwrap();
        let desk = clerks.desk(ShardId::new(0), 16);
        desk.ask(question(&policy, 1, "nobody", "x")).expect("there is room");
        assert!(matches!(answered(&inboxes[0]), (1, Verdict::Deny(Reason::ServerUnavailable))));
        desk.ask(question(&policy, 2, "alice", "alice")).expect("there is room");
        assert!(matches!(answered(&inboxes[0]), (2, Verdict::Allow(_))));
    }

    #[test]
    fn what_finds_no_room_comes_back_and_is_refused() {
        let (ways, inboxes) = connect(1, 16, u64::MAX).unwrap();
        let held_up = Arc::default();
        let policy = policy(Slow { held_up: Arc::clone(&held_up) });
        let clerks = Clerks::start(1, &in_force(&policy), &ways).unwrap();
        let desk = clerks.desk(ShardId::new(0), 16);
        let busy = held_up.lock().unwrap();
        let refused = (0..).find_map(|number| desk.ask(question(&policy, number, "alice", "alice")).err()).unwrap();
        let Question { number: room, about, .. } = refused.question;
        // One of them may be in the clerk's hands.
        assert!((2..=3).contains(&room) && desk.share() == 2, "{room}");
        assert!(matches!(refusal(about), Answer::Credentials(Verdict::Deny(Reason::ServerBusy))));
        drop(busy);
        assert!((0..room).all(|number| answered(&inboxes[0]).0 == number), "whoever found room is answered");
    }
}
