//! Signals at the runtime lock: a section that is interrupted hears of it by `EINTR`, and the handler runs on
//! the loop.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_core::Error;
use lwt_preemptive::lock::RuntimeLock;
use lwt_unix::entry::guarded;
use lwt_unix::signal::on_signal;
use lwt_unix::{run, sleep};
use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;

/// Blocks in a system call until a signal comes; gives what the call says.
fn interrupted(about_to: impl FnOnce()) -> nix::Result<i32> {
    about_to();
    poll(&mut [], PollTimeout::NONE)
}

/// Sends the signal to the thread until it has noticed: a signal that comes before the call interrupts
/// nothing.
fn interrupt_until<T>(thread: Pthread, noticed: &mpsc::Receiver<T>) -> T {
    loop {
        pthread_kill(thread, Signal::SIGUSR1).expect("a living thread");
        match noticed.recv_timeout(Duration::from_millis(5)) {
            Ok(value) => return value,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the thread has ended"),
        }
    }
}

#[test]
fn a_section_that_is_interrupted_decides_and_the_loop_handles() {
    guarded("a_section_that_is_interrupted_decides_and_the_loop_handles", || {
        let lock = RuntimeLock::current().expect("a lock");
        let handled = Rc::new(Cell::new(0));
        let (count, home) = (Rc::clone(&handled), thread::current().id());
        let handler = on_signal(Signal::SIGUSR1 as i32, move |_| {
            assert_eq!(thread::current().id(), home);
            count.set(count.get() + 1);
        })
        .expect("a handler");

        // On a thread that is attached: the section ends with EINTR, and the lock is held again after it.
        let number = lock.guard(0);
        let (blocks, blocking) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let outcome = thread::scope(|scope| {
            let (lock, number) = (&lock, &number);
            let attached = scope.spawn(move || {
                lock.attach(|token| {
                    let outcome = token.blocking(|| interrupted(|| _ = blocks.send(pthread_self())));
                    *number.get_mut(token) += 1;
                    tell.send(outcome).expect("sent");
                })
            });
            let thread = blocking.recv().expect("it is about to block");
            let outcome = interrupt_until(thread, &told);
            attached.join().expect("joined").expect("attached");
            outcome
        });
        assert_eq!(outcome, Err(Errno::EINTR));
        assert_eq!(lock.with_token(|token| *number.get(token)), Ok(1));
        assert_eq!(handled.get(), 0, "a handler runs in the loop only");
        run(sleep(Duration::from_millis(1))).expect("run");
        let before = handled.get();
        assert!(before > 0);

        // On the loop's own thread, in a callback: the handler waits for the loop.
        let (tell, told) = mpsc::channel();
        let me = pthread_self();
        let other = thread::spawn(move || interrupt_until(me, &told));
        let seen = Rc::clone(&handled);
        run(async move {
            let outcome = lock.with_token(|token| token.blocking(|| interrupted(|| ())))?;
            assert_eq!(outcome, Err(Errno::EINTR));
            assert_eq!(seen.get(), before, "not inside the section");
            tell.send(()).expect("sent");
            while seen.get() == before {
                sleep(Duration::from_millis(1)).await?;
            }
            Ok::<_, Error>(())
        })
        .expect("run");
        other.join().expect("joined");
        handler.disable();
    });
}
