//! Waiting for all: `join`, `all`, `both`, and `join!` for promises of different types.
//!
//! The cell counts its pending members; each tells it when it is resolved. The values stay where they are
//! until the last member is resolved, and are then taken in order. Nothing is polled, nothing is quadratic.

use std::cell::Cell;
use std::mem::offset_of;

use crate::origin::Origin;
use crate::{Error, memory};

use super::Promise;
use super::attach::caught_result;
use super::cancel::Visitor;
use super::cascade::{self, When};
use super::cell::{Body, Header, Raw, Route, VTable, abort_nothing, reject};
use super::handle::{Handle, Owner, dealloc_as, enlist, expire};
use super::members::{Member, Members, Parent};

/// What is waited for: a list or a tuple of members.
pub(crate) trait Group: Sized + 'static {
    /// The values, together.
    type Output: 'static;

    fn any_pending(&self) -> bool;
    /// Links every member; returns how many are pending, and the first error among those that are not.
    ///
    /// # Safety
    /// As [`Member::link`], for each.
    unsafe fn link(this: *const Self, cell: Raw) -> (usize, Option<Error>);
    fn unlink(&self);
    fn roots(&self) -> Vec<Raw>;
    /// Takes every value, or the first error of the list; all others are dropped silently.
    fn collect(&self) -> Result<Self::Output, Error>;
}

#[repr(C)]
struct Join<G: Group> {
    body: Body<G::Output>,
    group: G,
    pending: Cell<usize>,
    error: Cell<Option<Error>>,
}

impl<T, G: Group> Parent<T> for Join<G> {
    unsafe fn resolved(cell: Raw, member: *const Member<T>) {
        // SAFETY: the cell is a `Join<G>`, alive, by the caller.
        let join = unsafe { &*cell.as_ptr::<Join<G>>() };
        let first = join.error.take();
        // SAFETY: the member is alive, by the caller.
        join.error.set(first.or_else(|| unsafe { &*member }.error()));
        join.pending.set(join.pending.get() - 1);
        if join.pending.get() == 0 {
            // SAFETY: the ref is made for this.
            let owner = unsafe { Owner::<G::Output>::adopt(cell.retain().into_raw()) };
            let collected = caught_result(|| join.group.collect());
            let first = join.error.take();
            if let Some(first) = &first {
                first.mark_fresh(); // it was dropped with the others, but lives on as the result
            }
            let _ = owner.resolve(first.map_or(collected, Err), When::Now);
        }
    }
}

pub(crate) fn group<G: Group>(group: G, origin: Origin) -> Promise<G::Output> {
    if !group.any_pending() {
        // The others may have had the same error.
        return Promise::settled(caught_result(|| group.collect()).inspect_err(Error::mark_fresh));
    }
    let vtable = const {
        &VTable {
            dealloc: dealloc::<G>,
            reject: reject::<G::Output>,
            expire: expire::<G::Output>,
            visit: visit::<G>,
            detach: detach::<G>,
            runs: false,
            abort: abort_nothing,
        }
    };
    let block = memory::boxed(Join {
        body: Body::<G::Output>::new(Header::new(vtable, 1, 1, Route::Source, origin)),
        group,
        pending: Cell::new(0),
        error: Cell::new(None),
    });
    // SAFETY: the block starts with a header and has a ref.
    let cell = unsafe { Raw::new(block) };
    enlist(cell);
    cell.set_link(Some(cell));
    // SAFETY: the members are unlinked by `detach`, at the latest when the block is freed. Linking runs no
    // user code.
    let (pending, error) = unsafe { G::link(group_of::<G>(cell), cell) };
    // SAFETY: the cell is a `Join<G>`, alive.
    let join = unsafe { &*cell.as_ptr::<Join<G>>() };
    join.pending.set(pending);
    join.error.set(error);
    // SAFETY: the ref and the share that the cell was made with.
    Promise::from_handle(unsafe { Handle::adopt(cell) })
}

fn group_of<G: Group>(cell: Raw) -> *const G {
    cell.as_ptr::<u8>().wrapping_add(offset_of!(Join<G>, group)).cast()
}

unsafe fn visit<G: Group>(cell: Raw, visitor: &mut dyn Visitor) {
    // SAFETY: the cell is a `Join<G>`, alive.
    visitor.waits_on(&mut unsafe { &*group_of::<G>(cell) }.roots().into_iter());
}

unsafe fn detach<G: Group>(cell: Raw) -> bool {
    // SAFETY: the cell is a `Join<G>`, alive.
    let group = unsafe { &*group_of::<G>(cell) };
    group.unlink();
    true
}

unsafe fn dealloc<G: Group>(cell: Raw) {
    // SAFETY: the cell is a `Join<G>`, not freed yet.
    unsafe { detach::<G>(cell) };
    // SAFETY: no ref is left.
    unsafe { dealloc_as::<Join<G>>(cell) };
}

/// Takes one member's value; the first error is kept, later ones are dropped silently.
fn collect_one<T>(member: &Member<T>, error: &mut Option<Error>) -> Option<T> {
    let promise = member.take();
    if error.is_some() {
        promise.drop_silently();
        return None;
    }
    match promise.try_take() {
        Ok(Ok(value)) => Some(value),
        Ok(Err(first)) => {
            *error = Some(first);
            None
        }
        // Not reached: all members are resolved.
        Err(pending) => {
            drop(pending);
            None
        }
    }
}

/// A list whose values are collected.
struct All<T>(Members<T>);

impl<T: 'static> All<T> {
    fn new(promises: impl IntoIterator<Item = Promise<T>>) -> All<T> {
        All(Members::collect(promises))
    }
}

impl<T: 'static> Group for All<T> {
    type Output = Vec<T>;

    fn any_pending(&self) -> bool {
        self.0.iter().any(Member::is_pending)
    }

    unsafe fn link(this: *const Self, cell: Raw) -> (usize, Option<Error>) {
        // SAFETY: alive, by the caller.
        let members = unsafe { &*this };
        let (mut pending, mut error) = (0, None);
        for member in members.0.pointers() {
            // SAFETY: by the caller.
            if unsafe { Member::link::<Join<Self>>(member, cell) } {
                pending += 1;
            } else if error.is_none() {
                // SAFETY: alive, by the caller.
                error = unsafe { &*member }.error();
            }
        }
        (pending, error)
    }

    fn unlink(&self) {
        self.0.unlink();
        self.0.iter().for_each(|member| cascade::guarded(|| drop(member.take())));
    }

    fn roots(&self) -> Vec<Raw> {
        self.0.iter().filter_map(Member::root).collect()
    }

    fn collect(&self) -> Result<Vec<T>, Error> {
        let mut error = None;
        let mut values = Vec::with_capacity(self.0.len());
        for member in self.0.iter() {
            values.extend(collect_one(member, &mut error));
        }
        error.map_or(Ok(values), Err)
    }
}

macro_rules! tuple_group {
    ($join:ident, $($t:ident $i:tt),+) => {
        impl<$($t: 'static),+> Group for ($(Member<$t>,)+) {
            type Output = ($($t,)+);

            fn any_pending(&self) -> bool {
                $(self.$i.is_pending())||+
            }

            unsafe fn link(this: *const Self, cell: Raw) -> (usize, Option<Error>) {
                let (mut pending, mut error) = (0, None);
                $(
                    // From the block's pointer, not through a reference to the tuple.
                    // SAFETY: alive, by the caller.
                    let member = unsafe { &raw const (*this).$i };
                    // SAFETY: by the caller.
                    if unsafe { Member::link::<Join<Self>>(member, cell) } {
                        pending += 1;
                    } else if error.is_none() {
                        // SAFETY: alive, by the caller.
                        error = unsafe { &*member }.error();
                    }
                )+
                (pending, error)
            }

            fn unlink(&self) {
                $(self.$i.unlink();)+
                $(cascade::guarded(|| drop(self.$i.take()));)+
            }

            fn roots(&self) -> Vec<Raw> {
                [$(self.$i.root()),+].into_iter().flatten().collect()
            }

            fn collect(&self) -> Result<Self::Output, Error> {
                let mut error = None;
                let values = ($(collect_one(&self.$i, &mut error),)+);
                match (values, error) {
                    (_, Some(error)) => Err(error),
                    #[allow(non_snake_case, reason = "a variable for each type")]
                    (($(Some($t),)+), None) => Ok(($($t,)+)),
                    (_, None) => Err(Error::abandoned()), // not reached: no value without an error
                }
            }
        }

        /// What `join!` expands to.
        #[doc(hidden)]
        #[track_caller]
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "a variable for each type")]
        pub fn $join<$($t: 'static),+>($($t: Promise<$t>),+) -> Promise<($($t,)+)> {
            group(($(Member::new($t),)+), Origin::caller())
        }
    };
}

tuple_group!(join1, A 0);
tuple_group!(join2, A 0, B 1);
tuple_group!(join3, A 0, B 1, C 2);
tuple_group!(join4, A 0, B 1, C 2, D 3);
tuple_group!(join5, A 0, B 1, C 2, D 3, E 4);
tuple_group!(join6, A 0, B 1, C 2, D 3, E 4, F 5);
tuple_group!(join7, A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple_group!(join8, A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// Waits for all of them (`Lwt.join`).
///
/// Resolved when the last one is. If some are rejected it is rejected with the first rejection in time (in
/// list order, where several were rejected at the call). Fulfilled at once if there are none. A cancel goes
/// to every one.
///
/// ```
/// use lwt_core::{join, wait};
/// let ((p, r), (q, s)) = (wait(), wait());
/// let both = join([p, q]);
/// r.wakeup(());
/// assert!(both.is_pending());
/// s.wakeup(());
/// assert!(!both.is_pending());
/// ```
#[track_caller]
pub fn join(promises: impl IntoIterator<Item = Promise<()>>) -> Promise<()> {
    let origin = Origin::caller();
    // A vector of units allocates nothing.
    group(All::<()>::new(promises), origin).map(drop)
}

/// Waits for all of them and gives their values in order (`Lwt.all`); otherwise as [`join`].
///
/// ```
/// use lwt_core::{Promise, State, all};
/// assert!(matches!(all((1..4).map(Promise::ready)).state(), State::Fulfilled(v) if *v == [1, 2, 3]));
/// ```
#[track_caller]
pub fn all<T: 'static>(promises: impl IntoIterator<Item = Promise<T>>) -> Promise<Vec<T>> {
    let origin = Origin::caller();
    group(All::new(promises), origin)
}

/// Waits for both and gives their values (`Lwt.both`, `and*`); otherwise as [`join`].
///
/// ```
/// use lwt_core::{Promise, State, both};
/// assert!(matches!(both(Promise::ready(1), Promise::ready("a")).state(), State::Fulfilled((1, "a"))));
/// ```
#[track_caller]
pub fn both<A: 'static, B: 'static>(a: Promise<A>, b: Promise<B>) -> Promise<(A, B)> {
    join2(a, b)
}
