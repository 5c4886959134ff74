//! Nothing is half written while others have the lock.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let words = lock.guard(vec![String::new()]);
    lock.attach(|token| {
        let mut words = words.get_mut(token);
        words.clear();
        token.blocking(|| ());
        words.push(String::new());
    })
    .unwrap();
}
