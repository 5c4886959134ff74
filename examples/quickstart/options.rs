//! The command line.

use std::env;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use lexopt::prelude::*;

/// What `--help` says.
pub(crate) const HELP: &str = "\
quickstart: serves a directory, downloads all of it, and compares the digests

Usage: quickstart [OPTION]...

  --dir DIR          the directory; without this option it is the checkout when cargo runs the
                     program, else the current directory
  --connections N    so many clients at once (64)
  --workers N        so many worker processes; with 0 there is no third digest (one for each processor)
  --kill-one         kills a worker process in mid-run, which must not change the outcome
  --all              also what is left out otherwise: `.git`, and directories that a CACHEDIR.TAG
                     says are caches, such as cargo's `target`
  --timeout SECONDS  how long a peer may be silent, and how long the head of a request may take (30)
  --listen ADDRESS   where the server listens (127.0.0.1:0)
  --server ADDRESS   starts no server, but downloads from the one at this address
  --serve            serves and does nothing else, until it is killed
  --help             prints this

Symbolic links are not followed; what is not a regular file is passed over. The summary is one line
on standard output, everything else goes to standard error. The exit code is 0 if all digests agree,
1 if something went wrong, 2 if the command line was not understood.
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Serve(Options),
    Check(Options),
}

/// How it is to be done.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) dir: PathBuf,
    pub(crate) connections: usize,
    pub(crate) all: bool,
    pub(crate) kill_one: bool,
    pub(crate) workers: usize,
    pub(crate) patience: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) server: Option<SocketAddr>,
}

/// Reads the arguments of the program.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut serve = false;
    let mut options = Options {
        // Cargo tells the programs that it runs where the package is.
        dir: env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
        connections: 64,
        all: false,
        kill_one: false,
        workers: thread::available_parallelism().map_or(1, NonZero::get),
        patience: Duration::from_secs(30),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        server: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("dir") => options.dir = parser.value()?.into(),
            Long("connections") => {
                options.connections = parser.value()?.parse_with(|text| match text.parse::<usize>() {
                    Ok(0) => Err("a download takes at least one connection".to_owned()),
                    Ok(n) => Ok(n),
                    Err(error) => Err(error.to_string()),
                })?;
            }
            Long("all") => options.all = true,
            Long("workers") => options.workers = parser.value()?.parse()?,
            Long("kill-one") => options.kill_one = true,
            Long("timeout") => {
                options.patience = parser.value()?.parse_with(|text| {
                    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
                    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
                })?;
            }
            Long("listen") => options.listen = parser.value()?.parse()?,
            Long("server") => options.server = Some(parser.value()?.parse()?),
            Long("serve") => serve = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            _ => return Err(argument.unexpected()),
        }
    }
    if serve && options.server.is_some() {
        return Err("--serve and --server exclude each other".into());
    }
    if options.kill_one && options.workers == 0 {
        return Err("--kill-one takes a worker".into());
    }
    Ok(if serve { Command::Serve(options) } else { Command::Check(options) })
}
