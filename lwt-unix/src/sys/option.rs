//! What socket options need besides `getsockopt` and `setsockopt`. Rules: see the head of
//! [`sys`](crate::sys).

use std::ffi::CStr;
use std::io;

use super::retry;

/// The index of the network interface of that name (`if_nametoindex`); `ENODEV` when there is none.
pub(crate) fn interface_index(name: &CStr) -> io::Result<u32> {
    // SAFETY: the name is a live string with its zero byte.
    let index = retry("if_nametoindex", || match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => -1,
        index => i64::from(index) as libc::ssize_t,
    })?;
    u32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))
}
