//! Two tokens cannot change places.

use lwt::lock::RuntimeLock;

fn exchange(one: &RuntimeLock, other: &RuntimeLock) {
    let _ = one.attach(|outer| {
        let _ = other.attach(|inner| std::mem::swap(outer, inner));
    });
}

fn main() {
    let lock = RuntimeLock::current().unwrap();
    exchange(&lock, &lock);
}
