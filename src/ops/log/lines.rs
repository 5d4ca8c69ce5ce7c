//! The thread that writes the lines, so that a reader who is slow or gone holds up no shard.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select, tick};
use tracing_subscriber::fmt::MakeWriter;

use super::kinds::Kinds;

/// Lines that wait to be written. One that finds no place is dropped and counted.
const LINES_MAX: usize = 4_096;

/// How often the events that were left out are summed up.
const SUM_UP_EVERY: Duration = Duration::from_secs(1);

/// How long the end of the log waits for its reader.
const DRAIN_MAX: Duration = Duration::from_secs(1);

enum Order {
    Write(Box<[u8]>),
    Stop,
}

/// The thread that writes. One for the whole process; dropping it waits until what was said before is written.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Sender<Order>,
    ended: Receiver<()>,
}

/// The way to it, from every thread. Each write is one whole line.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    orders: Sender<Order>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(kinds: Arc<Kinds>) -> io::Result<(Self, Lines)> {
        let (orders, lines) = bounded(LINES_MAX);
        let (ends, ended) = bounded(1);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        thread::Builder::new().name("pregon-log".into()).spawn(move || {
            write_all(&lines, &kinds, &counter);
            // Nobody waits any more where the process ends faster than its log.
            let _ = ends.send(());
        })?;
        Ok((Self { orders: orders.clone(), ended }, Lines { orders, lost }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The reader of standard error is stuck or gone: the process ends all the same.
        let _ = self.orders.send_timeout(Order::Stop, DRAIN_MAX);
        let _ = self.ended.recv_timeout(DRAIN_MAX); // likewise
    }
}

/// Writes lines until it is told to stop, and once a second says what was left out.
fn write_all(orders: &Receiver<Order>, kinds: &Kinds, lost: &AtomicU64) {
    let ticks = tick(SUM_UP_EVERY);
    loop {
        select! {
            recv(orders) -> order => match order {
                Ok(Order::Write(line)) => write(&line),
                Ok(Order::Stop) | Err(_) => break,
            },
            recv(ticks) -> _ => sum_up(kinds, lost),
        }
    }
    sum_up(kinds, lost);
    // What the last sums said lies in the queue, and nobody else is to be waited for.
    for order in orders.try_iter() {
        if let Order::Write(line) = order {
            write(&line);
        }
    }
}

/// These lines come back through the queue: this thread reads it next.
fn sum_up(kinds: &Kinds, lost: &AtomicU64) {
    kinds.sum_up();
    let count = lost.swap(0, Ordering::Relaxed);
    if count > 0 {
        tracing::warn!(count, "lines lost, for standard error did not take them");
    }
}

fn write(line: &[u8]) {
    // A broker whose log nobody can read any more still has clients to serve.
    let _ = io::stderr().lock().write_all(line);
}

impl io::Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.orders.try_send(Order::Write(line.into())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'writer> MakeWriter<'writer> for Lines {
    type Writer = &'writer Lines;

    fn make_writer(&'writer self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_a_place_is_counted_and_nobody_waits() {
        let (orders, waiting) = bounded(1);
        let lines = Lines { orders, lost: Arc::new(AtomicU64::new(0)) };
        for line in [&b"one\n"[..], b"two\n", b"three\n"] {
            assert_eq!((&lines).write(line).unwrap(), line.len());
        }
        assert_eq!(lines.lost.load(Ordering::Relaxed), 2);
        assert!(matches!(waiting.try_recv(), Ok(Order::Write(line)) if *line == *b"one\n"));
    }
}
