//! What the examples with workers have in common: however they end nothing is left of them, a worker that is
//! killed does not leave them hanging, and what is short, or nobody reads, is no surprise to them.

use std::io;
use std::process::{Command, Stdio};

use lwt_tests::program::{Ended, Program, runs};
use lwt_tests::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const CHAMENEOS: &str = env!("CARGO_BIN_EXE_chameneos");
const MANDELBROT: &str = env!("CARGO_BIN_EXE_mandelbrot");
const PIPELINE: &str = env!("CARGO_BIN_EXE_pipeline");
const QUEENS: &str = env!("CARGO_BIN_EXE_queens");

/// Programs that have enough to do, and how many workers each has.
const BUSY: [(&[&str], usize); 7] = [
    (
        &[
            MANDELBROT,
            "--out",
            "/dev/null",
            "--height",
            "100000",
            "--iterations",
            "100000000",
            "--workers",
            "3",
        ],
        3,
    ),
    (&[QUEENS, "--n", "16", "--workers", "3", "--mode", "map"], 3),
    (&[QUEENS, "--n", "16", "--workers", "3", "--mode", "sharded"], 3),
    (&[QUEENS, "--n", "16", "--workers", "3", "--mode", "mailbox"], 3),
    (&[QUEENS, "--n", "16", "--workers", "3", "--mode", "stages"], 3),
    (&[PIPELINE, "--bytes", "18446744073709551615"], 2),
    (&[CHAMENEOS, "--meetings", "18446744073709551615"], 3),
];

/// A program with its arguments.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// A program that begins in a shell which has done something before.
fn after(preparation: &str, words: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{preparation}; exec \"$0\" \"$@\"")]).args(words);
    shell
}

/// The name of a program, as it begins its messages.
fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Starts a program, and waits until its workers are there.
#[track_caller]
fn busy(words: &[&str], workers: usize) -> Program {
    let program = Program::start(&mut command(words));
    until("its workers are there", || program.workers().len() == workers);
    program
}

/// Checks that it has failed, and has said why.
#[track_caller]
fn assert_failed(ended: &Ended, words: &[&str], why: &str) {
    ended.assert_code(1);
    assert!(ended.stderr.contains(&format!("{}: ", name(words[0]))), "{words:?}: {ended:?}");
    assert!(ended.stderr.contains(why), "{words:?}: {ended:?}");
}

#[test]
fn nothing_is_left_of_one_that_a_signal_ends() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        for (words, workers) in BUSY {
            let program = busy(words, workers);
            let children = program.children();
            assert!(children.len() > workers, "the one that workers are copied from");
            program.signal(signal);
            assert!(!program.wait().status.success(), "{words:?}");
            until("its processes have ended", || !children.iter().any(|child| runs(*child)));
        }
    }
}

#[test]
fn a_worker_that_is_killed_is_an_error() {
    // But rows are drawn by others, and so is done what a pool's worker had not begun.
    let others = |words: &[&str]| words[0] == MANDELBROT || words.contains(&"map");
    for (words, workers) in BUSY.into_iter().filter(|(words, _)| !others(words)) {
        for victim in [0, workers - 1] {
            let program = busy(words, workers);
            let children = program.children();
            let victim = Pid::from_raw(program.workers()[victim]);
            kill(victim, Signal::SIGKILL).expect("it is there");
            assert_failed(&program.wait(), words, "SIGKILL");
            until("its processes have ended", || !children.iter().any(|child| runs(*child)));
        }
    }
}

#[test]
fn an_end_of_the_pipeline_that_fails_does_not_leave_the_other_waiting() {
    // The consumer takes nothing, and so the memory comes to its end.
    let words = [PIPELINE, "--bytes", "1000000000000", "--window", "1000000000000"];
    let program = Program::start(&mut after("ulimit -f 16000", &words));
    until("both ends are there", || program.workers().len() == 2);
    let children = program.children();
    kill(Pid::from_raw(program.workers()[1]), Signal::SIGSTOP).expect("it is there");
    assert_failed(&program.wait(), &words, "File too large");
    until("its processes have ended", || !children.iter().any(|child| runs(*child)));
}

/// The same with little to do.
const SHORT: [&[&str]; 7] = [
    &[MANDELBROT, "--out", "/dev/null", "--width", "50", "--height", "50", "--workers", "20"],
    &[QUEENS, "--workers", "20", "--mode", "map"],
    &[QUEENS, "--workers", "20", "--mode", "sharded"],
    &[QUEENS, "--workers", "20", "--mode", "mailbox"],
    &[QUEENS, "--workers", "20", "--mode", "stages"],
    &[PIPELINE, "--bytes", "1000"],
    &[CHAMENEOS, "--meetings", "100"],
];

#[test]
fn too_few_descriptors() {
    // A pool of workers tries for longer than a test may take before it gives up.
    for words in SHORT.into_iter().filter(|words| !words.contains(&"map")) {
        for limit in [5, 9, 13, 17, 21, 25] {
            let program = Program::start(&mut after(&format!("ulimit -n {limit}"), words));
            let ended = program.wait();
            // Some can do with fewer workers than they were to have.
            if !ended.status.success() {
                assert_failed(&ended, words, "");
                assert!(ended.stdout.is_empty() || words[0] == CHAMENEOS, "{words:?}, {limit}: {ended:?}");
            }
            let surprises = ["panicked", "unhandled"];
            assert!(!surprises.iter().any(|surprise| ended.stderr.contains(surprise)), "{limit}: {ended:?}");
        }
    }
}

#[test]
fn too_little_memory() {
    // What is shared has room to grow, in addresses.
    for words in SHORT.into_iter().filter(|words| !words.contains(&"map")) {
        let ended = Program::start(&mut after("ulimit -v 3000000", words)).wait();
        assert_failed(&ended, words, "Cannot allocate memory");
        assert_eq!(ended.stderr.matches("Cannot allocate memory").count(), 1, "{ended:?}");
    }
}

#[test]
fn nobody_reads_what_they_print() {
    let broken = || io::pipe().expect("a pipe").1;
    for words in SHORT.into_iter().filter(|words| words[0] != MANDELBROT) {
        let mut command = command(words);
        command.stdout(broken()).stderr(Stdio::piped());
        let ended = Program::start_as_is(&mut command).wait();
        ended.assert_code(1);
        assert_eq!(ended.stderr, "", "{words:?}");
        // Nor does it matter if nobody reads of a mistake.
        command.arg("rubbish").stderr(broken());
        Program::start_as_is(&mut command).wait().assert_code(2);
    }
}
