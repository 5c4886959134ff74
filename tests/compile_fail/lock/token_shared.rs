//! A token is not shared with other threads either.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let number = lock.guard(1);
    lock.attach(|token| {
        let token = &*token;
        std::thread::scope(|scope| {
            scope.spawn(|| *number.get(token));
        });
    })
    .unwrap();
}
