//! A destructor would never run, or in the wrong process.

lwt::shm_safe! {
    struct Guard {
        number: u32,
    }
}

impl Drop for Guard {
    fn drop(&mut self) {}
}

fn main() {}
