//! Where the remains of nodes are dropped.
//!
//! A node's function owns the nodes that it is made from, so that the end of one may be the end of a chain of
//! any length. What a node leaves behind is therefore dropped by the outermost end, one after the other, and
//! no end nests in another. A panic of a destructor goes to the unhandled-rejection hook.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;

pub(super) use crate::func::let_go;

trait Remains {}
impl<T> Remains for T {}

struct Grave {
    busy: Cell<bool>,
    waiting: RefCell<VecDeque<Box<dyn Remains>>>,
}

thread_local! {
    static GRAVE: ManuallyDrop<Grave> = const {
        ManuallyDrop::new(Grave { busy: Cell::new(false), waiting: RefCell::new(VecDeque::new()) })
    };
}

/// Drops `remains`, now, or when the drop that is under way is done.
pub(super) fn bury(remains: impl Sized + 'static) {
    GRAVE.with(|grave| {
        if grave.busy.replace(true) {
            return grave.waiting.borrow_mut().push_back(Box::new(remains));
        }
        let_go(remains);
        loop {
            let next = grave.waiting.borrow_mut().pop_front();
            let Some(remains) = next else { break };
            let_go(remains);
        }
        grave.waiting.borrow_mut().shrink_to(64);
        grave.busy.set(false);
    });
}

/// Gives back the memory that is kept for the next burial.
pub(super) fn release_cached() {
    GRAVE.with(|grave| grave.waiting.borrow_mut().shrink_to(0));
}
