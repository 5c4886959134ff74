//! Values by key that follow the chain of callbacks and tasks.

mod common;

use common::{Log, Unique, show, spin, turn};
use lwt_core::{Error, Key, Promise, pause, spawn, task, wait};

fn tell(log: &Log, key: Key<i32>) {
    match key.get() {
        Some(v) => log.add(v),
        None => log.add("none"),
    }
}

#[test]
fn with_value_sets_nests_and_restores() {
    let key = Key::new();
    assert_eq!(key.get(), None);
    let result = key.with_value(Some(1), || {
        assert_eq!(key.get(), Some(1));
        key.with_value(Some(2), || assert_eq!(key.get(), Some(2)));
        key.with_value(None, || assert_eq!(key.get(), None));
        assert_eq!(key.get(), Some(1));
        "result"
    });
    assert_eq!(result, "result");
    assert_eq!(key.get(), None);
}

#[test]
fn keys_are_independent() {
    let (a, b) = (Key::new(), Key::new());
    a.with_value(Some(1), || {
        b.with_value(Some("x"), || {
            assert_eq!((a.get(), b.get()), (Some(1), Some("x")));
            a.with_value(None, || assert_eq!((a.get(), b.get()), (None, Some("x"))));
        });
        assert_eq!((a.get(), b.get()), (Some(1), None));
    });
}

#[test]
fn with_value_restores_when_it_unwinds() {
    let key = Key::new();
    key.with_value(Some(1), || {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            key.with_value(Some(2), || panic!("out"));
        }));
        assert!(caught.is_err());
        assert_eq!(key.get(), Some(1));
    });
    assert_eq!(key.get(), None);
}

#[test]
fn a_callback_sees_what_was_in_force_when_it_was_attached() {
    let key = Key::new();
    let log = Log::new();
    let (p, r) = wait::<i32>();
    let (t, rt) = task::<i32>();
    let attach = |name: i32| {
        key.with_value(Some(name), || {
            let note = || {
                let log = log.clone();
                move || tell(&log, key)
            };
            let n = note();
            p.on_success(move |_| n());
            let n = note();
            drop(p.clone().map(move |_| n()));
            let n = note();
            drop(p.clone().bind(move |_| {
                n();
                Promise::ready(())
            }));
            let n = note();
            drop(p.clone().try_bind(
                move |_| {
                    n();
                    Promise::ready(())
                },
                Promise::fail,
            ));
            let n = note();
            drop(p.clone().finalize(move || {
                n();
                Promise::ready(())
            }));
            p.on_termination(note());
            let n = note();
            p.on_any(move |_| n());
            t.on_cancel(note());
            let n = note();
            t.on_failure(move |_| n());
            let n = note();
            drop(t.clone().catch(move |_| {
                n();
                Promise::ready(1)
            }));
        });
    };
    attach(1);
    attach(2);
    key.with_value(Some(9), || {
        r.wakeup(0);
        assert_eq!(log.take(), "1 1 1 1 1 1 1 2 2 2 2 2 2 2");
        assert_eq!(key.get(), Some(9), "the resolver's own is back");
        t.cancel();
        assert_eq!(log.take(), "1 2 1 1 2 2");
        assert_eq!(key.get(), Some(9));
    });
    drop(rt);
}

#[test]
fn a_callback_that_runs_at_once_sees_the_caller() {
    let key = Key::new();
    let p = key.with_value(Some(1), || Promise::ready(()).map(|()| ()));
    let seen = key.with_value(Some(2), || p.map(move |()| key.get()));
    assert_eq!(show(&seen), "ok Some(2)");
}

#[test]
fn a_callback_attached_without_a_value_sees_none() {
    let key = Key::<i32>::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    p.on_termination({
        let (log, key) = (log.clone(), key);
        move || tell(&log, key)
    });
    key.with_value(Some(5), || r.wakeup(()));
    assert_eq!(log.take(), "none");
}

#[test]
fn deferred_callbacks_have_their_own_too() {
    let key = Key::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let (q, rq) = wait::<()>();
    key.with_value(Some(1), || {
        let (log, key) = (log.clone(), key);
        q.on_termination(move || tell(&log, key));
    });
    key.with_value(Some(2), || {
        let (log, key) = (log.clone(), key);
        p.on_termination(move || {
            rq.wakeup_later(());
            tell(&log, key);
        });
    });
    r.wakeup(());
    assert_eq!(log.take(), "2 1");
    assert_eq!(key.get(), None);
}

#[test]
fn a_panicking_callback_does_not_leave_its_values_behind() {
    let key = Key::new();
    let (p, r) = wait::<()>();
    let q = key.with_value(Some(1), || p.map(|()| panic!("out")));
    r.wakeup(());
    assert_eq!(show::<()>(&q), "panic out");
    assert_eq!(key.get(), None);
}

#[test]
fn a_task_keeps_its_values_across_awaits() {
    let key = Key::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = key.with_value(Some(1), || {
        let (log, key) = (log.clone(), key);
        spawn(async move {
            tell(&log, key);
            p.await?;
            tell(&log, key);
            pause().await?;
            tell(&log, key);
            lwt_core::task::yield_now().await?;
            tell(&log, key);
            Ok::<_, Error>(())
        })
    });
    assert_eq!(key.get(), None);
    key.with_value(Some(2), || {
        r.wakeup(());
        spin();
        turn();
        assert_eq!(key.get(), Some(2));
    });
    assert_eq!(show(&t), "ok ()");
    assert_eq!(log.take(), "1 1 1 1");
}

#[test]
fn callbacks_attached_inside_a_task_inherit_from_it() {
    let key = Key::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = key.with_value(Some(3), || {
        let (log, key) = (log.clone(), key);
        spawn(async move {
            lwt_core::task::yield_now().await?;
            p.on_termination(move || tell(&log, key));
            Ok::<_, Error>(())
        })
    });
    spin();
    r.wakeup(());
    assert_eq!(log.take(), "3");
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn scope_is_with_value_for_a_future() {
    let key = Key::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let (log, key) = (log.clone(), key);
        async move {
            tell(&log, key);
            let inner = {
                let (log, key) = (log.clone(), key);
                async move {
                    tell(&log, key);
                    p.await?;
                    tell(&log, key);
                    Ok::<_, Error>("done")
                }
            };
            let result = key.scope(Some(7), inner).await;
            tell(&log, key);
            result
        }
    });
    assert_eq!(key.get(), None, "a scope that waits leaves nothing outside");
    r.wakeup(());
    spin();
    assert_eq!(show(&t), "ok \"done\"");
    assert_eq!(log.take(), "none 7 7 none");
}

#[test]
fn scopes_of_two_tasks_do_not_mix() {
    let key = Key::new();
    let log = Log::new();
    let tasks: Vec<_> = (0..3)
        .map(|n| {
            let log = log.clone();
            let body = async move {
                for _ in 0..2 {
                    lwt_core::task::yield_now().await?;
                    tell(&log, key);
                }
                Ok::<_, Error>(())
            };
            spawn(key.scope(Some(n), body))
        })
        .collect();
    spin();
    assert_eq!(log.take(), "0 1 2 0 1 2");
    drop(tasks);
}

#[test]
fn values_need_not_be_static_data() {
    let key = Key::new();
    let text = String::from("owned");
    let (p, r) = wait::<()>();
    let q = key.with_value(Some(text), || p.map(move |()| key.get().map(|s: String| s.len())));
    r.wakeup(());
    assert_eq!(show(&q), "ok Some(5)");
    let unique = Key::<std::rc::Rc<Unique>>::new();
    unique.with_value(Some(std::rc::Rc::new(Unique(1))), || assert_eq!(unique.get().unwrap().0, 1));
}

#[test]
fn a_stored_value_whose_drop_panics_in_the_middle_of_a_panic() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a stored value");
        }
    }
    let unhandled = common::Unhandled::collect();
    let key = Key::new();
    let (promise, resolver) = wait::<()>();
    let mapped: Promise<()> = key.with_value(Some(Bad), || promise.map(|()| panic!("a callback")));
    resolver.wakeup(());
    assert_eq!(show(&mapped), "panic a callback");
    assert_eq!(unhandled.take(), "panic a stored value");
}
