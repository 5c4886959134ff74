//! Memory and stack: loops in constant memory, long chains on a small stack, nothing left on long-lived promises.
//!
//! The allocator of this test binary counts the live bytes of each thread. A runtime keeps some freed blocks in lists of
//! its own, so a test first turns a few times, and then allows for [`SLACK`], which is far less than a leak would take.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::ControlFlow;
use std::rc::Rc;

use common::{heavy, on_small_stack, show, spin, turn, watchdog};
use lwt_core::{
    Error, Promise, Resolver, all, both, choose, iterate, join, nchoose, nchoose_split, npick, pause, pick,
    spawn, task, wait,
};

// ---- the counting allocator ---------------------------------------------------------------------------------------

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn count(bytes: isize) {
    // Thread-locals without destructors can be reached as long as the thread runs.
    LIVE.with(|live| {
        live.set(live.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: all is passed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the block came from `alloc` above, that is, from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the runtime may keep for later.
const SLACK: isize = 512 * 1024;

/// Bytes in use on this thread.
fn live() -> isize {
    LIVE.get()
}

/// By how much the memory in use rose at most, and at the end, while `f` ran.
fn growth(f: impl FnOnce()) -> (isize, isize) {
    let before = live();
    PEAK.set(before);
    f();
    (PEAK.get() - before, live() - before)
}

/// Asserts that `f` never needs more than the slack.
fn in_constant_memory(what: &str, f: impl FnOnce()) {
    let (peak, left) = growth(f);
    assert!(peak < SLACK, "{what}: needed {peak} bytes at its height, {left} at the end");
}

/// Asserts that `f` leaves nothing.
fn without_a_trace(what: &str, f: impl FnOnce()) {
    let (peak, left) = growth(f);
    assert!(left < SLACK, "{what}: left {left} bytes (of {peak} at the height)");
}

/// Turns of a loop in constant memory.
fn turns() -> usize {
    heavy(10_000_000, 200_000, 300)
}

/// Links of a chain: each costs memory.
fn links() -> usize {
    heavy(1_000_000, 100_000, 300)
}

/// Rounds of something that must leave nothing behind.
fn rounds() -> usize {
    heavy(1_000_000, 60_000, 200)
}

#[test]
fn the_allocator_sees_growth() {
    let (peak, left) = growth(|| std::mem::forget(vec![0_u8; 2 << 20]));
    assert!(peak > SLACK && left > SLACK);
}

// ---- loops --------------------------------------------------------------------------------------------------------

#[test]
fn a_tail_bind_loop_over_pauses() {
    fn step(n: usize) -> Promise<usize> {
        if n == 0 { Promise::ready(0) } else { pause().bind(move |()| step(n - 1)) }
    }
    on_small_stack(|| {
        in_constant_memory("bind", || {
            let p = step(turns());
            while p.is_pending() {
                lwt_core::scheduler::wakeup_paused();
            }
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn a_tail_loop_by_every_form_that_unifies() {
    type Step = fn(usize) -> Promise<usize>;
    fn by_catch(n: usize) -> Promise<usize> {
        let failing = pause().bind(|()| Promise::fail(Error::canceled()));
        if n == 0 { Promise::ready(0) } else { failing.catch(move |_| by_catch(n - 1)) }
    }
    fn by_try_bind(n: usize) -> Promise<usize> {
        if n == 0 { Promise::ready(0) } else { pause().try_bind(move |()| by_try_bind(n - 1), Promise::fail) }
    }
    fn by_spawn(n: usize) -> Promise<usize> {
        let task = spawn(async move {
            pause().await?;
            Ok::<_, Error>(n)
        });
        task.bind(|n| if n == 0 { Promise::ready(0) } else { by_spawn(n - 1) })
    }
    fn through_observers(n: usize) -> Promise<usize> {
        let p = pause().bind(move |()| if n == 0 { Promise::ready(0) } else { through_observers(n - 1) });
        drop(p.clone());
        p
    }
    let loops: [(&str, Step); 4] =
        [("catch", by_catch), ("try_bind", by_try_bind), ("spawn", by_spawn), ("clones", through_observers)];
    on_small_stack(move || {
        for (name, step) in loops {
            in_constant_memory(name, || {
                let p = step(turns() / 10);
                while p.is_pending() {
                    turn();
                }
                assert_eq!(show(&p), "ok 0");
            });
        }
    });
}

/// Resolving as the loop goes, without a pause: each wake-up happens inside the callback of the one before.
#[test]
fn a_tail_bind_loop_that_wakes_itself() {
    thread_local! {
        static NEXT: RefCell<Option<Resolver<()>>> = const { RefCell::new(None) };
    }
    fn step(n: usize) -> Promise<usize> {
        if n == 0 {
            return Promise::ready(0);
        }
        let (p, r) = wait();
        NEXT.set(Some(r));
        p.bind(move |()| step(n - 1))
    }
    on_small_stack(|| {
        in_constant_memory("bind", || {
            let p = step(turns() / 4);
            while let Some(r) = NEXT.take() {
                r.wakeup(());
            }
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn spawn_recursion() {
    fn step(n: usize) -> Promise<usize> {
        let task = spawn(async move {
            lwt_core::task::yield_now().await?;
            Ok::<_, Error>(n)
        });
        task.bind(|n| if n == 0 { Promise::ready(0) } else { step(n - 1) })
    }
    on_small_stack(|| {
        in_constant_memory("spawn", || {
            let p = step(turns() / 4);
            spin();
            assert_eq!(show(&p), "ok 0");
        });
    });
}

#[test]
fn iterate_over_resolved_promises() {
    on_small_stack(|| {
        in_constant_memory("iterate", || {
            let end = turns();
            let p = iterate(0, move |n| {
                Promise::ready(if n < end { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) })
            });
            assert_eq!(show(&p), format!("ok {end}"));
        });
    });
}

#[test]
fn iterate_over_pending_promises() {
    on_small_stack(|| {
        in_constant_memory("iterate", || {
            let end = turns() / 4;
            let p = iterate(0, move |n| {
                let flow = if n < end { ControlFlow::Continue(n + 1) } else { ControlFlow::Break(n) };
                // Now and then the step is resolved at once.
                if n % 3 == 0 { Promise::ready(flow) } else { pause().map(move |()| flow) }
            });
            while p.is_pending() {
                lwt_core::scheduler::wakeup_paused();
            }
            assert_eq!(show(&p), format!("ok {end}"));
        });
    });
}

#[test]
fn an_async_loop_over_resolved_and_pending_promises() {
    on_small_stack(|| {
        in_constant_memory("async", || {
            let end = turns() / 4;
            let p = spawn(async move {
                for n in 0..end {
                    Promise::ready(()).await?;
                    if n % 2 == 0 {
                        lwt_core::task::yield_now().await?;
                    }
                }
                Ok::<_, Error>(())
            });
            spin();
            assert_eq!(show(&p), "ok ()");
        });
    });
}

#[test]
fn tasks_that_come_and_go() {
    in_constant_memory("spawn", || {
        for n in 0..rounds() {
            let t = spawn(async move { Ok::<_, Error>(n) });
            drop(t);
            let t = spawn(async move {
                lwt_core::task::yield_now().await?;
                Ok::<_, Error>(vec![n; 100])
            });
            spin();
            drop(t);
        }
    });
}

// ---- chains -------------------------------------------------------------------------------------------------------

type Link = fn(Promise<usize>) -> Promise<usize>;

fn kinds_of_links() -> Vec<(&'static str, Link)> {
    vec![
        ("map", |p| p.map(|v| v + 1)),
        ("bind", |p| p.bind(|v| Promise::ready(v + 1))),
        ("catch", |p| p.catch(Promise::fail)),
        ("try_bind", |p| p.try_bind(|v| Promise::ready(v + 1), Promise::fail)),
        ("finalize", |p| p.finalize(|| Promise::ready(()))),
        ("protected", |p| p.protected()),
        ("wrap_in_cancelable", |p| p.wrap_in_cancelable()),
        ("all", |p| all([p]).map(|v| v[0] + 1)),
        ("join", |p| join([p.map(|_| ())]).map(|()| 0)),
        ("both", |p| both(p, Promise::ready(())).map(|(v, ())| v)),
        ("choose", |p| choose([p])),
        ("pick", |p| pick([p])),
        ("nchoose", |p| nchoose([p]).map(|v| v[0])),
        ("spawn", |p| spawn(async move { Ok::<_, Error>(p.await? + 1) })),
        ("mixed", |p| choose([p.map(|v| v + 1)]).protected().bind(Promise::ready)),
    ]
}

fn chain(source: Promise<usize>, link: Link, n: usize) -> Promise<usize> {
    (0..n).fold(source, |p, _| link(p))
}

/// How many links of this kind are enough.
fn length(name: &str) -> usize {
    if name == "map" || name == "bind" { links() } else { links() / 4 }
}

fn on_chains(test: impl Fn(&'static str, Link, usize) + Send + 'static) {
    let dog = watchdog();
    on_small_stack(move || {
        for (name, link) in kinds_of_links() {
            without_a_trace(name, || test(name, link, length(name)));
        }
    });
    drop(dog);
}

#[test]
fn chains_are_resolved() {
    on_chains(|name, link, n| {
        let (p, r) = task();
        let end = chain(p, link, n);
        r.wakeup(0);
        spin();
        assert!(show(&end).starts_with("ok"), "{name}: {}", show(&end));
    });
}

#[test]
fn chains_are_rejected() {
    on_chains(|name, link, n| {
        let (p, r) = task();
        let end = chain(p, link, n);
        r.wakeup_err(Error::msg("boom"));
        spin();
        assert_eq!(show(&end), "error boom", "{name}");
    });
}

#[test]
fn chains_are_cancelled() {
    on_chains(|name, link, n| {
        let (p, r) = task();
        let end = chain(p, link, n);
        end.cancel();
        spin();
        assert_eq!(show(&end), "canceled", "{name}");
        drop(r);
    });
}

#[test]
fn chains_over_a_wait_are_cancelled_in_vain() {
    on_chains(|name, link, n| {
        if name == "protected" || name == "wrap_in_cancelable" || name == "mixed" {
            return;
        }
        let (p, r) = wait();
        let end = chain(p, link, n);
        end.cancel();
        spin();
        assert_eq!(show(&end), "pending", "{name}");
        r.wakeup(0);
        spin();
        assert!(show(&end).starts_with("ok"), "{name}: {}", show(&end));
    });
}

#[test]
fn chains_are_dropped_from_their_end() {
    on_chains(|_, link, n| {
        let (p, r) = task();
        drop(chain(p, link, n));
        drop(r);
        spin();
    });
}

#[test]
fn chains_are_dropped_from_their_source() {
    on_chains(|name, link, n| {
        let (p, r) = task();
        let end = chain(p, link, n);
        drop(r);
        spin();
        assert_eq!(show(&end), "abandoned", "{name}");
    });
}

#[test]
fn chains_on_a_source_that_others_hold_too() {
    on_chains(|name, link, n| {
        let (p, r) = task::<usize>();
        let end = chain(p.clone(), link, n);
        drop(p);
        r.wakeup_later(0);
        spin();
        assert!(show(&end).starts_with("ok"), "{name}");
    });
}

/// Each promise is resolved by a callback on the one before.
#[test]
fn chains_of_wakeups() {
    on_small_stack(|| {
        for how in [Resolver::wakeup as fn(Resolver<usize>, usize), Resolver::wakeup_later] {
            without_a_trace("wake-ups", || {
                let (first, start) = wait::<usize>();
                let mut last = first;
                for _ in 0..links() {
                    let (next, r) = wait::<usize>();
                    last.on_success(move |v| how(r, v + 1));
                    last = next;
                }
                start.wakeup(0);
                assert_eq!(show(&last), format!("ok {}", links()));
            });
        }
    });
}

#[test]
fn chains_of_dropped_resolvers() {
    on_small_stack(|| {
        // Every promise of the second part is abandoned unseen.
        lwt_core::set_unhandled_hook(Some(Rc::new(|_| ())));
        without_a_trace("resolvers", || {
            let (first, start) = wait::<()>();
            let mut last = first;
            for _ in 0..links() {
                let (next, r) = wait::<()>();
                last.on_any(move |_| drop(r));
                last = next;
            }
            drop(start);
            assert_eq!(show(&last), "abandoned");
        });
        without_a_trace("resolvers in callbacks that do not run", || {
            let (first, start) = wait::<()>();
            let mut last = first;
            for _ in 0..links() {
                let (next, r) = wait::<()>();
                last.on_success(move |()| r.wakeup(()));
                last = next;
            }
            drop(start);
            assert_eq!(show(&last), "abandoned");
        });
    });
}

/// Promises that own promises as values.
#[test]
fn nested_values() {
    #[derive(Clone)]
    struct Nest {
        _inner: Option<Box<Promise<Nest>>>,
    }
    on_small_stack(|| {
        without_a_trace("values in cells", || {
            let mut nest = Nest { _inner: None };
            for _ in 0..links() {
                let (p, r) = wait();
                r.wakeup(nest);
                nest = Nest { _inner: Some(Box::new(p)) };
            }
            drop(nest);
        });
    });
}

#[test]
fn chains_of_unifications() {
    on_small_stack(|| {
        without_a_trace("inner ones made first", || {
            let (mut p, r) = task::<usize>();
            let mut held = vec![p.clone()];
            for n in 0..links() {
                let (gate, rg) = wait::<()>();
                let outer = gate.bind(move |()| p);
                rg.wakeup(());
                if n % 1000 == 0 {
                    held.push(outer.clone());
                }
                p = outer;
            }
            r.wakeup(4);
            assert_eq!(show(&p), "ok 4");
            for p in held {
                assert_eq!(show(&p), "ok 4");
            }
        });
        without_a_trace("with a handle on each", || {
            let (mut p, r) = task::<usize>();
            let mut held = Vec::new();
            for _ in 0..links() {
                let (gate, rg) = wait::<()>();
                held.push(p.clone());
                let outer = gate.bind(move |()| p);
                rg.wakeup(());
                p = outer;
            }
            held[0].cancel();
            assert_eq!(show(&p), "canceled");
            drop((held, r));
        });
        without_a_trace("gates opened from the outermost", || {
            let (mut p, r) = task::<usize>();
            let mut gates = Vec::new();
            for _ in 0..links() {
                let (gate, rg) = wait::<()>();
                gates.push(rg);
                p = gate.bind(move |()| p);
            }
            for gate in gates.into_iter().rev() {
                gate.wakeup(());
            }
            p.cancel();
            assert_eq!(show(&p), "canceled");
            drop(r);
        });
    });
}

#[test]
fn wide_graphs() {
    let n = links() / 4;
    on_small_stack(move || {
        without_a_trace("join", || {
            let (ps, rs): (Vec<_>, Vec<_>) = (0..n).map(|_| task::<()>()).unzip();
            let joined = join(ps);
            for r in rs {
                r.wakeup(());
            }
            assert_eq!(show(&joined), "ok ()");
        });
        without_a_trace("join, cancelled", || {
            let (ps, rs): (Vec<_>, Vec<_>) = (0..n).map(|_| task::<()>()).unzip();
            let joined = join(ps);
            joined.cancel();
            assert_eq!(show(&joined), "canceled");
            drop(rs);
        });
        without_a_trace("pick", || {
            let (ps, mut rs): (Vec<_>, Vec<_>) = (0..n).map(|_| task::<usize>()).unzip();
            let picked = pick(ps);
            rs.pop().expect("n is not zero").wakeup(7);
            assert_eq!(show(&picked), "ok 7");
        });
        without_a_trace("callbacks on one promise", || {
            let (p, r) = wait::<usize>();
            let all: Vec<_> = (0..n).map(|_| p.clone().map(|v| v + 1)).collect();
            drop(p);
            r.wakeup(1);
            assert!(all.iter().all(|q| !q.is_pending()));
        });
        without_a_trace("tasks on one promise", || {
            let (p, r) = wait::<usize>();
            let all: Vec<_> = (0..n).map(|_| spawn(p.clone())).collect();
            r.wakeup(1);
            spin();
            assert!(all.iter().all(|q| !q.is_pending()));
        });
    });
}

// ---- nothing is left on a long-lived promise ------------------------------------------------------------------------

/// What may be done with a promise that outlives it, and then given up.
fn passing_uses() -> Vec<(&'static str, fn(&Promise<usize>))> {
    vec![
        ("choose, decided", |long| {
            let (short, r) = wait();
            let p = choose([long.clone(), short]);
            r.wakeup(1);
            drop(p);
        }),
        ("choose, decided at the call", |long| drop(choose([long.clone(), Promise::ready(1)]))),
        ("choose, dropped", |long| drop(choose([long.clone(), long.clone()]))),
        ("choose, its loser's promise kept by a map", |long| {
            let (short, r) = wait();
            let p = choose([long.clone(), short]).map(|v| v + 1);
            r.wakeup(1);
            assert_eq!(show(&p), "ok 2");
        }),
        ("pick", |long| {
            let (short, r) = wait();
            let p = pick([long.clone().protected(), short]);
            r.wakeup(1);
            drop(p);
        }),
        ("pick, dropped", |long| drop(pick([long.clone(), long.clone()]))),
        ("nchoose, dropped", |long| drop(nchoose([long.clone()]))),
        ("npick, dropped", |long| drop(npick([long.clone()]))),
        ("nchoose_split, dropped", |long| drop(nchoose_split([long.clone()]))),
        ("nchoose_split, decided", |long| drop(nchoose_split([long.clone(), Promise::ready(1)]))),
        ("all, dropped", |long| drop(all([long.clone(), Promise::ready(1)]))),
        ("both, dropped", |long| drop(both(long.clone(), long.clone()))),
        ("join, nested and dropped", |long| {
            let inner = all([long.clone()]);
            drop(both(inner, choose([long.clone()])));
        }),
        ("protected, cancelled", |long| long.clone().protected().cancel()),
        ("protected, dropped", |long| drop(long.clone().protected())),
        ("no_cancel, dropped", |long| drop(long.clone().no_cancel())),
        ("wrap_in_cancelable of no_cancel, cancelled", |long| {
            long.clone().no_cancel().wrap_in_cancelable().cancel()
        }),
        ("wrap_in_cancelable, dropped", |long| drop(long.clone().wrap_in_cancelable())),
        ("copies of copies, dropped", |long| drop(long.clone().protected().no_cancel().protected())),
        ("a bind over protected, cancelled", |long| {
            let p = long.clone().protected().bind(|v| Promise::ready(v + 1));
            p.cancel();
            assert_eq!(show(&p), "canceled");
        }),
        ("an await, aborted", |long| {
            let t = spawn(long.clone());
            lwt_core::task::abort(&t);
        }),
        ("an await over protected, cancelled", |long| {
            let t = spawn(long.clone().protected());
            t.cancel();
            spin();
            assert_eq!(show(&t), "canceled");
        }),
        ("an await of a pick, decided", |long| {
            let (short, r) = wait();
            let t = spawn(choose([long.clone(), short]));
            r.wakeup(1);
            spin();
            assert_eq!(show(&t), "ok 1");
        }),
        ("clones", |long| drop((long.clone(), long.clone()))),
        ("cancellers", |long| drop(long.canceller())),
        ("polled by hand", |long| {
            let mut p = long.clone();
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(std::pin::Pin::new(&mut p).poll(&mut cx).is_pending());
        }),
    ]
}

#[test]
fn a_long_lived_promise_keeps_nothing() {
    for (name, passing_use) in passing_uses() {
        let (long, r) = wait::<usize>();
        for _ in 0..100 {
            passing_use(&long);
        }
        in_constant_memory(name, || {
            for _ in 0..rounds() / 4 {
                passing_use(&long);
            }
        });
        assert_eq!(show(&long), "pending");
        r.wakeup(3);
        assert_eq!(show(&long), "ok 3", "{name}");
    }
}

#[test]
fn a_million_chooses_on_one_promise() {
    let (long, r) = wait::<usize>();
    in_constant_memory("choose", || {
        for n in 0..rounds() {
            let (short, rs) = wait();
            let p = choose([long.clone(), short]);
            rs.wakeup(n);
            assert!(!p.is_pending());
        }
    });
    r.wakeup(0);
}

/// What is not given up must survive the clearing away of the rest.
#[test]
fn live_uses_survive_among_the_dropped() {
    let (long, r) = wait::<usize>();
    let mut kept = Vec::new();
    for n in 0..1000 {
        let p = match n % 3 {
            0 => choose([long.clone()]),
            1 => long.clone().protected(),
            _ => all([long.clone()]).map(|v| v[0]),
        };
        if n % 7 == 0 {
            kept.push(p);
        }
    }
    r.wakeup(5);
    assert!(kept.iter().all(|p| show(p) == "ok 5"));
}

/// The long-lived promise has meanwhile been made one with another.
#[test]
fn clearing_away_across_a_unification() {
    let (gate, rg) = wait::<()>();
    let (long, r) = wait::<usize>();
    let outer = gate.bind({
        let long = long.clone();
        move |()| long
    });
    let before: Vec<_> = (0..100).map(|_| choose([long.clone(), outer.clone()])).collect();
    rg.wakeup(());
    drop(before);
    in_constant_memory("after the unification", || {
        for _ in 0..rounds() / 4 {
            drop(choose([long.clone(), outer.clone()]));
            let mut rest = Vec::new();
            for _ in 0..3 {
                rest.push(outer.clone().protected());
            }
        }
    });
    r.wakeup(3);
    assert_eq!(show(&outer), "ok 3");
}

#[test]
fn dropping_a_member_of_many_is_fast_in_any_order() {
    // Quadratic work would not end: each drop must not search the list.
    let _dog = watchdog();
    let n = heavy(400_000, 200_000, 100);
    let (long, r) = wait::<usize>();
    let mut copies: Vec<_> = (0..n).map(|_| long.clone().protected()).collect();
    let mut rng = common::Rng(5);
    for i in (1..n).rev() {
        copies.swap(i, rng.below(i + 1));
    }
    drop(copies);
    r.wakeup(1);
}

#[test]
fn nothing_is_left_when_everything_is_dropped() {
    let scenario = || {
        let witness = Rc::new(());
        let (p, r) = task::<Rc<()>>();
        let (w, rw) = wait::<Rc<()>>();
        let a = p.clone().map(|v| v);
        let b = both(a.clone(), w.clone());
        let c = pick([b.clone().map(|(v, _)| v), p.clone()]);
        let d = spawn({
            let w = w.clone();
            async move { w.await.map(|v| (v, ())) }
        });
        p.on_any({
            let witness = witness.clone();
            move |_| drop(witness)
        });
        c.on_cancel({
            let witness = witness.clone();
            move || drop(witness)
        });
        drop((a, b));
        rw.wakeup(witness.clone());
        drop(r);
        spin();
        drop((c, d, p, w));
        assert_eq!(Rc::strong_count(&witness), 1);
    };
    scenario();
    without_a_trace("a small graph", || {
        for _ in 0..rounds() / 10 {
            scenario();
        }
    });
}

#[test]
fn the_end_of_the_loop_gives_cached_memory_back() {
    on_small_stack(|| {
        let before = live();
        let (p, r) = wait::<usize>();
        let many: Vec<_> = (0..10_000).map(|_| p.clone().map(|v| v)).collect();
        drop((many, p));
        drop(r);
        lwt_core::scheduler::end_thread();
        assert!(live() - before < 4096, "{} bytes are left", live() - before);
    });
}

/// The future lives in the task's block; it goes when the task ends, not when its promise does.
#[test]
fn a_resolved_promise_keeps_no_callbacks() {
    let witness = Rc::new(());
    let (p, r) = wait::<usize>();
    p.on_success({
        let witness = witness.clone();
        move |_| drop(witness)
    });
    let failing = p.clone().catch({
        let witness = witness.clone();
        move |_| {
            drop(witness);
            Promise::ready(0)
        }
    });
    p.on_cancel({
        let witness = witness.clone();
        move || drop(witness)
    });
    r.wakeup(1);
    assert_eq!(Rc::strong_count(&witness), 1);
    assert_eq!([show(&p), show(&failing)], ["ok 1", "ok 1"]);
}
