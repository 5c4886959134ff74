//! Pools of workers: workers that end, are replaced, recycled and limited; and the end of the pool.

mod worker_common;

use std::time::Duration;

use lwt_core::Error;
use lwt_core::retry::BackOff;
use lwt_preemptive::worker::pool::{Event, Options, Pool, PoolError};
use lwt_preemptive::worker::{self, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::signal::{SIGABRT, SIGKILL};
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

fn main() {
    worker::init(workers![square, pid, aborts, exits, dies_once, hangs, allocates, stays_behind,]);
    worker_common::main(both_ways![
        a_job_that_ends_its_worker,
        a_job_that_may_be_done_again,
        too_many_failures_break_the_pool,
        an_answer_ends_a_row_of_failures,
        recycled,
        limited_memory,
        a_drained_pool_goes_on,
        shut_down,
        a_shutdown_is_bounded,
        the_last_handle,
        the_end_of_the_program,
        a_loop_that_ends,
        killed_while_idle,
    ]);
}
