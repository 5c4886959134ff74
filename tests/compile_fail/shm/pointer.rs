//! Nor does a pointer.

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    struct Next {
        next: *mut Next,
    }
}

fn main() {}
