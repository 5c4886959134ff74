//! Pools that unrelated processes find by a path.

mod shm_common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use lwt_preemptive::shm::{Pool, Queue, ShmError};
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
