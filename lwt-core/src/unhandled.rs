//! The hook for rejections that nobody looks at, and for panics that have no promise to reject.
//!
//! A rejection is *seen* when user code gets it: by an await, [`state`](crate::Promise::state), `on_failure`,
//! `on_any`, `on_termination`, a handler of `catch` or `try_bind`; or when a combinator absorbs it, its
//! result being another one. When it passes through a `bind` or a combinator into the promise made from it,
//! that promise answers for it. When the last share of a promise goes and its rejection was not seen, the
//! thread's hook is told, once per error. A cancel is never told, nor is an abandoned promise that nobody
//! held.

use std::any::Any;
use std::cell::RefCell;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::Error;

/// What [`set_unhandled_hook`] sets.
pub type UnhandledHook = Rc<dyn Fn(&Error)>;

thread_local! {
    // Without a destructor: rejections may be dropped to the very end of the thread.
    static HOOK: ManuallyDrop<RefCell<Option<UnhandledHook>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Sets what this thread calls for each rejection that nobody has looked at, and gives back what was set
/// (`Lwt.async_exception_hook`). `None` is the default: print the error and its origin to stderr, and go on.
///
/// ```
/// use lwt_core::{Promise, set_unhandled_hook};
/// use std::{cell::Cell, rc::Rc};
/// let seen = Rc::new(Cell::new(0));
/// let count = seen.clone();
/// set_unhandled_hook(Some(Rc::new(move |_error| count.set(count.get() + 1))));
/// drop(Promise::<()>::fail(std::fmt::Error));
/// assert_eq!(seen.get(), 1);
/// # set_unhandled_hook(None);
/// ```
pub fn set_unhandled_hook(hook: Option<UnhandledHook>) -> Option<UnhandledHook> {
    HOOK.with(|current| current.replace(hook))
}

/// Tells the hook of a rejection that goes unseen.
#[cold]
pub(crate) fn report_unseen(error: &Error) {
    if error.take_unseen() {
        report(error);
    }
}

/// Tells the hook of a panic that has no promise to reject.
#[cold]
pub(crate) fn report_panic(payload: Box<dyn Any + Send>) {
    let error = Error::from_panic(payload);
    if error.take_unseen() {
        report(&error);
    }
    // Dropping a payload is foreign code once more.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(error))) {
        std::mem::forget(again);
    }
}

fn report(error: &Error) {
    let hook = HOOK.with(|hook| hook.borrow().clone());
    let Some(hook) = hook else { return print(error) };
    // The hook itself is dropped in there, too: it may have set another one.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || hook(error))) {
        print(error);
        let panic = Error::from_panic(payload);
        print(&panic);
        std::mem::forget(panic);
    }
}

fn print(error: &Error) {
    // The text is foreign code: an error's own `Display`.
    let text = catch_unwind(AssertUnwindSafe(|| format!("{error:?}"))).unwrap_or_else(|payload| {
        std::mem::forget(payload);
        format!("an error that panics when it is shown (at {})", error.origin())
    });
    // Not `eprintln!`, which panics when stderr is closed.
    let _ = writeln!(std::io::stderr(), "lwt: unhandled rejection: {text}");
}
