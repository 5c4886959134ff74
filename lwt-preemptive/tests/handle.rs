//! The way from a thread to a loop: `run_in_main`, handles, remote promises, and their errors where they
//! would hang.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, join, pause, set_unhandled_hook, wait};
use lwt_preemptive::lock::RuntimeLock;
use lwt_preemptive::{
    CannotBlock, Handle, LoopEnded, NoLoop, RemoteResolver, detach, remote_task, remote_wait, run_in_main,
    run_in_main_dont_wait,
};
use lwt_unix::entry::guarded;
use lwt_unix::job::{Limits, Pool};
use lwt_unix::{run, sleep};

fn reason<T>(result: Result<T, Error>) -> Option<CannotBlock> {
    result.err()?.downcast_ref().copied()
}

/// A thread whose loop turns until the guard is dropped.
struct Turning {
    handle: Handle,
    stop: Option<RemoteResolver<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Turning {
    fn new() -> Turning {
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (stopped, stop) = remote_wait();
            send.send((Handle::current().expect("a loop"), stop)).expect("sent");
            run(stopped).expect("run");
        });
        let (handle, stop) = receive.recv().expect("a loop");
        Turning { handle, stop: Some(stop), thread: Some(thread) }
    }

    fn end(&mut self) {
        let stop = self.stop.take().map(|stop| stop.wakeup(()));
        assert_ne!(stop, Some(Err(())));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("joined");
        }
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn a_job_asks_its_loop() {
    guarded("a_job_asks_its_loop", || {
        let here = thread::current().id();
        let job = detach(move || {
            let there = run_in_main(|| {
                let id = thread::current().id();
                sleep(Duration::from_micros(100)).map(move |()| id)
            });
            (there.expect("an answer"), thread::current().id())
        });
        let (there, job) = run(job).expect("run");
        assert_eq!(there, here);
        assert_ne!(job, here);
    });
}

#[test]
fn errors_and_panics_come_back() {
    guarded("errors_and_panics_come_back", || {
        let turning = Turning::new();
        let handle = turning.handle.clone();
        let error = handle.run_in_main(|| Promise::<()>::fail(Error::msg("no"))).expect_err("rejected");
        assert_eq!(error.to_string(), "no");
        let panicked = handle.run_in_main(|| -> Promise<()> { panic!("in f") });
        assert_eq!(panicked.expect_err("panicked").panic_message(), Some("in f"));
        let panicked = handle.run_in_main(|| async {
            pause().await?;
            if true {
                panic!("later");
            }
            Ok::<_, Error>(())
        });
        assert_eq!(panicked.expect_err("panicked").panic_message(), Some("later"));
        assert_eq!(handle.run_in_main(|| Promise::ready(3)).expect("the loop goes on"), 3);
    });
}

#[test]
fn a_loop_is_not_waited_for_on_its_own_thread() {
    guarded("a_loop_is_not_waited_for_on_its_own_thread", || {
        let own = Handle::current().expect("a loop");
        assert!(own.is_here());
        // Before it runs, and while it does.
        assert_eq!(reason(own.run_in_main(|| Promise::ready(1))), Some(CannotBlock::OnALoop));
        let other = Turning::new();
        assert!(!other.handle.is_here());
        let theirs = other.handle.clone();
        run(async move {
            let called = Arc::new(Mutex::new(false));
            let mine = Arc::clone(&called);
            let answer = own.run_in_main(move || {
                *mine.lock().unwrap() = true;
                Promise::ready(1)
            });
            assert_eq!(reason(answer), Some(CannotBlock::OnALoop));
            pause().await?;
            assert!(!*called.lock().unwrap(), "it was not called");
            // Nor another thread's, from a running loop; awaiting is the way.
            assert_eq!(reason(theirs.run_in_main(|| Promise::ready(1))), Some(CannotBlock::OnALoop));
            assert_eq!(reason(run_in_main(|| Promise::ready(1))), Some(CannotBlock::OnALoop));
            assert_eq!(theirs.spawn(|| Promise::ready(2)).await?, 2);
            // The loop's own is fine, too, if it is awaited.
            assert_eq!(own.spawn(|| sleep(Duration::from_micros(50)).map(|()| 3)).await?, 3);
            Ok::<_, Error>(())
        })
        .expect("run");
        // Not on a loop, a blocking wait is fine.
        assert_eq!(other.handle.spawn(|| Promise::ready(4)).wait().expect("an answer"), 4);
    });
}

#[test]
fn whoever_holds_the_runtime_lock_does_not_wait() {
    guarded("whoever_holds_the_runtime_lock_does_not_wait", || {
        let lock = RuntimeLock::current().expect("a lock");
        let turning = Turning::new();
        let handle = turning.handle.clone();
        let (held, section) = thread::spawn(move || {
            lock.attach(|token| {
                let held = handle.run_in_main(|| Promise::ready(1));
                (held, token.blocking(|| handle.run_in_main(|| Promise::ready(2))))
            })
            .expect("attached")
        })
        .join()
        .expect("joined");
        assert_eq!(reason(held), Some(CannotBlock::Attached));
        assert_eq!(section.expect("in a section"), 2);
    });
}

#[test]
fn outside_a_job_there_is_no_telling_which_loop() {
    guarded("outside_a_job_there_is_no_telling_which_loop", || {
        let error = run_in_main(|| Promise::ready(1)).expect_err("no loop");
        assert_eq!(error.downcast_ref(), Some(&NoLoop));
        let posted = run_in_main_dont_wait(|| Promise::ready(()), |_| ());
        assert_eq!(posted.expect_err("no loop").downcast_ref(), Some(&NoLoop));
        assert!(Handle::of_job().is_err());
        assert!(run(detach(|| Handle::of_job().is_ok())).expect("run"));
    });
}

#[test]
fn a_loop_that_has_ended_is_an_error_and_not_a_hang() {
    guarded("a_loop_that_has_ended_is_an_error_and_not_a_hang", || {
        let mut turning = Turning::new();
        let handle = turning.handle.clone();
        // Under way when it ends: a promise that nobody resolves, held by somebody who never lets go.
        let hanging = handle.spawn(|| {
            let (promise, resolver) = wait::<u32>();
            std::mem::forget(resolver);
            promise
        });
        let waiter = thread::spawn(move || hanging.wait());
        let slow = handle.spawn(|| sleep(Duration::from_secs(3600)));
        turning.end();
        let error = waiter.join().expect("joined").expect_err("ended");
        assert_eq!(error.downcast_ref(), Some(&LoopEnded));
        let error = run(slow).expect_err("ended");
        assert!(error.downcast_ref() == Some(&LoopEnded) || error.is_abandoned(), "{error:?}");
        // And afterwards.
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        let error = handle.run_in_main(move || lwt_core::wrap(|| drop(held))).expect_err("ended");
        assert_eq!(error.downcast_ref(), Some(&LoopEnded));
        assert_eq!(Arc::strong_count(&dropped), 1);
        assert_eq!(handle.run_in_main_dont_wait(|| Promise::ready(()), |_| ()), Err(LoopEnded));
        assert_eq!(
            run(handle.spawn(|| Promise::ready(()))).expect_err("ended").downcast_ref(),
            Some(&LoopEnded)
        );
    });
}

#[test]
fn nobody_waits_for_what_is_dropped_but_its_error_is_told() {
    guarded("nobody_waits_for_what_is_dropped_but_its_error_is_told", || {
        let turning = Turning::new();
        let handle = turning.handle.clone();
        let (tell, told) = mpsc::channel();
        let hook = move || {
            set_unhandled_hook(Some(Rc::new(move |error: &Error| {
                tell.send(error.to_string()).expect("sent")
            })));
            Promise::ready(())
        };
        handle.run_in_main(hook).expect("set");
        drop(
            handle.spawn(|| {
                sleep(Duration::from_millis(1)).bind(|()| Promise::<()>::fail(Error::msg("unseen")))
            }),
        );
        assert_eq!(told.recv().expect("told"), "unseen");
        let (send, receive) = mpsc::channel();
        handle
            .run_in_main_dont_wait(
                || Promise::fail(Error::msg("handled")),
                move |error| send.send((error.to_string(), thread::current().id())).expect("sent"),
            )
            .expect("the loop is there");
        let (text, thread) = receive.recv().expect("handled");
        assert_eq!(text, "handled");
        assert_ne!(thread, thread::current().id());
        handle
            .run_in_main(|| {
                set_unhandled_hook(None);
                Promise::ready(())
            })
            .expect("unset");
        assert!(told.try_recv().is_err());
    });
}

#[test]
fn a_remote_cancel_arrives_where_the_task_waits() {
    guarded("a_remote_cancel_arrives_where_the_task_waits", || {
        let turning = Turning::new();
        let remote = turning.handle.spawn(|| async {
            let outcome = sleep(Duration::from_secs(3600)).await;
            // The clean-up takes its time.
            sleep(Duration::from_micros(100)).await?;
            Ok::<_, Error>(outcome.expect_err("cancelled").is_canceled())
        });
        remote.cancel();
        assert!(remote.wait().expect("cleaned up"));
    });
}

#[test]
fn remote_resolvers_know_whether_they_are_wanted() {
    guarded("remote_resolvers_know_whether_they_are_wanted", || {
        let (promise, resolver) = remote_task::<u32>();
        assert!(resolver.is_wanted());
        let other = thread::spawn(move || resolver.wakeup(1));
        assert_eq!(run(promise).expect("run"), 1);
        assert_eq!(other.join().expect("joined"), Ok(()));
        // Cancelled.
        let (promise, resolver) = remote_task::<u32>();
        promise.cancel();
        assert!(!resolver.is_wanted());
        assert_eq!(resolver.wakeup(2), Err(2));
        assert!(run(promise).expect_err("cancelled").is_canceled());
        // Cancelled after it was sent, before it has arrived: the value is lost, and nothing else.
        let (promise, resolver) = remote_task();
        let value = Rc::new(Cell::new(0));
        let seen = Rc::clone(&value);
        promise.on_success(move |number: &u32| seen.set(*number));
        assert_eq!(resolver.wakeup(3), Ok(()));
        promise.cancel();
        assert!(run(promise).expect_err("cancelled").is_canceled());
        assert_eq!(value.get(), 0);
        // Dropped by all who held it.
        let (promise, resolver) = remote_wait::<u32>();
        promise.cancel();
        assert!(resolver.is_wanted(), "a wait cannot be cancelled");
        drop(promise);
        assert!(!resolver.is_wanted());
        let error = resolver.wakeup_err(Error::msg("unheard")).expect_err("comes back");
        assert_eq!(error.to_string(), "unheard");
        // Abandoned.
        let (promise, resolver) = remote_wait::<u32>();
        thread::spawn(move || drop(resolver));
        assert!(run(promise).expect_err("abandoned").is_abandoned());
        let (promise, resolver) = remote_wait::<u32>();
        thread::spawn(move || resolver.wakeup_result(Err(Error::msg("sent"))));
        assert_eq!(run(promise).expect_err("sent").to_string(), "sent");
    });
}

#[test]
fn a_value_for_a_loop_that_has_ended_comes_back() {
    guarded("a_value_for_a_loop_that_has_ended_comes_back", || {
        let resolver = thread::spawn(|| {
            let (promise, resolver) = remote_wait::<String>();
            std::mem::forget(promise);
            resolver
        });
        let resolver = resolver.join().expect("joined");
        assert!(!resolver.is_wanted());
        assert_eq!(resolver.wakeup("mine".to_owned()), Err("mine".to_owned()));
    });
}

#[test]
fn the_only_thread_of_a_pool_may_wait_for_a_job() {
    guarded("the_only_thread_of_a_pool_may_wait_for_a_job", || {
        let pool = Pool::new(Limits { max_threads: 1, ..Limits::default() });
        let inner = pool.clone();
        let outer = pool.detach(move || {
            run_in_main(move || async move {
                let first = inner.detach(|| 1).await?;
                Ok::<_, Error>(first + inner.detach(|| 2).await?)
            })
            .expect("the inner jobs")
        });
        assert_eq!(run(outer).expect("run"), 3);
    });
}

#[test]
fn many_threads_and_one_loop() {
    guarded("many_threads_and_one_loop", || {
        const ROUNDS: u64 = 300;
        let log = Rc::new(RefCell::new(0));
        thread_local! {
            static LOG: RefCell<Option<Rc<RefCell<u64>>>> = const { RefCell::new(None) };
        }
        LOG.set(Some(Rc::clone(&log)));
        let jobs: Vec<_> = (0..8)
            .map(|at| {
                detach(move || {
                    for round in 0..ROUNDS {
                        let add = move || {
                            LOG.with_borrow(|log| *log.as_ref().expect("on the loop").borrow_mut() += 1);
                            match (at + round) % 3 {
                                0 => Promise::ready(round),
                                1 => pause().map(move |()| round),
                                _ => sleep(Duration::from_micros(20)).map(move |()| round),
                            }
                        };
                        if round % 5 == 4 {
                            run_in_main_dont_wait(
                                move || add().map(drop),
                                // The last of them may still sleep when the loop ends.
                                |error| assert!(error.is_canceled() || error.is_abandoned(), "{error}"),
                            )
                            .expect("the loop is there");
                        } else {
                            assert_eq!(run_in_main(add).expect("an answer"), round);
                        }
                    }
                })
            })
            .collect();
        run(join(jobs)).expect("jobs");
        run(pause()).expect("what was not waited for");
        assert_eq!(*log.borrow(), 8 * ROUNDS);
    });
}
