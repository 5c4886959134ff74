//! A reference means nothing in another process.

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    struct Name {
        text: &'static str,
    }
}

fn main() {}
