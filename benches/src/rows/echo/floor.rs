//! The limit: a level-triggered epoll loop, two system calls a message.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::BUFFER;
use super::client::checked;
use crate::measure::Outcome;

/// The token of the listener; connections count from zero.
const LISTENER: u64 = u64::MAX;

/// Serves for ever.
pub fn serve(tell: &dyn Fn(SocketAddr)) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // SAFETY: the call takes no pointer.
    let epoll = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the descriptor is new and nobody else's.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    watch(&epoll, &listener, LISTENER)?;
    tell(listener.local_addr()?);

    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = [0; BUFFER];
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
    loop {
        // SAFETY: `events` is live and as long as the call is told.
        let count =
            unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, -1) };
        let count = match checked(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        for event in &events[..count as usize] {
            if event.u64 == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                watch(&epoll, &stream, connections.len() as u64)?;
                connections.push(Some(stream));
                continue;
            }
            let place = &mut connections[event.u64 as usize];
            let Some(stream) = place else { continue };
            match stream.read(&mut buffer) {
                // Closing removes it from the epoll set.
                Ok(0) | Err(_) => *place = None,
                Ok(length) => stream.write_all(&buffer[..length])?,
            }
        }
    }
}

fn watch(epoll: &OwnedFd, what: &impl AsRawFd, token: u64) -> io::Result<()> {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
    // SAFETY: both descriptors are open and `event` lives across the call.
    checked(unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, what.as_raw_fd(), &mut event)
    })?;
    Ok(())
}
