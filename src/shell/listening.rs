//! All listeners of a broker: opened at the start, each with what its connections have in common, and what of that files decide.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::broker::post;
use super::listener::{self, Socket, SocketOptions};
use super::mesh::{Parcel, Ways};
use super::reloading::{Looked, ReloadError, Taken, Unit};
use super::transport::plan::{Plan, TlsFiles};
use super::transport::secrets::FileError;
use crate::config::listener::ListenAddress;
use crate::config::{Listener, Listeners};
use crate::engine::homes::ShardId;

/// How long an address is waited for that another process has: it may have been killed just now.
const TAKEN_PATIENCE: Duration = Duration::from_secs(1);

/// Why a listener does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("{address} is taken by another process: choose another one with --listen, or stop that process")]
    Taken {
        /// Where.
        address: ListenAddress,
    },
    /// The kernel does not let us listen there.
    #[error("cannot listen on {address}: {error}{advice}")]
    Refused {
        /// Where.
        address: ListenAddress,
        /// What the kernel says.
        error: io::Error,
        /// What can be done about it.
        advice: &'static str,
    },
    /// A file that it needs cannot be used.
    #[error("the listener {name}: {error}")]
    File {
        /// What it is called.
        name: Box<str>,
        /// Which file, and what is wrong with it.
        #[source]
        error: FileError,
    },
}

/// One listener, open.
#[derive(Debug)]
pub struct Listening {
    /// What it is called; nothing for one of `listeners.tcp`.
    pub name: Box<str>,
    /// Where it listens; the port is the one that the kernel chose if 0 was asked for.
    pub address: ListenAddress,
    /// One socket a shard.
    sockets: Vec<OwnedFd>,
    /// What its connections have in common, and what it is made of.
    plan: Option<Planned>,
}

/// What the connections of a listener have in common, and what it was made of.
#[derive(Clone, Debug)]
struct Planned {
    plan: Arc<Plan>,
    named: Listener,
    /// Its files before they were read; none where nothing is encrypted.
    files: Option<Looked>,
}

/// Opens all of them: first those of `listeners.tcp`, then those with a name, in the order of the configuration.
pub fn listen(listeners: &Listeners, shards: usize) -> Result<Vec<Listening>, ListenError> {
    let mut open = Vec::new();
    for address in &listeners.tcp {
        let options = SocketOptions { interface: None, is_dual_stack: false };
        let (address, sockets) = bind(*address, shards, listeners, &options)?;
        open.push(Listening { name: "".into(), address, sockets, plan: None });
    }
    for named in &listeners.named {
        let files = TlsFiles::of(named).map(|files| Looked::at(files.paths()));
        let plan = read(named, None)?;
        let (address, sockets) = match &named.address {
            ListenAddress::Tcp(address) => {
                let options = SocketOptions { interface: named.interface.as_deref(), is_dual_stack: named.dual_stack };
                bind(*address, shards, listeners, &options)?
            }
            ListenAddress::Unix(path) => {
                let is_taken = listener::stays_taken_unix(path, TAKEN_PATIENCE);
                if is_taken.map_err(|error| refused(&named.address, error))? {
                    return Err(ListenError::Taken { address: named.address.clone() });
                }
                let bound = listener::bind_unix(path, named.socket_mode, shards, listeners);
                (named.address.clone(), bound.map_err(|error| refused(&named.address, error))?)
            }
        };
        open.push(Listening {
            name: named.name.clone(),
            address,
            sockets,
            plan: plan.map(|plan| Planned { plan, named: named.clone(), files }),
        });
    }
    Ok(open)
}

fn bind(
    address: SocketAddr,
    shards: usize,
    listeners: &Listeners,
    options: &SocketOptions<'_>,
) -> Result<(ListenAddress, Vec<OwnedFd>), ListenError> {
    let wanted = ListenAddress::Tcp(address);
    if listener::stays_taken(address, options, TAKEN_PATIENCE).map_err(|error| refused(&wanted, error))? {
        return Err(ListenError::Taken { address: wanted });
    }
    let bound = listener::bind(address, shards, listeners, options).map_err(|error| refused(&wanted, error))?;
    Ok((ListenAddress::Tcp(bound.address), bound.sockets))
}

fn refused(address: &ListenAddress, error: io::Error) -> ListenError {
    let advice = match error.raw_os_error() {
        Some(libc::EACCES) => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        Some(libc::EADDRNOTAVAIL) => "; no interface of this machine has that address",
        Some(libc::ENODEV) => "; this machine has no such network device",
        Some(libc::EPERM) => "; to be bound to a network device needs the capability CAP_NET_RAW",
        _ => "",
    };
    ListenError::Refused { address: address.clone(), error, advice }
}

fn read(named: &Listener, before: Option<&Plan>) -> Result<Option<Arc<Plan>>, ListenError> {
    let read = Plan::read(named, before);
    read.map(|plan| plan.map(Arc::new)).map_err(|error| ListenError::File { name: named.name.clone(), error })
}

impl Listening {
    /// Second handles of its sockets.
    pub fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        self.sockets.iter().map(OwnedFd::try_clone).collect()
    }

    /// Where it lies in the file system, if it does.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.address {
            ListenAddress::Tcp(_) => None,
            ListenAddress::Unix(path) => Some(path.clone()),
        }
    }

    /// What is done when its files change: new connections follow the new plan. It is the listener of this number.
    pub fn unit(&self, number: u16, ways: &Ways) -> Option<Unit> {
        let Planned { mut plan, named, files } = self.plan.clone()?;
        let (files, ways) = (files?, ways.clone());
        Some(Unit {
            name: format!("listeners.{}", named.name),
            files,
            reload: Box::new(move |_occasion| {
                let anew = read(&named, Some(&plan)).map_err(|error| ReloadError::new(&error))?;
                plan = anew.expect("the configuration has not changed");
                for shard in 0..ways.shards() {
                    let plan = Arc::clone(&plan);
                    post(&ways, ShardId::new(shard), Parcel::Plan { listener: number, plan });
                }
                Ok(Taken::All)
            }),
        })
    }
}

/// The sockets of each shard, in the order of the listeners.
pub fn by_shard(listeners: &mut [Listening], shards: usize) -> Vec<Vec<Socket>> {
    let mut sockets: Vec<Vec<Socket>> = (0..shards).map(|_| Vec::new()).collect();
    for open in listeners {
        let plan = open.plan.as_ref().map(|planned| &planned.plan);
        for (shard, fd) in sockets.iter_mut().zip(open.sockets.drain(..)) {
            shard.push(Socket { fd, plan: plan.cloned() });
        }
    }
    sockets
}
