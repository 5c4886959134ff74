//! [`Relay`]: two connections that are one.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use lwt_core::Error;

use super::{Shutdown, Socket};
use crate::fd::{Direction, Pump, Traffic};

/// Passes on between two stream sockets what each of them sends, until both have ended.
///
/// The bytes are spliced, so that they never come into this program's memory where the kernel can do without
/// ([`Pump`]). When one side ends its direction (a half-close), what it has sent before is passed on, and
/// then the end, too; the other direction goes on.
///
/// ```
/// use lwt_unix::net::{Relay, Shutdown, Socket, UnixStream};
///
/// # fn main() -> Result<(), lwt_core::Error> {
/// let (client, left) = UnixStream::pair()?;
/// let (right, server) = UnixStream::pair()?;
/// lwt_unix::run(async move {
///     let mut relay = Relay::new(&Socket::from(&left), &Socket::from(&right));
///     let (there, back) = relay.traffic();
///     let relaying = lwt_core::spawn(async move { relay.run().await });
///
///     client.write_all(b"question").await?;
///     client.shutdown(Shutdown::Write)?;
///     let mut buf = [0; 16];
///     server.read_exact(&mut buf[..8]).await?;
///     assert_eq!(server.read(&mut buf[8..]).await?, 0); // the end came along
///     server.write_all(b"answer").await?;
///     server.close()?;
///     client.read_exact(&mut buf[..6]).await?;
///
///     relaying.await?;
///     assert_eq!((there.given(), back.given()), (8, 6));
///     Ok::<_, lwt_core::Error>(())
/// })
/// # }
/// ```
pub struct Relay {
    there: Lane,
    back: Lane,
}

/// One direction.
struct Lane {
    pump: Pump,
    from: Socket,
    to: Socket,
    ended: bool,
}

impl Relay {
    /// A relay between two connections, of which it keeps handles. Nothing moves before it is run.
    pub fn new(left: &Socket, right: &Socket) -> Relay {
        Relay { there: Lane::new(left, right), back: Lane::new(right, left) }
    }

    /// How many bytes have passed, from left to right and back, at any time.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        (self.there.pump.traffic(), self.back.pump.traffic())
    }

    /// How many bytes have been taken from one side and not been given to the other, from left to right and
    /// back.
    pub fn held(&self) -> (usize, usize) {
        (self.there.pump.held(), self.back.pump.held())
    }

    /// Passes on until both directions have ended. The sockets stay open.
    ///
    /// When a side cannot be *read* any more (a reset), everything ends at once. When one cannot be
    /// *written*, what it has said before is passed on, and the error is returned then. After an error nobody
    /// has been told of an end that is none: reset the sockets ([`Linger`](super::opt::Linger)), so that
    /// nobody takes a part for the whole.
    ///
    /// A cancel, or dropping the future, loses nothing: what was taken and not given is still held, and
    /// another run goes on with it. Time limits are the caller's: [`with_timeout`](crate::with_timeout), and
    /// [`traffic`](Relay::traffic) to see whether anything moves.
    ///
    /// # Errors
    /// The first error of the two directions, such as `ConnectionReset` or `BrokenPipe`; `Canceled`.
    pub async fn run(&mut self) -> Result<(), Error> {
        let deaf = Cell::new(false);
        let rests = [self.there.rest(), self.back.rest()];
        let mut lanes =
            [pin!(self.there.run(&deaf)) as Pin<&mut dyn Future<Output = _>>, pin!(self.back.run(&deaf))];
        let mut ended = [false, false];
        let mut first = None;
        poll_fn(|cx| {
            for ((lane, ended), rest) in lanes.iter_mut().zip(&mut ended).zip(&rests) {
                if *ended {
                    continue;
                }
                match lane.as_mut().poll(cx) {
                    Poll::Ready(Outcome::End) => *ended = true,
                    Poll::Ready(Outcome::Deaf(error)) => {
                        *ended = true;
                        first.get_or_insert(error);
                    }
                    Poll::Ready(Outcome::Failed(error)) => {
                        first.get_or_insert(error);
                        return Poll::Ready(());
                    }
                    Poll::Pending if deaf.get() && rest.is_none() => *ended = true,
                    Poll::Pending => {}
                }
            }
            // The second may have gone deaf when the first had been looked at.
            if deaf.get() && !ended[0] && rests[0].is_none() {
                ended[0] = true;
            }
            if ended == [true, true] { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        first.map_or(Ok(()), Err)
    }
}

/// How a direction has ended.
enum Outcome {
    End,
    /// Its target takes nothing more.
    Deaf(Error),
    /// Its source, or the work on it, has failed.
    Failed(Error),
}

/// What a direction has still to pass on of what has been said by now.
struct Rest {
    traffic: Traffic,
    from: Socket,
}

impl Rest {
    fn is_none(&self) -> bool {
        self.traffic.taken() == self.traffic.given() && !self.from.readable().is_ok_and(|readable| readable)
    }
}

impl Lane {
    fn new(from: &Socket, to: &Socket) -> Lane {
        Lane { pump: Pump::new(from, to), from: from.clone(), to: to.clone(), ended: false }
    }

    /// What is still to be passed on, while it runs.
    fn rest(&self) -> Rest {
        Rest { traffic: self.pump.traffic(), from: self.from.clone() }
    }

    /// Passes on to the end. If a direction finds its target `deaf`, it says so, and the other passes on no
    /// end.
    async fn run(&mut self, deaf: &Cell<bool>) -> Outcome {
        if self.ended {
            return Outcome::End;
        }
        if let Err(error) = self.pump.run().await {
            return match self.pump.failed() {
                Some(Direction::Write) => {
                    self.ended = true;
                    deaf.set(true);
                    Outcome::Deaf(error)
                }
                _ => Outcome::Failed(error),
            };
        }
        self.ended = true;
        if deaf.get() {
            return Outcome::End;
        }
        match self.to.shutdown(Shutdown::Write) {
            // It has ended by itself meanwhile, which its own direction tells.
            Err(error) if error.io_kind() == Some(io::ErrorKind::NotConnected) => Outcome::End,
            Err(error) => Outcome::Deaf(error),
            Ok(()) => Outcome::End,
        }
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Relay");
        out.field("there", &self.there.pump).field("back", &self.back.pump).finish()
    }
}
