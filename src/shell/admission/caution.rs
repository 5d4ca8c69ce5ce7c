//! Rules as mosquitto writes them do not tell whether they are whole: which ones are in force, and which ones only take away.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::auth::acl_file::AclFile;
use crate::engine::auth::cautious::Cautious;
use crate::shell::files::whole::{Found, Place};
use crate::shell::reloading::{Occasion, Taken};

/// The rules that are known to be whole, and the file that they were read from.
///
/// Whoever renames a new file into the place of the old one has written it to its end, and the kernel notes the time of the renaming, which is
/// behind that of the last byte. What is written into the file that is in force, or into one that was made at its place, may be half of something:
/// what it denies further down is not there yet.
#[derive(Debug, Default)]
pub(super) struct Caution {
    whole: Option<Whole>,
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
    is_done: bool,
}

impl Origin {
    /// Where this was found.
    pub(super) fn of(found: &Found) -> Self {
        Self { place: found.place, digest: Sha256::digest(&found.text).into(), is_done: found.is_done }
    }
}

impl Caution {
    /// What comes into force of rules that were read.
    pub(super) fn take(&mut self, rules: AclFile, at: Origin, occasion: Occasion) -> (Cautious, Taken) {
        let rules = Arc::new(rules);
        let may_be_half = |whole: &Whole| {
            let was_renamed = whole.at.place != at.place && at.is_done;
            occasion == Occasion::Seen && !was_renamed && whole.at.digest != at.digest
        };
        if let Some(whole) = self.whole.as_ref().filter(|whole| may_be_half(whole)) {
            return (Cautious::instead_of(Arc::clone(&whole.rules), rules), Taken::WhatItTakes);
        }
        self.whole = Some(Whole { rules: Arc::clone(&rules), at });
        (Cautious::whole(rules), Taken::All)
    }
}
