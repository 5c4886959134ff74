//! The end of a thread's loop: nothing is left behind, and nothing hangs. One test: it counts the process's
//! descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lwt_core::{Error, Promise, pause, spawn, wait};
use lwt_unix::entry::guarded;
use lwt_unix::{detach, job, run, sleep};

struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(live: &Arc<AtomicUsize>) -> Count {
        live.fetch_add(1, Ordering::SeqCst);
        Count(Arc::clone(live))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a proc file system").count()
}

/// Leaves as much undone as can be.
fn leave_everything(live: &Arc<AtomicUsize>) {
    for round in 0..10_u64 {
        let count = Count::new(live);
        drop(spawn(async move {
            let _count = count;
            sleep(Duration::from_secs(1000 + round)).await
        }));
        let count = Count::new(live);
        drop(spawn(async move {
            let _count = count;
            loop {
                pause().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), Error>(())
        }));
        let count = Count::new(live);
        drop(sleep(Duration::from_secs(1000)).map(move |()| drop(count)));
        let count = Count::new(live);
        drop(spawn(async move {
            // Runs when the loop has ended already.
            struct Late(Count);
            impl Drop for Late {
                fn drop(&mut self) {
                    let late = sleep(Duration::from_secs(1)).catch(|_| Promise::ready(()));
                    if late.is_pending() {
                        // No panic would come out of here.
                        std::mem::forget(Count::new(&self.0.0));
                    }
                }
            }
            let _late = Late(count);
            detach(|| std::thread::sleep(Duration::from_millis(5))).await?;
            let (never, _resolver) = wait::<()>();
            never.await
        }));
    }
    run(pause()).expect("paused");
}

#[test]
fn a_thread_that_ends_leaves_nothing() {
    guarded("a_thread_that_ends_leaves_nothing", || {
        let live = Arc::new(AtomicUsize::new(0));
        // The pool and the standard library settle.
        run(detach(|| ())).expect("a first job");
        let before = descriptors();
        for _ in 0..20 {
            let live = Arc::clone(&live);
            std::thread::spawn(move || leave_everything(&live)).join().expect("it ends without a panic");
        }
        assert_eq!(live.load(Ordering::SeqCst), 0, "something is left, or waits for a loop that has ended");
        // Job threads and their reading of the process table may have something open for a moment.
        while descriptors() != before || job::pool().stats().queued > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
