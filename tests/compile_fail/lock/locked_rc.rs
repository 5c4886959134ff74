//! What may not leave its thread is not guarded by a lock for threads.

use lwt::lock::RuntimeLock;

fn main() {
    let lock = RuntimeLock::current().unwrap();
    let shared = lock.guard(std::rc::Rc::new(1));
    println!("{shared:?}");
}
