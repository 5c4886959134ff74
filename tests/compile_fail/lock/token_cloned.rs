//! There is one token.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let number = lock.guard(1);
    lock.attach(|token| {
        let second = token.clone();
        *number.get_mut(&mut second) += *number.get(token);
    })
    .unwrap();
}
