//! One connection, from the client's coming to the end of both sides.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use lwt::fd::Traffic;
use lwt::net::opt::Linger;
use lwt::net::{Relay as Lanes, Socket, TcpStream};
use lwt::{Error, Promise, pick, spawn};

use super::backend::{Backend, Bytes, add, in_order, is_shortage};
use super::{Relay, complain};

/// How long a connection waits for a descriptor, if there is none, before it tries again.
const SHORTAGE: Duration = Duration::from_millis(20);

/// Passes a client's connection on. Whatever goes wrong is counted, told where it is of interest, and ends in
/// a reset of both sides.
pub(crate) async fn run(client: TcpStream, peer: SocketAddr, relay: &Relay) -> Result<(), Error> {
    // Answers and questions go on as they come.
    let _ = client.set_nodelay(true);
    let (server, backend) = match connect(relay).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            add(&relay.refused, 1);
            complain(&format!("no server takes the connection of {peer}"));
            reset(&client);
            return Ok(());
        }
        Err(canceled) => {
            reset(&client);
            return Err(canceled);
        }
    };
    let _ = server.set_nodelay(true);
    let mut lanes = Lanes::new(&Socket::from(&client), &Socket::from(&server));
    let (sent, received) = lanes.traffic();
    let _open = backend.open(Bytes { sent: sent.clone(), received: received.clone() });
    let passing: Promise<()> = spawn(async move { lanes.run().await });
    let passed = match relay.options.idle {
        None => passing.await,
        Some(idle) => pick([passing, spawn(watch_idle(idle, sent, received))]).await,
    };
    if passed.is_err() {
        add(&backend.broken, 1);
        reset(&client);
        reset(&server);
    }
    passed
}

/// A connection to the first server that takes one. If it is descriptors that are missing, it waits for some.
/// The only error is a cancel.
async fn connect(relay: &Relay) -> Result<Option<(TcpStream, Rc<Backend>)>, Error> {
    loop {
        let mut shortage = false;
        for backend in in_order(&relay.backends) {
            match backend.connect(relay.options.connect_timeout).await {
                Ok(server) => return Ok(Some((server, backend))),
                Err(error) if error.is_canceled() => return Err(error),
                Err(error) => shortage |= is_shortage(&error),
            }
        }
        if !shortage {
            return Ok(None);
        }
        lwt::sleep(SHORTAGE).await?;
    }
}

/// Fails when nothing has moved for so long.
async fn watch_idle(idle: Duration, sent: Traffic, received: Traffic) -> Result<(), Error> {
    let mut moved = (0, 0);
    loop {
        lwt::sleep(idle).await?;
        let now = (sent.taken() + sent.given(), received.taken() + received.given());
        if now == moved {
            return Err(Error::msg("nothing moved for too long"));
        }
        moved = now;
    }
}

/// Has the peer see a reset instead of an end, when the connection is closed.
fn reset(stream: &TcpStream) {
    // It fails when there is no connection any more.
    let _ = stream.set_option::<Linger>(Some(Duration::ZERO));
}
