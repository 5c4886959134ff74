//! Blocks for promises and tasks: a free list per size class and thread, over the global allocator.
//!
//! A runtime makes and frees the same few sizes all the time; taking one from a list costs a load and a
//! store where `malloc` and `free` cost some five times as much. Rules:
//!
//! 1. A block is used and freed on the thread that allocated it: what lies in one is never `Send`.
//! 2. A class is a multiple of [`GRAIN`] bytes and 8 more, which is what allocators with a word of their own
//!    per block make of it anyway; larger or stricter aligned layouts go to the allocator as they are.
//! 3. A class keeps at most [`KEPT_BYTES`]; what comes back beyond that is given back to the allocator.
//! 4. The thread-local has no destructor, so that promises work to the very end of a thread. What it keeps
//!    is given back by [`release_cached`], which the end of a runtime calls.
//! 5. Under Miri the lists are off, so that every use after free is seen.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

const GRAIN: usize = 16;
const EXTRA: usize = 8;
const CLASSES: usize = 32;
const KEPT_BYTES: usize = 256 * 1024;

/// What a free block holds: the next free block of its class.
struct Free {
    next: *mut Free,
}

struct Class {
    head: Cell<*mut Free>,
    kept: Cell<u32>,
}

thread_local! {
    static FREE: [Class; CLASSES] =
        const { [const { Class { head: Cell::new(ptr::null_mut()), kept: Cell::new(0) } }; CLASSES] };
}

/// The class of a type's layout, or `None` where the allocator serves it directly.
const fn class_of(layout: Layout) -> Option<usize> {
    let class = (layout.size() + EXTRA - 1) / GRAIN;
    if cfg!(miri) || layout.align() > GRAIN || class >= CLASSES { None } else { Some(class) }
}

const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align(class * GRAIN + EXTRA, GRAIN) {
        Ok(layout) => layout,
        Err(_) => panic!("a class is small"),
    }
}

fn from_allocator(layout: Layout) -> NonNull<u8> {
    // SAFETY: every caller passes a layout of at least one byte (a cell has a header).
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Moves `value` into a block of its own.
#[inline]
pub(crate) fn boxed<V>(value: V) -> NonNull<V> {
    boxed_with(|_| value)
}

/// Makes a value that knows its own place, in a block of its own.
#[inline]
pub(crate) fn boxed_with<V>(value: impl FnOnce(NonNull<V>) -> V) -> NonNull<V> {
    const { assert!(size_of::<V>() > 0) };
    let block = block(const { Layout::new::<V>() }).cast::<V>();
    // SAFETY: the block is unused and has the size and alignment of `V`.
    unsafe { block.as_ptr().write(value(block)) };
    block
}

/// An unused block for `count` values; dangling for none.
pub(crate) fn array<V>(count: usize) -> NonNull<V> {
    const { assert!(size_of::<V>() > 0) };
    if count == 0 { NonNull::dangling() } else { block(array_layout::<V>(count)).cast() }
}

fn array_layout<V>(count: usize) -> Layout {
    // As `Vec` does: so much memory cannot be had.
    Layout::array::<V>(count).unwrap_or_else(|_| panic!("capacity overflow"))
}

/// An unused block.
#[inline]
fn block(layout: Layout) -> NonNull<u8> {
    let Some(class) = class_of(layout) else { return from_allocator(layout) };
    FREE.with(|classes| {
        let list = &classes[class];
        let Some(free) = NonNull::new(list.head.get()) else { return from_allocator(class_layout(class)) };
        // SAFETY: a block in the list is free, large enough, and holds a `Free`.
        list.head.set(unsafe { (*free.as_ptr()).next });
        list.kept.set(list.kept.get() - 1);
        free.cast()
    })
}

/// Frees a block without dropping what lies in it.
///
/// # Safety
/// `block` came from [`boxed`] with the same `V` on this thread, and nothing uses it any more.
#[inline]
pub(crate) unsafe fn free<V>(block: NonNull<V>) {
    // SAFETY: by the caller.
    unsafe { free_block(block.cast(), const { Layout::new::<V>() }) };
}

/// Frees a block without dropping what lies in it.
///
/// # Safety
/// `block` came from [`array`] with the same `V` and `count` on this thread, and nothing uses it any more.
pub(crate) unsafe fn free_array<V>(block: NonNull<V>, count: usize) {
    if count > 0 {
        // SAFETY: by the caller.
        unsafe { free_block(block.cast(), array_layout::<V>(count)) };
    }
}

/// # Safety
/// `block` came from [`block`] with the same layout on this thread, and nothing uses it any more.
#[inline]
unsafe fn free_block(block: NonNull<u8>, layout: Layout) {
    let Some(class) = class_of(layout) else {
        // SAFETY: without a class the block came from the allocator with this layout.
        return unsafe { dealloc(block.as_ptr(), layout) };
    };
    FREE.with(|classes| {
        let list = &classes[class];
        if list.kept.get() as usize >= KEPT_BYTES / class_layout(class).size() {
            // SAFETY: blocks of a class come from the allocator with the class's layout.
            return unsafe { dealloc(block.as_ptr(), class_layout(class)) };
        }
        let free = block.cast::<Free>().as_ptr();
        // SAFETY: the block is ours now, and a class is large enough for a `Free`.
        unsafe { free.write(Free { next: list.head.get() }) };
        list.head.set(free);
        list.kept.set(list.kept.get() + 1);
    });
}

/// Gives all kept blocks of this thread back to the allocator.
pub(crate) fn release_cached() {
    FREE.with(|classes| {
        for (class, list) in classes.iter().enumerate() {
            let mut head = list.head.replace(ptr::null_mut());
            list.kept.set(0);
            while !head.is_null() {
                // SAFETY: a block in the list is free and holds a `Free`.
                let next = unsafe { (*head).next };
                // SAFETY: blocks of a class come from the allocator with the class's layout.
                unsafe { dealloc(head.cast(), class_layout(class)) };
                head = next;
            }
        }
    });
}
