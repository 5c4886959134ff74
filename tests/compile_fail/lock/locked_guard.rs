//! A mutex is unlocked by the thread that locked it.

use lwt::lock::RuntimeLock;

fn main() {
    let mutex = std::sync::Mutex::new(1);
    let lock = RuntimeLock::current().unwrap();
    let guarded = lock.guard(mutex.lock().unwrap());
    println!("{guarded:?}");
}
