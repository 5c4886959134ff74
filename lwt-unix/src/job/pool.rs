//! [`Pool`]: job threads and the queue that they serve. The module above states what it promises.
//!
//! 1. One lock guards all of [`State`]. No job, no user's drop and no wake-up of a loop runs under it.
//! 2. A worker is *parked*, or *on the way* to the queue (called out of its park, being started, or spinning), or *at
//!    work*. All but the parked are *up*.
//! 3. At most `goal` workers are up. The goal is one per processor; the watch raises it while jobs block, and lowers
//!    it again when there are more at work than processors.
//! 4. One worker at a time is sent for: whoever puts a job into the queue, or takes one and leaves others there,
//!    sends one if none is on the way ([`State::help`]). So a worker that comes soon does the work of many, and no
//!    one pays many wake-ups.
//! 5. A job that is queued will be taken: somebody is on the way, or a worker at work will look at the queue before
//!    it parks or ends, and the watch looks after it if that takes long. If there is no worker and none can be
//!    started, all jobs in the queue fail.
//! 6. A loop that found the queue full is in `turned_away`, once; it is told when the queue is at most half full.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use lwt_core::scheduler::Handle;
use lwt_core::{Error, Promise};
use slab::Slab;

use super::desk;
use super::queue::{Body, Fate, Queue, Ticket};
use super::watch;
use super::worker::{self, Worker};
use crate::main_loop::hooks::guarded;
use crate::spin::Spin;

/// What a pool may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most threads there are at a time. 0 counts as 1.
    pub max_threads: usize,
    /// The most jobs that wait for a thread inside the pool. What comes over it waits on the loop that asked. 0
    /// counts as 1.
    pub max_queued: usize,
    /// How long a thread without work stays.
    pub keep_idle: Duration,
    /// The size of a thread's stack, in bytes.
    pub stack_size: usize,
}

impl Default for Limits {
    /// At most 256 threads, or four for each processor if that is more; 4096 jobs waiting; ten seconds; 2 MiB.
    fn default() -> Limits {
        Limits {
            max_threads: (4 * processors()).max(256),
            max_queued: 4096,
            keep_idle: Duration::from_secs(10),
            stack_size: 2 << 20,
        }
    }
}

/// What a pool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Threads there are.
    pub threads: usize,
    /// Those of them that have no job.
    pub idle: usize,
    /// Jobs that wait in the queue.
    pub queued: usize,
}

/// Job threads, and the queue that they serve. Clones are the same pool.
///
/// Mostly there is one, the process's own ([`pool`](super::pool)). Another one keeps jobs apart that would fill it
/// up. When the last handle is dropped the jobs that wait are still done, and then the threads end.
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
    state: Mutex<State>,
    /// How many jobs are in the queue, for those who spin.
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
    /// Workers that spin: one at most.
    pub(super) spinning: usize,
    /// How many workers may be up.
    pub(super) goal: usize,
    /// How workers spin before they park.
    pub(super) spin: Spin,
    /// Loops that have more jobs than fitted.
    pub(super) turned_away: Vec<Handle>,
    /// Whether the watch is there.
    pub(super) watched: bool,
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
            state: Mutex::new(State {
                queue: Queue::default(),
                limits,
                workers: Slab::new(),
                parked: 0,
                called: 0,
                starting: 0,
                spinning: 0,
                goal: processors(),
                spin: Spin::default(),
                turned_away: Vec::new(),
                watched: false,
                dozing: false,
                closed: false,
            }),
            queued: AtomicUsize::new(0),
            work: Condvar::new(),
            trouble: Condvar::new(),
            processors: processors(),
        });
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
        desk::detach(self, || Ok::<T, Error>(f()))
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
        desk::detach(self, || f().map_err(Into::into))
    }

    /// What the pool may use.
    pub fn limits(&self) -> Limits {
        self.shared.lock().limits
    }

    /// Changes what the pool may use. Threads over the new number end when they have done their job; those that are
    /// idle begin to count their time anew.
    pub fn set_limits(&self, limits: Limits) {
        let told = {
            let mut state = self.shared.lock();
            state.limits = limits;
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
        Stats { threads: state.workers.len(), idle: state.workers.len() - working, queued: state.queue.len() }
    }

    /// Queues a job, and sees to it that a thread comes for it. If there is no room the job comes back, and `home`,
    /// if given, is told when there is some.
    pub(super) fn submit(&self, body: Body, home: Option<&Handle>) -> Result<Ticket, Body> {
        let shared = &self.shared;
        let mut state = shared.lock();
        if state.queue.len() >= state.limits.max_queued.max(1) {
            state.turned_away.extend(home.cloned());
            return Err(body);
        }
        let ticket = state.queue.push(body);
        shared.queued.store(state.queue.len(), Ordering::Relaxed);
        let help = state.help();
        shared.act(state, help);
        Ok(ticket)
    }

    /// Takes a job out of the queue, if no thread has begun it.
    pub(super) fn withdraw(&self, ticket: Ticket) -> Option<Body> {
        let (body, told) = {
            let mut state = self.shared.lock();
            let body = state.queue.remove(ticket);
            self.shared.queued.store(state.queue.len(), Ordering::Relaxed);
            (body, state.room())
        };
        self.shared.tell(told);
        body
    }

    /// Tells this pool from all others, also those that are gone.
    pub(super) fn id(&self) -> u64 {
        self.shared.id
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
                if state.workers.is_empty() {
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

    /// Tells these loops that there is room in the queue.
    pub(super) fn tell(&self, homes: Vec<Handle>) {
        let id = self.id;
        for home in homes {
            // A loop that has ended has no jobs to hand over.
            let _ = home.post(move || desk::hand_over(id));
        }
    }

    /// Not a single thread can be had, so nobody will come for the jobs in the queue.
    fn fail_all(&self, mut state: MutexGuard<'_, State>, error: &Error) {
        let jobs = state.queue.drain();
        self.queued.store(0, Ordering::Relaxed);
        let told = state.room();
        drop(state);
        for job in jobs {
            // What the job holds is dropped with it, and the others are to hear of the error all the same.
            guarded(|| job(Fate::Fail(error.clone())));
        }
        self.tell(told);
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
        if self.queue.is_empty() || self.called + self.starting + self.spinning > 0 {
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
        self.workers.len() - self.parked
    }

    /// How many workers may be up.
    pub(super) fn goal(&self) -> usize {
        self.goal.min(self.limits.max_threads).max(1)
    }

    /// The loops to tell that there is room now, if there is.
    pub(super) fn room(&mut self) -> Vec<Handle> {
        if self.turned_away.is_empty() || self.queue.len() > self.limits.max_queued.max(1) / 2 {
            return Vec::new();
        }
        std::mem::take(&mut self.turned_away)
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

/// Processors that this process may use.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
