//! What may cross threads, be cloned, be moved while pinned: pinned down at compile time.

use std::future::Future;

use lwt_core::scheduler::Handle;
use lwt_core::{Abandoned, Canceled, Canceller, Error, Key, Promise, Resolver, State};

/// A value that has every auto trait but is not `Clone`.
struct Plain;

macro_rules! is {
    ($type:ty: $($bound:tt)+) => {
        const _: fn() = || {
            fn check<T: ?Sized + $($bound)+>() {}
            check::<$type>();
        };
    };
}

/// Does not compile if the type has the trait: then there are two ways to name `question`.
macro_rules! is_not {
    ($type:ty: $bound:path) => {
        const _: fn() = || {
            trait Either<Which> {
                fn question() {}
            }
            impl<T: ?Sized> Either<()> for T {}
            struct Has;
            impl<T: ?Sized + $bound> Either<Has> for T {}
            let _ = <$type as Either<_>>::question;
        };
    };
}

is_not!(Promise<i32>: Send);
is_not!(Promise<i32>: Sync);
is_not!(Promise<()>: Send);
is_not!(Promise<()>: Sync);
is_not!(Resolver<i32>: Send);
is_not!(Resolver<i32>: Sync);
is_not!(Canceller: Send);
is_not!(Canceller: Sync);

is!(Promise<i32>: Unpin);
is!(Promise<std::marker::PhantomPinned>: Unpin);
is!(Promise<i32>: std::fmt::Debug);
is!(Promise<Plain>: std::fmt::Debug);
is!(Resolver<Plain>: std::fmt::Debug);
is!(Promise<Plain>: Future<Output = Result<Plain, Error>>);

is!(Promise<i32>: Clone);
is_not!(Promise<Plain>: Clone);
is_not!(Promise<i32>: Copy);
is_not!(Resolver<i32>: Clone);
is!(Canceller: Clone);

is!(Error: Send + Sync + Clone + std::fmt::Debug + std::fmt::Display);
is_not!(Error: std::error::Error);
is!(Abandoned: std::error::Error + Send + Sync + Copy);
is!(Canceled: std::error::Error + Send + Sync + Copy);
is!(Error: From<std::io::Error> + From<std::fmt::Error> + From<Canceled>);

is!(Handle: Send + Sync + Clone);
is!(Key<Plain>: Copy);
is!(State<'static, i32>: std::fmt::Debug);

#[test]
fn sizes() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    assert!(size_of::<Promise<i64>>() <= 16);
    assert!(size_of::<Promise<()>>() <= 16);
    assert_eq!(size_of::<Resolver<[u64; 100]>>(), size_of::<usize>());
}
