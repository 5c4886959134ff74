//! A token stays on its thread.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    lock.attach(|token| {
        std::thread::scope(|scope| {
            scope.spawn(|| token.checkpoint());
        });
    })
    .unwrap();
}
