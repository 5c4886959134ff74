//! Pools of workers: workers that end, are replaced, recycled and limited; and the end of the pool.

mod worker_common;

use std::time::Duration;

use lwt_core::Error;
use lwt_core::retry::BackOff;
use lwt_preemptive::worker::pool::{Event, Options, Pool, PoolError};
use lwt_preemptive::worker::{self, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::signal::{SIGABRT, SIGKILL};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use worker_common::{children, exists, failure, until};

fn square(number: u64) -> u64 {
    number * number
}

fn pid() -> u32 {
    std::process::id()
}

fn aborts() -> u32 {
    std::process::abort()
}

#[expect(clippy::disallowed_methods, reason = "what is to be seen")]
fn exits(code: i32) -> u32 {
    std::process::exit(code)
}

/// Ends its worker unless there is a file of this name by now, which it makes.
fn dies_once(name: String) -> u32 {
    if std::fs::File::create_new(name).is_ok() {
        std::process::abort();
    }
    std::process::id()
}

fn hangs() -> u32 {
    worker_common::hang();
    0
}

fn allocates(bytes: usize) -> usize {
    std::hint::black_box(vec![1_u8; bytes]).len()
}

/// Does not let itself be ended but by force.
fn stays_behind() -> u32 {
    std::thread::spawn(|| ());
    lwt_unix::at_exit(|| async {
        worker_common::hang();
        Ok::<_, Error>(())
    });
    let _ = lwt_unix::run(lwt_core::pause());
    std::process::id()
}

fn options(way: Way, workers: usize) -> Options {
    let back_off = BackOff::new(Duration::from_millis(1)).at_most(Duration::from_millis(5));
    Options::new().way(way).workers(workers).back_off(back_off)
}

fn pool_error(error: &Error) -> &PoolError {
    error.downcast_ref().unwrap_or_else(|| panic!("not a pool's error: {error:?}"))
}

async fn a_job_that_ends_its_worker(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1))?;
    let aborted = pool.submit(aborts, ());
    let exited = pool.submit(exits, 7);
    let after = pool.submit(square, 4);
    let error = aborted.await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGABRT, .. }), "{error:?}");
    let error = exited.await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Exit(7)), "{error:?}");
    assert_eq!(after.await?, 16);
    let stats = pool.stats();
    assert_eq!((stats.crashed, stats.started, stats.retried, stats.failed), (2, 3, 0, 2));
    Ok(())
}

async fn a_job_that_may_be_done_again(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2))?;
    let events = pool.events();
    let directory = std::env::temp_dir().join(format!("lwt-again-{}-{way:?}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let name = directory.join("once").to_string_lossy().into_owned();
    let (number, job) = pool.call().retry(1).numbered(dies_once, name);
    job.await?;
    std::fs::remove_dir_all(&directory)?;
    loop {
        if let Event::Retried { job } = events.next().await? {
            assert_eq!(job, number);
            break;
        }
    }
    let error = pool.call().retry(2).submit(aborts, ()).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { .. }));
    assert_eq!(pool.stats().retried, 3);
    Ok(())
}

async fn too_many_failures_break_the_pool(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).failures(3))?;
    let doomed: Vec<_> = (0..3).map(|_| pool.submit(aborts, ())).collect();
    let waits = pool.submit(square, 1);
    for job in doomed {
        assert!(matches!(failure(&job.await.unwrap_err()), WorkerFailure::Signal { .. }));
    }
    let error = waits.await.unwrap_err();
    assert!(matches!(pool_error(&error), PoolError::Broken { failures: 3, .. }), "{error:?}");
    assert!(matches!(pool_error(&pool.submit(square, 1).await.unwrap_err()), PoolError::Broken { .. }));
    pool.room().await?;
    assert_eq!(pool.stats().started, 3);
    pool.shutdown(Duration::ZERO).await
}

async fn an_answer_ends_a_row_of_failures(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).failures(3))?;
    for number in 0..6 {
        pool.submit(aborts, ()).await.unwrap_err();
        assert_eq!(pool.submit(square, number).await?, number * number);
    }
    assert_eq!(pool.stats().crashed, 6);
    Ok(())
}

async fn recycled(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).recycle_after(10))?;
    let jobs: Vec<_> = (0..50).map(|_| pool.submit(pid, ())).collect();
    let mut pids = lwt_core::all(jobs).await?;
    assert!(pids.chunk_by(|one, other| one == other).all(|same| same.len() <= 10), "{pids:?}");
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() >= 5);
    pids.pop();
    pool.shutdown(Duration::from_secs(60)).await?;
    assert!(pool.stats().recycled >= 4);
    assert_eq!((pool.stats().crashed, pool.stats().failed), (0, 0));
    until(|| pids.iter().all(|pid| !exists(*pid as i32))).await;
    Ok(())
}

async fn recycled_and_stays_behind(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).recycle_after(1).grace(Duration::from_millis(10)))?;
    let behind = pool.submit(stays_behind, ()).await? as i32;
    assert_eq!(pool.submit(square, 3).await?, 9);
    until(|| !exists(behind)).await;
    Ok(())
}

async fn no_more_workers_than_asked_for(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2).recycle_after(1))?;
    let jobs: Vec<_> = (0..20).map(|_| pool.submit(naps, 5)).collect();
    let looked = pool.clone();
    let most = lwt_core::spawn(async move {
        let mut most = 0;
        while looked.stats().queued > 0 {
            most = most.max(looked.stats().busy);
            lwt_unix::sleep(Duration::from_millis(1)).await?;
        }
        Ok::<_, Error>(most)
    });
    let mut pids = lwt_core::all(jobs).await?;
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 20, "each has a worker of its own");
    let most = most.await?;
    assert!((1..=2).contains(&most), "{most}");
    Ok(())
}

async fn a_worker_that_writes_rubbish(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).failures(usize::MAX))?;
    for kind in 0..RUBBISH {
        assert_eq!(pool.submit(square, 5).await?, 25);
        let job = pool.submit(writes_rubbish, kind);
        // It rings for nothing.
        until(|| !job.is_pending()).await;
        let error = job.await.unwrap_err();
        let WorkerFailure::Decode(why) = failure(&error) else { panic!("{kind}: {error:?}") };
        assert!(!why.is_empty());
    }
    // Another worker goes on.
    assert_eq!(pool.submit(square, 5).await?, 25);
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running, stats.busy), (0, 0, 0));
    pool.shutdown(Duration::from_secs(60)).await
}

const RUBBISH: u64 = 8;

/// Writes a message of its own into its link, where the next is to be, or other positions; and hangs.
fn writes_rubbish(kind: u64) -> u32 {
    use std::os::unix::fs::FileExt;
    // As `link` has it: the positions of the ring back, and its bytes.
    const LEN: u64 = 128 << 10;
    const END: u64 = 1024;
    const RING: u64 = 8192 + LEN;
    let mut files = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let of_link = |path: &std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|file| file.to_string_lossy().starts_with("/memfd:lwt-link"))
    };
    let path = files.find(of_link).expect("the link's file");
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let write = |at: u64, word: u64| file.write_all_at(&word.to_ne_bytes(), at).unwrap();
    let mut end = [0; 8];
    file.read_exact_at(&mut end, END).unwrap();
    let end = u64::from_ne_bytes(end);
    // It is the worker's second job.
    let frame = |head: u64, id: u64, moved: u64| {
        for (word, value) in (0..).zip([head, id, 0, u64::MAX]) {
            write(RING + (end + 8 * word) % LEN, value);
        }
        write(END, end + moved);
    };
    match kind {
        0 => frame(3, 7, 24),
        1 => frame(6, 1, 24),
        2 => frame(77, 1, 24),
        3 => frame(3, 1, 8),
        4 => frame(3 | 60_000 << 32, 1, 24),
        5 => frame(3 | 1 << 8 | 200 << 16 | 8 << 32, 1, 32),
        6 => frame(3 | 1 << 8 | 8 << 32, 1, 32),
        _ => write(END, u64::MAX),
    }
    worker_common::hang();
    0
}

fn naps(milliseconds: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    std::process::id()
}

/// Sets a limit of this process, until the drop.
struct Limited(Resource, u64, u64);

impl Limited {
    fn to(resource: Resource, limit: u64) -> Limited {
        let (soft, hard) = getrlimit(resource).unwrap();
        setrlimit(resource, limit, hard).unwrap();
        Limited(resource, soft, hard)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(self.0, self.1, self.2).unwrap();
    }
}

async fn no_descriptors_left(way: Way) -> Result<(), Error> {
    let other = Pool::new(options(way, 1))?;
    assert_eq!(other.submit(square, 2).await?, 4);
    for more in (0..16).step_by(3) {
        let open = std::fs::read_dir("/proc/self/fd")?.count() as u64;
        let limited = Limited::to(Resource::RLIMIT_NOFILE, open + more);
        let pool = Pool::new(options(way, 1).failures(4))?;
        if let Err(error) = pool.submit(square, 3).await {
            assert!(matches!(pool_error(&error), PoolError::Broken { failures: 4, .. }), "{error:?}");
        }
        drop(limited);
        pool.shutdown(Duration::from_secs(60)).await?;
    }
    assert_eq!(other.submit(square, 3).await?, 9);
    Ok(())
}

async fn no_long_files(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1))?;
    assert_eq!(pool.submit(measured, vec![1; 100_000]).await?, 100_000);
    let limited = Limited::to(Resource::RLIMIT_FSIZE, 1 << 30);
    // It would take a new segment, or a longer one.
    assert!(pool.submit(measured, vec![1; 1 << 20]).await.is_err());
    assert_eq!(pool.submit(measured, vec![1; 1000]).await?, 1000);
    drop(limited);
    assert_eq!(pool.submit(measured, vec![1; 1 << 20]).await?, 1 << 20);
    assert_eq!(pool.stats().started, 1);
    Ok(())
}

fn measured(bytes: Vec<u8>) -> usize {
    bytes.len()
}

async fn limited_memory(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1).memory(256 << 20))?;
    assert_eq!(pool.submit(allocates, 1 << 20).await?, 1 << 20);
    let error = pool.submit(allocates, 1 << 30).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGABRT, .. }), "{error:?}");
    assert_eq!(pool.submit(allocates, 1 << 20).await?, 1 << 20);
    Ok(())
}

async fn a_drained_pool_goes_on(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2))?;
    let jobs: Vec<_> = (0..100).map(|number| pool.submit(square, number)).collect();
    pool.drain().await?;
    assert!(jobs.iter().all(|job| !job.is_pending()));
    assert_eq!(pool.submit(square, 5).await?, 25);
    Ok(())
}

async fn shut_down(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2))?;
    let jobs: Vec<_> = (0..100).map(|number| pool.submit(square, number)).collect();
    let down = pool.shutdown(Duration::from_secs(60));
    let refused = pool.submit(square, 1).await.unwrap_err();
    assert_eq!(*pool_error(&refused), PoolError::Closed);
    down.await?;
    assert_eq!(lwt_core::all(jobs).await?.len(), 100);
    assert_eq!((pool.stats().workers, pool.stats().failed), (0, 0));
    // Again, and once more by the drop.
    pool.shutdown(Duration::ZERO).await
}

async fn a_shutdown_is_bounded(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2).grace(Duration::from_millis(10)))?;
    let behind = pool.submit(stays_behind, ()).await? as i32;
    let hang = pool.submit(hangs, ());
    let waits: Vec<_> = (0..100).map(|_| pool.submit(hangs, ())).collect();
    until(|| pool.pids().len() == 2).await;
    let pids = pool.pids();
    pool.shutdown(Duration::from_millis(10)).await?;
    assert_eq!(*pool_error(&hang.await.unwrap_err()), PoolError::Closed);
    for job in waits {
        assert_eq!(*pool_error(&job.await.unwrap_err()), PoolError::Closed);
    }
    assert!(pids.iter().all(|pid| !exists(pid.number())) && !exists(behind));
    Ok(())
}

async fn a_shutdown_tells_each_end(way: Way) -> Result<(), Error> {
    for _ in 0..3 {
        let pool = Pool::new(options(way, 4).grace(Duration::from_millis(10)))?;
        until(|| pool.pids().len() == 4).await;
        let jobs: Vec<_> = (0..4).map(|_| pool.submit(hangs, ())).collect();
        let events = pool.events();
        pool.shutdown(Duration::from_millis(10)).await?;
        let (mut ended, mut left) = (0, Vec::new());
        while let Some(event) = events.get().await? {
            match event {
                Event::Ended { .. } => ended += 1,
                Event::Started { .. } => {}
                other => left.push(other),
            }
        }
        assert!(ended == 4 && left.is_empty(), "{ended} {left:?}");
        for job in jobs {
            assert_eq!(job.await.unwrap_err().downcast_ref(), Some(&PoolError::Closed));
        }
    }
    Ok(())
}

async fn the_last_handle(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1))?;
    let pid = pool.submit(pid, ()).await?;
    let jobs: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
    drop(pool.clone());
    drop(pool);
    assert_eq!(lwt_core::all(jobs).await?.len(), 20);
    until(|| !exists(pid as i32)).await;
    Ok(())
}

async fn the_end_of_the_program(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 2).drain(Duration::from_secs(60)))?;
    let job = pool.submit(square, 9);
    lwt_unix::exit_hooks().run().await?;
    assert_eq!(job.await?, 81);
    assert!(pool.pids().is_empty());
    assert!(pool.submit(square, 1).await.is_err());
    Ok(())
}

async fn a_loop_that_ends(way: Way) -> Result<(), Error> {
    let before = children().len();
    let other = std::thread::spawn(move || {
        let kept = lwt_unix::run(async move {
            let pool = Pool::new(options(way, 2))?;
            pool.submit(square, 3).await?;
            until(|| pool.pids().len() == 2).await;
            let hang = pool.submit(hangs, ());
            hang.clone().on_failure(|_| ());
            Ok::<_, Error>((hang, pool))
        });
        drop(kept);
    });
    assert!(other.join().is_ok());
    until(|| children().len() <= before).await;
    Ok(())
}

async fn killed_while_idle(way: Way) -> Result<(), Error> {
    let pool = Pool::new(options(way, 1))?;
    let events = pool.events();
    for number in 0..5 {
        assert_eq!(pool.submit(square, number).await?, number * number);
        until(|| !pool.pids().is_empty()).await;
        let pid = pool.pids()[0].number();
        let killed = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        assert!(killed.is_ok());
        loop {
            if let Event::Ended { pid: Some(ended), failure } = events.next().await? {
                assert_eq!(ended.number(), pid);
                assert!(failure.is_some_and(|failure| failure.contains(&SIGKILL.to_string())));
                break;
            }
        }
    }
    assert_eq!((pool.stats().crashed, pool.stats().failed), (5, 0));
    Ok(())
}

async fn all_are_killed_at_once(way: Way) -> Result<(), Error> {
    let slowly = BackOff::new(Duration::from_millis(300));
    let pool = Pool::new(options(way, 8).failures(6).back_off(slowly))?;
    until(|| pool.pids().len() == 8).await;
    for pid in pool.pids() {
        let pid = nix::unistd::Pid::from_raw(pid.number());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL)?;
    }
    until(|| pool.stats().crashed == 8).await;
    assert_eq!(pool.submit(square, 5).await?, 25);
    until(|| pool.pids().len() == 8).await;
    Ok(())
}

fn main() {
    worker::init(workers![
        square,
        pid,
        aborts,
        exits,
        dies_once,
        hangs,
        allocates,
        stays_behind,
        writes_rubbish,
        measured,
        naps
    ]);
    worker_common::main(both_ways![
        a_job_that_ends_its_worker,
        a_job_that_may_be_done_again,
        too_many_failures_break_the_pool,
        an_answer_ends_a_row_of_failures,
        recycled,
        recycled_and_stays_behind,
        no_more_workers_than_asked_for,
        a_worker_that_writes_rubbish,
        no_descriptors_left,
        no_long_files,
        limited_memory,
        a_drained_pool_goes_on,
        shut_down,
        a_shutdown_is_bounded,
        a_shutdown_tells_each_end,
        the_last_handle,
        the_end_of_the_program,
        a_loop_that_ends,
        killed_while_idle,
        all_are_killed_at_once,
    ]);
}
