//! An echo server of several processes: all accept from one socket, and a supervisor keeps them alive.
//!
//! ```text
//! cargo run --release --example prefork_echo -- --port 7000 --workers 4
//! ```
//!
//! It prints `listening on ADDRESS`, and then a line for each worker that begins, serves and ends.
//!
//! * SIGHUP replaces the workers by new ones; who is connected is served to the end, who connects meanwhile
//!   is not refused.
//! * SIGTERM or SIGINT lets the workers finish what they have, for `--grace` seconds at most. A second one is
//!   the end at once. The exit code is 0.
//! * A worker that dies is replaced. If none can live the exit code is 1.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use lexopt::prelude::*;
use lwt::fd::{Fd, stderr, stdout};
use lwt::net::TcpStream;
use lwt::prefork::{self, Event, Prefork, Service};
use lwt::signal::{self, SIGHUP, SIGINT, SIGTERM, Signal, on_signal};
use lwt::stream::Stream;
use lwt::worker::Start;
use lwt::{Error, Promise, pick, spawn, wait};

const HELP: &str = "\
prefork_echo: sends back what it receives, on loopback, in several processes

Usage: prefork_echo [--port P] [--workers N] [--grace SECONDS]

  --port P         where to listen; 0, as without this option, takes a free port
  --workers N      how many processes serve (the number of processors)
  --grace SECONDS  after SIGTERM, SIGINT or SIGHUP: how long connections may last (5)
";

/// So much is read at a time.
const BUFFER: usize = 16 * 1024;

lwt::main! {
    workers [echo];

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
        match supervise(options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

struct Options {
    port: u16,
    workers: Option<usize>,
    grace: Duration,
}

impl Options {
    /// None if only help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let mut options = Options { port: 0, workers: None, grace: Duration::from_secs(5) };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("port") | Short('p') => options.port = parser.value()?.parse()?,
                Long("workers") => {
                    options.workers = Some(parser.value()?.parse::<std::num::NonZero<usize>>()?.get());
                }
                Long("grace") => {
                    let seconds = parser.value()?.parse()?;
                    options.grace =
                        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
                }
                Short('h') | Long("help") => return Ok(None),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

/// The whole life of the supervisor.
async fn supervise(options: Options) -> Result<(), Error> {
    let (asked, reloads) = (asked_to_end()?, signal::stream(SIGHUP)?);
    let address = SocketAddr::from(([127, 0, 0, 1], options.port));
    let listener = TcpListener::bind(address)
        .map_err(|error| Error::msg(format_args!("cannot listen at {address}: {error}")))?;
    say(&format!("listening on {}", listener.local_addr()?));
    let mut service = Prefork::new().start(Start::new().grace(options.grace)).on_event(tell);
    if let Some(workers) = options.workers {
        service = service.workers(workers);
    }
    let starting = service.serve(listener, echo, ()).map(Some);
    let Some(service) = pick([starting, asked.clone().map(|()| None)]).await? else { return Ok(()) };
    let reloading = spawn(reload_for_each(reloads, service.clone()));
    pick([asked, reloading, service.ended()]).await?;
    service.stop().await
}

/// A new generation of workers for each signal.
async fn reload_for_each(signals: Stream<Signal>, service: Service<()>) -> Result<(), Error> {
    loop {
        signals.next().await?;
        match service.reload(()).await {
            Ok(()) => say("reloaded"),
            Err(error) if error.is_canceled() => return Err(error),
            // Those that were there go on.
            Err(error) => complain(&format!("not reloaded: {error:#}")),
        }
    }
}

/// A worker.
async fn echo() {
    let served = prefork::serve(async |stream: TcpStream, _peer| {
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => stream.write_all(&buffer[..n]).await?,
            }
        }
    });
    if let Err(error) = served.await {
        complain(&format!("worker {}: {error:#}", std::process::id()));
    }
}

fn tell(event: Event) {
    match event {
        Event::Started(pid) => say(&format!("worker {pid} begins")),
        Event::Ready(pid) => say(&format!("worker {pid} serves")),
        Event::Ended { pid: Some(pid), status: Some(status), .. } => say(&format!("worker {pid}: {status}")),
        Event::Ended { failure: Some(failure), .. } => complain(&format!("no worker: {failure:#}")),
        _ => {}
    }
}

/// Resolved by the first SIGTERM or SIGINT. When another one comes nobody waits for the workers any more:
/// they end with this process.
fn asked_to_end() -> Result<Promise<()>, Error> {
    let (promise, resolver) = wait();
    let first = Rc::new(Cell::new(Some(resolver)));
    for signal in [SIGTERM, SIGINT] {
        let first = Rc::clone(&first);
        #[expect(clippy::disallowed_methods, reason = "the exit hooks would wait for the workers")]
        on_signal(signal, move |_| match first.take() {
            Some(first) => first.wakeup(()),
            None => std::process::exit(0),
        })?;
    }
    Ok(promise)
}

/// Prints a line on standard output. That nobody reads it does not end the service, nor hold it up: what does
/// not fit is dropped.
fn say(line: &str) {
    print(io::stdout().lock(), stdout(), line);
}

/// Prints a line on standard error. If nobody reads that either there is nobody to be told.
fn complain(text: &str) {
    print(io::stderr().lock(), stderr(), &format!("prefork_echo: {text}"));
}

fn print(mut out: impl Write, fd: Result<Fd, Error>, line: &str) {
    if fd.and_then(|fd| fd.writable()).unwrap_or(true) {
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
