//! Somebody else's executor, of the rudest kind: it polls inside `wake`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

enum Slot {
    Polling,
    /// Woken while it was being polled.
    Woken,
    Waiting(Box<dyn FnOnce()>),
    Over,
}

thread_local! {
    static SLOTS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

fn replace(place: usize, slot: Slot) -> Slot {
    SLOTS.with_borrow_mut(|slots| std::mem::replace(&mut slots[place], slot))
}

struct Inline(usize);

impl Wake for Inline {
    fn wake(self: Arc<Inline>) {
        // A waker may outlive the graph.
        if SLOTS.with_borrow(Vec::len) <= self.0 {
            return;
        }
        match replace(self.0, Slot::Woken) {
            Slot::Polling | Slot::Woken => {}
            Slot::Waiting(poll) => poll(),
            Slot::Over => drop(replace(self.0, Slot::Over)),
        }
    }
}

/// Polls `future` until it is ready, and then calls `done`.
pub(crate) fn drive<F: Future + Unpin + 'static>(future: F, done: impl FnOnce(F::Output) + 'static) {
    let place = SLOTS.with_borrow_mut(|slots| {
        slots.push(Slot::Woken);
        slots.len() - 1
    });
    poll(place, future, done);
}

fn poll<F: Future + Unpin + 'static>(place: usize, mut future: F, done: impl FnOnce(F::Output) + 'static) {
    let waker = Waker::from(Arc::new(Inline(place)));
    loop {
        replace(place, Slot::Polling);
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            replace(place, Slot::Over);
            return done(output);
        }
        if matches!(replace(place, Slot::Polling), Slot::Polling) {
            replace(place, Slot::Waiting(Box::new(move || poll(place, future, done))));
            return;
        }
    }
}

/// Forgets all futures; how many were not ready.
pub(crate) fn end() -> usize {
    let slots = SLOTS.take();
    slots.iter().filter(|slot| matches!(slot, Slot::Waiting(_))).count()
}
