//! Fairness of the runtime lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lwt_preemptive::lock::RuntimeLock;
use lwt_unix::entry::guarded;
use lwt_unix::run;

fn lock() -> RuntimeLock {
    RuntimeLock::current().expect("a loop")
}

#[test]
fn four_threads_that_yield_take_it_in_turn() {
    guarded("four_threads_that_yield_take_it_in_turn", || {
        const ROUNDS: usize = 50_000;
        let lock = lock();
        // Who had the lock last, how often in a row, and the most.
        let log = lock.guard((usize::MAX, 0, 0));
        // How many have come, and how many have not gone.
        let (come, busy) = (AtomicUsize::new(0), AtomicUsize::new(4));
        thread::scope(|scope| {
            for me in 0..4 {
                let (lock, log, come, busy) = (&lock, &log, &come, &busy);
                scope.spawn(move || {
                    lock.attach(|token| {
                        come.fetch_add(1, Ordering::Relaxed);
                        while come.load(Ordering::Relaxed) < 4 {
                            token.yield_now();
                        }
                        for _ in 0..ROUNDS {
                            // Only while all four are there is there something to share.
                            if busy.load(Ordering::Relaxed) == 4 {
                                let (last, row, most) = &mut *log.get_mut(token);
                                *row = if *last == me { *row + 1 } else { 1 };
                                *last = me;
                                *most = (*most).max(*row);
                            }
                            token.yield_now();
                        }
                        busy.fetch_sub(1, Ordering::Relaxed);
                    })
                    .expect("attached");
                });
            }
        });
        let (_, _, most) = log.into_inner();
        assert!((1..=3).contains(&most), "one had it {most} times in a row");
    });
}

#[test]
fn a_checkpoint_hands_over_only_to_those_who_are_due() {
    guarded("a_checkpoint_hands_over_only_to_those_who_are_due", || {
        let lock = lock();
        lock.set_switch_interval(Duration::from_millis(3));
        let turns = lock.guard(0);
        thread::scope(|scope| {
            lock.attach(|token| {
                assert!(!token.checkpoint(), "nobody waits");
                assert!(!token.yield_now(), "nobody waits");
                let begin = Instant::now();
                scope.spawn(|| lock.attach(|token| *turns.get_mut(token) += 1).expect("attached"));
                let mut handed = false;
                while *turns.get(token) == 0 {
                    handed = token.checkpoint();
                }
                assert!(handed);
                assert!(begin.elapsed() >= Duration::from_millis(3), "not before it was due");
            })
            .expect("attached");
        });
        assert_eq!(turns.into_inner(), 1);
    });
}

#[test]
fn many_threads_and_a_loop_lose_no_turn() {
    guarded("many_threads_and_a_loop_lose_no_turn", || {
        let lock = lock();
        let total = Arc::new(lock.guard(0));
        let threads: Vec<_> = (0..8)
            .map(|at| {
                let (lock, total) = (lock.clone(), Arc::clone(&total));
                lwt_preemptive::detach(move || {
                    for round in 0..500 {
                        lock.attach(|token| {
                            *total.get_mut(token) += 1;
                            match (at + round) % 4 {
                                0 => token.blocking(thread::yield_now),
                                1 => drop(token.yield_now()),
                                2 => drop(token.checkpoint()),
                                _ => {}
                            }
                        })
                        .expect("attached");
                    }
                })
            })
            .collect();
        run(lwt_core::join(threads)).expect("run");
        assert_eq!(lock.with_token(|token| *total.get(token)), Ok(8 * 500));
    });
}
