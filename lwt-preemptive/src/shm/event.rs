//! Waiting for something in shared memory to change: by threads, which sleep, and by promises.
//!
//! An event is a sequence number, a flag that says whether threads sleep at it, and a set of the processes
//! whose promises wait.
//!
//! 1. Who waits announces itself (flag or set) *before* its last attempt, and who changes something looks at
//!    both *after* the change: one of the two sees the other.
//! 2. All who wait are woken, and try again; those for whom nothing is left announce themselves anew. So no
//!    signal is meant for one waiter, and none is lost with it.
//! 3. Whoever makes a change may die before it has told anybody. So nobody sleeps for longer than
//!    [`LONGEST_NAP`] without an attempt.

use std::hint;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise};

use super::bell;
use super::block::Block;
use super::error::ShmError;
use super::object::Object;
use super::pool::Inner;
use super::sys;

pub(super) const SHORTEST_NAP: Duration = Duration::from_millis(20);
pub(super) const LONGEST_NAP: Duration = Duration::from_secs(1);
/// How often an attempt is made before a thread sleeps: at least, at most, and at first. It follows what it
/// was good for: a spin in vain halves it, and one that was rewarded doubles it.
const FEWEST_SPINS: u32 = 64;
const MOST_SPINS: u32 = 1024;
static SPINS: AtomicU32 = AtomicU32::new(256);

/// An event in a block: the sequence number and the flag, each half a word, and the processes: bit `i` for
/// the leases `i`, `i + 64`, and so on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    block: Block<'a>,
    offset: u64,
}

impl<'a> Event<'a> {
    #[inline]
    pub(super) fn at(block: Block<'a>, offset: u64) -> Event<'a> {
        Event { block, offset }
    }

    fn sequence(&self) -> &'a AtomicU32 {
        self.block.half(self.offset)
    }

    #[inline]
    fn sleepers(&self) -> &'a AtomicU32 {
        self.block.half(self.offset + 4)
    }

    #[inline]
    fn processes(&self) -> &'a AtomicU64 {
        self.block.word(self.offset + 8)
    }

    /// Tells all who wait that something has changed.
    #[inline]
    pub(super) fn notify(&self, inner: &Inner) {
        fence(SeqCst);
        if self.sleepers().load(Relaxed) != 0 || self.processes().load(Relaxed) != 0 {
            self.wake(inner);
        }
    }

    /// The same right after a lock has been released, under which the change was made.
    #[inline]
    pub(super) fn notify_released(&self, inner: &Inner) {
        // Releasing is an exchange, which on this architecture is a fence.
        if cfg!(not(target_arch = "x86_64")) {
            fence(SeqCst);
        }
        if self.sleepers().load(SeqCst) != 0 || self.processes().load(SeqCst) != 0 {
            self.wake(inner);
        }
    }

    #[cold]
    fn wake(&self, inner: &Inner) {
        if self.sleepers().swap(0, SeqCst) != 0 {
            self.sequence().fetch_add(1, SeqCst);
            sys::futex_wake(self.sequence(), i32::MAX);
        }
        let waiting = self.processes().swap(0, SeqCst);
        if waiting != 0 {
            for index in (0..inner.memory.leases).filter(|index| waiting >> (index % 64) & 1 != 0) {
                bell::ring(&inner.memory, index);
            }
        }
    }

    /// Announces a thread that will sleep; the answer goes to [`sleep`](Event::sleep).
    pub(super) fn announce(&self) -> u32 {
        self.sleepers().store(1, SeqCst);
        fence(SeqCst);
        self.sequence().load(SeqCst)
    }

    /// Sleeps until something has changed since the announcement, or the time is over.
    pub(super) fn sleep(&self, announced: u32, limit: Duration) {
        sys::futex_wait(self.sequence(), announced, Some(limit));
    }

    /// Announces promises of this process.
    pub(super) fn announce_process(&self, inner: &Inner) {
        self.processes().fetch_or(1 << (inner.me().index() % 64), SeqCst);
        fence(SeqCst);
    }
}

/// What is left of a nap if there is a deadline. `None`: it is over.
pub(super) fn shorten(nap: Duration, deadline: Option<Instant>) -> Option<Duration> {
    let Some(deadline) = deadline else { return Some(nap) };
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.min(nap))
}

/// Makes attempts until one gives something; between them the thread spins a little, and then sleeps. The
/// attempt is told whether it comes after a nap, when it is time to look for the dead.
///
/// # Errors
/// Those of the attempt, and [`ShmError::TimedOut`].
pub(super) fn wait_until<R>(
    event: Event<'_>,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(bool) -> Result<Option<R>, ShmError>,
) -> Result<R, ShmError> {
    let spins = SPINS.load(Relaxed);
    for spin in 0..spins {
        if let Some(done) = attempt(false)? {
            if spin > 0 {
                SPINS.store((2 * spins).min(MOST_SPINS), Relaxed);
            }
            return Ok(done);
        }
        hint::spin_loop();
    }
    SPINS.store((spins / 2).max(FEWEST_SPINS), Relaxed);
    let (mut nap, mut rested) = (SHORTEST_NAP, false);
    loop {
        let announced = event.announce();
        if let Some(done) = attempt(rested)? {
            return Ok(done);
        }
        let limit = shorten(nap, deadline).ok_or(ShmError::TimedOut)?;
        event.sleep(announced, limit);
        nap = (2 * nap).min(LONGEST_NAP);
        rested = true;
    }
}

/// The same as a promise: the loop goes on meanwhile. A cancel loses nothing: what an attempt has given is
/// handed on in the same step.
pub(super) fn promise_until<R: 'static>(
    object: &Object,
    event: fn(&Object) -> Event<'_>,
    mut attempt: impl FnMut(&Object, bool) -> Result<Option<R>, ShmError> + 'static,
) -> Promise<R> {
    match attempt(object, false) {
        Ok(Some(done)) => return Promise::ready(done),
        Ok(None) => {}
        Err(error) => return Promise::fail(error),
    }
    let object = object.clone();
    lwt_core::spawn(async move {
        let mut rested = false;
        loop {
            let rung = bell::next(object.inner())?;
            event(&object).announce_process(object.inner());
            if let Some(done) = attempt(&object, rested)? {
                return Ok::<R, Error>(done);
            }
            rung.await?;
            // A cancel between the ring and now: the next attempt may end the task, and the cancel with it.
            lwt_core::task::cancel_point().await?;
            rested = true;
        }
    })
}
