//! [`IoVectors`] and [`IoVectorsMut`]: lists of buffers for the vectored operations, which can be advanced.

use std::io::{IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut};

use crate::sys;

/// How many buffers one vectored system call uses at most (`IO_vectors.system_limit`): 1024. The operations
/// take longer lists, and use the first so many.
///
/// ```
/// assert_eq!(lwt_unix::fd::system_limit(), 1024);
/// ```
pub fn system_limit() -> usize {
    sys::MAX_SLICES
}

macro_rules! vectors {
    ($(#[$doc:meta])* $name:ident, $slice:ident, $borrow:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub struct $name<'a> {
            slices: Vec<$slice<'a>>,
        }

        impl<'a> $name<'a> {
            /// An empty list (`IO_vectors.create`).
            pub fn new() -> $name<'a> {
                $name { slices: Vec::new() }
            }

            /// Adds a buffer at the end (`IO_vectors.append_bytes`, `append_bigarray`).
            pub fn append(&mut self, buffer: $borrow) {
                self.slices.push($slice::new(buffer));
            }

            /// Takes `n` bytes away from the front, and with them the buffers that are used up
            /// (`IO_vectors.drop`). More than there are empties the list.
            pub fn advance(&mut self, n: usize) {
                let n = n.min(self.byte_count());
                let all = self.slices.len();
                let mut rest = &mut self.slices[..];
                $slice::advance_slices(&mut rest, n);
                let left = rest.len();
                self.slices.drain(..all - left);
            }

            /// How many bytes there are (`IO_vectors.byte_count`).
            pub fn byte_count(&self) -> usize {
                self.slices.iter().map(|slice| slice.len()).sum()
            }

            /// Whether there are no bytes, however many buffers of none (`IO_vectors.is_empty`).
            pub fn is_empty(&self) -> bool {
                self.byte_count() == 0
            }
        }

        impl<'a> Deref for $name<'a> {
            type Target = [$slice<'a>];
            fn deref(&self) -> &[$slice<'a>] {
                &self.slices
            }
        }

        impl<'a> DerefMut for $name<'a> {
            fn deref_mut(&mut self) -> &mut [$slice<'a>] {
                &mut self.slices
            }
        }

        impl<'a> FromIterator<$borrow> for $name<'a> {
            fn from_iter<I: IntoIterator<Item = $borrow>>(buffers: I) -> $name<'a> {
                $name { slices: buffers.into_iter().map($slice::new).collect() }
            }
        }
    };
}

vectors! {
    /// Buffers to write from, for [`Fd::writev`](super::Fd::writev) and its like (`IO_vectors.t`).
    ///
    /// ```
    /// use lwt_unix::fd::{IoVectors, pipe};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (_reader, writer) = pipe()?;
    /// lwt_unix::run(async move {
    ///     let mut vectors: IoVectors<'_> = [&b"one "[..], b"two"].into_iter().collect();
    ///     while !vectors.is_empty() {
    ///         let n = writer.writev(&vectors).await?;
    ///         vectors.advance(n);
    ///     }
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    IoVectors, IoSlice, &'a [u8]
}

vectors! {
    /// Buffers to read into, for [`Fd::readv`](super::Fd::readv) and its like (`IO_vectors.t`).
    ///
    /// ```
    /// use lwt_unix::fd::{IoVectorsMut, pipe};
    ///
    /// # fn main() -> Result<(), lwt_core::Error> {
    /// let (reader, writer) = pipe()?;
    /// lwt_unix::run(async move {
    ///     writer.write_all(b"headbody").await?;
    ///     let (mut head, mut body) = ([0; 4], [0; 4]);
    ///     let mut vectors = IoVectorsMut::new();
    ///     vectors.append(&mut head);
    ///     vectors.append(&mut body);
    ///     assert_eq!(reader.readv(&mut vectors).await?, 8);
    ///     assert_eq!((&head, &body), (b"head", b"body"));
    ///     Ok::<_, lwt_core::Error>(())
    /// })
    /// # }
    /// ```
    IoVectorsMut, IoSliceMut, &'a mut [u8]
}
