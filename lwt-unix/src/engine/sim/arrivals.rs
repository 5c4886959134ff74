//! What packets do where they arrive. Rules: see the head of [`world`](super::world).

use std::time::Duration;

use libc::c_int;

use super::name::Name;
use super::socket::{Id, Role, Socket, Stream};
use super::world::{LOSSES, Packet, What, World};
use crate::engine::Readiness;

/// The first packet of a connection that was lost is sent again after this time, then after twice that, and
/// so on.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// The most datagrams that wait to be read; what comes over it is lost.
const DATAGRAMS: usize = 256;
/// The longest queue of connections that nobody has accepted.
const BACKLOG: usize = 4096;

impl World {
    /// A packet arrives.
    pub(super) fn arrive(&mut self, packet: Packet) {
        let Packet { to, what } = packet;
        match what {
            What::Open => self.opened(to),
            What::Datagram(from, name, at, bytes) => self.datagram(from, name, &at, bytes),
            what => match self.sockets.get_mut(&to) {
                Some(socket) => {
                    let domain = socket.domain;
                    match &mut socket.role {
                        Role::Connecting(_) => self.answered(to, what),
                        Role::Stream(_) => self.heard(to, domain, what),
                        _ => {}
                    }
                }
                // Nobody is there any more: see rule 2.
                None => {
                    if let What::Bytes(from, _) | What::Opened(from) = what {
                        self.travel(libc::AF_INET, from, What::Reset);
                    }
                }
            },
        }
    }

    /// Somebody wants to be connected to the name that is its peer's.
    fn opened(&mut self, client: Id) {
        let Some(socket) = self.sockets.get_mut(&client) else { return };
        let (domain, ours, Some(name)) = (socket.domain, socket.local.clone(), socket.peer.clone()) else {
            return;
        };
        let Role::Connecting(losses) = &mut socket.role else { return };
        let tries = *losses;
        let listener = self.listener(&name);
        let full = listener.is_some_and(|id| self.is_full(id));
        if full || self.draw.chance(self.sim.loss) {
            // It is sent again, and again, and then given up.
            let pause = OPEN_AGAIN * 2u32.pow(tries);
            let what = if tries == LOSSES { What::Refused(libc::ETIMEDOUT) } else { What::Open };
            if let Ok(Socket { role: Role::Connecting(losses), .. }) = self.socket(client) {
                *losses += 1;
            }
            return self.arrive_at(self.now + pause, client, what);
        }
        let Some(listener) = listener else {
            return self.travel(domain, client, What::Refused(libc::ECONNREFUSED));
        };
        let server = self.pair_with(client, domain, name, ours);
        if let Ok(Socket { role: Role::Listener(listener), .. }) = self.socket(listener) {
            listener.queue.push_back(server);
        }
        self.edge(listener, Readiness::READ);
        self.travel_from(server, What::Opened);
    }

    /// Makes the server's end of a connection.
    pub(super) fn pair_with(&mut self, client: Id, domain: c_int, local: Name, peer: Name) -> Id {
        let mut socket = Socket::new(domain, libc::SOCK_STREAM, Role::Stream(Stream::to(client)));
        socket.local = local;
        socket.peer = Some(peer);
        self.add(socket)
    }

    /// Who listens at a name.
    pub(super) fn listener(&self, name: &Name) -> Option<Id> {
        let find = |name: Name| self.bound.get(&(libc::SOCK_STREAM, name)).copied();
        let id = find(name.clone()).or_else(|| find(name.anywhere()))?;
        matches!(self.sockets.get(&id)?.role, Role::Listener(_)).then_some(id)
    }

    /// Whether a listener's queue takes no more.
    pub(super) fn is_full(&self, id: Id) -> bool {
        match self.sockets.get(&id).map(|socket| &socket.role) {
            Some(Role::Listener(listener)) => listener.queue.len() > listener.backlog.min(BACKLOG),
            _ => false,
        }
    }

    /// A socket that is connecting hears of the outcome.
    fn answered(&mut self, id: Id, what: What) {
        let Ok(socket) = self.socket(id) else { return };
        match what {
            What::Opened(other) => socket.role = Role::Stream(Stream::to(other)),
            What::Refused(number) => {
                socket.role = Role::Idle;
                socket.error = Some(number);
            }
            What::Reset => {
                socket.role = Role::Idle;
                socket.error = Some(libc::ECONNREFUSED);
            }
            _ => return,
        }
        self.edges(id);
    }

    /// Something arrives over a connection.
    fn heard(&mut self, id: Id, domain: c_int, what: What) {
        let window = self.sim.window;
        let Ok(socket) = self.socket(id) else { return };
        let mut failed = None;
        let Ok(stream) = socket.stream() else { return };
        if stream.reset {
            return;
        }
        match what {
            What::Bytes(_, bytes) if stream.deaf => {
                let n = bytes.len();
                let other = stream.other;
                return self.travel(domain, other, What::Read(n));
            }
            What::Bytes(_, bytes) => stream.inbox.extend(bytes),
            What::End => stream.ended = true,
            What::Gone => {
                stream.ended = true;
                stream.finished = true;
            }
            What::Read(n) => {
                stream.under_way = stream.under_way.saturating_sub(n);
                // As the kernel has it: told when a third is free again.
                if !stream.blocked || stream.room(window) < window.div_ceil(3) {
                    return;
                }
                stream.blocked = false;
                return self.edge(id, Readiness::WRITE);
            }
            What::Unstall => {
                stream.stalled = false;
                if stream.room(window) > 0 {
                    stream.blocked = false;
                    self.edge(id, Readiness::WRITE);
                }
                return;
            }
            What::Reset => {
                stream.reset = true;
                // Who was told of the end can only learn this by writing.
                failed = Some(if stream.ended || stream.deaf { libc::EPIPE } else { libc::ECONNRESET });
            }
            What::Open | What::Opened(_) | What::Refused(_) | What::Datagram(..) => return,
        }
        if failed.is_some() {
            socket.error = failed;
        }
        let mut news = Readiness::READ;
        if let Ok(stream) = socket.stream() {
            if stream.ended {
                news = news.with(Readiness::READ_CLOSED);
            }
            if stream.reset || stream.finished {
                news = news.with(Readiness::READ_CLOSED).with(Readiness::WRITE).with(Readiness::WRITE_CLOSED);
            }
        }
        self.edge(id, news);
    }

    /// A datagram arrives at a name, from a sender of that name.
    fn datagram(&mut self, from: Id, name: Name, at: &Name, bytes: Vec<u8>) {
        let find = |name: Name| self.bound.get(&(libc::SOCK_DGRAM, name)).copied();
        let found = find(at.clone()).or_else(|| find(at.anywhere()));
        let taken = found.and_then(|id| {
            let socket = self.sockets.get_mut(&id)?;
            // Who has a peer hears nobody else.
            if socket.peer.as_ref().is_some_and(|peer| *peer != name) {
                return None;
            }
            let Role::Datagrams(datagrams) = &mut socket.role else { return None };
            if datagrams.queue.len() < DATAGRAMS {
                datagrams.queue.push_back((name, bytes));
            }
            Some(id)
        });
        match taken {
            Some(id) => self.edge(id, Readiness::READ),
            // As the kernel has it: told to those only who have a peer.
            None => {
                if let Some(sender) = self.sockets.get_mut(&from)
                    && sender.peer.is_some()
                {
                    sender.error = Some(libc::ECONNREFUSED);
                    self.edges(from);
                }
            }
        }
    }
}
