//! `all`, `join`, `both`, and the choose family.

use std::cell::{Cell as Var, RefCell};
use std::rc::Rc;

use lwt_core::Error;

use super::level::note_seen;
use super::{Cell, How, Node, Outcome, Promise, State, cancel_all, outcome, resolve, root, wanted};

fn nodes<T: Clone + 'static>(members: &[Promise<T>]) -> Vec<Node> {
    members.iter().map(Promise::node).collect()
}

pub(crate) fn all<T: Clone + 'static>(members: Vec<Promise<T>>) -> Promise<Vec<T>> {
    let first_error: Rc<RefCell<Option<Error>>> = Rc::default();
    members.iter().filter_map(Promise::peek).for_each(|outcome| note_seen(&outcome));
    *first_error.borrow_mut() = members.iter().find_map(|member| member.peek()?.err());
    let finish = {
        let (cells, first_error): (Vec<_>, _) =
            (members.iter().map(|m| m.0.clone()).collect(), first_error.clone());
        move || match first_error.take() {
            Some(error) => Err(error),
            None => cells.iter().map(|cell| outcome(cell).expect("all are resolved")).collect(),
        }
    };
    let left = Rc::new(Var::new(members.iter().filter(|member| member.is_pending()).count()));
    if left.get() == 0 {
        return finish().map_or_else(Promise::fail, Promise::ready);
    }
    let made = Promise::make(State::Pending, How::Pass(nodes(&members)));
    let finish = Rc::new(finish);
    for member in members.iter().filter(|member| member.is_pending()) {
        let (target, asked) = (made.0.clone(), made.0.clone());
        let (first_error, left, finish) = (first_error.clone(), left.clone(), finish.clone());
        let counted = move |outcome: Outcome<T>| {
            note_seen(&outcome);
            if let Err(error) = outcome {
                first_error.borrow_mut().get_or_insert(error);
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                resolve(&target, finish(), false);
            }
        };
        member.watch_while(move || wanted(&asked), counted);
    }
    made
}

pub(crate) fn join(members: Vec<Promise<()>>) -> Promise<()> {
    if members.is_empty() {
        return Promise::ready(());
    }
    relabel(all(members), |_| ())
}

pub(crate) fn both<T: Clone + 'static>(a: Promise<T>, b: Promise<T>) -> Promise<(T, T)> {
    relabel(all(vec![a, b]), |values| (values[0].clone(), values[1].clone()))
}

/// The same promise with another type: a copy through which a cancel passes.
fn relabel<T: Clone + 'static, U: Clone + 'static>(
    p: Promise<T>,
    f: impl FnOnce(T) -> U + 'static,
) -> Promise<U> {
    if let Some(outcome) = p.peek() {
        return outcome.map_or_else(Promise::fail, |value| Promise::ready(f(value)));
    }
    let made = Promise::make(State::Pending, How::Pass(vec![p.node()]));
    let (target, asked) = (made.0.clone(), made.0.clone());
    p.watch_while(move || wanted(&asked), move |outcome| resolve(&target, outcome.map(f), false));
    made
}

/// The choose family. `collect` makes the result when `winner` (none: at the call) is resolved.
fn choose_by<T: Clone + 'static, U: Clone + 'static>(
    members: Vec<Promise<T>>,
    cancels: bool,
    collect: impl Fn(&[Rc<Cell<T>>], Option<usize>) -> Outcome<U> + 'static,
) -> Promise<U> {
    if members.is_empty() {
        return Promise::fail(Error::msg("empty list"));
    }
    let cells: Vec<_> = members.iter().map(|member| member.0.clone()).collect();
    let decide = move |winner| {
        cells.iter().filter_map(outcome).for_each(|outcome| note_seen(&outcome));
        let outcome = collect(&cells, winner);
        cells.iter().for_each(|cell| root(cell).lost.set(true));
        if cancels {
            let losers: Vec<_> = cells.iter().map(|cell| Rc::new(cell.clone()) as Node).collect();
            cancel_all(&losers);
        }
        outcome
    };
    if members.iter().any(|member| !member.is_pending()) {
        // The members are given up only now, as the losers are to be cancelled first.
        return decide(None).map_or_else(Promise::fail, Promise::ready);
    }
    let made = Promise::make(State::Pending, How::Pass(nodes(&members)));
    let (deciding, decided) = (Rc::new(Var::new(false)), Rc::new(Var::new(false)));
    let decide = Rc::new(decide);
    for (place, member) in members.iter().enumerate() {
        let (target, asked) = (made.0.clone(), made.0.clone());
        let (decide, deciding, decided, over) =
            (decide.clone(), deciding.clone(), decided.clone(), decided.clone());
        member.watch_while(
            move || !over.get() && wanted(&asked),
            move |_| {
                // The losers are held until they have been cancelled, which may end up here again.
                if !deciding.replace(true) {
                    *root(&target).how.borrow_mut() = How::Ignore;
                    let outcome = decide(Some(place));
                    decided.set(true);
                    resolve(&target, outcome, false);
                }
            },
        );
    }
    made
}

thread_local! {
    /// What the real `choose` has drawn, where more than one was fulfilled at the call.
    pub(crate) static DRAWN: Var<Option<i64>> = const { Var::new(None) };
}

fn the_one(cells: &[Rc<Cell<i64>>], winner: Option<usize>) -> Outcome<i64> {
    if let Some(place) = winner {
        return outcome(&cells[place]).expect("it has just been resolved");
    }
    let resolved: Vec<_> = cells.iter().filter_map(outcome).collect();
    if let Some(Err(error)) = resolved.iter().find(|outcome| outcome.is_err()) {
        return Err(error.clone());
    }
    match DRAWN.take() {
        Some(value) if resolved.iter().any(|outcome| outcome.as_ref().is_ok_and(|v| *v == value)) => {
            Ok(value)
        }
        drawn => panic!("the draw gave {drawn:?}, which is none of the fulfilled"),
    }
}

fn the_many(cells: &[Rc<Cell<i64>>], _: Option<usize>) -> Outcome<Vec<i64>> {
    cells.iter().filter_map(outcome).collect()
}

pub(crate) fn choose(members: Vec<Promise<i64>>) -> Promise<i64> {
    choose_by(members, false, the_one)
}

pub(crate) fn pick(members: Vec<Promise<i64>>) -> Promise<i64> {
    choose_by(members, true, the_one)
}

pub(crate) fn nchoose(members: Vec<Promise<i64>>) -> Promise<Vec<i64>> {
    choose_by(members, false, the_many)
}

pub(crate) fn npick(members: Vec<Promise<i64>>) -> Promise<Vec<i64>> {
    choose_by(members, true, the_many)
}

pub(crate) fn nchoose_split(members: Vec<Promise<i64>>) -> Promise<(Vec<i64>, Vec<()>)> {
    choose_by(members, false, |cells, winner| {
        let values = the_many(cells, winner)?;
        let pending = vec![(); cells.len() - values.len()];
        Ok((values, pending))
    })
}
