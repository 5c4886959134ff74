//! Long lists whose promises are pending: constant memory, and nothing is left.

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::{heavy, on_small_stack, show};
use counting::{in_constant_memory, turns, without_a_trace};
use lwt_core::list::{Parallel, exists_s, iter_n, iter_s, map_p};
use lwt_core::scheduler::wakeup_paused;
use lwt_core::{Promise, pause};

fn drive<T: std::fmt::Debug + 'static>(p: Promise<T>, expected: &str) {
    while p.is_pending() {
        wakeup_paused();
    }
    assert_eq!(show(&p), expected);
}

#[test]
fn serial_and_bounded_forms() {
    on_small_stack(|| {
        let n = turns() / 10;
        in_constant_memory("iter_s", || drive(iter_s(0..n, |_| pause()), "ok ()"));
        in_constant_memory("exists_s", || {
            drive(exists_s(0.., move |i| pause().map(move |()| i == n)), "ok true");
        });
        in_constant_memory("iter_n", || drive(iter_n(3, 0..n, |_| pause()), "ok ()"));
        let how = Parallel::at_most(3).cancel_rest();
        in_constant_memory("cancel_rest", || drive(how.iter(0..n, |_| pause()), "ok ()"));
        in_constant_memory("filter_map_n", || {
            drive(Parallel::at_most(3).filter_map(0..n, |_| pause().map(|()| None::<u8>)), "ok []");
        });
    });
}

#[test]
fn nothing_is_left_whatever_the_end() {
    let n = heavy(10_000, 200, 10);
    let often = |what: &str, round: &dyn Fn()| {
        round(); // fills what the runtime keeps for later
        without_a_trace(what, || (0..heavy(50, 50, 2)).for_each(|_| round()));
    };
    for how in [Parallel::unbounded(), Parallel::at_most(5), Parallel::unbounded().cancel_rest()] {
        often("fulfilled", &|| drive(how.map(0..n, |_| pause()).map(|v| v.len()), &format!("ok {n}")));
        often("cancelled", &|| {
            let p = how.map(0..n, |_| pause());
            p.cancel();
            drive(p, "canceled");
            wakeup_paused();
        });
    }
    often("dropped", &|| {
        drop(map_p(0..n, |_| pause()));
        wakeup_paused();
    });
}
