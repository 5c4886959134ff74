//! One map for all workers, whose keys are solutions: the images of one solution all make the same entry.

use lwt::Error;
use lwt::shm::{Map, ShmError};

use super::super::board;
use super::{all, jobs, take};

pub(crate) async fn run(n: u32, workers: u32) -> Result<u64, Error> {
    let (pool, start) = jobs(n, workers)?;
    let found: Map<u64, u32> = Map::create(&pool, ())?;
    pool.publish("found", found.place())?;
    all(workers, move || start.start(search, n)).await?;
    Ok(found.len()? as u64)
}

/// A worker.
pub(crate) fn search(n: u32) -> Result<(), String> {
    search_all(n).map_err(|error| error.to_string())
}

fn search_all(n: u32) -> Result<(), Error> {
    let (pool, work) = take()?;
    let found: Map<u64, u32> = Map::open(&pool, pool.find("found").ok_or(ShmError::BadName)?)?;
    for start in work {
        let mut entered = Ok(());
        board::solutions(n, start?, &mut |solution| {
            if entered.is_ok() {
                // How many images have been found is of no interest, that one has is.
                entered = found.insert(board::first(n, solution), 1).map(drop);
            }
        });
        entered?;
    }
    Ok(())
}
