//! One server that connections are passed on to.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use lwt::fd::{OsError, Traffic};
use lwt::net::TcpStream;
use lwt::{Error, spawn, within};
use nix::libc;

use super::complain;

/// A server: whether it is up, and what has gone through.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) up: Cell<bool>,
    pub(crate) taken: Cell<u64>,
    /// Connections that ended by an error, on either side.
    pub(crate) broken: Cell<u64>,
    /// Attempts to connect that failed.
    pub(crate) failed: Cell<u64>,
    /// What moves on the open connections, by the connection's number.
    open: RefCell<BTreeMap<u64, Bytes<Traffic>>>,
    /// What has moved on those that have ended.
    ended: Cell<Bytes<u64>>,
}

/// One of each direction.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<T> {
    /// To the server.
    pub(crate) sent: T,
    /// From it.
    pub(crate) received: T,
}

impl Backend {
    /// A server that is taken to be up until it is found to be down.
    pub(crate) fn new(address: SocketAddr) -> Backend {
        Backend {
            address,
            up: Cell::new(true),
            taken: Cell::new(0),
            broken: Cell::new(0),
            failed: Cell::new(0),
            open: RefCell::default(),
            ended: Cell::new(Bytes { sent: 0, received: 0 }),
        }
    }

    /// A connection begins; it ends with the drop of what this gives.
    pub(crate) fn open(&self, traffic: Bytes<Traffic>) -> Open<'_> {
        let number = self.taken.get();
        add(&self.taken, 1);
        self.open.borrow_mut().insert(number, traffic);
        Open { backend: self, number }
    }

    /// How many connections are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.borrow().len()
    }

    /// How many bytes have passed, until now.
    pub(crate) fn bytes(&self) -> Bytes<u64> {
        self.open.borrow().values().fold(self.ended.get(), Bytes::plus)
    }

    /// Connects, and notes how that went.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<TcpStream, Error> {
        let address = self.address;
        let attempt = within(timeout, async move { TcpStream::connect(address).await }).await;
        match &attempt {
            Ok(_) => self.note(None),
            // Whoever gave up, or could not even try, did not find the server down.
            Err(error) if error.is_canceled() || is_shortage(error) => {}
            Err(error) => {
                add(&self.failed, 1);
                self.note(Some(error));
            }
        }
        attempt
    }

    /// Tries it again and again.
    pub(crate) async fn watch(self: Rc<Backend>, every: Duration, timeout: Duration) -> Result<(), Error> {
        loop {
            lwt::sleep(every).await?;
            let backend = Rc::clone(&self);
            let check = spawn(async move { backend.connect(timeout).await.map(drop) });
            if let Err(error) = check.await
                && error.is_canceled()
            {
                return Err(error);
            }
        }
    }

    /// Whether it is up, from the last attempt; a change is told.
    fn note(&self, error: Option<&Error>) {
        if self.up.replace(error.is_none()) != error.is_none() {
            match error {
                None => complain(&format!("{} is up", self.address)),
                Some(error) => complain(&format!("{} is down: {error}", self.address)),
            }
        }
    }
}

impl Bytes<u64> {
    fn plus(self, traffic: &Bytes<Traffic>) -> Bytes<u64> {
        Bytes { sent: self.sent + traffic.sent.given(), received: self.received + traffic.received.given() }
    }
}

/// An open connection, as it is counted.
pub(crate) struct Open<'a> {
    backend: &'a Backend,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(traffic) = self.backend.open.borrow_mut().remove(&self.number) {
            self.backend.ended.set(self.backend.ended.get().plus(&traffic));
        }
    }
}

/// The servers in the order in which a connection tries them: those that are up first, and of these the least
/// busy; among equals, the one that has had the fewest.
pub(crate) fn in_order(backends: &[Rc<Backend>]) -> Vec<Rc<Backend>> {
    let mut order: Vec<_> = backends.to_vec();
    order.sort_by_key(|backend| (!backend.up.get(), backend.open_count(), backend.taken.get()));
    order
}

/// Whether descriptors or memory have run out for now.
pub(crate) fn is_shortage(error: &Error) -> bool {
    let number = OsError::of(error).and_then(OsError::raw_os_error);
    matches!(number, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// Counts up.
pub(crate) fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}
