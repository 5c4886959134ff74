//! The pool: how it grows and shrinks, its bound, and threads that cannot be had.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use lwt_core::{Error, all, join};
use lwt_unix::entry::guarded;
use lwt_unix::job::{Limits, Pool};
use lwt_unix::{run, sleep};

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Waits until something is so.
async fn until(condition: impl Fn() -> bool) -> Result<(), Error> {
    while !condition() {
        sleep(Duration::from_millis(1)).await?;
    }
    Ok(())
}

#[test]
fn grows_while_jobs_block() {
    guarded("grows_while_jobs_block", || {
        let pool = Pool::new(Limits::default());
        let all_at_once = processors() * 8 + 3;
        let barrier = Arc::new(Barrier::new(all_at_once));
        // None of them ends before all of them run.
        let jobs = (0..all_at_once).map(|_| {
            let barrier = Arc::clone(&barrier);
            pool.detach(move || {
                barrier.wait();
            })
        });
        run(join(jobs.collect::<Vec<_>>())).expect("jobs");
        assert!(pool.stats().threads >= all_at_once);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn does_not_grow_while_jobs_compute() {
    guarded("does_not_grow_while_jobs_compute", || {
        let pool = Pool::new(Limits::default());
        let jobs: Vec<_> =
            (0..processors() * 20).map(|_| pool.detach(|| spin(Duration::from_millis(3)))).collect();
        let jobs = join(jobs);
        while jobs.is_pending() {
            run(sleep(Duration::from_millis(1))).expect("slept");
            let stats = pool.stats();
            assert!(stats.threads <= processors(), "{stats:?}");
        }
    });
}

#[test]
fn respects_its_limit_and_shrinks_to_a_lower_one() {
    guarded("respects_its_limit", || {
        let pool = Pool::new(Limits { max_threads: 3, ..Limits::default() });
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..60)
            .map(|_| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                pool.detach(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        run(join(jobs)).expect("jobs");
        assert!(most.load(Ordering::SeqCst) <= 3);
        pool.set_limits(Limits { max_threads: 1, ..pool.limits() });
        run(until({
            let pool = pool.clone();
            move || pool.stats().threads <= 1
        }))
        .expect("it shrinks");
        assert_eq!(run(pool.detach(|| 4)).expect("and works"), 4);
    });
}

#[test]
fn idle_threads_end_and_come_back() {
    guarded("idle_threads_end_and_come_back", || {
        let pool = Pool::new(Limits { keep_idle: Duration::from_millis(5), ..Limits::default() });
        for round in 0..3 {
            assert_eq!(run(pool.detach(move || round)).expect("a job"), round);
            let pool = pool.clone();
            run(until(move || pool.stats().threads == 0)).expect("they end");
        }
    });
}

#[test]
fn over_the_bound_jobs_wait_on_the_loop_in_order() {
    guarded("over_the_bound_jobs_wait_on_the_loop", || {
        let pool = Pool::new(Limits { max_threads: 1, max_queued: 4, ..Limits::default() });
        let order = Arc::new(Mutex::new(Vec::new()));
        let most = Arc::new(AtomicUsize::new(0));
        let mut jobs: Vec<_> = (0..300)
            .map(|number| {
                let (order, most, pool) = (Arc::clone(&order), Arc::clone(&most), pool.clone());
                pool.clone().detach(move || {
                    order.lock().expect("order").push(number);
                    most.fetch_max(pool.stats().queued, Ordering::SeqCst);
                })
            })
            .collect();
        // Some of those that wait on the loop go away, one of them the last.
        let mut left: Vec<_> = (0..300).collect();
        for number in [299, 250, 251, 100] {
            jobs.remove(number).cancel();
            left.remove(number);
        }
        run(join(jobs)).expect("jobs");
        assert_eq!(*order.lock().expect("order"), left);
        assert!(most.load(Ordering::SeqCst) <= 4);
    });
}

#[test]
fn loops_that_compete_for_a_full_queue_all_get_through() {
    guarded("loops_that_compete_for_a_full_queue", || {
        let pool = Pool::new(Limits { max_threads: 2, max_queued: 1, ..Limits::default() });
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for round in 0..5 {
                        let jobs: Vec<_> = (0..50).map(|number| pool.detach(move || number)).collect();
                        if round == 3 {
                            jobs[20].cancel();
                            jobs[49].cancel();
                            drop(jobs);
                            continue;
                        }
                        assert_eq!(run(all(jobs)).expect("jobs"), (0..50).collect::<Vec<_>>());
                    }
                    // Ends with jobs in its hands.
                    if thread == 0 {
                        for _ in 0..50 {
                            drop(pool.detach(|| ()));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("join");
        }
        assert_eq!(run(pool.detach(|| 1)).expect("and still"), 1);
    });
}

#[test]
fn a_thread_that_cannot_start_rejects_and_loses_nothing() {
    guarded("a_thread_that_cannot_start_rejects", || {
        let good = Limits { max_threads: 2, max_queued: 2, ..Limits::default() };
        // More than there are addresses.
        let bad = Limits { stack_size: usize::MAX >> 8, ..good };
        let pool = Pool::new(bad);
        let dropped = Arc::new(());
        for _ in 0..10 {
            let held = Arc::clone(&dropped);
            let error = run(pool.detach(move || drop(held))).expect_err("no thread");
            assert!(error.downcast_ref::<std::io::Error>().is_some(), "{error:?}");
        }
        assert_eq!(Arc::strong_count(&dropped), 1);
        assert_eq!(pool.stats().threads, 0);
        // Many at once, over the bound.
        let jobs: Vec<_> = (0..10).map(|_| pool.detach(|| ())).collect();
        for job in jobs {
            assert!(run(job).is_err());
        }
        pool.set_limits(good);
        assert_eq!(run(pool.detach(|| 1)).expect("a thread"), 1);
        // With one thread there, the failure of another matters to nobody.
        pool.set_limits(bad);
        let jobs: Vec<_> = (0..20)
            .map(|number| {
                pool.detach(move || {
                    std::thread::sleep(Duration::from_micros(300));
                    number
                })
            })
            .collect();
        assert_eq!(run(all(jobs)).expect("jobs"), (0..20).collect::<Vec<_>>());
    });
}

#[test]
fn jobs_of_a_pool_that_nobody_holds_are_still_done() {
    guarded("jobs_of_a_pool_that_nobody_holds", || {
        let pool = Pool::new(Limits { max_threads: 2, ..Limits::default() });
        let done = Arc::new(AtomicUsize::new(0));
        let jobs: Vec<_> = (0..50)
            .map(|_| {
                let done = Arc::clone(&done);
                pool.detach(move || {
                    std::thread::sleep(Duration::from_micros(100));
                    done.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        drop(pool);
        run(join(jobs)).expect("jobs");
        assert_eq!(done.load(Ordering::SeqCst), 50);
    });
}

#[test]
fn a_burst_after_idleness_uses_all_threads() {
    guarded("a_burst_after_idleness_uses_all_threads", || {
        let pool = Pool::new(Limits { max_threads: 2, ..Limits::default() });
        if processors() < 2 {
            return;
        }
        for _ in 0..20 {
            // Two jobs that need each other, handed over while both threads are parked or about to be.
            let flags = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
            let jobs: Vec<_> = (0..2)
                .map(|me| {
                    let flags = flags.clone();
                    pool.detach(move || {
                        flags[me].store(true, Ordering::SeqCst);
                        while !flags[1 - me].load(Ordering::SeqCst) {
                            std::thread::yield_now();
                        }
                    })
                })
                .collect();
            run(join(jobs)).expect("jobs");
        }
    });
}
