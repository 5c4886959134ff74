//! Time, as what needs time sees it: [`Clock`]; and [`ManualClock`], which goes only when it is told to.
//!
//! `lwt-core` has no operating system and so no clock. What waits for time (`retry`, `throttle`) takes one;
//! that of the main loop is `lwt_unix::time::LoopClock`. For tests there is the manual one: they need not
//! wait, and see the same order of events each time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::promise::resolver::{Resolver, task};
use crate::{Error, Promise, scheduler};

/// A clock that one can wait for.
///
/// ```
/// use std::time::Duration;
/// use lwt_core::clock::{Clock, ManualClock};
/// fn in_a_minute(clock: &dyn Clock) -> lwt_core::Promise<()> {
///     clock.sleep(Duration::from_secs(60))
/// }
/// let clock = ManualClock::new();
/// let p = in_a_minute(&clock);
/// clock.advance(Duration::from_secs(60));
/// assert!(!p.is_pending());
/// ```
pub trait Clock {
    /// The time since some moment that does not change. It never goes back.
    fn now(&self) -> Duration;

    /// Resolved once `duration` is over, never before. It may be cancelled, and costs nothing more once it
    /// was cancelled or dropped.
    ///
    /// # Errors
    /// Rejected if the clock has stopped for good.
    fn sleep(&self, duration: Duration) -> Promise<()>;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep(&self, duration: Duration) -> Promise<()> {
        (**self).sleep(duration)
    }
}

impl<C: Clock + ?Sized> Clock for Rc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep(&self, duration: Duration) -> Promise<()> {
        (**self).sleep(duration)
    }
}

/// A clock that stands still until [`advance`](ManualClock::advance) or [`run`](ManualClock::run) moves it.
///
/// It starts at zero. A clone is another handle on the same clock.
///
/// ```
/// use std::time::Duration;
/// use lwt_core::clock::{Clock, ManualClock};
/// let clock = ManualClock::new();
/// let tea = clock.sleep(Duration::from_secs(180));
/// clock.advance(Duration::from_secs(179));
/// assert!(tea.is_pending());
/// clock.advance(Duration::from_secs(1));
/// assert!(!tea.is_pending());
/// assert_eq!(clock.now(), Duration::from_secs(180));
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    /// The number of the next sleeper.
    number: Cell<u64>,
    /// By the time to wake, and among equals in the order in which they went to sleep.
    sleepers: RefCell<BTreeMap<(Duration, u64), Resolver<()>>>,
}

impl ManualClock {
    /// A clock that shows zero.
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// How many sleep: those that were cancelled or dropped do not.
    pub fn sleepers(&self) -> usize {
        self.0.sleepers.borrow().len()
    }

    /// When the next one wakes up, if one sleeps.
    pub fn next_wake(&self) -> Option<Duration> {
        self.0.sleepers.borrow().keys().next().map(|(time, _)| *time)
    }

    /// Moves the clock on by `duration`, and wakes whoever's time comes meanwhile, in the order of the times;
    /// each sees its own time on the clock, and who then goes to sleep anew may wake up again before this
    /// returns.
    ///
    /// A sleep of no time is over at the next advance, even one by zero. Tasks that were woken run when
    /// [`run_ready`](scheduler::run_ready) is called; [`run`](ManualClock::run) does it all.
    pub fn advance(&self, duration: Duration) {
        self.advance_to(self.now().saturating_add(duration));
    }

    fn advance_to(&self, end: Duration) {
        // Whoever goes to sleep for no time now has a number from here on, and is for the next moment, lest
        // this one never ends.
        let mut fresh = self.0.number.get();
        loop {
            while let Some(resolver) = self.take_due(fresh) {
                resolver.wakeup(());
            }
            let now = self.now();
            let later = self.0.sleepers.borrow().keys().map(|(time, _)| *time).find(|time| *time > now);
            match later.filter(|time| *time <= end) {
                Some(time) => self.0.now.set(time),
                None => break,
            }
            fresh = self.0.number.get();
        }
        self.0.now.set(self.now().max(end));
    }

    /// The first sleeper whose time has come, of those with a number below `fresh`.
    fn take_due(&self, fresh: u64) -> Option<Resolver<()>> {
        let now = self.now();
        let mut sleepers = self.0.sleepers.borrow_mut();
        let mut due = sleepers.keys().take_while(|(time, _)| *time <= now);
        let key = *due.find(|(_, number)| *number < fresh)?;
        sleepers.remove(&key)
    }

    /// Runs tasks, pauses and the clock until the promise is resolved, and gives its outcome. The clock jumps
    /// to the next sleeper's time whenever nothing else is left to do, so that no real time passes.
    ///
    /// # Errors
    /// The promise's own; and an error that says so if nothing is left that could resolve it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lwt_core::clock::{Clock, ManualClock};
    /// use lwt_core::{Error, spawn};
    /// let clock = ManualClock::new();
    /// let theirs = clock.clone();
    /// let p = spawn(async move {
    ///     theirs.sleep(Duration::from_secs(3600)).await?;
    ///     Ok::<_, Error>("an hour later")
    /// });
    /// assert_eq!(clock.run(p)?, "an hour later");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn run<T: 'static>(&self, promise: Promise<T>) -> Result<T, Error> {
        let outcome = Rc::new(Cell::new(None));
        let kept = Rc::clone(&outcome);
        let caught = promise.map(Ok).catch(|error| Promise::ready(Err(error)));
        drop(caught.map(move |result| kept.set(Some(result))));
        loop {
            scheduler::run_ready(usize::MAX);
            if let Some(result) = outcome.take() {
                return result;
            }
            if scheduler::has_paused() {
                scheduler::wakeup_paused();
            } else if let Some(time) = self.next_wake() {
                self.advance_to(time);
            } else if !scheduler::has_ready() {
                return Err(Error::msg("nobody sleeps, nothing is ready, and the promise is pending"));
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.0.now.get()
    }

    #[track_caller]
    fn sleep(&self, duration: Duration) -> Promise<()> {
        let (promise, resolver) = task();
        let number = self.0.number.replace(self.0.number.get() + 1);
        let key = (self.now().saturating_add(duration), number);
        let clock = Rc::downgrade(&self.0);
        resolver.on_unwanted(move || {
            let gone = clock.upgrade().and_then(|clock| clock.sleepers.borrow_mut().remove(&key));
            drop(gone);
        });
        self.0.sleepers.borrow_mut().insert(key, resolver);
        promise
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).field("sleepers", &self.sleepers()).finish()
    }
}
