//! The moment that an idle loop with jobs away spins for: whatever comes meanwhile counts. One test: it sets
//! how long the process spins.

use std::sync::mpsc;
use std::time::Duration;

use lwt_core::{scheduler, task};
use lwt_unix::entry::guarded;
use lwt_unix::job::{Limits, Pool};
use lwt_unix::{run, set_spin, sleep};

thread_local! {
    static RESOLVER: std::cell::Cell<Option<lwt_core::Resolver<u32>>> = const { std::cell::Cell::new(None) };
}

/// Has another thread post `f` while this one spins.
fn post_soon(f: impl FnOnce() + Send + 'static) {
    let home = scheduler::handle();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        home.post(f)
    });
}

#[test]
fn a_message_that_is_no_outcome_is_not_slept_over() {
    guarded("a_message_that_is_no_outcome", || {
        // Longer than the posting thread takes, and shorter than the watchdog.
        set_spin(Duration::from_millis(1500));
        let pool = Pool::new(Limits::default());
        // The first answer comes soon after the loop has blocked, and that brings the spinning on.
        run(pool.detach(|| std::thread::sleep(Duration::from_millis(5)))).expect("a job");

        let (release, wait) = mpsc::channel::<()>();
        let away = pool.detach(move || wait.recv().is_err());
        let (promise, resolver) = task();
        RESOLVER.set(Some(resolver));
        post_soon(|| RESOLVER.take().expect("it is there").wakeup(1));
        assert_eq!(run(promise).expect("resolved by the message"), 1);

        let (promise, resolver) = task();
        RESOLVER.set(Some(resolver));
        post_soon(|| {
            // Nothing but a timer comes of it.
            let later = sleep(Duration::from_millis(10));
            later.on_any(|_| RESOLVER.take().expect("it is there").wakeup(2));
        });
        assert_eq!(run(promise).expect("resolved by the timer"), 2);
        drop(release);
        assert!(run(away).expect("the job"));
    });
}
