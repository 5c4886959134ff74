//! Loops run for ever in constant memory, on a small stack.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::cell::RefCell;
use std::ops::ControlFlow;

use common::{on_small_stack, show, spin, turn};
use counting::{SLACK, growth, in_constant_memory, rounds, turns};
use lwt_core::{Error, Promise, Resolver, iterate, pause, spawn, wait};

#[test]
fn the_allocator_sees_growth() {
    let (peak, left) = growth(|| std::mem::forget(vec![0_u8; 2 << 20]));
    assert!(peak > SLACK && left > SLACK);
}

#[test]
fn a_tail_bind_loop_over_pauses() {
    fn step(n: usize) -> Promise<usize> {
        if n == 0 { Promise::ready(0) } else { pause().bind(move |()| step(n - 1)) }
    }
    on_small_stack(|| {
        in_constant_memory("bind", || {
            let p = step(turns());
            while p.is_pending() {
                lwt_core::scheduler::wakeup_paused();
            }
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn a_tail_loop_by_every_form_that_unifies() {
    type Step = fn(usize) -> Promise<usize>;
    fn by_catch(n: usize) -> Promise<usize> {
        let failing = pause().bind(|()| Promise::fail(Error::canceled()));
        if n == 0 { Promise::ready(0) } else { failing.catch(move |_| by_catch(n - 1)) }
    }
    fn by_try_bind(n: usize) -> Promise<usize> {
        if n == 0 { Promise::ready(0) } else { pause().try_bind(move |()| by_try_bind(n - 1), Promise::fail) }
    }
    fn by_spawn(n: usize) -> Promise<usize> {
        let task = spawn(async move {
            pause().await?;
            Ok::<_, Error>(n)
        });
        task.bind(|n| if n == 0 { Promise::ready(0) } else { by_spawn(n - 1) })
    }
    fn through_observers(n: usize) -> Promise<usize> {
        let p = pause().bind(move |()| if n == 0 { Promise::ready(0) } else { through_observers(n - 1) });
        drop(p.clone());
        p
    }
    let loops: [(&str, Step); 4] =
        [("catch", by_catch), ("try_bind", by_try_bind), ("spawn", by_spawn), ("clones", through_observers)];
    on_small_stack(move || {
        for (name, step) in loops {
            in_constant_memory(name, || {
                let p = step(turns() / 10);
                while p.is_pending() {
                    turn();
                }
                assert_eq!(show(&p), "ok 0");
            });
        }
    });
}

/// Resolving as the loop goes, without a pause: each wake-up happens inside the callback of the one before.
#[test]
fn a_tail_bind_loop_that_wakes_itself() {
    thread_local! {
        static NEXT: RefCell<Option<Resolver<()>>> = const { RefCell::new(None) };
    }
    fn step(n: usize) -> Promise<usize> {
        if n == 0 {
            return Promise::ready(0);
        }
        let (p, r) = wait();
        NEXT.set(Some(r));
        p.bind(move |()| step(n - 1))
    }
    on_small_stack(|| {
        in_constant_memory("bind", || {
            let p = step(turns() / 4);
            while let Some(r) = NEXT.take() {
                r.wakeup(());
            }
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn spawn_recursion() {
    fn step(n: usize) -> Promise<usize> {
        let task = spawn(async move {
            lwt_core::task::yield_now().await?;
            Ok::<_, Error>(n)
        });
        task.bind(|n| if n == 0 { Promise::ready(0) } else { step(n - 1) })
    }
    on_small_stack(|| {
        in_constant_memory("spawn", || {
            let p = step(turns() / 4);
            spin();
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn iterate_over_resolved_promises() {
    on_small_stack(|| {
        in_constant_memory("iterate", || {
            let end = turns();
            let p = iterate(0, move |n| {
                Promise::ready(if n < end { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) })
            });
            assert_eq!(show(&p), format!("ok {end}"));
        });
    });
}

#[test]
fn iterate_over_pending_promises() {
    on_small_stack(|| {
        in_constant_memory("iterate", || {
            let end = turns() / 4;
            let p = iterate(0, move |n| {
                let flow = if n < end { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) };
                // Now and then the step is resolved at once.
                if n % 3 == 0 { Promise::ready(flow) } else { pause().map(move |()| flow) }
            });
            while p.is_pending() {
                lwt_core::scheduler::wakeup_paused();
            }
            assert_eq!(show(&p), format!("ok {end}"));
        });
    });
}

#[test]
fn an_async_loop_over_resolved_and_pending_promises() {
    on_small_stack(|| {
        in_constant_memory("async", || {
            let end = turns() / 4;
            let p = spawn(async move {
                for n in 0..end {
                    Promise::ready(()).await?;
                    if n % 2 == 0 {
                        lwt_core::task::yield_now().await?;
                    }
                }
                Ok::<_, Error>(())
            });
            spin();
            assert_eq!(show(&p), "ok ()");
        });
    });
}

#[test]
fn tasks_that_come_and_go() {
    in_constant_memory("spawn", || {
        for n in 0..rounds() {
            let t = spawn(async move { Ok::<_, Error>(n) });
            drop(t);
            let t = spawn(async move {
                lwt_core::task::yield_now().await?;
                Ok::<_, Error>(vec![n; 100])
            });
            spin();
            drop(t);
        }
    });
}
