//! Padding would carry bytes of this process along.

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    struct Padded {
        small: u8,
        large: u64,
    }
}

fn main() {}
