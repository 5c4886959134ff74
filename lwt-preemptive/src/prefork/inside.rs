//! The worker's side of a service.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use lwt_core::{Error, Promise, Resolver, spawn, wait};
use lwt_unix::net::{TcpListener, TcpStream, UnixListener, UnixStream, somaxconn};
use lwt_unix::signal::{SIGTERM, on_signal};

use super::{READY, SOCKET};
use crate::worker::{Level, log_if_room, passed};

/// The socket that the service listens at.
///
/// # Errors
/// If this process is no worker of a service, or has taken the socket already.
pub fn socket() -> Result<OwnedFd, Error> {
    passed(SOCKET).ok_or_else(|| Error::msg("there is no socket: this is no worker of a service"))
}

/// Tells the service that this worker serves. [`serve`] does that itself.
///
/// [`Prefork::serve`](super::Prefork::serve) and a [reload](super::Service::reload) wait for it. To say it
/// once more means nothing. (A service that is stopped does not wait: before it says so a worker may be asked
/// to end, too.)
pub fn ready() {
    if let Some(pipe) = passed(READY) {
        // If the service has gone there is nobody to be told, and this worker ends with it.
        let _ = File::from(pipe).write_all(&[1]);
    }
}

/// Fulfilled when this worker is asked to end (`SIGTERM`), and then for every caller. A cancel ends one wait.
///
/// Who holds connections that may stay for long listens to this, and closes them when they are idle. To be
/// asked once more means nothing: whoever sends the signal to all processes of a program sends it to the
/// workers, and then the service does so, too.
pub fn draining() -> Promise<()> {
    thread_local! {
        static ASKED: RefCell<Option<Promise<()>>> = const { RefCell::new(None) };
    }
    ASKED.with(|asked| asked.borrow_mut().get_or_insert_with(first_request).clone().protected())
}

fn first_request() -> Promise<()> {
    let (promise, resolver) = wait();
    let first = Cell::new(Some(resolver));
    let handler = on_signal(SIGTERM, move |_| {
        if let Some(first) = first.take() {
            first.wakeup(());
        }
    });
    match handler {
        // It stays, for the requests that come later.
        Ok(_) => promise,
        Err(error) => Promise::fail(error),
    }
}

/// Serves the service's socket, until it is time to end: the body of most services.
///
/// `handle` is called with each connection and where it comes from, and what it returns runs as a task. When
/// the worker is [asked to end](draining) it takes those connections that wait already, closes its handle on
/// the socket, and waits for the tasks. A task that fails is told to the program, as a line of its log, if
/// the program keeps up with them.
///
/// The connections are [`TcpStream`]s or [`UnixStream`]s, whichever the socket is for.
///
/// # Errors
/// If there is no such socket, or accepting fails for another reason than a lack of descriptors.
pub async fn serve<S, F, P>(mut handle: F) -> Result<(), Error>
where
    S: Connection,
    F: FnMut(S, S::Address) -> P,
    P: Future<Output = Result<(), Error>> + 'static,
{
    let listener = S::listener(socket()?)?;
    let open = Rc::new(Open::default());
    let asked = draining();
    ready();
    S::each(&listener, asked, |stream, peer| open.add(spawn(handle(stream, peer)))).await?;
    drop(listener);
    open.none_left().await
}

/// The tasks of the connections.
#[derive(Default)]
struct Open {
    count: Cell<usize>,
    waiting: Cell<Option<Resolver<()>>>,
}

impl Open {
    fn add(self: &Rc<Open>, task: Promise<()>) {
        self.count.set(self.count.get() + 1);
        let open = Rc::clone(self);
        task.on_any(move |ended| {
            if let Err(error) = ended {
                log_if_room(Level::Info, format_args!("a connection: {error}"));
            }
            open.count.set(open.count.get() - 1);
            if open.count.get() == 0
                && let Some(waiting) = open.waiting.take()
            {
                waiting.wakeup_later(());
            }
        });
    }

    fn none_left(&self) -> Promise<()> {
        if self.count.get() == 0 {
            return Promise::ready(());
        }
        let (promise, resolver) = wait();
        self.waiting.set(Some(resolver));
        promise
    }
}

/// A connection that [`serve`] can accept: a [`TcpStream`] or a [`UnixStream`].
pub trait Connection: Sized + 'static {
    /// What accepts it.
    type Listener: 'static;
    /// Where it comes from.
    type Address: 'static;

    /// The listener of a descriptor.
    ///
    /// # Errors
    /// If it is none of this kind.
    fn listener(fd: OwnedFd) -> Result<Self::Listener, Error>;

    /// Calls `handle` for every connection, through shortages of descriptors, until `asked` is resolved; and
    /// then for those that wait already.
    ///
    /// # Errors
    /// That of accepting, and that of `asked`.
    fn each(
        listener: &Self::Listener,
        asked: Promise<()>,
        handle: impl FnMut(Self, Self::Address),
    ) -> impl Future<Output = Result<(), Error>>;
}

macro_rules! connections {
    ($($stream:ty, $listener:ty, $plain:ty, $address:ty;)*) => {$(
        impl Connection for $stream {
            type Listener = $listener;
            type Address = $address;

            fn listener(fd: OwnedFd) -> Result<$listener, Error> {
                <$listener>::try_from(<$plain>::from(fd))
            }

            async fn each(
                listener: &$listener,
                mut asked: Promise<()>,
                mut handle: impl FnMut(Self, $address),
            ) -> Result<(), Error> {
                let mut incoming = listener.incoming();
                while let Some((stream, peer)) = unless(&mut asked, incoming.next()).await? {
                    handle(stream, peer);
                }
                // No more than could wait: others go on coming.
                for _ in 0..somaxconn() {
                    // In a shortage they are left to the other workers.
                    let Ok(Some((stream, peer))) = incoming.waiting() else { break };
                    handle(stream, peer);
                }
                Ok(())
            }
        }
    )*};
}

connections! {
    TcpStream, TcpListener, std::net::TcpListener, SocketAddr;
    UnixStream, UnixListener, std::os::unix::net::UnixListener, UnixAddr;
}

/// What comes next; none if the worker is asked to end before.
async fn unless<T>(
    asked: &mut Promise<()>,
    next: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    let mut next = pin!(next);
    poll_fn(|context| match Pin::new(&mut *asked).poll(context) {
        Poll::Ready(asked) => Poll::Ready(asked.map(|()| None)),
        Poll::Pending => next.as_mut().poll(context).map_ok(Some),
    })
    .await
}
