//! What is done when a value is dropped, or at the exit; and programs that end on a system error.

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, Promise, set_unhandled_hook};
use lwt_unix::entry::guarded;
use lwt_unix::finalise::{finalise, finalise_or_exit};
use lwt_unix::{exit_hooks, handle_unix_error, run, sleep};

/// Set for the child that is to end.
const ENDING: &str = "LWT_TEST_ENDING";

lwt_unix::test! {
    async fn a_dropped_value_is_handed_over_in_a_later_turn() -> Result<(), Error> {
        let got = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&got);
        let guard = finalise(vec![1, 2, 3], move |value: Vec<i32>| async move {
            sleep(Duration::from_millis(1)).await?;
            *seen.borrow_mut() = Some(value);
            Ok::<_, Error>(())
        });
        assert_eq!(guard.len(), 3);
        sleep(Duration::from_millis(3)).await?;
        assert_eq!(*got.borrow(), None);
        drop(guard);
        assert_eq!(*got.borrow(), None);
        while got.borrow().is_none() {
            sleep(Duration::from_micros(300)).await?;
        }
        assert_eq!(got.take(), Some(vec![1, 2, 3]));
        Ok(())
    }

    async fn at_the_exit_or_before_but_once() -> Result<(), Error> {
        let calls = Rc::new(Cell::new(0));
        let count = |calls: &Rc<Cell<i32>>| {
            let calls = Rc::clone(calls);
            move |by: Rc<i32>| {
                calls.set(calls.get() + *by);
                Promise::<()>::ready(())
            }
        };
        let dropped = finalise_or_exit(1, count(&calls));
        let kept = finalise_or_exit(10, count(&calls));
        let disarmed = finalise_or_exit(100, count(&calls));
        drop(dropped);
        disarmed.disarm();
        sleep(Duration::from_millis(2)).await?;
        assert_eq!(calls.get(), 1);
        exit_hooks().run().await?;
        assert_eq!((calls.get(), *kept), (11, 10));
        drop(kept);
        sleep(Duration::from_millis(2)).await?;
        assert_eq!(calls.get(), 11);
        Ok(())
    }
}

#[test]
fn a_failure_is_reported() {
    guarded("a_failure_is_reported", || {
        let reports = Rc::new(Cell::new(0));
        let seen = Rc::clone(&reports);
        set_unhandled_hook(Some(Rc::new(move |_| seen.set(seen.get() + 1))));
        drop(finalise((), |()| async { Err::<(), _>(Error::msg("on purpose")) }));
        drop(finalise((), |()| -> Promise<()> { panic!("on purpose") }));
        run(sleep(Duration::from_millis(2))).expect("slept");
        set_unhandled_hook(None);
        assert_eq!(reports.get(), 2);
    });
}

#[test]
fn a_loop_that_ends_drops_the_value() {
    guarded("a_loop_that_ends_drops_the_value", || {
        let value = std::sync::Arc::new(());
        let inside = std::sync::Arc::clone(&value);
        std::thread::spawn(move || {
            run(sleep(Duration::from_micros(100))).expect("slept");
            drop(finalise(inside, |_| async { panic!("never") as Result<(), Error> }));
        })
        .join()
        .expect("it ends");
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_system_error_ends_the_program() {
    guarded("a_system_error_ends_the_program", || {
        if std::env::var_os(ENDING).is_some() {
            let file = handle_unix_error(|| lwt_unix::job::detach_result(|| std::fs::read("/no/such/file")));
            drop(run(file));
            return;
        }
        let myself = std::env::current_exe().expect("this program");
        let ended = Command::new(myself)
            .args(["--exact", "a_system_error_ends_the_program", "--nocapture"])
            .env(ENDING, "1")
            .output()
            .expect("it runs");
        assert_eq!(ended.status.code(), Some(2));
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(text.contains("No such file"), "{text}");
        // Other errors are given on.
        let other = run(handle_unix_error(|| Promise::<()>::fail(Error::msg("mine"))));
        assert_eq!(other.expect_err("it fails").to_string(), "mine");
    });
}
