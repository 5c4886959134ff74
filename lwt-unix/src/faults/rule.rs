//! [`Rule`]: which calls, when, and what happens to them.

use std::fmt;

/// The calls that fill buffers.
const READS: &[&str] =
    &["read", "readv", "recv", "recvmsg", "recvfrom", "pread", "preadv", "preadv2", "splice", "sendfile"];
/// The calls that empty buffers.
const WRITES: &[&str] = &[
    "write",
    "writev",
    "send",
    "sendmsg",
    "sendto",
    "pwrite",
    "pwritev",
    "pwritev2",
    "sendfile",
    "splice",
    "copy_file_range",
];

/// Which calls, when, and what happens to them: one line of a [`Plan`](super::Plan).
///
/// A rule that says no more concerns every call that it names, for ever, and makes it fail with `EIO`.
///
/// ```
/// use lwt_unix::faults::Rule;
/// // Every third `accept4` finds no descriptor left, five times in all.
/// let rule = Rule::on(["accept4"]).every(3).times(5).error(libc::EMFILE);
/// assert_eq!(rule.to_string(), "accept4, every 3rd, 5 times: EMFILE");
/// ```
#[derive(Debug, Clone)]
#[must_use = "a rule does nothing by itself: give it to `Plan::with`"]
pub struct Rule {
    calls: Calls,
    pub(super) when: When,
    pub(super) most: u64,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone)]
enum Calls {
    Any,
    Named(Vec<&'static str>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Always,
    Nth(u64),
    Every(u64),
    /// With this probability.
    Chance(f64),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Interrupted(u32),
    Short(usize),
    Error(i32),
}

impl Rule {
    fn of(calls: Calls) -> Rule {
        Rule { calls, when: When::Always, most: u64::MAX, fault: Fault::Error(libc::EIO) }
    }

    /// A rule for the calls of these names.
    pub fn on(calls: impl IntoIterator<Item = &'static str>) -> Rule {
        Rule::of(Calls::Named(calls.into_iter().collect()))
    }

    /// A rule for every call.
    pub fn any() -> Rule {
        Rule::of(Calls::Any)
    }

    /// A rule for the calls that read: `read`, `recv`, `recvmsg`, `pread` and their like.
    pub fn reads() -> Rule {
        Rule::on(READS.iter().copied())
    }

    /// A rule for the calls that write: `write`, `send`, `sendmsg`, `pwrite` and their like.
    pub fn writes() -> Rule {
        Rule::on(WRITES.iter().copied())
    }

    /// Only the `n`th call that the rule concerns, counted from 1.
    pub fn nth(mut self, n: u64) -> Rule {
        self.when = When::Nth(n);
        self
    }

    /// Every `n`th call that the rule concerns.
    pub fn every(mut self, n: u64) -> Rule {
        self.when = When::Every(n.max(1));
        self
    }

    /// Each call with this probability, between 0 and 1, drawn from the plan's seed: the same of the calls in
    /// each run.
    pub fn chance(mut self, probability: f64) -> Rule {
        self.when = When::Chance(probability);
        self
    }

    /// At most so many times.
    pub fn times(mut self, n: u64) -> Rule {
        self.most = n;
        self
    }

    /// The call is interrupted by a signal (`EINTR`), so many times in a row.
    pub fn interrupted(mut self, times: u32) -> Rule {
        self.fault = Fault::Interrupted(times.max(1));
        self
    }

    /// The call would block (`EAGAIN`).
    pub fn would_block(self) -> Rule {
        self.error(libc::EAGAIN)
    }

    /// The call transfers at most so many bytes; at least one.
    pub fn short(mut self, bytes: usize) -> Rule {
        self.fault = Fault::Short(bytes.max(1));
        self
    }

    /// The call fails with this error of the system (`errno`).
    pub fn error(mut self, number: i32) -> Rule {
        self.fault = if number == libc::EINTR { Fault::Interrupted(1) } else { Fault::Error(number) };
        self
    }

    pub(super) fn concerns(&self, call: &str) -> bool {
        match &self.calls {
            Calls::Any => true,
            Calls::Named(names) => names.contains(&call),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.calls {
            Calls::Any => f.write_str("any call")?,
            Calls::Named(names) => f.write_str(&names.join("|"))?,
        }
        match self.when {
            When::Always => {}
            When::Nth(n) => write!(f, ", the {}", Ordinal(n))?,
            When::Every(n) => write!(f, ", every {}", Ordinal(n))?,
            When::Chance(p) => write!(f, ", with probability {p}")?,
        }
        if self.most != u64::MAX {
            write!(f, ", {} times", self.most)?;
        }
        match self.fault {
            Fault::Interrupted(times) => write!(f, ": interrupted {times} times"),
            Fault::Short(bytes) => write!(f, ": at most {bytes} bytes"),
            Fault::Error(number) => write!(f, ": {}", name_of(number)),
        }
    }
}

/// 1st, 2nd, 3rd, 4th.
struct Ordinal(u64);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match (self.0 % 10, self.0 % 100) {
            (_, 11..=13) => "th",
            (1, _) => "st",
            (2, _) => "nd",
            (3, _) => "rd",
            _ => "th",
        };
        write!(f, "{}{ending}", self.0)
    }
}

/// `EMFILE` and its like.
fn name_of(number: i32) -> String {
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => format!("error {number}"),
        known => format!("{known:?}"),
    }
}
