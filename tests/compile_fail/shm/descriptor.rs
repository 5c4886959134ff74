//! Nor does a descriptor.

use std::os::fd::BorrowedFd;

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    struct Open {
        file: BorrowedFd<'static>,
    }
}

fn main() {}
