//! Descriptors: [`Fd`] owns one, and turns its readiness into promises.
//!
//! # States
//! ```text
//! open ── close ──> closed          the number is given back (when the last holder of it lets go)
//!   │                  ^
//!   └── abort ──> aborted ── close  the number is kept, every operation is rejected with its error
//! ```
//!
//! # Rules
//! 1. *Try first.* An operation makes its system call at once unless the cache knows that it would block.
//!    Only `EAGAIN` makes it wait, and what it waits for is one promise of the engine's registration.
//! 2. *One registration for life*, made at the first `EAGAIN`: a descriptor that never has to wait never
//!    enters the engine. When it is made the kernel reports what is ready already, so nothing can be missed
//!    in between.
//! 3. *Short counts.* Where a short count proves that nothing is left (TCP, and a Unix stream that brought no
//!    ancillary data), the cached readiness is dropped, so that the next turn of a conversation need not ask
//!    again; the registration keeps it when an event told of a hang-up, an error or urgent data (reads stop
//!    at its mark), because no other event would follow. Everywhere else (pipes in packet mode, terminals by
//!    lines, datagrams) a short count proves nothing and only `EAGAIN` counts.
//! 4. *Cancelling loses nothing.* Nothing has been transferred while an operation waits; a cancel reaches the
//!    wait, and the operation returns that error without having made its call. What the `_exact` and `_all`
//!    forms have moved before the cancel is said at each.
//! 5. *Closing* takes the registration out of the engine before the number is free, so that no event can
//!    reach the number's next owner, and rejects everybody who waits. No borrow of an `Fd`'s cells is held
//!    while that runs.
//! 6. *Fairness.* A thread that does 64 operations without any wait gives way once, so that a socket which is
//!    always ready starves neither timers nor other tasks.
//! 7. *No call blocks the loop.* The description is made non-blocking, or every call on a socket asks for it
//!    (`MSG_DONTWAIT`), or the call takes the way of `blocking`: regular files, and descriptions that are
//!    not ours to change ([`FdOptions`]). What the engine refuses to watch (`/dev/null`) is always ready.
//!
//! `SIGPIPE`: Rust's start-up code ignores it, so that writing to a pipe nobody reads is `EPIPE`; in a
//! program that has changed this, writing to sockets still never raises it (`MSG_NOSIGNAL`), pipes do, and so
//! do the calls that move bytes inside the kernel (`splice`, `sendfile`).

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use lwt_core::{Error, Promise, State};

use self::blocking::Blocking;
use crate::engine::registration::Registration;
use crate::sys;

mod blocking;
mod blocking_ops;
mod budget;
mod dup;
mod error;
mod io_ops;
mod mode;
mod pipe;
mod poll_ops;
mod positioned;
mod pump;
mod ready;
mod send_file;
pub(crate) mod shortage;
mod spare;
mod standard;
mod to_end;
mod vectors;
mod wrap;

pub(crate) use blocking::readv_front;
pub(crate) use budget::{breathe, exhausted, spent, waited};
pub use dup::Standard;
pub use error::OsError;
pub(crate) use error::{During, Failure};
pub use mode::FdOptions;
pub use pipe::{pipe, pipe_in, pipe_out};
pub use pump::{Pump, Traffic, copy};
use ready::ready_now;
pub use send_file::SendSource;
pub(crate) use spare::after_fork;
pub use standard::{stderr, stdin, stdout};
pub(crate) use to_end::read_to_end;
pub use vectors::{IoVectors, IoVectorsMut, system_limit};
pub use wrap::Retry;

pub use crate::engine::registration::Direction;

/// A descriptor that this program owns, made non-blocking, with operations that wait for it without blocking
/// the thread.
///
/// Lwt's `file_descr`. It is a handle: `clone` gives another handle on the same descriptor, so that one task
/// can read while another writes. The descriptor is closed by [`close`](Fd::close), or when its last handle
/// is dropped. A handle stays on the thread that made it.
///
/// ```
/// use lwt_unix::fd::Fd;
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (reader, writer) = std::io::pipe()?;
/// let (reader, writer) = (Fd::new(reader.into())?, Fd::new(writer.into())?);
/// let text = lwt_unix::run(async move {
///     writer.write_all(b"hello").await?;
///     writer.close()?;
///     let mut buf = [0; 16];
///     let n = reader.read(&mut buf).await?;
///     assert_eq!(reader.read(&mut buf[n..]).await?, 0); // the end of the file
///     Ok::<_, lwt_core::Error>(buf[..n].to_vec())
/// })?;
/// assert_eq!(text, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fd {
    inner: Rc<Inner>,
}

struct Inner {
    slot: RefCell<Slot>,
    kind: Kind,
    /// For the calls on a socket: `MSG_DONTWAIT` where its description blocks, else 0.
    flags: Cell<libc::c_int>,
    /// What a description that blocks needs besides; most have none.
    blocking: OnceCell<Rc<Blocking>>,
    /// Made at the first `EAGAIN`; holds `None` for what the engine refuses to watch.
    registration: OnceCell<Option<Registration>>,
    /// What the poll-style operations wait for, for reading and for writing.
    waits: [Cell<Option<Promise<()>>>; 2],
}

enum Slot {
    Open(Arc<OwnedFd>),
    Aborted(Arc<OwnedFd>, Error),
    Closed,
}

/// What a descriptor refers to, as far as it decides which call is made and what a short count means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TCP connection.
    Tcp,
    /// A connected Unix stream socket.
    UnixStream,
    /// Another socket: datagrams, listeners, foreign families.
    Socket,
    /// Everything else: pipes, terminals, files, event descriptors.
    Other,
}

/// The state of an [`Fd`] (Lwt's `state`).
#[derive(Debug, Clone)]
pub enum FdState {
    /// Operations are carried out.
    Open,
    /// [`Fd::close`] was called; every operation is rejected with `EBADF`.
    Closed,
    /// [`Fd::abort`] was called; every operation is rejected with this error.
    Aborted(Error),
}

impl Fd {
    /// Takes a descriptor over and makes it non-blocking and close-on-exec (`of_unix_file_descr`).
    ///
    /// Non-blocking is a property of the *open file description*: whoever shares it (a duplicate, the
    /// parent's terminal) sees the change; [`Fd::shared`] leaves it alone. So does this function on regular
    /// files, directories and block devices, which it does not concern.
    ///
    /// # Errors
    /// Those of `fstat` and `fcntl`; the descriptor is closed then.
    pub fn new(fd: OwnedFd) -> Result<Fd, Error> {
        Fd::options().adopt(fd)
    }

    /// Takes over a descriptor that was made non-blocking and close-on-exec, and whose kind is known.
    pub(crate) fn from_parts(fd: OwnedFd, kind: Kind) -> Fd {
        Fd::from_number(Arc::new(fd), kind)
    }

    fn from_number(fd: Arc<OwnedFd>, kind: Kind) -> Fd {
        Fd {
            inner: Rc::new(Inner {
                slot: RefCell::new(Slot::Open(fd)),
                kind,
                flags: Cell::new(0),
                blocking: OnceCell::new(),
                registration: OnceCell::new(),
                waits: [Cell::new(None), Cell::new(None)],
            }),
        }
    }

    /// Whether the descriptor is open, closed or aborted.
    pub fn state(&self) -> FdState {
        match &*self.inner.slot.borrow() {
            Slot::Open(_) => FdState::Open,
            Slot::Aborted(_, error) => FdState::Aborted(error.clone()),
            Slot::Closed => FdState::Closed,
        }
    }

    /// The descriptor itself, for calls that this crate does not have; the number stays open while it is
    /// held.
    ///
    /// When the `Fd` is closed meanwhile, operations are rejected and waiters woken at once, but the number
    /// (and with it the connection, as the peer sees it) lives until the last holder drops it. The value may
    /// go to another thread.
    ///
    /// Whoever changes through it what a short count means (kernel TLS, whose reads end with each record)
    /// must not mix that with reads of the `Fd`'s own: rule 3 of this module takes the short count of a TCP
    /// connection for "no more for now". [`wrap_syscall`](Fd::wrap_syscall) takes nothing for granted.
    ///
    /// `Fd` itself has no [`AsFd`]: what that borrows from one handle, another handle could close.
    ///
    /// ```
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// use std::os::fd::AsFd;
    /// let (reader, _writer) = std::io::pipe()?;
    /// let fd = lwt_unix::fd::Fd::new(reader.into())?;
    /// let duplicate = fd.hold()?.as_fd().try_clone_to_owned()?;
    /// # drop(duplicate);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `EBADF` when the `Fd` is closed, the error of the abort when it is aborted.
    pub fn hold(&self) -> Result<Arc<OwnedFd>, Error> {
        self.held("fcntl")
    }

    /// [`hold`](Fd::hold) for a call, which a rejection names.
    pub(crate) fn held(&self, call: &'static str) -> Result<Arc<OwnedFd>, Error> {
        match &*self.inner.slot.borrow() {
            Slot::Open(fd) => Ok(fd.clone()),
            Slot::Aborted(_, error) => Err(error.clone()),
            Slot::Closed => Err(OsError::closed(call)),
        }
    }

    /// Closes the descriptor, for all its handles (`close`).
    ///
    /// Whoever waits for it is rejected with an error for which [`OsError::is_closed`] holds. A promise would
    /// say nothing here, because the result is known when the call returns. A socket with a [linger
    /// time](crate::net::opt::Linger) other than zero is the one case in which the call may block.
    ///
    /// # Errors
    /// `EBADF` when it is closed already; else what `close` reports of earlier writes. The descriptor is
    /// closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        let fd = match std::mem::replace(&mut *self.inner.slot.borrow_mut(), Slot::Closed) {
            Slot::Open(fd) | Slot::Aborted(fd, _) => fd,
            Slot::Closed => return Err(OsError::closed("close")),
        };
        self.reject_waiters(OsError::closed("wait"));
        release(fd).during("close")
    }

    /// Makes every pending and later operation fail with `error` (`abort`); the number itself stays taken
    /// until [`close`](Fd::close) or the last drop. Does nothing unless the descriptor is open.
    pub fn abort(&self, error: impl Into<Error>) {
        let error = error.into();
        {
            let mut slot = self.inner.slot.borrow_mut();
            let Slot::Open(fd) = &*slot else { return };
            let fd = fd.clone();
            *slot = Slot::Aborted(fd, error.clone());
        }
        self.reject_waiters(error);
    }

    /// Ends every wait on the descriptor; the registration leaves the engine.
    fn reject_waiters(&self, error: Error) {
        self.close_blocking(&error);
        if let Some(Some(registration)) = self.inner.registration.get() {
            registration.close(error);
        }
    }

    /// Makes one call on the open descriptor.
    pub(crate) fn with<T>(
        &self,
        call: &'static str,
        op: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, Error> {
        self.once(op).map_err(|failure| failure.into_error(call))
    }

    /// [`with`](Fd::with), with what the call is for.
    pub(crate) fn with_on<T>(
        &self,
        call: &'static str,
        subject: impl fmt::Display,
        op: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Result<T, Error> {
        self.once(op).map_err(|failure| failure.into_error_on(call, subject))
    }

    #[inline]
    fn once<T>(&self, op: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> Result<T, Failure> {
        match &*self.inner.slot.borrow() {
            Slot::Open(fd) => op(fd.as_fd()).map_err(Failure::System),
            Slot::Aborted(_, error) => Err(Failure::Rejected(error.clone())),
            Slot::Closed => Err(Failure::Closed),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// What calls on the socket have to be told besides.
    #[inline]
    pub(crate) fn flags(&self) -> libc::c_int {
        self.inner.flags.get()
    }
}

impl Kind {
    /// Asks the kernel; a socket that does not answer is treated as the most general kind.
    pub(crate) fn of_socket(fd: BorrowedFd<'_>) -> Kind {
        let ask = |name| sys::socket::option::<libc::c_int>(fd, libc::SOL_SOCKET, name).unwrap_or(-1);
        if ask(libc::SO_TYPE) != libc::SOCK_STREAM || ask(libc::SO_ACCEPTCONN) == 1 {
            return Kind::Socket;
        }
        match (ask(libc::SO_DOMAIN), ask(libc::SO_PROTOCOL)) {
            (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_TCP) => Kind::Tcp,
            (libc::AF_UNIX, _) => Kind::UnixStream,
            _ => Kind::Socket,
        }
    }
}

/// Gives the number back now if nobody else holds it, else when they let go.
fn release(fd: Arc<OwnedFd>) -> io::Result<()> {
    let closed = Arc::into_inner(fd).map_or(Ok(()), sys::close);
    shortage::freed();
    closed
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.waits.iter().filter_map(Cell::take).for_each(let_go);
        let (Slot::Open(fd) | Slot::Aborted(fd, _)) = std::mem::replace(self.slot.get_mut(), Slot::Closed)
        else {
            return;
        };
        if let Some(Some(registration)) = self.registration.get() {
            registration.close(OsError::closed("wait"));
        }
        // Nobody is left to hear of an error.
        let _ = release(fd);
    }
}

/// Looks at a stored wait that is about to go, so that the error of a close is not reported as unhandled.
fn let_go(wait: Promise<()>) {
    let _ = matches!(wait.state(), State::Rejected(_));
}

/// A handle on `fd`'s number, `-1` once it is closed. The number alone keeps nothing open: see [`Fd::hold`].
impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        match &*self.inner.slot.borrow() {
            Slot::Open(fd) | Slot::Aborted(fd, _) => fd.as_raw_fd(),
            Slot::Closed => -1,
        }
    }
}

impl TryFrom<OwnedFd> for Fd {
    type Error = Error;
    /// [`Fd::new`].
    fn try_from(fd: OwnedFd) -> Result<Fd, Error> {
        Fd::new(fd)
    }
}

impl fmt::Debug for Fd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Fd");
        out.field("number", &self.as_raw_fd()).field("kind", &self.inner.kind);
        out.field("state", &self.state()).finish()
    }
}
