//! Long chains are resolved, cancelled and dropped on a small stack, and leave nothing.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::rc::Rc;

use common::{on_small_stack, show, spin, watchdog};
use counting::{links, without_a_trace};
use lwt_core::{Error, Promise, Resolver, all, both, choose, join, nchoose, pick, spawn, task, wait};

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

/// The usual guard of structured code: what it holds is cancelled when it is dropped.
struct CancelOnDrop(Option<Promise<()>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(promise) = self.0.take() {
            promise.cancel();
        }
    }
}

#[test]
fn tasks_whose_destructors_cancel_the_next() {
    on_small_stack(|| {
        let mut last: Option<Promise<()>> = None;
        for _ in 0..links() {
            let guard = CancelOnDrop(last.take());
            last = Some(spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
                Ok::<_, lwt_core::Error>(())
            }));
        }
        let last = last.expect("there are links");
        last.cancel();
        assert_eq!(show(&last), "canceled");
    });
}
