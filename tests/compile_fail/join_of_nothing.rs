//! There is nothing to wait for.

fn main() {
    let _ = lwt::join!();
}
