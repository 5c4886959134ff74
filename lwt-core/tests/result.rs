//! Promises of results.

mod common;

use common::{Log, show};
use lwt_core::result::{self, ResultPromise};
use lwt_core::{Error, Promise, Resolver, task, wait};

type Outcome = Result<i32, &'static str>;

fn good() -> Promise<Outcome> {
    result::ready(1)
}

fn bad() -> Promise<Outcome> {
    result::fail("bad")
}

fn rejected() -> Promise<Outcome> {
    Promise::fail(Error::msg("rejected"))
}

/// What a function makes of an `Ok`, an `Err` and a rejection, resolved before and after it is attached.
fn outcomes<T: std::fmt::Debug + 'static>(f: impl Fn(Promise<Outcome>) -> Promise<T>) -> [String; 3] {
    [good(), bad(), rejected()].map(|p| {
        let again = match p.state() {
            lwt_core::State::Fulfilled(outcome) => Ok(*outcome),
            lwt_core::State::Rejected(error) => Err(error.clone()),
            lwt_core::State::Pending => unreachable!(),
        };
        let at_once = show(&f(p));
        let (later, resolver) = wait();
        let made = f(later);
        assert_eq!(show(&made), "pending");
        resolver.wakeup_result(again);
        assert_eq!(show(&made), at_once);
        at_once
    })
}

#[test]
fn making_one() {
    assert_eq!(show(&result::lift(Outcome::Ok(1))), "ok Ok(1)");
    assert_eq!(show(&good()), "ok Ok(1)");
    assert_eq!(show(&bad()), "ok Err(\"bad\")");
    assert_eq!(show(&result::ok::<_, ()>(Promise::ready(1))), "ok Ok(1)");
    assert_eq!(show(&result::error::<(), _>(Promise::ready(1))), "ok Err(1)");
    assert_eq!(show(&result::ok::<i32, ()>(Promise::fail(Error::msg("no")))), "error no");
}

#[test]
fn catch_turns_all_that_goes_wrong_into_an_error() {
    let text = |p: Promise<Result<i32, Error>>| show(&p.map_error(|e| common::text(&e)));
    assert_eq!(text(result::catch(|| Promise::ready(1))), "ok Ok(1)");
    assert_eq!(text(result::catch(|| Promise::fail(Error::msg("no")))), "ok Err(\"error no\")");
    assert_eq!(text(result::catch(|| panic!("ouch"))), "ok Err(\"panic ouch\")");
    let (p, _r) = task();
    let p = result::catch(|| p);
    p.cancel();
    assert_eq!(text(p), "ok Err(\"canceled\")");
}

#[test]
fn one_side_only() {
    let no = || "error rejected".to_owned();
    let own = |a: &str, b: &str| [a.to_owned(), b.to_owned(), no()];
    assert_eq!(outcomes(|p| p.map_ok(|n| n + 1)), own("ok Ok(2)", "ok Err(\"bad\")"));
    assert_eq!(outcomes(|p| p.map_error(str::len)), own("ok Ok(1)", "ok Err(3)"));
    assert_eq!(outcomes(|p| p.bind_ok(|n| result::ready(n + 1))), own("ok Ok(2)", "ok Err(\"bad\")"));
    assert_eq!(outcomes(|p| p.bind_ok(|_| bad())), own("ok Err(\"bad\")", "ok Err(\"bad\")"));
    assert_eq!(outcomes(|p| p.bind_error(|e| result::fail(e.len()))), own("ok Ok(1)", "ok Err(3)"));
    assert_eq!(outcomes(|p| p.bind_error(|_| good())), own("ok Ok(1)", "ok Ok(1)"));
    assert_eq!(outcomes(|p| p.bind_lwt(|n| Promise::ready(n + 1))), own("ok Ok(2)", "ok Err(\"bad\")"));
    assert_eq!(outcomes(|p| p.bind_lwt_error(|e| Promise::ready(e.len()))), own("ok Ok(1)", "ok Err(3)"));
    assert_eq!(
        outcomes(|p| p.bind_result(|n| Err::<(), _>(["a", "b"][n as usize]))),
        own("ok Err(\"b\")", "ok Err(\"bad\")")
    );
    assert_eq!(outcomes(|p| p.map_error(Error::msg).get_exn()), own("ok 1", "error bad"));
}

#[test]
fn effects() {
    let log = Log::new();
    let (a, b) = (log.clone(), log.clone());
    let note = move |p: Promise<Outcome>| {
        let a = a.clone();
        p.iter_ok(move |n| {
            a.add(n);
            Promise::ready(())
        })
    };
    assert_eq!(outcomes(note), ["ok ()", "ok ()", "error rejected"]);
    assert_eq!(log.take(), "1 1");
    let note = move |p: Promise<Outcome>| {
        let b = b.clone();
        p.iter_error(move |e| {
            b.add(e);
            Promise::fail(Error::msg("then"))
        })
    };
    assert_eq!(outcomes(note), ["ok ()", "error then", "error rejected"]);
    assert_eq!(log.take(), "bad bad");
}

fn two() -> ((Promise<Outcome>, Resolver<Outcome>), (Promise<Outcome>, Resolver<Outcome>)) {
    (task(), task())
}

#[test]
fn both_waits_and_the_first_error_in_time_wins() {
    assert_eq!(show(&good().both_ok(good())), "ok Ok((1, 1))");
    assert_eq!(show(&good().both_ok(bad())), "ok Err(\"bad\")");
    assert_eq!(show(&result::fail::<(), _>("a").both_ok(bad())), "ok Err(\"a\")");

    for (first, second, expected) in [
        (Ok(1), Ok(2), "ok Ok((2, 1))"),
        (Err("b"), Err("a"), "ok Err(\"b\")"),
        (Err("b"), Ok(2), "ok Err(\"b\")"),
        (Ok(1), Err("a"), "ok Err(\"a\")"),
    ] {
        let ((a, ra), (b, rb)) = two();
        let p = result::both(a, b);
        rb.wakeup(first);
        assert_eq!(show(&p), "pending");
        ra.wakeup(second);
        assert_eq!(show(&p), expected);
    }
    let ((a, ra), (b, rb)) = two();
    let p = result::both(a, b);
    ra.wakeup(Err("a"));
    rb.wakeup_err(Error::msg("rejected"));
    assert_eq!(show(&p), "error rejected");
}

#[test]
fn a_cancel_goes_through() {
    let ways: [fn(Promise<Outcome>) -> Promise<()>; 13] = [
        |p| result::ok::<_, ()>(p).map(drop),
        |p| result::error::<(), _>(p).map(drop),
        |p| result::map_error(p, |_| ()).map(drop),
        |p| result::bind_lwt(p, Promise::ready).map(drop),
        |p| result::bind_lwt_error(p, |_| Promise::ready(())).map(drop),
        |p| result::bind_result(p, Ok).map(drop),
        |p| result::iter_error(p, |_| Promise::ready(())),
        |p| p.map_ok(|n| n + 1).map(drop),
        |p| p.bind_ok(|_| bad()).map(drop),
        |p| p.bind_error(|_| good()).map(drop),
        |p| p.iter_ok(|_| Promise::ready(())),
        |p| p.both_ok(good()).map(drop),
        |p| p.map_error(Error::msg).get_exn().map(drop),
    ];
    for way in ways {
        let (p, r) = task();
        let made = way(p);
        made.cancel();
        assert!(!r.is_wanted());
        assert_eq!(show(&made), "canceled");
        // `catch` makes a value of it.
        let (p, r) = task::<i32>();
        let caught = result::catch(|| p);
        caught.cancel();
        assert!(!r.is_wanted());
        assert_eq!(show(&caught.map(|r| r.is_err_and(|e| e.is_canceled()))), "ok true");
        // While it waits for the function's promise, the cancel goes there.
        let (inner, r) = task::<Outcome>();
        let made = good().bind_ok(|_| inner);
        made.cancel();
        assert!(!r.is_wanted());
    }
}

#[test]
fn a_panic_rejects() {
    assert_eq!(show(&good().map_ok(|_| -> i32 { panic!("ouch") })), "panic ouch");
    assert_eq!(show(&bad().bind_error(|_| -> Promise<Outcome> { panic!("ouch") })), "panic ouch");
}
