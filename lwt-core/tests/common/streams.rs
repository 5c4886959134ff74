//! Helpers of the tests of streams.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use std::cell::RefCell;
use std::rc::Rc;

use lwt_core::stream::{self, BoundedPush, Push, Stream};
use lwt_core::{Promise, Resolver, State, task};

/// An open stream of 1 to `n`.
pub(crate) fn of_range(n: i32) -> (Stream<i32>, Push<i32>) {
    let (s, push) = stream::create();
    for k in 1..=n {
        push.push(k).expect("open");
    }
    (s, push)
}

/// A bounded stream without room, of 1 to `size`.
pub(crate) fn full_of(size: i32) -> (Stream<i32>, BoundedPush<i32>) {
    let (s, push) = stream::create_bounded(size as usize);
    for n in 1..=size {
        push.try_push(n).expect("room");
    }
    (s, push)
}

/// Whether the promise is rejected with an error of this kind.
pub(crate) fn is<E: std::error::Error + 'static, T: 'static>(p: &Promise<T>) -> bool {
    matches!(p.state(), State::Rejected(e) if e.downcast_ref::<E>().is_some())
}

/// Promises that a test resolves, by the element for which they were asked.
#[derive(Clone, Default)]
pub(crate) struct Desk(Rc<RefCell<Vec<(i32, Resolver<()>)>>>);

impl Desk {
    pub(crate) fn ask(&self, n: i32) -> Promise<()> {
        let (p, r) = task();
        self.0.borrow_mut().push((n, r));
        p
    }

    /// Those that are wanted, in the order in which they were asked for.
    pub(crate) fn asked(&self) -> Vec<i32> {
        self.0.borrow().iter().filter(|(_, r)| r.is_wanted()).map(|(n, _)| *n).collect()
    }

    pub(crate) fn answer(&self, n: i32) {
        self.take(n).wakeup(());
    }

    /// The resolver of the last promise for `n`.
    pub(crate) fn take(&self, n: i32) -> Resolver<()> {
        let mut desk = self.0.borrow_mut();
        let at = desk.iter().rposition(|(asked, _)| *asked == n).expect("asked");
        desk.remove(at).1
    }
}
