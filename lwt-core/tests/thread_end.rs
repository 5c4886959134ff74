//! The end of a thread's runtime, with futures that do not go quietly.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use common::{show, spin, watchdog};
use lwt_core::{Error, Promise, scheduler, spawn, task, wait};

/// Calls its function when it is dropped.
struct AtDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|f| f());
    }
}

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
    let _watchdog = watchdog();
    let (promise, _resolver) = wait::<()>();
    let other = spawn(wait::<()>().0);
    let ending = spawn(async move {
        let _ends = AtDrop(Some(scheduler::end_thread));
        promise.await
    });
    assert!(task::abort(&ending));
    assert_eq!((show(&ending), show(&other)), ("canceled".into(), "abandoned".into()));
}

/// What is ended later is still at home: it may make wakers, which lead there.
#[test]
fn a_future_whose_drop_ends_a_thread_that_is_ending() {
    let _watchdog = watchdog();
    let ((never, _never), (promise, resolver)) = (wait::<()>(), wait::<()>());
    let home = scheduler::handle();
    let is_open = Rc::new(Cell::new(false));
    let ends = AtDrop(Some({
        let (home, is_open) = (home.clone(), Rc::clone(&is_open));
        move || {
            scheduler::end_thread();
            is_open.set(home.post(|| ()).is_ok());
            resolver.wakeup(());
            spin();
        }
    }));
    let ending = spawn(async move {
        let _ends = ends;
        never.await
    });
    let waker = Rc::new(Cell::new(None));
    let made = Rc::clone(&waker);
    let other = spawn(async move {
        promise.await?;
        poll_fn(|cx| {
            made.set(Some(cx.waker().clone()));
            Poll::<Result<(), Error>>::Pending
        })
        .await
    });
    scheduler::end_thread();
    assert!(is_open.get());
    assert!(home.post(|| ()).is_err());
    waker.take().expect("the other one ran").wake();
    assert_eq!((show(&ending).as_str(), show(&other).as_str()), ("abandoned", "abandoned"));
}

#[test]
fn a_task_that_ends_the_thread_ends_with_its_poll() {
    let _watchdog = watchdog();
    for first_poll in [true, false] {
        let (promise, resolver) = wait::<()>();
        let (never, _never) = wait::<()>();
        let task = spawn(async move {
            if !first_poll {
                promise.await?;
            }
            scheduler::end_thread();
            never.await
        });
        resolver.wakeup(());
        spin();
        assert_eq!(show(&task), "canceled");
    }
}
