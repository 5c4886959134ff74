//! [`Process`] and [`Definition`]: the functions that workers run.
//!
//! 1. A worker's function is a function with a name, plain or `async`. It is known by its type, of which
//!    there is one value and no state: so another process of the same program has it too.
//! 2. The program lists its functions once, at its start, in the same order in each of its processes. A
//!    function goes to another process as its place in that list, with a hash of its name and types, so that
//!    two programs that are not the same find out.
//! 3. The library's own functions stand in front of the program's.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use lwt_core::Error;
use rkyv::util::AlignedVec;

use super::failure::WorkerFailure;
use super::panics;
use super::sink::Sink;
use super::value::Wire;
use crate::shm::{SHAPE_START, shape_number, shape_text};

/// A function that a worker can run.
///
/// Every named function has it, plain or `async`, of up to six arguments, if its arguments and its result are
/// [`Wire`]. `M` only tells the kinds of functions apart, and is found out by the compiler. A closure will do
/// if it captures nothing, but has no name that one could list it by.
///
/// The future of an `async` function runs in a main loop of the worker's own, and its exit hooks after it. A
/// plain function runs on the worker's main thread without one; it may call [`lwt_unix::run`] itself.
///
/// What captures something cannot be had in another process:
///
/// ```compile_fail
/// let two = 2;
/// lwt_preemptive::worker::start(move |n: u32| n * two, 3);
/// ```
///
/// Neither can a value that has no meaning there:
///
/// ```compile_fail,E0277
/// fn first(path: &'static std::path::Path) -> String { path.display().to_string() }
/// lwt_preemptive::worker::start(first, std::path::Path::new("/"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that a worker can run",
    note = "its arguments and its result have to be `Wire`: what `rkyv` can archive"
)]
pub trait Process<M>: Copy + Send + Sync + 'static {
    /// Nothing, the argument, or a tuple of the arguments.
    type Argument: Wire;
    /// What the function returns, or its future gives.
    type Output: Wire;

    /// Calls the function, in this process.
    ///
    /// # Errors
    /// Those of [`lwt_unix::run`], for an `async` function.
    #[doc(hidden)]
    fn invoke(self, argument: Self::Argument) -> Result<Self::Output, Error>;
}

/// Tells plain functions of this type apart from others.
#[derive(Debug)]
pub struct Plain<F>(F);

/// Tells `async` functions of this type apart from others.
#[derive(Debug)]
pub struct Async<F>(F);

macro_rules! processes {
    ($(($($part:ident: $type:ident),*) $whole:ty => $pattern:pat,)*) => {$(
        impl<F, R, $($type),*> Process<Plain<fn($($type),*) -> R>> for F
        where
            F: Fn($($type),*) -> R + Copy + Send + Sync + 'static,
            $whole: Wire,
            R: Wire,
        {
            type Argument = $whole;
            type Output = R;

            fn invoke(self, $pattern: $whole) -> Result<R, Error> {
                Ok(self($($part),*))
            }
        }

        impl<F, U, $($type),*> Process<Async<fn($($type),*) -> U>> for F
        where
            F: Fn($($type),*) -> U + Copy + Send + Sync + 'static,
            U: Future + 'static,
            $whole: Wire,
            U::Output: Wire,
        {
            type Argument = $whole;
            type Output = U::Output;

            fn invoke(self, $pattern: $whole) -> Result<U::Output, Error> {
                let future = self($($part),*);
                lwt_unix::run(async { Ok::<_, Error>(future.await) })
            }
        }
    )*};
}

processes! {
    () () => (),
    (a: A) A => a,
    (a: A, b: B) (A, B) => (a, b),
    (a: A, b: B, c: C) (A, B, C) => (a, b, c),
    (a: A, b: B, c: C, d: D) (A, B, C, D) => (a, b, c, d),
    (a: A, b: B, c: C, d: D, e: E) (A, B, C, D, E) => (a, b, c, d, e),
    (a: A, b: B, c: C, d: D, e: E, f: G) (A, B, C, D, E, G) => (a, b, c, d, e, f),
}

/// What has become of a call.
#[derive(Debug)]
pub(super) enum Answer {
    /// Where the bytes of the result are.
    Value(Sink),
    Panic {
        message: String,
        place: Option<String>,
    },
    /// The argument's bytes were none, or the result cannot be written as bytes.
    Decode(String),
}

/// A function that workers of this program run: an entry of the list that the program gives to
/// [`init`](super::init).
///
/// ```
/// use lwt_preemptive::worker::Definition;
/// fn square(number: u64) -> u64 { number * number }
/// assert!(Definition::of(square).name().ends_with("square"));
/// ```
#[derive(Clone)]
pub struct Definition {
    id: TypeId,
    name: &'static str,
    hash: u64,
    call: Arc<dyn Fn(&[u8], AlignedVec) -> Answer + Send + Sync>,
}

impl Definition {
    /// The definition of a function.
    pub fn of<F: Process<M>, M>(function: F) -> Definition {
        const { assert!(size_of::<F>() == 0, "a worker's function has a name and no state") };
        let name = type_name::<F>();
        let types = shape_number(shape_text(SHAPE_START, name), F::Argument::shape());
        Definition {
            id: TypeId::of::<F>(),
            name,
            hash: shape_number(types, F::Output::shape()),
            call: Arc::new(move |argument, memory| call(function, argument, memory)),
        }
    }

    /// The function's path.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A hash of the function's path, and of the types of its arguments and its result.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Calls the function with an argument that is written as bytes. The result goes to `memory`, or where
    /// else a [`Sink`] has its bytes.
    pub(super) fn invoke(&self, argument: &[u8], memory: AlignedVec) -> Answer {
        (self.call)(argument, memory)
    }
}

fn call<F: Process<M>, M>(function: F, argument: &[u8], memory: AlignedVec) -> Answer {
    panics::forget();
    // Reading, writing and dropping a value may be the program's own code, too.
    let called = catch_unwind(AssertUnwindSafe(|| {
        let argument = match F::Argument::from_bytes(argument) {
            Ok(argument) => argument,
            Err(error) => return Answer::Decode(format!("the argument: {error}")),
        };
        let mut sink = Sink::for_link(memory);
        match function.invoke(argument).map(|result| result.write(&mut sink)) {
            Ok(Ok(())) => Answer::Value(sink),
            Ok(Err(error)) => Answer::Decode(format!("the result: {error}")),
            Err(error) => panicked(&error),
        }
    }));
    called.unwrap_or_else(|payload| panicked(&Error::from_panic(payload)))
}

fn panicked(error: &Error) -> Answer {
    let message = error.panic_message().map_or_else(|| error.to_string(), str::to_owned);
    Answer::Panic { message, place: panics::last() }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Definition").field(&self.name).finish()
    }
}

/// Lists the functions of a program's workers, for [`worker::init`](crate::worker::init).
///
/// ```
/// fn square(number: u64) -> u64 { number * number }
/// async fn pause() {}
/// assert_eq!(lwt_preemptive::workers![square, pause].len(), 2);
/// ```
#[macro_export]
macro_rules! workers {
    ($($function:expr),* $(,)?) => {
        ::std::vec![$($crate::worker::Definition::of($function)),*]
    };
}

static LIST: OnceLock<Vec<Definition>> = OnceLock::new();

/// The library's own functions.
fn built_in() -> Vec<Definition> {
    vec![Definition::of(super::pool::serve::serve)]
}

/// See rule 2.
///
/// # Panics
/// If there is a list already, or two functions in it have the same name and types.
pub(super) fn list(definitions: Vec<Definition>) {
    let mut all = built_in();
    for definition in definitions {
        match all.iter().find(|other| other.hash == definition.hash) {
            None => all.push(definition),
            Some(same) if same.id == definition.id => {}
            Some(other) => panic!("two functions of workers have the same name, {}", other.name),
        }
    }
    assert!(LIST.set(all).is_ok(), "the functions of workers were listed before");
}

/// A function as another process knows it: its place in the list, and its hash.
///
/// # Errors
/// [`WorkerFailure::Unregistered`].
pub(super) fn index_of<F: Any>() -> Result<(u32, u64), WorkerFailure> {
    const { assert!(size_of::<F>() == 0, "a worker's function has a name and no state") };
    let list = LIST.get().map_or(&[][..], Vec::as_slice);
    let place = list.iter().position(|definition| definition.id == TypeId::of::<F>());
    // There are not so many.
    let place = place.map(|index| (index as u32, list[index].hash));
    place.ok_or(WorkerFailure::Unregistered { process: type_name::<F>() })
}

/// The other way round, in the other process.
pub(super) fn by_index(index: u32, hash: u64) -> Option<&'static Definition> {
    LIST.get()?.get(index as usize).filter(|definition| definition.hash == hash)
}
