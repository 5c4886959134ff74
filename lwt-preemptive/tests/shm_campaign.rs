//! The campaign: processes that work on every structure are killed at random moments, and after each kill the
//! structures are what they have to be. At the end nothing is left in the pool.
//!
//! `LWT_SHM_KILLS` sets the number of kills, `LWT_SEED` repeats one run's choices.

mod shm_common;

use std::time::Duration;

use lwt_preemptive::shm::{
    Array, Barrier, Buffer, BytesMap, BytesQueue, BytesReference, Condition, LockError, LockResult, Mailbox,
    Map, Matrix, Mutex, MutexGuard, Once, Pool, Queue, Reference, RwLock, Semaphore, ShmError,
};
use shm_common::{Random, Worker, role};

const NAME: &str = "killed_processes_leave_every_structure_whole";

/// All structures of the campaign.
struct All {
    mutex: Mutex<[u64; 4]>,
    bounded: Queue<[u64; 3]>,
    unbounded: Queue<[u64; 3]>,
    map: Map<u64, [u64; 2], [u64; 2]>,
    reference: Reference<[u64; 8]>,
    bytes: BytesReference,
    array: Array<[u64; 3]>,
    matrix: Matrix<u32>,
    wide: Matrix<[u64; 2]>,
    buffer: Buffer,
    mailbox: Mailbox,
    semaphore: Semaphore,
    rwlock: RwLock<[u64; 4]>,
    once: Once<[u64; 3]>,
    barrier: Barrier,
    condition: Condition,
    words: BytesMap,
    lines: BytesQueue,
    /// How many operations have been made.
    done: Reference<u64>,
}

const ROWS: usize = 5;
const PERMITS: u32 = 3;
const RECORD: u64 = 24;
const MOMENT: Duration = Duration::from_micros(50);

fn triple(n: u64) -> [u64; 3] {
    [n, n.rotate_left(17), !n]
}

impl All {
    fn create(pool: &Pool) -> All {
        let all = All {
            mutex: Mutex::create(pool, [0; 4]).expect("a mutex"),
            bounded: Queue::create(pool, Some(10), ()).expect("a queue"),
            unbounded: Queue::create(pool, None, ()).expect("a queue"),
            map: Map::create(pool, [0; 2]).expect("a map"),
            reference: Reference::create(pool, [0; 8], ()).expect("a reference"),
            bytes: BytesReference::create(pool, ()).expect("a reference"),
            array: Array::create(pool, 3, triple(0), ()).expect("an array"),
            matrix: Matrix::create(pool, ROWS, 7, 0, ()).expect("a matrix"),
            wide: Matrix::create(pool, ROWS, 7, [0; 2], ()).expect("a matrix"),
            buffer: Buffer::create(pool, None, ()).expect("a buffer"),
            mailbox: Mailbox::create(pool, 1000).expect("a box"),
            semaphore: Semaphore::create(pool, PERMITS).expect("a semaphore"),
            rwlock: RwLock::create(pool, [0; 4]).expect("a lock"),
            once: Once::create(pool).expect("a value"),
            barrier: Barrier::create(pool, 2).expect("a barrier"),
            condition: Condition::create(pool).expect("a condition"),
            words: BytesMap::create(pool, ()).expect("a map"),
            lines: BytesQueue::create(pool, Some(40), ()).expect("a queue"),
            done: Reference::create(pool, 0, ()).expect("a reference"),
        };
        let places = [
            all.mutex.place(),
            all.bounded.place(),
            all.unbounded.place(),
            all.map.place(),
            all.reference.place(),
            all.bytes.place(),
            all.array.place(),
            all.matrix.place(),
            all.wide.place(),
            all.buffer.place(),
            all.mailbox.place(),
            all.semaphore.place(),
            all.rwlock.place(),
            all.once.place(),
            all.barrier.place(),
            all.condition.place(),
            all.words.place(),
            all.lines.place(),
            all.done.place(),
        ];
        for (index, place) in places.into_iter().enumerate() {
            pool.publish(&index.to_string(), place).expect("published");
        }
        all
    }

    fn open(pool: &Pool) -> All {
        let mut index = 0;
        let mut place = || {
            index += 1;
            pool.find(&(index - 1).to_string()).expect("there")
        };
        All {
            mutex: Mutex::open(pool, place()).expect("a mutex"),
            bounded: Queue::open(pool, place()).expect("a queue"),
            unbounded: Queue::open(pool, place()).expect("a queue"),
            map: Map::open(pool, place()).expect("a map"),
            reference: Reference::open(pool, place()).expect("a reference"),
            bytes: BytesReference::open(pool, place()).expect("a reference"),
            array: Array::open(pool, place()).expect("an array"),
            matrix: Matrix::open(pool, place()).expect("a matrix"),
            wide: Matrix::open(pool, place()).expect("a matrix"),
            buffer: Buffer::open(pool, place()).expect("a buffer"),
            mailbox: Mailbox::open(pool, place()).expect("a box"),
            semaphore: Semaphore::open(pool, place()).expect("a semaphore"),
            rwlock: RwLock::open(pool, place()).expect("a lock"),
            once: Once::open(pool, place()).expect("a value"),
            barrier: Barrier::open(pool, place()).expect("a barrier"),
            condition: Condition::open(pool, place()).expect("a condition"),
            words: BytesMap::open(pool, place()).expect("a map"),
            lines: BytesQueue::open(pool, place()).expect("a queue"),
            done: Reference::open(pool, place()).expect("a reference"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, [u64; 4]> {
        recovered(self.mutex.lock())
    }

    /// Comes to the barrier for a moment; whether another one had come.
    fn meet(&self) -> bool {
        match self.barrier.wait_timeout(MOMENT) {
            Ok(_) => true,
            Err(ShmError::TimedOut) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// One operation.
    fn act(&self, random: &mut Random) {
        let n = random.below(1 << 40);
        match random.below(35) {
            0 => self.lock().iter_mut().for_each(|word| *word += 1),
            1 => drop(self.bounded.try_push(triple(n)).expect("pushed")),
            2 => check_triple(self.bounded.try_pop().expect("popped")),
            3 => drop(self.unbounded.try_push(triple(n)).expect("pushed")),
            4 if random.below(50) == 0 => drop(self.unbounded.clear().expect("cleared")),
            4 => check_triple(self.unbounded.try_pop().expect("popped")),
            5 | 6 => {
                let key = n % 3000;
                self.map.insert(key, [n, n ^ key]).expect("inserted");
            }
            7 => drop(self.map.remove(&(n % 3000)).expect("removed")),
            8 => self.check_key(n % 3000),
            9 if random.below(200) == 0 => self.map.clear().expect("cleared"),
            9 => drop(self.map.update_header(|[a, b]| [a + 1, b + 1]).expect("a header")),
            10 => drop(self.reference.swap([n; 8]).expect("swapped")),
            11 => {
                let bytes = vec![n as u8; n as usize % 5000];
                self.bytes.set((!n.is_multiple_of(7)).then_some(&bytes)).expect("set");
            }
            12 => self.check_bytes(),
            13 => {
                let len = self.array.len().expect("a length");
                self.array.set(n as usize % len, triple(n)).expect("set");
                if len < 2000 {
                    self.array.grow(len + n as usize % 10, triple(n)).expect("grown");
                }
            }
            14 => {
                self.matrix.set_row(n as usize % ROWS, &[n as u32 % 256 * 0x0101_0101; 7]).expect("set");
                self.wide.set(n as usize % ROWS, n as usize % 7, [n; 2]).expect("set");
            }
            15 => {
                let record = triple(n).map(u64::to_ne_bytes).concat();
                self.buffer.add(&record).expect("added");
            }
            16 => {
                let range = self.buffer.range().expect("a range");
                if range.end - range.start > 2000 {
                    self.buffer.delete_to(range.start + RECORD * (n % 90)).expect("deleted");
                }
            }
            17 => drop(self.mailbox.try_send(&vec![n as u8; n as usize % 200]).expect("sent")),
            18 => {
                if let Ok(receiver) = self.mailbox.receiver() {
                    while let Some(message) = receiver.try_receive().expect("received") {
                        assert!(message.iter().all(|byte| *byte == message[0]));
                    }
                }
            }
            19 | 20 => drop(self.words.insert(&text(n % 1000), &text(n)).expect("inserted")),
            21 if random.below(300) == 0 => self.words.clear().expect("cleared"),
            21 => drop(self.words.remove(&text(n % 1000)).expect("removed")),
            22 => {
                if let Some(value) = self.words.get(&text(n % 1000)).expect("got") {
                    check_text(&value);
                }
            }
            23 => drop(self.lines.try_push(&text(n)).expect("pushed")),
            24 => {
                if let Some(line) = self.lines.try_pop().expect("popped") {
                    check_text(&line);
                }
            }
            25 => {
                let mut guard = self.rwlock.write().expect("locked");
                guard.iter_mut().for_each(|word| *word += 1);
                guard.clear_flag();
            }
            26 => check_same(&self.rwlock.read().expect("locked")),
            27 => check_triple(Some(self.once.get_or_make(|| triple(n)).expect("made"))),
            28 => drop(self.meet()),
            29 if n.is_multiple_of(2) => self.condition.notify(),
            29 => match self.condition.wait_while_timeout(self.lock(), |_| true, MOMENT) {
                Ok((guard, late)) => assert!(late && guard[0] == guard[3]),
                Err(error) => check_same(&recovered(Err(error))),
            },
            30 => {
                let there = self.reference.get().expect("got");
                let _ = self.reference.compare_and_set(there, [n; 8]).expect("asked");
                self.reference.update(|old| old.map(|word| word ^ 1)).expect("updated");
            }
            31 => {
                let there = self.bytes.get().expect("got");
                let new = vec![n as u8; n as usize % 300];
                drop(self.bytes.compare_and_set(there.as_deref(), Some(&new)).expect("asked"));
            }
            32 => {
                let (key, word) = (n % 3000, text(n % 1000));
                let mut entry = self.map.entry(key).expect("an entry");
                entry
                    .and_modify(|[a, b]| [b, a])
                    .and_then(|entry| entry.or_insert([n, n ^ key]))
                    .expect("set");
                drop(entry);
                let mut entry = self.words.entry(&word).expect("an entry");
                let there = entry.and_modify(|_| text(n)).and_then(|entry| entry.or_insert_with(|| text(!n)));
                check_text(&there.expect("set"));
            }
            33 => {
                if let Some(line) = self.lines.peek().expect("asked") {
                    check_text(&line);
                }
                self.wide.set_row(n as usize % ROWS, &[[n; 2]; 7]).expect("set");
                self.wide.update(n as usize % ROWS, 3, |cell| cell.map(|n| n ^ 1)).expect("updated");
            }
            _ => drop(self.semaphore.try_acquire(1 + n as u32 % PERMITS).expect("acquired")),
        }
    }

    fn check_key(&self, key: u64) {
        if let Some([a, b]) = self.map.get(&key).expect("got") {
            assert_eq!(a ^ b, key);
        }
    }

    fn check_bytes(&self) {
        if let Some(bytes) = self.bytes.get().expect("got") {
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "torn bytes");
        }
    }

    /// What has to be true at any moment, even while others work.
    fn check(&self) {
        check_same(&self.lock());
        check_same(&self.rwlock.get().expect("a value"));
        check_triple(self.once.get().expect("a value"));
        for queue in [&self.bounded, &self.unbounded] {
            queue.snapshot().expect("a snapshot").into_iter().for_each(|found| check_triple(Some(found)));
        }
        assert!(self.bounded.len().expect("a length") <= 10);
        for item in self.map.iter() {
            let (key, [a, b]) = item.expect("an item");
            assert_eq!(a ^ b, key);
        }
        let [a, b] = self.map.header().expect("a header");
        assert_eq!(a, b);
        let value = self.reference.get().expect("a value");
        assert_eq!(value, [value[0]; 8]);
        self.check_bytes();
        self.array.to_vec().expect("elements").into_iter().for_each(|found| check_triple(Some(found)));
        for row in 0..ROWS {
            for n in self.matrix.row(row).expect("a row").expect("there") {
                assert_eq!(n, (n & 0xff) * 0x0101_0101, "torn numbers");
            }
            assert!(self.wide.row(row).expect("a row").expect("there").iter().all(|[a, b]| a == b));
        }
        for item in self.words.iter() {
            let item = item.expect("an item");
            check_text(item.key());
            check_text(item.value());
        }
        self.lines.snapshot().expect("a snapshot").iter().for_each(|line| check_text(line));
        let bytes = self.buffer.contents().expect("contents");
        assert_eq!(bytes.len() as u64 % RECORD, 0);
        for record in bytes.as_chunks::<24>().0 {
            let words = record.as_chunks::<8>().0;
            check_triple(Some([0, 1, 2].map(|at| u64::from_ne_bytes(words[at]))));
        }
    }

    /// What is true when nobody else works.
    fn check_at_rest(&self) {
        self.check();
        let mut keys: Vec<u64> = self.map.iter().map(|item| item.expect("an item").0).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count, "a key is there once");
        for key in 0..3000 {
            let there = self.map.contains(&key).expect("asked");
            assert_eq!(there, keys.binary_search(&key).is_ok(), "what can be found can be seen");
            drop(self.map.entry(key).expect("no lock is left"));
        }
        assert_eq!(self.map.len().expect("a length"), count);
        let words: Vec<Vec<u8>> =
            self.words.iter().map(|item| item.expect("an item").key().to_vec()).collect();
        for n in 0..1000 {
            let there = self.words.contains(&text(n)).expect("asked");
            assert_eq!(there, words.contains(&text(n)), "what can be found can be seen");
            drop(self.words.entry(&text(n)).expect("no lock is left"));
        }
        assert_eq!(self.words.len().expect("a length"), words.len());
        assert_eq!(self.lines.len().expect("a length"), self.lines.snapshot().expect("a snapshot").len());
        assert_eq!(self.semaphore.available().expect("a number"), u64::from(PERMITS), "all permits are back");
        assert!(self.rwlock.try_write().expect("asked").is_some(), "no reader and no writer is left");
        // One that died there counts; then nobody is there.
        self.meet();
        assert!(!self.meet(), "the barrier does not count right");
        let receiver = self.mailbox.receiver().expect("no other receiver lives");
        while let Some(message) = receiver.try_receive().expect("received") {
            assert!(message.iter().all(|byte| *byte == message[0]));
        }
        assert!(
            self.mailbox.try_send(&vec![3; self.mailbox.longest()]).expect("sent"),
            "it is all free again"
        );
        receiver.receive().expect("received");
    }

    fn destroy(self) {
        self.mutex.destroy().expect("destroyed");
        self.bounded.destroy().expect("destroyed");
        self.unbounded.destroy().expect("destroyed");
        self.map.destroy().expect("destroyed");
        self.reference.destroy().expect("destroyed");
        self.bytes.destroy().expect("destroyed");
        self.array.destroy().expect("destroyed");
        self.matrix.destroy().expect("destroyed");
        self.wide.destroy().expect("destroyed");
        self.buffer.destroy().expect("destroyed");
        self.mailbox.destroy().expect("destroyed");
        self.semaphore.destroy().expect("destroyed");
        self.rwlock.destroy().expect("destroyed");
        self.once.destroy().expect("destroyed");
        self.barrier.destroy().expect("destroyed");
        self.condition.destroy().expect("destroyed");
        self.words.destroy().expect("destroyed");
        self.lines.destroy().expect("destroyed");
        self.done.destroy().expect("destroyed");
    }
}

fn recovered<'a>(locked: LockResult<MutexGuard<'a, [u64; 4]>>) -> MutexGuard<'a, [u64; 4]> {
    match locked {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(died)) => died.recover(),
        Err(error) => panic!("{error}"),
    }
}

fn check_same(words: &[u64; 4]) {
    assert_eq!(*words, [words[0]; 4], "torn words");
}

fn check_triple(found: Option<[u64; 3]>) {
    if let Some(found) = found {
        assert_eq!(found, triple(found[0]), "torn value");
    }
}

/// Bytes that tell whether they are whole.
fn text(n: u64) -> Vec<u8> {
    let mut text = vec![n as u8; 9 + n as usize % 200];
    text[..8].copy_from_slice(&n.to_ne_bytes());
    text
}

fn check_text(bytes: &[u8]) {
    let n = u64::from_ne_bytes(*bytes.first_chunk().expect("eight bytes"));
    assert_eq!(bytes, text(n), "torn bytes");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn killed_processes_leave_every_structure_whole() {
    if let Some((seed, pool)) = role() {
        let all = All::open(&pool);
        let mut random = Random::new(seed.parse().expect("a number"));
        loop {
            for _ in 0..10 {
                all.act(&mut random);
            }
            all.done.update(|done| done + 10).expect("counted");
            if random.below(100) == 0 {
                all.check();
            }
        }
    }
    let kills = number("LWT_SHM_KILLS", 40);
    let seed = number("LWT_SEED", u64::from(std::process::id()) * 7919);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut campaign = move || {
        let pool = Pool::create().expect("a pool");
        let all = All::create(&pool);
        let start = |random: &mut Random| Worker::start(NAME, &random.below(1 << 50).to_string(), &pool);
        let mut workers: Vec<Worker> = (0..3).map(|_| start(&mut random)).collect();
        for kill in 0..kills {
            // They work before one is killed.
            let goal = all.done.get().expect("a count") + 100 + random.below(3000);
            shm_common::until(|| {
                let failed = workers.iter_mut().find_map(|worker| (!worker.is_running()).then_some(()));
                assert!(failed.is_none(), "a worker has failed, seed {seed}");
                all.done.get().expect("a count") >= goal
            });
            std::thread::sleep(Duration::from_micros(random.below(300)));
            let victim = random.below(workers.len() as u64) as usize;
            workers.swap_remove(victim).kill();
            all.check();
            if kill % 10 == 9 {
                workers.drain(..).for_each(|mut worker| worker.kill());
                if random.below(2) == 0 {
                    pool.sweep().expect("swept");
                }
                all.check_at_rest();
            }
            while workers.len() < 3 {
                workers.push(start(&mut random));
            }
        }
        workers.drain(..).for_each(|mut worker| worker.kill());
        all.check_at_rest();
        pool.sweep().expect("swept");
        assert_eq!(pool.processes().len(), 1);
        all.destroy();
        let stats = pool.stats();
        assert_eq!((stats.blocks, stats.used, stats.retired), (0, 0, 0), "nothing is left, seed {seed}");
    };
    if kills > 100 { campaign() } else { lwt_unix::entry::guarded(NAME, campaign) }
}
