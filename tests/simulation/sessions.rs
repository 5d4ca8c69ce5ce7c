//! The shadow of the broker's sessions: when each is there, and what must become of the wills that were left.

use pregon::base::time::Time;

use crate::clients::{Life, Phase};
use crate::record::{Moment, Verdict};
use crate::simulation::Simulation;

impl Simulation {
    /// The client has no connection any more, as far as it knows.
    pub fn connection_over(&mut self, client: usize) {
        let state = &mut self.clients[client];
        let link = state.link.expect("a connection that is over was there");
        if state.phase == Phase::Waiting {
            self.connect_lost(client, link);
        }
        self.clients[client].forget_connection();
    }

    /// The broker's end of a connection is over: by its own wish, or because the network broke.
    pub fn link_over(&mut self, link: usize) {
        let client = self.wires[link].client;
        self.clients[client].stale.retain(|stale| *stale != link);
        // While CONNACK is under way, what it says about the session is heard first, or never.
        if self.clients[client].session_link == Some(link) {
            self.session_left_alone(client, link);
        }
    }

    /// The connection of the broker's session has ended.
    fn session_left_alone(&mut self, client: usize, link: usize) {
        let (now, was_cut) = self.wires[link].closed.expect("a connection that is over was closed");
        let state = &mut self.clients[client];
        state.session_link = None;
        let Life::Connected(expiry) = state.life else { return };
        let farewell = self.wires[link].farewell;
        let last = farewell.and_then(|farewell| farewell.expiry).unwrap_or(expiry);
        let expiry = (expiry.min(last), expiry.max(last));
        state.life = if expiry.1 == 0 { Life::None } else { Life::Detached { since: (now, now), expiry } };
        let Some(will) = state.will.take() else { return };
        let is_normal = farewell.is_some_and(|farewell| !farewell.with_will);
        let is_unclear = is_normal && (was_cut || farewell.is_some_and(|farewell| farewell.is_unclear));
        let wait_s = self.wills[will].delay_s.min(expiry.0);
        self.wills[will].verdict = if is_unclear {
            Verdict::May
        } else if is_normal {
            self.coverage.hit("will withheld after disconnect");
            Verdict::MustNot
        } else if wait_s == 0 {
            self.coverage.hit("will of a lost connection");
            Verdict::Must(now)
        } else {
            self.clients[client].due_will = Some(will);
            Verdict::Due(now.after_seconds(wait_s))
        };
    }

    /// CONNACK has come: was the session there, and what does that mean for a will that waits?
    pub fn session_answered(&mut self, client: usize, link: usize, is_present: bool, written: Moment) {
        let state = &mut self.clients[client];
        let asked = state.asked.take().expect("a CONNACK answers a CONNECT");
        let name = &state.name;
        let at = written.time;
        assert!(!is_present || !asked.is_clean, "{name} asked for a clean start and finds a session");
        assert!(is_present || asked.is_clean || !state.life.is_certain(at), "{name} does not find its session");
        assert!(!is_present || state.life.is_possible(at), "{name} finds a session that is over");
        if !is_present && !asked.is_clean && state.life != Life::None {
            self.coverage.hit("session expired");
        }
        if let Some(will) = state.due_will.take() {
            let verdict = judge_return(self.wills[will].verdict, is_present, at);
            self.wills[will].verdict = verdict;
            self.coverage.hit(match verdict {
                Verdict::MustNot => "will withheld after return",
                Verdict::Must(_) | Verdict::May | Verdict::Open | Verdict::Due(_) if is_present => "will after delay",
                Verdict::Must(_) | Verdict::May | Verdict::Open | Verdict::Due(_) => "will at session end",
            });
        }
        if !is_present {
            state.forget_session();
        }
        state.is_unsure = false;
        state.will = asked.will;
        state.life = Life::Connected(asked.expiry);
        state.session_link = Some(link);
        if self.wires[link].closed.is_some() {
            self.session_left_alone(client, link); // it is over already, and only now does the client hear how it began
        }
    }

    /// CONNECT was sent, and CONNACK will never be heard: the broker may have handled it or not.
    fn connect_lost(&mut self, client: usize, link: usize) {
        self.coverage.hit("connect lost");
        let now = self.world.now;
        assert!(self.world.links[link].is_closed, "a client waits for CONNACK as long as it can");
        let state = &mut self.clients[client];
        let Some(asked) = state.asked.take() else { return };
        if let Some(will) = asked.will {
            self.wills[will].verdict = Verdict::May;
        }
        if let Some(will) = state.due_will.take() {
            self.wills[will].verdict = Verdict::May;
        }
        let is_same = !asked.is_clean && state.life.is_certain(now) && asked.expiry > 0;
        state.life = match state.life {
            Life::Detached { since, expiry } if is_same => Life::Detached {
                since: (since.0, now),
                expiry: (expiry.0.min(asked.expiry), expiry.1.max(asked.expiry)),
            },
            life @ (Life::None | Life::Connected(_) | Life::Detached { .. }) => {
                state.is_unsure = true;
                life
            }
        };
    }
}

/// What becomes of a will that waits when its client is back.
fn judge_return(verdict: Verdict, is_present: bool, at: Time) -> Verdict {
    match verdict {
        // The session was ended by the clean start at the latest, or by its time.
        Verdict::Due(due) if !is_present => Verdict::Must(due.min(at)),
        Verdict::Due(due) if at < due => Verdict::MustNot,
        Verdict::Due(due) if at > due => Verdict::Must(due),
        Verdict::Due(_) => Verdict::May,
        Verdict::Open | Verdict::Must(_) | Verdict::MustNot | Verdict::May => verdict,
    }
}
