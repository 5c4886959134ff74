//! The modes with workers. In each of them the work is shared out by beginnings: the first rows of a board.

use lwt::list::Parallel;
use lwt::shm::{Pool, Queue, ShmError};
use lwt::worker::{self, Start, Worker};
use lwt::{Error, Promise};

use super::board::{self, Start as Beginning};

pub(crate) mod mailbox;
pub(crate) mod map;
pub(crate) mod sharded;
pub(crate) mod stages;

pub(crate) const NAMES: [&str; 5] = ["seq", "map", "sharded", "mailbox", "stages"];

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

/// Shared memory with a queue of all there is to do.
fn jobs(n: u32) -> Result<(Pool, Start), Error> {
    let pool = Pool::create()?;
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

/// What all workers say in the end. If one fails the others are stopped: what it was about to do is lost.
fn all<T: 'static>(workers: Vec<Worker<Result<T, String>>>) -> Promise<Vec<T>> {
    Parallel::unbounded()
        .cancel_rest()
        .map(workers, |worker| worker.into_result().bind(|said| said.map_err(Error::msg).into()))
}
