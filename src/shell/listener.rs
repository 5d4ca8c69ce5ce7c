//! Listening sockets: one for each address and shard, between which the kernel spreads the clients.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, TcpKeepalive, Type};

use super::transport::plan::Plan;
use crate::config::Listeners;
use crate::engine::connection::Peer;

/// The sockets of one address, one a shard.
#[derive(Debug)]
pub struct Bound {
    /// Where they listen; the port is the one that the kernel chose if 0 was asked for.
    pub address: SocketAddr,
    /// One a shard.
    pub sockets: Vec<OwnedFd>,
}

/// What the sockets of one listener have of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketOptions<'a> {
    /// The network device that they are bound to.
    pub interface: Option<&'a str>,
    /// Whether an address of IPv6 takes clients of IPv4 as well.
    pub is_dual_stack: bool,
}

/// One socket of a listener, for one shard.
#[derive(Debug)]
pub struct Socket {
    /// Its descriptor.
    pub fd: OwnedFd,
    /// What stands between a client's socket and its MQTT; nothing for plain MQTT.
    pub plan: Option<Arc<Plan>>,
}

/// Binds one address for so many shards.
pub fn bind(address: SocketAddr, shards: usize, common: &Listeners, own: &SocketOptions<'_>) -> io::Result<Bound> {
    let first = listen(address, common, own)?;
    let address = first.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))?;
    let mut sockets = vec![OwnedFd::from(first)];
    for _ in 1..shards {
        sockets.push(OwnedFd::from(listen(address, common, own)?));
    }
    Ok(Bound { address, sockets })
}

/// Listens at a place in the file system. What lies there is taken away if nobody listens there any more. Every shard has the same socket.
pub fn bind_unix(path: &Path, mode: u32, shards: usize, common: &Listeners) -> io::Result<Vec<OwnedFd>> {
    let address = SockAddr::unix(path)?;
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(common.backlog).unwrap_or(i32::MAX))?;
    let first = OwnedFd::from(socket);
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok(sockets)
}

/// A socket that is to be bound in this place.
fn unbound(address: SocketAddr, own: &SocketOptions<'_>) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!own.is_dual_stack)?;
    }
    if let Some(interface) = own.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

fn listen(address: SocketAddr, options: &Listeners, own: &SocketOptions<'_>) -> io::Result<socket2::Socket> {
    let socket = unbound(address, own)?;
    socket.set_reuse_port(true)?;
    // What is set on a listener holds for the connections that it accepts, at no cost for each.
    socket.set_tcp_nodelay(options.tcp_nodelay)?;
    if options.tcp_keep_alive_s > 0 {
        let time = Duration::from_secs(u64::from(options.tcp_keep_alive_s));
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
    }
    if options.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(options.send_buffer_bytes)?;
    }
    if options.receive_buffer_bytes > 0 {
        socket.set_recv_buffer_size(options.receive_buffer_bytes)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// How often a taken address is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Whether somebody else listens there and goes on doing so. A process that was killed is over a moment before its sockets are: its ring held
/// them, and the kernel takes that down in its own time.
pub fn stays_taken(address: SocketAddr, own: &SocketOptions<'_>, patience: Duration) -> io::Result<bool> {
    stays_so(patience, || is_taken(address, own))
}

/// The same of a place in the file system.
pub fn stays_taken_unix(path: &Path, patience: Duration) -> io::Result<bool> {
    stays_so(patience, || is_taken_unix(path))
}

fn stays_so(patience: Duration, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let mut left = patience;
    while is_so()? {
        if left.is_zero() {
            return Ok(true);
        }
        pause();
        left = left.saturating_sub(AGAIN);
    }
    Ok(false)
}

#[expect(clippy::disallowed_methods, reason = "no shard runs yet")]
fn pause() {
    std::thread::sleep(AGAIN);
}

/// Whether somebody else listens there already: on this device, and for IPv4 where that is wanted, too. A socket that shares its port would
/// not notice.
fn is_taken(address: SocketAddr, own: &SocketOptions<'_>) -> io::Result<bool> {
    if address.port() == 0 {
        return Ok(false);
    }
    let socket = unbound(address, own)?;
    match socket.bind(&SockAddr::from(address)).and_then(|()| socket.listen(1)) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether somebody listens at a place in the file system.
fn is_taken_unix(path: &Path) -> io::Result<bool> {
    let asking = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    asking.set_nonblocking(true)?;
    match asking.connect(&SockAddr::unix(path)?) {
        // Nobody waits there, nothing lies there, or something that is no socket: binding says what that is.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(false),
        Ok(()) | Err(_) => Ok(true),
    }
}

/// The address of the other side.
pub fn peer_of(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address = SockRef::from(&fd).peer_addr().ok()?;
    if address.is_unix() { Some(Peer::LOCAL) } else { address.as_socket() }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;

    #[test]
    fn all_shards_share_the_port_that_the_kernel_chose() {
        let bound =
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 3, &Listeners::default(), &SocketOptions::default())
                .unwrap();
        assert_ne!(bound.address.port(), 0);
        assert_eq!(bound.sockets.len(), 3);
        assert!(is_taken(bound.address, &SocketOptions::default()).unwrap());
        TcpStream::connect(bound.address).unwrap();
    }

    #[test]
    fn both_families_are_taken_where_one_of_them_is() {
        let bound =
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1, &Listeners::default(), &SocketOptions::default())
                .unwrap();
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, bound.address.port()));
        for is_dual_stack in [true, false] {
            let own = SocketOptions { is_dual_stack, ..SocketOptions::default() };
            assert_eq!(is_taken(any, &own).unwrap(), is_dual_stack);
        }
    }

    #[test]
    fn what_is_bound_to_one_device_is_free_on_another() {
        let devices = fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name());
        let devices: Vec<String> = devices.filter_map(|name| name.into_string().ok()).collect();
        assert!(devices.iter().any(|name| name == "lo"));
        let on = |interface| SocketOptions { interface: Some(interface), ..SocketOptions::default() };
        let bound = bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), 2, &Listeners::default(), &on("lo")).unwrap();
        assert!(is_taken(bound.address, &on("lo")).unwrap());
        assert!(is_taken(bound.address, &SocketOptions::default()).unwrap());
        for other in devices.iter().filter(|name| *name != "lo") {
            match is_taken(bound.address, &on(other)) {
                Ok(is_taken) => assert!(!is_taken, "{other}"),
                // Not everything that has a name there is a device that can be bound to.
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{other}: {error}"),
            }
        }
    }

    #[test]
    fn a_free_address_is_not_taken() {
        let free =
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1, &Listeners::default(), &SocketOptions::default())
                .unwrap()
                .address;
        assert!(!is_taken(free, &SocketOptions::default()).unwrap());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "another process, played by a thread")]
    fn an_address_may_become_free() {
        let bound =
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 2, &Listeners::default(), &SocketOptions::default())
                .unwrap();
        let address = bound.address;
        assert!(stays_taken(address, &SocketOptions::default(), Duration::ZERO).unwrap());
        let killed = std::thread::spawn(move || drop(bound));
        assert!(!stays_taken(address, &SocketOptions::default(), Duration::from_mins(1)).unwrap());
        killed.join().unwrap();
    }
}
