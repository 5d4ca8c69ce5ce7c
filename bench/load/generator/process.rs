//! What the broker's process costs, as `/proc` tells it: CPU time of all its threads, resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// A tick of `/proc/PID/stat`: Linux shows a hundred a second to programs on every machine this runs on.
const TICK_NS: u64 = 10_000_000;

/// A process that is watched.
#[derive(Clone, Debug)]
pub struct Process {
    folder: PathBuf,
}

/// CPU time up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Of the whole process, threads that have ended included; exact to a tick.
    pub ticks_ns: u64,
    /// Of each thread alive, exact to the nanosecond.
    pub threads: BTreeMap<u32, u64>,
}

/// Memory at a moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    /// The process of this number.
    pub fn new(pid: u32) -> Self {
        Process { folder: PathBuf::from(format!("/proc/{pid}")) }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// CPU time so far, in user and in kernel mode.
    pub fn cpu_time(&self) -> io::Result<CpuTime> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(self.folder.join("task"))? {
            let name = entry?.file_name();
            let thread = name.to_str().and_then(|name| name.parse().ok());
            let Some(thread) = thread else { continue };
            // A thread may end between the two looks; a kernel without the file leaves the ticks.
            if let Ok(text) = self.read(&format!("task/{thread}/schedstat")) {
                let on_cpu = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
                threads.extend(on_cpu.map(|ns: u64| (thread, ns)));
            }
        }
        let ticks_ns = ticks(&self.read("stat")?).ok_or_else(|| unreadable("stat"))? * TICK_NS;
        Ok(CpuTime { ticks_ns, threads })
    }

    /// Memory now and at its highest.
    pub fn memory(&self) -> io::Result<Memory> {
        let status = self.read("status")?;
        let peak = kibibytes(&status, "VmHWM:").ok_or_else(|| unreadable("status"))?;
        // The roll-up is counted page by page; the status lags behind by what each core has not added yet.
        let exact = self.read("smaps_rollup").ok().and_then(|rollup| kibibytes(&rollup, "Rss:"));
        let resident = exact.or_else(|| kibibytes(&status, "VmRSS:")).ok_or_else(|| unreadable("status"))?;
        Ok(Memory { resident, peak: peak.max(resident) })
    }
}

impl CpuTime {
    /// CPU time between two moments, in nanoseconds: from the threads, unless one of them has ended since.
    pub fn since_ns(&self, earlier: &CpuTime) -> u64 {
        let has_all =
            !self.threads.is_empty() && earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        if !has_all {
            return self.ticks_ns.saturating_sub(earlier.ticks_ns);
        }
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or(0);
        self.threads.iter().map(|(thread, ns)| ns.saturating_sub(before(thread))).sum()
    }

    /// CPU time between two moments of the thread that used most of it; unknown where no thread tells.
    pub fn busiest_since_ns(&self, earlier: &CpuTime) -> Option<u64> {
        let before = |thread| earlier.threads.get(thread).copied().unwrap_or(0);
        self.threads.iter().map(|(thread, ns)| ns.saturating_sub(before(thread))).max()
    }
}

/// User and kernel ticks: the 14th and 15th field, counted behind the name, which may hold blanks and brackets.
pub fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + kernel)
}

/// The value of a line `name: 123 kB`, in bytes.
pub fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let value: u64 = value.split_ascii_whitespace().next()?.parse().ok()?;
    Some(value * 1_024)
}

fn unreadable(file: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("/proc/PID/{file} is not as proc(5) describes it"))
}
