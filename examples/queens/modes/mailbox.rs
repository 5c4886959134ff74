//! Workers send the solutions themselves, those that are the first of their images.

use lwt::Error;
use lwt::shm::{Mailbox, Receiver, ShmError};
use lwt::switch::with_switch;

use super::super::board;
use super::{all, jobs, take};

/// How many bytes of messages may be under way.
const ROOM: usize = 64 * 1024;
/// How many solutions go into a message.
const BATCH: usize = 64;

pub(crate) async fn run(n: u32, workers: u32) -> Result<u64, Error> {
    let (pool, start) = jobs(n, workers)?;
    let mailbox = Mailbox::create(&pool, ROOM)?;
    pool.publish("mailbox", mailbox.place())?;
    let receiver = mailbox.receiver()?;
    // If a worker fails there is no last message.
    let found = with_switch(async move |scope| {
        let ended = scope.add(all(workers, move || start.start(search, n)))?;
        let found = scope.spawn(receive(receiver))?;
        ended.await?;
        mailbox.send_async(Vec::new()).await?;
        found.await
    });
    found.await
}

/// How many solutions arrive until the last message, an empty one.
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
