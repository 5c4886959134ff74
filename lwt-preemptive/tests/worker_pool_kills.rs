//! Workers of a pool are killed at any moment, and each job is accounted for all the same: answered once, by
//! its result or by what became of its worker, and begun once, unless it may be begun again.
//!
//! `LWT_KILLS` sets how many are killed, `LWT_SEED` the seed.

mod worker_common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use lwt_core::retry::BackOff;
use lwt_core::{Error, Promise};
use lwt_preemptive::shm::{self, Array};
use lwt_preemptive::worker::pool::{OnCancel, Options, Pool};
use lwt_preemptive::worker::{self, Start, Way, WorkerFailure};
use lwt_preemptive::workers;
use worker_common::failure;

/// How many jobs there are.
const JOBS: u64 = 3000;

thread_local! {
    /// In a worker: how often each job was begun.
    static BEGUN: Cell<Option<&'static Array<u64>>> = const { Cell::new(None) };
}

/// Notes that job `number` begins, works a little, and gives an answer that belongs to the question.
fn job(number: u64, mut bytes: Vec<u8>) -> (u64, Vec<u8>) {
    let begun = BEGUN.get().unwrap_or_else(|| {
        let pool = worker::shared("begun").expect("a pool of memory");
        let place = pool.find("begun").expect("published");
        Box::leak(Box::new(Array::open(&pool, place).expect("an array")))
    });
    BEGUN.set(Some(begun));
    let index = number as usize;
    let before = begun.get(index).expect("in the array").expect("there");
    begun.set(index, before + 1).expect("set");
    if number.is_multiple_of(7) {
        std::thread::sleep(Duration::from_micros(number % 300));
    }
    bytes.reverse();
    (number, bytes)
}

/// A generator of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a promise was resolved with, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Answered,
    Died,
    Cancelled,
}

fn bytes(number: u64) -> Vec<u8> {
    // Some go by segments.
    let len = if number.is_multiple_of(50) { 100_000 } else { number as usize % 100 };
    (0..len).map(|at| (at as u64 ^ number) as u8).collect()
}

fn end_of(number: u64, result: &Result<(u64, Vec<u8>), Error>) -> End {
    match result {
        Ok((answered, back)) => {
            assert_eq!(*answered, number, "another job's answer");
            assert!(back.iter().rev().eq(&bytes(number)), "job {number}: other bytes");
            End::Answered
        }
        Err(error) if error.is_canceled() => End::Cancelled,
        Err(error) => {
            let failure = failure(error);
            let expected = matches!(failure, WorkerFailure::Signal { .. });
            assert!(expected, "job {number}: {failure:?}");
            End::Died
        }
    }
}

async fn campaign(way: Way, retry: u32) -> Result<(), Error> {
    let kills = number_of("LWT_KILLS", if way == Way::Zygote { 60 } else { 10 });
    let seed = number_of("LWT_SEED", std::process::id().into()).max(1);
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let memory = shm::Pool::create()?;
    let begun: Array<u64> = Array::create(&memory, JOBS as usize, 0, ())?;
    memory.publish("begun", begun.place())?;
    let options = Options::new()
        .start(Start::new().way(way).share("begun", &memory))
        .workers(3)
        .ahead(8)
        .failures(usize::MAX)
        .on_cancel(OnCancel::RunOut)
        .back_off(BackOff::new(Duration::from_millis(1)).at_most(Duration::from_millis(2)));
    let pool = Pool::new(options)?;
    let ends: Rc<RefCell<BTreeMap<u64, End>>> = Rc::default();
    let mut killed = 0;
    let mut number = 0;
    let mut jobs: Vec<Promise<()>> = Vec::new();
    while killed < kills || number < JOBS {
        if number < JOBS {
            pool.room().await?;
            let promise = pool.call().retry(retry).submit(job, (number, bytes(number)));
            if dice.below(40) == 0 {
                let doomed = promise.canceller();
                let after = Duration::from_micros(dice.below(500));
                lwt_unix::sleep(after).on_success(move |()| doomed.cancel());
            }
            let (this, ends) = (number, Rc::clone(&ends));
            jobs.push(lwt_core::spawn(async move {
                let result = promise.await;
                let before = ends.borrow_mut().insert(this, end_of(this, &result));
                assert_eq!(before, None, "answered twice");
                Ok::<_, Error>(())
            }));
            number += 1;
        } else {
            lwt_unix::sleep(Duration::from_millis(1)).await?;
        }
        let pids = pool.pids();
        if killed < kills && !pids.is_empty() && dice.below(JOBS / kills.min(JOBS)) == 0 {
            let pid = pids[dice.below(pids.len() as u64) as usize].number();
            // It may have ended by now.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            killed += 1;
            lwt_unix::sleep(Duration::from_micros(dice.below(2000))).await?;
        }
    }
    lwt_core::all(jobs).await?;
    pool.shutdown(Duration::from_secs(60)).await?;
    let ends = ends.take();
    assert_eq!(ends.len() as u64, JOBS, "each job has ended");
    for (number, end) in &ends {
        let times = begun.get(*number as usize)?.unwrap_or(0);
        // A worker may die between its claim and the first line of the job.
        let fits = match end {
            End::Answered => (1..=1 + u64::from(retry)).contains(&times),
            End::Died => times <= 1 + u64::from(retry),
            End::Cancelled => times <= 1 + u64::from(retry),
        };
        assert!(fits, "job {number} {end:?}, and was begun {times} times");
        assert!(*end != End::Answered || retry > 0 || times == 1, "job {number} was begun {times} times");
    }
    let stats = pool.stats();
    println!("{stats:?}");
    assert_eq!((stats.workers, stats.queued, stats.running), (0, 0, 0));
    assert!(retry > 0 || stats.retried == 0);
    let died = ends.values().filter(|end| **end == End::Died).count() as u64;
    assert_eq!(died, stats.failed);
    Ok(())
}

async fn kills(way: Way) -> Result<(), Error> {
    campaign(way, 0).await
}

async fn kills_and_retries(way: Way) -> Result<(), Error> {
    campaign(way, 100).await
}

fn main() {
    worker::init(workers![job]);
    worker_common::main(both_ways![kills, kills_and_retries]);
}
