//! The workers of a loop, and their end with it.
//!
//! They are ended by an exit hook, which runs after those of the program. (A loop that ends without its hooks
//! drops their tasks: see [`life`](super::life), rule 4.)

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lwt_core::{Error, pick};
use lwt_unix::{exit_hooks, sleep};

use super::life::{Life, PATIENCE, Sentence};

thread_local! {
    /// Those of this thread's loop.
    static LIVES: RefCell<Vec<Rc<Life>>> = const { RefCell::new(Vec::new()) };
    /// The process that has the exit hook: a fork does not.
    static HOOKED: Cell<u32> = const { Cell::new(0) };
}

pub(super) fn add(life: &Rc<Life>) {
    LIVES.with_borrow_mut(|lives| lives.push(Rc::clone(life)));
    let program = std::process::id();
    if HOOKED.replace(program) != program {
        exit_hooks().add_last(|| {
            HOOKED.set(0);
            end_all()
        });
    }
}

pub(super) fn remove(life: &Rc<Life>) {
    // At the end of the thread they have gone.
    let _ = LIVES.try_with(|lives| {
        if let Ok(mut lives) = lives.try_borrow_mut() {
            lives.retain(|other| !Rc::ptr_eq(other, life));
        }
    });
}

/// Asks all workers of this thread's loop to end, and waits until they have.
async fn end_all() -> Result<(), Error> {
    loop {
        let lives = LIVES.with_borrow(|lives| lives.clone());
        let Some(grace) = lives.iter().map(|life| life.grace).max() else { return Ok(()) };
        for life in &lives {
            life.stop(Sentence::OwnerGone);
        }
        let ends = lives.iter().map(|life| life.over()).collect::<Vec<_>>();
        let late = sleep(grace.saturating_add(PATIENCE)).map(|()| Vec::new());
        pick([lwt_core::all(ends), late]).await?;
        LIVES.with_borrow_mut(|now| now.retain(|life| !lives.iter().any(|ended| Rc::ptr_eq(ended, life))));
    }
}
