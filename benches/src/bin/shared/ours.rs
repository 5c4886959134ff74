//! This library's side of each row.

use std::hint::black_box;
use std::os::fd::AsFd;

use lwt::shm::{Mailbox, Map, Mutex, Place, Pool, Queue};

use lwt_benches::figures::timed;
use lwt_benches::sides::Outcome;

use super::{KEYS, LENGTH, MESSAGES, fleet, keys};

fn failed(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The same pool, as a child attaches to it.
fn attached(pool: &Pool) -> Pool {
    Pool::attach(pool.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

pub fn lock() -> Outcome {
    let pool = Pool::create().map_err(failed)?;
    let mutex = Mutex::create(&pool, 0_u64).map_err(failed)?;
    timed(20_000_000, |times| {
        for _ in 0..times {
            drop(black_box(&mutex).lock().unwrap());
        }
        Ok(())
    })
}

pub fn queue() -> Outcome {
    let pool = Pool::create().map_err(failed)?;
    let queue: Queue<u64> = Queue::create(&pool, None, ()).map_err(failed)?;
    timed(10_000_000, |times| {
        for number in 0..times {
            queue.push(number).unwrap();
            assert_eq!(queue.try_pop().unwrap(), Some(number));
        }
        Ok(())
    })
}

pub fn mailbox(senders: u64) -> Outcome {
    let pool = Pool::create().map_err(failed)?;
    let mailbox = Mailbox::create(&pool, 256 << 10).map_err(failed)?;
    let each = MESSAGES / senders;
    let place = mailbox.place();
    let send = |words: &fleet::Words, _| {
        let mailbox = Mailbox::open(&attached(&pool), place).unwrap();
        words.work(|| (0..each).for_each(|_| mailbox.send(&[7; LENGTH]).unwrap()));
    };
    let receiver = mailbox.receiver().map_err(failed)?;
    let receive = |words: &fleet::Words| {
        let mut message = Vec::new();
        words.work(|| (0..each * senders).for_each(|_| receiver.receive_into(&mut message, None).unwrap()));
        assert_eq!(message, [7; LENGTH]);
    };
    let time = fleet::time(senders, send, Some(&receive))?;
    Ok(time.wall as f64 / (each * senders) as f64)
}

fn map_of(pool: &Pool, place: Place) -> Map<u64, u64> {
    let pool = attached(pool);
    // Pages are mapped before, as they are in a process that has been running for a while.
    pool.prefault(pool.stats().reserved).unwrap();
    Map::open(&pool, place).unwrap()
}

pub fn map(processes: u64, read: bool) -> Outcome {
    let pool = Pool::create().map_err(failed)?;
    pool.prefault(192 << 20).map_err(failed)?;
    let map: Map<u64, u64> = Map::create(&pool, ()).map_err(failed)?;
    let place = map.place();
    if read {
        (0..processes)
            .flat_map(|index| keys(processes, index, false))
            .try_for_each(|key| map.insert(key, key).map(drop).map_err(failed))?;
    }
    let child = |words: &fleet::Words, index| {
        let map = map_of(&pool, place);
        words.work(|| {
            for key in keys(processes, index, read) {
                match read {
                    true => assert_eq!(map.get(&key).unwrap(), Some(key)),
                    false => drop(map.insert(key, key).unwrap()),
                }
            }
        });
    };
    let time = fleet::time(processes, child, None)?;
    assert_eq!(map.len().map_err(failed)?, KEYS as usize);
    Ok(time.busy as f64 / KEYS as f64)
}
