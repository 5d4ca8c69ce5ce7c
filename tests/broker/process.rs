//! Starting, watching and ending the broker as a process.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::patience::{wait_for, wait_until};

/// The command of a foreign broker to test instead of ours, with `{port}` where its port belongs.
const FOREIGN: &str = "PREGON_TEST_BROKER";
/// Further settings for every broker of ours, split at blanks.
const SETTINGS: &str = "PREGON_TEST_SETTINGS";
/// What `/proc/PID/stat` counts processor time in: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What starts a command under a user who owns nothing and is in no group.
const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A running broker; it is killed where a test forgets it.
pub struct Broker {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How to start a broker.
#[derive(Clone, Debug)]
pub struct Options {
    shards: usize,
    address: SocketAddr,
    settings: Vec<String>,
    descriptors_max: Option<u32>,
    address_space_max: Option<u64>,
    nobodys: Option<PathBuf>,
    is_plain_open: bool,
    has_metrics: bool,
}

impl Options {
    /// So many shards and the defaults.
    pub fn shards(shards: usize) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            shards,
            address,
            settings: Vec::new(),
            descriptors_max: None,
            address_space_max: None,
            nobodys: None,
            is_plain_open: true,
            has_metrics: false,
        }
    }

    /// This address instead of a port of the kernel's choice.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// One more `section.key=value`.
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// A limit of open descriptors for the process.
    pub fn descriptors_max(mut self, count: u32) -> Self {
        self.descriptors_max = Some(count);
        self
    }

    /// A limit of memory for the process, in bytes of addresses.
    pub fn address_space_max(mut self, bytes: u64) -> Self {
        self.address_space_max = Some(bytes);
        self
    }

    /// Under a user who owns nothing, by the [program that is his](nobodys_program).
    pub fn by_nobody(mut self, program: &Path) -> Self {
        self.nobodys = Some(program.to_owned());
        self
    }

    /// Without a listener for plain TCP: only what its settings name.
    pub fn without_plain_listener(mut self) -> Self {
        self.is_plain_open = false;
        self
    }

    /// With a door where it tells its metrics.
    pub fn with_metrics(mut self) -> Self {
        self.has_metrics = true;
        self
    }

    /// Starts the broker and does not wait for anything.
    pub fn launch(self) -> Broker {
        let address = self.address;
        let (child, log) = spawn(self.limited(self.words()));
        Broker { child, log, address }
    }

    /// Starts the broker and waits until it listens.
    pub fn start(self) -> Broker {
        let (command, port) = match std::env::var(FOREIGN) {
            Ok(foreign) => {
                let port = free_port();
                let words = foreign.replace("{port}", &port.to_string());
                (self.limited(words.split_whitespace().map(str::to_owned).collect()), Some(port))
            }
            Err(_) => (self.limited(self.words()), None),
        };
        let (mut child, log) = spawn(command);
        let address = match port {
            Some(port) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                wait_until("the foreign broker to listen", || TcpStream::connect(address).is_ok());
                address
            }
            None => wait_for("the line that says where the broker listens", || {
                if let Some(status) = child.try_wait().expect("a child can be asked") {
                    panic!("the broker ended with {status}: {}", read(&log));
                }
                addresses(&read(&log)).first().copied()
            }),
        };
        Broker { child, log, address }
    }

    /// Program and arguments of our broker.
    fn words(&self) -> Vec<String> {
        let address = self.address.to_string();
        // The short form at port 0 closes the door.
        let door = if self.has_metrics { ["--set", "admin.listen=127.0.0.1:0"] } else { ["--admin", "127.0.0.1:0"] };
        let plain: &[&str] = if self.is_plain_open { &["--listen", &address] } else { &["--set", "listeners.tcp=[]"] };
        let own =
            self.nobodys.as_ref().map_or(env!("CARGO_BIN_EXE_pregon"), |path| path.to_str().expect("it is a name"));
        let fixed = [own].into_iter().chain(plain.iter().copied()).chain(door);
        let mut words: Vec<String> = fixed.map(str::to_owned).collect();
        let shards = format!("runtime.shards={}", self.shards);
        let further = std::env::var(SETTINGS).unwrap_or_default();
        // Who says nothing else keeps nothing: many brokers run at once, and a data directory belongs to one.
        let usual = std::iter::once("storage.durability=memory").chain(further.split_whitespace());
        let chosen = std::iter::once(shards.as_str()).chain(self.settings.iter().map(String::as_str));
        for setting in usual.chain(chosen) {
            words.extend(["--set".to_owned(), setting.to_owned()]);
        }
        words
    }

    /// The command, behind a shell that lowers its limits where that is asked for.
    fn limited(&self, words: Vec<String>) -> Command {
        let descriptors = self.descriptors_max.map(|count| format!("ulimit -n {count} && "));
        let memory = self.address_space_max.map(|bytes| format!("ulimit -v {} && ", bytes / 1024));
        let limits: String = descriptors.into_iter().chain(memory).collect();
        let shell = ["sh".to_owned(), "-c".to_owned(), format!("{limits}exec \"$0\" \"$@\"")];
        let before = if limits.is_empty() { Vec::new() } else { shell.to_vec() };
        let user: &[&str] = if self.nobodys.is_some() { &AS_NOBODY } else { &[] };
        let all: Vec<String> =
            before.into_iter().chain(user.iter().map(|word| (*word).to_owned())).chain(words).collect();
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]);
        command
    }
}

impl Broker {
    /// A broker with so many shards and the defaults.
    pub fn start(shards: usize) -> Self {
        Options::shards(shards).start()
    }

    /// Where the listener of this name listens.
    #[track_caller]
    pub fn named(&self, name: &str) -> SocketAddr {
        let is_it = |line: &&str| line.ends_with(&format!(" name={name}"));
        wait_for("the line that says where a listener listens", || {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(is_it).collect();
            addresses(&lines.join("\n")).first().copied()
        })
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// The value of a metric, with its labels as they are printed; none where it is not told. The broker was started [with metrics].
    ///
    /// [with metrics]: Options::with_metrics
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("a metric is a number"))
    }

    /// All metrics, as they are told.
    pub fn metrics(&self) -> String {
        let address = wait_for("the line that says where metrics are told", || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains("metrics and health"))?;
            Some(line.split_once("address=")?.1.split_whitespace().next()?.trim_matches('"').to_owned())
        });
        let mut stream = TcpStream::connect(address).expect("the door is open");
        let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).expect("it is heard");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it is answered");
        text
    }

    /// Waits until a metric has this value: what is told may be a moment old.
    #[track_caller]
    pub fn await_metric(&self, series: &str, value: f64) {
        wait_until(series, || self.metric(series) == Some(value));
    }

    /// Open descriptors.
    pub fn descriptor_count(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the broker runs").count()
    }

    /// The ports of TCP, of either version, at which it listens, as the kernel knows them.
    pub fn ports(&self) -> Vec<u16> {
        let process = format!("/proc/{}", self.child.id());
        let descriptors = fs::read_dir(format!("{process}/fd")).expect("the broker runs");
        let links: Vec<PathBuf> = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        let is_its = |inode: &str| links.iter().any(|link| link.as_os_str() == format!("socket:[{inode}]").as_str());
        let mut ports = Vec::new();
        for table in ["tcp", "tcp6"] {
            let table = read(Path::new(&format!("{process}/net/{table}")));
            for line in table.lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // 0A is a socket that listens; the tenth field is its inode.
                if fields[3] == "0A" && is_its(fields[9]) {
                    let (_, port) = fields[1].rsplit_once(':').expect("address and port");
                    ports.push(u16::from_str_radix(port, 16).expect("a port in hexadecimal digits"));
                }
            }
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The most memory that was ever resident, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.memory("status", "VmHWM:")
    }

    /// The memory that is resident now and nobody else's, in bytes.
    pub fn memory_private(&self) -> u64 {
        self.memory("smaps_rollup", "Private_Dirty:")
    }

    /// The memory that is resident now, in bytes, counted page by page.
    pub fn memory_now(&self) -> u64 {
        self.memory("smaps_rollup", "Rss:")
    }

    /// A line `name 123 kB` of a file in `/proc/PID`, in bytes.
    fn memory(&self, file: &str, name: &str) -> u64 {
        let text = read(Path::new(&format!("/proc/{}/{file}", self.child.id())));
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel knows a process's memory");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("memory is a number of kB");
        kilobytes * 1024
    }

    /// The time that all its threads have spent on a processor.
    pub fn processor_time(&self) -> Duration {
        let stat = read(Path::new(&format!("/proc/{}/stat", self.child.id())));
        let (_, behind_name) = stat.rsplit_once(')').expect("the name stands in brackets");
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks = [11, 12].map(|field| fields[field].parse::<u32>().expect("ticks are a number")); // utime, stime
        TICK * ticks.iter().sum()
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be started").success(), "the broker cannot be reached by a signal");
    }

    /// From now on it may open descriptors up to this number, and keeps those that it has.
    pub fn limit_descriptors(&self, count: usize) {
        let (process, limit) = (format!("--pid={}", self.child.id()), format!("--nofile={count}:"));
        let status = Command::new("prlimit").args([process, limit]).status();
        assert!(status.expect("prlimit can be started").success(), "the limits of the broker cannot be set");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the broker", || self.child.try_wait().expect("a child can be asked"))
    }
}

impl Drop for Broker {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the broker had to say")]
    fn drop(&mut self) {
        // It may have ended by itself, and the log may be gone: nothing is left to do in either case.
        let _ = (self.child.kill(), self.child.wait());
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", read(&self.log));
        }
        // See above.
        let _ = fs::remove_file(&self.log);
    }
}

/// Starts a process that writes a log.
fn spawn(mut command: Command) -> (Child, PathBuf) {
    let log = log_path();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).expect("a log can be written"));
    (command.spawn().expect("the broker can be started"), log)
}

/// A program in this folder that can be started under a user who owns nothing, if this process may do so: ours may lie where he cannot enter.
pub fn nobodys_program(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("pregon");
    fs::copy(env!("CARGO_BIN_EXE_pregon"), &program).expect("there is room");
    let mut command = Command::new(AS_NOBODY[0]);
    command.args(&AS_NOBODY[1..]).arg(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success()).then_some(program)
}

/// Runs our broker with these arguments to its end: exit code and standard error.
pub fn run_to_end(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pregon"));
    command.args(arguments);
    end_of(command)
}

/// The same under a user who owns nothing, by his program.
pub fn run_to_end_as_nobody(program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(AS_NOBODY[0]);
    command.args(&AS_NOBODY[1..]).arg(program).args(arguments);
    end_of(command)
}

fn end_of(command: Command) -> (Option<i32>, String) {
    let (child, log) = spawn(command);
    let mut broker = Broker { child, log, address: SocketAddr::from(([0; 4], 0)) };
    let status = broker.wait();
    (status.code(), read(&broker.log))
}

/// Whether our broker is driven by plain streams here, which take two descriptors a connection.
pub fn is_plain() -> bool {
    std::env::var(SETTINGS).is_ok_and(|settings| settings.split_whitespace().any(|word| word == "runtime.driver=plain"))
}

/// Lets this very process open so many descriptors, which its hard limit must allow.
pub fn raise_own_limit(count: usize) {
    let limits = read(Path::new("/proc/self/limits"));
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the kernel knows the limit");
    let soft = line.split_whitespace().next().expect("the soft limit comes first");
    if soft.parse().is_ok_and(|soft: usize| soft < count) {
        let arguments = ["--pid", &std::process::id().to_string(), &format!("--nofile={count}:")];
        let status = Command::new("prlimit").args(arguments).status();
        assert!(status.expect("prlimit can be started").success(), "the hard limit of descriptors is below {count}");
    }
}

/// The `address=` of each line that says `listening`.
fn addresses(log: &str) -> Vec<SocketAddr> {
    let lines = log.lines().filter(|line| line.contains("listening"));
    let fields = lines.filter_map(|line| line.split_once("address=").map(|(_, behind)| behind));
    let texts = fields.map(|behind| behind.split(|letter: char| letter.is_whitespace()).next().unwrap_or_default());
    texts.filter_map(|text| text.trim_matches('"').parse().ok()).collect()
}

fn log_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broker-{}-{number}.log", std::process::id()))
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the kernel has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
