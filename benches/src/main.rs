//! The lwt runtime beside tokio (current thread), smol (local executor) and, where it is installed, libuv,
//! measured in the same run.
//!
//! ```text
//! lwt-benches [FILTER ...] [--sides S,..] [--rounds N] [--scale X] [--list]
//! lwt-benches --measure ROW SIDE OPS [--cold]
//! ```
//!
//! The first form prints the table. It measures each side of each row in a child process of its own, by the
//! second form, and takes the sides in turn (lwt, tokio, smol, lwt, …), so that a slow minute of the
//! machine meets all of them. The second form prints one number per line and is what `instructions.sh` counts.

mod harness;
mod libuv;
mod measure;
mod rows;
mod runtimes;
mod table;

use std::process::ExitCode;

use harness::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = rows::all();
    let done = match arguments.first().map(String::as_str) {
        Some("--measure") => harness::child(&rows, &arguments[1..]),
        Some("--list") => {
            rows.iter().for_each(|row| println!("{}\t{}", row.name, row.what));
            Ok(())
        }
        _ => Options::parse(&arguments).and_then(|options| harness::parent(&rows, &options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("lwt-benches: {message}");
            ExitCode::FAILURE
        }
    }
}
