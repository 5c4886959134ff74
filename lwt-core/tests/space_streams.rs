//! Streams leave nothing behind: reads that were given up, elements that were read, streams that were dropped
//! in the middle.

mod common;
#[path = "common/counting.rs"]
mod counting;

use common::{heavy, show, spin};
use counting::{in_constant_memory, without_a_trace};
use lwt_core::stream::{self, Stream};
use lwt_core::{Error, Promise, pick, seq, spawn, task, wait};

fn rounds() -> usize {
    heavy(300_000, 30_000, 10)
}

#[test]
fn reads_of_an_idle_stream_that_are_given_up() {
    let (s, push) = stream::create::<usize>();
    let patient = s.get();
    let (bounded, bounded_push) = stream::create_bounded::<usize>(0);
    let round = |n: usize| {
        drop((s.get(), s.peek(), s.nget(2), s.get_while(|_| true), s.last_new(), s.closed()));
        s.get().cancel();
        s.parse(|s| s.nget(2)).cancel();
        drop(pick([s.get().map(|_| ()), Promise::ready(())]));
        let mapped = s.share().filter(|n| *n > 1).map_list(|n| [n]).append(s.clone());
        drop(mapped.get());
        let t = spawn({
            let s = s.share();
            async move { s.get().await }
        });
        t.cancel();
        spin();
        bounded_push.push(n).cancel();
        drop(bounded.get());
    };
    round(0);
    in_constant_memory("reads given up", || (0..rounds()).for_each(round));
    push.push(1).expect("open");
    assert_eq!(show(&patient), "ok Some(1)");
}

#[test]
fn elements_that_pass_through() {
    in_constant_memory("a long stream", || {
        let many = rounds();
        let (s, push) = stream::create_bounded(2);
        let slow = s.clone();
        let sum = s.map(|n: usize| n).iter(|_| ());
        for n in 0..many {
            assert!(!push.push(n).is_pending());
            assert!(!slow.get().is_pending());
        }
        drop(push);
        assert_eq!(show(&sum), "ok ()");
        let p = stream::of_seq(seq::of_iter(0..many)).iter_n(3, |_| Promise::ready(()));
        assert_eq!(show(&p), "ok ()");
    });
}

#[test]
fn streams_dropped_in_the_middle() {
    let (never, _r) = wait::<Option<usize>>();
    let (slow_test, _r) = wait::<bool>();
    let round = |n: usize| {
        let waits = stream::from({
            let never = never.clone();
            move || never.clone()
        });
        drop(waits.get());
        let (slow, slower) = (slow_test.clone(), slow_test.clone());
        drop(stream::ready(1).find_s(move |_| slow.clone()));
        let slowest = slower.clone();
        drop(stream::of_list([1, 2, 3]).map_n(2, move |_| slowest.clone()).get());
        drop(stream::of_list([1, 2, 3]).map_s(move |_| slower.clone()).get());
        let (s, push) = stream::create();
        push.push(n).expect("open");
        let fold = s.fold(0, |a, b| a + b);
        let all = stream::choose([s.share(), s.clone().map(|n| n)]).to_list();
        drop((fold, all, s));
        drop(push);
        let (s, push) = stream::create_bounded::<usize>(1);
        drop((push.push(1), push.push(2)));
        let slow: Stream<usize> = s.map_s(|_| task().0);
        let p = slow.to_list();
        p.on_failure(|_: &Error| ());
        drop((slow, p, push));
    };
    round(0);
    without_a_trace("streams dropped", || (0..rounds()).for_each(round));
    drop((never, slow_test));
}
