//! Signals: called from the loop, each delivery once, in every loop that listens; other people's actions are
//! called, and come back. Each test has signals of its own, since all share the process.

#![cfg(target_os = "linux")]

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, pause};
use lwt_unix::entry::guarded;
use lwt_unix::signal::{
    self, SIGKILL, SIGSEGV, SIGSTOP, SIGTRAP, Signal, disable_signal_handler, handle_signal, on_signal,
    on_signal_full, reinstall_signal_handler, signal_count,
};
use lwt_unix::{run, sleep};

/// The `n`th signal that is free.
fn free(n: u8) -> Signal {
    Signal::realtime(n).expect("Linux has thirty of them")
}

/// Sends a signal to this process.
fn raise(signal: Signal) {
    // SAFETY: it touches no memory.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.number()) }, 0);
}

/// The address of the action in force.
fn action(signal: Signal) -> libc::sigaction {
    // SAFETY: all-zero bytes are an action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: it fills the structure.
    assert_eq!(unsafe { libc::sigaction(signal.number(), ptr::null(), &mut action) }, 0);
    action
}

/// Puts an action in force; gives the one that was.
fn install(signal: Signal, address: usize, flags: i32) -> libc::sigaction {
    let old = action(signal);
    let mut new = old;
    (new.sa_sigaction, new.sa_flags) = (address, flags);
    restore(signal, &new);
    old
}

fn restore(signal: Signal, action: &libc::sigaction) {
    // SAFETY: the functions that these tests install may be called at any time.
    assert_eq!(unsafe { libc::sigaction(signal.number(), action, ptr::null_mut()) }, 0);
}

async fn until(done: impl Fn() -> bool) -> Result<(), Error> {
    while !done() {
        sleep(Duration::from_micros(200)).await?;
    }
    Ok(())
}

/// A handler that counts its calls.
fn counter(signal: Signal) -> (signal::SignalHandler, Rc<Cell<usize>>) {
    let calls = Rc::new(Cell::new(0));
    let seen = Rc::clone(&calls);
    let handler = on_signal(signal, move |_| seen.set(seen.get() + 1)).expect("a handler");
    (handler, calls)
}

lwt_unix::test! {
    async fn handlers_are_called_in_order_from_the_loop() -> Result<(), Error> {
        let order = Rc::new(RefCell::new(Vec::new()));
        let signal = free(0);
        let handlers: Vec<_> = (0..4)
            .map(|number| {
                let order = Rc::clone(&order);
                on_signal(signal, move |_| order.borrow_mut().push(number)).expect("a handler")
            })
            .collect();
        assert_eq!(signal_count(), 4);
        raise(signal);
        assert!(order.borrow().is_empty());
        until(|| order.borrow().len() == 4).await?;
        disable_signal_handler(&handlers[1]);
        handlers[1].disable();
        assert_eq!((signal_count(), handlers[1].is_enabled()), (3, false));
        raise(signal);
        until(|| order.borrow().len() == 7).await?;
        assert_eq!(*order.borrow(), [0, 1, 2, 3, 0, 2, 3]);
        Ok(())
    }

    async fn a_handler_may_disable_itself_and_others_and_add_new_ones() -> Result<(), Error> {
        let signal = free(1);
        let (guard, others) = counter(signal);
        let calls = Rc::new(Cell::new(0));
        let place = Rc::new(RefCell::new(None));
        let (seen, victim) = (Rc::clone(&calls), Rc::clone(&place));
        on_signal_full(signal, move |me, signal| {
            seen.set(seen.get() + 1);
            me.disable();
            if let Some(victim) = victim.take() {
                signal::SignalHandler::disable(&victim);
            }
            let seen = Rc::clone(&seen);
            drop(on_signal(signal, move |_| seen.set(seen.get() + 100)));
        })?;
        let (victim, never) = counter(signal);
        *place.borrow_mut() = Some(victim);
        raise(signal);
        until(|| others.get() == 1).await?;
        assert_eq!((calls.get(), never.get()), (1, 0));
        raise(signal);
        until(|| others.get() == 2).await?;
        assert_eq!((calls.get(), never.get()), (101, 0));
        guard.disable();
        Ok(())
    }

    async fn what_cannot_be_caught_is_refused() {
        for signal in [SIGKILL, SIGSTOP, SIGSEGV, Signal::from(0), Signal::from(-5), Signal::from(1000)] {
            let error = on_signal(signal, |_| ()).expect_err("it is refused");
            assert_eq!(error.io_kind(), Some(std::io::ErrorKind::InvalidInput), "{error}");
            assert!(error.to_string().contains("sigaction"), "{error}");
            assert!(!handle_signal(signal));
        }
        assert_eq!(signal_count(), 0);
    }

    async fn a_storm_loses_nothing_that_the_system_delivers() -> Result<(), Error> {
        // Real-time signals queue up, so that each is delivered; those over the queue's limit are refused.
        let signal = free(2);
        let (_handler, calls) = counter(signal);
        let sender = thread::spawn(move || {
            let mut sent = 0;
            for _ in 0..100_000 {
                // SAFETY: it touches no memory.
                sent += usize::from(unsafe { libc::kill(libc::getpid(), signal.number()) } == 0);
            }
            sent
        });
        while !sender.is_finished() {
            pause().await?;
        }
        let sent = sender.join().expect("it ends");
        assert!(sent > 0);
        until(|| calls.get() == sent).await?;
        sleep(Duration::from_millis(2)).await?;
        assert_eq!(calls.get(), sent);
        Ok(())
    }

    async fn after_the_last_of_those_that_merge_there_is_a_call() -> Result<(), Error> {
        let calls = Rc::new(Cell::new(0));
        let seen = Rc::clone(&calls);
        on_signal(signal::SIGURG, move |_| seen.set(seen.get() + 1))?;
        for _ in 0..500 {
            let before = calls.get();
            for _ in 0..20 {
                raise(signal::SIGURG);
            }
            until(|| calls.get() > before).await?;
        }
        Ok(())
    }

    async fn another_library_may_hand_signals_over() -> Result<(), Error> {
        let signal = free(3);
        assert!(!handle_signal(signal));
        let (handler, calls) = counter(signal);
        let threads = [(); 3].map(|()| thread::spawn(move || (0..100).all(|_| handle_signal(signal))));
        for thread in threads {
            assert!(thread.join().expect("it ends"));
        }
        until(|| calls.get() == 300).await?;
        handler.disable();
        assert!(!handle_signal(signal));
        Ok(())
    }

    async fn the_next_one_is_a_promise() -> Result<(), Error> {
        let signal = free(4);
        let before = action(signal).sa_sigaction;
        let (first, second) = (signal::next(signal), signal::next(signal));
        assert_eq!(signal_count(), 2);
        raise(signal);
        assert_eq!((first.await?, second.await?), (signal, signal));
        assert_eq!((signal_count(), action(signal).sa_sigaction), (0, before));
        // Who has gone listens no more.
        let cancelled = signal::next(signal);
        cancelled.cancel();
        drop(signal::next(signal));
        assert!(cancelled.await.expect_err("cancelled").is_canceled());
        assert_eq!((signal_count(), action(signal).sa_sigaction), (0, before));
        assert!(signal::next(SIGKILL).await.is_err());
        Ok(())
    }

    async fn a_stream_has_them_all_until_it_is_dropped() -> Result<(), Error> {
        let signal = free(5);
        let stream = signal::stream(signal)?;
        let reader = stream.next();
        for _ in 0..5 {
            raise(signal);
        }
        assert_eq!(reader.await?, signal);
        assert_eq!(stream.nget(4).await?, vec![signal; 4]);
        // A reader who has gone takes none along.
        let gone = stream.next();
        drop(gone);
        raise(signal);
        assert_eq!(stream.next().await?, signal);
        drop(stream);
        assert_eq!(signal_count(), 0);
        Ok(())
    }
}

#[test]
fn every_loop_that_listens_gets_it() {
    guarded("every_loop_that_listens_gets_it", || {
        let signal = free(6);
        let before = action(signal).sa_sigaction;
        let ready = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let promise: Promise<Signal> = signal::next(signal);
                    ready.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(run(promise).expect("it comes"), signal);
                });
            }
            while ready.load(Ordering::SeqCst) < 4 {
                thread::yield_now();
            }
            raise(signal);
        });
        assert_eq!(action(signal).sa_sigaction, before);
        // Also a loop that ends without saying so is off the list.
        thread::spawn(move || drop(counter(signal))).join().expect("it ends");
        assert_eq!(action(signal).sa_sigaction, before);
        assert!(!handle_signal(signal));
    });
}

static PLAIN: AtomicUsize = AtomicUsize::new(0);
static INFORMED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(_signal: i32) {
    PLAIN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn informed(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gave it.
    let right = unsafe { (*info).si_signo } == signal && !context.is_null();
    INFORMED.fetch_add(usize::from(right), Ordering::SeqCst);
}

#[test]
fn a_previous_action_is_called_and_comes_back() {
    guarded("a_previous_action_is_called_and_comes_back", || {
        let kinds: [(usize, i32, &AtomicUsize); 2] = [
            (plain as extern "C" fn(i32) as usize, 0, &PLAIN),
            (informed as extern "C" fn(_, _, _) as usize, libc::SA_SIGINFO, &INFORMED),
        ];
        for (number, (address, flags, called)) in (7..).zip(kinds) {
            let signal = free(number);
            install(signal, address, flags);
            for round in 1..=3 {
                let (handler, calls) = counter(signal);
                assert_ne!(action(signal).sa_sigaction, address);
                raise(signal);
                // The handler may run on another thread, which tells the loop first.
                run(until(move || calls.get() == 1 && called.load(Ordering::SeqCst) >= 2 * round - 1))
                    .expect("both are called");
                assert_eq!(called.load(Ordering::SeqCst), 2 * round - 1);
                handler.disable();
                assert_eq!(
                    (action(signal).sa_sigaction, action(signal).sa_flags & libc::SA_SIGINFO),
                    (address, flags)
                );
                raise(signal);
                while called.load(Ordering::SeqCst) < 2 * round {
                    thread::yield_now();
                }
            }
        }
    });
}

static CHAIN: std::sync::Mutex<Option<libc::sigaction>> = std::sync::Mutex::new(None);
static CHAINED: AtomicUsize = AtomicUsize::new(0);

/// A library's handler that calls who was there before it.
extern "C" fn chaining(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    CHAINED.fetch_add(1, Ordering::SeqCst);
    // Not a thing to do in a real handler.
    let before = CHAIN.lock().expect("not poisoned").map(|before| before.sa_sigaction);
    if let Some(address) = before.filter(|address| *address > 1) {
        // SAFETY: the only action before this one is ours, which takes three arguments.
        let before: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(address) };
        before(signal, info, context);
    }
}

#[test]
fn somebody_in_front_of_us_stays_and_no_chain_is_a_circle() {
    guarded("somebody_in_front_of_us_stays", || {
        let signal = free(9);
        let bottom = at_the_bottom as extern "C" fn(i32) as usize;
        let foreign = chaining as extern "C" fn(_, _, _) as usize;
        install(signal, bottom, 0);
        let (handler, calls) = counter(signal);
        let ours = action(signal);
        *CHAIN.lock().expect("not poisoned") = Some(install(signal, foreign, libc::SA_SIGINFO));
        let comes = |calls: &Rc<Cell<usize>>, expected: (usize, usize, usize)| {
            raise(signal);
            let seen = Rc::clone(calls);
            run(until(move || seen.get() >= expected.0 && BELOW.load(Ordering::SeqCst) >= expected.2))
                .expect("called");
            run(sleep(Duration::from_micros(500))).expect("slept");
            assert_eq!((calls.get(), CHAINED.load(Ordering::SeqCst), BELOW.load(Ordering::SeqCst)), expected);
        };
        // The foreign one calls ours, and ours the one at the bottom.
        comes(&calls, (1, 1, 1));
        // Removed: the foreign one stays, ours is inert.
        handler.disable();
        assert_eq!(action(signal).sa_sigaction, foreign);
        comes(&calls, (1, 2, 2));
        // Again, in front of the one that calls us: each is called once.
        let (handler, calls) = counter(signal);
        assert_eq!(action(signal).sa_sigaction, ours.sa_sigaction);
        comes(&calls, (1, 3, 3));
        reinstall_signal_handler(signal).expect("it is in force already");
        comes(&calls, (2, 4, 4));
        // The foreign one once more in front: a circle of its own making, which ends here. Then ours by
        // request.
        install(signal, foreign, libc::SA_SIGINFO);
        comes(&calls, (3, 6, 5));
        reinstall_signal_handler(signal).expect("installed");
        assert_eq!(action(signal).sa_sigaction, ours.sa_sigaction);
        comes(&calls, (4, 7, 6));
        handler.disable();
        assert_eq!(action(signal).sa_sigaction, foreign);
        // The library goes, and puts back what it found: ours, which nobody needs; then all is as it was.
        restore(signal, &ours);
        let (handler, calls) = counter(signal);
        comes(&calls, (1, 7, 7));
        handler.disable();
        assert_eq!(action(signal).sa_sigaction, bottom);
    });
}

static BELOW: AtomicUsize = AtomicUsize::new(0);

extern "C" fn at_the_bottom(_signal: i32) {
    BELOW.fetch_add(1, Ordering::SeqCst);
}

static FAULTED: AtomicUsize = AtomicUsize::new(0);
static WAITED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn fault(_signal: i32) {
    FAULTED.fetch_add(1, Ordering::SeqCst);
}

/// A library's handler that lives with faults.
extern "C" fn faulting(_signal: i32) {
    let before = FAULTED.load(Ordering::SeqCst);
    // SAFETY: it touches no memory.
    unsafe { libc::raise(libc::SIGTRAP) };
    WAITED.fetch_add(usize::from(FAULTED.load(Ordering::SeqCst) == before), Ordering::SeqCst);
}

#[test]
fn faults_are_not_blocked_while_a_previous_action_is_called() {
    guarded("faults_are_not_blocked", || {
        let signal = free(14);
        install(SIGTRAP, fault as extern "C" fn(i32) as usize, 0);
        install(signal, faulting as extern "C" fn(i32) as usize, 0);
        let (handler, calls) = counter(signal);
        // SAFETY: it touches no memory.
        assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), signal.number()) }, 0);
        run(until(move || calls.get() == 1)).expect("it is called");
        assert_eq!(FAULTED.load(Ordering::SeqCst), 1);
        assert_eq!(WAITED.load(Ordering::SeqCst), 0, "it came before the handler was left");
        handler.disable();
    });
}

#[test]
fn what_was_ignored_is_ignored_again() {
    guarded("what_was_ignored_is_ignored_again", || {
        // Rust's start-up code has this one ignored.
        for signal in [signal::SIGPIPE, free(11)] {
            install(signal, libc::SIG_IGN, 0);
            let (handler, calls) = counter(signal);
            raise(signal);
            run(until(move || calls.get() == 1)).expect("it is called");
            handler.disable();
            assert_eq!(action(signal).sa_sigaction, libc::SIG_IGN);
            raise(signal);
        }
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let error = std::io::Write::write(&mut writer, b"x").expect_err("nobody reads");
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_handler_may_interrupt_anything() {
    guarded("a_handler_may_interrupt_anything", || {
        // A timer's signals, while this thread makes and ends notifications, handlers and memory.
        let signal = free(12);
        let (handler, calls) = counter(signal);
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let target = {
            // SAFETY: it has no arguments.
            unsafe { libc::pthread_self() }
        };
        let sender = thread::spawn({
            let stop = std::sync::Arc::clone(&stop);
            move || {
                let mut sent = 0_usize;
                while !stop.load(Ordering::SeqCst) {
                    // SAFETY: the thread waits for this one.
                    sent += usize::from(unsafe { libc::pthread_kill(target, signal.number()) } == 0);
                    thread::sleep(Duration::from_micros(20));
                }
                sent
            }
        });
        run(async move {
            for round in 0..2000_usize {
                let notification = lwt_unix::notification::make_notification(|| ())?;
                lwt_unix::notification::send_notification(notification)?;
                let (other, _) = counter(free(13));
                let words: Vec<String> = (0..20).map(|word| format!("{round} {word}")).collect();
                pause().await?;
                drop(words);
                other.disable();
                lwt_unix::notification::stop_notification(notification)?;
            }
            Ok::<_, Error>(())
        })
        .expect("it goes on");
        stop.store(true, Ordering::SeqCst);
        let sent = sender.join().expect("it ends");
        run(until(move || calls.get() == sent)).expect("all have come");
        handler.disable();
    });
}

#[test]
fn what_is_reinstalled_without_a_listener_does_nothing() {
    guarded("what_is_reinstalled_without_a_listener", || {
        let signal = free(10);
        let before = action(signal).sa_sigaction;
        reinstall_signal_handler(signal).expect("nothing to do");
        assert_eq!(action(signal).sa_sigaction, before);
    });
}
