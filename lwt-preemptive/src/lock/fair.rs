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
//! 2. `word` tells what the fast paths need: [`HELD`], [`AWAITED`] (somebody is in the queue), [`DUE`]
//!    (somebody there has waited longer than the interval). `AWAITED` and `DUE` change under the queue's
//!    mutex only; `HELD` without it only while neither is set.
//! 3. Nobody ticks. Who waits looks at the clock himself, once, and leaves `DUE` for the holder to find; a
//!    holder with nobody behind him pays one atomic operation to take the lock and one to release it.
//! 4. Only the first in the queue spins before he parks, and only where there is a second processor.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicBool, AtomicU32, Condvar, Mutex, MutexGuard};

/// Somebody holds the lock.
const HELD: u32 = 1;
/// Somebody is in the queue.
const AWAITED: u32 = 2;
/// Somebody in the queue has waited longer than the interval.
const DUE: u32 = 4;

/// How long the first in the queue looks again before he parks.
const SPIN: Duration = Duration::from_micros(20);

/// A lock that is handed from one to the next in the order in which they came.
pub(super) struct Fair {
    word: AtomicU32,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    /// How long a waiter waits before he is due; `None` is for ever.
    interval: Mutex<Option<Duration>>,
}

/// One who waits.
struct Waiter {
    /// He holds the lock now. Set under the queue's mutex.
    granted: AtomicBool,
    /// He has waited longer than the interval. Changes under the queue's mutex.
    due: AtomicBool,
    called: Condvar,
}

impl Fair {
    /// A free lock.
    pub(super) fn new(interval: Option<Duration>) -> Fair {
        Fair { word: AtomicU32::new(0), queue: Mutex::default(), interval: Mutex::new(interval) }
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
        self.word.load(Ordering::Relaxed) & DUE != 0
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
        let waiter = Arc::new(Waiter {
            granted: AtomicBool::new(false),
            due: AtomicBool::new(false),
            called: Condvar::new(),
        });
        queue.push_back(Arc::clone(&waiter));
        waiter
    }

    /// Gives the lock, which the caller holds, to the first in the queue; with an empty queue it is free.
    fn grant(&self, queue: &mut VecDeque<Arc<Waiter>>) {
        let Some(next) = queue.pop_front() else {
            self.word.store(0, Ordering::Release);
            return;
        };
        let awaited = if queue.is_empty() { 0 } else { AWAITED };
        let due = if queue.iter().any(|waiter| waiter.due.load(Ordering::Relaxed)) { DUE } else { 0 };
        self.word.store(HELD | awaited | due, Ordering::Relaxed);
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
        let mut patience = self.interval();
        let begin = Instant::now();
        while !waiter.granted.load(Ordering::Acquire) {
            if let Some(interval) = patience
                && begin.elapsed() >= interval
            {
                patience = None;
                waiter.due.store(true, Ordering::Relaxed);
                self.word.fetch_or(DUE, Ordering::Relaxed);
            }
            let left = patience.map(|interval| interval.saturating_sub(begin.elapsed()));
            queue = park(&waiter.called, queue, left);
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a call, or for the time.
fn park<'a, T>(called: &Condvar, guard: MutexGuard<'a, T>, time: Option<Duration>) -> MutexGuard<'a, T> {
    match time {
        None => called.wait(guard).unwrap_or_else(PoisonError::into_inner),
        Some(time) => called.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0,
    }
}

/// Looks again for a moment; says whether it is so.
#[cfg(not(loom))]
fn spin(done: impl Fn() -> bool) -> bool {
    use std::sync::OnceLock;
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
