//! Workers: what keeps them from being started, and their limits.

mod worker_common;

use std::process::Command;

use lwt_core::Error;
use lwt_preemptive::worker::{self, Step, Way, WorkerFailure};
use lwt_preemptive::workers;
use lwt_unix::signal::SIGABRT;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use worker_common::{by, failure};

fn eat(megabytes: usize) -> usize {
    let mut all = Vec::new();
    for _ in 0..megabytes {
        all.push(vec![1_u8; 1 << 20]);
    }
    all.len()
}

fn niceness() -> i32 {
    // SAFETY: integers only.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// The step that failed, and why.
fn step(error: &Error) -> (Step, Option<i32>) {
    match failure(error) {
        WorkerFailure::Start { step, error } => (*step, error.raw_os_error()),
        other => panic!("{other:?}"),
    }
}

/// Lowers a limit of this process, which runs nothing else meanwhile, until it is dropped.
struct Lowered(Resource, u64, u64);

impl Lowered {
    fn to(resource: Resource, limit: u64) -> Lowered {
        let (soft, hard) = getrlimit(resource).unwrap();
        setrlimit(resource, limit, hard).unwrap();
        Lowered(resource, soft, hard)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        setrlimit(self.0, self.1, self.2).unwrap();
    }
}

async fn no_descriptors(way: Way) -> Result<(), Error> {
    by(way).start(niceness, ()).await?;
    let lowered = Lowered::to(Resource::RLIMIT_NOFILE, 4);
    let worker = by(way).start(niceness, ());
    let passing = by(way).pass("file", std::io::stderr()).start(niceness, ());
    let error = worker.await.unwrap_err();
    drop(lowered);
    assert_eq!(step(&error), (Step::Socket, Some(libc::EMFILE)));
    assert_eq!(step(&passing.await.unwrap_err()), (Step::Descriptor, Some(libc::EMFILE)));
    by(way).start(niceness, ()).await?;
    Ok(())
}

async fn too_little_memory(way: Way) -> Result<(), Error> {
    assert_eq!(by(way).memory(256 << 20).start(eat, 20).await?, 20);
    let error = by(way).memory(64 << 20).start(eat, 200).await.unwrap_err();
    assert!(matches!(failure(&error), WorkerFailure::Signal { signal: SIGABRT, .. }), "{error:?}");
    Ok(())
}

async fn nice(way: Way) -> Result<(), Error> {
    let usual = by(way).start(niceness, ()).await?;
    assert_eq!(by(way).nice(usual + 3).start(niceness, ()).await?, usual + 3);
    Ok(())
}

/// A file that has no room: the argument does not get there.
async fn no_room_for_the_argument(way: Way) -> Result<(), Error> {
    // SAFETY: the signal that the system would send besides is ignored.
    unsafe { nix::sys::signal::signal(nix::sys::signal::SIGXFSZ, nix::sys::signal::SigHandler::SigIgn) }?;
    let lowered = Lowered::to(Resource::RLIMIT_FSIZE, 1 << 20);
    let worker = by(way).start(count, vec![1_u8; 2 << 20]);
    drop(lowered);
    assert_eq!(step(&worker.await.unwrap_err()), (Step::Argument, Some(libc::EFBIG)));
    assert_eq!(by(way).start(count, vec![1_u8; 2 << 20]).await?, 2 << 20);
    Ok(())
}

fn count(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// A result for which the program has no descriptor left.
async fn no_descriptor_for_the_result(way: Way) -> Result<(), Error> {
    let worker = by(way).start(late, 1 << 20);
    worker.messages().next().await?;
    let lowered = Lowered::to(Resource::RLIMIT_NOFILE, 4);
    worker.pass("go", std::io::stderr()).await.unwrap_err();
    worker.signal(lwt_unix::signal::SIGUSR1).unwrap();
    let error = worker.result().await.unwrap_err();
    drop(lowered);
    assert!(
        matches!(failure(&error), WorkerFailure::Decode(text) if text.contains("os error 24")),
        "{error:?}"
    );
    worker.ended().await?;
    Ok(())
}

/// A result for which the program has no memory left.
async fn no_room_for_the_result(way: Way) -> Result<(), Error> {
    let worker = by(way).start(late, 256 << 20);
    worker.messages().next().await?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse()?;
    let lowered = Lowered::to(Resource::RLIMIT_AS, (kilobytes << 10) + (128 << 20));
    worker.signal(lwt_unix::signal::SIGUSR1).unwrap();
    let error = worker.result().await.unwrap_err();
    drop(lowered);
    assert!(
        matches!(failure(&error), WorkerFailure::Decode(text) if text.contains("os error 12")),
        "{error:?}"
    );
    worker.ended().await?;
    Ok(())
}

/// Gives so many bytes, when it gets a signal.
async fn late(size: usize) -> Vec<u8> {
    let signal = lwt_unix::signal::next(lwt_unix::signal::SIGUSR1);
    worker::progress(&()).unwrap();
    signal.await.unwrap();
    vec![1; size]
}

/// Where there were threads before, there is no zygote, and that is no error.
async fn threads_before(way: Way) -> Result<(), Error> {
    if way == Way::Exec {
        let output = Command::new(std::env::current_exe()?).arg(THREADS).output()?;
        assert!(output.status.success(), "{output:?}");
    }
    Ok(())
}

const THREADS: &str = "threads-before";

async fn beside_threads() -> Result<(), Error> {
    assert_eq!(worker::start(count, vec![1; 5]).await?, 5);
    let error = by(Way::Zygote).start(count, vec![]).await.unwrap_err();
    assert_eq!(step(&error).0, Step::Zygote);
    lwt_unix::exit_hooks().run().await
}

fn main() {
    let threads = std::env::args().nth(1).is_some_and(|word| word == THREADS);
    if threads {
        std::thread::spawn(std::thread::park);
    }
    worker::init(workers![eat, niceness, count, late]);
    if threads {
        return lwt_unix::run(beside_threads()).unwrap();
    }
    worker_common::main(both_ways![
        no_descriptors,
        too_little_memory,
        nice,
        no_room_for_the_argument,
        no_descriptor_for_the_result,
        no_room_for_the_result,
        threads_before,
    ]);
}
