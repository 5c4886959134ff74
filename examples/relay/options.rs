//! The command line.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

pub(crate) const HELP: &str = "\
relay: passes TCP connections on to one of several servers

Usage: relay --listen ADDR --to ADDR [--to ADDR ...] [options]

  --listen ADDR              where to take connections: an IP address and a port
  --to ADDR                  a server to pass them on to
  --connect-timeout SECONDS  how long a server has to answer (3)
  --check-every SECONDS      how often each server is tried (2)
  --limit N                  connections at a time (10000)
  --idle SECONDS             reset a connection on which nothing moves for so long; 0, as without this
                             option, is never
  --grace SECONDS            after SIGTERM or SIGINT: how long connections have to come to their end (5)

kill -USR1 prints the counters on standard error.
";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) to: Vec<SocketAddr>,
    pub(crate) connect_timeout: Duration,
    pub(crate) check_every: Duration,
    pub(crate) limit: usize,
    pub(crate) idle: Option<Duration>,
    pub(crate) grace: Duration,
}

impl Options {
    /// `None` if only the help is wanted.
    pub(crate) fn read() -> Result<Option<Options>, lexopt::Error> {
        let (mut listen, mut to) = (None, Vec::new());
        let mut connect_timeout = Duration::from_secs(3);
        let mut check_every = Duration::from_secs(2);
        let (mut limit, mut idle, mut grace) = (10_000, Duration::ZERO, Duration::from_secs(5));
        let mut words = lexopt::Parser::from_env();
        while let Some(word) = words.next()? {
            match word {
                Long("listen") => listen = Some(value("--listen", &mut words)?),
                Long("to") => to.push(value("--to", &mut words)?),
                Long("connect-timeout") => connect_timeout = seconds("--connect-timeout", &mut words)?,
                Long("check-every") => check_every = seconds("--check-every", &mut words)?,
                Long("limit") => limit = value("--limit", &mut words)?,
                Long("idle") => idle = seconds("--idle", &mut words)?,
                Long("grace") => grace = seconds("--grace", &mut words)?,
                Long("help") | Short('h') => return Ok(None),
                _ => return Err(word.unexpected()),
            }
        }
        let listen = listen.ok_or("--listen is missing")?;
        if to.is_empty() {
            return Err("there is no server to pass connections on to: --to is missing".into());
        }
        if to.contains(&listen) {
            return Err(format!("--to {listen} would pass connections on to the relay itself").into());
        }
        if connect_timeout.is_zero() {
            return Err("--connect-timeout 0 would let no server answer".into());
        }
        if limit == 0 {
            return Err("--limit 0 would let nobody in".into());
        }
        if check_every.is_zero() {
            return Err("--check-every 0 would do nothing else".into());
        }
        let idle = (!idle.is_zero()).then_some(idle);
        Ok(Some(Options { listen, to, connect_timeout, check_every, limit, idle, grace }))
    }
}

/// The value of an option.
fn value<T: FromStr<Err: Display>>(option: &str, words: &mut lexopt::Parser) -> Result<T, lexopt::Error> {
    let word = words.value()?.string()?;
    word.parse().map_err(|error| format!("{option} {word}: {error}").into())
}

fn seconds(option: &str, words: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let seconds = value(option, words)?;
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{option} {seconds}: {error}").into())
}
