//! The inbox: how other threads reach a thread's promises.
//!
//! A stack of letters, each one word to send, that the home thread empties in one go and delivers in the
//! order in which they were sent. Its head word is also the state of the home thread's sleep:
//!
//! ```text
//!            send                     send: kick
//!  EMPTY ◄─────────► letters      SLEEPING ─────────► letters
//!    │ ▲    drain                    ▲ │
//!    │ └──────── awake ──────────────┼─┘
//!    └──────── prepare_sleep ────────┘                CLOSED: letters are thrown away
//! ```
//!
//! 1. Whoever turns `SLEEPING` into a letter kicks, and nobody else does: one kick for any number of letters,
//!    none while the home thread is awake.
//! 2. `prepare_sleep` turns `EMPTY` into `SLEEPING` or fails, so that a letter sent before it is never slept
//!    over, and one sent after it kicks.
//! 3. A letter is in at most one inbox at most once; who sends it gives it up.
//! 4. Letters are delivered on the home thread. Those that a closed or dropped inbox has left are thrown
//!    away, wherever that happens.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::promise::cascade;
use crate::sync::{AtomicBool, AtomicPtr};

mod kick;

pub(crate) use kick::Kick;
use kick::Kicker;

/// What is sent: the first field of whatever is to be delivered.
#[repr(C)]
pub(crate) struct Letter {
    next: Cell<*mut Letter>,
    deliver: unsafe fn(*mut Letter),
    throw_away: unsafe fn(*mut Letter),
}

// SAFETY: `next` is used by the one who has the letter: the sender until the letter is in the stack, then the
// one who takes it out.
unsafe impl Send for Letter {}
// SAFETY: as above; a shared letter is not touched.
unsafe impl Sync for Letter {}

impl Letter {
    pub(crate) fn new(deliver: unsafe fn(*mut Letter), throw_away: unsafe fn(*mut Letter)) -> Letter {
        Letter { next: Cell::new(ptr::null_mut()), deliver, throw_away }
    }
}

/// Whether a letter that is sent again and again is under way. The receiver [gives it
/// back](Underway::arrived) *before* he does what it says, so that a sender who comes meanwhile sends it
/// again.
pub(crate) struct Underway(AtomicBool);

impl Underway {
    pub(crate) fn new() -> Underway {
        Underway(AtomicBool::new(false))
    }

    /// Whether the letter may be sent now.
    pub(crate) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The letter has arrived. A swap, not a store: it has to see what the senders did who did not send.
    pub(crate) fn arrived(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

const EMPTY: *mut Letter = ptr::null_mut();
const SLEEPING: *mut Letter = ptr::without_provenance_mut(1);
const CLOSED: *mut Letter = ptr::without_provenance_mut(2);

pub(crate) struct Inbox {
    head: AtomicPtr<Letter>,
    kicker: Kicker,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        Inbox { head: AtomicPtr::new(EMPTY), kicker: Kicker::new() }
    }

    /// Home thread: sets who wakes it out of its sleep.
    pub(crate) fn set_kick(&self, kick: Option<Kick>) {
        self.kicker.set(kick);
    }

    /// Sends a letter from any thread. Whether it was taken; else it was thrown away.
    ///
    /// # Safety
    /// Rule 3; `letter` is valid until it is delivered or thrown away, and may be so on another thread.
    pub(crate) unsafe fn send(&self, letter: *mut Letter) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                // SAFETY: the letter was not sent.
                unsafe { ((*letter).throw_away)(letter) };
                return false;
            }
            // SAFETY: the letter is ours until the exchange succeeds.
            unsafe { (*letter).next.set(if head == SLEEPING { EMPTY } else { head }) };
            match self.head.compare_exchange_weak(head, letter, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        if head == SLEEPING {
            self.kicker.kick();
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        head == EMPTY || head == SLEEPING || head == CLOSED
    }

    /// Home thread: from now on a letter kicks. False, and nothing done, when there are letters already.
    pub(crate) fn prepare_sleep(&self) -> bool {
        match self.head.compare_exchange(EMPTY, SLEEPING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(head) => head == SLEEPING || head == CLOSED,
        }
    }

    /// Home thread: letters need not kick any more.
    pub(crate) fn awake(&self) {
        // A failure means that there are letters, whose sender has ended the sleep.
        let _ = self.head.compare_exchange(SLEEPING, EMPTY, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Takes all letters, and leaves `then` in the head.
    fn take(&self, then: *mut Letter) -> Letters {
        let head = self.head.swap(then, Ordering::AcqRel);
        let mut newest = if head == SLEEPING || head == CLOSED { EMPTY } else { head };
        // Oldest first.
        let mut first = EMPTY;
        while !newest.is_null() {
            // SAFETY: the letters that were in the stack are ours now.
            let next = unsafe { (*newest).next.replace(first) };
            first = newest;
            newest = next;
        }
        Letters { first }
    }

    /// Home thread: delivers all letters there are.
    pub(crate) fn drain(&self) {
        for letter in self.take(EMPTY) {
            // SAFETY: the letter is out of the stack, and this is its home.
            cascade::guarded(|| unsafe { ((*letter).deliver)(letter) });
        }
    }

    /// Throws away all letters, now and in future.
    pub(crate) fn close(&self) {
        self.set_kick(None);
        self.take(CLOSED).throw_away();
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.take(CLOSED).throw_away();
    }
}

struct Letters {
    first: *mut Letter,
}

impl Letters {
    fn throw_away(self) {
        for letter in self {
            // SAFETY: the letter is out of the stack.
            cascade::guarded(|| unsafe { ((*letter).throw_away)(letter) });
        }
    }
}

impl Iterator for Letters {
    type Item = *mut Letter;

    fn next(&mut self) -> Option<*mut Letter> {
        let letter = self.first;
        if letter.is_null() {
            return None;
        }
        // SAFETY: the letter is ours, and alive until it is delivered.
        self.first = unsafe { (*letter).next.replace(EMPTY) };
        Some(letter)
    }
}

thread_local! {
    // Without a destructor, so that wakers and promises work to the very end of a thread. The end of a
    // runtime closes and releases it.
    static HOME: ManuallyDrop<RefCell<Option<Arc<Inbox>>>> = const { ManuallyDrop::new(RefCell::new(None)) };
    /// Where `HOME` is, to compare with.
    static HOME_ADDRESS: Cell<*const Inbox> = const { Cell::new(ptr::null()) };
}

/// This thread's inbox.
pub(crate) fn home() -> Arc<Inbox> {
    HOME.with(|home| {
        let mut home = home.borrow_mut();
        let inbox = home.get_or_insert_with(|| Arc::new(Inbox::new()));
        HOME_ADDRESS.set(Arc::as_ptr(inbox));
        Arc::clone(inbox)
    })
}

/// This thread's inbox as a pointer, which is good until [`end`].
#[inline]
pub(crate) fn home_address() -> *const Inbox {
    let address = HOME_ADDRESS.get();
    if address.is_null() { Arc::as_ptr(&home()) } else { address }
}

/// Whether `inbox` is this thread's.
#[inline]
pub(crate) fn is_home(inbox: &Arc<Inbox>) -> bool {
    is_home_address(Arc::as_ptr(inbox))
}

/// Whether what was the [`home_address`] is so still: no [`end`] came between.
#[inline]
pub(crate) fn is_home_address(address: *const Inbox) -> bool {
    ptr::eq(HOME_ADDRESS.get(), address)
}

/// Delivers all letters there are in this thread's inbox, if it has one.
#[inline]
pub(crate) fn drain_home() {
    // SAFETY: `HOME` keeps the inbox; nothing here ends it.
    if let Some(inbox) = unsafe { HOME_ADDRESS.get().as_ref() }
        && !inbox.is_empty()
    {
        home().drain();
    }
}

/// Closes this thread's inbox, and forgets it; `last` says that nobody will use a pointer from
/// [`home_address`] any more, else its memory stays.
pub(crate) fn end(last: bool) {
    let inbox = HOME.with(|home| home.borrow_mut().take());
    HOME_ADDRESS.set(ptr::null());
    if let Some(inbox) = inbox {
        inbox.close();
        if !last {
            std::mem::forget(inbox);
        }
    }
}

/// A thread's address for closures from other threads: see [`crate::scheduler::handle`].
#[derive(Clone)]
pub struct Handle {
    inbox: Arc<Inbox>,
}

/// The thread's runtime has ended, so that nothing can be posted to it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime of that thread has ended")
    }
}

impl std::error::Error for Closed {}

#[repr(C)]
struct Closure<F> {
    letter: Letter,
    f: F,
}

impl Handle {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Handle {
        Handle { inbox }
    }

    /// Whether the calling thread is the home thread, and its runtime has not ended since.
    ///
    /// ```
    /// let home = lwt_core::scheduler::handle();
    /// assert!(home.is_current());
    /// assert!(!std::thread::spawn(move || home.is_current()).join().unwrap());
    /// ```
    pub fn is_current(&self) -> bool {
        is_home(&self.inbox)
    }

    /// Has `f` called on the home thread, at its loop's next turn, after all that was posted before.
    ///
    /// # Errors
    /// [`Closed`] when the home thread's runtime has ended; `f` was dropped. If it ends later, `f` is dropped
    /// uncalled.
    ///
    /// ```
    /// use lwt_core::scheduler;
    /// let home = scheduler::handle();
    /// std::thread::spawn(move || home.post(|| println!("back home"))).join().unwrap().unwrap();
    /// scheduler::run_ready(usize::MAX);
    /// ```
    pub fn post<F: FnOnce() + Send + 'static>(&self, f: F) -> Result<(), Closed> {
        let letter = Letter::new(call::<F>, drop_closure::<F>);
        let letter = Box::into_raw(Box::new(Closure { letter, f })).cast::<Letter>();
        // SAFETY: a fresh letter, valid until one of its functions takes it back; what it calls is `Send`.
        if unsafe { self.inbox.send(letter) } { Ok(()) } else { Err(Closed) }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("home", &self.is_current()).finish()
    }
}

unsafe fn call<F: FnOnce()>(letter: *mut Letter) {
    // SAFETY: the letter is that of a boxed `Closure<F>`, which it owns.
    let closure = unsafe { Box::from_raw(letter.cast::<Closure<F>>()) };
    (closure.f)();
}

unsafe fn drop_closure<F>(letter: *mut Letter) {
    // SAFETY: as in `call`.
    drop(unsafe { Box::from_raw(letter.cast::<Closure<F>>()) });
}

/// `RUSTFLAGS="--cfg loom" cargo test -p lwt-core --release --lib loom`
#[cfg(all(test, loom))]
mod loom_models {
    use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

    use loom::sync::atomic::{AtomicBool, AtomicUsize};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::{Inbox, Letter, Underway};

    /// The poll call: sleeps until it is kicked.
    #[derive(Default)]
    struct Poll {
        kicked: Mutex<bool>,
        changed: Condvar,
    }

    impl Poll {
        fn kick(&self) {
            *self.kicked.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn sleep(&self) {
            let mut kicked = self.kicked.lock().unwrap();
            while !*kicked {
                kicked = self.changed.wait(kicked).unwrap();
            }
            *kicked = false;
        }
    }

    #[repr(C)]
    struct Note {
        letter: Letter,
        read: Arc<AtomicUsize>,
    }

    unsafe fn read_note(letter: *mut Letter) {
        // SAFETY: the letter is that of a boxed note, which it owns.
        let note = unsafe { Box::from_raw(letter.cast::<Note>()) };
        note.read.fetch_add(1, Relaxed);
    }

    unsafe fn drop_note(letter: *mut Letter) {
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(letter.cast::<Note>()) });
    }

    fn with_kick(poll: &Arc<Poll>) -> std::sync::Arc<Inbox> {
        let inbox = Inbox::new();
        let poll = Arc::clone(poll);
        inbox.set_kick(Some(std::sync::Arc::new(move || poll.kick())));
        std::sync::Arc::new(inbox)
    }

    /// The home thread's loop until `done`.
    fn turn_until(inbox: &Inbox, poll: &Poll, done: impl Fn() -> bool) {
        loop {
            inbox.drain();
            if done() {
                return;
            }
            if inbox.prepare_sleep() {
                poll.sleep();
            }
            inbox.awake();
        }
    }

    /// No letter is slept over: the model would deadlock.
    #[test]
    fn every_letter_arrives() {
        loom::model(|| {
            let poll = Arc::new(Poll::default());
            let inbox = with_kick(&poll);
            let read = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (inbox, read) = (inbox.clone(), read.clone());
                    thread::spawn(move || {
                        let letter = Letter::new(read_note, drop_note);
                        let note = Box::into_raw(Box::new(Note { letter, read }));
                        // SAFETY: a fresh letter, which owns its box.
                        unsafe { inbox.send(note.cast()) };
                    })
                })
                .collect();
            turn_until(&inbox, &poll, || read.load(Relaxed) == 2);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            inbox.close();
        });
    }

    #[repr(C)]
    struct Bell {
        letter: Letter,
        underway: Underway,
        rung: AtomicBool,
    }

    unsafe fn ring(letter: *mut Letter) {
        // SAFETY: the count that was sent with the letter.
        let bell = unsafe { std::sync::Arc::from_raw(letter.cast::<Bell>()) };
        bell.underway.arrived();
        bell.rung.store(true, Relaxed);
    }

    unsafe fn throw_bell(letter: *mut Letter) {
        // SAFETY: as above.
        drop(unsafe { std::sync::Arc::from_raw(letter.cast::<Bell>()) });
    }

    /// A wake is never lost: after the last one, the task is polled and sees all that was done before it.
    #[test]
    fn a_wake_is_followed_by_a_poll() {
        loom::model(|| {
            let poll = Arc::new(Poll::default());
            let inbox = with_kick(&poll);
            let bell = std::sync::Arc::new(Bell {
                letter: Letter::new(ring, throw_bell),
                underway: Underway::new(),
                rung: AtomicBool::new(false),
            });
            let work = Arc::new(AtomicUsize::new(0));
            let wakers: Vec<_> = (0..2)
                .map(|_| {
                    let (inbox, bell, work) = (inbox.clone(), bell.clone(), work.clone());
                    thread::spawn(move || {
                        work.fetch_add(1, Release);
                        if bell.underway.claim() {
                            let letter = std::sync::Arc::into_raw(bell).cast_mut().cast();
                            // SAFETY: `underway` keeps it from being sent twice; the count is the letter's.
                            unsafe { inbox.send(letter) };
                        }
                    })
                })
                .collect();
            let mut seen = 0;
            while seen < 2 {
                turn_until(&inbox, &poll, || bell.rung.swap(false, Relaxed));
                seen = work.load(Acquire); // the poll
            }
            wakers.into_iter().for_each(|waker| waker.join().unwrap());
            inbox.close();
        });
    }
}
