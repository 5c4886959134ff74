//! [`Step`]: several primitives change at once.

use std::fmt;

use crate::promise::cascade::guarded;

use super::update;

/// What is to happen in one step (`React.Step`): see [`Sender::send_in`](super::Sender::send_in) and
/// [`Setter::set_in`](super::Setter::set_in).
///
/// A step that is dropped happens not.
///
/// ```
/// use lwt_core::react::{Signal, Step};
/// let ((low, set_low), (high, set_high)) = (Signal::create(0), Signal::create(9));
/// let ordered = Signal::l2(&low, &high, |low, high| low < high);
/// let never_broken = ordered.changes().map(|_| panic!("low >= high in between"));
/// let mut step = Step::new();
/// set_low.set_in(&mut step, 10);
/// set_high.set_in(&mut step, 19);
/// step.execute();
/// assert_eq!((low.value(), high.value()), (10, 19));
/// # drop(never_broken);
/// ```
#[derive(Default)]
#[must_use = "a step happens when it is executed"]
pub struct Step(Vec<Box<dyn FnOnce()>>);

impl Step {
    /// An empty step (`Step.create`).
    pub fn new() -> Step {
        Step::default()
    }

    pub(super) fn add(&mut self, change: impl FnOnce() + 'static) {
        self.0.push(Box::new(change));
    }

    /// Makes it happen (`Step.execute`); when, as with [`Sender::send`](super::Sender::send).
    pub fn execute(self) {
        update::step(move || self.0.into_iter().for_each(guarded));
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("changes", &self.0.len()).finish()
    }
}
