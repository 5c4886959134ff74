//! The engine: what the main loop needs of the operating system (`Lwt_engine`).
//!
//! An [`Engine`] tells which descriptors have become readable or writable, gives the time, blocks until
//! something happens or a deadline comes, and can be woken from another thread. The loop knows nothing of
//! `epoll`; a simulation with a clock of its own fits the same trait.
//!
//! Rules, for every engine:
//! 1. *Edges.* A readiness is reported when it comes up, once; whoever is told has to try the system call
//!    until it says `EAGAIN` before the next report is due. An engine over a level-triggered call learns by
//!    [`Engine::wants`] which edges somebody waits for. Reports without cause are allowed.
//! 2. *Once.* A descriptor is registered once, for reading and writing at the same time, and stays so until
//!    it is closed.
//! 3. *Tokens.* An event carries the [`Token`] given at the registration. Tokens have a generation, so an
//!    event that was under way for a closed descriptor cannot be taken for one of its successor.
//! 4. *Time.* The clock is monotonic. [`Engine::poll`] may return before the deadline, for any reason; it
//!    does not return later than the operating system allows, and rounds no deadline down.
//! 5. *Signals.* An interrupted wait is an early return, not an error.
//! 6. *Guests.* An engine that runs code of others inside [`Engine::poll`], the callbacks of the loop that it
//!    stands for, returns when it has run some. That code may call everything here, also [`set_engine`]: no
//!    engine is borrowed while it is polled, which is why all methods take `&self`.
//!
//! | Lwt | here |
//! |---|---|
//! | `Lwt_engine.get`, `set` | [`current_engine`], [`set_engine`] |
//! | `Lwt_engine.on_readable`, `on_writable`, `on_timer` | [`on_readable`], [`on_writable`], [`on_timer`] |
//! | `Lwt_engine.stop_event`, `fake_event` | [`Watch::stop`], [`Watch::idle`] |
//! | `Lwt_engine.fake_io` | [`fake_io`] |
//! | `Lwt_engine.iter` | [`iter`](crate::main_loop::iter) |

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

mod alarm;
mod choice;
mod mio;
mod poll;
pub(crate) mod registration;
pub(crate) mod sim;
pub(crate) mod sources;
mod watch;

pub(crate) use self::choice::default_engine;
pub use self::choice::{current_engine, set_engine};
pub use self::mio::MioEngine;
pub use self::poll::PollEngine;
pub use self::sim::SimEngine;
pub use self::watch::{Watch, fake_io, on_readable, on_timer, on_writable};

/// Names one registration of one descriptor: a position in the runtime's table, and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(usize);

impl Token {
    /// The bits that hold the position; the others hold the generation.
    const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
    /// The number of positions. The last few are kept for engines' own use.
    pub(crate) const POSITIONS: usize = (1 << Token::INDEX_BITS) - 8;

    /// The token of a position in its `generation`th use. Both are cut to the bits that there are for them.
    pub(crate) fn new(index: usize, generation: usize) -> Token {
        Token(generation << Token::INDEX_BITS | index & ((1 << Token::INDEX_BITS) - 1))
    }

    /// The position in the table.
    pub(crate) fn index(self) -> usize {
        self.0 & ((1 << Token::INDEX_BITS) - 1)
    }

    /// The token as a number, to hand to the operating system. The numbers above `usize::MAX - 8` are never
    /// used.
    pub fn number(self) -> usize {
        self.0
    }

    /// The token of a number that [`Token::number`] gave.
    pub fn from_number(number: usize) -> Token {
        Token(number)
    }
}

/// A set of things that may be said of a descriptor: ready for reading, for writing, and whether for good.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// A read will not block.
    pub const READ: Readiness = Readiness(1);
    /// A write will not block.
    pub const WRITE: Readiness = Readiness(2);
    /// The other side writes no more, or there is an error: a read will see the end.
    pub const READ_CLOSED: Readiness = Readiness(4);
    /// The other side reads no more, or there is an error: a write will see it.
    pub const WRITE_CLOSED: Readiness = Readiness(8);
    /// There is urgent data: a read stops at its mark, however much there is behind it.
    pub const URGENT: Readiness = Readiness(16);

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either set.
    #[must_use]
    pub const fn with(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Readiness::READ, "read"),
            (Readiness::WRITE, "write"),
            (Readiness::READ_CLOSED, "read-closed"),
            (Readiness::WRITE_CLOSED, "write-closed"),
            (Readiness::URGENT, "urgent"),
        ];
        f.debug_set()
            .entries(names.iter().filter(|(set, _)| self.contains(*set)).map(|(_, name)| name))
            .finish()
    }
}

/// One report of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The registration that it is about.
    pub token: Token,
    /// What has come up.
    pub readiness: Readiness,
}

/// How long [`Engine::poll`] may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: only what is there.
    No,
    /// Until this moment of the engine's clock.
    Until(Instant),
    /// For as long as it takes.
    Forever,
}

/// Wakes the thread that waits in its engine; called by other threads, at any time, also when the engine is
/// gone.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// What a main loop needs of the operating system. The module's documentation states the rules.
pub trait Engine: fmt::Debug {
    /// What it is called, for messages.
    fn name(&self) -> &'static str;

    /// The time now. Monotonic.
    fn now(&self) -> Instant;

    /// Starts to report the readiness of `fd` as `token`.
    ///
    /// # Errors
    /// Those of the operating system; `EPERM` for what is always ready, such as a regular file.
    fn register(&self, fd: RawFd, token: Token) -> io::Result<()>;

    /// Ends the reports on `fd`. Reports that are under way may still come.
    ///
    /// # Errors
    /// Those of the operating system.
    fn deregister(&self, fd: RawFd, token: Token) -> io::Result<()>;

    /// Somebody starts (or nobody goes on) to wait for these readinesses of `fd`. Engines that report edges
    /// by themselves need not know.
    fn wants(&self, fd: RawFd, token: Token, readiness: Readiness) {
        let _ = (fd, token, readiness);
    }

    /// Appends what has happened to `events`, after having waited for it no longer than `wait`, unless it was
    /// there or the [`Waker`] was called since the last poll.
    ///
    /// # Errors
    /// Those of the operating system, except an interruption by a signal.
    fn poll(&self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()>;

    /// What other threads call to end a wait in [`Engine::poll`].
    fn waker(&self) -> Waker;

    /// A descriptor, for the caller to keep, that is readable while [`Engine::poll`] would have something to
    /// report or the [`Waker`] was called; deadlines do not count. With one, the loop can be a guest in
    /// another ([`Guest`](crate::main_loop::Guest)). `None` if the engine has no such thing.
    ///
    /// # Errors
    /// Those of the operating system, `EMFILE` above all.
    fn pollable(&self) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }

    /// Begins anew, in the child after a fork: whatever the parent's engine shares with it is given up, and
    /// every registration and waker has to be made again.
    ///
    /// # Errors
    /// Those of the operating system.
    fn after_fork(&self) -> io::Result<()>;
}
