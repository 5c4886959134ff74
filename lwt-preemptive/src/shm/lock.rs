//! The lock under everything: a word that names its holder, and outlives it.
//!
//! The word is 0 while the lock is free, else the holder's [`Id`], with the top bit if somebody may be
//! sleeping at it.
//!
//! 1. Only the holder clears the word. A dead holder's word is taken over, by compare-and-set, by whoever
//!    wants the lock next; it is told so, puts right what the lock protects, and goes on. If it dies in that,
//!    the next one does it again: repairs can be made any number of times.
//! 2. Who waits sleeps for [`SLICE`] at most and then asks whether the holder lives. So a death is noticed by
//!    those whom it concerns, without anybody's help, and a woken waiter that dies before it has the lock
//!    takes nothing with it.
//! 3. The holder is a process. Which thread releases does not matter to the word; the guards see to that.

use std::hint;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::error::ShmError;
use super::lease::Id;
use super::pool::Inner;
use super::sys;

/// How long a waiter sleeps before it asks whether the holder lives.
pub(super) const SLICE: Duration = Duration::from_millis(20);
const SLEEPERS: u32 = 1 << 31;
const SPINS: u32 = 40;

/// How a lock was got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// Its last holder has released it.
    Free,
    /// Its last holder has died.
    Died,
}

/// What is left of the time until `deadline`, at most a slice. `None`: it is over.
pub(super) fn slice(deadline: Option<Instant>) -> Option<Duration> {
    let Some(deadline) = deadline else { return Some(SLICE) };
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.min(SLICE))
}

/// Who has the lock, if somebody has.
pub(super) fn holder(word: u32) -> Option<Id> {
    Some(Id(word & !SLEEPERS)).filter(|id| id.0 != 0)
}

/// Takes the lock if that needs no waiting for a live holder.
pub(super) fn try_acquire(inner: &Inner, word: &AtomicU32) -> Option<Got> {
    let me = inner.me();
    match word.compare_exchange(0, me.0, Acquire, Relaxed) {
        Ok(_) => Some(Got::Free),
        Err(seen) => steal(inner, word, seen),
    }
}

/// Takes the lock of a dead holder.
#[cold]
fn steal(inner: &Inner, word: &AtomicU32, seen: u32) -> Option<Got> {
    let holder = Id(seen & !SLEEPERS);
    if holder.0 == 0 || inner.is_alive(holder) {
        return None;
    }
    let taken = word.compare_exchange(seen, inner.me().0 | SLEEPERS, Acquire, Relaxed);
    taken.is_ok().then_some(Got::Died)
}

/// Takes the lock.
///
/// # Errors
/// [`ShmError::TimedOut`].
#[inline]
pub(super) fn acquire(inner: &Inner, word: &AtomicU32, deadline: Option<Instant>) -> Result<Got, ShmError> {
    match word.compare_exchange(0, inner.me().0, Acquire, Relaxed) {
        Ok(_) => Ok(Got::Free),
        Err(_) => acquire_slow(inner, word, deadline),
    }
}

#[cold]
fn acquire_slow(inner: &Inner, word: &AtomicU32, deadline: Option<Instant>) -> Result<Got, ShmError> {
    let me = inner.me().0;
    for round in 0..SPINS {
        if word.load(Relaxed) == 0 && word.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
            return Ok(Got::Free);
        }
        // Who looks less often is less in the holder's way.
        for _ in 0..1 << round.min(6) {
            hint::spin_loop();
        }
    }
    let mut looked = Instant::now();
    loop {
        let seen = word.load(Relaxed);
        if seen & !SLEEPERS == 0 {
            // There may be other sleepers, so the bit comes with it.
            if word.compare_exchange(seen, me | SLEEPERS, Acquire, Relaxed).is_ok() {
                return Ok(Got::Free);
            }
            continue;
        }
        if seen & SLEEPERS == 0 && word.compare_exchange(seen, seen | SLEEPERS, Relaxed, Relaxed).is_err() {
            continue;
        }
        // Not before the bit: who was woken and goes away leaves it to wake the next.
        let Some(limit) = slice(deadline) else { return Err(ShmError::TimedOut) };
        sys::futex_wait(word, seen | SLEEPERS, Some(limit));
        // By the clock, and not by how a sleep has ended: signals may come more often than a slice is over.
        if looked.elapsed() >= limit {
            if let Some(got) = steal(inner, word, word.load(Relaxed)) {
                return Ok(got);
            }
            looked = Instant::now();
        }
    }
}

/// Releases the lock, which the caller has.
#[inline]
pub(super) fn release(inner: &Inner, word: &AtomicU32) {
    // In a forked child it is the parent that has it.
    if inner.is_here() && word.swap(0, SeqCst) & SLEEPERS != 0 {
        sys::futex_wake(word, 1);
    }
}

/// A lock that is held until the value is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    inner: &'a Inner,
    word: &'a AtomicU32,
    pub(super) got: Got,
}

impl<'a> Held<'a> {
    #[inline]
    pub(super) fn new(
        inner: &'a Inner,
        word: &'a AtomicU32,
        deadline: Option<Instant>,
    ) -> Result<Held<'a>, ShmError> {
        let got = acquire(inner, word, deadline)?;
        Ok(Held { inner, word, got })
    }

    /// Without a limit of time, for locks that are held for moments only.
    #[inline]
    pub(super) fn short(inner: &'a Inner, word: &'a AtomicU32) -> Held<'a> {
        loop {
            if let Ok(held) = Held::new(inner, word, None) {
                return held;
            }
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        release(self.inner, self.word);
    }
}
