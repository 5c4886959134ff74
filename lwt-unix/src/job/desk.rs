//! [`Desk`]: the loop's side of jobs. It keeps the resolvers, which may not leave their thread, while the jobs are
//! away.
//!
//! 1. A job that was asked for has a row until its promise is resolved. A row has a serial number, which is never
//!    given again; the message with the outcome names row and number, so the outcome of a job whose promise was
//!    cancelled finds nothing.
//! 2. A row's job waits here (`overflow`), waits in the pool's queue, or has been begun. In the first two cases a
//!    cancel takes it back and drops it; in the last it only takes the row away.
//! 3. Jobs over the queue's bound wait here in their order. While any do, later ones for the same pool wait behind
//!    them, and the pool has us on its list of those to tell of room (`asked`).
//! 4. When the loop ends, jobs that have not been begun are taken back, and the promises of all are abandoned.
//! 5. An idle loop with jobs away spins a moment for their outcomes before it blocks, while that pays ([`Spin`]).
//! 6. No cell is borrowed while a promise is resolved or a job dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use lwt_core::scheduler::Handle;
use lwt_core::{Error, Promise, Resolver, scheduler, task};
use slab::Slab;

use super::pool::Pool;
use super::queue::{Body, Fate, Ticket};
use crate::main_loop::hooks::guarded;
use crate::main_loop::runtime::Runtime;
use crate::spin::{Spin, spin};

/// The jobs that one thread's loop has asked for.
pub(crate) struct Desk {
    /// How the job threads reach this loop.
    handle: Handle,
    rows: RefCell<Slab<Row>>,
    serial: Cell<u64>,
    /// Jobs over the bound, by pool and serial number.
    overflow: RefCell<BTreeMap<(u64, u64), Waiting>>,
    /// The pools that will tell us of room.
    asked: RefCell<BTreeSet<u64>>,
    /// How many outcomes have come.
    answers: Cell<u64>,
    /// How the loop spins before it blocks while jobs are away.
    spin: RefCell<Spin>,
    /// When it last blocked, if no outcome has come since.
    blocked: Cell<Option<Instant>>,
}

struct Row {
    serial: u64,
    pool: Pool,
    /// `None` while the job waits here.
    ticket: Option<Ticket>,
    /// A `Resolver<T>`; only the outcome's message knows `T`.
    resolver: Box<dyn Any>,
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
            answers: Cell::new(0),
            spin: RefCell::default(),
            blocked: Cell::new(None),
        }
    }

    /// How many jobs are asked for and not answered.
    pub(crate) fn len(&self) -> usize {
        self.rows.borrow().len()
    }

    /// The loop has nothing to do, and would block now. Waits a moment for the outcome of a job, if that was worth it
    /// of late, but no longer than until `deadline`; says whether there is something to do now. That is for `changed`
    /// to tell, too: what other threads send may be anything.
    pub(crate) fn spin(&self, deadline: Option<Instant>, changed: impl Fn() -> bool) -> bool {
        if self.rows.borrow().is_empty() {
            return false;
        }
        let length = self.spin.borrow().length();
        if let Some(mut length) = length {
            if let Some(deadline) = deadline {
                length = length.min(deadline.saturating_duration_since(Instant::now()));
            }
            let before = self.answers.get();
            let found = spin(length, || {
                // Only takes in what other threads have sent.
                scheduler::run_ready(0);
                self.answers.get() != before || scheduler::has_ready() || scheduler::has_paused() || changed()
            });
            self.spin.borrow_mut().ended(found);
            if found {
                return true;
            }
        }
        self.blocked.set(Some(Instant::now()));
        false
    }

    /// The outcome of a job has come.
    fn answered(&self) {
        self.answers.set(self.answers.get() + 1);
        if let Some(blocked) = self.blocked.take() {
            self.spin.borrow_mut().parked(blocked.elapsed());
        }
    }

    /// The end of the loop: see rule 4.
    pub(crate) fn end(&self) {
        let overflow = self.overflow.take();
        let rows = self.rows.take();
        for (_, row) in &rows {
            if let Some(ticket) = row.ticket {
                discard(row.pool.withdraw(ticket));
            }
        }
        for (_, waiting) in overflow {
            discard(Some(waiting.body));
        }
        drop(rows);
    }

    /// Hands a job to its pool, or has it wait here. Its row is there.
    fn submit(&self, pool: &Pool, key: usize, serial: u64, body: Body) {
        let behind = self.overflow.borrow().range((pool.id(), 0)..=(pool.id(), u64::MAX)).next().is_some();
        let refused = if behind { Some(body) } else { self.offer(pool, key, serial, body) };
        if let Some(body) = refused {
            self.overflow.borrow_mut().insert((pool.id(), serial), Waiting { key, body });
        }
    }

    /// Hands a job to its pool; if there is no room it comes back, and the pool will tell us when there is.
    fn offer(&self, pool: &Pool, key: usize, serial: u64, body: Body) -> Option<Body> {
        let ask = !self.asked.borrow().contains(&pool.id());
        match pool.submit(body, ask.then_some(&self.handle)) {
            Ok(ticket) => {
                if let Some(row) = self.rows.borrow_mut().get_mut(key).filter(|row| row.serial == serial) {
                    row.ticket = Some(ticket);
                }
                None
            }
            Err(body) => {
                self.asked.borrow_mut().insert(pool.id());
                Some(body)
            }
        }
    }

    /// Ends a row.
    fn take(&self, key: usize, serial: u64) -> Option<Row> {
        let mut rows = self.rows.borrow_mut();
        rows.get(key).filter(|row| row.serial == serial)?;
        Some(rows.remove(key))
    }

    /// The promise of a job was cancelled.
    fn cancelled(&self, key: usize, serial: u64) {
        let Some(row) = self.take(key, serial) else { return };
        let body = match row.ticket {
            Some(ticket) => row.pool.withdraw(ticket),
            None => self.overflow.borrow_mut().remove(&(row.pool.id(), serial)).map(|waiting| waiting.body),
        };
        discard(body);
        drop(row);
    }

    /// There is room in a pool's queue: hands over what waits here for it, until it is full again.
    fn hand_over(&self, id: u64) {
        self.asked.borrow_mut().remove(&id);
        loop {
            let next = {
                let mut overflow = self.overflow.borrow_mut();
                let place = overflow.range((id, 0)..=(id, u64::MAX)).next().map(|(place, _)| *place);
                place.and_then(|place| Some((place, overflow.remove(&place)?)))
            };
            let Some((place, Waiting { key, body })) = next else { return };
            let pool = self.rows.borrow().get(key).map(|row| row.pool.clone());
            let Some(pool) = pool else { continue };
            if let Some(body) = self.offer(&pool, key, place.1, body) {
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

/// Runs `f` on a thread of `pool`; its promise belongs to this thread's loop.
#[track_caller]
pub(super) fn detach<T, F>(pool: &Pool, f: F) -> Promise<T>
where
    F: FnOnce() -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let runtime = match Runtime::current() {
        Ok(runtime) => runtime,
        Err(error) => return Promise::fail(error),
    };
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
        pool: pool.clone(),
        ticket: None,
        resolver: Box::new(resolver),
    });
    let home = desk.handle.clone();
    let body = Box::new(move |fate| {
        let outcome = match fate {
            Fate::Run => {
                catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(Error::from_panic(panic)))
            }
            Fate::Fail(error) => Err(error),
        };
        // A loop that has ended wants no outcome.
        let _ = home.post(move || deliver(key, serial, outcome));
    });
    desk.submit(pool, key, serial, body);
    promise
}

/// On the loop: the outcome of a job has come.
fn deliver<T: 'static>(key: usize, serial: u64, outcome: Result<T, Error>) {
    let Some(runtime) = Runtime::existing() else { return };
    runtime.jobs.answered();
    if let Some(row) = runtime.jobs.take(key, serial)
        && let Ok(resolver) = row.resolver.downcast::<Resolver<T>>()
    {
        resolver.wakeup_result(outcome);
    }
}

/// On the loop: the pool of this number has room.
pub(super) fn hand_over(id: u64) {
    if let Some(runtime) = Runtime::existing() {
        runtime.jobs.hand_over(id);
    }
}
