//! The campaign over files: what can fail about them, at every place where it can.

mod campaign;

use std::path::{Path, PathBuf};

use campaign::{ENGINES, under};
use lwt_core::{Error, all, spawn};
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::fd::OsError;
use lwt_unix::{file, sim};

const FILES: usize = 5;
const BYTES: usize = 9000;

fn bytes(name: usize) -> Vec<u8> {
    (0..BYTES).map(|n| (n.wrapping_mul(13) ^ (n >> 7) ^ (name * 91)) as u8).collect()
}

/// Writes a file, reads it back in several ways, and replaces it.
async fn one_file(path: PathBuf, name: usize) -> Result<u64, Error> {
    let sent = bytes(name);
    let mut steps = 20;
    let open = file::OpenOptions::new().read(true).write(true).create_new(true).open(&path).await?;
    let mut rest = &sent[..];
    while !rest.is_empty() {
        rest = &rest[open.write(rest).await?..];
        steps += 2;
    }
    open.sync_data().await?;
    assert_eq!(open.stat().await?.size, BYTES as u64);
    let mut back = Vec::new();
    while back.len() < BYTES {
        let mut part = [0; 700];
        let n = open.pread(&mut part, back.len() as u64).await?;
        assert_ne!(n, 0, "the file is too short");
        back.extend_from_slice(&part[..n]);
        steps += 2;
    }
    assert!(back == sent);
    open.close().await?;
    file::replace(&path, bytes(name + 1)).await?;
    assert!(file::read(&path).await? == bytes(name + 1));
    // By single bytes, if the plan says so; both ways.
    Ok(steps + 2 * steps.max(20))
}

async fn files() -> Result<u64, Error> {
    let work = file::with_temp_dir(|dir| async move {
        let each = (0..FILES).map(|name| spawn(one_file(dir.join(format!("file {name}")), name)));
        let steps: u64 = all(each.collect::<Vec<_>>()).await?.iter().sum();
        assert_eq!(names(&dir).await?.len(), FILES);
        Ok::<u64, Error>(steps + 100)
    });
    work.await
}

/// What is in a directory, as the system tells it.
async fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, Error>>()?;
    names.sort();
    Ok(names)
}

fn survivable(seed: u64) -> Vec<(&'static str, Plan)> {
    let plan = || Plan::seeded(seed);
    vec![
        ("nothing", plan()),
        ("every call is interrupted", plan().with(Rule::any().interrupted(3))),
        ("nothing is at hand", plan().with(Rule::on(["preadv2", "openat2"]).would_block())),
        ("little is read", plan().with(Rule::reads().short(30))),
        ("little is written", plan().with(Rule::writes().short(30))),
        (
            "all of it",
            plan()
                .with(Rule::any().chance(0.3).interrupted(2))
                .with(Rule::on(["preadv2", "openat2"]).chance(0.5).would_block())
                .with(Rule::reads().chance(0.5).short(100))
                .with(Rule::writes().chance(0.5).short(100)),
        ),
    ]
}

#[test]
fn files_lose_nothing() {
    guarded("files_lose_nothing", || {
        for on in ENGINES {
            for seed in sim::seeds(2) {
                for (what, plan) in survivable(seed) {
                    match under(on, seed, &plan, files) {
                        Ok(outcome) => println!("{on:?}, seed {seed}, {what}: {outcome:?}"),
                        Err(error) => panic!("{on:?}, seed {seed}, {what}: {error:?}"),
                    }
                }
            }
        }
    });
}

/// Whatever call of a replacement fails, the file is the old one or the new one, and nothing lies beside it.
/// Says whether a call was left to fail.
async fn replaced(place: u64, number: i32) -> Result<bool, Error> {
    let work = file::with_temp_dir(move |dir| async move {
        let path = dir.join("kept");
        file::write(&path, bytes(1)).await?;
        let faults = Plan::seeded(0).with(Rule::any().nth(place).error(number)).install();
        let done = file::replace(&path, bytes(2)).await;
        let injected = faults.injected() > 0;
        drop(faults);
        let found = file::read(&path).await?;
        match &done {
            Ok(()) => assert!(found == bytes(2), "call {place}: it said that it was done"),
            Err(error) => {
                assert_eq!(OsError::of(error).and_then(OsError::raw_os_error), Some(number), "{error:?}");
                assert!(found == bytes(1) || found == bytes(2), "call {place}: half of a file");
            }
        }
        assert_eq!(names(&dir).await?, ["kept"], "call {place}: {done:?}");
        Ok::<_, Error>(injected)
    });
    work.await
}

#[test]
fn a_replacement_that_fails_anywhere_leaves_the_old_file() {
    guarded("a_replacement_that_fails_anywhere_leaves_the_old_file", || {
        for on in ENGINES {
            for number in [libc::ENOSPC, libc::EIO, libc::EMFILE, libc::ENOMEM] {
                let mut places = 0;
                for place in 1.. {
                    assert!(place < 200, "so many calls for one file");
                    let (tell, told) = std::sync::mpsc::channel();
                    let scenario = move || async move {
                        let _ = tell.send(replaced(place, number).await?);
                        Ok(60)
                    };
                    match under(on, 0, &Plan::seeded(0), scenario) {
                        Ok(_) => {}
                        Err(error) => panic!("{on:?}, call {place}: {error:?}"),
                    }
                    if told.recv() != Ok(true) {
                        break;
                    }
                    places = place;
                }
                assert!(places >= 5, "only {places} calls");
            }
        }
    });
}
