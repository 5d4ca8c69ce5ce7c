//! All clients on one thread: who connects, who waits for the next attempt, and what came of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use pregon::base::random::Random;
use rustls::ClientConfig;

use super::arguments::{Arguments, nanoseconds};
use super::client::{Client, Stage, Step, Terms};
use super::figures::Figures;
use super::link::{self, Link, State};

/// What one read takes at most.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Sockets told of in a turn.
const EVENTS_MAX: usize = 1_024;
/// Clients that begin to connect between two looks at the sockets.
const OPENED_PER_TURN_MAX: usize = 256;
/// The first back-off, and the last; each is longer than the one before by a factor of two, and anything from half to all of it.
const BACK_OFF_NS: u64 = 250_000_000;
const BACK_OFF_NS_MAX: u64 = 4_000_000_000;
/// How long it waits for sockets when nothing else is due.
const WAIT: Duration = Duration::from_millis(5);
/// When what is silent is looked for.
const LOOK_NS: u64 = 500_000_000;

/// How clients come.
#[derive(Clone, Copy, Debug)]
pub struct Wave {
    /// Their sessions are not there yet.
    pub is_first: bool,
    /// How many may be on their way at once.
    pub at_once: u32,
}

/// All clients.
pub struct Fleet<'a> {
    arguments: &'a Arguments,
    tls: Option<Arc<ClientConfig>>,
    poll: Poll,
    links: Vec<Option<Link>>,
    clients: Vec<Client>,
    random: Random,
    start: Instant,
    buffer: Vec<u8>,
}

/// A wave under way.
struct Course<'a> {
    terms: Terms<'a>,
    figures: Figures,
    start_ns: u64,
    /// Who comes next, at once.
    ready: VecDeque<u32>,
    /// Who comes again, and when.
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
    /// On their way.
    under_way: u32,
    /// Back, with everything.
    done: u32,
}

impl<'a> Fleet<'a> {
    /// A fleet that has not connected yet.
    pub fn new(arguments: &'a Arguments) -> io::Result<Self> {
        Ok(Self {
            arguments,
            tls: arguments.tls.then(|| link::config(arguments.clients, arguments.tickets)),
            poll: Poll::new()?,
            links: (0..arguments.clients).map(|_| None).collect(),
            clients: (0..arguments.clients).map(Client::new).collect(),
            random: Random::from_seed(1),
            start: now(),
            buffer: vec![0; READ_BYTES_MAX],
        })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(now().duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Everybody is gone, without a word.
    pub fn cut(&mut self) {
        for (link, client) in self.links.iter_mut().zip(&mut self.clients) {
            *link = None;
            (client.stage, client.tries) = (Stage::Away, 0);
        }
    }

    /// Everybody comes, until all are there or time is over.
    pub fn run(&mut self, wave: Wave) -> io::Result<Figures> {
        let own_s = own_seconds();
        let arguments = self.arguments;
        let terms = Terms {
            is_first: wave.is_first,
            owed: if wave.is_first { 0 } else { arguments.queued },
            password: arguments.password.as_deref(),
        };
        let mut course = Course {
            terms,
            figures: Figures::new(u64::from(arguments.clients), !wave.is_first),
            start_ns: self.now_ns(),
            ready: (0..arguments.clients).collect(),
            waiting: BinaryHeap::new(),
            under_way: 0,
            done: 0,
        };
        let until_ns = course.start_ns + nanoseconds(arguments.seconds_max);
        let mut events = Events::with_capacity(EVENTS_MAX);
        let (mut now_ns, mut looked_ns) = (course.start_ns, course.start_ns);
        while course.done < arguments.clients && now_ns < until_ns {
            self.open_some(wave, &mut course)?;
            let is_busy = !course.ready.is_empty() && course.under_way < wave.at_once;
            match self.poll.poll(&mut events, Some(if is_busy { Duration::ZERO } else { WAIT })) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                Ok(()) | Err(_) => {}
            }
            for event in &events {
                let Token(number) = event.token();
                self.serve(number, &mut course);
            }
            now_ns = self.now_ns();
            if now_ns - looked_ns > LOOK_NS {
                looked_ns = now_ns;
                self.give_up_silent(now_ns, &mut course);
            }
        }
        course.figures.took_ns = now_ns - course.start_ns;
        course.figures.lost =
            self.clients.iter().map(|client| u64::from(terms.owed - client.seen().min(terms.owed))).sum();
        course.figures.own_s = own_seconds() - own_s;
        Ok(course.figures)
    }

    /// Some of those who may come begin to.
    fn open_some(&mut self, wave: Wave, course: &mut Course<'_>) -> io::Result<()> {
        let now_ns = self.now_ns();
        while course.waiting.peek().is_some_and(|Reverse((due_ns, _))| *due_ns <= now_ns) {
            course.ready.extend(course.waiting.pop().map(|Reverse((_, number))| number));
        }
        for _ in 0..OPENED_PER_TURN_MAX {
            if course.under_way >= wave.at_once {
                return Ok(());
            }
            let Some(number) = course.ready.pop_front() else { return Ok(()) };
            let opened_ns = self.now_ns();
            let mut link = match Link::open(self.arguments.address, number, self.tls.as_ref(), self.poll.registry()) {
                Ok(link) => link,
                Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::ConnectionRefused) => {
                    course.figures.failed(error.kind().to_string());
                    self.come_again(number, course);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let client = &mut self.clients[number as usize];
            (client.opened_ns, client.tries) = (opened_ns, client.tries + 1);
            client.connect(course.terms, link.outbox());
            self.links[number as usize] = Some(link);
            course.under_way += 1;
        }
        Ok(())
    }

    /// Reads and writes whatever a client's socket has room or bytes for.
    fn serve(&mut self, number: usize, course: &mut Course<'_>) {
        let now_ns = self.now_ns();
        let Some(link) = self.links.get_mut(number).and_then(Option::as_mut) else { return };
        let (client, figures, terms) = (&mut self.clients[number], &mut course.figures, course.terms);
        let (before, since_ns) = (client.stage, now_ns - client.opened_ns);
        let deadline_ns = nanoseconds(self.arguments.deadline);
        let (mut refusal, mut is_welcome) = (None, false);
        let answered = |figures: &mut Figures| {
            figures.latest_ns = figures.latest_ns.max(since_ns);
            figures.late += u64::from(since_ns > deadline_ns);
        };
        let read = link.read(&mut self.buffer, |frame, out| match client.hear(frame, terms, out) {
            Step::Welcome { is_present } => {
                answered(figures);
                is_welcome = true;
                figures.back += 1;
                figures.present += u64::from(is_present);
                figures.connack.record(since_ns).expect("it grows as it has to");
                figures.return_time.record(now_ns - course.start_ns).expect("it grows as it has to");
            }
            Step::Refused(reason) => {
                answered(figures);
                refusal = Some(format!("refused: {} (0x{:02x})", reason.name(), reason.code()));
            }
            Step::Message { is_again } => figures.doubled += u64::from(is_again),
            Step::Other => {}
            Step::Wrong => figures.failed("a packet that should not be there"),
        });
        figures.resumed += u64::from(is_welcome && link.is_resumed());
        let why = match (refusal, read, link.write()) {
            (Some(refusal), ..) => Some(refusal),
            (None, Ok(State::Open), Ok(())) => None,
            (None, Ok(State::Closed), _) if link.is_handshaking() => Some("closed within the handshake".into()),
            (None, Ok(State::Closed), _) => Some("closed without an answer".into()),
            (None, Err(error), _) | (None, Ok(State::Open), Err(error)) => Some(error.kind().to_string()),
        };
        let was_back = before == Stage::Back;
        let is_back = client.stage == Stage::Back;
        if let Some(why) = why {
            if matches!(client.stage, Stage::Back | Stage::Collecting | Stage::Subscribing) {
                course.figures.back -= 1; // it comes again, and is counted again
                course.figures.present = course.figures.present.saturating_sub(u64::from(!terms.is_first));
            }
            course.done -= u32::from(was_back);
            course.under_way -= u32::from(!was_back);
            course.figures.failed(why);
            self.come_again(u32::try_from(number).expect("it is the number of a client"), course);
        } else if is_back && !was_back {
            course.under_way -= 1;
            course.done += 1;
        }
    }

    /// A client that nobody has answered gives up.
    fn give_up_silent(&mut self, now_ns: u64, course: &mut Course<'_>) {
        let patience_ns = nanoseconds(self.arguments.patience);
        for number in 0..self.arguments.clients {
            let client = &self.clients[number as usize];
            if client.stage == Stage::Connecting && now_ns - client.opened_ns > patience_ns {
                course.under_way -= 1;
                course.figures.failed("given up by the client");
                self.come_again(number, course);
            }
        }
    }

    /// An attempt has failed: the next one comes after a while.
    fn come_again(&mut self, number: u32, course: &mut Course<'_>) {
        self.links[number as usize] = None;
        let client = &mut self.clients[number as usize];
        client.stage = Stage::Away;
        let doubled = BACK_OFF_NS << client.tries.saturating_sub(1).min(8);
        let longest = doubled.min(BACK_OFF_NS_MAX);
        let wait_ns = longest / 2 + self.random.below(longest / 2);
        course.waiting.push(Reverse((self.now_ns() + wait_ns, number)));
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own reads its own clock")]
fn now() -> Instant {
    Instant::now()
}

/// CPU seconds of this process.
fn own_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ns: f64 = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(f64::NAN);
    ns / 1e9
}
