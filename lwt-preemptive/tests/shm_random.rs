//! The structures of shared memory do at random what plain ones do.
//!
//! `LWT_SEED` repeats the run of one seed.

mod shm_common;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lwt_preemptive::shm::{
    Array, Blob, Buffer, BytesMap, BytesQueue, BytesReference, Map, Matrix, Pool, Queue, Reference, ShmError,
};
use lwt_unix::entry::guarded;
use shm_common::{Random, nothing_is_left, seeds};

/// Bytes of a length below `longest`.
fn some_bytes(random: &mut Random, longest: u64) -> Vec<u8> {
    let byte = random.below(256) as u8;
    (0..random.below(longest)).map(|at| byte ^ at as u8).collect()
}

fn owned(blob: Option<Blob>) -> Option<Vec<u8>> {
    blob.map(|blob| blob.to_vec())
}

#[test]
fn entries_do_what_those_of_a_hash_map_do() {
    guarded("entries_do_what_those_of_a_hash_map_do", || {
        seeds(8, |mut random| {
            let pool = Pool::create().expect("a pool");
            let map: Map<u16, [u8; 3]> = Map::create(&pool, ()).expect("a map");
            let mut model: HashMap<u16, [u8; 3]> = HashMap::new();
            for _ in 0..5000 {
                let (key, value) = (random.below(400) as u16, [random.below(256) as u8; 3]);
                let mut entry = map.entry(key).expect("an entry");
                assert_eq!(*entry.key(), key);
                assert_eq!(entry.get().expect("got"), model.get(&key).copied());
                match random.below(7) {
                    0 => assert_eq!(entry.insert(value).expect("inserted"), model.insert(key, value)),
                    1 | 2 => assert_eq!(entry.remove().expect("removed"), model.remove(&key)),
                    3 => {
                        let there = entry.or_insert(value).expect("inserted");
                        assert_eq!(there, *model.entry(key).or_insert(value));
                    }
                    4 => {
                        let there = entry.or_insert_with(|| value).expect("inserted");
                        assert_eq!(there, *model.entry(key).or_insert_with(|| value));
                    }
                    5 => {
                        let changed = entry.and_modify(|[a, _, c]| [c, value[0], a]).expect("modified");
                        let there = changed.or_insert(value).expect("inserted");
                        let expected = model.entry(key).and_modify(|old| *old = [old[2], value[0], old[0]]);
                        assert_eq!(there, *expected.or_insert(value));
                    }
                    _ => {
                        let new = entry.update(|old| old.is_none().then_some(value)).expect("updated");
                        if model.remove(&key).is_none() {
                            model.insert(key, value);
                        }
                        assert_eq!(new, model.get(&key).copied());
                    }
                }
                assert_eq!(entry.get().expect("got"), model.get(&key).copied());
            }
            let found: HashMap<u16, [u8; 3]> = map.iter().map(|item| item.expect("an item")).collect();
            assert_eq!((map.len().expect("a length"), found), (model.len(), model));
            map.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn entries_of_bytes_do_what_those_of_a_hash_map_do() {
    guarded("entries_of_bytes_do_what_those_of_a_hash_map_do", || {
        seeds(8, |mut random| {
            let pool = Pool::create().expect("a pool");
            let map: BytesMap = BytesMap::create(&pool, ()).expect("a map");
            let mut model: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
            for _ in 0..5000 {
                let key = random.below(400).to_string().into_bytes();
                let value = some_bytes(&mut random, 100);
                let mut entry = map.entry(&key).expect("an entry");
                assert_eq!(entry.key(), key);
                match random.below(7) {
                    0 => {
                        let before = owned(entry.insert(&value).expect("inserted"));
                        assert_eq!(before, model.insert(key.clone(), value));
                    }
                    1 | 2 => assert_eq!(owned(entry.remove().expect("removed")), model.remove(&key)),
                    3 => {
                        let there = entry.or_insert(&value).expect("inserted");
                        assert_eq!(*there, model.entry(key.clone()).or_insert(value)[..]);
                    }
                    4 => {
                        let there = entry.or_insert_with(|| &value).expect("inserted");
                        assert_eq!(*there, model.entry(key.clone()).or_insert(value)[..]);
                    }
                    5 => {
                        let changed = entry.and_modify(|old| [old, b"+"].concat()).expect("modified");
                        let there = changed.or_insert(&value).expect("inserted");
                        let expected = model.entry(key.clone()).and_modify(|old| old.push(b'+'));
                        assert_eq!(*there, expected.or_insert(value)[..]);
                    }
                    _ => {
                        entry.update(|old| old.is_none().then_some(&value)).expect("updated");
                        if model.remove(&key).is_none() {
                            model.insert(key.clone(), value);
                        }
                    }
                }
                assert_eq!(owned(entry.get().expect("got")).as_ref(), model.get(&key));
            }
            let pair = |item: Result<lwt_preemptive::shm::BytesPair, ShmError>| {
                item.map(|item| (item.key().to_vec(), item.value().to_vec())).expect("an item")
            };
            let found: HashMap<Vec<u8>, Vec<u8>> = map.iter().map(pair).collect();
            assert_eq!((map.len().expect("a length"), found), (model.len(), model));
            map.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn queues_do_what_a_deque_does() {
    guarded("queues_do_what_a_deque_does", || {
        seeds(12, |mut random| {
            let pool = Pool::create().expect("a pool");
            let bound = (random.below(3) != 0).then(|| 1 + random.below(60) as usize);
            let values: Queue<[u8; 9]> = Queue::create(&pool, bound, ()).expect("a queue");
            let lines: BytesQueue = BytesQueue::create(&pool, bound, ()).expect("a queue");
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            let whole = |value: &[u8]| std::array::from_fn(|at| value.get(at).copied().unwrap_or(0));
            for _ in 0..4000 {
                // It fills and empties in turn.
                match random.below(if model.len() > 70 { 40 } else { 9 }) {
                    0..6 => {
                        let value = some_bytes(&mut random, 60);
                        let room = bound.is_none_or(|bound| model.len() < bound);
                        assert_eq!(values.try_push(whole(&value)).expect("asked"), room);
                        assert_eq!(lines.try_push(&value).expect("asked"), room);
                        if room {
                            model.push_back(value);
                        }
                    }
                    6 => {
                        assert_eq!(values.peek().expect("asked"), model.front().map(|value| whole(value)));
                        assert_eq!(owned(lines.peek().expect("asked")).as_ref(), model.front());
                    }
                    7 if random.below(200) == 0 => {
                        assert_eq!(values.clear().expect("cleared"), model.len());
                        assert_eq!(lines.clear().expect("cleared"), model.len());
                        model.clear();
                    }
                    _ => {
                        let first = model.pop_front();
                        assert_eq!(values.try_pop().expect("popped"), first.as_deref().map(whole));
                        assert_eq!(owned(lines.try_pop().expect("popped")), first);
                    }
                }
                assert_eq!(values.len().expect("a length"), model.len());
                assert_eq!(lines.len().expect("a length"), model.len());
            }
            let expected: Vec<[u8; 9]> = model.iter().map(|value| whole(value)).collect();
            assert_eq!(values.snapshot().expect("a snapshot"), expected);
            assert!(lines.snapshot().expect("a snapshot").iter().zip(&model).all(|(a, b)| **a == b[..]));
            values.destroy().expect("destroyed");
            lines.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn arrays_and_matrices_do_what_vectors_do() {
    guarded("arrays_and_matrices_do_what_vectors_do", || {
        seeds(8, |mut random| {
            let pool = Pool::create().expect("a pool");
            let (rows, columns) = (random.below(6) as usize, random.below(6) as usize);
            // Elements that are one word, and elements that are not.
            let array: Array<[u8; 5]> = Array::create(&pool, 0, [0; 5], ()).expect("an array");
            let small: Matrix<u32> = Matrix::create(&pool, rows, columns, 0, ()).expect("a matrix");
            let large: Matrix<[u32; 3]> = Matrix::create(&pool, rows, columns, [0; 3], ()).expect("a matrix");
            let (mut list, mut table) = (Vec::new(), vec![vec![0; columns]; rows]);
            for _ in 0..2000 {
                let n = random.below(1 << 32) as u32;
                let (row, column) = (random.below(7) as usize, random.below(7) as usize);
                let index = random.below(list.len() as u64 + 3) as usize;
                let value = [n as u8; 5];
                match random.below(8) {
                    0 => {
                        let length = list.len().saturating_add_signed(random.below(30) as isize - 5);
                        array.grow(length, value).expect("grown");
                        if length > list.len() {
                            list.resize(length, value);
                        }
                    }
                    1 | 2 => {
                        let there = list.get_mut(index).map(|found| *found = value).is_some();
                        assert_eq!(array.set(index, value).expect("set"), there);
                    }
                    3 => {
                        let new = array.update(index, |old| old.map(|byte| byte ^ 1)).expect("updated");
                        let there = list.get_mut(index).map(|old| {
                            *old = old.map(|byte| byte ^ 1);
                            *old
                        });
                        assert_eq!(new, there);
                    }
                    4 => {
                        let cells: Vec<u32> = (0..random.below(8) as u32).map(|at| n ^ at).collect();
                        let wide: Vec<[u32; 3]> = cells.iter().map(|n| [*n; 3]).collect();
                        let there = table.get_mut(row).map(|row| {
                            row.iter_mut().zip(&cells).for_each(|(to, from)| *to = *from);
                        });
                        assert_eq!(small.set_row(row, &cells).expect("set"), there.is_some());
                        assert_eq!(large.set_row(row, &wide).expect("set"), there.is_some());
                    }
                    5 => {
                        let new = small.update(row, column, |old| old ^ n).expect("updated");
                        let wide = large.update(row, column, |old| old.map(|old| old ^ n)).expect("updated");
                        let there = table.get_mut(row).and_then(|row| row.get_mut(column)).map(|old| {
                            *old ^= n;
                            *old
                        });
                        assert_eq!((new, wide), (there, there.map(|n| [n; 3])));
                    }
                    _ => {
                        let there =
                            table.get_mut(row).and_then(|row| row.get_mut(column)).map(|old| *old = n);
                        assert_eq!(small.set(row, column, n).expect("set"), there.is_some());
                        assert_eq!(large.set(row, column, [n; 3]).expect("set"), there.is_some());
                    }
                }
                assert_eq!(array.get(index).expect("got"), list.get(index).copied());
                let there = table.get(row).and_then(|row| row.get(column)).copied();
                assert_eq!(small.get(row, column).expect("got"), there);
                assert_eq!(large.get(row, column).expect("got"), there.map(|n| [n; 3]));
                assert_eq!(small.row(row).expect("got"), table.get(row).cloned());
            }
            assert_eq!(array.to_vec().expect("elements"), list);
            array.destroy().expect("destroyed");
            small.destroy().expect("destroyed");
            large.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn a_buffer_does_what_a_vector_with_a_start_does() {
    guarded("a_buffer_does_what_a_vector_with_a_start_does", || {
        seeds(12, |mut random| {
            let pool = Pool::create().expect("a pool");
            let bound = (random.below(2) == 0).then(|| random.below(3000) as usize);
            let buffer: Buffer = Buffer::create(&pool, bound, ()).expect("a buffer");
            let (mut start, mut model) = (0, Vec::new());
            for _ in 0..1500 {
                let position = (start + random.below(4000) as usize).saturating_sub(200);
                match random.below(6) {
                    0..3 => {
                        let bytes = some_bytes(&mut random, 700);
                        let end = model.len();
                        match buffer.add(&bytes) {
                            Ok(Some(at)) => {
                                assert_eq!(at, end as u64);
                                model.extend(bytes);
                                assert!(bound.is_none_or(|bound| model.len() - start <= bound));
                            }
                            Ok(None) => assert!(end - start + bytes.len() > bound.expect("a bound")),
                            Err(ShmError::TooLarge) => assert!(bytes.len() > bound.expect("a bound")),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    3 => {
                        buffer.delete_to(position as u64).expect("deleted");
                        start = start.max(position.min(model.len()));
                    }
                    4 => {
                        let to = position + random.below(500) as usize;
                        let part = buffer.sub(position as u64..to as u64).expect("asked");
                        let there = position >= start && to <= model.len();
                        assert_eq!(part.as_deref(), there.then(|| &model[position..to]));
                    }
                    _ => {
                        let mut bytes = vec![0; random.below(600) as usize];
                        let there = (start..=model.len()).contains(&position);
                        let read = buffer.read(position as u64, &mut bytes).expect("asked");
                        let rest = model.get(position..).unwrap_or(&[]);
                        assert_eq!(read, there.then(|| rest.len().min(bytes.len())));
                        if let Some(read) = read {
                            assert_eq!(bytes[..read], rest[..read]);
                        }
                    }
                }
                assert_eq!(buffer.range().expect("a range"), start as u64..model.len() as u64);
            }
            assert_eq!(buffer.contents().expect("contents"), model[start..]);
            buffer.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn references_do_what_variables_do() {
    guarded("references_do_what_variables_do", || {
        seeds(8, |mut random| {
            let pool = Pool::create().expect("a pool");
            let value: Reference<[u8; 11], u32> = Reference::create(&pool, [0; 11], 0).expect("a reference");
            let bytes: BytesReference<u32> = BytesReference::create(&pool, 0).expect("a reference");
            let (mut one, mut other) = ([0; 11], None);
            for step in 0..2000_u32 {
                let (new, text) = ([random.below(4) as u8; 11], some_bytes(&mut random, 4));
                let text = (random.below(4) != 0).then_some(text);
                match random.below(4) {
                    0 => {
                        let expected = if one == new { Ok(()) } else { Err(one) };
                        assert_eq!(value.compare_and_set(new, [1; 11]).expect("asked"), expected);
                        one = if one == new { [1; 11] } else { one };
                        let done = bytes.compare_and_set(text.as_deref(), Some(b"one")).expect("asked");
                        match done {
                            Ok(()) => {
                                assert_eq!(text, other);
                                other = Some(b"one".to_vec());
                            }
                            Err(there) => {
                                assert_ne!(text, other);
                                assert_eq!(owned(there), other);
                            }
                        }
                    }
                    1 => {
                        assert_eq!(value.swap(new).expect("swapped"), one);
                        assert_eq!(owned(bytes.swap(text.as_deref()).expect("swapped")), other);
                        (one, other) = (new, text);
                    }
                    2 => {
                        one = one.map(|byte| byte ^ 1);
                        assert_eq!(value.update(|old| old.map(|byte| byte ^ 1)).expect("updated"), one);
                        assert_eq!(value.update_header(|_| step).expect("updated"), step);
                        assert_eq!(bytes.update_header(|_| step).expect("updated"), step);
                    }
                    _ => {
                        value.set(new).expect("set");
                        bytes.set(text.as_deref()).expect("set");
                        (one, other) = (new, text);
                    }
                }
                assert_eq!(value.get().expect("got"), one);
                assert_eq!(owned(bytes.get().expect("got")), other);
            }
            assert_eq!(value.header().expect("a header"), bytes.header().expect("a header"));
            value.destroy().expect("destroyed");
            bytes.destroy().expect("destroyed");
            nothing_is_left(&pool);
        });
    });
}

#[test]
fn who_iterates_a_map_sees_what_stays_once_while_tables_grow() {
    guarded("who_iterates_a_map_sees_what_stays_once_while_tables_grow", || {
        let pool = Pool::create().expect("a pool");
        let map: Map<u64, [u64; 2]> = Map::create(&pool, ()).expect("a map");
        (0..2000).for_each(|n| assert!(map.insert(n, [n; 2]).expect("inserted").is_none()));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut n = 2000;
                while !done.load(Ordering::Relaxed) {
                    map.insert(n, [n; 2]).expect("inserted");
                    map.insert(n % 2000, [n; 2]).expect("inserted");
                    n += 1;
                    if n.is_multiple_of(20_000) {
                        (2000..n).for_each(|n| assert!(map.remove(&n).expect("removed").is_some()));
                        n = 2000;
                    }
                }
            });
            for _ in 0..50 {
                let mut seen = vec![0; 2000];
                for item in map.iter() {
                    let (key, [a, b]) = item.expect("an item");
                    assert!(a == b && (a == key || a % 2000 == key), "torn, or another key's");
                    if key < 2000 {
                        seen[key as usize] += 1;
                    }
                }
                assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
                // What stays is found at any moment.
                (0..2000).for_each(|n| assert!(map.contains(&n).expect("asked")));
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}
