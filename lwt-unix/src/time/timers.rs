//! [`Timers`]: the sleeping promises of one thread's loop.
//!
//! 1. A promise's entry leaves the wheel when the promise is resolved, cancelled, or dropped by its last
//!    holder.
//! 2. Promises are resolved with no cell borrowed; what is begun in their callbacks is for the next turn.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use lwt_core::{Promise, Resolver, task};

use super::wheel::{Id, KEPT, Wheel};
use crate::main_loop::runtime::Runtime;

/// The sleeping promises of one thread's loop.
pub(crate) struct Timers {
    /// The moment from which the wheel counts.
    begin: Cell<Instant>,
    wheel: RefCell<Wheel<Resolver<()>>>,
    /// The memory for the next batch of those that are due.
    batch: Cell<Vec<Resolver<()>>>,
}

impl Timers {
    /// No timers, on a clock that says `begin`.
    pub(crate) fn new(begin: Instant) -> Timers {
        Timers { begin: Cell::new(begin), wheel: RefCell::new(Wheel::new()), batch: Cell::default() }
    }

    /// A promise for `duration` after `now`.
    #[track_caller]
    pub(crate) fn start(&self, now: Instant, duration: Duration) -> Promise<()> {
        self.start_at(self.count(now, duration))
    }

    /// A promise for a time in the wheel's [count](Timers::count).
    #[track_caller]
    pub(super) fn start_at(&self, time: u64) -> Promise<()> {
        let (promise, resolver) = task();
        let id = self.wheel.borrow().next_id();
        resolver.on_unwanted(move || forget(id));
        self.wheel.borrow_mut().insert(time, resolver);
        promise
    }

    /// When the next timer may be due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let time = self.wheel.borrow().next()?;
        // A moment that the clock cannot express is as good as none.
        self.begin.get().checked_add(Duration::from_nanos(time))
    }

    /// Resolves what is due, earliest first.
    pub(crate) fn fire(&self, now: Instant) {
        let now = self.count(now, Duration::ZERO);
        let mut batch = self.batch.take();
        {
            let mut wheel = self.wheel.borrow_mut();
            if wheel.next().is_none_or(|time| time > now) {
                drop(wheel);
                self.batch.set(batch);
                return;
            }
            // The last nanosecond is "never".
            wheel.expire(now.min(u64::MAX - 1), &mut batch);
        }
        for resolver in batch.drain(..) {
            resolver.wakeup(());
        }
        if batch.capacity() <= KEPT {
            self.batch.set(batch);
        }
    }

    /// From now on the moments are those of another clock: what was `old` is `new`. Every timer keeps what is
    /// left of its time.
    pub(crate) fn move_clock(&self, old: Instant, new: Instant) {
        let gone = old.saturating_duration_since(self.begin.get());
        // A clock that began less than that ago: its timers wait a little longer, none fires early.
        self.begin.set(new.checked_sub(gone).unwrap_or(new));
    }

    /// How many timers there are.
    pub(crate) fn len(&self) -> usize {
        self.wheel.borrow().len()
    }

    /// Takes all timers out.
    pub(crate) fn drain(&self) -> Vec<Resolver<()>> {
        self.wheel.borrow_mut().drain()
    }

    /// The moment `duration` after `now`, in the wheel's count: nanoseconds, which go on as they are when the
    /// clock is another one. `u64::MAX` is never.
    pub(super) fn count(&self, now: Instant, duration: Duration) -> u64 {
        let nanos = now.saturating_duration_since(self.begin.get()).saturating_add(duration).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// Nobody waits for this timer any more.
fn forget(id: Id) {
    if let Some(runtime) = Runtime::existing() {
        let resolver = runtime.timers.wheel.borrow_mut().remove(id);
        if let Some(resolver) = resolver {
            // Nobody sees it. Dropping the resolver would make an error for nobody to see.
            resolver.wakeup(());
        }
    }
}
