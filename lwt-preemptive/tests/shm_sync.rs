//! Semaphores, conditions, read-write locks, barriers, values that are made once: between processes, with
//! deaths.

mod shm_common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lwt_preemptive::shm::{
    Barrier, Condition, LockError, Mutex, Once, Place, Pool, Queue, RwLock, Semaphore, ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::{Worker, role};

fn place(pool: &Pool, name: &str) -> Place {
    pool.find(name).expect("there")
}

#[test]
fn permits_of_the_dead_come_back() {
    const NAME: &str = "permits_of_the_dead_come_back";
    if let Some((_, pool)) = role() {
        let semaphore = Semaphore::open(&pool, place(&pool, "s")).expect("a semaphore");
        let told: Queue<u8> = Queue::open(&pool, place(&pool, "q")).expect("a queue");
        let _permits = semaphore.acquire(2).expect("acquired");
        told.push(1).expect("told");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let semaphore = Semaphore::create(&pool, 2).expect("a semaphore");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("s", semaphore.place()).expect("published");
        pool.publish("q", told.place()).expect("published");
        for asynchronous in [false, true] {
            let mut worker = Worker::start(NAME, "holds", &pool);
            told.pop().expect("it has them");
            assert!(semaphore.try_acquire(1).expect("asked").is_none());
            let late = semaphore.acquire_timeout(1, Duration::from_millis(30));
            assert!(matches!(late, Err(ShmError::TimedOut)));
            if asynchronous {
                let waiting = semaphore.acquire_async(2);
                worker.kill();
                drop(lwt_unix::run(waiting).expect("acquired"));
            } else {
                thread::scope(|scope| {
                    let waiting = scope.spawn(|| semaphore.acquire(2).map(drop));
                    worker.kill();
                    waiting.join().expect("joined").expect("acquired");
                });
            }
            assert_eq!(semaphore.available().expect("a number"), 2);
        }
        semaphore.post(1).expect("posted");
        semaphore.take(2).expect("taken");
        semaphore.acquire(1).expect("acquired").consume().expect("gone");
        assert_eq!(semaphore.available().expect("a number"), 0);
        assert!(matches!(semaphore.take_timeout(1, Duration::from_millis(5)), Err(ShmError::TimedOut)));
    });
}

#[test]
fn a_dead_waiter_swallows_no_notification() {
    const NAME: &str = "a_dead_waiter_swallows_no_notification";
    if let Some((role, pool)) = role() {
        let mutex: Mutex<[u32; 2]> = Mutex::open(&pool, place(&pool, "m")).expect("a mutex");
        let condition = Condition::open(&pool, place(&pool, "c")).expect("a condition");
        let mut guard = mutex.lock().expect("locked");
        guard[0] += 1;
        let mut guard = condition.wait_while(guard, |[_, go]| *go == 0 || role == "never").expect("waited");
        guard[1] -= 1;
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mutex = Mutex::create(&pool, [0_u32; 2]).expect("a mutex");
        let condition = Condition::create(&pool).expect("a condition");
        pool.publish("m", mutex.place()).expect("published");
        pool.publish("c", condition.place()).expect("published");
        let mut victim = Worker::start(NAME, "never", &pool);
        let worker = Worker::start(NAME, "waits", &pool);
        shm_common::until(|| mutex.lock().expect("locked")[0] == 2);
        victim.kill();
        let mut guard = match mutex.lock() {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(died)) => died.recover(),
            Err(error) => panic!("{error}"),
        };
        guard[1] = 1;
        drop(guard);
        condition.notify();
        worker.succeed();
        assert_eq!(mutex.lock().expect("locked")[1], 0);
        // A promise waits as well, and a limit of time ends a wait.
        let guard = mutex.lock().expect("locked");
        let (guard, late) =
            condition.wait_while_timeout(guard, |_| true, Duration::from_millis(5)).expect("waited");
        assert!(late);
        let waiting = condition.wait_while_async(guard, |[_, go]| *go == 0);
        let (mutex, condition) = (mutex.clone(), condition.clone());
        let other = thread::spawn(move || {
            mutex.lock().expect("locked")[1] = 7;
            condition.notify();
        });
        assert_eq!(lwt_unix::run(waiting).expect("waited").expect("locked")[1], 7);
        other.join().expect("joined");
    });
}

#[test]
fn readers_share_and_the_dead_let_go() {
    const NAME: &str = "readers_share_and_the_dead_let_go";
    if let Some((role, pool)) = role() {
        let lock: RwLock<u64> = RwLock::open(&pool, place(&pool, "l")).expect("a lock");
        let told: Queue<u8> = Queue::open(&pool, place(&pool, "q")).expect("a queue");
        let (mut writer, mut reader) = (None, None);
        if role == "writer" {
            let guard = writer.insert(lock.write().expect("locked"));
            **guard = 5;
            guard.commit();
            **guard = 6;
        } else {
            reader = Some(lock.read().expect("locked"));
        }
        told.push(u8::from(reader.is_some())).expect("told");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let lock = RwLock::create(&pool, 1_u64).expect("a lock");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("l", lock.place()).expect("published");
        pool.publish("q", told.place()).expect("published");
        let mut reader = Worker::start(NAME, "reader", &pool);
        told.pop().expect("it reads");
        let mine = lock.read().expect("readers share");
        assert!(lock.try_write().expect("asked").is_none());
        assert!(matches!(lock.write_timeout(Duration::from_millis(30)), Err(ShmError::TimedOut)));
        drop(mine);
        reader.kill();
        *lock.write().expect("the dead reader is gone") = 2;
        assert_eq!(lock.get().expect("a value"), 2);
        let mut writer = Worker::start(NAME, "writer", &pool);
        told.pop().expect("it writes");
        assert!(lock.try_read().expect("asked").is_none());
        let waiting = lock.read_async();
        writer.kill();
        let read = lwt_unix::run(waiting).expect("the dead writer is gone");
        assert!(read.is_flagged());
        assert_eq!(*read, 5, "what it had committed");
        drop(read);
        lock.write().expect("locked").clear_flag();
        assert!(!lock.read().expect("locked").is_flagged());
    });
}

#[test]
fn the_next_one_makes_what_a_dead_maker_did_not() {
    const NAME: &str = "the_next_one_makes_what_a_dead_maker_did_not";
    if let Some((_, pool)) = role() {
        let once: Once<u64> = Once::open(&pool, place(&pool, "o")).expect("a value");
        once.get_or_make(|| {
            loop {
                thread::park();
            }
        })
        .expect("never");
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let once: Once<u64> = Once::create(&pool).expect("a value");
        pool.publish("o", once.place()).expect("published");
        let mut worker = Worker::start(NAME, "maker", &pool);
        shm_common::until(|| once.is_being_made());
        let made = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let value = once.get_or_make(|| {
                        made.fetch_add(1, Ordering::Relaxed);
                        9
                    });
                    assert_eq!(value.expect("made"), 9);
                });
            }
            worker.kill();
        });
        assert_eq!(made.into_inner(), 1);
        assert_eq!(lwt_unix::run(once.wait_async()).expect("made"), 9);
    });
}

#[test]
fn a_barrier_lets_all_go_at_once_and_again() {
    const NAME: &str = "a_barrier_lets_all_go_at_once_and_again";
    const ROUNDS: u32 = 50;
    if let Some((_, pool)) = role() {
        let barrier = Barrier::open(&pool, place(&pool, "b")).expect("a barrier");
        for _ in 0..ROUNDS {
            barrier.wait().expect("waited");
        }
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let barrier = Barrier::create(&pool, 3).expect("a barrier");
        pool.publish("b", barrier.place()).expect("published");
        let workers = [Worker::start(NAME, "child", &pool), Worker::start(NAME, "child", &pool)];
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                barrier.wait().expect("waited");
            } else {
                lwt_unix::run(barrier.wait_async()).expect("waited");
            }
        }
        workers.into_iter().for_each(Worker::succeed);
        assert!(matches!(barrier.wait_timeout(Duration::from_millis(5)), Err(ShmError::TimedOut)));
        let withdrawn = barrier.wait_async();
        withdrawn.cancel();
        assert!(lwt_unix::run(withdrawn).is_err());
        thread::scope(|scope| {
            let others = [scope.spawn(|| barrier.wait()), scope.spawn(|| barrier.wait())];
            barrier.wait().expect("those that were late or cancelled do not count");
            others.into_iter().for_each(|other| assert!(other.join().expect("joined").is_ok()));
        });
    });
}
