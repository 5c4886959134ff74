//! What is called on each turn of the loop: [`enter_iter_hooks`] and [`leave_iter_hooks`].
//!
//! 1. Hooks belong to a thread. They run in the order of their list, on its loop only.
//! 2. What a hook adds is called from the next turn on; what it removes is not called any more, also not in
//!    this turn.
//! 3. A hook that panics is reported to the hook for unhandled rejections, and stays.
//! 4. At the very end of a thread the lists are gone: nothing is added then, and nothing is there to be
//!    removed. That is not an error, because destructors remove hooks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread::LocalKey;

use lwt_core::{Error, Promise};

/// The hooks that this thread's loop calls when a turn begins (`Lwt_main.Enter_iter_hooks`).
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// let turns = Rc::new(Cell::new(0));
/// let hook = lwt_unix::enter_iter_hooks().add_last({
///     let turns = turns.clone();
///     move || turns.set(turns.get() + 1)
/// });
/// lwt_unix::run(lwt_core::pause()).unwrap();
/// assert_eq!(turns.get(), 1);
/// hook.remove();
/// ```
pub fn enter_iter_hooks() -> IterHooks {
    IterHooks { list: &ENTER }
}

/// The hooks that this thread's loop calls when a turn ends (`Lwt_main.Leave_iter_hooks`).
pub fn leave_iter_hooks() -> IterHooks {
    IterHooks { list: &LEAVE }
}

/// One of the two lists of hooks of this thread's loop. See [`enter_iter_hooks`].
#[derive(Clone, Copy)]
pub struct IterHooks {
    list: &'static LocalKey<List>,
}

/// A hook that was added to a list; it stays there until it is removed, also when this handle is dropped.
#[derive(Clone)]
pub struct IterHook {
    hooks: IterHooks,
    call: Rc<Call>,
}

/// A hook's function. It is out of its cell only while it runs.
type Call = RefCell<Option<Box<dyn FnMut()>>>;

struct List {
    calls: RefCell<Vec<Rc<Call>>>,
    /// Whether there are any: all that a turn without hooks looks at.
    some: Cell<bool>,
}

impl List {
    const fn new() -> List {
        List { calls: RefCell::new(Vec::new()), some: Cell::new(false) }
    }
}

thread_local! {
    static ENTER: List = const { List::new() };
    static LEAVE: List = const { List::new() };
}

impl IterHooks {
    /// Adds `f` in front of the list.
    pub fn add_first(self, f: impl FnMut() + 'static) -> IterHook {
        self.add(f, |calls, call| calls.insert(0, call))
    }

    /// Adds `f` at the end of the list.
    pub fn add_last(self, f: impl FnMut() + 'static) -> IterHook {
        self.add(f, Vec::push)
    }

    /// Empties the list.
    pub fn remove_all(self) {
        let removed = self.list.try_with(|list| {
            list.some.set(false);
            list.calls.take()
        });
        for call in removed.into_iter().flatten() {
            discard(&call);
        }
    }

    fn add(self, f: impl FnMut() + 'static, enter: fn(&mut Vec<Rc<Call>>, Rc<Call>)) -> IterHook {
        let call: Rc<Call> = Rc::new(RefCell::new(Some(Box::new(f))));
        // See rule 4.
        let _ = self.list.try_with(|list| {
            enter(&mut list.calls.borrow_mut(), Rc::clone(&call));
            list.some.set(true);
        });
        IterHook { hooks: self, call }
    }

    fn has(self, call: &Rc<Call>) -> bool {
        let has = |list: &List| list.calls.borrow().iter().any(|other| Rc::ptr_eq(other, call));
        self.list.try_with(has).unwrap_or(false)
    }

    /// Calls them all.
    fn call(self) {
        let calls = self.list.try_with(|list| list.calls.borrow().clone());
        for call in calls.into_iter().flatten() {
            let f = call.borrow_mut().take();
            if let Some(mut f) = f {
                guarded(&mut f);
                if self.has(&call) {
                    *call.borrow_mut() = Some(f);
                } else {
                    guarded(|| drop(f));
                }
            }
        }
    }
}

impl IterHook {
    /// Takes the hook off its list. Done again, or after the list was emptied, it does nothing.
    pub fn remove(&self) {
        let _ = self.hooks.list.try_with(|list| {
            let mut calls = list.calls.borrow_mut();
            calls.retain(|call| !Rc::ptr_eq(call, &self.call));
            list.some.set(!calls.is_empty());
        });
        discard(&self.call);
    }
}

/// Drops a hook's function, with no cell borrowed: it may own anything.
fn discard(call: &Call) {
    let f = call.borrow_mut().take();
    drop(f);
}

/// Runs user code; its panic goes to the hook for unhandled rejections.
pub(crate) fn guarded(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        report(Error::from_panic(payload));
    }
}

/// Hands an error that nobody waits for to the hook for unhandled rejections.
pub(crate) fn report(error: Error) {
    drop(Promise::<()>::fail(error));
}

/// Whether a list has hooks.
fn some(list: &'static LocalKey<List>) -> bool {
    list.try_with(|list| list.some.get()).unwrap_or(false)
}

/// A turn begins.
pub(crate) fn enter() {
    if some(&ENTER) {
        enter_iter_hooks().call();
    }
}

/// A turn ends.
pub(crate) fn leave() {
    if some(&LEAVE) {
        leave_iter_hooks().call();
    }
}

impl fmt::Debug for IterHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.list.try_with(|list| list.calls.borrow().len()).unwrap_or(0);
        f.debug_struct("IterHooks").field("len", &len).finish()
    }
}

impl fmt::Debug for IterHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterHook").field("listed", &self.hooks.has(&self.call)).finish()
    }
}
