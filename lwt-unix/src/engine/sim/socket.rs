//! [`Socket`]: one simulated socket, by itself; what it means for others is the world's business.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use libc::c_int;

use super::name::Name;
use crate::engine::{Readiness, Token};

/// Names a socket for ever.
pub(crate) type Id = u64;

pub(crate) struct Socket {
    pub(crate) domain: c_int,
    pub(crate) kind: c_int,
    pub(crate) local: Name,
    pub(crate) peer: Option<Name>,
    pub(crate) bound: bool,
    /// The error that is told next (`SO_ERROR`).
    pub(crate) error: Option<c_int>,
    /// Options that were set, and have no effect.
    pub(crate) options: BTreeMap<(c_int, c_int), Vec<u8>>,
    /// The descriptors that refer to it, in the order in which they came, not that of their numbers, which
    /// other threads have a part in; with the token of each that is registered.
    pub(crate) holders: Vec<(RawFd, Option<Token>)>,
    pub(crate) role: Role,
}

pub(crate) enum Role {
    /// A stream socket without a connection.
    Idle,
    Listener(Listener),
    /// So many opening packets were lost.
    Connecting(u32),
    Stream(Stream),
    Datagrams(Datagrams),
}

#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) backlog: usize,
    /// Connections that nobody has accepted yet.
    pub(crate) queue: VecDeque<Id>,
}

#[derive(Default)]
pub(crate) struct Stream {
    /// The other end, which may be gone.
    pub(crate) other: Id,
    /// What has arrived and was not read.
    pub(crate) inbox: VecDeque<u8>,
    /// The other end has said that nothing more will come.
    pub(crate) ended: bool,
    /// This end has said so.
    pub(crate) finished: bool,
    /// This end wants to hear no more.
    pub(crate) deaf: bool,
    /// The connection is dead.
    pub(crate) reset: bool,
    /// Bytes that were sent and that the other end has not read.
    pub(crate) under_way: usize,
    /// Somebody has tried to send, and shall be told of room.
    pub(crate) blocked: bool,
    /// A short write was made of a whole one: no room until the time is over.
    pub(crate) stalled: bool,
    /// When the last packet that was sent arrives: none overtakes it.
    pub(crate) last: Duration,
}

#[derive(Default)]
pub(crate) struct Datagrams {
    pub(crate) queue: VecDeque<(Name, Vec<u8>)>,
}

/// An error of the system.
pub(crate) fn error<T>(number: c_int) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

impl Stream {
    pub(crate) fn to(other: Id) -> Stream {
        Stream { other, ..Stream::default() }
    }

    /// How many bytes may be sent now.
    pub(crate) fn room(&self, window: usize) -> usize {
        if self.stalled { 0 } else { window.saturating_sub(self.under_way) }
    }
}

impl Socket {
    pub(crate) fn new(domain: c_int, kind: c_int, role: Role) -> Socket {
        Socket {
            domain,
            kind,
            local: Name::none(domain),
            peer: None,
            bound: false,
            error: None,
            options: BTreeMap::new(),
            holders: Vec::new(),
            role,
        }
    }

    /// The place for the token of a descriptor that refers to it.
    pub(crate) fn registered(&mut self, fd: RawFd) -> Option<&mut Option<Token>> {
        self.holders.iter_mut().find(|(holder, _)| *holder == fd).map(|(_, token)| token)
    }

    /// The connection, if there is one.
    pub(crate) fn stream(&mut self) -> io::Result<&mut Stream> {
        match &mut self.role {
            Role::Stream(stream) => Ok(stream),
            _ => error(libc::ENOTCONN),
        }
    }

    /// Whether closing it throws away what is under way, and resets the connection.
    pub(crate) fn lingers_not(&self) -> bool {
        let on_for_no_time = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
        self.options.get(&(libc::SOL_SOCKET, libc::SO_LINGER)) == Some(&on_for_no_time)
    }

    /// The error that waits to be told.
    pub(crate) fn pending(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), error)
    }

    /// What it is ready for.
    pub(crate) fn readiness(&self, window: usize) -> Readiness {
        let mut set = Readiness::NONE;
        let mut add = |on: bool, readiness: Readiness| {
            if on {
                set = set.with(readiness);
            }
        };
        let dead = Readiness::READ_CLOSED.with(Readiness::WRITE_CLOSED);
        let both = Readiness::READ.with(Readiness::WRITE);
        add(self.error.is_some(), both.with(dead));
        match &self.role {
            Role::Idle => add(true, both.with(dead)),
            Role::Connecting(_) => {}
            Role::Listener(listener) => add(!listener.queue.is_empty(), Readiness::READ),
            Role::Datagrams(datagrams) => {
                add(true, Readiness::WRITE);
                add(!datagrams.queue.is_empty(), Readiness::READ);
            }
            Role::Stream(stream) => {
                add(stream.reset, both.with(dead));
                add(!stream.inbox.is_empty(), Readiness::READ);
                add(stream.ended || stream.deaf, Readiness::READ.with(Readiness::READ_CLOSED));
                add(stream.room(window) > 0, Readiness::WRITE);
                add(stream.finished, Readiness::WRITE.with(Readiness::WRITE_CLOSED));
            }
        }
        set
    }

    /// What it is, for messages.
    pub(crate) fn describe(&self) -> String {
        let kind = match (self.domain, self.kind) {
            (libc::AF_UNIX, _) => "Unix",
            (_, libc::SOCK_DGRAM) => "UDP",
            _ => "TCP",
        };
        let local = &self.local;
        match (&self.role, &self.peer) {
            (Role::Listener(_), _) => format!("{kind} listener at {local}"),
            (Role::Connecting(_), Some(peer)) => format!("{kind} socket {local} connecting to {peer}"),
            (_, Some(peer)) => format!("{kind} socket {local} with {peer}"),
            (_, None) => format!("{kind} socket {local}"),
        }
    }
}
