//! Sockets: TCP and Unix streams and listeners, UDP, and their options.
//!
//! A stream *is* a descriptor with a few operations more: it dereferences to [`Fd`](crate::fd::Fd), where
//! reading, writing, waiting and closing are. Cloning one gives a second handle on the same connection. All
//! sockets are non-blocking and close-on-exec from the moment that they exist.
//!
//! Addresses are the standard library's. Names are looked up by [`names`](crate::names) and
//! [`TcpStream::connect_host`].
//!
//! | you want | use |
//! |---|---|
//! | a connection | [`TcpStream::connect`], [`TcpStream::connect_host`], [`UnixStream::connect`] |
//! | a server that survives a lack of descriptors | [`TcpListener::incoming`] |
//! | all that are waiting, at once | [`TcpListener::accept_n`] |
//! | to end one direction | [`TcpStream::shutdown`] |
//! | an option | [`Fd::option`](crate::fd::Fd::option) with a name from [`opt`] |
//! | datagrams | [`UdpSocket`] |
//! | to pass descriptors on | [`Socket::send_msg`], [`Socket::recv_msg`] |
//! | to pass on between two connections | [`Relay`] |
//! | any other family or type | [`Socket`] |

mod accept;
mod addr;
mod connect;
mod host;
mod listen;
mod message;
mod multicast;
pub mod opt;
mod relay;
mod socket;
mod tcp;
mod udp;
mod unix;

pub use accept::Incoming;
pub use addr::Addr;
pub use listen::{ListenOptions, somaxconn};
pub use message::{Outgoing, Received};
pub use multicast::Interface;
pub use relay::Relay;
pub use socket::{Domain, MsgFlags, Socket, Type};
pub use std::net::Shutdown;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};

/// How `shutdown` numbers the directions.
fn how(how: Shutdown) -> libc::c_int {
    match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    }
}
