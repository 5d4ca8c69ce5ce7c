//! Clients that come in: the listeners of a shard, and the places that their connections take.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::core::Core;
use super::events;
use super::lines::Line;
use super::listener::peer_of;
use super::reading::enqueue;
use super::reserve::Reserve;
use super::transport::layers::Layers;
use super::transport::plan::Plan;
use crate::base::time::Time;
use crate::engine::connection::Peer;
use crate::engine::input::Input;

/// Clients that are accepted in one turn.
const ACCEPTS_PER_TURN_MAX: usize = 256;
/// How long accepting pauses when descriptors have run out.
const ACCEPT_PAUSE_MS: u64 = 200;

/// A listener of this shard.
#[derive(Debug)]
pub(super) struct Listener {
    /// Its socket.
    pub(super) fd: OwnedFd,
    /// What stands between a client's socket and its MQTT; nothing for plain MQTT.
    pub(super) plan: Option<Arc<Plan>>,
    /// Accepting is paused until then.
    pub(super) paused_until: Option<Time>,
}

impl Core {
    pub(super) fn accept_ended(&mut self, number: u16, error: Option<&io::Error>) {
        let Some(listener) = self.listeners.get(usize::from(number)) else { return };
        match error.and_then(io::Error::raw_os_error) {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => self.pause_accepting(number, error),
            Some(libc::ECANCELED) => {} // it was paused, see `pause_accepting`
            _ if listener.paused_until.is_some() || self.stop_at_ns.is_some() => {}
            _ => self.net.accept(number, listener.fd.as_fd()),
        }
    }

    /// Nobody comes in by this listener for some time: clients wait in the kernel, which has room for them.
    fn pause_accepting(&mut self, number: u16, error: Option<&io::Error>) {
        let Some(listener) = self.listeners.get_mut(usize::from(number)) else { return };
        if listener.paused_until.is_none() {
            self.net.stop_accepting(number);
            let error = error.map_or_else(|| "the last ones are kept for files".to_owned(), ToString::to_string);
            tracing::warn!(shard = self.id.index(), error, "accepting is paused: no descriptors are left");
            self.stats.accept_pauses += 1;
        }
        listener.paused_until = Some(self.clock.now().after_ms(ACCEPT_PAUSE_MS));
    }

    /// Listeners whose pause is over let clients in again, if there are descriptors for them.
    pub(super) fn resume_accepting(&mut self, now: Time) {
        for (number, listener) in (0..).zip(&mut self.listeners) {
            if listener.paused_until.is_none_or(|until| !now.has_passed(until)) {
                continue;
            }
            if Reserve::now().is_whole(listener.fd.as_fd()) {
                listener.paused_until = None;
                self.net.accept(number, listener.fd.as_fd());
            } else {
                listener.paused_until = Some(now.after_ms(ACCEPT_PAUSE_MS));
                self.stats.accept_pauses += 1;
            }
        }
    }

    pub(super) fn accept_clients(&mut self, now: Time) {
        if self.accepted.is_empty() {
            return;
        }
        let reserve = Reserve::now();
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let Some((number, fd)) = self.accepted.pop_front() else { return };
            self.stats.accepted += 1;
            if reserve.is_reached_by(fd.as_fd()) {
                self.pause_accepting(number, None);
            }
            if reserve.refuses(fd.as_fd()) {
                continue;
            }
            // A client that is gone already has no address.
            let Some(address) = peer_of(fd.as_fd()) else { continue };
            let plan = self.listeners.get(usize::from(number)).and_then(|listener| listener.plan.as_ref());
            if plan.is_some_and(|plan| !plan.takes(address.ip())) {
                self.stats.layer_failures += 1;
                events::not_trusted(self.id, address);
                continue;
            }
            let is_costly = plan.is_some_and(|plan| plan.tls.is_some());
            self.make_place(now);
            let Some(key) = self.shard.accept(Peer { address, listener: number }, now) else { continue };
            let has_time = !is_costly || self.has_time_for_hello(key, now);
            let Some(layers) = has_time.then(|| self.layers(number)).flatten() else {
                self.shard.handle(Input::Lost { connection: key }, now, &mut self.out);
                continue;
            };
            let mut line = Line::new(key, fd).with_layers(layers);
            if !is_costly {
                enqueue(&mut line, &mut self.due); // CONNECT is often there already
            }
            self.unwatched.push(key);
            self.lines.insert(line);
        }
    }

    /// The layers of a client of this listener, if it has any; nothing at all where they cannot be made.
    #[expect(clippy::option_option, reason = "a listener without layers is no fault")]
    fn layers(&self, number: u16) -> Option<Option<Layers>> {
        let plan = self.listeners.get(usize::from(number))?.plan.as_ref();
        plan.map(Layers::new).transpose().ok()
    }

    /// Places that the engine has freed this turn still have their lines: they go before the engine uses one again.
    pub(super) fn make_place(&mut self, now: Time) {
        if !self.out.closes.is_empty() || !self.out.hand_overs.is_empty() {
            self.perform(now);
        }
    }
}
