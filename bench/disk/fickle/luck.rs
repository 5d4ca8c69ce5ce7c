//! What becomes of changes that nobody has synced when the power goes.

use pregon::base::random::Random;

/// Who decides.
#[derive(Debug)]
pub enum Luck {
    /// Nothing that was not synced is kept.
    None,
    /// Each change meets a fate of its own, whatever came before or after it.
    Drawn(Random),
}

/// The fate of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The device has it all.
    Kept,
    /// The device has none of it.
    Lost,
    /// The device has some of its sectors.
    Torn,
}

impl Luck {
    /// Luck that is the same for the same seed.
    pub fn of_seed(seed: u64) -> Self {
        Self::Drawn(Random::from_seed(seed))
    }

    /// What becomes of a change of bytes.
    pub fn fate(&mut self) -> Fate {
        match self {
            Self::None => Fate::Lost,
            Self::Drawn(random) => match random.below(3) {
                0 => Fate::Kept,
                1 => Fate::Lost,
                _ => Fate::Torn,
            },
        }
    }

    /// Whether a thing that cannot be torn is kept: a sector, a name, a length.
    pub fn keeps(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::Drawn(random) => random.chance(1, 2),
        }
    }
}
