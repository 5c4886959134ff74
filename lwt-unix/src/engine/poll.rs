//! [`PollEngine`]: an engine on `poll(2)`, which every Unix has.
//!
//! It costs a pass over all that is waited for with each call, so it is for few descriptors, for systems
//! without epoll and kqueue, and for descriptors that these refuse.
//!
//! 1. `poll` reports levels. A direction is asked for only while somebody waits in it ([`Engine::wants`]),
//!    and no more once it was reported: so each report is an edge, and a descriptor that is always ready
//!    costs nothing while nobody wants it.
//! 2. `asked` and `tokens` go side by side, without gaps; `places` tells where a descriptor stands in them.
//!    Slot 0 is the bell that other threads ring. A descriptor that nobody waits for is in `known` only:
//!    `poll` would report its hang-up over and over.
//! 3. No plan of faults concerns the bell, or the wait itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, c_short, pollfd};

use super::{Engine, Event, Readiness, Token, Wait, Waker};
use crate::sys;
use crate::sys::bell::Bell;

/// The other side has closed its writing half: an event of its own on Linux, part of the hang-up elsewhere.
#[cfg(any(target_os = "linux", target_os = "android"))]
const POLLRDHUP: c_short = libc::POLLRDHUP;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const POLLRDHUP: c_short = 0;

/// The engine on `poll(2)`.
///
/// ```
/// use lwt_unix::engine::{PollEngine, set_engine};
/// use std::rc::Rc;
/// set_engine(Rc::new(PollEngine::new().unwrap())).unwrap();
/// assert_eq!(lwt_unix::engine_name(), Some("poll"));
/// # lwt_unix::run(lwt_unix::sleep(std::time::Duration::from_millis(1))).unwrap();
/// ```
pub struct PollEngine {
    /// Borrowed for the time of a call, in which no foreign code runs.
    table: RefCell<Table>,
}

struct Table {
    /// The wake-up of other threads.
    bell: Arc<Bell>,
    /// What the next call asks for.
    asked: Vec<pollfd>,
    /// Whose it is. That of slot 0 is never used.
    tokens: Vec<Token>,
    /// The slots of the descriptors that are asked for.
    places: HashMap<RawFd, usize>,
    /// All that are registered.
    known: HashMap<RawFd, Token>,
}

impl PollEngine {
    /// A new engine.
    ///
    /// # Errors
    /// Those of the operating system, above all `EMFILE`: it takes one descriptor, or two.
    pub fn new() -> io::Result<PollEngine> {
        Ok(PollEngine { table: RefCell::new(Table::new()?) })
    }
}

impl Table {
    fn new() -> io::Result<Table> {
        let bell = Arc::new(Bell::new()?);
        let asked = vec![pollfd { fd: bell.fd().as_raw_fd(), events: POLLIN, revents: 0 }];
        Ok(Table {
            bell,
            asked,
            tokens: vec![Token::from_number(usize::MAX)],
            places: HashMap::new(),
            known: HashMap::new(),
        })
    }

    /// From now on these events of a descriptor are asked for; with none, it is asked no more.
    fn ask(&mut self, fd: RawFd, token: Token, events: c_short) {
        match self.places.get(&fd) {
            Some(&place) if events == 0 => self.forget(fd, place),
            Some(&place) => self.asked[place].events = events,
            None if events == 0 => {}
            None => {
                self.places.insert(fd, self.asked.len());
                self.asked.push(pollfd { fd, events, revents: 0 });
                self.tokens.push(token);
            }
        }
    }

    /// Closes the gap that a descriptor leaves.
    fn forget(&mut self, fd: RawFd, place: usize) {
        self.places.remove(&fd);
        self.asked.swap_remove(place);
        self.tokens.swap_remove(place);
        if let Some(moved) = self.asked.get(place) {
            self.places.insert(moved.fd, place);
        }
    }
}

/// What is asked for somebody who waits for this.
fn events(wanted: Readiness) -> c_short {
    let mut events = 0;
    if wanted.contains(Readiness::READ) {
        events |= POLLIN | POLLPRI | POLLRDHUP;
    }
    if wanted.contains(Readiness::WRITE) {
        events |= POLLOUT;
    }
    events
}

/// What an answer says. An error, and a descriptor that is not open, end both directions: the call will tell
/// which.
fn readiness(answer: c_short) -> Readiness {
    let mut set = Readiness::NONE;
    let mut add = |on: c_short, readiness: Readiness| {
        if answer & on != 0 {
            set = set.with(readiness);
        }
    };
    add(POLLIN | POLLPRI, Readiness::READ);
    add(POLLPRI, Readiness::URGENT);
    add(POLLOUT, Readiness::WRITE);
    add(POLLRDHUP, Readiness::READ.with(Readiness::READ_CLOSED));
    let both =
        Readiness::READ.with(Readiness::READ_CLOSED).with(Readiness::WRITE).with(Readiness::WRITE_CLOSED);
    add(POLLERR | POLLHUP | POLLNVAL, both);
    set
}

impl Engine for PollEngine {
    fn name(&self) -> &'static str {
        "poll"
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn register(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let kind = sys::file_type_of(fd)?;
        if matches!(kind, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        let known = &mut self.table.borrow_mut().known;
        if known.contains_key(&fd) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        known.insert(fd, token);
        Ok(())
    }

    fn deregister(&self, fd: RawFd, token: Token) -> io::Result<()> {
        let table = &mut *self.table.borrow_mut();
        if table.known.get(&fd) != Some(&token) {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        table.known.remove(&fd);
        table.ask(fd, token, 0);
        Ok(())
    }

    fn wants(&self, fd: RawFd, token: Token, readiness: Readiness) {
        let table = &mut *self.table.borrow_mut();
        if table.known.get(&fd) == Some(&token) {
            table.ask(fd, token, events(readiness));
        }
    }

    fn poll(&self, wait: Wait, reports: &mut Vec<Event>) -> io::Result<()> {
        let table = &mut *self.table.borrow_mut();
        let timeout = match wait {
            Wait::No => Some(Duration::ZERO),
            Wait::Forever => None,
            Wait::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
        };
        let mut answers = sys::poll(&mut table.asked, timeout)?;
        if std::mem::take(&mut table.asked[0].revents) != 0 {
            answers -= 1;
            table.bell.hush();
        }
        // From behind, because a slot that goes is filled with the last one.
        let mut place = table.asked.len();
        while answers > 0 && place > 1 {
            place -= 1;
            let slot = &mut table.asked[place];
            let answer = std::mem::take(&mut slot.revents);
            if answer == 0 {
                continue;
            }
            answers -= 1;
            let (fd, token, said) = (slot.fd, table.tokens[place], readiness(answer));
            // Rule 1: what was reported is asked for no more.
            let left = slot.events & !events(said);
            table.ask(fd, token, left);
            reports.push(Event { token, readiness: said });
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let bell = Arc::clone(&self.table.borrow().bell);
        Arc::new(move || bell.ring())
    }

    fn after_fork(&self) -> io::Result<()> {
        self.table.replace(Table::new()?);
        Ok(())
    }
}

impl fmt::Debug for PollEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.borrow();
        f.debug_struct("PollEngine")
            .field("registered", &table.known.len())
            .field("asked", &(table.asked.len() - 1))
            .finish_non_exhaustive()
    }
}
