//! [`Func`]: a user's function that several callbacks call, one at a time. [`let_go`]: the end of a user's
//! value.

use std::cell::Cell;
use std::rc::Rc;

use crate::promise::cascade::guarded;

/// Drops a value in the midst of something that its panic is not to disturb: that goes to the
/// unhandled-rejection hook.
pub(crate) fn let_go<T>(value: T) {
    guarded(|| drop(value));
}

/// A handle on a function, or on other state that user code changes. No borrow is held while it is in use: it
/// is out of its place, and comes back also when it panics.
///
/// Its users see to it that no call begins inside another: a source is never asked inside itself, and a loop
/// has one step in progress.
pub(crate) struct Func<F>(Rc<Cell<Option<F>>>);

impl<F> Clone for Func<F> {
    fn clone(&self) -> Func<F> {
        Func(self.0.clone())
    }
}

impl<F> Func<F> {
    pub(crate) fn new(f: F) -> Func<F> {
        Func(Rc::new(Cell::new(Some(f))))
    }

    /// # Panics
    /// If it is in use.
    pub(crate) fn call<R>(&self, g: impl FnOnce(&mut F) -> R) -> R {
        struct Out<'a, F>(&'a Cell<Option<F>>, Option<F>);
        impl<F> Drop for Out<'_, F> {
            fn drop(&mut self) {
                self.0.set(self.1.take());
            }
        }
        let mut out = Out(&self.0, self.0.take());
        match &mut out.1 {
            Some(f) => g(f),
            None => panic!("a function was called inside itself"),
        }
    }
}
