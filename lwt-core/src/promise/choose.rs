//! Waiting for the first: `choose`, `pick`, `nchoose`, `npick`, `nchoose_split`.
//!
//! One that is resolved at the call decides at once, and no cell is made. Otherwise the first member that is
//! resolved decides; all others are unlinked before anything else happens, so that nothing stays on a promise
//! that lives long. `pick` and `npick` cancel the losers before the result is resolved, so that their
//! handlers run first.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::origin::Origin;
use crate::{Error, memory, random};

use super::Promise;
use super::attach::caught_result;
use super::cancel::{self, Visitor};
use super::cascade::When;
use super::cell::{Body, Header, Raw, Route, VTable, abort_nothing, reject};
use super::handle::{Handle, Owner, dealloc_as, enlist, expire};
use super::members::{Member, Members, Parent};

/// What the function of this family makes of the members when one is resolved.
trait Picking<T>: 'static {
    type Output: 'static;
    const NAME: &'static str;
    /// Whether losers are cancelled.
    const CANCELS: bool;

    /// Takes what belongs to the outcome out of the members, of which at least one is resolved. `winner` is
    /// its place, where a particular one was first.
    fn outcome(members: &Members<T>, winner: Option<usize>) -> Result<Self::Output, Error>;
}

/// The first value.
struct One<const CANCELS: bool>;

impl<T: 'static, const CANCELS: bool> Picking<T> for One<CANCELS> {
    type Output = T;
    const NAME: &'static str = if CANCELS { "pick" } else { "choose" };
    const CANCELS: bool = CANCELS;

    fn outcome(members: &Members<T>, winner: Option<usize>) -> Result<T, Error> {
        let winner = winner.unwrap_or_else(|| draw(members));
        match members.get(winner).map(|member| member.take().try_take()) {
            Some(Ok(outcome)) => outcome,
            _ => Err(Error::abandoned()), // not reached: the winner is one of them, and resolved
        }
    }
}

/// Which of several resolved members is chosen: the first rejected one, else a fulfilled one at random.
fn draw<T>(members: &Members<T>) -> usize {
    let fulfilled = || members.iter().enumerate().filter(|(_, member)| member.is_fulfilled() == Some(true));
    let rejected = members.iter().position(|member| member.is_fulfilled() == Some(false));
    rejected.unwrap_or_else(|| {
        let count = fulfilled().count();
        let chosen = if count > 1 { random::below(count) } else { 0 };
        fulfilled().nth(chosen).map_or(0, |(place, _)| place)
    })
}

/// All values that are there.
struct Many<const CANCELS: bool>;

impl<T: 'static, const CANCELS: bool> Picking<T> for Many<CANCELS> {
    type Output = Vec<T>;
    const NAME: &'static str = if CANCELS { "npick" } else { "nchoose" };
    const CANCELS: bool = CANCELS;

    fn outcome(members: &Members<T>, _: Option<usize>) -> Result<Vec<T>, Error> {
        let rejected = members.iter().find(|member| member.is_fulfilled() == Some(false));
        let resolved = members.iter().filter(|member| member.is_fulfilled().is_some());
        let taken = |member: &Member<T>| member.take().try_take().unwrap_or_else(|_| Err(Error::abandoned()));
        match rejected {
            Some(member) => taken(member).map(|value| vec![value]),
            None => resolved.map(taken).collect(),
        }
    }
}

/// All values that are there, and the promises that are pending.
struct Split;

impl<T: 'static> Picking<T> for Split {
    type Output = (Vec<T>, Vec<Promise<T>>);
    const NAME: &'static str = "nchoose_split";
    const CANCELS: bool = false;

    fn outcome(members: &Members<T>, winner: Option<usize>) -> Result<Self::Output, Error> {
        let values = Many::<false>::outcome(members, winner)?;
        let pending = members.iter().filter(|member| member.is_pending()).map(Member::take);
        Ok((values, pending.collect()))
    }
}

#[repr(C)]
struct Choose<T, P: Picking<T>> {
    body: Body<P::Output>,
    members: Cell<Members<T>>,
    picking: PhantomData<P>,
}

impl<T: 'static, P: Picking<T>> Parent<T> for Choose<T, P> {
    unsafe fn resolved(cell: Raw, member: *const Member<T>) {
        // SAFETY: the cell is a `Choose<T, P>`, alive, by the caller.
        let choose = unsafe { &*cell.as_ptr::<Choose<T, P>>() };
        let members = choose.members.take();
        members.unlink();
        let winner = Some(members.place_of(member));
        // SAFETY: the ref is made for this.
        let owner = unsafe { Owner::<P::Output>::adopt(cell.retain().into_raw()) };
        let _ = owner.resolve(decide::<T, P>(members, winner), When::Now);
    }
}

/// The outcome. What is decided is decided before the losers' handlers run; they are held until they have
/// been cancelled. Does not unwind.
#[track_caller]
fn decide<T, P: Picking<T>>(members: Members<T>, winner: Option<usize>) -> Result<P::Output, Error> {
    // Who only looks at a value that cannot be cloned does so first; then it can be taken.
    members.iter().for_each(Member::run_looking);
    let outcome = caught_result(|| P::outcome(&members, winner));
    if P::CANCELS {
        cancel::cancel_all(members.iter().filter_map(Member::root));
    }
    members.for_each_left(Promise::drop_silently);
    // A loser may have had the same error.
    outcome.inspect_err(Error::mark_fresh)
}

#[track_caller]
fn choose_by<T: 'static, P: Picking<T>>(members: Members<T>, origin: Origin) -> Promise<P::Output> {
    if members.len() == 0 {
        return Promise::fail(Error::msg(format_args!("{} of an empty list would wait for ever", P::NAME)));
    }
    if members.iter().any(|member| !member.is_pending()) {
        return Promise::settled(decide::<T, P>(members, None));
    }
    let vtable = const {
        &VTable {
            dealloc: dealloc_as::<Choose<T, P>>, // the members unlink themselves
            reject: reject::<P::Output>,
            expire: expire::<P::Output>,
            visit: visit::<T, P>,
            detach: detach::<T, P>,
            runs: false,
            abort: abort_nothing,
        }
    };
    let block = memory::boxed(Choose::<T, P> {
        body: Body::new(Header::new(vtable, 1, 1, Route::Source, origin)),
        members: Cell::new(members),
        picking: PhantomData,
    });
    // SAFETY: the block starts with a header and has a ref.
    let cell = unsafe { Raw::new(block) };
    enlist(cell);
    cell.set_link(Some(cell));
    // SAFETY: the cell is a `Choose<T, P>`; nobody takes the members while they are linked: that runs no user
    // code.
    for member in unsafe { &*(*cell.as_ptr::<Choose<T, P>>()).members.as_ptr() }.pointers() {
        // SAFETY: the members lie in their block until they are unlinked.
        unsafe { Member::link::<Choose<T, P>>(member, cell) };
    }
    // SAFETY: the ref and the share that the cell was made with.
    Promise::from_handle(unsafe { Handle::adopt(cell) })
}

unsafe fn visit<T: 'static, P: Picking<T>>(cell: Raw, visitor: &mut dyn Visitor) {
    // SAFETY: the cell is a `Choose<T, P>`, alive.
    let choose = unsafe { &*cell.as_ptr::<Choose<T, P>>() };
    // SAFETY: nobody takes the members while they are looked at: pushing runs no user code.
    let members = unsafe { &*choose.members.as_ptr() };
    visitor.waits_on(&mut members.iter().filter_map(Member::root));
}

unsafe fn detach<T: 'static, P: Picking<T>>(cell: Raw) -> bool {
    // SAFETY: the cell is a `Choose<T, P>`, alive.
    drop(unsafe { &*cell.as_ptr::<Choose<T, P>>() }.members.take());
    true
}

/// The first that is resolved (`Lwt.choose`, `<?>`).
///
/// Where several are resolved at the call: a rejected one if there is one, else one of the fulfilled at
/// random. The others go on; their outcome is lost. A cancel goes to every one.
///
/// An empty list, which would wait for ever, is an error.
///
/// ```
/// use lwt_core::{choose, wait};
/// let ((p, r), (q, _s)) = (wait(), wait());
/// let first = choose([p, q]);
/// r.wakeup(1);
/// first.on_success(|n| assert_eq!(*n, 1));
/// ```
#[inline]
#[track_caller]
pub fn choose<T: 'static>(promises: impl IntoIterator<Item = Promise<T>>) -> Promise<T> {
    choose_by::<T, One<false>>(Members::collect(promises), Origin::caller())
}

/// [`choose`] that cancels all the others, before its own callbacks run (`Lwt.pick`).
///
/// ```
/// use lwt_core::{pick, task};
/// let ((p, r), (q, s)) = (task(), task());
/// s.on_cancel(|| println!("too late"));
/// let first = pick([p, q]);
/// r.wakeup(1);
/// assert!(!s.is_wanted());
/// # drop(first);
/// ```
#[inline]
#[track_caller]
pub fn pick<T: 'static>(promises: impl IntoIterator<Item = Promise<T>>) -> Promise<T> {
    choose_by::<T, One<true>>(Members::collect(promises), Origin::caller())
}

/// Waits for the first, and gives all values that are there then, in list order; rejected if one of them is
/// (`Lwt.nchoose`). Otherwise as [`choose`].
///
/// ```
/// use lwt_core::{Promise, State, nchoose};
/// assert!(matches!(nchoose([Promise::ready(1), Promise::ready(2)]).state(), State::Fulfilled(v) if *v == [1, 2]));
/// ```
#[inline]
#[track_caller]
pub fn nchoose<T: 'static>(promises: impl IntoIterator<Item = Promise<T>>) -> Promise<Vec<T>> {
    choose_by::<T, Many<false>>(Members::collect(promises), Origin::caller())
}

/// [`nchoose`] that cancels those that are still pending (`Lwt.npick`).
///
/// ```
/// use lwt_core::{Promise, State, npick, task};
/// let (p, _r) = task();
/// assert!(matches!(npick([Promise::ready(1), p]).state(), State::Fulfilled(v) if *v == [1]));
/// ```
#[inline]
#[track_caller]
pub fn npick<T: 'static>(promises: impl IntoIterator<Item = Promise<T>>) -> Promise<Vec<T>> {
    choose_by::<T, Many<true>>(Members::collect(promises), Origin::caller())
}

/// [`nchoose`] that also gives the promises that are still pending, in list order (`Lwt.nchoose_split`).
///
/// ```
/// use lwt_core::{Promise, State, nchoose_split, wait};
/// let (p, _r) = wait();
/// let split = nchoose_split([p, Promise::ready(2)]);
/// assert!(matches!(split.state(), State::Fulfilled((values, rest)) if *values == [2] && rest.len() == 1));
/// ```
#[inline]
#[track_caller]
pub fn nchoose_split<T: 'static>(
    promises: impl IntoIterator<Item = Promise<T>>,
) -> Promise<(Vec<T>, Vec<Promise<T>>)> {
    choose_by::<T, Split>(Members::collect(promises), Origin::caller())
}
