//! The modes with workers. In each of them the work is shared out by beginnings: the first rows of a board.

use std::str::FromStr;

use lwt::list::Parallel;
use lwt::shm::{Pool, PoolOptions, Queue, ShmError};
use lwt::worker::{self, Start, Worker};
use lwt::{Error, Promise};

use super::board::{self, Start as Beginning};

pub(crate) mod mailbox;
pub(crate) mod map;
pub(crate) mod sharded;
pub(crate) mod stages;

/// Who computes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Seq,
    Map,
    Sharded,
    Mailbox,
    Stages,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Mode, &'static str> {
        Ok(match name {
            "seq" => Mode::Seq,
            "map" => Mode::Map,
            "sharded" => Mode::Sharded,
            "mailbox" => Mode::Mailbox,
            "stages" => Mode::Stages,
            _ => return Err("it must be seq, map, sharded, mailbox or stages"),
        })
    }
}

lwt::shm_safe! {
    /// A beginning, in a queue.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Job {
        rows: u64,
        board: u64,
    }
}

/// How the shared memory is called in the workers.
const MEMORY: &str = "queens";

/// Shared memory with a queue of all there is to do, for this process and so many workers.
fn jobs(n: u32, workers: u32) -> Result<(Pool, Start), Error> {
    let pool = PoolOptions::new().processes(workers + 1).create()?;
    let jobs: Queue<Job> = Queue::create(&pool, None, ())?;
    for Beginning { rows, board } in beginnings(n) {
        jobs.push(Job { rows: u64::from(rows), board })?;
    }
    pool.publish("jobs", jobs.place())?;
    let start = Start::new().share(MEMORY, &pool);
    Ok((pool, start))
}

fn beginnings(n: u32) -> Vec<Beginning> {
    board::starts(n, 2)
}

/// In a worker: the shared memory, and an iterator over what is left to do.
fn take() -> Result<(Pool, impl Iterator<Item = Result<Beginning, ShmError>>), Error> {
    let pool = worker::shared(MEMORY)?;
    let jobs: Queue<Job> = Queue::open(&pool, pool.find("jobs").ok_or(ShmError::BadName)?)?;
    let take = move || jobs.try_pop().transpose();
    Ok((
        pool,
        std::iter::from_fn(take)
            .map(|job| job.map(|Job { rows, board }| Beginning { rows: rows as u32, board })),
    ))
}

/// What so many workers of a kind say in the end. If one fails the others are stopped, and no more are
/// started: what it was about to do is lost.
fn all<T: 'static>(workers: u32, start: impl Fn() -> Worker<Result<T, String>> + 'static) -> Promise<Vec<T>> {
    let crew = Parallel::unbounded().cancel_rest();
    crew.map(0..workers, move |_| start().into_result().bind(|said| said.map_err(Error::msg).into()))
}
