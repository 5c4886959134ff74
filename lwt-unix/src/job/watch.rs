//! The watch: the thread that has more workers come while jobs block.
//!
//! It is called when a job found as many workers up as may be, dozes when no job has waited for some looks,
//! and ends when it was not called for a while.
//!
//! 1. Each [`TICK`] it looks at the workers, if jobs wait. One that is asleep in its job is *blocked*; what
//!    counts is how many were so at two looks, one after the other, lest a moment's wait for a lock be taken
//!    for more. All others may need a processor. (Processor time used would not do for a measure: on a
//!    machine with too much to do everybody uses little, and more threads would make it less.)
//! 2. If fewer than one worker per processor are not blocked, the missing ones may come up, or as many as are
//!    blocked if that is more (so that their number doubles with each look), but no more than jobs wait, and
//!    not over the limit. If there are more, the goal is lowered to one per processor and those that are
//!    blocked.
//! 3. Of many workers it asks the system about some, and takes them for all.
//! 4. Where the system does not tell whether a thread is asleep, a worker counts as blocked in a job after
//!    [`PATIENCE`] looks.
//! 5. A worker that cannot be started is tried again with the next look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pool::{Shared, State};
use super::sync::MutexGuard;
use super::worker;

/// The time between two looks.
const TICK: Duration = Duration::from_millis(1);
/// How many looks it takes without need before it waits to be called.
const ALERT: u32 = 20;
/// The time without a call after which the watch ends.
const KEEP: Duration = Duration::from_secs(5);
/// See rule 3.
const ASKED: usize = 16;
/// See rule 4.
const PATIENCE: u32 = 10;

/// A job waits while as many workers are up as may be: sees to it that somebody watches.
pub(super) fn call<'a>(shared: &'a Arc<Shared>, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    if state.watched {
        if std::mem::take(&mut state.dozing) {
            shared.trouble.notify_one();
        }
        return state;
    }
    (state.watched, state.watch_comes) = (true, true);
    let stack_size = state.limits.stack_size;
    drop(state);
    let started = worker::spawn("lwt-job-watch", stack_size, {
        let shared = Arc::clone(shared);
        move || watch(&shared)
    });
    let mut state = shared.lock();
    if started.is_err() {
        // The workers there are will do all jobs, if in more time; the next job tries again.
        (state.watched, state.watch_comes) = (false, false);
    }
    state
}

/// The life of the watch.
fn watch(shared: &Arc<Shared>) {
    let mut state = shared.lock();
    state.watch_comes = false;
    let (mut asleep, mut needless) = (0, 0);
    loop {
        if state.queue.is_empty(state.threads()) {
            (asleep, needless) = (0, needless + 1);
        } else {
            let before = asleep;
            (state, asleep) = look(shared, state);
            state = decide(shared, state, asleep.min(before));
            needless = 0;
        }
        if needless < ALERT {
            state = wait(shared, state, TICK);
            continue;
        }
        let dozes = Instant::now();
        state.dozing = true;
        while state.dozing && !state.closed && dozes.elapsed() < KEEP {
            state = wait(shared, state, KEEP);
        }
        if state.closed || state.dozing {
            break;
        }
        needless = 0;
    }
    state.watched = false;
    state.dozing = false;
}

fn wait<'a>(shared: &Shared, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    shared.trouble.wait_timeout(state, time).unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

/// Looks at the workers; gives how many are asleep in a job. The lock is given up meanwhile.
fn look<'a>(shared: &'a Shared, mut state: MutexGuard<'a, State>) -> (MutexGuard<'a, State>, usize) {
    let mut candidates = Vec::new();
    for (_, worker) in &mut state.workers {
        let steps = worker.steps.load(Ordering::Relaxed);
        worker.looks = if steps == worker.seen { worker.looks + 1 } else { 0 };
        worker.seen = steps;
        if steps % 2 == 1 && !worker.waits {
            candidates.push((Arc::clone(&worker.steps), steps, worker.name, worker.looks));
        }
    }
    if candidates.is_empty() {
        return (state, 0);
    }
    drop(state);
    let some = candidates.iter().step_by(candidates.len().div_ceil(ASKED));
    let asked = some.len();
    let asleep = some.filter(|(now, steps, name, looks)| {
        let told = name.as_ref().and_then(Name::is_asleep).unwrap_or(*looks >= PATIENCE);
        // Or else it is asleep because it has ended the job.
        told && now.load(Ordering::Relaxed) == *steps
    });
    let asleep = candidates.len() * asleep.count() / asked;
    (shared.lock(), asleep)
}

/// Sets the goal, and has workers come up.
fn decide<'a>(
    shared: &'a Arc<Shared>,
    mut state: MutexGuard<'a, State>,
    blocked: usize,
) -> MutexGuard<'a, State> {
    let at_work = state.up().saturating_sub(blocked);
    if at_work >= shared.processors {
        state.goal = shared.processors + blocked;
        return state;
    }
    let threads = state.threads();
    let room = threads.saturating_sub(state.up()).min(state.queue.len(threads));
    let missing = (shared.processors - at_work).max(blocked).min(room);
    state.goal = state.up() + missing;
    for _ in 0..missing {
        if state.parked > 0 {
            state.parked -= 1;
            state.called += 1;
            shared.work.notify_one();
            continue;
        }
        let (next, started) = worker::start(shared, state);
        state = next;
        if started.is_err() {
            break;
        }
    }
    state
}

/// By what name the system knows a thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name(libc::pid_t);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Name {
    /// The name of the calling thread.
    pub(super) fn of_this_thread() -> Option<Name> {
        Some(Name(nix::unistd::gettid().as_raw()))
    }

    /// Whether the thread waits for something other than a processor, if the system tells.
    fn is_asleep(&self) -> Option<bool> {
        let text = std::fs::read(format!("/proc/self/task/{}/stat", self.0)).ok()?;
        // Number, name in parentheses (which may hold any character), state.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        Some(*text.get(end + 2)? != b'R')
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Name {
    /// None: the system does not tell.
    pub(super) fn of_this_thread() -> Option<Name> {
        None
    }

    /// The system does not tell.
    fn is_asleep(&self) -> Option<bool> {
        None
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::sync::mpsc;

    use super::Name;
    use crate::entry::guarded;

    #[test]
    fn a_thread_that_waits_is_asleep_and_one_that_computes_is_not() {
        guarded("a_thread_that_waits_is_asleep", || {
            let me = Name::of_this_thread().expect("a name");
            assert_eq!(me.is_asleep(), Some(false));
            let (told, name) = mpsc::channel();
            let (go, wait) = mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                let _ = told.send(Name::of_this_thread());
                let _ = wait.recv();
            });
            let name = name.recv().expect("it comes up").expect("a name");
            while name.is_asleep() != Some(true) {
                std::thread::yield_now();
            }
            drop(go);
            thread.join().expect("it ends");
        });
    }
}
