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

use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use lexopt::prelude::*;
use lwt::Error;

use self::modes::{map, sharded, stages};

const HELP: &str = "\
queens: in how many ways n queens do not attack each other, up to symmetry

Usage: queens [--n N] [--mode seq|map|sharded|mailbox|stages] [--workers N]

  --n N         the size of the board, 1 to 16 (8)
  --mode MODE   who computes, and how the results are brought together (map)
  --workers N   how many processes compute (the number of processors, and two at least)
";

lwt::main! {
    workers [map::search, sharded::search, modes::mailbox::search, stages::find, stages::count];

    async fn main() -> ExitCode {
        let options = match Options::read() {
            Ok(Some(options)) => options,
            Ok(None) => {
                // Who closes our output does not want to read it.
                let _ = io::stdout().write_all(HELP.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                eprintln!("queens: {error}; see --help");
                return ExitCode::from(2);
            }
        };
        solve(options).await.unwrap_or_else(|error| {
            eprintln!("queens: {error}");
            ExitCode::FAILURE
        })
    }
}

struct Options {
    n: u32,
    mode: String,
    workers: u32,
}

impl Options {
    /// None if only help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get) as u32;
        let mut options = Options { n: 8, mode: "map".to_owned(), workers: processors };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("n") => options.n = parser.value()?.parse()?,
                Long("mode") => options.mode = parser.value()?.string()?,
                Long("workers") => options.workers = parser.value()?.parse()?,
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        if !(1..=board::WIDEST).contains(&options.n) {
            return Err(format!("--n {}: it must be between 1 and {}", options.n, board::WIDEST).into());
        }
        if !modes::NAMES.contains(&&*options.mode) {
            return Err(
                format!("--mode {}: it must be one of {}", options.mode, modes::NAMES.join(", ")).into()
            );
        }
        options.workers = options.workers.max(2);
        Ok(Some(options))
    }
}

async fn solve(options: Options) -> Result<ExitCode, Error> {
    let Options { n, workers, .. } = options;
    let solutions = match &*options.mode {
        "map" => map::run(n, workers).await?,
        "sharded" => sharded::run(n, workers).await?,
        "mailbox" => modes::mailbox::run(n, workers).await?,
        "stages" => stages::run(n, workers).await?,
        _ => board::count(n, board::Start::EMPTY),
    };
    writeln!(io::stdout(), "n={n} solutions={solutions}")?;
    Ok(ExitCode::SUCCESS)
}
