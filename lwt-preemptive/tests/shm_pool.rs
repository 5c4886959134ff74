//! Pools of shared memory: growth, limits, attaching, reuse, names.

mod shm_common;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lwt_preemptive::shm::{
    Array, Buffer, BytesReference, Mailbox, Map, Mutex, Place, Pool, PoolOptions, Queue, ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::{Random, Worker, role};

#[test]
fn a_small_pool_of_pages_is_used_to_95_percent() {
    guarded("a_small_pool_of_pages_is_used_to_95_percent", || {
        let pool = PoolOptions::new().limit(4 << 20).create().expect("a pool");
        let mut blobs = Vec::new();
        let full = loop {
            match pool.store(&[7; 4096]) {
                Ok(blob) => blobs.push(blob),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, ShmError::PoolFull { limit } if limit == 4 << 20), "{full}");
        assert!(blobs.len() * 4096 * 100 >= (4 << 20) * 95, "{} blocks", blobs.len());
        assert_eq!(pool.stats().reserved, 4 << 20);
        for blob in blobs.drain(..) {
            pool.free(blob).expect("freed");
        }
        assert_eq!((pool.stats().used, pool.stats().blocks), (0, 0));
    });
}

#[test]
fn a_pool_grows_for_all_that_are_attached_and_reuses_what_was_freed() {
    guarded("a_pool_grows_for_all_that_are_attached_and_reuses_what_was_freed", || {
        let pool = Pool::create().expect("a pool");
        let other = Pool::attach(pool.as_fd().try_clone_to_owned().expect("a descriptor")).expect("attached");
        let text: Vec<u8> = (0..40_000_000_u32).map(|i| (i % 251) as u8).collect();
        let blob = pool.store(&text).expect("stored");
        assert!(*other.read(blob).expect("read") == *text);
        let reserved = pool.stats().reserved;
        for _ in 0..3 {
            let blob = other.store(&text[..30_000_000]).expect("stored");
            other.free(blob).expect("freed");
        }
        pool.free(blob).expect("freed");
        for _ in 0..3 {
            let blob = pool.store(&text).expect("stored");
            pool.free(blob).expect("freed");
        }
        assert!(pool.stats().reserved <= 2 * reserved + (64 << 20), "freed blocks are used again");
    });
}

#[test]
fn a_blob_that_is_read_stays_until_it_has_been_read() {
    guarded("a_blob_that_is_read_stays_until_it_has_been_read", || {
        let pool = Pool::create().expect("a pool");
        let blob = pool.store(b"still here").expect("stored");
        let reading = pool.read(blob).expect("read");
        pool.free(blob).expect("freed");
        assert!(matches!(pool.free(blob), Err(ShmError::TypeMismatch)), "once");
        assert_eq!(pool.stats().retired, 16);
        let next = pool.store(b"other text").expect("stored");
        assert_eq!(&*reading, b"still here");
        assert_ne!(next, blob);
        drop(reading);
        assert_eq!(pool.stats().retired, 0);
        assert!(matches!(pool.read(blob), Err(ShmError::TypeMismatch)));
        assert!(matches!(pool.free(blob), Err(ShmError::TypeMismatch)), "once");
    });
}

#[test]
fn what_is_no_pool_is_refused() {
    guarded("what_is_no_pool_is_refused", || {
        let file = OwnedFd::from(File::open("/dev/null").expect("a file"));
        assert!(Pool::attach(file).is_err());
        let pool = PoolOptions::new().processes(2).create().expect("a pool");
        let again = || Pool::attach(pool.as_fd().try_clone_to_owned().expect("a descriptor"));
        let second = again().expect("the second");
        assert!(matches!(again(), Err(ShmError::TooManyProcesses)));
        drop(second);
        again().expect("a lease is free again");
        assert!(matches!(PoolOptions::new().limit(100).create(), Err(ShmError::PoolFull { .. })));
    });
}

#[test]
fn types_are_compared_when_a_place_is_opened() {
    guarded("types_are_compared_when_a_place_is_opened", || {
        let pool = Pool::create().expect("a pool");
        let queue: Queue<u64> = Queue::create(&pool, None, ()).expect("a queue");
        let place = queue.place();
        assert!(Queue::<u64>::open(&pool, place).is_ok());
        assert!(matches!(Queue::<i64>::open(&pool, place), Err(ShmError::TypeMismatch)));
        assert!(matches!(Queue::<u64, u64>::open(&pool, place), Err(ShmError::TypeMismatch)));
        assert!(matches!(Mutex::<u64>::open(&pool, place), Err(ShmError::TypeMismatch)));
        assert!(pool.read(place).is_err() && pool.free(place).is_err());
        let mutex = Mutex::create(&pool, 0_u64).expect("a mutex");
        assert!(matches!(Queue::<u64>::open(&pool, mutex.place()), Err(ShmError::TypeMismatch)));
        queue.try_push(1).expect("pushed");
        let same: Queue<u64> = Queue::open(&pool, place).expect("opened");
        queue.destroy().expect("destroyed");
        assert!(matches!(same.try_pop(), Err(ShmError::Destroyed)));
        drop(same);
        assert!(matches!(Queue::<u64>::open(&pool, place), Err(ShmError::TypeMismatch)));
        drop(mutex);
        assert_eq!(pool.stats().blocks, 1, "only the mutex is left");
    });
}

#[test]
fn names_are_found_by_other_processes() {
    const NAME: &str = "names_are_found_by_other_processes";
    if let Some((_, pool)) = role() {
        let place: Place = pool.find("numbers").expect("there");
        let queue: Queue<u32> = Queue::open(&pool, place).expect("opened");
        queue.push(queue.header().map(|()| 17).expect("a header")).expect("pushed");
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let queue: Queue<u32> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("numbers", queue.place()).expect("published");
        assert!(matches!(pool.publish("numbers", queue.place()), Err(ShmError::BadName)));
        assert!(matches!(pool.publish("", queue.place()), Err(ShmError::BadName)));
        let worker = Worker::start(NAME, "child", &pool);
        assert_eq!(queue.pop().expect("popped"), 17);
        worker.succeed();
        assert_eq!(pool.names(), [("numbers".to_owned(), queue.place())]);
        assert_eq!(pool.unpublish("numbers"), Some(queue.place()));
        assert_eq!(pool.find("numbers"), None);
        for number in 0..32 {
            pool.publish(&number.to_string(), queue.place()).expect("published");
        }
        assert!(matches!(pool.publish("one more", queue.place()), Err(ShmError::DirectoryFull)));
    });
}

#[test]
fn a_descriptor_of_another_process_can_be_taken() {
    guarded("a_descriptor_of_another_process_can_be_taken", || {
        let pool = Pool::create().expect("a pool");
        let number = pool.as_fd().as_raw_fd();
        let same = Pool::of_process(std::process::id(), number).expect("attached");
        let blob = pool.store(b"text").expect("stored");
        assert_eq!(&*same.read(blob).expect("read"), b"text");
        assert!(Pool::of_process(std::process::id(), 1_000_000).is_err());
        assert_eq!(pool.processes().len(), 2);
    });
}

#[test]
fn damaged_memory_is_an_error_and_never_worse() {
    guarded("damaged_memory_is_an_error_and_never_worse", || {
        let mut numbers = Random::new(1);
        let mut random = |bound| numbers.below(bound);
        for _ in 0..50 {
            let pool = PoolOptions::new().limit(1 << 20).processes(2).create().expect("a pool");
            let queue: Queue<bool> = Queue::create(&pool, None, ()).expect("a queue");
            let map: Map<u64, bool> = Map::create(&pool, ()).expect("a map");
            let buffer: Buffer = Buffer::create(&pool, None, ()).expect("a buffer");
            let array: Array<char> = Array::create(&pool, 100, 'a', ()).expect("an array");
            let mailbox = Mailbox::create(&pool, 300).expect("a box");
            let bytes: BytesReference = BytesReference::create(&pool, ()).expect("a reference");
            bytes.set(Some(b"text")).expect("set");
            for n in 0..40 {
                queue.push(true).expect("pushed");
                map.insert(n, true).expect("inserted");
                buffer.add(b"bytes").expect("added");
                mailbox.try_send(b"message").expect("sent");
            }
            // Somebody writes what nobody should, behind the header.
            let file = File::from(pool.as_fd().try_clone_to_owned().expect("a descriptor"));
            let (from, end) = (6400 + 2 * 1024, pool.stats().reserved);
            for _ in 0..1 + random(400) {
                let word = if random(2) == 0 { u64::MAX >> random(64) } else { random(u64::MAX) };
                let at = from + 8 * random((end - from) / 8);
                file.write_all_at(&word.to_ne_bytes(), at).expect("written");
            }
            // Whatever comes of it: errors, wrong values, even a panic, but no fault, and an end.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                for n in 0..60 {
                    let _ = (queue.try_push(true), queue.try_pop(), queue.snapshot());
                    let _ = (map.insert(n * 7, false), map.get(&n), map.remove(&n), map.len());
                    let _ = (buffer.add(&[1; 999]), buffer.contents(), buffer.delete_to(n));
                    let _ = (array.get(n as usize), array.set(n as usize, 'b'), array.to_vec());
                    let _ =
                        (mailbox.try_send(&[1; 9]), mailbox.receiver().map(|it| it.try_receive().is_ok()));
                    let _ = (bytes.get().map(|it| it.map(|it| it.len())), bytes.set(Some(&[1; 50])));
                }
                let _ = map.iter().take(100_000).filter(Result::is_ok).count();
                let _ = (pool.sweep(), pool.structures());
            }));
        }
    });
}

#[test]
fn what_the_dead_have_held_is_used_before_a_pool_is_full() {
    const NAME: &str = "what_the_dead_have_held_is_used_before_a_pool_is_full";
    if let Some((_, pool)) = role() {
        let _reading = pool.read(pool.find("text").expect("there")).expect("read");
        assert!(pool.unpublish("text").is_some());
        loop {
            std::thread::park();
        }
    }
    guarded(NAME, || {
        let pool = PoolOptions::new().limit(1 << 20).create().expect("a pool");
        let text = pool.store(&[1; 600_000]).expect("stored");
        pool.publish("text", text).expect("published");
        let mut worker = Worker::start(NAME, "reads", &pool);
        shm_common::until(|| pool.find("text").is_none());
        pool.free(text).expect("freed");
        assert!(matches!(pool.store(&[2; 600_000]), Err(ShmError::PoolFull { .. })), "it is being read");
        worker.kill();
        pool.store(&[2; 600_000]).expect("the dead read nothing");
        assert_eq!(pool.holders().len(), 1);
    });
}

#[test]
fn a_limit_of_file_sizes_is_an_error_and_no_signal() {
    const NAME: &str = "a_limit_of_file_sizes_is_an_error_and_no_signal";
    // In a process of its own, for the limit is the process's.
    if let Some((_, pool)) = role() {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20).expect("a limit");
        let refused = pool.store(&[1; 2 << 20]).expect_err("too long");
        let code = |error: &std::io::Error| error.raw_os_error();
        assert!(matches!(&refused, ShmError::System { error, .. } if code(error) == Some(nix::libc::EFBIG)));
        pool.store(&[1; 900_000]).expect("there is room for that");
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        Worker::start(NAME, "child", &pool).succeed();
        pool.store(&[1; 2 << 20]).expect("it has no limit");
    });
}

#[test]
fn a_file_with_anything_in_it_is_refused_or_looked_at() {
    guarded("a_file_with_anything_in_it_is_refused_or_looked_at", || {
        let mut numbers = Random::new(1);
        let mut random = |bound| numbers.below(bound);
        let pool = PoolOptions::new().limit(1 << 20).processes(4).create().expect("a pool");
        let mut whole = vec![0; pool.stats().reserved as usize];
        let _queue: Queue<u64> = Queue::create(&pool, None, ()).expect("a queue");
        File::from(pool.as_fd().try_clone_to_owned().expect("a descriptor"))
            .read_exact_at(&mut whole, 0)
            .expect("read");
        for round in 0..80 {
            let mut text = whole.clone();
            text.truncate(random(2) as usize * text.len() + random(5000) as usize);
            if round % 3 != 0 {
                for _ in 0..1 + random(200) {
                    // The magic number and the version are those of a pool.
                    let at = 16 + 8 * random((text.len() as u64 / 8).max(3) - 2) as usize;
                    let word = if random(2) == 0 { u64::MAX >> random(64) } else { random(u64::MAX) };
                    if let Some(place) = text.get_mut(at..at + 8) {
                        place.copy_from_slice(&word.to_ne_bytes());
                    }
                }
            } else {
                text.iter_mut().for_each(|byte| *byte = random(256) as u8);
            }
            // An error at most.
            let Ok(pool) = Pool::attach(shm_common::sealed(&text)) else { continue };
            let _ = (pool.stats(), pool.structures(), pool.holders(), pool.names());
            let _ = (pool.store(&[1; 100]), pool.sweep());
        }
    });
}
