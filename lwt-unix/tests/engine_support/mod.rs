//! Running a test on each engine.

use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;
use std::time::Instant;

use lwt_unix::engine::{Engine, MioEngine, PollEngine, SimEngine, current_engine, set_engine};
use lwt_unix::entry::guarded;
use lwt_unix::sim::Sim;

/// An engine that waits for the real world's descriptors, freshly made.
pub(crate) type Make = fn() -> Rc<dyn Engine>;

/// All of them, with their names.
pub(crate) const ENGINES: [(&str, Make); 2] = [
    ("mio", || Rc::new(MioEngine::new().expect("an engine"))),
    ("poll", || Rc::new(PollEngine::new().expect("an engine"))),
];

/// These, and the simulated one, whose sockets are those that `lwt_unix` makes.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Make)> {
    let sim: (&str, Make) = ("sim", || Rc::new(SimEngine::new(&Sim::new()).expect("an engine")));
    ENGINES.into_iter().chain([sim])
}

/// [`with_each`], and the simulated engine.
#[allow(dead_code)]
pub(crate) fn with_all(name: &'static str, test: fn(Rc<dyn Engine>)) {
    guarded(name, move || {
        for (engine, make) in all() {
            on_a_thread(engine, move || test(make()));
        }
    });
}

/// Runs `test` with each engine by itself, which no loop uses.
#[allow(dead_code)]
pub(crate) fn with_each(name: &'static str, test: fn(Rc<dyn Engine>)) {
    guarded(name, move || {
        for (engine, make) in ENGINES {
            on_a_thread(engine, move || test(make()));
        }
    });
}

/// Runs `test` on a thread of its own for each engine, whose loop runs on that engine.
#[allow(dead_code)]
pub(crate) fn on_each(name: &'static str, test: fn()) {
    guarded(name, move || {
        for (engine, make) in ENGINES {
            on_a_thread(engine, move || {
                set_engine(make()).expect("a fresh thread");
                test();
                assert_eq!(lwt_unix::engine_name(), Some(engine));
            });
        }
    });
}

/// [`on_each`], and on the simulated engine.
#[allow(dead_code)]
pub(crate) fn on_all(name: &'static str, test: fn()) {
    guarded(name, move || {
        for (engine, make) in all() {
            on_a_thread(engine, move || {
                set_engine(make()).expect("a fresh thread");
                test();
                assert_eq!(lwt_unix::engine_name(), Some(engine));
            });
        }
    });
}

/// The time on this thread's engine.
#[allow(dead_code)]
pub(crate) fn now() -> Instant {
    current_engine().expect("an engine").now()
}

fn on_a_thread(engine: &str, test: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(engine.to_owned()).spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        eprintln!("on the engine {engine}");
        resume_unwind(panic);
    }
}
