//! A variant that is not there, whose number must not be taken for a value.

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    enum Kind: u8 {
        House = 0,
        #[cfg(any())]
        Tree = 1,
    }
}

fn main() {
    let _ = Kind::House;
}
