//! [`Pool`]: members that are costly to make, lent out one by one (`Lwt_pool`).
//!
//! `member.rs` has the life of a member:
//!
//! ```text
//!             factory                use                    good
//!  (right) ───────────► lent ◄──────────────► in use ─────────────► idle ──► lent …
//!     ▲                   │ validate: no         │ failed, check: no  │ clear
//!     │                   ▼                      ▼                    ▼
//!     └──────────────── disposed of ◄────────────┴────────────────────┘
//! ```
//!
//! 1. For every member that exists, is being made or is being disposed of there is one *right*, in use or
//!    behind an idle member; there are never more than `max`.
//! 2. A right comes back whatever becomes of its member: by its drop. Each time the line is served, so nobody
//!    waits while there is a member or a right to be had.
//! 3. Nobody overtakes. A use whose member could not be made or validated fails alone.
//! 4. What is not finished (a use that was dropped half way, a check that failed or panicked) ends with its
//!    member being checked or disposed of, in a task of its own.

mod member;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::waiters::{Line, Waiters, join_line};
use crate::{Error, Promise, Resolver, all, spawn};

use member::{After, Lent, Right, retire};

type Working<'a, A> = Pin<Box<dyn Future<Output = Result<A, Error>> + 'a>>;

/// A function of no argument that makes a member.
trait Make<T> {
    fn make(&self) -> Working<'_, T>;
}

impl<T, F: AsyncFn() -> Result<T, Error>> Make<T> for F {
    fn make(&self) -> Working<'_, T> {
        Box::pin(self())
    }
}

/// A question about a member.
trait Test<T> {
    fn test<'a>(&'a self, member: &'a mut T) -> Working<'a, bool>;
}

impl<T, F: AsyncFn(&mut T) -> Result<bool, Error>> Test<T> for F {
    fn test<'a>(&'a self, member: &'a mut T) -> Working<'a, bool> {
        Box::pin(self(member))
    }
}

/// The end of a member.
trait Dispose<T> {
    fn dispose(&self, member: T) -> Working<'_, ()>;
}

impl<T: 'static, F: AsyncFn(T) -> Result<(), Error>> Dispose<T> for F {
    fn dispose(&self, member: T) -> Working<'_, ()> {
        Box::pin(self(member))
    }
}

/// A pool of members, made when needed, at most so many (`Lwt_pool.t`).
///
/// A clone is another handle on the same pool. Uses wait in line, first come, first served, while all members
/// are in use.
///
/// ```
/// use lwt_core::{State, pool::Pool};
/// let made = std::cell::Cell::new(0);
/// let pool = Pool::create(2, async move || {
///     made.set(made.get() + 1);
///     Ok(format!("connection {}", made.get()))
/// });
/// let p = pool.use_(async |connection: &mut String| Ok(connection.len()));
/// assert!(matches!(p.state(), State::Fulfilled(12)));
/// let p = pool.use_(async |connection: &mut String| Ok(connection.clone()));
/// assert!(matches!(p.state(), State::Fulfilled(s) if s == "connection 1"));
/// ```
pub struct Pool<T: 'static>(Rc<Inner<T>>);

struct Inner<T: 'static> {
    max: usize,
    /// How many rights are out.
    rights: Cell<usize>,
    /// Each has a right.
    idle: RefCell<VecDeque<T>>,
    /// How often the pool was cleared. A member of an earlier age is not used again.
    age: Cell<u64>,
    waiters: Waiters<Resolver<Lent<T>>>,
    factory: Box<dyn Make<T>>,
    validate: Option<Box<dyn Test<T>>>,
    check: Option<Box<dyn Test<T>>>,
    dispose: Option<Box<dyn Dispose<T>>>,
}

impl<T: 'static> Line<Resolver<Lent<T>>> for Inner<T> {
    fn waiters(&self) -> &Waiters<Resolver<Lent<T>>> {
        &self.waiters
    }
}

impl<T: 'static> Inner<T> {
    fn has_room(&self) -> bool {
        !self.idle.borrow().is_empty() || self.rights.get() < self.max
    }

    /// An idle member, or the right to make one.
    fn lend(self: &Rc<Self>) -> Option<Lent<T>> {
        let idle = self.idle.borrow_mut().pop_front();
        let right = match idle {
            Some(_) => Right::behind_idle(self),
            None if self.rights.get() < self.max => Right::take(self),
            None => return None,
        };
        Some(Lent::new(right, idle))
    }

    fn serve(self: &Rc<Self>) {
        while let Some(waiter) = self.waiters.pop_if(|waiter| !waiter.is_wanted() || self.has_room()) {
            if waiter.is_wanted()
                && let Some(lent) = self.lend()
            {
                waiter.wakeup_later(lent);
            }
        }
    }
}

impl<T: 'static> Pool<T> {
    /// A pool of at most `max` members, which `factory` makes when they are needed (`Lwt_pool.create`). See
    /// [`builder`](Pool::builder) for one that validates, checks or disposes.
    ///
    /// # Panics
    /// If `max` is zero.
    pub fn create<F>(max: usize, factory: F) -> Pool<T>
    where
        F: AsyncFn() -> Result<T, Error> + 'static,
    {
        Pool::builder(max, factory).build()
    }

    /// A pool to be: the optional arguments of `Lwt_pool.create`.
    ///
    /// All functions may be `async` closures, or ones that return a promise.
    ///
    /// ```
    /// use lwt_core::pool::Pool;
    /// let pool = Pool::builder(2, async || Ok(0_u32))
    ///     .validate(async |uses: &mut u32| Ok(*uses < 100))
    ///     .check(async |_: &mut u32| Ok(false))
    ///     .dispose(async |uses| Ok(println!("used {uses} times")))
    ///     .build();
    /// drop(pool.use_(async |uses: &mut u32| Ok(*uses += 1)));
    /// ```
    ///
    /// # Panics
    /// If `max` is zero.
    pub fn builder<F>(max: usize, factory: F) -> Builder<T>
    where
        F: AsyncFn() -> Result<T, Error> + 'static,
    {
        assert!(max > 0, "a pool of no members would never serve anybody");
        Builder(Inner {
            max,
            rights: Cell::new(0),
            idle: RefCell::new(VecDeque::new()),
            age: Cell::new(0),
            waiters: Waiters::new(),
            factory: Box::new(factory),
            validate: None,
            check: None,
            dispose: None,
        })
    }

    /// Runs `f` with a member that nobody else has meanwhile (`Lwt_pool.use`).
    ///
    /// Waits in line if all are in use. An idle member is validated first; if there is none, or it is not
    /// valid, one is made. When `f` is done the member goes back to the pool; when `f` failed it is checked
    /// first, if the pool has a check. The outcome is `f`'s, after the member has gone where it belongs; if
    /// disposing of it fails, the unhandled-rejection hook is told.
    ///
    /// A cancel goes to where it waits: in line, inside the factory, the validation or `f`. A member whose
    /// validation was cancelled is disposed of, one whose use was cancelled is checked; disposing is not
    /// disturbed. If the promise is dropped, `f` runs all the same.
    ///
    /// # Errors
    /// Those of `f`, of the factory, of the validation; [`Canceled`](crate::Canceled); a panic of `f`, which
    /// counts as a failed use.
    #[track_caller]
    pub fn use_<A, F>(&self, f: F) -> Promise<A>
    where
        A: 'static,
        F: AsyncFnOnce(&mut T) -> Result<A, Error> + 'static,
    {
        let pool = &self.0;
        let lent = match pool.waiters.is_empty().then(|| pool.lend()).flatten() {
            Some(lent) => Promise::ready(lent),
            None => join_line(pool, |waiter| waiter),
        };
        spawn(async move {
            let mut lent = lent.await?;
            let outcome = match lent.prepare().await {
                Ok(member) => f(member).await,
                Err(error) => Err(error),
            };
            if outcome.is_ok() {
                lent.after = After::Keep;
            }
            lent.give_back().await;
            outcome
        })
    }

    /// Disposes of all idle members, and of those in use as soon as they come back (`Lwt_pool.clear`).
    ///
    /// Fulfilled when the idle ones have been disposed of. A cancel has no effect on that.
    ///
    /// ```
    /// # use lwt_core::pool::Pool;
    /// let pool = Pool::builder(2, async || Ok("m")).dispose(async |m| Ok(println!("{m} ends"))).build();
    /// drop(pool.use_(async |_: &mut &str| Ok(())));
    /// assert!(!pool.clear().is_pending());
    /// ```
    ///
    /// # Errors
    /// The first error of disposing; all members are disposed of nevertheless.
    #[track_caller]
    pub fn clear(&self) -> Promise<()> {
        self.0.age.set(self.0.age.get() + 1);
        let idle = self.0.idle.take();
        let ends = idle.into_iter().map(|member| retire(Right::behind_idle(&self.0), member));
        // All at once: the first to end may serve a waiter.
        let ends = ends.collect::<Vec<_>>();
        all(ends.into_iter().map(|end| end.bind(|(_, outcome)| Promise::from(outcome)))).map(drop)
    }

    /// How many uses wait for a member (`Lwt_pool.wait_queue_length`).
    ///
    /// ```
    /// # use lwt_core::{pool::Pool, wait};
    /// let pool = Pool::create(1, async || Ok(()));
    /// let (end, resolver) = wait();
    /// let first = pool.use_(async |_: &mut ()| end.await);
    /// let second = pool.use_(async |_: &mut ()| Ok(()));
    /// assert_eq!(pool.wait_queue_length(), 1);
    /// # resolver.wakeup(());
    /// ```
    pub fn wait_queue_length(&self) -> usize {
        self.0.waiters.len()
    }
}

/// A [`Pool`] to be: see [`Pool::builder`].
#[must_use = "`build` makes the pool"]
pub struct Builder<T: 'static>(Inner<T>);

impl<T: 'static> Builder<T> {
    /// Before a member is used again: whether it still can be. If not, or upon an error, it is disposed of.
    /// With `false` another one is made instead; an error is that of the use.
    pub fn validate<F>(mut self, f: F) -> Builder<T>
    where
        F: AsyncFn(&mut T) -> Result<bool, Error> + 'static,
    {
        self.0.validate = Some(Box::new(f));
        self
    }

    /// After a use has failed: whether the member can still be used. If not it is disposed of; also upon an
    /// error, of which the unhandled-rejection hook is told. Without this, members survive a failed use.
    pub fn check<F>(mut self, f: F) -> Builder<T>
    where
        F: AsyncFn(&mut T) -> Result<bool, Error> + 'static,
    {
        self.0.check = Some(Box::new(f));
        self
    }

    /// What is done with a member that is not used any more. Until it is done the member counts. Without
    /// this, members are dropped.
    pub fn dispose<F>(mut self, f: F) -> Builder<T>
    where
        F: AsyncFn(T) -> Result<(), Error> + 'static,
    {
        self.0.dispose = Some(Box::new(f));
        self
    }

    /// Makes the pool, without members.
    pub fn build(self) -> Pool<T> {
        Pool(Rc::new(self.0))
    }
}

impl<T: 'static> Clone for Pool<T> {
    fn clone(&self) -> Pool<T> {
        Pool(self.0.clone())
    }
}

impl<T: 'static> Inner<T> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("max", &self.max)
            .field("members", &self.rights.get())
            .field("idle", &self.idle.borrow().len())
            .field("waiting", &self.waiters.len())
            .finish()
    }
}

impl<T: 'static> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("Pool", f)
    }
}

impl<T: 'static> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.describe("Builder", f)
    }
}
