//! A TCP relay and balancer: it takes connections on one address and passes each on to one of several
//! servers.
//!
//! ```text
//! cargo run --release --example relay -- --listen 127.0.0.1:8080 --to 127.0.0.1:8001 --to 127.0.0.1:8002
//! ```
//!
//! It prints `listening on ADDRESS` on standard output, and reports with `kill -USR1`.
//!
//! 1. *Choice.* A connection goes to the server with the fewest connections, of those that are up. One that
//!    does not answer in time is down until a check finds it up again; the connection goes on to the next. If
//!    none takes it, it is reset.
//! 2. *Bytes* are spliced from socket to socket where the system can do that. The end of one direction is
//!    passed on as the end of that direction; a reset of one side is a reset of the other, so that nobody
//!    takes a part for the whole. (A side that is reset after its own end is found out by the next byte for
//!    it, or by `--idle`.)
//! 3. *Limits.* Over `--limit` connections, and when descriptors run out, who wants to connect waits in the
//!    listener's queue; who has come in when the last one went waits for another. So that they cannot all be
//!    clients', there are never more connections than half of the descriptors. With `--idle`, a connection on
//!    which nothing moves for so long is reset.
//! 4. *The end.* SIGTERM or SIGINT closes the listener. Connections may come to their end within `--grace`
//!    seconds; then, or at a second signal, they are reset. The exit code is 0.
//!
//! Files: `backend`, one server, its health and its counts; `connection`, one connection; `report`, what
//! SIGUSR1 prints; `options`, the command line.

pub(crate) mod backend;
mod connection;
pub(crate) mod options;
mod report;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use lwt::net::TcpListener;
use lwt::semaphore::Semaphore;
use lwt::signal::{self, SIGINT, SIGTERM, SIGUSR1};
use lwt::{Error, Promise, choose, join, pick, spawn};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::backend::Backend;
use self::options::{HELP, Options};

lwt::main! {
    async fn main() -> ExitCode {
        let done = match Options::read() {
            Ok(None) => say(HELP.trim_end()),
            Ok(Some(options)) => start(options).await,
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

/// So many descriptors are for other things than connections.
const OWN: u64 = 16;

/// From the command line to the end.
async fn start(mut options: Options) -> Result<(), Error> {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If the system lets us have no more, then fewer must do.
        let most = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
        let pairs = usize::try_from(most.saturating_sub(OWN) / 2).unwrap_or(usize::MAX);
        options.limit = options.limit.min(pairs.max(1));
    }
    let listener = TcpListener::bind(options.listen)?;
    let relay = Rc::new(Relay::new(options));
    signal::on_signal(SIGUSR1, {
        let relay = Rc::clone(&relay);
        move |_| report::print(&relay)
    })?;
    let end = asked_to_end();
    say(&format!("listening on {}", listener.local_addr()?))?;
    relay.serve(listener, end, asked_to_end).await
}

/// Resolved by the next SIGTERM or SIGINT.
fn asked_to_end() -> Promise<()> {
    choose([signal::next(SIGTERM), signal::next(SIGINT)]).map(drop)
}

/// What all parts of the program know of it.
pub(crate) struct Relay {
    options: Options,
    backends: Vec<Rc<Backend>>,
    /// Connections that were taken, and those that no server took.
    taken: Cell<u64>,
    refused: Cell<u64>,
    live: RefCell<BTreeMap<u64, Promise<()>>>,
}

impl Relay {
    /// A relay that has not begun.
    pub(crate) fn new(options: Options) -> Relay {
        let backends = options.to.iter().map(|address| Rc::new(Backend::new(*address))).collect();
        Relay { options, backends, taken: Cell::new(0), refused: Cell::new(0), live: RefCell::default() }
    }

    /// Passes connections on until `end`, and then lets them come to their own end: for the grace time, or
    /// until what `hurry` gives then.
    pub(crate) async fn serve(
        self: &Rc<Relay>,
        listener: TcpListener,
        end: Promise<()>,
        hurry: impl FnOnce() -> Promise<()>,
    ) -> Result<(), Error> {
        let checks: Vec<Promise<()>> = self
            .backends
            .iter()
            .map(|backend| {
                let backend = Rc::clone(backend);
                spawn(backend.watch(self.options.check_every, self.options.connect_timeout))
            })
            .collect();
        // The end cancels the accepting; the listener is dropped with it, and so closed.
        let accepted = pick([spawn(Rc::clone(self).accept(listener)), end]).await;
        checks.iter().for_each(Promise::cancel);
        self.drain(hurry()).await?;
        accepted
    }

    /// Takes connections for ever, as many at a time as are allowed.
    async fn accept(self: Rc<Relay>, listener: TcpListener) -> Result<(), Error> {
        let places = Semaphore::new(self.options.limit);
        let mut incoming = listener.incoming().on_shortage(|error| complain(&format!("waiting: {error}")));
        loop {
            let place = places.acquire().await?;
            let (client, peer) = incoming.next().await?;
            let number = self.taken.replace(self.taken.get() + 1);
            let connection = spawn({
                let relay = Rc::clone(&self);
                async move {
                    let _place = place;
                    connection::run(client, peer, &relay).await
                }
            });
            self.add(number, connection);
        }
    }

    /// Keeps a connection until it has ended. How it ended is counted with its server.
    fn add(self: &Rc<Relay>, number: u64, connection: Promise<()>) {
        let relay = Rc::clone(self);
        self.live.borrow_mut().insert(number, connection.clone());
        // At once, if it has ended already.
        connection.on_termination(move || {
            let connection = relay.live.borrow_mut().remove(&number);
            drop(connection); // now that the table is not borrowed any more
        });
    }

    /// Waits for the connections to end, for as long as the grace time at most, or until `hurry`.
    async fn drain(&self, hurry: Promise<()>) -> Result<(), Error> {
        let connections: Vec<_> = self.live.borrow().values().cloned().collect();
        let ended =
            join(connections.iter().map(|connection| connection.clone().catch(|_error| Promise::ready(()))));
        choose([ended, lwt::sleep(self.options.grace), hurry]).await?;
        let late: Vec<_> = connections.into_iter().filter(Promise::is_pending).collect();
        if !late.is_empty() {
            complain(&format!("{} connections reset", late.len()));
        }
        late.iter().for_each(Promise::cancel);
        // A cancel appears as an error where the connection waits; it resets both of its sides on the way
        // out.
        join(late.into_iter().map(|connection| connection.catch(|_error| Promise::ready(())))).await
    }
}

/// Prints a line on standard output.
fn say(line: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())?;
    Ok(())
}

/// Prints a line on standard error. If nobody reads that there is nobody to be told.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "relay: {text}");
}
