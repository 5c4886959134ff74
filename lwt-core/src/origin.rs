//! Where something was made: a source line under the features that show it, nothing otherwise.

/// The line of the caller, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    #[cfg(any(feature = "trace", feature = "registry"))]
    pub(crate) line: &'static std::panic::Location<'static>,
}

impl Origin {
    #[inline(always)]
    #[track_caller]
    pub(crate) fn caller() -> Origin {
        Origin {
            #[cfg(any(feature = "trace", feature = "registry"))]
            line: std::panic::Location::caller(),
        }
    }

    /// Adds the line to the error's trace.
    #[inline(always)]
    pub(crate) fn trace(self, error: &crate::Error) {
        #[cfg(feature = "trace")]
        error.push_trace(self.line);
        #[cfg(not(feature = "trace"))]
        let _ = error;
    }
}
