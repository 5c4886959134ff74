//! Faults on purpose: a [`Plan`] makes system calls of this crate fail, be interrupted, or do less than they
//! were asked for, at places that a test chooses or draws from a seed.
//!
//! A program that is right when everything works may still lose a byte, leak a descriptor or spin when a read
//! is interrupted, a write takes a third of its buffer, or no descriptor is left for `accept`. Such days
//! cannot be waited for. A plan makes them: it is a list of [`Rule`]s, each of which says which calls, when,
//! and what happens to them.
//!
//! ```
//! use lwt_unix::faults::{Plan, Rule};
//! use lwt_unix::net::UnixStream;
//!
//! # fn main() -> Result<(), lwt_core::Error> {
//! let plan = Plan::seeded(7)
//!     .with(Rule::writes().short(3))
//!     .with(Rule::any().chance(0.2).interrupted(2))
//!     .with(Rule::on(["recvmsg"]).nth(2).would_block());
//! let faults = plan.install();
//! let text = lwt_unix::run(async {
//!     let (left, right) = UnixStream::pair()?;
//!     left.write_all(b"nothing is lost").await?;
//!     drop(left);
//!     let mut text = vec![0; 15];
//!     right.read_exact(&mut text).await?;
//!     Ok::<_, lwt_core::Error>(text)
//! })?;
//! assert_eq!(text, b"nothing is lost");
//! assert!(faults.injected() > 0);
//! # Ok(())
//! # }
//! ```
//!
//! A plan is in force on the thread that [installs](Plan::install) it, as long as the guard lives, and in the
//! [jobs](crate::detach) that the thread asks for meanwhile. It concerns the calls that this crate makes for
//! its users, under the names of the system's manual: `"recv"`, `"accept4"`, `"openat"`. Two kinds of calls
//! it does not: those of the engine's wait for events, and those that programs make themselves. Without a
//! plan a call costs one load more.
//!
//! What each fault means:
//!
//! * *Interrupted* calls fail with `EINTR` so many times in a row. This crate makes them again, so that users
//!   see nothing. `connect`, `close` and `tcsendbreak`, which must not be made again, have done their work
//!   then.
//! * *Would block* is `EAGAIN`, followed by a report of readiness in the loop's next turn, as the kernel
//!   would give it. It makes sense for calls that may wait (reading, writing, accepting); to others it is an
//!   error like any other.
//! * A *short* transfer is asked for fewer bytes than there are. Nothing is lost: what was not transferred is
//!   there for the next call. Datagrams are never cut.
//! * An *error* is reported in place of the call, which is not made; except `close`, which is.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::rule::{Fault, When};
use crate::sys::hook;

mod rule;

pub use self::rule::Rule;

/// What is to go wrong: rules, and the seed of what they leave to chance. The [module](self) has an example.
///
/// The first rule that has something to say about a call decides.
#[derive(Debug, Clone, Default)]
#[must_use = "a plan does nothing before it is installed"]
pub struct Plan {
    seed: u64,
    rules: Vec<Rule>,
}

impl Plan {
    /// A plan without rules whose draws come from `seed`.
    pub fn seeded(seed: u64) -> Plan {
        Plan { seed, rules: Vec::new() }
    }

    /// The plan with one rule more.
    pub fn with(mut self, rule: Rule) -> Plan {
        self.rules.push(rule);
        self
    }

    /// Puts the plan in force on this thread, in place of what was, until the guard is dropped. It counts
    /// from the beginning each time.
    pub fn install(&self) -> InForce {
        let rules =
            self.rules.iter().map(|rule| Counted { rule: rule.clone(), ..Counted::default() }).collect();
        let force = Arc::new(Force { seed: self.seed, rules, calls: AtomicU64::new(0) });
        InForce { before: hook::put_in_force(Some(Arc::clone(&force))), force, here: PhantomData }
    }
}

/// A plan in force; dropping it puts back what was before. If it is dropped by a panic it prints the plan,
/// with its seed and what it has done, to standard error.
#[must_use = "the plan is in force only as long as this lives"]
pub struct InForce {
    force: Arc<Force>,
    before: Option<Arc<Force>>,
    /// It is this thread's.
    here: PhantomData<*const ()>,
}

impl InForce {
    /// How many faults the plan has injected so far.
    pub fn injected(&self) -> u64 {
        self.force.rules.iter().map(Counted::injected).sum()
    }

    /// How many calls have been attempted so far, those that were interrupted or refused included: what a
    /// test bounds to show that nothing spins.
    pub fn calls(&self) -> u64 {
        self.force.calls.load(Ordering::Relaxed)
    }

    /// How many each rule has injected so far, in the order of the rules.
    pub fn injected_by_rule(&self) -> Vec<u64> {
        self.force.rules.iter().map(Counted::injected).collect()
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        drop(hook::put_in_force(self.before.take()));
        if std::thread::panicking() {
            use std::io::Write;
            // With standard error closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "the faults in force: {:?}", self.force);
        }
    }
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.force.fmt(f)
    }
}

/// Makes a call that is not one of this crate's under the plan that is in force, if one is; `name` is what
/// rules know it by. An interrupted call is made again.
///
/// ```
/// use lwt_unix::faults::{Plan, Rule, call};
/// let faults = Plan::seeded(1).with(Rule::on(["mine"]).error(libc::ENOSPC)).install();
/// assert_eq!(call("mine", || Ok(7)).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
/// drop(faults);
/// assert_eq!(call("mine", || Ok(7)).unwrap(), 7);
/// ```
///
/// # Errors
/// The call's, or the plan's in place of it.
pub fn call<R>(name: &'static str, mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let mut made = move || loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    };
    if hook::hooked() { hook::passed(name, made) } else { made() }
}

/// A plan that is in force, with its counts; jobs carry it to their threads.
pub(crate) struct Force {
    seed: u64,
    rules: Vec<Counted>,
    calls: AtomicU64,
}

struct Counted {
    rule: Rule,
    /// The calls that it concerned.
    calls: AtomicU64,
    injected: AtomicU64,
}

impl Default for Counted {
    fn default() -> Counted {
        Counted { rule: Rule::any(), calls: AtomicU64::new(0), injected: AtomicU64::new(0) }
    }
}

impl Counted {
    fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }

    /// Counts a call that the rule concerns, and says whether the rule applies to it.
    fn applies(&self, draw: impl FnOnce(u64) -> f64) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let due = match self.rule.when {
            When::Always => true,
            When::Nth(n) => call == n,
            When::Every(n) => call.is_multiple_of(n),
            When::Chance(probability) => draw(call) < probability,
        };
        let room = |done| (done < self.rule.most).then_some(done + 1);
        due && self.injected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_ok()
    }
}

impl Force {
    /// The error of this call, and how many times in a row, if it is to have one.
    pub(crate) fn refusal(&self, call: &str) -> Option<(i32, u32)> {
        self.count();
        self.first(call, |fault| match fault {
            Fault::Interrupted(times) => Some((libc::EINTR, times)),
            Fault::Error(number) => Some((number, 1)),
            Fault::Short(_) => None,
        })
    }

    /// Counts an attempt of a call.
    pub(crate) fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// The most bytes that this call may transfer, if there is a bound.
    pub(crate) fn cut(&self, call: &str) -> Option<usize> {
        self.first(call, |fault| match fault {
            Fault::Short(bytes) => Some(bytes),
            Fault::Interrupted(_) | Fault::Error(_) => None,
        })
    }

    /// What the first rule says that applies to this call and means a fault of the kind that is asked for.
    fn first<T>(&self, call: &str, meant: impl Fn(Fault) -> Option<T>) -> Option<T> {
        self.rules.iter().enumerate().find_map(|(place, counted)| {
            let said = meant(counted.rule.fault).filter(|_| counted.rule.concerns(call))?;
            counted.applies(|call| self.draw(place, call)).then_some(said)
        })
    }

    /// A number between 0 and 1 for the `call`th call of the rule at this place; the same in each run.
    fn draw(&self, place: usize, call: u64) -> f64 {
        let stream = mix(self.seed ^ mix(place as u64 + 1));
        (mix(stream.wrapping_add(call)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Spreads a number over all bits: each input has its own output.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for Force {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}", self.seed)?;
        for counted in &self.rules {
            let calls = counted.calls.load(Ordering::Relaxed);
            write!(f, "; {} ({} of {calls} calls)", counted.rule, counted.injected())?;
        }
        Ok(())
    }
}

/// Has a closure run under the plan that is in force here now, on whatever thread it is called.
pub(crate) fn carried<R>(f: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let force = hook::force();
    move || {
        let _in_force = force.map(|force| InForce {
            before: hook::put_in_force(Some(Arc::clone(&force))),
            force,
            here: PhantomData,
        });
        f()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    fn outcomes(calls: usize) -> Vec<Option<i32>> {
        let call = |_| sys::retry("test", || 1).err().and_then(|error| error.raw_os_error());
        (0..calls).map(call).collect()
    }

    #[test]
    fn a_rule_strikes_where_it_says() {
        let installed = Plan::seeded(1).with(Rule::on(["test"]).nth(2).error(libc::ENOSPC)).install();
        assert_eq!(outcomes(4), [None, Some(libc::ENOSPC), None, None]);
        assert_eq!(installed.injected(), 1);
        drop(installed);
        let installed = Plan::seeded(1).with(Rule::any().every(2).times(2).error(libc::EIO)).install();
        assert_eq!(outcomes(7), [None, Some(5), None, Some(5), None, None, None]);
        assert_eq!(installed.injected_by_rule(), [2]);
        drop(installed);
        let installed = Plan::seeded(1).with(Rule::on(["other"]).error(libc::EIO)).install();
        assert_eq!(outcomes(3), [None; 3]);
        drop(installed);
        assert_eq!(outcomes(3), [None; 3]);
    }

    #[test]
    fn interruptions_are_absorbed_and_belong_to_one_call() {
        let installed = Plan::seeded(1).with(Rule::any().nth(1).interrupted(5)).install();
        let mut made = 0;
        let done = sys::retry("test", || {
            made += 1;
            7
        });
        assert_eq!((done.ok(), made), (Some(7), 1));
        assert_eq!(sys::once("test", || 8).ok(), Some(8));
        drop(installed);
        let _installed = Plan::seeded(1).with(Rule::any().nth(1).interrupted(5)).install();
        let mut made = 0;
        let interrupted = sys::once("test", || {
            made += 1;
            7
        });
        assert_eq!(interrupted.map_err(|error| error.raw_os_error()), Err(Some(libc::EINTR)));
        assert_eq!(made, 1);
        assert_eq!(sys::once("test", || 8).ok(), Some(8));
    }

    #[test]
    fn one_seed_draws_the_same_and_plans_are_nested() {
        let plan = Plan::seeded(42).with(Rule::any().chance(0.5).error(libc::EIO));
        let mut runs = (0..2).map(|_| {
            let _installed = plan.install();
            outcomes(200)
        });
        let first = runs.next();
        assert_eq!(first, runs.next());
        let struck = first.into_iter().flatten().flatten().count();
        assert!((60..140).contains(&struck), "{struck}");
        let outer = Plan::seeded(0).with(Rule::any().error(libc::EPERM)).install();
        let inner = Plan::seeded(43).with(Rule::any().chance(0.5).error(libc::EIO)).install();
        let other = outcomes(200);
        drop(inner);
        assert_eq!(outcomes(1), [Some(libc::EPERM)]);
        drop(outer);
        let _installed = plan.install();
        assert_ne!(other, outcomes(200));
    }

    #[test]
    fn rules_can_be_read() {
        let rule = Rule::on(["recv", "read"]).chance(0.25).interrupted(3);
        assert_eq!(rule.to_string(), "recv|read, with probability 0.25: interrupted 3 times");
        assert_eq!(Rule::any().nth(11).short(1).to_string(), "any call, the 11th: at most 1 bytes");
        let installed = Plan::seeded(5).with(Rule::any().error(libc::ENFILE)).install();
        assert_eq!(outcomes(1), [Some(libc::ENFILE)]);
        assert_eq!(format!("{installed:?}"), "seed 5; any call: ENFILE (1 of 1 calls)");
    }
}
