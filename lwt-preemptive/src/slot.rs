//! [`slot`]: one value from one thread to another.
//!
//! ```text
//!              put                    take
//!   open ─────────────> full ─────────────────> done
//!    │  writer dropped         reader dropped     ▲
//!    └────────────────────────────────────────────┘
//! ```
//!
//! 1. What is put is taken once, or comes back to the writer if the reader was gone, or is dropped with the
//!    reader; it is dropped once in any case, and never under the lock.
//! 2. Each end hears of the other's: the reader gets nothing when the writer is dropped, the writer can ask
//!    whether it is [wanted](Writer::is_wanted), and be told that it is asked to [stop](Reader::stop).
//! 3. Wakers are called after the lock is given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex, MutexGuard};

/// The two ends of a slot.
pub(crate) fn slot<T>() -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            value: None,
            written: false,
            read: false,
            stop: false,
            reader: None,
            writer: None,
        }),
    });
    (Writer(Arc::clone(&shared)), Reader(shared))
}

struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<T>,
    /// Nothing will be put any more.
    written: bool,
    /// Nothing will be taken any more.
    read: bool,
    /// The reader asks the writer to stop.
    stop: bool,
    /// Wakes the reader when something was put, or never will be.
    reader: Option<Waker>,
    /// Wakes the writer when it is asked to stop.
    writer: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the writing, with or without a value, which comes back if nobody wants it.
    fn write(&self, value: Option<T>) -> Option<T> {
        let (back, reader, writer) = {
            let mut state = self.lock();
            state.written = true;
            let back = if state.read { value } else { value.and_then(|value| state.value.replace(value)) };
            (back, state.reader.take(), state.writer.take())
        };
        drop(writer);
        wake(reader);
        back
    }

    /// Ends the reading.
    fn close(&self) {
        let (value, reader) = {
            let mut state = self.lock();
            state.read = true;
            (state.value.take(), state.reader.take())
        };
        drop(value);
        // It is the reader himself, or a task of his that has nothing to wait for any more.
        wake(reader);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Puts the waker of `context` into `place`, unless it is there already.
fn keep(place: &mut Option<Waker>, context: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(context.waker()),
        None => *place = Some(context.waker().clone()),
    }
}

/// The end that puts.
pub(crate) struct Writer<T>(Arc<Shared<T>>);

impl<T> Writer<T> {
    /// Puts the value.
    ///
    /// # Errors
    /// The value, if the reader is gone.
    pub(crate) fn put(self, value: T) -> Result<(), T> {
        self.0.write(Some(value)).map_or(Ok(()), Err)
    }

    /// Whether the reader is there, and has not asked to stop.
    pub(crate) fn is_wanted(&self) -> bool {
        let state = self.0.lock();
        !state.read && !state.stop
    }

    /// Whether the reader has asked to stop; else it is to wake this task when it does.
    pub(crate) fn poll_stop(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.stop {
            return Poll::Ready(());
        }
        keep(&mut state.writer, context);
        Poll::Pending
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        if !self.0.lock().written {
            self.0.write(None);
        }
    }
}

/// The end that takes: a future of the value, or of none if the writer was dropped or the slot closed.
pub(crate) struct Reader<T>(Arc<Shared<T>>);

impl<T> Reader<T> {
    /// Asks the writer to stop.
    pub(crate) fn stop(&self) {
        let writer = {
            let mut state = self.0.lock();
            state.stop = true;
            state.writer.take()
        };
        wake(writer);
    }

    /// What ends the reading from elsewhere.
    pub(crate) fn closer(&self) -> impl FnOnce() + use<T> {
        let shared = Arc::clone(&self.0);
        move || shared.close()
    }
}

impl<T> Future for Reader<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.written || state.read {
            return Poll::Ready(None);
        }
        keep(&mut state.reader, context);
        Poll::Pending
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::pin::pin;

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;
    use crate::block::park;

    /// Counts its drops.
    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn loom_what_is_put_is_taken() {
        loom::model(|| {
            let (writer, reader) = slot();
            let other = thread::spawn(move || writer.put(1));
            assert_eq!(park(pin!(reader), None), Some(Some(1)));
            assert_eq!(other.join().expect("joined"), Ok(()));
        });
    }

    #[test]
    fn loom_a_writer_that_goes_is_noticed() {
        loom::model(|| {
            let (writer, reader) = slot::<u32>();
            let other = thread::spawn(move || drop(writer));
            assert_eq!(park(pin!(reader), None), Some(None));
            other.join().expect("joined");
        });
    }

    /// Whoever closes it, the reader's task and the writer, and the value is dropped once.
    #[test]
    fn loom_closing_from_elsewhere() {
        loom::model(|| {
            let drops = Arc::new(AtomicUsize::new(0));
            let (writer, reader) = slot();
            let close = reader.closer();
            let value = Counted(Arc::clone(&drops));
            let put = thread::spawn(move || {
                let wanted = writer.is_wanted();
                let put = writer.put(value).is_ok();
                assert!(wanted || !put);
            });
            let closing = thread::spawn(close);
            let taken = park(pin!(reader), None);
            assert!(taken.is_some(), "it does not hang");
            drop(taken);
            put.join().expect("joined");
            closing.join().expect("joined");
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn loom_stop_is_heard() {
        loom::model(|| {
            let (writer, reader) = slot::<u32>();
            let other = thread::spawn(move || {
                let stopped = std::future::poll_fn(|context| writer.poll_stop(context));
                assert!(park(pin!(stopped), None).is_some());
                writer.put(2)
            });
            reader.stop();
            assert_eq!(park(pin!(reader), None), Some(Some(2)));
            assert_eq!(other.join().expect("joined"), Ok(()));
        });
    }
}
