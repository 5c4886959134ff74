//! Random graphs of promises, played on the real core and on a deliberately plain model: both must tell the same story.
//!
//! `LWT_GRAPHS=n` sets how many graphs are tried, `LWT_SEED=s` plays one seed again. A graph that fails is made smaller
//! before it is printed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use common::text;
use model::Tagged;
use script::{Callback, Op, Script, Step};

#[path = "../common/mod.rs"]
mod common;
mod model;
mod plain;
mod real;
mod script;
#[path = "../common/seeded.rs"]
mod seeded;

thread_local! {
    /// What the real `choose` and `pick` have drawn at the call, by the number of the op.
    static DRAWS: RefCell<HashMap<u64, i64>> = RefCell::default();
}

/// Plays the script on both; what is wrong, if anything.
fn check(script: &Script) -> Result<(), String> {
    DRAWS.take();
    model::reset();
    let told: Rc<RefCell<Vec<(Option<u32>, String)>>> = Rc::default();
    let sink = told.clone();
    let before = lwt_core::set_unhandled_hook(Some(Rc::new(move |error| {
        let id = error.downcast_ref::<Tagged>().map(|tagged| tagged.0);
        sink.borrow_mut().push((id, text(error)));
    })));
    let cells = seeded::cells();
    let real = catch_unwind(AssertUnwindSafe(|| real::play::play(script)));
    let cells = seeded::cells() - cells;
    lwt_core::set_unhandled_hook(before);
    let real = real.map_err(|panic| format!("the real one panicked: {}", message(&*panic)))?;
    let plain = catch_unwind(AssertUnwindSafe(|| plain::play::play(script)))
        .map_err(|panic| format!("the model panicked: {}", message(&*panic)))?;

    if let Some(line) =
        (0..real.log.len().max(plain.log.len())).find(|n| real.log.get(*n) != plain.log.get(*n))
    {
        let end = "nothing".to_owned();
        let story = real.log[..line].join(", ").replace("\n, ", "\n    ");
        return Err(format!(
            "after\n    {story}\n  the model says {}\n  the real one   {}",
            plain.log.get(line).unwrap_or(&end),
            real.log.get(line).unwrap_or(&end)
        ));
    }
    if !script.may_have_cycles() && real.callbacks_left > 0 {
        return Err(format!("{} callbacks are left", real.callbacks_left));
    }
    if !script.may_have_cycles() && cells > 0 {
        return Err(format!("{cells} cells are left"));
    }
    check_told(&told.take(), script)
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().unwrap_or(&"?"),
    }
}

/// The unhandled-rejection hook: never told twice of one error, never of a cancel, and always of what nobody has seen.
fn check_told(told: &[(Option<u32>, String)], script: &Script) -> Result<(), String> {
    if told.iter().any(|(_, text)| text == "canceled") {
        return Err("the hook was told of a cancel".to_owned());
    }
    let (rejected, seen) = (model::REJECTED.take(), model::SEEN.take());
    for id in rejected {
        let times = told.iter().filter(|(told, _)| *told == Some(id)).count();
        if times > 1 {
            return Err(format!("the hook was told {times} times of e{id}"));
        }
        if times == 0 && !seen.contains(&id) && !script.looks {
            return Err(format!("nobody has seen e{id}, and the hook was not told"));
        }
    }
    Ok(())
}

// ---- making a failing script smaller ------------------------------------------------------------------------------

/// All scripts that are one step smaller.
fn smaller(script: &Script) -> Vec<Script> {
    let mut found = Vec::new();
    for n in 0..script.ops.len() {
        let mut less = script.clone();
        less.ops.remove(n);
        found.push(less);
    }
    for n in 0..script.ops.len() {
        for op in smaller_ops(&script.ops[n].1) {
            let mut less = script.clone();
            less.ops[n].1 = op;
            found.push(less);
        }
        if script.ops[n].0.is_some() {
            let mut less = script.clone();
            less.ops[n].0 = None;
            found.push(less);
        }
    }
    found
}

fn smaller_ops(op: &Op) -> Vec<Op> {
    let callbacks = |callback: &Callback| {
        let mut found = Vec::new();
        for n in 0..callback.ops.len() {
            let mut less = callback.clone();
            less.ops.remove(n);
            found.push(less);
            for op in smaller_ops(&callback.ops[n]) {
                let mut less = callback.clone();
                less.ops[n] = op;
                found.push(less);
            }
        }
        if !matches!(callback.end, script::End::Value) {
            found.push(Callback { end: script::End::Value, ..callback.clone() });
        }
        found
    };
    macro_rules! each {
        ($kind:path, $arg:expr, $callback:expr) => {
            callbacks($callback).into_iter().map(|less| $kind($arg.clone(), less)).collect()
        };
    }
    match op {
        Op::Map(arg, callback) => each!(Op::Map, arg, callback),
        Op::Bind(arg, callback) => each!(Op::Bind, arg, callback),
        Op::Catch(arg, callback) => each!(Op::Catch, arg, callback),
        Op::Finalize(arg, callback) => each!(Op::Finalize, arg, callback),
        Op::OnAny(arg, callback) => each!(Op::OnAny, arg, callback),
        Op::OnSuccess(arg, callback) => each!(Op::OnSuccess, arg, callback),
        Op::OnFailure(arg, callback) => each!(Op::OnFailure, arg, callback),
        Op::OnTermination(arg, callback) => each!(Op::OnTermination, arg, callback),
        Op::OnCancel(arg, callback) => each!(Op::OnCancel, arg, callback),
        Op::TryBind(arg, ok, _) => vec![Op::Bind(arg.clone(), ok.clone())],
        Op::Spawn(steps, callback) => {
            let mut found: Vec<Op> = each!(Op::Spawn, steps, callback);
            for n in 0..steps.len() {
                let mut less = steps.clone();
                less.remove(n);
                found.push(Op::Spawn(less, callback.clone()));
                if let Step::Do(op) = &steps[n] {
                    for op in smaller_ops(op) {
                        let mut less = steps.clone();
                        less[n] = Step::Do(op);
                        found.push(Op::Spawn(less, callback.clone()));
                    }
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

fn shrunk(script: Script) -> Script {
    let mut script = script;
    while let Some(less) = smaller(&script).into_iter().find(|less| check(less).is_err()) {
        script = less;
    }
    script
}

#[test]
fn the_real_promises_and_the_model_tell_the_same_story() {
    let failure = seeded::quietly(|| {
        seeded::first(common::heavy(30_000, 6_000, 30), |seed| {
            let script = Script::random(seed);
            check(&script).is_err().then(|| shrunk(script))
        })
    });
    if let Some((seed, script)) = failure {
        let complaint = seeded::quietly(|| check(&script)).expect_err("it failed before");
        panic!("LWT_SEED={seed} fails: {complaint}\nThe script, made smaller: {script:#?}");
    }
}
