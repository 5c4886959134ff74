//! The token ends with its closure.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let token = lock.attach(|token| token).unwrap();
    token.checkpoint();
}
