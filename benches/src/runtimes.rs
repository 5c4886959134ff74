//! How each runtime is started, and the few calls that have one name for all of them.
//!
//! Each body runs as a *task* of its runtime, not as the future that blocks the thread: that is where programs
//! spend their time, and where each runtime has its own waker.

use std::cell::Cell;
use std::pin::Pin;
use std::task::Poll;

use smol::LocalExecutor;

use crate::measure::{Measure, Outcome};

/// Runs the body on this project's runtime.
pub fn on_lwt(body: impl Future<Output = Result<Measure, lwt::Error>> + 'static) -> Outcome {
    Ok(lwt::run(body)?)
}

/// Runs the body as a task of a current-thread tokio runtime.
pub fn on_tokio(body: impl Future<Output = Outcome> + Send + 'static) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::spawn(body).await })?
}

/// Runs the body as a task of a smol executor of this thread, which also drives smol's reactor.
pub fn on_smol(body: impl Future<Output = Outcome> + 'static) -> Outcome {
    let executor = smol_executor();
    smol::block_on(executor.run(executor.spawn(body)))
}

/// Runs the body beside the tasks that it spawns, as the future that blocks the thread.
pub fn with_smol(body: impl Future<Output = Outcome>) -> Outcome {
    smol::block_on(smol_executor().run(body))
}

/// A new executor for the tasks of this thread; it is never freed, as the process ends soon.
fn smol_executor() -> &'static LocalExecutor<'static> {
    let executor: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
    SMOL.set(Some(executor));
    executor
}

std::thread_local! {
    /// The executor that was last started on this thread.
    static SMOL: Cell<Option<&'static LocalExecutor<'static>>> = const { Cell::new(None) };
}

/// Spawns on this thread's executor.
pub fn smol_spawn<T: 'static>(body: impl Future<Output = T> + 'static) -> smol::Task<T> {
    SMOL.get().expect("called where an executor runs").spawn(body)
}

/// Polls a future once with the current task's waker.
pub async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}
