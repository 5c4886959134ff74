//! [`Registration`]: one descriptor's place in the engine, with what is known of its readiness and who waits
//! for it.
//!
//! 1. It is made once for a descriptor and lasts until [`Registration::close`] or its drop, whichever is
//!    first; the owner closes it before the descriptor.
//! 2. Readiness is cached, and begins as *ready*: the first attempt is the system call. The engine sets it,
//!    and whoever meets `EAGAIN` or a short count takes it back ([`Registration::clear`],
//!    [`Registration::drained`]). The engine reports edges, so nothing may be taken back on suspicion: no
//!    second report would come.
//! 3. "Closed for good" is remembered beside the readiness, so that a short count does not hide the end of
//!    file that follows it; and so is "urgent", because a read stops at the mark of urgent data, with more
//!    behind it. An `EAGAIN` takes them back as well: what was reported was not an end (a queued error on a
//!    datagram socket, say), or the mark is passed; and the engine says it again with every later report.
//! 4. A wait is one promise, resolved when the readiness comes up. All who wait in a direction are woken,
//!    first come first; who finds nothing left waits again. A wait that was cancelled, or that nobody holds
//!    any more, is swept out by the next one in its direction: no more than one stays behind, and the usual
//!    wait pays for no bookkeeping.
//! 5. No list is borrowed while a promise is resolved: callbacks may wait, close, and register.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

use lwt_core::{Error, Promise, Resolver, task};

use super::{Readiness, Token};
use crate::main_loop::runtime::Runtime;
use crate::sys::hook;

/// What a descriptor may be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Reading, and accepting.
    Read,
    /// Writing, and the end of connecting.
    Write,
}

impl Direction {
    fn ready(self) -> Readiness {
        match self {
            Direction::Read => Readiness::READ,
            Direction::Write => Readiness::WRITE,
        }
    }

    /// What takes its meaning from a short count.
    fn doubts(self) -> Readiness {
        match self {
            Direction::Read => Readiness::READ_CLOSED.with(Readiness::URGENT),
            Direction::Write => Readiness::WRITE_CLOSED,
        }
    }
}

/// One descriptor's place in the engine of the thread that made it.
pub(crate) struct Registration(Rc<Source>);

/// The half of a registration that the runtime's table shares.
pub(crate) struct Source {
    fd: RawFd,
    token: Token,
    runtime: Weak<Runtime>,
    known: Cell<Readiness>,
    reading: RefCell<Waiters>,
    writing: RefCell<Waiters>,
    /// Why it was closed.
    closed: RefCell<Option<Error>>,
}

/// Those who wait in one direction, in the order in which they came.
type Waiters = Vec<Resolver<()>>;

impl Registration {
    /// Registers `fd` with this thread's engine, for both directions.
    ///
    /// # Errors
    /// Those of the operating system: `EPERM` if `fd` is always ready (a regular file), `EEXIST` if it is
    /// registered already, `EMFILE` and the like if this is the first need of an engine and none can be had.
    pub(crate) fn new(fd: RawFd) -> io::Result<Registration> {
        let runtime = Runtime::current()?;
        let source = runtime.register(fd, |token| {
            Rc::new(Source {
                fd,
                token,
                runtime: Rc::downgrade(&runtime),
                known: Cell::new(Readiness::READ.with(Readiness::WRITE)),
                reading: RefCell::default(),
                writing: RefCell::default(),
                closed: RefCell::new(None),
            })
        })?;
        Ok(Registration(source))
    }

    /// Whether a system call in this direction is worth trying. True at first, and when closed.
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.0.known.get().contains(direction.ready()) || self.is_closed()
    }

    /// A system call has said `EAGAIN`: from now on a wait waits.
    pub(crate) fn clear(&self, direction: Direction) {
        let known = self.0.known.get();
        let left = known.without(direction.ready()).without(direction.doubts());
        self.0.known.set(left);
        hook::would_block(self.0.token, known.without(left));
    }

    /// A system call has done less than it was asked for, so the next would say `EAGAIN`: from now on a wait
    /// waits, unless the engine has said that this direction is closed or in error, which the next call is to
    /// see, or that there is urgent data, at which the call may have stopped.
    pub(crate) fn drained(&self, direction: Direction) {
        let known = self.0.known.get();
        if known.without(direction.doubts()) == known {
            self.0.known.set(known.without(direction.ready()));
            hook::was_short(self.0.token, direction.ready());
        }
    }

    /// Resolved when a system call in this direction is worth trying; at once if it is so now. May be
    /// cancelled. Rejected with the error given to [`Registration::close`].
    #[track_caller]
    pub(crate) fn wait(&self, direction: Direction) -> Promise<()> {
        if let Some(error) = &*self.0.closed.borrow() {
            return Promise::fail(error.clone());
        }
        if self.is_ready(direction) {
            return Promise::ready(());
        }
        let (promise, resolver) = task();
        if !self.0.waiters(direction).borrow().is_empty() {
            self.0.sweep(direction);
        }
        let first = {
            let mut waiters = self.0.waiters(direction).borrow_mut();
            waiters.push(resolver);
            waiters.len() == 1
        };
        if first {
            self.0.tell_wants();
        }
        promise
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.borrow().is_some()
    }

    /// Ends the registration: nothing more is reported, and all who wait are rejected with `error`, as are
    /// those who come later. Done again it does nothing. The descriptor is the caller's to close, afterwards.
    pub(crate) fn close(&self, error: Error) {
        self.0.close(error);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.is_closed() {
            self.0.leave();
            for direction in [Direction::Read, Direction::Write] {
                // Dropping a resolver rejects its promise as abandoned.
                drop(self.0.waiters(direction).take());
            }
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("fd", &self.0.fd)
            .field("known", &self.0.known.get())
            .field("reading", &self.0.reading.borrow().len())
            .field("writing", &self.0.writing.borrow().len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl Source {
    fn waiters(&self, direction: Direction) -> &RefCell<Waiters> {
        match direction {
            Direction::Read => &self.reading,
            Direction::Write => &self.writing,
        }
    }

    /// The engine has reported `readiness`: notes it, and wakes those who wait for it.
    pub(crate) fn report(&self, readiness: Readiness) {
        self.known.set(self.known.get().with(readiness));
        for direction in [Direction::Read, Direction::Write] {
            if readiness.contains(direction.ready()) {
                self.end_waits(direction, |waiter| waiter.wakeup(()));
            }
        }
    }

    /// Takes those who wait in this direction off the list, and resolves them in order.
    #[inline]
    fn end_waits(&self, direction: Direction, resolve: impl Fn(Resolver<()>)) {
        let waiters = self.waiters(direction);
        // Mostly there is one at most, and then the list keeps its memory.
        let only = {
            let mut waiters = waiters.borrow_mut();
            if waiters.len() <= 1 { Some(waiters.pop()) } else { None }
        };
        match only {
            Some(waiter) => waiter.into_iter().for_each(resolve),
            None => waiters.take().into_iter().for_each(resolve),
        }
    }

    /// Drops the waits that nobody wants any more.
    #[cold]
    fn sweep(&self, direction: Direction) {
        let swept: Vec<_> =
            self.waiters(direction).borrow_mut().extract_if(.., |waiter| !waiter.is_wanted()).collect();
        drop(swept);
    }

    /// How many wait in this direction.
    pub(crate) fn waiting(&self, direction: Direction) -> usize {
        self.waiters(direction).borrow().iter().filter(|waiter| waiter.is_wanted()).count()
    }

    /// Tells the engine who is waited for, if it cares.
    pub(crate) fn tell_wants(&self) {
        let mut wanted = Readiness::NONE;
        for direction in [Direction::Read, Direction::Write] {
            if !self.waiters(direction).borrow().is_empty() {
                wanted = wanted.with(direction.ready());
            }
        }
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.wants(self.fd, self.token, wanted);
        }
    }

    /// Leaves the runtime's table and the engine.
    fn leave(&self) {
        if let Some(runtime) = self.runtime.upgrade() {
            runtime.deregister(self.fd, self.token);
        }
    }

    /// See [`Registration::close`].
    pub(crate) fn close(&self, error: Error) {
        if self.closed.borrow().is_some() {
            return;
        }
        *self.closed.borrow_mut() = Some(error.clone());
        self.leave();
        for direction in [Direction::Read, Direction::Write] {
            self.end_waits(direction, |waiter| {
                // An error for somebody who has gone would be reported as one that nobody looks at.
                if waiter.is_wanted() {
                    waiter.wakeup_err(error.clone());
                }
            });
        }
    }

    /// The descriptor, and the name it is registered by.
    pub(crate) fn place(&self) -> (RawFd, Token) {
        (self.fd, self.token)
    }
}

#[cfg(test)]
mod tests;
