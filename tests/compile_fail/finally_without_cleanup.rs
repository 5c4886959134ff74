//! Then the body would do alone.

fn main() {
    let _ = lwt::spawn(async { lwt::finally!({ lwt::Promise::ready(1).await }) });
}
