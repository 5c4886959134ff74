//! Two loops on one thread: an echo server on this library's loop, and a clock on calloop's, a loop that
//! knows nothing of promises, as those of user interfaces do not.
//!
//! ```text
//! cargo run --example loops -- --outside calloop --ticks 5
//! cargo run --example loops -- --outside lwt --ticks 5
//! ```
//!
//! It prints `listening on ADDRESS`, a line for each tick of the clock, and when the last tick has come
//! `N ticks, B bytes sent back`. Both ways print the same:
//!
//! 1. *calloop outside*: calloop owns the thread. Our loop is its [`Guest`]: one more descriptor that it
//!    waits for, and a turn whenever it says so.
//! 2. *lwt outside*: [`run`](lwt::run) owns the thread, with an [`Engine`] that waits by calloop:
//!    [`Calloop`]. So calloop's callbacks run inside our turns.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction};
use lexopt::prelude::*;
use lwt::engine::{Engine, Event, MioEngine, Token, Wait, Waker, set_engine};
use lwt::main_loop::Guest;
use lwt::net::{TcpListener, TcpStream};
use lwt::{Error, Promise, Resolver, spawn, task};

const HELP: &str = "\
loops: an echo server beside the clock of another event loop, on one thread

Usage: loops [--outside calloop|lwt] [--port P] [--ticks N] [--every MS]

  --outside LOOP  which loop owns the thread (calloop)
  --port P        where to listen, on loopback; 0, as without this option, takes a free port
  --ticks N       how many ticks until the end (5)
  --every MS      milliseconds between two ticks (1000)
";

fn main() -> ExitCode {
    let done = match Options::read() {
        Ok(None) => say(HELP.trim_end()),
        Ok(Some(options)) => both_loops(&options),
        Err(error) => {
            eprintln!("loops: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loops: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Options {
    lwt_outside: bool,
    port: u16,
    ticks: u32,
    every: Duration,
}

impl Options {
    /// `None` if only the help is wanted.
    fn read() -> Result<Option<Options>, lexopt::Error> {
        let mut options =
            Options { lwt_outside: false, port: 0, ticks: 5, every: Duration::from_millis(1000) };
        let mut words = lexopt::Parser::from_env();
        while let Some(word) = words.next()? {
            match word {
                Long("outside") => {
                    options.lwt_outside = match words.value()?.string()?.as_str() {
                        "lwt" => true,
                        "calloop" => false,
                        other => return Err(format!("there is no loop {other:?}").into()),
                    }
                }
                Long("port") => options.port = words.value()?.parse()?,
                Long("ticks") => options.ticks = words.value()?.parse()?,
                Long("every") => options.every = Duration::from_millis(words.value()?.parse()?),
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(word.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

fn both_loops(options: &Options) -> Result<(), Error> {
    let mut calloop = EventLoop::try_new()?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], options.port)))?;
    say(&format!("listening on {}", listener.local_addr()?))?;
    let sent = Rc::new(Cell::new(0));
    let server: Promise<()> = spawn(serve(listener, Rc::clone(&sent)));

    let end = clock(&calloop.handle(), options.ticks, options.every)?;
    if options.lwt_outside {
        set_engine(Rc::new(Calloop::new(calloop)?))?;
        lwt::run(end)?;
    } else {
        as_guest(&mut calloop, &end)?;
    }
    server.cancel();
    say(&format!("{} ticks, {} bytes sent back", options.ticks, sent.get()))
}

/// Has calloop tick so many times; the promise is resolved with the last tick.
fn clock(calloop: &LoopHandle<'static, ()>, ticks: u32, every: Duration) -> Result<Promise<()>, Error> {
    let (end, resolver) = task();
    let mut resolver: Option<Resolver<()>> = Some(resolver);
    let mut tick = 0;
    let ticking = move |due: Instant, _: &mut (), (): &mut ()| {
        tick += 1;
        let said = if tick <= ticks { say(&format!("tick {tick}")) } else { Ok(()) };
        if tick < ticks && said.is_ok() {
            return TimeoutAction::ToInstant(due + every);
        }
        if let Some(resolver) = resolver.take() {
            resolver.wakeup_result(said);
        }
        TimeoutAction::Drop
    };
    let timer = Timer::from_duration(every);
    calloop.insert_source(timer, ticking).map_err(|refused| refused.error)?;
    Ok(end)
}

/// calloop owns the thread: our loop has its turns between its waits.
fn as_guest(calloop: &mut EventLoop<'static, ()>, end: &Promise<()>) -> Result<(), Error> {
    let guest = Rc::new(Guest::new()?);
    wake_by(&calloop.handle(), Rc::clone(&guest))?;
    loop {
        let wait = guest.turn()?;
        if !end.is_pending() {
            return Ok(());
        }
        calloop.dispatch(timeout(wait, guest.now()), &mut ())?;
    }
}

/// Has calloop's wait end when this is readable. There is nothing else to do then.
fn wake_by(calloop: &LoopHandle<'static, ()>, fd: impl AsFd + 'static) -> Result<(), Error> {
    let source = Generic::new(fd, Interest::READ, Mode::Level);
    let inserted = calloop.insert_source(source, |_, _, _| Ok(PostAction::Continue));
    inserted.map_err(|refused| refused.error)?;
    Ok(())
}

/// How long calloop may wait.
fn timeout(wait: Wait, now: Instant) -> Option<Duration> {
    match wait {
        Wait::No => Some(Duration::ZERO),
        Wait::Until(deadline) => Some(deadline.saturating_duration_since(now)),
        Wait::Forever => None,
    }
}

/// An engine that waits by calloop, and so runs its callbacks. Descriptors stay with an engine of their own,
/// whose descriptor is one of calloop's sources.
#[derive(Debug)]
struct Calloop {
    calloop: RefCell<EventLoop<'static, ()>>,
    descriptors: MioEngine,
}

impl Calloop {
    fn new(calloop: EventLoop<'static, ()>) -> Result<Calloop, Error> {
        let descriptors = MioEngine::new()?;
        let pollable: OwnedFd = descriptors.pollable()?.ok_or(io::Error::from(io::ErrorKind::Unsupported))?;
        wake_by(&calloop.handle(), pollable)?;
        Ok(Calloop { calloop: RefCell::new(calloop), descriptors })
    }
}

impl Engine for Calloop {
    fn name(&self) -> &'static str {
        "calloop"
    }

    fn now(&self) -> Instant {
        self.descriptors.now()
    }

    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.descriptors.register(fd, token)
    }

    fn deregister(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.descriptors.deregister(fd, token)
    }

    fn poll(&self, wait: Wait, events: &mut Vec<Event>) -> io::Result<()> {
        // It stays borrowed while calloop's callbacks run: they may do everything with promises, but no
        // `run`.
        let mut calloop = self.calloop.borrow_mut();
        calloop.dispatch(timeout(wait, self.now()), &mut ()).map_err(io::Error::other)?;
        self.descriptors.poll(Wait::No, events)
    }

    fn waker(&self) -> Waker {
        self.descriptors.waker()
    }

    fn after_fork(&self) -> io::Result<()> {
        // calloop would share its poller with the parent, and has no way to begin anew.
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Sends back what comes in, on all connections.
async fn serve(listener: TcpListener, sent: Rc<Cell<usize>>) -> Result<(), Error> {
    let mut connections = listener.incoming();
    loop {
        let (stream, peer) = connections.next().await?;
        let talk = spawn(echo(stream, Rc::clone(&sent)));
        talk.on_failure(move |error| eprintln!("loops: {peer}: {error}"));
    }
}

async fn echo(stream: TcpStream, sent: Rc<Cell<usize>>) -> Result<(), Error> {
    let mut buf = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return stream.close();
        }
        stream.write_all(&buf[..n]).await?;
        sent.set(sent.get() + n);
    }
}

/// Prints a line on standard output.
fn say(line: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
