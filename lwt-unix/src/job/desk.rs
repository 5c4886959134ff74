//! [`Desk`]: the loop's side of jobs. It keeps the resolvers, which may not leave their thread, while the
//! jobs are away.
//!
//! 1. A job that was asked for has a row until its promise is resolved. A row has a serial number, which is
//!    never given again; the message with the outcome names row and number, so the outcome of a job whose
//!    promise was cancelled finds nothing.
//! 2. A row's job waits here (`overflow`), waits in the pool's queue, or has been begun. In the first two
//!    cases a cancel takes it back and drops it; in the last it only takes the row away.
//! 3. Jobs over the queue's bound wait here in their order. While any do, later ones for the same lane of the
//!    same pool wait behind them, and the pool has us on its list of those to tell of room (`asked`).
//! 4. When the loop ends, jobs that have not been begun are taken back, and the promises of all are
//!    abandoned.
//! 5. An idle loop with jobs away spins a moment for their outcomes before it blocks, while that pays
//!    (`main_loop::arrivals`).
//! 6. In a simulation all jobs wait here. An idle loop has the first one done, and waits for it
//!    ([`Desk::perform`]).
//! 7. No cell is borrowed while a promise is resolved or a job dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_core::scheduler::Handle;
use lwt_core::{Error, Promise, Resolver, task};
use slab::Slab;

use super::current;
use super::lane::Lane;
use super::queue::{Body, Fate, Ticket};
use crate::faults;
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;
use crate::sys::hook;

/// The jobs that one thread's loop has asked for.
pub(crate) struct Desk {
    /// How the job threads reach this loop.
    handle: Handle,
    rows: RefCell<Slab<Row>>,
    serial: Cell<u64>,
    /// Jobs over the bound, by lane and serial number.
    overflow: RefCell<BTreeMap<(LaneId, u64), Waiting>>,
    /// The lanes that will tell us of room.
    asked: RefCell<BTreeSet<LaneId>>,
    /// Those who wait for the end of all jobs up to some serial number, and how many of these are left.
    enders: RefCell<Vec<(u64, usize, Resolver<()>)>>,
}

/// Pool and lane: see [`Lane::id`].
type LaneId = (u64, usize);

struct Row {
    serial: u64,
    lane: Lane,
    /// `None` while the job waits here.
    ticket: Option<Ticket>,
    /// A `Resolver<T>`; only the outcome's message knows `T`.
    resolver: Box<dyn Asker>,
}

/// Whoever waits for a job.
trait Asker: Any {
    fn reject(self: Box<Self>, error: Error);
}

impl<T: 'static> Asker for Resolver<T> {
    fn reject(self: Box<Self>, error: Error) {
        self.wakeup_err(error);
    }
}

struct Waiting {
    key: usize,
    body: Body,
}

impl Desk {
    /// A desk of the thread whose messages go to `handle`.
    pub(crate) fn new(handle: Handle) -> Desk {
        Desk {
            handle,
            rows: RefCell::default(),
            serial: Cell::new(0),
            overflow: RefCell::default(),
            asked: RefCell::default(),
            enders: RefCell::default(),
        }
    }

    /// How other threads reach the loop.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How many jobs are asked for and not answered.
    pub(crate) fn len(&self) -> usize {
        self.rows.borrow().len()
    }

    /// How many jobs wait here, because the queue is full.
    pub(super) fn held_back(&self) -> usize {
        self.overflow.borrow().len()
    }

    /// In a simulation: the first of the jobs is done, while the loop stands still. False if there is none.
    pub(crate) fn perform(&self) -> bool {
        let first = {
            let mut overflow = self.overflow.borrow_mut();
            let place = overflow.keys().min_by_key(|(_, serial)| *serial).copied();
            place.and_then(|place| Some((place, overflow.remove(&place)?)))
        };
        let Some((place, Waiting { key, body })) = first else { return false };
        let lane = self.rows.borrow().get(key).map(|row| row.lane.clone());
        let Some(lane) = lane else { return true };
        let (done, over) = mpsc::channel::<()>();
        let body: Body = Box::new(move |fate| {
            // Dropped when the outcome is on its way, or with a job that is not to be.
            let _done = done;
            body(fate);
        });
        match self.offer(&lane, key, place.1, body, true) {
            None => drop(over.recv()),
            // Other loops have filled the pool's queue.
            Some(body) => {
                self.overflow.borrow_mut().insert(place, Waiting { key, body });
                thread::sleep(Duration::from_millis(1));
            }
        }
        true
    }

    /// The end of the loop: see rule 4.
    pub(crate) fn end(&self) {
        let overflow = self.overflow.take();
        let rows = self.rows.take();
        for (_, row) in &rows {
            if let Some(ticket) = row.ticket {
                discard(row.lane.pool().withdraw(ticket));
            }
        }
        for (_, waiting) in overflow {
            discard(Some(waiting.body));
        }
        drop(rows);
    }

    /// Hands a job to its pool, or has it wait here. Its row is there.
    /// False, and the job is dropped, if it would have to wait here and that is not wanted.
    fn submit(&self, lane: &Lane, key: usize, serial: u64, body: Body, may_wait: bool) -> bool {
        let id = lane.id();
        let (behind, simulated) = (self.is_behind(id), hook::is_simulated());
        let refused =
            if behind || simulated { Some(body) } else { self.offer(lane, key, serial, body, may_wait) };
        let Some(body) = refused else { return true };
        if may_wait || simulated {
            self.overflow.borrow_mut().insert((id, serial), Waiting { key, body });
        }
        may_wait || simulated
    }

    /// Whether jobs for this lane wait here.
    fn is_behind(&self, id: LaneId) -> bool {
        self.overflow.borrow().range((id, 0)..=(id, u64::MAX)).next().is_some()
    }

    /// Hands a job to its pool; if there is no room it comes back, and the pool will tell us when there is,
    /// if it is to.
    fn offer(&self, lane: &Lane, key: usize, serial: u64, body: Body, tell: bool) -> Option<Body> {
        let ask = tell && !self.asked.borrow().contains(&lane.id());
        match lane.pool().submit(lane.key(), body, ask.then_some(&self.handle)) {
            Ok(ticket) => {
                if let Some(row) = self.rows.borrow_mut().get_mut(key).filter(|row| row.serial == serial) {
                    row.ticket = Some(ticket);
                }
                None
            }
            Err(body) => {
                if ask {
                    self.asked.borrow_mut().insert(lane.id());
                }
                Some(body)
            }
        }
    }

    /// Ends a row. Whoever gets it tells [`Desk::ended`] when it has resolved its promise.
    fn take(&self, key: usize, serial: u64) -> Option<Row> {
        let mut rows = self.rows.borrow_mut();
        rows.get(key).filter(|row| row.serial == serial)?;
        Some(rows.remove(key))
    }

    /// The promise of this job is resolved: tells those who wait for the end of all jobs.
    fn ended(&self, serial: u64) {
        if self.enders.borrow().is_empty() {
            return;
        }
        for (before, left, _) in self.enders.borrow_mut().iter_mut() {
            *left -= usize::from(serial < *before);
        }
        let done: Vec<_> = self.enders.borrow_mut().extract_if(.., |(_, left, _)| *left == 0).collect();
        for (_, _, resolver) in done {
            resolver.wakeup(());
        }
    }

    /// The promise of a job was cancelled.
    fn cancelled(&self, key: usize, serial: u64) {
        let Some(row) = self.take(key, serial) else { return };
        self.take_back(&row);
        drop(row);
        self.ended(serial);
    }

    /// Drops the job of a row that was ended, if it has not begun.
    fn take_back(&self, row: &Row) {
        discard(match row.ticket {
            Some(ticket) => row.lane.pool().withdraw(ticket),
            None => {
                self.overflow.borrow_mut().remove(&(row.lane.id(), row.serial)).map(|waiting| waiting.body)
            }
        });
    }

    /// Rejects the promises of all jobs asked for so far: see [`abort_jobs`](super::abort_jobs).
    pub(super) fn abort(&self, error: &Error) {
        let rows: Vec<_> = self.rows.borrow().iter().map(|(key, row)| (key, row.serial)).collect();
        for (key, serial) in rows {
            // One promise's callbacks may have ended the next job.
            let Some(row) = self.take(key, serial) else { continue };
            self.take_back(&row);
            row.resolver.reject(error.clone());
            self.ended(serial);
        }
    }

    /// The end of all jobs asked for so far.
    pub(super) fn wait(&self) -> Promise<()> {
        let left = self.len();
        if left == 0 {
            return Promise::ready(());
        }
        let (promise, resolver) = task();
        self.enders.borrow_mut().push((self.serial.get(), left, resolver));
        promise
    }

    /// In a forked child, whose parent has all the threads: cancels the promises. What the jobs hold, and the
    /// pools, are left alone, because a lock of theirs may have been held at the time of the fork.
    pub(crate) fn after_fork(&self) {
        mem::forget(self.overflow.take());
        self.asked.take();
        let rows = self.rows.take();
        let enders = self.enders.take();
        for (_, Row { lane, resolver, .. }) in rows {
            mem::forget(lane);
            resolver.reject(Error::canceled());
        }
        for (_, _, resolver) in enders {
            resolver.wakeup(());
        }
    }

    /// There is room in a lane's queue: hands over what waits here for it, until it is full again.
    fn hand_over(&self, id: LaneId) {
        self.asked.borrow_mut().remove(&id);
        if hook::is_simulated() {
            return;
        }
        loop {
            let next = {
                let mut overflow = self.overflow.borrow_mut();
                let place = overflow.range((id, 0)..=(id, u64::MAX)).next().map(|(place, _)| *place);
                place.and_then(|place| Some((place, overflow.remove(&place)?)))
            };
            let Some((place, Waiting { key, body })) = next else { return };
            let lane = self.rows.borrow().get(key).map(|row| row.lane.clone());
            let Some(lane) = lane else { continue };
            if let Some(body) = self.offer(&lane, key, place.1, body, true) {
                self.overflow.borrow_mut().insert(place, Waiting { key, body });
                return;
            }
        }
    }
}

/// Drops a job that was taken back, and with it whatever its user put into it.
fn discard(body: Option<Body>) {
    guarded(|| drop(body));
}

/// Runs `f` on a thread of `lane`; its promise belongs to this thread's loop.
#[track_caller]
pub(super) fn detach<T, F>(lane: Lane, f: F) -> Promise<T>
where
    F: FnOnce() -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    start(lane, f, true).unwrap_or_else(|| unreachable!("it may wait"))
}

/// [`detach`], if there is room in the pool's queue or a thread to run it.
#[track_caller]
pub(super) fn try_detach<T, F>(lane: Lane, f: F) -> Option<Promise<T>>
where
    F: FnOnce() -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    start(lane, f, false)
}

#[track_caller]
fn start<T, F>(lane: Lane, f: F, may_wait: bool) -> Option<Promise<T>>
where
    F: FnOnce() -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let runtime = match Runtime::current() {
        Ok(runtime) => runtime,
        Err(error) => return Some(Promise::fail(error)),
    };
    if lane.pool().is_foreign() {
        return Some(Promise::fail(Error::msg(
            "this pool's threads are in the process that this one was forked from",
        )));
    }
    let desk = &runtime.jobs;
    let serial = desk.serial.get();
    desk.serial.set(serial + 1);
    let key = desk.rows.borrow().vacant_key();
    let (promise, resolver) = task::<T>();
    // Only a cancel: whoever drops the promise wants the job done all the same.
    resolver.on_cancel(move || {
        if let Some(runtime) = Runtime::existing() {
            runtime.jobs.cancelled(key, serial);
        }
    });
    desk.rows.borrow_mut().insert(Row {
        serial,
        lane: lane.clone(),
        ticket: None,
        resolver: Box::new(resolver),
    });
    let home = desk.handle.clone();
    // Its system calls are under the plan of faults that ours are under.
    let f = faults::carried(f);
    let body = Box::new(move |fate| {
        let (outcome, home) = match fate {
            Fate::Run => current::at_home(home, || run_here(f)),
            Fate::Fail(error) => (Err(error), Some(home)),
        };
        // A loop that has ended wants no outcome.
        let _ = home.map(|home| home.post(move || deliver(key, serial, outcome)));
    });
    if desk.submit(&lane, key, serial, body, may_wait) {
        return Some(promise);
    }
    // Nobody sees how it ends.
    drop(promise);
    drop(desk.take(key, serial));
    None
}

/// Runs a job on this thread, now.
pub(super) fn run_here<T>(f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(Error::from_panic(panic)))
}

/// On the loop: the outcome of a job has come.
fn deliver<T: 'static>(key: usize, serial: u64, outcome: Result<T, Error>) {
    let Some(runtime) = Runtime::existing() else { return };
    runtime.arrivals.answered();
    let Some(row) = runtime.jobs.take(key, serial) else { return };
    let resolver: Box<dyn Any> = row.resolver;
    if let Ok(resolver) = resolver.downcast::<Resolver<T>>() {
        resolver.wakeup_result(outcome);
    }
    runtime.jobs.ended(serial);
}

/// On the loop: this lane has room.
pub(super) fn hand_over(id: LaneId) {
    if let Some(runtime) = Runtime::existing() {
        runtime.jobs.hand_over(id);
    }
}
