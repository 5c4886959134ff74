//! Mutexes and queues between threads, processes, and the living and the dead.

mod shm_common;

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use lwt_preemptive::shm::{LockError, Mutex, Pool, Queue, ShmError};
use lwt_unix::entry::guarded;
use shm_common::{Worker, interrupted, role};

#[test]
fn processes_and_threads_count_together() {
    const NAME: &str = "processes_and_threads_count_together";
    const ROUNDS: u64 = 20_000;
    fn count(pool: &Pool) {
        let mutex: Mutex<[u64; 3]> = Mutex::open(pool, pool.find("m").expect("there")).expect("m");
        for _ in 0..ROUNDS {
            let mut guard = mutex.lock().expect("locked");
            assert!(guard[0] == guard[1] && guard[1] == guard[2], "{:?}", *guard);
            guard.iter_mut().for_each(|n| *n += 1);
        }
    }
    if let Some((_, pool)) = role() {
        return count(&pool);
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, [0_u64; 3]).expect("a mutex");
        pool.publish("m", mutex.place()).expect("published");
        let workers = [Worker::start(NAME, "child", &pool), Worker::start(NAME, "child", &pool)];
        thread::scope(|scope| {
            scope.spawn(|| count(&pool));
            scope.spawn(|| count(&pool));
        });
        workers.into_iter().for_each(Worker::succeed);
        assert_eq!(*mutex.lock().expect("locked"), [4 * ROUNDS; 3]);
    });
}

#[test]
fn the_next_taker_learns_of_a_death_and_recovers() {
    const NAME: &str = "the_next_taker_learns_of_a_death_and_recovers";
    if let Some((_, pool)) = role() {
        let mutex: Mutex<[u64; 2]> = Mutex::open(&pool, pool.find("m").expect("there")).expect("a mutex");
        let mut guard = mutex.lock().expect("locked");
        *guard = [1, 1];
        guard.commit();
        guard[0] = 2;
        let told: Queue<u8> = Queue::open(&pool, pool.find("q").expect("there")).expect("q");
        told.push(1).expect("told");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, [0_u64; 2]).expect("a mutex");
        pool.publish("m", mutex.place()).expect("published");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("q", told.place()).expect("published");
        let mut worker = Worker::start(NAME, "child", &pool);
        told.pop().expect("it has the lock");
        assert!(matches!(mutex.try_lock(), Ok(None)));
        let late = mutex.lock_timeout(Duration::from_millis(60));
        assert!(matches!(late, Err(LockError::Shm(ShmError::TimedOut))), "{late:?}");
        // One waits already when it happens.
        thread::scope(|scope| {
            let waiter = scope.spawn(|| match mutex.lock() {
                Err(LockError::OwnerDied(died)) => *died.value(),
                other => panic!("{other:?}"),
            });
            worker.kill();
            assert_eq!(waiter.join().expect("joined"), [1, 1], "what was committed, and no more");
        });
        // Flagged until somebody recovers it.
        let Err(LockError::OwnerDied(died)) = mutex.lock() else { panic!("not flagged any more") };
        let mut guard = died.recover();
        *guard = [5, 5];
        drop(guard);
        assert_eq!(*mutex.lock().expect("recovered"), [5, 5]);
        assert_eq!(pool.sweep().expect("swept"), 1);
        assert_eq!(pool.processes().len(), 1);
    });
}

#[test]
fn a_panic_stores_nothing_and_gives_the_lock_back() {
    guarded("a_panic_stores_nothing_and_gives_the_lock_back", || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, 1_u32).expect("a mutex");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = mutex.lock().expect("locked");
            *guard = 2;
            panic!("in the middle");
        }));
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock().expect("locked"), 1);
    });
}

#[test]
fn a_promise_for_the_lock_does_not_block_the_loop() {
    const NAME: &str = "a_promise_for_the_lock_does_not_block_the_loop";
    if let Some((role, pool)) = role() {
        let mutex: Mutex<u64> = Mutex::open(&pool, pool.find("m").expect("there")).expect("m");
        let told: Queue<u8> = Queue::open(&pool, pool.find("q").expect("there")).expect("q");
        let asked: Queue<u8> = Queue::open(&pool, pool.find("a").expect("there")).expect("a");
        let mut guard = mutex.lock().expect("locked");
        told.push(1).expect("told");
        if role == "dies" {
            loop {
                thread::park();
            }
        }
        asked.pop().expect("asked");
        *guard = 7;
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, 0_u64).expect("a mutex");
        pool.publish("m", mutex.place()).expect("published");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("q", told.place()).expect("published");
        let asked: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("a", asked.place()).expect("published");
        for role in ["goes", "dies"] {
            let mut worker = Worker::start(NAME, role, &pool);
            let (told, asked, mutex) = (told.clone(), asked.clone(), mutex.clone());
            lwt_unix::run(async move {
                told.pop_async().await?;
                let locked = mutex.lock_async();
                // The loop goes on meanwhile.
                for _ in 0..3 {
                    lwt_unix::sleep(Duration::from_millis(1)).await?;
                }
                assert!(locked.is_pending());
                if role == "dies" {
                    worker.kill();
                    let Err(LockError::OwnerDied(died)) = locked.await? else { panic!("not told") };
                    drop(died.recover());
                } else {
                    asked.push(1)?;
                    assert_eq!(*locked.await?.expect("locked"), 7);
                }
                Ok::<_, lwt_core::Error>(())
            })
            .expect("run");
        }
    });
}

#[test]
fn a_queue_keeps_order_and_loses_nothing() {
    const NAME: &str = "a_queue_keeps_order_and_loses_nothing";
    const EACH: u64 = 10_000;
    if let Some((role, pool)) = role() {
        let queue: Queue<[u64; 2], u64> =
            Queue::open(&pool, pool.find("q").expect("there")).expect("a queue");
        let me = role.parse().expect("a number");
        for number in 0..EACH {
            queue.push([me, number]).expect("pushed");
        }
        queue.update_header(|done| done + 1).expect("a header");
        return;
    }
    guarded(NAME, || {
        for bound in [Some(8), None] {
            let pool = Pool::create().expect("a pool");
            let queue: Queue<[u64; 2], u64> = Queue::create(&pool, bound, 0).expect("a queue");
            pool.publish("q", queue.place()).expect("published");
            let workers = ["0", "1", "2"].map(|role| Worker::start(NAME, role, &pool));
            let mut next = [0; 3];
            for _ in 0..3 * EACH {
                let [who, number] = queue.pop().expect("popped");
                assert_eq!(number, next[who as usize], "the order of one sender");
                next[who as usize] += 1;
                assert!(bound.is_none_or(|bound| queue.len().expect("a length") <= bound));
            }
            workers.into_iter().for_each(Worker::succeed);
            assert!(queue.is_empty().expect("asked"));
            assert_eq!(queue.header().expect("a header"), 3);
        }
    });
}

#[test]
fn queues_wait_fail_and_time_out_as_asked() {
    guarded("queues_wait_fail_and_time_out_as_asked", || {
        let pool = Pool::create().expect("a pool");
        let queue: Queue<u8> = Queue::create(&pool, Some(2), ()).expect("a queue");
        assert_eq!(queue.try_pop().expect("asked"), None);
        assert!(matches!(queue.pop_timeout(Duration::from_millis(5)), Err(ShmError::TimedOut)));
        assert!(queue.try_push(1).expect("asked") && queue.try_push(2).expect("asked"));
        assert!(!queue.try_push(3).expect("asked"));
        assert!(matches!(queue.push_timeout(3, Duration::from_millis(5)), Err(ShmError::TimedOut)));
        assert_eq!(queue.peek().expect("asked"), Some(1));
        assert_eq!(queue.snapshot().expect("asked"), [1, 2]);
        lwt_unix::run(async move {
            let third = queue.push_async(3);
            assert!(third.is_pending());
            let withdrawn = queue.push_async(9);
            withdrawn.cancel();
            assert!(withdrawn.await.is_err());
            assert_eq!(queue.pop_async().await?, 1);
            third.await?;
            assert_eq!(queue.clear()?, 2);
            let next = queue.pop_async();
            let pusher = queue.clone();
            let thread = thread::spawn(move || pusher.push(4));
            assert_eq!(next.await?, 4);
            thread.join().expect("joined")?;
            let last = queue.pop_async();
            queue.clone().destroy()?;
            assert!(last.await.expect_err("destroyed").downcast_ref::<ShmError>().is_some());
            Ok::<_, lwt_core::Error>(())
        })
        .expect("run");
        assert_eq!(pool.stats().blocks, 0, "nothing is left of it");
    });
}

#[test]
fn a_guard_outlives_all_handles_on_any_thread() {
    guarded("a_guard_outlives_all_handles_on_any_thread", || {
        let pool = Pool::create().expect("a pool");
        let other = Pool::attach(pool.as_fd().try_clone_to_owned().expect("a descriptor")).expect("attached");
        let mutex = Mutex::create(&pool, 1_u32).expect("a mutex");
        let same: Mutex<u32> = Mutex::open(&other, mutex.place()).expect("opened");
        let mut guard = lwt_unix::run(mutex.lock_async()).expect("run").expect("locked");
        drop((pool, mutex));
        assert!(matches!(same.try_lock(), Ok(None)), "it is locked still");
        thread::spawn(move || *guard = 2).join().expect("joined");
        assert_eq!(*same.lock().expect("locked"), 2);
        assert_eq!(other.holders().len(), 1, "the guard was the last of it");
    });
}

#[test]
fn signals_do_not_hide_a_death_from_who_waits() {
    const NAME: &str = "signals_do_not_hide_a_death_from_who_waits";
    if let Some((_, pool)) = role() {
        let mutex: Mutex<u8> = Mutex::open(&pool, pool.find("m").expect("there")).expect("a mutex");
        let _guard = mutex.lock().expect("locked");
        let told: Queue<u8> = Queue::open(&pool, pool.find("q").expect("there")).expect("q");
        told.push(1).expect("told");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, 0_u8).expect("a mutex");
        pool.publish("m", mutex.place()).expect("published");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("q", told.place()).expect("published");
        let mut worker = Worker::start(NAME, "child", &pool);
        told.pop().expect("it has the lock");
        worker.kill();
        interrupted(Duration::from_micros(100), || {
            assert!(matches!(mutex.lock(), Err(LockError::OwnerDied(_))));
        });
    });
}
