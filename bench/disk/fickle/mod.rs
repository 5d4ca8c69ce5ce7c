//! A disk that keeps its word and not a byte more: what was not synced may be gone when the power was.
//!
//! It lies in memory and is mounted as a file system, so a broker writes to it as to any other: through its ring, past the page
//! cache or not. Whoever holds it can cut the power, slow it down, fill it up and have a sync fail.
//!
//! What it keeps, and what a broker may be held to:
//!
//! ```text
//! bytes and length of a file   when a sync of that file has come back, as far as they were written before the sync began
//! a name in a folder           when a sync of the folder has come back; a sync of the file does nothing for its name
//! everything else              each change on its own is kept, lost, or torn at 512 bytes, whatever came before or after it
//! a rename                     as a whole, or not at all; from one folder to another when a sync of either has come back
//! after a failed sync          what it was about is seen until the power goes, and no later sync brings it back
//! ```
//!
//! That is what POSIX promises and no more. File systems with a journal do more for names: they keep them in order, and most
//! keep a new file's name with its first sync. A broker that relies on this loses messages on those that do not.
//!
//! | file | what lives there |
//! |---|---|
//! | [`luck`] | what becomes of a change that nobody has synced |
//! | [`pending`] | changes on their way from made to safe |
//! | [`content`], [`names`] | a file's bytes, a folder's names: as seen and as safe |
//! | [`tree`] | files and folders by number |
//! | [`disk`] | power, speed, room and faults |
//! | [`order`] | what can be asked of it, as words |
//! | [`mount`] | the kernel's side |
//!
//! Not here: links, special files, extended attributes, and times other than the epoch.

pub mod content;
pub mod disk;
pub mod luck;
pub mod mount;
pub mod names;
pub mod order;
pub mod pending;
pub mod tree;
