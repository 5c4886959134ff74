//! [`Resolver`]: the write end of a promise.

use std::fmt;
use std::mem::ManuallyDrop;

use crate::Error;
use crate::origin::Origin;

use super::Promise;
use super::cascade::When;
use super::cell::Route;
use super::handle::{Owner, plain_cell};
use super::observe;
use super::section;

/// A pending promise that a cancel cannot touch, and its resolver (`Lwt.wait`).
///
/// ```
/// let (p, r) = lwt_core::wait::<u32>();
/// p.cancel();
/// assert!(p.is_pending());
/// r.wakeup(1);
/// assert!(!p.is_pending());
/// ```
#[inline]
#[track_caller]
pub fn wait<T: 'static>() -> (Promise<T>, Resolver<T>) {
    make(Route::Fixed, Origin::caller())
}

/// A pending promise that a cancel rejects with [`Canceled`](crate::Canceled), and its resolver (`Lwt.task`).
///
/// ```
/// let (p, r) = lwt_core::task::<u32>();
/// r.on_cancel(|| println!("nobody wants it any more"));
/// p.cancel();
/// assert!(!p.is_pending());
/// assert_eq!(r.try_wakeup(1), Err(1));
/// # p.on_failure(|_| ());
/// ```
#[inline]
#[track_caller]
pub fn task<T: 'static>() -> (Promise<T>, Resolver<T>) {
    make(Route::Leaf, Origin::caller())
}

#[inline]
fn make<T: 'static>(route: Route, origin: Origin) -> (Promise<T>, Resolver<T>) {
    let (handle, owner) = plain_cell(route, origin);
    (Promise::from_handle(handle), Resolver { owner: ManuallyDrop::new(owner) })
}

/// The end of a promise that resolves it, once (`Lwt.u`, the resolver).
///
/// Resolving takes the resolver, so that a second time does not compile. Resolving a promise that was
/// cancelled has no effect. A resolver that is dropped rejects its promise with
/// [`Abandoned`](crate::Abandoned), so that a lost wake-up is an error and not a hang; the callbacks then run
/// as after [`wakeup_later`](Resolver::wakeup_later), or, where the drop is part of a panic's unwinding or
/// happens in a blocking section, at the next turn of the loop.
///
/// # Panics
/// Whatever resolves the promise does, if the thread is [in a section](crate::scheduler::set_in_section) in
/// which promises are not to be touched. The promise is then abandoned. While a panic unwinds nothing more
/// is said: then callbacks wait for the next turn.
///
/// It belongs to its thread, as the promise does, and is invariant in `T`:
///
/// ```compile_fail
/// fn shrink<'a>(r: lwt_core::Resolver<&'static str>) -> lwt_core::Resolver<&'a str> { r }
/// ```
pub struct Resolver<T> {
    owner: ManuallyDrop<Owner<T>>,
}

impl<T> Resolver<T> {
    #[inline]
    #[track_caller]
    fn resolve(self, result: Result<T, Error>, when: When) {
        section::check();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and its owner is taken this one time.
        let owner = unsafe { ManuallyDrop::take(&mut this.owner) };
        // A cancelled promise stays so.
        let _ = owner.resolve(result, when);
    }

    /// Fulfils the promise and runs its callbacks before it returns (`Lwt.wakeup`).
    ///
    /// Inside a cascade that is some 40 levels deep the callbacks wait for the outermost level instead.
    #[inline]
    #[track_caller]
    pub fn wakeup(self, value: T) {
        self.resolve(Ok(value), When::Now);
    }

    /// Rejects the promise and runs its callbacks before it returns (`Lwt.wakeup_exn`).
    #[track_caller]
    pub fn wakeup_err(self, error: impl Into<Error>) {
        self.resolve(Err(fresh(error.into())), When::Now);
    }

    /// [`wakeup`](Resolver::wakeup) or [`wakeup_err`](Resolver::wakeup_err) (`Lwt.wakeup_result`).
    #[track_caller]
    pub fn wakeup_result(self, result: Result<T, Error>) {
        self.resolve(result.map_err(fresh), When::Now);
    }

    /// Fulfils the promise; inside a running cascade its callbacks wait until the outermost resolution has
    /// run its own (`Lwt.wakeup_later`).
    ///
    /// ```
    /// # use lwt_core::wait;
    /// let (p1, r1) = wait::<()>();
    /// let (p2, r2) = wait::<()>();
    /// p2.on_success(|()| println!("second"));
    /// p1.on_success(move |()| { r2.wakeup_later(()); println!("first") });
    /// r1.wakeup(());
    /// assert!(!p2.is_pending());
    /// ```
    #[track_caller]
    pub fn wakeup_later(self, value: T) {
        self.resolve(Ok(value), When::Later);
    }

    /// The rejecting [`wakeup_later`](Resolver::wakeup_later) (`Lwt.wakeup_later_exn`).
    #[track_caller]
    pub fn wakeup_later_err(self, error: impl Into<Error>) {
        self.resolve(Err(fresh(error.into())), When::Later);
    }

    /// [`wakeup_later`](Resolver::wakeup_later) or [`wakeup_later_err`](Resolver::wakeup_later_err)
    /// (`Lwt.wakeup_later_result`).
    #[track_caller]
    pub fn wakeup_later_result(self, result: Result<T, Error>) {
        self.resolve(result.map_err(fresh), When::Later);
    }

    /// Fulfils the promise if somebody wants it: the way for queues to lose nothing.
    ///
    /// # Errors
    /// Gives the value back when the promise was cancelled, or nobody holds it any more.
    #[track_caller]
    pub fn try_wakeup(self, value: T) -> Result<(), T> {
        if !self.is_wanted() {
            return Err(value);
        }
        self.wakeup(value);
        Ok(())
    }

    /// Whether the promise is pending and somebody holds it or waits for it.
    pub fn is_wanted(&self) -> bool {
        let root = self.owner.root();
        root.is_pending() && root.shares() > 0
    }

    /// Whether the promise was not cancelled.
    pub(crate) fn is_pending(&self) -> bool {
        self.owner.root().is_pending()
    }
}

impl<T: 'static> Resolver<T> {
    /// Calls `f` when the promise is rejected by a cancel, before its other callbacks.
    pub fn on_cancel(&self, f: impl FnOnce() + 'static) {
        observe::on_cancel(self.owner.root(), f);
    }

    /// Calls `f`, once, when the promise is cancelled or its last holder drops it: from then on nobody will
    /// see the outcome.
    ///
    /// This is the place to free a timer or a place in a queue. At once if it is so already; never if the
    /// promise is resolved otherwise.
    pub fn on_unwanted(&self, f: impl FnOnce() + 'static) {
        observe::on_unwanted(self.owner.root(), f);
    }
}

/// An error that rejects a promise anew is to be seen anew.
pub(crate) fn fresh(error: Error) -> Error {
    error.mark_fresh();
    error
}

impl<T> Drop for Resolver<T> {
    fn drop(&mut self) {
        // SAFETY: the owner is taken this one time: `resolve` forgets the resolver.
        let owner = unsafe { ManuallyDrop::take(&mut self.owner) };
        if owner.root().is_pending() {
            let when = if std::thread::panicking() { When::NextTurn } else { When::Later };
            let _ = owner.resolve(Err(Error::abandoned()), when);
        }
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("wanted", &self.is_wanted()).finish()
    }
}
