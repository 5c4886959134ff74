//! [`Lent`]: that there are references which must not be there in two processes.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// How many there are. A fork looks where no other thread can be changing it, so no order is needed.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// As long as one is there [`fork`](super::fork()) is refused: for those who lend references to memory that
/// several processes write, each when it knows that nobody reads. A child would have the references, too, and
/// nobody would know of that.
///
/// ```standalone_crate
/// use lwt_unix::process::{CannotFork, Lent, fork};
/// let lent = Lent::new();
/// let refused = fork().unwrap_err();
/// assert_eq!(refused.downcast_ref(), Some(&CannotFork::Lent(1)));
/// ```
#[derive(Debug)]
pub struct Lent(());

impl Lent {
    /// From here on there is one more.
    #[inline]
    #[expect(clippy::new_without_default, reason = "it is made for what it does")]
    pub fn new() -> Lent {
        LENT.fetch_add(1, Relaxed);
        Lent(())
    }

    /// How many there are.
    pub(super) fn count() -> usize {
        LENT.load(Relaxed)
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        LENT.fetch_sub(1, Relaxed);
    }
}
