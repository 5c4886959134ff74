//! Random uses of something that is shared, for tests of what is left of it.

use lwt_core::Promise;

use crate::common::{Rng, turn};

/// Begins uses, drops and cancels some, and lets time pass, at random; gives those that are held still.
/// `begin` may do something else than to begin one.
pub(crate) fn random_uses(
    rng: &mut Rng,
    mut begin: impl FnMut(&mut Rng) -> Option<Promise<()>>,
) -> Vec<Promise<()>> {
    let mut uses: Vec<Promise<()>> = Vec::new();
    for _ in 0..30 {
        match rng.below(6) {
            0 if !uses.is_empty() => drop(uses.swap_remove(rng.below(uses.len()))),
            1 if !uses.is_empty() => uses[rng.below(uses.len())].cancel(),
            2 => turn(),
            _ => uses.extend(begin(rng)),
        }
    }
    uses
}

/// Lets time pass until all must have ended, where each takes a turn.
pub(crate) fn let_end(uses: &[Promise<()>]) {
    (0..31).for_each(|_| turn());
    assert!(uses.iter().all(|p| !p.is_pending()));
}
