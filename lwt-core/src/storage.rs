//! Values that follow the chain of promises: [`Key`].
//!
//! The keys that are set form a map, and one map is *in force* at any time. A callback captures it when it is
//! attached, a task when it is spawned, and it is in force again whenever they run; whoever resolves a
//! promise finds his own map back when `wakeup` returns. A callback on an already resolved promise runs in
//! its caller's map.
//!
//! Maps are immutable and shared: capturing one is a reference count, setting a key copies the few entries
//! there are.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use crate::promise::cascade::guarded;

type Map = Vec<(u64, Rc<dyn Any>)>;

thread_local! {
    /// The map in force: null for the empty one, else a pointer from `Rc::into_raw` that owns one count.
    static IN_FORCE: Cell<*const Map> = const { Cell::new(ptr::null()) };
}

/// A captured map.
#[derive(Clone, Default)]
pub(crate) struct Storage(Option<Rc<Map>>);

impl Storage {
    /// The map in force.
    #[inline]
    pub(crate) fn capture() -> Storage {
        let map = IN_FORCE.get();
        if map.is_null() {
            return Storage(None);
        }
        // SAFETY: a map in force is alive: the cell owns a count of it.
        unsafe { Rc::increment_strong_count(map) };
        // SAFETY: the count just made is ours.
        Storage(Some(unsafe { Rc::from_raw(map) }))
    }

    /// Puts this map in force until the guard is dropped.
    #[inline]
    pub(crate) fn install(self) -> Installed {
        let map = self.0.map_or(ptr::null(), Rc::into_raw);
        Installed { previous: IN_FORCE.replace(map) }
    }
}

/// Restores the map that was in force before, also when the code under it panics.
pub(crate) struct Installed {
    previous: *const Map,
}

impl Drop for Installed {
    #[inline]
    fn drop(&mut self) {
        let map = IN_FORCE.replace(self.previous);
        if !map.is_null() {
            // SAFETY: the cell owned one count of the map in force, which has just left it.
            let map = unsafe { Rc::from_raw(map) };
            if Rc::strong_count(&map) == 1 {
                // Destructors of values run, perhaps in the middle of a callback's panic.
                guarded(|| drop(map));
            }
        }
    }
}

/// A task-local value (`Lwt.key`).
///
/// ```
/// use lwt_core::{Key, wait};
/// let user = Key::new();
/// let (p, r) = wait::<()>();
/// let named = user.with_value(Some("ada"), || p.map(move |()| user.get()));
/// assert_eq!(user.get(), None);
/// r.wakeup(());
/// named.on_success(|name| assert_eq!(*name, Some("ada")));
/// ```
pub struct Key<T> {
    id: u64,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Key<T> {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl<T: 'static> Default for Key<T> {
    fn default() -> Key<T> {
        Key::new()
    }
}

impl<T: 'static> Key<T> {
    /// A fresh key, set nowhere (`Lwt.new_key`).
    pub fn new() -> Key<T> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Key { id: NEXT.fetch_add(1, Ordering::Relaxed), value: PhantomData }
    }

    /// The value in the map in force (`Lwt.get`).
    pub fn get(self) -> Option<T>
    where
        T: Clone,
    {
        self.get_rc().map(|value| T::clone(&value))
    }

    /// The value in the map in force, shared: for values that are not `Clone`.
    pub fn get_rc(self) -> Option<Rc<T>> {
        let map = Storage::capture().0?;
        let (_, value) = map.iter().find(|(id, _)| *id == self.id)?;
        Rc::clone(value).downcast().ok()
    }

    /// The map in force with this key set to `value`, or without it.
    fn assigned(self, value: Option<T>) -> Storage {
        let mut map = Storage::capture().0.map_or_else(Map::new, |map| Map::clone(&map));
        map.retain(|(id, _)| *id != self.id);
        if let Some(value) = value {
            map.push((self.id, Rc::new(value)));
        }
        Storage((!map.is_empty()).then(|| Rc::new(map)))
    }

    /// Calls `f` with the key set to `value`, or unset by `None`; what `f` attaches and spawns keeps the
    /// setting (`Lwt.with_value`).
    pub fn with_value<R>(self, value: Option<T>, f: impl FnOnce() -> R) -> R {
        let _installed = self.assigned(value).install();
        f()
    }

    /// [`with_value`](Key::with_value) for a future: the key is set whenever the future runs.
    ///
    /// ```
    /// # use lwt_core::{Error, Key, spawn};
    /// let depth = Key::new();
    /// let p = spawn(depth.scope(Some(1), async move { Ok::<_, Error>(depth.get()) }));
    /// p.on_success(|d| assert_eq!(*d, Some(1)));
    /// ```
    pub fn scope<F: Future>(self, value: Option<T>, future: F) -> Scope<F> {
        Scope { storage: self.assigned(value), future }
    }
}

pin_project_lite::pin_project! {
    /// A future that runs with a key set: see [`Key::scope`].
    pub struct Scope<F> {
        storage: Storage,
        #[pin]
        future: F,
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _installed = this.storage.clone().install();
        this.future.poll(cx)
    }
}
