//! Workers send the solutions themselves, those that are the first of their images.

use lwt::list::Parallel;
use lwt::shm::{Mailbox, Receiver, ShmError};
use lwt::{Error, spawn};

use super::super::board;
use super::{all, jobs, take};

/// How many bytes of messages may be under way.
const ROOM: usize = 64 * 1024;
/// How many solutions go into a message.
const BATCH: usize = 64;

pub(crate) async fn run(n: u32, workers: u32) -> Result<u64, Error> {
    let (pool, start) = jobs(n)?;
    let mailbox = Mailbox::create(&pool, ROOM)?;
    pool.publish("mailbox", mailbox.place())?;
    let receiver = mailbox.receiver()?;
    let ended = all((0..workers).map(|_| start.start(search, n)).collect());
    // An empty message is the last one.
    let ended = ended.bind(move |_| mailbox.send_async(Vec::new()));
    // If a worker fails there is no last message.
    let both = Parallel::unbounded().cancel_rest();
    let found = both.map([ended.map(|()| 0), spawn(receive(receiver))], |either| either).await?;
    Ok(found.into_iter().sum())
}

/// How many solutions arrive until the last message.
async fn receive(receiver: Receiver) -> Result<u64, Error> {
    let mut found = 0;
    loop {
        let message = receiver.receive_async().await?;
        if message.is_empty() {
            return Ok(found);
        }
        found += (message.len() / size_of::<u64>()) as u64;
    }
}

/// A worker.
pub(crate) fn search(n: u32) -> Result<(), String> {
    search_all(n).map_err(|error| error.to_string())
}

fn search_all(n: u32) -> Result<(), Error> {
    let (pool, work) = take()?;
    let mailbox = Mailbox::open(&pool, pool.find("mailbox").ok_or(ShmError::BadName)?)?;
    let mut batch = Vec::new();
    for start in work {
        board::solutions(n, start?, &mut |solution| {
            if board::is_first(n, solution) {
                batch.extend(solution.to_le_bytes());
            }
        });
        for message in batch.chunks(BATCH * size_of::<u64>()) {
            mailbox.send(message)?;
        }
        batch.clear();
    }
    Ok(())
}
