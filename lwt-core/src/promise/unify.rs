//! Making two pending promises one: what happens when a callback returns a promise that is still pending.
//!
//! The *inner* promise is the one that the callback returned, the *outer* the one that `bind` made. The inner
//! cell forwards to the outer one, which takes over its callbacks (behind its own, in O(1)), its shares, and
//! the way a cancel goes on. So a loop by tail `bind` has one cell that stays and a chain that never grows,
//! and runs in constant memory.

use super::cell::{Body, HAS_EARLY, Phase, Raw, Route, SILENT};
use super::handle::Handle;
use super::teardown;

/// Forwards `inner` to `outer`; both are pending and not the same root.
pub(crate) fn unify<T>(outer: Raw, inner: Handle<T>) {
    let root = inner.root();
    // The ref of the handle; its share is what is consumed by being returned.
    // SAFETY: the handle owned it.
    let alive = unsafe { super::cell::Ref::adopt(inner.into_raw()) };
    outer.add_shares(root.shares() - 1);
    if root.shares() > 1 {
        outer.clear(SILENT); // somebody cares
    }
    root.clear_shares();
    // SAFETY: both start with a `Body<T>`.
    let (into, from) = unsafe { (&(*outer.as_ptr::<Body<T>>()).clone, &(*root.as_ptr::<Body<T>>()).clone) };
    into.set(into.get().or(from.get()));
    outer.callbacks.append(&root.callbacks);
    outer.set(root.flags(HAS_EARLY));

    drop(outer.take_link());
    outer.set_route(root.route());
    let source = match root.linked() {
        // The inner cell is itself the source: from now on the outer one keeps it alive.
        Some(link) if link == root => Some(root.retain()),
        _ => root.take_link(),
    };
    outer.set_link(source.map(super::cell::Ref::into_raw));

    root.set_phase(Phase::Forwarded);
    root.set_route(Route::Fixed);
    root.set_link(Some(outer.retain().into_raw()));
    drop(alive);
    if outer.shares() == 0 {
        teardown::unwanted(outer);
    }
}
