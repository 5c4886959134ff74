//! How a sleeping thread is woken by others, kept where it may be replaced at any time.
//!
//! Without a lock: a fork may come at any moment, and what another thread had locked then stays locked in the
//! child for ever.
//!
//! 1. `current` is null or a box. Home replaces it; nobody changes what it points to.
//! 2. A reader is counted *before* he reads `current` and until he has made his clone. Home counts the
//!    readers *after* it has replaced `current`. A fence on either side makes sure that one of the two sees
//!    the other: where home finds no reader, none has the old box.
//! 3. Where it does find one, perhaps one that a fork has left behind, the old box is put aside, and stays
//!    until nobody knows this `Kicker` any more.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicPtr, AtomicUsize, fence};

/// Wakes a thread out of its poll call.
pub(crate) type Kick = Arc<dyn Fn() + Send + Sync>;

struct Kept {
    kick: Kick,
    /// The next of those that were put aside; null unless it is one itself.
    aside: *mut Kept,
}

pub(super) struct Kicker {
    current: AtomicPtr<Kept>,
    readers: AtomicUsize,
    /// Those that were put aside.
    aside: AtomicPtr<Kept>,
}

impl Kicker {
    pub(super) fn new() -> Kicker {
        Kicker {
            current: AtomicPtr::new(ptr::null_mut()),
            readers: AtomicUsize::new(0),
            aside: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Home thread: from now on `kick` is what is called; a sender that is at it may still call the old one.
    pub(super) fn set(&self, kick: Option<Kick>) {
        let new = kick
            .map_or(ptr::null_mut(), |kick| Box::into_raw(Box::new(Kept { kick, aside: ptr::null_mut() })));
        let old = self.current.swap(new, Ordering::AcqRel);
        if old.is_null() {
            return;
        }
        fence(Ordering::SeqCst);
        if self.readers.load(Ordering::Acquire) == 0 {
            // SAFETY: rule 2: nobody else has it.
            drop(unsafe { Box::from_raw(old) });
        } else {
            // SAFETY: home alone uses this field, and readers only the other one.
            unsafe { (&raw mut (*old).aside).write(self.aside.load(Ordering::Relaxed)) };
            self.aside.store(old, Ordering::Relaxed);
        }
    }

    /// Any thread: calls what is set.
    pub(super) fn kick(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let current = self.current.load(Ordering::Acquire);
        let kick = if current.is_null() {
            None
        } else {
            // SAFETY: rule 2: the box stays as long as this thread is counted. Nobody writes to its `kick`.
            Some(Arc::clone(unsafe { &(*current).kick }))
        };
        self.readers.fetch_sub(1, Ordering::Release);
        if let Some(kick) = kick {
            kick();
        }
    }
}

impl Drop for Kicker {
    fn drop(&mut self) {
        self.set(None);
        let mut aside = self.aside.load(Ordering::Relaxed);
        while !aside.is_null() {
            // SAFETY: nobody knows this `Kicker` any more, so there are no readers.
            let kept = unsafe { Box::from_raw(aside) };
            aside = kept.aside;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    /// A kick that knows whether it is still there.
    struct Alive(AtomicBool);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }

    fn kick(count: &Arc<AtomicUsize>) -> Kick {
        let (alive, count) = (Alive(AtomicBool::new(true)), Arc::clone(count));
        Arc::new(move || {
            assert!(alive.0.load(Ordering::Relaxed));
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    #[test]
    fn the_one_that_is_set_is_called_and_dropped_when_it_is_replaced() {
        let (kicker, count) = (Kicker::new(), Arc::new(AtomicUsize::new(0)));
        kicker.kick();
        kicker.set(Some(kick(&count)));
        kicker.kick();
        kicker.set(Some(kick(&count)));
        assert_eq!(Arc::strong_count(&count), 2, "the first is gone");
        kicker.kick();
        kicker.set(None);
        kicker.kick();
        assert_eq!((count.load(Ordering::Relaxed), Arc::strong_count(&count)), (2, 1));
    }

    #[test]
    fn a_reader_that_never_comes_back_keeps_it_until_the_end() {
        let (kicker, count) = (Kicker::new(), Arc::new(AtomicUsize::new(0)));
        kicker.readers.fetch_add(1, Ordering::Relaxed); // as after a fork
        for _ in 0..3 {
            kicker.set(Some(kick(&count)));
        }
        kicker.kick();
        assert_eq!((count.load(Ordering::Relaxed), Arc::strong_count(&count)), (1, 4));
        drop(kicker);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn it_may_be_replaced_while_others_kick() {
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        let (kicker, count) = (Arc::new(Kicker::new()), Arc::new(AtomicUsize::new(0)));
        kicker.set(Some(kick(&count)));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let kicker = Arc::clone(&kicker);
                thread::spawn(move || (0..rounds).for_each(|_| kicker.kick()))
            })
            .collect();
        for _ in 0..rounds {
            kicker.set(Some(kick(&count)));
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(count.load(Ordering::Relaxed), 2 * rounds);
        drop(kicker);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
