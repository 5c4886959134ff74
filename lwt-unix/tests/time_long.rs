//! `LongTimeout`: started, stopped and changed in all orders.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, set_unhandled_hook};
use lwt_unix::engine::{MioEngine, SimEngine, set_engine};
use lwt_unix::entry::guarded;
use lwt_unix::sim::Sim;
use lwt_unix::time::{LongTimeout, now, set_timeout_handler, sleep};
use lwt_unix::{loop_stats, run};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A time-out that counts its calls.
fn counter(delay: Duration) -> (LongTimeout, Rc<Cell<u32>>) {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    (LongTimeout::create(delay, move || seen.set(seen.get() + 1)), calls)
}

fn simulated<F>(name: &str, body: fn() -> F)
where
    F: Future<Output = Result<(), Error>> + 'static,
{
    guarded(name, move || Sim::new().run(body).expect("it succeeds"));
}

#[test]
fn it_keeps_what_is_left_of_its_time_on_another_engine() {
    guarded("it_keeps_what_is_left", || {
        let sim = SimEngine::new(&Sim::new()).expect("an engine");
        set_engine(Rc::new(sim)).expect("a fresh thread");
        run(sleep(secs(3600))).expect("slept");
        let (timeout, calls) = counter(Duration::from_millis(2));
        timeout.start();
        // Its clock is an hour behind.
        set_engine(Rc::new(MioEngine::new().expect("an engine"))).expect("moved");
        run(sleep(Duration::from_millis(4))).expect("slept");
        assert_eq!((calls.get(), timeout.is_running()), (1, false));
        timeout.start();
        set_engine(Rc::new(MioEngine::new().expect("an engine"))).expect("moved");
        run(sleep(Duration::from_millis(4))).expect("slept");
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn it_comes_when_it_is_due_once() {
    simulated("it_comes_when_it_is_due", || async {
        let start = now();
        let when = Rc::new(Cell::new(None));
        let seen = Rc::clone(&when);
        let timeout = LongTimeout::create(secs(60), move || seen.set(Some(now() - start)));
        sleep(secs(100)).await?;
        assert_eq!(when.get(), None, "it was not started");
        let begin = now() - start;
        timeout.start();
        timeout.start();
        assert!(timeout.is_running());
        sleep(secs(59)).await?;
        assert_eq!(when.get(), None);
        sleep(secs(2)).await?;
        let came = when.take().expect("it came");
        assert!(came >= begin + secs(60) && came < begin + secs(60) + Duration::from_millis(10), "{came:?}");
        assert!(!timeout.is_running());
        sleep(secs(200)).await?;
        assert_eq!(when.get(), None, "once");
        Ok(())
    });
}

#[test]
fn each_start_counts_anew_and_costs_no_timer() {
    simulated("each_start_counts_anew", || async {
        let (timeout, calls) = counter(secs(30));
        for _ in 0..100 {
            timeout.start();
            assert_eq!(loop_stats().timers, 1);
            sleep(secs(29)).await?;
        }
        assert_eq!(calls.get(), 0);
        sleep(secs(2)).await?;
        assert_eq!((calls.get(), loop_stats().timers), (1, 0));
        Ok(())
    });
}

#[test]
fn stopping_and_changing() {
    simulated("stopping_and_changing", || async {
        let (timeout, calls) = counter(secs(10));
        timeout.stop();
        timeout.start();
        sleep(secs(5)).await?;
        timeout.stop();
        sleep(secs(20)).await?;
        assert_eq!((calls.get(), timeout.is_running()), (0, false));
        // A change starts nothing.
        timeout.change(secs(3));
        sleep(secs(20)).await?;
        assert_eq!((calls.get(), timeout.delay()), (0, secs(3)));
        timeout.start();
        sleep(secs(4)).await?;
        assert_eq!(calls.get(), 1);
        // While it runs it counts anew: later, and sooner.
        timeout.start();
        sleep(secs(2)).await?;
        timeout.change(secs(10));
        sleep(secs(9)).await?;
        assert_eq!(calls.get(), 1);
        sleep(secs(2)).await?;
        assert_eq!(calls.get(), 2);
        timeout.start();
        timeout.change(secs(1));
        sleep(secs(2)).await?;
        assert_eq!(calls.get(), 3);
        // Stopped and started again before the old timer comes.
        timeout.change(secs(10));
        timeout.start();
        sleep(secs(6)).await?;
        timeout.stop();
        timeout.start();
        sleep(secs(6)).await?;
        assert_eq!(calls.get(), 3);
        sleep(secs(5)).await?;
        assert_eq!(calls.get(), 4);
        Ok(())
    });
}

#[test]
fn any_delay_is_legal_and_others_are_not_touched() {
    simulated("any_delay_is_legal", || async {
        let (never, none) = counter(Duration::MAX);
        let (at_once, one) = counter(Duration::ZERO);
        let (other, calls) = counter(secs(1));
        never.start();
        at_once.start();
        other.start();
        assert!(never.is_running());
        sleep(secs(2)).await?;
        at_once.stop();
        assert_eq!((none.get(), one.get(), calls.get()), (0, 1, 1));
        never.stop();
        never.change(secs(1));
        never.start();
        sleep(secs(2)).await?;
        assert_eq!(none.get(), 1);
        Ok(())
    });
}

#[test]
fn it_may_start_itself_and_ends_with_its_last_handle() {
    simulated("it_may_start_itself", || async {
        let calls = Rc::new(Cell::new(0));
        let place: Rc<RefCell<Option<LongTimeout>>> = Rc::default();
        let (seen, me) = (Rc::clone(&calls), Rc::clone(&place));
        let timeout = LongTimeout::create(secs(1), move || {
            seen.set(seen.get() + 1);
            let me = me.borrow().clone();
            match me {
                Some(me) if seen.get() < 5 => me.start(),
                _ => {}
            }
        });
        *place.borrow_mut() = Some(timeout.clone());
        timeout.start();
        sleep(secs(20)).await?;
        assert_eq!(calls.get(), 5);
        place.take();
        timeout.start();
        let weak = Rc::downgrade(&calls);
        drop((timeout, calls));
        assert_eq!((loop_stats().timers, weak.strong_count()), (0, 0));
        Ok(())
    });
}

#[test]
fn a_panic_goes_to_the_handler_or_to_the_hook() {
    guarded("a_panic_goes_to_the_handler", || {
        let told = Rc::new(RefCell::new(Vec::new()));
        let hook = Rc::clone(&told);
        set_unhandled_hook(Some(Rc::new(move |error: &Error| {
            hook.borrow_mut().push(format!("hook: {}", error.panic_message().unwrap_or_default()));
        })));
        let timeout = LongTimeout::create(Duration::from_millis(1), || panic!("on purpose"));
        timeout.start();
        run(sleep(Duration::from_millis(5))).expect("slept");
        let handler = Rc::clone(&told);
        set_timeout_handler(Some(move |error: Error| {
            handler.borrow_mut().push(format!("handler: {}", error.panic_message().unwrap_or_default()));
        }));
        timeout.start();
        run(sleep(Duration::from_millis(5))).expect("slept");
        set_timeout_handler(None::<fn(Error)>);
        set_unhandled_hook(None);
        assert_eq!(*told.borrow(), ["hook: on purpose", "handler: on purpose"]);
    });
}

#[test]
fn at_the_end_of_its_thread_it_does_not_run() {
    /// Uses a time-out when the thread's values are dropped.
    struct Late(RefCell<Option<LongTimeout>>);

    impl Drop for Late {
        fn drop(&mut self) {
            let timeout = self.0.take().expect("it was put there");
            timeout.start();
            timeout.change(secs(1));
            set_timeout_handler(Some(|_| ()));
            timeout.stop();
            assert!(!timeout.is_running());
        }
    }

    thread_local! {
        static LATE: Late = const { Late(RefCell::new(None)) };
    }

    guarded("at_the_end_of_its_thread", || {
        // Values go in the order in which they were first used, or the other way round.
        for first in [true, false] {
            let ends = std::thread::spawn(move || {
                if first {
                    LATE.with(|_| ());
                }
                set_timeout_handler(Some(|_| ()));
                let (timeout, _) = counter(secs(1));
                timeout.start();
                LATE.with(|late| late.0.replace(Some(timeout)));
            });
            ends.join().expect("it ends");
        }
    });
}
