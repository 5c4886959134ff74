//! The function does that.

fn main() {
    let _ = lwt::pick!(lwt::Promise::ready(1), lwt::Promise::ready(2));
}
