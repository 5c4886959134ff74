//! All interleavings of a channel's ends.

use std::pin::pin;

use loom::thread;

use super::*;
use crate::block::park;

/// Blocks, as an end for threads does; a loop's task waits in the same way.
fn wait<F: Future>(future: F) -> F::Output {
    park(pin!(future), None).expect("there is no deadline")
}

/// Polls once, and drops what is pending.
fn give_up<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Over a full channel every item arrives, in order, and then the end.
#[test]
fn loom_items_arrive_in_order_and_then_the_end() {
    loom::model(|| {
        let core = Arc::new(Core::new(1));
        let sender = thread::spawn({
            let core = Arc::clone(&core);
            move || {
                for number in 0..2 {
                    wait(send(&core, number)).expect("open");
                }
                core.drop_sender();
            }
        });
        assert_eq!(wait(receive(&core)), Ok(0));
        assert_eq!(wait(receive(&core)), Ok(1));
        assert_eq!(wait(receive(&core)), Err(Ended));
        sender.join().expect("joined");
    });
}

/// Two senders and one place: no call is lost.
#[test]
fn loom_two_senders_get_through() {
    loom::model(|| {
        let core = Arc::new(Core::new(1));
        let senders: Vec<_> = (1..=2)
            .map(|number| {
                let core = Arc::clone(&core);
                thread::spawn(move || wait(send(&core, number)))
            })
            .collect();
        assert_eq!(wait(receive(&core)).and_then(|first| Ok(first + wait(receive(&core))?)), Ok(3));
        for sender in senders {
            assert_eq!(sender.join().expect("joined"), Ok(()));
        }
    });
}

/// A receiver that gives up passes its call on to the one behind it.
#[test]
fn loom_a_receiver_that_gives_up_loses_nothing() {
    loom::model(|| {
        let core = Arc::new(Core::new(1));
        let fickle = thread::spawn({
            let core = Arc::clone(&core);
            move || give_up(receive(&core))
        });
        let patient = thread::spawn({
            let core = Arc::clone(&core);
            move || wait(receive(&core))
        });
        core.try_send(1).expect("room");
        match fickle.join().expect("joined") {
            Some(taken) => {
                assert_eq!(taken, Ok(1));
                core.try_send(2).expect("room");
                assert_eq!(patient.join().expect("joined"), Ok(2));
            }
            None => assert_eq!(patient.join().expect("joined"), Ok(1)),
        }
    });
}

/// A sender that gives up passes its place on to the one behind it.
#[test]
fn loom_a_sender_that_gives_up_blocks_nobody() {
    loom::model(|| {
        let core = Arc::new(Core::new(1));
        core.try_send(0).expect("room");
        let fickle = thread::spawn({
            let core = Arc::clone(&core);
            move || give_up(send(&core, 1)).is_some()
        });
        let patient = thread::spawn({
            let core = Arc::clone(&core);
            move || wait(send(&core, 2))
        });
        assert_eq!(wait(receive(&core)), Ok(0));
        let mut first = wait(receive(&core)).expect("an item");
        if fickle.join().expect("joined") {
            first += wait(receive(&core)).expect("another");
            assert_eq!(first, 3);
        } else {
            assert_eq!(first, 2);
        }
        assert_eq!(patient.join().expect("joined"), Ok(()));
    });
}

/// Closing wakes all who wait.
#[test]
fn loom_closing_ends_all_waits() {
    loom::model(|| {
        let core = Arc::new(Core::<u32>::new(1));
        let receiver = thread::spawn({
            let core = Arc::clone(&core);
            move || wait(receive(&core))
        });
        let closer = thread::spawn({
            let core = Arc::clone(&core);
            move || core.close()
        });
        assert_eq!(wait(receive(&core)), Err(Ended));
        assert_eq!(receiver.join().expect("joined"), Err(Ended));
        closer.join().expect("joined");
    });
}
