//! The queens of n × n boards: in how many ways n queens can stand on one and not attack each other, turned
//! and mirrored boards counted once.
//!
//! ```text
//! cargo run --release --example queens -- --n 12 --mode mailbox
//! ```
//!
//! It prints one line, `n=N solutions=S`, which is the same in every mode:
//!
//! | mode | |
//! |---|---|
//! | `seq` | in this process |
//! | `map` | a pool of workers, each job the boards that begin in one way |
//! | `sharded` | workers take beginnings from a queue, and enter the first image of what they find into one map, which all of them write to |
//! | `mailbox` | each worker sends what it finds to this process's mailbox, in batches |
//! | `stages` | some workers find solutions and put them into a queue, others take them out and count those that are the first of their images |
//!
//! Files: `board`, the search; `modes`, who does what.

mod board;
mod modes;

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::thread;

use lexopt::prelude::*;
use lwt::Error;

use self::modes::{Mode, mailbox, map, sharded, stages};

const HELP: &str = "\
queens: in how many ways n queens do not attack each other, up to symmetry

Usage: queens [--n N] [--mode seq|map|sharded|mailbox|stages] [--workers N]

  --n N         the size of the board, 1 to 16 (8)
  --mode MODE   who computes, and how the results are brought together (map)
  --workers N   how many processes compute, 2 to 1000 (the number of processors)
";

lwt::main! {
    workers [map::search, sharded::search, mailbox::search, stages::find, stages::count];

    async fn main() -> ExitCode {
        let options = match Options::read() {
            Ok(Some(options)) => options,
            Ok(None) => {
                // Who closes our output does not want to read it.
                let _ = io::stdout().write_all(HELP.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                complain(&format!("{error}; see --help"));
                return ExitCode::from(2);
            }
        };
        match solve(&options).await {
            Ok(solutions) => say(&format!("n={} solutions={solutions}", options.n)),
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

const WORKERS: RangeInclusive<u32> = 2..=1000;

struct Options {
    n: u32,
    mode: Mode,
    workers: u32,
}

impl Options {
    /// None if only help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get) as u32;
        let workers = processors.clamp(*WORKERS.start(), *WORKERS.end());
        let mut options = Options { n: 8, mode: Mode::Map, workers };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("n") => options.n = within(1..=board::WIDEST, parser.value()?)?,
                Long("mode") => options.mode = parser.value()?.parse()?,
                Long("workers") => options.workers = within(WORKERS, parser.value()?)?,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

/// A number of a range.
fn within(range: RangeInclusive<u32>, text: OsString) -> Result<u32, lexopt::Error> {
    text.parse_with(|text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("it must be a number from {} to {}", range.start(), range.end())),
    })
}

/// How many solutions there are.
async fn solve(options: &Options) -> Result<u64, Error> {
    let Options { n, mode, workers } = *options;
    match mode {
        Mode::Seq => Ok(board::count(n, board::Start::EMPTY)),
        Mode::Map => map::run(n, workers).await,
        Mode::Sharded => sharded::run(n, workers).await,
        Mode::Mailbox => mailbox::run(n, workers).await,
        Mode::Stages => stages::run(n, workers).await,
    }
}

/// Prints a line on standard output. Who does not want to read it knows why.
fn say(line: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                complain(&format!("standard output: {error}"));
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "queens: {text}");
}
