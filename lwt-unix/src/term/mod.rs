//! Terminals: their attributes, and what is under way in them.
//!
//! The attributes themselves are the system's `termios` in the form that the `nix` crate gives it
//! ([`Termios`]), with its typed flags. What may have to wait for a slow line ([`tcdrain`], and setting
//! attributes after what was written is sent) is a job, so that the loop goes on.
//!
//! The attributes belong to the terminal and outlive the program: whoever changes those of the terminal that
//! it was started from puts them back.
//!
//! ```no_run
//! use lwt_unix::term::{self, LocalFlags, When};
//!
//! # fn main() -> Result<(), lwt_core::Error> {
//! lwt_unix::run(async {
//!     let stdin = lwt_unix::fd::stdin()?;
//!     let before = term::tcgetattr(&stdin)?;
//!     let mut silent = before.clone();
//!     silent.local_flags.remove(LocalFlags::ECHO);
//!     term::tcsetattr(&stdin, When::Now, &silent).await?;
//!     let mut password = [0; 256];
//!     let read = stdin.read(&mut password).await;
//!     term::tcsetattr(&stdin, When::Now, &before).await?;
//!     read
//! })?;
//! # Ok(())
//! # }
//! ```

use std::os::fd::AsFd;

use lwt_core::{Error, Promise};

pub use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SpecialCharacterIndices, Termios,
};

use crate::fd::{During, Fd};
use crate::job;
use crate::sys::term as calls;

/// When new attributes take effect (`setattr_when`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once (`TCSANOW`).
    Now,
    /// When what was written is sent (`TCSADRAIN`).
    Drained,
    /// When what was written is sent; what has been received and not been read is thrown away (`TCSAFLUSH`).
    Flushed,
}

/// Which data is thrown away (`flush_queue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// What has been received and not been read (`TCIFLUSH`).
    Input,
    /// What was written and is not sent (`TCOFLUSH`).
    Output,
    /// Both (`TCIOFLUSH`).
    Both,
}

/// What is stopped or goes on (`flow_action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Output stops (`TCOOFF`).
    StopOutput,
    /// Output goes on (`TCOON`).
    StartOutput,
    /// The other side is told to stop (`TCIOFF`).
    StopInput,
    /// The other side is told to go on (`TCION`).
    StartInput,
}

/// The attributes of a terminal (`tcgetattr`). Known at once.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// use lwt_unix::term::{LocalFlags, tcgetattr};
/// assert!(tcgetattr(&terminal)?.local_flags.contains(LocalFlags::ICANON)); // it gives whole lines
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ENOTTY` when it is none; `EBADF` when closed.
pub fn tcgetattr(fd: &Fd) -> Result<Termios, Error> {
    fd.with("tcgetattr", calls::get).map(Termios::from)
}

/// Sets the attributes of a terminal (`tcsetattr`). With [`When::Now`] it is done when this returns;
/// otherwise a job thread waits for the line.
///
/// A cancel does not stop a thread that waits: the attributes are set all the same. In a program that is in
/// the terminal's background the system may stop the whole program here (`SIGTTOU`).
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// use lwt_unix::term::{LocalFlags, When, tcgetattr, tcsetattr};
/// let mut silent = tcgetattr(&terminal)?;
/// silent.local_flags.remove(LocalFlags::ECHO);
/// # let kept = terminal.clone();
/// lwt_unix::run(async move { tcsetattr(&terminal, When::Drained, &silent).await })?;
/// # assert!(!tcgetattr(&kept)?.local_flags.contains(LocalFlags::ECHO));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ENOTTY`, `EINVAL`; `EBADF` when closed; `Canceled`.
pub fn tcsetattr(fd: &Fd, when: When, attributes: &Termios) -> Promise<()> {
    let raw = raw(attributes);
    let number = match when {
        When::Now => return done(fd.with("tcsetattr", |fd| calls::set(fd, libc::TCSANOW, &raw))),
        When::Drained => libc::TCSADRAIN,
        When::Flushed => libc::TCSAFLUSH,
    };
    as_job(fd, "tcsetattr", move |fd| calls::set(fd, number, &raw))
}

/// Sends a break for a quarter to half a second, or for `duration` times that or a like time, as the system
/// takes it (`tcsendbreak`). A job thread waits for it; a cancel does not stop it.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// lwt_unix::run(async move { lwt_unix::term::tcsendbreak(&terminal, 0).await })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`tcdrain`].
pub fn tcsendbreak(fd: &Fd, duration: i32) -> Promise<()> {
    as_job(fd, "tcsendbreak", move |fd| calls::send_break(fd, duration))
}

/// Waits until what was written is sent (`tcdrain`). A job thread does; a cancel does not stop it.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// lwt_unix::run(async move {
///     terminal.write_all(b"the last words\n").await?;
///     lwt_unix::term::tcdrain(&terminal).await
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ENOTTY`; `EBADF` when closed; `Canceled`.
pub fn tcdrain(fd: &Fd) -> Promise<()> {
    as_job(fd, "tcdrain", calls::drain)
}

/// Throws away what is under way (`tcflush`). Done when it returns.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// use lwt_unix::term::{Queue, tcflush};
/// tcflush(&terminal, Queue::Input)?; // what was typed too early
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ENOTTY`; `EBADF` when closed.
pub fn tcflush(fd: &Fd, queue: Queue) -> Result<(), Error> {
    let number = match queue {
        Queue::Input => libc::TCIFLUSH,
        Queue::Output => libc::TCOFLUSH,
        Queue::Both => libc::TCIOFLUSH,
    };
    fd.with("tcflush", |fd| calls::flush(fd, number))
}

/// Stops a direction, or lets it go on (`tcflow`). Telling the other side takes a character on the line, for
/// which there may have to be room first, so a job thread does it; a cancel does not stop it.
///
/// ```
/// # fn main() -> Result<(), lwt_core::Error> {
/// # let ends = nix::pty::openpty(None, None).map_err(std::io::Error::from)?;
/// # let terminal = lwt_unix::fd::Fd::new(ends.slave)?;
/// use lwt_unix::term::{Flow, tcflow};
/// lwt_unix::run(async move {
///     tcflow(&terminal, Flow::StopOutput).await?;
///     tcflow(&terminal, Flow::StartOutput).await
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`tcdrain`].
pub fn tcflow(fd: &Fd, action: Flow) -> Promise<()> {
    let number = match action {
        Flow::StopOutput => libc::TCOOFF,
        Flow::StartOutput => libc::TCOON,
        Flow::StopInput => libc::TCIOFF,
        Flow::StartInput => libc::TCION,
    };
    match action {
        Flow::StopOutput | Flow::StartOutput => done(fd.with("tcflow", |fd| calls::flow(fd, number))),
        Flow::StopInput | Flow::StartInput => as_job(fd, "tcflow", move |fd| calls::flow(fd, number)),
    }
}

/// The system's form. The conversion that `nix` has leaves what was changed in the public fields behind.
fn raw(attributes: &Termios) -> libc::termios {
    let mut raw = libc::termios::from(attributes.clone());
    raw.c_iflag = attributes.input_flags.bits();
    raw.c_oflag = attributes.output_flags.bits();
    raw.c_cflag = attributes.control_flags.bits();
    raw.c_lflag = attributes.local_flags.bits();
    raw.c_cc = attributes.control_chars;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        raw.c_line = attributes.line_discipline;
    }
    raw
}

fn done(result: Result<(), Error>) -> Promise<()> {
    match result {
        Ok(()) => Promise::ready(()),
        Err(error) => Promise::fail(error),
    }
}

fn as_job(
    fd: &Fd,
    call: &'static str,
    f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> + Send + 'static,
) -> Promise<()> {
    match fd.held(call) {
        Ok(held) => job::run_job(None, move || f(held.as_fd()).during(call)),
        Err(error) => Promise::fail(error),
    }
}
