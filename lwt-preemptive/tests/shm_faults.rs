//! Shared memory when the system refuses: each call fails in turn, is an error then, and leaves nothing half
//! done and no descriptor open; interrupted calls are made again.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use lwt_preemptive::shm::{Array, BytesMap, BytesQueue, Map, Pool, PoolOptions, Queue, ShmError};
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};

/// The descriptors of pools that this process has: other tests run beside it, but each has a pool of its own.
fn descriptors(pool: &Pool) -> usize {
    let me = std::process::id();
    let mine = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let inode = |fd: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(fd).map(|file| (file.dev(), file.ino())).ok()
    };
    let number = std::os::fd::AsRawFd::as_raw_fd(&pool.as_fd());
    let own = inode(std::path::Path::new(&format!("/proc/{me}/fd/{number}")));
    mine.filter(|entry| entry.as_ref().is_ok_and(|entry| inode(&entry.path()) == own)).count()
}

/// All that can be done with a pool by a newcomer.
fn visit(pool: &Pool) -> Result<(), ShmError> {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    pool.send(&ours)?;
    let same = Pool::receive(&theirs)?;
    let place = same.store(&[1; 200_000])?;
    same.free(place)?;
    same.prefault(1 << 20)?;
    same.sweep()?;
    drop(same);
    Ok(())
}

#[test]
fn each_call_that_fails_is_an_error_and_leaves_nothing() {
    guarded("each_call_that_fails_is_an_error_and_leaves_nothing", || {
        for error in [libc::EMFILE, libc::ENOMEM, libc::ENOSPC] {
            for nth in 1.. {
                // A pool for each, so that all of it happens for the first time.
                let pool = Pool::create().expect("a pool");
                let before = descriptors(&pool);
                let faults = Plan::seeded(nth).with(Rule::any().nth(nth).error(error)).install();
                let done = visit(&pool);
                let struck = faults.injected();
                drop(faults);
                match done {
                    Err(ShmError::System { error: found, .. }) => {
                        assert_eq!(found.raw_os_error(), Some(error), "call {nth}");
                    }
                    // What is only a hint may fail, and so may a look at what is known.
                    Err(ShmError::NotAPool) | Ok(()) => {}
                    Err(other) => panic!("call {nth}: {other}"),
                }
                assert_eq!(descriptors(&pool), before, "call {nth}: a descriptor is left open");
                visit(&pool).expect("it works again");
                assert_eq!((pool.stats().blocks, pool.holders().len()), (0, 1), "call {nth}");
                if struck == 0 {
                    assert!(nth > 8, "the plan has met {nth} calls only");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_pool_that_cannot_be_made_leaves_no_descriptor() {
    for nth in 1..20 {
        let faults = Plan::seeded(1).with(Rule::any().nth(nth).error(libc::ENFILE)).install();
        let made = PoolOptions::new().reserve(1 << 20).create();
        let struck = faults.injected();
        drop(faults);
        assert!(made.is_err() || struck == 0 || nth > 4, "call {nth}");
    }
}

#[test]
fn interrupted_calls_are_made_again() {
    guarded("interrupted_calls_are_made_again", || {
        let pool = Pool::create().expect("a pool");
        let faults = Plan::seeded(3).with(Rule::any().chance(0.5).interrupted(3)).install();
        for _ in 0..20 {
            visit(&pool).expect("nobody sees it");
        }
        assert!(faults.injected() > 20);
    });
}

/// Fills a structure until the system has no more space, and again when it has.
fn survives(mut add: impl FnMut(u64) -> Result<(), ShmError>, len: impl Fn() -> u64) {
    let full = Plan::seeded(1).with(Rule::on(["fallocate"]).error(libc::ENOSPC)).install();
    let mut added = 0;
    let refused = loop {
        match add(added) {
            Ok(()) => added += 1,
            Err(error) => break error,
        }
    };
    drop(full);
    let no_space = matches!(&refused, ShmError::System { call: "fallocate", error }
        if error.raw_os_error() == Some(libc::ENOSPC));
    assert!(no_space, "{refused}");
    assert_eq!(len(), added, "what was refused is not there, and the rest is");
    (added..2 * added + 100).for_each(|n| add(n).expect("there is space again"));
    assert_eq!(len(), 2 * added + 100);
}

#[test]
fn a_structure_without_space_to_grow_is_as_it_was() {
    guarded("a_structure_without_space_to_grow_is_as_it_was", || {
        let pool = || Pool::create().expect("a pool");
        let len = |len: Result<usize, ShmError>| len.expect("a length") as u64;
        let queue: Queue<[u64; 4]> = Queue::create(&pool(), None, ()).expect("a queue");
        survives(|n| queue.push([n; 4]), || len(queue.len()));
        let map: Map<u64, [u64; 4]> = Map::create(&pool(), ()).expect("a map");
        survives(|n| map.insert(n, [n; 4]).map(drop), || len(map.len()));
        let words: BytesMap = BytesMap::create(&pool(), ()).expect("a map");
        survives(|n| words.insert(&n.to_ne_bytes(), &[1; 100]).map(drop), || len(words.len()));
        let lines: BytesQueue = BytesQueue::create(&pool(), None, ()).expect("a queue");
        survives(|n| lines.push(&n.to_ne_bytes()), || len(lines.len()));
        let array: Array<[u64; 4]> = Array::create(&pool(), 0, [0; 4], ()).expect("an array");
        survives(|n| array.grow(n as usize + 1, [n; 4]), || len(array.len()));
    });
}
