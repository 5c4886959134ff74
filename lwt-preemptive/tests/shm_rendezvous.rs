//! Pools that unrelated processes find by a path.

mod shm_common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use lwt_preemptive::shm::{Pool, Queue, Rendezvous, ShmError};
use lwt_unix::entry::guarded;
use shm_common::{Worker, role};

#[test]
fn a_path_leads_to_a_pool_as_long_as_its_server_lives() {
    const NAME: &str = "a_path_leads_to_a_pool_as_long_as_its_server_lives";
    if let Some((path, told)) = role() {
        let told: Queue<u8> = Queue::open(&told, told.find("told").expect("there")).expect("a queue");
        let pool = Pool::create().expect("a pool");
        let _rendezvous = pool.serve(&path, 0o640).expect("served");
        told.push(1).expect("told");
        loop {
            std::thread::park();
        }
    }
    guarded(NAME, || {
        let dir = std::env::temp_dir().join(format!("lwt-shm-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        let path = dir.join("pool");
        let pool = Pool::create().expect("a pool");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("told", told.place()).expect("published");
        let mut worker = Worker::start(NAME, path.to_str().expect("a text"), &pool);
        told.pop().expect("it serves");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let found = Pool::connect(&path).expect("connected");
        assert_eq!(found.processes()[0], worker.pid());
        // A second program does not disturb the first.
        assert!(matches!(pool.serve(&path, 0o600), Err(ShmError::Taken)));
        Pool::connect(&path).expect("connected");
        worker.kill();
        assert!(matches!(Pool::connect(&path), Err(ShmError::System { .. })));
        // What a dead one left is taken over, and the pool that was got from it lives on.
        let rendezvous = pool.serve(&path, 0o600).expect("served");
        let same = Pool::connect(&path).expect("connected");
        assert!(same.find("told").is_some());
        assert_eq!(found.sweep().expect("swept"), 1);
        drop(rendezvous);
        assert!(Pool::connect(&path).is_err());
        fs::remove_dir(&dir).expect("nothing is left in it");
    });
}

#[test]
fn what_is_somebody_elses_is_neither_taken_nor_removed() {
    guarded("what_is_somebody_elses_is_neither_taken_nor_removed", || {
        let dir = std::env::temp_dir().join(format!("lwt-shm-others-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory");
        let (path, lock) = (dir.join("pool"), dir.join("pool.lock"));
        let pool = Pool::create().expect("a pool");
        let refused = || assert!(matches!(pool.serve(&path, 0o600), Err(ShmError::System { .. })));
        // A file where the socket is to be: it stays, and nothing stays beside it.
        fs::write(&path, "text").expect("written");
        refused();
        assert!(!lock.exists());
        fs::remove_file(&path).expect("removed");
        // Nor does anything if the socket cannot be made.
        let long = dir.join("a".repeat(100));
        assert!(matches!(pool.serve(&long, 0o600), Err(ShmError::System { call: "bind", .. })));
        assert_eq!(fs::read_dir(&dir).expect("a directory").count(), 0);
        // A file where the lock is to be.
        fs::write(&lock, "pid 4711\n").expect("written");
        refused();
        assert!(!Rendezvous::clean(&path).expect("looked at"));
        assert_eq!(fs::read_to_string(&lock).expect("read"), "pid 4711\n");
        fs::remove_file(&lock).expect("removed");
        // A link to one is not followed.
        let target = dir.join("target");
        fs::write(&target, "").expect("written");
        std::os::unix::fs::symlink(&target, &lock).expect("a link");
        refused();
        assert_eq!(fs::read_to_string(&target).expect("read"), "");
        fs::remove_file(&lock).expect("removed");
        fs::remove_file(&target).expect("removed");
        // Nobody else can lock the path's lock; and a server ends although its path is gone.
        let rendezvous = pool.serve(&path, 0o666).expect("served");
        assert_eq!(fs::metadata(&lock).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o666);
        let other = Pool::connect(&path).expect("connected");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "text").expect("written");
        drop((rendezvous, pool));
        assert_eq!(other.holders().len(), 1, "nobody serves it any more");
        assert_eq!(fs::read_to_string(&path).expect("read"), "text");
        fs::remove_file(&path).expect("removed");
        fs::remove_dir(&dir).expect("nothing is left in it");
    });
}
