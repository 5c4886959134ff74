//! A loop that sleeps without an engine: the core's side of waking a thread, as a runtime would use it.
#![allow(dead_code, reason = "each test binary uses its own part of these helpers")]

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Poll, Waker};

use lwt_core::scheduler::{awake, has_ready, prepare_sleep, run_ready, set_kick};
use lwt_core::{Error, Promise, spawn};

/// How the loop of this thread sleeps and is woken.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
    pub(crate) kicks: AtomicUsize,
}

impl Bell {
    pub(crate) fn install() -> Arc<Bell> {
        let bell = Arc::new(Bell::default());
        let theirs = bell.clone();
        set_kick(Some(Arc::new(move || {
            theirs.kicks.fetch_add(1, Ordering::SeqCst);
            *theirs.rung.lock().unwrap() = true;
            theirs.ring.notify_one();
        })));
        bell
    }

    /// Runs the loop until the promise is resolved.
    pub(crate) fn run<T: 'static>(&self, until: &Promise<T>) {
        while until.is_pending() {
            run_ready(64);
            if !until.is_pending() {
                break;
            }
            if !has_ready() && prepare_sleep() {
                let mut rung = self.rung.lock().unwrap();
                while !*rung {
                    rung = self.ring.wait(rung).unwrap();
                }
                *rung = false;
            }
            awake();
        }
    }
}

/// A task that hands its waker out at each poll and ends when `done` says so.
pub(crate) fn watcher(done: Arc<AtomicBool>, wakers: mpsc::Sender<Waker>) -> Promise<()> {
    spawn(poll_fn(move |cx| {
        if done.load(Ordering::SeqCst) {
            return Poll::Ready(Ok::<_, Error>(()));
        }
        let _ = wakers.send(cx.waker().clone());
        Poll::Pending
    }))
}
