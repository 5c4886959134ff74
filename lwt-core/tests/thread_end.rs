//! The end of a thread's runtime, with futures that do not go quietly.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::watchdog;
use lwt_core::{Error, Promise, scheduler, spawn, task, wait};

/// Spawns its like when it is dropped.
struct Hydra {
    heads: Rc<Cell<u32>>,
    promise: Promise<()>,
}

impl Drop for Hydra {
    fn drop(&mut self) {
        self.heads.set(self.heads.get() + 1);
        let next = Hydra { heads: Rc::clone(&self.heads), promise: self.promise.clone() };
        let promise = self.promise.clone();
        drop(spawn(async move {
            let _next = next;
            promise.await
        }));
    }
}

#[test]
fn a_future_whose_drop_spawns_another_does_not_keep_it_from_ending() {
    let _watchdog = watchdog();
    let (promise, resolver) = wait::<()>();
    let heads = Rc::new(Cell::new(0));
    drop(Hydra { heads: Rc::clone(&heads), promise });
    scheduler::end_thread();
    assert!(heads.get() > 1);
    // What is left works on.
    let woken = spawn(async { Ok::<_, Error>(1) });
    assert!(!woken.is_pending());
    std::mem::forget(resolver);
}

#[test]
fn a_future_whose_drop_ends_the_thread() {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            scheduler::end_thread();
        }
    }
    let _watchdog = watchdog();
    let (promise, _resolver) = wait::<()>();
    let other = spawn(wait::<()>().0);
    let ending = spawn(async move {
        let _ends = Ends;
        promise.await
    });
    assert!(task::abort(&ending));
    ending.on_failure(|error| assert!(error.is_canceled()));
    other.on_failure(|error| assert!(error.is_abandoned()));
    assert!(!other.is_pending());
}
