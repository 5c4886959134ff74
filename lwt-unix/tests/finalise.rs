//! What is done when a value is dropped, or at the exit; and programs that end on a system error.

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use lwt_core::{Error, Promise, set_unhandled_hook, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::finalise::{finalise, finalise_or_exit};
use lwt_unix::{at_exit, exit_hooks, handle_unix_error, run, sleep};

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
fn a_task_that_ends_with_its_loop_may_hold_guards() {
    guarded("a_task_that_ends_with_its_loop", || {
        let ends = std::thread::spawn(|| {
            // Told to the very end of the thread.
            let told: &'static Mutex<Vec<String>> = Box::leak(Box::default());
            set_unhandled_hook(Some(Rc::new(|error| told.lock().expect("whole").push(error.to_string()))));
            drop(run(sleep(Duration::from_micros(100))));
            let never = |_| async { panic!("never") as Result<(), Error> };
            let guards = (finalise(1, never), finalise_or_exit(2, |_| async { Ok::<_, Error>(()) }));
            let task = spawn(async move { sleep(Duration::MAX).await.map(|()| guards) });
            task.on_any(|outcome| assert!(outcome.is_err_and(Error::is_abandoned)));
            told
        });
        let told = ends.join().expect("it ends");
        assert_eq!(*told.lock().expect("whole"), [""; 0]);
    });
}

#[test]
fn what_is_added_at_the_end_of_a_thread_never_runs() {
    struct Adds;

    impl Drop for Adds {
        fn drop(&mut self) {
            let hook = at_exit(|| async { panic!("never") as Result<(), Error> });
            exit_hooks().add_last(|| async { panic!("never") as Result<(), Error> });
            hook.remove();
            exit_hooks().remove_all();
        }
    }

    guarded("what_is_added_at_the_end", || {
        let ends = std::thread::spawn(|| {
            let adds = Adds;
            at_exit(move || {
                let _adds = adds;
                Promise::<()>::ready(())
            });
        });
        ends.join().expect("it ends");
    });
}

#[test]
fn a_system_error_ends_the_program() {
    guarded("a_system_error_ends_the_program", || {
        let path = "/no/such/file";
        match std::env::var(ENDING).as_deref() {
            Ok("named") => return drop(run(handle_unix_error(|| lwt_unix::file::stat(path)))),
            Ok(_) => {
                let file =
                    handle_unix_error(move || lwt_unix::job::detach_result(move || std::fs::read(path)));
                return drop(run(file));
            }
            Err(_) => {}
        }
        let myself = std::env::current_exe().expect("this program");
        for way in ["named", "plain"] {
            let ended = Command::new(&myself)
                .args(["--exact", "a_system_error_ends_the_program", "--nocapture"])
                .env(ENDING, way)
                .output()
                .expect("it runs");
            assert_eq!(ended.status.code(), Some(2));
            let text = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(text.contains("No such file"), "{text}");
        }
        // Other errors are given on.
        let others = [Error::msg("mine"), std::io::Error::other("mine").into()];
        for other in others {
            let other = run(handle_unix_error(|| Promise::<()>::fail(other)));
            assert_eq!(other.expect_err("it fails").to_string(), "mine");
        }
    });
}
