//! `run`: what it returns, that it can be called again, and what a turn does and does not do.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, all, pause, spawn, wait};
use lwt_unix::engine::{Engine, Event, MioEngine, Token, Wait, Waker, set_engine};
use lwt_unix::entry::guarded;
use lwt_unix::{NestedRun, detach, enter_iter_hooks, leave_iter_hooks, run, sleep};

/// An engine that notes what the loop asks of it.
#[derive(Debug)]
struct Spy {
    engine: MioEngine,
    seen: Rc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    polls: Cell<usize>,
    waits: RefCell<Vec<Wait>>,
    fail: Cell<bool>,
    kicks: Arc<AtomicUsize>,
}

impl Spy {
    /// Gives this thread's loop a spy.
    fn install() -> Rc<Seen> {
        let seen = Rc::new(Seen::default());
        let spy = Spy { engine: MioEngine::new().expect("engine"), seen: Rc::clone(&seen) };
        set_engine(Rc::new(spy)).expect("a fresh thread");
        seen
    }
}

impl Engine for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn now(&self) -> Instant {
        self.engine.now()
    }

    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.engine.register(fd, token)
    }

    fn deregister(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.engine.deregister(fd, token)
    }

    fn poll(&self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        self.seen.polls.set(self.seen.polls.get() + 1);
        self.seen.waits.borrow_mut().push(wait);
        if self.seen.fail.replace(false) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.engine.poll(wait, events)
    }

    fn waker(&self) -> Waker {
        let (waker, kicks) = (self.engine.waker(), Arc::clone(&self.seen.kicks));
        Arc::new(move || {
            kicks.fetch_add(1, Ordering::SeqCst);
            waker();
        })
    }

    fn after_fork(&self) -> io::Result<()> {
        self.engine.after_fork()
    }
}

#[test]
fn gives_the_value_or_the_error() {
    guarded("gives_the_value_or_the_error", || {
        assert_eq!(run(Promise::ready(1)).expect("ready"), 1);
        assert_eq!(run(async { Ok::<_, Error>(2) }).expect("ready"), 2);
        assert_eq!(run(pause().map(|()| 3)).expect("later"), 3);
        let error = run(Promise::<()>::fail(Error::msg("no"))).expect_err("rejected");
        assert_eq!(error.to_string(), "no");
        let error =
            run(async { Err::<(), io::Error>(io::ErrorKind::NotFound.into()) }).expect_err("rejected");
        assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
    });
}

#[test]
fn a_value_need_be_neither_send_nor_clone() {
    guarded("a_value_need_be_neither_send_nor_clone", || {
        struct Own(Rc<()>);
        let own = run(sleep(Duration::ZERO).map(|()| Own(Rc::new(())))).expect("slept");
        assert_eq!(Rc::strong_count(&own.0), 1);
    });
}

#[test]
fn a_resolved_promise_takes_no_turn_and_no_poll() {
    guarded("a_resolved_promise_takes_no_turn_and_no_poll", || {
        let seen = Spy::install();
        let turns = Rc::new(Cell::new(0));
        for hooks in [enter_iter_hooks(), leave_iter_hooks()] {
            let turns = Rc::clone(&turns);
            hooks.add_last(move || turns.set(turns.get() + 1));
        }
        run(Promise::ready(())).expect("ready");
        assert_eq!((turns.get(), seen.polls.get()), (0, 0));
        run(pause()).expect("paused");
        assert_eq!(turns.get(), 2);
    });
}

#[test]
fn what_is_pending_goes_on_in_the_next_run() {
    guarded("what_is_pending_goes_on_in_the_next_run", || {
        let steps = Rc::new(Cell::new(0));
        let task = spawn({
            let steps = Rc::clone(&steps);
            async move {
                for _ in 0..3 {
                    pause().await?;
                    steps.set(steps.get() + 1);
                }
                sleep(Duration::from_millis(1)).await?;
                Ok::<_, Error>("done")
            }
        });
        run(pause()).expect("paused");
        assert!(steps.get() < 3 && task.is_pending());
        run(pause()).expect("paused");
        assert_eq!(run(task).expect("task"), "done");
        assert_eq!(steps.get(), 3);
    });
}

#[test]
fn a_nested_run_is_an_error_and_the_outer_one_goes_on() {
    guarded("a_nested_run_is_an_error_and_the_outer_one_goes_on", || {
        fn nested() -> bool {
            run(Promise::ready(())).expect_err("nested").downcast_ref::<NestedRun>().is_some()
        }
        let at_once = run(async {
            let at_once = nested();
            pause().await?;
            Ok::<_, Error>(at_once && nested())
        });
        assert!(at_once.expect("the outer run"));
        let in_callback = run(pause().map(|()| nested()));
        assert!(in_callback.expect("the outer run"));
        let in_hook = Rc::new(Cell::new(false));
        let hook = enter_iter_hooks().add_first({
            let in_hook = Rc::clone(&in_hook);
            move || in_hook.set(nested())
        });
        run(pause()).expect("the outer run");
        hook.remove();
        assert!(in_hook.get());
        assert!(!lwt_unix::is_running());
        run(pause()).expect("not nested");
    });
}

#[test]
fn a_panic_rejects_and_the_next_run_works() {
    guarded("a_panic_rejects_and_the_next_run_works", || {
        let error = run(async {
            pause().await?;
            if true {
                panic!("over {}", "there");
            }
            Ok::<(), Error>(())
        })
        .expect_err("panicked");
        assert_eq!(error.panic_message(), Some("over there"));
        run(pause()).expect("the next one");
    });
}

#[test]
fn a_poll_error_ends_run_and_what_was_pending_goes_on_later() {
    guarded("a_poll_error_ends_run", || {
        let seen = Spy::install();
        let task = spawn(async { sleep(Duration::from_millis(5)).await });
        seen.fail.set(true);
        let error = run(sleep(Duration::from_secs(3600))).expect_err("the engine failed");
        let text = format!("{error:?}");
        assert!(text.contains("poll"), "{text}");
        let os = error.downcast_ref::<io::Error>().expect("an error of the system");
        assert_eq!(os.kind(), io::Error::from_raw_os_error(libc::EBADF).kind());
        run(task).expect("the engine works again");
    });
}

#[test]
fn a_loop_of_pauses_does_not_poll_on_each_turn() {
    guarded("a_loop_of_pauses_does_not_poll_on_each_turn", || {
        let seen = Spy::install();
        let start = Instant::now();
        let turns = 50_000;
        run(async move {
            for _ in 0..turns {
                pause().await?;
            }
            Ok::<_, Error>(())
        })
        .expect("paused");
        // At most one for each 100 µs; that none is left out only a slow machine would show.
        let allowed = start.elapsed().as_micros() / 100 + turns / (61 * 64) + 2;
        assert!(seen.polls.get() as u128 <= allowed, "{} polls, {allowed} allowed", seen.polls.get());
        assert!(seen.polls.get() > 0);
    });
}

#[test]
fn a_turn_with_work_left_never_blocks() {
    guarded("a_turn_with_work_left_never_blocks", || {
        let seen = Spy::install();
        let _far = sleep(Duration::from_secs(3600));
        run(async {
            for _ in 0..20_000 {
                pause().await?;
            }
            Ok::<_, Error>(())
        })
        .expect("paused");
        assert!(seen.waits.borrow().iter().all(|wait| *wait == Wait::No));
    });
}

#[test]
fn an_idle_loop_blocks_until_the_exact_deadline_and_does_not_spin() {
    guarded("an_idle_loop_blocks", || {
        let seen = Spy::install();
        let start = Instant::now();
        run(sleep(Duration::from_micros(50_300))).expect("slept");
        assert!(start.elapsed() >= Duration::from_micros(50_300));
        assert!(seen.polls.get() <= 5, "{:?}", seen.waits);
        let Wait::Until(deadline) = seen.waits.borrow()[0] else { panic!("it did not wait for a deadline") };
        assert!(deadline >= start + Duration::from_micros(50_300));
        assert!(deadline <= Instant::now());
        // Below a microsecond the deadline is what was asked for, not a round number.
        assert_eq!(seen.waits.borrow().iter().filter(|wait| **wait == Wait::Forever).count(), 0);
    });
}

#[test]
fn a_busy_loop_still_serves_timers() {
    guarded("a_busy_loop_still_serves_timers", || {
        let stop = Rc::new(Cell::new(false));
        let busy = spawn({
            let stop = Rc::clone(&stop);
            async move {
                while !stop.get() {
                    pause().await?;
                }
                Ok::<_, Error>(())
            }
        });
        for _ in 0..5 {
            run(sleep(Duration::from_millis(2))).expect("slept");
        }
        stop.set(true);
        run(busy).expect("stopped");
    });
}

#[test]
fn another_thread_wakes_a_loop_that_blocks() {
    guarded("another_thread_wakes_a_loop_that_blocks", || {
        thread_local! {
            static RESOLVER: RefCell<Option<lwt_core::Resolver<u32>>> = const { RefCell::new(None) };
        }
        for round in 0..200 {
            let (promise, resolver) = wait();
            RESOLVER.set(Some(resolver));
            let handle = lwt_core::scheduler::handle();
            let thread = std::thread::spawn(move || {
                if round % 2 == 0 {
                    std::thread::sleep(Duration::from_micros(200));
                }
                handle.post(move || RESOLVER.take().expect("set above").wakeup(round)).is_ok()
            });
            assert_eq!(run(promise).expect("woken"), round);
            assert!(thread.join().expect("join"));
        }
    });
}

#[test]
fn a_loop_that_is_awake_is_not_kicked_and_a_batch_is_one_kick() {
    guarded("a_loop_that_is_awake_is_not_kicked", || {
        let seen = Spy::install();
        let jobs = all((0..500).map(|number| detach(move || number)));
        run(async move {
            while jobs.is_pending() {
                pause().await?;
            }
            assert_eq!(jobs.await?, (0..500).collect::<Vec<_>>());
            Ok::<_, Error>(())
        })
        .expect("jobs");
        assert_eq!(seen.kicks.load(Ordering::SeqCst), 0);

        // No more kicks than sleeps, however many messages there are.
        let jobs = all((0..500).map(|number| detach(move || number)));
        run(jobs).expect("jobs");
        assert!(seen.kicks.load(Ordering::SeqCst) <= seen.polls.get());
        let before = seen.kicks.load(Ordering::SeqCst);
        let handle = lwt_core::scheduler::handle();
        run(sleep(Duration::ZERO)).expect("slept");
        std::thread::spawn(move || (0..100).for_each(|_| handle.post(|| ()).expect("the loop is there")))
            .join()
            .expect("join");
        assert_eq!(seen.kicks.load(Ordering::SeqCst), before);
    });
}

#[test]
fn loops_on_many_threads_do_not_meet() {
    guarded("loops_on_many_threads_do_not_meet", || {
        let threads: Vec<_> = (0..16)
            .map(|number: u64| {
                std::thread::spawn(move || {
                    run(async move {
                        for _ in 0..20 {
                            sleep(Duration::from_micros(number * 37)).await?;
                            pause().await?;
                        }
                        Ok::<_, Error>(number)
                    })
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().expect("join").expect("run"), number as u64);
        }
    });
}

#[test]
fn signals_interrupt_nothing() {
    use nix::sys::pthread::{pthread_kill, pthread_self};
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    static CAUGHT: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn caught(_: libc::c_int) {
        CAUGHT.fetch_add(1, Ordering::Relaxed);
    }

    guarded("signals_interrupt_nothing", || {
        let action = SigAction::new(SigHandler::Handler(caught), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only adds to an atomic, which is allowed in a handler.
        unsafe { sigaction(Signal::SIGUSR2, &action) }.expect("sigaction");
        let target = pthread_self();
        let stop = Arc::new(AtomicBool::new(false));
        let sender = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    pthread_kill(target, Signal::SIGUSR2).expect("the target waits for us");
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let start = Instant::now();
        run(sleep(Duration::from_millis(50))).expect("an interrupted poll is no error");
        assert!(start.elapsed() >= Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        sender.join().expect("join");
        assert!(CAUGHT.load(Ordering::Relaxed) > 0);
    });
}
