//! Detached calls: bounds, the queue's limit, cancelling, storage, names, calls within calls.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Key, all, both, join, set_unhandled_hook};
use lwt_preemptive::detach::{Call, calls};
use lwt_preemptive::{detach as on_thread, domain};
use lwt_unix::entry::guarded;
use lwt_unix::job::{self, Limits, Pool};
use lwt_unix::{run, sleep};

/// A pool of one thread, with room for so many calls.
fn narrow(max_queued: usize) -> Pool {
    Pool::new(Limits { max_threads: 1, max_queued, ..Limits::default() })
}

/// Keeps a pool's only thread busy until the sender is dropped.
fn keep_busy(pool: &Pool) -> (lwt_core::Promise<()>, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    let busy = pool.detach(move || {
        began.send(()).expect("sent");
        let _ = wait.recv();
    });
    begun.recv().expect("begun");
    (busy, go)
}

#[test]
fn a_full_queue_refuses_or_lets_wait_and_is_never_longer() {
    guarded("a_full_queue_refuses_or_lets_wait_and_is_never_longer", || {
        let pool = narrow(2);
        let (busy, go) = keep_busy(&pool);
        let accepted = [pool.try_detach(|| 0).expect("room"), pool.try_detach(|| 1).expect("room")];
        // What is refused comes back whole, and leaves nothing behind.
        let held = Arc::new(());
        let mine = Arc::clone(&held);
        let refused = pool.try_detach(move || Arc::strong_count(&mine)).expect_err("full");
        assert_eq!(lwt_unix::loop_stats().jobs, 3);
        assert_eq!(refused.0(), 2);
        assert_eq!(Arc::strong_count(&held), 1);
        // The others wait, in order, and the queue has its bound.
        let waiting: Vec<_> = (2..10).map(|number| pool.detach(move || number)).collect();
        assert_eq!((pool.stats().queued, job::held_back()), (2, 8));
        // Nobody overtakes those who wait.
        assert!(pool.try_detach(|| 99).is_err());
        drop(go);
        run(busy).expect("busy");
        assert_eq!(run(all(accepted.into_iter().chain(waiting))).expect("all"), (0..10).collect::<Vec<_>>());
        assert_eq!(job::held_back(), 0);
        assert_eq!(run(pool.try_detach(|| 7).expect("room again")).expect("run"), 7);
    });
}

#[test]
fn the_minimum_of_threads_stays() {
    guarded("the_minimum_of_threads_stays", || {
        let limits = Limits { min_threads: 1, max_threads: 3, ..Limits::default() };
        let pool = Pool::new(Limits { keep_idle: Duration::from_millis(1), ..limits });
        let (begun, all_begun) = mpsc::channel();
        let naps: Vec<_> = (0..3)
            .map(|_| {
                let begun = begun.clone();
                pool.detach(move || {
                    begun.send(()).expect("sent");
                    thread::sleep(Duration::from_millis(10));
                })
            })
            .collect();
        run(join(naps)).expect("naps");
        assert_eq!(all_begun.try_iter().count(), 3);
        while pool.stats().threads > 1 {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        assert_eq!(pool.stats().threads, 1);
        assert_eq!(run(pool.detach(|| 1)).expect("run"), 1);
        pool.set_limits(Limits { min_threads: 0, ..pool.limits() });
        while pool.stats().threads > 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_cancel_takes_back_a_queued_call_and_tells_a_running_one() {
    guarded("a_cancel_takes_back_a_queued_call_and_tells_a_running_one", || {
        let pool = narrow(10);
        let ran = Arc::new(AtomicBool::new(false));
        let (began, begun) = mpsc::channel();
        let (told, hear) = mpsc::channel();
        let running = pool.detach(move || {
            began.send(job::cancelled().expect("in a job")).expect("sent");
            while !job::is_cancelled() {
                thread::yield_now();
            }
            told.send(()).expect("sent");
        });
        let token = begun.recv().expect("begun");
        let queued = pool.detach({
            let ran = Arc::clone(&ran);
            move || ran.store(true, Ordering::SeqCst)
        });
        queued.cancel();
        assert_eq!(pool.stats().queued, 0);
        assert!(!token.is_cancelled());
        running.cancel();
        hear.recv().expect("the call was told");
        assert!(run(running).expect_err("cancelled").is_canceled());
        assert!(run(queued).expect_err("cancelled").is_canceled());
        // The next call on the same thread is not cancelled.
        let next = pool.detach(|| (job::is_cancelled(), job::cancelled().map(|token| token.is_cancelled())));
        assert_eq!(run(next).expect("run"), (false, Some(false)));
        assert!(!ran.load(Ordering::SeqCst));
        assert!(!job::is_cancelled() && job::cancelled().is_none(), "no job runs here");
    });
}

#[test]
fn the_end_of_the_loop_cancels() {
    guarded("the_end_of_the_loop_cancels", || {
        let (told, hear) = mpsc::channel();
        let (began, begun) = mpsc::channel();
        thread::spawn(move || {
            drop(on_thread(move || {
                began.send(()).expect("sent");
                while !job::is_cancelled() {
                    thread::yield_now();
                }
                told.send(()).expect("sent");
            }));
            begun.recv().expect("begun");
        })
        .join()
        .expect("joined");
        hear.recv().expect("the call was told");
    });
}

#[test]
fn a_call_within_a_call_needs_no_second_thread() {
    guarded("a_call_within_a_call_needs_no_second_thread", || {
        let pool = narrow(4);
        fn depth(pool: &Pool, left: u32) -> u32 {
            if left == 0 {
                return 0;
            }
            let inner = pool.clone();
            1 + run(pool.detach(move || depth(&inner, left - 1))).expect("a call")
        }
        let inner = pool.clone();
        let outer = pool.detach(move || depth(&inner, 5));
        assert_eq!(run(outer).expect("run"), 5);
        // Several at once, on the pool that they fill.
        let outers: Vec<_> = (0..20)
            .map(|number| {
                let inner = pool.clone();
                pool.detach(move || {
                    run(both(inner.detach(move || number), inner.detach(|| 1))).expect("calls")
                })
            })
            .collect();
        let sums: Vec<_> = run(all(outers)).expect("run").into_iter().map(|(a, b)| a + b).collect();
        assert_eq!(sums, (1..=20).collect::<Vec<_>>());
        // And the pool is one of one thread again.
        let most = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let most = Arc::clone(&most);
                pool.detach(move || {
                    let now = most.0.fetch_add(1, Ordering::SeqCst) + 1;
                    most.1.fetch_max(now, Ordering::SeqCst);
                    thread::yield_now();
                    most.0.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        run(join(calls)).expect("run");
        assert_eq!(most.1.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn panics_in_threads_reject_with_their_message() {
    guarded("panics_in_threads_reject_with_their_message", || {
        let call = Call::new().named("broken").detach(|| -> u32 { panic!("number {}", 7) });
        assert_eq!(run(call).expect_err("a panic").panic_message(), Some("number 7"));
        assert!(calls().iter().all(|call| call.name != "broken"), "it is not listed any more");
        let failed = Call::new().detach_result(|| std::fs::read("/no/such/file"));
        assert_eq!(run(failed).expect_err("missing").io_kind(), Some(std::io::ErrorKind::NotFound));
    });
}

#[test]
fn storage_goes_with_a_call_that_carries_it() {
    guarded("storage_goes_with_a_call_that_carries_it", || {
        let (name, number, local) = (Key::new(), Key::new(), Key::new());
        let set = |f: &mut dyn FnMut()| {
            name.with_value(Some("ada".to_owned()), || {
                number.with_value(Some(7), || local.with_value(Some(Rc::new(1)), &mut *f))
            });
        };
        let mut promise = None;
        set(&mut || {
            let call = Call::new().carrying(name).carrying(number);
            promise = Some(call.detach(move || {
                // Also in what the call awaits.
                let later = run(async move {
                    sleep(Duration::from_micros(10)).await?;
                    Ok::<_, Error>(name.get())
                });
                (name.get(), number.get(), local.get_rc().is_some(), later.expect("run"))
            }));
        });
        let ada = Some("ada".to_owned());
        assert_eq!(run(promise.expect("called")).expect("run"), (ada.clone(), Some(7), false, ada));
        // The thread does not keep it, and an unset key is unset there.
        let bare = Call::new().carrying(name).in_pool(&narrow(1)).detach(move || (name.get(), number.get()));
        assert_eq!(run(bare).expect("run"), (None, None));
        let plain = on_thread(move || name.get());
        assert_eq!(run(plain).expect("run"), None);
    });
}

#[test]
fn named_calls_are_listed_while_they_run() {
    guarded("named_calls_are_listed_while_they_run", || {
        let pool = narrow(4);
        let (go, wait) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        let first = Call::new().named("first of two").in_pool(&pool).detach(move || {
            began.send(()).expect("sent");
            wait.recv().is_err()
        });
        let second = Call::new().named("second of two").in_pool(&pool).try_detach(|| ()).expect("room");
        begun.recv().expect("begun");
        // The promise has the name also while the call waits.
        #[cfg(feature = "registry")]
        for name in ["first of two", "second of two"] {
            let pending = lwt_core::registry::pending();
            assert!(pending.iter().any(|entry| entry.name == Some(name)), "{name}: {pending:?}");
        }
        let listed: Vec<_> = calls().into_iter().filter(|call| call.name.ends_with("of two")).collect();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!((listed[0].name, listed[0].origin.file()), ("first of two", file!()));
        drop(go);
        run(both(first, second)).expect("run");
        assert!(!calls().iter().any(|call| call.name.ends_with("of two")));
    });
}

#[test]
fn pools_by_name() {
    guarded("pools_by_name", || {
        let pool = domain::setup_pool_named("pools_by_name", 0).expect("a new name");
        assert_eq!(domain::get_num_domains(&pool), 1);
        let taken = domain::setup_pool_named("pools_by_name", 3).expect_err("taken");
        assert_eq!(taken.0, "pools_by_name");
        let found = domain::lookup_pool("pools_by_name").expect("there");
        assert!(found.is(&pool) && !domain::setup_pool(2).is(&pool));
        // A call that waits for a call of its own pool, by way of the loop.
        let inner = pool.clone();
        let call = domain::detach(&pool, move || {
            domain::run_in_main(move || domain::detach(&inner, || 20)).expect("the inner call") + 1
        });
        assert_eq!(run(call).expect("run"), 21);
        let pending = domain::detach(&pool, || 5);
        domain::teardown_pool(found);
        assert!(domain::lookup_pool("pools_by_name").is_none());
        drop(pool);
        assert_eq!(run(pending).expect("calls that wait are made"), 5);
    });
}

#[test]
fn none_of_many_calls_is_lost() {
    guarded("none_of_many_calls_is_lost", || {
        set_unhandled_hook(None);
        // A million in the long form: see the script of CI.
        let many = std::env::var("LWT_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000_u64);
        let ran = Arc::new(AtomicUsize::new(0));
        let mut sum = 0;
        let mut left = many;
        while left > 0 {
            let batch = left.min(10_000);
            let calls: Vec<_> = (left - batch..left)
                .map(|number| {
                    let ran = Arc::clone(&ran);
                    on_thread(move || {
                        ran.fetch_add(1, Ordering::Relaxed);
                        number
                    })
                })
                .collect();
            sum += run(all(calls)).expect("calls").into_iter().sum::<u64>();
            left -= batch;
        }
        assert_eq!((ran.load(Ordering::SeqCst) as u64, sum), (many, many * (many - 1) / 2));
        assert_eq!(lwt_unix::loop_stats().jobs, 0);
    });
}
