//! The features `trace` and `registry`: the way of a rejection, and what is pending. Empty without them.

#![cfg(any(feature = "trace", feature = "registry"))]

mod common;

#[cfg(feature = "trace")]
mod trace {
    use crate::common::spin;
    use lwt_core::{Error, Promise, State, spawn, wait};

    /// The lines of this file through which the rejection of `p` came.
    fn lines<T: 'static>(p: &Promise<T>) -> Vec<u32> {
        match p.state() {
            State::Rejected(error) => {
                error.trace().iter().filter(|line| line.file() == file!()).map(|line| line.line()).collect()
            }
            _ => panic!("rejected"),
        }
    }

    #[test]
    fn callbacks_that_pass_an_error_on() {
        let (p, r) = wait::<i32>();
        let (q, first) = (p.map(|v| v + 1), line!());
        let (q, second) = (q.bind(Promise::ready), line!());
        r.wakeup_err(Error::msg("boom"));
        assert_eq!(lines(&q), [first, second]);

        let (q, only) = (Promise::<i32>::fail(Error::msg("boom")).map(|v| v), line!());
        assert_eq!(lines(&q), [only], "also when it was rejected before");
    }

    #[test]
    fn awaits_that_pass_an_error_on() {
        let (p, r) = wait::<i32>();
        let start = line!();
        let inner = spawn(async move { Ok::<_, Error>(p.await? + 1) });
        let outer = spawn(async move { Ok::<_, Error>(inner.await? + 1) });
        r.wakeup_err(Error::msg("boom"));
        spin();
        assert_eq!(lines(&outer), [start + 1, start + 2]);
    }

    #[test]
    fn a_loop_that_carries_one_error_round_does_not_grow_without_end() {
        let mut p = Promise::<i32>::fail(Error::msg("boom"));
        for _ in 0..10_000 {
            p = p.map(|v| v);
        }
        assert!(lines(&p).len() < 10_000);
    }
}

#[cfg(feature = "registry")]
mod registry {
    use crate::common::spin;
    use lwt_core::registry::{Kind, pending};
    use lwt_core::{Error, all, pause, pick, spawn, task, wait};

    #[test]
    fn what_is_pending_where_it_was_made_and_what_it_waits_for() {
        assert!(pending().is_empty());
        let start = line!();
        let (w, rw) = wait::<i32>();
        let (t, _rt) = task::<i32>();
        let mapped = w.map(|v| v + 1);
        let joined = all([mapped, t]);
        let running = spawn(async move { Ok::<_, Error>(joined.await?.len()) });
        let entries = pending();
        let shown: Vec<_> = entries.iter().map(|entry| (entry.kind, entry.origin.line() - start)).collect();
        assert_eq!(
            shown,
            [(Kind::Wait, 1), (Kind::Task, 2), (Kind::Callback, 3), (Kind::Combinator, 4), (Kind::Future, 5)]
        );
        assert!(entries.iter().all(|entry| entry.origin.file() == file!()));
        let id = |place: usize| entries[place].id;
        let waits: Vec<_> = entries.iter().map(|entry| entry.waits_on.clone()).collect();
        assert_eq!(waits, [vec![], vec![], vec![id(0)], vec![id(2), id(1)], vec![id(3)]]);
        assert!(format!("{}", entries[2]).contains(file!()));
        assert!(entries.iter().all(|entry| entry.name.is_none()));
        let running = running.named("all of it");
        assert_eq!(pending()[4].name, Some("all of it"));
        assert!(format!("{running:?}").contains("Future \"all of it\" made at"), "{running:?}");
        assert!(format!("{running:?}").contains("pending"));
        rw.wakeup(1);
        assert_eq!(pending().len(), 3);
        running.cancel();
        spin();
        assert!(pending().is_empty());
        drop(running);
    }

    #[test]
    fn entries_leave_in_any_order() {
        let kept: Vec<_> = (0..100).map(|_| task::<i32>()).collect();
        let derived: Vec<_> = kept.iter().map(|(p, _)| pick([p.clone()])).collect();
        assert_eq!(pending().len(), 200);
        for (n, (p, _)) in kept.iter().enumerate() {
            if n % 3 == 1 {
                p.cancel();
            }
        }
        assert_eq!(pending().len(), 134);
        drop(derived);
        assert_eq!(pending().len(), 67);
        let paused = pause();
        assert_eq!(pending().len(), 68);
        drop(kept);
        lwt_core::scheduler::wakeup_paused();
        assert!(pending().is_empty());
        drop(paused);
    }
}
