//! A directory is served by HTTP/1.1 on loopback, downloaded by many clients at once, and every digest
//! compared with the disk's.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --dir /usr/include --connections 200
//! ```
//!
//! Server and clients are tasks of one thread; what may block (listing, reading and hashing files) is
//! detached to job threads. Each file is read and hashed once more by a worker process: `--kill-one` kills one
//! of them in mid-run, to show that nothing is lost by it.
//!
//! | file | what it has |
//! |---|---|
//! | `options` | the command line |
//! | `tree` | which files there are |
//! | `server` | accepting, one connection, one answer |
//! | `request` | the head of a request, and what a server has to refuse |
//! | `target` | paths in requests |
//! | `files` | opening below a directory and never outside of it, reading in pieces |
//! | `wire` | a connection with a buffer, on which nobody may be silent for too long |
//! | `client` | one client: its connection, its downloads |
//! | `check` | all clients: the files shared out among them, the comparing |
//! | `digest` | SHA-256 of what arrives and of what is on disk |
//! | `workers` | the same by worker processes |
//! | `report` | the progress bar, the problems, the summary line |
//!
//! Exit codes: 0, all digests agree; 1, they do not or something could not be done; 2, the command line is
//! wrong. A Ctrl-C ends it at once: there is nothing to tidy up.

mod check;
mod client;
mod digest;
mod files;
mod options;
mod report;
mod request;
mod server;
mod status;
mod target;
mod tree;
mod wire;
mod workers;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use lwt::net::TcpListener;
use lwt::{Error, Promise, job};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::files::Root;
use self::options::{Command, Options};
use self::report::{Report, complain, say};
use self::server::Limits;
use self::workers::Workers;

lwt::main! {
    workers [workers::of_file];

    async fn main() -> ExitCode {
        let done = match options::parse() {
            Ok(Command::Help) => return say(options::HELP.trim_end()),
            Ok(Command::Serve(options)) => serve(options).await,
            Ok(Command::Check(options)) => check(options).await,
            Err(error) => {
                complain(&format!("{error} (--help tells more)"));
                return ExitCode::from(2);
            }
        };
        done.unwrap_or_else(|error| {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        })
    }
}

/// `--serve`: serves until it is killed.
async fn serve(mut options: Options) -> Result<ExitCode, Error> {
    fit_descriptors(&mut options);
    let (address, server) = start(&options).await?;
    if say(&format!("listening on {address}")) != ExitCode::SUCCESS {
        return Ok(ExitCode::FAILURE);
    }
    server.await?;
    Ok(ExitCode::SUCCESS)
}

/// The main job.
async fn check(mut options: Options) -> Result<ExitCode, Error> {
    fit_descriptors(&mut options);
    let (dir, all) = (options.dir.clone(), options.all);
    let tree = job::detach_result(move || tree::list(&dir, all)).await.map_err(named(&options))?;
    let report = Rc::new(Report::new(tree.bytes()));
    for problem in &tree.problems {
        report.problem(problem);
    }
    let (address, server) = match options.server {
        Some(address) => (address, None),
        None => {
            let (address, server) = start(&options).await?;
            (address, Some(server))
        }
    };
    let workers = Rc::new(Workers::start(tree.files.len(), &options, &report)?);
    check::all(tree.files, address, &options, &workers, &report).await?;
    workers.end().await?;
    if let Some(server) = server {
        server.cancel();
        let _ = server.await; // what it says is that it was cancelled
    }
    Ok(report.summary())
}

/// Starts the server; its promise is pending for as long as it accepts.
async fn start(options: &Options) -> Result<(SocketAddr, Promise<()>), Error> {
    let dir = options.dir.clone();
    let root = job::detach_result(move || Root::open(&dir)).await.map_err(named(options))?;
    let listener = TcpListener::bind(options.listen)?;
    let address = listener.local_addr()?;
    // Our own clients must all find room, however many they are, and others beside them.
    let limits = Limits { connections: options.connections.saturating_add(256), patience: options.patience };
    Ok((address, server::start(listener, Arc::new(root), limits)))
}

/// An error about the directory, with its name.
fn named(options: &Options) -> impl FnOnce(Error) -> Error {
    let dir = options.dir.display().to_string();
    move |error| Error::msg(format!("{dir}: {error}"))
}

/// Takes as many descriptors as the system lets us have, and fewer connections and workers if they are too
/// few.
fn fit_descriptors(options: &mut Options) {
    /// What the program has open by itself, generously.
    const OURS: usize = 32;
    /// Both ends, the file on disk, the file that the server sends, and the directories on the way to it.
    const EACH: usize = 6;
    /// What the program has of a worker.
    const WORKER: usize = 10;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let limit = if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
    let spare = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(OURS);
    let workers = options.workers.min(spare / 2 / WORKER);
    let connections = options.connections.min((spare - workers * WORKER) / EACH).max(1);
    if connections < options.connections || workers < options.workers {
        options.connections = connections;
        options.workers = workers;
        complain(&format!(
            "{connections} connections and {workers} workers, since there can be only {limit} descriptors"
        ));
    }
}
