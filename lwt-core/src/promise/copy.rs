//! Promises with the outcome of another one, but with their own answer to a cancel: `protected`, `no_cancel`,
//! `wrap_in_cancelable`.

use std::mem::offset_of;

use crate::origin::Origin;
use crate::{Error, memory};

use super::Promise;
use super::attach::caught_result;
use super::cancel::Visitor;
use super::cell::{Body, Header, Raw, Route, VTable, abort_nothing, reject};
use super::handle::{Handle, Owner, dealloc_as, enlist, expire};
use super::members::{Member, Parent};

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnCancel {
    RejectCopy,
    Ignore,
    RejectBoth,
}

#[repr(C)]
struct Copy<T> {
    body: Body<T>,
    original: Member<T>,
    on_cancel: OnCancel,
}

impl<T> Parent<T> for Copy<T> {
    unsafe fn resolved(cell: Raw, member: *const Member<T>) {
        // SAFETY: the member is alive, by the caller.
        let original = unsafe { &*member }.take();
        // SAFETY: the ref is made for this.
        let owner = unsafe { Owner::<T>::adopt(cell.retain().into_raw()) };
        let result = caught_result(|| original.try_take().unwrap_or_else(|_| Err(Error::abandoned())));
        owner.pass_on(result);
    }
}

fn copy<T: 'static>(original: Promise<T>, on_cancel: OnCancel, origin: Origin) -> Promise<T> {
    let original = Member::new(original);
    if !original.is_pending() {
        return original.take();
    }
    let vtable = const {
        &VTable {
            dealloc: dealloc::<T>,
            reject: reject::<T>,
            expire: expire::<T>,
            visit: visit::<T>,
            detach: detach::<T>,
            runs: false,
            abort: abort_nothing,
        }
    };
    let block = memory::boxed(Copy {
        body: Body::<T>::new(Header::new(vtable, 1, 1, Route::Source, origin)),
        original,
        on_cancel,
    });
    // SAFETY: the block starts with a header and has a ref.
    let cell = unsafe { Raw::new(block) };
    enlist(cell);
    cell.set_link(Some(cell));
    // SAFETY: the member is unlinked by `detach`, at the latest when the block is freed.
    unsafe { Member::link::<Copy<T>>(original_of::<T>(cell), cell) };
    // SAFETY: the ref and the share that the cell was made with.
    Promise::from_handle(unsafe { Handle::adopt(cell) })
}

fn original_of<T>(cell: Raw) -> *const Member<T> {
    cell.as_ptr::<u8>().wrapping_add(offset_of!(Copy<T>, original)).cast()
}

unsafe fn visit<T>(cell: Raw, visitor: &mut dyn Visitor) {
    // SAFETY: the cell is a `Copy<T>`, alive.
    let copy = unsafe { &*cell.as_ptr::<Copy<T>>() };
    if copy.on_cancel != OnCancel::Ignore {
        visitor.takes(cell.root());
    }
    if copy.on_cancel == OnCancel::RejectBoth {
        visitor.waits_on(&mut copy.original.root().into_iter());
    }
}

unsafe fn detach<T>(cell: Raw) -> bool {
    // SAFETY: the cell is a `Copy<T>`, alive.
    let original = unsafe { &*original_of::<T>(cell) };
    original.unlink();
    drop(original.take());
    true
}

unsafe fn dealloc<T>(cell: Raw) {
    // SAFETY: the cell is a `Copy<T>`, not freed yet.
    unsafe { detach::<T>(cell) };
    // SAFETY: no ref is left.
    unsafe { dealloc_as::<Copy<T>>(cell) };
}

impl<T: 'static> Promise<T> {
    /// A promise with this one's outcome that can be cancelled without cancelling this one (`Lwt.protected`).
    ///
    /// Once it is cancelled or dropped, nothing of it stays on this promise: `p.protected().bind(f)` is a
    /// bind that can be got rid of.
    ///
    /// ```
    /// let (p, r) = lwt_core::task();
    /// let copy = p.clone().protected();
    /// copy.cancel();
    /// copy.on_failure(|e| assert!(e.is_canceled()));
    /// assert!(p.is_pending());
    /// r.wakeup(1);
    /// ```
    #[track_caller]
    pub fn protected(self) -> Promise<T> {
        copy(self, OnCancel::RejectCopy, Origin::caller())
    }

    /// A promise with this one's outcome on which a cancel has no effect (`Lwt.no_cancel`), nor on a task that
    /// awaits it, unless by [`keep_cancel`](crate::task::keep_cancel).
    ///
    /// ```
    /// let (p, r) = lwt_core::task();
    /// let p = p.no_cancel();
    /// p.cancel();
    /// assert!(p.is_pending());
    /// r.wakeup(1);
    /// ```
    #[track_caller]
    pub fn no_cancel(self) -> Promise<T> {
        copy(self, OnCancel::Ignore, Origin::caller())
    }

    /// A promise with this one's outcome that a cancel rejects in any case; the cancel goes on to this one as
    /// well (`Lwt.wrap_in_cancelable`).
    ///
    /// ```
    /// let (p, r) = lwt_core::wait();
    /// let copy = p.clone().wrap_in_cancelable();
    /// copy.cancel();
    /// copy.on_failure(|e| assert!(e.is_canceled()));
    /// assert!(p.is_pending());
    /// r.wakeup(1);
    /// ```
    #[track_caller]
    pub fn wrap_in_cancelable(self) -> Promise<T> {
        copy(self, OnCancel::RejectBoth, Origin::caller())
    }
}
