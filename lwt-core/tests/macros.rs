//! The macros: `join!`, `pick!`, `finally!`. What they say of wrong calls is tested in `tests/compile_fail`.

mod common;

use common::{Log, Unique, show, spin};
use lwt_core::{Error, Promise, finally, join, pick, spawn, task, wait};

#[test]
fn join_gives_a_tuple() {
    let (a, ra) = wait::<i32>();
    let p = join!(a, Promise::ready("x"), Promise::ready(Unique(3)));
    assert_eq!(show(&p), "pending");
    ra.wakeup(1);
    assert_eq!(show(&p), "ok (1, \"x\", Unique(3))");
    assert_eq!(show(&join!(Promise::ready(1), Promise::ready(2))), "ok (1, 2)");
    let many = join!(
        Promise::ready(1),
        Promise::ready(2),
        Promise::ready(3),
        Promise::ready(4),
        Promise::ready(5),
        Promise::ready(6),
    );
    assert_eq!(show(&many), "ok (1, 2, 3, 4, 5, 6)");
}

#[test]
fn join_waits_for_all_and_rejects_with_the_first() {
    let (a, ra) = wait::<i32>();
    let (b, rb) = wait::<char>();
    let (c, rc) = wait::<()>();
    let p = join!(a, b, c);
    rb.wakeup_err(Error::msg("b"));
    rc.wakeup_err(Error::msg("c"));
    assert_eq!(show(&p), "pending");
    ra.wakeup(1);
    assert_eq!(show(&p), "error b");
}

#[test]
fn pick_gives_what_the_first_arm_makes_and_cancels_the_others() {
    let (a, ra) = wait::<i32>();
    let (b, _rb) = task::<(char, Unique)>();
    let log = Log::new();
    b.on_cancel(log.note("b is cancelled"));
    let p = pick! {
        n = a => n.to_string(),
        (letter, Unique(_)) = b => letter.to_string(),
    };
    ra.wakeup(1);
    assert_eq!((show(&p), log.take()), ("ok \"1\"".into(), "b is cancelled".into()));
}

#[test]
fn pick_takes_promises_of_any_shape() {
    fn double(n: i32) -> Promise<i32> {
        Promise::ready(2 * n)
    }
    let outcome = 20; // a name that the macros use themselves
    assert_eq!(show(&pick! { n = double(outcome + 1) => n + outcome - 20 }), "ok 42");
    assert_eq!(show(&pick!(_ = if outcome > 1 { double(1) } else { double(2) } => outcome)), "ok 20");
}

#[test]
fn an_arm_that_panics_rejects() {
    let p = pick! { _ = Promise::ready(1) => panic!("no") };
    assert_eq!(show::<i32>(&p), "panic no");
}

/// What `finally!` makes of a body and a cleanup, and what both wrote.
fn run_finally(
    body: impl AsyncFnOnce(&Log) -> Result<i32, Error> + 'static,
    cleanup: impl AsyncFnOnce(&Log) -> Result<(), Error> + 'static,
) -> (String, String) {
    let log = Log::new();
    let seen = log.clone();
    let p = spawn(async move {
        finally!({
            let outcome = body(&log).await?;
            log.add("ended");
            Ok(outcome)
        } => {
            log.add("cleanup");
            cleanup(&log).await?;
            log.add("cleaned");
        })
    });
    spin();
    (show(&p), seen.take())
}

#[test]
fn finally_gives_the_outcome_of_the_body() {
    let fine = async |_: &Log| Ok(());
    assert_eq!(run_finally(async |_| Ok(1), fine), ("ok 1".into(), "ended cleanup cleaned".into()));
    let failed = run_finally(async |_| Err(Error::msg("body")), fine);
    assert_eq!(failed, ("error body".into(), "cleanup cleaned".into()));
    let panicked = run_finally(async |_| panic!("body"), fine);
    assert_eq!(panicked, ("panic body".into(), "cleanup cleaned".into()));
    let later = run_finally(
        async |_| {
            task::yield_now().await?;
            panic!("later")
        },
        fine,
    );
    assert_eq!(later, ("panic later".into(), "cleanup cleaned".into()));
}

#[test]
fn the_failure_of_a_cleanup_replaces_the_outcome() {
    let fails = async |_: &Log| Err(Error::msg("cleanup"));
    assert_eq!(run_finally(async |_| Ok(1), fails), ("error cleanup".into(), "ended cleanup".into()));
    let both = run_finally(async |_| Err(Error::msg("body")), fails);
    assert_eq!(both, ("error cleanup".into(), "cleanup".into()));
    let panics = run_finally(async |_| Ok(1), async |_| panic!("cleanup"));
    assert_eq!(panics, ("panic cleanup".into(), "ended cleanup".into()));
}

#[test]
fn what_ends_a_block_of_finally_does_not_end_the_function_around_it() {
    let log = Log::new();
    let p = spawn({
        let log = log.clone();
        async move {
            let early = finally!({
                if log.len() == 0 {
                    return Ok(1);
                }
                Ok(2)
            } => {
                log.add("cleanup");
                if log.len() == 1 {
                    return Err(Error::msg("early"));
                }
            });
            log.add("after");
            early
        }
    });
    assert_eq!((show(&p), log.take()), ("error early".into(), "cleanup after".into()));
}

#[test]
fn a_cancel_runs_the_cleanup_to_its_end() {
    let log = Log::new();
    let (p, _r) = task::<i32>();
    let (slow, resolver) = wait::<()>();
    let t = spawn({
        let log = log.clone();
        async move {
            finally!({ p.await } => {
                log.add("cleanup");
                slow.await?;
                log.add("cleaned");
            })
        }
    });
    t.cancel();
    spin();
    assert_eq!((show(&t), log.take()), ("pending".into(), "cleanup".into()));
    resolver.wakeup(());
    spin();
    assert_eq!((show(&t), log.take()), ("canceled".into(), "cleaned".into()));
}

#[test]
fn the_blocks_of_finally_share_what_is_around_them() {
    let p = spawn(async {
        let mut steps = vec![];
        let n = finally!({ steps.push(1); Ok(7) } => { steps.push(2) })?;
        Ok::<_, Error>((n, steps))
    });
    assert_eq!(show(&p), "ok (7, [1, 2])");
}

#[test]
fn an_abort_runs_no_cleanup() {
    let log = Log::new();
    let (p, _r) = task::<i32>();
    let t = spawn({
        let log = log.clone();
        async move { finally!({ p.await } => { log.add("cleanup") }) }
    });
    task::abort(&t);
    spin();
    assert_eq!((show(&t), log.take()), ("canceled".into(), String::new()));
}
