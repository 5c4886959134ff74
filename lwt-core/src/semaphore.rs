//! [`Semaphore`]: so many at a time (the regions of `Lwt_util`).
//!
//! 1. Nobody overtakes: who needs much at the head of the line holds up who needs little behind.
//! 2. Whenever permits come back, the size changes or somebody leaves the line, its head is served for as
//!    long as there is enough.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::waiters::{Line, Waiters, join_line};
use crate::{Error, Promise, Resolver, spawn};

/// A number of permits (`Lwt_util.region`).
///
/// First come, first served; a cancelled or dropped waiter is passed over. A clone is another handle on the
/// same semaphore.
///
/// | `Lwt_util` | |
/// |---|---|
/// | `make_region n` | [`Semaphore::new(n)`](Semaphore::new) |
/// | `resize_region r n` | [`r.resize(n)`](Semaphore::resize) |
/// | `run_in_region r weight f` | [`r.run(weight, f)`](Semaphore::run) |
///
/// ```
/// use lwt_core::{State, all, pause, scheduler, semaphore::Semaphore};
/// let two_at_a_time = Semaphore::new(2);
/// let jobs = (0..5).map(|i| two_at_a_time.run(1, async move || {
///     pause().await?;
///     Ok(i)
/// }));
/// let done = all(jobs.collect::<Vec<_>>());
/// assert_eq!(scheduler::paused_count(), 2);
/// while done.is_pending() {
///     scheduler::wakeup_paused();
///     scheduler::run_ready(usize::MAX);
/// }
/// assert!(matches!(done.state(), State::Fulfilled(v) if v.len() == 5));
/// ```
#[derive(Clone)]
pub struct Semaphore(Rc<Inner>);

struct Inner {
    size: Cell<usize>,
    /// More than `size` after it was made smaller.
    used: Cell<usize>,
    waiters: Waiters<Request>,
}

struct Request {
    resolver: Resolver<Permit>,
    weight: usize,
    /// More than the size means all of it.
    clamped: bool,
}

impl Line<Request> for Inner {
    fn waiters(&self) -> &Waiters<Request> {
        &self.waiters
    }

    fn one_left(self: &Rc<Inner>) {
        self.serve();
    }
}

impl Inner {
    /// How many permits a request needs, if they are there.
    fn fits(&self, weight: usize, clamped: bool) -> Option<usize> {
        let weight = if clamped { weight.min(self.size.get().max(1)) } else { weight };
        (weight <= self.size.get().saturating_sub(self.used.get())).then_some(weight)
    }

    fn grant(self: &Rc<Inner>, weight: usize) -> Permit {
        self.used.set(self.used.get() + weight);
        Permit { semaphore: self.clone(), weight }
    }

    fn serve(self: &Rc<Inner>) {
        let is_next = |request: &Request| {
            !request.resolver.is_wanted() || self.fits(request.weight, request.clamped).is_some()
        };
        while let Some(Request { resolver, weight, clamped }) = self.waiters.pop_if(is_next) {
            if resolver.is_wanted()
                && let Some(weight) = self.fits(weight, clamped)
            {
                resolver.wakeup_later(self.grant(weight));
            }
        }
    }

    #[track_caller]
    fn acquire(self: &Rc<Inner>, weight: usize, clamped: bool) -> Promise<Permit> {
        match self.fits(weight, clamped) {
            Some(weight) if self.waiters.is_empty() => Promise::ready(self.grant(weight)),
            _ => join_line(self, |resolver| Request { resolver, weight, clamped }),
        }
    }
}

impl Semaphore {
    /// A semaphore with this many permits (`Lwt_util.make_region`).
    ///
    /// ```
    /// assert_eq!(lwt_core::semaphore::Semaphore::new(3).available(), 3);
    /// ```
    pub fn new(permits: usize) -> Semaphore {
        Semaphore(Rc::new(Inner { size: Cell::new(permits), used: Cell::new(0), waiters: Waiters::new() }))
    }

    /// Takes one permit, which comes back when it is dropped.
    ///
    /// At once if there is one and nobody waits, else in line. A cancelled or dropped waiter leaves the line;
    /// a permit that was granted to a promise which is then dropped comes back.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(1);
    /// let (first, second) = (s.acquire(), s.acquire());
    /// assert!(second.is_pending());
    /// drop(first);
    /// assert!(!second.is_pending());
    /// ```
    ///
    /// # Errors
    /// [`Canceled`](crate::Canceled); [`Abandoned`](crate::Abandoned) if the last handle and the last permit
    /// are dropped.
    #[track_caller]
    pub fn acquire(&self) -> Promise<Permit> {
        self.0.acquire(1, false)
    }

    /// Takes `weight` permits at once; otherwise as [`acquire`](Semaphore::acquire). More than there are in
    /// all waits until there are more ([`resize`](Semaphore::resize)), and so does everybody behind.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(3);
    /// let two = s.acquire_many(2);
    /// let all = s.acquire_many(3);
    /// let one = s.acquire();
    /// assert!(one.is_pending(), "nobody overtakes");
    /// drop(all);
    /// assert!(!one.is_pending());
    /// # drop(two);
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Semaphore::acquire).
    #[track_caller]
    pub fn acquire_many(&self, weight: usize) -> Promise<Permit> {
        self.0.acquire(weight, false)
    }

    /// Takes `weight` permits if that needs no waiting.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(1);
    /// assert!(s.try_acquire(2).is_none());
    /// assert!(s.try_acquire(1).is_some());
    /// ```
    pub fn try_acquire(&self, weight: usize) -> Option<Permit> {
        let weight = self.0.fits(weight, false).filter(|_| self.0.waiters.is_empty())?;
        Some(self.0.grant(weight))
    }

    /// Runs `f` with `weight` permits, and gives them back whatever came of it (`Lwt_util.run_in_region`).
    ///
    /// A weight above the size counts as the size: such a job runs alone, instead of never. `f` may be an
    /// `async` closure, or one that returns a promise. A cancel goes to where it waits: in line, or inside
    /// `f`. If the promise is dropped, `f` runs all the same.
    ///
    /// # Errors
    /// Those of `f`; [`Canceled`](crate::Canceled); a panic of `f`.
    #[track_caller]
    pub fn run<A, F>(&self, weight: usize, f: F) -> Promise<A>
    where
        A: 'static,
        F: AsyncFnOnce() -> Result<A, Error> + 'static,
    {
        let permit = self.0.acquire(weight, true);
        spawn(async move {
            let _permit = permit.await?;
            f().await
        })
    }

    /// Changes the number of permits there are in all (`Lwt_util.resize_region`). Those taken stay so; if
    /// they are more than there are now, nobody is let in until enough have come back.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(0);
    /// let p = s.acquire();
    /// s.resize(1);
    /// assert!(!p.is_pending());
    /// ```
    pub fn resize(&self, permits: usize) {
        self.0.size.set(permits);
        self.0.serve();
    }

    /// How many permits there are in all.
    ///
    /// ```
    /// assert_eq!(lwt_core::semaphore::Semaphore::new(3).size(), 3);
    /// ```
    pub fn size(&self) -> usize {
        self.0.size.get()
    }

    /// How many permits are not taken.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(3);
    /// let _one = s.try_acquire(1);
    /// assert_eq!(s.available(), 2);
    /// ```
    pub fn available(&self) -> usize {
        self.0.size.get().saturating_sub(self.0.used.get())
    }

    /// How many wait.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// let s = Semaphore::new(0);
    /// let _p = s.acquire();
    /// assert_eq!(s.wait_queue_length(), 1);
    /// ```
    pub fn wait_queue_length(&self) -> usize {
        self.0.waiters.len()
    }
}

/// Permits of a [`Semaphore`], which come back when this is dropped.
#[must_use = "permits that are dropped come back"]
pub struct Permit {
    semaphore: Rc<Inner>,
    weight: usize,
}

impl Permit {
    /// How many permits these are.
    ///
    /// ```
    /// # use lwt_core::semaphore::Semaphore;
    /// assert_eq!(Semaphore::new(3).try_acquire(2).unwrap().weight(), 2);
    /// ```
    pub fn weight(&self) -> usize {
        self.weight
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let used = &self.semaphore.used;
        used.set(used.get() - self.weight);
        self.semaphore.serve();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("size", &self.size())
            .field("available", &self.available())
            .field("waiting", &self.wait_queue_length())
            .finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("weight", &self.weight).finish()
    }
}
