//! Connecting to a host by its name.
//!
//! Rules:
//! 1. The addresses are tried in the resolver's order, but families take turns, so that one which does not
//!    work here costs one attempt and not all of them.
//! 2. The next attempt begins when the one before has failed, or has been silent for [`PATIENCE`]; those that
//!    are under way go on. The first that stands wins, and the others are given up.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use lwt_core::{Error, Promise, spawn};

use super::{TcpStream, Type};
use crate::names::{Hints, getaddrinfo};

/// So long an attempt may be silent before the next one begins beside it.
const PATIENCE: Duration = Duration::from_millis(250);

impl TcpStream {
    /// Connects to a port of a host, by name or by address; an address is not looked up.
    ///
    /// All addresses of the host are tried, families in turn, the next one when the one before has failed or
    /// has been silent for a quarter of a second; the first connection that stands is taken. A cancel, or
    /// dropping the future, gives all attempts up.
    ///
    /// ```
    /// use lwt_unix::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let port = listener.local_addr()?.port();
    /// let stream = lwt_unix::run(TcpStream::connect_host("127.0.0.1", port))?;
    /// assert_eq!(stream.peer_addr()?.port(), port);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Of the look-up, a [`NameError`](crate::names::NameError); otherwise the first attempt's, as of
    /// [`connect`](TcpStream::connect); `Canceled`.
    pub async fn connect_host(host: impl Into<String>, port: u16) -> Result<TcpStream, Error> {
        let host = host.into();
        if let Ok(address) = host.parse::<IpAddr>() {
            return TcpStream::connect((address, port).into()).await;
        }
        let hints = Hints::new().socket_type(Type::Stream).numeric_service();
        let found = getaddrinfo(&host, &port.to_string(), hints).await?;
        let addresses = taking_turns(found.iter().filter_map(|info| info.address.inet()));
        if addresses.is_empty() {
            let text = format!("{host} has no address");
            return Err(std::io::Error::new(std::io::ErrorKind::NotFound, text).into());
        }
        first_to_stand(addresses).await
    }
}

/// The families in turn, each in its order; the family of the first address begins.
fn taking_turns(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut addresses = addresses.peekable();
    let v4_first = addresses.peek().is_some_and(SocketAddr::is_ipv4);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.partition(|address| address.is_ipv4() == v4_first);
    let mut all = VecDeque::new();
    while !one.is_empty() || !other.is_empty() {
        all.extend(one.pop_front());
        all.extend(other.pop_front());
    }
    all
}

/// The attempts that are under way; dropping them gives them up.
struct Attempts(Vec<Promise<TcpStream>>);

impl Drop for Attempts {
    fn drop(&mut self) {
        for attempt in self.0.drain(..) {
            attempt.cancel();
            // The outcome is nobody's any more.
            attempt.on_failure(|_| {});
        }
    }
}

impl Attempts {
    /// Takes out the first that has ended, if one has.
    fn ended(&mut self, cx: &mut std::task::Context<'_>) -> Option<Result<TcpStream, Error>> {
        for index in 0..self.0.len() {
            if let Poll::Ready(outcome) = Pin::new(&mut self.0[index]).poll(cx) {
                drop(self.0.remove(index));
                return Some(outcome);
            }
        }
        None
    }
}

async fn first_to_stand(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, Error> {
    let mut attempts = Attempts(Vec::new());
    let mut first_error = None;
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.0.push(spawn(TcpStream::connect(address)));
        }
        let mut patience = if addresses.is_empty() { None } else { Some(crate::sleep(PATIENCE)) };
        let ended = poll_fn(|cx| {
            if let Some(outcome) = attempts.ended(cx) {
                return Poll::Ready(Ok(Some(outcome)));
            }
            match patience.as_mut().map(|patience| Pin::new(patience).poll(cx)) {
                Some(Poll::Ready(over)) => Poll::Ready(over.map(|()| None)),
                _ => Poll::Pending,
            }
        });
        match ended.await? {
            Some(Ok(stream)) => return Ok(stream),
            // The attempt is what a cancel has reached.
            Some(Err(error)) if error.is_canceled() => return Err(error),
            Some(Err(error)) => {
                let error = first_error.get_or_insert(error);
                if addresses.is_empty() && attempts.0.is_empty() {
                    return Err(error.clone());
                }
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_in_their_order() {
        let addresses = |text: &str| -> Vec<SocketAddr> {
            text.split(' ').map(|one| one.parse().expect("an address")).collect()
        };
        let found = addresses("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1 2.2.2.2:1");
        let turns = addresses("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 [::3]:1");
        assert_eq!(taking_turns(found.into_iter()), turns);
        assert!(taking_turns(std::iter::empty()).is_empty());
    }

    #[test]
    fn an_attempt_that_fails_is_followed_by_the_next() {
        let listener =
            super::super::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a listener");
        let there = listener.local_addr().expect("its address");
        let gone = {
            let other = super::super::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
            other.and_then(|other| other.local_addr()).expect("an address")
        };
        let connect = |addresses: Vec<SocketAddr>| crate::run(first_to_stand(addresses.into()));
        let stream = connect(vec![gone, gone, there]).expect("the last one stands");
        assert_eq!(stream.peer_addr().expect("a peer"), there);
        drop(stream);
        let error = connect(vec![gone, gone]).expect_err("none stands");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused));
    }
}
