//! The intrusive, circular, doubly linked list that callbacks, live tasks and awaits hang in.
//!
//! 1. A [`Links`] is in at most one list; `next` is null while it is in none (or, for a list's own sentinel,
//!    before the list was first used).
//! 2. Linked links do not move and outlive their time in the list: who frees them unlinks them first.
//! 3. Taking one out, appending one and appending a whole list are O(1) and need no pointer to the list, so
//!    that a node may be taken out by its owner although its list was spliced into another one meanwhile.
//! 4. All links of a list belong to one thread, and nothing here runs foreign code.

use std::cell::Cell;
use std::ptr;

/// The two pointers that make an object a member of a list.
pub(crate) struct Links {
    next: Cell<*const Links>,
    prev: Cell<*const Links>,
}

impl Links {
    pub(crate) const fn new() -> Links {
        Links { next: Cell::new(ptr::null()), prev: Cell::new(ptr::null()) }
    }

    pub(crate) fn is_linked(&self) -> bool {
        !self.next.get().is_null()
    }

    /// Takes these links out of their list; no effect on links that are in none.
    pub(crate) fn unlink(&self) {
        let next = self.next.replace(ptr::null());
        if next.is_null() {
            return;
        }
        let prev = self.prev.replace(ptr::null());
        // SAFETY: rule 2: the neighbours of linked links are alive.
        unsafe { (*next).prev.set(prev) };
        // SAFETY: as above.
        unsafe { (*prev).next.set(next) };
    }
}

/// A list, which is its sentinel; it must not move once something was pushed.
pub(crate) struct List(Links);

impl List {
    pub(crate) const fn new() -> List {
        List(Links::new())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let next = self.0.next.get();
        next.is_null() || ptr::eq(next, &self.0)
    }

    fn last(&self) -> *const Links {
        if !self.0.is_linked() {
            self.0.next.set(&self.0);
            self.0.prev.set(&self.0);
        }
        self.0.prev.get()
    }

    /// Appends unlinked links.
    ///
    /// # Safety
    /// `links` keeps rule 2, is in no list, and the list does not move while it has members.
    #[inline]
    pub(crate) unsafe fn push_back(&self, links: *const Links) {
        let last = self.last();
        // SAFETY: `links` is alive, by the caller.
        unsafe { (*links).prev.set(last) };
        // SAFETY: as above.
        unsafe { (*links).next.set(&self.0) };
        // SAFETY: the last member (or the sentinel) is alive, by rule 2.
        unsafe { (*last).next.set(links) };
        self.0.prev.set(links);
    }

    pub(crate) fn front(&self) -> Option<*const Links> {
        (!self.is_empty()).then(|| self.0.next.get())
    }

    /// The member, if there is exactly one.
    #[inline]
    pub(crate) fn sole(&self) -> Option<*const Links> {
        let first = self.0.next.get();
        (!self.is_empty() && ptr::eq(first, self.0.prev.get())).then_some(first)
    }

    /// The member behind `links`, which is one of this list.
    pub(crate) fn after(&self, links: *const Links) -> Option<*const Links> {
        // SAFETY: a member is alive, by rule 2.
        let next = unsafe { (*links).next.get() };
        (!ptr::eq(next, &self.0)).then_some(next)
    }

    #[inline]
    pub(crate) fn pop_front(&self) -> Option<*const Links> {
        let first = self.front()?;
        // SAFETY: a member is alive, by rule 2.
        unsafe { (*first).unlink() };
        Some(first)
    }

    /// Moves all members of `other` behind the members of this list, in O(1).
    pub(crate) fn append(&self, other: &List) {
        if other.is_empty() {
            return;
        }
        let (first, last) = (other.0.next.get(), other.0.prev.get());
        other.0.next.set(&other.0);
        other.0.prev.set(&other.0);
        let tail = self.last();
        // SAFETY: the members of both lists are alive, by rule 2.
        unsafe { (*tail).next.set(first) };
        // SAFETY: as above.
        unsafe { (*first).prev.set(tail) };
        // SAFETY: as above.
        unsafe { (*last).next.set(&self.0) };
        self.0.prev.set(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(list: &List, members: &[Links]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = list.front();
        while let Some(links) = at {
            found.push(members.iter().position(|m| ptr::eq(m, links)).unwrap());
            at = list.after(links);
        }
        found
    }

    #[test]
    fn members_leave_a_spliced_list_by_themselves() {
        let members = [const { Links::new() }; 5];
        let (one, two) = (List::new(), List::new());
        for (i, m) in members.iter().enumerate() {
            // SAFETY: members and lists stay where they are, and members outlive their time in the lists.
            unsafe { if i < 2 { &one } else { &two }.push_back(m) };
        }
        one.append(&two);
        assert!(two.is_empty());
        assert_eq!(contents(&one, &members), [0, 1, 2, 3, 4]);
        members[3].unlink();
        members[0].unlink();
        members[0].unlink();
        assert_eq!(contents(&one, &members), [1, 2, 4]);
        // SAFETY: as above.
        unsafe { two.push_back(&members[0]) };
        two.append(&one);
        assert_eq!(contents(&two, &members), [0, 1, 2, 4]);
        while two.pop_front().is_some() {}
        assert!(one.is_empty() && two.is_empty());
    }
}
