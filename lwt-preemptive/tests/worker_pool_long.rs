//! Pools of workers: long arguments and results, copied and read in place; and what a fork has of them.

mod worker_common;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use lwt_core::Error;
use lwt_preemptive::worker::pool::{Filled, OnCancel, Options, Pool, PoolError};
use lwt_preemptive::worker::{self, Way};
use lwt_preemptive::workers;
use lwt_unix::process::{CannotFork, Fork, Status, WaitFlags, fork, fork_beside_threads, waitpid};
use worker_common::until;

fn pool(way: Way, workers: usize) -> Pool {
    Pool::new(Options::new().way(way).workers(workers)).expect("a pool")
}

async fn long_results_in_place(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let mut kept = Vec::new();
    for many in [0_usize, 1, 5000, 1_000_000] {
        let numbers = pool.call().in_place(counted, many).await?;
        assert!(numbers.iter().zip(0_u64..).all(|(number, expected)| *number == expected));
        assert_eq!(numbers.len(), many);
        kept.push(numbers);
        let copied = pool.submit(counted, many).await?.into_vec();
        assert_eq!(copied.len(), many);
        assert!(copied.iter().zip(0..).all(|(number, expected)| *number == expected));
        let (before, behind) = pool.submit(two_counts, many).await?;
        let (before, behind) = (before.into_vec(), behind.into_vec());
        assert!(before.len() == many && before.iter().zip(0..).all(|(number, expected)| *number == expected));
        assert!(behind.iter().zip(&before).all(|(after, before)| *after == before + 1));
        assert_eq!(behind.len(), many);
        let told = pool.submit(tells, many).await?.into_vec();
        assert!(told == copied);
        let text = pool.call().in_place(letters, many).await?;
        assert!(text.len() == many && text.chars().all(|letter| letter == 'x'));
    }
    drop(pool);
    for (numbers, many) in kept.iter().zip([0, 1, 5000, 1_000_000]) {
        assert!(numbers.len() == many && numbers.iter().zip(0_u64..).all(|(one, other)| *one == other));
    }
    Ok(())
}

async fn many_results_are_held(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let jobs: Vec<_> = (0..150).map(|_| pool.call().in_place(counted, 5000)).collect();
    let held = lwt_core::all(jobs).await?;
    assert!(held.iter().all(|numbers| numbers.iter().zip(0_u64..).all(|(one, other)| *one == other)));
    assert_eq!(pool.submit(many_counts, 100).await?, 100 * 4999);
    Ok(())
}

/// The last numbers of many that are there at a time, added up.
fn many_counts(many: usize) -> u64 {
    let all: Vec<_> = (0..many).map(|_| counted(5000)).collect();
    all.into_iter().map(|counted| counted.into_vec()[4999]).sum()
}

async fn long_arguments(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    let numbers: Vec<u64> = (0..8 << 20).collect();
    for _ in 0..2 {
        let back = pool.submit(passed_on, Filled::from(numbers.clone())).await?;
        assert!(back.into_vec() == numbers, "64 MiB there and back");
    }
    Ok(())
}

/// A fork reads nothing that is the program's, and disturbs nothing of it.
async fn a_fork(way: Way) -> Result<(), Error> {
    if way == Way::Zygote {
        let output = Command::new(std::env::current_exe()?).arg("be-forked").output()?;
        assert!(output.status.success(), "{output:?}");
    }
    Ok(())
}

async fn fork_beside_a_pool() -> Result<(), Error> {
    let pool = pool(Way::Zygote, 1);
    let held = pool.call().in_place(counted, 100_000).await?;
    // In the child a timer goes on that would kill the worker, and send what is behind the job anew.
    let kill = OnCancel::Kill(Duration::from_millis(20));
    let doomed = pool.call().on_cancel(kill).submit(naps, 3_600_000);
    let jobs: Vec<_> = (0..30).map(|many| pool.submit(counted, 1000 * many)).collect();
    until(|| pool.stats().running > 1).await;
    lwt_unix::sleep(Duration::from_millis(10)).await?;
    doomed.cancel();
    let refused = fork().expect_err("a result is read in place");
    assert_eq!(refused.downcast_ref(), Some(&CannotFork::Lent(1)));
    // SAFETY: there are no other threads, and the child has no reference to the result.
    match unsafe { fork_beside_threads() }? {
        Fork::Child => {
            assert!(catch_unwind(AssertUnwindSafe(|| held[0])).is_err());
            drop(held);
            lwt_unix::sleep(Duration::from_millis(50)).await?;
            let error = pool.submit(counted, 1).await.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&PoolError::Foreign));
            drop((jobs, pool));
        }
        Fork::Parent(child) => {
            // The child's timer comes first.
            naps(100);
            assert_eq!(waitpid(WaitFlags::NONE, child).await?, Some((child, Status::Exited(0))));
            for (many, job) in (0..).zip(jobs) {
                assert!(job.await?.into_vec().into_iter().eq(0..1000 * many));
            }
            for _ in 0..3 {
                assert!(pool.submit(counted, 100_000).await?.into_vec().into_iter().eq(0..100_000));
                assert!(held.iter().zip(0_u64..).all(|(one, other)| *one == other));
            }
            pool.shutdown(Duration::from_secs(60)).await?;
        }
    }
    lwt_unix::exit_hooks().run().await
}

fn naps(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

async fn a_job_that_forks(way: Way) -> Result<(), Error> {
    let pool = pool(way, 1);
    for _ in 0..3 {
        let numbers = pool.call().in_place(forks, 100_000).await?;
        assert!(numbers.iter().zip(0_u64..).all(|(one, other)| *one == other));
    }
    Ok(())
}

/// Counts while its child fills numbers of its own in.
#[expect(clippy::disallowed_methods, reason = "what a forked child may do is what is tested")]
fn forks(many: usize) -> Filled<u64> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let before = counted(many);
    // SAFETY: the child does what a thread that is alone may do.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Child => {
            drop(writer);
            let _ = reader.read(&mut [0]);
            drop(before);
            for _ in 0..3 {
                Filled::new(many, |numbers| numbers.fill(u64::MAX));
            }
            // SAFETY: the call takes a number.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            assert!(before.into_vec().into_iter().eq(0..many as u64));
            let counted = counted(many);
            drop(writer);
            nix::sys::wait::waitpid(child, None).unwrap();
            counted
        }
    }
}

fn passed_on(numbers: Filled<u64>) -> Filled<u64> {
    numbers
}

fn counted(many: usize) -> Filled<u64> {
    Filled::new(many, |numbers| numbers.iter_mut().zip(0..).for_each(|(number, value)| *number = value))
}

fn two_counts(many: usize) -> (Filled<u64>, Filled<u64>) {
    let from = |first| {
        Filled::new(many, |numbers| {
            numbers.iter_mut().zip(first..).for_each(|(number, value)| *number = value)
        })
    };
    (from(0), from(1))
}

/// Tells its numbers before they are its result.
fn tells(many: usize) -> Filled<u64> {
    let numbers = counted(many);
    worker::progress(&numbers).unwrap();
    numbers
}

fn letters(many: usize) -> String {
    "x".repeat(many)
}

fn main() {
    worker::init(workers![counted, two_counts, many_counts, passed_on, tells, letters, naps, forks]);
    if std::env::args().nth(1).is_some_and(|role| role == "be-forked") {
        return lwt_unix::run(fork_beside_a_pool()).unwrap();
    }
    worker_common::main(both_ways![
        long_results_in_place,
        many_results_are_held,
        long_arguments,
        a_fork,
        a_job_that_forks,
    ]);
}
