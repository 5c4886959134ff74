//! A tuple of nine is more than there is.

use lwt::Promise;

fn main() {
    let p = || Promise::ready(1);
    let _ = lwt::join!(p(), p(), p(), p(), p(), p(), p(), p(), p());
}
