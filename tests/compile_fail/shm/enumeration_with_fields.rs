//! Enumerations with fields have padding, and bytes that do not count.

lwt::shm_safe! {
    #[derive(Clone, Copy)]
    enum Shape {
        Circle(f32),
        Square { side: f32 },
    }
}

fn main() {}
