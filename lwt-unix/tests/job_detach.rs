//! `detach`: values, errors, panics, cancels, and the loop that goes on meanwhile.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use lwt_core::{Error, all, pause, set_unhandled_hook, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::job::{Limits, Pool, detach_result};
use lwt_unix::{detach, loop_stats, run, sleep};

/// A door that jobs wait at until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn open(&self) {
        *self.0.0.lock().expect("door") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().expect("door");
        drop(self.0.1.wait_while(open, |open| !*open).expect("door"));
    }
}

/// Opens it when the test ends, also by a panic, lest a thread wait for ever.
impl Drop for Door {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.open();
        }
    }
}

/// A pool of one thread.
fn one_thread() -> Pool {
    Pool::new(Limits { max_threads: 1, ..Limits::default() })
}

#[test]
fn runs_elsewhere_and_gives_the_value() {
    guarded("runs_elsewhere_and_gives_the_value", || {
        let here = std::thread::current().id();
        let (there, name) = run(detach(|| {
            let thread = std::thread::current();
            (thread.id(), thread.name().map(str::to_owned))
        }))
        .expect("a job");
        assert_ne!(here, there);
        assert_eq!(name.as_deref(), Some("lwt-job"));
        assert_eq!(run(detach(|| "text".to_owned() + "s")).expect("a job"), "texts");
        assert_eq!(loop_stats().jobs, 0);
    });
}

#[test]
fn errors_and_panics_reject() {
    guarded("errors_and_panics_reject", || {
        let error = run(detach_result(|| std::fs::read("/no/such/file"))).expect_err("no such file");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound));
        let error = run(detach(|| -> u32 { panic!("job {}", 7) })).expect_err("panicked");
        assert_eq!(error.panic_message(), Some("job 7"));
        assert_eq!(run(detach(|| 8)).expect("threads survive panics"), 8);
    });
}

#[test]
fn many_in_flight_all_come_back() {
    guarded("many_in_flight_all_come_back", || {
        let number = 20_000;
        let jobs: Vec<_> = (0..number).map(|n: u64| detach(move || n * n)).collect();
        let results = run(all(jobs)).expect("jobs");
        assert!(results.iter().enumerate().all(|(n, square)| *square == (n * n) as u64));
        assert_eq!(results.len(), number as usize);
        assert_eq!(loop_stats().jobs, 0);
    });
}

#[test]
fn the_loop_goes_on_while_jobs_block() {
    guarded("the_loop_goes_on_while_jobs_block", || {
        let door = Door::default();
        let jobs: Vec<_> = (0..8)
            .map(|_| {
                let door = door.clone();
                detach(move || door.pass())
            })
            .collect();
        run(async {
            for _ in 0..20 {
                sleep(Duration::from_millis(1)).await?;
                pause().await?;
            }
            Ok::<_, Error>(())
        })
        .expect("the loop is free");
        assert!(jobs.iter().all(lwt_core::Promise::is_pending));
        door.open();
        run(all(jobs)).expect("jobs");
    });
}

#[test]
fn one_thread_keeps_the_order() {
    guarded("one_thread_keeps_the_order", || {
        let pool = one_thread();
        let (sender, order) = mpsc::channel();
        let jobs: Vec<_> = (0..500)
            .map(|number: u32| {
                let sender = sender.clone();
                pool.detach(move || sender.send(number))
            })
            .collect();
        run(all(jobs)).expect("jobs");
        drop(sender);
        assert!(order.iter().eq(0..500));
    });
}

#[test]
fn a_cancelled_job_in_the_queue_never_runs_and_is_dropped() {
    guarded("a_cancelled_job_in_the_queue_never_runs", || {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (pool, door) = (one_thread(), Door::default());
        let (begun, begins) = mpsc::channel();
        let first = pool.detach({
            let door = door.clone();
            move || {
                begun.send(()).expect("the test waits");
                door.pass();
            }
        });
        begins.recv().expect("it begins");
        let (ran, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let second = pool.detach({
            let (ran, dropped) = (Arc::clone(&ran), Dropped(Arc::clone(&dropped)));
            move || {
                ran.store(true, Ordering::SeqCst);
                drop(dropped);
            }
        });
        let third = pool.detach(|| 3);
        assert_eq!(pool.stats().queued, 2);
        second.cancel();
        assert_eq!(pool.stats().queued, 1);
        assert!(dropped.load(Ordering::SeqCst));
        assert!(run(second).expect_err("cancelled").is_canceled());
        door.open();
        run(first).expect("the first");
        assert_eq!(run(third).expect("the third"), 3);
        assert!(!ran.load(Ordering::SeqCst));
        assert_eq!(loop_stats().jobs, 0);
    });
}

#[test]
fn a_cancelled_job_that_runs_is_rejected_at_once_and_its_result_dropped() {
    guarded("a_cancelled_job_that_runs_is_rejected_at_once", || {
        struct Result(Arc<AtomicBool>);
        impl Drop for Result {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (pool, door) = (one_thread(), Door::default());
        let dropped = Arc::new(AtomicBool::new(false));
        let (begun, begins) = mpsc::channel();
        let job = pool.detach({
            let (door, dropped) = (door.clone(), Arc::clone(&dropped));
            move || {
                begun.send(()).expect("the test waits");
                door.pass();
                Result(dropped)
            }
        });
        begins.recv().expect("it begins");
        job.cancel();
        assert!(run(job).is_err_and(|error| error.is_canceled()));
        assert!(!dropped.load(Ordering::SeqCst));
        door.open();
        run(pool.detach(|| ())).expect("the thread goes on");
        run(pause()).expect("paused");
        assert!(dropped.load(Ordering::SeqCst));
    });
}

#[test]
fn a_late_result_does_not_reach_the_job_that_took_the_place() {
    guarded("a_late_result_does_not_reach_another_job", || {
        let (pool, door) = (Pool::new(Limits::default()), Door::default());
        let (begun, begins) = mpsc::channel();
        let first = pool.detach({
            let door = door.clone();
            move || {
                begun.send(()).expect("the test waits");
                door.pass();
                "the first's result"
            }
        });
        begins.recv().expect("it begins");
        first.cancel();
        drop(first);
        let second_door = Door::default();
        let second = pool.detach({
            let door = second_door.clone();
            move || {
                door.pass();
                "the second's result"
            }
        });
        door.open();
        run(sleep(Duration::from_millis(5))).expect("slept");
        assert!(second.is_pending());
        second_door.open();
        assert_eq!(run(second).expect("the second"), "the second's result");
    });
}

#[test]
fn a_dropped_promise_lets_its_job_run() {
    guarded("a_dropped_promise_lets_its_job_run", || {
        let (pool, ran) = (one_thread(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 {
            let ran = Arc::clone(&ran);
            drop(pool.detach(move || ran.fetch_add(1, Ordering::SeqCst)));
        }
        run(pool.detach(|| ())).expect("the last");
        assert_eq!(ran.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn awaiting_tasks_get_their_results_and_cancels() {
    guarded("awaiting_tasks_get_their_results_and_cancels", || {
        let door = Door::default();
        let (stage, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let task = spawn({
            let (door, stage, seen) = (door.clone(), Rc::clone(&stage), Rc::clone(&seen));
            async move {
                stage.set(detach(|| 1).await?);
                let blocked = detach(move || door.pass()).await;
                seen.set(blocked.is_err_and(|error| error.is_canceled()));
                Ok::<_, Error>(())
            }
        });
        while stage.get() != 1 {
            run(sleep(Duration::from_millis(1))).expect("slept");
        }
        task.cancel();
        run(task).expect("it goes on after the cancel");
        assert!(seen.get());
        assert_eq!(loop_stats().jobs, 0);
        door.open();
    });
}

#[test]
fn signals_are_blocked_except_for_faults() {
    use nix::sys::signal::{SigSet, Signal};

    guarded("signals_are_blocked_except_for_faults", || {
        let before = SigSet::thread_get_mask().expect("mask");
        let mask =
            run(Pool::new(Limits::default()).detach(SigSet::thread_get_mask)).expect("a job").expect("mask");
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGCHLD, Signal::SIGPIPE] {
            assert!(mask.contains(signal), "{signal}");
        }
        for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL] {
            assert!(!mask.contains(signal), "{signal}");
        }
        assert_eq!(before, SigSet::thread_get_mask().expect("mask"));
    });
}

#[test]
fn loops_share_the_pool_and_may_end_before_their_jobs() {
    guarded("loops_share_the_pool", || {
        let threads: Vec<_> = (0..8)
            .map(|thread: usize| {
                std::thread::spawn(move || {
                    // These come back to nobody.
                    for _ in 0..50 {
                        drop(detach(|| std::thread::sleep(Duration::from_micros(200))));
                    }
                    let jobs = (0..200).map(|n| detach(move || thread * n));
                    let results = run(all(jobs)).expect("jobs");
                    assert!(results.iter().enumerate().all(|(n, result)| *result == thread * n));
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("join");
        }
    });
}

#[test]
fn jobs_that_wait_when_their_loop_ends_are_taken_back() {
    guarded("jobs_that_wait_when_their_loop_ends", || {
        let pool = Pool::new(Limits { max_threads: 1, max_queued: 3, ..Limits::default() });
        let (door, ran) = (Door::default(), Arc::new(AtomicUsize::new(0)));
        let (begun, begins) = mpsc::channel();
        let first = pool.detach({
            let door = door.clone();
            move || {
                begun.send(()).expect("the test waits");
                door.pass();
            }
        });
        begins.recv().expect("it begins");
        // Some in the queue, and some that wait on the loop.
        std::thread::spawn({
            let (pool, ran) = (pool.clone(), Arc::clone(&ran));
            move || {
                for _ in 0..10 {
                    let ran = Arc::clone(&ran);
                    drop(pool.detach(move || ran.fetch_add(1, Ordering::SeqCst)));
                }
            }
        })
        .join()
        .expect("join");
        assert_eq!(pool.stats().queued, 0);
        assert_eq!(Arc::strong_count(&ran), 1);
        door.open();
        run(first).expect("the first");
        assert_eq!(run(pool.detach(|| 6)).expect("the pool works"), 6);
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_panicking_drop_of_a_result_harms_nobody() {
    guarded("a_panicking_drop_of_a_result_harms_nobody", || {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let (pool, door) = (one_thread(), Door::default());
        // Its loop has ended when the result comes, so the result is dropped on the job thread.
        std::thread::spawn({
            let (pool, door) = (pool.clone(), door.clone());
            move || {
                let (begun, begins) = mpsc::channel();
                drop(pool.detach(move || {
                    begun.send(()).expect("the loop's thread waits");
                    door.pass();
                    Bomb
                }));
                begins.recv().expect("it begins");
            }
        })
        .join()
        .expect("join");
        door.open();
        assert_eq!(run(pool.detach(|| 5)).expect("the thread lives"), 5);
    });
}

#[test]
fn a_panicking_drop_of_a_job_that_is_taken_back_harms_nobody() {
    guarded("a_panicking_drop_of_a_job", || {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        let pool = one_thread();
        let (release, wait) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let first = pool.detach(move || begun.send(()).is_ok() && wait.recv().is_err());
        has_begun.recv().expect("the only thread is taken");
        let other = pool.clone();
        let ended = std::thread::spawn(move || {
            set_unhandled_hook(Some(Rc::new(|_| ())));
            for _ in 0..3 {
                let bad = Bad;
                // Its loop ends before it has begun.
                drop(other.detach(move || drop(bad)));
            }
        });
        ended.join().expect("it ends without a panic");
        assert_eq!(pool.stats().queued, 0);
        drop(release);
        assert!(run(first).expect("the pool goes on"));
    });
}
