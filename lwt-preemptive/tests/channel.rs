//! Channels between threads and a loop: order, bounds, ends, cancels, and what may not block.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lwt_core::{Error, Promise, join, pause, pick};
use lwt_preemptive::channel::{
    Closed, LoopReceiver, RecvError, SendError, TryRecvError, TrySendError, from_loop, to_loop,
};
use lwt_preemptive::lock::RuntimeLock;
use lwt_preemptive::{CannotBlock, detach};
use lwt_unix::entry::guarded;
use lwt_unix::{run, sleep};

fn is_closed<T: 'static>(promise: Promise<T>) -> bool {
    run(promise).is_err_and(|error| error.downcast_ref() == Some(&Closed))
}

#[test]
fn items_of_a_thread_come_in_order_through_a_narrow_channel() {
    guarded("items_of_a_thread_come_in_order_through_a_narrow_channel", || {
        for bound in [0, 1, 3, 1000] {
            let (sender, receiver) = to_loop(bound);
            let thread = thread::spawn(move || {
                for number in 0..2000 {
                    sender.send(number).expect("open");
                }
            });
            run(async move {
                let mut expected = 0;
                while let Some(number) = receiver.next().await? {
                    assert_eq!(number, expected);
                    assert!(receiver.len() <= bound.max(1));
                    expected += 1;
                }
                assert_eq!(expected, 2000);
                Ok::<_, Error>(())
            })
            .expect("run");
            thread.join().expect("joined");
        }
    });
}

#[test]
fn items_of_a_loop_come_in_order_through_a_narrow_channel() {
    guarded("items_of_a_loop_come_in_order_through_a_narrow_channel", || {
        for bound in [1, 3, 1000] {
            let (sender, receiver) = from_loop(bound);
            let thread = thread::spawn(move || receiver.enumerate().all(|(place, number)| place == number));
            run(async move {
                for number in 0..2000 {
                    sender.send(number).await?;
                }
                Ok::<_, Error>(())
            })
            .expect("run");
            assert!(thread.join().expect("joined"));
        }
    });
}

#[test]
fn a_send_that_waits_gets_through_after_the_drop_of_its_handle() {
    guarded("a_send_that_waits_gets_through_after_the_drop_of_its_handle", || {
        let (sender, receiver) = from_loop(1);
        let sends: Vec<_> = (0..4).map(|number| sender.send(number)).collect();
        drop(sender);
        assert!(!receiver.is_closed());
        // Who does not want it sent any more cancels.
        sends[2].cancel();
        let thread = thread::spawn(move || receiver.collect::<Vec<_>>());
        let sent: Vec<_> = sends.into_iter().map(|send| run(send).is_ok()).collect();
        assert_eq!(sent, [true, true, false, true]);
        assert_eq!(thread.join().expect("joined"), [0, 1, 3]);
        // And a loop whose receivers are gone does not wait.
        let (sender, receiver) = from_loop(1);
        sender.try_send(1).expect("room");
        let waits = sender.send(2);
        drop((sender, receiver));
        assert!(is_closed(waits));
    });
}

#[test]
fn many_on_either_side_lose_and_double_nothing() {
    guarded("many_on_either_side_lose_and_double_nothing", || {
        const EACH: usize = 500;
        let (to, answers) = to_loop(3);
        let (questions, from) = from_loop(2);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (from, to) = (from.clone(), to.clone());
                thread::spawn(move || {
                    from.into_iter().for_each(|number: usize| to.send(number).expect("open"))
                })
            })
            .collect();
        drop((from, to));
        let asking: Vec<_> = (0..3)
            .map(|at| {
                let questions = questions.clone();
                lwt_core::spawn(async move {
                    for number in 0..EACH {
                        questions.send(at * EACH + number).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .collect();
        drop(questions);
        let hearing: Vec<_> = (0..3)
            .map(|_| {
                let answers = answers.clone();
                lwt_core::spawn(async move {
                    let mut heard = Vec::new();
                    while let Some(number) = answers.next().await? {
                        heard.push(number);
                    }
                    Ok::<_, Error>(heard)
                })
            })
            .collect();
        run(join(asking)).expect("asked");
        let mut all = run(lwt_core::all(hearing)).expect("heard").concat();
        all.sort_unstable();
        assert_eq!(all, (0..3 * EACH).collect::<Vec<_>>());
        threads.into_iter().for_each(|thread| thread.join().expect("joined"));
    });
}

#[test]
fn those_who_wait_on_the_loop_are_served_in_order() {
    guarded("those_who_wait_on_the_loop_are_served_in_order", || {
        let (sender, receiver) = to_loop(10);
        let waiting: Vec<_> = (0..5).map(|_| receiver.recv()).collect();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        thread::spawn(move || (0..5).for_each(|number| sender.send(number).expect("open")))
            .join()
            .expect("joined");
        // All are there, and all belong to those who wait.
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(run(lwt_core::all(waiting)).expect("items"), [0, 1, 2, 3, 4]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
}

#[test]
fn a_cancelled_receive_loses_no_item() {
    guarded("a_cancelled_receive_loses_no_item", || {
        let (sender, receiver) = to_loop(10);
        // Cancelled before, and after the item has come but not arrived.
        let first = receiver.recv();
        let [second, third] = [receiver.recv(), receiver.recv()];
        first.cancel();
        thread::spawn(move || sender.try_send(1).map(|()| sender)).join().expect("joined").expect("room");
        second.cancel();
        assert_eq!(run(third).expect("passed on"), 1);
        assert!(run(first).expect_err("cancelled").is_canceled());
        assert!(run(second).expect_err("cancelled").is_canceled());
        // In a race that the other side wins, again and again.
        let (sender, receiver) = to_loop(4);
        let thread = thread::spawn(move || {
            for number in 0..300 {
                sender.send(number).expect("open");
                if number % 7 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
            }
        });
        run(async move {
            let mut heard = Vec::new();
            loop {
                let next = receiver.next().map(Some);
                let tired = sleep(Duration::from_micros(heard.len() as u64 % 3 * 10)).map(|()| None);
                match pick([next, tired]).await? {
                    Some(Some(number)) => heard.push(number),
                    Some(None) => break,
                    None => pause().await?,
                }
            }
            assert_eq!(heard, (0..300).collect::<Vec<_>>());
            Ok::<_, Error>(())
        })
        .expect("run");
        thread.join().expect("joined");
    });
}

#[test]
fn a_cancelled_send_sends_nothing_and_gives_its_turn_on() {
    guarded("a_cancelled_send_sends_nothing_and_gives_its_turn_on", || {
        let (sender, receiver) = from_loop(1);
        let sent = sender.send(Arc::new(0));
        let dropped = Arc::new(1);
        let [gone, behind] = [sender.send(Arc::clone(&dropped)), sender.send(Arc::new(2))];
        assert!(!sent.is_pending() && gone.is_pending());
        gone.cancel();
        assert!(run(gone).expect_err("cancelled").is_canceled());
        assert_eq!(Arc::strong_count(&dropped), 1);
        let taken = run(detach(move || {
            let taken = [receiver.recv().map(|item| *item), receiver.recv().map(|item| *item)];
            (taken, receiver)
        }));
        let (taken, receiver) = taken.expect("run");
        assert_eq!(taken, [Ok(0), Ok(2)]);
        run(behind).expect("sent");
        drop(receiver);
    });
}

#[test]
fn the_end_is_told_on_both_sides() {
    guarded("the_end_is_told_on_both_sides", || {
        // The last sender goes: what is there is still received.
        let (sender, receiver) = to_loop(4);
        let other = sender.clone();
        sender.send(1).expect("open");
        drop(sender);
        assert!(!receiver.is_closed());
        drop(other);
        assert!(receiver.is_closed());
        assert_eq!(run(receiver.recv()).expect("one is left"), 1);
        assert!(is_closed(receiver.recv()));
        assert_eq!(run(receiver.next()).expect("the end"), None);
        // A wait that is under way hears of it.
        let (sender, receiver) = to_loop::<u32>(4);
        let waiting = receiver.recv();
        thread::spawn(move || drop(sender));
        assert!(is_closed(waiting));
        // The receiver goes: items are dropped, and senders hear of it.
        let (sender, receiver) = to_loop(1);
        let item = Arc::new(());
        sender.send(Arc::clone(&item)).expect("open");
        let blocked = thread::spawn({
            let (sender, item) = (sender.clone(), Arc::clone(&item));
            move || sender.send(item).map_err(SendError::into_inner)
        });
        drop(receiver);
        assert!(blocked.join().expect("joined").is_err());
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(matches!(sender.try_send(item), Err(TrySendError::Closed(_))));
        // The other way round.
        let (sender, receiver) = from_loop(1);
        run(sender.send(1)).expect("room");
        let waits = sender.send(2);
        receiver.close();
        assert!(is_closed(waits) && is_closed(sender.send(3)));
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Err(RecvError::Closed)));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Err(RecvError::Closed));
    });
}

#[test]
fn nobody_blocks_a_loop_or_holds_the_lock_meanwhile() {
    guarded("nobody_blocks_a_loop_or_holds_the_lock_meanwhile", || {
        let (sender, receiver) = to_loop(1);
        let (back, forth) = from_loop(1);
        let lock = RuntimeLock::current().expect("a lock");
        run({
            let (sender, forth) = (sender.clone(), forth.clone());
            async move {
                let refused = sender.send(1).expect_err("on a loop");
                assert_eq!(refused, SendError::CannotBlock(1, CannotBlock::OnALoop));
                assert_eq!(forth.recv(), Err(RecvError::CannotBlock(CannotBlock::OnALoop)));
                assert_eq!(sender.try_send(2), Ok(()), "what does not block is allowed");
                Ok::<_, Error>(())
            }
        })
        .expect("run");
        let attached = thread::spawn(move || {
            lock.attach(|token| {
                let refused = sender.send(3).expect_err("attached");
                let received = token.blocking(|| forth.recv());
                (refused, forth.recv(), received)
            })
        });
        run(back.send(4)).expect("sent");
        let (refused, held, received) = attached.join().expect("joined").expect("attached");
        assert_eq!(refused, SendError::CannotBlock(3, CannotBlock::Attached));
        assert_eq!(held, Err(RecvError::CannotBlock(CannotBlock::Attached)));
        assert_eq!(received, Ok(4));
        assert_eq!(receiver.try_recv(), Ok(2));
    });
}

#[test]
fn a_burst_wakes_a_sleeping_loop_once() {
    guarded("a_burst_wakes_a_sleeping_loop_once", || {
        let turns = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&turns);
        let hook = lwt_unix::enter_iter_hooks().add_first(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let (sender, receiver): (_, LoopReceiver<usize>) = to_loop(1000);
        let first = receiver.next();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            (0..1000).for_each(|number| sender.send(number).expect("open"));
            sender
        });
        run(async move {
            let mut heard = usize::from(first.await?.is_some());
            while heard < 1000 {
                heard += usize::from(receiver.next().await?.is_some());
            }
            Ok::<_, Error>(())
        })
        .expect("run");
        // At most one turn per item would be no batch at all; a loop that finds items goes on without a turn.
        assert!(turns.load(Ordering::SeqCst) <= 900, "{turns:?} turns");
        hook.remove();
        drop(thread.join().expect("joined"));
    });
}

#[test]
fn a_blocked_job_leaves_its_thread_to_others() {
    guarded("a_blocked_job_leaves_its_thread_to_others", || {
        let limits = lwt_unix::job::Limits { max_threads: 1, ..Default::default() };
        let pool = lwt_unix::job::Pool::new(limits);
        let (sender, receiver) = from_loop(1);
        let hears = pool.detach(move || receiver.recv());
        // The item comes from a job of the same pool.
        let sends = pool.detach(|| 5).bind(move |number| sender.send(number).map(move |()| drop(sender)));
        let (heard, ()) = run(lwt_core::both(hears, sends)).expect("run");
        assert_eq!(heard, Ok(5));
    });
}
