//! [`Fair`]: the lock under the runtime lock. It guards nothing itself; it says whose turn it is.
//!
//! ```text
//!            acquire                       acquire: joins the queue
//!   free ────────────────> held ────────────────────────────────> held, awaited ──┐ release, hand_over:
//!    ^                     │  ^                                       │      ^     │ the first in the queue
//!    └──────── release ────┘  └──── release: the queue is empty ──────┘      └─────┘ holds it
//! ```
//!
//! 1. *First come, first served.* A lock that is awaited is never free: whoever releases it gives it to the
//!    first in the queue, in one step. So nobody can take it in between, and a thread that releases it and
//!    takes it again waits behind all who waited.
//! 2. `word` tells what the fast paths need: [`HELD`], and [`AWAITED`] (somebody is in the queue). `AWAITED`
//!    changes under the queue's mutex only; `HELD` without it only while `AWAITED` is not set.
//! 3. Nobody ticks, and who waits sleeps until it is his turn. `due` is when the first of those who wait will
//!    have waited for too long; a holder who is asked compares it with the clock, if somebody waits. One with
//!    nobody behind him pays one atomic operation to take the lock and one to release it.
//! 4. Only the first in the queue spins before he parks, and only where there is a second processor.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Condvar, Mutex, MutexGuard};

/// Somebody holds the lock.
const HELD: u32 = 1;
/// Somebody is in the queue.
const AWAITED: u32 = 2;
/// What is due then is never due.
const NEVER: u64 = u64::MAX;

/// How long the first in the queue looks again before he parks.
const SPIN: Duration = Duration::from_micros(20);

/// A lock that is handed from one to the next in the order in which they came.
pub(super) struct Fair {
    word: AtomicU32,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    /// The least `due` of those in the queue, by [`now`]. Changes under the queue's mutex.
    due: AtomicU64,
    /// How long a waiter waits before he is due; `None` is for ever.
    interval: Mutex<Option<Duration>>,
}

/// One who waits.
struct Waiter {
    /// He holds the lock now. Set under the queue's mutex.
    granted: AtomicBool,
    /// When he will have waited longer than the interval.
    due: u64,
    called: Condvar,
}

impl Fair {
    /// A free lock.
    pub(super) fn new(interval: Option<Duration>) -> Fair {
        let (word, due) = (AtomicU32::new(0), AtomicU64::new(NEVER));
        Fair { word, queue: Mutex::default(), due, interval: Mutex::new(interval) }
    }

    /// Takes the lock, after all who came before.
    #[inline]
    pub(super) fn acquire(&self) {
        if !self.try_acquire() {
            self.wait_for_it();
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(super) fn try_acquire(&self) -> bool {
        self.word.compare_exchange(0, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the lock up: to the first in the queue, if there is one. The caller holds it.
    #[inline]
    pub(super) fn release(&self) {
        if self.word.compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            let mut queue = self.queue();
            self.grant(&mut queue);
        }
    }

    /// Lets all who wait have the lock before the caller, who holds it, goes on with it. Says whether anybody
    /// waited.
    pub(super) fn hand_over(&self) -> bool {
        if self.word.load(Ordering::Relaxed) & AWAITED == 0 {
            return false;
        }
        let mut queue = self.queue();
        if queue.is_empty() {
            return false;
        }
        let waiter = self.join(&mut queue);
        self.grant(&mut queue);
        self.wait(queue, &waiter);
        true
    }

    /// Whether somebody has waited for the lock for longer than the interval.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.word.load(Ordering::Relaxed) & AWAITED != 0 && self.due.load(Ordering::Relaxed) <= now()
    }

    /// How long a waiter waits before he is due.
    pub(super) fn interval(&self) -> Option<Duration> {
        *self.interval.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the interval, for those who begin to wait from now on.
    pub(super) fn set_interval(&self, interval: Option<Duration>) {
        *self.interval.lock().unwrap_or_else(PoisonError::into_inner) = interval;
    }

    #[cold]
    fn wait_for_it(&self) {
        let mut queue = self.queue();
        // Who releases it from now on sees that it is awaited, and comes for the mutex.
        let before = self.word.fetch_or(HELD | AWAITED, Ordering::Acquire);
        if before & HELD == 0 {
            // It was given up on the way here, and so the queue is empty (rule 1).
            self.word.store(HELD, Ordering::Relaxed);
            return;
        }
        let waiter = self.join(&mut queue);
        self.wait(queue, &waiter);
    }

    /// A place at the end of the queue. `AWAITED` is set.
    fn join(&self, queue: &mut VecDeque<Arc<Waiter>>) -> Arc<Waiter> {
        let due = self.interval().map_or(NEVER, |interval| {
            now().saturating_add(u64::try_from(interval.as_nanos()).unwrap_or(NEVER))
        });
        let waiter = Arc::new(Waiter { granted: AtomicBool::new(false), due, called: Condvar::new() });
        queue.push_back(Arc::clone(&waiter));
        self.set_due(queue);
        waiter
    }

    /// The queue has changed.
    fn set_due(&self, queue: &VecDeque<Arc<Waiter>>) {
        let due = queue.iter().map(|waiter| waiter.due).min();
        self.due.store(due.unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Gives the lock, which the caller holds, to the first in the queue; with an empty queue it is free.
    fn grant(&self, queue: &mut VecDeque<Arc<Waiter>>) {
        let Some(next) = queue.pop_front() else {
            self.word.store(0, Ordering::Release);
            return;
        };
        let awaited = if queue.is_empty() { 0 } else { AWAITED };
        self.set_due(queue);
        self.word.store(HELD | awaited, Ordering::Relaxed);
        next.granted.store(true, Ordering::Release);
        next.called.notify_one();
    }

    /// Waits until the lock is granted.
    fn wait<'a>(&'a self, mut queue: MutexGuard<'a, VecDeque<Arc<Waiter>>>, waiter: &Arc<Waiter>) {
        if queue.front().is_some_and(|first| Arc::ptr_eq(first, waiter)) {
            drop(queue);
            if spin(|| waiter.granted.load(Ordering::Acquire)) {
                return;
            }
            queue = self.queue();
        }
        while !waiter.granted.load(Ordering::Acquire) {
            queue = waiter.called.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds since somebody asked first.
fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(NEVER)
}

/// Looks again for a moment; says whether it is so.
#[cfg(not(loom))]
fn spin(done: impl Fn() -> bool) -> bool {
    use std::thread::available_parallelism;

    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    if *PROCESSORS.get_or_init(|| available_parallelism().map_or(1, usize::from)) == 1 {
        return done();
    }
    let begin = Instant::now();
    loop {
        for _ in 0..16 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begin.elapsed() >= SPIN {
            return false;
        }
    }
}

/// A model has no time.
#[cfg(loom)]
fn spin(done: impl Fn() -> bool) -> bool {
    let _ = SPIN;
    done()
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(loom)))]
mod tests;
