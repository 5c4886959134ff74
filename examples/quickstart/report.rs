//! What the user gets to see: the progress bar (on a terminal only), the problems, the summary line.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The counts of one run, and where they are shown.
pub(crate) struct Report {
    bar: ProgressBar,
    files: Cell<u64>,
    bytes: Cell<u64>,
    problems: Cell<u64>,
}

impl Report {
    /// The bar expects so many bytes; files may have grown or shrunk since they were counted.
    pub(crate) fn new(bytes: u64) -> Report {
        // On what is not a terminal this target draws nothing.
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}") {
            bar.set_style(style);
        }
        Report { bar, files: Cell::new(0), bytes: Cell::new(0), problems: Cell::new(0) }
    }

    /// So many bytes have arrived.
    pub(crate) fn progress(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// A file was compared and agrees.
    pub(crate) fn agrees(&self, bytes: u64) {
        self.files.set(self.files.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{} files", self.files.get()));
        }
    }

    /// Something is wrong: it is named at once.
    pub(crate) fn problem(&self, text: &str) {
        self.problems.set(self.problems.get() + 1);
        self.bar.suspend(|| complain(text));
    }

    /// Something that the user may want to know.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| complain(text));
    }

    /// Prints the summary line; the exit code that goes with it.
    pub(crate) fn summary(&self) -> ExitCode {
        self.bar.finish_and_clear();
        let (files, bytes) = (self.files.get(), self.bytes.get());
        match self.problems.get() {
            0 => say(&format!("quickstart: {files} files, {bytes} bytes, all digests agree")),
            problems => {
                say(&format!("quickstart: {files} files, {bytes} bytes agree, {problems} problems"));
                ExitCode::FAILURE
            }
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("files", &self.files)
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

/// Prints a line on standard output. If nobody reads it the run was for nothing, and the exit code says so.
pub(crate) fn say(line: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line on standard error. If nobody reads that either there is nobody to be told.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "quickstart: {text}");
}
