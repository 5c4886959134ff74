//! The life of a member: the right to it, lending, giving back, disposing.

use std::rc::Rc;

use crate::{Error, Promise, spawn};

use super::Inner;

/// The right to one member. It comes back when it is dropped.
pub(super) struct Right<T: 'static> {
    pool: Rc<Inner<T>>,
    /// It stands behind an idle member again.
    rests: bool,
}

impl<T: 'static> Right<T> {
    /// One more, of which there must be one.
    pub(super) fn take(pool: &Rc<Inner<T>>) -> Right<T> {
        pool.rights.set(pool.rights.get() + 1);
        Right::behind_idle(pool)
    }

    /// That of an idle member, which was just taken out.
    pub(super) fn behind_idle(pool: &Rc<Inner<T>>) -> Right<T> {
        Right { pool: pool.clone(), rests: false }
    }

    /// The member is idle from now on.
    fn rest(mut self, member: T) {
        self.rests = true;
        self.pool.idle.borrow_mut().push_back(member);
    }
}

impl<T: 'static> Drop for Right<T> {
    fn drop(&mut self) {
        if !self.rests {
            self.pool.rights.set(self.pool.rights.get() - 1);
        }
        self.pool.serve();
    }
}

/// What becomes of a lent member when it comes back, or is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Check,
    Dispose,
}

/// A member that somebody has, or the right to make one.
pub(super) struct Lent<T: 'static> {
    pool: Rc<Inner<T>>,
    /// Nothing while a member is disposed of, and after the giving back.
    right: Option<Right<T>>,
    member: Option<T>,
    age: u64,
    pub(super) after: After,
}

impl<T: 'static> Lent<T> {
    pub(super) fn new(right: Right<T>, member: Option<T>) -> Lent<T> {
        let pool = right.pool.clone();
        let age = pool.age.get();
        Lent { pool, right: Some(right), member, age, after: After::Keep }
    }

    /// Makes sure that there is a member fit for use.
    pub(super) async fn prepare(&mut self) -> Result<&mut T, Error> {
        let pool = self.pool.clone();
        if let (Some(member), Some(validate)) = (&mut self.member, &pool.validate) {
            self.after = After::Dispose;
            if !validate.test(member).await?
                && let (Some(right), Some(member)) = (self.right.take(), self.member.take())
            {
                // The right waits for the end of the member, which no cancel reaches.
                self.right = Some(retire_alone(right, member).await?);
            }
        }
        if self.member.is_none() {
            self.age = pool.age.get();
            self.member = Some(pool.factory.make().await?);
        }
        self.after = After::Check;
        match &mut self.member {
            Some(member) => Ok(member),
            None => unreachable!("it was put there"),
        }
    }

    /// Gives the member back, and waits until it is where it belongs.
    pub(super) async fn give_back(mut self) {
        if let Some(end) = self.finish() {
            report(end.no_cancel().await);
        }
    }

    /// Gives the member back; what takes its time happens in a task.
    fn finish(&mut self) -> Option<Promise<()>> {
        let right = self.right.take()?;
        let member = self.member.take()?; // if there is none, the right comes back
        let after = match self.after {
            _ if self.age != self.pool.age.get() => After::Dispose,
            After::Check if self.pool.check.is_none() => After::Keep,
            after => after,
        };
        match after {
            After::Keep => {
                right.rest(member);
                None
            }
            After::Check => Some(Lent::new(right, Some(member)).check()),
            After::Dispose => Some(retire_alone(right, member).map(drop)),
        }
    }

    /// Checks a member after a failed use, and gives it back or disposes of it.
    fn check(mut self) -> Promise<()> {
        self.after = After::Dispose; // also if the check panics
        spawn(async move {
            let pool = self.pool.clone();
            if let (Some(member), Some(check)) = (&mut self.member, &pool.check) {
                match check.test(member).await {
                    Ok(true) => self.after = After::Keep,
                    Ok(false) => {}
                    Err(error) => report(Err(error)),
                }
            }
            match self.finish() {
                Some(end) => end.await,
                None => Ok(()),
            }
        })
    }
}

impl<T: 'static> Drop for Lent<T> {
    fn drop(&mut self) {
        drop(self.finish()); // goes on by itself; a failure goes to the hook
    }
}

/// Disposes of a member; then its right is free again. The promise is fulfilled in any case, also after a
/// panic, and a cancel does not reach what it waits for.
pub(super) fn retire<T: 'static>(right: Right<T>, member: T) -> Promise<(Right<T>, Result<(), Error>)> {
    let pool = right.pool.clone();
    let end = spawn(async move {
        match &pool.dispose {
            Some(dispose) => dispose.dispose(member).await,
            None => {
                drop(member);
                Ok::<_, Error>(())
            }
        }
    });
    spawn(async move { Ok::<_, Error>((right, end.no_cancel().await)) })
}

/// [`retire`] on nobody's behalf.
fn retire_alone<T: 'static>(right: Right<T>, member: T) -> Promise<Right<T>> {
    retire(right, member).map(|(right, outcome)| {
        report(outcome);
        right
    })
}

/// Tells the hook of an error that is nobody's.
fn report(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        drop(Promise::<()>::fail(error));
    }
}
