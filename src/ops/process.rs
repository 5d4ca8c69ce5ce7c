//! What the kernel says of this process: `/proc`, read once a scrape.

use std::fs;
use std::path::Path;

/// Figures of this process; none where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Seconds on cores, user and system.
    pub cpu_s: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<f64>,
    /// Virtual memory.
    pub virtual_bytes: Option<f64>,
    /// Open descriptors.
    pub open_fds: Option<f64>,
    /// Descriptors that may be open.
    pub max_fds: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// The start, in seconds since 1970.
    pub start_time_s: Option<f64>,
}

impl Process {
    /// Asks the kernel.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let ticks = fs::read("/proc/self/auxv").ok().and_then(|auxv| ticks_per_second(&auxv));
        Self {
            cpu_s: ticks.and_then(|ticks| Some((stat_field(&stat, UTIME)? + stat_field(&stat, STIME)?) / ticks)),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024.0),
            virtual_bytes: field(&status, "VmSize:").map(|kib| kib * 1024.0),
            open_fds: open_fds(Path::new("/proc/self/fd")),
            max_fds: field(&limits, "Max open files"),
            threads: field(&status, "Threads:"),
            start_time_s: ticks
                .and_then(|ticks| Some(field(&kernel, "btime")? + stat_field(&stat, START_TIME)? / ticks)),
        }
    }
}

// Places in /proc/self/stat as proc(5) numbers them, from 1.
const UTIME: usize = 14;
const STIME: usize = 15;
const START_TIME: usize = 22;

/// A number of `/proc/self/stat`. The name of the process, field 2, may hold spaces and brackets: count from its end.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// The number behind a name at the start of a line. `unlimited` is no number, but `inf` is one to a query.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

/// The unit of processor time, from the vector that the kernel gives every program.
fn ticks_per_second(auxv: &[u8]) -> Option<f64> {
    const CLOCK_TICKS: usize = 17; // AT_CLKTCK
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).expect("a chunk holds two words");
    let mut entries = auxv.chunks_exact(2 * WORD).map(|entry| (word(&entry[..WORD]), word(&entry[WORD..])));
    let (_, ticks) = entries.find(|(kind, ticks)| *kind == CLOCK_TICKS && *ticks > 0)?;
    u32::try_from(ticks).ok().map(f64::from)
}

/// How many descriptors are open. Linux 6.2 and newer say it as the size of the folder; before that the entries are counted,
/// without the one that counting opens.
fn open_fds(folder: &Path) -> Option<f64> {
    let said = fs::metadata(folder).ok()?.len();
    let count = if said > 0 { said } else { (fs::read_dir(folder).ok()?.count() as u64).saturating_sub(1) };
    u32::try_from(count).ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_moves_no_field() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 777 1000";
        let seen = [UTIME, STIME, START_TIME].map(|number| stat_field(stat, number));
        assert_eq!(seen, [Some(150.0), Some(50.0), Some(777.0)]);
        assert_eq!(stat_field("", UTIME), None);
        assert_eq!(stat_field("42 (a) S 1", UTIME), None);
    }

    #[test]
    fn limits_and_sizes_are_read_by_name() {
        let limits = "Max processes  1  2  processes\nMax open files            1048576  1048576  files\n";
        assert_eq!(field(limits, "Max open files"), Some(1_048_576.0));
        assert_eq!(field("Max open files unlimited unlimited files", "Max open files"), Some(f64::INFINITY));
        assert_eq!(field("VmRSS:\t  123 kB\n", "VmRSS:"), Some(123.0));
        assert_eq!(field("VmRSS:\n", "VmRSS:"), None);
    }

    #[test]
    fn ticks_stand_behind_their_key_in_the_vector() {
        let words: Vec<u8> = [6, 4096, 17, 100, 0, 0_usize].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(ticks_per_second(&words), Some(100.0));
        assert_eq!(ticks_per_second(&words[..words.len() / 3]), None);
        assert_eq!(ticks_per_second(&[]), None);
    }

    #[test]
    fn this_process_knows_itself() {
        let process = Process::read();
        let told = [process.resident_bytes, process.virtual_bytes, process.open_fds, process.max_fds, process.threads];
        assert!(told.iter().all(|figure| figure.is_some_and(|figure| figure > 0.0)), "{process:?}");
        assert!(process.cpu_s.is_some() && process.start_time_s.is_some_and(|start| start > 1e9), "{process:?}");
        assert!(process.open_fds <= process.max_fds && process.resident_bytes <= process.virtual_bytes, "{process:?}");
    }
}
