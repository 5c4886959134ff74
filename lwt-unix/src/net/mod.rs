//! Sockets: TCP and Unix streams and listeners, UDP, and their options.
//!
//! A stream *is* a descriptor with a few operations more: it dereferences to [`Fd`](crate::fd::Fd), where reading, writing,
//! waiting and closing are. Cloning one gives a second handle on the same connection. All sockets are non-blocking and
//! close-on-exec from the moment that they exist.
//!
//! Addresses are the standard library's. Names are not looked up here: a look-up blocks, so it belongs on a job thread.
//!
//! | you want | use |
//! |---|---|
//! | a connection | [`TcpStream::connect`], [`UnixStream::connect`] |
//! | a server that survives a lack of descriptors | [`TcpListener::incoming`] |
//! | all that are waiting, at once | [`TcpListener::accept_n`] |
//! | to end one direction | [`TcpStream::shutdown`] |
//! | an option | [`Fd::option`](crate::fd::Fd::option) with a name from [`opt`] |
//! | datagrams | [`UdpSocket`] |

mod accept;
mod connect;
mod listen;
pub mod opt;
mod tcp;
mod udp;
mod unix;

pub use accept::Incoming;
pub use listen::ListenOptions;
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
