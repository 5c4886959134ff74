//! A process that has no descriptors left. One test: the limit is the process's.

use std::time::Duration;

use lwt_core::Promise;
use lwt_unix::entry::guarded;
use lwt_unix::fd::OsError;
use lwt_unix::{detach, loop_stats, run, sleep};

#[test]
fn without_descriptors_there_are_errors_and_later_there_is_a_loop() {
    guarded("without_descriptors_there_are_errors", || {
        let mut taken = Vec::new();
        let error = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => taken.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        let kind = Some(error.kind());
        // One is enough for the poller, and not for its waker: what was made is given back. `poll` needs no
        // other.
        let needed = if std::env::var_os("LWT_ENGINE").is_some_and(|name| name == "poll") { 1 } else { 2 };
        for spare in 0..needed {
            let error = run(Promise::ready(())).expect_err("no loop");
            assert_eq!(error.io_kind(), kind);
            assert_eq!(OsError::of(&error).and_then(OsError::raw_os_error), Some(libc::EMFILE));
            let mut slept = sleep(Duration::ZERO);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Err(error)) =
                std::future::Future::poll(std::pin::Pin::new(&mut slept), &mut context)
            else {
                panic!("a sleep without a loop")
            };
            assert_eq!(error.io_kind(), kind);
            assert!(!detach(|| ()).catch(|_| Promise::ready(())).is_pending());
            assert_eq!(taken.pop().is_some(), spare < needed);
        }
        // These are enough: the timer descriptor is done without.
        run(sleep(Duration::from_millis(2))).expect("a loop");
        assert_eq!(loop_stats().timers, 0);
        drop(taken);
        assert_eq!(run(detach(|| 7)).expect("a job"), 7);
    });
}
