//! What the tests of services have in common.

use std::net::SocketAddr;
use std::time::Duration;

use lwt_core::Error;
use lwt_core::retry::BackOff;
use lwt_preemptive::prefork::{self, Prefork};
use lwt_preemptive::worker::Way;
use lwt_unix::net::UnixStream;
use lwt_unix::process::Pid;
use nix::sys::signal::Signal;

use crate::worker_common::by;

/// Two workers that are replaced almost at once, and have time to drain.
pub(crate) fn plan(way: Way) -> Prefork {
    Prefork::new()
        .workers(2)
        .start(by(way).grace(Duration::from_secs(60)))
        .back_off(BackOff::new(Duration::from_millis(1)).at_most(Duration::from_millis(5)))
        .healthy(Duration::ZERO)
}

pub(crate) fn listener() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A worker's function: one word for every connection.
pub(crate) async fn tell_by_unix() {
    let served = prefork::serve(async |stream: UnixStream, _peer| stream.write_all(b"unix").await);
    served.await.expect("a socket");
}

pub(crate) fn signal(pid: Pid, signal: Signal) -> Result<(), Error> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.number()), signal)?)
}
