//! The token is not kept for later.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let mut kept = None;
    lock.attach(|token| kept = Some(token)).unwrap();
    kept.unwrap().checkpoint();
}
