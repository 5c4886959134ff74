//! [`iterate`]: loops whose steps are promises.

use std::ops::ControlFlow;

use crate::Error;

use super::Promise;
use super::attach::caught;

/// Calls `step` again and again, each time with what the last promise gave, until one gives
/// [`ControlFlow::Break`].
///
/// The loop over tail `bind`s of Lwt, in constant stack and memory whether the steps' promises are resolved
/// or pending. A rejection or a panic of a step ends the loop with it. A cancel goes to the current step.
///
/// ```
/// use lwt_core::{Promise, State, iterate};
/// use std::ops::ControlFlow::{Break, Continue};
/// let p = iterate(0, |n| Promise::ready(if n < 100_000 { Continue(n + 1) } else { Break(n) }));
/// assert!(matches!(p.state(), State::Fulfilled(100_000)));
/// ```
#[track_caller]
pub fn iterate<S, B, F>(start: S, mut step: F) -> Promise<B>
where
    S: 'static,
    B: 'static,
    F: FnMut(S) -> Promise<ControlFlow<B, S>> + 'static,
{
    let mut state = start;
    loop {
        let promise = caught(|| step(state));
        let flow = match promise.try_take() {
            Ok(flow) => flow,
            Err(pending) => {
                return pending.bind(move |flow| match flow {
                    ControlFlow::Continue(state) => iterate(state, step),
                    ControlFlow::Break(value) => end(step, Ok(value)),
                });
            }
        };
        match flow {
            Ok(ControlFlow::Continue(next)) => state = next,
            Ok(ControlFlow::Break(value)) => return end(step, Ok(value)),
            Err(error) => return end(step, Err(error)),
        }
    }
}

/// The end of a loop. The step goes before there is a result, which would be leaked if that panicked.
fn end<B, F>(step: F, result: Result<B, Error>) -> Promise<B> {
    caught(move || {
        drop(step);
        Promise::settled(result)
    })
}
