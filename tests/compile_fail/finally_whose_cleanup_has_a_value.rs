//! What becomes of a cleanup may be an error: it wants a `?`.

use lwt::{Promise, spawn};

fn main() {
    let _ = spawn(async { lwt::finally!({ Promise::ready(1).await } => { Promise::ready(()).await }) });
}
