//! [`Token`]: the proof that this thread holds the runtime lock, and what can be done with it.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use lwt_core::scheduler;

use super::{PLACE, Shared};

/// The proof that this thread holds a runtime lock, lent to a closure for the time of a call. The
/// [module's documentation](super) tells what it is for.
///
/// It cannot leave the closure or the thread, and nothing got through it outlives a blocking section:
///
/// ```compile_fail,E0502
/// # use lwt_preemptive::lock::RuntimeLock;
/// # let lock = RuntimeLock::current().unwrap();
/// # let names = lock.guard(vec![String::new()]);
/// lock.attach(|token| {
///     let first = &names.get(token)[0];
///     token.blocking(|| ());
///     println!("{first}"); // somebody else may have changed it
/// });
/// ```
pub struct Token<'t> {
    pub(super) shared: &'t Arc<Shared>,
    pub(super) invariant: PhantomData<fn(&'t ()) -> &'t ()>,
    /// Neither `Send` nor `Sync`.
    pub(super) confined: PhantomData<*mut ()>,
}

impl Token<'_> {
    /// Gives the lock up, runs `f`, and takes the lock again, after all who wait for it by then
    /// (`caml_enter_blocking_section`, `caml_leave_blocking_section`).
    ///
    /// `f` is for calls that block and for long computations. It runs on this thread and reaches no
    /// [`Locked`] value: copy into it what it needs, and out of it what it gives.
    ///
    /// On the loop's own thread no promise is to be resolved or cancelled in it, for callbacks count on the
    /// lock: who tries panics. A [`Resolver`](lwt_core::Resolver) that is dropped there rejects its promise,
    /// whose callbacks wait for the loop's next turn.
    ///
    /// A signal that interrupts a system call in `f` is seen by `f`, as `EINTR`: the handler of the signal
    /// runs on its loop, and whether the call is made again is for `f` to decide.
    ///
    /// [`Locked`]: super::Locked
    ///
    /// # Panics
    /// If `f` does; the lock is taken again before the panic goes on.
    pub fn blocking<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let _retake = Retake::new(self.shared);
        f()
    }

    /// Lets others have the lock, if one of them has waited for it for longer than the switch interval. Says
    /// whether it was handed over; it is held again in any case.
    ///
    /// It costs a load while nobody waits, and a look at the clock while somebody does, so a long computation
    /// that keeps the lock can well afford it.
    pub fn checkpoint(&mut self) -> bool {
        self.shared.fair.is_due() && self.yield_now()
    }

    /// Lets all others who wait for the lock at this moment have it first (`Thread.yield`). Says whether
    /// there were any.
    pub fn yield_now(&mut self) -> bool {
        PLACE.with(|place| {
            place.holds.set(ptr::null());
            let handed = self.shared.fair.hand_over();
            place.holds.set(Arc::as_ptr(self.shared));
            handed
        })
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Takes the lock again at the end of a section.
struct Retake<'t> {
    shared: &'t Arc<Shared>,
}

impl<'t> Retake<'t> {
    fn new(shared: &'t Arc<Shared>) -> Retake<'t> {
        PLACE.with(|place| {
            place.holds.set(ptr::null());
            place.lent.set(false);
            if place.is_own(Arc::as_ptr(shared)) {
                scheduler::set_in_section(true);
            }
        });
        shared.fair.release();
        Retake { shared }
    }
}

impl Drop for Retake<'_> {
    fn drop(&mut self) {
        self.shared.fair.acquire();
        PLACE.with(|place| {
            place.holds.set(Arc::as_ptr(self.shared));
            place.lent.set(true);
            if place.is_own(Arc::as_ptr(self.shared)) {
                scheduler::set_in_section(false);
            }
        });
    }
}
