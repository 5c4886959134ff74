//! A pool of workers, and a job for each beginning.

use std::time::Duration;

use lwt::Error;
use lwt::worker::pool::{Options, Pool};

use super::super::board::{self, Start};
use super::beginnings;

/// How many jobs are handed in ahead of the results, for each worker.
const AHEAD: usize = 4;
/// After so many workers in a row that could not be had, or have died, it is given up.
const FAILURES: usize = 5;
/// How long workers may take to end that have nothing to do.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn run(n: u32, workers: u32) -> Result<u64, Error> {
    let workers = workers as usize;
    // Counting twice does no harm: a job whose worker dies is done again.
    let pool = Pool::new(Options::new().workers(workers).retry(3).failures(FAILURES))?;
    let jobs = beginnings(n).into_iter().map(move |start| (n, start.rows, start.board));
    let found = pool.map(search, jobs, workers * AHEAD).await?;
    pool.shutdown(PATIENCE).await?;
    Ok(found.into_iter().sum())
}

/// A job: how many solutions begin so.
pub(crate) fn search(n: u32, rows: u32, board: u64) -> u64 {
    board::count(n, Start { rows, board })
}
