//! Worker processes beside their peers: start, round trip, throughput, a long result.
//!
//! ```text
//! workers [FILTER ...] [--rounds N] [--list]
//! workers --measure ROW SIDE
//! ```
//!
//! As in the main table each measurement runs in a process of its own, and the sides of a row take turns. The
//! first form prints, for each side, the median and the smallest of all rounds, and how many times the first
//! side's median it is. A side that cannot be measured here (no `python3`) is left out with a word.
//!
//! | row | peers |
//! |---|---|
//! | `start`, `start-1gib` | `fork` and `wait` by hand; `Command`; Python's `ProcessPoolExecutor` |
//! | `round-64`, `round-1k` | a ring with a spin, a socket pair, the `ipc-channel` crate, Python's pool |
//! | `flight-64`, `flight-1k` | the same with 64 on their way |
//! | `result-64m` | the same memory used again by hand, a socket pair, `ipc-channel`, Python's pool |

mod lwt_sides;
mod peers;
mod python;

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// One side's measurement: nanoseconds per operation, or why there is none.
type Outcome = Result<f64, String>;
type Side = (&'static str, fn() -> Outcome);

struct Row {
    name: &'static str,
    what: &'static str,
    sides: &'static [Side],
}

/// What this library reached in the same run is the measure for the others.
const ROWS: [Row; 7] = [
    Row {
        name: "start",
        what: "start of a worker, its result, its end",
        sides: &[
            ("lwt, zygote", || lwt_sides::start(lwt_sides::Way::Zygote, 0)),
            ("lwt, exec", || lwt_sides::start(lwt_sides::Way::Exec, 0)),
            ("C fork", || peers::fork(0)),
            ("Command", || peers::command(0)),
            ("python", || python::start()),
        ],
    },
    Row {
        name: "start-1gib",
        what: "the same from a program with 1 GiB resident",
        sides: &[
            ("lwt, zygote", || lwt_sides::start(lwt_sides::Way::Zygote, 1 << 30)),
            ("lwt, exec", || lwt_sides::start(lwt_sides::Way::Exec, 1 << 30)),
            ("C fork", || peers::fork(1 << 30)),
            ("Command", || peers::command(1 << 30)),
        ],
    },
    Row {
        name: "round-64",
        what: "64 bytes to a warm worker and back",
        sides: &[
            ("lwt pool", || lwt_sides::echo(64, 1)),
            ("C ring, spin", || peers::spin(64)),
            ("C futex", || peers::futex(64)),
            ("C socketpair", || peers::socketpair(64, 1)),
            ("ipc-channel", || peers::ipc_channel(64, 1)),
            ("python", || python::echo(64, 1)),
        ],
    },
    Row {
        name: "round-1k",
        what: "1 KiB to a warm worker and back",
        sides: &[
            ("lwt pool", || lwt_sides::echo(1024, 1)),
            ("C socketpair", || peers::socketpair(1024, 1)),
            ("ipc-channel", || peers::ipc_channel(1024, 1)),
            ("python", || python::echo(1024, 1)),
        ],
    },
    Row {
        name: "flight-64",
        what: "the same, 64 bytes, 64 in flight, per job",
        sides: &[
            ("lwt pool", || lwt_sides::echo(64, 64)),
            ("C socketpair", || peers::socketpair(64, 64)),
            ("ipc-channel", || peers::ipc_channel(64, 64)),
            ("python", || python::echo(64, 64)),
        ],
    },
    Row {
        name: "flight-1k",
        what: "the same, 1 KiB",
        sides: &[
            ("lwt pool", || lwt_sides::echo(1024, 64)),
            ("C socketpair", || peers::socketpair(1024, 64)),
            ("ipc-channel", || peers::ipc_channel(1024, 64)),
            ("python", || python::echo(1024, 64)),
        ],
    },
    Row {
        name: "result-64m",
        what: "64 MiB filled in by a worker and summed by the program",
        sides: &[
            ("lwt, in place", || lwt_sides::result(lwt_sides::Form::InPlace)),
            ("lwt, vector", || lwt_sides::result(lwt_sides::Form::Copied)),
            ("C shared memory", peers::shared),
            ("C socketpair", peers::stream),
            ("ipc-channel", peers::ipc_memory),
            ("python", python::result),
        ],
    },
];

/// Seconds after which a measurement is ended by the kernel.
const WATCHDOG: u32 = 120;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["--measure", row, side] => measure(row, side),
        _ if lwt::worker::is_worker() => Ok(()),
        ["--list"] => {
            ROWS.iter().for_each(|row| println!("{}\t{}", row.name, row.what));
            Ok(())
        }
        _ => table(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("workers: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures one side of a row in this process, and prints the figure.
fn measure(row: &str, side: &str) -> Result<(), String> {
    if side.starts_with("lwt") {
        lwt_sides::init();
    }
    // SAFETY: the call takes a number; the signal's default action ends the process, which is what is wanted.
    unsafe { libc::alarm(WATCHDOG) };
    let row = ROWS.iter().find(|other| other.name == row).ok_or("there is no such row")?;
    let (_, run) = row.sides.iter().find(|(name, _)| *name == side).ok_or("there is no such side")?;
    println!("{}", run()?);
    Ok(())
}

fn table(words: &[&str]) -> Result<(), String> {
    let mut rounds = 7;
    let mut filters = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--rounds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                rounds = number.ok_or("--rounds wants a number")?;
            }
            "--bench" => {}
            unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}")),
            filter => filters.push(filter),
        }
    }
    println!(
        "Median (smallest) of {rounds} rounds in µs per operation; ratios to the first side's median.\n"
    );
    println!("| row | side | µs | ratio |\n|---|---|--:|--:|");
    for row in
        ROWS.iter().filter(|row| filters.is_empty() || filters.iter().any(|filter| row.name.contains(filter)))
    {
        let mut taken = vec![Vec::new(); row.sides.len()];
        let mut skipped = vec![None; row.sides.len()];
        for _ in 0..rounds {
            for (index, (side, _)) in row.sides.iter().enumerate() {
                if skipped[index].is_none() {
                    match in_child(row.name, side) {
                        Ok(figure) => taken[index].push(figure),
                        Err(why) => skipped[index] = Some(why),
                    }
                }
            }
        }
        let mut first = None;
        for ((side, _), (mut figures, skipped)) in row.sides.iter().zip(taken.into_iter().zip(skipped)) {
            if let Some(why) = skipped {
                println!("| `{}` | {side} | {why} | |", row.name);
                continue;
            }
            figures.sort_by(f64::total_cmp);
            let median = figures[figures.len() / 2];
            let ratio = median / *first.get_or_insert(median);
            println!(
                "| `{}` | {side} | {:.2} ({:.2}) | {ratio:.2} |",
                row.name,
                median / 1000.0,
                figures[0] / 1000.0
            );
        }
    }
    Ok(())
}

fn in_child(row: &str, side: &str) -> Outcome {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    let output = command.args(["--measure", row, side]).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().parse() {
        Ok(figure) if output.status.success() => Ok(figure),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().unwrap_or("no figure").to_owned())
        }
    }
}

/// Nanoseconds per operation of `operation`, which is told how often to do it; once before it counts.
fn timed(times: u64, mut operation: impl FnMut(u64) -> Result<(), String>) -> Outcome {
    operation((times / 10).max(1))?;
    let begin = Instant::now();
    operation(times)?;
    Ok(begin.elapsed().as_nanos() as f64 / times as f64)
}
