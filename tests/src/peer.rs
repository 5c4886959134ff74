//! [`Peer`]: the other end of a connection, with blocking calls that do not wait for ever.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::{fs, time};

use nix::libc;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

use crate::{LIMIT, until};

/// A connection to a program that is tested.
#[derive(Debug)]
pub struct Peer(TcpStream);

impl Peer {
    /// Connects.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::of(TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    /// Takes over a connection.
    ///
    /// # Panics
    /// If the socket does not accept a time limit.
    #[track_caller]
    pub fn of(stream: TcpStream) -> Peer {
        let peer = Peer(stream);
        peer.patience(LIMIT);
        peer
    }

    /// How long reads and writes wait.
    ///
    /// # Panics
    /// If the socket does not accept it.
    #[track_caller]
    pub fn patience(&self, limit: time::Duration) {
        self.0.set_read_timeout(Some(limit)).expect("a socket");
        self.0.set_write_timeout(Some(limit)).expect("a socket");
    }

    /// Sends all of it.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("a peer that listens");
    }

    /// Receives exactly `n` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    pub fn receive(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).expect("a peer that sends");
        bytes
    }

    /// Receives what comes until the end.
    ///
    /// # Panics
    /// If the connection does not end properly.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("a proper end");
        bytes
    }

    /// Says that this was all.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Ends the connection by a reset.
    ///
    /// # Panics
    /// If the socket does not accept the option.
    #[track_caller]
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        socket::setsockopt(&self.0, sockopt::Linger, &linger).expect("a socket");
    }

    /// Waits until the system at the other end has all that was sent, though its program may not have read
    /// it.
    ///
    /// # Panics
    /// If that does not happen.
    #[track_caller]
    pub fn delivered(&self) {
        until("the delivery of what was sent", || self.unacknowledged() == 0);
    }

    /// How many bytes were sent and have not reached the system at the other end.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn unacknowledged(&self) -> usize {
        let table = fs::read_to_string("/proc/net/tcp").expect("the system's table");
        let local = format!(":{:04X}", self.0.local_addr().expect("a connection").port());
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.into_iter().find(|row| row.get(1).is_some_and(|address| address.ends_with(&local)));
        let queue = row.as_ref().and_then(|row| row.get(4)?.split(':').next());
        usize::from_str_radix(queue.expect("a row"), 16).expect("a number")
    }
}

/// A port at which nobody listens, and nobody else can for as long as the socket lives.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn deaf_port() -> (OwnedFd, SocketAddr) {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
    let address: SockaddrIn = socket::getsockname(socket.as_raw_fd()).expect("an address");
    (socket, SocketAddr::V4(address.into()))
}

impl Deref for Peer {
    type Target = TcpStream;
    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.0
    }
}
