//! The runtime lock: values that a loop shares with threads, and who may touch them when (OCaml's master lock
//! and its blocking sections).
//!
//! Promises never leave their loop's thread. What threads and a loop have in common is kept in [`Locked`]
//! values of the loop's [`RuntimeLock`]. Whoever holds the lock has a [`Token`], and the values are reached
//! through it:
//!
//! ```
//! use lwt_preemptive::lock::RuntimeLock;
//! use std::thread;
//!
//! let lock = RuntimeLock::current().unwrap();
//! let total = lock.guard(0);
//! thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| {
//!             lock.attach(|token| {
//!                 *total.get_mut(token) += 1;
//!                 // Blocking calls and long computations: the lock is given up for their time, and the
//!                 // compiler sees to it that nothing is held across them.
//!                 token.blocking(|| thread::sleep(std::time::Duration::from_millis(1)));
//!                 *total.get_mut(token) += 1;
//!             })
//!             .unwrap();
//!         });
//!     }
//! });
//! assert_eq!(lock.with_token(|token| *total.get(token)).unwrap(), 8);
//! ```
//!
//! # Who holds it
//! ```text
//!                 run, the poll is over                    with_token
//!   ┌─ loop ─────────────────────────────> holds it ──────────────────────> token lent ──┐
//!   │         <─────────────────────────             <──────────────────────             │ blocking: given up,
//!   │          run ends, the loop polls                 the closure has ended      <─────┘ and taken again
//!   │
//!   └─ any other thread ── attach ──> token lent ── the closure has ended ──> does not hold it
//! ```
//!
//! # Rules
//! 1. *One token.* A lock has one holder, and its holder one token at most, lent as `&mut Token` to a
//!    closure. So what is reached through a shared borrow of the token is not written by anybody meanwhile,
//!    and what is reached through the exclusive one is reached by nobody else.
//! 2. *The token stays.* It is neither `Send` nor `Sync` nor `Clone`; its lifetime is the closure's own and
//!    invariant, so it can neither escape nor be exchanged for another one.
//! 3. *Blocking sections* take the token by `&mut`: no reference got through it lives in them. Nor do the
//!    promises of the lock's loop get on in them: resolving or cancelling one there is a panic. In a section the thread
//!    counts as not attached; it may attach anew, which is what a callback out of a C library does.
//! 4. *Attaching* on a thread that holds a lock already, this one or another's, is an error and not a
//!    dead-lock.
//! 5. *Panics* give the lock back on their way. A value that was being written when one came through is
//!    *poisoned*: it says so until it is put right.
//! 6. *Fairness.* First come, first served ([`fair`](self) is the name of the file). A thread that does not
//!    want to give the lock up, but would let others in, calls [`Token::checkpoint`] now and then: it costs a
//!    load while nobody waits, and hands the lock over when somebody has waited longer than the [switch
//!    interval](RuntimeLock::set_switch_interval). The loop does the same on each turn.
//! 7. A loop without a lock pays nothing. With one it takes and releases it once for each poll that may
//!    block.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use lwt_core::{Error, scheduler};

mod fair;
mod locked;
mod section;
mod token;

use self::fair::Fair;
pub use self::locked::{Locked, Poisoned, WriteGuard};
use self::section::LoopSection;
pub use self::token::Token;

/// How long a waiter waits before the holder is asked to hand the lock over, unless it is set otherwise.
const INTERVAL: Duration = Duration::from_millis(5);

/// A loop's lock. Clones are the same lock, and may go to any thread.
#[derive(Clone)]
pub struct RuntimeLock(Arc<Shared>);

struct Shared {
    fair: Fair,
    /// The thread of the loop.
    home: ThreadId,
}

/// What a thread has of the locks of the process.
struct Place {
    /// The lock that the thread holds, if it holds one.
    holds: Cell<*const Shared>,
    /// Whether its token is lent to a closure.
    lent: Cell<bool>,
    /// The lock of this thread's own loop, to compare with.
    own: Cell<*const Shared>,
}

impl Place {
    /// Whether the thread's own promises are under this lock.
    fn is_own(&self, lock: *const Shared) -> bool {
        ptr::eq(self.own.get(), lock)
    }
}

thread_local! {
    static PLACE: Place = const {
        Place { holds: Cell::new(ptr::null()), lent: Cell::new(false), own: Cell::new(ptr::null()) }
    };
    /// The lock of this thread's loop.
    static HOME: RefCell<Option<RuntimeLock>> = const { RefCell::new(None) };
}

/// Why a thread may not have a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// It has one already: the two could be used to reach one value twice. Pass the token on.
    Attached,
    /// It holds the lock of another loop: who takes two locks may wait for ever. Attach inside a
    /// [blocking section](Token::blocking) of the other.
    OtherLock,
    /// It is the thread of the lock's own running loop, which holds it: use [`RuntimeLock::with_token`].
    OnTheLoop,
    /// [`RuntimeLock::with_token`] was called on another thread than the loop's: use [`RuntimeLock::attach`].
    NotTheLoop,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AttachError::Attached => "this thread has a token of the runtime lock already",
            AttachError::OtherLock => "this thread holds the runtime lock of another loop",
            AttachError::OnTheLoop => {
                "this thread's own loop holds the runtime lock; its callbacks use with_token"
            }
            AttachError::NotTheLoop => {
                "this is not the thread of the runtime lock's loop; other threads attach"
            }
        })
    }
}

impl std::error::Error for AttachError {}

/// Whether this thread holds a runtime lock. In a [blocking section](Token::blocking) it does not.
pub(crate) fn is_held_here() -> bool {
    PLACE.with(|place| !place.holds.get().is_null())
}

impl RuntimeLock {
    /// The lock of this thread's loop. It is made at the first call, and the loop with it, if there is none
    /// yet; from then on the loop holds it while it runs, but for its polls.
    ///
    /// # Errors
    /// The operating system's, if the thread has no loop and none can be made.
    pub fn current() -> Result<RuntimeLock, Error> {
        // A thread that is ending has none any more, and gets no other.
        if let Some(lock) = HOME.try_with(|home| home.borrow().clone()).ok().flatten() {
            return Ok(lock);
        }
        let lock =
            RuntimeLock(Arc::new(Shared { fair: Fair::new(Some(INTERVAL)), home: thread::current().id() }));
        lwt_unix::main_loop::set_section(Rc::new(LoopSection::new(lock.clone())))?;
        PLACE.with(|place| place.own.set(lock.as_ptr()));
        let _ = HOME.try_with(|home| home.replace(Some(lock.clone())));
        Ok(lock)
    }

    /// A value that this lock guards.
    pub fn guard<T: Send>(&self, value: T) -> Locked<T> {
        Locked::new(self, value)
    }

    /// Takes the lock, after all who came before, and calls `f` with the token (OCaml: registering a thread
    /// and acquiring the runtime system).
    ///
    /// The thread is blocked meanwhile: on another loop's thread, [detach](crate::detach()) what attaches.
    ///
    /// # Errors
    /// [`AttachError`]; then `f` was not called.
    ///
    /// # Panics
    /// If `f` does; the lock is given back.
    pub fn attach<R>(&self, f: impl for<'t> FnOnce(&mut Token<'t>) -> R) -> Result<R, AttachError> {
        PLACE.with(|place| {
            let held = place.holds.get();
            if held.is_null() {
                self.0.fair.acquire();
                place.holds.set(self.as_ptr());
                let in_section = place.is_own(self.as_ptr()) && scheduler::set_in_section(false);
                let _release = Release { lock: self, place, in_section };
                Ok(self.lend(place, f))
            } else if held != self.as_ptr() {
                Err(AttachError::OtherLock)
            } else if place.lent.get() {
                Err(AttachError::Attached)
            } else {
                Err(AttachError::OnTheLoop)
            }
        })
    }

    /// Calls `f` with the token of this thread's loop: what the loop's callbacks reach [`Locked`] values
    /// with.
    ///
    /// While the loop runs it holds the lock, and nothing is waited for. Otherwise (before
    /// [`run`](lwt_unix::run), and in a [blocking section](Token::blocking)) the lock is taken for the time
    /// of the call.
    ///
    /// # Errors
    /// [`AttachError`]; then `f` was not called.
    ///
    /// # Panics
    /// If `f` does.
    pub fn with_token<R>(&self, f: impl for<'t> FnOnce(&mut Token<'t>) -> R) -> Result<R, AttachError> {
        let the_loops = PLACE.with(|place| place.holds.get() == self.as_ptr() && !place.lent.get());
        if the_loops {
            Ok(PLACE.with(|place| self.lend(place, f)))
        } else if thread::current().id() == self.0.home {
            self.attach(f)
        } else {
            Err(AttachError::NotTheLoop)
        }
    }

    /// How long a thread waits for the lock before its holder is asked to hand it over; 5 ms unless it was
    /// set.
    pub fn switch_interval(&self) -> Duration {
        self.0.fair.interval().unwrap_or(Duration::MAX)
    }

    /// Sets the switch interval, for those who begin to wait from now on. [`Duration::MAX`] is never.
    pub fn set_switch_interval(&self, interval: Duration) {
        self.0.fair.set_interval((interval != Duration::MAX).then_some(interval));
    }

    /// Calls `f` with a token. The thread holds the lock, and no token is lent.
    fn lend<R>(&self, place: &Place, f: impl for<'t> FnOnce(&mut Token<'t>) -> R) -> R {
        place.lent.set(true);
        let _back = Back(place);
        f(&mut Token { shared: &self.0, invariant: PhantomData, confined: PhantomData })
    }

    fn as_ptr(&self) -> *const Shared {
        Arc::as_ptr(&self.0)
    }
}

impl fmt::Debug for RuntimeLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeLock").field("home", &self.0.home).finish_non_exhaustive()
    }
}

/// Takes the token back.
struct Back<'a>(&'a Place);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.lent.set(false);
    }
}

/// Gives the lock back.
struct Release<'a> {
    lock: &'a RuntimeLock,
    place: &'a Place,
    /// Whether it was taken inside a section of the same lock.
    in_section: bool,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if self.in_section {
            scheduler::set_in_section(true);
        }
        self.place.holds.set(ptr::null());
        self.lock.0.fair.release();
    }
}
