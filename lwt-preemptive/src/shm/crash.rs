//! For tests: a process that kills itself at a chosen access to shared memory.
//!
//! All accesses go through the `cells` of `memory` and `block`, which ask here first. So a test can let a
//! process die before each of them in turn, and look at what is left.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// How many accesses are left until the death.
#[cfg(test)]
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX / 2);

/// Before each access.
pub(super) fn point() {
    if LEFT.fetch_sub(1, Relaxed) == 0 {
        // SAFETY: integers only.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::process::{Command, ExitStatus, Stdio};

    use super::*;
    use crate::shm::{
        Array, Buffer, BytesMap, BytesQueue, BytesReference, LockError, Mailbox, Map, Matrix, Mutex, Place,
        Pool, Queue, Reference, Semaphore, ShmError,
    };

    const WORKS: &str = "shm::crash::tests::a_death_before_any_access_leaves_all_whole";
    const DESTROYS: &str = "shm::crash::tests::what_a_death_left_of_a_destruction_is_destroyed_by_another";
    const ROLE: &str = "LWT_SHM_CRASH";

    struct All {
        mutex: Mutex<[u64; 2]>,
        queue: Queue<[u64; 2]>,
        map: Map<u64, [u64; 2]>,
        bytes: BytesReference,
        reference: Reference<[u64; 2]>,
        array: Array<[u64; 2], [u64; 2]>,
        matrix: Matrix<[u64; 2]>,
        buffer: Buffer,
        mailbox: Mailbox,
        semaphore: Semaphore,
        words: BytesMap,
        lines: BytesQueue,
    }

    /// What is done, again and again, until a process gets through it.
    const WORK: [(&str, fn(&All) -> Result<(), ShmError>); 22] = [
        ("mutex", |all| {
            let mut guard = match all.mutex.lock() {
                Err(LockError::OwnerDied(died)) => died.recover(),
                other => other?,
            };
            guard.iter_mut().for_each(|n| *n += 1);
            Ok(())
        }),
        ("push", |all| (0..20).try_for_each(|n| all.queue.push([n, !n]))),
        ("pop", |all| {
            all.queue.push([1, !1])?;
            all.queue.pop().map(drop)
        }),
        ("insert", |all| (0..400).try_for_each(|n| all.map.insert(n, [n, !n]).map(drop))),
        ("set", |all| {
            all.map.insert(7, [7, !7])?;
            all.map.insert(7, [8, !8]).map(drop)
        }),
        ("remove", |all| {
            all.map.insert(7, [7, !7])?;
            all.map.remove(&7).map(drop)
        }),
        ("clear", |all| {
            all.map.insert(7, [7, !7])?;
            all.map.clear()
        }),
        ("iterate", |all| {
            all.map.insert(7, [7, !7])?;
            all.map.iter().try_for_each(|item| item.map(drop))
        }),
        ("entry", |all| {
            all.map.entry(7)?.and_modify(|[n, _]| [n + 1, !(n + 1)])?.or_insert([7, !7])?;
            all.words.entry(&text(7))?.and_modify(<[u8]>::to_vec)?.or_insert(&text(!7)).map(drop)
        }),
        ("bytes", |all| {
            all.bytes.set(Some(&[1; 100]))?;
            let read = all.bytes.get()?;
            all.bytes.set(Some(&[2; 100]))?;
            drop(read);
            all.bytes.set(None)
        }),
        ("compare", |all| {
            all.bytes.set(Some(&[1; 100]))?;
            drop(all.bytes.compare_and_set(None, Some(&[3; 100]))?);
            all.bytes.compare_and_set(Some(&[1; 100]), Some(&[2; 100])).map(drop)
        }),
        ("reference", |all| all.reference.update(|[n, _]| [n + 1, !(n + 1)]).map(drop)),
        ("array", |all| {
            let len = all.array.len()?;
            all.array.grow(len + 70, [3, !3])?;
            all.array.set(len, [4, !4]).map(drop)
        }),
        ("header", |all| all.array.update_header(|[n, _]| [n + 1, !(n + 1)]).map(drop)),
        ("matrix", |all| {
            all.matrix.set(0, 1, [5, !5])?;
            all.matrix.update(0, 1, |[n, _]| [n + 1, !(n + 1)])?;
            all.matrix.set_row(1, &[[6, !6]; 3]).map(drop)
        }),
        ("buffer", |all| {
            all.buffer.add(&[9; 3000])?;
            let range = all.buffer.range()?;
            all.buffer.delete_to(range.end.saturating_sub(9000))
        }),
        ("mailbox", |all| {
            all.mailbox.try_send(&[5; 70])?;
            let receiver = all.mailbox.receiver()?;
            while receiver.try_receive()?.is_some() {}
            Ok(())
        }),
        ("semaphore", |all| {
            drop(all.semaphore.acquire(2)?);
            all.semaphore.post(1)?;
            all.semaphore.acquire(1)?.consume()
        }),
        ("words", |all| (0..300).try_for_each(|n| all.words.insert(&text(n), &text(!n)).map(drop))),
        ("word", |all| {
            all.words.insert(&text(7), &text(!7))?;
            let before = all.words.insert(&text(7), &text(!7))?;
            drop(all.words.remove(&text(7))?);
            drop(before);
            all.words.insert(&text(8), &text(!8)).map(drop)
        }),
        ("look", |all| {
            all.words.insert(&text(7), &text(!7))?;
            drop(all.words.get(&text(7))?);
            all.words.iter().try_for_each(|item| item.map(drop))?;
            all.words.clear()
        }),
        ("lines", |all| {
            (0..40).try_for_each(|n| all.lines.push(&text(n)))?;
            drop(all.lines.peek()?);
            (0..38).try_for_each(|_| all.lines.pop().map(drop))
        }),
    ];

    /// Bytes that tell whether they are whole: as many as the number says, and its last byte.
    fn text(n: u64) -> Vec<u8> {
        let mut text = vec![n as u8; 9 + n as usize % 50];
        text[..8].copy_from_slice(&n.to_ne_bytes());
        text
    }

    fn number(bytes: &[u8]) -> u64 {
        let n = u64::from_ne_bytes(*bytes.first_chunk().expect("eight bytes"));
        assert_eq!(bytes, text(n), "torn bytes");
        n
    }

    impl All {
        fn create(pool: &Pool) -> Result<All, ShmError> {
            let all = All {
                mutex: Mutex::create(pool, [0; 2])?,
                queue: Queue::create(pool, None, ())?,
                map: Map::create(pool, ())?,
                bytes: BytesReference::create(pool, ())?,
                reference: Reference::create(pool, [0, !0], ())?,
                array: Array::create(pool, 1, [0, !0], [0, !0])?,
                matrix: Matrix::create(pool, 2, 3, [0, !0], ())?,
                buffer: Buffer::create(pool, None, ())?,
                mailbox: Mailbox::create(pool, 200)?,
                semaphore: Semaphore::create(pool, 3)?,
                words: BytesMap::create(pool, ())?,
                lines: BytesQueue::create(pool, None, ())?,
            };
            let places = [
                all.mutex.place(),
                all.queue.place(),
                all.map.place(),
                all.bytes.place(),
                all.reference.place(),
                all.array.place(),
                all.buffer.place(),
                all.mailbox.place(),
                all.semaphore.place(),
                all.words.place(),
                all.lines.place(),
                all.matrix.place(),
            ];
            for (index, place) in places.into_iter().enumerate() {
                pool.publish(&index.to_string(), place)?;
            }
            Ok(all)
        }

        fn open(pool: &Pool) -> Result<All, ShmError> {
            let place = |index: usize| -> Place { pool.find(&index.to_string()).expect("published") };
            Ok(All {
                mutex: Mutex::open(pool, place(0))?,
                queue: Queue::open(pool, place(1))?,
                map: Map::open(pool, place(2))?,
                bytes: BytesReference::open(pool, place(3))?,
                reference: Reference::open(pool, place(4))?,
                array: Array::open(pool, place(5))?,
                buffer: Buffer::open(pool, place(6))?,
                mailbox: Mailbox::open(pool, place(7))?,
                semaphore: Semaphore::open(pool, place(8))?,
                words: BytesMap::open(pool, place(9))?,
                lines: BytesQueue::open(pool, place(10))?,
                matrix: Matrix::open(pool, place(11))?,
            })
        }

        fn check(&self, pool: &Pool) -> Result<(), ShmError> {
            let whole = |[a, b]: [u64; 2]| assert_eq!(a, !b, "torn");
            let guard = match self.mutex.lock() {
                Err(LockError::OwnerDied(died)) => died.recover(),
                other => other?,
            };
            assert_eq!(guard[0], guard[1]);
            drop(guard);
            self.queue.snapshot()?.into_iter().for_each(whole);
            let keys: Vec<u64> = self
                .map
                .iter()
                .map(|item| {
                    let (key, value) = item.expect("an item");
                    whole(value);
                    key
                })
                .collect();
            for key in &keys {
                assert!(self.map.entry(*key)?.get()?.is_some());
            }
            for key in 0..100 {
                drop(self.map.entry(1000 + key)?);
            }
            assert_eq!(self.map.len()?, keys.len());
            if let Some(bytes) = self.bytes.get()? {
                assert!(bytes.iter().all(|byte| *byte == bytes[0]) && bytes.len() == 100);
            }
            whole(self.reference.get()?);
            self.array.to_vec()?.into_iter().for_each(whole);
            whole(self.array.header()?);
            for row in 0..2 {
                self.matrix.row(row)?.expect("a row").into_iter().for_each(whole);
            }
            let contents = self.buffer.contents()?;
            assert!(contents.len() % 3000 == 0 && contents.iter().all(|byte| *byte == 9));
            let receiver = self.mailbox.receiver()?;
            while let Some(message) = receiver.try_receive()? {
                assert_eq!(message, [5; 70]);
            }
            assert!(self.mailbox.try_send(&[5; 70])?, "there is room again");
            // Permits may be gone if a `consume` was cut short, and be one more if it did not come to it.
            assert!(self.semaphore.available()? >= 3, "what the dead held is back");
            let mut words = Vec::new();
            for item in self.words.iter() {
                let item = item?;
                assert_eq!(number(item.value()), !number(item.key()));
                words.push(item.key().to_vec());
            }
            for word in &words {
                assert!(self.words.entry(word)?.get()?.is_some());
            }
            (0..100).try_for_each(|n| self.words.entry(&text(n)).map(drop))?;
            assert_eq!(self.words.len()?, words.len());
            let lines = self.lines.snapshot()?;
            assert_eq!(lines.len(), self.lines.len()?);
            lines.iter().for_each(|line| assert!(number(line) < 40));
            if lines.len() > 60 {
                // Each death leaves more; a process that pins hundreds at once takes blocks for that.
                self.lines.clear()?;
            }
            pool.sweep()?;
            Ok(())
        }

        fn destroy(self) -> Result<(), ShmError> {
            self.mutex.destroy()?;
            self.queue.destroy()?;
            self.map.destroy()?;
            self.bytes.destroy()?;
            self.reference.destroy()?;
            self.array.destroy()?;
            self.matrix.destroy()?;
            self.buffer.destroy()?;
            self.mailbox.destroy()?;
            self.words.destroy()?;
            self.lines.destroy()?;
            self.semaphore.destroy()
        }
    }

    /// In a child: what it has to do, its pool, and that it will die at the point that it was given.
    fn role() -> Option<(String, Pool, All)> {
        let role = std::env::var(ROLE).ok()?;
        let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
        let pool = Pool::receive(&UnixStream::from(socket)).expect("a pool");
        let all = All::open(&pool).expect("opened");
        let (work, point) = role.split_once(' ').expect("two words");
        LEFT.store(point.parse().expect("a number"), Relaxed);
        Some((work.to_owned(), pool, all))
    }

    /// All points in a row are many: usually some of them, others each time.
    fn stride() -> u64 {
        std::env::var("LWT_SHM_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(101)
    }

    /// Whether a child has died at its point; else it has done all that it had to.
    fn has_died(status: ExitStatus, at: &str) -> bool {
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL);
        assert!(killed || status.success(), "{at}: {status}");
        killed
    }

    fn child(name: &str, role: &str, pool: &Pool) -> ExitStatus {
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([name, "--exact", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        // A child that is gone already shows in its status.
        let _ = pool.send(&ours);
        child.wait().expect("waited for")
    }

    #[test]
    fn a_death_before_any_access_leaves_all_whole() {
        if let Some((work, _pool, all)) = role() {
            let (_, work) = WORK.iter().find(|(name, _)| *name == work).expect("some work");
            work(&all).expect("done");
            LEFT.store(u64::MAX / 2, Relaxed);
            return;
        }
        let stride = stride();
        lwt_unix::entry::guarded(WORKS, move || {
            for (work, _) in WORK {
                let pool = Pool::create().expect("a pool");
                let all = All::create(&pool).expect("made");
                let mut point = u64::from(std::process::id()) % stride;
                loop {
                    let at = format!("{work} {point}");
                    let status = child(WORKS, &at, &pool);
                    if let Err(error) = all.check(&pool) {
                        panic!("{at}: {error}");
                    }
                    if !has_died(status, &at) {
                        break;
                    }
                    point += stride.min(1 + point / 4);
                }
                all.destroy().expect("destroyed");
                let stats = pool.stats();
                assert_eq!((stats.blocks, stats.used, stats.retired), (0, 0, 0), "after {work}");
            }
        });
    }

    #[test]
    fn what_a_death_left_of_a_destruction_is_destroyed_by_another() {
        if let Some((_, _pool, all)) = role() {
            all.destroy().expect("destroyed");
            LEFT.store(u64::MAX / 2, Relaxed);
            return;
        }
        let stride = stride();
        lwt_unix::entry::guarded(DESTROYS, move || {
            let mut point = u64::from(std::process::id()) % stride;
            loop {
                let pool = Pool::create().expect("a pool");
                let all = All::create(&pool).expect("made");
                for n in 0..4 {
                    all.queue.push([n, !n]).expect("pushed");
                    all.map.insert(n, [n, !n]).expect("inserted");
                    all.words.insert(&text(n), &text(!n)).expect("inserted");
                    all.lines.push(&text(n)).expect("pushed");
                }
                all.bytes.set(Some(&[1; 100])).expect("set");
                all.buffer.add(&[9; 3000]).expect("added");
                let at = format!("destroy {point}");
                let status = child(DESTROYS, &at, &pool);
                pool.sweep().expect("swept");
                all.destroy().expect("destroyed");
                let stats = pool.stats();
                assert_eq!((stats.blocks, stats.used, stats.retired), (0, 0, 0), "{at}");
                if !has_died(status, &at) {
                    break;
                }
                point += stride.min(1 + point / 4);
            }
        });
    }
}
