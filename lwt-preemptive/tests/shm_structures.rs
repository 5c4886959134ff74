//! Maps, arrays, matrices, buffers, references, mailboxes: what they do, in one process and between several.

mod shm_common;

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use lwt_preemptive::shm::{
    Archive, ArchiveBuilder, Array, Buffer, BytesReference, Link, Mailbox, Map, Matrix, Place, Pool,
    Reference, ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::{Worker, role};

fn place(pool: &Pool, name: &str) -> Place {
    pool.find(name).expect("there")
}

lwt_preemptive::shm_safe! {
    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Point { x: f64, ok: bool, kind: Kind, letter: [u8; 2], sign: char }
}

lwt_preemptive::shm_safe! {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Kind: u8 { Low = 1, High = 2 }
}

#[test]
fn bytes_that_are_no_value_are_an_error() {
    guarded("bytes_that_are_no_value_are_an_error", || {
        use lwt_preemptive::shm::ShmSafe;
        assert!(bool::is_valid(&[1]) && !bool::is_valid(&[2]));
        assert!(Kind::is_valid(&[2]) && !Kind::is_valid(&[0]) && !Kind::is_valid(&[3]));
        assert!(!char::is_valid(&0xd800_u32.to_ne_bytes()));
        assert_ne!(Kind::SHAPE, u8::SHAPE);
        let pool = Pool::create().expect("a pool");
        let point = Point { x: 1.5, ok: true, kind: Kind::High, letter: *b"ab", sign: 'ß' };
        let map: Map<u32, Point> = Map::create(&pool, ()).expect("a map");
        map.insert(1, point).expect("inserted");
        assert_eq!(map.get(&1).expect("got"), Some(point));
        let array: Array<Point> = Array::create(&pool, 5, point, ()).expect("an array");
        assert_eq!(array.get(4).expect("got"), Some(point));
    });
}

#[test]
fn a_map_does_what_a_hash_map_does() {
    guarded("a_map_does_what_a_hash_map_does", || {
        let pool = Pool::create().expect("a pool");
        let map: Map<u64, [u32; 3], u64> = Map::create(&pool, 11).expect("a map");
        let mut model: HashMap<u64, [u32; 3]> = HashMap::new();
        let mut seed = 88_172_645_463_325_252_u64;
        for step in 0..60_000_u32 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let (key, value) = (seed >> 20 & 0xfff, [step; 3]);
            match seed >> 40 & 7 {
                0..4 => assert_eq!(map.insert(key, value).expect("inserted"), model.insert(key, value)),
                4 | 5 => assert_eq!(map.remove(&key).expect("removed"), model.remove(&key)),
                6 => {
                    let mut entry = map.entry(key).expect("an entry");
                    let new = entry.update(|old| old.map(|[a, b, c]| [c, a, b])).expect("updated");
                    if let Some(old) = model.get_mut(&key) {
                        *old = new.expect("it was there");
                    }
                    assert_eq!(new, model.get(&key).copied());
                }
                _ => assert_eq!(map.get(&key).expect("got"), model.get(&key).copied()),
            }
        }
        assert_eq!(map.len().expect("a length"), model.len());
        let seen: HashMap<u64, [u32; 3]> = map.iter().map(|item| item.expect("an item")).collect();
        assert_eq!(seen, model);
        // Whoever iterates may change the map.
        for item in map.iter() {
            let (key, _) = item.expect("an item");
            map.remove(&key).expect("removed");
            map.insert(key + 1_000_000, [0; 3]).expect("inserted");
        }
        assert!(map.iter().all(|item| item.expect("an item").0 >= 1_000_000));
        map.clear().expect("cleared");
        assert!(map.is_empty().expect("asked") && map.iter().next().is_none());
        assert_eq!(map.header().expect("a header"), 11);
        map.destroy().expect("destroyed");
        assert_eq!(pool.stats().blocks, 0);
    });
}

#[test]
fn processes_fill_one_map() {
    const NAME: &str = "processes_fill_one_map";
    const EACH: u64 = 20_000;
    if let Some((role, pool)) = role() {
        let map: Map<u64, u64> = Map::open(&pool, place(&pool, "map")).expect("a map");
        let me: u64 = role.parse().expect("a number");
        for n in 0..EACH {
            map.insert(n * 3 + me, n).expect("inserted");
            let mut entry = map.entry(u64::MAX).expect("an entry");
            entry.update(|count| Some(count.unwrap_or(0) + 1)).expect("updated");
            drop(entry);
            assert_eq!(map.get(&(n * 3 + me)).expect("got"), Some(n));
        }
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let map: Map<u64, u64> = Map::create(&pool, ()).expect("a map");
        pool.publish("map", map.place()).expect("published");
        let mut workers = ["0", "1", "2"].map(|role| Worker::start(NAME, role, &pool));
        // Iterating goes on beside it, and what is seen is whole.
        while workers.iter_mut().any(Worker::is_running) {
            for item in map.iter() {
                let (key, value) = item.expect("an item");
                assert!(key == u64::MAX || key / 3 == value);
            }
        }
        workers.into_iter().for_each(Worker::succeed);
        assert_eq!(map.get(&u64::MAX).expect("got"), Some(3 * EACH));
        assert_eq!(map.len().expect("a length") as u64, 3 * EACH + 1);
        for key in 0..3 * EACH {
            assert_eq!(map.get(&key).expect("got"), Some(key / 3));
        }
    });
}

#[test]
fn a_mailbox_keeps_the_order_of_each_sender_and_wakes_the_loop() {
    const NAME: &str = "a_mailbox_keeps_the_order_of_each_sender_and_wakes_the_loop";
    const EACH: u32 = 5000;
    if let Some((role, pool)) = role() {
        let mailbox = Mailbox::open(&pool, place(&pool, "box")).expect("a box");
        assert!(matches!(mailbox.receiver(), Err(ShmError::Taken)));
        let me: u8 = role.parse().expect("a number");
        for n in 0..EACH {
            let mut message = vec![me; 4 + n as usize % 60];
            message[..4].copy_from_slice(&n.to_ne_bytes());
            message.push(me);
            mailbox.send(&message).expect("sent");
        }
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let mailbox = Mailbox::create(&pool, 512).expect("a box");
        pool.publish("box", mailbox.place()).expect("published");
        let receiver = mailbox.receiver().expect("the receiver");
        let workers = ["0", "1", "2"].map(|role| Worker::start(NAME, role, &pool));
        lwt_unix::run(async move {
            let mut next = [0; 3];
            for _ in 0..3 * EACH {
                let message = receiver.receive_async().await?;
                let sender = *message.last().expect("not empty");
                let n = u32::from_ne_bytes(message[..4].try_into().expect("four"));
                assert_eq!(n, next[usize::from(sender)]);
                assert_eq!(message.len(), 5 + n as usize % 60);
                assert!(message[4..].iter().all(|byte| *byte == sender));
                next[usize::from(sender)] += 1;
            }
            Ok::<_, lwt_core::Error>(())
        })
        .expect("run");
        workers.into_iter().for_each(Worker::succeed);
        // Too long a message is refused, again and again, and nothing is lost.
        for _ in 0..1000 {
            let long = vec![0; mailbox.longest() + 1];
            assert!(matches!(mailbox.try_send(&long), Err(ShmError::TooLarge)));
        }
        let receiver = mailbox.receiver().expect("the next receiver");
        let full = (0..).take_while(|_| mailbox.try_send(&[1; 24]).expect("sent")).count();
        assert_eq!(full, 512 / 32);
        assert!(matches!(mailbox.send_timeout(&[1], Duration::from_millis(5)), Err(ShmError::TimedOut)));
        for _ in 0..full {
            assert_eq!(receiver.receive().expect("received"), [1; 24]);
        }
        assert_eq!(receiver.try_receive().expect("asked"), None);
    });
}

#[test]
fn arrays_and_matrices_hold_what_was_set() {
    guarded("arrays_and_matrices_hold_what_was_set", || {
        let pool = Pool::create().expect("a pool");
        let array: Array<u8, [u8; 4]> = Array::create(&pool, 0, 0, *b"head").expect("an array");
        assert!(array.is_empty().expect("asked"));
        for length in [1, 63, 64, 65, 1000, 10_000] {
            array.grow(length, length as u8).expect("grown");
        }
        array.grow(10, 9).expect("it never shrinks");
        let all = array.to_vec().expect("elements");
        assert_eq!((all.len(), all[0], all[63], all[64], all[999], all[9999]), (10_000, 1, 64, 65, 232, 16));
        assert!(!array.set(10_000, 1).expect("asked"));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        array.update(500, |n| n.wrapping_add(1)).expect("updated");
                    }
                });
            }
        });
        assert_eq!(array.get(500).expect("got"), Some((232 + 4000_u32) as u8));
        assert!(matches!(array.grow(usize::MAX / 2, 0), Err(ShmError::TooLarge | ShmError::PoolFull { .. })));
        assert_eq!(array.header().expect("a header"), *b"head");

        let matrix: Matrix<u16> = Matrix::create(&pool, 100, 3, 1, ()).expect("a matrix");
        thread::scope(|scope| {
            for part in 0..4 {
                let matrix = matrix.clone();
                scope.spawn(move || {
                    for row in (part..100).step_by(4) {
                        matrix.set_row(row, &[row as u16; 3]).expect("set");
                        matrix.update(0, 0, |n| n + 1).expect("updated");
                    }
                });
            }
        });
        for row in 1..100 {
            assert_eq!(matrix.row(row).expect("got"), Some(vec![row as u16; 3]));
        }
        assert!(matrix.get(100, 0).expect("asked").is_none() && matrix.get(0, 3).expect("asked").is_none());
        let place = matrix.place();
        assert!(matches!(Matrix::<i16>::open(&pool, place), Err(ShmError::TypeMismatch)));
        assert_eq!(Matrix::<u16>::open(&pool, place).expect("opened").dim().expect("known"), (100, 3));
    });
}

#[test]
fn positions_of_a_buffer_stay() {
    guarded("positions_of_a_buffer_stay", || {
        let pool = Pool::create().expect("a pool");
        let buffer: Buffer = Buffer::create(&pool, None, ()).expect("a buffer");
        let mut model: Vec<u8> = Vec::new();
        let mut start = 0;
        for step in 0..3000_usize {
            let piece: Vec<u8> = (0..step * 7 % 61).map(|i| (i + step) as u8).collect();
            assert_eq!(buffer.add(&piece).expect("added"), Some(model.len() as u64));
            model.extend(&piece);
            if step % 3 == 0 {
                start += (model.len() - start) / 2;
                buffer.delete_to(start as u64).expect("deleted");
            }
            let (from, to) = (start + (model.len() - start) / 3, model.len());
            let part = buffer.sub(from as u64..to as u64).expect("a part");
            assert_eq!(part.as_deref(), Some(&model[from..to]));
        }
        assert_eq!(buffer.range().expect("a range"), start as u64..model.len() as u64);
        if start > 0 {
            assert_eq!(buffer.sub(start as u64 - 1..start as u64).expect("asked"), None);
        }
        let bounded: Buffer = Buffer::create(&pool, Some(1000), ()).expect("a buffer");
        assert!(matches!(bounded.add(&[0; 1001]), Err(ShmError::TooLarge)));
        assert_eq!(bounded.add(&[1; 600]).expect("added"), Some(0));
        assert_eq!(bounded.add(&[2; 600]).expect("asked"), None);
        let (one, two) = (bounded.clone(), bounded.clone());
        let reader = thread::spawn(move || {
            one.wait_for(600, None).expect("there");
            one.delete_to(600).expect("deleted");
        });
        assert_eq!(lwt_unix::run(two.add_async(vec![2; 600])).expect("added"), 600);
        reader.join().expect("joined");
        assert_eq!(bounded.contents().expect("contents"), [2; 600]);
    });
}

lwt_preemptive::shm_safe! {
    #[derive(Debug, Clone, Copy)]
    struct Node { number: u64, next: Link<Node> }
}

#[test]
fn values_a_million_deep_are_stored_read_and_freed() {
    guarded("values_a_million_deep_are_stored_read_and_freed", || {
        const DEPTH: u64 = 1_000_000;
        // On a stack that no recursion of that depth would fit.
        let thread = thread::Builder::new().stack_size(128 << 10).spawn(|| {
            let pool = Pool::create().expect("a pool");
            let mut builder = ArchiveBuilder::new();
            let mut next = Link::NONE;
            for number in 0..DEPTH {
                next = builder.add(&Node { number, next });
            }
            let place = pool.store(&builder.finish(next)).expect("stored");
            let archive: Archive<_, Node> = Archive::open(pool.read(place).expect("read")).expect("opened");
            let mut node = archive.root().expect("a root");
            let mut sum = node.number;
            while let Some(next) = archive.get(node.next).expect("followed") {
                node = next;
                sum += node.number;
            }
            assert_eq!(sum, DEPTH * (DEPTH - 1) / 2);
            drop(archive);
            pool.free(place).expect("freed");
            assert_eq!(pool.stats().blocks, 0);
        });
        thread.expect("a thread").join().expect("joined");
        // What is no archive, or one of another type, is refused; links that lead out of it too.
        let mut builder = ArchiveBuilder::new();
        let root = builder.add(&Node { number: 1, next: Link::NONE });
        let bytes = builder.finish(root);
        assert!(matches!(Archive::<_, u64>::open(&*bytes), Err(ShmError::TypeMismatch)));
        assert!(Archive::<_, Node>::open(&bytes[..20]).is_err());
        let cut: Archive<_, Node> = Archive::open(&bytes[..32]).expect("opened");
        assert!(matches!(cut.root(), Err(ShmError::Corrupt)));
    });
}

#[test]
fn what_a_dead_reader_had_pinned_is_freed() {
    const NAME: &str = "what_a_dead_reader_had_pinned_is_freed";
    if let Some((_, pool)) = role() {
        let bytes: BytesReference = BytesReference::open(&pool, place(&pool, "bytes")).expect("a reference");
        let ready: Reference<u32> = Reference::open(&pool, place(&pool, "ready")).expect("a reference");
        let blob = bytes.get().expect("got").expect("there");
        ready.set(blob.len() as u32).expect("set");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let bytes: BytesReference = BytesReference::create(&pool, ()).expect("a reference");
        let ready: Reference<u32> = Reference::create(&pool, 0, ()).expect("a reference");
        pool.publish("bytes", bytes.place()).expect("published");
        pool.publish("ready", ready.place()).expect("published");
        bytes.set(Some(&[5; 100_000])).expect("set");
        let mut worker = Worker::start(NAME, "reader", &pool);
        shm_common::until(|| ready.get().expect("got") == 100_000);
        bytes.set(None).expect("set");
        assert!(pool.stats().retired >= 100_000);
        worker.kill();
        assert_eq!(pool.sweep().expect("swept"), 1);
        assert_eq!(pool.stats().retired, 0);
        // A guard that a panic drops is gone as well.
        bytes.set(Some(b"text")).expect("set");
        let reading = bytes.clone();
        let panicked = thread::spawn(move || {
            let _blob = reading.get().expect("got");
            panic!("while reading");
        });
        assert!(panicked.join().is_err());
        bytes.set(None).expect("set");
        assert_eq!(pool.stats().retired, 0);
    });
}
