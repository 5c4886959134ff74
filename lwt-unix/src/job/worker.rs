//! [`Worker`]: one job thread.
//!
//! 1. It is in the table from before it starts until it ends; both are done under the pool's lock.
//! 2. It looks at the queue whenever it is out of work, and parks only with the lock held, when the queue is
//!    empty or enough others are up.
//! 3. It ends when it was parked for too long, when there are too many, or when the pool is closed.
//! 4. All signals are blocked in it but those that a fault of its own raises, so that signal handlers run on
//!    the threads that expect them.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

use super::current;
use super::pool::{Shared, State};
use super::queue::{COMMON, Fate};
use super::sync::{self, MutexGuard};
use super::watch::Name;
use crate::spin::spin;
use crate::sys::signal::FAULTS;

/// What the pool knows of one of its threads.
pub(super) struct Worker {
    /// Counts up when a job begins, and when it ends: odd while there is one.
    pub(super) steps: Arc<AtomicU64>,
    /// The number of the job that it runs, or ran last.
    pub(super) number: u64,
    /// The lane of that job.
    pub(super) lane: usize,
    /// The number of the last of its jobs that was cancelled.
    pub(super) cancelled: Arc<AtomicU64>,
    /// It waits for other jobs: see [`waiting`](current::waiting).
    pub(super) waits: bool,
    /// By what name the system knows it, once it has come up.
    pub(super) name: Option<Name>,
    /// The steps that the watch saw last time.
    pub(super) seen: u64,
    /// How many times the watch saw it in the same job, after the first.
    pub(super) looks: u32,
}

impl Worker {
    fn new(steps: &Arc<AtomicU64>) -> Worker {
        Worker {
            steps: Arc::clone(steps),
            number: 0,
            lane: COMMON,
            cancelled: Arc::default(),
            waits: false,
            name: None,
            seen: 0,
            looks: 0,
        }
    }

    /// Whether it has a job.
    pub(super) fn is_working(&self) -> bool {
        self.steps.load(Ordering::Relaxed) % 2 == 1
    }
}

impl State {
    /// The job of a worker begins to wait for other jobs, or goes on.
    pub(super) fn waits(&mut self, key: usize, begins: bool) {
        let worker = &mut self.workers[key];
        worker.waits = begins;
        self.waiting = if begins { self.waiting + 1 } else { self.waiting - 1 };
        self.queue.waits(worker.lane, begins);
    }
}

/// Starts a worker. The lock is given up meanwhile, and taken again.
pub(super) fn start<'a>(
    shared: &'a Arc<Shared>,
    mut state: MutexGuard<'a, State>,
) -> (MutexGuard<'a, State>, io::Result<()>) {
    let steps = Arc::new(AtomicU64::new(0));
    let key = state.workers.insert(Worker::new(&steps));
    let stack_size = state.limits.stack_size;
    state.starting += 1;
    drop(state);
    let started = spawn("lwt-job", stack_size, {
        let shared = Arc::clone(shared);
        move || work(&shared, key, &steps)
    });
    let mut state = shared.lock();
    if started.is_err() {
        state.starting -= 1;
        state.workers.remove(key);
    }
    (state, started)
}

/// Starts a thread with signals blocked.
pub(super) fn spawn(name: &str, stack_size: usize, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A thread begins with its maker's mask. It would be a race to block them on the new thread.
    let mut mask = SigSet::all();
    for fault in FAULTS {
        mask.remove(Signal::try_from(fault)?);
    }
    // And a profiler's clock is no business of the program.
    mask.remove(Signal::SIGPROF);
    let mut old = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), Some(&mut old))?;
    let started = sync::spawn(name, stack_size, f);
    // It cannot fail with a mask that was in force a moment ago; and the thread is there, or not, all the
    // same.
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&old), None);
    started
}

/// The life of a worker.
fn work(shared: &Arc<Shared>, key: usize, steps: &AtomicU64) {
    let mut state = shared.lock();
    state.starting -= 1;
    state.workers[key].name = Name::of_this_thread();
    let _up = current::come_up(shared, key, Arc::clone(&state.workers[key].cancelled));
    let mut may_spin = true;
    while state.present() <= state.threads() {
        let threads = state.threads();
        let wanted = state.up() <= state.goal();
        if wanted && let Some((ticket, body)) = state.queue.pop(threads) {
            shared.note(&state);
            (state.workers[key].number, state.workers[key].lane) = (ticket.number, ticket.lane);
            let (told, help) = (state.room(), state.help());
            shared.act(state, help);
            shared.tell(told);
            steps.fetch_add(1, Ordering::Relaxed);
            current::runs(ticket.number);
            // The body catches the job's own panics; what may still come is one out of a drop.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(Fate::Run))) {
                // Its drop could be the next.
                std::mem::forget(payload);
            }
            current::runs(0);
            steps.fetch_add(1, Ordering::Relaxed);
            state = shared.lock();
            state.queue.ended(ticket.lane);
            may_spin = true;
            continue;
        }
        if state.closed {
            break;
        }
        if wanted
            && may_spin
            && state.spinning == 0
            && let Some(length) = state.spin.length()
        {
            state.spinning += 1;
            drop(state);
            let found = spin(length, || shared.queued.load(Ordering::Relaxed) > 0);
            state = shared.lock();
            state.spinning -= 1;
            state.spin.ended(found);
            may_spin = false;
            continue;
        }
        if state.queue.is_empty(threads) {
            state.rest(shared.processors);
        }
        let called;
        (state, called) = park(shared, state);
        let idle = !called && (state.queue.is_empty(state.threads()) || state.up() > state.goal());
        if idle && (state.closed || state.workers.len() > state.limits.min_threads) {
            break;
        }
    }
    state.workers.remove(key);
    // It may have been sent for, and end for another reason.
    let help = state.help();
    shared.act(state, help);
}

/// Waits for a call; false if none came for as long as an idle thread stays.
fn park<'a>(shared: &Shared, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, bool) {
    state.parked += 1;
    let begin = Instant::now();
    loop {
        let left = state.limits.keep_idle.saturating_sub(begin.elapsed());
        let waited = shared.work.wait_timeout(state, left);
        let (next, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        state = next;
        if state.called > 0 {
            state.called -= 1;
            state.spin.parked(begin.elapsed());
            return (state, true);
        }
        if state.closed || begin.elapsed() >= state.limits.keep_idle {
            state.parked -= 1;
            return (state, false);
        }
    }
}
