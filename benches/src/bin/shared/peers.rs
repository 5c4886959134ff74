//! What one would take instead.

use std::path::PathBuf;

use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use ipc_channel::ipc::bytes_channel;
use lwt_benches::iceoryx::Line;
use lwt_benches::process::look;
use lwt_benches::sides::Outcome;

use super::{KEYS, LENGTH, MESSAGES, fleet, keys};

fn failed(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

pub fn ipc_channel(senders: u64) -> Outcome {
    let (sender, receiver) = bytes_channel().map_err(failed)?;
    let each = MESSAGES / senders;
    let send = |words: &fleet::Words, _| {
        words.work(|| (0..each).for_each(|_| sender.send(&[7; LENGTH]).unwrap()));
    };
    let receive = |words: &fleet::Words| {
        words.work(|| {
            for _ in 0..each * senders {
                assert_eq!(receiver.recv().unwrap().len(), LENGTH);
            }
        });
    };
    let time = fleet::time(senders, send, Some(&receive))?;
    Ok(time.wall as f64 / (each * senders) as f64)
}

pub fn iceoryx(senders: u64) -> Outcome {
    let name = format!("lwt-benches/{}", std::process::id());
    let line = || Line::<[u8; LENGTH]>::open(&name, senders as usize, 256).unwrap();
    let each = MESSAGES / senders;
    let send = |words: &fleet::Words, _| {
        let line = line();
        let publisher = line.publisher().unwrap();
        words.work(|| {
            for _ in 0..each {
                publisher.loan_uninit().unwrap().write_payload([7; LENGTH]).send().unwrap();
            }
        });
    };
    let receive = |words: &fleet::Words| {
        let line = line();
        let subscriber = line.subscriber().unwrap();
        words.work(|| {
            for _ in 0..each * senders {
                assert_eq!(look(|| subscriber.receive().unwrap()).len(), LENGTH);
            }
        });
    };
    let time = fleet::time(senders, send, Some(&receive))?;
    Ok(time.wall as f64 / (each * senders) as f64)
}

/// A directory that is removed at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

type Table = Database<U64<heed::byteorder::NativeEndian>, Bytes>;

/// LMDB without waiting for the disk, a thousand operations in a transaction.
pub fn heed(processes: u64, read: bool) -> Outcome {
    const BATCH: usize = 1000;
    let folder = Folder(PathBuf::from(format!("/dev/shm/lwt-benches-{}", std::process::id())));
    std::fs::create_dir(&folder.0).map_err(failed)?;
    let open = || -> (Env, Table) {
        let mut options = EnvOpenOptions::new();
        options.map_size(1 << 30);
        // SAFETY: the files are this measurement's alone, and a crash may damage them.
        let env = unsafe {
            options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP | EnvFlags::NO_META_SYNC);
            options.open(&folder.0).unwrap()
        };
        let mut transaction = env.write_txn().unwrap();
        let table = env.create_database(&mut transaction, None).unwrap();
        transaction.commit().unwrap();
        (env, table)
    };
    let insert = |(env, table): &(Env, Table), keys: &mut dyn Iterator<Item = u64>| {
        let keys: Vec<u64> = keys.collect();
        for batch in keys.chunks(BATCH) {
            let mut transaction = env.write_txn().unwrap();
            batch.iter().for_each(|key| table.put(&mut transaction, key, &key.to_ne_bytes()).unwrap());
            transaction.commit().unwrap();
        }
    };
    let get = |(env, table): &(Env, Table), keys: &mut dyn Iterator<Item = u64>| {
        let keys: Vec<u64> = keys.collect();
        for batch in keys.chunks(BATCH) {
            let transaction = env.read_txn().unwrap();
            for key in batch {
                assert_eq!(table.get(&transaction, key).unwrap(), Some(&key.to_ne_bytes()[..]));
            }
        }
    };
    if read {
        // In a process of its own: the library may not be used across a fork.
        let all = |words: &fleet::Words, _| {
            let opened = open();
            let mut keys = (0..processes).flat_map(|index| keys(processes, index, false));
            words.work(|| insert(&opened, &mut keys));
        };
        fleet::time(1, all, None)?;
    }
    let child = |words: &fleet::Words, index| {
        let opened = open();
        let mut keys = keys(processes, index, read);
        words.work(|| if read { get(&opened, &mut keys) } else { insert(&opened, &mut keys) });
    };
    fleet::time(processes, child, None).map(|time| time.busy as f64 / KEYS as f64)
}
