//! How often each kind of event may speak: a peer that causes an event at will must not fill the disk with it.
//!
//! A kind is a place in the code. The count of each starts again whenever [`Kinds::sum_up`] is called, once a second, so
//! no event reads a clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing::Metadata;

/// Kinds that are counted. Their number is that of log macros in the code, far below; one that finds no place is not limited.
const KINDS_MAX: usize = 1_024;

/// The target of the lines that speak of lines left out. They are bounded by the number of kinds and never limited.
const OWN_TARGET: &str = module_path!();

/// The lines of each kind since the last sum. Shared by all threads: a table that only grows, with a counter in each place.
#[derive(Debug)]
pub struct Kinds {
    lines_max: u32,
    table: Box<[Kind]>,
}

#[derive(Debug, Default)]
struct Kind {
    place: OnceLock<&'static Metadata<'static>>,
    lines: AtomicU32,
}

impl Kinds {
    /// Each kind may write `lines_max` lines between two sums.
    pub fn new(lines_max: u32) -> Self {
        Self { lines_max, table: std::iter::repeat_with(Kind::default).take(KINDS_MAX).collect() }
    }

    /// Counts an event of this place in the code; whether it may become a line.
    pub fn admit(&self, place: &'static Metadata<'static>) -> bool {
        if place.target() == OWN_TARGET {
            return true;
        }
        // Relaxed: a counter on its own; nothing else is ordered by it.
        self.kind(place).is_none_or(|kind| kind.lines.fetch_add(1, Ordering::Relaxed) < self.lines_max)
    }

    /// Starts all counts again, and says in one line a kind how many events were left out.
    pub fn sum_up(&self) {
        for kind in &self.table {
            let Some(place) = kind.place.get() else { continue };
            let count = kind.lines.swap(0, Ordering::Relaxed).saturating_sub(self.lines_max);
            if count > 0 {
                let (file, line) = (place.file().unwrap_or("an unknown file"), place.line().unwrap_or(0));
                tracing::warn!(count, area = place.target(), place = %format_args!("{file}:{line}"), "events left out");
            }
        }
    }

    /// Where this place in the code is counted: the first free slot behind the one its address points at.
    fn kind(&self, place: &'static Metadata<'static>) -> Option<&Kind> {
        let start = std::ptr::from_ref(place).addr() / align_of::<Metadata<'_>>() % KINDS_MAX;
        let (head, tail) = self.table.split_at(start);
        tail.iter().chain(head).find(|kind| std::ptr::eq(*kind.place.get_or_init(|| place), place))
    }
}
