//! The macros: what plain Rust has no twin for.

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
    ($($too_many:expr),+ $(,)?) => {
        compile_error!("join! takes up to eight promises; use `all` for a list")
    };
}

/// Waits for the first of several promises, and cancels the others: [`pick`](crate::pick()) for promises of
/// different types.
///
/// Each arm names the value and says what is made of it; all arms make the same type. A bare list of promises
/// is `pick` itself.
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
    ($($promise:expr),+ $(,)?) => { $crate::pick([$($promise),+]) };
}

/// Awaits `body`, then awaits `cleanup` whatever came of it, and gives the outcome: Lwt's `[%finally]` inside
/// an `async` block.
///
/// `body` is a block that may use `.await` and `?` and ends with a `Result`; `cleanup` is a block that may
/// use `.await`. The cleanup also runs when the body is cancelled, which is an `Err` at its `.await`.
///
/// ```
/// use lwt_core::{Error, Promise, spawn};
/// let p = spawn(async {
///     lwt_core::finally!({ Promise::ready(1).await } => {
///         let _ = Promise::ready(()).await;
///     })
/// });
/// p.on_success(|n| assert_eq!(*n, 1));
/// ```
#[macro_export]
macro_rules! finally {
    ($body:block => $cleanup:block) => {{
        let outcome: ::core::result::Result<_, $crate::Error> = async { $body }.await;
        $cleanup
        outcome
    }};
}
