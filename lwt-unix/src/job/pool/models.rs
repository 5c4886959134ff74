//! All interleavings of those who hand jobs to a pool, take them back and close it, with its threads.
//!
//! A model in which somebody waits for ever fails: so each of these ends only if every job is taken care of,
//! and every thread of the pool ends when nobody holds the pool.

use std::time::Duration;

use loom::sync::Arc as Shared;
use loom::thread;

use super::*;
use crate::job::queue::COMMON;

/// How many jobs have run.
#[derive(Clone)]
struct Done(Shared<(Mutex<usize>, Condvar)>);

impl Done {
    fn new() -> Done {
        Done(Shared::new((Mutex::new(0), Condvar::new())))
    }

    /// A job.
    fn job(&self) -> Body {
        let done = self.clone();
        Box::new(move |fate| {
            assert!(matches!(fate, Fate::Run));
            *done.0.0.lock().expect("whole") += 1;
            done.0.1.notify_all();
        })
    }

    fn wait_for(&self, many: usize) {
        let mut count = self.0.0.lock().expect("whole");
        while *count < many {
            count = self.0.1.wait(count).expect("whole");
        }
        assert_eq!(*count, many);
    }
}

/// A pool of so many threads that do not spin.
fn pool(max_threads: usize) -> Pool {
    crate::set_spin(Duration::ZERO);
    Pool::new(Limits { max_threads, ..Limits::default() })
}

fn submit(pool: &Pool, done: &Done) -> Ticket {
    pool.submit(COMMON, done.job(), None).unwrap_or_else(|_| panic!("there is room"))
}

#[test]
fn loom_a_job_that_comes_when_the_thread_is_about_to_park_is_run() {
    loom::model(|| {
        let (pool, done) = (pool(1), Done::new());
        submit(&pool, &done);
        submit(&pool, &done);
        done.wait_for(2);
    });
}

#[test]
fn loom_jobs_are_run_after_the_pool_was_given_up() {
    loom::model(|| {
        let (pool, done) = (pool(1), Done::new());
        submit(&pool, &done);
        drop(pool);
        done.wait_for(1);
    });
}

#[test]
fn loom_two_hand_over_and_two_run() {
    loom::model(|| {
        let (pool, done) = (pool(2), Done::new());
        let other = thread::spawn({
            let (pool, done) = (pool.clone(), done.clone());
            move || _ = submit(&pool, &done)
        });
        submit(&pool, &done);
        other.join().expect("joined");
        done.wait_for(2);
    });
}

#[test]
fn loom_a_job_is_taken_back_or_run_and_never_both() {
    loom::model(|| {
        let (pool, done) = (pool(1), Done::new());
        let ticket = submit(&pool, &done);
        let back = pool.withdraw(ticket).is_some();
        submit(&pool, &done);
        done.wait_for(if back { 1 } else { 2 });
        assert!(pool.withdraw(ticket).is_none());
    });
}
