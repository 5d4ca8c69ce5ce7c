//! What clients subscribe to, and how they give it up.

use pregon::mqtt::Version;

use crate::clients::Request;
use crate::packets::{self, Wanted};
use crate::plan::{any_qos, narrow};
use crate::record::Term;
use crate::simulation::Simulation;

/// Filters of those that are in no group.
const FILTERS: [&str; 12] = ["t/#", "t/+", "t/0", "t/1", "t/+/deep", "t/0/#", "#", "+/+", "r/#", "r/+/0", "w/+", "s/#"];

/// Filters of those that are in a group: nothing that may come by the group as well.
const MEMBER_FILTERS: [&str; 5] = ["t/#", "t/0", "t/+", "t/0/#", "r/#"];

/// The shared groups.
pub const GROUPS: [&str; 3] = ["$share/first/s/#", "$share/second/s/+", "$share/third/s/0"];

/// Subscription identifiers of groups begin here.
pub const GROUP_IDENTIFIERS: u32 = 1_000;

impl Simulation {
    /// A client subscribes to something.
    pub fn subscribes(&mut self, client: usize) {
        let (is_member, is_v5) = (self.clients[client].is_member(), self.clients[client].role.version == Version::V5);
        if is_member && self.dice.client.chance(1, 2) {
            return self.joins(client, is_v5);
        }
        let filters: &[&str] = if is_member { &MEMBER_FILTERS } else { &FILTERS };
        let random = &mut self.dice.client;
        let count = if random.chance(1, 3) { 2 } else { 1 };
        let mut wanted = Vec::new();
        for _ in 0..count {
            let text = (*random.pick(filters).expect("there are some")).to_owned();
            if wanted.iter().any(|known: &Wanted| known.text == text) {
                continue;
            }
            wanted.push(Wanted {
                text,
                qos: any_qos(random).max(any_qos(random)),
                no_local: is_v5 && random.chance(1, 5),
                as_published: is_v5 && random.chance(1, 5),
                handling: if is_v5 { *random.pick(&[0, 0, 1, 2]).expect("there are some") } else { 0 },
            });
        }
        let identifier = (is_v5 && random.chance(1, 2)).then(|| u32::from(narrow(random.range(1, 900))));
        self.subscribe_to(client, &wanted, identifier);
    }

    fn joins(&mut self, client: usize, is_v5: bool) {
        let groups = self.clients[client].role.groups.clone();
        let group = *self.dice.client.pick(&groups).expect("a member has groups");
        // All members of a group have the same terms, so that it does not matter who gets a message.
        let qos = [2, 1, 2][group];
        let identifier = is_v5.then(|| GROUP_IDENTIFIERS + u32::try_from(group).expect("few groups"));
        self.subscribe_to(client, &[Wanted::plain(GROUPS[group], qos)], identifier);
    }

    /// Sends this SUBSCRIBE.
    pub fn subscribe_to(&mut self, client: usize, wanted: &[Wanted], identifier: Option<u32>) {
        if self.clients[client].requests.len() >= 10 {
            return;
        }
        let (asked, state) = (self.step_now.step, &mut self.clients[client]);
        let id = state.new_id();
        let first = state.terms.len();
        for Wanted { text, qos, no_local, as_published, handling } in wanted {
            let parts: Vec<&str> = text.splitn(3, '/').collect();
            let (share, filter) = match parts.as_slice() {
                ["$share", share, filter] => (Some((*share).to_owned()), (*filter).to_owned()),
                _ => (None, text.clone()),
            };
            state.terms.push(Term {
                text: text.clone(),
                filter,
                share,
                qos: *qos,
                no_local: *no_local,
                as_published: *as_published,
                handling: *handling,
                identifier,
                life: state.lives,
                asked,
                granted: None,
                is_refused: false,
                given_up: None,
                ended: None,
                is_replaced: false,
            });
        }
        state.requests.insert(id, Request::Subscribe((first..state.terms.len()).collect()));
        let (name, bytes) = (state.name.clone(), packets::subscribe(state.role.version, id, wanted, identifier));
        self.trace(|| format!("{name} subscribes, id {id}, identifier {identifier:?}, {wanted:?}"));
        self.client_sends(client, &bytes);
    }

    /// A client gives up some subscription.
    pub fn unsubscribes(&mut self, client: usize) {
        let life = self.clients[client].lives;
        let held: Vec<String> = self.clients[client]
            .terms
            .iter()
            .filter(|term| term.life == life && term.holds())
            .map(|term| term.text.clone())
            .collect();
        let Some(filter) = self.dice.client.pick(&held).cloned() else { return };
        self.unsubscribe_from(client, &[filter]);
    }

    /// Sends this UNSUBSCRIBE.
    pub fn unsubscribe_from(&mut self, client: usize, filters: &[String]) {
        let (asked, state) = (self.step_now.step, &mut self.clients[client]);
        let id = state.new_id();
        for term in state.terms.iter_mut().filter(|term| term.life == state.lives && filters.contains(&term.text)) {
            term.given_up.get_or_insert(asked);
        }
        state.requests.insert(id, Request::Unsubscribe(filters.to_vec(), asked));
        let (name, bytes) = (state.name.clone(), packets::unsubscribe(state.role.version, id, filters));
        self.trace(|| format!("{name} unsubscribes from {filters:?}, id {id}"));
        self.client_sends(client, &bytes);
    }

    /// SUBACK: which terms hold from now on, and which older ones do not.
    pub fn subscribed(&mut self, client: usize, id: u16, codes: &[u8]) {
        let (now, state) = (self.step_now.step, &mut self.clients[client]);
        let Some(Request::Subscribe(places)) = state.requests.remove(&id) else {
            panic!("{} got a SUBACK that it did not ask for: {id}", state.name);
        };
        assert_eq!(places.len(), codes.len(), "[MQTT-3.8.4-6] one code a filter");
        for (place, code) in places.into_iter().zip(codes) {
            let (life, text, asked) = {
                let term = &mut state.terms[place];
                if *code >= 0x80 {
                    assert!(!self.plan.is_generous, "{} was refused {}: {code:#x}", state.name, term.text);
                    term.is_refused = true;
                    continue;
                }
                assert!(*code <= term.qos, "granted is at most what was asked for");
                term.granted = Some(now);
                (term.life, term.text.clone(), term.asked)
            };
            let older = state.terms[..place].iter_mut();
            older.filter(|term| term.life == life && term.text == text && term.asked <= asked).for_each(|term| {
                term.is_replaced |= term.ended.is_none();
                term.ended.get_or_insert(now);
            });
        }
    }

    /// UNSUBACK: what was asked for before is over.
    pub fn unsubscribed(&mut self, client: usize, id: u16) {
        let (now, state) = (self.step_now.step, &mut self.clients[client]);
        let Some(Request::Unsubscribe(filters, asked)) = state.requests.remove(&id) else {
            panic!("{} got an UNSUBACK that it did not ask for: {id}", state.name);
        };
        for term in &mut state.terms {
            if term.life == state.lives && filters.contains(&term.text) && term.asked <= asked {
                term.ended.get_or_insert(now);
            }
        }
    }
}
