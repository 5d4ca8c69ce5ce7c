//! One glommio executor a shard: pinned, started with a handshake, running turns until the broker stops.

use std::io;
use std::time::Duration;

use crossbeam_channel::Sender;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::core::{Core, CoreError, Parts};
use crate::config::Runtime;
use crate::engine::homes::ShardId;

/// What a shard's thread says once: it is ready and by what its network is driven, or why not.
pub type Handshake = (ShardId, Result<&'static str, String>);

/// Starts a shard's thread and its executor. It reports through `handshake` when it is ready.
pub fn start(
    parts: Parts,
    runtime: &Runtime,
    handshake: Sender<Handshake>,
) -> glommio::Result<ExecutorJoinHandle<()>, ()> {
    let placement = parts.core.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name(&format!("pregon-shard-{}", parts.id.index()))
        .ring_depth(runtime.executor_ring_depth)
        .io_memory(runtime.io_memory_bytes)
        .preempt_timer(Duration::from_millis(runtime.preempt_timer_ms))
        .spawn(move || run(parts, handshake))
}

async fn run(parts: Parts, handshake: Sender<Handshake>) {
    let id = parts.id;
    let mut core = match Core::new(parts) {
        Ok(core) => core,
        Err(error) => {
            let _the_starter_is_gone = handshake.send((id, Err(reason(&error))));
            return;
        }
    };
    tracing::debug!(shard = id.index(), driver = core.driver(), "shard is ready");
    let _the_starter_is_gone = handshake.send((id, Ok(core.driver())));
    drop(handshake);
    loop {
        let has_worked = core.turn();
        if core.is_finished() {
            return;
        }
        core.breathe(has_worked).await;
    }
}

/// Why there is no core, with what can be done about it.
fn reason(error: &CoreError) -> String {
    match error {
        CoreError::Ring(error) => remedy(error),
        CoreError::Replay(error) => format!("the journal cannot be read: {error}"),
    }
}

/// What an operator can do about a ring that cannot be made.
fn remedy(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here: see the sysctl kernel.io_uring_disabled and the seccomp profile"
        }
        Some(libc::ENOSYS) => "this kernel has no io_uring: 5.19 or newer is needed",
        Some(libc::EINVAL) => "this kernel's io_uring lacks what the ring needs: 6.1 or newer is needed",
        Some(libc::ENOMEM) => "memory may not be locked: raise the limit `memlock` (LimitMEMLOCK of a service)",
        Some(libc::EMFILE | libc::ENFILE) => {
            "no descriptors are left: raise the limit `nofile` (LimitNOFILE of a service)"
        }
        _ => "see the manual, operations",
    };
    format!("the network ring cannot be made: {error}; {advice}")
}
