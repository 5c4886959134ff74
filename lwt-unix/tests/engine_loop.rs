//! The loop on each engine: watches, moving to another engine, false alarms, single turns, and the loop as a
//! guest.

mod engine_support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use engine_support::{ENGINES, now, on_all, on_each};
use lwt_core::{Error, pause, spawn};
use lwt_unix::engine::{
    Wait, Watch, current_engine, fake_io, on_readable, on_timer, on_writable, set_engine,
};
use lwt_unix::entry::guarded;
use lwt_unix::faults::{Plan, Rule};
use lwt_unix::main_loop::{Guest, NestedRun, iter};
use lwt_unix::net::{TcpListener, TcpStream, UnixStream};
use lwt_unix::{detach, loop_stats, run, sleep};

/// A conversation over sockets, with timers and a job beside it.
async fn conversation() -> Result<usize, Error> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut buf = [0; 100];
        loop {
            match stream.read(&mut buf).await? {
                0 => return Ok::<_, Error>(()),
                n => stream.write_all(&buf[..n]).await?,
            }
        }
    });
    let client = TcpStream::connect(address).await?;
    let mut total = 0;
    for round in 0..20u8 {
        let sent = vec![round; 50 + usize::from(round)];
        client.write_all(&sent).await?;
        let mut back = vec![0; sent.len()];
        client.read_exact(&mut back).await?;
        assert_eq!(back, sent);
        total += back.len();
        if round % 5 == 0 {
            sleep(Duration::from_micros(300)).await?;
            assert_eq!(detach(move || round).await?, round);
        }
    }
    drop(client);
    server.await?;
    Ok(total)
}

#[test]
fn sockets_timers_and_jobs() {
    on_all("sockets_timers_and_jobs", || {
        assert_eq!(run(conversation()).expect("conversation"), (50..70).sum::<usize>());
        let stats = loop_stats();
        assert_eq!(
            (stats.descriptors, stats.reading, stats.writing, stats.timers, stats.jobs),
            (0, 0, 0, 0, 0)
        );
    });
}

#[test]
fn a_megabyte_through_a_small_pipe() {
    on_all("a_megabyte_through_a_small_pipe", || {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let sent: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
        let got = run(async move {
            let writing = spawn({
                let sent = sent.clone();
                async move { theirs.write_all(&sent).await }
            });
            let mut got = vec![0; sent.len()];
            ours.read_exact(&mut got).await?;
            writing.await?;
            assert_eq!(ours.read(&mut [0; 8]).await?, 0, "the end");
            Ok::<_, Error>(got == sent)
        });
        assert!(got.expect("transfer"));
    });
}

#[test]
fn counts_tell_who_waits() {
    on_all("counts_tell_who_waits", || {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let ours = Rc::new(ours);
        let reads: Vec<_> = (0..3)
            .map(|_| {
                let ours = Rc::clone(&ours);
                spawn(async move { ours.read(&mut [0; 4]).await })
            })
            .collect();
        run(pause()).expect("a turn");
        assert_eq!((loop_stats().descriptors, loop_stats().reading, loop_stats().writing), (1, 3, 0));
        reads[0].cancel();
        assert_eq!(loop_stats().reading, 2);
        drop(theirs);
        for read in reads.into_iter().skip(1) {
            assert_eq!(run(read).expect("the end"), 0);
        }
        assert_eq!(loop_stats().reading, 0);
    });
}

#[test]
fn a_watch_is_called_while_there_is_something_and_until_it_is_stopped() {
    on_each("a_watch_is_called_while_there_is_something_and_until_it_is_stopped", || {
        let (ours, mut theirs) = StdStream::pair().expect("pair");
        let got = Rc::new(RefCell::new(Vec::new()));
        let ours = Rc::new(ours);
        let watch = on_readable(Rc::clone(&ours), {
            let (ours, got) = (Rc::clone(&ours), Rc::clone(&got));
            move || {
                // One byte at a time: the rest has to bring further calls.
                let mut byte = [0];
                (&*ours).read_exact(&mut byte).expect("read");
                got.borrow_mut().push(byte[0]);
            }
        })
        .expect("watch");
        theirs.write_all(b"abc").expect("write");
        while got.borrow().len() < 3 {
            run(sleep(Duration::from_millis(1))).expect("slept");
        }
        for _ in 0..5 {
            run(pause()).expect("a turn");
        }
        theirs.write_all(b"d").expect("write");
        while got.borrow().len() < 4 {
            run(sleep(Duration::from_millis(1))).expect("slept");
        }
        watch.stop();
        assert_eq!(Rc::strong_count(&got), 1, "the function is gone");
        assert_eq!(Rc::strong_count(&ours), 1, "and the descriptor with it");
        theirs.write_all(b"e").expect("write");
        run(sleep(Duration::from_millis(2))).expect("slept");
        assert_eq!(*got.borrow(), b"abcd");
        assert_eq!(loop_stats().descriptors, 0);
        watch.stop();
        Watch::idle().stop();
    });
}

#[test]
fn a_watch_may_stop_itself_and_panic() {
    on_each("a_watch_may_stop_itself_and_panic", || {
        let (ours, _theirs) = StdStream::pair().expect("pair");
        let ours = Rc::new(ours);
        let (calls, handle) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Watch::idle())));
        let watch = on_writable(ours, {
            let (calls, handle) = (Rc::clone(&calls), Rc::clone(&handle));
            move || {
                calls.set(calls.get() + 1);
                match calls.get() {
                    1 => panic!("told to the hook, and called again"),
                    2 => handle.borrow().stop(),
                    _ => unreachable!("it is stopped"),
                }
            }
        });
        *handle.borrow_mut() = watch.expect("watch");
        assert_eq!(calls.get(), 0, "never inside the call that makes it");
        let told = Rc::new(Cell::new(0));
        lwt_core::set_unhandled_hook(Some(Rc::new({
            let told = Rc::clone(&told);
            move |error: &Error| {
                assert!(error.panic_message().is_some());
                told.set(told.get() + 1);
            }
        })));
        run(sleep(Duration::from_millis(2))).expect("slept");
        assert_eq!((calls.get(), told.get()), (2, 1));
    });
}

#[test]
fn a_watch_beside_an_fd_on_the_same_descriptor() {
    on_all("a_watch_beside_an_fd_on_the_same_descriptor", || {
        for watch_first in [false, true] {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            let calls = Rc::new(Cell::new(0));
            let watch = || {
                let calls = Rc::clone(&calls);
                on_writable(ours.hold().expect("open"), move || calls.set(calls.get() + 1))
            };
            let early = watch_first.then(watch);
            let read = spawn({
                let ours = ours.clone();
                async move { ours.read(&mut [0; 1]).await }
            });
            run(pause()).expect("a turn");
            let watch = early.unwrap_or_else(watch).expect("watch");
            while calls.get() < 3 {
                run(sleep(Duration::from_micros(100))).expect("slept");
            }
            watch.stop();
            run({
                let theirs = theirs.clone();
                async move { theirs.write_all(b"x").await }
            })
            .expect("written");
            assert_eq!(run(read).expect("read"), 1);
            drop(ours);
            assert_eq!(run(async move { theirs.read(&mut [0]).await }).expect("the end"), 0);
            assert_eq!(loop_stats().descriptors, 0);
        }
    });
}

#[test]
fn timers_once_and_again() {
    on_all("timers_once_and_again", || {
        let (once, again) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let start = now();
        let one = on_timer(Duration::from_millis(2), false, {
            let once = Rc::clone(&once);
            move || {
                assert!(now() - start >= Duration::from_millis(2));
                once.set(once.get() + 1);
            }
        });
        let many = on_timer(Duration::from_micros(500), true, {
            let again = Rc::clone(&again);
            move || again.set(again.get() + 1)
        });
        while again.get() < 5 {
            run(sleep(Duration::from_millis(1))).expect("slept");
        }
        assert!(now() - start >= Duration::from_micros(2500));
        assert_eq!(once.get(), 1);
        many.stop();
        one.stop();
        assert_eq!(loop_stats().timers, 0);
        let never = on_timer(Duration::MAX, true, || unreachable!("not in this life"));
        run(sleep(Duration::from_millis(1))).expect("slept");
        never.stop();
    });
}

#[test]
fn a_false_alarm_has_everybody_try_again() {
    on_all("a_false_alarm_has_everybody_try_again", || {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let number = ours.hold().expect("open").as_raw_fd();
        let read = spawn(async move { ours.read(&mut [0; 4]).await });
        run(pause()).expect("a turn");
        for _ in 0..3 {
            fake_io(number);
            run(pause()).expect("a turn");
            assert!(read.is_pending());
        }
        run(async move { theirs.write_all(b"x").await }).expect("written");
        assert_eq!(run(read).expect("read"), 1);
        fake_io(-1);
    });
}

#[test]
fn the_loop_moves_from_engine_to_engine_with_all_that_waits() {
    guarded("the_loop_moves_from_engine_to_engine_with_all_that_waits", || {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let read = spawn(async move {
            let mut buf = [0; 3];
            ours.read_exact(&mut buf).await?;
            Ok::<_, Error>(buf)
        });
        let start = Instant::now();
        let nap = sleep(Duration::from_millis(20));
        let job = detach(|| thread::sleep(Duration::from_millis(5)));
        let mut before = lwt_unix::engine_name().expect("running");
        for (byte, (name, make)) in b"abc".iter().zip(ENGINES.into_iter().rev().cycle()) {
            run(pause()).expect("a turn");
            let old = set_engine(make()).expect("moved").expect("there was one");
            assert_eq!(old.name(), before);
            assert_eq!(current_engine().expect("an engine").name(), name);
            let same =
                set_engine(current_engine().expect("an engine")).expect("it is there").expect("it was");
            assert!(Rc::ptr_eq(&same, &current_engine().expect("an engine")));
            before = name;
            let (theirs, byte) = (theirs.clone(), *byte);
            run(async move { theirs.write_all(&[byte]).await }).expect("written");
        }
        assert_eq!(&run(read).expect("read"), b"abc");
        run(job).expect("the job's thread rings at the engine of today");
        run(nap).expect("slept");
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
}

#[test]
fn a_callback_may_move_the_loop_while_it_runs() {
    on_each("a_callback_may_move_the_loop_while_it_runs", || {
        let name = lwt_unix::engine_name().expect("running");
        run(async move {
            let (ours, theirs) = UnixStream::pair()?;
            for round in 0..10 {
                let (_, make) = ENGINES[round % 2];
                set_engine(make())?;
                theirs.write_all(b"x").await?;
                ours.read_exact(&mut [0]).await?;
                sleep(Duration::from_micros(100)).await?;
            }
            let (_, make) = ENGINES[ENGINES.iter().position(|(other, _)| *other == name).unwrap_or(0)];
            set_engine(make())?;
            Ok::<_, Error>(())
        })
        .expect("ten moves");
    });
}

#[test]
fn single_turns() {
    on_all("single_turns", || {
        let paused = pause();
        iter(false).expect("a turn");
        assert!(!paused.is_pending());
        // One that blocks, does so until something has happened.
        let start = now();
        let nap = sleep(Duration::from_millis(3));
        while nap.is_pending() {
            iter(true).expect("a turn");
        }
        assert!(now() - start >= Duration::from_millis(3));
        let nested = run(async { iter(false) }).expect_err("inside run");
        assert!(nested.downcast_ref::<NestedRun>().is_some());
    });
}

/// What a turn has done may be what its caller waits for.
#[test]
fn a_single_turn_does_not_block_after_it_has_done_something() {
    on_each("a_single_turn_does_not_block_after_it_has_done_something", || {
        for round in 0..50 {
            let job = detach(move || thread::sleep(Duration::from_micros(10 * round)));
            while job.is_pending() {
                iter(true).expect("a turn");
            }
            // Sent before the turn begins.
            let home = lwt_unix::main_loop::handle().expect("a loop");
            let came = Arc::new(AtomicBool::new(false));
            let letter = Arc::clone(&came);
            let sent = home.post(move || letter.store(true, Ordering::Relaxed));
            assert!(sent.is_ok());
            while !came.load(Ordering::Relaxed) {
                iter(true).expect("a turn");
            }
        }
    });
}

#[test]
fn single_turns_with_a_timer_that_is_always_due_starve_no_descriptor() {
    on_all("single_turns_with_a_timer_that_is_always_due_starve_no_descriptor", || {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let read = spawn(async move { ours.read(&mut [0]).await });
        let timer = on_timer(Duration::ZERO, true, || ());
        iter(true).expect("a turn");
        theirs.try_write(b"x").expect("written");
        while read.is_pending() {
            iter(true).expect("a turn");
        }
        timer.stop();
    });
}

#[test]
fn a_guest_that_is_moved_in_its_own_turn_is_not_told_to_wait() {
    guarded("a_guest_that_is_moved_in_its_own_turn_is_not_told_to_wait", || {
        let (_, make) = ENGINES[0];
        set_engine(make()).expect("a fresh thread");
        let guest = Guest::new().expect("a guest");
        let moved = spawn(async move {
            pause().await?;
            set_engine(make())
        });
        while guest.turn().is_ok() {
            assert!(moved.is_pending(), "told to wait for a descriptor that nobody rings at");
        }
    });
}

/// Its engine's own calls are no matter of a plan.
#[test]
fn under_faults_other_threads_are_heard() {
    on_each("under_faults_other_threads_are_heard", || {
        let plan = Plan::seeded(1).with(Rule::on(["read", "write"]).error(libc::EIO));
        let _faults = plan.install();
        for round in 0..100 {
            let job = detach(move || thread::sleep(Duration::from_micros(round)));
            run(job).expect("the job's thread rings");
        }
    });
}

#[test]
fn a_guest_misses_neither_descriptors_nor_timers_nor_other_threads() {
    guarded("a_guest_misses_neither_descriptors_nor_timers_nor_other_threads", || {
        let (_, make) = ENGINES[0];
        set_engine(make()).expect("a fresh thread");
        let guest = Guest::new().expect("a guest");
        let work = spawn(async {
            let total = conversation().await?;
            detach(|| thread::sleep(Duration::from_millis(3))).await?;
            sleep(Duration::from_millis(3)).await?;
            Ok::<_, Error>(total)
        });
        let mut blocked = 0;
        loop {
            let wait = guest.turn().expect("a turn");
            if !work.is_pending() {
                break;
            }
            let timeout = match wait {
                Wait::No => 0,
                Wait::Until(deadline) => {
                    let left = deadline.saturating_duration_since(guest.now());
                    i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1
                }
                Wait::Forever => -1,
            };
            blocked += i32::from(timeout != 0);
            let mut host = [libc::pollfd { fd: guest.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
            // SAFETY: one entry, exclusively borrowed.
            unsafe { libc::poll(host.as_mut_ptr(), 1, timeout) };
        }
        assert!(blocked > 5, "the host slept only {blocked} times");
        assert_eq!(run(work).expect("done"), (50..70).sum::<usize>());
        set_engine(make()).expect("moved");
        assert!(guest.turn().expect_err("not its engine").to_string().contains("engine"));
        drop(guest);
        run(sleep(Duration::from_millis(1))).expect("the loop is its own again");
    });
}

#[test]
fn no_guest_without_a_descriptor() {
    guarded("no_guest_without_a_descriptor", || {
        let (_, make) = ENGINES[1];
        set_engine(make()).expect("moved");
        let error = Guest::new().expect_err("poll(2) has none");
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::Unsupported));
        assert!(error.to_string().contains("poll"), "{error}");
    });
}
