//! Maps, queues and references of bytes of any length, and of values that can be archived.

mod shm_common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lwt_preemptive::shm::{
    Blob, BytesMap, BytesQueue, BytesReference, Map, Pool, PoolOptions, Queue, ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::{Worker, role};

fn key(n: usize) -> Vec<u8> {
    format!("{n}{}", "·".repeat(n % 30)).into_bytes()
}

#[test]
fn a_map_of_bytes_does_what_a_map_does() {
    guarded("a_map_of_bytes_does_what_a_map_does", || {
        let pool = Pool::create().expect("a pool");
        let map: BytesMap<u64> = BytesMap::create(&pool, 7).expect("a map");
        let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut seed = 0x9e37_79b9_u64;
        for step in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = key((seed >> 33) as usize % 500);
            let value = vec![step as u8; (seed >> 50) as usize % 300];
            let there = |blob: Option<Blob>| blob.map(|blob| blob.to_vec());
            match (seed >> 60) % 4 {
                0 => assert_eq!(there(map.remove(&key).expect("removed")), model.remove(&key)),
                1 => assert_eq!(there(map.get(&key).expect("got")), model.get(&key).cloned()),
                _ => {
                    let before = map.insert(&key, &value).expect("inserted");
                    assert_eq!(there(before), model.insert(key, value));
                }
            }
        }
        assert_eq!(map.len().expect("a length"), model.len());
        let found: HashMap<Vec<u8>, Vec<u8>> = map
            .iter()
            .map(|item| item.map(|item| (item.key().to_vec(), item.value().to_vec())).expect("an item"))
            .collect();
        assert_eq!(found, model);
        assert!(matches!(BytesMap::<u32>::open(&pool, map.place()), Err(ShmError::TypeMismatch)));
        map.insert(b"", b"the empty key").expect("inserted");
        assert_eq!(&*map.get(b"").expect("got").expect("there"), b"the empty key");
        map.clear().expect("cleared");
        assert!(map.is_empty().expect("asked") && map.iter().next().is_none());
        assert_eq!(map.update_header(|n| n + 1).expect("a header"), 8);
        map.destroy().expect("destroyed");
        let stats = pool.stats();
        assert_eq!((stats.blocks, stats.retired), (0, 0), "nothing is left");
    });
}

#[test]
fn who_iterates_sees_what_stays_once_while_others_change_the_map() {
    guarded("who_iterates_sees_what_stays_once_while_others_change_the_map", || {
        let pool = Pool::create().expect("a pool");
        let map: BytesMap = BytesMap::create(&pool, ()).expect("a map");
        for n in 0..2000 {
            map.insert(&key(n), &[1; 40]).expect("inserted");
        }
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 2000;
                while !done.load(Ordering::Relaxed) {
                    // Tables grow, and values change.
                    map.insert(&key(n), &[2; 60]).expect("inserted");
                    map.insert(&key(n % 2000), &[3; 50]).expect("inserted");
                    n += 1;
                    if n.is_multiple_of(20_000) {
                        (2000..n).for_each(|n| drop(map.remove(&key(n)).expect("removed")));
                        n = 2000;
                    }
                }
            });
            for _ in 0..20 {
                let mut seen = vec![0; 2000];
                for item in map.iter() {
                    let item = item.expect("an item");
                    let text = std::str::from_utf8(item.key()).expect("text");
                    let n: usize = text.trim_end_matches('·').parse().expect("a number");
                    assert!(item.value().iter().all(|byte| *byte == item.value()[0]));
                    if n < 2000 {
                        seen[n] += 1;
                    }
                }
                assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_queue_of_bytes_keeps_order_and_frees_what_was_read() {
    guarded("a_queue_of_bytes_keeps_order_and_frees_what_was_read", || {
        let pool = Pool::create().expect("a pool");
        let queue: BytesQueue = BytesQueue::create(&pool, Some(100), ()).expect("a queue");
        for round in 0..5 {
            for n in 0..100 {
                assert!(queue.try_push(&key(n + round)).expect("pushed"));
            }
            assert!(!queue.try_push(b"one more").expect("full"));
            let timed = queue.push_timeout(b"one more", Duration::from_millis(5));
            assert!(matches!(timed, Err(ShmError::TimedOut)));
            assert_eq!(queue.snapshot().expect("a snapshot").len(), 100);
            for n in 0..100 {
                assert_eq!(&*queue.pop().expect("popped"), key(n + round));
            }
        }
        assert!(queue.try_pop().expect("empty").is_none());
        // The loop goes on while they wait.
        lwt_unix::run(async move {
            let waiting = queue.pop_async();
            assert!(waiting.is_pending());
            queue.push(b"at last").map_err(lwt_core::Error::from)?;
            assert_eq!(&*waiting.await?, b"at last");
            queue.push_async(b"and again").await?;
            let last = queue.pop_async().await?;
            queue.destroy().map_err(lwt_core::Error::from)?;
            assert_eq!(&*last, b"and again", "it outlives the queue");
            Ok::<_, lwt_core::Error>(())
        })
        .expect("done");
        let stats = pool.stats();
        assert_eq!((stats.blocks, stats.retired), (0, 0), "nothing is left");
    });
}

#[test]
fn a_reference_of_bytes_is_compared_and_set() {
    let pool = Pool::create().expect("a pool");
    let reference: BytesReference<u32> = BytesReference::create(&pool, 5).expect("a reference");
    assert!(reference.compare_and_set(None, Some(b"one")).expect("asked").is_ok());
    let refused = reference.compare_and_set(Some(b"two"), Some(b"three")).expect("asked");
    assert_eq!(refused.expect_err("it is another").as_deref(), Some(&b"one"[..]));
    assert_eq!(reference.swap(None).expect("swapped").as_deref(), Some(&b"one"[..]));
    assert_eq!(reference.header().expect("a header"), 5);
}

#[test]
fn a_process_may_have_thousands_of_pins() {
    guarded("a_process_may_have_thousands_of_pins", || {
        let pool = PoolOptions::new().limit(64 << 20).create().expect("a pool");
        let place = pool.store(b"bytes").expect("stored");
        let mut blobs: Vec<Blob> = Vec::new();
        let refused = loop {
            match pool.read(place) {
                Ok(blob) => blobs.push(blob),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, ShmError::TooManyPins));
        assert!(blobs.len() > 4000, "{}", blobs.len());
        // Any of them keeps the bytes.
        let last = blobs.pop().expect("a blob");
        drop(blobs);
        pool.free(place).expect("freed");
        assert_eq!((&*last, pool.stats().retired > 0), (&b"bytes"[..], true));
        drop(last);
        assert_eq!(pool.stats().retired, 0);
        // As many handles as that.
        let queues: Vec<Queue<u8>> =
            (0..1000).map(|_| Queue::create(&pool, None, ()).expect("a queue")).collect();
        queues.iter().for_each(|queue| queue.push(1).expect("pushed"));
    });
}

#[test]
fn what_a_process_has_popped_or_pinned_is_free_after_its_death() {
    const NAME: &str = "what_a_process_has_popped_or_pinned_is_free_after_its_death";
    if let Some((_, pool)) = role() {
        let place = |name| pool.find(name).expect("there");
        let queue: BytesQueue = BytesQueue::open(&pool, place("queue")).expect("a queue");
        let map: BytesMap = BytesMap::open(&pool, place("map")).expect("a map");
        let told: Queue<u8> = Queue::open(&pool, place("told")).expect("a queue");
        let _popped = queue.pop().expect("popped");
        let _pinned = map.get(b"key").expect("got").expect("there");
        told.push(1).expect("told");
        loop {
            thread::park();
        }
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let queue: BytesQueue = BytesQueue::create(&pool, None, ()).expect("a queue");
        let map: BytesMap = BytesMap::create(&pool, ()).expect("a map");
        let told: Queue<u8> = Queue::create(&pool, None, ()).expect("a queue");
        pool.publish("queue", queue.place()).expect("published");
        pool.publish("map", map.place()).expect("published");
        pool.publish("told", told.place()).expect("published");
        queue.push(&[1; 3000]).expect("pushed");
        queue.push(b"second").expect("pushed");
        map.insert(b"key", &[2; 3000]).expect("inserted");
        let mut worker = Worker::start(NAME, "hold", &pool);
        told.pop().expect("it holds both");
        map.remove(b"key").expect("removed").expect("there");
        assert!(pool.stats().retired > 0, "somebody reads it");
        worker.kill();
        assert_eq!(pool.sweep().expect("swept"), 1);
        assert_eq!(pool.stats().retired, 0);
        assert_eq!(&*queue.pop().expect("popped"), b"second");
        for destroyed in [queue.destroy(), map.destroy(), told.destroy()] {
            destroyed.expect("destroyed");
        }
        assert_eq!(pool.stats().blocks, 0, "nothing is left");
    });
}

#[test]
fn entries_of_processes_do_not_get_in_each_others_way() {
    const NAME: &str = "entries_of_processes_do_not_get_in_each_others_way";
    const ROUNDS: usize = 2000;
    const WORDS: usize = 17;
    if let Some((_, pool)) = role() {
        let place = |name| pool.find(name).expect("there");
        let words: BytesMap = BytesMap::open(&pool, place("words")).expect("a map");
        let numbers: Map<u64, u64> = Map::open(&pool, place("numbers")).expect("a map");
        for round in 0..ROUNDS {
            let word = key(round % WORDS);
            let mut entry = words.entry(&word).expect("an entry");
            entry.and_modify(|stars| [stars, b"*"].concat()).expect("modified").or_insert(b"*").expect("set");
            drop(entry);
            let mut entry = numbers.entry(round as u64 % WORDS as u64).expect("an entry");
            entry.and_modify(|count| count + 1).expect("modified").or_insert(1).expect("set");
        }
        return;
    }
    guarded(NAME, || {
        let pool = Pool::create().expect("a pool");
        let words: BytesMap = BytesMap::create(&pool, ()).expect("a map");
        let numbers: Map<u64, u64> = Map::create(&pool, ()).expect("a map");
        pool.publish("words", words.place()).expect("published");
        pool.publish("numbers", numbers.place()).expect("published");
        let workers = ["0", "1", "2"].map(|role| Worker::start(NAME, role, &pool));
        workers.into_iter().for_each(Worker::succeed);
        let stars: usize = words.iter().map(|item| item.expect("an item").value().len()).sum();
        let count: u64 = numbers.iter().map(|item| item.expect("an item").1).sum();
        assert_eq!((stars, count), (3 * ROUNDS, 3 * ROUNDS as u64));
        assert_eq!((words.len().expect("a length"), numbers.len().expect("a length")), (WORDS, WORDS));
    });
}

#[cfg(feature = "worker")]
mod rich {
    use lwt_preemptive::shm::{Rich, RichMap, RichQueue, RichReference};
    use lwt_preemptive::worker::rkyv::{Archive, Deserialize, Serialize, rancor, ser, validation};

    use super::*;

    type Family = Vec<(String, Option<u32>)>;

    fn family(n: u32) -> Family {
        (0..n % 7).map(|n| (format!("child {n}"), n.is_multiple_of(2).then_some(n))).collect()
    }

    #[test]
    fn values_that_can_be_archived_are_read_in_place() {
        let pool = Pool::create().expect("a pool");
        let map: RichMap<Family, u64> = RichMap::create(&pool, 1).expect("a map");
        let queue: RichQueue<Family> = RichQueue::create(&pool, None, ()).expect("a queue");
        let reference: RichReference<Family> = RichReference::create(&pool, ()).expect("a reference");
        for n in 0..100 {
            map.insert(format!("family {n}"), &family(n)).expect("inserted");
            queue.push(&family(n)).expect("pushed");
        }
        for n in 0..100 {
            let found = map.get(format!("family {n}")).expect("got").expect("there");
            assert_eq!(found.len(), family(n).len());
            assert_eq!(found.to_value().expect("a value"), family(n));
            assert_eq!(queue.pop().expect("popped").to_value().expect("a value"), family(n));
        }
        map.update("family 3", |before| {
            assert_eq!(before.expect("there").len(), 3);
            None
        })
        .expect("updated");
        assert!(map.get("family 3").expect("got").is_none());
        assert!(reference.get().expect("got").is_none());
        reference.set(&family(5)).expect("set");
        let before = reference.swap(&family(6)).expect("swapped").expect("there");
        assert_eq!((before[4].0.as_str(), before[4].1.is_some()), ("child 4", true));
    }

    #[test]
    fn another_type_is_refused_and_so_are_bytes_that_are_none() {
        let pool = Pool::create().expect("a pool");
        let queue: RichQueue<String> = RichQueue::create(&pool, None, ()).expect("a queue");
        let other = RichQueue::<Vec<u32>>::open(&pool, queue.place());
        assert!(matches!(other, Err(ShmError::TypeMismatch)));
        let plain = BytesQueue::<()>::open(&pool, queue.place());
        assert!(matches!(plain, Err(ShmError::TypeMismatch)));
        let place = pool.store(&[0xff; 100]).expect("stored");
        let torn = lwt_preemptive::shm::Rich::<Vec<String>>::of(pool.read(place).expect("read"));
        assert!(matches!(torn, Err(ShmError::Corrupt)));
    }

    #[test]
    fn entries_of_archives_look_and_change_in_one_step() {
        let pool = Pool::create().expect("a pool");
        let map: RichMap<Family> = RichMap::create(&pool, ()).expect("a map");
        let value = |found: Option<Rich<Family>>| found.map(|found| found.to_value().expect("a value"));
        let mut entry = map.entry("family").expect("an entry");
        assert_eq!(entry.key(), b"family");
        assert!(entry.get().expect("got").is_none());
        entry.and_modify(|_| unreachable!("it is not there")).expect("asked");
        assert_eq!(value(entry.or_insert(&family(2)).ok()), Some(family(2)));
        assert_eq!(value(entry.or_insert(&family(3)).ok()), Some(family(2)));
        let there = entry.or_insert_with(|| unreachable!("it is there"));
        assert_eq!(value(there.ok()), Some(family(2)));
        entry.and_modify(|family_of_two| family(family_of_two.len() as u32 + 2)).expect("modified");
        assert_eq!(value(entry.insert(&family(5)).expect("inserted")), Some(family(4)));
        entry.update(|five| Some(family(five.expect("there").len() as u32 + 1))).expect("updated");
        assert_eq!(value(entry.remove().expect("removed")), Some(family(6)));
        entry.update(|none| none.is_none().then(|| family(1))).expect("updated");
        drop(entry);
        assert_eq!(value(map.get("family").expect("got")), Some(family(1)));
        assert!(map.contains("family").expect("asked") && !map.contains("others").expect("asked"));
        map.clear().expect("cleared");
        assert!(map.is_empty().expect("asked"));
    }

    #[test]
    fn a_reference_and_a_queue_of_archives_are_as_those_of_bytes() {
        let pool = Pool::create().expect("a pool");
        let reference: RichReference<Family> = RichReference::create(&pool, ()).expect("a reference");
        assert!(reference.compare_and_set(None, Some(&family(3))).expect("asked").is_ok());
        let three = reference.get().expect("got");
        assert!(reference.compare_and_set(None, None).expect("asked").is_err());
        assert!(reference.compare_and_set(three.as_ref(), Some(&family(4))).expect("asked").is_ok());
        let other = reference.compare_and_set(three.as_ref(), None).expect("asked");
        assert_eq!(other.expect_err("it is another").expect("there").to_value().expect("a value"), family(4));

        let queue: RichQueue<u32> = RichQueue::create(&pool, Some(2), ()).expect("a queue");
        (0..2).for_each(|n| queue.push(&n).expect("pushed"));
        let full = queue.push_timeout(&2, Duration::from_millis(5));
        assert!(matches!(full, Err(ShmError::TimedOut)));
        assert_eq!(queue.peek().expect("asked").expect("there").to_native(), 0);
        let all: Vec<u32> = queue.snapshot().expect("a snapshot").iter().map(|n| n.to_native()).collect();
        assert_eq!(all, [0, 1]);
        assert_eq!((queue.clear().expect("cleared"), queue.len().expect("a length")), (2, 0));
    }

    /// Boxes in boxes.
    #[derive(Archive, Serialize, Deserialize)]
    #[rkyv(crate = lwt_preemptive::worker::rkyv)]
    #[rkyv(serialize_bounds(__S: ser::Writer + ser::Allocator, __S::Error: rancor::Source))]
    #[rkyv(deserialize_bounds(__D::Error: rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: validation::ArchiveContext, __C::Error: rancor::Source)))]
    struct Nested(#[rkyv(omit_bounds)] Option<Box<Nested>>);

    #[test]
    fn what_is_too_deep_to_be_read_is_not_stored() {
        let nested = |depth| (0..depth).fold(Nested(None), |inner, _| Nested(Some(Box::new(inner))));
        let pool = Pool::create().expect("a pool");
        let reference: RichReference<Nested> = RichReference::create(&pool, ()).expect("a reference");
        reference.set(&nested(500)).expect("set");
        assert!(matches!(reference.set(&nested(2000)), Err(ShmError::NotStorable)));
        let mut found = reference.get().expect("got").expect("there").to_value().expect("a value");
        let mut depth = 0;
        while let Some(inner) = found.0 {
            (found, depth) = (*inner, depth + 1);
        }
        assert_eq!(depth, 500, "it has not been replaced");
    }
}
