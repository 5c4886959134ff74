//! Cancels that are kept while something is carried through.

use std::cell::RefCell;
use std::rc::Rc;

use lwt_core::{Error, Promise, State, scheduler, spawn, task, wait};

#[test]
fn a_kept_cancel_meets_the_next_await() {
    for when in ["waiting", "woken", "running", "never"] {
        for next in ["point", "promise", "yield", "foreign"] {
            let (carried, done) = wait::<u32>();
            let (other, _other) = task::<()>();
            let this: Rc<RefCell<Option<Promise<bool>>>> = Rc::default();
            let own = Rc::clone(&this);
            let work = spawn(async move {
                task::yield_now().await?;
                if when == "running" {
                    own.borrow().as_ref().expect("itself").cancel();
                }
                assert_eq!(task::keep_cancel(carried).await?, 7);
                let met = match next {
                    "point" => task::cancel_point().await,
                    "promise" if when == "never" => Ok(()),
                    "promise" => other.await,
                    "yield" => task::yield_now().await,
                    _ if when == "never" => Ok(()),
                    _ => std::future::pending().await,
                };
                // Once.
                task::cancel_point().await?;
                Ok::<_, Error>(met.is_err_and(|error| error.is_canceled()))
            });
            this.replace(Some(work.clone()));
            scheduler::run_ready(usize::MAX);
            if when == "waiting" {
                work.cancel();
                scheduler::run_ready(usize::MAX);
                assert!(work.is_pending());
            }
            done.wakeup(7);
            if when == "woken" {
                work.cancel();
            }
            scheduler::run_ready(usize::MAX);
            match work.state() {
                State::Fulfilled(met) => assert_eq!(*met, when != "never", "{when} {next}"),
                State::Rejected(error) => {
                    assert!(error.is_canceled() && next == "foreign" && when != "never")
                }
                State::Pending => panic!("{when} {next} is pending"),
            }
            drop(this.take());
        }
    }
}
