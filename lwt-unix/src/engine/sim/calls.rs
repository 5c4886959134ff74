//! The system calls of simulated sockets: what the seam makes in place of the kernel's.
//!
//! Each does what the manual says of the call on a non-blocking socket, as far as the simulation goes; what
//! it does not have is refused with an error.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use libc::c_int;

use super::name::Name;
use super::socket::{Datagrams, Id, Listener, Role, Socket, Stream, error};
use super::world::{What, World};
use crate::engine::Readiness;
use crate::sys::addr::RawAddr;
use crate::sys::hook;

/// The longest datagram.
const LONGEST: usize = 65_507;
/// The most time between two pieces of what was sent at once, and until a short write is over.
const GAP: Duration = Duration::from_micros(100);

/// What a call that reads has taken.
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    /// Who has sent it.
    pub(crate) from: RawAddr,
    /// How much of a datagram is lost, because there was no room for it.
    pub(crate) left: usize,
}

/// There is no urgent data.
fn without_urgent(flags: c_int) -> io::Result<()> {
    if flags & libc::MSG_OOB == 0 { Ok(()) } else { error(libc::EOPNOTSUPP) }
}

impl World {
    /// How much of a transfer of `len` bytes a plan of faults lets pass. A datagram is never cut.
    pub(crate) fn cut(&mut self, name: &'static str, id: Id, len: usize) -> usize {
        match self.socket(id) {
            Ok(Socket { role: Role::Stream(_), .. }) => hook::cut_stream(name, len),
            _ => len,
        }
    }

    fn gap(&mut self) -> Duration {
        self.draw.time(&(Duration::from_micros(1)..=GAP))
    }

    pub(crate) fn make(&mut self, domain: c_int, kind: c_int) -> io::Result<OwnedFd> {
        let role = match (domain, kind) {
            (libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, libc::SOCK_STREAM) => Role::Idle,
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => Role::Datagrams(Datagrams::default()),
            _ => return error(libc::EPROTONOSUPPORT),
        };
        let id = self.add(Socket::new(domain, kind, role));
        let fd = self.give_fd(id);
        if fd.is_err() {
            self.sockets.remove(&id);
        }
        fd
    }

    pub(crate) fn make_pair(&mut self, domain: c_int, kind: c_int) -> io::Result<(OwnedFd, OwnedFd)> {
        if (domain, kind) != (libc::AF_UNIX, libc::SOCK_STREAM) {
            return error(libc::EOPNOTSUPP);
        }
        let left = self.add(Socket::new(domain, kind, Role::Idle));
        let right = self.pair_with(left, domain, Name::Unnamed, Name::Unnamed);
        let socket = self.socket(left)?;
        socket.role = Role::Stream(Stream::to(right));
        socket.peer = Some(Name::Unnamed);
        let ends = self.give_fd(left).and_then(|one| Ok((one, self.give_fd(right)?)));
        if ends.is_err() {
            self.sockets.remove(&left);
            self.sockets.remove(&right);
        }
        ends
    }

    /// A pipe is a pair of which each end does one thing only.
    pub(crate) fn make_pipe(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (reader, writer) = self.make_pair(libc::AF_UNIX, libc::SOCK_STREAM)?;
        for (fd, reads) in [(&reader, true), (&writer, false)] {
            if let Some(id) = self.id(fd.as_raw_fd()) {
                let stream = self.socket(id)?.stream()?;
                stream.finished = reads;
                stream.deaf = !reads;
            }
        }
        Ok((reader, writer))
    }

    /// What an address means to a socket, which takes those of its own family.
    fn name(&mut self, id: Id, address: &RawAddr) -> io::Result<Name> {
        if address.family() != self.socket(id)?.domain {
            return error(libc::EAFNOSUPPORT);
        }
        Name::of(address)
    }

    pub(crate) fn bind(&mut self, id: Id, to: &RawAddr) -> io::Result<()> {
        let name = self.name(id, to)?;
        let kind = self.socket(id)?.kind;
        if self.socket(id)?.bound {
            return error(libc::EINVAL);
        }
        let name = self.with_free_port(kind, &name)?;
        if self.bound.contains_key(&(kind, name.clone())) {
            return error(libc::EADDRINUSE);
        }
        if name != Name::Unnamed {
            self.bound.insert((kind, name.clone()), id);
        }
        let socket = self.socket(id)?;
        socket.bound = true;
        socket.local = name;
        Ok(())
    }

    /// Gives a socket a name if it has none: a free port at the address of whom it talks to.
    fn bind_towards(&mut self, id: Id, to: &Name) -> io::Result<()> {
        if self.socket(id)?.bound {
            return Ok(());
        }
        let Some(mut address) = to.inet() else { return Ok(()) };
        address.set_port(0);
        let name = Name::Inet(address);
        self.bind(id, &name.raw()?)
    }

    pub(crate) fn listen(&mut self, id: Id, backlog: c_int) -> io::Result<()> {
        let backlog = usize::try_from(backlog).unwrap_or(0);
        let socket = self.socket(id)?;
        match &mut socket.role {
            Role::Listener(listener) => listener.backlog = backlog,
            role @ Role::Idle => {
                *role = Role::Listener(Listener { backlog, ..Listener::default() });
            }
            _ => return error(libc::EINVAL),
        }
        Ok(())
    }

    /// As the seam has it: whether the connection stands.
    pub(crate) fn connect(&mut self, id: Id, to: &RawAddr) -> io::Result<bool> {
        let name = self.name(id, to)?;
        self.socket(id)?.pending()?;
        match self.socket(id)?.role {
            Role::Idle => {}
            Role::Datagrams(_) => {
                self.bind_towards(id, &name)?;
                self.socket(id)?.peer = Some(name);
                return Ok(true);
            }
            Role::Connecting(_) => return Ok(false),
            Role::Stream(_) => return Ok(true),
            Role::Listener(_) => return error(libc::EISCONN),
        }
        if self.socket(id)?.domain == libc::AF_UNIX {
            return self.connect_unix(id, name).map(|()| true);
        }
        self.bind_towards(id, &name)?;
        let socket = self.socket(id)?;
        let domain = socket.domain;
        socket.peer = Some(name);
        socket.role = Role::Connecting(0);
        self.travel(domain, id, What::Open);
        Ok(matches!(self.socket(id)?.role, Role::Stream(_)))
    }

    fn connect_unix(&mut self, id: Id, name: Name) -> io::Result<()> {
        let Some(listener) = self.listener(&name) else {
            return error(if matches!(name, Name::Path(_)) { libc::ENOENT } else { libc::ECONNREFUSED });
        };
        if self.is_full(listener) {
            return error(libc::EAGAIN);
        }
        let ours = self.socket(id)?.local.clone();
        let server = self.pair_with(id, libc::AF_UNIX, name.clone(), ours);
        if let Role::Listener(listener) = &mut self.socket(listener)?.role {
            listener.queue.push_back(server);
        }
        let socket = self.socket(id)?;
        socket.peer = Some(name);
        socket.role = Role::Stream(Stream::to(server));
        self.edge(listener, Readiness::READ);
        self.edges(id);
        Ok(())
    }

    pub(crate) fn accept(&mut self, id: Id) -> io::Result<(OwnedFd, RawAddr)> {
        self.socket(id)?.pending()?;
        let Role::Listener(listener) = &mut self.socket(id)?.role else { return error(libc::EINVAL) };
        let Some(accepted) = listener.queue.pop_front() else { return error(libc::EAGAIN) };
        let peer = self.socket(accepted)?.peer.clone().unwrap_or(Name::Unnamed).raw()?;
        match self.give_fd(accepted) {
            Ok(fd) => Ok((fd, peer)),
            Err(error) => {
                if let Role::Listener(listener) = &mut self.socket(id)?.role {
                    listener.queue.push_front(accepted);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn shutdown(&mut self, id: Id, how: c_int) -> io::Result<()> {
        let stream = self.socket(id)?.stream()?;
        if stream.reset {
            return error(libc::ENOTCONN);
        }
        let ends = how != libc::SHUT_RD && !stream.finished;
        if how != libc::SHUT_WR {
            stream.deaf = true;
        }
        if ends {
            stream.finished = true;
            self.travel_from(id, |_| What::End);
        }
        self.edges(id);
        Ok(())
    }

    pub(crate) fn local_address(&mut self, id: Id) -> io::Result<RawAddr> {
        self.socket(id)?.local.raw()
    }

    pub(crate) fn peer_address(&mut self, id: Id) -> io::Result<RawAddr> {
        let socket = self.socket(id)?;
        match (&socket.role, &socket.peer) {
            (Role::Stream(Stream { reset: false, .. }) | Role::Datagrams(_), Some(peer)) => peer.raw(),
            _ => error(libc::ENOTCONN),
        }
    }

    /// Takes up to `most` bytes, or one datagram of which that much is kept.
    pub(crate) fn receive(&mut self, id: Id, most: usize, flags: c_int) -> io::Result<Taken> {
        without_urgent(flags)?;
        let keep = flags & libc::MSG_PEEK != 0;
        let socket = self.socket(id)?;
        let domain = socket.domain;
        let peer = socket.peer.clone().unwrap_or(Name::Unnamed).raw()?;
        match &mut socket.role {
            Role::Datagrams(datagrams) => {
                let next = if keep { datagrams.queue.front().cloned() } else { datagrams.queue.pop_front() };
                let Some((from, mut bytes)) = next else {
                    return socket.pending().and_then(|()| error(libc::EAGAIN));
                };
                let left = bytes.len().saturating_sub(most);
                bytes.truncate(most);
                Ok(Taken { bytes, from: from.raw()?, left })
            }
            Role::Stream(stream) if !stream.inbox.is_empty() => {
                let n = most.min(stream.inbox.len());
                if keep {
                    let bytes = stream.inbox.iter().take(n).copied().collect();
                    return Ok(Taken { bytes, from: peer, left: 0 });
                }
                let bytes = stream.inbox.drain(..n).collect();
                let other = stream.other;
                self.travel(domain, other, What::Read(n));
                Ok(Taken { bytes, from: peer, left: 0 })
            }
            Role::Stream(stream) => {
                let over = stream.ended || stream.deaf || stream.reset || most == 0;
                socket.pending()?;
                if !over {
                    return error(libc::EAGAIN);
                }
                Ok(Taken { bytes: Vec::new(), from: peer, left: 0 })
            }
            Role::Connecting(_) => error(libc::EAGAIN),
            Role::Idle | Role::Listener(_) => socket.pending().and_then(|()| error(libc::ENOTCONN)),
        }
    }

    /// Sends from the front of `bytes`, or a datagram.
    pub(crate) fn send(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<&RawAddr>,
        flags: c_int,
    ) -> io::Result<usize> {
        without_urgent(flags)?;
        self.socket(id)?.pending()?;
        let window = self.sim.window;
        let socket = self.socket(id)?;
        let stream = match &mut socket.role {
            Role::Datagrams(_) => return self.send_datagram(id, bytes, to),
            Role::Connecting(_) => return error(libc::EAGAIN),
            Role::Idle | Role::Listener(_) => return error(libc::EPIPE),
            Role::Stream(stream) => stream,
        };
        if stream.finished || stream.reset {
            return error(libc::EPIPE);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let room = stream.room(window);
        if room == 0 {
            stream.blocked = true;
            return error(libc::EAGAIN);
        }
        let mut n = room.min(bytes.len());
        if n > 1 && self.draw.chance(self.sim.partial) {
            n = self.draw.length(n);
        }
        let gap = self.gap();
        let now = self.now;
        let stream = self.socket(id)?.stream()?;
        stream.under_way += n;
        // Somebody else may have been told before that there was no room.
        stream.blocked |= n < bytes.len();
        stream.stalled = n < bytes.len() && n < room;
        if stream.stalled {
            self.arrive_at(now + gap, id, What::Unstall);
        }
        for (place, piece) in self.pieces(&bytes[..n]).into_iter().enumerate() {
            if place > 0 {
                let gap = self.gap();
                let stream = self.socket(id)?.stream()?;
                stream.last = stream.last.max(now) + gap;
            }
            self.travel_from(id, |from| What::Bytes(from, piece));
        }
        Ok(n)
    }

    fn send_datagram(&mut self, id: Id, bytes: &[u8], to: Option<&RawAddr>) -> io::Result<usize> {
        let to = match to {
            Some(to) => self.name(id, to)?,
            None => match self.socket(id)?.peer.clone() {
                Some(peer) => peer,
                None => return error(libc::EDESTADDRREQ),
            },
        };
        if bytes.len() > LONGEST {
            return error(libc::EMSGSIZE);
        }
        if !self.socket(id)?.bound {
            let nowhere = Name::none(self.socket(id)?.domain);
            self.bind_towards(id, &nowhere)?;
        }
        let mut from = self.socket(id)?.local.clone();
        // Who is bound to every address sends from the one that leads there.
        if from == from.anywhere()
            && let (Some(mut ours), Some(theirs)) = (from.inet(), to.inet())
        {
            ours.set_ip(theirs.ip());
            from = Name::Inet(ours);
        }
        if !self.draw.chance(self.sim.loss) {
            let latency = self.draw.time(&self.sim.latency);
            self.arrive_at(self.now + latency, id, What::Datagram(id, from, to, bytes.to_vec()));
        }
        Ok(bytes.len())
    }

    /// An option's value, of as many bytes as the caller has room for or fewer.
    pub(crate) fn option(&mut self, id: Id, level: c_int, name: c_int) -> io::Result<Vec<u8>> {
        let socket = self.socket(id)?;
        let number = |number: c_int| Ok(number.to_ne_bytes().to_vec());
        if level == libc::SOL_SOCKET {
            match name {
                libc::SO_ERROR => return number(socket.error.take().unwrap_or(0)),
                libc::SO_TYPE => return number(socket.kind),
                libc::SO_DOMAIN => return number(socket.domain),
                libc::SO_PROTOCOL => {
                    return number(match (socket.domain, socket.kind) {
                        (libc::AF_UNIX, _) => 0,
                        (_, libc::SOCK_DGRAM) => libc::IPPROTO_UDP,
                        _ => libc::IPPROTO_TCP,
                    });
                }
                libc::SO_ACCEPTCONN => return number(matches!(socket.role, Role::Listener(_)).into()),
                libc::SO_PEERCRED => {
                    let ids =
                        [std::process::id(), nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()];
                    return Ok(ids.map(u32::to_ne_bytes).concat());
                }
                _ => {}
            }
        }
        Ok(socket.options.get(&(level, name)).cloned().unwrap_or_default())
    }

    pub(crate) fn set_option(&mut self, id: Id, level: c_int, name: c_int, value: Vec<u8>) -> io::Result<()> {
        let membership = matches!(
            (level, name),
            (libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP)
                | (libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_DROP_MEMBERSHIP)
        );
        if membership {
            return error(libc::EOPNOTSUPP);
        }
        self.socket(id)?.options.insert((level, name), value);
        Ok(())
    }

    /// Whether it is ready for one of these.
    pub(crate) fn is_ready(&mut self, id: Id, events: libc::c_short) -> io::Result<bool> {
        let window = self.sim.window;
        let ready = self.socket(id)?.readiness(window);
        let reads = events & libc::POLLIN != 0 && ready.contains(Readiness::READ);
        let writes = events & libc::POLLOUT != 0 && ready.contains(Readiness::WRITE);
        Ok(reads || writes || ready.contains(Readiness::READ_CLOSED.with(Readiness::WRITE_CLOSED)))
    }
}
