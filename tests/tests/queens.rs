//! The example `queens`: every mode finds the same, and that is what is known.

use std::process::Command;

use lwt_tests::program::Program;
use lwt_tests::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many solutions there are up to symmetry, from n = 1 on.
const KNOWN: [u32; 10] = [1, 0, 0, 1, 2, 1, 6, 12, 46, 92];

fn queens(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_queens"));
    command.args(arguments);
    command
}

fn finds_what_is_known(mode: &str) {
    for (n, solutions) in (1..).zip(KNOWN) {
        let ended = Program::start(&mut queens(&["--n", &n.to_string(), "--mode", mode])).wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        assert_eq!(ended.stdout, format!("n={n} solutions={solutions}\n"), "{mode}");
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn in_one_process() {
    finds_what_is_known("seq");
}

#[test]
fn by_a_pool() {
    finds_what_is_known("map");
}

#[test]
fn by_a_shared_map() {
    finds_what_is_known("sharded");
}

#[test]
fn by_a_mailbox() {
    finds_what_is_known("mailbox");
}

#[test]
fn by_stages() {
    finds_what_is_known("stages");
}

#[test]
fn for_any_number_of_workers() {
    for mode in ["map", "sharded", "mailbox", "stages"] {
        for workers in ["2", "3", "7"] {
            let mut command = queens(&["--n", "9", "--mode", mode, "--workers", workers]);
            let ended = Program::start(&mut command).wait();
            assert_eq!(ended.stdout, "n=9 solutions=46\n", "{mode}, {workers} workers: {}", ended.stderr);
        }
    }
}

#[test]
fn a_worker_of_the_pool_that_is_killed_loses_nothing() {
    let program = Program::start(&mut queens(&["--n", "12", "--mode", "map", "--workers", "3"]));
    until("the workers are there", || program.workers().len() == 3 || !program.is_alive());
    if let Some(worker) = program.workers().first() {
        // If it has ended by now, nothing is lost either.
        let _ = kill(Pid::from_raw(*worker), Signal::SIGKILL);
    }
    let ended = program.wait();
    assert_eq!(ended.stdout, "n=12 solutions=1787\n", "{}", ended.stderr);
}

#[test]
fn what_it_cannot_do_it_says() {
    for arguments in [
        &["--workers", "1"][..],
        &["--workers", "1001"],
        &["--n", "0"],
        &["--n", "17"],
        &["--n", "x"],
        &["--mode", "fast"],
        &["x"],
    ] {
        let ended = Program::start(&mut queens(arguments)).wait();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(ended.stderr.starts_with("queens: "), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}
