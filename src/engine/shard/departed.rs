//! Sessions that have ended, and of whose subscriptions some are still in the index: they are taken out piece by piece.
//!
//! Nobody finds such a session any more. Its client identifier, its place in the quotas, its queue, its groups and its will went when it ended, which
//! the journal knows, and whoever comes with its client identifier gets another session. The index knows sessions by their slots, so its slot
//! stays empty until the last subscription is out; until then routes pass the others by.

use std::collections::VecDeque;

use super::Shard;
use crate::base::slab::{Slab, Vacated};
use crate::engine::limits::{COPIES_PER_FILTER, DEPARTED_FILTERS_MAX, FILTERS_PER_PIECE_MAX};
use crate::engine::session::{Session, SessionKey};
use crate::engine::subscriptions::entry::Subscriber;
use crate::engine::subscriptions::index::{FilterId, Index};
use crate::mqtt::Filter;

/// The sessions of a shard that have ended and have subscriptions left, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Departed {
    sessions: VecDeque<Leaving>,
    /// `filters` = sum of what is left of all of them
    filters: usize,
}

#[derive(Debug)]
struct Leaving {
    slot: Vacated<Session>,
    filters: Vec<FilterId>,
}

impl Departed {
    /// Whether all are out.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether this session is one of them.
    pub fn contains(&self, session: SessionKey) -> bool {
        self.sessions.iter().any(|leaving| leaving.slot.key() == session)
    }

    /// Proves the invariants.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self, sessions: &Slab<Session>, index: &Index) {
        for Leaving { slot, filters } in &self.sessions {
            assert!(!filters.is_empty(), "who has no subscription left is gone");
            assert!(sessions.key_at(slot.key().index()).is_none(), "nobody else has its slot");
            let subscriber = Subscriber::session(slot.key().index());
            assert!(filters.iter().all(|filter| index.options(*filter, subscriber).is_some()), "they are still there");
        }
        assert_eq!(self.filters, self.sessions.iter().map(|leaving| leaving.filters.len()).sum::<usize>());
    }
}

impl Shard {
    /// Takes a session that has ended out of its slot, with these subscriptions still in the index. Where too many wait already, the oldest go
    /// first.
    pub(super) fn depart(&mut self, key: SessionKey, filters: Vec<FilterId>) -> Option<Session> {
        let (session, slot) = self.vacate_session(key)?;
        if filters.is_empty() {
            self.sessions.give_back(slot);
            return Some(session);
        }
        while self.departed.filters >= DEPARTED_FILTERS_MAX {
            self.go_on_with_departed();
        }
        self.departed.filters += filters.len();
        self.departed.sessions.push_back(Leaving { slot, filters });
        Some(session)
    }

    /// Takes the next subscriptions out.
    pub(super) fn go_on_with_departed(&mut self) {
        let Some(mut leaving) = self.departed.sessions.pop_front() else { return };
        let before = leaving.filters.len();
        self.take_out_piece(leaving.slot.key(), &mut leaving.filters);
        self.departed.filters -= before - leaving.filters.len();
        if leaving.filters.is_empty() {
            self.sessions.give_back(leaving.slot);
        } else {
            self.departed.sessions.push_front(leaving);
        }
    }

    /// Takes as many subscriptions of a session out of the index as an input may, and one at least: who has looked for receivers before
    /// looks again.
    pub(super) fn take_out_piece(&mut self, key: SessionKey, filters: &mut Vec<FilterId>) {
        let count = (self.copies_left / COPIES_PER_FILTER).clamp(1, FILTERS_PER_PIECE_MAX);
        let kept = filters.len().saturating_sub(count);
        self.charge((filters.len() - kept) * COPIES_PER_FILTER);
        self.take_out(key, filters.drain(kept..));
    }

    /// Takes subscriptions of a session out of the index; the last one of a filter is declared to no shard any more.
    pub(super) fn take_out(&mut self, key: SessionKey, filters: impl IntoIterator<Item = FilterId>) {
        let mut text = String::new();
        for id in filters {
            text.clear();
            self.index.write_text(id, &mut text);
            let removed = self.index.remove(id, Subscriber::session(key.index()));
            self.young.unsubscribed(key, id);
            if removed.expect("the session knows its own subscriptions").is_last {
                let filter = Filter::parse(&text).expect("the index holds filters only");
                self.declared.withdraw(&self.interest, filter);
            }
        }
    }
}
