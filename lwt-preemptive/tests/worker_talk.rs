//! Workers: what they tell while they work, and what is given to them.

mod worker_common;

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};

use lwt_core::Error;
use lwt_preemptive::shm::{Map, Pool, Queue, ShmError};
use lwt_preemptive::worker::{self, Level, Message, Way, WorkerFailure};
use lwt_preemptive::workers;
use worker_common::{by, failure};

/// Tells numbers, and lines between them.
fn counts(to: u64) -> u64 {
    for number in 0..to {
        worker::progress(&number).unwrap();
        worker::log(Level::Notice, format_args!("{number} told")).unwrap();
    }
    to
}

/// Tells that it is there, and reads nothing.
fn idles(milliseconds: u64) -> u64 {
    worker::progress(&()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    1
}

/// Reads what is in the pool, and never ends.
fn pins() {
    let pool = worker::shared("pool").unwrap();
    let _bytes = pool.read(pool.find("bytes").unwrap()).unwrap();
    worker::progress(&()).unwrap();
    loop {
        std::thread::park();
    }
}

fn large(size: u64) {
    worker::progress(&vec![7_u8; size as usize]).unwrap();
    worker::log(Level::Error, "x".repeat(100_000)).unwrap();
}

/// Squares what is in the queue, until that is closed by a zero.
fn squares() -> u64 {
    let pool = worker::shared("pool").unwrap();
    let queue: Queue<u64> = Queue::open(&pool, pool.find("queue").unwrap()).unwrap();
    let map: Map<u64, u64> = Map::open(&pool, pool.find("map").unwrap()).unwrap();
    let mut done = 0;
    loop {
        match queue.pop().unwrap() {
            0 => return done,
            number => drop(map.insert(number, number * number).unwrap()),
        }
        done += 1;
    }
}

/// Takes what is given to it while it works.
fn takes_later() -> (String, bool, bool) {
    worker::progress(&()).unwrap();
    let file = loop {
        match worker::passed("file") {
            Some(file) => break file,
            None => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    };
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text).unwrap();
    let again = worker::passed("file").is_some();
    (text, again, matches!(worker::shared("none"), Err(ShmError::NotAPool)))
}

/// Its descriptors, and what they are of.
fn descriptors() -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers: Vec<i32> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let mut all: Vec<(i32, String)> = numbers
        .into_iter()
        .filter_map(|number| {
            // The directory itself is closed by now.
            let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            Some((number, link.to_str().unwrap().to_owned()))
        })
        .collect();
    all.sort_unstable();
    all
}

/// What signals do, the group, and whether standard input has an end; and that commands are not taken for
/// workers.
fn surroundings() -> (u64, u64, bool, usize) {
    assert!(std::env::vars().all(|(name, _)| name != "LWT_WORKER_OF"));
    let group = nix::unistd::getpgrp() == nix::unistd::getpid();
    let input = std::io::stdin().read(&mut [0; 16]).unwrap();
    (signals("SigBlk:"), signals("SigIgn:"), group, input)
}

/// A set of this process's signals.
fn signals(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

/// A mutex that checks its owner by the number of the thread that the C library has noted.
fn owns_its_locks() -> bool {
    // SAFETY: a mutex of this thread's own, used as it should be.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_settype(&raw mut attributes, libc::PTHREAD_MUTEX_ERRORCHECK);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        let mut mutex: libc::pthread_mutex_t = std::mem::zeroed();
        libc::pthread_mutex_init(&raw mut mutex, &raw const attributes);
        let locked = libc::pthread_mutex_lock(&raw mut mutex);
        let again = libc::pthread_mutex_lock(&raw mut mutex);
        let from = &raw mut mutex as usize;
        let other =
            std::thread::spawn(move || libc::pthread_mutex_unlock(from as *mut libc::pthread_mutex_t));
        let strange = other.join().unwrap();
        let unlocked = libc::pthread_mutex_unlock(&raw mut mutex);
        (locked, again, strange, unlocked) == (0, libc::EDEADLK, libc::EPERM, 0)
            && libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid())
    }
}

/// Writes to the socket itself.
fn rubbish(what: Vec<u8>) -> u64 {
    let socket = descriptors().into_iter().find(|(_, link)| link.starts_with("socket:")).unwrap().0;
    // SAFETY: the worker's own socket, which stays open.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    let socket = socket.try_clone_to_owned().unwrap();
    std::fs::File::from(socket).write_all(&what).unwrap();
    1
}

async fn progress(way: Way) -> Result<(), Error> {
    let worker = by(way).start(counts, 50);
    let messages = worker.messages();
    for expected in 0..50 {
        match messages.next().await? {
            Message::Progress(progress) => {
                assert!(progress.decode::<i64>().is_err());
                assert_eq!(progress.decode::<u64>()?, expected);
            }
            other => panic!("{other:?}"),
        }
        match messages.next().await? {
            Message::Log { level: Level::Notice, text } => assert_eq!(text, format!("{expected} told")),
            other => panic!("{other:?}"),
        }
    }
    assert!(messages.get().await?.is_none());
    assert_eq!(worker.await?, 50);
    Ok(())
}

/// A worker is not held up by a program that does not read, and who reads at last is told.
async fn nobody_reads(way: Way) -> Result<(), Error> {
    let worker = by(way).start(counts, 2000);
    assert_eq!(worker.result().await?, 2000);
    worker.ended().await?;
    let messages = worker.messages();
    let (mut read, mut lost) = (0, 0);
    while let Some(message) = messages.get().await? {
        match message {
            Message::Lost(count) => lost += count,
            _ => read += 1,
        }
    }
    assert_eq!(read + lost, 4000);
    assert!(read >= 256 && lost > 0, "{read} read, {lost} lost");
    Ok(())
}

async fn large_messages(way: Way) -> Result<(), Error> {
    let worker = by(way).start(large, 1 << 20);
    let messages = worker.messages();
    let Message::Progress(bytes) = messages.next().await? else { panic!("no value") };
    assert_eq!(bytes.decode::<Vec<u8>>()?, vec![7; 1 << 20]);
    let Message::Log { level: Level::Error, text } = messages.next().await? else { panic!("no line") };
    assert_eq!(text, "x".repeat(16 << 10));
    worker.await
}

async fn shared_memory(way: Way) -> Result<(), Error> {
    let pool = Pool::create()?;
    let queue: Queue<u64> = Queue::create(&pool, None, ())?;
    let map: Map<u64, u64> = Map::create(&pool, ())?;
    pool.publish("queue", queue.place())?;
    pool.publish("map", map.place())?;
    let start = by(way).share("pool", &pool);
    let all: Vec<_> = (0..3).map(|_| start.start(squares, ())).collect();
    for number in 1..=300 {
        queue.push(number)?;
    }
    for _ in 0..3 {
        queue.push(0)?;
    }
    let mut done = 0;
    for worker in all {
        done += worker.await?;
    }
    assert_eq!(done, 300);
    for number in 1..=300 {
        assert_eq!(map.get(&number)?, Some(number * number));
    }
    Ok(())
}

/// What a worker had when it died is given back before that is told.
async fn shared_with_the_dead(way: Way) -> Result<(), Error> {
    let pool = Pool::create()?;
    let place = pool.store(&[7; 1000])?;
    pool.publish("bytes", place)?;
    let worker = by(way).share("pool", &pool).start(pins, ());
    worker.messages().next().await?;
    pool.free(place)?;
    assert!(pool.stats().retired >= 1000, "somebody reads it");
    worker.kill();
    let error = worker.result().await.expect_err("it was killed");
    assert!(matches!(failure(&error), WorkerFailure::Signal { .. }));
    let left = pool.stats();
    assert_eq!((left.retired, left.processes), (0, 1));
    Ok(())
}

/// A worker that ends with something unread in its socket has given its result all the same.
async fn passed_in_vain(way: Way) -> Result<(), Error> {
    let worker = by(way).start(idles, 50);
    worker.messages().next().await?;
    let pid = worker.pid().await?.number();
    for name in ["one", "two", "three"] {
        // It may have ended by now.
        let _ = worker.pass(name, std::io::stderr()).await;
    }
    // The loop hears nothing until the worker has ended.
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(worker.result().await?, 1);
    Ok(())
}

async fn passed_later(way: Way) -> Result<(), Error> {
    let worker = by(way).start(takes_later, ());
    worker.messages().next().await?;
    let (reader, mut writer) = std::io::pipe()?;
    worker.pass("file", reader).await?;
    writer.write_all(b"later")?;
    drop(writer);
    assert_eq!(worker.result().await?, ("later".to_owned(), false, true));
    worker.ended().await?;
    lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
    assert!(worker.pass("file", std::fs::File::open("/dev/null")?).await.is_err());
    Ok(())
}

/// A worker has its socket, and nothing of the program's, not even what others would inherit.
async fn only_its_own(way: Way) -> Result<(), Error> {
    let (reader, _writer) = std::io::pipe()?;
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let found = by(way).start(descriptors, ()).await?;
    assert_eq!(found[0], (0, "/dev/null".to_owned()));
    let others: Vec<_> = found.iter().filter(|(number, _)| *number > 2).collect();
    // Its own socket, and what the thread has that waits for the program's end.
    let most = if way == Way::Zygote { 1 } else { 3 };
    assert!(others.len() <= most, "{found:?}");
    assert!(
        others.iter().all(|(_, link)| link.starts_with("socket:") || link.contains("pidfd")),
        "{found:?}"
    );
    assert_eq!(found.iter().filter(|(number, _)| *number <= 2).count(), 3);
    Ok(())
}

async fn its_surroundings(way: Way) -> Result<(), Error> {
    let (blocked, ignored, group, input) = by(way).start(surroundings, ()).await?;
    // Rust's start-up code ignores `SIGPIPE` in every program.
    let pipe = 1 << (libc::SIGPIPE - 1);
    // The C library has some for itself, above the usual ones.
    let usual = 0x7fff_ffff;
    // Who ran these tests may have had some ignored, such as SIGHUP.
    let ours = signals("SigIgn:") & !(1 << (libc::SIGTERM - 1));
    let ignored = (ignored | pipe) & usual;
    assert_eq!((blocked, ignored, group, input), (0, (ours | pipe) & usual, true, 0));
    assert!(by(way).start(owns_its_locks, ()).await?);
    Ok(())
}

async fn what_is_no_message(way: Way) -> Result<(), Error> {
    let cut = [6_u8, 0, 1, 2, 3];
    for what in [vec![0], vec![99; 1000], vec![6], vec![6, 1], vec![7, 1, 255, 255, 255, 255], cut.to_vec()] {
        let worker = by(way).start(rubbish, what.clone());
        let error = worker.result().await.expect_err("rubbish");
        assert!(matches!(failure(&error), WorkerFailure::Decode(_)), "{what:?}: {error:?}");
        worker.ended().await?;
    }
    Ok(())
}

fn main() {
    worker::init(workers![
        counts,
        idles,
        large,
        squares,
        pins,
        takes_later,
        descriptors,
        surroundings,
        owns_its_locks,
        rubbish
    ]);
    worker_common::main(both_ways![
        progress,
        nobody_reads,
        large_messages,
        shared_memory,
        shared_with_the_dead,
        passed_in_vain,
        passed_later,
        only_its_own,
        its_surroundings,
        what_is_no_message,
    ]);
}
