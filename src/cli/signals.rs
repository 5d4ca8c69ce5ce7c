//! Signals: the first SIGINT or SIGTERM asks for an orderly end, the second one ends the process at once, SIGHUP has files read anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::exit::Exit;

/// The signals of this process. One for the whole process.
#[derive(Debug)]
pub struct Interrupts {
    signals: Signals,
}

impl Interrupts {
    /// From here on the first signal ends nothing by itself.
    pub fn register() -> io::Result<Self> {
        let is_second = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: a signal asks whether there was one before, and then is the one before.
            flag::register_conditional_shutdown(signal, Exit::Failed.code().into(), Arc::clone(&is_second))?;
            flag::register(signal, Arc::clone(&is_second))?;
        }
        Ok(Self { signals: Signals::new([SIGINT, SIGTERM])? })
    }

    /// The same, and SIGHUP ends nothing at all.
    pub fn register_with_hangup() -> io::Result<Self> {
        let interrupts = Self::register()?;
        interrupts.signals.add_signal(SIGHUP)?;
        Ok(interrupts)
    }

    /// Waits for the first one; each SIGHUP before it is told.
    pub fn wait(&mut self, mut hangup: impl FnMut()) {
        for signal in self.signals.forever() {
            if signal != SIGHUP {
                return;
            }
            hangup();
        }
    }

    /// The first one as a message, for who waits for other things as well.
    pub fn into_channel(mut self) -> io::Result<Receiver<()>> {
        let (sender, receiver) = bounded(1);
        thread::Builder::new().name("signals".into()).spawn(move || {
            self.wait(|| {});
            // Nobody waits for it any more: the end has come by itself.
            let _ = sender.send(());
        })?;
        Ok(receiver)
    }
}
