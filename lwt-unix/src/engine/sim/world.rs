//! [`World`]: the simulated network and its clock.
//!
//! 1. What goes from one socket to another is a packet on the wire, and arrives at a moment that is drawn
//!    when it is sent. Packets that arrive at the same moment do so in the order in which they were sent;
//!    those of one connection never overtake each other.
//! 2. A packet names sockets by numbers that are never given again, so one that comes too late meets nobody,
//!    as on a real network; who sends to nobody over a connection is told so by a reset.
//! 3. A readiness that comes up is reported as an edge, once, for each descriptor of the socket that is
//!    registered.
//! 4. A short count means what it means on a real socket: nothing is left, or no room is. Where bytes are to
//!    come in pieces they arrive in pieces, and where a write is to be short the room comes back later, with
//!    an edge.
//! 5. Nothing here knows threads, real time, addresses in memory or hash tables with seeds of their own: the
//!    same calls in the same order have the same results.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use libc::c_int;

use super::draw::Draw;
use super::name::Name;
use super::socket::{Id, Role, Socket, Stream, error};
use crate::engine::{Event, Readiness, Token};
use crate::sim::Sim;

/// A lost packet of a connection is sent again after this time, then after twice that, and so on.
const AGAIN: Duration = Duration::from_millis(200);
/// So many losses in a row, and the connection is given up.
pub(super) const LOSSES: u32 = 6;

pub(crate) struct World {
    pub(super) sim: Sim,
    pub(super) draw: Draw,
    /// The time since the beginning.
    pub(super) now: Duration,
    pub(super) sockets: BTreeMap<Id, Socket>,
    made: Id,
    pub(super) fds: BTreeMap<RawFd, Id>,
    /// Those that others can reach, by kind and name.
    pub(super) bound: BTreeMap<(c_int, Name), Id>,
    wire: BTreeMap<(Duration, u64), Packet>,
    sent: u64,
    reports: Vec<Event>,
    port: u16,
    /// What the descriptors of simulated sockets really refer to: nothing can be done with it.
    placeholder: OwnedFd,
}

/// A descriptor with which nothing can be done but to copy and to close it.
fn placeholder() -> io::Result<OwnedFd> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FLAGS: c_int = libc::O_PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FLAGS: c_int = 0;
    Ok(OpenOptions::new().read(true).custom_flags(FLAGS).open("/dev/null")?.into())
}

/// What arrives somewhere.
pub(super) struct Packet {
    pub(super) to: Id,
    pub(super) what: What,
}

pub(super) enum What {
    /// `to` would like to be connected to whoever listens at its peer's name.
    Open,
    /// The connection stands.
    Opened(Id),
    /// There is no connection, for this reason.
    Refused(c_int),
    /// Bytes from the other end.
    Bytes(Id, Vec<u8>),
    /// So many bytes were read there.
    Read(usize),
    /// Nothing more will come.
    End,
    /// The other end of a Unix socket is closed.
    Gone,
    Reset,
    /// A short write is over.
    Unstall,
    Datagram(Id, Name, Name, Vec<u8>),
}

impl World {
    pub(crate) fn new(sim: &Sim) -> io::Result<World> {
        Ok(World {
            sim: sim.clone(),
            draw: Draw::new(sim.seed_in_force()),
            now: Duration::ZERO,
            sockets: BTreeMap::new(),
            made: 0,
            fds: BTreeMap::new(),
            bound: BTreeMap::new(),
            wire: BTreeMap::new(),
            sent: 0,
            reports: Vec::new(),
            port: 49_152,
            placeholder: placeholder()?,
        })
    }

    pub(crate) fn seed(&self) -> u64 {
        self.sim.seed_in_force()
    }

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now
    }

    /// How the network is.
    pub(crate) fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Changes how the network is.
    pub(crate) fn set_sim(&mut self, sim: Sim) {
        self.sim = sim;
    }

    /// Adds a socket that no descriptor refers to, yet.
    pub(super) fn add(&mut self, socket: Socket) -> Id {
        self.made += 1;
        self.sockets.insert(self.made, socket);
        self.made
    }

    /// Makes a descriptor that refers to a socket.
    pub(super) fn give_fd(&mut self, id: Id) -> io::Result<OwnedFd> {
        // Not through the seam: the call that wants it has passed a plan of faults already.
        let fd = self.placeholder.try_clone()?;
        self.hold(fd.as_raw_fd(), id);
        Ok(fd)
    }

    /// Has a number refer to a socket, and no longer to what it referred to before.
    pub(super) fn hold(&mut self, number: RawFd, id: Id) {
        // Its former owner has closed it past the seam.
        self.forget(number);
        self.fds.insert(number, id);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.holders.push((number, None));
        }
    }

    /// The socket that a number refers to.
    pub(super) fn id(&self, fd: RawFd) -> Option<Id> {
        self.fds.get(&fd).copied()
    }

    pub(super) fn socket(&mut self, id: Id) -> io::Result<&mut Socket> {
        self.sockets.get_mut(&id).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    /// A number is closed; with its last one the socket is.
    pub(super) fn forget(&mut self, number: RawFd) {
        let Some(id) = self.fds.remove(&number) else { return };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.holders.retain(|(holder, _)| *holder != number);
        if socket.holders.is_empty() {
            self.close(id);
        }
    }

    fn close(&mut self, id: Id) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if socket.bound {
            self.bound.remove(&(socket.kind, socket.local.clone()));
        }
        let hard = socket.lingers_not();
        match socket.role {
            Role::Stream(stream) if stream.reset => {}
            // As the kernel has it: who throws away what has arrived tells the sender.
            Role::Stream(stream) if hard || !stream.inbox.is_empty() => {
                self.travel_after(&stream, socket.domain, stream.other, What::Reset);
            }
            Role::Stream(stream) if socket.domain == libc::AF_UNIX => {
                self.travel_after(&stream, socket.domain, stream.other, What::Gone);
            }
            Role::Stream(stream) if !stream.finished => {
                self.travel_after(&stream, socket.domain, stream.other, What::End);
            }
            Role::Listener(listener) => {
                for waiting in listener.queue {
                    if let Some(Socket { role: Role::Stream(stream), .. }) = self.sockets.remove(&waiting) {
                        self.travel_after(&stream, socket.domain, stream.other, What::Reset);
                    }
                }
            }
            _ => {}
        }
    }

    /// How long a packet is under way between two sockets of this domain.
    fn latency(&mut self, domain: c_int) -> Duration {
        if domain == libc::AF_UNIX { Duration::ZERO } else { self.draw.time(&self.sim.latency) }
    }

    /// Puts a packet on the wire.
    pub(super) fn travel(&mut self, domain: c_int, to: Id, what: What) {
        let latency = self.latency(domain);
        self.arrive_at(self.now + latency, to, what);
    }

    pub(super) fn arrive_at(&mut self, time: Duration, to: Id, what: What) {
        if time <= self.now && self.wire.range(..=(self.now, u64::MAX)).next().is_none() {
            return self.arrive(Packet { to, what });
        }
        self.sent += 1;
        self.wire.insert((time.max(self.now), self.sent), Packet { to, what });
    }

    /// [`World::travel`] behind all that the stream has sent. The stream is gone; see [`World::travel_from`].
    fn travel_after(&mut self, stream: &Stream, domain: c_int, to: Id, what: What) {
        let time = (self.now + self.latency(domain)).max(stream.last);
        self.arrive_at(time, to, what);
    }

    /// Sends a packet over a connection. If too many are lost in a row both ends are reset.
    pub(super) fn travel_from(&mut self, id: Id, what: impl FnOnce(Id) -> What) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let domain = socket.domain;
        let Role::Stream(stream) = &socket.role else { return };
        let (other, last) = (stream.other, stream.last);
        let mut time = self.now + self.latency(domain);
        if domain != libc::AF_UNIX {
            let mut again = AGAIN;
            let mut losses = 0;
            while losses < LOSSES && self.draw.chance(self.sim.loss) {
                time += again;
                again *= 2;
                losses += 1;
            }
            if losses == LOSSES || self.draw.chance(self.sim.breaks) {
                self.arrive_at(time.max(last), other, What::Reset);
                self.arrive_at(time, id, What::Reset);
                return;
            }
        }
        let time = time.max(last);
        if let Ok(stream) = self.socket(id).and_then(Socket::stream) {
            stream.last = time;
        }
        self.arrive_at(time, other, what(id));
    }

    /// When the next packet arrives.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.wire.first_key_value().map(|((time, _), _)| *time)
    }

    /// Moves the clock on, and takes from the wire what has arrived by then.
    pub(crate) fn advance(&mut self, time: Duration) {
        loop {
            match self.wire.first_key_value() {
                Some((&(at, _), _)) if at <= time => {
                    self.now = self.now.max(at);
                    if let Some((_, packet)) = self.wire.pop_first() {
                        self.arrive(packet);
                    }
                }
                _ => break,
            }
        }
        self.now = self.now.max(time);
    }

    /// The reports that are due.
    pub(crate) fn take_reports(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.reports);
    }

    /// Reports a readiness that has come up.
    pub(super) fn edge(&mut self, id: Id, readiness: Readiness) {
        let Some(socket) = self.sockets.get(&id) else { return };
        for token in socket.holders.iter().filter_map(|(_, token)| *token) {
            self.reports.push(Event { token, readiness });
        }
    }

    /// Reports all that a socket is ready for.
    pub(super) fn edges(&mut self, id: Id) {
        if let Some(socket) = self.sockets.get(&id) {
            self.edge(id, socket.readiness(self.sim.window));
        }
    }

    /// Registers a descriptor, and reports what it is ready for already. `None` if it is not simulated.
    pub(crate) fn register(&mut self, fd: RawFd, token: Token) -> Option<io::Result<()>> {
        let socket = self.fds.get(&fd).and_then(|id| self.sockets.get_mut(id))?;
        let place = socket.registered(fd)?;
        if place.is_some() {
            return Some(error(libc::EEXIST));
        }
        *place = Some(token);
        let readiness = socket.readiness(self.sim.window);
        if readiness != Readiness::NONE {
            self.reports.push(Event { token, readiness });
        }
        Some(Ok(()))
    }

    /// Ends the registration of a descriptor, and its reports.
    pub(crate) fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let socket = self.fds.get(&fd).and_then(|id| self.sockets.get_mut(id));
        match socket.and_then(|socket| socket.registered(fd)).and_then(Option::take) {
            Some(token) => {
                self.reports.retain(|report| report.token != token);
                Ok(())
            }
            None => error(libc::ENOENT),
        }
    }

    /// What a descriptor is, for messages.
    pub(crate) fn describe(&self, fd: RawFd) -> Option<String> {
        Some(self.sockets.get(self.fds.get(&fd)?)?.describe())
    }

    /// A name with a port that nobody has, at this name's address.
    pub(super) fn with_free_port(&mut self, kind: c_int, name: &Name) -> io::Result<Name> {
        let Some(mut address) = name.inet().filter(|address| address.port() == 0) else {
            return Ok(name.clone());
        };
        let taken: BTreeSet<u16> = self
            .bound
            .keys()
            .filter(|(of, _)| *of == kind)
            .filter_map(|(_, name)| name.inet())
            .map(|address| address.port())
            .collect();
        for _ in 0..=u16::MAX {
            self.port = if self.port == u16::MAX { 32_768 } else { self.port + 1 };
            if !taken.contains(&self.port) {
                address.set_port(self.port);
                return Ok(Name::Inet(address));
            }
        }
        error(libc::EADDRINUSE)
    }

    /// Cuts what is sent into the pieces in which it arrives.
    pub(super) fn pieces(&mut self, bytes: &[u8]) -> VecDeque<Vec<u8>> {
        let mut pieces = VecDeque::new();
        let mut rest = bytes;
        while rest.len() > 1 && pieces.len() < 3 && self.draw.chance(self.sim.partial) {
            let (piece, left) = rest.split_at(self.draw.length(rest.len() - 1));
            pieces.push_back(piece.to_vec());
            rest = left;
        }
        pieces.push_back(rest.to_vec());
        pieces
    }
}
