//! Bells: how a loop hears of what other processes do in a pool.
//!
//! Each lease has a bell, a word at which a helper thread of its process sleeps: one for each attachment,
//! started by the first promise that has to wait, however many wait after it. Whoever changes something that
//! promises of a process wait for rings its bell; the helper tells the loops, and there everybody who waits
//! tries again.
//!
//! 1. A wait is registered in the loop before the last attempt that precedes it: a ring after that attempt is
//!    heard.
//! 2. A ring wakes all waiters of the process in this pool. Nothing in the shared memory stands for a single
//!    waiter, so one that dies or is cancelled takes nothing with it.
//! 3. While promises wait, the helper lets them try again now and then even without a ring, at least once a
//!    second: whoever should have rung may have died before.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use lwt_core::{Error, Promise, Resolver};
use lwt_unix::notification::{Notification, make_notification_once, send_notification};

use super::error::ShmError;
use super::event::{LONGEST_NAP, SHORTEST_NAP};
use super::layout;
use super::lease::Id;
use super::memory::Memory;
use super::pool::Inner;
use super::sys;

/// What the loops of a process and the helper have in common.
pub(super) struct Bell {
    /// Names the attachment in the loops' tables; never used again.
    number: u64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Somebody waits, or it is time to stop.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whom to tell of the next ring.
    loops: Vec<Notification>,
    helper: bool,
    stop: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// Who waits on this thread's loop for a ring, by the numbers of the bells.
    static WAITING: RefCell<Vec<(u64, Vec<Resolver<()>>)>> = const { RefCell::new(Vec::new()) };
}

impl Default for Bell {
    fn default() -> Bell {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Bell { number: NUMBERS.fetch_add(1, Relaxed), shared: Arc::default() }
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A promise for the next ring. It may also be fulfilled without one.
pub(super) fn next(inner: &Inner) -> Result<Promise<()>, Error> {
    let number = inner.bell.number;
    let (promise, resolver) = lwt_core::task();
    let first = WAITING.with_borrow_mut(|waiting| match waiting.iter_mut().find(|(of, _)| *of == number) {
        Some((_, resolvers)) => {
            resolvers.push(resolver);
            false
        }
        None => {
            waiting.push((number, vec![resolver]));
            true
        }
    });
    if first && let Err(error) = enrol(inner, number) {
        wake(number);
        return Err(error);
    }
    Ok(promise)
}

/// Has this thread's loop told of the next ring.
fn enrol(inner: &Inner, number: u64) -> Result<(), Error> {
    let notification = make_notification_once(move || wake(number))?;
    let mut state = inner.bell.shared.state();
    if !state.helper {
        let (memory, shared) = (inner.memory.clone(), inner.bell.shared.clone());
        let bell = layout::lease(inner.me().index()) + layout::LEASE_BELL;
        // Before the wait is announced, so that no ring is missed.
        let heard = memory.half(bell).load(SeqCst);
        let helper = thread::Builder::new().name("lwt-shm".to_owned()).stack_size(128 << 10);
        helper
            .spawn(move || help(&memory, bell, heard, &shared))
            .map_err(|error| ShmError::System { call: "clone", error })?;
        state.helper = true;
    }
    state.loops.push(notification);
    inner.bell.shared.changed.notify_one();
    Ok(())
}

/// Fulfils all that wait on this loop.
fn wake(number: u64) {
    let found = WAITING.with_borrow_mut(|waiting| {
        let place = waiting.iter().position(|(of, _)| *of == number)?;
        Some(waiting.swap_remove(place).1)
    });
    for resolver in found.into_iter().flatten() {
        resolver.wakeup(());
    }
}

/// The helper's life.
fn help(memory: &Memory, at: u64, mut heard: u32, shared: &Shared) {
    let bell = memory.half(at);
    let (mut nap, mut told) = (SHORTEST_NAP, Instant::now());
    loop {
        let waits = |state: &mut State| state.loops.is_empty() && !state.stop;
        let state = shared.changed.wait_while(shared.state(), waits).unwrap_or_else(PoisonError::into_inner);
        let stop = state.stop;
        drop(state);
        if stop {
            return tell(shared);
        }
        sys::futex_wait(bell, heard, Some(nap));
        let rung = bell.load(SeqCst);
        // By the clock: a signal may have ended the sleep.
        if rung != heard || told.elapsed() >= nap {
            nap = if rung == heard { (2 * nap).min(LONGEST_NAP) } else { SHORTEST_NAP };
            heard = rung;
            tell(shared);
            told = Instant::now();
        }
    }
}

fn tell(shared: &Shared) {
    let loops = std::mem::take(&mut shared.state().loops);
    for notification in loops {
        // A loop that has ended waits for nothing.
        let _ = send_notification(notification);
    }
}

/// Rings the bell of a lease.
pub(super) fn ring(memory: &Memory, index: u32) {
    let bell = memory.half(layout::lease(index) + layout::LEASE_BELL);
    bell.fetch_add(1, SeqCst);
    sys::futex_wake(bell, 1);
}

impl Bell {
    /// Ends the helper.
    pub(super) fn stop(&self, memory: &Memory, id: Id) {
        self.shared.state().stop = true;
        self.shared.changed.notify_one();
        ring(memory, id.index());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::shm::Pool;

    #[test]
    fn a_ring_reaches_the_loop_that_waits() {
        let pool = Pool::create().expect("a pool");
        let (memory, index) = (pool.0.memory.clone(), pool.0.me().index());
        let rung = next(&pool.0).expect("a promise");
        let ringer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            ring(&memory, index);
        });
        lwt_unix::run(rung).expect("rung");
        ringer.join().expect("the ringer");
    }
}
