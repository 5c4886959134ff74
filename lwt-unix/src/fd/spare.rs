//! Pipes to splice through, kept for the next who needs one.
//!
//! Rules:
//! 1. A pipe comes back only when it is empty: what is in it is somebody's.
//! 2. A child of `fork` has none of its parent's: bytes of both would meet in them ([`after_fork`]).

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::shortage;
use crate::sys::descriptor;

/// So many are kept by a thread.
const KEPT: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<SparePipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe of nobody's, non-blocking at both ends.
#[derive(Debug)]
pub(super) struct SparePipe {
    reader: Arc<OwnedFd>,
    writer: OwnedFd,
}

impl SparePipe {
    /// One that is empty.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub(super) fn take() -> io::Result<SparePipe> {
        if let Some(pipe) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (reader, writer) = descriptor::pipe(true)?;
        Ok(SparePipe { reader: Arc::new(reader), writer })
    }

    /// Where bytes come out.
    pub(super) fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// The same, for a job thread.
    pub(super) fn held_reader(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.reader)
    }

    /// Where bytes go in.
    pub(super) fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// Keeps it for the next. It is empty.
    pub(super) fn give_back(self) {
        let mut pipe = Some(self);
        // The thread may be at its end, with the list gone.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < KEPT {
                spare.extend(pipe.take());
            }
        });
        if let Some(pipe) = pipe {
            drop(pipe);
            shortage::freed();
        }
    }
}

/// In the child of a fork: forgets the pipes, which are the parent's as well.
pub(crate) fn after_fork() {
    drop(SPARE.take());
}
