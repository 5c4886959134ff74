//! The example `pipeline`.

use std::process::Command;

use lwt_tests::program::Program;
use lwt_tests::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn pipeline(bytes: u64, window: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(["--bytes", &bytes.to_string(), "--window", &window.to_string()]);
    command
}

#[test]
fn what_goes_in_comes_out() {
    for (bytes, window) in [(0, 1), (1, 1), (1000, 1), (1 << 20, 4097), (10_000_001, 1 << 20), (5, 1 << 40)] {
        let ended = Program::start(&mut pipeline(bytes, window)).wait();
        assert!(ended.status.success(), "{bytes}, {window}: {}", ended.stderr);
        let (made, taken) = ended.stdout.split_once("; consumed ").expect("both ends");
        let (taken, _speed) = taken.split_once(';').expect("a speed");
        assert_eq!(made, format!("produced {taken}"));
        assert!(taken.starts_with(&format!("{bytes} bytes, CRC ")), "{taken}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_window() {
    let checksum = |window| {
        let ended = Program::start(&mut pipeline(300_007, window)).wait();
        ended.stdout.split_once(';').expect("two ends").0.to_owned()
    };
    let whole = checksum(1 << 20);
    assert!(whole.starts_with("produced 300007 bytes, CRC "), "{whole}");
    assert_eq!([checksum(4001), checksum(131_072), checksum(u64::MAX)], [&*whole; 3]);
}

#[test]
fn if_one_end_dies_the_other_is_stopped() {
    for end in [0, 1] {
        let program = Program::start(&mut pipeline(u64::MAX, 1 << 16));
        until("both ends are there", || program.workers().len() == 2);
        kill(Pid::from_raw(program.workers()[end]), Signal::SIGKILL).expect("it is there");
        let ended = program.wait();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("SIGKILL"), "{}", ended.stderr);
    }
}
