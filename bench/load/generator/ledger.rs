//! The books of a run: which messages of a publisher its subscribers have heard, in which order, and which never.

use std::ops::Range;

/// Gaps that are remembered for one subscriber. Past them the older half is forgotten: its messages stay lost in the books,
/// and one that comes late after all is taken for a duplicate.
pub const GAPS_MAX: usize = 65_536;

/// What is wrong with the deliveries of one publisher, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages sent that a subscriber never got, counted for each subscriber.
    pub lost: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages that came after a later one of the same publisher.
    pub reordered: u64,
}

impl Verdict {
    /// Adds what another publisher's deliveries suffered.
    pub fn add(&mut self, other: Verdict) {
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
    }

    /// Whether every message came once and in its order.
    pub fn is_clean(self) -> bool {
        self == Verdict::default()
    }
}

/// The first delivery that was not the one that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Irregularity {
    /// The subscriber, by its place in the audience.
    pub subscriber: usize,
    /// The sequence that was due.
    pub due: u64,
    /// The sequence that came.
    pub came: u64,
}

/// The subscribers of one publisher and what they have heard of it.
#[derive(Clone, Debug)]
pub enum Audience {
    /// Every subscriber gets every message.
    Everyone(Everyone),
    /// A shared subscription: one member gets the message.
    AnyOne(AnyOne),
}

/// Subscribers of which each gets every message.
#[derive(Clone, Debug)]
pub struct Everyone {
    /// The sequence that each one waits for. Apart from the gaps, because the smallest of them is looked up often.
    next: Vec<u64>,
    /// Sequences below `next` that have not come, in ascending order.
    gaps: Vec<Vec<Range<u64>>>,
    /// Lost messages whose gaps are not remembered any more.
    forgotten: u64,
    first_irregularity: Option<Irregularity>,
    duplicates: u64,
    reordered: u64,
}

/// Members of a shared subscription, together.
#[derive(Clone, Debug)]
pub struct AnyOne {
    /// The sequence that each member may hear at the earliest.
    next: Vec<u64>,
    /// A bit for each sequence that somebody has heard.
    heard: Vec<u64>,
    heard_count: u64,
    duplicates: u64,
    reordered: u64,
}

impl Audience {
    /// So many subscribers, of which each one gets every message.
    pub fn everyone(subscribers: usize) -> Self {
        Audience::Everyone(Everyone {
            next: vec![0; subscribers],
            gaps: vec![Vec::new(); subscribers],
            forgotten: 0,
            first_irregularity: None,
            duplicates: 0,
            reordered: 0,
        })
    }

    /// So many members of a shared subscription.
    pub fn any_one(members: usize) -> Self {
        let next = vec![0; members];
        Audience::AnyOne(AnyOne { next, heard: Vec::new(), heard_count: 0, duplicates: 0, reordered: 0 })
    }

    /// A subscriber, by its place in this audience, has heard this message.
    #[inline]
    pub fn note(&mut self, subscriber: usize, sequence: u64) {
        match self {
            Audience::Everyone(everyone) => everyone.note(subscriber, sequence),
            Audience::AnyOne(any_one) => any_one.note(subscriber, sequence),
        }
    }

    /// How many messages are on their way no more: the slowest subscriber has them or has got a later one instead.
    #[inline]
    pub fn arrived(&self) -> u64 {
        match self {
            Audience::Everyone(everyone) => everyone.next.iter().copied().min().unwrap_or(0),
            Audience::AnyOne(any_one) => any_one.heard_count,
        }
    }

    /// How many deliveries a message makes.
    pub fn deliveries_a_message(&self) -> u64 {
        match self {
            Audience::Everyone(everyone) => everyone.next.len() as u64,
            Audience::AnyOne(_) => 1,
        }
    }

    /// The first delivery that was not the one that was due; shared messages have none.
    pub fn first_irregularity(&self) -> Option<Irregularity> {
        match self {
            Audience::Everyone(everyone) => everyone.first_irregularity,
            Audience::AnyOne(_) => None,
        }
    }

    /// The end of the books, when so many messages were sent and no more will come.
    pub fn verdict(&self, sent: u64) -> Verdict {
        match self {
            Audience::Everyone(everyone) => everyone.verdict(sent),
            Audience::AnyOne(any_one) => Verdict {
                lost: sent.saturating_sub(any_one.heard_count),
                duplicates: any_one.duplicates,
                reordered: any_one.reordered,
            },
        }
    }
}

impl Everyone {
    #[inline]
    fn note(&mut self, subscriber: usize, sequence: u64) {
        let next = &mut self.next[subscriber];
        if sequence == *next {
            *next += 1;
        } else {
            self.note_irregular(subscriber, sequence);
        }
    }

    #[cold]
    fn note_irregular(&mut self, subscriber: usize, sequence: u64) {
        let (next, gaps) = (&mut self.next[subscriber], &mut self.gaps[subscriber]);
        self.first_irregularity.get_or_insert(Irregularity { subscriber, due: *next, came: sequence });
        if sequence > *next {
            if gaps.len() == GAPS_MAX {
                self.forgotten += gaps.drain(..GAPS_MAX / 2).map(|gap| gap.end - gap.start).sum::<u64>();
            }
            gaps.push(*next..sequence);
            *next = sequence + 1;
            return;
        }
        let at = gaps.partition_point(|gap| gap.end <= sequence);
        match gaps.get(at).cloned() {
            Some(gap) if gap.start <= sequence => {
                let parts = [gap.start..sequence, sequence + 1..gap.end];
                gaps.splice(at..=at, parts.into_iter().filter(|part| !part.is_empty()));
                self.reordered += 1;
            }
            _ => self.duplicates += 1,
        }
    }

    fn verdict(&self, sent: u64) -> Verdict {
        let tails = self.next.iter().map(|next| sent.saturating_sub(*next)).sum::<u64>();
        let gaps = self.gaps.iter().flatten().map(|gap| gap.end - gap.start).sum::<u64>();
        Verdict { lost: tails + gaps + self.forgotten, duplicates: self.duplicates, reordered: self.reordered }
    }
}

impl AnyOne {
    fn note(&mut self, member: usize, sequence: u64) {
        let (word, bit) = (usize::try_from(sequence / 64).unwrap_or(usize::MAX), 1 << (sequence % 64));
        if word >= self.heard.len() {
            self.heard.resize(word + 1, 0);
        }
        if self.heard[word] & bit != 0 {
            self.duplicates += 1;
            return;
        }
        self.heard[word] |= bit;
        self.heard_count += 1;
        let next = &mut self.next[member];
        if sequence < *next {
            self.reordered += 1;
        } else {
            *next = sequence + 1;
        }
    }
}
