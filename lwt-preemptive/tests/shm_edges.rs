//! What happens at the edges: children made by `fork`, holders that die unseen, receivers that are shared.

mod shm_common;

use std::fs;
use std::thread;

use lwt_preemptive::shm::{Mailbox, Mutex, Pool, Queue, RwLock, Semaphore, ShmError};
use lwt_unix::entry::guarded;
use lwt_unix::process::{self, CannotFork};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use shm_common::{Worker, role, until};

#[test]
#[expect(clippy::disallowed_methods, reason = "what a forked child may not do is what is tested")]
fn what_a_forked_child_drops_is_its_parents_still() {
    const NAME: &str = "what_a_forked_child_drops_is_its_parents_still";
    // In a process of its own, whose other threads do nothing.
    if role().is_none() {
        guarded(NAME, || {
            let pool = Pool::create().expect("a pool");
            Worker::start(NAME, "fork", &pool).succeed();
        });
        return;
    }
    let pool = Pool::create().expect("a pool");
    let mutex = Mutex::create(&pool, 1_u64).expect("a mutex");
    let semaphore = Semaphore::create(&pool, 1).expect("a semaphore");
    let rwlock = RwLock::create(&pool, 1_u64).expect("a lock");
    let mailbox = Mailbox::create(&pool, 100).expect("a box");
    let place = pool.store(b"bytes").expect("stored");
    let mut guard = mutex.lock().expect("locked");
    *guard = 2;
    let permits = semaphore.acquire(1).expect("acquired");
    let reader = rwlock.read().expect("locked");
    let receiver = mailbox.receiver().expect("the receiver");
    let blob = pool.read(place).expect("read");
    let refused = process::fork().expect_err("bytes are read in place");
    assert_eq!(refused.downcast_ref(), Some(&CannotFork::Lent(1)));
    // SAFETY: the child only drops what is this test's own, and ends.
    match unsafe { fork() }.expect("forked") {
        ForkResult::Child => {
            let refused = std::panic::catch_unwind(|| blob.len()).is_err();
            drop((guard, permits, reader, receiver, blob, pool));
            // SAFETY: ends this process and nothing else.
            unsafe { nix::libc::_exit(if refused { 0 } else { 1 }) };
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).expect("waited for"), WaitStatus::Exited(child, 0));
            assert!(mutex.try_lock().expect("asked").is_none(), "it is locked still");
            assert_eq!(semaphore.available().expect("asked"), 0);
            assert!(rwlock.try_write().expect("asked").is_none());
            assert!(matches!(mailbox.receiver(), Err(ShmError::Taken)));
            pool.free(place).expect("freed");
            assert_eq!((&*blob, pool.stats().retired > 0), (&b"bytes"[..], true), "it is pinned still");
            drop(guard);
            assert_eq!(*mutex.lock().expect("locked"), 2, "stored once, by the one who has it");
        }
    }
}

#[test]
fn who_only_tries_sees_that_a_holder_has_died() {
    const NAME: &str = "who_only_tries_sees_that_a_holder_has_died";
    if let Some((_, pool)) = role() {
        let place = |name| pool.find(name).expect("there");
        let semaphore = Semaphore::open(&pool, place("semaphore")).expect("a semaphore");
        let read: RwLock<u32> = RwLock::open(&pool, place("read")).expect("a lock");
        let written: RwLock<u32> = RwLock::open(&pool, place("written")).expect("a lock");
        let told: Queue<u8> = Queue::open(&pool, place("told")).expect("a queue");
        let _held = (
            semaphore.acquire(1).expect("acquired"),
            read.read().expect("locked"),
            written.write().expect("locked"),
        );
        told.push(1).expect("told");
        // It wants what it has, and dies with that.
        drop(read.write());
        unreachable!("it waits for itself");
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let semaphore = Semaphore::create(&pool, 1).expect("a semaphore");
        let (read, written) = (RwLock::create(&pool, 1_u32), RwLock::create(&pool, 1_u32));
        let (read, written) = (read.expect("a lock"), written.expect("a lock"));
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        for (name, place) in [
            ("semaphore", semaphore.place()),
            ("read", read.place()),
            ("written", written.place()),
            ("told", told.place()),
        ] {
            pool.publish(name, place).expect("published");
        }
        let mut worker = Worker::start(NAME, "hold", &pool);
        told.pop().expect("it holds all");
        // It waits as a writer now, so readers do not come in.
        until(|| read.try_read().expect("asked").is_none());
        assert!(semaphore.try_acquire(1).expect("asked").is_none());
        assert!(written.try_read().expect("asked").is_none());
        worker.kill();
        assert!(semaphore.try_acquire(1).expect("asked").is_some());
        assert!(read.try_read().expect("asked").is_some(), "nobody waits any more");
        assert!(read.try_write().expect("asked").is_some());
        assert!(written.try_write().expect("asked").expect("free").is_flagged());
    });
}

#[test]
fn threads_that_share_a_receiver_get_each_message_once() {
    guarded("threads_that_share_a_receiver_get_each_message_once", || {
        let pool = Pool::create().expect("a pool");
        let mailbox = Mailbox::create(&pool, 4096).expect("a box");
        let receiver = mailbox.receiver().expect("the receiver");
        let mut all: Vec<u32> = thread::scope(|scope| {
            scope.spawn(|| (0..40_000_u32).for_each(|n| mailbox.send(&n.to_ne_bytes()).expect("sent")));
            let take = || -> Vec<u32> {
                let message = |_| receiver.receive().expect("a message");
                (0..10_000).map(message).map(|m| u32::from_ne_bytes(m.try_into().expect("four"))).collect()
            };
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            takers.into_iter().flat_map(|taker| taker.join().expect("ended")).collect()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq(0..40_000));
    });
}

#[test]
fn a_promise_for_a_message_keeps_the_right_to_receive() {
    guarded("a_promise_for_a_message_keeps_the_right_to_receive", || {
        let pool = Pool::create().expect("a pool");
        let mailbox = Mailbox::create(&pool, 4096).expect("a box");
        lwt_unix::run(async move {
            let waiting = mailbox.receiver()?.receive_async();
            assert!(matches!(mailbox.receiver(), Err(ShmError::Taken)), "it waits still");
            mailbox.send(b"a message")?;
            assert_eq!(waiting.await?, b"a message");
            let waiting = mailbox.receiver()?.receive_async();
            waiting.cancel();
            assert!(waiting.await.expect_err("cancelled").is_canceled());
            mailbox.receiver()?;
            Ok::<_, lwt_core::Error>(())
        })
        .expect("done");
    });
}

#[test]
fn nothing_but_a_socket_is_replaced_or_removed() {
    use lwt_preemptive::shm::Rendezvous;
    let dir = std::env::temp_dir().join(format!("lwt-shm-edges-{}", std::process::id()));
    fs::create_dir(&dir).expect("a directory");
    let (path, lock) = (dir.join("pool"), dir.join("pool.lock"));
    fs::write(&path, b"somebody's").expect("written");
    let pool = Pool::create().expect("a pool");
    assert!(matches!(pool.serve(&path, 0o600), Err(ShmError::System { .. })));
    assert_eq!(fs::read(&path).expect("there"), b"somebody's");
    fs::remove_file(&path).expect("removed");
    // Somebody else's lock.
    fs::write(&lock, b"4711\n").expect("written");
    assert!(!Rendezvous::clean(&path).expect("looked at"));
    assert!(Rendezvous::find_in(&dir).expect("looked at").is_empty());
    fs::remove_file(&lock).expect("removed");
    let served = pool.serve(&path, 0o600).expect("served");
    let found = Rendezvous::find_in(&dir).expect("looked at");
    assert!(found.len() == 1 && found[0].path == path && found[0].served);
    assert!(!Rendezvous::clean(&path).expect("looked at"), "its server lives");
    drop(served);
    fs::remove_dir(&dir).expect("nothing is left in it");
}
