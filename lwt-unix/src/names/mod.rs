//! Names: of hosts, services and protocols, and the addresses and numbers behind them.
//!
//! The C library's resolver may take as long as it likes, so each look-up is a job, in a
//! [lane](crate::job::names) of its own: however many are stuck, file jobs go on. Only reentrant calls are
//! made.
//!
//! A look-up that has begun cannot be stopped: a cancel rejects its promise at once, and drops the result
//! when it comes.
//!
//! | you want | use |
//! |---|---|
//! | the addresses of a host | [`getaddrinfo`] |
//! | a connection by name | [`TcpStream::connect_host`](crate::net::TcpStream::connect_host) |
//! | the name of an address | [`getnameinfo`] |
//! | an entry of a data base | [`gethostbyname`], [`getservbyname`], [`getprotobyname`] and their like |

mod entries;
mod error;
mod info;

use std::ffi::CString;

use lwt_core::{Error, Promise};

pub use self::entries::{
    HostEntry, ProtocolEntry, ServiceEntry, gethostbyaddr, gethostbyname, getprotobyname, getprotobynumber,
    getservbyname, getservbyport,
};
pub use self::error::{NameError, NameErrorKind};
pub use self::info::{AddrInfo, Hints, NameFlags, NameInfo, getaddrinfo, getnameinfo};
use crate::fd::During;
use crate::job;
use crate::sys::names::{self, Trouble};

/// The name of this machine (`gethostname`). Known at once.
///
/// ```
/// assert!(!lwt_unix::names::gethostname().unwrap().is_empty());
/// ```
///
/// # Errors
/// Those of the system.
pub fn gethostname() -> Result<String, Error> {
    names::host_name().during("gethostname")
}

/// Makes a look-up as a job.
fn look_up<T: Send + 'static>(
    call: &'static str,
    subject: String,
    f: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Promise<T> {
    job::names().run_job(None, move || f().map_err(|trouble| NameError::rejection(call, subject, trouble)))
}

/// A name as the C library wants it. One with a zero byte is nobody's.
fn c_string(name: &str) -> Result<CString, Trouble> {
    CString::new(name).map_err(|_| Trouble::Code(libc::EAI_NONAME, None))
}
