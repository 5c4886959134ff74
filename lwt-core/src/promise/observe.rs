//! Callbacks that make no promise: `on_success`, `on_failure`, `on_termination`, `on_any`, `on_cancel`,
//! `on_unwanted`.

use std::ptr::NonNull;

use crate::Error;
use crate::memory;
use crate::storage::Storage;

use super::cascade::guarded;
use super::cell::{CANCELED, HAS_EARLY, Node, NodeKind, NodeVTable, Raw, Ref, peek};
use super::handle::ShareGuard;
use super::{Promise, Repr};

/// A node in a block of its own.
#[repr(C)]
struct Watcher<F> {
    node: Node,
    /// The cell, if the callback is to run whatever becomes of the handles.
    cell: Option<Ref>,
    storage: Storage,
    callback: F,
}

fn watcher<F>(vtable: &'static NodeVTable, cell: Option<Ref>, callback: F) -> NonNull<Watcher<F>> {
    memory::boxed(Watcher { node: Node::new(vtable), cell, storage: Storage::capture(), callback })
}

/// Takes a watcher out of its block.
///
/// # Safety
/// `node` is that of a `Watcher<F>`, unlinked, and not used any more.
unsafe fn unbox<F>(node: *const Node) -> Watcher<F> {
    let block = node.cast::<Watcher<F>>().cast_mut();
    // SAFETY: by the caller.
    let watcher = unsafe { block.read() };
    // SAFETY: the block came from `memory::boxed` as a `Watcher<F>`.
    unsafe { memory::free(NonNull::new_unchecked(block)) };
    watcher
}

/// # Safety
/// As [`unbox`].
unsafe fn drop_watcher<F>(node: *const Node) {
    // SAFETY: by the caller.
    drop(unsafe { unbox::<F>(node) });
}

/// Runs a callback that looks at the result, and gives its share up.
///
/// # Safety
/// As [`unbox`]; `root` is the resolved root of a promise of `T` on which the node has a share.
unsafe fn look<T, F: FnOnce(Result<&T, &Error>)>(node: *const Node, root: Raw) -> Option<Ref> {
    let _share = ShareGuard(root);
    // SAFETY: by the caller.
    let watcher = unsafe { unbox::<F>(node) };
    let _cell = watcher.cell;
    let _installed = watcher.storage.install();
    // SAFETY: the node's share keeps the value until the end of this function.
    (watcher.callback)(unsafe { peek::<T>(root) });
    None
}

/// # Safety
/// As [`unbox`].
unsafe fn run_early<F: FnOnce()>(node: *const Node, _: Raw) -> Option<Ref> {
    // SAFETY: by the caller.
    let watcher = unsafe { unbox::<F>(node) };
    let _installed = watcher.storage.install();
    (watcher.callback)();
    None
}

fn early<F: FnOnce() + 'static>(root: Raw, vtable: &'static NodeVTable, f: F) {
    let node = watcher(vtable, None, f);
    root.set(HAS_EARLY);
    // SAFETY: the watcher is alive until it is run or dropped.
    unsafe { root.callbacks.push_back(node.as_ptr().cast()) };
}

pub(crate) fn on_cancel<F: FnOnce() + 'static>(root: Raw, f: F) {
    if root.is_pending() {
        let vtable =
            const { &NodeVTable { kind: NodeKind::OnCancel, run: run_early::<F>, drop: drop_watcher::<F> } };
        early(root, vtable, f);
    } else if root.has(CANCELED) {
        guarded(f);
    }
}

pub(crate) fn on_unwanted<F: FnOnce() + 'static>(root: Raw, f: F) {
    if root.is_pending() && root.shares() > 0 {
        let vtable = const {
            &NodeVTable { kind: NodeKind::OnUnwanted, run: run_early::<F>, drop: drop_watcher::<F> }
        };
        early(root, vtable, f);
    } else if root.is_pending() || root.has(CANCELED) {
        guarded(f);
    }
}

impl<T: 'static> Promise<T> {
    /// Calls `f` with the outcome, once resolved (`Lwt.on_any`).
    ///
    /// At once if it is resolved already (or an await has taken the value, which is an error here as
    /// everywhere). A panic of `f` goes to the unhandled-rejection hook. `f` runs also when this promise is
    /// dropped before.
    ///
    /// ```
    /// # use lwt_core::Promise;
    /// Promise::ready(3).on_any(|outcome| assert_eq!(outcome.ok(), Some(&3)));
    /// ```
    pub fn on_any(&self, f: impl FnOnce(Result<&T, &Error>) + 'static) {
        self.observe(move |result| {
            if let Err(error) = result {
                error.mark_seen();
            }
            f(result);
        });
    }

    /// Calls `f` with the value, once fulfilled (`Lwt.on_success`). Does not count as a look at a rejection.
    pub fn on_success(&self, f: impl FnOnce(&T) + 'static) {
        self.observe(move |result| {
            if let Ok(value) = result {
                f(value);
            }
        });
    }

    /// Calls `f` with the error, once rejected (`Lwt.on_failure`).
    pub fn on_failure(&self, f: impl FnOnce(&Error) + 'static) {
        self.observe(move |result| {
            if let Err(error) = result {
                error.mark_seen();
                f(error);
            }
        });
    }

    /// Calls `f`, once resolved (`Lwt.on_termination`).
    pub fn on_termination(&self, f: impl FnOnce() + 'static) {
        self.on_any(move |_| f());
    }

    /// Calls `f` if the promise is, or gets, rejected by a cancel; before its ordinary callbacks
    /// (`Lwt.on_cancel`).
    ///
    /// ```
    /// let (p, _r) = lwt_core::task::<()>();
    /// p.on_cancel(|| println!("cancelled"));
    /// p.cancel();
    /// ```
    pub fn on_cancel(&self, f: impl FnOnce() + 'static) {
        match &self.repr {
            Repr::Cell(handle) => on_cancel(handle.root(), f),
            Repr::Waiting(waiting) => on_cancel(waiting.root(), f),
            Repr::Failed(rejection) if rejection.error().is_canceled() => guarded(f),
            Repr::Ready(_) | Repr::Failed(_) | Repr::Taken => {}
        }
    }

    fn observe<F: FnOnce(Result<&T, &Error>) + 'static>(&self, f: F) {
        if let Some(result) = self.peek() {
            return guarded(|| f(result));
        }
        let Some(root) = self.root() else { return };
        let vtable =
            const { &NodeVTable { kind: NodeKind::Looking, run: look::<T, F>, drop: drop_watcher::<F> } };
        let node = watcher(vtable, Some(root.retain()), f);
        root.add_shares(1);
        // SAFETY: the watcher is alive until it is run or dropped.
        unsafe { root.callbacks.push_back(node.as_ptr().cast()) };
    }
}

/// Runs `f` now; whatever goes wrong, then or later, goes to `handler` (`Lwt.dont_wait`).
///
/// To have it go to the unhandled-rejection hook (`Lwt.async`), just drop the promise.
///
/// ```
/// use lwt_core::{Promise, dont_wait};
/// dont_wait(|| Promise::fail(std::fmt::Error), |e| eprintln!("in the background: {e}"));
/// ```
pub fn dont_wait(f: impl FnOnce() -> Promise<()>, handler: impl FnOnce(Error) + 'static) {
    super::attach::caught(f).on_failure(move |error| handler(error.clone()));
}
