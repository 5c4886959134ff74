//! Trying again, on a clock that the tests move.

mod common;

use std::cell::Cell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Log, show, spin};
use futures_core::Stream;
use lwt_core::clock::{Clock, ManualClock};
use lwt_core::retry::{
    Attempt, Attempts, BackOff, Error, Failure, default_sleep_duration, on_error, on_rejection,
};
use lwt_core::{Promise, Resolver, result, set_random_seed, spawn, task, wait};

type Says = Result<i32, Error<&'static str>>;

const RETRY: Says = Err(Error::Retry("busy"));
const FATAL: Says = Err(Error::Fatal("gone"));

/// An operation that says these, one after the other, and then panics.
fn says(script: &'static [Says]) -> Attempts<i32, &'static str> {
    let mut script = script.iter().copied();
    on_error(move || result::lift(script.next().expect("one attempt too many")))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn failed<T>(error: Error<&'static str>, attempt: usize) -> Attempt<T, &'static str> {
    Err(Failure { error, attempt })
}

#[test]
fn texts_and_equality() {
    let (retry, fatal): (Error<&str>, Error<&str>) = (Error::Retry("x"), Error::Fatal("x"));
    assert_eq!(
        (retry.to_string(), fatal.to_string()),
        ("x (to be tried again)".into(), "x (not to be tried again)".into())
    );
    assert_eq!(retry, Error::Retry("x"));
    assert_ne!(retry, Error::Retry("y"));
    assert_ne!(retry, fatal);
    assert_eq!(Failure { error: fatal, attempt: 3 }.to_string(), "attempt 3: x (not to be tried again)");
    let io: Error<std::io::Error> = Error::Retry(std::io::Error::other("deep"));
    assert_eq!(std::error::Error::source(&io).unwrap().to_string(), "deep");
}

/// All attempts, as a stream gives them.
fn all<T: 'static, R: 'static>(mut attempts: Attempts<T, R>) -> Promise<Vec<Attempt<T, R>>> {
    spawn(async move {
        let mut seen = Vec::new();
        while let Some(attempt) = poll_fn(|cx| Pin::new(&mut attempts).poll_next(cx)).await {
            seen.push(attempt?);
        }
        Ok::<_, lwt_core::Error>(seen)
    })
}

#[test]
fn the_sequence_ends_with_success_or_a_fatal_error() {
    let busy = |n| failed(Error::Retry("busy"), n);
    let expect = |script: &'static [Says], expected: Vec<Attempt<i32, _>>| {
        assert_eq!(show(&all(says(script))), format!("ok {expected:?}"));
    };
    expect(&[Ok(5)], vec![Ok(5)]);
    expect(&[RETRY, RETRY, Ok(5)], vec![busy(1), busy(2), Ok(5)]);
    expect(&[FATAL], vec![failed(Error::Fatal("gone"), 1)]);
    expect(&[RETRY, FATAL], vec![busy(1), failed(Error::Fatal("gone"), 2)]);
}

#[test]
fn nothing_is_tried_before_it_is_asked_for() {
    let calls = Rc::new(Cell::new(0));
    let theirs = calls.clone();
    let mut attempts = on_error(move || {
        theirs.set(theirs.get() + 1);
        result::lift(RETRY)
    });
    assert_eq!(calls.get(), 0);
    let mut cx = Context::from_waker(Waker::noop());
    for n in 1..4 {
        let Poll::Ready(Some(Ok(attempt))) = Pin::new(&mut attempts).poll_next(&mut cx) else { panic!() };
        assert_eq!(attempt, failed(Error::Retry("busy"), n));
        assert_eq!(calls.get(), n);
    }
}

#[test]
fn n_times() {
    assert_eq!(show(&says(&[RETRY]).n_times(0)), format!("ok {:?}", failed::<i32>(Error::Retry("busy"), 1)));
    assert_eq!(
        show(&says(&[RETRY; 6]).n_times(5)),
        format!("ok {:?}", failed::<i32>(Error::Retry("busy"), 6))
    );
    assert_eq!(show(&says(&[RETRY, RETRY, Ok(5)]).n_times(5)), "ok Ok(5)");
    assert_eq!(show(&says(&[RETRY, RETRY, Ok(5)]).n_times(2)), "ok Ok(5)");
    assert_eq!(
        show(&says(&[RETRY, FATAL]).n_times(5)),
        format!("ok {:?}", failed::<i32>(Error::Fatal("gone"), 2))
    );
}

#[test]
fn an_ended_sequence_has_no_attempts_left() {
    let mut attempts = says(&[Ok(1)]);
    let p = spawn(async move {
        attempts.next_attempt().await?.unwrap().unwrap();
        assert!(attempts.next_attempt().await?.is_none());
        attempts.n_times(3).await
    });
    spin();
    assert_eq!(show(&p), "error the attempts have ended");
}

#[test]
fn sleeps_come_between_attempts_and_not_behind_the_last() {
    let clock = ManualClock::new();
    let log = Log::new();
    let (l, c) = (log.clone(), clock.clone());
    let attempts = on_error(move || {
        l.add(c.now().as_secs());
        result::lift(RETRY)
    });
    let p = attempts.with_sleep(clock.clone(), |n| seconds(n as u64)).n_times(3);
    assert_eq!((log.take(), clock.sleepers()), ("0".into(), 1));
    let outcome = clock.run(p).unwrap();
    assert_eq!(outcome, failed(Error::Retry("busy"), 4));
    assert_eq!((log.take(), clock.now()), ("1 3 6".into(), seconds(6)));

    let clock = ManualClock::new();
    let p = says(&[FATAL]).with_sleep(clock.clone(), default_sleep_duration).n_times(3);
    assert_eq!((show(&p).is_empty(), clock.sleepers()), (false, 0));
}

#[test]
fn rejections_and_panics_go_to_who_asked_and_the_sequence_goes_on() {
    let mut turn = 0;
    let mut attempts = on_error(move || {
        turn += 1;
        match turn {
            1 => Promise::fail(lwt_core::Error::msg("broken")),
            2 => panic!("ouch"),
            _ => result::lift(Says::Ok(turn)),
        }
    });
    let p = spawn(async move {
        let mut texts = Vec::new();
        for _ in 0..3 {
            texts.push(match attempts.next_attempt().await {
                Ok(attempt) => format!("{attempt:?}"),
                Err(error) => common::text(&error),
            });
        }
        Ok::<_, lwt_core::Error>(texts.join(", "))
    });
    assert_eq!(show(&p), "ok \"error broken, panic ouch, Some(Ok(3))\"");
    let p = on_error(|| -> Promise<Says> { Promise::fail(lwt_core::Error::msg("broken")) }).n_times(5);
    assert_eq!(show(&p), "error broken");
}

#[test]
fn retrying_rejections() {
    let mut turn = 0;
    let operation = move || {
        turn += 1;
        if turn < 3 { Promise::fail(lwt_core::Error::msg(turn)) } else { Promise::ready(turn) }
    };
    let p =
        on_rejection(operation, |e| e.to_string() == "7").n_times(5).map(|r| r.map_err(|f| f.to_string()));
    assert_eq!(show(&p), "ok Ok(3)");
    let p =
        on_rejection(|| Promise::<()>::fail(lwt_core::Error::msg(7)), |e| e.to_string() == "7").n_times(5);
    assert_eq!(
        show(&p.map(|r| r.map_err(|f| f.to_string()))),
        "ok Err(\"attempt 1: 7 (not to be tried again)\")"
    );
}

/// An operation whose attempts are pending until the test resolves them.
fn gated() -> (Attempts<i32, &'static str>, Rc<Cell<Option<Resolver<Says>>>>) {
    let gate = Rc::new(Cell::new(None));
    let theirs = gate.clone();
    let attempts = on_error(move || {
        let (p, r) = task();
        theirs.set(Some(r));
        p
    });
    (attempts, gate)
}

#[test]
fn a_cancel_at_each_suspension_point() {
    // During an attempt.
    let (attempts, gate) = gated();
    let p = attempts.n_times(5);
    p.cancel();
    spin();
    assert!(!gate.take().unwrap().is_wanted());
    assert_eq!(show(&p), "canceled");
    // During a sleep, whose timer is freed.
    let clock = ManualClock::new();
    let p = says(&[RETRY]).with_sleep(clock.clone(), default_sleep_duration).n_times(5);
    assert_eq!(clock.sleepers(), 1);
    p.cancel();
    spin();
    assert_eq!((show(&p), clock.sleepers()), ("canceled".into(), 0));
    // A cancel of an operation that fails by rejection is no failure to be retried.
    let p = on_rejection(|| task::<()>().0, |_| false).n_times(5);
    p.cancel();
    spin();
    assert!(!p.is_pending());
}

#[test]
fn a_dropped_wait_loses_no_attempt() {
    let clock = ManualClock::new();
    let (attempts, gate) = gated();
    let mut attempts = attempts.with_sleep(clock.clone(), |_| seconds(1));
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = move || {
        let next = attempts.next_attempt(); // made anew, and dropped, each time
        std::pin::pin!(next).poll(&mut cx).map(|attempt| attempt.unwrap())
    };
    assert!(poll().is_pending());
    assert!(poll().is_pending());
    gate.take().unwrap().wakeup(RETRY);
    assert_eq!(poll(), Poll::Ready(Some(failed::<i32>(Error::Retry("busy"), 1))));
    assert!(poll().is_pending());
    assert!(poll().is_pending());
    assert_eq!(clock.sleepers(), 1, "one sleep, gone on with");
    clock.advance(seconds(1));
    assert!(gate.take().is_none());
    assert!(poll().is_pending());
    gate.take().unwrap().wakeup(Ok(9));
    assert_eq!(poll(), Poll::Ready(Some(Ok(9))));
    assert_eq!(poll(), Poll::Ready(None));
}

#[test]
fn a_dropped_result_lets_the_attempts_go_on() {
    let (attempts, gate) = gated();
    drop(attempts.n_times(1));
    gate.take().unwrap().wakeup(RETRY);
    spin();
    assert!(gate.take().is_some());
}

#[test]
fn default_durations() {
    let delays: Vec<u64> = (0..4).map(|n| default_sleep_duration(n).as_secs()).collect();
    assert_eq!(delays, [0, 4, 16, 48]);
    assert_eq!(default_sleep_duration(usize::MAX), seconds(u64::MAX));
}

#[test]
fn back_off() {
    let millis = Duration::from_millis;
    let exact = BackOff::new(millis(10)).jitter(0.0);
    assert_eq!([0, 1, 2, 3, 11].map(|n| exact.delay(n)), [10, 10, 20, 40, 10240].map(millis));
    assert_eq!(exact.delay(usize::MAX), Duration::MAX);
    assert_eq!(exact.at_most(seconds(3)).delay(usize::MAX), seconds(3));
    assert_eq!(exact.factor(3.0).delay(3), millis(90));
    assert_eq!(exact.factor(f64::NAN).delay(3), millis(10));
    assert_eq!(BackOff::new(Duration::ZERO).delay(usize::MAX), Duration::ZERO);
    assert_eq!(BackOff::new(millis(10)).jitter(f64::NAN).delay(1), millis(10));

    set_random_seed(7);
    for (jitter, least) in [(0.5, 20), (1.0, 0), (9.0, 0), (0.1, 36)] {
        let drawn: HashSet<Duration> =
            (0..200).map(|_| BackOff::new(millis(10)).jitter(jitter).delay(3)).collect();
        assert!(drawn.iter().all(|d| (millis(least)..=millis(40)).contains(d)), "{jitter}");
        assert!(drawn.len() > 150, "{jitter}: a draw each time");
        let middle = (millis(least) + millis(40)) / 2;
        assert!(drawn.iter().any(|d| *d < middle) && drawn.iter().any(|d| *d > middle), "{jitter}");
    }
}

#[test]
fn the_manual_clock() {
    let clock = ManualClock::new();
    let log = Log::new();
    for n in [3, 1, 2, 1] {
        let (c, l) = (clock.clone(), log.clone());
        clock.sleep(seconds(n)).on_success(move |()| l.add(format!("{n}at{}", c.now().as_secs())));
    }
    assert_eq!((clock.sleepers(), clock.next_wake()), (4, Some(seconds(1))));
    clock.advance(Duration::from_millis(2500));
    assert_eq!((log.take(), clock.now()), ("1at1 1at1 2at2".into(), Duration::from_millis(2500)));
    let p = clock.sleep(seconds(9));
    p.cancel();
    drop(clock.sleep(seconds(9)));
    assert_eq!((show(&p), clock.sleepers()), ("canceled".into(), 1));

    // Who sleeps again wakes again, within the same advance; who sleeps for no time does in the next moment.
    fn again(clock: ManualClock, log: Log, step: Duration) {
        let (c, l) = (clock.clone(), log.clone());
        clock.sleep(step).on_success(move |()| {
            l.add(c.now().as_millis());
            again(c, l, step);
        });
    }
    let clock = ManualClock::new();
    again(clock.clone(), log.clone(), seconds(1));
    clock.advance(seconds(3));
    assert_eq!(log.take(), "1000 2000 3000");
    let clock = ManualClock::new();
    again(clock.clone(), log.clone(), Duration::ZERO);
    clock.advance(Duration::ZERO);
    clock.advance(seconds(1));
    assert_eq!(log.take(), "0 0");

    let clock = ManualClock::new();
    let never = clock.sleep(Duration::MAX);
    clock.advance(seconds(u64::MAX));
    assert!(never.is_pending());
    let stuck = clock.run(wait::<()>().0.map(|()| ()).catch(|_| task().0));
    assert!(!stuck.unwrap_err().is_abandoned());
}

#[test]
fn as_a_stream() {
    let clock = ManualClock::new();
    let (attempts, gate) = gated();
    let s = attempts.with_sleep(clock.clone(), |_| seconds(1)).into_stream();
    let (given_up, first) = (s.get(), s.get());
    given_up.cancel();
    gate.take().unwrap().wakeup(RETRY);
    spin();
    assert_eq!(show(&first), show(&Promise::ready(Some(failed::<i32>(Error::Retry("busy"), 1)))));
    let second = s.get();
    assert_eq!(clock.sleepers(), 1, "nothing is tried before it is asked for");
    clock.advance(seconds(1));
    spin();
    let attempt = gate.take().unwrap();
    assert!(attempt.is_wanted());
    drop((second, s));
    spin();
    assert!(!attempt.is_wanted(), "it is cancelled with the stream");

    let s = on_error(|| Promise::<Says>::fail(lwt_core::Error::msg("rejected"))).into_stream();
    assert_eq!(show(&s.get()), "error rejected");
    assert_eq!(show(&s.get()), "error rejected", "the sequence goes on");
    assert_eq!(show(&says(&[RETRY, Ok(7)]).into_stream().map(|a| a.ok()).to_list()), "ok [None, Some(7)]");
}
