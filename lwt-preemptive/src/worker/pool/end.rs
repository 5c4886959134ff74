//! The end of a pool. However many ask for it, it comes once, and takes no longer than it may:
//! jobs have the time that is given for them, then workers their grace time, then they are killed.

use std::rc::Rc;
use std::time::Duration;

use lwt_core::{Error, pick};
use lwt_unix::sleep;

use super::books::Phase;
use super::desk::Desk;
use super::options::PoolError;
use super::seat::Verdict;

/// How long a killed worker may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends a pool; see [`Pool::shutdown`](super::Pool::shutdown).
pub(super) async fn close(desk: Rc<Desk>, time: Duration) -> Result<(), Error> {
    if desk.is_foreign() {
        return Ok(());
    }
    let drained = desk.with(|books| {
        if books.phase == Phase::Open {
            books.phase = Phase::Draining;
        }
        books.make_room(usize::MAX);
        books.drained()
    });
    pick([drained, sleep(time)]).await?;
    let ended = desk.with(|books| {
        books.end(&PoolError::Closed);
        books.deserted()
    });
    if ended.is_pending() {
        pick([ended.clone(), sleep(desk.options.grace)]).await?;
        desk.with(|books| books.seats().for_each(|seat| seat.kill(Verdict::Late)));
        pick([ended, sleep(PATIENCE)]).await?;
    }
    drop(desk.arriving.take());
    if let Some(hook) = desk.hook.take() {
        hook.remove();
    }
    desk.end_events();
    Ok(())
}
