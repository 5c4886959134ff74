//! [`run`]: turning the loop until a promise is resolved. The module above tells what a turn is.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use lwt_core::{Error, Promise, scheduler, spawn};

use super::budget::Pace;
use super::hooks;
use super::runtime::Runtime;
use crate::engine::Wait;
use crate::engine::registration::Direction;
use crate::fd::OsError;
use crate::sys::hook;

/// How many tasks run in a single turn at most.
const SINGLE: usize = 64;

/// The error of a [`run`] inside a [`run`] on the same thread.
///
/// The outer one's turn would never end while the inner one waits for something that only the outer one can
/// do. Await the promise instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NestedRun;

impl fmt::Display for NestedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("run was called inside run, on the same thread")
    }
}

impl std::error::Error for NestedRun {}

/// Turns this thread's main loop until the promise or future is resolved, and returns what it was resolved
/// with (`Lwt_main.run`).
///
/// It takes a [`Promise`], or any future whose output is a `Result`, which is then
/// [spawned](lwt_core::spawn). It may be called again and again; what was pending when it returned goes on
/// the next time. If nothing is left that could resolve the promise on this thread, it waits for other
/// threads to do so, for ever if need be.
///
/// ```
/// use lwt_core::{Error, Promise};
/// assert_eq!(lwt_unix::run(Promise::ready(1)).unwrap(), 1);
/// assert_eq!(lwt_unix::run(async { Ok::<_, Error>(2) }).unwrap(), 2);
/// assert!(lwt_unix::run(Promise::<()>::fail(Error::msg("no"))).is_err());
/// ```
///
/// # Errors
/// What the promise was rejected with; [`NestedRun`] if `run` is already on this thread's stack; the
/// operating system's, if no engine can be made for this thread (`EMFILE`) or polling it fails.
#[track_caller]
pub fn run<T, E, F>(future: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    let runtime = Runtime::current().map_err(|error| explain("cannot make the main loop", error))?;
    let _running = Running::begin(&runtime)?;
    let mut promise = promise_of(future);
    let mut pace = Pace::new(runtime.now());
    while promise.is_pending() {
        turn(&runtime, &mut pace, || !promise.is_pending())
            .map_err(|error| explain("cannot poll the descriptors", error))?;
    }
    match Pin::new(&mut promise).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::msg("a resolved promise did not give its value")),
    }
}

/// Whether [`run`] is on this thread's stack.
///
/// ```
/// assert!(!lwt_unix::is_running());
/// lwt_unix::run(async { Ok::<_, lwt_core::Error>(assert!(lwt_unix::is_running())) }).unwrap();
/// ```
pub fn is_running() -> bool {
    Runtime::existing().is_some_and(|runtime| runtime.running.get())
}

/// How other threads reach this thread's main loop, which is made if there is none. Posting to it fails when
/// the loop has ended, with its thread.
///
/// ```
/// use std::{sync::mpsc, thread};
/// let home = lwt_unix::main_loop::handle().unwrap();
/// let (send, receive) = mpsc::channel();
/// let other = thread::spawn(move || home.post(move || send.send(thread::current().id()).unwrap()));
/// assert!(other.join().unwrap().is_ok());
/// lwt_unix::run(lwt_core::pause()).unwrap();
/// assert_eq!(receive.recv().unwrap(), thread::current().id());
/// ```
///
/// # Errors
/// The operating system's, if no engine can be made for this thread.
pub fn handle() -> Result<scheduler::Handle, Error> {
    Ok(Runtime::current().map_err(|error| explain("cannot make the main loop", error))?.handle())
}

/// The name of this thread's engine, if it has a main loop by now (`Lwt_engine.id`).
///
/// ```
/// assert_eq!(lwt_unix::engine_name(), None);
/// lwt_unix::run(lwt_core::Promise::ready(())).unwrap();
/// assert_eq!(lwt_unix::engine_name(), Some("mio"));
/// ```
pub fn engine_name() -> Option<&'static str> {
    Runtime::existing().map(|runtime| runtime.engine_name())
}

/// What this thread's main loop has to wait for (`Lwt_engine`'s counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoopStats {
    /// Descriptors that are registered with the engine.
    pub descriptors: usize,
    /// Waits for a descriptor to be readable (`Lwt_engine.readable_count`).
    pub reading: usize,
    /// Waits for a descriptor to be writable (`Lwt_engine.writable_count`).
    pub writing: usize,
    /// Timers that somebody waits for (`Lwt_engine.timer_count`).
    pub timers: usize,
    /// Jobs that were asked for and are not answered.
    pub jobs: usize,
}

/// Counts what this thread's main loop has to wait for, to find what was left behind.
///
/// ```
/// use std::time::Duration;
/// let sleep = lwt_unix::sleep(Duration::from_secs(60));
/// assert_eq!(lwt_unix::loop_stats().timers, 1);
/// drop(sleep);
/// assert_eq!(lwt_unix::loop_stats().timers, 0);
/// ```
pub fn loop_stats() -> LoopStats {
    let Some(runtime) = Runtime::existing() else { return LoopStats::default() };
    let sources = runtime.sources();
    let waiting = |direction| sources.iter().map(|source| source.waiting(direction)).sum();
    LoopStats {
        descriptors: sources.len(),
        reading: waiting(Direction::Read),
        writing: waiting(Direction::Write),
        timers: runtime.timers.len(),
        jobs: runtime.jobs.len(),
    }
}

/// Makes this thread's main loop fit to go on in the child after a `fork` ([`fork`](crate::process::fork)
/// does it by itself).
///
/// The kernel's part of the engine is shared with the parent, so that each would take the other's events;
/// this makes the child its own, with the same descriptors registered. A child that does without it must not
/// [`run`]; it may close descriptors, and end, without harm to its parent. Job threads do not come over a
/// fork: jobs that were going on are cancelled, and new ones run on new threads.
///
/// Here nobody sees to it that no other thread was in the middle of something, nor that no signal comes
/// before this call: [`fork`](crate::process::fork) does.
///
/// # Errors
/// The operating system's.
pub fn after_fork() -> Result<(), Error> {
    begin_anew()?;
    Runtime::leave_parent();
    Ok(())
}

/// The first step of [`after_fork`], in which no callback is called.
pub(crate) fn begin_anew() -> Result<(), Error> {
    Runtime::after_fork().map_err(|error| explain("cannot make the main loop anew", error))
}

/// One turn of the loop. It does not block if `done` says that nothing is waited for any more.
fn turn(runtime: &Runtime, pace: &mut Pace, done: impl Fn() -> bool) -> io::Result<()> {
    runtime.section.turn();
    hooks::enter();
    let tasks = scheduler::run_ready(pace.budget());
    let look = pace.spend(tasks);
    if scheduler::has_ready() || scheduler::has_paused() || done() {
        if look {
            busy(runtime, pace, runtime.now())?;
        }
    } else {
        idle(runtime, pace, done)?;
    }
    scheduler::wakeup_paused();
    hooks::leave();
    Ok(())
}

/// One turn that is not one of many. It polls in any case, because nobody knows when the next one is taken;
/// it blocks only if it is to and nothing is to be done. Tasks, and messages of other threads, come after the
/// poll, not before it: they may do what the caller waits for. (So it does not spin for jobs, either, but in
/// a simulation, where to spin is to have one done.)
pub(super) fn single_turn(runtime: &Runtime, block: bool) -> io::Result<()> {
    runtime.section.turn();
    hooks::enter();
    let deadline = runtime.timers.next();
    let busy = !block
        || scheduler::has_ready()
        || scheduler::has_paused()
        || deadline.is_some_and(|deadline| deadline <= runtime.now())
        || hook::is_simulated() && runtime.spin(deadline, || false);
    if busy {
        runtime.poll()?;
    } else {
        runtime.block(deadline.map_or(Wait::Forever, Wait::Until))?;
    }
    runtime.timers.fire(runtime.now());
    scheduler::run_ready(SINGLE);
    scheduler::wakeup_paused();
    hooks::leave();
    Ok(())
}

/// There is work: the engine has its share only if it is due.
fn busy(runtime: &Runtime, pace: &mut Pace, now: Instant) -> io::Result<()> {
    if pace.look(now) {
        runtime.poll()?;
        pace.polled(now);
    }
    runtime.timers.fire(now);
    Ok(())
}

/// There is no work: waits for some. A timer that is due is work, so a loop of short sleeps polls no more
/// often than one of pauses.
fn idle(runtime: &Runtime, pace: &mut Pace, done: impl Fn() -> bool) -> io::Result<()> {
    let deadline = runtime.timers.next();
    if let Some(deadline) = deadline {
        let now = runtime.now();
        if deadline <= now {
            return busy(runtime, pace, now);
        }
    }
    if runtime.spin(deadline, || done() || runtime.timers.next() != deadline) {
        return busy(runtime, pace, runtime.now());
    }
    runtime.block(deadline.map_or(Wait::Forever, Wait::Until))?;
    let now = runtime.now();
    pace.polled(now);
    runtime.timers.fire(now);
    Ok(())
}

/// The mark of a running loop, taken away also when a panic passes.
pub(super) struct Running<'a>(&'a Runtime);

impl<'a> Running<'a> {
    /// # Errors
    /// [`NestedRun`].
    pub(super) fn begin(runtime: &'a Runtime) -> Result<Running<'a>, NestedRun> {
        if runtime.running.replace(true) {
            return Err(NestedRun);
        }
        runtime.section.begin();
        Ok(Running(runtime))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.section.end();
        self.0.running.set(false);
    }
}

/// A promise as it is; any other future spawned.
#[track_caller]
pub(crate) fn promise_of<T, E, F>(future: F) -> Promise<T>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: Into<Error> + 'static,
{
    let mut future = Some(future);
    let promise = (&mut future as &mut dyn Any).downcast_mut::<Option<Promise<T>>>().and_then(Option::take);
    match (promise, future) {
        (Some(promise), _) => promise,
        (None, Some(future)) => spawn(future),
        (None, None) => unreachable!("the future is taken only as a promise"),
    }
}

/// An error of the operating system, or the engine, with what was tried.
pub(super) fn explain(what: &'static str, error: io::Error) -> Error {
    OsError::rejection(what, None, error)
}
