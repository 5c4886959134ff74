//! `bind` and its relatives. [`Promise::attach`] is the model function of this crate: all that makes a
//! promise from a promise by a user's callback goes through it, and the other combinators follow its pattern.

use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::origin::Origin;
use crate::storage::Storage;
use crate::{Error, memory};

use super::cascade::{When, guarded};
use super::cell::{
    Body, Header, Node, NodeKind, NodeVTable, Raw, Ref, Route, VTable, abort_nothing, detach_nothing, reject,
    visit_nothing,
};
use super::handle::{Handle, Owner, dealloc_as, enlist, expire, lets_look_first, take};
use super::{Promise, Repr};

/// One block: the cell of the promise that is made, the callback's node in the list of the promise it was
/// made from, and the callback.
#[repr(C)]
struct Step<A, B, K> {
    body: Body<B>,
    node: Node,
    origin: Origin,
    /// Taken when the callback runs.
    storage: ManuallyDrop<Storage>,
    callback: ManuallyDrop<K>,
    source: PhantomData<fn(A)>,
}

impl<A: 'static> Promise<A> {
    /// The promise of what `callback` makes of this one's outcome.
    ///
    /// * Resolved: the callback runs here and now, in the caller's storage, and its promise is the result.
    ///   Nothing is allocated.
    /// * Pending: the result is a new cell, with the callback behind it in the same block. The callback runs
    ///   when this promise is resolved, in the storage that is in force now, and always: also if the result
    ///   was dropped. Then the new cell is resolved with, or unified with, the promise that the callback
    ///   returns. Until then a cancel of the result goes on to this promise.
    ///
    /// A panic of the callback rejects the result in both cases.
    #[inline]
    #[track_caller]
    pub(crate) fn attach<B: 'static, K>(self, callback: K) -> Promise<B>
    where
        K: FnOnce(Result<A, Error>) -> Promise<B> + 'static,
    {
        let origin = Origin::caller();
        let handle = match self.repr {
            Repr::Ready(value) => return caught(|| callback(Ok(value))),
            Repr::Failed(rejection) => {
                let error = rejection.into_error();
                origin.trace(&error);
                return caught(|| callback(Err(error)));
            }
            Repr::Cell(handle) => handle,
            Repr::Waiting(waiting) => waiting.into_handle(),
            Repr::Taken => return Promise::taken(),
        };
        attach_handle(handle, callback, origin)
    }
}

#[inline]
fn attach_handle<A: 'static, B: 'static, K>(handle: Handle<A>, callback: K, origin: Origin) -> Promise<B>
where
    K: FnOnce(Result<A, Error>) -> Promise<B> + 'static,
{
    if handle.takeable_root().is_some() {
        return caught(|| {
            let result = handle.take();
            if let Err(error) = &result {
                origin.trace(error);
            }
            callback(result)
        });
    }
    Promise::from_handle(attach_waiting(handle, callback, origin))
}

/// The part of [`Promise::attach`] for a source whose value is not there yet.
#[inline]
fn attach_waiting<A, B, K>(handle: Handle<A>, callback: K, origin: Origin) -> Handle<B>
where
    K: FnOnce(Result<A, Error>) -> Promise<B>,
{
    let source = handle.root();
    // Two refs, the promise's and the node's; the share is the promise's.
    let step = memory::boxed(Step::<A, B, K> {
        body: Body::new(Header::new(vtable::<A, B, K>(), 2, 1, Route::Via, origin)),
        node: Node::new(node_vtable::<A, B, K>()),
        origin,
        storage: ManuallyDrop::new(Storage::capture()),
        callback: ManuallyDrop::new(callback),
        source: PhantomData,
    });
    // SAFETY: the block starts with a header, and has refs.
    let cell = unsafe { Raw::new(step) };
    enlist(cell);
    // The handle goes into the step: its ref into the link, its share to the node.
    cell.set_link(Some(handle.into_raw()));
    // SAFETY: the node lies in the block that its ref keeps alive, and is unlinked before that ref goes.
    unsafe { source.callbacks.push_back(&raw const (*step.as_ptr()).node.links) };
    // SAFETY: the promise's ref and share.
    unsafe { Handle::adopt(cell) }
}

/// A promise of its own for a resolved one whose value cannot be taken yet: it is looked at in a frame
/// further out.
pub(crate) fn passed_on<T>(handle: Handle<T>) -> Handle<T> {
    attach_waiting(handle, Promise::settled, Origin::caller())
}

/// The callback's turn: `source` is resolved.
unsafe fn run<A, B, K>(node: *const Node, source: Raw) -> Option<Ref>
where
    K: FnOnce(Result<A, Error>) -> Promise<B>,
{
    // SAFETY: the node's turn, and it owns a share; `source` is the root of an `A`.
    if unsafe { lets_look_first::<A>(node, source) } {
        return None;
    }
    let step = step_of::<A, B, K>(node);
    // SAFETY: a node runs once; the ref was the node's, and is let go of at the end, also in a panic.
    let target = unsafe { Owner::<B>::adopt(Raw::new(std::ptr::NonNull::new_unchecked(step))) };
    // What the callback does to its own result must not find the way to the promise that is done with.
    target.cut_route();
    // SAFETY: the storage and the callback are taken this one time.
    let (storage, callback) =
        unsafe { ((&raw const (*step).storage).read(), (&raw const (*step).callback).read()) };
    // SAFETY: the node's share; the cascade keeps the resolved root alive.
    let result = unsafe { take::<A>(source) };
    if let Err(error) = &result {
        // SAFETY: the step is alive: `target` is a ref.
        unsafe { (*step).origin }.trace(error);
    }
    let promise = caught(|| {
        let _installed = ManuallyDrop::into_inner(storage).install();
        ManuallyDrop::into_inner(callback)(result)
    });
    // The callback may have made its own result another promise's: `settle` follows the forwarding now, not
    // before.
    target.settle_for_later(promise)
}

/// The source goes away unresolved, so the callback has nothing to run for.
unsafe fn drop_step<A, B, K>(node: *const Node) {
    let step = step_of::<A, B, K>(node);
    // SAFETY: the ref was the node's.
    let target = unsafe { Owner::<B>::adopt(Raw::new(std::ptr::NonNull::new_unchecked(step))) };
    target.cut_route();
    // SAFETY: the node is dropped instead of run, once.
    let (storage, callback) =
        unsafe { ((&raw const (*step).storage).read(), (&raw const (*step).callback).read()) };
    guarded(|| drop(ManuallyDrop::into_inner(storage)));
    guarded(|| drop(ManuallyDrop::into_inner(callback)));
    let _ = target.resolve(Err(Error::abandoned()), When::NextTurn);
}

fn step_of<A, B, K>(node: *const Node) -> *mut Step<A, B, K> {
    // The pointer was made from the block's, so it may go back to its start.
    node.wrapping_byte_sub(offset_of!(Step<A, B, K>, node)).cast::<Step<A, B, K>>().cast_mut()
}

fn vtable<A, B, K>() -> &'static VTable {
    const {
        &VTable {
            dealloc: dealloc_as::<Step<A, B, K>>,
            reject: reject::<B>,
            expire: expire::<B>,
            visit: visit_nothing,
            detach: detach_nothing,
            runs: false,
            abort: abort_nothing,
        }
    }
}

fn node_vtable<A, B, K>() -> &'static NodeVTable
where
    K: FnOnce(Result<A, Error>) -> Promise<B>,
{
    const { &NodeVTable { kind: NodeKind::Taking, run: run::<A, B, K>, drop: drop_step::<A, B, K> } }
}

/// Calls `f`; a panic becomes an error.
#[inline]
pub(crate) fn caught_result<B>(f: impl FnOnce() -> Result<B, Error>) -> Result<B, Error> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(Error::from_panic(payload)))
}

/// Calls `f`; a panic becomes a rejection.
#[inline]
pub(crate) fn caught<B>(f: impl FnOnce() -> Promise<B>) -> Promise<B> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(promise) => promise,
        Err(payload) => Promise::rejected(Error::from_panic(payload)),
    }
}

// What a callback does not use is dropped in them before the end: what a function returns is leaked when the
// drop of a local panics there.
impl<T: 'static> Promise<T> {
    /// The promise of `f`'s promise (`Lwt.bind`, `>>=`).
    ///
    /// Fulfilled: `f` is called at once, as a function is. Pending: `f` is called when this promise is
    /// fulfilled, inside the resolving `wakeup`. Rejected, now or later: so is the result, and `f` is not
    /// called. `f` always runs if there is something to run it for, also when the result was dropped. A
    /// cancel of the result goes to this promise while it is pending, and to `f`'s promise after that.
    ///
    /// A tail call `loop() = p.bind(|_| loop())` over pending promises runs in constant memory; over resolved
    /// ones it recurses on the stack, as every function does: see [`iterate`](crate::iterate) for such loops.
    ///
    /// ```
    /// use lwt_core::{Promise, State, wait};
    /// let (p, r) = wait();
    /// let q = p.bind(|n: u32| Promise::ready(n + 1));
    /// assert!(q.is_pending());
    /// r.wakeup(41);
    /// assert!(matches!(q.state(), State::Fulfilled(42)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn bind<U: 'static>(self, f: impl FnOnce(T) -> Promise<U> + 'static) -> Promise<U> {
        self.attach(|result| match result {
            Ok(value) => f(value),
            Err(error) => {
                drop(f);
                Promise::rejected(error)
            }
        })
    }

    /// The promise of what `f` makes of the value (`Lwt.map`, `>|=`).
    ///
    /// ```
    /// use lwt_core::{Promise, State};
    /// assert!(matches!(Promise::ready(20).map(|n| n + 1).state(), State::Fulfilled(21)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn map<U: 'static>(self, f: impl FnOnce(T) -> U + 'static) -> Promise<U> {
        self.attach(|result| match result {
            Ok(value) => Promise::ready(f(value)),
            Err(error) => {
                drop(f);
                Promise::rejected(error)
            }
        })
    }

    /// This promise, or, if it is rejected, what `handler` makes of the error (`Lwt.catch`).
    ///
    /// For a body that may itself panic, `apply(body).catch(handler)` is Lwt's form.
    ///
    /// ```
    /// use lwt_core::{Promise, State};
    /// let p = Promise::<u32>::fail(std::fmt::Error).catch(|_| Promise::ready(7));
    /// assert!(matches!(p.state(), State::Fulfilled(7)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn catch(self, handler: impl FnOnce(Error) -> Promise<T> + 'static) -> Promise<T> {
        self.attach(|result| match result {
            Ok(value) => {
                drop(handler);
                Promise::ready(value)
            }
            Err(error) => {
                error.mark_seen();
                handler(error)
            }
        })
    }

    /// [`bind`](Promise::bind) with a handler for this promise's rejection, but not for `f`'s
    /// (`Lwt.try_bind`).
    ///
    /// ```
    /// use lwt_core::{Promise, State};
    /// let p = Promise::ready(1).try_bind(|n| Promise::ready(n.to_string()), |e| Promise::ready(e.to_string()));
    /// assert!(matches!(p.state(), State::Fulfilled(s) if s == "1"));
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_bind<U: 'static>(
        self,
        f: impl FnOnce(T) -> Promise<U> + 'static,
        handler: impl FnOnce(Error) -> Promise<U> + 'static,
    ) -> Promise<U> {
        self.attach(|result| match result {
            Ok(value) => {
                drop(handler);
                f(value)
            }
            Err(error) => {
                drop(f);
                error.mark_seen();
                handler(error)
            }
        })
    }

    /// This promise's outcome, after `cleanup` has run on either and its promise is fulfilled
    /// (`Lwt.finalize`).
    ///
    /// A cleanup that fails replaces the outcome. It runs upon a cancel, too.
    ///
    /// ```
    /// use lwt_core::{Promise, State};
    /// let p = Promise::ready(1).finalize(|| Promise::ready(()));
    /// assert!(matches!(p.state(), State::Fulfilled(1)));
    /// ```
    #[inline]
    #[track_caller]
    pub fn finalize(self, cleanup: impl FnOnce() -> Promise<()> + 'static) -> Promise<T> {
        self.attach(|result| {
            caught(cleanup).attach(move |cleaned| match cleaned {
                Ok(()) => Promise::settled(result),
                Err(error) => {
                    if let Err(replaced) = &result {
                        replaced.mark_seen();
                    }
                    drop(result);
                    Promise::rejected(error)
                }
            })
        })
    }
}

/// Calls `f`; a panic becomes a rejection (`Lwt.apply`, and the body of `Lwt.catch`, `Lwt.try_bind`,
/// `Lwt.finalize`).
///
/// ```
/// use lwt_core::{Promise, State, apply};
/// let p = apply(|| -> Promise<u32> { panic!("no") }).catch(|e| Promise::ready(e.panic_message().map_or(0, |m| m.len() as u32)));
/// assert!(matches!(p.state(), State::Fulfilled(2)));
/// ```
pub fn apply<T>(f: impl FnOnce() -> Promise<T>) -> Promise<T> {
    caught(f)
}

/// Calls `f` and makes a promise of its value; a panic becomes a rejection (`Lwt.wrap`).
///
/// ```
/// use lwt_core::{State, wrap};
/// assert!(matches!(wrap(|| 3).state(), State::Fulfilled(3)));
/// ```
pub fn wrap<T>(f: impl FnOnce() -> T) -> Promise<T> {
    caught(|| Promise::ready(f()))
}
