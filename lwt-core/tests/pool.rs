//! Pool: lending, validation, checks, disposal, clearing; the maximum holds and nobody waits in vain.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{Gate, Rng, Unhandled, heavy, show, spin, turn, watchdog};
use lwt_core::pool::{Builder, Pool};
use lwt_core::{Error, Promise, Resolver, pause, task, wait};

/// Counts members: how many were made, are alive, and were alive at most.
#[derive(Clone, Default)]
struct Census(Rc<Counts>);

#[derive(Default)]
struct Counts {
    made: Cell<u32>,
    alive: Cell<usize>,
    most: Cell<usize>,
    ended: RefCell<Vec<u32>>,
}

impl Census {
    /// Before anything that takes its time: a member that is being made counts.
    fn begin(&self) -> u32 {
        let counts = &self.0;
        counts.alive.set(counts.alive.get() + 1);
        counts.most.set(counts.most.get().max(counts.alive.get()));
        counts.made.set(counts.made.get() + 1);
        counts.made.get()
    }

    fn end(&self, member: u32) {
        self.0.alive.set(self.0.alive.get() - 1);
        self.0.ended.borrow_mut().push(member);
    }

    fn ended(&self) -> Vec<u32> {
        self.0.ended.borrow().clone()
    }

    /// A pool of numbers: 1, 2, 3 ...
    fn pool(&self, max: usize) -> Builder<u32> {
        let (makes, ends) = (self.clone(), self.clone());
        Pool::builder(max, async move || Ok(makes.begin())).dispose(async move |member| {
            ends.end(member);
            Ok(())
        })
    }
}

/// A member that counts until it is dropped, also in the middle of its making.
struct Token(u32, Census);

impl Drop for Token {
    fn drop(&mut self) {
        self.1.end(self.0);
    }
}

/// A use that goes on until it is told the outcome, and which has the member's number.
fn hold(pool: &Pool<u32>) -> (Promise<u32>, Resolver<()>) {
    let (end, resolver) = task();
    (pool.use_(async |member: &mut u32| end.await.map(|()| *member)), resolver)
}

fn number(pool: &Pool<u32>) -> Promise<u32> {
    pool.use_(async |member: &mut u32| Ok(*member))
}

fn fail(pool: &Pool<u32>) -> Promise<()> {
    pool.use_(async |_: &mut u32| Err(Error::msg("failed use")))
}

#[test]
fn made_when_needed_and_used_again() {
    let census = Census::default();
    let pool = census.pool(2).build();
    assert_eq!(census.0.made.get(), 0);
    assert_eq!(show(&number(&pool)), "ok 1");
    assert_eq!(show(&number(&pool)), "ok 1");
    let (a, end_a) = hold(&pool);
    let (b, end_b) = hold(&pool);
    let (c, d) = (number(&pool), number(&pool));
    assert_eq!(pool.wait_queue_length(), 2);
    end_b.wakeup(());
    spin();
    assert_eq!((show(&b), show(&c), show(&d)), ("ok 2".into(), "ok 2".into(), "ok 2".into()));
    end_a.wakeup(());
    spin();
    assert_eq!(show(&a), "ok 1");
    assert_eq!((census.0.made.get(), census.ended().len()), (2, 0));
}

#[test]
fn a_failed_factory_fails_one_use_only() {
    let count = Cell::new(0);
    let pool = Pool::create(1, async move || {
        count.set(count.get() + 1);
        pause().await?;
        if count.get() == 1 { Err(Error::msg("cannot connect")) } else { Ok(count.get()) }
    });
    let (a, b) = (number(&pool), number(&pool));
    turn();
    assert_eq!(show(&a), "error cannot connect");
    turn();
    assert_eq!(show(&b), "ok 2");
    let panicking = Pool::create(1, || -> Promise<u32> { panic!("ouch") });
    assert_eq!(
        (show(&number(&panicking)), show(&number(&panicking))),
        ("panic ouch".into(), "panic ouch".into())
    );
}

#[test]
fn an_invalid_member_is_replaced() {
    let census = Census::default();
    let pool = census.pool(1).validate(async |member: &mut u32| Ok(*member > 1)).build();
    assert_eq!(show(&number(&pool)), "ok 1", "a fresh one is not validated");
    assert_eq!(show(&number(&pool)), "ok 2");
    assert_eq!(show(&number(&pool)), "ok 2");
    assert_eq!((census.ended(), census.0.most.get()), (vec![1], 1));
}

#[test]
fn a_failed_validation_serves_those_who_wait_and_keeps_the_maximum() {
    let census = Census::default();
    let (verdict, judge) = wait::<bool>();
    let verdict = RefCell::new(Some(verdict));
    let pool = census
        .pool(1)
        .validate(async move |_: &mut u32| match verdict.take() {
            Some(verdict) => verdict.await,
            None => Ok(true),
        })
        .build();
    assert_eq!(show(&number(&pool)), "ok 1");
    let a = number(&pool);
    let (b, end_b) = hold(&pool);
    let c = number(&pool);
    assert_eq!(pool.wait_queue_length(), 2);
    judge.wakeup_err(Error::msg("no answer"));
    spin();
    assert_eq!(show(&a), "error no answer");
    assert_eq!(census.ended(), [1]);
    assert!(b.is_pending() && c.is_pending());
    assert_eq!(census.0.most.get(), 1, "the replacement counts");
    end_b.wakeup(());
    spin();
    assert_eq!((show(&b), show(&c)), ("ok 2".into(), "ok 2".into()));
}

#[test]
fn a_failed_check_serves_those_who_wait() {
    let census = Census::default();
    let pool = census.pool(1).check(async |_: &mut u32| Ok(false)).build();
    let (end, resolver) = task::<()>();
    let a = pool.use_(async |_: &mut u32| end.await);
    let b = number(&pool);
    resolver.wakeup_err(Error::msg("broken"));
    spin();
    assert_eq!((show(&a), show(&b)), ("error broken".into(), "ok 2".into()));
    assert_eq!((census.ended(), census.0.most.get()), (vec![1], 1));
}

#[test]
fn members_survive_a_failed_use_if_the_check_says_so_or_there_is_none() {
    let census = Census::default();
    let pool = census.pool(1).build();
    assert_eq!(show(&fail(&pool)), "error failed use");
    assert_eq!(show(&number(&pool)), "ok 1");
    let census = Census::default();
    let pool = census.pool(1).check(async |member: &mut u32| Ok(*member == 1)).build();
    assert_eq!(show(&fail(&pool)), "error failed use");
    assert_eq!(show(&number(&pool)), "ok 1");
}

#[test]
fn a_check_or_disposal_that_fails_or_panics() {
    let told = Unhandled::collect();
    for panics in [false, true] {
        let census = Census::default();
        let pool = census
            .pool(1)
            .check(async move |_: &mut u32| {
                assert!(!panics, "in the check");
                Err(Error::msg("the check"))
            })
            .build();
        assert_eq!(show(&fail(&pool)), "error failed use");
        assert_eq!(show(&number(&pool)), "ok 2");
        assert_eq!(census.ended(), [1]);
    }
    assert_eq!(told.take(), "error the check, panic in the check");
    for panics in [false, true] {
        let census = Census::default();
        let pool = census
            .pool(1)
            .check(async |_: &mut u32| Ok(false))
            .dispose(async move |_| {
                assert!(!panics, "in the disposal");
                Err(Error::msg("the disposal"))
            })
            .build();
        let (end, resolver) = task::<()>();
        let a = pool.use_(async |_: &mut u32| end.await);
        let b = number(&pool);
        resolver.wakeup_err(Error::msg("broken"));
        spin();
        assert_eq!((show(&a), show(&b)), ("error broken".into(), "ok 2".into()));
    }
    assert_eq!(told.take(), "error the disposal, panic in the disposal");
}

#[test]
fn a_member_counts_until_it_is_disposed_of() {
    let (end, resolver) = wait::<()>();
    let end = RefCell::new(Some(end));
    let census = Census::default();
    let pool = census
        .pool(1)
        .check(async |_: &mut u32| Ok(false))
        .dispose(async move |_| match end.take() {
            Some(end) => end.await,
            None => Ok(()),
        })
        .build();
    let a = fail(&pool);
    let b = number(&pool);
    assert!(a.is_pending() && b.is_pending());
    a.cancel(); // disposing is not disturbed
    spin();
    assert!(a.is_pending() && b.is_pending());
    assert_eq!(census.0.made.get(), 1);
    resolver.wakeup(());
    spin();
    assert_eq!((show(&a), show(&b)), ("error failed use".into(), "ok 2".into()));
}

#[test]
fn clear_ends_idle_ones_now_and_busy_ones_later() {
    let census = Census::default();
    let pool = census.pool(2).build();
    let (a, end_a) = hold(&pool);
    assert_eq!(show(&number(&pool)), "ok 2");
    let c = pool.clear();
    assert_eq!(show(&c), "ok ()");
    assert_eq!(census.ended(), [2]);
    let (b, end_b) = hold(&pool);
    let waiting = number(&pool);
    assert!(waiting.is_pending());
    end_a.wakeup(());
    spin();
    assert_eq!((show(&a), show(&waiting)), ("ok 1".into(), "ok 4".into()), "who waited got a new one");
    assert_eq!(census.ended(), [2, 1]);
    end_b.wakeup(());
    spin();
    assert_eq!((show(&b), census.0.most.get()), ("ok 3".into(), 2));
    assert_eq!(show(&pool.clear()), "ok ()");
    assert_eq!(census.0.alive.get(), 0);
}

#[test]
fn clear_with_an_error_and_with_a_cancel() {
    let (end, resolver) = wait::<()>();
    let end = RefCell::new(Some(end));
    let pool = Pool::builder(2, async || Ok(0_u32))
        .dispose(async move |_| match end.take() {
            Some(end) => end.await,
            None => Err(Error::msg("no good end")),
        })
        .build();
    let (_a, end_a) = hold(&pool);
    assert_eq!(show(&number(&pool)), "ok 0");
    end_a.wakeup(());
    spin();
    let c = pool.clear();
    c.cancel();
    spin();
    assert_eq!(show(&c), "pending");
    let (b, d) = (number(&pool), number(&pool));
    spin();
    assert_eq!((show(&b), show(&d)), ("ok 0".into(), "ok 0".into()), "one has ended, which is one place");
    resolver.wakeup(());
    spin();
    assert_eq!(show(&c), "error no good end");
}

#[test]
fn cancelled_in_line() {
    let census = Census::default();
    let pool = census.pool(1).build();
    let (a, end_a) = hold(&pool);
    let (b, c, d) = (number(&pool), number(&pool), number(&pool));
    b.cancel();
    drop(c); // runs all the same
    spin();
    assert_eq!((show(&b), pool.wait_queue_length()), ("canceled".into(), 2));
    end_a.wakeup(());
    spin();
    assert_eq!((show(&a), show(&d)), ("ok 1".into(), "ok 1".into()));
}

#[test]
fn cancelled_while_a_member_is_made_or_validated() {
    let alive = Rc::new(Cell::new(0));
    let (made, ended) = (alive.clone(), alive.clone());
    let pool = Pool::builder(1, async move || {
        pause().await?;
        made.set(made.get() + 1);
        Ok(1_u32)
    })
    .validate(async |_: &mut u32| pause().await.map(|()| true))
    .dispose(async move |_| {
        ended.set(ended.get() - 1);
        Ok(())
    })
    .build();
    let (a, b) = (number(&pool), number(&pool));
    a.cancel();
    spin();
    assert_eq!((show(&a), alive.get()), ("canceled".into(), 0));
    turn();
    assert_eq!((show(&b), alive.get()), ("ok 1".into(), 1));
    // Validated now.
    let (c, d) = (number(&pool), number(&pool));
    c.cancel();
    spin();
    assert_eq!((show(&c), alive.get()), ("canceled".into(), 0));
    turn();
    assert_eq!((show(&d), alive.get()), ("ok 1".into(), 1));
}

#[test]
fn a_check_is_not_disturbed_by_a_cancel() {
    let census = Census::default();
    let pool = census.pool(1).check(async |_: &mut u32| pause().await.map(|()| true)).build();
    let p = fail(&pool);
    p.cancel();
    spin();
    assert!(p.is_pending());
    turn();
    assert_eq!((show(&p), show(&number(&pool))), ("error failed use".into(), "ok 1".into()));
}

#[test]
fn a_replacement_made_after_a_clear_is_kept() {
    let census = Census::default();
    let pool = census.pool(1).validate(async |member: &mut u32| pause().await.map(|()| *member > 1)).build();
    assert_eq!(show(&number(&pool)), "ok 1");
    let p = number(&pool);
    drop(pool.clear());
    turn();
    assert_eq!((show(&p), census.ended()), ("ok 2".into(), vec![1]));
}

#[test]
fn cancelled_or_aborted_or_panicking_in_use() {
    let census = Census::default();
    let pool = census.pool(1).check(async |_: &mut u32| Ok(false)).build();
    let (a, _end) = hold(&pool);
    let b = number(&pool);
    a.cancel();
    spin();
    assert_eq!((show(&a), show(&b)), ("canceled".into(), "ok 2".into()));

    let (foreign, gate) = Gate::new();
    let a = pool.use_(async move |_: &mut u32| {
        foreign.await;
        Ok(())
    });
    let b = number(&pool);
    assert!(lwt_core::task::abort(&a));
    spin();
    assert_eq!((show(&a), show(&b), gate.drops.count()), ("canceled".into(), "ok 3".into(), 1));

    let a = pool.use_(async |_: &mut u32| -> Result<(), Error> { panic!("ouch") });
    assert_eq!((show(&a), show(&number(&pool))), ("panic ouch".into(), "ok 4".into()));
    assert_eq!((census.ended(), census.0.most.get()), (vec![1, 2, 3], 1));
}

#[test]
fn the_maximum_holds_and_nobody_starves_whatever_happens() {
    let _dog = watchdog();
    let told = Unhandled::collect();
    for seed in 0..heavy(2000, 300, 3) {
        let rng = Rc::new(RefCell::new(Rng(seed as u64)));
        let chance = {
            let rng = rng.clone();
            move |n| rng.borrow_mut().one_in(n)
        };
        let census = Census::default();
        let (c1, c2, c3, c4) = (chance.clone(), chance.clone(), chance.clone(), chance.clone());
        let makes = census.clone();
        let pool = Pool::builder(2, async move || {
            let member = Token(makes.begin(), makes.clone());
            pause().await?;
            if c1(5) { Err(Error::msg("factory")) } else { Ok(member) }
        })
        .validate(async move |_: &mut Token| {
            pause().await?;
            if c2(6) { Err(Error::msg("validate")) } else { Ok(!c2(4)) }
        })
        .check(async move |_: &mut Token| {
            pause().await?;
            if c3(6) { Err(Error::msg("check")) } else { Ok(c3(2)) }
        })
        .dispose(async move |_member: Token| {
            pause().await?;
            if c4(5) { Err(Error::msg("dispose")) } else { Ok(()) }
        })
        .build();
        let mut uses: Vec<Promise<u32>> = Vec::new();
        let below = |n| rng.borrow_mut().below(n);
        for _ in 0..40 {
            match below(8) {
                0 if !uses.is_empty() => drop(uses.swap_remove(below(uses.len()))),
                1 if !uses.is_empty() => uses[below(uses.len())].cancel(),
                2 if !uses.is_empty() => _ = lwt_core::task::abort(&uses[below(uses.len())]),
                3 => drop(pool.clear()),
                4 | 5 => turn(),
                _ => {
                    let chance = chance.clone();
                    uses.push(pool.use_(async move |member: &mut Token| {
                        pause().await?;
                        if chance(4) { Err(Error::msg("use")) } else { Ok(member.0) }
                    }));
                }
            }
        }
        for _ in 0..300 {
            turn();
        }
        assert!(uses.iter().all(|p| !p.is_pending()), "seed {seed}: {pool:?}");
        assert_eq!(pool.wait_queue_length(), 0);
        let cleared = pool.clear();
        for _ in 0..5 {
            turn();
        }
        assert!(!cleared.is_pending());
        assert!(census.0.most.get() <= 2, "seed {seed}: {} at a time", census.0.most.get());
        assert_eq!(census.0.alive.get(), 0, "seed {seed}");
        drop((uses, cleared));
    }
    drop(told.take());
}

#[test]
#[should_panic(expected = "never serve anybody")]
fn a_pool_of_none() {
    drop(Pool::create(0, async || Ok(())));
}
