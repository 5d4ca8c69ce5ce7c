//! What outlives connections and is charged to users: sessions, and what they have retained.
//!
//! Dropping it gives all of it back, once.

use core::fmt;
use std::sync::Arc;

use super::Accounts;
use super::limit::SharedLimit;
use super::table::{Counted, Place, Word};

/// What one session holds of its user's account.
pub struct SessionSeat {
    accounts: Arc<Accounts>,
    place: Place,
}

impl SessionSeat {
    /// Of a session that was counted at a place that is held for it.
    pub(super) fn new(accounts: &Arc<Accounts>, place: Place) -> Self {
        Self { accounts: Arc::clone(accounts), place }
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        self.accounts.users.remove(self.place, Counted::Sessions);
        self.accounts.users.give_back(self.place);
    }
}

impl fmt::Debug for SessionSeat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SessionSeat").field(&self.place).finish()
    }
}

/// What the messages that one user has retained on one shard hold of its account.
pub struct RetainedSeat {
    accounts: Arc<Accounts>,
    place: Place,
    messages: u64,
    bytes: u64,
}

impl RetainedSeat {
    /// Of none yet, at a place that is held for it.
    pub(super) fn new(accounts: &Arc<Accounts>, place: Place) -> Self {
        Self { accounts: Arc::clone(accounts), place, messages: 0, bytes: 0 }
    }

    /// So many more, or the bound that is met on all shards together; then nothing has changed. What was there before a restart `is_due`
    /// whatever the bounds say.
    pub fn grow(&mut self, messages: u64, bytes: u64, is_due: bool) -> Result<(), SharedLimit> {
        let (terms, table) = (&self.accounts.terms, &self.accounts.users);
        let bound = |maximum: u64| if is_due { 0 } else { maximum };
        if !table.grow(self.place, Word::Retained, messages, bound(terms.retained_per_user_max)) {
            return Err(SharedLimit::RetainedMessagesPerUser);
        }
        if !table.grow(self.place, Word::RetainedBytes, bytes, bound(terms.retained_bytes_per_user_max)) {
            table.shrink(self.place, Word::Retained, messages);
            return Err(SharedLimit::RetainedBytesPerUser);
        }
        self.messages += messages;
        self.bytes += bytes;
        Ok(())
    }

    /// So many less.
    pub fn shrink(&mut self, messages: u64, bytes: u64) {
        debug_assert!(self.messages >= messages && self.bytes >= bytes, "what goes was counted here");
        self.accounts.users.shrink(self.place, Word::Retained, messages);
        self.accounts.users.shrink(self.place, Word::RetainedBytes, bytes);
        self.messages -= messages;
        self.bytes -= bytes;
    }

    /// How many there are, and their bytes.
    pub fn counts(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }
}

impl Drop for RetainedSeat {
    fn drop(&mut self) {
        self.shrink(self.messages, self.bytes);
        self.accounts.users.give_back(self.place);
    }
}

impl fmt::Debug for RetainedSeat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, messages, bytes, .. } = self;
        formatter.debug_tuple("RetainedSeat").field(place).field(messages).field(bytes).finish()
    }
}
