//! [`Pool`]: job threads and the queue that they serve. The module above states what it promises.
//!
//! 1. One lock guards all of [`State`]. No job, no user's drop and no wake-up of a loop runs under it.
//! 2. A worker is *parked*, or *on the way* to the queue (called out of its park, being started, or
//!    spinning), or *at work*. All but the parked are *up*. One whose job [waits](super::waiting) for other
//!    jobs is not even present.
//! 3. At most `goal` workers are up. The goal is one per processor; the watch raises it while jobs block, and
//!    lowers it again when there are more at work than processors. Where nobody watches, because no job
//!    waits, the worker that parks lowers it to one per processor more than are still up ([`State::rest`]): a
//!    burst leaves no trace.
//! 4. One worker at a time is sent for: whoever puts a job into the queue, or takes one and leaves others
//!    there, sends one if none is on the way ([`State::help`]). So a worker that comes soon does the work of
//!    many, and no one pays many wake-ups.
//! 5. A job that is queued will be taken: somebody is on the way, or a worker at work will look at the queue
//!    before it parks or ends, and the watch looks after it if that takes long. If there is no worker and
//!    none can be started, all jobs in the queue fail.
//! 6. A loop that found a lane of the queue full is in `turned_away`, once a lane; it is told when the lane
//!    is at most half full.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use lwt_core::scheduler::Handle;
use lwt_core::{Error, Promise};
use slab::Slab;

use super::call;
use super::desk;
use super::lane::Lane;
use super::limits::{Full, Limits, Stats, processors};
use super::queue::{Body, Fate, Queue, Ticket};
use super::sync::{AtomicUsize, Condvar, Mutex, MutexGuard};
use super::watch;
use super::worker::{self, Worker};
use crate::main_loop::hooks::guarded;
use crate::spin::Spin;

/// Job threads, and the queue that they serve. Clones are the same pool.
///
/// Mostly there is one, the process's own ([`pool`](super::pool)). Another one keeps jobs apart that would
/// fill it up. When the last handle is dropped the jobs that wait are still done, and then the threads end.
///
/// ```
/// use lwt_unix::job::{Limits, Pool};
/// let pool = Pool::new(Limits { max_threads: 2, ..Limits::default() });
/// assert_eq!(lwt_unix::run(pool.detach(|| 6 * 7)).unwrap(), 42);
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
    /// Dropped with the last handle.
    _owner: Arc<Owner>,
}

/// Closes the pool when it is dropped.
struct Owner(Arc<Shared>);

pub(super) struct Shared {
    /// Tells this pool from all others, also those that are gone.
    id: u64,
    /// In which process it was made: see [`forks`](super::call::forks).
    forks: u64,
    state: Mutex<State>,
    /// How many jobs in the queue may run, for those who spin.
    pub(super) queued: AtomicUsize,
    /// Parked workers wait here.
    pub(super) work: Condvar,
    /// The watch waits here.
    pub(super) trouble: Condvar,
    /// Threads that may be busy computing; more are of use only to block.
    pub(super) processors: usize,
}

pub(super) struct State {
    pub(super) queue: Queue,
    pub(super) limits: Limits,
    /// All threads there are, and those that are being started.
    pub(super) workers: Slab<Worker>,
    /// Workers that are parked and not called.
    pub(super) parked: usize,
    /// Workers that are called, and have not noticed yet.
    pub(super) called: usize,
    /// Workers that are being started.
    pub(super) starting: usize,
    /// Workers whose job waits for other jobs.
    pub(super) waiting: usize,
    /// Workers that spin: one at most.
    pub(super) spinning: usize,
    /// How many workers may be up.
    pub(super) goal: usize,
    /// How workers spin before they park.
    pub(super) spin: Spin,
    /// Loops that have more jobs than fitted, with the lane.
    pub(super) turned_away: Vec<(usize, Handle)>,
    /// Whether the watch is there.
    pub(super) watched: bool,
    /// Whether it is being started.
    pub(super) watch_comes: bool,
    /// Whether the watch is there and has to be called when it is needed.
    pub(super) dozing: bool,
    /// The last handle is gone.
    pub(super) closed: bool,
}

impl Pool {
    /// A pool without threads, yet.
    pub fn new(limits: Limits) -> Pool {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let shared = Arc::new(Shared {
            id: POOLS.fetch_add(1, Ordering::Relaxed),
            forks: call::forks(),
            state: Mutex::new(State {
                queue: Queue::default(),
                limits,
                workers: Slab::new(),
                parked: 0,
                called: 0,
                starting: 0,
                waiting: 0,
                spinning: 0,
                goal: processors(),
                spin: Spin::near(),
                turned_away: Vec::new(),
                watched: false,
                watch_comes: false,
                dozing: false,
                closed: false,
            }),
            queued: AtomicUsize::new(0),
            work: Condvar::new(),
            trouble: Condvar::new(),
            processors: processors(),
        });
        {
            let mut all = all();
            all.retain(|pool| pool.strong_count() > 0);
            all.push(Arc::downgrade(&shared));
        }
        Pool { _owner: Arc::new(Owner(Arc::clone(&shared))), shared }
    }

    /// Runs `f` on a thread of this pool. See [`detach`](super::detach).
    ///
    /// # Errors
    /// As [`detach`](super::detach).
    #[track_caller]
    pub fn detach<T, F>(&self, f: F) -> Promise<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        desk::detach(Lane::common(self), || Ok::<T, Error>(f()))
    }

    /// Runs `f` on a thread of this pool. See [`detach_result`](super::detach_result).
    ///
    /// # Errors
    /// As [`detach_result`](super::detach_result).
    #[track_caller]
    pub fn detach_result<T, E, F>(&self, f: F) -> Promise<T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        desk::detach(Lane::common(self), || f().map_err(Into::into))
    }

    /// [`detach`](Pool::detach), unless the queue is full: for those who would rather do something else than
    /// wait.
    ///
    /// ```
    /// use lwt_unix::job::{Limits, Pool};
    /// let pool = Pool::new(Limits { max_threads: 1, max_queued: 1, ..Limits::default() });
    /// let (go, wait) = std::sync::mpsc::channel::<()>();
    /// let busy = pool.detach(move || wait.recv().is_err());
    /// while pool.stats().queued > 0 {}
    /// let queued = pool.try_detach(|| 1).unwrap();
    /// let refused = pool.try_detach(|| 2).unwrap_err();
    /// assert_eq!(refused.0(), 2);
    /// drop(go);
    /// assert_eq!(lwt_unix::run(lwt_core::both(busy, queued)).unwrap(), (true, 1));
    /// ```
    ///
    /// # Errors
    /// [`Full`] gives `f` back. The promise's errors are those of [`detach`](super::detach).
    #[track_caller]
    pub fn try_detach<T, F>(&self, f: F) -> Result<Promise<T>, Full<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // Where it can be found again: the job is dropped when it is refused.
        let place = Arc::new(Mutex::new(Some(f)));
        let take = |place: &Mutex<Option<F>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let inside = Arc::clone(&place);
        let job = move || take(&inside).map(|f| f()).ok_or_else(Error::canceled);
        match desk::try_detach(Lane::common(self), job) {
            Some(promise) => Ok(promise),
            None => {
                Err(Full(take(&place).unwrap_or_else(|| unreachable!("a job that was refused did not run"))))
            }
        }
    }

    /// Whether the two are handles of one pool.
    pub fn is(&self, other: &Pool) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What the pool may use.
    pub fn limits(&self) -> Limits {
        self.shared.lock().limits
    }

    /// Changes what the pool may use. Threads over the new number end when they have done their job; those
    /// that are idle begin to count their time anew.
    pub fn set_limits(&self, limits: Limits) {
        self.update(|old| *old = limits);
    }

    /// [`set_limits`](Pool::set_limits) for some of them.
    pub(super) fn update(&self, change: impl FnOnce(&mut Limits)) {
        let told = {
            let mut state = self.shared.lock();
            change(&mut state.limits);
            state.called += std::mem::take(&mut state.parked);
            state.room()
        };
        self.shared.work.notify_all();
        self.shared.trouble.notify_one();
        self.shared.tell(told);
    }

    /// What the pool is doing.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        let working = state.workers.iter().filter(|(_, worker)| worker.is_working()).count();
        Stats {
            threads: state.workers.len(),
            idle: state.workers.len() - working,
            queued: state.queue.all_waiting(),
        }
    }

    /// Queues a job, and sees to it that a thread comes for it. If there is no room the job comes back, and
    /// `home`, if given, is told when there is some.
    pub(super) fn submit(&self, lane: usize, body: Body, home: Option<&Handle>) -> Result<Ticket, Body> {
        let shared = &self.shared;
        let mut state = shared.lock();
        if state.queue.waiting(lane) >= state.limits.max_queued.max(1) {
            state.turned_away.extend(home.map(|home| (lane, home.clone())));
            return Err(body);
        }
        let ticket = state.queue.push(lane, body);
        shared.note(&state);
        let help = state.help();
        shared.act(state, help);
        Ok(ticket)
    }

    /// Takes a job out of the queue, if no thread has begun it; else it may hear of it ([`is_cancelled`]).
    ///
    /// [`is_cancelled`]: super::is_cancelled
    pub(super) fn withdraw(&self, ticket: Ticket) -> Option<Body> {
        let (body, told) = {
            let mut state = self.shared.lock();
            let body = state.queue.remove(ticket);
            if body.is_none()
                && let Some((_, worker)) =
                    state.workers.iter().find(|(_, worker)| worker.number == ticket.number)
            {
                worker.cancelled.store(ticket.number, Ordering::Release);
            }
            self.shared.note(&state);
            (body, state.room())
        };
        self.shared.tell(told);
        body
    }

    /// Tells this pool from all others, also those that are gone.
    pub(super) fn id(&self) -> u64 {
        self.shared.id
    }

    /// Whether its threads are those of a process that this one was forked from.
    pub(super) fn is_foreign(&self) -> bool {
        self.shared.forks != call::forks()
    }

    /// Makes a lane: see [`Queue::add_lane`].
    pub(super) fn add_lane(&self, bound: usize) -> usize {
        self.shared.lock().queue.add_lane(bound)
    }

    /// Nobody has a handle on this lane any more.
    pub(super) fn leave(&self, lane: usize) {
        self.shared.lock().queue.leave(lane);
    }
}

impl Shared {
    /// Sends somebody for the jobs in the queue.
    pub(super) fn act(self: &Arc<Self>, state: MutexGuard<'_, State>, help: Help) {
        match help {
            Help::Nobody => {}
            Help::Parked => {
                drop(state);
                self.work.notify_one();
            }
            Help::New => {
                let (mut state, started) = worker::start(self, state);
                let Err(error) = started else { return };
                if state.present() == 0 {
                    self.fail_all(state, &error.into());
                } else if state.help() == Help::Parked {
                    // It parked while this one was expected to come.
                    drop(state);
                    self.work.notify_one();
                }
            }
            Help::Watch => drop(watch::call(self, state)),
        }
    }

    /// The job of a worker waits for other jobs.
    pub(super) fn begin_waiting(self: &Arc<Self>, key: usize) {
        let mut state = self.lock();
        state.waits(key, true);
        self.note(&state);
        let help = state.help();
        self.act(state, help);
    }

    /// It goes on.
    pub(super) fn end_waiting(&self, key: usize) {
        let mut state = self.lock();
        state.waits(key, false);
        self.note(&state);
    }

    /// Tells these loops that there is room in the queue.
    pub(super) fn tell(&self, homes: Vec<(usize, Handle)>) {
        let id = self.id;
        for (lane, home) in homes {
            // A loop that has ended has no jobs to hand over.
            let _ = home.post(move || desk::hand_over((id, lane)));
        }
    }

    /// Not a single thread can be had, so nobody will come for the jobs in the queue.
    fn fail_all(&self, mut state: MutexGuard<'_, State>, error: &Error) {
        let jobs = state.queue.drain();
        self.note(&state);
        let told = state.room();
        drop(state);
        for job in jobs {
            // What the job holds is dropped with it, and the others are to hear of the error all the same.
            guarded(|| job(Fate::Fail(error.clone())));
        }
        self.tell(told);
    }

    /// Tells those who spin how many jobs there are.
    pub(super) fn note(&self, state: &State) {
        self.queued.store(state.queue.len(state.threads()), Ordering::Relaxed);
    }

    /// The state. No job runs under the lock, so a panic there is not the state's.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Who is to come for the jobs in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Help {
    /// Nobody more.
    Nobody,
    /// A parked worker, which is called already: only the wake-up is missing.
    Parked,
    /// A new worker.
    New,
    /// Nobody now; the watch is to look whether more are needed.
    Watch,
}

impl State {
    /// Who is to come, now that jobs may be in the queue.
    pub(super) fn help(&mut self) -> Help {
        if self.queue.is_empty(self.threads()) || self.called + self.starting + self.spinning > 0 {
            return Help::Nobody;
        }
        if self.up() >= self.goal() {
            return if self.up() < self.limits.max_threads { Help::Watch } else { Help::Nobody };
        }
        if self.parked > 0 {
            self.parked -= 1;
            self.called += 1;
            return Help::Parked;
        }
        Help::New
    }

    /// How many workers are up: at work, or on the way.
    pub(super) fn up(&self) -> usize {
        self.present() - self.parked
    }

    /// How many workers count.
    pub(super) fn present(&self) -> usize {
        self.workers.len() - self.waiting
    }

    /// How many workers may be up.
    pub(super) fn goal(&self) -> usize {
        self.goal.min(self.threads())
    }

    /// How many workers there may be.
    pub(super) fn threads(&self) -> usize {
        self.limits.max_threads.max(1)
    }

    /// A worker parks, or ends, while no job waits: those that are up may all be blocked, but there are no
    /// more.
    pub(super) fn rest(&mut self, processors: usize) {
        self.goal = self.goal.min((processors + self.up()).saturating_sub(1));
    }

    /// The loops to tell that there is room now, if there is.
    pub(super) fn room(&mut self) -> Vec<(usize, Handle)> {
        let half = self.limits.max_queued.max(1) / 2;
        let queue = &self.queue;
        self.turned_away.extract_if(.., |(lane, _)| queue.waiting(*lane) <= half).collect()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
        self.0.trouble.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Pool")
            .field("threads", &stats.threads)
            .field("idle", &stats.idle)
            .field("queued", &stats.queued)
            .field("limits", &self.limits())
            .finish()
    }
}

/// How many jobs go on, or wait for a thread, in all pools of this process; and how many threads are being
/// started.
pub(crate) fn working() -> (usize, usize) {
    let pools: Vec<_> = all().iter().filter_map(Weak::upgrade).collect();
    let own = pools.iter().filter(|pool| pool.forks == call::forks());
    own.fold((0, 0), |(jobs, threads), pool| {
        let state = pool.lock();
        let working = state.workers.iter().filter(|(_, worker)| worker.is_working()).count();
        let comes = state.starting + usize::from(state.watch_comes);
        (jobs + state.queue.all_waiting() + working, threads + comes)
    })
}

/// Calls `f` with no pool's lock in the hands of another thread: for a fork.
pub(crate) fn still<R>(mut f: impl FnMut() -> R) -> R {
    fn under<R>(pools: &[Arc<Shared>], f: &mut dyn FnMut() -> R) -> R {
        let Some((pool, others)) = pools.split_first() else { return f() };
        let _locked = pool.lock();
        under(others, f)
    }
    let all = all();
    let pools: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
    let own: Vec<_> = pools.into_iter().filter(|pool| pool.forks == call::forks()).collect();
    under(&own, &mut f)
}

/// All pools there are.
fn all() -> std::sync::MutexGuard<'static, Vec<Weak<Shared>>> {
    static ALL: std::sync::Mutex<Vec<Weak<Shared>>> = std::sync::Mutex::new(Vec::new());
    ALL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(all(test, loom))]
mod models;
