//! Locks, lines, pools and scopes leave nothing behind, however they are given up.

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::{Unhandled, show, spin, turn, watchdog};
use counting::{in_constant_memory, rounds, without_a_trace};
use lwt_core::condition::Condition;
use lwt_core::mutex::Mutex;
use lwt_core::mvar::Mvar;
use lwt_core::pool::Pool;
use lwt_core::rwlock::RwLock;
use lwt_core::semaphore::Semaphore;
use lwt_core::switch::{Switch, with_switch};
use lwt_core::{Promise, pause, pick, task};

#[test]
fn waiters_that_leave_a_long_line() {
    let _dog = watchdog();
    let (mutex, lock, semaphore) = (Mutex::new(()), RwLock::new(()), Semaphore::new(0));
    let (full, empty, condition) = (Mvar::new(1), Mvar::<i32>::empty(), Condition::<i32>::new());
    let _held = (mutex.try_lock(), lock.try_write());
    in_constant_memory("waiters", || {
        for _ in 0..rounds() / 10 {
            let line: [Promise<()>; 7] = [
                mutex.lock().map(drop),
                lock.read().map(drop),
                lock.write().map(drop),
                semaphore.acquire().map(drop),
                full.put(2),
                empty.take().map(drop),
                condition.wait().map(drop),
            ];
            line.iter().for_each(Promise::cancel);
            drop((
                mutex.lock(),
                lock.read(),
                lock.write(),
                semaphore.acquire(),
                empty.take(),
                condition.wait(),
            ));
            let (winner, resolver) = task();
            let picked = pick([winner, mutex.lock().map(drop), empty.take().map(drop)]);
            resolver.wakeup(());
            drop(picked);
        }
    });
}

#[test]
fn waiters_whose_line_ends() {
    let told = Unhandled::collect(); // of those whose line has ended
    without_a_trace("lines", || {
        for _ in 0..rounds() / 10 {
            let (mutex, condition) = (Mutex::new(()), Condition::<()>::new());
            let relocking = condition.wait_with(mutex.try_lock().unwrap());
            let guard = mutex.try_lock();
            let waiting = (condition.wait(), mutex.lock(), Mvar::<()>::empty().take(), Mvar::new(()).put(()));
            condition.signal(());
            drop(condition);
            drop(mutex);
            drop((guard, waiting, relocking));

            let (mutex, condition) = (Mutex::new(()), Condition::<()>::new());
            let relocking = condition.wait_with(mutex.try_lock().unwrap());
            let guard = mutex.try_lock();
            condition.signal(());
            relocking.cancel();
            drop((relocking, guard));
            drop(told.take());
        }
    });
}

#[test]
fn pools_and_scopes() {
    without_a_trace("pools and scopes", || {
        for _ in 0..rounds() / 100 {
            let pool = Pool::create(1, async || Ok(Box::new(1)));
            let uses: Vec<_> = (0..4).map(|_| pool.use_(async |_: &mut Box<i32>| pause().await)).collect();
            uses[0].cancel();
            uses[2].cancel();
            spin();
            lwt_core::task::abort(&uses[1]);
            drop(pool);
            turn();

            let (never, _r) = task::<()>();
            let scope = with_switch(async |scope| {
                drop(scope.add(never)?);
                drop(scope.spawn(pause())?);
                scope.add_hook(pause)?;
                pause().await
            });
            scope.cancel();
            spin();
            turn();
            assert_eq!(show(&scope), "canceled");

            let forgotten = Switch::create();
            let (never, resolver) = task::<()>();
            drop(forgotten.add(never));
            assert!(forgotten.add_hook(pause).is_ok());
            drop(forgotten);
            drop(resolver);
        }
    });
}
