//! The kinds of records and their numbers, which never change.

use crate::engine::change::Change;

/// A reader that does not know a kind with this bit may pass over it; without the bit it must refuse the journal.
///
/// None of the kinds of this version has it: each of them is somebody's message, or its end.
pub const MAY_BE_SKIPPED: u8 = 0x80;

/// What a record tells. The number is its first byte on disk: a kind that goes out of use leaves its number behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each is the change of that name")]
pub enum Kind {
    Session = 1,
    SessionEnded = 2,
    Subscribed = 3,
    Unsubscribed = 4,
    Joined = 5,
    Left = 6,
    Will = 7,
    WillGone = 8,
    Body = 9,
    Queued = 10,
    Sent = 11,
    Settled = 12,
    Taken = 13,
    Completed = 14,
    Incoming = 15,
    Released = 16,
    Retained = 17,
    RetainedGone = 18,
    Fanout = 19,
    FannedOut = 20,
    Passed = 21,
    Forgotten = 22,
    BodyAgain = 23,
    QueuedAgain = 24,
    Swept = 25,
    Group = 26,
    GroupAgain = 27,
    GroupEnded = 28,
    GroupQueued = 29,
    GroupQueuedAgain = 30,
    GroupSettled = 31,
    Assigned = 32,
    Unassigned = 33,
    Bequest = 34,
    BequestOver = 35,
    Doubtful = 36,
    RetainedBy = 37,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 37] = [
        Self::Session,
        Self::SessionEnded,
        Self::Subscribed,
        Self::Unsubscribed,
        Self::Joined,
        Self::Left,
        Self::Will,
        Self::WillGone,
        Self::Body,
        Self::Queued,
        Self::Sent,
        Self::Settled,
        Self::Taken,
        Self::Completed,
        Self::Incoming,
        Self::Released,
        Self::Retained,
        Self::RetainedGone,
        Self::Fanout,
        Self::FannedOut,
        Self::Passed,
        Self::Forgotten,
        Self::BodyAgain,
        Self::QueuedAgain,
        Self::Swept,
        Self::Group,
        Self::GroupAgain,
        Self::GroupEnded,
        Self::GroupQueued,
        Self::GroupQueuedAgain,
        Self::GroupSettled,
        Self::Assigned,
        Self::Unassigned,
        Self::Bequest,
        Self::BequestOver,
        Self::Doubtful,
        Self::RetainedBy,
    ];

    /// The kind of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        let index = usize::from(number).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of a change.
    pub const fn of(change: &Change) -> Self {
        match change {
            Change::Session { .. } => Self::Session,
            Change::SessionEnded { .. } => Self::SessionEnded,
            Change::Subscribed { .. } => Self::Subscribed,
            Change::Unsubscribed { .. } => Self::Unsubscribed,
            Change::Joined { .. } => Self::Joined,
            Change::Left { .. } => Self::Left,
            Change::Will { .. } => Self::Will,
            Change::WillGone { .. } => Self::WillGone,
            Change::Body { .. } => Self::Body,
            Change::Queued { .. } => Self::Queued,
            Change::Sent { .. } => Self::Sent,
            Change::Settled { .. } => Self::Settled,
            Change::Taken { .. } => Self::Taken,
            Change::Completed { .. } => Self::Completed,
            Change::Incoming { .. } => Self::Incoming,
            Change::Released { .. } => Self::Released,
            Change::Retained { user: None, .. } => Self::Retained,
            Change::Retained { user: Some(_), .. } => Self::RetainedBy,
            Change::RetainedGone { .. } => Self::RetainedGone,
            Change::Fanout { .. } => Self::Fanout,
            Change::FannedOut { .. } => Self::FannedOut,
            Change::Passed { .. } => Self::Passed,
            Change::Forgotten { .. } => Self::Forgotten,
            Change::BodyAgain { .. } => Self::BodyAgain,
            Change::QueuedAgain { .. } => Self::QueuedAgain,
            Change::Swept { .. } => Self::Swept,
            Change::Group { .. } => Self::Group,
            Change::GroupAgain { .. } => Self::GroupAgain,
            Change::GroupEnded { .. } => Self::GroupEnded,
            Change::GroupQueued { .. } => Self::GroupQueued,
            Change::GroupQueuedAgain { .. } => Self::GroupQueuedAgain,
            Change::GroupSettled { .. } => Self::GroupSettled,
            Change::Assigned { .. } => Self::Assigned,
            Change::Unassigned { .. } => Self::Unassigned,
            Change::Bequest { .. } => Self::Bequest,
            Change::BequestOver { .. } => Self::BequestOver,
            Change::Doubtful { .. } => Self::Doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_to_its_kind_and_no_other_does() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind.number()), Some(kind));
            assert_eq!(kind.number() & MAY_BE_SKIPPED, 0, "{kind:?} must be understood");
        }
        let known = (0..=u8::MAX).filter(|&number| Kind::from_number(number).is_some());
        assert_eq!(known.count(), Kind::ALL.len());
    }
}
