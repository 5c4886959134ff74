//! [`Mailbox`]: messages from many to one.
//!
//! A ring of bytes in the box's own block: each message is a word with its length, and its bytes, filled up
//! to words.
//!
//! 1. *Senders* have the box's lock while they write a message behind the last one; it is in the box when the
//!    end moves, by a single store. One that dies before has left nothing, and the next one writes over it:
//!    there is no slot that could be lost.
//! 2. *The receiver* is one; it holds a lock of its own for as long as it is that. It alone moves the
//!    beginning, after it has copied a message, and takes no other lock. If it dies in between, the next
//!    receiver gets that message again.
//! 3. Messages come in the order in which they were put in, so those of one sender in its order.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lwt_core::Promise;

use super::block::words;
use super::error::ShmError;
use super::event;
use super::lock;
use super::object::{self, Object, Place};
use super::pool::Pool;
use super::ring::Ring;

// The box's own part. The two ends are in lines of the cache of their own.
const ROOM: u64 = 0;
const RECEIVER: u64 = 8;
pub(super) const HOLDER: u64 = body() + RECEIVER;
const FIRST: u64 = 64;
const END: u64 = 128;
const RING: u64 = 192;

/// A box into which any number of processes put messages, and from which one takes them (`Netcamlbox`).
///
/// A message is bytes, up to what the box has room for. A sender that finds the box full waits, fails or has
/// a promise, as it asks. A message that can never fit is refused, and nothing is lost by that. Senders take
/// the box's lock while they copy, the receiver none.
///
/// ```
/// use lwt_preemptive::shm::{Mailbox, Pool};
/// let pool = Pool::create()?;
/// let mailbox = Mailbox::create(&pool, 4096)?;
/// let receiver = mailbox.receiver()?;
/// mailbox.send(b"first")?;
/// mailbox.send(b"second")?;
/// assert_eq!(receiver.receive()?, b"first");
/// lwt_unix::run(async move {
///     assert_eq!(receiver.receive_async().await?, b"second");
///     Ok::<_, lwt_core::Error>(())
/// }).unwrap();
/// # Ok::<(), lwt_preemptive::shm::ShmError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mailbox(Object);

/// The right to take messages out of a [`Mailbox`]. One process has it, until it drops it, with the promises
/// that wait for a message, or dies. Its threads may share it.
#[derive(Debug)]
pub struct Receiver(Arc<Right>);

#[derive(Debug)]
struct Right {
    object: Object,
    /// Messages are taken by one thread at a time.
    turn: Mutex<()>,
}

impl Right {
    fn receive(&self, message: &mut Vec<u8>) -> Result<Option<()>, ShmError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        receive(&self.object, message)
    }
}

const fn body() -> u64 {
    object::body::<()>()
}

fn ring(object: &Object) -> Ring<'_> {
    let block = object.block();
    Ring::new(block, body() + RING, block.word(body() + ROOM).load(Relaxed))
}

fn send(object: &Object, message: &[u8]) -> Result<Option<()>, ShmError> {
    let ring = ring(object);
    let need = 8 + words(message.len());
    if need > ring.len {
        return Err(ShmError::TooLarge);
    }
    let (first, end) = (object.block().word(body() + FIRST), object.block().word(body() + END));
    // The end is read first, so that the messages are not taken for more than they are. Without the lock it
    // may be an old one, and the beginning be behind it.
    let full = || ring.len.saturating_sub(end.load(Acquire).saturating_sub(first.load(Acquire))) < need;
    // Without the lock first: who waits looks often.
    if full() {
        return object.check().map(|()| None);
    }
    let locked = object.lock()?;
    if full() {
        return Ok(None);
    }
    let at = end.load(Relaxed);
    ring.store(at, &(message.len() as u64).to_ne_bytes()).ok_or(ShmError::Corrupt)?;
    ring.store(at.wrapping_add(8), message).ok_or(ShmError::Corrupt)?;
    end.store(at.wrapping_add(need), Release);
    drop(locked);
    object.came().notify_released(object.inner());
    Ok(Some(()))
}

fn receive(object: &Object, message: &mut Vec<u8>) -> Result<Option<()>, ShmError> {
    let block = object.block();
    let (first, end) = (block.word(body() + FIRST), block.word(body() + END));
    let at = first.load(Relaxed);
    let there = end.load(Acquire).wrapping_sub(at);
    if there == 0 {
        return object.check().map(|()| None);
    }
    let ring = ring(object);
    let mut length = [0; 8];
    ring.load(at, &mut length).ok_or(ShmError::Corrupt)?;
    let length = u64::from_ne_bytes(length);
    if there > ring.len || length > there.saturating_sub(8) {
        return Err(ShmError::Corrupt);
    }
    message.resize(length as usize, 0);
    ring.load(at.wrapping_add(8), message).ok_or(ShmError::Corrupt)?;
    let taken = 8 + words(message.len());
    first.store(at.wrapping_add(taken), Release);
    // Senders that sleep because the box was full are woken when it is half empty: waking is dear, and one by
    // one it would be made for each message.
    if there.saturating_sub(taken) <= ring.len / 2 {
        object.went().notify(object.inner());
    }
    Ok(Some(()))
}

impl Mailbox {
    const KIND: &'static str = "mailbox";
    const SHAPE: u64 = object::shape::<u8, ()>();

    /// Makes a box with room for `bytes` bytes of messages, each of which takes its length, rounded up to a
    /// multiple of eight, and eight more (`create_camlbox`).
    ///
    /// # Errors
    /// [`ShmError::TooLarge`], and those of growing the pool.
    pub fn create(pool: &Pool, bytes: usize) -> Result<Mailbox, ShmError> {
        if isize::try_from(bytes).is_err() {
            return Err(ShmError::TooLarge);
        }
        let room = words(bytes).max(64);
        let object = Object::create(pool, Self::KIND, Self::SHAPE, &(), RING + room, |block, at| {
            block.word(at + ROOM).store(room, Relaxed);
        });
        object.map(Mailbox)
    }

    /// Opens the box at a place (`camlbox_sender`).
    ///
    /// # Errors
    /// [`ShmError::TypeMismatch`].
    pub fn open(pool: &Pool, place: Place) -> Result<Mailbox, ShmError> {
        Object::open::<()>(pool, place, Self::KIND, Self::SHAPE, RING).map(Mailbox)
    }

    /// Where it is (`camlbox_addr`).
    pub fn place(&self) -> Place {
        self.0.place()
    }

    /// How many bytes the longest message may have (`camlbox_bcapacity`).
    pub fn longest(&self) -> usize {
        ring(&self.0).len.saturating_sub(8) as usize
    }

    /// Puts a message into the box if there is room: `false` if not.
    ///
    /// # Errors
    /// [`ShmError::TooLarge`] for one that never fits, [`ShmError::Destroyed`].
    pub fn try_send(&self, message: &[u8]) -> Result<bool, ShmError> {
        send(&self.0, message).map(|sent| sent.is_some())
    }

    /// Puts a message into the box, and blocks the thread while there is no room (`camlbox_send`).
    ///
    /// # Errors
    /// As [`try_send`](Mailbox::try_send).
    pub fn send(&self, message: &[u8]) -> Result<(), ShmError> {
        event::wait_until(self.0.went(), None, |_| send(&self.0, message))
    }

    /// The same within a time.
    ///
    /// # Errors
    /// As [`try_send`](Mailbox::try_send), and [`ShmError::TimedOut`].
    pub fn send_timeout(&self, message: &[u8], limit: Duration) -> Result<(), ShmError> {
        let deadline = Instant::now().checked_add(limit);
        event::wait_until(self.0.went(), deadline, |_| send(&self.0, message))
    }

    /// Puts a message into the box: fulfilled when it is in it. A cancel before that withdraws it. Of several
    /// promises of one sender, any may be the first: wait for each.
    pub fn send_async(&self, message: Vec<u8>) -> Promise<()> {
        event::promise_until(&self.0, Object::went, move |object, _| send(object, &message))
    }

    /// Becomes the receiver.
    ///
    /// # Errors
    /// [`ShmError::Taken`] if there is one that lives.
    pub fn receiver(&self) -> Result<Receiver, ShmError> {
        self.0.check()?;
        let word = self.0.block().half(body() + RECEIVER);
        match lock::try_acquire(self.0.inner(), word) {
            Some(_) => Ok(Receiver(Arc::new(Right { object: self.0.clone(), turn: Mutex::new(()) }))),
            None => Err(ShmError::Taken),
        }
    }

    /// Destroys the box: no message comes into it any more, and the receiver is told when it has taken those
    /// that have. Whoever waits is told.
    ///
    /// # Errors
    /// [`ShmError::Corrupt`].
    pub fn destroy(self) -> Result<(), ShmError> {
        self.0.destroy(std::iter::empty())
    }
}

impl Receiver {
    /// The first message, if there is one.
    ///
    /// # Errors
    /// [`ShmError::Destroyed`], [`ShmError::Corrupt`].
    pub fn try_receive(&self) -> Result<Option<Vec<u8>>, ShmError> {
        let mut message = Vec::new();
        Ok(self.0.receive(&mut message)?.map(|()| message))
    }

    /// The first message; blocks the thread until there is one (`camlbox_wait`, `camlbox_get_copy`,
    /// `camlbox_delete`).
    ///
    /// # Errors
    /// As [`try_receive`](Receiver::try_receive).
    pub fn receive(&self) -> Result<Vec<u8>, ShmError> {
        let mut message = Vec::new();
        self.receive_into(&mut message, None)?;
        Ok(message)
    }

    /// The first message, in a buffer that is used again; blocks the thread until there is one, or the time
    /// is over.
    ///
    /// # Errors
    /// As [`try_receive`](Receiver::try_receive), and [`ShmError::TimedOut`].
    pub fn receive_into(&self, message: &mut Vec<u8>, limit: Option<Duration>) -> Result<(), ShmError> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        event::wait_until(self.0.object.came(), deadline, |_| self.0.receive(message))
    }

    /// The first message, as soon as there is one. A cancel takes none.
    pub fn receive_async(&self) -> Promise<Vec<u8>> {
        let right = self.0.clone();
        event::promise_until(&self.0.object, Object::came, move |_, _| {
            let mut message = Vec::new();
            Ok(right.receive(&mut message)?.map(|()| message))
        })
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        lock::release(self.object.inner(), self.object.block().half(body() + RECEIVER));
    }
}
