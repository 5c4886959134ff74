//! The example `chameneos`.

use std::process::Command;

use lwt_tests::program::Program;
use lwt_tests::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn chameneos(meetings: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chameneos"));
    command.args(["--meetings", meetings]);
    command
}

/// The sum of the creatures' meetings, and the line that spells it.
fn game(lines: &[&str]) -> (u64, String) {
    let mut sum = 0;
    for line in &lines[1..lines.len() - 1] {
        let (meetings, with_itself) = line.split_once(' ').expect("two counts");
        assert_eq!(with_itself, "zero");
        sum += meetings.parse::<u64>().expect("a count");
    }
    (sum, lines[lines.len() - 1].to_owned())
}

#[test]
fn there_are_two_creatures_to_each_meeting() {
    let ended = Program::start(&mut chameneos("600")).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    let parts: Vec<Vec<&str>> =
        ended.stdout.trim_end().split("\n\n").map(|part| part.lines().collect()).collect();
    let [table, three, ten] = &parts[..] else { panic!("{}", ended.stdout) };
    assert_eq!(table.len(), 9);
    assert!(table.contains(&"blue + red -> yellow") && table.contains(&"red + red -> red"));
    assert_eq!((three.len(), ten.len()), (5, 12));
    for part in [three, ten] {
        assert_eq!(game(part), (1200, " one two zero zero".to_owned()));
    }
    assert_eq!(three[0], " blue red yellow");
}

#[test]
fn the_game_ends_with_a_creature_that_dies() {
    // Whatever the mall is at just then.
    for round in 0..20 {
        let program = Program::start(&mut chameneos("18446744073709551615"));
        until("all three are there", || program.workers().len() == 3);
        kill(Pid::from_raw(program.workers()[round % 3]), Signal::SIGKILL).expect("it is there");
        let ended = program.wait();
        ended.assert_code(1);
        assert!(ended.stderr.starts_with("chameneos: ") && ended.stderr.contains("SIGKILL"), "{ended:?}");
    }
}

#[test]
fn nobody_has_to_meet() {
    let ended = Program::start(&mut chameneos("0")).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("\n zero\n"), "{}", ended.stdout);
}

#[test]
fn rubbish_is_refused() {
    assert_eq!(Program::start(&mut chameneos("many")).wait().status.code(), Some(2));
}
