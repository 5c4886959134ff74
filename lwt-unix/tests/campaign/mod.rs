//! The campaign's harness: a program runs under a plan of faults, on each engine, and must lose nothing, leak
//! nothing, and not spin.
//!
//! A *scenario* is an `async fn` that does its work, checks its own bytes, and says how many steps of work it
//! did: system calls that a run without faults would make, in order of magnitude. [`under`] checks the rest:
//!
//! * *leaks*: at its end the loop waits for nothing, and the process has as many descriptors as before;
//! * *spinning*: there were no more system calls, and no more turns of the loop, than the steps and the
//!   faults account for.
//!
//! A test of another package takes this file as a module by its path.
//!
//! Descriptors are the process's, so cases run one at a time within a process, and no other test belongs
//! beside them.

#![allow(dead_code)]

pub(crate) mod echo;

use std::cell::Cell;
use std::fs;
use std::future::Future;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lwt_core::Error;
use lwt_unix::engine::{Engine, MioEngine, PollEngine, set_engine};
use lwt_unix::faults::Plan;
use lwt_unix::main_loop::LoopStats;
use lwt_unix::sim::Sim;
use lwt_unix::{enter_iter_hooks, loop_stats};

/// So many system calls, and turns, may come of each step and each fault.
const EACH: u64 = 3;
/// And so many of none.
const MORE: u64 = 400;

/// Where a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Mio,
    Poll,
    Sim,
}

/// Everywhere.
pub(crate) const ENGINES: [On; 3] = [On::Mio, On::Poll, On::Sim];

/// What a case has come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    pub(crate) calls: u64,
    pub(crate) turns: u64,
    pub(crate) injected: u64,
}

/// Runs a scenario under a plan on one engine; `seed` is that of the simulation, if it is one. See the
/// module.
///
/// # Panics
/// If the scenario does or fails, and if something was leaked or spun.
pub(crate) fn under<F>(
    on: On,
    seed: u64,
    plan: &Plan,
    scenario: impl FnOnce() -> F + Send + 'static,
) -> Result<Outcome, Error>
where
    F: Future<Output = Result<u64, Error>> + 'static,
{
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = descriptors();
    let plan = plan.clone();
    let case = move || judged(plan, scenario);
    let outcome = match on {
        On::Sim => Sim::new().seed(seed).run(case),
        On::Mio => on_a_thread(|| Rc::new(MioEngine::new().expect("an engine")), case),
        On::Poll => on_a_thread(|| Rc::new(PollEngine::new().expect("an engine")), case),
    };
    let outcome = outcome.map_err(|error| match error.take_panic_payload() {
        Some(panic) => resume_unwind(panic),
        None => error,
    })?;
    // A job's thread may be about to let go of the loop that it has just told.
    for _ in 0..5000 {
        if descriptors() == before {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(descriptors(), before, "descriptors were leaked: {:?}", list());
    let Outcome { steps, calls, turns, injected } = outcome;
    let most = MORE + EACH * (steps + injected);
    assert!(calls <= most && turns <= most, "it spins, over {most}: {outcome:?}");
    Ok(outcome)
}

/// Runs the scenario under the plan, and looks at what it leaves behind.
async fn judged<F>(plan: Plan, scenario: impl FnOnce() -> F) -> Result<Outcome, Error>
where
    F: Future<Output = Result<u64, Error>>,
{
    let turns = Rc::new(Cell::new(0));
    let counted = Rc::clone(&turns);
    let hook = enter_iter_hooks().add_last(move || counted.set(counted.get() + 1));
    let faults = plan.install();
    let steps = scenario().await?;
    hook.remove();
    let outcome = Outcome { steps, calls: faults.calls(), turns: turns.get(), injected: faults.injected() };
    assert_eq!(loop_stats(), LoopStats::default(), "something is left behind");
    Ok(outcome)
}

fn on_a_thread<F>(
    make: fn() -> Rc<dyn Engine>,
    case: impl FnOnce() -> F + Send + 'static,
) -> Result<Outcome, Error>
where
    F: Future<Output = Result<Outcome, Error>> + 'static,
{
    let thread = thread::spawn(move || {
        set_engine(make())?;
        lwt_unix::run(case())
    });
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// How many descriptors the process has.
pub(crate) fn descriptors() -> usize {
    list().len()
}

fn list() -> Vec<String> {
    let all = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
    let target = |entry: fs::DirEntry| Some(fs::read_link(entry.path()).ok()?.display().to_string());
    // The directory that is being read is one, too.
    all.filter_map(target).filter(|target| !target.ends_with("/fd")).collect()
}
