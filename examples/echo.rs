//! An echo server: what comes in goes out again, for ten thousand connections and more, until a SIGINT or SIGTERM.
//!
//! ```text
//! cargo run --release --example echo -- --port 7000
//! ```
//!
//! It prints `listening on ADDRESS`, and nothing else, on standard output.
//!
//! 1. *Idle connections* cost a task and a socket. They share one buffer: bytes that arrive are copied out of it, and sent back before the
//!    next are read. A peer who sends and does not read is not read from either.
//! 2. *Running out of descriptors* stops the accepting until one is free again; who wants to connect waits in the queue meanwhile.
//! 3. *A signal* closes the listener, and ends the reading side of each connection behind what has arrived. So each task goes on as if
//!    its peer had said that this was all: it sends back what is left and closes. Who does not take it within the grace time
//!    is cut off, and a second signal ends the waiting. The exit code is 0.
//!
//! The main loop has no signals of its own yet, so they arrive here by a descriptor (`signalfd`), which is read like any other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use lexopt::prelude::*;
use lwt::fd::Fd;
use lwt::net::{Shutdown, TcpListener, TcpStream};
use lwt::{Error, Promise, choose, join, pick, spawn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

const HELP: &str = "\
echo: sends back what it receives, on loopback

Usage: echo [--port P] [--grace SECONDS]

  --port P         where to listen; 0, as without this option, takes a free port
  --grace SECONDS  after SIGINT or SIGTERM: how long connections have to take what is theirs (5)
";

/// So much is read at a time.
const BUFFER: usize = 64 * 1024;

lwt::main! {
    async fn main() -> ExitCode {
        let done = match options() {
            Ok(None) => say(HELP.trim_end()),
            Ok(Some((port, grace))) => serve(SocketAddr::from(([127, 0, 0, 1], port)), grace).await,
            Err(error) => {
                complain(&format!("{error} (--help tells more)"));
                return ExitCode::from(2);
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        }
    }
}

/// Port and grace time; `None` if help is wanted.
fn options() -> Result<Option<(u16, Duration)>, lexopt::Error> {
    let (mut port, mut grace) = (0, Duration::from_secs(5));
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("port") | Short('p') => port = parser.value()?.parse()?,
            Long("grace") => {
                let seconds = parser.value()?.parse()?;
                grace = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
            }
            Long("help") | Short('h') => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Some((port, grace)))
}

/// The whole life of the server.
async fn serve(address: SocketAddr, grace: Duration) -> Result<(), Error> {
    let signals = signals()?;
    if let Ok((_soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If the system lets us have no more, then fewer must do.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let listener = TcpListener::bind(address)?;
    say(&format!("listening on {}", listener.local_addr()?))?;
    let live = Rc::new(Live::default());
    // The signal cancels the accepting; the listener is dropped with it, and so closed.
    pick([spawn(accept(listener, Rc::clone(&live))), signal(&signals)]).await?;
    live.drain(grace, signal(&signals)).await
}

/// Takes connections for ever.
async fn accept(listener: TcpListener, live: Rc<Live>) -> Result<(), Error> {
    let mut incoming = listener.incoming().on_shortage(|error| complain(&format!("waiting: {error}")));
    let buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
    loop {
        let (stream, _peer) = incoming.next().await?;
        live.add(stream.clone(), spawn(echo(stream, Rc::clone(&buffer))));
    }
}

/// One connection.
async fn echo(stream: TcpStream, buffer: Rc<RefCell<Vec<u8>>>) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    loop {
        // The shared buffer is borrowed while it is read into and not while this waits.
        let message = poll_fn(|context| {
            let mut buffer = buffer.borrow_mut();
            stream.poll_read(context, &mut buffer).map_ok(|n| buffer[..n].to_vec())
        });
        let message = message.await?;
        if message.is_empty() {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(&message).await?;
    }
}

/// The connections that are open, each with its task.
#[derive(Default)]
struct Live {
    next: Cell<u64>,
    table: RefCell<HashMap<u64, (TcpStream, Promise<()>)>>,
}

impl Live {
    /// Keeps a connection until its task has ended. How it ended is its peer's affair: resets are normal.
    fn add(self: &Rc<Live>, stream: TcpStream, task: Promise<()>) {
        let number = self.next.replace(self.next.get() + 1);
        let live = Rc::clone(self);
        let ended = task.clone();
        self.table.borrow_mut().insert(number, (stream, task));
        // At once, if it has ended already.
        ended.on_termination(move || {
            let entry = live.table.borrow_mut().remove(&number);
            drop(entry); // which closes the connection, now that the table is not borrowed any more
        });
    }

    /// Lets the connections end, for as long as `grace` at most, or until `hurry`.
    async fn drain(&self, grace: Duration, hurry: Promise<()>) -> Result<(), Error> {
        let (streams, tasks): (Vec<_>, Vec<_>) = self.table.take().into_values().unzip();
        for stream in streams {
            // One that its peer has reset meanwhile ends by itself.
            let _ = stream.shutdown(Shutdown::Read);
        }
        let ended = join(tasks.iter().map(|task| task.clone().catch(|_reset| Promise::ready(()))));
        choose([ended, lwt::sleep(grace), hurry]).await?;
        let late: Vec<_> = tasks.into_iter().filter(Promise::is_pending).collect();
        if !late.is_empty() {
            complain(&format!("{} connections cut off", late.len()));
        }
        // A cancel appears as an error where the task waits; it closes its connection on the way out.
        late.iter().for_each(Promise::cancel);
        Ok(())
    }
}

/// The descriptor by which SIGINT and SIGTERM arrive. No other thread may have been started yet, since it would get them too.
fn signals() -> Result<Fd, Error> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    set.add(Signal::SIGTERM);
    set.thread_block().map_err(io::Error::from)?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let descriptor = SignalFd::with_flags(&set, flags).map_err(io::Error::from)?;
    Fd::new(descriptor.into())
}

/// Waits for a signal.
fn signal(signals: &Fd) -> Promise<()> {
    let signals = signals.clone();
    spawn(async move {
        // One record; which of the two it is makes no difference.
        let mut record = [0; 128];
        signals.read(&mut record).await.map(drop)
    })
}

/// Prints a line on standard output.
fn say(line: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())?;
    Ok(())
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "echo: {text}");
}
