//! What the structures of shared memory have room for: nothing, a lot, keys of any length and of the same
//! hash; not too much; and whoever has room is told so.

mod shm_common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lwt_preemptive::shm::{
    Array, Buffer, BytesMap, BytesQueue, BytesReference, Mailbox, Map, Matrix, Pool, Queue, Reference,
    ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::nothing_is_left;

#[test]
fn keys_of_any_length_and_of_one_hash_are_different_keys() {
    guarded("keys_of_any_length_and_of_one_hash_are_different_keys", || {
        let pool = Pool::create().expect("a pool");
        let map: BytesMap = BytesMap::create(&pool, ()).expect("a map");
        // Whatever the seed, the first seven bytes of such a key have the hash of all eight.
        let same: Vec<[u8; 8]> = (0..50).map(|n| [n, n, n, n, n, n, n, 7]).collect();
        for key in &same {
            map.insert(key, b"eight").expect("inserted");
            map.insert(&key[..7], b"seven").expect("inserted");
        }
        for length in [0, 1, 16, 4095, 1 << 20] {
            map.insert(&vec![200; length], &length.to_ne_bytes()).expect("inserted");
        }
        assert_eq!(map.iter().count(), 105);
        for key in &same {
            assert_eq!(&*map.get(key).expect("got").expect("there"), b"eight");
            assert_eq!(&*map.remove(&key[..7]).expect("removed").expect("there"), b"seven");
            assert_eq!(&*map.get(key).expect("got").expect("there"), b"eight");
            assert!(map.get(&key[..7]).expect("got").is_none());
        }
        for length in [0_usize, 1, 16, 4095, 1 << 20] {
            let value = map.remove(&vec![200; length]).expect("removed").expect("there");
            assert_eq!(*value, length.to_ne_bytes());
        }
        map.destroy().expect("destroyed");
        nothing_is_left(&pool);
    });
}

#[test]
fn a_queue_with_room_is_never_full() {
    guarded("a_queue_with_room_is_never_full", || {
        let pool = Pool::create().expect("a pool");
        let lines: BytesQueue = BytesQueue::create(&pool, Some(2), ()).expect("a queue");
        let values: Queue<u64> = Queue::create(&pool, Some(2), ()).expect("a queue");
        // Each has one element in it at most.
        let work = || {
            for n in 0..50_000 {
                assert!(lines.try_push(b"a line").expect("asked"), "there is room for two, at {n}");
                lines.try_pop().expect("popped").expect("there");
                assert!(values.try_push(n).expect("asked"), "there is room for two, at {n}");
                values.try_pop().expect("popped").expect("there");
            }
        };
        thread::scope(|scope| drop((scope.spawn(work), scope.spawn(work))));
    });
}

#[test]
fn a_long_queue_grows_as_fast_as_a_short_one() {
    guarded("a_long_queue_grows_as_fast_as_a_short_one", || {
        let pool = Pool::create().expect("a pool");
        let lines: BytesQueue = BytesQueue::create(&pool, None, ()).expect("a queue");
        let many: u32 = if cfg!(debug_assertions) { 100_000 } else { 400_000 };
        (0..many).for_each(|n| lines.push(&n.to_ne_bytes()).expect("pushed"));
        (0..many).for_each(|n| assert_eq!(*lines.pop().expect("popped"), n.to_ne_bytes()));
        lines.destroy().expect("destroyed");
        nothing_is_left(&pool);
    });
}

#[test]
fn nothing_is_something_that_can_be_stored() {
    guarded("nothing_is_something_that_can_be_stored", || {
        let pool = Pool::create().expect("a pool");
        let map: Map<(), (), ()> = Map::create(&pool, ()).expect("a map");
        assert_eq!(map.insert((), ()).expect("inserted"), None);
        assert_eq!(map.insert((), ()).expect("inserted"), Some(()));
        assert_eq!(map.iter().count(), 1);
        let queue: Queue<[u64; 0]> = Queue::create(&pool, Some(3), ()).expect("a queue");
        (0..3).for_each(|_| queue.push([]).expect("pushed"));
        assert!(!queue.try_push([]).expect("asked"));
        assert_eq!(queue.snapshot().expect("a snapshot").len(), 3);
        let array: Array<()> = Array::create(&pool, 1000, (), ()).expect("an array");
        assert_eq!((array.get(999).expect("got"), array.get(1000).expect("got")), (Some(()), None));
        let reference: Reference<()> = Reference::create(&pool, (), ()).expect("a reference");
        assert_eq!(reference.compare_and_set((), ()).expect("asked"), Ok(()));
        // Rows without columns are rows.
        let matrix: Matrix<u64> = Matrix::create(&pool, 3, 0, 0, ()).expect("a matrix");
        assert_eq!(matrix.row(2).expect("got"), Some(Vec::new()));
        assert!(matrix.set_row(2, &[1]).expect("set") && !matrix.set_row(3, &[1]).expect("set"));
        let matrix: Matrix<u64> = Matrix::create(&pool, 0, 3, 0, ()).expect("a matrix");
        assert!(matrix.row(0).expect("got").is_none() && !matrix.set_row(0, &[1; 3]).expect("set"));
        // A buffer without room takes nothing, and that always.
        let buffer: Buffer = Buffer::create(&pool, Some(0), ()).expect("a buffer");
        assert_eq!(buffer.add(b"").expect("added"), Some(0));
        assert!(matches!(buffer.add(b"a"), Err(ShmError::TooLarge)));
        let bytes: BytesReference = BytesReference::create(&pool, ()).expect("a reference");
        bytes.set(Some(b"")).expect("set");
        assert_eq!(&*bytes.get().expect("got").expect("there"), b"");
    });
}

#[test]
fn too_much_is_an_error_and_changes_nothing() {
    guarded("too_much_is_an_error_and_changes_nothing", || {
        let pool = Pool::create().expect("a pool");
        let before = pool.stats();
        let too_much = |error: Option<ShmError>| {
            assert!(matches!(error, Some(ShmError::TooLarge | ShmError::PoolFull { .. })), "{error:?}");
        };
        for (rows, columns) in
            [(usize::MAX, usize::MAX), (1 << 32, 1 << 32), (usize::MAX, 1), (1, usize::MAX / 8)]
        {
            too_much(Matrix::<u64>::create(&pool, rows, columns, 0, ()).err());
            too_much(Matrix::<[u8; 3]>::create(&pool, rows, columns, [0; 3], ()).err());
        }
        for length in [usize::MAX, usize::MAX / 8, 1 << 45] {
            too_much(Array::<u64>::create(&pool, length, 0, ()).err());
            too_much(Array::<[u8; 4096]>::create(&pool, length, [0; 4096], ()).err());
        }
        let map: Map<u64, u64> = Map::create(&pool, ()).expect("a map");
        too_much(map.reserve(usize::MAX).err());
        map.insert(1, 2).expect("inserted");
        map.destroy().expect("destroyed");
        assert_eq!((before.blocks, before.used), (pool.stats().blocks, pool.stats().used));
    });
}

#[test]
fn a_mailbox_with_room_is_never_full() {
    guarded("a_mailbox_with_room_is_never_full", || {
        const EACH: u64 = 20_000;
        let pool = Pool::create().expect("a pool");
        let mailbox = Mailbox::create(&pool, 512).expect("a box");
        let (taken, refused) = ([AtomicU64::new(0), AtomicU64::new(0)], AtomicU64::new(0));
        thread::scope(|scope| {
            for me in 0..2 {
                let (mailbox, taken, refused) = (&mailbox, &taken, &refused);
                // Each has one message in it at most.
                scope.spawn(move || {
                    for n in 0..EACH {
                        if !mailbox.try_send(&[me as u8]).expect("asked") {
                            refused.fetch_add(1, Ordering::Relaxed);
                            mailbox.send(&[me as u8]).expect("sent");
                        }
                        while taken[me].load(Ordering::Relaxed) == n {
                            thread::yield_now();
                        }
                    }
                });
            }
            let receiver = mailbox.receiver().expect("the receiver");
            for _ in 0..2 * EACH {
                let message = receiver.receive().expect("received");
                taken[usize::from(message[0])].fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(refused.into_inner(), 0, "there was room at any moment");
    });
}

#[test]
fn a_function_that_panics_leaves_no_lock() {
    guarded("a_function_that_panics_leaves_no_lock", || {
        let pool = Pool::create().expect("a pool");
        let map: Map<u64, u64> = Map::create(&pool, ()).expect("a map");
        let words: BytesMap = BytesMap::create(&pool, ()).expect("a map");
        let reference: Reference<[u64; 2]> = Reference::create(&pool, [1; 2], ()).expect("a reference");
        let array: Array<u64, u64> = Array::create(&pool, 5, 1, 1).expect("an array");
        let matrix: Matrix<[u64; 2]> = Matrix::create(&pool, 2, 2, [1; 2], ()).expect("a matrix");
        map.insert(1, 1).expect("inserted");
        words.insert(b"one", b"1").expect("inserted");
        let panics: [&dyn Fn(); 9] = [
            &|| drop(map.entry(1).expect("an entry").update(|_| panic!())),
            &|| assert!(map.entry(1).expect("an entry").and_modify(|_| panic!()).is_ok()),
            &|| drop(map.entry(2).expect("an entry").or_insert_with(|| panic!())),
            &|| drop(words.entry(b"one").expect("an entry").update(|_| -> Option<&[u8]> { panic!() })),
            &|| drop(words.entry(b"two").expect("an entry").or_insert_with(|| -> &[u8] { panic!() })),
            &|| drop(reference.update(|_| panic!())),
            &|| drop(array.update(1, |_| panic!())),
            &|| drop(array.update_header(|_| panic!())),
            &|| drop(matrix.update(1, 1, |_| panic!())),
        ];
        panics.iter().for_each(|f| assert!(catch_unwind(AssertUnwindSafe(f)).is_err()));
        // All is as it was, and can be changed.
        assert_eq!(map.insert(1, 2).expect("inserted"), Some(1));
        assert_eq!(map.insert(2, 2).expect("inserted"), None);
        assert_eq!(&*words.insert(b"one", b"2").expect("inserted").expect("there"), b"1");
        assert!(words.insert(b"two", b"2").expect("inserted").is_none());
        assert_eq!(reference.swap([2; 2]).expect("swapped"), [1; 2]);
        assert_eq!(array.update(1, |old| old + 1).expect("updated"), Some(2));
        assert_eq!(array.update_header(|old| old + 1).expect("updated"), 2);
        assert_eq!(matrix.update(1, 1, |[a, b]| [a + 1, b + 1]).expect("updated"), Some([2; 2]));
    });
}
