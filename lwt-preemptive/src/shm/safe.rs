//! [`ShmSafe`]: what may be stored in shared memory as it is, and the macro that checks it.

use std::mem::MaybeUninit;

/// A type whose values are stored in shared memory as they are, byte by byte.
///
/// Numbers, `bool`, `char` and arrays have it; structures and enumerations get it from
/// [`shm_safe!`](crate::shm_safe), which refuses whatever must not be stored: pointers, references and
/// descriptors (their types do not have it, and mean nothing in another process), types with `Drop` (they are
/// not `Copy`), and padding, which would carry bytes of this process along. A value that is read is checked:
/// bytes that are none of the type's values are an error, never a value.
///
/// # Safety
/// The type has no padding and no pointers. Its values are valid in every process of the same build of the
/// program. `is_valid` says `true` only for `size_of::<Self>()` bytes that are a valid value. `SHAPE` differs
/// for types that cannot read each other's values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` must not be stored in shared memory as it is",
    label = "means nothing in another process, or is not all there is to the value",
    note = "numbers, `bool`, `char`, `Place` and arrays of them may be; `shm_safe!` defines structures and \
            enumerations that may",
    note = "pointers, references and descriptors mean nothing in another process",
    note = "for strings and other values of any length there are `BytesMap`, `BytesQueue`, \
            `BytesReference`, and with the feature `worker` `RichMap` and its like"
)]
pub unsafe trait ShmSafe: Copy + Send + Sync + 'static {
    /// A hash of the type's name and layout: what is compared when somebody opens a structure.
    const SHAPE: u64;

    /// Whether these bytes are a value of the type.
    fn is_valid(bytes: &[u8]) -> bool;
}

/// Adds a text to a hash (FNV-1a): how [`ShmSafe::SHAPE`] is made.
#[doc(hidden)]
pub const fn shape_text(mut hash: u64, text: &str) -> u64 {
    let text = text.as_bytes();
    let mut at = 0;
    while at < text.len() {
        hash = (hash ^ text[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    (hash ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3)
}

/// Adds a number to a hash.
#[doc(hidden)]
pub const fn shape_number(hash: u64, number: u64) -> u64 {
    let mut hash = hash;
    let mut at = 0;
    while at < 8 {
        hash = (hash ^ ((number >> (8 * at)) & 0xff)).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The hash of nothing.
#[doc(hidden)]
pub const SHAPE_START: u64 = 0xcbf2_9ce4_8422_2325;

macro_rules! plain {
    ($($type:ident)*) => {$(
        // SAFETY: a number: all its bytes count, and any bytes are one.
        unsafe impl ShmSafe for $type {
            const SHAPE: u64 = shape_text(SHAPE_START, stringify!($type));
            #[inline]
            fn is_valid(_: &[u8]) -> bool {
                true
            }
        }
    )*};
}
plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

// SAFETY: no bytes at all.
unsafe impl ShmSafe for () {
    const SHAPE: u64 = shape_text(SHAPE_START, "()");
    #[inline]
    fn is_valid(_: &[u8]) -> bool {
        true
    }
}

// SAFETY: one byte, of which two values are valid.
unsafe impl ShmSafe for bool {
    const SHAPE: u64 = shape_text(SHAPE_START, "bool");
    #[inline]
    fn is_valid(bytes: &[u8]) -> bool {
        matches!(bytes, [0 | 1])
    }
}

// SAFETY: four bytes; what is a character `char::from_u32` says.
unsafe impl ShmSafe for char {
    const SHAPE: u64 = shape_text(SHAPE_START, "char");
    #[inline]
    fn is_valid(bytes: &[u8]) -> bool {
        bytes.try_into().is_ok_and(|bytes| char::from_u32(u32::from_ne_bytes(bytes)).is_some())
    }
}

// SAFETY: the elements lie side by side, without padding between them.
unsafe impl<T: ShmSafe, const N: usize> ShmSafe for [T; N] {
    const SHAPE: u64 = shape_number(shape_text(T::SHAPE, "[]"), N as u64);
    #[inline]
    fn is_valid(bytes: &[u8]) -> bool {
        size_of::<T>() == 0 || bytes.chunks(size_of::<T>()).all(T::is_valid)
    }
}

/// The bytes of a value.
#[inline]
pub(super) fn bytes_of<T: ShmSafe>(value: &T) -> &[u8] {
    // SAFETY: the type has no padding, so all its bytes are initialised.
    unsafe { std::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

/// The value whose bytes `fill` writes, if they are one.
#[inline]
pub(super) fn value_of<T: ShmSafe>(fill: impl FnOnce(&mut [u8])) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the bytes of the value, all of them initialised with zeroes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
    fill(bytes);
    // SAFETY: `is_valid` has said that they are a value.
    T::is_valid(bytes).then(|| unsafe { value.assume_init() })
}

/// Defines structures of [`ShmSafe`] fields, and enumerations without fields, that may be stored in shared
/// memory.
///
/// The type is laid out as in C (an enumeration as the integer that is named behind it) and has to be `Copy`.
/// What must not be stored is refused by the compiler: padding (add a field that fills it), what needs a
/// destructor, and fields that are not [`ShmSafe`]. The number of a descriptor is a number: nobody can keep
/// you from storing it, but it means nothing in another process.
///
/// ```
/// lwt_preemptive::shm_safe! {
///     /// A place on the map.
///     #[derive(Debug, Clone, Copy, PartialEq)]
///     pub struct Place {
///         pub x: f32,
///         pub y: f32,
///         pub kind: Kind,
///         /// Fills the structure up to a multiple of its alignment.
///         pub unused: [u8; 3],
///     }
/// }
/// lwt_preemptive::shm_safe! {
///     /// What is there.
///     #[derive(Debug, Clone, Copy, PartialEq)]
///     pub enum Kind: u8 { House = 0, Tree = 1 }
/// }
/// ```
///
/// A reference is refused:
///
/// ```compile_fail
/// lwt_preemptive::shm_safe! {
///     #[derive(Clone, Copy)]
///     struct Name { text: &'static str }
/// }
/// ```
///
/// And so is padding:
///
/// ```compile_fail
/// lwt_preemptive::shm_safe! {
///     #[derive(Clone, Copy)]
///     struct Padded { small: u8, large: u64 }
/// }
/// ```
#[macro_export]
macro_rules! shm_safe {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident { $($(#[$of:meta])* $see:vis $field:ident: $type:ty),* $(,)? }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        $vis struct $name { $($(#[$of])* $see $field: $type),* }

        const _: () = {
            let fields = 0 $(+ ::core::mem::size_of::<$type>())*;
            assert!(
                fields == ::core::mem::size_of::<$name>(),
                "the structure has padding: add a field, of bytes for example, that fills it",
            );
        };

        // SAFETY: all fields are, and there is nothing beside them, as the constant above checks.
        unsafe impl $crate::shm::ShmSafe for $name {
            const SHAPE: u64 = {
                let hash = $crate::shm::shape_text($crate::shm::SHAPE_START, stringify!($name));
                $(
                    let hash = $crate::shm::shape_text(hash, stringify!($field));
                    let hash = $crate::shm::shape_number(hash, <$type as $crate::shm::ShmSafe>::SHAPE);
                )*
                $crate::shm::shape_number(hash, ::core::mem::size_of::<$name>() as u64)
            };
            #[inline]
            #[allow(unused_variables, reason = "a structure may have no fields")]
            fn is_valid(bytes: &[u8]) -> bool {
                $(
                    let from = ::core::mem::offset_of!($name, $field);
                    if !<$type as $crate::shm::ShmSafe>::is_valid(
                        &bytes[from..from + ::core::mem::size_of::<$type>()],
                    ) {
                        return false;
                    }
                )*
                true
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident: $repr:ident {
            $($(#[$of:meta])* $variant:ident = $value:literal),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[repr($repr)]
        $vis enum $name { $($(#[$of])* $variant = $value),+ }

        // SAFETY: an integer of which those values are valid that are a variant's.
        unsafe impl $crate::shm::ShmSafe for $name {
            const SHAPE: u64 = {
                let hash = $crate::shm::shape_text($crate::shm::SHAPE_START, stringify!($name));
                $(
                    let hash = $crate::shm::shape_text(hash, stringify!($variant));
                    let hash = $crate::shm::shape_number(hash, $value as $repr as u64);
                )+
                $crate::shm::shape_number(hash, ::core::mem::size_of::<$name>() as u64)
            };
            #[inline]
            fn is_valid(bytes: &[u8]) -> bool {
                match ::core::convert::TryInto::try_into(bytes) {
                    Ok(bytes) => {
                        // The variants themselves: one that an attribute has removed is none.
                        [$($name::$variant as $repr),+].contains(&$repr::from_ne_bytes(bytes))
                    }
                    Err(_) => false,
                }
            }
        }
    };
    ($($anything:tt)*) => {
        ::core::compile_error!(
            "shm_safe! defines structures with named fields, and enumerations without fields whose integer \
             and numbers are named: `enum Kind: u8 { House = 0, Tree = 1 }`; nothing generic"
        );
    };
}
