//! [`Call`]: a job, with all that can be said about it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use lwt_core::{Error, Promise, task};
use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::{Archive, Portable, rancor};

use super::super::definition::{self, Process};
use super::super::value::Wire;
use super::super::{Message, WorkerFailure};
use super::Pool;
use super::books::{Hears, Job, Outcome};
use super::in_place::InPlace;
use super::options::{Full, OnCancel};

/// A job for a pool, with what is to become of it if something goes wrong. Made by [`Pool::call`].
#[must_use = "it is only a plan: `submit` hands a job in"]
pub struct Call<'a> {
    pool: &'a Pool,
    retry: u32,
    on_cancel: OnCancel,
    hears: Option<Hears>,
}

impl<'a> Call<'a> {
    pub(super) fn new(pool: &'a Pool) -> Call<'a> {
        let options = &pool.desk().options;
        Call { pool, retry: options.retry, on_cancel: options.on_cancel, hears: None }
    }

    /// If the worker ends while it is at the job, the job is done again, from its beginning, up to so many
    /// times. What it had done by then stays done: so this is for what may be done twice.
    ///
    /// A job whose worker ends *before* it has begun goes to another one in any case.
    pub fn retry(mut self, times: u32) -> Call<'a> {
        self.retry = times;
        self
    }

    /// What becomes of the job if it runs when its promise is cancelled.
    pub fn on_cancel(mut self, what: OnCancel) -> Call<'a> {
        self.on_cancel = what;
        self
    }

    /// What the job tells, by [`progress`](super::super::progress) and [`log`](super::super::log), goes to
    /// `f` instead of the pool's [events](Pool::events), as long as its promise is pending: what it has told
    /// before its end comes before its result.
    ///
    /// ```standalone_crate
    /// use lwt_preemptive::worker::pool::{Options, Pool};
    /// use lwt_preemptive::worker::{self, Message};
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// fn halves(mut number: u64) -> u64 {
    ///     while number % 2 == 0 {
    ///         number /= 2;
    ///         worker::progress(&number).unwrap_or_default(); // if the program has ended, so does the worker
    ///     }
    ///     number
    /// }
    ///
    /// lwt_preemptive::main! {
    ///     workers [halves];
    ///     async fn main() -> Result<(), lwt_core::Error> {
    ///         let pool = Pool::new(Options::new().workers(1))?;
    ///         let steps = Rc::new(Cell::new(0));
    ///         let seen = Rc::clone(&steps);
    ///         let call = pool.call().on_message(move |message| {
    ///             if let Message::Progress(_) = message {
    ///                 seen.set(seen.get() + 1);
    ///             }
    ///         });
    ///         assert_eq!((call.submit(halves, 40).await?, steps.get()), (5, 3));
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn on_message(mut self, f: impl FnMut(Message) + 'static) -> Call<'a> {
        self.hears = Some(Rc::new(RefCell::new(f)));
        self
    }

    /// Hands the job in: see [`Pool::submit`].
    #[track_caller]
    pub fn submit<F: Process<M>, M>(self, function: F, argument: F::Argument) -> Promise<F::Output> {
        self.numbered(function, argument).1
    }

    /// Hands the job in if the queue has room: see [`Pool::try_submit`].
    ///
    /// # Errors
    /// [`Full`], with the argument.
    #[track_caller]
    pub fn try_submit<F: Process<M>, M>(
        self,
        function: F,
        argument: F::Argument,
    ) -> Result<Promise<F::Output>, Full<F::Argument>> {
        if self.pool.is_full() { Err(Full(argument)) } else { Ok(self.submit(function, argument)) }
    }

    /// Hands the job in, and gives its result where the worker has written it, without another copy if it is
    /// long. Otherwise as [`submit`](Call::submit).
    #[track_caller]
    pub fn in_place<F: Process<M>, M>(self, function: F, argument: F::Argument) -> Promise<InPlace<F::Output>>
    where
        F::Output: Archive,
        <F::Output as Archive>::Archived: Portable + for<'b> CheckBytes<HighValidator<'b, rancor::Error>>,
    {
        self.hand_in(function, argument, |outcome| InPlace::new(outcome?)).1
    }

    /// Hands the job in, and gives its number beside its promise: the one in the pool's
    /// [events](Pool::events). It is 0 if the pool takes no job.
    #[track_caller]
    pub fn numbered<F: Process<M>, M>(self, function: F, argument: F::Argument) -> (u64, Promise<F::Output>) {
        self.hand_in(function, argument, decode)
    }

    #[track_caller]
    fn hand_in<F: Process<M>, M, R: 'static>(
        self,
        _: F,
        argument: F::Argument,
        decode: fn(Outcome<'_>) -> Result<R, Error>,
    ) -> (u64, Promise<R>) {
        let prepared = definition::index_of::<F>().map_err(Error::from);
        let prepared = prepared.and_then(|function| match argument.to_bytes() {
            Ok(bytes) => Ok((function, bytes)),
            Err(error) => Err(WorkerFailure::Decode(format!("the argument: {error}")).into()),
        });
        drop(argument);
        let (function, argument) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return (0, Promise::fail(error)),
        };
        let (promise, resolver) = task();
        let place = Rc::new(Cell::new(None));
        resolver.on_cancel({
            let (place, desk) = (Rc::clone(&place), Rc::downgrade(self.pool.desk()));
            move || {
                if let (Some(id), Some(desk)) = (place.get(), desk.upgrade()) {
                    desk.cancelled(id);
                }
            }
        });
        let job = Job {
            function,
            argument,
            settle: Box::new(move |outcome| resolver.wakeup_result(decode(outcome))),
            hears: self.hears,
            retry: self.retry,
            on_cancel: self.on_cancel,
            number: 0,
            seat: None,
        };
        match self.pool.desk().submit(job) {
            Ok(id) => {
                place.set(Some(id));
                (id.number, promise)
            }
            Err((settle, why)) => {
                settle(Err(why.into()));
                (0, promise)
            }
        }
    }
}

/// The result, as a value.
fn decode<R: Wire>(outcome: Outcome<'_>) -> Result<R, Error> {
    let bytes = outcome?;
    // A type's own code may be in it.
    let decoded = catch_unwind(AssertUnwindSafe(|| R::from_bytes(&bytes)));
    let decoded =
        decoded.unwrap_or_else(|payload| Err(super::super::WireError::new(Error::from_panic(payload))));
    decoded.map_err(|error| WorkerFailure::Decode(format!("the result: {error}")).into())
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Call");
        out.field("retry", &self.retry).field("on_cancel", &self.on_cancel).finish_non_exhaustive()
    }
}
