//! A limit to how often something happens, for each key (`Lwt_throttle`).
//!
//! 1. `passes` has everyone who passed within the last period, oldest first; `keys` has, for each key, how
//!    many of those are its own, and who waits. A key that has neither is not there: what idles costs
//!    nothing.
//! 2. Somebody waits for a key only while its passes are as many as the rate.
//! 3. While there are passes one sleep is under way, and no more: to the end of the oldest pass if somebody
//!    waits, else to that of the newest, only to free the memory.
//! 4. Nobody's callback, and no key's drop, runs while the state is borrowed. A key's `Hash` and `Eq` do: they
//!    look into the map that is the state, and so cannot use the throttle, as the documentation says.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::clock::Clock;
use crate::promise::resolver::{Resolver, task};
use crate::{Error, Promise};

/// Lets at most so many pass per second for each key, makes others wait, and sends away whom there is no room
/// for.
///
/// It is exact: in no second, wherever it begins, more than the rate pass (Lwt counts by its own seconds, and
/// lets twice as many pass around the turn of one). A clone is another handle on the same throttle. When the
/// last one is gone, those who wait are rejected as abandoned.
///
/// The key's `Hash` and `Eq` must agree, and must not use the throttle: it panics when they do.
///
/// ```
/// use std::time::Duration;
/// use lwt_core::State;
/// use lwt_core::clock::ManualClock;
/// use lwt_core::throttle::Throttle;
///
/// let clock = ManualClock::new(); // a program takes that of its loop
/// let logins = Throttle::new(clock.clone(), 2, 1);
/// assert!(matches!(logins.wait("ada").state(), State::Fulfilled(true)));
/// assert!(matches!(logins.wait("ada").state(), State::Fulfilled(true)));
/// let third = logins.wait("ada");
/// assert!(third.is_pending());
/// assert!(matches!(logins.wait("ada").state(), State::Fulfilled(false)), "one waits already");
/// assert!(matches!(logins.wait("bob").state(), State::Fulfilled(true)), "another key");
/// clock.advance(Duration::from_secs(1));
/// assert!(matches!(third.state(), State::Fulfilled(true)));
/// ```
pub struct Throttle<K>(Rc<Inner<K>>);

struct Inner<K> {
    clock: Box<dyn Clock>,
    rate: usize,
    period: Duration,
    max: usize,
    state: RefCell<State<K>>,
}

struct State<K> {
    keys: HashMap<Rc<K>, Line>,
    passes: VecDeque<(Duration, Rc<K>)>,
    /// How many wait, for any key.
    waiting: usize,
    /// The number of the next who waits, or of the next sleep.
    number: u64,
    sleep: Option<Sleep>,
}

#[derive(Default)]
struct Line {
    passes: usize,
    /// First come, first served.
    waiters: BTreeMap<u64, Resolver<bool>>,
}

struct Sleep {
    number: u64,
    until: Duration,
    promise: Option<Promise<()>>,
}

impl<K: Eq + Hash + 'static> Throttle<K> {
    /// At most `rate` pass per second for each key, and at most `max` wait, all keys together
    /// (`Lwt_throttle.create`).
    ///
    /// # Panics
    /// If `rate` is zero.
    #[track_caller]
    pub fn new(clock: impl Clock + 'static, rate: usize, max: usize) -> Throttle<K> {
        Throttle::with_period(clock, rate, Duration::from_secs(1), max)
    }

    /// [`new`](Throttle::new) with another period than a second.
    ///
    /// # Panics
    /// If `rate` or `period` is zero.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lwt_core::clock::ManualClock;
    /// use lwt_core::throttle::Throttle;
    /// let mails = Throttle::with_period(ManualClock::new(), 10, Duration::from_secs(3600), 1000);
    /// assert!(!mails.wait("ada").is_pending());
    /// ```
    #[track_caller]
    pub fn with_period(
        clock: impl Clock + 'static,
        rate: usize,
        period: Duration,
        max: usize,
    ) -> Throttle<K> {
        assert!(rate > 0, "a throttle that lets nobody pass");
        assert!(!period.is_zero(), "a throttle with a period of no time holds nobody up");
        let state =
            State { keys: HashMap::new(), passes: VecDeque::new(), waiting: 0, number: 0, sleep: None };
        Throttle(Rc::new(Inner { clock: Box::new(clock), rate, period, max, state: RefCell::new(state) }))
    }

    /// Fulfilled with true when it is this caller's turn, and with false, at once, if as many wait as may
    /// (`Lwt_throttle.wait`).
    ///
    /// First come, first served for each key. It may be cancelled or dropped: its place in the line is free
    /// at once, and it does not count as having passed.
    ///
    /// # Errors
    /// A rejection of the clock's sleep.
    #[track_caller]
    pub fn wait(&self, key: K) -> Promise<bool> {
        let throttle = &self.0;
        let key = Rc::new(key);
        throttle.serve();
        let now = throttle.clock.now();
        let promise = {
            let mut state = throttle.state.borrow_mut();
            let State { keys, passes, waiting, number, .. } = &mut *state;
            let key = keys.get_key_value(&key).map_or_else(|| Rc::clone(&key), |(known, _)| Rc::clone(known));
            let line = keys.entry(Rc::clone(&key)).or_default();
            if line.passes < throttle.rate {
                line.passes += 1;
                passes.push_back((now, key));
                Promise::ready(true)
            } else if *waiting >= throttle.max {
                Promise::ready(false)
            } else {
                let (promise, resolver) = task();
                *number += 1;
                *waiting += 1;
                resolver.on_unwanted(Inner::leave(Rc::downgrade(throttle), Rc::clone(&key), *number));
                line.waiters.insert(*number, resolver);
                promise
            }
        };
        throttle.schedule();
        promise
    }

    /// How many wait, for any key.
    pub fn waiting(&self) -> usize {
        self.0.state.borrow().waiting
    }

    /// How many keys are remembered: those that passed within the last period.
    pub fn keys(&self) -> usize {
        self.0.state.borrow().keys.len()
    }
}

/// What became of the oldest pass.
enum Expired<K> {
    /// Nothing, it still counts; or there is none.
    No,
    /// It counts no more. The key is to be dropped.
    Freed(Rc<K>),
    /// Its place goes to one who waited.
    Passed(Resolver<bool>, Rc<K>),
}

impl<K: Eq + Hash + 'static> Inner<K> {
    /// What a waiter does when it is wanted no more.
    fn leave(throttle: Weak<Inner<K>>, key: Rc<K>, number: u64) -> impl FnOnce() + 'static {
        move || {
            let Some(throttle) = throttle.upgrade() else { return };
            let gone = {
                let mut state = throttle.state.borrow_mut();
                let gone = state.keys.get_mut(&key).and_then(|line| line.waiters.remove(&number));
                state.waiting -= usize::from(gone.is_some());
                gone
            };
            drop(gone);
        }
    }

    /// Lets everyone pass whose turn has come, and forgets what is over.
    fn serve(&self) {
        loop {
            let now = self.clock.now();
            let mut unwanted = Vec::new();
            let expired = self.state.borrow_mut().expire(now, self.period, &mut unwanted);
            drop(unwanted);
            match expired {
                Expired::No => break,
                Expired::Freed(key) => drop(key),
                Expired::Passed(resolver, key) => {
                    drop(key);
                    resolver.wakeup(true);
                }
            }
        }
    }

    /// Sees to it that a sleep is under way, if one is needed, and ends early enough.
    fn schedule(self: &Rc<Self>) {
        let (number, until, replaced) = {
            let mut state = self.state.borrow_mut();
            let decisive = if state.waiting > 0 { state.passes.front() } else { state.passes.back() };
            let Some(until) = decisive.map(|(time, _)| time.saturating_add(self.period)) else { return };
            if state.sleep.as_ref().is_some_and(|sleep| sleep.until <= until) {
                return;
            }
            state.number += 1;
            let number = state.number;
            let replaced = state.sleep.replace(Sleep { number, until, promise: None });
            (number, until, replaced)
        };
        if let Some(promise) = replaced.and_then(|sleep| sleep.promise) {
            promise.cancel();
        }
        let (over, failed) = (Rc::downgrade(self), Rc::downgrade(self));
        let promise = self.clock.sleep(until.saturating_sub(self.clock.now())).try_bind(
            move |()| Inner::woken(&over, number, None),
            move |error| Inner::woken(&failed, number, Some(error)),
        );
        if let Some(sleep) = self.state.borrow_mut().sleep.as_mut().filter(|sleep| sleep.number == number) {
            sleep.promise = Some(promise);
        }
    }

    /// The sleep of this number has ended.
    fn woken(throttle: &Weak<Self>, number: u64, error: Option<Error>) -> Promise<()> {
        let Some(throttle) = throttle.upgrade() else { return Promise::ready(()) };
        let ended = {
            let mut state = throttle.state.borrow_mut();
            state.sleep.take_if(|sleep| sleep.number == number)
        };
        match (ended, error) {
            (None, _) => {} // it was replaced
            (Some(_), Some(error)) => throttle.fail(&error),
            (Some(_), None) => {
                throttle.serve();
                throttle.schedule();
            }
        }
        Promise::ready(())
    }

    /// The clock is of no more use: nobody's turn will come.
    fn fail(&self, error: &Error) {
        let waiters: Vec<Resolver<bool>> = {
            let mut state = self.state.borrow_mut();
            state.waiting = 0;
            state.keys.values_mut().flat_map(|line| std::mem::take(&mut line.waiters).into_values()).collect()
        };
        for waiter in waiters {
            waiter.wakeup_err(error.clone());
        }
    }
}

impl<K: Eq + Hash> State<K> {
    fn expire(&mut self, now: Duration, period: Duration, unwanted: &mut Vec<Resolver<bool>>) -> Expired<K> {
        let over = self.passes.front().is_some_and(|(time, _)| now.saturating_sub(*time) >= period);
        let Some((_, key)) = self.passes.pop_front_if(|_| over) else { return Expired::No };
        let Some(line) = self.keys.get_mut(&key) else { return Expired::Freed(key) };
        while let Some((_, resolver)) = line.waiters.pop_first() {
            self.waiting -= 1;
            if resolver.is_wanted() {
                self.passes.push_back((now, Rc::clone(&key)));
                return Expired::Passed(resolver, key);
            }
            unwanted.push(resolver);
        }
        line.passes -= 1;
        if line.passes == 0 {
            self.keys.remove(&key);
            if self.keys.is_empty() {
                self.keys.shrink_to_fit();
                self.passes.shrink_to_fit();
            }
        }
        Expired::Freed(key)
    }
}

impl<K> Clone for Throttle<K> {
    fn clone(&self) -> Throttle<K> {
        Throttle(Rc::clone(&self.0))
    }
}

impl<K> fmt::Debug for Throttle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.borrow();
        let (rate, period) = (self.0.rate, self.0.period);
        f.debug_struct("Throttle")
            .field("rate", &format_args!("{rate} in {period:?}"))
            .field("keys", &state.keys.len())
            .field("waiting", &format_args!("{} of {}", state.waiting, self.0.max))
            .finish()
    }
}

impl<K> Drop for Inner<K> {
    fn drop(&mut self) {
        if let Some(promise) = self.state.get_mut().sleep.take().and_then(|sleep| sleep.promise) {
            promise.cancel();
        }
    }
}
