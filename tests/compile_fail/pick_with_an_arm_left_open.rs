//! Each arm says what is made of its value.

fn main() {
    let _ = lwt::pick! { n = lwt::Promise::ready(1) => n, m = lwt::Promise::ready(2) };
}
