//! [`Section`]: what an upper layer is told of the loop's blocking, so that a runtime lock can be given up
//! around it.
//!
//! 1. A loop *leaves* its section when it begins to run, and *enters* it when it ends: in between it is at
//!    work. It enters it, too, for the time of each poll that may block.
//! 2. While it is at work it reports each of its turns.
//! 3. Calls come in pairs, also when a poll panics. Without a section set, nothing is done; one that is set
//!    stays.

use std::cell::OnceCell;
use std::rc::Rc;

use lwt_core::Error;

use super::runtime::Runtime;

/// What is told when a thread's loop blocks, and when it is back (OCaml: `caml_enter_blocking_section`,
/// `caml_leave_blocking_section`).
pub trait Section {
    /// The loop does not touch anything from now on: it ends, or polls.
    fn enter(&self);

    /// The loop is about to go on. This may block until it is its turn.
    fn leave(&self);

    /// The loop, at work, begins a turn.
    fn turn(&self) {}
}

/// Sets what is told of this thread's loop's blocking, from now to the end of the loop. The loop is made if
/// there is none; if it is running, the section is left at once.
///
/// # Errors
/// If a section is set already: whoever relies on it is not to be cut off. The operating system's, if no loop
/// can be made.
pub fn set_section(section: Rc<dyn Section>) -> Result<(), Error> {
    let runtime = Runtime::current()?;
    if runtime.section.0.set(Rc::clone(&section)).is_err() {
        return Err(Error::msg("the loop of this thread has a section already"));
    }
    if runtime.running.get() {
        section.leave();
    }
    Ok(())
}

/// The place of a loop's section.
#[derive(Default)]
pub(crate) struct Place(OnceCell<Rc<dyn Section>>);

impl Place {
    /// The loop begins to run.
    pub(crate) fn begin(&self) {
        if let Some(section) = self.0.get() {
            section.leave();
        }
    }

    /// The loop runs no more.
    pub(crate) fn end(&self) {
        if let Some(section) = self.0.get() {
            section.enter();
        }
    }

    /// The running loop polls: the section is entered, and left when the guard is dropped.
    pub(crate) fn enter(&self) -> Option<Entered> {
        let section = Rc::clone(self.0.get()?);
        section.enter();
        Some(Entered(section))
    }

    /// The running loop begins a turn.
    #[inline]
    pub(crate) fn turn(&self) {
        if let Some(section) = self.0.get() {
            section.turn();
        }
    }
}

/// The section is left when this is dropped.
pub(crate) struct Entered(Rc<dyn Section>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave();
    }
}
