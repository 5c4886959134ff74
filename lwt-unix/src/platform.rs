//! What the system has (`Lwt_sys`).

use std::fmt;
use std::io;

/// A function that not every system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Waiting for children with what they have used: [`process::wait4`](crate::process::wait4).
    Wait4,
    /// The number of the processor that a thread runs on.
    GetCpu,
    /// The processors that a process may use.
    GetAffinity,
    /// Setting them.
    SetAffinity,
    /// Receiving messages with what is sent along.
    RecvMsg,
    /// Sending such messages.
    SendMsg,
    /// Sending descriptors to other processes.
    FdPassing,
    /// Asking who is at the other end of a Unix socket.
    GetCredentials,
    /// Asking which pages of a mapped file are in memory.
    Mincore,
    /// Telling how mapped memory will be used.
    Madvise,
    /// Writing a file's data to the disk, without all else that is known of it.
    Fdatasync,
    /// Descriptors of processes, by which children are waited for.
    Pidfd,
    /// Forking, with a check that no thread is lost: [`process::fork`](crate::process::fork).
    Fork,
}

/// Whether this system has it (`Lwt_sys.have`). What it does not have is an error where it is
/// used, of the kind [`Unsupported`](io::ErrorKind::Unsupported), with [`NotAvailable`] as its text.
///
/// ```
/// use lwt_unix::platform::{Feature, have};
/// assert!(have(Feature::RecvMsg));
/// assert_eq!(have(Feature::Pidfd), cfg!(target_os = "linux"));
/// ```
pub fn have(feature: Feature) -> bool {
    let linux = cfg!(any(target_os = "linux", target_os = "android"));
    let apple = cfg!(any(target_os = "macos", target_os = "ios"));
    match feature {
        Feature::Wait4
        | Feature::RecvMsg
        | Feature::SendMsg
        | Feature::FdPassing
        | Feature::GetCredentials
        | Feature::Mincore
        | Feature::Madvise => true,
        Feature::Fdatasync => !apple,
        Feature::GetCpu | Feature::GetAffinity | Feature::SetAffinity | Feature::Pidfd | Feature::Fork => {
            linux
        }
    }
}

/// The error of a function that this system does not have (`Lwt_sys.Not_available`).
///
/// ```
/// use lwt_unix::platform::NotAvailable;
/// assert_eq!(NotAvailable("get_cpu").to_string(), "get_cpu is not available on this system");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NotAvailable(pub &'static str);

impl fmt::Display for NotAvailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not available on this system", self.0)
    }
}

impl std::error::Error for NotAvailable {}

impl From<NotAvailable> for io::Error {
    fn from(missing: NotAvailable) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, missing)
    }
}

/// The order of the bytes of a number (`Lwt_sys.byte_order`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The lowest byte first.
    LittleEndian,
    /// The highest byte first.
    BigEndian,
}

/// That of this machine.
///
/// ```
/// use lwt_unix::platform::{ByteOrder, byte_order};
/// assert_eq!(byte_order() == ByteOrder::LittleEndian, 1_u16.to_ne_bytes() == [1, 0]);
/// ```
pub const fn byte_order() -> ByteOrder {
    if cfg!(target_endian = "little") { ByteOrder::LittleEndian } else { ByteOrder::BigEndian }
}
