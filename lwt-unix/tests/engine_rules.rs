//! What the engine trait promises, on each engine.

mod engine_support;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use engine_support::{with_all, with_each};
use lwt_unix::engine::{Engine, Event, Readiness, Token, Wait};
use lwt_unix::net::UnixStream;

/// Polls until something is reported.
fn report(engine: &Rc<dyn Engine>) -> Vec<Event> {
    let mut events = Vec::new();
    while events.is_empty() {
        engine.poll(Wait::Forever, &mut events).expect("poll");
    }
    events
}

/// What is there now.
fn glance(engine: &Rc<dyn Engine>) -> Vec<Event> {
    let mut events = Vec::new();
    engine.poll(Wait::No, &mut events).expect("poll");
    events
}

fn said(events: &[Event]) -> Readiness {
    events.iter().fold(Readiness::NONE, |all, event| all.with(event.readiness))
}

#[test]
fn a_deadline_is_never_early() {
    with_all("a_deadline_is_never_early", |engine| {
        for micros in [1, 50, 300, 999, 1500, 2001] {
            let start = engine.now();
            let deadline = start + Duration::from_micros(micros);
            while engine.now() < deadline {
                engine.poll(Wait::Until(deadline), &mut Vec::new()).expect("poll");
            }
            assert!(engine.now() - start >= Duration::from_micros(micros));
        }
    });
}

#[test]
fn one_poll_reaches_a_deadline_below_a_millisecond() {
    with_all("one_poll_reaches_a_deadline_below_a_millisecond", |engine| {
        // Rounding down would return at once, and a loop over it would spin.
        let deadline = engine.now() + Duration::from_micros(700);
        engine.poll(Wait::Until(deadline), &mut Vec::new()).expect("poll");
        assert!(engine.now() >= deadline);
    });
}

#[test]
fn an_earlier_deadline_after_a_later_one() {
    with_all("an_earlier_deadline_after_a_later_one", |engine| {
        let far = engine.now() + Duration::from_secs(3600);
        engine.waker()();
        engine.poll(Wait::Until(far), &mut Vec::new()).expect("poll");
        let near = engine.now() + Duration::from_millis(3);
        engine.poll(Wait::Until(near), &mut Vec::new()).expect("poll");
        assert!(engine.now() >= near);
    });
}

#[test]
fn an_edge_is_reported_once_and_the_end_is_marked() {
    with_all("an_edge_is_reported_once_and_the_end_is_marked", |engine| {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let token = Token::from_number(3 | 1 << 32);
        let both = Readiness::READ.with(Readiness::WRITE);
        engine.register(ours.as_raw_fd(), token).expect("register");
        engine.wants(ours.as_raw_fd(), token, both);
        assert_eq!(report(&engine), [Event { token, readiness: Readiness::WRITE }]);
        engine.wants(ours.as_raw_fd(), token, Readiness::READ);
        assert_eq!(glance(&engine), []);

        theirs.try_write(b"x").expect("write");
        let events = report(&engine);
        assert!(said(&events).contains(Readiness::READ));
        assert!(!said(&events).contains(Readiness::READ_CLOSED));
        assert!(events.iter().all(|event| event.token == token));
        assert_eq!(glance(&engine), []);

        assert_eq!(ours.try_read(&mut [0]).expect("read"), Some(1));
        engine.wants(ours.as_raw_fd(), token, Readiness::READ);
        assert_eq!(glance(&engine), []);
        drop(theirs);
        assert!(said(&report(&engine)).contains(Readiness::READ_CLOSED.with(Readiness::READ)));
        assert_eq!(glance(&engine), [], "a hang-up that nobody waits for is reported once");
    });
}

#[test]
fn a_descriptor_can_be_registered_again_under_another_token() {
    with_all("a_descriptor_can_be_registered_again_under_another_token", |engine| {
        let (ours, _theirs) = UnixStream::pair().expect("pair");
        let (one, two) = (Token::from_number(3), Token::from_number(3 | 1 << 32));
        engine.register(ours.as_raw_fd(), one).expect("register");
        let twice = engine.register(ours.as_raw_fd(), two).expect_err("once only");
        assert_eq!(twice.raw_os_error(), Some(libc::EEXIST));
        engine.deregister(ours.as_raw_fd(), one).expect("deregister");
        engine.register(ours.as_raw_fd(), two).expect("register again");
        engine.wants(ours.as_raw_fd(), two, Readiness::WRITE);
        assert_eq!(report(&engine), [Event { token: two, readiness: Readiness::WRITE }]);
        engine.deregister(ours.as_raw_fd(), two).expect("deregister");
        engine.deregister(ours.as_raw_fd(), two).expect_err("it is not registered");
        assert_eq!(glance(&engine), []);
    });
}

#[test]
fn what_is_always_ready_is_refused() {
    with_all("what_is_always_ready_is_refused", |engine| {
        let file = File::open("/proc/self/exe").expect("this program");
        let refused = engine.register(file.as_raw_fd(), Token::from_number(1)).expect_err("a regular file");
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
        assert!(engine.register(-1, Token::from_number(1)).is_err());
    });
}

#[test]
fn many_descriptors_come_and_go() {
    with_all("many_descriptors_come_and_go", |engine| {
        let pairs: Vec<_> = (0..100).map(|_| UnixStream::pair().expect("pair")).collect();
        for (at, (ours, _)) in pairs.iter().enumerate() {
            engine.register(ours.as_raw_fd(), Token::from_number(at)).expect("register");
            engine.wants(ours.as_raw_fd(), Token::from_number(at), Readiness::READ);
        }
        let _ = glance(&engine);
        for at in (0..100).step_by(3) {
            pairs[at].1.try_write(b"x").expect("write");
        }
        for at in (0..100).step_by(2) {
            engine.deregister(pairs[at].0.as_raw_fd(), Token::from_number(at)).expect("deregister");
        }
        let mut told = Vec::new();
        let wanted: Vec<_> = (0..100).filter(|at| at % 3 == 0 && at % 2 == 1).collect();
        while told.len() < wanted.len() {
            let events =
                report(&engine).into_iter().filter(|event| event.readiness.contains(Readiness::READ));
            told.extend(events.map(|event| event.token.number()));
        }
        told.sort_unstable();
        assert_eq!(told, wanted);
    });
}

#[test]
fn the_waker_works_from_another_thread_and_outlives_the_engine() {
    with_each("the_waker_works_from_another_thread_and_outlives_the_engine", |engine| {
        let waker = engine.waker();
        let other = thread::spawn({
            let waker = waker.clone();
            move || {
                for _ in 0..1000 {
                    waker();
                }
            }
        });
        engine.poll(Wait::Forever, &mut Vec::new()).expect("poll");
        other.join().expect("join");
        // A thousand calls are no thousand wakes, but there may be one left, and then no more.
        engine.poll(Wait::No, &mut Vec::new()).expect("poll");
        let deadline = engine.now() + Duration::from_millis(2);
        engine.poll(Wait::Until(deadline), &mut Vec::new()).expect("poll");
        assert!(engine.now() >= deadline, "an old wake-up ended the wait");
        // And it wakes again.
        waker();
        engine.poll(Wait::Forever, &mut Vec::new()).expect("poll");
        drop(engine);
        waker();
    });
}
