//! The macros: what plain Rust has no twin for.
//!
//! 1. What an expansion names, it names by `$crate` or `::core`; what it binds, the caller cannot see.
//! 2. A call that no rule takes is answered with a sentence that says what to write instead.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::Error;

/// Waits for all of up to eight promises of any types, and gives their values as a tuple: Lwt's parallel let.
///
/// All are running already when it is called. Otherwise as [`join`](crate::join()): it waits for every one,
/// and the first rejection in time wins.
///
/// ```
/// use lwt_core::{Error, Promise, spawn};
/// let p = spawn(async {
///     let (n, s) = lwt_core::join!(Promise::ready(1), Promise::ready("a")).await?;
///     Ok::<_, Error>(format!("{n}{s}"))
/// });
/// p.on_success(|s| assert_eq!(s, "1a"));
/// ```
#[macro_export]
macro_rules! join {
    ($a:expr $(,)?) => {
        $crate::__private::join1($a)
    };
    ($a:expr, $b:expr $(,)?) => {
        $crate::__private::join2($a, $b)
    };
    ($a:expr, $b:expr, $c:expr $(,)?) => {
        $crate::__private::join3($a, $b, $c)
    };
    ($a:expr, $b:expr, $c:expr, $d:expr $(,)?) => {
        $crate::__private::join4($a, $b, $c, $d)
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr $(,)?) => {
        $crate::__private::join5($a, $b, $c, $d, $e)
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr $(,)?) => {
        $crate::__private::join6($a, $b, $c, $d, $e, $f)
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr, $g:expr $(,)?) => {
        $crate::__private::join7($a, $b, $c, $d, $e, $f, $g)
    };
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr, $g:expr, $h:expr $(,)?) => {
        $crate::__private::join8($a, $b, $c, $d, $e, $f, $g, $h)
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "join! takes one to eight promises, `join!(p, q)`; use `all` for more of one type, or nest it"
        )
    };
}

/// Waits for the first of several promises of different types, and cancels the others:
/// [`pick`](crate::pick()) with a function for each.
///
/// Each arm names the value and says what is made of it; all arms make the same type. What is made is the
/// body of a closure that takes what it needs by `move`, so that it can neither `.await` nor return from the
/// function around it. The patterns are irrefutable ones.
///
/// ```
/// use lwt_core::{Error, Promise, spawn, task};
/// let p = spawn(async {
///     let (never, _r) = task::<u32>();
///     let text = lwt_core::pick! {
///         n = never => n.to_string(),
///         s = Promise::ready("a") => s.to_owned(),
///     }
///     .await?;
///     Ok::<_, Error>(text)
/// });
/// p.on_success(|s| assert_eq!(s, "a"));
/// ```
#[macro_export]
macro_rules! pick {
    ($($value:pat = $promise:expr => $made:expr),+ $(,)?) => {
        $crate::pick([$($crate::Promise::map($promise, move |$value| $made)),+])
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "pick! takes arms, `value = promise => result`; for promises of one type use the function `pick`"
        )
    };
}

/// Awaits `body`, then awaits `cleanup` whatever came of it, and gives the outcome: Lwt's `[%finally]` inside
/// an `async` block.
///
/// `body` is a block that may use `.await` and `?` and ends with a `Result`; `cleanup` is a block that may
/// use `.await` and `?` and has no value. Neither can return from the function around it: a `return` or a `?`
/// ends the block that it stands in. The cleanup runs after a value, an error, a panic, and a cancel, which
/// is an `Err` at the body's `.await`; its own error or panic replaces the outcome, as with
/// [`Promise::finalize`](crate::Promise::finalize). It does not run when the task is
/// [aborted](crate::task::abort()), which leaves nothing to wait in.
///
/// ```
/// use lwt_core::{Error, Promise, spawn};
/// let p = spawn(async {
///     let mut log = vec![];
///     let n = lwt_core::finally!({
///         log.push("body");
///         Ok(Promise::ready(1).await? + 1)
///     } => {
///         log.push("cleanup");
///         Promise::ready(()).await?;
///     })?;
///     Ok::<_, Error>((n, log))
/// });
/// p.on_success(|outcome| assert_eq!(*outcome, (2, vec!["body", "cleanup"])));
/// ```
#[macro_export]
macro_rules! finally {
    ($body:block => $cleanup:block $(,)?) => {{
        let outcome = $crate::__private::caught(async { $body }).await;
        let cleaned = $crate::__private::caught(async {
            let _: () = $cleanup;
            ::core::result::Result::Ok(())
        })
        .await;
        ::core::result::Result::and(cleaned, outcome)
    }};
    ($($other:tt)*) => {
        ::core::compile_error!("finally! takes two blocks, `finally!({ body } => { cleanup })`")
    };
}

/// Runs a future; a panic of it is its error. What `finally!` awaits.
pub async fn caught<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or_else(|payload| Poll::Ready(Err(Error::from_panic(payload))))
    })
    .await
}
