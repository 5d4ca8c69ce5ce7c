//! The users of one file that can take part, what strangers are told, and one client's conversation.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::keys::{Credential, KEY_BYTES, Keys, hmac};
use super::message::{ClientFinal, ClientFirst, Fault, binding, server_final, server_first};
use super::preparation::prepared;
use super::{METHOD, PROVEN_BY};
use crate::engine::auth::exchange::{Exchange, Step};
use crate::engine::auth::identity::Identity;
use crate::mqtt::reason::Reason;

/// Bytes of our part of a nonce: 24 characters without padding.
const NONCE_BYTES: usize = 18;

/// The users who may prove their password so. Shared by all shards; a file that has changed is another value.
///
/// A stranger is asked for the password like a user: its iterations and the length of its salt are those of some user, the salt comes of its
/// name under a secret. That secret is the keys of all users together, so a stranger is asked the same as long as no user changes, also
/// after a restart; and only who knows the keys of all users could tell a stranger, which is nobody who has to ask.
pub struct Scram {
    users: BTreeMap<Box<str>, Credential>,
    /// What each user is asked: iterations and bytes of salt.
    questions: Box<[(u32, usize)]>,
    strangers: [u8; KEY_BYTES],
    nonces: Nonces,
}

/// Our part of nonces: a counter under a secret. No two are the same, and who knows all that were does not know the next one.
struct Nonces {
    secret: [u8; KEY_BYTES],
    count: AtomicU64,
}

impl Scram {
    /// The method of these users, by their prepared names; none where there is nobody. The secret is drawn for this value alone, from a source
    /// that nobody can guess.
    pub fn new(users: BTreeMap<Box<str>, Credential>, secret: &[u8; KEY_BYTES]) -> Option<Self> {
        if users.is_empty() {
            return None;
        }
        debug_assert!(users.keys().all(|name| prepared(name).as_deref() == Some(name)), "names are prepared");
        let questions = users.values().map(|user| (user.iterations, user.salt.len())).collect();
        let keys: Vec<&[u8]> =
            users.values().flat_map(|user| [&user.keys.stored()[..], &user.keys.server()[..]]).collect();
        let strangers = hmac(b"what strangers are asked", &keys);
        let nonces = Nonces { secret: hmac(secret, &[b"nonces of SCRAM"]), count: AtomicU64::new(0) };
        Some(Self { users, questions, strangers, nonces })
    }

    /// A conversation at its beginning, if this is its method.
    pub fn exchange(self: &Arc<Self>, method: &str) -> Option<Box<dyn Exchange>> {
        (method == METHOD).then(|| Box::new(Conversation::new(Arc::clone(self))) as Box<dyn Exchange>)
    }

    /// What is asked of somebody with this prepared name, and whether there is such a user. Takes as long either way.
    fn credential(&self, name: &str) -> (Cow<'_, Credential>, bool) {
        let stranger = self.stranger(name);
        match self.users.get(name) {
            Some(user) => (Cow::Borrowed(user), true),
            None => (Cow::Owned(stranger), false),
        }
    }

    fn stranger(&self, name: &str) -> Credential {
        let drawn = |what: u8| hmac(&self.strangers, &[&[what], name.as_bytes()]);
        let choice = *drawn(0).first_chunk().expect("a digest has 32 bytes");
        let choice = u64::from_le_bytes(choice) % self.questions.len() as u64;
        let (iterations, salt_bytes) = self.questions[usize::try_from(choice).expect("it is below their number")];
        let salt = [drawn(1), drawn(2)].as_flattened()[..salt_bytes.min(2 * KEY_BYTES)].into();
        Credential { iterations, salt, keys: Keys::new(drawn(3), drawn(4)) }
    }
}

impl Nonces {
    fn draw(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        STANDARD_NO_PAD.encode(&hmac(&self.secret, &[&count.to_le_bytes()])[..NONCE_BYTES])
    }
}

/// How many there are, and nothing else.
impl fmt::Debug for Scram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scram").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// One client's conversation. Owned by its connection.
struct Conversation {
    scram: Arc<Scram>,
    /// Our part of the nonce.
    nonce: String,
    /// What was asked; nothing before the first message and after the last.
    asked: Option<Box<Asked>>,
}

/// A question whose answer is awaited.
struct Asked {
    /// The user, or who wants to be one.
    name: Box<str>,
    is_user: bool,
    keys: Keys,
    /// What the last message has to repeat: the header in base64, and both parts of the nonce.
    binding: String,
    nonce: String,
    /// What was said up to here, as it is signed; two commas bind it to the last message.
    client_first: Box<str>,
    server_first: String,
}

impl Conversation {
    fn new(scram: Arc<Scram>) -> Self {
        let nonce = scram.nonces.draw();
        Self { scram, nonce, asked: None }
    }

    fn ask(&mut self, data: &[u8]) -> Result<Step, Fault> {
        let said = ClientFirst::parse(data)?;
        let name = prepared(&said.name).ok_or(Fault::Unprepared)?;
        if let Some(other) = &said.acts_for
            && prepared(other).as_ref() != Some(&name)
        {
            return Err(Fault::Authorisation);
        }
        let (credential, is_user) = self.scram.credential(&name);
        let server_first = server_first(said.nonce, &self.nonce, &credential.salt, credential.iterations);
        let step = Step::Continue(server_first.clone().into_bytes());
        self.asked = Some(Box::new(Asked {
            name: name.as_ref().into(),
            is_user,
            keys: credential.keys,
            binding: binding(said.header),
            nonce: format!("{}{}", said.nonce, self.nonce),
            client_first: said.bare.into(),
            server_first,
        }));
        Ok(step)
    }
}

impl Asked {
    fn judge(&self, data: &[u8]) -> Result<Step, Fault> {
        let said = ClientFinal::parse(data)?;
        if said.binding != self.binding || said.nonce != self.nonce {
            return Err(Fault::Disagreement);
        }
        let whole = [&*self.client_first, &self.server_first, said.without_proof].join(",");
        let is_proven = self.keys.are_proven(&[whole.as_bytes()], &said.proof);
        if !(is_proven && self.is_user) {
            // Not 0x86: that speaks of the user name and the password in CONNECT, and DISCONNECT, which ends a renewal, does not have it.
            return Ok(Step::Deny(Reason::NotAuthorized));
        }
        let signature = self.keys.signature(&[whole.as_bytes()]);
        Ok(Step::Accept {
            identity: Arc::new(Identity { mark: self.keys.mark(), ..Identity::user(&self.name, PROVEN_BY) }),
            data: Some(server_final(&signature).into_bytes()),
        })
    }
}

impl Exchange for Conversation {
    /// The first message is asked about, the second one judged; a CONNECT without data has said nothing, which is no message.
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        let data = data.unwrap_or_default();
        let step = match self.asked.take() {
            None => self.ask(data),
            Some(asked) => asked.judge(data),
        };
        step.unwrap_or_else(|fault| Step::Deny(fault.reason()))
    }
}

#[cfg(test)]
mod tests;
