//! [`Scan`]: an operation that goes over several elements: all of the reading functions except `get`.
//!
//! Element by element: is it one of those that the operation is about ([`Test`]), and if so, what becomes of
//! it ([`Found`] at the end). Elements that the operation wants are claimed until it is complete; what it
//! only throws away, or gives to a function, goes at once.

use crate::func::let_go;
use crate::promise::attach::{caught, caught_result};
use crate::{Canceller, Error, Promise, Resolver};

use super::place::Ahead;
use super::reader::Reader;

/// Which elements an operation is about.
pub(super) enum Test<T> {
    All,
    /// Those for which a predicate says yes.
    Looking(Box<dyn FnMut(&T) -> Promise<bool>>),
    /// The one for which a function says yes that gets it for good.
    Taking(Box<dyn FnMut(T) -> Promise<bool>>),
}

/// What becomes of the elements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Taken, as far as the test says yes.
    Take,
    /// Thrown away when there are as many as asked for.
    Drop,
    /// Thrown away one by one, as far as the test says yes.
    Skip,
    /// Thrown away one by one as far as the test says no; then one is taken.
    Find,
    /// Given away one by one as far as the test says no.
    Give,
    /// Cloned.
    Copy,
    /// Left; whether there is an element.
    Look,
    /// Left; whether there is an element, a failure or the end.
    Ready,
    /// All that are there, one at least: taken, for the last of them.
    Last,
}

/// What a scan found.
pub(super) struct Found<T> {
    pub(super) elements: Vec<T>,
    pub(super) any: bool,
}

/// How far a scan has come.
pub(super) enum Verdict<T> {
    /// Nothing is there to go on with.
    Waits,
    /// The predicate takes its time.
    Tests(Promise<bool>),
    /// It was given up.
    Unwanted,
    Done(Result<Found<T>, Error>),
}

pub(super) struct Scan<T: 'static> {
    way: Way,
    limit: usize,
    /// How many elements are claimed.
    claimed: usize,
    test: Test<T>,
    /// The predicate's promise, and the copy of it that the scan waits for.
    testing: Option<(Canceller, Canceller)>,
    answer: Option<Result<bool, Error>>,
    ending: Box<dyn Ending<T>>,
}

/// Where the outcome goes.
trait Ending<T> {
    fn is_wanted(&self) -> bool;
    fn is_cancelled(&self) -> bool;
    fn settle(self: Box<Self>, result: Result<Found<T>, Error>);
}

/// A promise of what is made of the outcome.
struct To<R, M> {
    resolver: Resolver<R>,
    make: M,
}

impl<T, R, M: FnOnce(Found<T>) -> Result<R, Error>> Ending<T> for To<R, M> {
    fn is_wanted(&self) -> bool {
        self.resolver.is_wanted()
    }

    fn is_cancelled(&self) -> bool {
        !self.resolver.is_pending()
    }

    fn settle(self: Box<Self>, result: Result<Found<T>, Error>) {
        let To { resolver, make } = *self;
        resolver.wakeup_result(caught_result(|| result.and_then(make)));
    }
}

impl<T: 'static> Scan<T> {
    pub(super) fn new<R: 'static>(
        way: Way,
        limit: usize,
        test: Test<T>,
        make: impl FnOnce(Found<T>) -> Result<R, Error> + 'static,
        resolver: Resolver<R>,
    ) -> Scan<T> {
        let ending = Box::new(To { resolver, make });
        Scan { way, limit, claimed: 0, test, testing: None, answer: None, ending }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.ending.is_wanted()
    }

    /// The predicate has given a promise; the result is the copy of it to wait for.
    pub(super) fn set_testing(&mut self, promise: Promise<bool>) -> Promise<bool> {
        let test = promise.canceller();
        let copy = promise.protected();
        self.testing = Some((test, copy.canceller()));
        copy
    }

    /// The predicate's promise is resolved.
    pub(super) fn set_answer(&mut self, answer: Result<bool, Error>) {
        self.testing = None;
        self.answer = Some(answer);
    }

    /// The scan was given up, and nothing stays behind on the predicate's promise. A cancel goes on to it.
    pub(super) fn stop_test(&self) {
        if let Some((test, copy)) = &self.testing {
            if self.ending.is_cancelled() {
                test.cancel();
            }
            copy.cancel();
        }
    }

    pub(super) fn settle(self, result: Result<Found<T>, Error>) {
        let_go(self.test);
        self.ending.settle(result);
    }

    /// Goes on as far as possible. The reader is locked and serves this scan.
    pub(super) fn advance(&mut self, reader: &Reader<T>) -> Verdict<T> {
        loop {
            if !self.is_wanted() {
                return Verdict::Unwanted;
            }
            if self.testing.is_some() {
                return Verdict::Waits;
            }
            let some = self.claimed > 0;
            if self.claimed >= self.limit {
                return self.finish(reader, some);
            }
            match reader.look_ahead() {
                Ahead::End => return self.finish(reader, self.way == Way::Ready || some),
                Ahead::Nothing | Ahead::Failure if self.way == Way::Last && some => {
                    return self.finish(reader, true);
                }
                Ahead::Nothing => return Verdict::Waits,
                Ahead::Failure if self.way == Way::Ready => return self.finish(reader, true),
                Ahead::Failure => return Verdict::Done(Err(reader.take_failure())),
                Ahead::Element if matches!(self.way, Way::Look | Way::Ready) => {
                    return self.finish(reader, true);
                }
                Ahead::Element => {}
            }
            let yes = match self.test(reader) {
                Ok(Ok(yes)) => yes,
                Ok(Err(error)) => return Verdict::Done(Err(error)),
                Err(promise) => return Verdict::Tests(promise),
            };
            if !self.is_wanted() {
                return Verdict::Unwanted;
            }
            match (self.way, yes) {
                (Way::Skip, true) | (Way::Find, false) => let_go(reader.pass()),
                (Way::Give, false) => {}
                (Way::Give, true) => return self.finish(reader, true),
                (Way::Find, true) => {
                    reader.claim();
                    return self.finish(reader, true);
                }
                (_, true) => {
                    reader.claim();
                    self.claimed += 1;
                }
                (_, false) => return self.finish(reader, some),
            }
        }
    }

    /// Whether the operation is about the element ahead.
    fn test(&mut self, reader: &Reader<T>) -> Result<Result<bool, Error>, Promise<bool>> {
        if let Some(answer) = self.answer.take() {
            return Ok(answer);
        }
        let promise = match &mut self.test {
            Test::All => return Ok(Ok(true)),
            Test::Looking(f) => {
                let Some(element) = reader.share_ahead() else { return Ok(Err(Error::abandoned())) };
                caught(|| f(&element))
            }
            Test::Taking(f) => {
                reader.claim();
                let taken = reader.take_claimed(|| self.ending.is_wanted());
                match taken.map(|taken| taken.map(|mut one| one.pop())) {
                    Some(Ok(Some(element))) => caught(|| f(element)),
                    Some(Err(error)) => return Ok(Err(error)),
                    None | Some(Ok(None)) => return Ok(Ok(false)),
                }
            }
        };
        promise.try_take()
    }

    fn finish(&self, reader: &Reader<T>, any: bool) -> Verdict<T> {
        let elements = match self.way {
            Way::Take | Way::Find | Way::Last => match reader.take_claimed(|| self.is_wanted()) {
                Some(taken) => taken,
                None => return Verdict::Unwanted,
            },
            Way::Drop => {
                reader.release_claimed();
                Ok(Vec::new())
            }
            Way::Copy => reader.copy_claimed(),
            Way::Skip | Way::Give | Way::Look | Way::Ready => Ok(Vec::new()),
        };
        Verdict::Done(elements.map(|elements| Found { elements, any }))
    }
}
