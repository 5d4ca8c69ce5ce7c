//! Enhanced authentication: a conversation of several AUTH packets, one step at a time.

use std::sync::Arc;

use super::identity::Identity;
use crate::mqtt::reason::Reason;

/// Steps that one exchange may take; the next one is refused. The longest method in use takes three.
pub const STEPS_MAX: u8 = 16;

/// What an exchange answers to the client's data.
#[derive(Clone, Debug)]
pub enum Step {
    /// The client is asked on: AUTH with Continue Authentication and this data.
    Continue(Vec<u8>),
    /// The client is who it says.
    Accept {
        /// Who it is.
        identity: Arc<Identity>,
        /// What the final packet carries, for instance the server's own proof.
        data: Option<Vec<u8>>,
    },
    /// The client is refused.
    Deny(Reason),
    /// The answer takes time: [`Exchange::work`] finds it, away from the shards.
    Later,
}

/// One client's run of a method. Owned by its connection; it may be moved to a helper thread for slow steps.
pub trait Exchange: Send {
    /// Takes the Authentication Data of CONNECT or AUTH.
    fn step(&mut self, data: Option<&[u8]>) -> Step;

    /// The slow half, called on a helper thread after [`Step::Later`]; it does not put off again.
    fn work(&mut self) -> Step {
        Step::Deny(Reason::ServerUnavailable)
    }
}

/// An exchange with its rules: one method, a bounded number of steps, none after the end. Owned by its connection.
pub struct Dialogue {
    method: Box<str>,
    exchange: Box<dyn Exchange>,
    /// steps ≤ `STEPS_MAX`
    steps: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client speaks next.
    Listening,
    /// A helper thread answers next.
    Waiting,
    /// It was decided.
    Over,
}

impl Dialogue {
    /// A dialogue at its beginning.
    pub fn new(method: &str, exchange: Box<dyn Exchange>) -> Self {
        Self { method: method.into(), exchange, steps: 0, state: State::Listening }
    }

    /// The method that CONNECT named.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Takes the next packet of the client. Whatever breaks the rules is refused, and a refusal is the end.
    pub fn step(&mut self, method: Option<&str>, data: Option<&[u8]>) -> Step {
        // [MQTT-4.12.0-5] Each AUTH names the method that CONNECT named.
        if method != Some(&*self.method) {
            self.state = State::Over;
            return Step::Deny(Reason::BadAuthenticationMethod);
        }
        if self.state != State::Listening || self.steps == STEPS_MAX {
            self.state = State::Over;
            return Step::Deny(Reason::ProtocolError);
        }
        self.steps += 1;
        let step = self.exchange.step(data);
        self.follow(step)
    }

    /// Does the slow half of a step that was put off. Called on a helper thread.
    pub fn work(&mut self) -> Step {
        debug_assert_eq!(self.state, State::Waiting, "only a step that was put off has a slow half");
        match self.exchange.work() {
            // Put off twice: nobody would ask a third time.
            Step::Later => self.follow(Step::Deny(Reason::ServerUnavailable)),
            step @ (Step::Continue(_) | Step::Accept { .. } | Step::Deny(_)) => self.follow(step),
        }
    }

    /// Whether it was decided: no further step is taken.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn follow(&mut self, step: Step) -> Step {
        self.state = match &step {
            Step::Continue(_) => State::Listening,
            Step::Later => State::Waiting,
            Step::Accept { .. } | Step::Deny(_) => State::Over,
        };
        step
    }
}

impl std::fmt::Debug for Dialogue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Dialogue")
            .field("method", &self.method)
            .field("steps", &self.steps)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a number and wants it back plus one; an answer with an `s` behind it is judged by work.
    #[derive(Default)]
    struct Challenge {
        sent: Option<u8>,
        is_right: bool,
    }

    impl Exchange for Challenge {
        fn step(&mut self, data: Option<&[u8]>) -> Step {
            match (self.sent, data) {
                (None, _) => {
                    self.sent = Some(41);
                    Step::Continue(vec![41])
                }
                (Some(sent), Some(&[answer])) => verdict(answer == sent + 1),
                (Some(sent), Some(&[answer, b's'])) => {
                    self.is_right = answer == sent + 1;
                    Step::Later
                }
                (Some(_), Some(b"again")) => Step::Continue(vec![41]),
                (Some(_), Some(_) | None) => Step::Deny(Reason::NotAuthorized),
            }
        }

        fn work(&mut self) -> Step {
            verdict(self.is_right)
        }
    }

    fn verdict(is_right: bool) -> Step {
        if !is_right {
            return Step::Deny(Reason::NotAuthorized);
        }
        Step::Accept { identity: Arc::new(Identity::user("alice", "challenge")), data: Some(b"welcome".to_vec()) }
    }

    fn dialogue() -> Dialogue {
        let mut dialogue = Dialogue::new("CHALLENGE", Box::new(Challenge::default()));
        assert!(matches!(dialogue.step(Some("CHALLENGE"), None), Step::Continue(data) if data == [41]));
        dialogue
    }

    fn denied(step: &Step) -> Option<Reason> {
        match step {
            Step::Deny(reason) => Some(*reason),
            Step::Continue(_) | Step::Accept { .. } | Step::Later => None,
        }
    }

    #[test]
    fn the_right_answer_is_let_in_and_the_wrong_one_is_not() {
        let mut right = dialogue();
        let step = right.step(Some("CHALLENGE"), Some(&[42]));
        assert!(matches!(step, Step::Accept { identity, data: Some(_) } if identity.user.as_deref() == Some("alice")));
        let mut wrong = dialogue();
        assert_eq!(denied(&wrong.step(Some("CHALLENGE"), Some(&[43]))), Some(Reason::NotAuthorized));
        assert!(right.is_over() && wrong.is_over());
    }

    #[test]
    fn a_dialogue_keeps_its_method() {
        // [MQTT-4.12.0-5]
        for method in [None, Some(""), Some("PLAIN"), Some("challenge")] {
            let mut dialogue = dialogue();
            assert_eq!(denied(&dialogue.step(method, Some(&[42]))), Some(Reason::BadAuthenticationMethod));
            assert!(dialogue.is_over());
        }
    }

    #[test]
    fn after_the_end_nothing_helps() {
        let mut dialogue = dialogue();
        let _wrong = dialogue.step(Some("CHALLENGE"), Some(&[0]));
        assert_eq!(denied(&dialogue.step(Some("CHALLENGE"), Some(&[42]))), Some(Reason::ProtocolError));
    }

    #[test]
    fn a_slow_answer_comes_from_work_and_nobody_speaks_meanwhile() {
        let mut patient = dialogue();
        assert!(matches!(patient.step(Some("CHALLENGE"), Some(&[42, b's'])), Step::Later));
        assert!(matches!(patient.work(), Step::Accept { .. }) && patient.is_over());
        let mut hasty = dialogue();
        assert!(matches!(hasty.step(Some("CHALLENGE"), Some(&[42, b's'])), Step::Later));
        assert_eq!(denied(&hasty.step(Some("CHALLENGE"), Some(&[42]))), Some(Reason::ProtocolError));
    }

    #[test]
    fn a_dialogue_has_an_end() {
        let mut dialogue = dialogue();
        for _ in 1..STEPS_MAX {
            assert!(matches!(dialogue.step(Some("CHALLENGE"), Some(b"again")), Step::Continue(_)));
        }
        assert_eq!(denied(&dialogue.step(Some("CHALLENGE"), Some(b"again"))), Some(Reason::ProtocolError));
    }
}
