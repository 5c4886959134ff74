//! The example `loops`: one loop inside another, either way round.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use lwt_tests::program::Program;

fn start(arguments: &[&str]) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_loops")).args(arguments))
}

/// Talks to the server while the clock ticks: both get on.
fn talk(outside: &str) {
    let mut program = start(&["--outside", outside, "--ticks", "1000000", "--every", "5"]);
    let line = program.line();
    let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
    let mut streams: Vec<_> = (0..3).map(|_| TcpStream::connect(&address).expect("connect")).collect();
    for round in 1..=20 {
        assert_eq!(program.line().trim(), format!("tick {round}"));
        for stream in &mut streams {
            let message = vec![b'a' + round as u8; round * 100];
            stream.write_all(&message).expect("write");
            let mut back = vec![0; message.len()];
            stream.read_exact(&mut back).expect("read");
            assert_eq!(back, message);
        }
    }
    // No turn of either loop is paid for nothing.
    let (before, ticks) = (program.cpu_time(), 40);
    for round in 21..=20 + ticks {
        assert_eq!(program.line().trim(), format!("tick {round}"));
    }
    assert!(program.cpu_time() - before < Duration::from_millis(5) * ticks / 2, "one of the loops spins");
}

#[test]
fn inside_calloop() {
    talk("calloop");
}

#[test]
fn with_calloop_inside() {
    talk("lwt");
}

#[test]
fn the_last_tick_is_the_end() {
    for outside in ["calloop", "lwt"] {
        let ended = start(&["--outside", outside, "--ticks", "3", "--every", "10"]).wait();
        ended.assert_code(0);
        let (_, printed) = ended.stdout.split_once('\n').expect("lines");
        assert_eq!(printed, "tick 1\ntick 2\ntick 3\n3 ticks, 0 bytes sent back\n");
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn bad_options_are_explained() {
    let ended = start(&["--outside", "nowhere"]).wait();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("no loop \"nowhere\""), "{}", ended.stderr);
}
