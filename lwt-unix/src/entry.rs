//! The entry macros [`main!`](crate::main) and [`test!`](crate::test): a program, or a test, that is one
//! `async fn`.

use std::cell::RefCell;
use std::future::Future;
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lwt_core::{Error, set_unhandled_hook, spawn};

use crate::main_loop::{engine_name, exit_hooks, run};

/// Makes a `fn main` that runs an `async fn main` in the main loop.
///
/// The future is run, then the [exit hooks](crate::exit_hooks), whatever its outcome; then the program ends.
/// What the function returns is an [`Outcome`]: nothing, an exit code, or a `Result` of one of them, whose
/// error is printed to standard error and makes the exit code 1. Tasks that are still going on are dropped.
///
/// ```
/// lwt_unix::main! {
///     async fn main() -> Result<(), lwt_core::Error> {
///         lwt_unix::sleep(std::time::Duration::from_millis(1)).await?;
///         println!("hello");
///         Ok(())
///     }
/// }
/// ```
#[macro_export]
macro_rules! main {
    ($(#[$attribute:meta])* async fn main() $(-> $outcome:ty)? $body:block) => {
        $(#[$attribute])*
        fn main() -> ::std::process::ExitCode {
            async fn program() $(-> $outcome)? $body
            $crate::entry::main(program)
        }
    };
}

/// Makes tests of `async fn`s, each run in a main loop of its own, on a thread of its own.
///
/// A test fails if its function panics or returns an error, if it leaves a rejection that nobody looked at,
/// or if it has not ended within a minute (`LWT_TEST_SECONDS` sets another limit). Exit hooks are run at the
/// end.
///
/// ```
/// lwt_unix::test! {
///     /// It sleeps.
///     async fn sleeps() -> Result<(), lwt_core::Error> {
///         lwt_unix::sleep(std::time::Duration::from_millis(1)).await
///     }
///
///     #[should_panic(expected = "on purpose")]
///     async fn fails() {
///         panic!("on purpose");
///     }
/// }
/// ```
#[macro_export]
macro_rules! test {
    ($($(#[$attribute:meta])* async fn $name:ident() $(-> $outcome:ty)? $body:block)*) => {
        $(
            #[::core::prelude::v1::test]
            $(#[$attribute])*
            fn $name() {
                async fn test() $(-> $outcome)? $body
                $crate::entry::test(::core::stringify!($name), test)
            }
        )*
    };
}

/// What an entry function may return.
pub trait Outcome {
    /// The exit code of the program.
    ///
    /// # Errors
    /// What is to be printed before the program ends with exit code 1.
    fn exit_code(self) -> Result<ExitCode, Error>;
}

impl Outcome for () {
    fn exit_code(self) -> Result<ExitCode, Error> {
        Ok(ExitCode::SUCCESS)
    }
}

impl Outcome for ExitCode {
    fn exit_code(self) -> Result<ExitCode, Error> {
        Ok(self)
    }
}

impl<O: Outcome, E: Into<Error>> Outcome for Result<O, E> {
    fn exit_code(self) -> Result<ExitCode, Error> {
        self.map_err(Into::into)?.exit_code()
    }
}

/// Runs `program` and then the exit hooks; what [`main!`](crate::main) makes of a function.
///
/// ```
/// let code = lwt_unix::entry::main(|| async { Ok::<(), lwt_core::Error>(()) });
/// assert_eq!(code, std::process::ExitCode::SUCCESS);
/// ```
pub fn main<F>(program: impl FnOnce() -> F) -> ExitCode
where
    F: Future + 'static,
    F::Output: Outcome,
{
    let code = drive(program()).unwrap_or_else(|error| complain(&error));
    if engine_name().is_none() {
        // There can be no loop, which was said just now; so there are no hooks to run.
        return code;
    }
    match run(exit_hooks().run()) {
        Ok(()) => code,
        Err(error) => complain(&error),
    }
}

/// Runs a future to its end.
fn drive<F>(future: F) -> Result<ExitCode, Error>
where
    F: Future + 'static,
    F::Output: Outcome,
{
    run(async move { future.await.exit_code() })
}

/// Prints an error with its sources; the exit code that goes with it.
fn complain(error: &Error) -> ExitCode {
    use std::io::Write;

    // If standard error is closed there is nobody to tell; the exit code tells all the same.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

/// Runs a test on a thread of its own, and panics if it fails or hangs; what [`test!`](crate::test) makes of
/// a function.
///
/// # Panics
/// If the test does, returns an error, leaves a rejection that nobody looked at, or does not end in time.
pub fn test<F>(name: &'static str, body: impl FnOnce() -> F + Send + 'static)
where
    F: Future + 'static,
    F::Output: Outcome,
{
    guarded(name, || judge(body));
}

/// Runs `body` on a thread of its own, and panics if it panics or hangs: for a test that calls [`run`]
/// itself.
///
/// ```
/// lwt_unix::entry::guarded("twice", || {
///     for number in [1, 2] {
///         assert_eq!(lwt_unix::run(lwt_core::Promise::ready(number)).unwrap(), number);
///     }
/// });
/// ```
///
/// # Panics
/// If `body` does, or has not ended within a minute (`LWT_TEST_SECONDS` sets another limit).
pub fn guarded(name: &str, body: impl FnOnce() + Send + 'static) {
    let limit = std::env::var("LWT_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (sender, receiver) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped at the end, whatever it is.
        let _sender = sender;
        body();
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => panic!("no thread for the test {name}: {error}"),
    };
    if let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(Duration::from_secs(limit)) {
        panic!("the test {name} has not ended within {limit} s");
    }
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

/// Runs a test's body, and panics if it fails.
pub(crate) fn judge<F>(body: impl FnOnce() -> F)
where
    F: Future + 'static,
    F::Output: Outcome,
{
    let stray = Rc::new(RefCell::new(Vec::new()));
    let hook = Rc::clone(&stray);
    set_unhandled_hook(Some(Rc::new(move |error: &Error| hook.borrow_mut().push(error.clone()))));
    let ended = drive(body());
    let hooks = run(exit_hooks().run());
    // A callback's rejection may be on its way to the hook.
    let rest = run(spawn(async { lwt_core::pause().await }));
    set_unhandled_hook(None);
    for result in [ended.map(|code| assert_eq!(code, ExitCode::SUCCESS)), hooks, rest] {
        if let Err(error) = result {
            match error.take_panic_payload() {
                Some(panic) => resume_unwind(panic),
                None => panic!("the test failed: {error:?}"),
            }
        }
    }
    let stray = stray.take();
    assert!(stray.is_empty(), "nobody looked at these rejections: {stray:?}");
}
