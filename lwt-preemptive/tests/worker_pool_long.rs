//! Pools of workers: long arguments and results, copied and read in place.

mod worker_common;

use lwt_core::Error;
use lwt_preemptive::worker::pool::{Filled, Options, Pool};
use lwt_preemptive::worker::{self, Way};
use lwt_preemptive::workers;

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

fn letters(many: usize) -> String {
    "x".repeat(many)
}

fn main() {
    worker::init(workers![counted, two_counts, many_counts, passed_on, letters]);
    worker_common::main(both_ways![long_results_in_place, many_results_are_held, long_arguments]);
}
