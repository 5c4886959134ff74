//! Channels between threads and a loop: bounded queues that one side awaits and the other blocks on.
//!
//! | | sends | receives |
//! |---|---|---|
//! | [`to_loop`] | threads: [`ThreadSender`] | a loop: [`LoopReceiver`] |
//! | [`from_loop`] | a loop: [`LoopSender`] | threads: [`ThreadReceiver`] |
//!
//! * *Order.* Items arrive in the order in which they were sent. Those who wait, for an item or for room, are
//!   served in the order in which they came; a `try_` form does not overtake them.
//! * *Bound.* Who sends into a full channel waits: back-pressure.
//! * *The end.* A channel is closed by [`close`](ThreadSender::close) on either side, or by the drop of a
//!   side's last handle; a send of a loop that waits counts as one. Then nothing can be sent any more; what is
//!   there is still received, unless nobody is left to do so.
//! * *Cancelling* a receive loses no item, and its turn goes to the next who waits. Cancelling a send drops
//!   the item unsent.
//! * *Wakes.* A loop that is awake is not woken; one that sleeps is woken once, however much is sent until it
//!   looks.
//! * *Blocking* on a loop's own thread, or with the [runtime lock](crate::lock) held, is an error
//!   ([`CannotBlock`]).
//!
//! Every side has any number of handles. The loop's ends may be sent to another thread, too, and are then
//! used by the loop of that thread.
//!
//! ```
//! use lwt_preemptive::channel;
//! use std::thread;
//!
//! let (questions, asked) = channel::from_loop::<u32>(2);
//! let (answers, answered) = channel::to_loop::<u32>(2);
//! let worker = thread::spawn(move || {
//!     for number in asked {
//!         answers.send(number * number).unwrap();
//!     }
//! });
//! lwt_unix::run(async move {
//!     for number in 1..=3 {
//!         questions.send(number).await?;
//!         assert_eq!(answered.recv().await?, number * number);
//!     }
//!     drop(questions);
//!     assert_eq!(answered.next().await?, None);
//!     Ok::<_, lwt_core::Error>(())
//! })
//! .unwrap();
//! worker.join().unwrap();
//! ```

use std::fmt;
use std::time::{Duration, Instant};

use lwt_core::{Error, Promise, spawn, stream};

use crate::block::{CannotBlock, block_on, may_block};
use crate::sync::Arc;

mod core;
mod error;

use self::core::{Core, Ended};
pub use self::error::{Closed, RecvError, SendError, TryRecvError, TrySendError};

/// A channel from threads to a loop, for at most `bound` items at a time; 0 counts as 1.
pub fn to_loop<T: Send>(bound: usize) -> (ThreadSender<T>, LoopReceiver<T>) {
    let core = Arc::new(Core::new(bound));
    (ThreadSender { core: Arc::clone(&core) }, LoopReceiver { core })
}

/// A channel from a loop to threads, for at most `bound` items at a time; 0 counts as 1.
pub fn from_loop<T: Send>(bound: usize) -> (LoopSender<T>, ThreadReceiver<T>) {
    let core = Arc::new(Core::new(bound));
    (LoopSender { core: Arc::clone(&core) }, ThreadReceiver { core })
}

/// The sending end for threads: it blocks while the channel is full. See [`to_loop`].
pub struct ThreadSender<T> {
    core: Arc<Core<T>>,
}

/// The receiving end for a loop: its waits are promises. See [`to_loop`].
pub struct LoopReceiver<T> {
    core: Arc<Core<T>>,
}

/// The sending end for a loop: its waits are promises. See [`from_loop`].
pub struct LoopSender<T> {
    core: Arc<Core<T>>,
}

/// The receiving end for threads: it blocks while the channel is empty. See [`from_loop`]. As an iterator it
/// gives the items until the channel is closed.
pub struct ThreadReceiver<T> {
    core: Arc<Core<T>>,
}

/// What every end has: handles that are counted, and questions.
macro_rules! end {
    ($end:ident, $add:ident, $drop:ident) => {
        impl<T> $end<T> {
            /// Lets nothing be sent any more. What is there can still be received.
            pub fn close(&self) {
                self.core.close();
            }

            /// Whether nothing can be sent any more.
            pub fn is_closed(&self) -> bool {
                self.core.is_closed()
            }

            /// How many items are in the channel.
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether no item is in the channel.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        /// One handle more on the same end.
        impl<T> Clone for $end<T> {
            fn clone(&self) -> $end<T> {
                self.core.$add();
                $end { core: Arc::clone(&self.core) }
            }
        }

        impl<T> Drop for $end<T> {
            fn drop(&mut self) {
                self.core.$drop();
            }
        }

        impl<T> fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut f = f.debug_struct(stringify!($end));
                f.field("len", &self.len()).field("closed", &self.is_closed()).finish()
            }
        }
    };
}

end!(ThreadSender, add_sender, drop_sender);
end!(LoopSender, add_sender, drop_sender);
end!(ThreadReceiver, add_receiver, drop_receiver);
end!(LoopReceiver, add_receiver, drop_receiver);

/// Sends without waiting.
fn try_send<T>(core: &Core<T>, item: T) -> Result<(), TrySendError<T>> {
    core.try_send(item).map_err(|(item, ended)| match ended {
        Some(Ended) => TrySendError::Closed(item),
        None => TrySendError::Full(item),
    })
}

/// Receives without waiting.
fn try_recv<T>(core: &Core<T>) -> Result<T, TryRecvError> {
    match core.try_receive() {
        Ok(item) => item.ok_or(TryRecvError::Empty),
        Err(Ended) => Err(TryRecvError::Closed),
    }
}

impl<T: Send> ThreadSender<T> {
    /// Sends the item; blocks until there is room.
    ///
    /// # Errors
    /// [`SendError`] gives the item back: the channel is closed, or this thread must not block.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        if let Err(reason) = may_block() {
            return Err(SendError::CannotBlock(item, reason));
        }
        let mut send = core::send(&self.core, item);
        match block_on(&mut send, None) {
            Some(Ok(())) => Ok(()),
            _ => send.take().map_or(Ok(()), |item| Err(SendError::Closed(item))),
        }
    }

    /// Sends the item if there is room.
    ///
    /// ```
    /// use lwt_preemptive::channel::{TrySendError, to_loop};
    /// let (sender, receiver) = to_loop(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// receiver.close();
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    /// [`TrySendError`] gives the item back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        try_send(&self.core, item)
    }
}

impl<T: Send + 'static> LoopReceiver<T> {
    /// The next item. A cancel loses none.
    ///
    /// # Errors
    /// Rejected with [`Closed`] when there is no item and none can come.
    #[track_caller]
    pub fn recv(&self) -> Promise<T> {
        match try_recv(&self.core) {
            Ok(item) => Promise::ready(item),
            Err(TryRecvError::Closed) => Promise::fail(Closed),
            Err(TryRecvError::Empty) => {
                let item = core::receive(&self.core);
                spawn(async { item.await.map_err(|Ended| Closed) })
            }
        }
    }

    /// The next item, or none when there is none and none can come.
    #[track_caller]
    pub fn next(&self) -> Promise<Option<T>> {
        match try_recv(&self.core) {
            Ok(item) => Promise::ready(Some(item)),
            Err(TryRecvError::Closed) => Promise::ready(None),
            Err(TryRecvError::Empty) => {
                let item = core::receive(&self.core);
                spawn(async { Ok::<_, Error>(item.await.ok()) })
            }
        }
    }

    /// The next item if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        try_recv(&self.core)
    }

    /// The items as a stream, which ends when the channel is closed and empty.
    ///
    /// ```
    /// let (sender, receiver) = lwt_preemptive::channel::to_loop(8);
    /// let thread = std::thread::spawn(move || (1..=20).for_each(|number| sender.send(number).unwrap()));
    /// let even = receiver.into_stream().filter(|number| number % 2 == 0);
    /// assert_eq!(lwt_unix::run(even.fold(0, |number, sum| number + sum)).unwrap(), 110);
    /// thread.join().unwrap();
    /// ```
    pub fn into_stream(self) -> stream::Stream<T> {
        stream::from(move || self.next())
    }
}

impl<T: Send + 'static> LoopSender<T> {
    /// Sends the item when there is room. A cancel drops it, unsent.
    ///
    /// # Errors
    /// Rejected with [`Closed`], and the item is dropped, when the channel is closed.
    #[track_caller]
    pub fn send(&self, item: T) -> Promise<()> {
        match try_send(&self.core, item) {
            Ok(()) => Promise::ready(()),
            Err(TrySendError::Closed(_)) => Promise::fail(Closed),
            Err(TrySendError::Full(item)) => {
                let (sender, sent) = (self.clone(), core::send(&self.core, item));
                spawn(async move {
                    let sent = sent.await.map_err(|Ended| Closed);
                    drop(sender);
                    sent
                })
            }
        }
    }

    /// Sends the item if there is room.
    ///
    /// # Errors
    /// [`TrySendError`] gives the item back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        try_send(&self.core, item)
    }
}

impl<T: Send> ThreadReceiver<T> {
    /// The next item; blocks until there is one.
    ///
    /// # Errors
    /// [`RecvError::Closed`] when there is no item and none can come; [`RecvError::CannotBlock`] on a thread
    /// that must not.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map(|item| item.unwrap_or_else(|| unreachable!("there is no deadline")))
    }

    /// The next item, or none if it does not come in time.
    ///
    /// # Errors
    /// As [`recv`](ThreadReceiver::recv).
    ///
    /// ```
    /// use std::time::Duration;
    /// let (sender, receiver) = lwt_preemptive::channel::from_loop::<u32>(1);
    /// assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Ok(None));
    /// drop(sender);
    /// assert!(receiver.recv_timeout(Duration::from_millis(1)).is_err());
    /// ```
    pub fn recv_timeout(&self, time: Duration) -> Result<Option<T>, RecvError> {
        self.recv_until(Instant::now().checked_add(time))
    }

    /// The next item if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        try_recv(&self.core)
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<Option<T>, RecvError> {
        may_block().map_err(RecvError::CannotBlock)?;
        block_on(core::receive(&self.core), deadline).transpose().map_err(|Ended| RecvError::Closed)
    }
}

impl<T: Send> Iterator for ThreadReceiver<T> {
    type Item = T;

    /// # Panics
    /// On a thread that must not block ([`CannotBlock`]): an iterator has no other way to say so.
    fn next(&mut self) -> Option<T> {
        match self.recv() {
            Ok(item) => Some(item),
            Err(RecvError::Closed) => None,
            Err(RecvError::CannotBlock(reason)) => panic!("{reason}"),
        }
    }
}
