//! Signals from several threads, while loops add and remove handlers and end. A binary of its own, because
//! the signals come to whatever thread there is.

#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, pause};
use lwt_unix::entry::guarded;
use lwt_unix::notification::{make_notification, send_notification};
use lwt_unix::signal::{SIGURG, SIGUSR1, Signal, on_signal, reinstall_signal_handler};
use lwt_unix::{run, sleep};

extern "C" fn bottom(_signal: i32) {}

/// The address of the action in force, which becomes `new` if that is given.
fn action(signal: Signal, new: Option<usize>) -> usize {
    // SAFETY: all-zero bytes are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: it fills the structure.
    assert_eq!(unsafe { libc::sigaction(signal.number(), std::ptr::null(), &mut action) }, 0);
    let old = action.sa_sigaction;
    if let Some(new) = new {
        action.sa_sigaction = new;
        // SAFETY: the function does nothing.
        assert_eq!(unsafe { libc::sigaction(signal.number(), &action, std::ptr::null_mut()) }, 0);
    }
    old
}

/// A loop that adds and removes handlers all the time.
fn changes_its_mind(signals: [Signal; 3], seed: u64, rounds: u32) -> Result<(), Error> {
    run(async move {
        let mut number = seed;
        for _ in 0..rounds {
            let mut handlers = Vec::new();
            for _ in 0..3 {
                number = number.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                handlers.push(on_signal(signals[(number >> 33) as usize % 3], |_| ())?);
            }
            pause().await?;
            if (number >> 40).is_multiple_of(2) {
                reinstall_signal_handler(signals[(number >> 50) as usize % 3])?;
            }
            handlers.iter().for_each(|handler| handler.disable());
        }
        Ok::<_, Error>(())
    })
}

/// A loop that ends with all that it has, while somebody sends to it.
fn lives_for_a_moment(signal: Signal) {
    let _handler = on_signal(signal, |_| ()).expect("a handler");
    let notification = make_notification(|| ()).expect("a notification");
    let _sender = thread::spawn(move || while send_notification(notification).is_ok() {});
    run(sleep(Duration::from_micros(300))).expect("slept");
}

#[test]
fn no_signal_is_left_to_its_default_and_the_action_of_before_comes_back() {
    guarded("no_signal_is_left_to_its_default", || {
        let real = Signal::realtime(0).expect("Linux has thirty of them");
        let signals = [SIGUSR1, SIGURG, real];
        // Two of them would end the process if they were met with their default action.
        let bottom = bottom as extern "C" fn(i32) as usize;
        for signal in signals {
            action(signal, Some(bottom));
        }
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for signal in signals {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        for _ in 0..64 {
                            // SAFETY: it touches no memory. A queue that is full is no matter.
                            unsafe { libc::kill(libc::getpid(), signal.number()) };
                        }
                        thread::sleep(Duration::from_micros(100));
                    }
                });
            }
            let loops = [1, 2, 3].map(|seed| scope.spawn(move || changes_its_mind(signals, seed, 6000)));
            let moments = scope.spawn(|| {
                // Joined: the loop has ended then.
                (0..100).for_each(|_| thread::spawn(|| lives_for_a_moment(SIGUSR1)).join().expect("it ends"));
            });
            for changes in loops {
                changes.join().expect("it ends").expect("it goes on");
            }
            moments.join().expect("it ends");
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(signals.map(|signal| action(signal, None)), [bottom; 3]);
    });
}
