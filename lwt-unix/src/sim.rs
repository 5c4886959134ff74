//! Simulations: a program runs on a clock that jumps and a network in memory, and does the same in each run
//! with one seed.
//!
//! What goes wrong once in a thousand runs goes wrong every time here, once its seed is known; an hour of
//! time-outs passes in milliseconds; and a program that waits for what will never come ends with the list of
//! what waits. The program is an ordinary one, with the sockets of [`net`](crate::net),
//! [`sleep`](crate::sleep) and [jobs](crate::detach).
//!
//! ```
//! use std::time::Duration;
//! use lwt_core::{Error, spawn};
//! use lwt_unix::net::{TcpListener, TcpStream};
//! use lwt_unix::sim::{self, Sim};
//!
//! let slow = Sim::new().latency(Duration::from_secs(1)..=Duration::from_secs(2));
//! let took = slow.run(|| async {
//!     let listener = TcpListener::bind("10.0.0.1:80".parse().unwrap())?;
//!     let server = spawn(async move {
//!         let (stream, _) = listener.accept().await?;
//!         stream.write_all(b"at last").await
//!     });
//!     let stream = TcpStream::connect("10.0.0.1:80".parse().unwrap()).await?;
//!     stream.read_exact(&mut [0; 7]).await?;
//!     server.await?;
//!     Ok::<_, Error>(sim::elapsed())
//! })?;
//! assert!(took >= Duration::from_secs(3));
//! # Ok::<(), Error>(())
//! ```
//!
//! # What is simulated
//!
//! * *Time*: that of [`sleep`](crate::sleep) and all that stands on it, and of
//!   [`LoopClock`](crate::time::LoopClock). It stands still while there is work, and jumps when there is
//!   none. [`Instant::now`](std::time::Instant::now) is real.
//! * *The network*: TCP, UDP, Unix stream sockets, and [pipes](crate::fd::pipe). Every address is a host of
//!   it, and each host has all ports. Packets take the [`latency`](Sim::latency) that is drawn for them; some
//!   are [lost](Sim::loss), which delays a connection and swallows a datagram; connections
//!   [break](Sim::breaks); what is sent at once may arrive [in pieces](Sim::partial), and a write may be
//!   short. Half-closing, resets, refused and timed-out connections, and full queues are as on the real one.
//!   There is no multicast, no urgent data, and no descriptors in messages: who asks for them is refused. An
//!   IPv6 socket hears no IPv4 peers.
//! * *Jobs* run on real threads, one after the other, in no time at all: the loop stands still meanwhile. A
//!   job that waits for another job or for the loop waits for ever.
//! * *Chance*: what [`choose`](lwt_core::choose) and its relatives draw. A `HashMap` has a seed of its own:
//!   who goes through one makes each run differ.
//!
//! Files, and descriptors that come from elsewhere, are real. What has to wait for such a descriptor fails
//! (`Unsupported`). Nobody waits for signals, children and other threads either: a program to which only they
//! could happen any more is at a [`Deadlock`]. A simulated socket whose last holder is not its `Fd` but
//! somebody who [holds](crate::fd::Fd::hold) it is closed, for the network, only when its number is used
//! again.
//!
//! Together with a [plan of faults](crate::faults), system calls fail at places that are the same in each
//! run, too.

use std::env;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use lwt_core::Error;

use crate::engine::{SimEngine, set_engine, sim};
use crate::entry::{Outcome, guarded, judge};
use crate::fd::OsError;

/// The environment variable with the seed of simulations for which the program sets none.
const SEED: &str = "LWT_SEED";
/// The one with the number of seeds that each test runs with.
const SEEDS: &str = "LWT_SEEDS";

/// How a simulation is; [`run`](Sim::run) runs one. The [module](self) has an example.
#[derive(Debug, Clone)]
#[must_use = "nothing is simulated before `run` is called"]
pub struct Sim {
    seed: Option<u64>,
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) loss: f64,
    pub(crate) breaks: f64,
    pub(crate) partial: f64,
    pub(crate) window: usize,
}

impl Default for Sim {
    fn default() -> Sim {
        Sim::new()
    }
}

impl Sim {
    /// A fast and faithful network: 0.1 to 2 ms of latency, nothing lost, one transfer in ten in pieces, 64
    /// KiB under way. The seed is that of the environment variable `LWT_SEED`, or 0.
    pub fn new() -> Sim {
        Sim {
            seed: None,
            latency: Duration::from_micros(100)..=Duration::from_millis(2),
            loss: 0.0,
            breaks: 0.0,
            partial: 0.1,
            window: 64 << 10,
        }
    }

    /// The seed of everything that is left to chance.
    pub fn seed(mut self, seed: u64) -> Sim {
        self.seed = Some(seed);
        self
    }

    /// How long a packet is under way: a time from this range. Unix sockets have no latency.
    pub fn latency(mut self, range: RangeInclusive<Duration>) -> Sim {
        self.latency = range;
        self
    }

    /// How probable it is that a packet is lost, from 0 to 1. A connection sends it again, after 200 ms at
    /// first, and is reset if that fails six times; opening a connection it takes longer, and ends with
    /// `TimedOut`. A datagram is lost for good.
    pub fn loss(mut self, probability: f64) -> Sim {
        self.loss = probability;
        self
    }

    /// How probable it is, for each packet of a TCP connection, that the connection breaks with it: both ends
    /// are reset.
    pub fn breaks(mut self, probability: f64) -> Sim {
        self.breaks = probability;
        self
    }

    /// How probable it is that a write takes only a part of what it is given, and that what was sent at once
    /// comes in pieces.
    pub fn partial(mut self, probability: f64) -> Sim {
        self.partial = probability;
        self
    }

    /// How many bytes a stream socket takes that the other end has not read; at least one.
    pub fn window(mut self, bytes: usize) -> Sim {
        self.window = bytes.max(1);
        self
    }

    pub(crate) fn seed_in_force(&self) -> u64 {
        self.seed.or_else(|| number(SEED)).unwrap_or(0)
    }

    /// Runs a program in a simulation of its own, on a thread of its own. If it panics, the seed is printed.
    ///
    /// What is pending at the end is dropped.
    ///
    /// # Errors
    /// The program's own; [`Deadlock`] if nothing is left that could happen; the operating system's, if no
    /// thread or descriptor is to be had.
    ///
    /// # Panics
    /// If the program does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use lwt_core::Error;
    /// use lwt_unix::sim::{Deadlock, Sim};
    ///
    /// let sim = Sim::new().seed(7);
    /// sim.run(|| lwt_unix::sleep(Duration::from_secs(86_400)))?;
    /// let error = sim.run(|| async {
    ///     let (promise, _resolver) = lwt_core::wait::<()>();
    ///     promise.await
    /// });
    /// assert!(Deadlock::of(&error.unwrap_err()).is_some());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn run<T, E, F>(&self, program: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: Send + 'static,
        E: Into<Error> + 'static,
    {
        let sim = self.clone();
        let thread = thread::Builder::new().name("simulation".to_owned()).spawn(move || {
            let _announced = sim.begin()?;
            crate::run(program())
        })?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Makes this thread's loop a simulation.
    fn begin(&self) -> Result<Announced, Error> {
        let seed = self.seed_in_force();
        lwt_core::set_random_seed(seed);
        set_engine(Rc::new(SimEngine::new(self)?))?;
        Ok(Announced(seed))
    }
}

/// Tells the seed if it is dropped by a panic.
struct Announced(u64);

impl Drop for Announced {
    fn drop(&mut self) {
        if thread::panicking() {
            use std::io::Write;
            let seed = self.0;
            // With standard error closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "the simulation's seed was {seed}; {SEED}={seed} repeats it");
        }
    }
}

/// Runs a program in a simulation with this seed, otherwise as [`Sim::new`] has it.
///
/// # Errors
/// As [`Sim::run`].
///
/// # Panics
/// If the program does.
///
/// ```
/// use std::time::Duration;
/// lwt_unix::sim::run(1, || lwt_unix::sleep(Duration::from_secs(3600)))?;
/// # Ok::<(), lwt_core::Error>(())
/// ```
pub fn run<T, E, F>(seed: u64, program: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    Sim::new().seed(seed).run(program)
}

/// The seeds to try: that of the environment variable `LWT_SEED` if it is set, else those below `count`, or
/// below `LWT_SEEDS` if that is set.
///
/// ```
/// assert!(lwt_unix::sim::seeds(10).count() >= 1);
/// ```
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    match number(SEED) {
        Some(seed) => seed..=seed,
        None => 0..=number(SEEDS).unwrap_or(count).max(1) - 1,
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

/// The virtual time since this thread's simulation began; zero where there is none.
pub fn elapsed() -> Duration {
    sim::world().map_or(Duration::ZERO, |world| world.borrow().elapsed())
}

/// Changes this thread's simulation from now on, to let the network get worse, or better. The seed stays.
///
/// ```
/// use lwt_unix::sim::{self, Sim};
/// Sim::new().run(|| async {
///     sim::change(|sim| sim.loss(0.5));
///     Ok::<_, lwt_core::Error>(())
/// })?;
/// # Ok::<(), lwt_core::Error>(())
/// ```
pub fn change(how: impl FnOnce(Sim) -> Sim) {
    if let Some(world) = sim::world() {
        let now = world.borrow().sim().clone();
        let changed = how(now);
        world.borrow_mut().set_sim(changed);
    }
}

/// The error of a simulation in which nothing can be done and nothing will happen.
///
/// With the feature `registry` it names every pending promise, the line that made it, and what that waits on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    seed: u64,
    after: Duration,
    waits: Vec<String>,
}

impl Deadlock {
    pub(crate) fn new(seed: u64, after: Duration, waits: Vec<String>) -> Deadlock {
        Deadlock { seed, after, waits }
    }

    /// The deadlock that `error` reports, if it does.
    pub fn of(error: &Error) -> Option<&Deadlock> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_std());
        while let Some(this) = cause {
            if let Some(deadlock) = this.downcast_ref() {
                return Some(deadlock);
            }
            // What is in an `io::Error` is no source of it, nor is what the loop adds to it.
            let told = this.downcast_ref::<OsError>().map(OsError::cause);
            let inner = told.or_else(|| this.downcast_ref()).and_then(io::Error::get_ref);
            cause = inner.map_or_else(|| this.source(), |inner| Some(inner));
        }
        None
    }

    /// The virtual time at which nothing was left to happen.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// What waits, one line each.
    pub fn waits(&self) -> &[String] {
        &self.waits
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "nothing can run, and nothing will happen (seed {}, after {:?}); waiting:",
            self.seed, self.after
        )?;
        if self.waits.is_empty() {
            f.write_str(" promises only; the feature `registry` lists them")?;
        }
        for wait in &self.waits {
            write!(f, "\n  {wait}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Deadlock {}

/// Makes tests of `async fn`s, as [`test!`](crate::test) does, each run in [simulations](crate::sim) with
/// several seeds.
///
/// It runs with the seeds 0 to 7; the environment variable `LWT_SEEDS` sets another number of them, and
/// `LWT_SEED` has it run with one seed only. A test that fails prints its seed.
///
/// ```
/// lwt_unix::sim_test! {
///     /// It takes a day, and no time.
///     async fn sleeps() -> Result<(), lwt_core::Error> {
///         lwt_unix::sleep(std::time::Duration::from_secs(86_400)).await
///     }
/// }
/// ```
#[macro_export]
macro_rules! sim_test {
    ($($(#[$attribute:meta])* async fn $name:ident() $(-> $outcome:ty)? $body:block)*) => {
        $(
            #[::core::prelude::v1::test]
            $(#[$attribute])*
            fn $name() {
                async fn test() $(-> $outcome)? $body
                $crate::sim::test(::core::stringify!($name), &$crate::sim::Sim::new(), test)
            }
        )*
    };
}

/// Runs a test in simulations with several seeds; what [`sim_test!`](crate::sim_test) makes of a function.
///
/// # Panics
/// If the test does, returns an error, leaves a rejection that nobody looked at, or does not end in (real)
/// time.
pub fn test<F>(name: &str, sim: &Sim, body: impl FnOnce() -> F + Clone + Send + 'static)
where
    F: Future + 'static,
    F::Output: Outcome,
{
    for seed in seeds(8) {
        let sim = sim.clone().seed(seed);
        let body = body.clone();
        guarded(name, move || {
            let _announced = match sim.begin() {
                Ok(announced) => announced,
                Err(error) => panic!("no simulation for the test: {error}"),
            };
            judge(body);
        });
    }
}
