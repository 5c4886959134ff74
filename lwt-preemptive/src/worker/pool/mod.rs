//! [`Pool`]: warm workers that do one job after the other (Netplex's workload management, and what
//! Netmulticore leaves to its users).
//!
//! Starting a worker for each call costs a fraction of a millisecond; handing a job to one that is there, and
//! getting the result back, a few microseconds. So a pool starts its workers first, replaces those that end,
//! and hands jobs to them through memory that they share with the program.
//!
//! ```standalone_crate
//! use lwt_preemptive::worker::pool::{Options, Pool};
//!
//! fn collatz(mut number: u64) -> u32 {
//!     let mut steps = 0;
//!     while number != 1 {
//!         number = if number % 2 == 0 { number / 2 } else { 3 * number + 1 };
//!         steps += 1;
//!     }
//!     steps
//! }
//!
//! lwt_preemptive::main! {
//!     workers [collatz];
//!     async fn main() -> Result<(), lwt_core::Error> {
//!         let pool = Pool::new(Options::new().workers(2))?;
//!         assert_eq!(pool.submit(collatz, 27).await?, 111);
//!         // Ten at a time, results in order.
//!         let steps = pool.map(collatz, 1..1000, 10).await?;
//!         assert_eq!((steps.len(), steps[26]), (999, 111));
//!         pool.shutdown(std::time::Duration::from_secs(1)).await
//!     }
//! }
//! ```
//!
//! # What may be relied on
//! 1. *Each job is answered once*: by its result, by a panic's message, by what became of its worker, by a
//!    cancel, or by the end of the pool ([`WorkerFailure`](super::WorkerFailure), [`PoolError`]).
//! 2. *No job is begun twice*, unless that was [asked for](Call::retry); and then an [event](Event::Retried)
//!    tells of it. A job that waits for a worker which ends goes to another one: it had not begun.
//! 3. *Order.* Jobs are begun in the order in which they were handed in, as far as they wait in the queue;
//!    they end in any order, and [`map`](Pool::map) puts results back in order.
//! 4. *Workers are replaced*: at once if one fails, and after a growing while if they fail in a row, until
//!    the pool gives up and is [broken](PoolError::Broken).
//! 5. *The end is bounded.* [`shutdown`](Pool::shutdown) takes as long as it may; the last handle's drop and
//!    the exit hooks of the loop do the same by the [options](Options::drain). However the program ends,
//!    nothing of its workers is left.
//!
//! A job runs on its worker's main thread, with what its predecessors have left behind there: statics, open
//! files, memory. [Recycling](Options::recycle_after) bounds that. Long arguments and results lie in memory
//! that is used again: of what nobody reads any more a worker keeps up to 256 MiB in each direction, and the
//! rest goes back to the system.
//!
//! In a child made by `fork` a pool takes no jobs ([`PoolError::Foreign`]), and nothing that the child does
//! with what it has of it reaches the parent's.
//!
//! Files: `desk`, the rules, and `books`, its table; `seat`, one worker; `serve`, the worker's side and the
//! messages; `call`; `filled` and `in_place`, for long results; `end`; `options`; `report`.

mod books;
mod call;
mod desk;
mod end;
mod filled;
mod in_place;
mod options;
mod report;
mod seat;
pub(super) mod serve;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::stream::Stream;
use lwt_core::{Error, Promise, spawn};
use lwt_unix::exit_hooks;
use lwt_unix::main_loop::add_arrivals;
use lwt_unix::process::Pid;

pub use self::call::Call;
use self::desk::Desk;
pub use self::filled::{ArchivedFilled, Filled, Number};
pub use self::in_place::InPlace;
pub use self::options::{Full, OnCancel, Options, PoolError};
pub use self::report::{Event, Stats};
pub use self::serve::is_cancelled;
use super::Process;

/// A pool of warm workers. Clones are the same pool. See the [module's documentation](self).
#[derive(Clone)]
pub struct Pool(Rc<Handle>);

/// Its drop is that of the last handle.
struct Handle(Rc<Desk>);

impl Drop for Handle {
    fn drop(&mut self) {
        if lwt_unix::engine_name().is_none() {
            // The loop has ended, and its workers with it.
            return;
        }
        let desk = Rc::clone(&self.0);
        let time = desk.options.drain;
        drop(spawn(end::close(desk, time)));
    }
}

impl Pool {
    /// Makes a pool, and starts its workers. They come to be beside the loop; jobs may be handed in at once.
    ///
    /// # Errors
    /// The operating system's, if this thread has no main loop and none can be made, or no descriptors are
    /// left.
    pub fn new(options: Options) -> Result<Pool, Error> {
        let desk = Desk::new(options);
        *desk.arriving.borrow_mut() = Some(add_arrivals(desk.clone())?);
        let weak = Rc::downgrade(&desk);
        let hook = exit_hooks().add_first(move || async move {
            match weak.upgrade() {
                Some(desk) => {
                    let time = desk.options.drain;
                    end::close(desk, time).await
                }
                None => Ok(()),
            }
        });
        *desk.hook.borrow_mut() = Some(hook);
        desk.with(|books| desk.pump(books));
        Ok(Pool(Rc::new(Handle(desk))))
    }

    fn desk(&self) -> &Rc<Desk> {
        &self.0.0
    }

    /// Hands a job in: some worker will call `function`, which has to be [listed](super::init), with this
    /// argument.
    ///
    /// If all workers have enough to do, the job waits in the queue. None is refused for that: whoever makes
    /// jobs faster than they are done waits for [`room`](Pool::room), or uses [`map`](Pool::map).
    ///
    /// Cancelling the promise rejects it at once. A job that has not begun never does; for one that has, see
    /// [`OnCancel`]. Dropping the promise cancels nothing.
    ///
    /// # Errors
    /// A [`WorkerFailure`](super::WorkerFailure): the function panicked, its worker ended, a value could not
    /// be written or read, the function is not listed. A [`PoolError`].
    #[track_caller]
    pub fn submit<F: Process<M>, M>(&self, function: F, argument: F::Argument) -> Promise<F::Output> {
        self.call().submit(function, argument)
    }

    /// [`submit`](Pool::submit), unless the queue is full.
    ///
    /// # Errors
    /// [`Full`], with the argument.
    ///
    /// ```standalone_crate
    /// use lwt_preemptive::worker::pool::{Full, Options, Pool};
    ///
    /// fn square(number: u64) -> u64 {
    ///     number * number
    /// }
    ///
    /// lwt_preemptive::main! {
    ///     workers [square];
    ///     async fn main() -> Result<(), lwt_core::Error> {
    ///         let pool = Pool::new(Options::new().workers(1).queue(1))?;
    ///         let first = pool.submit(square, 3);
    ///         let second = match pool.try_submit(square, 4) {
    ///             Ok(second) => second,
    ///             Err(Full(number)) => {
    ///                 pool.room().await?;
    ///                 pool.submit(square, number)
    ///             }
    ///         };
    ///         assert_eq!((first.await?, second.await?), (9, 16));
    ///         Ok(())
    ///     }
    /// }
    /// ```
    #[track_caller]
    pub fn try_submit<F: Process<M>, M>(
        &self,
        function: F,
        argument: F::Argument,
    ) -> Result<Promise<F::Output>, Full<F::Argument>> {
        self.call().try_submit(function, argument)
    }

    /// A job about which more is to be said.
    ///
    /// ```standalone_crate
    /// use lwt_preemptive::worker::{self, WorkerFailure};
    /// use lwt_preemptive::worker::pool::{Options, Pool};
    ///
    /// fn dies(_: ()) {
    ///     std::process::abort();
    /// }
    ///
    /// lwt_preemptive::main! {
    ///     workers [dies];
    ///     async fn main() {
    ///         let pool = Pool::new(Options::new().workers(1)).unwrap();
    ///         let error = pool.call().retry(1).submit(dies, ()).await.unwrap_err();
    ///         assert!(matches!(error.downcast_ref(), Some(WorkerFailure::Signal { .. })));
    ///         assert_eq!(pool.stats().retried, 1);
    ///     }
    /// }
    /// ```
    pub fn call(&self) -> Call<'_> {
        Call::new(self)
    }

    /// Hands in a job for each of `arguments`, at most `bound` of them at a time; resolved with all results,
    /// in the order of the arguments, which are taken as they are needed.
    ///
    /// A cancel cancels the jobs that are not answered.
    ///
    /// # Errors
    /// The first that comes, when the jobs that were handed in have ended; no more are handed in.
    #[track_caller]
    pub fn map<F: Process<M>, M: 'static, I>(
        &self,
        function: F,
        arguments: I,
        bound: usize,
    ) -> Promise<Vec<F::Output>>
    where
        I: IntoIterator<Item = F::Argument, IntoIter: 'static>,
    {
        let pool = self.clone();
        lwt_core::list::map_n(bound.max(1), arguments, move |argument| pool.submit(function, argument))
    }

    /// Resolved when the queue has room, or the pool takes no more jobs: for whoever makes jobs in a loop.
    pub fn room(&self) -> Promise<()> {
        let desk = self.desk();
        desk.with(|books| books.room(desk.options.bound))
    }

    fn is_full(&self) -> bool {
        let desk = self.desk();
        desk.with(|books| books.queued >= desk.options.bound)
    }

    /// What the pool has, and what it has done so far.
    pub fn stats(&self) -> Stats {
        self.desk().with(|books| books.stats())
    }

    /// The processes that are there.
    pub fn pids(&self) -> Vec<Pid> {
        self.desk().with(|books| books.seats().filter_map(|seat| seat.pid).collect())
    }

    /// What the pool and its jobs tell, to the pool's end. Each call gives another handle on the same stream.
    ///
    /// The stream keeps up to 1024 events. When nobody reads them nobody is held up: what comes is dropped,
    /// and [told of](Event::Lost) when there is room again.
    pub fn events(&self) -> Stream<Event> {
        self.desk().events.0.share()
    }

    /// Resolved when no job is left: not in the queue, and not with a worker. The pool goes on to take jobs.
    pub fn drain(&self) -> Promise<()> {
        self.desk().with(|books| books.drained())
    }

    /// Ends the pool. It takes no more jobs from now on. Those that it has may go on for this time; what is
    /// left then is rejected with [`PoolError::Closed`]. Workers that have nothing to do are told to end, and
    /// killed if they do not within the [grace time](Options::grace); others are killed at once. Resolved
    /// when nothing is left.
    ///
    /// A second call waits for the same end, but no longer for the jobs than it says itself. A cancel only
    /// stops the waiting.
    pub fn shutdown(&self, time: Duration) -> Promise<()> {
        spawn(end::close(Rc::clone(self.desk()), time)).protected()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
