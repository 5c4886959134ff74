//! Aborting tasks: the future is dropped at once, and the promise rejected.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Drops, Log, show, spin};
use lwt_core::{Error, Promise, spawn, wait};

type Outcome<T = ()> = Result<T, Error>;

#[test]
fn abort_drops_at_once() {
    let drops = Drops::new();
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let (token, log) = (drops.token(), log.clone());
        async move {
            let _token = token;
            let outcome = p.await;
            log.add("never");
            outcome
        }
    });
    lwt_core::task::abort(&t);
    assert_eq!(drops.count(), 1);
    assert_eq!(show(&t), "canceled");
    r.wakeup(());
    spin();
    assert_eq!(log.take(), "");
}

#[test]
fn abort_of_what_has_ended_or_is_no_task_does_no_harm() {
    let t = spawn(async { Outcome::Ok(1) });
    lwt_core::task::abort(&t);
    assert_eq!(show(&t), "ok 1");
    let (p, r) = wait::<()>();
    let t = spawn(p);
    r.wakeup(());
    spin();
    lwt_core::task::abort(&t);
    assert_eq!(show(&t), "ok ()");
}

#[test]
fn abort_of_a_woken_task() {
    let log = Log::new();
    let (p, r) = wait::<()>();
    let t = spawn({
        let log = log.clone();
        async move {
            p.await?;
            log.add("never");
            Outcome::Ok(())
        }
    });
    r.wakeup(());
    lwt_core::task::abort(&t);
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(log.take(), "");
}

#[test]
fn a_task_that_aborts_itself() {
    let own: Rc<RefCell<Option<Promise<()>>>> = Rc::default();
    let drops = Drops::new();
    let (start, rs) = wait::<()>();
    let (never, _rn) = wait::<()>();
    let t = spawn({
        let (own, token) = (own.clone(), drops.token());
        async move {
            let _token = token;
            start.await?;
            let own = own.borrow_mut().take().expect("set below");
            lwt_core::task::abort(&own);
            never.await
        }
    });
    own.replace(Some(t.clone()));
    rs.wakeup(());
    spin();
    assert_eq!(show(&t), "canceled");
    assert_eq!(drops.count(), 1);
}

#[test]
fn abort_from_the_destructor_of_another_task() {
    struct Aborts(Promise<()>);
    impl Drop for Aborts {
        fn drop(&mut self) {
            lwt_core::task::abort(&self.0);
        }
    }
    let drops = Drops::new();
    let (never, _rn) = wait::<()>();
    let victim = spawn({
        let (never, token) = (never.clone(), drops.token());
        async move {
            let _token = token;
            never.await
        }
    });
    let first = spawn({
        let aborts = Aborts(victim.clone());
        async move {
            let _aborts = aborts;
            never.await
        }
    });
    lwt_core::task::abort(&first);
    assert_eq!([show(&first), show(&victim)], ["canceled", "canceled"]);
    assert_eq!(drops.count(), 1);
}
