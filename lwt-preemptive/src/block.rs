//! Blocking a thread until a future is ready, for threads that have no loop: what the blocking forms of
//! handles, remote promises and channels are made of.
//!
//! 1. A thread whose loop runs must not block: everything on it would stand still, and mostly what it waits
//!    for too. A thread that holds a runtime lock must not either: others would wait for it, among them,
//!    perhaps, the one it waits for. Both are errors ([`CannotBlock`]), told before anything has happened.
//! 2. A job that blocks here does not count among the threads of its pool ([`job::waiting`]), so that jobs it
//!    waits for find a thread.
//! 3. The bell stays rung until the thread has looked: a wake between a look and the sleep is not lost.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use lwt_unix::{is_running, job};

use crate::lock;
use crate::sync::{Condvar, Mutex};

/// Why a call that blocks its thread was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CannotBlock {
    /// The thread's own loop is running, or the loop that is waited for is this thread's: it would wait for
    /// itself. Await instead.
    OnALoop,
    /// The thread holds a [runtime lock](crate::lock), which others may need to get on: call it inside
    /// [`Token::blocking`](crate::lock::Token::blocking).
    Attached,
}

impl fmt::Display for CannotBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CannotBlock::OnALoop => "a loop's own thread was to block; await instead",
            CannotBlock::Attached => {
                "a thread that holds the runtime lock was to block; do it in a blocking section"
            }
        })
    }
}

impl std::error::Error for CannotBlock {}

/// Whether this thread may block.
///
/// # Errors
/// [`CannotBlock`]: see rule 1.
pub(crate) fn may_block() -> Result<(), CannotBlock> {
    if is_running() {
        return Err(CannotBlock::OnALoop);
    }
    if lock::is_held_here() { Err(CannotBlock::Attached) } else { Ok(()) }
}

/// Blocks until `future` is ready, or the deadline has come; then it is dropped, and the result is none. To
/// be called where [`may_block`] has agreed.
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    // What is ready needs no bell, and no other thread.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return Some(output);
    }
    job::waiting(|| park(future, deadline))
}

/// The blocking itself.
pub(crate) fn park<F: Future>(mut future: Pin<&mut F>, deadline: Option<Instant>) -> Option<F::Output> {
    let bell = std::sync::Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(std::sync::Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        if !bell.wait(deadline) {
            return None;
        }
    }
}

/// What wakes a thread that blocks.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Waits until it is rung; false if the deadline has come first.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            rung = match deadline {
                None => self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.changed.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *rung = false;
        true
    }
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}
