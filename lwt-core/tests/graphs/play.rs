//! The interpreter: plays a script on whatever promises the parent module offers, and keeps a journal of what can be
//! observed. It is compiled twice, over the real promises (`real.rs`) and over the model (`plain.rs`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lwt_core::Error;

use super::{
    Promise, Resolver, Stored, all, both, choose, join, look, nchoose, nchoose_split, npick, pause, pick,
    run_ready, spawn, task, wait, wakeup_paused, yield_now,
};
use crate::model::Tagged;
use crate::script::{Arg, Callback, End, Op, Outcome, Script, Step};

/// No script makes more promises than this.
const MOST: usize = 36;

struct World {
    promises: RefCell<Vec<Option<Promise<i64>>>>,
    resolvers: RefCell<Vec<Option<Resolver<i64>>>>,
    log: RefCell<Vec<String>>,
    stored: Stored,
    serial: Cell<u64>,
    looks: bool,
    /// Every callback and task has a clone: see [`Played::callbacks_left`].
    witness: Rc<()>,
}

/// What came of a script.
pub(crate) struct Played {
    pub(crate) log: Vec<String>,
    /// Callbacks and tasks that were neither run to their end nor dropped. The model frees nothing early, so there it says nothing.
    pub(crate) callbacks_left: usize,
}

/// Plays the script, then lets go of everything in order.
pub(crate) fn play(script: &Script) -> Played {
    let world = Rc::new(World {
        promises: RefCell::default(),
        resolvers: RefCell::default(),
        log: RefCell::default(),
        stored: Stored::new(),
        serial: Cell::new(0),
        looks: script.looks,
        witness: Rc::new(()),
    });
    for (stored, op) in &script.ops {
        world.stored.with_value(*stored, || world.act(op));
        world.show_all();
    }
    world.let_go();
    Played { log: world.log.take(), callbacks_left: Rc::strong_count(&world.witness) - 1 }
}

/// An error in the words of the journal; how an empty list is complained about is free.
fn text(error: &Error) -> String {
    let text = crate::common::text(error);
    if text.contains("empty list") { "empty list".to_owned() } else { text }
}

fn show(outcome: Result<i64, &Error>) -> String {
    match outcome {
        Ok(value) => value.to_string(),
        Err(error) => text(error),
    }
}

impl World {
    fn note(&self, entry: String) {
        assert!(self.log.borrow().len() < 10_000, "the script does not end");
        self.log.borrow_mut().push(entry);
    }

    /// Notes the states of all promises that have a handle.
    fn show_all(&self) {
        let promises = self.promises.borrow();
        let states = promises.iter().map(|promise| match promise {
            None => "-".to_owned(),
            Some(promise) if promise.is_pending() => "?".to_owned(),
            Some(promise) if self.looks => {
                look(promise).map_or("?".to_owned(), |outcome| show(outcome.as_ref().copied()))
            }
            Some(_) => "!".to_owned(),
        });
        self.note(format!("states: {}\n", states.collect::<Vec<_>>().join(" ")));
    }

    fn let_go(self: &Rc<World>) {
        let many = self.resolvers.borrow().len();
        for place in 0..many {
            let resolver = self.resolvers.borrow_mut()[place].take();
            drop(resolver);
        }
        for _ in 0..8 {
            wakeup_paused();
            run_ready(1000);
            // Callbacks may have made new ones.
            let made = self.resolvers.take();
            drop(made);
        }
        self.show_all();
        let many = self.promises.borrow().len();
        for place in 0..many {
            let promise = self.promises.borrow_mut()[place].take();
            drop(promise);
        }
        self.note("the end".to_owned());
        let (promises, resolvers) = (self.promises.take(), self.resolvers.take());
        drop((promises, resolvers));
    }

    /// The place of the first live handle at or behind `place`, going round.
    fn find<T>(list: &RefCell<Vec<Option<T>>>, place: usize) -> Option<usize> {
        let list = list.borrow();
        (0..list.len()).map(|n| (place + n) % list.len()).find(|n| list[*n].is_some())
    }

    fn get(&self, arg: &Arg) -> Option<Promise<i64>> {
        let place = World::find(&self.promises, arg.place)?;
        self.note(format!("uses p{place}{}", if arg.take { " for good" } else { "" }));
        let mut promises = self.promises.borrow_mut();
        if arg.take { promises[place].take() } else { promises[place].clone() }
    }

    fn get_all(&self, args: &[Arg]) -> Vec<Promise<i64>> {
        args.iter().filter_map(|arg| self.get(arg)).collect()
    }

    fn add(&self, promise: Promise<i64>) {
        self.note(format!("makes p{}", self.promises.borrow().len()));
        self.promises.borrow_mut().push(Some(promise));
    }

    fn add_both(&self, (promise, resolver): (Promise<i64>, Resolver<i64>)) {
        self.add(promise);
        self.resolvers.borrow_mut().push(Some(resolver));
    }

    /// Runs a callback: notes its input and what is stored, does its ops.
    fn run(self: &Rc<World>, callback: &Callback, input: &str) {
        let stored = self.stored.get().map_or("-".to_owned(), |stored| stored.to_string());
        self.note(format!("{}({input})@{stored}", callback.id));
        callback.ops.iter().for_each(|op| self.act(op));
        self.note(format!("/{}", callback.id));
    }

    /// What a callback that has got `input` makes.
    fn end(&self, callback: &Callback, input: i64) -> Promise<i64> {
        match &callback.end {
            End::Value => Promise::ready(input.wrapping_mul(7) + callback.id),
            End::Fail(id) => Promise::fail(Tagged(*id)),
            End::Panic => panic!("p{}", callback.id),
            End::Like(arg) => self.get(arg).unwrap_or_else(|| Promise::ready(input)),
        }
    }

    fn on_value(self: &Rc<World>, callback: &Callback) -> impl FnOnce(i64) -> Promise<i64> + 'static {
        let (world, callback, witness) = (self.clone(), callback.clone(), self.witness.clone());
        move |value| {
            let _witness = witness;
            world.run(&callback, &value.to_string());
            world.end(&callback, value)
        }
    }

    fn on_error(self: &Rc<World>, callback: &Callback) -> impl FnOnce(Error) -> Promise<i64> + 'static {
        let (world, callback, witness) = (self.clone(), callback.clone(), self.witness.clone());
        move |error| {
            let _witness = witness;
            world.run(&callback, &text(&error));
            world.end(&callback, 1)
        }
    }

    /// A direct callback; its only end is a panic.
    fn on_end(self: &Rc<World>, callback: &Callback) -> impl FnOnce(String) + 'static {
        let (world, callback, witness) = (self.clone(), callback.clone(), self.witness.clone());
        move |input| {
            let _witness = witness;
            world.run(&callback, &input);
            assert!(!matches!(callback.end, End::Panic), "p{}", callback.id);
        }
    }

    fn next_serial(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// Does one op; none that would make more promises than allowed, and none without a promise to do it to.
    fn act(self: &Rc<World>, op: &Op) {
        self.note(op.name());
        if self.promises.borrow().len() < MOST {
            self.act_freely(op);
        } else if let Op::Wake { .. } | Op::Cancel(_) | Op::Drop(_) | Op::RunReady(_) | Op::Turn = op {
            self.act_freely(op);
        }
    }

    fn act_freely(self: &Rc<World>, op: &Op) {
        match op {
            Op::Ready(value) => self.add(Promise::ready(*value)),
            Op::Fail(id) => self.add(Promise::fail(Tagged(*id))),
            Op::Wait => self.add_both(wait()),
            Op::Task => self.add_both(task()),
            Op::Pause => self.add(pause().map(|()| 5)),
            Op::Wake { place, later, outcome } => self.wake(*place, *later, outcome),
            Op::AskWanted(place) => {
                if let Some(place) = World::find(&self.resolvers, *place) {
                    let wanted = self.resolvers.borrow()[place].as_ref().is_some_and(Resolver::is_wanted);
                    self.note(format!("resolver {place} wanted: {wanted}"));
                }
            }
            Op::Cancel(place) => {
                if let Some(place) = World::find(&self.promises, *place) {
                    self.note(format!("p{place}"));
                    let promise = self.promises.borrow()[place].clone();
                    promise.iter().for_each(Promise::cancel);
                }
            }
            Op::Drop(place) => {
                if let Some(place) = World::find(&self.promises, *place) {
                    self.note(format!("p{place}"));
                    let promise = self.promises.borrow_mut()[place].take();
                    drop(promise);
                }
            }
            Op::RunReady(budget) => {
                let polled = run_ready(*budget);
                self.note(format!("polled {polled}"));
            }
            Op::Turn => {
                wakeup_paused();
                let polled = run_ready(100);
                self.note(format!("polled {polled}"));
            }
            Op::Both(..) | Op::All(_) | Op::Join(_) | Op::Nchoose(_) | Op::Npick(_) | Op::NchooseSplit(_) => {
                self.combine(op);
            }
            Op::Choose(args) => {
                let serial = self.next_serial();
                let chosen = choose(serial, self.get_all(args));
                self.add(chosen);
            }
            Op::Pick(args) => {
                let serial = self.next_serial();
                let picked = pick(serial, self.get_all(args));
                self.add(picked);
            }
            Op::Spawn(steps, callback) => {
                let task = self.clone().body(steps.clone(), callback.clone(), self.witness.clone());
                let promise = spawn(task);
                self.add(promise);
            }
            Op::Map(arg, _)
            | Op::Bind(arg, _)
            | Op::Catch(arg, _)
            | Op::TryBind(arg, ..)
            | Op::Finalize(arg, _)
            | Op::OnAny(arg, _)
            | Op::OnSuccess(arg, _)
            | Op::OnFailure(arg, _)
            | Op::OnTermination(arg, _)
            | Op::OnCancel(arg, _)
            | Op::Protected(arg)
            | Op::NoCancel(arg)
            | Op::WrapInCancelable(arg) => {
                if let Some(promise) = self.get(arg) {
                    self.derive(op, promise);
                }
            }
        }
    }

    /// The ops on one promise.
    fn derive(self: &Rc<World>, op: &Op, promise: Promise<i64>) {
        let made = match op {
            Op::Map(_, callback) => {
                let (world, callback, witness) = (self.clone(), callback.clone(), self.witness.clone());
                promise.map(move |value| {
                    let _witness = witness;
                    world.run(&callback, &value.to_string());
                    assert!(!matches!(callback.end, End::Panic), "p{}", callback.id);
                    value.wrapping_mul(7) + callback.id
                })
            }
            Op::Bind(_, callback) => promise.bind(self.on_value(callback)),
            Op::Catch(_, callback) => promise.catch(self.on_error(callback)),
            Op::TryBind(_, ok, err) => promise.try_bind(self.on_value(ok), self.on_error(err)),
            Op::Finalize(_, callback) => {
                let callback = self.on_value(callback);
                promise.finalize(move || callback(0).map(|_| ()))
            }
            Op::Protected(_) => promise.protected(),
            Op::NoCancel(_) => promise.no_cancel(),
            Op::WrapInCancelable(_) => promise.wrap_in_cancelable(),
            Op::OnAny(_, callback) => {
                let callback = self.on_end(callback);
                return promise.on_any(move |outcome| callback(show(outcome.copied())));
            }
            Op::OnSuccess(_, callback) => {
                let callback = self.on_end(callback);
                return promise.on_success(move |value| callback(value.to_string()));
            }
            Op::OnFailure(_, callback) => {
                let callback = self.on_end(callback);
                return promise.on_failure(move |error| callback(text(error)));
            }
            Op::OnTermination(_, callback) => {
                let callback = self.on_end(callback);
                return promise.on_termination(move || callback("end".to_owned()));
            }
            Op::OnCancel(_, callback) => {
                let callback = self.on_end(callback);
                return promise.on_cancel(move || callback("cancel".to_owned()));
            }
            _ => return,
        };
        self.add(made);
    }

    /// The combinators that need no draw.
    fn combine(&self, op: &Op) {
        let sum =
            |values: Vec<i64>| values.into_iter().fold(0, |sum: i64, value| sum.wrapping_mul(31) + value);
        let made = match op {
            Op::Both(a, b) => match (self.get(a), self.get(b)) {
                (Some(a), Some(b)) => both(a, b).map(|(a, b)| a.wrapping_mul(31) + b),
                _ => return,
            },
            Op::All(args) => all(self.get_all(args)).map(sum),
            Op::Join(args) => {
                let members: Vec<_> =
                    self.get_all(args).into_iter().map(|member| member.map(|_| ())).collect();
                join(members).map(|()| 3)
            }
            Op::Nchoose(args) => nchoose(self.get_all(args)).map(sum),
            Op::Npick(args) => npick(self.get_all(args)).map(sum),
            Op::NchooseSplit(args) => {
                nchoose_split(self.get_all(args)).map(move |(values, rest)| sum(values) + rest.len() as i64)
            }
            _ => return,
        };
        self.add(made);
    }

    fn wake(&self, place: usize, later: bool, outcome: &Outcome) {
        let Some(place) = World::find(&self.resolvers, place) else { return };
        let Some(resolver) = self.resolvers.borrow_mut()[place].take() else { return };
        self.note(format!("resolver {place}"));
        let outcome = match outcome {
            Outcome::Value(value) => Ok(*value),
            Outcome::Error(id) => Err(Error::from(Tagged(*id))),
            Outcome::Canceled => Err(Error::canceled()),
            Outcome::Lost => return drop(resolver),
        };
        if later { resolver.wakeup_later_result(outcome) } else { resolver.wakeup_result(outcome) }
    }

    /// The body of a task.
    async fn body(
        self: Rc<World>,
        steps: Vec<Step>,
        callback: Callback,
        witness: Rc<()>,
    ) -> Result<i64, Error> {
        let _witness = witness;
        let mut value = callback.id;
        for (n, step) in steps.iter().enumerate() {
            self.note(format!("task {}.{n}@{:?}", callback.id, self.stored.get()));
            match step {
                Step::Await(arg) => {
                    if let Some(promise) = self.get(arg) {
                        value = promise.await?;
                    }
                }
                Step::Try(arg) => {
                    if let Some(promise) = self.get(arg) {
                        let outcome = promise.await;
                        self.note(format!("task {} got {}", callback.id, show(outcome.as_ref().copied())));
                        value = outcome.unwrap_or(2);
                    }
                }
                Step::Yield => yield_now().await?,
                Step::Do(op) => self.act(op),
            }
        }
        self.run(&callback, &value.to_string());
        self.end(&callback, value).await
    }
}
