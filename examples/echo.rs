//! An echo server: what comes in goes out again, for ten thousand connections and more, until a SIGINT or
//! SIGTERM.
//!
//! ```text
//! cargo run --release --example echo -- --port 7000
//! ```
//!
//! It prints `listening on ADDRESS`, and nothing else, on standard output.
//!
//! 1. *Idle connections* cost a task and a socket. They share one buffer: bytes that arrive are copied out of
//!    it, and sent back before the next are read. A peer who sends and does not read is not read from either.
//! 2. *Running out of descriptors* stops the accepting until one is free again; who wants to connect waits in
//!    the queue meanwhile.
//! 3. *A signal* closes the listener. What has arrived on the connections by then is sent back, and they are
//!    closed. Who does not take what is his within the grace time is cut off, and a second signal ends the
//!    waiting. The exit code is 0.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use lexopt::prelude::*;
use lwt::net::{Shutdown, TcpListener, TcpStream};
use lwt::signal::{self, SIGINT, SIGTERM};
use lwt::{Error, Promise, choose, join, pick, spawn, wait, within};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

const HELP: &str = "\
echo: sends back what it receives, on loopback

Usage: echo [--port P] [--grace SECONDS]

  --port P         where to listen; 0, as without this option, takes a free port
  --grace SECONDS  after SIGINT or SIGTERM: how long connections have to take what is theirs (5)
";

/// So much is read at a time.
const BUFFER: usize = 64 * 1024;

/// A peer that says nothing for so long, after it was told the end, has nothing more to say.
const QUIET: Duration = Duration::from_millis(500);

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
    let signal = asked_to_end();
    if let Ok((_soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If the system lets us have no more, then fewer must do.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let listener = TcpListener::bind(address)?;
    say(&format!("listening on {}", listener.local_addr()?))?;
    let (stopping, stop) = wait();
    let live = Rc::new(Live::default());
    // The signal cancels the accepting; the listener is dropped with it, and so closed.
    pick([spawn(accept(listener, Rc::clone(&live), stopping)), signal]).await?;
    stop.wakeup(()); // which every connection's task waits for
    live.drain(grace, asked_to_end()).await
}

/// Takes connections for ever.
async fn accept(listener: TcpListener, live: Rc<Live>, stopping: Promise<()>) -> Result<(), Error> {
    let mut incoming = listener.incoming().on_shortage(|error| complain(&format!("waiting: {error}")));
    let buffer = Rc::new(RefCell::new(vec![0; BUFFER]));
    loop {
        let (stream, _peer) = incoming.next().await?;
        live.add(spawn(echo(stream, Rc::clone(&buffer), stopping.clone())));
    }
}

/// One connection.
async fn echo(
    stream: TcpStream,
    buffer: Rc<RefCell<Vec<u8>>>,
    mut stopping: Promise<()>,
) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut ended = false;
    while let Some(message) = receive(&stream, &buffer, &mut stopping).await? {
        ended = message.is_empty();
        if ended {
            break;
        }
        stream.write_all(&message).await?;
    }
    stream.shutdown(Shutdown::Write)?;
    // To close over something unread would reset the connection, and what is on its way back could be lost.
    // So whatever a peer still sends is thrown away, until it closes as well or has nothing more to say.
    while !ended {
        let rest = poll_fn(|context| poll_receive(&stream, &buffer, context));
        ended = within(QUIET, rest).await?.is_empty();
    }
    Ok(())
}

/// The next message, which is empty at the end; none if it is time to stop and nothing has arrived.
async fn receive(
    stream: &TcpStream,
    buffer: &RefCell<Vec<u8>>,
    stopping: &mut Promise<()>,
) -> Result<Option<Vec<u8>>, Error> {
    if stopping.is_pending() {
        let message = poll_fn(|context| match poll_receive(stream, buffer, context) {
            Poll::Pending => Pin::new(&mut *stopping).poll(context).map(|stop| stop.map(|()| None)),
            received => received.map_ok(Some),
        });
        if let Some(message) = message.await? {
            return Ok(Some(message));
        }
    }
    // That nothing was reported does not mean that nothing is there.
    let mut buffer = buffer.borrow_mut();
    Ok(stream.try_read(&mut buffer)?.map(|n| buffer[..n].to_vec()))
}

/// Receives something by the shared buffer, which is borrowed while it is read into and not while a task
/// waits.
fn poll_receive(
    stream: &TcpStream,
    buffer: &RefCell<Vec<u8>>,
    context: &mut Context<'_>,
) -> Poll<Result<Vec<u8>, Error>> {
    let mut buffer = buffer.borrow_mut();
    stream.poll_read(context, &mut buffer).map_ok(|n| buffer[..n].to_vec()).map_err(Error::from)
}

/// The tasks of the connections that are open.
#[derive(Default)]
struct Live {
    next: Cell<u64>,
    tasks: RefCell<HashMap<u64, Promise<()>>>,
}

impl Live {
    /// Keeps a task until it has ended. How it ended is its peer's affair: resets are normal.
    fn add(self: &Rc<Live>, task: Promise<()>) {
        let number = self.next.replace(self.next.get() + 1);
        let live = Rc::clone(self);
        self.tasks.borrow_mut().insert(number, task.clone());
        // At once, if it has ended already.
        task.on_termination(move || {
            let task = live.tasks.borrow_mut().remove(&number);
            drop(task); // now that the table is not borrowed any more
        });
    }

    /// Waits for the tasks to end, for as long as `grace` at most, or until `hurry`.
    async fn drain(&self, grace: Duration, hurry: Promise<()>) -> Result<(), Error> {
        let tasks: Vec<_> = self.tasks.take().into_values().collect();
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

/// Resolved by the next SIGTERM or SIGINT.
fn asked_to_end() -> Promise<()> {
    choose([signal::next(SIGTERM), signal::next(SIGINT)]).map(drop)
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
