//! Two stages with a bounded queue between them: the first is held back when the second cannot follow.

use lwt::shm::{Queue, ShmError};
use lwt::switch::with_switch;
use lwt::{Error, worker};

use super::super::board;
use super::{all, jobs, take};

/// How many solutions may wait between the stages.
const BOUND: usize = 4096;
/// In the place of a solution: there are no more. No board is this number, since no two rows agree.
const END: u64 = u64::MAX;

pub(crate) async fn run(n: u32, workers: u32) -> Result<u64, Error> {
    let (pool, start) = jobs(n, workers)?;
    let found: Queue<u64> = Queue::create(&pool, Some(BOUND), ())?;
    pool.publish("found", found.place())?;
    let counters = (workers / 3).max(1);
    // If either stage fails the other would wait for it.
    let counted = with_switch(async move |scope| {
        let counter = start.clone();
        let finding = scope.add(all(workers - counters, move || start.start(find, n)))?;
        let counting = scope.add(all(counters, move || counter.start(count, n)))?;
        finding.await?;
        for _ in 0..counters {
            found.push_async(END).await?;
        }
        counting.await
    });
    Ok(counted.await?.into_iter().sum())
}

/// A worker of the first stage.
pub(crate) fn find(n: u32) -> Result<(), String> {
    find_all(n).map_err(|error| error.to_string())
}

fn find_all(n: u32) -> Result<(), Error> {
    let (pool, work) = take()?;
    let found: Queue<u64> = Queue::open(&pool, pool.find("found").ok_or(ShmError::BadName)?)?;
    for start in work {
        let mut pushed = Ok(());
        board::solutions(n, start?, &mut |solution| {
            if pushed.is_ok() {
                pushed = found.push(solution);
            }
        });
        pushed?;
    }
    Ok(())
}

/// A worker of the second stage: how many of the solutions that it took are the first of their images.
pub(crate) fn count(n: u32) -> Result<u64, String> {
    count_all(n).map_err(|error| error.to_string())
}

fn count_all(n: u32) -> Result<u64, Error> {
    let pool = worker::shared(super::MEMORY)?;
    let found: Queue<u64> = Queue::open(&pool, pool.find("found").ok_or(ShmError::BadName)?)?;
    let mut many = 0;
    loop {
        match found.pop()? {
            END => return Ok(many),
            solution => many += u64::from(board::is_first(n, solution)),
        }
    }
}
