//! Which rules may be about somebody: a look-up by name instead of a walk through the whole list.
//!
//! A rule that names users stands in the list of each of them, one for certificates, common names, client identifiers or groups in theirs,
//! and only what is left is looked at for everybody. Each list is in the order of the rules, so the first rule of all lists that
//! applies is the first of the whole.

use super::rule::{Effect, Rule};
use super::who::{Condition, Groups};
use crate::base::hash::{Map, Seed, map};
use crate::engine::auth::ClientId;
use crate::engine::auth::identity::{CommonName, Identity};

/// The numbers of rules, rising.
type Numbers = Vec<u32>;

/// The lists. One for each list of rules; it does not change.
#[derive(Clone, Debug)]
pub struct Index {
    everyone: Numbers,
    /// Denials by certificate, for those of whom nobody knows which one they showed, or what it is called.
    of_unknown: Numbers,
    users: Map<Box<str>, OfUser>,
    clients: Map<Box<str>, Numbers>,
    certificates: Map<[u8; 32], Numbers>,
    common_names: Map<Box<str>, Numbers>,
    /// The lists of the groups that rules name.
    groups: Map<Box<str>, Numbers>,
}

/// What is looked at for one user.
#[derive(Clone, Debug, Default)]
struct OfUser {
    rules: Numbers,
    /// The groups that the file puts it into and that rules name.
    groups: Vec<Box<str>>,
}

impl Index {
    /// The lists of these rules.
    pub fn new(rules: &[Rule], groups: &Groups, seed: Seed) -> Self {
        let mut index = Self {
            everyone: Numbers::new(),
            of_unknown: Numbers::new(),
            users: map(seed),
            clients: map(seed),
            certificates: map(seed),
            common_names: map(seed),
            groups: map(seed),
        };
        for (number, rule) in (0_u32..).zip(rules) {
            index.add(number, rule);
        }
        for group in index.groups.keys() {
            for member in groups.members(group) {
                index.users.entry(member.clone()).or_default().groups.push(group.clone());
            }
        }
        index
    }

    fn add(&mut self, number: u32, rule: &Rule) {
        let Some(condition) = rule.who.conditions().iter().min_by_key(|condition| rank(condition)) else {
            return self.everyone.push(number);
        };
        match condition {
            Condition::User(names) => {
                names.iter().for_each(|name| self.users.entry(name.clone()).or_default().rules.push(number));
            }
            Condition::Certificate(prints) => {
                prints.iter().for_each(|print| self.certificates.entry(*print).or_default().push(number));
                self.deny_unknown(number, rule);
            }
            Condition::CommonName(names) => {
                names.iter().for_each(|name| self.common_names.entry(name.clone()).or_default().push(number));
                self.deny_unknown(number, rule);
            }
            Condition::Client(patterns) if patterns.iter().all(|pattern| pattern.exact().is_some()) => {
                for id in patterns.iter().filter_map(|pattern| pattern.exact()) {
                    self.clients.entry(id.into()).or_default().push(number);
                }
            }
            Condition::Group(names) => {
                names.iter().for_each(|name| self.groups.entry(name.clone()).or_default().push(number));
            }
            Condition::Anonymous(_) | Condition::Client(_) | Condition::Address(_) => self.everyone.push(number),
        }
    }

    fn deny_unknown(&mut self, number: u32, rule: &Rule) {
        if rule.effect == Effect::Deny {
            self.of_unknown.push(number);
        }
    }

    /// The first rule that applies, of those that may be about this client. Each is asked for at most once a list that it stands in.
    pub fn first(&self, who: &Identity, client_id: ClientId<'_>, mut applies: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut found: Option<u32> = None;
        let mut look = |numbers: &[u32]| {
            let before = numbers.iter().copied().take_while(|number| found.is_none_or(|found| *number < found));
            if let Some(number) = before.into_iter().find(|number| applies(*number)) {
                found = Some(number);
            }
        };
        let of_user = who.user.as_deref().and_then(|user| self.users.get(user));
        if let Some(of_user) = of_user {
            look(&of_user.rules);
        }
        let of_file = of_user.map_or(&[][..], |of_user| &of_user.groups);
        for group in who.groups.iter().chain(of_file) {
            look(self.groups.get(&**group).map_or(&[], Vec::as_slice));
        }
        let mut is_unclear = !who.is_certificate_known();
        if let Some(shown) = &who.certificate {
            look(self.certificates.get(&shown.fingerprint).map_or(&[], Vec::as_slice));
            match &shown.common_name {
                CommonName::One(name) => look(self.common_names.get(name).map_or(&[], Vec::as_slice)),
                CommonName::Unclear => is_unclear = true,
                CommonName::None => {}
            }
        }
        if is_unclear {
            look(&self.of_unknown);
        }
        // The identifier lies far away: it is fetched where a rule asks for one.
        if !self.clients.is_empty() {
            look(self.clients.get(client_id.as_str()).map_or(&[], Vec::as_slice));
        }
        look(&self.everyone);
        found
    }
}

/// Which condition says best whom a rule is about; the smallest one.
fn rank(condition: &Condition) -> u8 {
    match condition {
        Condition::User(_) => 0,
        Condition::Certificate(_) => 1,
        Condition::CommonName(_) => 2,
        Condition::Client(patterns) if patterns.iter().all(|pattern| pattern.exact().is_some()) => 3,
        Condition::Group(_) => 4,
        Condition::Address(_) | Condition::Client(_) | Condition::Anonymous(_) => 5,
    }
}
