//! Rules as mosquitto writes them do not tell whether they are whole: which ones are in force, and which ones only take away.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::auth::acl_file::AclFile;
use crate::engine::auth::cautious::Cautious;
use crate::shell::files::whole::Place;
use crate::shell::reloading::{Occasion, Taken};

/// The rules that are known to be whole, and the file that they were read from.
///
/// Whoever puts a new file in the place of the old one has written it to its end. What is written into the file that is in force, or into
/// one that was not there at the last look, may be half of something: what it denies further down is not there yet.
#[derive(Debug, Default)]
pub(super) struct Caution {
    whole: Option<Whole>,
    /// Whether there was no file since.
    was_missing: bool,
}

#[derive(Debug)]
struct Whole {
    rules: Arc<AclFile>,
    at: Origin,
}

/// Where a text was read, and what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    place: Place,
    digest: [u8; 32],
}

impl Origin {
    /// This text was read there.
    pub(super) fn of(place: Place, text: &[u8]) -> Self {
        Self { place, digest: Sha256::digest(text).into() }
    }
}

impl Caution {
    /// What comes into force of rules that were read.
    pub(super) fn take(&mut self, rules: AclFile, at: Origin, occasion: Occasion) -> (Cautious, Taken) {
        let rules = Arc::new(rules);
        let may_be_half = |whole: &Whole| {
            let is_same_file = self.was_missing || whole.at.place == at.place;
            occasion == Occasion::Seen && is_same_file && whole.at.digest != at.digest
        };
        if let Some(whole) = self.whole.as_ref().filter(|whole| may_be_half(whole)) {
            return (Cautious::instead_of(Arc::clone(&whole.rules), rules), Taken::WhatItTakes);
        }
        *self = Self { whole: Some(Whole { rules: Arc::clone(&rules), at }), was_missing: false };
        (Cautious::whole(rules), Taken::All)
    }

    /// There is no such file.
    pub(super) fn miss(&mut self) {
        self.was_missing = true;
    }
}
