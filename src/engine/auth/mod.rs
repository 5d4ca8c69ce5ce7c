//! Who a client is and what it may do: decisions that a policy answers at once or puts off.
//!
//! | file         | what                                                                  |
//! |--------------|-----------------------------------------------------------------------|
//! | [`identity`] | whom a connection acts for, and whose a session is                    |
//! | [`exchange`] | enhanced authentication: a conversation of several AUTH packets       |
//! | [`policy`]   | the chain of authenticators and the authoriser behind it              |
//! | [`pattern`]  | filters with names in them, and which filters a pattern covers        |
//! | [`acl`]      | an ordered list of rules, the first that applies decides              |
//! | [`rules`]    | the file that such a list is read from                                |
//! | [`acl_file`] | the same as mosquitto writes it                                       |
//! | [`cautious`] | the same while nobody knows whether it is written to its end          |
//! | [`difference`] | what other rules would take from subscriptions, and give them       |
//! | [`certificate`]| the name that a client certificate gives to its user               |
//! | [`passwords`]| users and hashes of a password file                                   |
//! | [`scram`]    | proving a password without sending it: SCRAM-SHA-256                 |
//! | [`hook`]     | a web server says who a client is and what it may do                  |
//! | [`token`]    | somebody else has signed who a client is: JSON Web Tokens             |
//! | [`claims`]   | what a token lets its user do at the most                             |
//! | [`users`]    | plain users and passwords, for tests and examples                     |
//!
//! Invariants worth naming:
//! - What nobody allows is refused: an empty chain, an empty list and a question without an answer all say no.
//! - A name that a client chose is compared, never parsed: no client id and no user name widens a rule.
//! - The right to a filter is the right to everything that the filter can match; what is denied inside is withheld at
//!   delivery.
//!
//! Not here, and why: reading files (their text comes as a value), clocks (what they show comes as a value), waiting (the engine keeps what a later answer needs, and stops reading meanwhile).

pub mod acl;
pub mod acl_file;
pub mod cautious;
pub mod certificate;
pub mod claims;
#[cfg(test)]
mod cut_tests;
pub mod difference;
pub mod exchange;
pub mod hook;
pub mod identity;
pub mod passwords;
pub mod pattern;
pub mod policy;
pub mod rules;
pub mod scram;
pub mod token;
pub mod users;

use core::net::SocketAddr;
use std::sync::Arc;

use self::acl::rule::Rule;
use crate::base::labels::{Label, Labels};
use crate::mqtt::reason::Reason;
use crate::mqtt::version::{QoS, Version};
use acl::deliveries::Deliveries;
use certificate::Certificate;
use exchange::Exchange;
use identity::Identity;

/// What a client says about itself in CONNECT, and where it says it from.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The client id it asks for; not proven by anything.
    pub client_id: &'a str,
    /// The user name, if there is one.
    pub user_name: Option<&'a str>,
    /// The password, if there is one.
    pub password: Option<&'a [u8]>,
    /// The address at the other end, after any proxy has been believed.
    pub peer: SocketAddr,
    /// The number of the listener that accepted it.
    pub listener: u16,
    /// The version it speaks.
    pub version: Version,
    /// What the clock on the wall shows, in seconds since 1970; 0 where nobody has said it.
    pub now_unix_s: u64,
    /// The certificate of its side of the transport, which has verified it, if there is one.
    pub certificate: Option<&'a Certificate>,
}

/// What one authenticator says.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The client is who it says.
    Allow(Arc<Identity>),
    /// The client is refused, whatever others would say.
    Deny(Reason),
    /// This authenticator does not know: the next one is asked.
    Abstain,
    /// The answer takes time: [`Authenticator::work`] finds it, away from the shards.
    Later,
}

/// Who finds an answer that takes time. What waits for somebody else's machine does not stand in the way of what computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Whoever computes.
    Clerk,
    /// Whoever asks a web server.
    Courier,
    /// Whoever fetches the keys of tokens.
    Fetcher,
}

/// Proves identities. Shared by all shards; an answer that costs more than microseconds is put off.
pub trait Authenticator: Send + Sync {
    /// Judges a CONNECT without enhanced authentication.
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict;

    /// The slow half, called on a helper thread after [`Verdict::Later`]; it may take its time and does not put off again.
    fn work(&self, credentials: &Credentials<'_>) -> Verdict {
        let _ = credentials; // an authenticator that never puts off has nothing to do here
        Verdict::Deny(Reason::ServerUnavailable)
    }

    /// Who finds the answer to what it has put off.
    fn helper(&self, credentials: &Credentials<'_>) -> Helper {
        let _ = credentials; // what takes time is hashing, unless an authenticator says otherwise
        Helper::Clerk
    }

    /// Whether it may put off an answer, so that somebody has to be there for [`Self::work`].
    fn takes_time(&self) -> bool {
        true
    }

    /// Whether it would still let in whom it, or one that stood in its place before the files were read anew, has let in.
    fn knows(&self, identity: &Identity) -> bool;

    /// Starts an exchange of this method, if the authenticator knows it.
    fn exchange(&self, method: &str) -> Option<Box<dyn Exchange>> {
        let _ = method; // no enhanced authentication unless an authenticator says so
        None
    }
}

/// One that others hold as well.
impl<T: Authenticator + ?Sized> Authenticator for Arc<T> {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Verdict {
        (**self).authenticate(credentials)
    }

    fn work(&self, credentials: &Credentials<'_>) -> Verdict {
        (**self).work(credentials)
    }

    fn helper(&self, credentials: &Credentials<'_>) -> Helper {
        (**self).helper(credentials)
    }

    fn takes_time(&self) -> bool {
        (**self).takes_time()
    }

    fn knows(&self, identity: &Identity) -> bool {
        (**self).knows(identity)
    }

    fn exchange(&self, method: &str) -> Option<Box<dyn Exchange>> {
        (**self).exchange(method)
    }
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// To be connected at all, once it is known who it is.
    Connect,
    /// To publish, or to erase or replace a retained message.
    Publish {
        /// The topic's name, aliases and rewrites resolved.
        topic: &'a str,
        /// The quality of service it asks for.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// To have what matches a filter.
    Subscribe {
        /// The filter; of `$share/group/filter` the inner one.
        filter: &'a str,
        /// The quality of service it asks for.
        qos: QoS,
        /// Whether it joins a group.
        is_shared: bool,
    },
    /// To be sent this very message: live, retained, queued, shared or from a bridge.
    Receive {
        /// The topic's name.
        topic: &'a str,
    },
    /// To leave a will.
    Will {
        /// The topic's name.
        topic: &'a str,
        /// The quality of service it asks for.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
}

/// A client identifier, looked up by who asks for it: most rules do not, and it lies far from what a publication needs.
#[derive(Clone, Copy, Debug)]
pub enum ClientId<'a> {
    /// The text itself.
    Text(&'a str),
    /// Where a shard keeps it.
    Kept(&'a Labels, Label),
}

impl<'a> ClientId<'a> {
    /// The text.
    pub fn as_str(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Kept(labels, label) => labels.get(label),
        }
    }
}

/// What an authoriser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
    /// The answer takes time and comes as an input.
    Later,
}

/// What decides, for logs and for those who look at rules from outside. Rules are told by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// This rule.
    Rule(usize),
    /// No rule: none applies, or none is needed.
    NoRule,
    /// The rules of before, as long as those in their place [may not be whole](cautious): this one of them, or that none of them applies.
    Before(Option<usize>),
    /// What a [token](claims) has said.
    Claims,
}

/// Decides what identities may do. Shared by all shards.
pub trait Authoriser: Send + Sync {
    /// Whether `who`, connected as `client_id`, may do this.
    fn decide(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Decision;

    /// What decides this, for logs and for those who look at rules from outside.
    fn ground(&self, who: &Identity, client_id: ClientId<'_>, action: Action<'_>) -> Ground {
        let _ = (who, client_id, action); // unless an authoriser has rules
        Ground::NoRule
    }

    /// The rule that is meant, as [`Self::ground`] and [`Self::deliveries`] count them; none where it is none.
    fn rule(&self, ground: Ground) -> Option<&Rule> {
        let _ = ground; // unless an authoriser has rules
        None
    }

    /// Whether what these rules give counts only where those of before give it, too, since nobody knows yet whether they are whole.
    fn is_cautious(&self) -> bool {
        false
    }

    /// The rules of the operator's files, where somebody else has a word beside them: these can be compared with other ones.
    fn files(&self) -> Option<&dyn Authoriser> {
        None // unless an authoriser asks somebody
    }

    /// Whether [`Action::Receive`] must be asked for each delivery, because the right to a filter does not settle it.
    fn checks_receive(&self) -> bool {
        false
    }

    /// Whether a decision may depend on where a client comes from or on its certificate: then identities are asked to carry their address.
    fn asks_for_origin(&self) -> bool {
        false
    }

    /// What of this filter would be delivered to `who`, part by part, for those who look at rules from outside; not for the way of a message.
    fn deliveries(&self, who: &Identity, client_id: ClientId<'_>, filter: &str) -> Deliveries {
        // Unless an authoriser knows better, the right to a filter settles it.
        let action = Action::Subscribe { filter, qos: QoS::AtMostOnce, is_shared: false };
        Deliveries::whole(filter, self.decide(who, client_id, action) == Decision::Allow)
    }
}

impl std::fmt::Debug for Credentials<'_> {
    /// Never the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("has_password", &self.password.is_some())
            .field("peer", &self.peer)
            .field("listener", &self.listener)
            .field("version", &self.version)
            .field("now_unix_s", &self.now_unix_s)
            .field("certificate", &self.certificate.map(Certificate::subject))
            .finish()
    }
}
